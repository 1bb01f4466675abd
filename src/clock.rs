//! Time: the only module that reads a clock.
//!
//! Owns the seam [`Clock`], so that what depends on time can be tested without waiting.

use std::{
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

/// A source of time.
pub trait Clock: Send + Sync {
    /// Time since this clock was started; never goes back.
    fn monotonic(&self) -> Duration;

    /// Civil time; may jump.
    fn wall(&self) -> SystemTime;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts counting now.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct SimulatedClock {
    elapsed: Mutex<Duration>,
}

impl SimulatedClock {
    /// Moves time on.
    pub fn advance(&self, by: Duration) {
        *self.elapsed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += by;
    }
}

impl Clock for SimulatedClock {
    fn monotonic(&self) -> Duration {
        *self.elapsed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }
}
