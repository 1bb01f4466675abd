//! How production goes: the shift's yield, false rejects, and whether to calibrate anew.
//!
//! Owns the one place where that is counted, beside the engine's thread and read by people. What it was before this
//! process comes from the ledger, read by whoever has one. `shift` says from when to when, `figures` counts, `proposal`
//! judges the false rejects; they are pure.

pub mod figures;
pub mod proposal;
pub mod shift;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    time::{Duration, SystemTime},
};

pub use jiff::tz::TimeZone;

pub use self::figures::{Line, Proposal, Reject, Tally};
use self::{
    figures::Figures,
    shift::{Shift, Starts},
};
use crate::{
    clock::Clock,
    fault::Fault,
    frame::FrameId,
    inspected::{Inspected, Onlooker},
    record::Record,
    summary::Counts,
};

/// Finds a reject in the ledger.
pub type FindReject = dyn Fn(&FrameId) -> Result<Option<Reject>, Fault> + Send + Sync;

/// What is counted since the shift began.
pub struct Production {
    starts: Starts,
    zone: TimeZone,
    clock: Arc<dyn Clock>,
    figures: Mutex<Figures>,
    past: Mutex<Past>,
    find: Option<Box<FindReject>>,
}

/// What is known of the time before this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// Nothing: there is no ledger, or it could not be read.
    Nothing,
    /// The ledger is being read.
    Awaited,
    /// Which frames were marked.
    Marks,
    /// What was counted as well.
    All,
}

/// A shift's figures.
#[derive(Clone, Debug)]
pub struct Told {
    /// From when to when.
    pub shift: Shift,
    /// By camera and product.
    pub tallies: Vec<Tally>,
    /// Whether what was judged before this process is in them.
    pub is_whole: bool,
}

/// Why a mark is not taken.
#[derive(Debug)]
pub enum NotMarked {
    /// There is no such reject.
    NoReject,
    /// The ledger is still being read.
    NotYet,
    /// The ledger cannot be read.
    Fault(Fault),
}

/// A mark that was set or taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The product that it counts for.
    pub product: Option<Arc<str>>,
    /// Whether anything has changed by it.
    pub has_changed: bool,
}

impl Production {
    /// Nothing is counted yet. With `find` there is a ledger, whose [`Self::recall_marks`] and [`Self::recall_counts`]
    /// are awaited.
    pub fn new(
        starts: Starts,
        zone: TimeZone,
        clock: Arc<dyn Clock>,
        find: Option<Box<FindReject>>,
    ) -> Self {
        let shift = starts.around(clock.wall(), &zone);
        let past = if find.is_some() { Past::Awaited } else { Past::Nothing };
        Self {
            starts,
            zone,
            clock,
            figures: Mutex::new(Figures::new(shift)),
            past: Mutex::new(past),
            find,
        }
    }

    /// The shift that goes on.
    pub fn shift(&self) -> Shift {
        self.now().shift()
    }

    /// Frames that were marked before this process.
    pub fn recall_marks(&self, marks: impl IntoIterator<Item = (FrameId, Reject)>) {
        let mut figures = lock(&self.figures);
        for (id, reject) in marks {
            figures.mark(id, reject, true);
        }
        *lock(&self.past) = Past::Marks;
    }

    /// What was counted in that shift before this process.
    pub fn recall_counts(&self, shift: Shift, counts: impl IntoIterator<Item = (Line, Counts)>) {
        // Where that shift is over by now, all of the one that goes on was counted here.
        let _is_of_it = self.now().add(shift, counts);
        *lock(&self.past) = Past::All;
    }

    /// The ledger could not be read.
    pub fn forget(&self) {
        let mut past = lock(&self.past);
        if *past == Past::Awaited {
            *past = Past::Nothing;
        }
    }

    /// When products were last calibrated.
    pub fn calibrated(&self, products: BTreeMap<String, SystemTime>) {
        lock(&self.figures).calibrated(products);
    }

    /// How the shift goes.
    pub fn told(&self) -> Told {
        let figures = self.now();
        let shift = figures.shift();
        let is_whole = *lock(&self.past) == Past::All;
        Told { shift, tallies: figures.tallies(), is_whole }
    }

    /// The products that should be calibrated anew.
    pub fn proposals(&self) -> Vec<Proposal> {
        self.now().proposals()
    }

