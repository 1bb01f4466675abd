//! The counters of one camera: how many frames came to which end since the process started.
//!
//! Written by the camera's thread and the engine's, read by anybody at any moment. The equation is `balance`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::balance::{Balance, DropReason, FaultReason};

/// One camera's counters. Each number that is captured must be given exactly one disposition later.
#[derive(Debug, Default)]
pub(super) struct Counters {
    captured: AtomicU64,
    judged: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    faulted: [AtomicU64; FaultReason::ALL.len()],
    lost_upstream: AtomicU64,
}

impl Counters {
    /// A frame was given its number.
    pub(super) fn captured(&self) {
        self.captured.fetch_add(1, Ordering::AcqRel);
    }

    /// A frame has a verdict other than `fault`.
    pub(super) fn judged(&self) {
        self.judged.fetch_add(1, Ordering::AcqRel);
    }

    /// A frame was taken out unjudged.
    pub(super) fn dropped(&self, reason: DropReason) {
        self.dropped[reason as usize].fetch_add(1, Ordering::AcqRel);
    }

    /// A frame could not be judged.
    pub(super) fn faulted(&self, reason: FaultReason) {
        self.faulted[reason as usize].fetch_add(1, Ordering::AcqRel);
    }

    /// The pipeline says that it lost frames before they could be counted.
    pub(super) fn lost_upstream(&self, frames: u64) {
        self.lost_upstream.fetch_add(frames, Ordering::AcqRel);
    }

    /// How things stand.
    pub(super) fn balance(&self) -> Balance {
        let load = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        // Dispositions first and captured last: in between a frame may be captured, but none can
        // appear to be judged that was not captured.
        let judged = load(&self.judged);
        let dropped = self.dropped.each_ref().map(load);
        let faulted = self.faulted.each_ref().map(load);
        let lost_upstream = load(&self.lost_upstream);
        Balance { captured: load(&self.captured), judged, dropped, faulted, lost_upstream }
    }
}
