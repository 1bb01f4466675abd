//! Conformal calibration: how normal parts score, and which limits follow from a false-reject rate.
//!
//! Pure. For exchangeable normal frames the p-value `(1 + #{calibration >= value}) / (n + 1)` is at most `rate`
//! with a probability of at most `rate`, whatever the distribution (Vovk, Gammerman, Shafer: Algorithmic Learning
//! in a Random World, 2005, prop. 2.8). Invariants: a limit exists only where the frames can support it; no value
//! in a calibration is NaN.

use serde::{Deserialize, Serialize};

use crate::spread::Spread;

/// A share of good parts that may be refused: at least [`RejectRate::LEAST`], below 1.
///
/// ```
/// use bundle::calibration::RejectRate;
/// assert_eq!(RejectRate::new(0.01).unwrap().get(), 0.01);
/// assert!(RejectRate::new(0.0).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct RejectRate(f64);

/// A number that is no false-reject rate.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a false-reject rate must be at least 0.000001 and less than 1")]
pub struct NotARate;

impl RejectRate {
    /// One part in a million: what two million calibration frames could support.
    pub const LEAST: f64 = 1e-6;

    /// Takes a number from [`Self::LEAST`] up to 1, which is excluded.
    pub fn new(rate: f64) -> Result<Self, NotARate> {
        if (Self::LEAST..1.0).contains(&rate) { Ok(Self(rate)) } else { Err(NotARate) }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// What a good part of one product may show: the joint false-reject budget, spent.
///
/// A rate allows `k = floor(rate (n + 1))` of the ranks among n calibration frames and the part itself to be refused.
/// A tenth of them, at least one, goes to the radius: products stand much further apart than their parts, so that
/// this limit may be wide, while every rank of the score is a smaller defect found. A frame that was taken for another
/// product ([`CONFUSED`]) is refused whatever the radius: each costs a rank of its own, or one mislabelled frame would
/// open the radius to everything. So does a frame that a person excluded: it limits nothing any more, but it stays among
/// the n and counts as refused.
///
/// Why it holds: among the n + 1 frames the rule refuses all that a person would exclude, all that are confused, then
/// the most distant, then the highest-scoring, k in all; it does not depend on their order, so the part is among them
/// with a probability of at most `k / (n + 1)`, whatever the dependence of score and distance. The person has to judge
/// each picture by itself. A score's p-value needs not even that: an excluded frame is above every score, which can
/// only make p-values larger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The largest distance from the prototype that is accepted.
    pub radius: f32,
    /// The highest score that passes.
    pub threshold: f32,
    /// Share of good parts that both refuse at most: k / (n + 1).
    pub refused: f64,
    /// The radius' part of it, which is taken for no known product.
    pub unknown: f64,
}

/// The distance of a good part whose nearest prototype is another product's: the largest that there is.
pub const CONFUSED: f32 = 2.0;

/// The smallest number of calibration frames that supports both limits at a rate: one rank for each, and one for each
/// frame that is refused in any case, because it is confused or was excluded.
pub fn frames_needed(rate: RejectRate, refused: usize) -> usize {
    let least = 2 + refused;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 0, and the cast saturates"
    )]
    let mut need = ((least as f64 / rate.0).floor() as usize).saturating_sub(2);
    while ranks(need, rate) < least {
        need += 1;
    }
    need
}

/// The largest k with `k / (n + 1) <= rate`.
fn ranks(frames: usize, rate: RejectRate) -> usize {
    let all = (frames + 1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 0 and at most n"
    )]
    let mut k = (rate.0 * all).floor() as usize;
    // The product rounds; the p-value's quotient, which the limit must agree with, rounds otherwise.
    while k > 0 && k as f64 / all > rate.0 {
        k -= 1;
    }
    while (k + 1) as f64 / all <= rate.0 {
        k += 1;
    }
    k
}

/// Held-out normal frames of one product, as the model scored them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Calibration {
    /// Ascending.
    scores: Vec<f32>,
    /// From the product's prototype, ascending; [`CONFUSED`] where another prototype was nearer.
    distances: Vec<f32>,
    source: String,
    /// Frames that a person excluded: above every value.
    #[serde(skip_serializing_if = "is_none_excluded")]
    excluded: usize,
    /// How bright the frames were.
    #[serde(skip_serializing_if = "Option::is_none")]
    brightness: Option<Spread>,
    /// How sharp they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    focus: Option<Spread>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_none_excluded(excluded: &usize) -> bool {
    *excluded == 0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    scores: Vec<f32>,
    distances: Vec<f32>,
    source: String,
    #[serde(default)]
    excluded: usize,
    #[serde(default)]
    brightness: Option<Spread>,
    #[serde(default)]
    focus: Option<Spread>,
}

