//! How the archive goes, for the metrics.
//!
//! Owns the counters: written by the archive and its intake, read at each scrape. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::ledger::evidence::{Bound, Kind, Missing};

/// What came to which end since the process started, and what there is now.
#[derive(Debug, Default)]
pub struct Tally {
    kept: [AtomicU64; Kind::ALL.len()],
    missing: [AtomicU64; Missing::ALL.len()],
    removed: [AtomicU64; Bound::ALL.len()],
    waiting: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    pub(super) fn keep(&self, kind: Kind) {
        self.kept[kind as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn miss(&self, reason: Missing) {
        self.missing[reason as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn remove(&self, bound: Bound) {
        self.removed[bound as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn wait(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    pub(super) fn done(&self) {
        self.waiting.fetch_sub(1, Relaxed);
    }

    pub(super) fn holds(&self, frames: usize, bytes: u64) {
        self.frames.store(frames as u64, Relaxed);
        self.bytes.store(bytes, Relaxed);
    }

    /// Frames whose pictures were written.
    pub fn kept(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Kind::ALL.into_iter().map(|kind| (kind.name(), self.kept[kind as usize].load(Relaxed)))
    }

    /// Frames whose pictures are missing.
    pub fn missing(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let missing = Missing::ALL.into_iter();
        missing.map(|why| (why.name(), self.missing[why as usize].load(Relaxed)))
    }

    /// Frames whose pictures had to go.
    pub fn removed(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Bound::ALL
            .into_iter()
            .map(|bound| (bound.name(), self.removed[bound as usize].load(Relaxed)))
    }

    /// Frames that wait to be encoded or written.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Frames in the archive.
    pub fn frames(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// Bytes that they take of the disk.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}
