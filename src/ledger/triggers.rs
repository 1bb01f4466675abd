//! Parts that a PLC announced, as the ledger keeps them.
//!
//! Owns what a row holds. Pure; which result a part gets is `plc`'s.

use std::time::SystemTime;

use crate::frame::CameraId;

/// What is written of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerRow {
    /// It came to its end.
    Ended(Box<Ended>),
    /// The PLC has its result.
    Acknowledged {
        /// At this camera.
        camera: CameraId,
        /// In this numbering of its frames.
        epoch: u64,
        /// The trigger's running number.
        trigger: u64,
        /// When.
        time: SystemTime,
    },
}

/// A part and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// At this camera.
    pub camera: CameraId,
    /// In this numbering of its frames.
    pub epoch: u64,
    /// The trigger's running number, from 1.
    pub trigger: u64,
    /// The PLC's number of the part.
    pub part: u32,
    /// Its code of the expected product; 0 for none.
    pub hint: u16,
    /// The last frame that had been numbered by then.
    pub after_frame: u64,
    /// The frame that shows the part, where one does.
    pub frame: Option<u64>,
    /// When it came.
    pub time: SystemTime,
    /// What it ended with, as `plc::handshake::Outcome` names it.
    pub result: &'static str,
    /// Why.
    pub why: &'static str,
    /// When.
    pub ended: SystemTime,
}
