//! What is counted of the PLC, for the metrics.
//!
//! Written by the thread `plc`, read by whoever scrapes. Knows no names of metrics: that is `telemetry`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::handshake::Outcome;

/// Since the process started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Parts that were announced.
    pub triggers: AtomicU64,
    /// Of them, those for which no frame could be told.
    pub missed: AtomicU64,
    /// What parts ended with, in the order of [`Outcome::ALL`].
    pub results: [AtomicU64; Outcome::ALL.len()],
    /// Results that the PLC acknowledged.
    pub acknowledged: AtomicU64,
    /// Results that were not given, or taken back.
    pub withdrawn: AtomicU64,
    /// Parts that were struck.
    pub struck: AtomicU64,
    /// Parts that should have been, and were not.
    pub pulses_missed: AtomicU64,
    /// How often the PLC was lost.
    pub losses: AtomicU64,
    /// Connections that ended for what was sent is no Modbus, or no request that is answered.
    pub garbage: AtomicU64,
    /// Connections from addresses that are not let in, or beyond those there may be.
    pub turned_away: AtomicU64,
    /// Verdicts that found no room on their way.
    pub verdicts_lost: AtomicU64,
    /// The PLC is there, and takes its results.
    pub is_connected: AtomicBool,
    /// A part may come.
    pub is_ready: AtomicBool,
    /// A part is being inspected.
    pub is_busy: AtomicBool,
    /// A result is valid.
    pub is_valid: AtomicBool,
    /// The outputs are in their safe state.
    pub is_safe: AtomicBool,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
