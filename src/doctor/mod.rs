//! What this machine has of what an inspector needs, and what is to be done about the rest.
//!
//! `gather` looks, an area to a file; `facts` is what it saw; `findings` decides what that means, and for each trouble
//! what to do. Invariants: no look may hang, what does not come back within its time is a finding; no file makes it
//! panic; what could not be seen is told and never taken for well.
//! Must not know the configuration's words: what is wanted comes in as [`Wanted`].

pub mod facts;
mod findings;
pub mod gather;
pub mod parse;

use serde::Serialize;

pub use self::{
    facts::Facts,
    findings::{examine, worst},
    gather::{Root, Wanted, gather},
};

/// What a finding is about, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// The board, its system and its packages.
    Machine,
    /// ONNX Runtime, its providers, the GPU and its libraries.
    Engine,
    /// GStreamer and its plugins.
    Gstreamer,
    /// Cameras and their devices.
    Cameras,
    /// What GigE cameras come in by.
    Network,
    /// Power mode, clocks and temperature.
    Power,
    /// Where ledger, archive and engines lie.
    Disk,
    /// The machine's time.
    Clock,
    /// What the service's user may open.
    Permissions,
}

impl Area {
    /// Every area, in the order of the report.
    pub const ALL: [Self; 9] = [
        Self::Machine,
        Self::Engine,
        Self::Gstreamer,
        Self::Cameras,
        Self::Network,
        Self::Power,
        Self::Disk,
        Self::Clock,
        Self::Permissions,
    ];

    /// Its heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Engine => "engine",
            Self::Gstreamer => "gstreamer",
            Self::Cameras => "cameras",
            Self::Network => "network",
            Self::Power => "power",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Permissions => "permissions",
        }
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know, or it could not be found out.
    Note,
    /// It works, and may go wrong or be slow.
    Warn,
    /// It does not work.
    Bad,
}

/// Something that was found out about the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub area: Area,
    /// How much it matters.
    pub level: Level,
    /// What it is.
    pub what: String,
    /// What to do; `None` where there is nothing to do.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(area: Area, what: impl Into<String>) -> Self {
        Self { area, level: Level::Ok, what: what.into(), remedy: None }
    }

    fn note(area: Area, what: impl Into<String>, remedy: Option<&str>) -> Self {
        Self { area, level: Level::Note, what: what.into(), remedy: remedy.map(Into::into) }
    }

    fn warn(area: Area, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { area, level: Level::Warn, what: what.into(), remedy: Some(remedy.into()) }
    }

    fn bad(area: Area, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { area, level: Level::Bad, what: what.into(), remedy: Some(remedy.into()) }
    }
}
