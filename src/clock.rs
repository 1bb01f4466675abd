//! Time: the only module that reads a clock.
//!
//! Owns the seam [`Clock`], so that nothing else can depend on the machine's.

use std::time::{Duration, Instant, SystemTime};

/// Processor time that the calling thread has taken so far, in the kernel too.
pub fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // Neither is negative, and nanoseconds are fewer than a second's.
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

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