/// A bound against a damaged file: far more than anybody looks at.
const EXCLUDED_MAX: usize = 1_000_000_000;

impl TryFrom<Unchecked> for Calibration {
    type Error = CalibrationError;

    fn try_from(raw: Unchecked) -> Result<Self, CalibrationError> {
        let known = Self::new(raw.scores, raw.distances, raw.source)?;
        if raw.excluded > EXCLUDED_MAX {
            return Err(CalibrationError::TooMany);
        }
        Self { excluded: raw.excluded, ..known }.with_look(raw.brightness, raw.focus)
    }
}

/// Values that are no calibration.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// Nothing to calibrate on.
    #[error("a calibration needs at least one frame")]
    Empty,
    /// Each frame has one of each.
    #[error("{scores} scores but {distances} distances; a calibration frame has one of each")]
    Lengths {
        /// Number of scores.
        scores: usize,
        /// Number of distances.
        distances: usize,
    },
    /// NaN or infinite.
    #[error("a calibration value is not a finite number")]
    NotFinite,
    /// More excluded frames than there can be.
    #[error("a calibration has more excluded frames than anybody can have looked at")]
    TooMany,
}

/// Too few frames for a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{have} calibration frames, {confused} of them nearer to another product and {excluded} excluded, but the \
     false-reject rate needs {need}"
)]
pub struct CalibrationTooSmall {
    /// Frames there are.
    pub have: usize,
    /// Frames among them that were taken for another product.
    pub confused: usize,
    /// Frames among them that a person excluded.
    pub excluded: usize,
    /// Frames that the rate needs when that many are confused and excluded.
    pub need: usize,
}

impl Calibration {
    /// From the scores and distances of the same frames, in any order; `source` says where they came from.
    pub fn new(
        mut scores: Vec<f32>,
        mut distances: Vec<f32>,
        source: impl Into<String>,
    ) -> Result<Self, CalibrationError> {
        if scores.is_empty() {
            return Err(CalibrationError::Empty);
        }
        if scores.len() != distances.len() {
            let (scores, distances) = (scores.len(), distances.len());
            return Err(CalibrationError::Lengths { scores, distances });
        }
        if !scores.iter().chain(&distances).all(|value| value.is_finite()) {
            return Err(CalibrationError::NotFinite);
        }
        scores.sort_by(f32::total_cmp);
        distances.sort_by(f32::total_cmp);
        let source = source.into();
        Ok(Self { scores, distances, source, excluded: 0, brightness: None, focus: None })
    }

    /// With how its frames looked.
    pub fn with_look(
        self,
        brightness: Option<Spread>,
        focus: Option<Spread>,
    ) -> Result<Self, CalibrationError> {
        if ![brightness, focus].into_iter().flatten().all(Spread::is_sound) {
            return Err(CalibrationError::NotFinite);
        }
        Ok(Self { brightness, focus, ..self })
    }

    /// Without the value of some frames, as a person excluded them: they stay in the number. `None` where one of the
    /// frames, each a score and a distance, is not here, or where none would be left.
    #[must_use]
    pub fn excluding(&self, frames: &[(f32, f32)]) -> Option<Self> {
        let mut rest = self.clone();
        for &(score, distance) in frames {
            take(&mut rest.scores, score)?;
            take(&mut rest.distances, distance)?;
            rest.excluded += 1;
        }
        (!rest.scores.is_empty()).then_some(rest)
    }

    /// With the frames of another one of the same product and model; `source` says where all came from.
    #[must_use]
    pub fn joined(mut self, other: Self, source: impl Into<String>) -> Self {
        let both = |a: Option<Spread>, b: Option<Spread>| match (a, b) {
            (Some(a), Some(b)) => Some(a.joined(b)),
            (one, None) | (None, one) => one,
        };
        self.scores.extend(other.scores);
        self.distances.extend(other.distances);
        self.scores.sort_by(f32::total_cmp);
        self.distances.sort_by(f32::total_cmp);
        Self {
            source: source.into(),
            excluded: self.excluded + other.excluded,
            brightness: both(self.brightness, other.brightness),
            focus: both(self.focus, other.focus),
            ..self
        }
    }

