//! One camera's handle on the ledger: every number, and what becomes of it.
//!
//! Owns the counters and, where the ledger has a file, the way into the writer's queue. Never waits: a disposition that
//! finds the queue full is remembered as a number, and the writer records the run as soon as it can write again.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crossbeam_channel::Sender;

use super::{
    Balance, DropReason, FaultReason, Unjudged, counters::Counters, settled::Settled, writer::Entry,
};
use crate::{
    frame::CameraId,
    record::{PartRecord, Record},
    verdict::Decision,
};

/// One numbering of one camera. Each number that is captured must be given exactly one disposition later.
#[derive(Debug)]
pub struct Account {
    camera: CameraId,
    epoch: u64,
    counters: Counters,
    journal: Option<Journal>,
}

/// The way into the file.
#[derive(Debug)]
pub(super) struct Journal {
    /// Index of the numbering at the writer.
    pub(super) lane: usize,
    pub(super) entries: Sender<Entry>,
    pub(super) shared: Arc<Shared>,
}

/// What account and writer both look at.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The last number given.
    pub(super) captured: AtomicU64,
    /// Up to this number the file knows that numbers may have been given.
    pub(super) reserved_to: AtomicU64,
    /// From this number on more are wanted.
    pub(super) more_from: AtomicU64,
    /// The writer has been asked for more.
    pub(super) is_asked: AtomicBool,
    /// No verdict waits for its number to be reserved, until the next commit: this one does not come in time.
    pub(super) is_late: AtomicBool,
    /// How often that happened while the file took rows.
    times_late: AtomicU64,
    /// Numbers whose end found the queue full.
    missed: Mutex<Settled>,
}

impl Account {
    /// An account that ends with the process.
    pub fn unrecorded(camera: CameraId, epoch: u64) -> Self {
        Self { camera, epoch, counters: Counters::default(), journal: None }
    }

    pub(super) fn recorded(camera: CameraId, epoch: u64, journal: Journal) -> Self {
        Self { camera, epoch, counters: Counters::default(), journal: Some(journal) }
    }

    /// Whose.
    pub fn camera(&self) -> &CameraId {
        &self.camera
    }

    /// Which numbering.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A frame was given its number.
    pub fn captured(&self, number: u64) {
        self.counters.captured();
        let Some(Journal { entries, shared, .. }) = &self.journal else { return };
        shared.captured.store(number, Ordering::Release);
        let is_low = number >= shared.more_from.load(Ordering::Acquire);
        if is_low && !shared.is_asked.swap(true, Ordering::AcqRel) {
            // Full: the writer cannot write at all, and will reserve when it can.
            let _full = entries.try_send(Entry::Reserve);
        }
    }

    /// What a verdict about that number waits for before it leaves the process; `None` where nothing is recorded.
    pub fn reserving(&self, number: u64) -> Option<Reserving> {
        let shared = Arc::clone(&self.journal.as_ref()?.shared);
        Some(Reserving { camera: self.camera.clone(), number, shared })
    }

    /// A frame has a verdict and its record has been handed over; a verdict `fault` faults it for `reason`.
    pub fn judged(&self, record: Record, reason: Option<FaultReason>) {
        match (record.verdict.decision, reason) {
            (Decision::Fault, reason) => {
                let reason = reason.unwrap_or(FaultReason::Engine);
                self.counters.faulted(reason);
                // What could not be decoded was never seen to be a part.
                if self.counters.is_triggered() && reason != FaultReason::Decode {
                    self.counters.part_missed();
                }
            }
            (Decision::Pass(_) | Decision::Fail | Decision::UnknownProduct, _) => {
                self.counters.judged();
            }
        }
        if let Some(journal) = &self.journal {
            let number = record.origin.frame;
            journal.put(number, Entry::Judged(journal.lane, Box::new(record)));
        }
    }

    /// A part was told. Its frames have their own dispositions: where the queue is full the row is in the log alone.
    pub fn part(&self, record: PartRecord) {
        let Some(Journal { lane, entries, .. }) = &self.journal else { return };
        if let Err(refused) = entries.try_send(Entry::Part(*lane, Box::new(record))) {
            tracing::warn!("the ledger takes no parts: {:?}", refused.into_inner());
        }
    }

    /// A frame was taken out unjudged.
    pub fn dropped(&self, number: u64, reason: DropReason) {
        self.counters.dropped(reason);
        self.unjudged(number, Unjudged::Dropped(reason));
    }

    /// A frame could not be judged, and has no verdict.
    pub fn faulted(&self, number: u64, reason: FaultReason) {
        self.counters.faulted(reason);
        self.unjudged(number, Unjudged::Faulted(reason));
    }

    /// The pipeline says that it lost frames before they could be counted.
    pub fn lost_upstream(&self, frames: u64) {
        self.counters.lost_upstream(frames);
    }

    /// Its frames are chosen by a software trigger: those that are not dropped as untriggered are parts.
    pub fn triggered(&self) {
        self.counters.triggered();
    }

    /// The trigger saw a part.
    pub fn part_seen(&self) {
        self.counters.part_seen();
    }

    /// The part of a frame that was taken out or could not be handed over is not judged.
    pub fn part_missed(&self) {
        self.counters.part_missed();
    }

    /// A part stayed for longer than any does.
    pub fn part_too_long(&self) {
        self.counters.part_too_long();
    }

    /// How things stand.
    pub fn balance(&self) -> Balance {
        self.counters.balance()
    }

    fn unjudged(&self, number: u64, what: Unjudged) {
        if let Some(journal) = &self.journal {
            journal.put(number, Entry::Unjudged(journal.lane, number, what));
        }
    }
}

/// A number that was given, until the file knows that it may have been.
#[derive(Clone, Debug)]
pub struct Reserving {
    camera: CameraId,
    number: u64,
    shared: Arc<Shared>,
}

impl Reserving {
    /// Whether there is nothing to wait for: the number is reserved, or the file does not take it in time.
    pub fn is_over(&self) -> bool {
        self.number <= self.shared.reserved_to.load(Ordering::Acquire)
            || self.shared.is_late.load(Ordering::Acquire)
    }

    /// Waits no longer, and nobody does until the next commit. Told at the first time, the second, the fourth and so on.
    pub fn give_up(&self) {
        if self.shared.is_late.swap(true, Ordering::AcqRel) {
            return;
        }
        let times = self.shared.times_late.fetch_add(1, Ordering::Relaxed) + 1;
        if times.is_power_of_two() {
            let Self { camera, number, .. } = self;
            tracing::warn!(
                %camera,
                number,
                times,
                "verdicts leave before the ledger knows of their numbers: its disk is too slow"
            );
        }
    }
}

impl Journal {
    fn put(&self, number: u64, entry: Entry) {
        if self.entries.try_send(entry).is_err() {
            self.shared.miss(number);
        }
    }
}

impl Shared {
    fn miss(&self, number: u64) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        // Twice the same number would be a bug of the caller's, which the writer finds by its own account.
        let _is_first = missed.add(&(number..=number));
    }

    /// Takes out the numbers that the queue had no place for.
    pub(super) fn take_missed(&self) -> Vec<RangeInclusive<u64>> {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *missed).runs()
    }
}
