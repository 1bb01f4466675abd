//! Groups of points without labels: k-means, and how many groups there are.
//!
//! Owns the choice of the number. Knows no images; the clustering itself is `linfa`'s.

use linfa::{
    DatasetBase,
    metrics::SilhouetteScore as _,
    traits::{Fit as _, Predict as _},
};
use linfa_clustering::KMeans;
use ndarray016::{Array1, Array2};

/// Starts of which the best is kept.
const RUNS: usize = 10;
/// Lloyd's iterations of a start.
const ITERATIONS_MAX: u64 = 300;
/// Most groups that [`best_count`] tries.
pub const COUNT_MAX: usize = 24;
/// Points that the silhouette is measured on; its cost is quadratic.
const SILHOUETTE_POINTS_MAX: usize = 1500;

/// The group of every point (k-means++ starts, Lloyd's iterations, a fixed seed); `None` when there are fewer points
/// than groups or when points have different lengths.
pub fn k_means(points: &[&[f32]], count: usize) -> Option<Vec<usize>> {
    if count == 0 || points.len() < count {
        return None;
    }
    let records = records(points)?;
    let data = DatasetBase::from(records);
    let model =
        KMeans::params(count).n_runs(RUNS).max_n_iterations(ITERATIONS_MAX).fit(&data).ok()?;
    Some(model.predict(&data).to_vec())
}

/// The number of groups from 2 to [`COUNT_MAX`] with the best silhouette (Rousseeuw 1987), and the groups.
pub fn best_count(points: &[&[f32]]) -> Option<(usize, Vec<usize>)> {
    let every = points.len().div_ceil(SILHOUETTE_POINTS_MAX).max(1);
    let sample: Vec<&[f32]> = points.iter().step_by(every).copied().collect();
    let silhouette = |groups: &[usize]| -> Option<f64> {
        let sampled: Vec<usize> = groups.iter().step_by(every).copied().collect();
        DatasetBase::new(records(&sample)?, Array1::from_vec(sampled)).silhouette_score().ok()
    };
    (2..=COUNT_MAX.min(points.len().saturating_sub(1)))
        .filter_map(|count| {
            let groups = k_means(points, count)?;
            Some((silhouette(&groups)?, count, groups))
        })
        // Among equals the fewest.
        .min_by(|a, b| b.0.total_cmp(&a.0))
        .map(|(_, count, groups)| (count, groups))
}

fn records(points: &[&[f32]]) -> Option<Array2<f64>> {
    let length = points.first()?.len();
    let values: Vec<f64> =
        points.iter().flat_map(|point| point.iter().copied().map(f64::from)).collect();
    Array2::from_shape_vec((points.len(), length), values).ok()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    /// Points around `centres` corners of a cube.
    fn points(centres: usize) -> Vec<[f32; 3]> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        (0..centres * 20)
            .map(|index| {
                let corner = index % centres;
                [0, 1, 2].map(|axis| {
                    let side = if corner >> axis & 1 == 1 { 1.0 } else { 0.0 };
                    side + rng.random_range(-0.2_f32..0.2)
                })
            })
            .collect()
    }

    #[test]
    fn groups_are_found_and_counted() {
        let points = points(5);
        let slices: Vec<&[f32]> = points.iter().map(<[f32; 3]>::as_slice).collect();
        let groups = k_means(&slices, 5).unwrap();
        for (index, group) in groups.iter().enumerate() {
            assert_eq!(*group, groups[index % 5]);
        }
        assert_eq!(groups, k_means(&slices, 5).unwrap(), "the seed is fixed");
        assert_eq!(best_count(&slices).map(|(count, _)| count), Some(5));
        assert_eq!(k_means(&slices[..3], 5), None);
        assert_eq!(k_means(&[&[1.0], &[1.0, 2.0]], 1), None);
    }
}
