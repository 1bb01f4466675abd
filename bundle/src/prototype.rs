//! Prototypes: which product an embedding belongs to.
//!
//! Pure. A prototype is the mean direction of a product's normal embeddings; the measure is the cosine distance.

use serde::{Deserialize, Serialize};

/// The mean direction of a product's embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prototype {
    /// Of unit length.
    pub direction: Vec<f32>,
}

/// The nearest prototype.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Its place in the list.
    pub index: usize,
    /// `1 - cos`, from 0 to 2.
    pub distance: f32,
}

impl Prototype {
    /// The direction of the sum; `None` without an embedding, or when they cancel each other out.
    pub fn of<'a>(embeddings: impl IntoIterator<Item = &'a [f32]>) -> Option<Self> {
        let mut sum: Vec<f64> = Vec::new();
        for embedding in embeddings {
            sum.resize(embedding.len().max(sum.len()), 0.0);
            for (total, &value) in sum.iter_mut().zip(embedding) {
                *total += f64::from(value);
            }
        }
        let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        #[expect(clippy::cast_possible_truncation, reason = "f64 to f32 rounds")]
        let direction = sum.iter().map(|value| (value / length) as f32).collect();
        (length > 1e-9).then_some(Self { direction })
    }

    /// Cosine distance of an embedding of unit length.
    pub fn distance(&self, embedding: &[f32]) -> f32 {
        let dot: f32 = self.direction.iter().zip(embedding).map(|(a, b)| a * b).sum();
        1.0 - dot
    }
}

/// The prototype with the smallest distance; among equals the first.
pub fn nearest<'a>(
    prototypes: impl IntoIterator<Item = &'a Prototype>,
    embedding: &[f32],
) -> Option<Nearest> {
    prototypes
        .into_iter()
        .enumerate()
        .map(|(index, prototype)| Nearest { index, distance: prototype.distance(embedding) })
        .min_by(|a, b| a.distance.total_cmp(&b.distance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found_and_the_distance_is_one_minus_the_cosine() {
        let prototypes = [[1.0, 0.0], [0.0, 1.0]].map(|d| Prototype { direction: d.to_vec() });
        let found = nearest(&prototypes, &[0.6, 0.8]).unwrap();
        assert_eq!(found.index, 1);
        assert!((found.distance - 0.2).abs() < 1e-6);
        assert_eq!(nearest([], &[1.0]), None);
    }

    #[test]
    fn a_prototype_is_the_direction_of_the_mean() {
        let made = Prototype::of([&[1.0, 0.0][..], &[0.0, 1.0]]).unwrap();
        assert!(made.direction.iter().all(|v| (v - 0.5_f32.sqrt()).abs() < 1e-6));
        assert_eq!(Prototype::of([&[1.0][..], &[-1.0]]), None);
        assert_eq!(Prototype::of([]), None);
    }
}
