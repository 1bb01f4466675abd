//! When a camera that was lost is tried again, and when that is left to whoever restarts the process.
//!
//! Pure: no clock, no thread, no GStreamer. The supervisor sleeps what comes out of here.

use std::time::Duration;

use crate::backoff;

/// How a live camera is watched and tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Silence of this length is a failure; a triggered camera's longest pause has to be shorter.
    pub stall_after: Duration,
    /// The same picture for this long is a failure: a sensor's noise never repeats.
    pub frozen_after: Duration,
    /// The wait before the first new attempt; each further one waits twice as long.
    pub first_wait: Duration,
    /// No wait is longer.
    pub wait_max: Duration,
    /// Frames for this long make it a healthy camera, whose next failure is a first one again.
    pub healthy_after: Duration,
    /// Without a frame for this long the process is to be restarted; `None` for never.
    pub give_up_after: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            stall_after: Duration::from_secs(10),
            frozen_after: Duration::from_mins(1),
            first_wait: Duration::from_secs(1),
            wait_max: Duration::from_secs(30),
            healthy_after: Duration::from_mins(1),
            give_up_after: None,
        }
    }
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait, then let the same elements play again.
    Restart(Duration),
    /// Wait, then build the pipeline anew.
    Rebuild(Duration),
    /// Nothing helped: the process ends with the camera's exit code.
    GiveUp,
}

/// The failures of one camera since it was last healthy.
#[derive(Clone, Debug)]
pub struct Reconnect {
    policy: Policy,
    failures: u32,
    without_frames: Duration,
}

impl Reconnect {
    /// Nothing has failed yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, failures: 0, without_frames: Duration::ZERO }
    }

    /// After an attempt that took `lasted`, in which frames came for `healthy`. `jitter` is from 0 to 1, by chance: cameras
    /// that fail together must not come back together.
    pub fn next(&mut self, lasted: Duration, healthy: Duration, jitter: f64) -> Next {
        let Policy { first_wait, wait_max, healthy_after, give_up_after, .. } = self.policy;
        if healthy >= healthy_after {
            self.failures = 0;
        }
        if healthy > Duration::ZERO {
            self.without_frames = Duration::ZERO;
        }
        self.without_frames += lasted.saturating_sub(healthy);
        if give_up_after.is_some_and(|limit| self.without_frames >= limit) {
            return Next::GiveUp;
        }
        let wait = backoff::wait(first_wait, wait_max, self.failures, jitter);
        self.without_frames += wait;
        self.failures = self.failures.saturating_add(1);
        // Once the elements that are there; a driver or a server in a bad state may want new ones.
        if self.failures == 1 { Next::Restart(wait) } else { Next::Rebuild(wait) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn waits_double_to_their_limit_and_begin_anew_after_a_healthy_minute() {
        let mut reconnect = Reconnect::new(Policy::default());
        let mut next = |healthy| reconnect.next(secs(healthy), secs(healthy), 0.5);
        assert_eq!(next(0), Next::Restart(secs(1)));
        let waits: Vec<_> = (0..6).map(|_| next(0)).collect();
        assert_eq!(waits, [2, 4, 8, 16, 30, 30].map(|wait| Next::Rebuild(secs(wait))));
        // Half a minute of frames is no health yet.
        assert_eq!(next(30), Next::Rebuild(secs(30)));
        assert_eq!(next(60), Next::Restart(secs(1)));
    }

    #[test]
    fn the_process_is_left_to_its_restarter_when_nothing_came_for_long() {
        let policy = Policy { give_up_after: Some(secs(100)), ..Policy::default() };
        let mut reconnect = Reconnect::new(policy);
        let mut attempts = 0;
        while reconnect.next(secs(10), Duration::ZERO, 0.5) != Next::GiveUp {
            attempts += 1;
        }
        // 10 + 1 + 10 + 2 + 10 + 4 + 10 + 8 + 10 + 16 + 10 = 91, then 30 more of waiting.
        assert_eq!(attempts, 6);
        // A frame in between takes all that back.
        assert_ne!(reconnect.next(secs(10), secs(1), 0.5), Next::GiveUp);
    }

    proptest! {
        #[test]
        fn every_wait_is_bounded_and_never_for_ever(attempts in prop::collection::vec((0_u64..200, 0_u64..200, 0.0..1.0), 1..200)) {
            let policy = Policy::default();
            let mut reconnect = Reconnect::new(policy);
            for (lasted, healthy, jitter) in attempts {
                match reconnect.next(secs(lasted.max(healthy)), secs(healthy), jitter) {
                    Next::Restart(wait) | Next::Rebuild(wait) => {
                        prop_assert!(wait <= policy.wait_max);
                        prop_assert!(wait >= policy.first_wait.mul_f64(0.75));
                    }
                    Next::GiveUp => prop_assert!(false, "nobody allowed that"),
                }
            }
        }
    }
}
