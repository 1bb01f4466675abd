//! What the network says about one input.
//!
//! Pure data. Knows neither how it was computed nor what is concluded from it.

use bundle::geometry::{Map, Size};
use ndarray::{Array1, Array2};

/// The model's three outputs for one input: a whole frame, or one of its tiles.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// Anomaly of every pixel of the model's input, rows first.
    pub anomaly_map: Array2<f32>,
    /// The map's maximum, as the network computed it.
    pub score: f32,
    /// Global embedding of unit length, which tells the products apart.
    pub embedding: Array1<f32>,
}

impl Inference {
    /// The anomaly map in the geometry's terms, so that it can be laid back over the frame.
    pub fn map(&self) -> Map {
        let (height, width) = self.anomaly_map.dim();
        // The engine checked the shape against the geometry, whose sides are u32.
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        Map {
            size: Size { width: side(width), height: side(height) },
            values: self.anomaly_map.iter().copied().collect(),
        }
    }
}
