//! Figures out of many measurements: quantiles, and a line through points.
//!
//! Pure.

/// The value that the share `quantile` of the values does not exceed; `None` of none.
pub(super) fn quantile(values: &[f64], quantile: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (quantile * sorted.len() as f64).ceil().max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 1, and `get` looks at the rest"
    )]
    let index = rank as usize - 1;
    sorted.get(index).copied()
}

/// The middle value; of an even number of values the lower of the two.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The line of least squares through points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// Per unit of x.
    pub(super) slope: f64,
    /// Half the width of the slope's 95 % interval, as if the points' errors were independent.
    pub(super) slope_within: f64,
}

impl Line {
    /// Through `(x, y)`; `None` of fewer than three points, or where all have one x.
    pub(super) fn through(points: &[(f64, f64)]) -> Option<Self> {
        let n = points.len() as f64;
        if points.len() < 3 {
            return None;
        }
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / n;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / n;
        let xx: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        if xx <= 0.0 {
            return None;
        }
        let xy: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let slope = xy / xx;
        let residual = |(x, y): &(f64, f64)| y - mean_y - slope * (x - mean_x);
        let errors: f64 = points.iter().map(|point| residual(point).powi(2)).sum();
        let slope_within = 1.96 * (errors / (n - 2.0) / xx).sqrt();
        Some(Self { slope, slope_within })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        let check = |q: f64, expected: f64| assert_eq!(quantile(&values, q), Some(expected), "{q}");
        check(0.0, 1.0);
        check(0.5, 3.0);
        check(0.8, 4.0);
        check(0.81, 5.0);
        check(1.0, 5.0);
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_line_goes_through_points_that_lie_on_it() {
        let points: Vec<_> = (0..10).map(|x| (f64::from(x), 7.0 - 2.0 * f64::from(x))).collect();
        let line = Line::through(&points).unwrap();
        assert!((line.slope + 2.0).abs() < 1e-12 && line.slope_within < 1e-9, "{line:?}");
        assert_eq!(Line::through(&points[..2]), None);
        assert_eq!(Line::through(&[(1.0, 1.0); 5]), None);
    }

    #[test]
    fn the_slopes_interval_is_that_of_the_textbook() {
        // y = x with errors +1, -1, -1, +1: they do not tilt the line, and leave 4 over n - 2 = 2.
        let points = [(0.0, 1.0), (1.0, 0.0), (2.0, 1.0), (3.0, 4.0)];
        let line = Line::through(&points).unwrap();
        assert!((line.slope - 1.0).abs() < 1e-12);
        assert!((line.slope_within - 1.96 * (2.0_f64 / 5.0).sqrt()).abs() < 1e-12, "{line:?}");
    }
}
