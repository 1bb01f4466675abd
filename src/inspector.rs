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
    geometry: Geometry,
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
        Self { engine, geometry, judges, gazes, model: Arc::new(model) }
    }

    /// Judges one frame of a camera.
    pub fn inspect(
        &mut self,
        frame: RgbView<'_>,
        camera: usize,
    ) -> Result<Inspection, InspectError> {
        let no_judge = InspectError::NoJudge { camera };
        let (Some(judge), Some(gaze)) = (self.judges.get(camera), self.gazes.get_mut(camera))
        else {
            return Err(no_judge);
        };
        let gaze = match gaze {
            Some((size, gaze)) if *size == frame.size() => gaze,
            other => {
                let gaze = judge.recipe().attention.over(&self.geometry, frame.size())?;
                &mut other.insert((frame.size(), gaze)).1
            }
        };
        let inputs = Inputs::from_frame(&self.geometry, frame)?;
        let inferences =
            inputs.views().map(|input| self.engine.infer(&input)).collect::<Result<Vec<_>, _>>()?;
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
    pub fn geometry(&self) -> &Geometry {
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

    /// The judge of each camera.
    pub fn judges(&self) -> &[Judge] {
        &self.judges
    }
}
