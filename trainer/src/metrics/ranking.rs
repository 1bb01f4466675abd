//! Scores of normal and anomalous things in descending order, and the metrics that follow from their order.
//!
//! Pure and exact, ties included: whoever scores the same is decided together. Owns the sweep over thresholds that
//! all of the field's metrics share; each metric is one way to add up its steps. Of images and of pixels alike: an
//! anomalous image is a region of one.
//! Cost: eight bytes a score and one sort; a thousand maps of 256 x 256 are 65 million scores, half a gigabyte.

use rayon::slice::ParallelSliceMut as _;

use super::Regions;

/// The false-positive rate to which the per-region overlap is integrated, the MVTec AD evaluation's.
pub const FPR_MAX: f64 = 0.3;

/// Scores as they come; [`Scores::rank`] puts them in order.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// The score in the high half, so that the order of the keys is that of the scores; in the low half 0 for what is
    /// normal, else the region from 1.
    keys: Vec<u64>,
    /// For each region one divided by its size.
    shares: Vec<f64>,
    has_nan: bool,
}

/// Anomalous and normal scores in order; there are some of both, and none is NaN.
///
/// ```
/// use trainer::metrics::Scores;
/// let mut scores = Scores::default();
/// for (score, is_anomalous) in [(0.9, true), (0.4, true), (0.1, false), (0.5, false)] {
///     scores.add(score, is_anomalous);
/// }
/// assert_eq!(scores.rank().unwrap().auroc(), 0.75);
/// ```
#[derive(Clone, Debug)]
pub struct Ranking {
    /// Ascending; see [`Scores`].
    keys: Vec<u64>,
    shares: Vec<f64>,
    positives: u64,
    negatives: u64,
}

/// The best balance of precision and recall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct F1Max {
    /// The harmonic mean of precision and recall, 0 to 1.
    pub f1: f64,
    /// The score from which on everything is called anomalous.
    pub threshold: f32,
}

/// What is called anomalous from one threshold on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Scores of this value belong to the step.
    pub threshold: f32,
    /// Anomalous scores at or above it.
    pub true_positives: u64,
    /// Normal scores at or above it.
    pub false_positives: u64,
    /// Mean over the regions of the share of each that lies at or above it, 0 to 1.
    pub overlap: f64,
}

impl Scores {
    /// One image, or one pixel that is a region of its own.
    pub fn add(&mut self, score: f32, is_anomalous: bool) {
        let region = if is_anomalous { self.region_of(1) } else { 0 };
        self.push(score, region);
    }

    /// A map in row order with its mask; the mask's connected regions are told apart.
    pub fn add_map(&mut self, map: &[f32], mask: &[bool], width: usize) {
        let regions = Regions::of(mask, width);
        let names: Vec<u64> = regions.sizes().iter().map(|&size| self.region_of(size)).collect();
        self.keys.reserve(map.len());
        for (&score, region) in map.iter().zip(regions.of_pixels()) {
            self.push(score, region.map_or(0, |region| names[region]));
        }
    }

    /// A map of something normal.
    pub fn add_normal_map(&mut self, map: &[f32]) {
        self.keys.reserve(map.len());
        for &score in map {
            self.push(score, 0);
        }
    }

    /// `None` unless there are normal and anomalous scores and no score is NaN.
    pub fn rank(mut self) -> Option<Ranking> {
        let negatives = self.keys.iter().filter(|&&key| region(key).is_none()).count() as u64;
        let positives = self.keys.len() as u64 - negatives;
        if self.has_nan || positives == 0 || negatives == 0 {
            return None;
        }
        self.keys.par_sort_unstable();
        Some(Ranking { keys: self.keys, shares: self.shares, positives, negatives })
    }

    fn region_of(&mut self, size: usize) -> u64 {
        self.shares.push(1.0 / size as f64);
        self.shares.len() as u64
    }

    fn push(&mut self, score: f32, region: u64) {
        self.has_nan |= score.is_nan();
        self.keys.push(u64::from(ordered(score)) << 32 | region);
    }
}

/// The region of a key, counted from 0.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn region(key: u64) -> Option<usize> {
    (key as u32 as usize).checked_sub(1)
}

