//! One frame through preprocessing, engine and judge.
//!
//! Owns that order, the same for `run` and `inspect`. Knows neither where frames come from nor where verdicts go.

use std::sync::Arc;

use bundle::geometry::{Geometry, Map, RgbView, Size};

use crate::{
    engine::{Deviations, Engine as _, EngineError, Inference, Verified},
    judge::{
        Judge,
        appearance::Appearance,
        attention::{AttentionError, Gaze},
    },
    preprocess::Inputs,
    record::ModelLabel,
    verdict::Verdict,
};

/// A verified engine, the geometry it was trained with, the judges of its products, and the name of them all.
#[derive(Debug)]
pub struct Inspector {
    engine: Verified,
    geometry: Arc<Geometry>,
    /// One for each camera.
    judges: Vec<Judge>,
    /// Each judge's attention over the frames of the size that its camera last gave.
    gazes: Vec<Option<(Size, Gaze)>>,
    model: Arc<ModelLabel>,
}

/// A judged frame.
#[derive(Debug)]
pub struct Inspection {
    /// What the judge says.
    pub verdict: Verdict,
    /// What the network said: one inference, or one for each tile.
    pub inferences: Vec<Inference>,
    /// How the picture looks, where it is watched whether it drifts.
    pub appearance: Option<Appearance>,
}

/// Why a frame could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The frame does not fit the geometry.
    #[error(transparent)]
    Geometry(#[from] bundle::geometry::GeometryError),
    /// A camera that nobody knows: a bug.
    #[error("there is no judge for camera {camera}; please report it")]
    NoJudge {
        /// Its index.
        camera: usize,
    },
    /// Nothing is left to look at in frames of that size.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Inspector {
    /// Puts the parts together; cameras are the indices of their judges.
    pub fn new(
        engine: Verified,
        geometry: Geometry,
        judges: Vec<Judge>,
        model: ModelLabel,
    ) -> Self {
        let gazes = vec![None; judges.len()];
        Self { engine, geometry: Arc::new(geometry), judges, gazes, model: Arc::new(model) }
    }

    /// Judges one frame of a camera.
    pub fn inspect(
        &mut self,
        frame: RgbView<'_>,
        camera: usize,
    ) -> Result<Inspection, InspectError> {
        self.inspect_batch(&[(frame, camera)])
            .pop()
            .unwrap_or(Err(InspectError::NoJudge { camera }))
    }

    /// Judges frames of several cameras, each by its own judge: an outcome for each, in their order.
    ///
    /// As many inputs as the engine takes run at once. Where such a run fails each of its inputs is tried alone, so that
    /// one frame's failure, or a batch too large for the memory that is left, costs no other frame its verdict.
    pub fn inspect_batch(
        &mut self,
        frames: &[(RgbView<'_>, usize)],
    ) -> Vec<Result<Inspection, InspectError>> {
        let inputs: Vec<_> =
            frames.iter().map(|(frame, _)| Inputs::from_frame(&self.geometry, *frame)).collect();
        let views: Vec<_> = inputs.iter().flatten().flat_map(Inputs::views).collect();
        let mut inferences = infer_all(&mut self.engine, &views).into_iter();
        let mut outcomes = Vec::with_capacity(frames.len());
        for (inputs, (frame, camera)) in std::iter::zip(&inputs, frames) {
            outcomes.push(match inputs {
                // A frame that does not fit has no inputs among the views.
                Err(error) => Err(error.clone().into()),
                Ok(inputs) => {
                    // All of them, even behind one that failed: what follows is another frame's.
                    let own: Vec<_> = inferences.by_ref().take(inputs.views().count()).collect();
                    own.into_iter()
                        .collect::<Result<Vec<_>, _>>()
                        .map_err(InspectError::from)
                        .and_then(|own| self.decide(own, inputs, frame.size(), *camera))
                }
            });
        }
        outcomes
    }

    fn decide(
        &mut self,
        inferences: Vec<Inference>,
        inputs: &Inputs<'_>,
        frame: Size,
        camera: usize,
    ) -> Result<Inspection, InspectError> {
        let no_judge = InspectError::NoJudge { camera };
        let (Some(judge), Some(gaze)) = (self.judges.get(camera), self.gazes.get_mut(camera))
        else {
            return Err(no_judge);
        };
        let gaze = match gaze {
            Some((size, gaze)) if *size == frame => gaze,
            other => {
                let gaze = judge.recipe().attention.over(&self.geometry, frame)?;
                &mut other.insert((frame, gaze)).1
            }
        };
        let verdict = judge.decide(&gaze.evidence(&inferences));
        let is_watched = judge.recipe().drift.is_some() && verdict.decision.is_pass();
        let appearance = is_watched.then(|| Appearance::of(inputs.views())).flatten();
        Ok(Inspection { verdict, inferences, appearance })
    }

    /// The anomaly map laid over a frame of that size.
    pub fn frame_from_map(&self, inferences: &[Inference], frame: Size) -> Map {
        let maps: Vec<Map> = inferences.iter().map(Inference::map).collect();
        self.geometry.frame_from_map(&maps, frame)
    }

    /// The geometry that frames are fitted with.
    pub fn geometry(&self) -> &Arc<Geometry> {
        &self.geometry
    }

    /// The engine, for its golden frames.
    pub fn engine(&mut self) -> &mut Verified {
        &mut self.engine
    }

    /// How far the engine was from the trainer's figures when all golden frames were last run.
    pub fn deviation(&self) -> Deviations {
        self.engine.deviation()
    }

    /// The model that the verdicts rest on.
    pub fn model(&self) -> &Arc<ModelLabel> {
        &self.model
    }

    /// Has a camera's frames judged by another judge from the next one on; the old one, where there is such a camera.
    pub fn appoint(&mut self, camera: usize, judge: Judge) -> Option<Judge> {
        let (old, gaze) = (self.judges.get_mut(camera)?, self.gazes.get_mut(camera)?);
        *gaze = None;
        Some(std::mem::replace(old, judge))
    }

    /// The judge of each camera.
    pub fn judges(&self) -> &[Judge] {
        &self.judges
    }
}

/// An outcome for each input.
fn infer_all(engine: &mut Verified, inputs: &[RgbView<'_>]) -> Vec<Result<Inference, EngineError>> {
    let mut outcomes = Vec::with_capacity(inputs.len());
    // A GPU that failed for good is not asked again.
    let mut dead: Option<String> = None;
    let mut ask = |engine: &mut Verified, batch: &[RgbView<'_>]| {
        if let Some(cause) = &dead {
            return Err(EngineError::Fatal { cause: cause.clone() });
        }
        let answer = engine.infer_batch(batch);
        if let Err(EngineError::Fatal { cause }) = &answer {
            dead = Some(cause.clone());
        }
        answer
    };
    for batch in inputs.chunks(engine.batch_max().max(1)) {
        match ask(engine, batch) {
            Ok(inferences) => outcomes.extend(inferences.into_iter().map(Ok)),
            Err(error) if batch.len() == 1 => outcomes.push(Err(error)),
            Err(error) => {
                if !matches!(error, EngineError::Fatal { .. }) {
                    let len = batch.len();
                    tracing::warn!("a batch of {len} failed, each is tried alone: {error}");
                }
                let one = |inferences: Vec<Inference>| {
                    let nothing = EngineError::Run { cause: "the engine gave no answer".into() };
                    inferences.into_iter().next().ok_or(nothing)
                };
                outcomes.extend(
                    batch
                        .iter()
                        .map(|input| ask(engine, std::slice::from_ref(input)).and_then(one)),
                );
            }
        }
    }
    outcomes
}
