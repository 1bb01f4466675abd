//! What is told about one frame: which one, by which model, and the verdict.
//!
//! Owns the data that every sink and the ledger get, once. Knows no form: lines are `sinks::line`, rows are `ledger`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::{judge::part::Part, verdict::Verdict};

/// Where a frame came from and how long it took.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The camera's name; `inspect` for images that no camera brought.
    pub camera: Arc<str>,
    /// Which numbering.
    pub epoch: u64,
    /// The frame's number, from 1.
    pub frame: u64,
    /// The file it was read from, where there was one.
    pub file: Option<Arc<str>>,
    /// The PLC's number of the part that it shows, where a PLC announces parts and it was certain by then.
    pub plc_part: Option<u32>,
    /// When it was captured.
    pub time: SystemTime,
    /// Its presentation time in the stream.
    pub pts: Option<Duration>,
    /// From capture to verdict.
    pub latency: Duration,
    /// The inference alone; `None` when there was none.
    pub inference: Option<Duration>,
}

/// The model that a verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelLabel {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its file, in hexadecimal.
    #[serde(skip)]
    pub sha256: String,
}

/// One frame with its verdict.
#[derive(Clone, Debug)]
pub struct Record {
    /// The frame.
    pub origin: Origin,
    /// The model in charge.
    pub model: Arc<ModelLabel>,
    /// What the judge says about it.
    pub verdict: Verdict,
}

/// One part with its verdict.
#[derive(Clone, Debug)]
pub struct PartRecord {
    /// The camera's name.
    pub camera: Arc<str>,
    /// Which numbering its frames are of.
    pub epoch: u64,
    /// When the part was told.
    pub time: SystemTime,
    /// The model in charge.
    pub model: Arc<ModelLabel>,
    /// What its frames amount to.
    pub part: Part,
}
