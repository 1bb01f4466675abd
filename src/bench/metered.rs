//! The engine that all measured stations share, with a meter around each inference.
//!
//! One session serves every measurement: sessions that are built anew differ by chance in where their memory lies. The
//! station's engine thread comes by here once per frame, so that what it spent between two visits, less what the
//! network took, is our own code for one frame, all of it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bundle::geometry::{RgbView, Size};

use crate::{
    clock::{Clock, thread_cpu},
    engine::{Engine, EngineError, Inference, Verified, meter},
};

/// Durations that are kept; a longer run needs no more to know its quantiles.
pub(super) const KEPT_MAX: usize = 100_000;

/// The engine and what was seen of it.
pub(super) struct Metered {
    engine: Verified,
    clock: Arc<dyn Clock>,
    visits: Visits,
}

/// What was seen since the last [`Lent::begin`].
#[derive(Clone, Debug, Default)]
pub(super) struct Visits {
    /// When the engine's thread came by, on the monotonic clock.
    pub(super) at: Vec<Duration>,
    /// Between two visits: the thread's processor time outside the network.
    pub(super) own: Vec<Duration>,
    /// How many are kept.
    kept_max: usize,
    /// The thread's processor time, and the network's part of it, at the last visit.
    last: Option<[Duration; 2]>,
}

/// The engine as a station gets it.
#[derive(Clone)]
pub(super) struct Lent(Arc<Mutex<Metered>>);

impl Lent {
    pub(super) fn of(engine: Verified, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Mutex::new(Metered { engine, clock, visits: Visits::default() })))
    }

    /// Forgets what was seen: another station begins, of which so many visits are kept.
    pub(super) fn begin(&self, kept_max: usize) {
        self.with(|metered| metered.visits = Visits { kept_max, ..Visits::default() });
    }

    /// What was seen.
    pub(super) fn visits(&self) -> Visits {
        self.with(|metered| std::mem::take(&mut metered.visits))
    }

    /// Never contended: one thread of one station at a time.
    fn with<T>(&self, act: impl FnOnce(&mut Metered) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Engine for Lent {
    fn input_size(&self) -> Size {
        self.with(|metered| metered.engine.input_size())
    }

    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError> {
        self.with(|metered| {
            metered.visits.note(metered.clock.monotonic(), [thread_cpu(), meter::spent()]);
            metered.engine.infer(input)
        })
    }
}

impl Visits {
    fn note(&mut self, now: Duration, spent: [Duration; 2]) {
        if self.at.len() < self.kept_max {
            self.at.push(now);
            if let Some([cpu, network]) = self.last {
                let between = spent[0].saturating_sub(cpu);
                self.own.push(between.saturating_sub(spent[1].saturating_sub(network)));
            }
        }
        self.last = Some(spent);
    }

    /// Frames per second from the first visit on, without the first `warm_up`.
    pub(super) fn rate(&self, warm_up: usize) -> Option<f64> {
        let at = self.at.get(warm_up..)?;
        let (first, last) = (at.first()?, at.last()?);
        let seconds = last.saturating_sub(*first).as_secs_f64();
        (seconds > 0.0).then(|| (at.len() - 1) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_code_is_what_the_thread_spent_outside_the_network() {
        let millis = Duration::from_millis;
        let mut visits = Visits { kept_max: 3, ..Visits::default() };
        visits.note(millis(0), [millis(5), millis(0)]);
        visits.note(millis(20), [millis(18), millis(12)]);
        visits.note(millis(40), [millis(33), millis(25)]);
        assert_eq!(visits.own, [millis(1), millis(2)]);
        assert_eq!(visits.rate(0), Some(50.0));
        visits.note(millis(60), [millis(50), millis(40)]);
        assert_eq!((visits.at.len(), visits.own.len()), (3, 2), "no more are kept than are wanted");
        assert_eq!(visits.rate(2), None);
    }
}
