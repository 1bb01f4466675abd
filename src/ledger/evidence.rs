//! What became of a frame's pictures, in words: kept by the archive, missing, or removed.
//!
//! Owns the words, which the ledger's table allows and no others. Pure; who keeps pictures is `archive`.

use std::time::SystemTime;

use crate::{frame::FrameId, verdict::Decision};

/// Whose pictures are kept, by what they are worth: the first is given up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A part that passed.
    Pass,
    /// A part of no known product.
    UnknownProduct,
    /// A part that was refused.
    Fail,
}

impl Kind {
    /// All of them, by what they are worth.
    pub const ALL: [Self; 3] = [Self::Pass, Self::UnknownProduct, Self::Fail];

    /// The decision's; `None` for a part that nobody judged.
    pub const fn of(decision: Decision) -> Option<Self> {
        match decision {
            Decision::Pass(_) => Some(Self::Pass),
            Decision::UnknownProduct => Some(Self::UnknownProduct),
            Decision::Fail => Some(Self::Fail),
            Decision::Fault => None,
        }
    }

    /// The decision's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::UnknownProduct => "unknown-product",
            Self::Fail => "fail",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Which pixels were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The camera's own.
    Full,
    /// Those of the model's size: the pipeline kept no others.
    Model,
}

impl Resolution {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Full, Self::Model];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Model => "model",
        }
    }

    /// The resolution of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resolution| resolution.name() == name)
    }
}

/// Why there are no pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// More frames were wanted at once than could wait.
    Busy,
    /// The archive is at its cap, and holds nothing that is worth less.
    NoRoom,
    /// The file system refused them.
    Unwritten,
    /// The pixels could not be converted or encoded.
    NoPixels,
    /// The process ended before they were written.
    Crash,
    /// The row could not be written, and what became of the pictures is not known.
    Unrecorded,
    /// They were there once; somebody else removed them.
    Gone,
}

impl Missing {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::Busy,
        Self::NoRoom,
        Self::Unwritten,
        Self::NoPixels,
        Self::Crash,
        Self::Unrecorded,
        Self::Gone,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::NoRoom => "no room",
            Self::Unwritten => "not written",
            Self::NoPixels => "no pixels",
            Self::Crash => "crash",
            Self::Unrecorded => "unrecorded",
            Self::Gone => "gone",
        }
    }
}

/// Which bound pictures had to go for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// They were too old.
    Age,
    /// The archive was too large.
    Size,
    /// It had too many frames.
    Count,
    /// The file system had too little room left.
    FreeSpace,
}

impl Bound {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Age, Self::Size, Self::Count, Self::FreeSpace];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Size => "size",
            Self::Count => "count",
            Self::FreeSpace => "free space",
        }
    }
}

/// What became of a frame's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They are in the archive.
    Kept {
        /// Bytes on the disk.
        bytes: u64,
        /// Which pixels.
        resolution: Resolution,
    },
    /// They are not, and never were whole.
    Missing(Missing),
    /// They were, and had to go.
    Removed(Bound),
}

impl State {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept { .. } => "kept",
            Self::Missing(_) => "missing",
            Self::Removed(_) => "removed",
        }
    }

    /// The word for why they are not there.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Kept { .. } => None,
            Self::Missing(missing) => Some(missing.name()),
            Self::Removed(bound) => Some(bound.name()),
        }
    }
}

/// A row: what became of one frame's pictures. A later one about the same frame takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The frame.
    pub id: FrameId,
    /// When it was captured.
    pub time: SystemTime,
    /// What it was decided to be.
    pub kind: Kind,
    /// What became of its pictures.
    pub state: State,
}

/// Pictures that are kept, as the ledger says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRow {
    /// The frame.
    pub id: FrameId,
    /// When it was captured.
    pub time: SystemTime,
    /// What it was decided to be.
    pub kind: Kind,
    /// Bytes on the disk.
    pub bytes: u64,
}
