//! What a shift has come to, and which rejects were good parts.
//!
//! Pure. Owns the counts of the shift, the last rejects, and the marks of false ones; what follows from the marks is
//! `proposal`. Bounded: products are the model's, rejects and marks have a most of their own.
//! Invariant: a frame is marked or is not; marking it twice counts once, and unmarking it takes that back.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    proposal::{self, Known},
    shift::Shift,
};
use crate::{
    frame::FrameId,
    record::Record,
    summary::Counts,
    verdict::{Decision, Verdict},
};

/// An hour of a line that refuses one part in a hundred at 30 a second.
const REJECTS_MAX: usize = 1_000;
/// More marks than anybody sets between two calibrations; beyond it the oldest goes.
const MARKS_MAX: usize = 10_000;
/// No frame waits for so long: one that is older says that the clock was put back.
const LATE_MAX: Duration = Duration::from_mins(1);

/// Which parts: those of a camera and a product, or of no known one.
pub type Line = (Arc<str>, Option<Arc<str>>);

/// A part that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// When it was captured.
    pub time: SystemTime,
    /// The product that it was held against; `None` where a new calibration of one would not have let it pass.
    pub product: Option<Arc<str>>,
}

/// All that is counted.
#[derive(Clone, Debug)]
pub struct Figures {
    shift: Shift,
    counts: BTreeMap<Line, Counts>,
    /// The rate of each product at each camera, as its last verdict said; `None` where that is not promised.
    rates: BTreeMap<Line, Option<f64>>,
    rejects: VecDeque<(FrameId, Reject)>,
    marks: BTreeMap<FrameId, Reject>,
    calibrated: BTreeMap<String, SystemTime>,
}

/// A camera's product in a shift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Which parts.
    pub line: Line,
    /// Their verdicts.
    pub counts: Counts,
    /// Those of the shift that were marked as good ones.
    pub false_rejects: u64,
}

/// A recalibration that is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The camera.
    pub camera: Arc<str>,
    /// The product.
    pub product: Arc<str>,
    /// Its false rejects since it was last calibrated.
    pub false_rejects: u64,
    /// Why, and what to do.
    pub text: String,
}

impl Reject {
    /// What a verdict refused; `None` where it did not, or nobody judged.
    pub fn of(verdict: &Verdict, time: SystemTime) -> Option<Self> {
        let nearest = || verdict.recognition.as_ref().map(|nearest| Arc::clone(&nearest.product));
        match verdict.decision {
            Decision::Fail => Some(Self { time, product: nearest() }),
            // With a reason it is a product that may not come by here: no calibration changes that.
            Decision::UnknownProduct => {
                let product = if verdict.reason.is_none() { nearest() } else { None };
                Some(Self { time, product })
            }
            Decision::Pass(_) | Decision::Fault => None,
        }
    }
}

impl Figures {
    /// Nothing, in that shift.
    pub fn new(shift: Shift) -> Self {
        Self {
            shift,
            counts: BTreeMap::new(),
            rates: BTreeMap::new(),
            rejects: VecDeque::new(),
            marks: BTreeMap::new(),
            calibrated: BTreeMap::new(),
        }
    }

    /// The shift that is counted.
    pub fn shift(&self) -> Shift {
        self.shift
    }

    /// Whether that moment is of another shift.
    pub fn is_over(&self, time: SystemTime) -> bool {
        time >= self.shift.until || time + LATE_MAX < self.shift.since
    }

    /// Another shift begins, or the same goes on.
    pub fn roll(&mut self, shift: Shift) {
        if shift != self.shift {
            self.shift = shift;
            self.counts.clear();
        }
    }

