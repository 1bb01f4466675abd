//! What a trained network says about an image, whatever runs it.
//!
//! Owns the seam between evaluation and the two ways to compute: libtorch with a checkpoint's weights, and ONNX
//! Runtime with an exported file (`deployed`).

use bundle::geometry::{Geometry, Map, RgbImage};
use network::{shapes::Shapes, weights::WeightsError};
use tch::{Device, no_grad};

use crate::{
    checkpoint::Checkpoint,
    torch::{Mode, Shared, TorchGraph, Variables, batch_from_images, floats},
};

/// What the network says about one image.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Of the input's size.
    pub map: Map,
    /// Its maximum.
    pub score: f32,
    /// Of unit length.
    pub embedding: Vec<f32>,
}

/// Runs a trained network.
pub trait Detect {
    /// How images become inputs.
    fn geometry(&self) -> &Geometry;

    /// Answers for images of the input's size, in their order.
    fn detect(&mut self, inputs: &[RgbImage]) -> anyhow::Result<Vec<Answer>>;
}

/// A checkpoint on libtorch.
#[derive(Debug)]
pub struct TorchDetector {
    variables: Variables,
    checkpoint: Checkpoint,
    geometry: Geometry,
    device: Device,
}

impl TorchDetector {
    /// Copies the weights to `device`.
    pub fn new(checkpoint: Checkpoint, device: Device) -> Result<Self, WeightsError> {
        let (shapes, _) = Shapes::of(&checkpoint.manifest.recipe.architecture);
        let weights = checkpoint.weights.clone().check(&shapes.parameters)?;
        let variables = Variables::new(&shapes.parameters, &weights, device, |_| false);
        let geometry = checkpoint.manifest.recipe.geometry();
        Ok(Self { variables, checkpoint, geometry, device })
    }

    /// What it was made of.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl Detect for TorchDetector {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn detect(&mut self, inputs: &[RgbImage]) -> anyhow::Result<Vec<Answer>> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let detection = no_grad(|| {
            let mut g = TorchGraph::new(&self.variables, Mode::Eval);
            let frames = Shared(batch_from_images(inputs.iter()).to(self.device));
            network::detector::detector(
                &mut g,
                &frames,
                &self.checkpoint.manifest.recipe.architecture,
            )
        });
        let scores = floats(&detection.score.0);
        let maps = floats(&detection.anomaly_map.0);
        let embeddings = floats(&detection.embedding.0);
        let size = self.geometry.input;
        Ok(scores
            .iter()
            .zip(maps.chunks_exact(maps.len() / scores.len()))
            .zip(embeddings.chunks_exact(embeddings.len() / scores.len()))
            .map(|((&score, map), embedding)| Answer {
                map: Map { size, values: map.to_vec() },
                score,
                embedding: embedding.to_vec(),
            })
            .collect())
    }
}