    /// Number of frames, those that were excluded among them.
    pub fn count(&self) -> usize {
        self.scores.len() + self.excluded
    }

    /// Frames that a person excluded.
    pub fn excluded(&self) -> usize {
        self.excluded
    }

    /// How bright the frames were; `None` where nobody measured it.
    pub fn brightness(&self) -> Option<Spread> {
        self.brightness
    }

    /// How sharp the frames were; `None` where nobody measured it.
    pub fn focus(&self) -> Option<Spread> {
        self.focus
    }

    /// Where the frames came from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Ascending scores.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Ascending distances.
    pub fn distances(&self) -> &[f32] {
        &self.distances
    }

    /// The conformal p-value of a score.
    pub fn score_p_value(&self, score: f32) -> f64 {
        self.p_value(&self.scores, score)
    }

    /// The conformal p-value of a distance from the prototype.
    pub fn distance_p_value(&self, distance: f32) -> f64 {
        self.p_value(&self.distances, distance)
    }

    /// `(1 + #{calibration >= value}) / (n + 1)` over values in ascending order; what was excluded is above them all.
    fn p_value(&self, ascending: &[f32], value: f32) -> f64 {
        let below = ascending.partition_point(|&calibration| calibration < value);
        (1 + self.count() - below) as f64 / (self.count() + 1) as f64
    }

    /// The limits that hold a false-reject rate.
    pub fn limits(&self, rate: RejectRate) -> Result<Limits, CalibrationTooSmall> {
        let (have, confused, excluded) = (self.count(), self.confused(), self.excluded);
        let need = frames_needed(rate, confused + excluded);
        if have < need {
            return Err(CalibrationTooSmall { have, confused, excluded, need });
        }
        let left = ranks(have, rate) - excluded;
        let of_radius = (left / 10).max(confused + 1);
        Ok(self.limits_at(of_radius, left - of_radius))
    }

    /// Limits that only what is beyond every frame exceeds, but for the confused ones: all that can be done where
    /// [`Self::limits`] refuses. `None` when every frame is confused.
    pub fn outermost_limits(&self) -> Option<Limits> {
        let confused = self.confused();
        (confused < self.scores.len()).then(|| self.limits_at(confused + 1, 1))
    }

    /// The smallest rate that [`Self::limits`] takes.
    pub fn smallest_rate(&self) -> f64 {
        (2 + self.confused() + self.excluded) as f64 / (self.count() as f64 + 1.0)
    }

    /// Frames that were taken for another product, beside those that were excluded.
    pub fn confused(&self) -> usize {
        self.distances.len() - self.distances.partition_point(|&distance| distance < CONFUSED)
    }

    fn limits_at(&self, radius: usize, score: usize) -> Limits {
        // Not empty by construction, and a rank is at most n.
        let at = |ascending: &[f32], rank: usize| ascending[ascending.len().saturating_sub(rank)];
        let share = |ranks: usize| ranks as f64 / (self.count() + 1) as f64;
        Limits {
            radius: at(&self.distances, radius),
            threshold: at(&self.scores, score),
            refused: share(self.excluded + radius + score),
            unknown: share(radius),
        }
    }
}

