//! No engine is used before the model's golden frames agree.
//!
//! Owns the step from [`Candidate`] to [`Verified`]; nothing else can make a `Verified`.
//! A golden frame is an image in the model file with the score, embedding and coarse map that the trainer measured.
//! Knows no library and no provider: it verifies whatever implements [`Engine`].

use bundle::{
    geometry::{RgbView, Size},
    golden::{GoldenFrame, block_means},
    schema::Document,
};

use super::{Engine, EngineError, Inference};

/// An engine that has been loaded and nothing more.
pub struct Candidate<E> {
    engine: E,
}

/// An engine whose golden frames agreed with the model file.
pub struct Verified {
    engine: Box<dyn Engine>,
    deviation: Deviations,
}

/// The largest deviations from the golden frames, all of them within the tolerance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deviations {
    /// Golden frames that were run.
    pub frames: usize,
    /// Of the score.
    pub score: f32,
    /// Of an element of the embedding.
    pub embedding: f32,
    /// Of a block's mean of the anomaly map.
    pub map: f32,
}

/// Why an engine is not used.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The model file brings no golden frames, so nothing can be verified.
    #[error(
        "the model file has no golden frames, so this engine cannot be verified; export it again with sightline-train"
    )]
    NoGoldenFrames,
    /// A golden frame cannot be decoded.
    #[error(
        "golden frame {index} ({class}) of the model file cannot be decoded ({cause}); export the model again"
    )]
    Undecodable {
        /// From 1.
        index: usize,
        /// Its product.
        class: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The engine failed at a golden frame.
    #[error("golden frame {index} ({class}): {source}")]
    Failed {
        /// From 1.
        index: usize,
        /// Its product.
        class: String,
        /// What the engine says.
        source: EngineError,
    },
    /// The engine computes something else than the trainer did.
    #[error(
        "engine refused: at golden frame {index} ({class}) the {what} deviates by {deviation:.2e}, tolerance {tolerance:.0e}; \
         use another ONNX Runtime library or provider, or export the model again"
    )]
    Deviates {
        /// From 1.
        index: usize,
        /// Its product.
        class: String,
        /// Score, embedding or map.
        what: &'static str,
        /// By how much.
        deviation: f32,
        /// How much the model file allows.
        tolerance: f32,
    },
}

impl<E: Engine + 'static> Candidate<E> {
    /// An engine of which nothing is known.
    pub fn new(engine: E) -> Self {
        Self { engine }
    }

    /// Runs every golden frame of the model file; the engine is usable only if all agree.
    pub fn verify(mut self, document: &Document) -> Result<Verified, Refusal> {
        if document.golden.is_empty() {
            return Err(Refusal::NoGoldenFrames);
        }
        let mut worst = Deviations { frames: document.golden.len(), ..Deviations::default() };
        for (index, golden) in document.golden.iter().enumerate() {
            let deviation = self.deviation(index + 1, golden)?;
            let tolerance = &document.tolerance;
            for (what, deviation, tolerance, worst) in [
                ("score", deviation.score, tolerance.score, &mut worst.score),
                ("embedding", deviation.embedding, tolerance.embedding, &mut worst.embedding),
                ("anomaly map", deviation.map, tolerance.map, &mut worst.map),
            ] {
                // Not `deviation > tolerance`: a NaN must be refused.
                let agrees = deviation <= tolerance;
                if !agrees {
                    let class = golden.class.clone();
                    return Err(Refusal::Deviates {
                        index: index + 1,
                        class,
                        what,
                        deviation,
                        tolerance,
                    });
                }
                *worst = worst.max(deviation);
            }
        }
        Ok(Verified { engine: Box::new(self.engine), deviation: worst })
    }

    fn deviation(
        &mut self,
        index: usize,
        golden: &GoldenFrame,
    ) -> Result<bundle::golden::Deviation, Refusal> {
        let class = || golden.class.clone();
        let image = golden.decode().map_err(|error| Refusal::Undecodable {
            index,
            class: class(),
            cause: error.to_string(),
        })?;
        let inference = self.engine.infer(&image.view()).map_err(|source| Refusal::Failed {
            index,
            class: class(),
            source,
        })?;
        let embedding: Vec<f32> = inference.embedding.iter().copied().collect();
        Ok(golden.deviation(inference.score, &embedding, &block_means(&inference.map())))
    }
}

impl Verified {
    /// How far this engine is from the trainer's figures.
    pub fn deviation(&self) -> Deviations {
        self.deviation
    }
}

impl Engine for Verified {
    fn input_size(&self) -> Size {
        self.engine.input_size()
    }

    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError> {
        self.engine.infer(input)
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").field("deviation", &self.deviation).finish_non_exhaustive()
    }
}
