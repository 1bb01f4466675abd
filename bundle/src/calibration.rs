//! Conformal calibration: how normal parts score, and which limits follow from a false-reject rate.
//!
//! Pure. For exchangeable normal frames the p-value `(1 + #{calibration >= value}) / (n + 1)` is at most `rate`
//! with a probability of at most `rate`, whatever the distribution (Vovk, Gammerman, Shafer: Algorithmic Learning
//! in a Random World, 2005, prop. 2.8). Invariants: a limit exists only where the frames can support it; no value
//! in a calibration is NaN.

use serde::{Deserialize, Serialize};

/// A share of good parts that may be refused: above 0, below 1.
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
#[error("a false-reject rate must lie between 0 and 1, both excluded")]
pub struct NotARate;

impl RejectRate {
    /// Takes a number between 0 and 1, both excluded.
    pub fn new(rate: f64) -> Result<Self, NotARate> {
        if rate > 0.0 && rate < 1.0 { Ok(Self(rate)) } else { Err(NotARate) }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// The false-reject rate of the operator, split between the two ways to refuse a good part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// A good part being refused at all.
    pub total: RejectRate,
    /// Being refused as an unknown product.
    pub radius: RejectRate,
    /// Being refused for its score.
    pub score: RejectRate,
}

impl Budget {
    /// Half for the radius, half for the score: by the union bound the sum holds whatever their dependence.
    pub fn split(total: RejectRate) -> Self {
        let half = RejectRate(total.0 / 2.0);
        Self { total, radius: half, score: half }
    }

    /// The smallest number of calibration frames that supports both shares.
    pub fn frames_needed(&self) -> usize {
        let rate = self.radius.0.min(self.score.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least 0, and the cast saturates"
        )]
        let mut need = ((1.0 / rate).floor() as usize).saturating_sub(2);
        while 1.0 / (need as f64 + 1.0) > rate {
            need += 1;
        }
        need
    }
}

/// `(1 + #{calibration >= value}) / (n + 1)` over values in ascending order.
pub fn p_value(ascending: &[f32], value: f32) -> f64 {
    let below = ascending.partition_point(|&calibration| calibration < value);
    (1 + ascending.len() - below) as f64 / (ascending.len() + 1) as f64
}

/// Held-out normal frames of one product, as the model scored them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Calibration {
    /// Ascending.
    scores: Vec<f32>,
    /// From the product's prototype, ascending; 2 where another prototype was nearer.
    distances: Vec<f32>,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    scores: Vec<f32>,
    distances: Vec<f32>,
    source: String,
}

impl TryFrom<Unchecked> for Calibration {
    type Error = CalibrationError;

    fn try_from(raw: Unchecked) -> Result<Self, CalibrationError> {
        Self::new(raw.scores, raw.distances, raw.source)
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
}

/// Too few frames for a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{have} calibration frames, but the false-reject rate needs {need}")]
pub struct CalibrationTooSmall {
    /// Frames there are.
    pub have: usize,
    /// Frames that the rate needs.
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
        Ok(Self { scores, distances, source: source.into() })
    }

    /// Number of frames.
    pub fn count(&self) -> usize {
        self.scores.len()
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
        p_value(&self.scores, score)
    }

    /// The conformal p-value of a distance from the prototype.
    pub fn distance_p_value(&self, distance: f32) -> f64 {
        p_value(&self.distances, distance)
    }

    /// The score above which the p-value is at most `rate`; `None` when the frames are too few.
    pub fn score_threshold(&self, rate: RejectRate) -> Option<f32> {
        limit(&self.scores, rate)
    }

    /// The distance above which the p-value is at most `rate`; `None` when the frames are too few.
    pub fn radius(&self, rate: RejectRate) -> Option<f32> {
        limit(&self.distances, rate)
    }

    /// Whether both limits of the budget exist.
    pub fn supports(&self, budget: &Budget) -> Result<(), CalibrationTooSmall> {
        let (have, need) = (self.count(), budget.frames_needed());
        if have >= need { Ok(()) } else { Err(CalibrationTooSmall { have, need }) }
    }
}

/// The k-th largest value, k the largest count with `k / (n + 1) <= rate`: what is above it has at most k - 1
/// calibration values at or above itself.
fn limit(ascending: &[f32], rate: RejectRate) -> Option<f32> {
    let ranks = (ascending.len() + 1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 0 and at most n"
    )]
    let mut k = (rate.0 * ranks).floor() as usize;
    // The product rounds; the p-value's quotient, which the limit must agree with, rounds otherwise.
    while k > 0 && k as f64 / ranks > rate.0 {
        k -= 1;
    }
    while (k + 1) as f64 / ranks <= rate.0 {
        k += 1;
    }
    let index = ascending.len().checked_sub(k)?;
    ascending.get(index).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calibration(scores: Vec<f32>) -> Calibration {
        let distances = scores.clone();
        Calibration::new(scores, distances, "test").unwrap()
    }

    fn rate(rate: f64) -> RejectRate {
        RejectRate::new(rate).unwrap()
    }

    #[test]
    fn limits_worked_by_hand() {
        let check = |n: u16, share: f64, expected: Option<f32>| {
            let scores = (1..=n).map(f32::from).collect();
            assert_eq!(calibration(scores).score_threshold(rate(share)), expected, "{n} {share}");
        };
        // 1 / (n + 1) is the smallest rate: only what is above every frame fails.
        check(99, 0.01, Some(99.0));
        check(99, 0.0099, None);
        check(99, 0.05, Some(95.0));
        check(9, 0.1, Some(9.0));
        check(1, 0.5, Some(1.0));
    }

    #[test]
    fn the_budget_says_how_many_frames_it_needs() {
        let check = |total: f64, expected: usize| {
            let budget = Budget::split(rate(total));
            assert_eq!(budget.frames_needed(), expected, "{total}");
        };
        check(0.01, 199);
        check(0.02, 99);
        check(0.001, 1999);
        check(0.999, 2);
        let short = calibration(vec![1.0; 198]).supports(&Budget::split(rate(0.01)));
        assert_eq!(short, Err(CalibrationTooSmall { have: 198, need: 199 }));
        assert!(calibration(vec![1.0; 199]).supports(&Budget::split(rate(0.01))).is_ok());
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
        let json = r#"{"scores":[1.0],"distances":[],"source":""}"#;
        assert!(serde_json::from_str::<Calibration>(json).is_err());
    }

    proptest! {
        #[test]
        fn above_the_limit_is_the_same_as_a_p_value_within_the_rate(
            // Few distinct values, so that there are ties.
            scores in prop::collection::vec((0_u8..20).prop_map(f32::from), 1..300),
            value in (0_u8..22).prop_map(f32::from),
            share in 0.001_f64..0.999,
        ) {
            let calibration = calibration(scores);
            let p = calibration.score_p_value(value);
            match calibration.score_threshold(rate(share)) {
                Some(limit) => prop_assert_eq!(value > limit, p <= share),
                None => prop_assert!(p > share),
            }
        }

        #[test]
        fn a_frame_of_the_calibration_itself_is_refused_at_most_at_the_rate(
            scores in prop::collection::vec(0.0_f32..1.0, 2..200),
            share in 0.01_f64..0.5,
        ) {
            // Leave one out: the average over all n is what exchangeability promises.
            let refused = (0..scores.len())
                .filter(|&out| {
                    let mut rest = scores.clone();
                    let value = rest.remove(out);
                    calibration(rest).score_p_value(value) <= share
                })
                .count();
            prop_assert!(refused as f64 / scores.len() as f64 <= share);
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
