//! Good parts that are being collected: what each showed, and what follows from all of them.
//!
//! Pure: no clock, no file, no picture. Owns the numbers of the collected frames and who excluded which.
//! Invariants: a frame that nobody could judge is never collected; never more than were asked for; what is collected
//! stays in the number, whatever becomes of its value.

use std::collections::{BTreeMap, BTreeSet};

use bundle::{
    calibration::{CONFUSED, Calibration, CalibrationError},
    calibration_file::{ForReview, Quantiles, Session},
    spread::Spread,
};

use super::doubt::Middle;
use crate::{judge::appearance::Appearance, verdict::Verdict};

/// Frames of one collection: they support a rate of 2 in 100,001, and take 10 MB.
pub const COUNT_MAX: usize = 100_000;

/// So many of the highest scores are looked at in any case: a bad part among them costs the most.
const HIGHEST: usize = 5;

/// What a good part showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its score.
    pub score: f32,
    /// Its distance from its own product's prototype; [`CONFUSED`] where another is nearer.
    pub distance: f32,
    /// The product that it was taken for, where that is another.
    pub taken_for: Option<String>,
    /// Whether the limits that judge today would refuse it; `None` without any.
    pub is_refused: Option<bool>,
    /// How its picture looks as a whole; `None` of one that is too small.
    pub look: Option<Appearance>,
}

impl Shown {
    /// What a verdict says about a part of that product; `None` where nobody judged it.
    ///
    /// `whole` is the score of the whole frame. The verdict's own may be lower, for a camera may ignore regions and small
    /// defects: a calibration on that would promise too much as soon as the camera ignores less.
    pub fn of(
        verdict: &Verdict,
        whole: f32,
        product: &str,
        look: Option<Appearance>,
    ) -> Option<Self> {
        let judged = verdict.score.filter(|score| score.is_finite())?;
        let score = Some(whole).filter(|score| score.is_finite())?;
        let nearest = verdict.recognition.as_ref().filter(|it| it.distance.is_finite())?;
        let is_own = &*nearest.product == product;
        let distance = if is_own { nearest.distance } else { CONFUSED };
        let limits = verdict.threshold.zip(nearest.radius).filter(|_| is_own);
        let is_refused = limits.map(|(limit, radius)| judged > limit || distance > radius);
        let taken_for = (!is_own).then(|| nearest.product.to_string());
        Some(Self { score, distance, taken_for, is_refused, look })
    }
}

/// A collected frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its number among the frames of the product's calibration.
    pub id: usize,
    /// Which frame of the camera it was, or which file.
    pub frame: String,
    /// What it showed.
    pub shown: Shown,
}

/// A frame that a person should look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubtful<'a> {
    /// The frame.
    pub part: &'a Part,
    /// What is suspicious about it, or why else it should be looked at.
    pub why: String,
    /// Whether it stands out; otherwise it is one of those that set the limit.
    pub is_suspicious: bool,
    /// A person has excluded it.
    pub is_excluded: bool,
}

/// Frames beside those that were collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Nobody could judge them.
    pub faults: u64,
    /// The collection was too slow for them.
    pub missed: u64,
}

/// A number that is no collected frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame {id} is not among the collected ones, {first} to {last}")]
pub struct NotCollected {
    /// The number.
    pub id: usize,
    /// The first that is.
    pub first: usize,
    /// The last that is.
    pub last: usize,
}

/// Good parts of one product.
#[derive(Clone, Debug)]
pub struct Collection {
    product: String,
    wanted: usize,
    first_id: usize,
    parts: Vec<Part>,
    excluded: BTreeSet<usize>,
}

impl Collection {
    /// Nothing is collected yet; at most [`COUNT_MAX`] are ever wanted. `first_id` is the number of the first frame.
    pub fn new(product: impl Into<String>, wanted: usize, first_id: usize) -> Self {
        let (wanted, product) = (wanted.min(COUNT_MAX), product.into());
        Self { product, wanted, first_id, parts: Vec::new(), excluded: BTreeSet::new() }
    }

    /// The product.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// How many frames are wanted.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// Whether there are as many as are wanted.
    pub fn is_full(&self) -> bool {
        self.parts.len() >= self.wanted
    }

