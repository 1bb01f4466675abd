//! The counters of one camera: how many frames came to which end since the process started.
//!
//! Written by the camera's thread and the engine's, read by anybody at any moment. The equation is `balance`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::balance::{Balance, DropReason, FaultReason, Parts};

/// One camera's counters. Each number that is captured must be given exactly one disposition later.
#[derive(Debug, Default)]
pub(super) struct Counters {
    captured: AtomicU64,
    judged: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    faulted: [AtomicU64; FaultReason::ALL.len()],
    lost_upstream: AtomicU64,
    is_triggered: AtomicBool,
    parts_seen: AtomicU64,
    parts_missed: AtomicU64,
    parts_too_long: AtomicU64,
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

    /// Its frames are chosen by a software trigger.
    pub(super) fn triggered(&self) {
        self.is_triggered.store(true, Ordering::Release);
    }

    /// Whether its frames are chosen by a software trigger.
    pub(super) fn is_triggered(&self) -> bool {
        self.is_triggered.load(Ordering::Acquire)
    }

    /// The trigger saw a part.
    pub(super) fn part_seen(&self) {
        self.parts_seen.fetch_add(1, Ordering::AcqRel);
    }

    /// A part that it saw was not judged.
    pub(super) fn part_missed(&self) {
        self.parts_missed.fetch_add(1, Ordering::AcqRel);
    }

    /// A part stayed for longer than any does.
    pub(super) fn part_too_long(&self) {
        self.parts_too_long.fetch_add(1, Ordering::AcqRel);
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
        let parts = self.is_triggered().then(|| Parts {
            missed: load(&self.parts_missed),
            too_long: load(&self.parts_too_long),
            seen: load(&self.parts_seen),
        });
        Balance { captured: load(&self.captured), judged, dropped, faulted, lost_upstream, parts }
    }
}