    /// Whether that frame is marked as a good part.
    pub fn is_false(&self, id: &FrameId) -> bool {
        lock(&self.figures).is_false(id)
    }

    /// Marks a reject as a good part, or takes the mark back. May read the ledger.
    pub fn mark(&self, id: &FrameId, is_false: bool) -> Result<Marked, NotMarked> {
        if *lock(&self.past) == Past::Awaited {
            return Err(NotMarked::NotYet);
        }
        let recent = lock(&self.figures).reject(id);
        let reject = match (recent, &self.find) {
            (Some(reject), _) => reject,
            (None, Some(find)) => find(id).map_err(NotMarked::Fault)?.ok_or(NotMarked::NoReject)?,
            (None, None) => return Err(NotMarked::NoReject),
        };
        let product = reject.product.clone();
        let has_changed = lock(&self.figures).mark(id.clone(), reject, is_false);
        Ok(Marked { product, has_changed })
    }

    /// The figures, of the shift that it is now.
    fn now(&self) -> MutexGuard<'_, Figures> {
        let now = self.clock.wall();
        let mut figures = lock(&self.figures);
        if figures.is_over(now) {
            figures.roll(self.starts.around(now, &self.zone));
        }
        figures
    }

    fn count(&self, figures: &mut Figures, record: &Record) {
        let time = record.origin.time;
        if figures.is_over(time) {
            figures.roll(self.starts.around(time, &self.zone));
        }
        figures.count(record);
    }
}

/// Verdicts that wait for the figures while somebody reads them: half a minute of a camera with 30 frames a second.
const WAITING_MAX: usize = 1_024;

/// The engine's thread's end: sees every verdict and wants no picture. It waits for nobody who reads the figures: what
/// comes meanwhile is counted with the next verdict.
pub struct Counting {
    production: Arc<Production>,
    waiting: VecDeque<Record>,
}

impl Counting {
    /// Counts into these figures.
    pub fn new(production: Arc<Production>) -> Self {
        Self { production, waiting: VecDeque::new() }
    }
}

impl Onlooker for Counting {
    fn wants(&mut self, record: &Record) -> bool {
        let figures = match self.production.figures.try_lock() {
            Ok(figures) => Some(figures),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        match figures {
            Some(mut figures) => {
                for waited in self.waiting.drain(..) {
                    self.production.count(&mut figures, &waited);
                }
                self.production.count(&mut figures, record);
            }
            None if self.waiting.len() < WAITING_MAX => self.waiting.push_back(record.clone()),
            None => tracing::error!("the shift's figures lack a verdict; please report it"),
        }
        false
    }

    fn show(&mut self, _inspected: &Arc<Inspected>) {}

    fn close(mut self: Box<Self>, _within: Duration) -> Result<(), Fault> {
        let mut figures = lock(&self.production.figures);
        for waited in self.waiting.drain(..) {
            self.production.count(&mut figures, &waited);
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SystemClock,
        record::{ModelLabel, Origin},
        verdict::Verdict,
    };

    #[test]
    fn a_verdict_waits_for_nobody_who_reads_and_is_counted_all_the_same() {
        let clock = Arc::new(SystemClock::start());
        let production =
            Arc::new(Production::new(Starts::default(), TimeZone::UTC, clock.clone(), None));
        let mut counting = Box::new(Counting::new(Arc::clone(&production)));
        let model = ModelLabel { name: "tiny".into(), version: "1".into(), sha256: String::new() };
        let record = Record {
            origin: Origin {
                camera: "top".into(),
                epoch: 1,
                frame: 1,
                file: None,
                plc_part: None,
                time: clock.wall(),
                pts: None,
                latency: Duration::ZERO,
                inference: None,
            },
            model: Arc::new(model),
            verdict: Verdict::fault(0.01, "decode"),
        };
        let faults =
            || -> u64 { production.told().tallies.iter().map(|tally| tally.counts.fault).sum() };
        let reader = lock(&production.figures);
        for _ in 0..3 {
            // Were it to wait, it would wait for ever.
            assert!(!counting.wants(&record));
        }
        drop(reader);
        assert_eq!(faults(), 0);
        counting.wants(&record);
        assert_eq!(faults(), 4);
        let reader = lock(&production.figures);
        counting.wants(&record);
        drop(reader);
        counting.close(Duration::ZERO).unwrap();
        assert_eq!(faults(), 5);
    }
}
