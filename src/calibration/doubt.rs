//! Which of the collected frames a person should look at.
//!
//! Pure. The rule is the modified z-score of Iglewicz and Hoaglin (How to Detect and Handle Outliers, ASQC 1993):
//! `0.6745 (x - median) / MAD` above 3.5, on the logarithm of scores and of distances, for both are positive and skewed.
//! Median and MAD bear up to half of the frames being bad, where mean and standard deviation bear none. The limits that
//! judge today are no part of the rule: they are what is being replaced. A suspicious frame is a question, not a verdict.

/// Above this a value is an outlier, as the authors recommend.
const LIMIT: f64 = 3.5;
/// Of fewer values none stands out.
const VALUES_MIN: usize = 10;
/// The standard deviation of a normal distribution in units of its median absolute deviation.
const MAD_TO_SIGMA: f64 = 1.0 / 0.6745;
/// And of its mean absolute deviation, which stands in where more than half of the values are equal.
const MEAN_TO_SIGMA: f64 = 1.253_314;

/// Where most values lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Middle {
    median: f64,
    sigma: f64,
    is_logarithmic: bool,
}

impl Middle {
    /// Of values in any order; `None` of too few, and of values that are all equal.
    pub fn of(values: &[f32]) -> Option<Self> {
        if values.len() < VALUES_MIN {
            return None;
        }
        let is_logarithmic = values.iter().all(|&value| value > 0.0);
        let mut values: Vec<f64> =
            values.iter().map(|&value| scaled(value, is_logarithmic)).collect();
        let median = median(&mut values);
        let mut apart: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
        let mean = apart.iter().sum::<f64>() / apart.len() as f64;
        let of_median = self::median(&mut apart) * MAD_TO_SIGMA;
        let sigma = if of_median > 0.0 { of_median } else { mean * MEAN_TO_SIGMA };
        (sigma > 0.0).then_some(Self { median, sigma, is_logarithmic })
    }

    /// How many robust standard deviations a value lies above the median, where that makes it an outlier.
    pub fn outlier(&self, value: f32) -> Option<f64> {
        let above = (scaled(value, self.is_logarithmic) - self.median) / self.sigma;
        (above > LIMIT).then_some(above)
    }
}

fn scaled(value: f32, is_logarithmic: bool) -> f64 {
    let value = f64::from(value);
    if is_logarithmic { value.ln() } else { value }
}

/// The middle value, or the mean of both.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_stands_out_above_is_found_and_nothing_else() {
        let check = |values: &[f32], expected: &[usize]| {
            let middle = Middle::of(values);
            let found: Vec<usize> = (0..values.len())
                .filter(|&i| middle.is_some_and(|middle| middle.outlier(values[i]).is_some()))
                .collect();
            assert_eq!(found, expected, "{values:?}");
        };
        let normal: Vec<f32> = (0..20_u16).map(|i| 1.0 + f32::from(i) / 100.0).collect();
        check(&normal, &[]);
        let with = |more: &[f32]| [&normal[..], more].concat();
        check(&with(&[3.0]), &[20]);
        // Low is good.
        check(&with(&[0.01]), &[]);
        // Two in five are bad, and are found all the same.
        check(&with(&[3.0; 12]), &(20..32).collect::<Vec<_>>());
        // Half of them equal: the mean deviation stands in.
        check(&[[1.0; 20].as_slice(), &[1.01, 9.0]].concat(), &[21]);
        check(&[1.0; 20], &[]);
        check(&[1.0, 1.0, 9.0], &[]);
        // Not all above 0: as they are.
        check(&with(&[0.0, 50.0]), &[21]);
    }

    proptest! {
        #[test]
        fn it_depends_on_no_unit(
            values in prop::collection::vec(0.001_f32..100.0, 10..60),
            factor in 0.01_f32..100.0,
        ) {
            // On logarithms a factor is a shift; rounding may decide what lies at the limit itself.
            let scaled: Vec<f32> = values.iter().map(|value| value * factor).collect();
            if let (Some(a), Some(b)) = (Middle::of(&values), Middle::of(&scaled)) {
                for (&x, &y) in std::iter::zip(&values, &scaled) {
                    let (x, y) = (a.outlier(x), b.outlier(y));
                    if let (Some(x), Some(y)) = (x, y) {
                        prop_assert!((x / y - 1.0).abs() < 1e-2);
                    } else {
                        prop_assert!(x.or(y).is_none_or(|z| z < LIMIT * 1.01));
                    }
                }
            }
        }
    }
}
