//! No engine is used before the model's golden frames agree.
//!
//! Owns the step from [`Candidate`] to [`Verified`]; nothing else can make a `Verified`.
//! A golden frame is an image in the model file with the score, embedding and coarse map that the trainer measured.
//! Knows no library and no provider: it verifies whatever implements [`Engine`].

use bundle::{
    geometry::{RgbImage, RgbView, Size},
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

    /// Runs every golden frame of the model file; the engine is usable only if all agree within the file's tolerance.
    pub fn verify(self, document: &Document) -> Result<Verified, Refusal> {
        self.verify_within(document, document.tolerance)
    }

    /// As [`verify`](Self::verify), with a tolerance for what the engine computes in.
    ///
    /// An engine that takes batches must give each frame its own answer in the largest batch too.
    pub fn verify_within(
        self,
        document: &Document,
        tolerance: Tolerance,
    ) -> Result<Verified, Refusal> {
        let golden = &document.golden;
        if golden.is_empty() {
            return Err(Refusal::NoGoldenFrames);
        }
        let mut verified = Verified {
            engine: Box::new(self.engine),
            golden: golden.clone(),
            tolerance,
            deviation: Deviations::default(),
        };
        let mut worst = Deviations::default();
        for index in 0..verified.golden.len() {
            worst = worst.worse(verified.check(index)?);
        }
        let batch = verified.engine.batch_max();
        if batch > 1 {
            for first in (0..verified.golden.len()).step_by(batch) {
                worst = worst.worse(verified.check_batch(first, batch)?);
            }
        }
        verified.deviation = Deviations { frames: verified.golden.len(), ..worst };
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
        self.check_batch(index, 1)
    }

    /// Runs so many golden frames at once, from one on and round again.
    fn check_batch(&mut self, first: usize, batch: usize) -> Result<Deviations, Refusal> {
        let Self { engine, golden, tolerance, .. } = self;
        if golden.is_empty() {
            return Err(Refusal::NoGoldenFrames);
        }
        let of_batch: Vec<_> = (first..first + batch).map(|index| index % golden.len()).collect();
        let images = of_batch
            .iter()
            .map(|&index| {
                golden[index].decode().map_err(|error| Refusal::Undecodable {
                    index: index + 1,
                    class: golden[index].class.clone(),
                    cause: error.to_string(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let views: Vec<_> = images.iter().map(RgbImage::view).collect();
        let failed = |source| {
            let index = of_batch.first().copied().unwrap_or_default();
            Refusal::Failed { index: index + 1, class: golden[index].class.clone(), source }
        };
        let inferences = match &*views {
            [one] => vec![engine.infer(one).map_err(failed)?],
            several => engine.infer_batch(several).map_err(failed)?,
        };
        std::iter::zip(of_batch, inferences)
            .map(|(index, inference)| agreement(index + 1, &golden[index], &inference, *tolerance))
            .try_fold(Deviations::default(), |worst, one| Ok(worst.worse(one?)))
    }
}

/// How far the engine is from one golden frame, counted from 1, or that it is too far.
fn agreement(
    index: usize,
    golden: &GoldenFrame,
    inference: &Inference,
    tolerance: Tolerance,
) -> Result<Deviations, Refusal> {
    let embedding: Vec<f32> = inference.embedding.iter().copied().collect();
    let bundle::golden::Deviation { score, embedding, map, .. } =
        golden.deviation(inference.score, &embedding, &block_means(&inference.map()));
    for (what, deviation, tolerance) in [
        ("score", score, tolerance.score),
        ("embedding", embedding, tolerance.embedding),
        ("anomaly map", map, tolerance.map),
    ] {
        // Not `deviation > tolerance`: a NaN must be refused.
        let agrees = deviation <= tolerance;
        if !agrees {
            let class = golden.class.clone();
            return Err(Refusal::Deviates { index, class, what, deviation, tolerance });
        }
    }
    Ok(Deviations { frames: 1, score, embedding, map })
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

impl Engine for Verified {
    fn input_size(&self) -> Size {
        self.engine.input_size()
    }

    fn batch_max(&self) -> usize {
        self.engine.batch_max()
    }

    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError> {
        self.engine.infer(input)
    }

    fn infer_batch(&mut self, inputs: &[RgbView<'_>]) -> Result<Vec<Inference>, EngineError> {
        self.engine.infer_batch(inputs)
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").field("deviation", &self.deviation).finish_non_exhaustive()
    }
}