    /// A frame has its verdict.
    pub fn count(&mut self, record: &Record) {
        let Record { origin, verdict, .. } = record;
        if let Some(reject) = Reject::of(verdict, origin.time) {
            if self.rejects.len() == REJECTS_MAX {
                self.rejects.pop_front();
            }
            let camera = crate::frame::CameraId(Arc::clone(&origin.camera));
            let id = FrameId { camera, epoch: origin.epoch, number: origin.frame };
            self.rejects.push_back((id, reject));
        }
        // A frame that has waited is the last shift's.
        if origin.time < self.shift.since {
            return;
        }
        let product = match verdict.decision {
            Decision::Pass(_) | Decision::Fail => {
                verdict.recognition.as_ref().map(|nearest| Arc::clone(&nearest.product))
            }
            Decision::UnknownProduct | Decision::Fault => None,
        };
        let line = (Arc::clone(&origin.camera), product);
        if line.1.is_some() {
            let rate = (!verdict.unrated).then_some(verdict.reject_rate);
            self.rates.insert(line.clone(), rate);
        }
        let counts = self.counts.entry(line).or_default();
        match verdict.decision {
            Decision::Pass(_) => counts.pass += 1,
            Decision::Fail => counts.fail += 1,
            Decision::UnknownProduct => counts.unknown_product += 1,
            Decision::Fault => counts.fault += 1,
        }
    }

    /// What was counted in a shift before this process; `false` when that shift is over.
    pub fn add(&mut self, shift: Shift, before: impl IntoIterator<Item = (Line, Counts)>) -> bool {
        if shift != self.shift {
            return false;
        }
        for (line, more) in before {
            let counts = self.counts.entry(line).or_default();
            counts.pass += more.pass;
            counts.fail += more.fail;
            counts.unknown_product += more.unknown_product;
            counts.fault += more.fault;
        }
        true
    }

    /// The reject of that name, where it is among the last ones.
    pub fn reject(&self, id: &FrameId) -> Option<Reject> {
        self.rejects.iter().rev().find(|(other, _)| other == id).map(|(_, reject)| reject.clone())
    }

    /// Whether that frame is marked as a good part.
    pub fn is_false(&self, id: &FrameId) -> bool {
        self.marks.contains_key(id)
    }

