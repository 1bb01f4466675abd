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

/// The furthest that civil time may leap ahead before it says no longer how old something is: hands that set a clock
/// or a time server mend minutes, a dead battery or a faulty source invents years.
pub const LEAP_MAX: Duration = Duration::from_hours(24);

/// A leap that has stood for so long is right: a board without a battery gets its time from the network after the start,
/// and whoever has set a clock wrong has noticed.
pub const LEAP_BELIEVED_AFTER: Duration = Duration::from_hours(7 * 24);

/// What civil time was when monotonic time was so: tells a leap of the one by the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    monotonic: Duration,
    wall: SystemTime,
    /// Since when civil time has been ahead, in monotonic time.
    leapt: Option<Duration>,
}

impl Epoch {
    /// From now on.
    pub fn begin(clock: &dyn Clock) -> Self {
        Self { monotonic: clock.monotonic(), wall: clock.wall(), leapt: None }
    }

    /// How far civil time has leapt ahead since then, where that is more than [`LEAP_MAX`] and has not stood for
    /// [`LEAP_BELIEVED_AFTER`]: with that it begins anew.
    pub fn leap(&mut self, clock: &dyn Clock) -> Option<Duration> {
        let now = clock.monotonic();
        let passed = now.saturating_sub(self.monotonic);
        // A clock that went back makes nothing older.
        let shown = clock.wall().duration_since(self.wall).unwrap_or_default();
        let leap = Some(shown.saturating_sub(passed)).filter(|leap| *leap > LEAP_MAX);
        self.leapt = leap.and(self.leapt.or(Some(now)));
        if self.leapt.is_some_and(|since| now.saturating_sub(since) >= LEAP_BELIEVED_AFTER) {
            *self = Self::begin(clock);
            return None;
        }
        leap
    }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Seconds of monotonic time, and of civil time since 1970.
        static NOW: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }

    struct Set;

    impl Clock for Set {
        fn monotonic(&self) -> Duration {
            Duration::from_secs(NOW.get().0)
        }

        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.get().1)
        }
    }

    #[test]
    fn a_leap_is_what_civil_time_has_ahead_of_the_time_that_passed() {
        const DAY: u64 = 86_400;
        NOW.set((10, 1_000 * DAY));
        let mut epoch = Epoch::begin(&Set);
        let mut days = |passed: u64, shown: u64| {
            NOW.set((10 + passed * DAY, (1_000 + shown) * DAY));
            epoch.leap(&Set).map(|leap| leap.as_secs() / DAY)
        };
        assert_eq!([days(0, 0), days(400, 400), days(5, 6)], [None; 3]);
        assert_eq!([days(5, 7), days(0, 3_650)], [Some(2), Some(3_650)]);
        // It comes back, or was set back.
        assert_eq!(days(6, 6), None);
        // What stands for a week is right, and what leaps from there is a leap again.
        assert_eq!([days(6, 9), days(12, 15), days(13, 16)], [Some(3), Some(3), None]);
        assert_eq!([days(14, 17), days(14, 20)], [None, Some(3)]);
        NOW.set((10, 0));
        assert_eq!(epoch.leap(&Set), None);
    }
}
