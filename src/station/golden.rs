//! When the golden frames of a running line are run, and whether its engine is trusted meanwhile.
//!
//! Pure: time and outcomes come in. Owns the rule that an engine which once deviated judges nothing until a whole run
//! agrees. Knows no engine: the worker runs the frames.

use std::time::Duration;

use crate::engine::Deviations;

/// How long after a refusal the golden frames are run again.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// When the golden frames are run, and how it goes.
pub(super) struct Golden {
    pub(super) every: Duration,
    due: Duration,
    /// The next frame of a run, and the worst of those before it.
    run: Option<(usize, Deviations)>,
    /// Why the engine is not trusted.
    refusal: Option<String>,
}

impl Golden {
    pub(super) fn new(every: Duration, now: Duration) -> Self {
        Self { every, due: now.saturating_add(every), run: None, refusal: None }
    }

    pub(super) fn begin(&mut self) {
        self.run.get_or_insert_default();
    }

    pub(super) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// The golden frame to run now.
    pub(super) fn next(&mut self, now: Duration, frames: usize) -> Option<usize> {
        if now >= self.due {
            self.begin();
        }
        self.run.map(|(index, _)| index).filter(|index| *index < frames)
    }

    /// One agrees; the deviations of the whole run when it was the last.
    pub(super) fn agrees(
        &mut self,
        deviation: Deviations,
        now: Duration,
        frames: usize,
    ) -> Option<Deviations> {
        let (index, worst) = self.run.take()?;
        let worst = worst.worse(deviation);
        if index + 1 < frames {
            self.run = Some((index + 1, worst));
            return None;
        }
        self.due = now + self.every;
        self.refusal = None;
        Some(worst)
    }

    /// One does not: nothing is judged until a whole run agrees, which is tried soon.
    pub(super) fn refused(&mut self, now: Duration, why: String) {
        self.run = None;
        self.refusal = Some(why);
        self.due = now + self.every.min(AGAIN_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_refusal_only_a_whole_run_restores_trust() {
        let secs = Duration::from_secs;
        let of = |score| Deviations { frames: 1, score, ..Deviations::default() };
        let mut golden = Golden::new(secs(3_600), secs(0));
        assert_eq!(golden.next(secs(3_599), 2), None);
        assert_eq!(golden.next(secs(3_600), 2), Some(0));
        assert_eq!(golden.agrees(of(0.2), secs(3_600), 2), None);
        assert_eq!(golden.next(secs(3_601), 2), Some(1));
        let all = golden.agrees(of(0.1), secs(3_601), 2).unwrap();
        assert_eq!((all.frames, all.score), (2, 0.2));
        assert_eq!(golden.next(secs(3_602), 2), None);
        // On request, and refused: tried again soon, and one frame that agrees is not enough.
        golden.begin();
        assert_eq!(golden.next(secs(3_603), 2), Some(0));
        golden.refused(secs(3_603), "it deviates".into());
        assert!(!golden.is_running() && golden.refusal() == Some("it deviates"));
        assert_eq!(golden.next(secs(3_612), 2), None);
        assert_eq!(golden.next(secs(3_613), 2), Some(0));
        assert_eq!(golden.agrees(of(0.0), secs(3_613), 2), None);
        assert!(golden.refusal().is_some());
        assert!(golden.agrees(of(0.0), secs(3_614), 2).is_some());
        assert_eq!(golden.refusal(), None);
    }
}