    /// Marks a reject as a good part, or takes the mark back; `false` when that was so before.
    pub fn mark(&mut self, id: FrameId, reject: Reject, is_false: bool) -> bool {
        if !is_false {
            return self.marks.remove(&id).is_some();
        }
        if self.is_false(&id) {
            return false;
        }
        if self.marks.len() >= MARKS_MAX {
            let oldest = self.marks.iter().min_by_key(|(_, reject)| reject.time);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.marks.remove(&oldest);
            }
        }
        self.marks.insert(id, reject);
        true
    }

    /// When each product was last calibrated, where that is known: what was refused before says nothing any more.
    pub fn calibrated(&mut self, products: BTreeMap<String, SystemTime>) {
        self.calibrated = products;
    }

    /// The shift's figures, by camera and product.
    pub fn tallies(&self) -> Vec<Tally> {
        let mut marked: BTreeMap<Line, u64> = BTreeMap::new();
        for (id, reject) in &self.marks {
            if self.is_of_shift(reject) {
                let line = (Arc::clone(&id.camera.0), reject.product.clone());
                *marked.entry(line).or_default() += 1;
            }
        }
        let lines = marked.keys().chain(self.counts.keys()).cloned();
        let lines: std::collections::BTreeSet<Line> = lines.collect();
        lines
            .into_iter()
            .map(|line| Tally {
                counts: self.counts.get(&line).copied().unwrap_or_default(),
                false_rejects: marked.get(&line).copied().unwrap_or(0),
                line,
            })
            .collect()
    }

    /// The products that should be calibrated anew.
    pub fn proposals(&self) -> Vec<Proposal> {
        let mut known: BTreeMap<(Arc<str>, Arc<str>), Known> = BTreeMap::new();
        for (id, reject) in &self.marks {
            let Some(product) = &reject.product else { continue };
            let since = self.calibrated.get(&**product);
            if since.is_some_and(|since| reject.time < *since) {
                continue;
            }
            let key = (Arc::clone(&id.camera.0), Arc::clone(product));
            let line = (Arc::clone(&key.0), Some(Arc::clone(&key.1)));
            let counts = self.counts.get(&line).copied().unwrap_or_default();
            let rate = self.rates.get(&line).copied().flatten();
            let known = known.entry(key).or_insert(Known {
                judged: counts.pass + counts.fail,
                in_shift: 0,
                in_all: 0,
                rate,
            });
            known.in_all += 1;
            if self.is_of_shift(reject) {
                known.in_shift += 1;
            }
        }
        known
            .into_iter()
            .filter_map(|((camera, product), mut known)| {
                // Marked parts that were taken for no product were judged as well.
                known.judged = known.judged.max(known.in_shift);
                let why = proposal::propose(&known)?;
                let text = proposal::text(&camera, &product, &known, why);
                Some(Proposal { camera, product, false_rejects: known.in_all, text })
            })
            .collect()
    }

    fn is_of_shift(&self, reject: &Reject) -> bool {
        (self.shift.since..self.shift.until).contains(&reject.time)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::frame::CameraId;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn id(number: u64) -> FrameId {
        FrameId { camera: CameraId("top".into()), epoch: 1, number }
    }

    fn reject(seconds: u64) -> Reject {
        Reject { time: at(seconds), product: Some("cap".into()) }
    }

    fn shift() -> Shift {
        Shift { since: at(1_000), until: at(2_000) }
    }

    fn line() -> Line {
        ("top".into(), Some("cap".into()))
    }

    #[test]
    fn false_rejects_propose_a_calibration_until_there_is_one() {
        let mut figures = Figures::new(shift());
        let before = Counts { pass: 4_000, fail: 60, ..Counts::default() };
        assert!(figures.add(shift(), [(line(), before)]));
        assert!(!figures.add(Shift { since: at(0), until: at(1_000) }, [(line(), before)]));
        for number in 0..proposal::MANY {
            assert_eq!(figures.proposals(), []);
            figures.mark(id(number), reject(1_500), true);
        }
        let proposals = figures.proposals();
        assert_eq!((proposals.len(), proposals[0].false_rejects), (1, 30));
        // The rate is known with the next verdict: 41 of 4060 are explained by it, and less by a lower one.
        for (rate, is_proposed) in [(0.01, false), (0.001, true)] {
            figures.mark(id(0), reject(1_500), false);
            figures.rates.insert(line(), Some(rate));
            assert_eq!(figures.proposals().len(), usize::from(is_proposed), "{rate}");
        }
        figures.calibrated(BTreeMap::from([("cap".into(), at(1_501))]));
        assert_eq!(figures.proposals(), []);
        assert_eq!(figures.tallies()[0].false_rejects, 29);
        figures.roll(Shift { since: at(2_000), until: at(3_000) });
        assert_eq!(figures.tallies(), []);
    }

    #[test]
    fn marks_are_bounded_and_the_oldest_goes() {
        let mut figures = Figures::new(shift());
        for number in 0..MARKS_MAX as u64 + 5 {
            assert!(figures.mark(id(number), reject(number), true));
        }
        assert_eq!(figures.marks.len(), MARKS_MAX);
        assert!(!figures.is_false(&id(4)) && figures.is_false(&id(5)));
    }

    proptest! {
        #[test]
        fn marks_are_a_set(steps in prop::collection::vec((0_u64..8, any::<bool>()), 0..80)) {
            let mut figures = Figures::new(shift());
            let mut twin = BTreeSet::new();
            for (number, is_false) in steps {
                let has_changed =
                    if is_false { twin.insert(number) } else { twin.remove(&number) };
                prop_assert_eq!(figures.mark(id(number), reject(1_500), is_false), has_changed);
                let counted: u64 = figures.tallies().iter().map(|tally| tally.false_rejects).sum();
                prop_assert_eq!(counted, twin.len() as u64);
                for number in 0..8 {
                    prop_assert_eq!(figures.is_false(&id(number)), twin.contains(&number));
                }
            }
        }
    }
}
