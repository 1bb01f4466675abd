//! Embeddings on a plane: their first two principal components.
//!
//! Pure. Power iteration with deflation on the centred points; a fixed start, so that the same points give the same
//! picture.

/// Points that the axes are found from; more of them do not turn the axes.
const POINTS_MAX: usize = 2000;
/// Enough for a picture where the spectrum has a gap, and a bound where it has none.
const ITERATIONS_MAX: usize = 100;
/// An axis that turns less in one iteration stands.
const TURN_MIN: f64 = 1e-9;

/// A plane through the mean of some points.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    mean: Vec<f64>,
    axes: [Vec<f64>; 2],
    /// Share of the points' variance that lies in it, 0 to 1.
    pub(super) explained: f64,
}

impl Plane {
    /// The plane in which these points vary most; `None` when there are fewer than two points, when they have different
    /// lengths, or when all are the same.
    pub(super) fn of(points: &[Vec<f32>]) -> Option<Self> {
        let length = points.first()?.len();
        let every = points.len().div_ceil(POINTS_MAX).max(1);
        let mut rows: Vec<Vec<f64>> = points
            .iter()
            .step_by(every)
            .map(|point| point.iter().copied().map(f64::from).collect())
            .collect();
        if rows.len() < 2
            || points.iter().any(|point| point.len() != length)
            || rows.iter().flatten().any(|value| !value.is_finite())
        {
            return None;
        }
        let mean: Vec<f64> = (0..length)
            .map(|at| rows.iter().map(|row| row[at]).sum::<f64>() / rows.len() as f64)
            .collect();
        for row in &mut rows {
            row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
        }
        let total = variance(&rows);
        if total <= 0.0 {
            return None;
        }
        let axes = [0, 1].map(|_| {
            let axis = first_axis(&rows);
            for row in &mut rows {
                let along = dot(row, &axis);
                row.iter_mut().zip(&axis).for_each(|(value, axis)| *value -= along * axis);
            }
            axis
        });
        Some(Self { mean, axes, explained: (1.0 - variance(&rows) / total).clamp(0.0, 1.0) })
    }

    /// Where a point lies on it.
    pub(super) fn project(&self, point: &[f32]) -> (f64, f64) {
        let centred: Vec<f64> =
            point.iter().zip(&self.mean).map(|(&value, mean)| f64::from(value) - mean).collect();
        (dot(&centred, &self.axes[0]), dot(&centred, &self.axes[1]))
    }
}

/// The direction of the largest variance of centred rows; zero when there is none.
fn first_axis(rows: &[Vec<f64>]) -> Vec<f64> {
    // The longest row is not orthogonal to it, unless by a coincidence that no measurement knows.
    let longest = rows.iter().max_by(|a, b| dot(a, a).total_cmp(&dot(b, b)));
    let Some(mut axis) = longest.and_then(|row| unit(row)) else {
        return vec![0.0; rows.first().map_or(0, Vec::len)];
    };
    for _ in 0..ITERATIONS_MAX {
        let mut next = vec![0.0; axis.len()];
        for row in rows {
            let along = dot(row, &axis);
            next.iter_mut().zip(row).for_each(|(sum, value)| *sum += along * value);
        }
        let Some(next) = unit(&next) else { break };
        let turn = 1.0 - dot(&axis, &next).abs();
        axis = next;
        if turn < TURN_MIN {
            break;
        }
    }
    axis
}

fn unit(row: &[f64]) -> Option<Vec<f64>> {
    let length = dot(row, row).sqrt();
    (length > f64::EPSILON).then(|| row.iter().map(|value| value / length).collect())
}

fn variance(rows: &[Vec<f64>]) -> f64 {
    rows.iter().map(|row| dot(row, row)).sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plane_holds_the_two_directions_in_which_points_vary_most() {
        // Long along (0.6, 0.8, 0), shorter along z, a little along (0.8, -0.6, 0).
        let points: Vec<Vec<f32>> = (0..60_u8)
            .map(|i| {
                let angle = f32::from(i);
                let (a, b, c) =
                    (5.0 * angle.sin(), 2.0 * (1.7 * angle).cos(), 0.1 * (2.9 * angle).sin());
                vec![1.0 + 0.6 * a + 0.8 * c, 2.0 + 0.8 * a - 0.6 * c, b]
            })
            .collect();
        let plane = Plane::of(&points).unwrap();
        assert!(plane.explained > 0.99, "{}", plane.explained);
        let (x, y) = plane.project(&[1.0 + 0.6, 2.0 + 0.8, 0.0]);
        let (x0, y0) = plane.project(&[1.0, 2.0, 0.0]);
        assert!(((x - x0).abs() - 1.0).abs() < 0.01 && (y - y0).abs() < 0.1, "{x} {x0} {y} {y0}");
    }

    #[test]
    fn what_does_not_vary_has_no_plane() {
        assert!(Plane::of(&[]).is_none());
        assert!(Plane::of(&[vec![1.0, 2.0]]).is_none());
        assert!(Plane::of(&[vec![1.0], vec![1.0]]).is_none());
        assert!(Plane::of(&[vec![1.0], vec![1.0, 2.0]]).is_none());
        assert!(Plane::of(&[vec![1.0], vec![f32::NAN]]).is_none());
        // A line has a second axis of no length.
        let line = Plane::of(&[vec![0.0, 1.0], vec![1.0, 1.0]]).unwrap();
        assert!((line.explained - 1.0).abs() < 1e-12);
        assert!(line.project(&[5.0, 1.0]).1.abs() < 1e-12);
    }
}
