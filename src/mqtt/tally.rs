//! How sending goes, for metrics, page and people.
//!
//! Written by the thread `mqtt`, read by anybody at any moment.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::ledger::outbox::Backlog;

/// How sending goes.
#[derive(Debug, Default)]
pub struct Tally {
    /// The broker, as it was named.
    broker: String,
    is_connected: AtomicBool,
    connections: AtomicU64,
    published: AtomicU64,
    acknowledged: AtomicU64,
    resent: AtomicU64,
    shortened: AtomicU64,
    unheard: AtomicU64,
    gap_frames: AtomicU64,
    backlog_frames: AtomicU64,
    /// Microseconds since 1970; 0 where nothing waits.
    oldest_us: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Tally {
    /// Of a broker.
    pub fn new(broker: String) -> Self {
        Self { broker, ..Self::default() }
    }

    /// The broker, as it was named.
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// Whether it is there.
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Relaxed)
    }

    /// Every counter, with its name and help.
    pub fn counters(&self) -> [(&'static str, &'static str, u64); 7] {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        [
            (
                "mqtt_connections",
                "Connections to the broker that came about",
                of(&self.connections),
            ),
            ("mqtt_published", "Rows of the ledger that were sent, each time", of(&self.published)),
            (
                "mqtt_acknowledged",
                "Rows of the ledger that the broker acknowledged",
                of(&self.acknowledged),
            ),
            (
                "mqtt_resent",
                "Rows that were on their way when a connection ended, and go again",
                of(&self.resent),
            ),
            (
                "mqtt_unheard",
                "Messages that the broker took, and to which nobody was subscribed",
                of(&self.unheard),
            ),
            ("mqtt_shortened", "Messages whose texts had to be cut off", of(&self.shortened)),
            (
                "mqtt_gap_frames",
                "Frames whose rows were no longer kept when they could have been sent",
                of(&self.gap_frames),
            ),
        ]
    }

    /// Frames with a disposition that the broker has not acknowledged.
    pub fn backlog_frames(&self) -> u64 {
        self.backlog_frames.load(Relaxed)
    }

    /// How long the oldest of them has waited.
    pub fn oldest_age(&self, now: SystemTime) -> Duration {
        let oldest = self.oldest_us.load(Relaxed);
        if oldest == 0 {
            return Duration::ZERO;
        }
        let oldest = UNIX_EPOCH + Duration::from_micros(oldest);
        now.duration_since(oldest).unwrap_or_default()
    }

    /// Why nothing is sent; `None` while something is.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn connected(&self) {
        self.is_connected.store(true, Relaxed);
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn lost(&self, resent: usize) {
        self.is_connected.store(false, Relaxed);
        self.resent.fetch_add(resent as u64, Relaxed);
    }

    pub(super) fn published(&self) {
        self.published.fetch_add(1, Relaxed);
    }

    pub(super) fn acknowledged(&self) {
        self.acknowledged.fetch_add(1, Relaxed);
    }

    pub(super) fn shortened(&self) {
        self.shortened.fetch_add(1, Relaxed);
    }

    pub(super) fn unheard(&self) {
        self.unheard.fetch_add(1, Relaxed);
    }

    pub(super) fn gap(&self, frames: u64) {
        self.gap_frames.fetch_add(frames, Relaxed);
    }

    pub(super) fn waiting(&self, backlog: Backlog) {
        self.backlog_frames.store(backlog.frames, Relaxed);
        let oldest = backlog.oldest.and_then(|oldest| oldest.duration_since(UNIX_EPOCH).ok());
        let oldest = oldest.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));
        self.oldest_us.store(oldest, Relaxed);
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