    /// Takes a frame: its number, or `None` where there are enough.
    pub fn add(&mut self, frame: String, shown: Shown) -> Option<usize> {
        if self.is_full() {
            return None;
        }
        let id = self.first_id + self.parts.len();
        self.parts.push(Part { id, frame, shown });
        Some(id)
    }

    /// A person has looked: exactly these frames are no good parts. An earlier list is forgotten, so that a mistake can
    /// be undone.
    pub fn exclude(&mut self, ids: &[usize]) -> Result<(), NotCollected> {
        let first = self.first_id;
        let last = first + self.parts.len();
        if let Some(&id) = ids.iter().find(|&id| !(first..last).contains(id)) {
            return Err(NotCollected { id, first, last: last.saturating_sub(1) });
        }
        self.excluded = ids.iter().copied().collect();
        Ok(())
    }

    /// How many a person has excluded.
    pub fn excluded(&self) -> usize {
        self.excluded.len()
    }

    /// The frames that a person should look at: those that stand out, the five highest scores, for they set the limit, and
    /// those that were excluded; by their numbers.
    pub fn doubtful(&self) -> Vec<Doubtful<'_>> {
        let scores: Vec<f32> = self.parts.iter().map(|part| part.shown.score).collect();
        let own = self.parts.iter().filter(|part| part.shown.taken_for.is_none());
        let distances: Vec<f32> = own.map(|part| part.shown.distance).collect();
        let (scores, distances) = (Middle::of(&scores), Middle::of(&distances));
        let mut highest: Vec<&Part> = self.parts.iter().collect();
        highest.sort_by(|a, b| b.shown.score.total_cmp(&a.shown.score).then(a.id.cmp(&b.id)));
        let highest: BTreeSet<usize> = highest.iter().take(HIGHEST).map(|part| part.id).collect();
        let why = |part: &Part| {
            let shown = &part.shown;
            let mut why = Vec::new();
            if let Some(other) = &shown.taken_for {
                why.push(format!("it is nearer to {other}"));
            } else if let Some(z) = distances.and_then(|middle| middle.outlier(shown.distance)) {
                why.push(format!("its distance is {z:.1} robust deviations above the median"));
            }
            if let Some(z) = scores.and_then(|middle| middle.outlier(shown.score)) {
                why.push(format!("its score is {z:.1} robust deviations above the median"));
            }
            let is_suspicious = !why.is_empty();
            if !is_suspicious && highest.contains(&part.id) {
                why.push(format!("its score is among the {HIGHEST} highest"));
            }
            (is_suspicious, why.join("; "))
        };
        let doubtful = |part| {
            let (is_suspicious, why) = why(part);
            let is_excluded = self.excluded.contains(&part.id);
            let doubtful = Doubtful { part, why, is_suspicious, is_excluded };
            (is_excluded || !doubtful.why.is_empty()).then_some(doubtful)
        };
        self.parts.iter().filter_map(doubtful).collect()
    }

    /// How many frames stand out.
    pub fn suspicious(&self) -> usize {
        self.doubtful().iter().filter(|doubtful| doubtful.is_suspicious).count()
    }

    /// Frames whose score and distance are exactly an earlier one's: two pictures of one moment.
    pub fn repeats(&self) -> usize {
        let mut seen = BTreeSet::new();
        let bits = |part: &Part| (part.shown.score.to_bits(), part.shown.distance.to_bits());
        self.parts.iter().filter(|part| !seen.insert(bits(part))).count()
    }

    /// Frames that the limits which judge today would refuse; `None` without any.
    pub fn refused_before(&self) -> Option<usize> {
        let told = || self.parts.iter().filter_map(|part| part.shown.is_refused);
        told().next()?;
        // A part that was taken for another product has no limits of its own, and is refused.
        let confused = self.parts.iter().filter(|part| part.shown.taken_for.is_some()).count();
        Some(told().filter(|&is_refused| is_refused).count() + confused)
    }

    /// The calibration that the frames make.
    pub fn calibration(&self, source: &str) -> Result<Calibration, CalibrationError> {
        let scores = self.parts.iter().map(|part| part.shown.score).collect();
        let distances = self.parts.iter().map(|part| part.shown.distance).collect();
        let excluded = self.parts.iter().filter(|part| self.excluded.contains(&part.id));
        let excluded: Vec<_> = excluded.map(|p| (p.shown.score, p.shown.distance)).collect();
        let all = Calibration::new(scores, distances, source)?;
        let calibration = all.excluding(&excluded).ok_or(CalibrationError::Empty)?;
        let (brightness, focus) = self.look();
        let measured = |spread: Spread| (spread.frames > 0).then_some(spread);
        calibration.with_look(measured(brightness), measured(focus))
    }

    /// Brightness and focus of the frames that nobody excluded.
    pub fn look(&self) -> (Spread, Spread) {
        let kept = || self.parts.iter().filter(|part| !self.excluded.contains(&part.id));
        let looks = || kept().filter_map(|part| part.shown.look);
        let brightness = Spread::of(looks().map(|look| f64::from(look.brightness)));
        (brightness, Spread::of(looks().map(|look| f64::from(look.focus))))
    }

    /// The record of this time; `None` while there is nothing.
    pub fn session(
        &self,
        from: &str,
        [began, ended]: [String; 2],
        every: u64,
        beside: Beside,
    ) -> Option<Session> {
        let ascending = |value: fn(&Shown) -> f32| {
            let mut values: Vec<f32> = self.parts.iter().map(|part| value(&part.shown)).collect();
            values.sort_by(f32::total_cmp);
            Quantiles::of(&values)
        };
        Some(Session {
            from: from.into(),
            began,
            ended,
            frames: self.count(),
            every,
            faults: beside.faults,
            missed: beside.missed,
            repeats: self.repeats(),
            suspicious: self.suspicious(),
            refused_before: self.refused_before(),
            scores: ascending(|shown| shown.score)?,
            distances: ascending(|shown| shown.distance)?,
        })
    }

    /// The doubtful frames as the file lists them; `pictures` are the file names of those that have one.
    pub fn listed(&self, pictures: &BTreeMap<usize, String>) -> Vec<ForReview> {
        let listed = |doubtful: Doubtful<'_>| {
            let Part { id, frame, shown } = doubtful.part;
            ForReview {
                id: *id,
                frame: frame.clone(),
                score: shown.score,
                distance: shown.distance,
                why: doubtful.why,
                picture: pictures.get(id).cloned(),
                excluded: doubtful.is_excluded,
            }
        };
        self.doubtful().into_iter().map(listed).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::verdict::{Decision, Recognition};

    fn verdict(product: &str, score: f32, distance: f32) -> Verdict {
        Verdict {
            decision: Decision::Fail,
            recognition: Some(Recognition { product: product.into(), distance, radius: Some(0.5) }),
            score: Some(score),
            threshold: Some(2.0),
            reason: None,
            ..Verdict::fault(0.01, "")
        }
    }

    fn shown(score: f32, distance: f32) -> Shown {
        Shown::of(&verdict("cap", score, distance), score, "cap", None).unwrap()
    }

    /// Forty normal parts with scores from 1.00 to 1.39.
    fn forty() -> Collection {
        let mut collection = Collection::new("cap", 100, 1);
        for number in 0..40_u16 {
            let x = f32::from(number) / 100.0;
            collection.add(format!("top/1/{number}"), shown(1.0 + x, 0.1 + x / 10.0));
        }
        collection
    }

    #[test]
    fn a_part_that_nobody_judged_is_not_collected_and_another_product_is_confused() {
        let look = Some(Appearance { brightness: 100.0, focus: 3.0 });
        let of = |verdict: &Verdict| Shown::of(verdict, verdict.score.unwrap_or(1.0), "cap", look);
        assert_eq!(of(&Verdict::fault(0.01, "engine")), None);
        assert_eq!(of(&verdict("cap", f32::NAN, 0.1)), None);
        let own = of(&verdict("cap", 1.0, 0.1)).unwrap();
        assert_eq!((own.distance, own.is_refused, own.look), (0.1, Some(false), look));
        assert_eq!(of(&verdict("cap", 2.1, 0.1)).unwrap().is_refused, Some(true));
        assert_eq!(of(&verdict("cap", 1.0, 0.6)).unwrap().is_refused, Some(true));
        // What the camera ignores is not ignored here; whether it would be refused is the judge's own matter.
        let masked = Shown::of(&verdict("cap", 1.0, 0.1), 3.0, "cap", look).unwrap();
        assert_eq!((masked.score, masked.is_refused), (3.0, Some(false)));
        let other = of(&verdict("gear", 1.0, 0.1)).unwrap();
        assert_eq!((other.distance, other.taken_for.as_deref()), (CONFUSED, Some("gear")));
    }

    #[test]
    fn what_is_suspicious_stays_until_a_person_excludes_it() {
        let mut collection = forty();
        assert_eq!(collection.suspicious(), 0);
        // Those that set the limit are shown in any case.
        let listed: Vec<_> = collection.doubtful().iter().map(|d| d.part.id).collect();
        assert_eq!(listed, [36, 37, 38, 39, 40]);
        collection.add("top/1/41".into(), shown(9.0, 0.1));
        let gear = Shown::of(&verdict("gear", 1.1, 0.1), 1.1, "cap", None).unwrap();
        collection.add("top/1/42".into(), gear);
        let doubtful = collection.doubtful().into_iter().filter(|d| d.is_suspicious);
        let told: Vec<_> = doubtful.map(|d| (d.part.id, d.why)).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].0 == 41 && told[0].1.contains("score"), "{told:?}");
        assert!(told[1].0 == 42 && told[1].1.contains("nearer to gear"), "{told:?}");
        let calibration = collection.calibration("test").unwrap();
        assert_eq!((calibration.count(), calibration.confused()), (42, 1));
        assert_eq!(calibration.scores().last(), Some(&9.0));
        collection.exclude(&[41, 42]).unwrap();
        let calibration = collection.calibration("test").unwrap();
        assert_eq!((calibration.count(), calibration.excluded()), (42, 2));
        assert_eq!((calibration.scores().last(), calibration.confused()), (Some(&1.39), 0));
        let refused = collection.exclude(&[41, 43]);
        assert_eq!(refused, Err(NotCollected { id: 43, first: 1, last: 42 }));
        assert_eq!(collection.excluded(), 2);
        // A mistake can be undone, and a frame that nobody suspected can be excluded.
        collection.exclude(&[1]).unwrap();
        let listed = collection.listed(&BTreeMap::from([(41, "41.png".into())]));
        let told: Vec<_> = listed.iter().map(|l| (l.id, l.excluded, l.picture.is_some())).collect();
        let (first, last) = (told.first(), &told[told.len() - 2..]);
        assert_eq!(first, Some(&(1, true, false)));
        assert_eq!(last, [(41, false, true), (42, false, false)]);
    }

    #[test]
    fn the_record_says_how_it_went() {
        let mut collection = forty();
        collection.add("top/1/41".into(), shown(1.0, 0.1));
        let beside = Beside { faults: 2, missed: 1 };
        let session =
            collection.session("camera top", ["a".into(), "b".into()], 5, beside).unwrap();
        assert_eq!((session.frames, session.repeats, session.refused_before), (41, 1, Some(0)));
        assert_eq!((session.faults, session.missed, session.every), (2, 1, 5));
        assert_eq!((session.scores.lowest, session.scores.highest), (1.0, 1.39));
        let nothing = Collection::new("cap", 1, 1);
        assert_eq!(nothing.session("", ["a".into(), "b".into()], 1, beside), None);
        assert!(nothing.calibration("").is_err());
    }

    proptest! {
        #[test]
        fn the_number_is_what_was_collected_whatever_is_excluded(
            values in prop::collection::vec((0.1_f32..9.0, 0.0_f32..1.0, any::<bool>()), 1..60),
            wanted in 1_usize..80,
            first in 1_usize..1000,
        ) {
            let mut collection = Collection::new("cap", wanted, first);
            for (score, distance, _) in &values {
                let is_taken = collection.add("x".into(), shown(*score, *distance)).is_some();
                prop_assert!(is_taken || collection.count() == wanted);
            }
            let count = values.len().min(wanted);
            prop_assert_eq!(collection.count(), count);
            let excluded: Vec<usize> =
                (0..count).filter(|&i| values[i].2).map(|i| first + i).collect();
            collection.exclude(&excluded).unwrap();
            if let Ok(calibration) = collection.calibration("test") {
                prop_assert_eq!(calibration.count(), count);
                prop_assert_eq!(calibration.excluded(), excluded.len());
                prop_assert_eq!(calibration.scores().len(), count - excluded.len());
            } else {
                prop_assert_eq!(excluded.len(), count);
            }
        }
    }
}
