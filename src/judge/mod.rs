//! The judge: evidence and calibration in, [`Verdict`] out.
//!
//! Owns the decision. Pure: no clock, no I/O, no log, no state that a frame could change.
//! Invariants: total (any evidence yields a verdict, anything that is not a number yields a fault);
//! monotone (a higher score never turns a refusal into a pass); `Pass` comes from here only.

pub mod appearance;
pub mod attention;
pub mod drift;
mod evidence;
pub mod part;
mod recipe;
mod standard;

use bundle::{
    calibration::{Calibration, CalibrationTooSmall, RejectRate},
    prototype,
    schema::Class,
};

use self::standard::Standard;
pub use self::{
    attention::Attention, drift::DriftOptions, evidence::Evidence, part::PartRule, recipe::Recipe,
};
use crate::verdict::{Decision, Recognition, Verdict};

/// How far an embedding's squared length may be from 1: far more than half floats are off.
const UNIT_WITHIN: f32 = 0.05;

/// Proof that the judge accepted a part. No other module can make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted(());

/// What happens when the calibration cannot support the operator's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrated {
    /// The judge is not appointed.
    Refused,
    /// Only what is beyond every calibration frame is refused, and every verdict is marked.
    Allowed,
}

/// Holds the standards of all products of a model against what is wanted at one camera.
#[derive(Clone, Debug)]
pub struct Judge {
    standards: Vec<Standard>,
    recipe: Recipe,
}

impl Judge {
    /// A judge for the products of a model.
    pub fn new(classes: &[Class], recipe: &Recipe) -> Result<Self, RecipeError> {
        recipe.check(classes)?;
        recipe.attention.check()?;
        let standards = classes
            .iter()
            .map(|class| Standard::new(class, recipe))
            .collect::<Result<_, ClassTooSmall>>()?;
        Ok(Self { standards, recipe: recipe.clone() })
    }

    /// The operator's false-reject rate, for verdicts that no judge made as well.
    pub fn reject_rate(&self) -> f64 {
        self.recipe.rate.get()
    }

    /// What is wanted at the camera.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Whether any product's verdicts do not hold the operator's rate.
    pub fn unrated_products(&self) -> impl Iterator<Item = &str> {
        let judged = self.standards.iter().filter(|standard| standard.is_expected);
        judged.filter(|standard| standard.unrated).map(|standard| &*standard.product)
    }

    /// Whether it judges a product of that name.
    pub fn knows(&self, product: &str) -> bool {
        self.standards.iter().any(|standard| &*standard.product == product)
    }

    /// The test whether the scores of a product's passed frames stay as its calibration's; `None` without one.
    pub fn drift_of_scores(&self, product: &str) -> Option<drift::Detector> {
        let standard = self.standards.iter().find(|standard| &*standard.product == product)?;
        let (calibration, limits) = (standard.calibration.as_ref()?, standard.limits.as_ref()?);
        let counts_everything = self.recipe.attention.is_everything();
        Some(drift::Detector::of_scores(calibration, limits, counts_everything))
    }

    /// How the pictures of a product's calibration looked, where it says so.
    pub fn look_of(&self, product: &str) -> drift::Look {
        let standard = self.standards.iter().find(|standard| &*standard.product == product);
        standard.and_then(|standard| standard.calibration.as_ref()).map_or_else(
            drift::Look::default,
            |calibration| drift::Look {
                brightness: calibration.brightness(),
                focus: calibration.focus(),
            },
        )
    }

    /// The verdict about one frame.
    pub fn decide(&self, evidence: &Evidence) -> Verdict {
        let fault = |reason: &str| Verdict::fault(self.reject_rate(), reason);
        if !evidence.score.is_finite() {
            return fault("the model's score is not a finite number");
        }
        if !evidence.embedding.iter().all(|value| value.is_finite()) {
            return fault("the model's embedding is not finite");
        }
        // Otherwise one minus its product with a prototype is no distance, and a long one is near to everything.
        let square: f32 = evidence.embedding.iter().map(|value| value * value).sum();
        let is_unit = (square - 1.0).abs() < UNIT_WITHIN;
        if !is_unit {
            return fault("the model's embedding is not of unit length");
        }
        let len = evidence.embedding.len();
        if self.standards.iter().any(|standard| standard.prototype.direction.len() != len) {
            return fault("the model's embedding has another length than its prototypes");
        }
        let prototypes = self.standards.iter().map(|standard| &standard.prototype);
        let nearest = prototype::nearest(prototypes, &evidence.embedding)
            .and_then(|nearest| Some((nearest.distance, self.standards.get(nearest.index)?)));
        let Some((distance, standard)) = nearest else {
            return Verdict {
                decision: Decision::UnknownProduct,
                score: Some(evidence.score),
                reason: None,
                ..fault("")
            };
        };
        let is_recognised = standard.recognises(distance);
        let decision = if !is_recognised || !standard.is_expected {
            Decision::UnknownProduct
        } else if standard.refuses(evidence.score) {
            Decision::Fail
        } else {
            Decision::Pass(Accepted(()))
        };
        Verdict {
            decision,
            recognition: Some(Recognition {
                product: standard.product.clone(),
                distance,
                radius: standard.limits.map(|limits| limits.radius),
            }),
            score: Some(evidence.score),
            p_value: standard.p_value(evidence.score),
            calibrated_on: standard.calibration.as_ref().map(Calibration::count),
            threshold: standard.limits.map(|limits| limits.threshold),
            reject_rate: standard.reject_rate,
            unrated: standard.unrated,
            reason: (is_recognised && !standard.is_expected)
                .then(|| format!("{} is not expected at this camera", standard.product)),
        }
    }
}

/// Why there is no judge for a recipe.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    /// A name that the model does not know.
    #[error("the model knows no product \"{name}\": it knows {known}")]
    UnknownProduct {
        /// The name.
        name: String,
        /// Those it knows.
        known: String,
    },
    /// A calibration that cannot support its rate.
    #[error(transparent)]
    ClassTooSmall(#[from] ClassTooSmall),
    /// What is ignored covers everything.
    #[error(transparent)]
    Attention(#[from] attention::AttentionError),
}

/// A product whose calibration cannot support the operator's rate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "product \"{product}\" has {have} calibration frames{}{}, but a false-reject rate of {rate} needs {need}: \
     calibrate on more good parts, choose a higher judge.false_reject_rate, or set judge.allow_unrated = true",
    if *confused > 0 { format!(", {confused} of them taken for another product") } else { String::new() },
    if *excluded > 0 { format!(", {excluded} of them excluded") } else { String::new() }
)]
pub struct ClassTooSmall {
    /// The product.
    pub product: String,
    /// The operator's rate.
    pub rate: f64,
    /// Calibration frames there are.
    pub have: usize,
    /// Of these, frames that were taken for another product.
    pub confused: usize,
    /// Of these, frames that a person excluded.
    pub excluded: usize,
    /// Calibration frames that the rate needs.
    pub need: usize,
}

impl ClassTooSmall {
    fn new(product: &str, rate: RejectRate, cause: &CalibrationTooSmall) -> Self {
        Self {
            product: product.into(),
            rate: rate.get(),
            have: cause.have,
            confused: cause.confused,
            excluded: cause.excluded,
            need: cause.need,
        }
    }
}
