//! No engine is used before the model's golden frames agree.
//!
//! Owns the step from [`Candidate`] to [`Verified`]; nothing else can make a `Verified`.
//! A golden frame is an image in the model file with the score, embedding and coarse map that the trainer measured.
//! Knows no library and no provider: it verifies whatever implements [`Engine`].

use bundle::{
    geometry::{RgbView, Size},
    golden::{GoldenFrame, Tolerance, block_means},
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
    golden: Vec<GoldenFrame>,
    tolerance: Tolerance,
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
    pub fn verify(self, document: &Document) -> Result<Verified, Refusal> {
        let Document { golden, tolerance, .. } = document;
        if golden.is_empty() {
            return Err(Refusal::NoGoldenFrames);
        }
        let mut verified = Verified {
            engine: Box::new(self.engine),
            golden: golden.clone(),
            tolerance: *tolerance,
            deviation: Deviations::default(),
        };
        let mut worst = Deviations::default();
        for index in 0..verified.golden.len() {
            worst = worst.worse(verified.check(index)?);
        }
        verified.deviation = worst;
        Ok(verified)
    }
}

impl Verified {
    /// How far this engine was from the trainer's figures when all golden frames were last run.
    pub fn deviation(&self) -> Deviations {
        self.deviation
    }

    /// How many golden frames there are.
    pub fn golden_frames(&self) -> usize {
        self.golden.len()
    }

    /// Takes note of a later run of all golden frames.
    pub fn agreed(&mut self, deviation: Deviations) {
        self.deviation = deviation;
    }

    /// Runs one golden frame, counted from 0: what the engine says now, or why it must not be used any more.
    pub fn check(&mut self, index: usize) -> Result<Deviations, Refusal> {
        let golden = self.golden.get(index).ok_or(Refusal::NoGoldenFrames)?;
        let deviation = deviation(&mut *self.engine, index + 1, golden)?;
        for (what, deviation, tolerance) in [
            ("score", deviation.score, self.tolerance.score),
            ("embedding", deviation.embedding, self.tolerance.embedding),
            ("anomaly map", deviation.map, self.tolerance.map),
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
        }
        let bundle::golden::Deviation { score, embedding, map, .. } = deviation;
        Ok(Deviations { frames: 1, score, embedding, map })
    }
}

impl Deviations {
    /// Of both sets of frames together.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        Self {
            frames: self.frames + other.frames,
            score: self.score.max(other.score),
            embedding: self.embedding.max(other.embedding),
            map: self.map.max(other.map),
        }
    }
}

fn deviation(
    engine: &mut dyn Engine,
    index: usize,
    golden: &GoldenFrame,
) -> Result<bundle::golden::Deviation, Refusal> {
    let class = || golden.class.clone();
    let image = golden.decode().map_err(|error| Refusal::Undecodable {
        index,
        class: class(),
        cause: error.to_string(),
    })?;
    let inference = engine.infer(&image.view()).map_err(|source| Refusal::Failed {
        index,
        class: class(),
        source,
    })?;
    let embedding: Vec<f32> = inference.embedding.iter().copied().collect();
    Ok(golden.deviation(inference.score, &embedding, &block_means(&inference.map())))
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