/// Bits whose order is that of the numbers.
fn ordered(score: f32) -> u32 {
    const SIGN: u32 = 1 << 31;
    // The sum with zero makes the two zeros equal.
    let bits = (score + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The inverse of [`ordered`].
fn score(key: u64) -> f32 {
    const SIGN: u32 = 1 << 31;
    let bits = (key >> 32) as u32;
    f32::from_bits(if bits & SIGN == 0 { !bits } else { bits & !SIGN })
}

impl Ranking {
    /// Anomalous scores, normal ones, and the regions that the former are of.
    pub fn counts(&self) -> (u64, u64, usize) {
        (self.positives, self.negatives, self.shares.len())
    }

    /// One step for each different score, from the highest threshold to the lowest.
    pub fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        let regions = self.shares.len() as f64;
        let (mut left, mut found, mut overlap) = (self.keys.as_slice(), 0, 0.0);
        std::iter::from_fn(move || {
            let value = left.last()? >> 32;
            while let Some((&key, rest)) = left.split_last().filter(|(key, _)| **key >> 32 == value)
            {
                if let Some(region) = region(key) {
                    found += 1;
                    overlap += self.shares[region];
                }
                left = rest;
            }
            let called = (self.keys.len() - left.len()) as u64;
            Some(Step {
                threshold: score(value << 32),
                true_positives: found,
                false_positives: called - found,
                overlap: overlap / regions,
            })
        })
    }

    /// The area under the receiver operating characteristic, 0 to 1: the probability that something anomalous scores
    /// above something normal, ties counting half (Mann and Whitney 1947; Fawcett 2006).
    pub fn auroc(&self) -> f64 {
        // Twice the number of pairs won, so that a tie is a whole number.
        let (mut won_twice, mut above, mut seen) = (0_u128, 0, 0);
        for Step { true_positives, false_positives, .. } in self.steps() {
            let normal = u128::from(false_positives - seen);
            won_twice += normal * u128::from(above + true_positives);
            (above, seen) = (true_positives, false_positives);
        }
        won_twice as f64 / 2.0 / (self.positives as f64 * self.negatives as f64)
    }

    /// Average precision, 0 to 1: the precision at each threshold, weighted with the recall that it adds, without
    /// interpolation (as scikit-learn's `average_precision_score`).
    pub fn average_precision(&self) -> f64 {
        let (mut sum, mut found) = (0.0, 0);
        for Step { true_positives, false_positives, .. } in self.steps() {
            let precision = true_positives as f64 / (true_positives + false_positives) as f64;
            sum += precision * (true_positives - found) as f64;
            found = true_positives;
        }
        sum / self.positives as f64
    }

    /// The largest F1 over all thresholds, and the highest threshold that reaches it.
    pub fn f1_max(&self) -> F1Max {
        let f1 = |step: Step| F1Max {
            // 2 TP / (2 TP + FP + FN), and TP + FN is all.
            f1: 2.0 * step.true_positives as f64
                / (step.true_positives + step.false_positives + self.positives) as f64,
            threshold: step.threshold,
        };
        let first = F1Max { f1: 0.0, threshold: f32::INFINITY };
        self.steps().map(f1).fold(first, |best, next| if next.f1 > best.f1 { next } else { best })
    }

    /// The area under the per-region overlap curve up to [`FPR_MAX`], divided by it: 0 to 1.
    ///
    /// At each threshold the mean, over all regions, of the share of the region that is found, against the share of
    /// normal pixels that is called anomalous (Bergmann et al., "Uninformed Students", CVPR 2020).
    pub fn aupro(&self) -> f64 {
        let (mut area, mut last) = (0.0, (0.0, 0.0));
        for (rate, overlap) in self.per_region_overlap() {
            if rate > FPR_MAX {
                // The part of this trapezium that lies before the limit.
                let share = (FPR_MAX - last.0) / (rate - last.0);
                let at_limit = last.1 + share * (overlap - last.1);
                area += (FPR_MAX - last.0) * f64::midpoint(last.1, at_limit);
                break;
            }
            area += (rate - last.0) * f64::midpoint(last.1, overlap);
            last = (rate, overlap);
        }
        area / FPR_MAX
    }

    /// False-positive rate and mean overlap of the regions, each 0 to 1, from the highest threshold on.
    pub fn per_region_overlap(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.steps().map(|step| (self.false_positive_rate(step), step.overlap))
    }

    /// False-positive rate and true-positive rate, each 0 to 1, from the highest threshold on.
    pub fn receiver_operating_characteristic(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.steps().map(|step| {
            (self.false_positive_rate(step), step.true_positives as f64 / self.positives as f64)
        })
    }

    fn false_positive_rate(&self, step: Step) -> f64 {
        step.false_positives as f64 / self.negatives as f64
    }
}

/// A curve from the origin on with not many more than `count` points, for drawing: the first and the last one stay, and
/// one in each stretch of equal length.
pub fn thinned(curve: impl Iterator<Item = (f64, f64)>, count: usize) -> Vec<(f64, f64)> {
    let least = 2.0 / count as f64;
    let mut points: Vec<(f64, f64)> = vec![(0.0, 0.0)];
    let mut end = (0.0, 0.0);
    for (x, y) in curve {
        let (last_x, last_y) = points.last().copied().unwrap_or_default();
        if (x - last_x).abs() + (y - last_y).abs() >= least {
            points.push((x, y));
        }
        end = (x, y);
    }
    if points.last() != Some(&end) {
        points.push(end);
    }
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranking(labelled: &[(f32, bool)]) -> Option<Ranking> {
        let mut scores = Scores::default();
        for &(score, is_anomalous) in labelled {
            scores.add(score, is_anomalous);
        }
        scores.rank()
    }

    #[test]
    fn worked_by_hand() {
        let check = |labelled: &[(f32, bool)], expected: Option<[f64; 3]>| {
            let found =
                ranking(labelled).map(|r| [r.auroc(), r.average_precision(), r.f1_max().f1]);
            assert_eq!(found, expected, "{labelled:?}");
        };
        check(&[(0.9, false), (0.1, true)], Some([0.0, 0.5, 2.0 / 3.0]));
        check(&[(0.5, false), (0.5, true)], Some([0.5, 0.5, 2.0 / 3.0]));
        check(&[(0.0, false), (-0.0, true)], Some([0.5, 0.5, 2.0 / 3.0]));
        check(&[(-2.0, false), (-1.0, true)], Some([1.0, 1.0, 1.0]));
        // Positives 3 and 2 against negatives 2 and 1: won 2 + 1.5 of 4; precision 1 at the first half of the recall
        // and 2/3 at the second; F1 2/3 at 3, 4/5 at 2.
        let mixed = [(3.0, true), (2.0, true), (2.0, false), (1.0, false)];
        check(&mixed, Some([0.875, 0.5 + 1.0 / 3.0, 0.8]));
        assert_eq!(ranking(&mixed).map(|r| r.f1_max().threshold), Some(2.0));
        check(&[(0.1, true)], None);
        check(&[(f32::NAN, true), (0.0, false)], None);
    }

    #[test]
    fn overlaps_worked_by_hand() {
        let aupro = |map: &[f32], mask: &str, width: usize| {
            let mask: Vec<bool> = mask.chars().map(|pixel| pixel == '#').collect();
            let mut scores = Scores::default();
            scores.add_map(map, &mask, width);
            scores.rank().map(|ranking| ranking.aupro())
        };
        // Both regions above every normal pixel.
        assert_eq!(aupro(&[0.9, 0.1, 0.1, 0.8], "#..#", 4), Some(1.0));
        // Below every normal pixel.
        assert_eq!(aupro(&[0.0, 0.5, 0.4, 0.3, 0.2], "#....", 5), Some(0.0));
        // A region of three pixels and one of one pixel weigh the same: half is found at once, and the other only
        // beyond the limit.
        let mut map = vec![0.9, 0.9, 0.9, 0.1, 0.0];
        map.extend((0..9_u8).map(|index| 0.2 + 0.01 * f32::from(index)));
        let found = aupro(&map, "###.#.........", 14).unwrap();
        assert!((found - 0.5).abs() < 1e-9, "{found}");
        assert_eq!(aupro(&[0.5], "#", 1), None);
    }

    #[test]
    fn a_thinned_curve_keeps_its_ends() {
        let curve = (1..=1000_u16).map(|i| (f64::from(i) / 1000.0, f64::from(i) / 1000.0));
        let thin = thinned(curve, 100);
        assert!(thin.len() <= 102, "{}", thin.len());
        assert_eq!((thin[0], thin[thin.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
    }

    proptest! {
        #[test]
        fn auroc_is_the_share_of_pairs_won(
            labelled in prop::collection::vec(((-4_i8..5).prop_map(f32::from), any::<bool>()), 0..60),
        ) {
            let side = |label| {
                labelled.iter().filter(move |(_, l)| *l == label).map(|(score, _)| *score)
            };
            let (positives, negatives): (Vec<_>, Vec<_>) =
                (side(true).collect(), side(false).collect());
            let mut won = 0.0;
            for p in &positives {
                for n in &negatives {
                    won += if p > n { 1.0 } else if p < n { 0.0 } else { 0.5 };
                }
            }
            let expected = (!positives.is_empty() && !negatives.is_empty())
                .then(|| won / (positives.len() * negatives.len()) as f64);
            match (ranking(&labelled).map(|r| r.auroc()), expected) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-12),
                other => prop_assert_eq!(other.0, other.1),
            }
        }

        #[test]
        fn the_steps_end_with_everything_found(
            labelled in prop::collection::vec((any::<f32>(), any::<bool>()), 2..60),
        ) {
            if let Some(ranking) = ranking(&labelled) {
                let steps: Vec<Step> = ranking.steps().collect();
                let last = steps[steps.len() - 1];
                prop_assert_eq!(
                    (last.true_positives, last.false_positives),
                    (ranking.positives, ranking.negatives)
                );
                prop_assert!((last.overlap - 1.0).abs() < 1e-9);
                prop_assert!(steps.windows(2).all(|pair| pair[0].threshold > pair[1].threshold));
            }
        }
    }
}