/// Takes one value out of ascending ones.
fn take(ascending: &mut Vec<f32>, value: f32) -> Option<()> {
    let at = ascending.binary_search_by(|other| other.total_cmp(&value)).ok()?;
    ascending.remove(at);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Distances are a thousandth of the scores.
    fn calibration(scores: Vec<f32>) -> Calibration {
        let distances = scores.iter().map(|score| score / 1000.0).collect();
        Calibration::new(scores, distances, "test").unwrap()
    }

    fn rate(rate: f64) -> RejectRate {
        RejectRate::new(rate).unwrap()
    }

    #[test]
    fn limits_worked_by_hand() {
        let check = |n: u16, share: f64, expected: Option<(f32, f32)>| {
            let found = calibration((1..=n).map(f32::from).collect()).limits(rate(share));
            let found = found.ok().map(|limits| (limits.radius * 1000.0, limits.threshold));
            assert_eq!(found, expected, "{n} {share}");
        };
        // Two ranks, one each: only what is above every frame is refused.
        check(99, 0.02, Some((99.0, 99.0)));
        check(99, 0.0199, None);
        check(99, 0.05, Some((99.0, 96.0)));
        // Forty ranks: a tenth for the radius.
        check(399, 0.1, Some((396.0, 364.0)));
        check(3, 0.5, Some((3.0, 3.0)));
        check(1, 0.5, None);
    }

    #[test]
    fn a_rate_says_how_many_frames_it_needs() {
        let check = |share: f64, expected: usize| {
            assert_eq!(frames_needed(rate(share), 0), expected, "{share}");
        };
        check(0.01, 199);
        check(0.02, 99);
        check(0.001, 1999);
        check(0.999, 2);
        let short = calibration(vec![1.0; 198]).limits(rate(0.01));
        assert_eq!(
            short,
            Err(CalibrationTooSmall { have: 198, confused: 0, excluded: 0, need: 199 })
        );
        assert!(calibration(vec![1.0; 199]).limits(rate(0.01)).is_ok());
        assert!((calibration(vec![1.0; 199]).smallest_rate() - 0.01).abs() < 1e-12);
    }

    #[test]
    fn a_frame_that_was_taken_for_another_product_does_not_open_the_radius() {
        let mut distances = vec![0.1_f32; 398];
        distances.push(CONFUSED);
        let scores: Vec<f32> = (1..=399_u16).map(f32::from).collect();
        let calibration = Calibration::new(scores, distances, "test").unwrap();
        // Eight ranks: the confused frame's, the radius', and six of the score.
        let limits = calibration.limits(rate(0.02)).unwrap();
        assert_eq!((limits.radius, limits.threshold), (0.1, 394.0));
        assert_eq!((limits.refused, limits.unknown), (8.0 / 400.0, 2.0 / 400.0));
        let refused = calibration.limits(rate(0.005));
        assert_eq!(
            refused,
            Err(CalibrationTooSmall { have: 399, confused: 1, excluded: 0, need: 599 })
        );
        assert_eq!(calibration.outermost_limits().map(|limits| limits.radius), Some(0.1));
        let all = Calibration::new(vec![1.0], vec![CONFUSED], "test").unwrap();
        assert_eq!(all.outermost_limits(), None);
    }

    #[test]
    fn an_excluded_frame_limits_nothing_and_costs_a_rank() {
        let scores: Vec<f32> = (1..=149_u16).map(f32::from).collect();
        let calibration = calibration(scores);
        // Three ranks at 2 %: the radius' and two of the score.
        let threshold = calibration.limits(rate(0.02)).map(|limits| limits.threshold);
        assert_eq!(threshold, Ok(148.0));
        let without = calibration.excluding(&[(149.0, 0.149)]).unwrap();
        assert_eq!((without.count(), without.excluded()), (149, 1));
        let limits = without.limits(rate(0.02)).unwrap();
        let Limits { threshold, radius, refused, .. } = limits;
        assert_eq!((threshold, radius, refused), (148.0, 0.148, 3.0 / 150.0));
        // Above every score, so that p-values cannot become smaller.
        let p_values = (without.score_p_value(200.0), without.distance_p_value(0.2));
        assert_eq!(p_values, (2.0 / 150.0, 2.0 / 150.0));
        assert!((without.smallest_rate() - 3.0 / 150.0).abs() < 1e-12);
        let refused = without.limits(rate(0.0199));
        let need = frames_needed(rate(0.0199), 1);
        assert_eq!(refused, Err(CalibrationTooSmall { have: 149, confused: 0, excluded: 1, need }));
        // What is not there, and the last one, cannot be excluded.
        assert_eq!(calibration.excluding(&[(149.5, 0.149)]), None);
        let one = Calibration::new(vec![1.0], vec![0.5], "test").unwrap();
        assert_eq!(one.excluding(&[(1.0, 0.5)]), None);
    }

    #[test]
    fn calibrations_of_one_product_join() {
        let a = Calibration::new(vec![3.0, 1.0], vec![0.3, 0.1], "a").unwrap();
        let a = a.with_look(Some(Spread::of([10.0, 20.0])), None).unwrap();
        let b = Calibration::new(vec![2.0, 9.0], vec![0.2, 0.9], "b").unwrap();
        let b = b.with_look(Some(Spread::of([30.0])), Some(Spread::of([5.0]))).unwrap();
        let both = a.joined(b.excluding(&[(9.0, 0.9)]).unwrap(), "both");
        assert_eq!((both.scores(), both.distances()), (&[1.0, 2.0, 3.0][..], &[0.1, 0.2, 0.3][..]));
        assert_eq!((both.count(), both.excluded(), both.source()), (4, 1, "both"));
        assert_eq!(both.brightness().map(|spread| (spread.frames, spread.mean)), Some((3, 20.0)));
        assert_eq!(both.focus(), Some(Spread::of([5.0])));
    }

    #[test]
    fn what_is_no_calibration_is_refused() {
        assert_eq!(Calibration::new(vec![], vec![], ""), Err(CalibrationError::Empty));
        assert_eq!(
            Calibration::new(vec![f32::NAN], vec![1.0], ""),
            Err(CalibrationError::NotFinite)
        );
        assert_eq!(
            Calibration::new(vec![1.0], vec![], ""),
            Err(CalibrationError::Lengths { scores: 1, distances: 0 })
        );
        for json in [
            r#"{"scores":[1.0],"distances":[],"source":""}"#,
            r#"{"scores":[1.0],"distances":[1.0],"source":"","excluded":18446744073709551615}"#,
            r#"{"scores":[1.0],"distances":[1.0],"source":"","excluded":-1}"#,
            r#"{"scores":[1.0],"distances":[1.0],"source":"","focus":{"frames":0,"mean":1.0,"standard_deviation":1.0}}"#,
            r#"{"scores":[1.0],"distances":[1.0],"source":"","sharpness":1.0}"#,
        ] {
            assert!(serde_json::from_str::<Calibration>(json).is_err(), "{json}");
        }
        // As files were before there was anything to exclude.
        let json = r#"{"scores":[1.0],"distances":[1.0],"source":""}"#;
        let old: Calibration = serde_json::from_str(json).unwrap();
        assert_eq!((old.excluded(), old.brightness()), (0, None));
        assert_eq!(serde_json::to_string(&old).unwrap(), json);
    }

    proptest! {
        #[test]
        fn above_a_limit_both_p_values_add_up_to_the_rate_at_most(
            // Few distinct values, so that there are ties.
            scores in prop::collection::vec((0_u8..20).prop_map(f32::from), 1..300),
            share in prop_oneof![0.001_f64..0.999, RejectRate::LEAST..1e-3],
        ) {
            let calibration = calibration(scores);
            if let Ok(limits) = calibration.limits(rate(share)) {
                let refused = calibration.score_p_value(limits.threshold + 0.5)
                    + calibration.distance_p_value(limits.radius + 0.0005);
                prop_assert!(refused <= share + 1e-12);
            } else {
                prop_assert!(calibration.smallest_rate() > share);
            }
        }

        #[test]
        fn a_frame_of_the_calibration_itself_is_refused_at_most_at_the_rate(
            // Some are confused, and a person would exclude some.
            parts in prop::collection::vec(
                (
                    0.0_f32..1.0,
                    (0.0_f32..1.1).prop_map(|d| if d < 1.0 { d } else { CONFUSED }),
                    prop::bool::weighted(0.03),
                ),
                5..200,
            ),
            share in 0.05_f64..0.5,
        ) {
            // Leave one out: the average over all n is what exchangeability promises, for both limits together.
            let refused = (0..parts.len())
                .filter(|&out| {
                    let mut rest = parts.clone();
                    let (score, distance, is_bad) = rest.remove(out);
                    let scores = rest.iter().map(|part| part.0).collect();
                    let distances = rest.iter().map(|part| part.1).collect();
                    let bad: Vec<_> = rest.iter().filter(|p| p.2).map(|p| (p.0, p.1)).collect();
                    let calibration = Calibration::new(scores, distances, "test").unwrap();
                    let Some(calibration) = calibration.excluding(&bad) else { return false };
                    calibration.limits(rate(share)).is_ok_and(|limits| {
                        is_bad || score > limits.threshold || distance > limits.radius
                    })
                })
                .count();
            prop_assert!(refused as f64 / parts.len() as f64 <= share);
        }

        #[test]
        fn every_value_survives_json(
            pairs in prop::collection::vec((any::<f32>(), any::<f32>()), 1..20),
        ) {
            let (scores, distances): (Vec<f32>, Vec<f32>) =
                pairs.into_iter().filter(|(a, b)| a.is_finite() && b.is_finite()).unzip();
            prop_assume!(!scores.is_empty());
            let before = Calibration::new(scores, distances, "a \"source\"").unwrap();
            let json = serde_json::to_string(&before).unwrap();
            prop_assert_eq!(serde_json::from_str::<Calibration>(&json).unwrap(), before);
        }
    }
}
