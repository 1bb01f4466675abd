//! The area under the receiver operating characteristic, exact with ties.
//!
//! Pure. The probability that a positive scores above a negative, ties counting half (Mann and Whitney 1947;
//! Fawcett 2006).

/// AUROC from 0 to 1 of `(score, is_anomalous)`; `None` unless both labels occur and no score is NaN.
///
/// ```
/// use trainer::metrics::auroc;
/// assert_eq!(auroc([(0.1, false), (0.2, true)]), Some(1.0));
/// ```
pub fn auroc(labelled: impl IntoIterator<Item = (f32, bool)>) -> Option<f64> {
    let mut labelled: Vec<(f32, bool)> = labelled.into_iter().collect();
    if labelled.iter().any(|(score, _)| score.is_nan()) {
        return None;
    }
    labelled.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let positives = labelled.iter().filter(|(_, positive)| *positive).count();
    let negatives = labelled.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut below = 0_usize;
    // Twice the number of pairs won, so that a tie is a whole number.
    let mut won_twice = 0_u128;
    #[expect(clippy::float_cmp, reason = "a tie is bitwise equality, and no score is NaN")]
    for tied in labelled.chunk_by(|a, b| a.0 == b.0) {
        let positive = tied.iter().filter(|(_, positive)| *positive).count();
        let negative = tied.len() - positive;
        won_twice += (positive * (2 * below + negative)) as u128;
        below += negative;
    }
    Some(won_twice as f64 / 2.0 / (positives as f64 * negatives as f64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn worked_by_hand() {
        let check = |labelled: &[(f32, bool)], expected: Option<f64>| {
            assert_eq!(auroc(labelled.iter().copied()), expected, "{labelled:?}");
        };
        check(&[(0.9, false), (0.1, true)], Some(0.0));
        check(&[(0.5, false), (0.5, true)], Some(0.5));
        // Positives 3 and 2 against negatives 2 and 1: won 2 + 1.5 of 4.
        check(&[(3.0, true), (2.0, true), (2.0, false), (1.0, false)], Some(0.875));
        check(&[(0.1, true)], None);
        check(&[(f32::NAN, true), (0.0, false)], None);
    }

    proptest! {
        #[test]
        fn equals_the_count_of_pairs(
            labelled in prop::collection::vec(((0_u8..9).prop_map(f32::from), any::<bool>()), 0..60),
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
            let found = auroc(labelled.iter().copied());
            match (found, expected) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-12),
                other => prop_assert_eq!(other.0, other.1),
            }
        }
    }
}
