//! What the judge looks at: a score and an embedding.
//!
//! Pure. Owns how the inferences of a frame's tiles become one piece of evidence, and that a map
//! which is not all numbers gives no score.

use crate::engine::inference::Inference;

/// The evidence about one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The highest anomaly in the frame; NaN if a score or any value of a map is not finite.
    pub score: f32,
    /// The frame's global embedding.
    pub embedding: Vec<f32>,
}

impl Evidence {
    /// The worst score of the tiles, and their mean embedding at unit length.
    ///
    /// Without any inference the score is NaN, so that the verdict is a fault.
    pub fn of(inferences: &[Inference]) -> Self {
        let is_finite = |tile: &Inference| {
            tile.score.is_finite() && tile.anomaly_map.iter().all(|v| v.is_finite())
        };
        let finite = inferences.iter().all(is_finite);
        let score = match inferences.split_first() {
            Some((first, rest)) if finite => {
                rest.iter().fold(first.score, |worst, tile| higher_or_nan(worst, tile.score))
            }
            _ => f32::NAN,
        };
        Self { score, embedding: mean_direction(inferences) }
    }
}

/// `f32::max` would lose a NaN, which the judge must see.
fn higher_or_nan(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}

fn mean_direction(inferences: &[Inference]) -> Vec<f32> {
    let mut tiles = inferences.iter().map(|tile| &tile.embedding);
    let Some(first) = tiles.next() else { return Vec::new() };
    // One tile is the frame: its embedding is used bit for bit.
    if inferences.len() == 1 {
        return first.to_vec();
    }
    if inferences.iter().any(|tile| tile.embedding.len() != first.len()) {
        return Vec::new();
    }
    let sum = tiles.fold(first.clone(), |sum, tile| sum + tile);
    let length = sum.dot(&sum).sqrt();
    if length > 0.0 { (sum / length).to_vec() } else { sum.to_vec() }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn tile(score: f32) -> Inference {
        Inference { anomaly_map: Array2::zeros((1, 1)), score, embedding: array![1.0, 0.0] }
    }

    #[test]
    fn the_worst_tile_decides() {
        let evidence = Evidence::of(&[0.5, 2.0, 1.0].map(tile));
        assert_eq!(evidence, Evidence { score: 2.0, embedding: vec![1.0, 0.0] });
    }

    #[test]
    fn a_value_that_is_no_number_is_never_lost() {
        let mut map_with_nan = tile(1.0);
        map_with_nan.anomaly_map[[0, 0]] = f32::NAN;
        for inferences in [
            vec![],
            vec![tile(f32::NAN), tile(1.0)],
            vec![tile(f32::NEG_INFINITY), tile(1.0)],
            vec![tile(1.0), tile(f32::NAN)],
            vec![map_with_nan],
        ] {
            assert!(Evidence::of(&inferences).score.is_nan(), "{inferences:?}");
        }
    }
}
