//! One product's standard: its prototype, and the two limits that share the false-reject budget.
//!
//! Pure. Invariant: without a calibration there is no limit, and without a limit nothing is recognised.

use std::sync::Arc;

use bundle::{
    calibration::{Calibration, CalibrationTooSmall, Limits, frames_needed},
    prototype::Prototype,
    schema::Class,
};

use super::{ClassTooSmall, Recipe, Unrated};

#[derive(Clone, Debug)]
pub(super) struct Standard {
    pub(super) product: Arc<str>,
    pub(super) prototype: Prototype,
    /// What a good part may show.
    pub(super) limits: Option<Limits>,
    /// The limits do not hold the operator's rate, for the calibration is too small.
    pub(super) unrated: bool,
    /// The operator's false-reject rate for this product.
    pub(super) reject_rate: f64,
    /// Whether it may come by this camera.
    pub(super) is_expected: bool,
    pub(super) calibration: Option<Calibration>,
}

impl Standard {
    pub(super) fn new(class: &Class, recipe: &Recipe) -> Result<Self, ClassTooSmall> {
        let rate = recipe.rate_of(&class.name);
        let is_expected = recipe.expects(&class.name);
        // Of what may not come nothing is promised: it is recognised and refused.
        let unrated = if is_expected { recipe.unrated } else { Unrated::Allowed };
        let calibration = class.calibration.as_ref();
        let held = calibration.map_or_else(
            || {
                Err(CalibrationTooSmall {
                    have: 0,
                    confused: 0,
                    excluded: 0,
                    need: frames_needed(rate, 0),
                })
            },
            |calibration| calibration.limits(rate),
        );
        let (limits, is_unrated) = match (held, unrated) {
            (Ok(limits), _) => (Some(limits), false),
            (Err(_), Unrated::Allowed) => {
                (calibration.and_then(Calibration::outermost_limits), true)
            }
            (Err(cause), Unrated::Refused) => {
                return Err(ClassTooSmall::new(&class.name, rate, &cause));
            }
        };
        Ok(Self {
            product: class.name.as_str().into(),
            prototype: class.prototype.clone(),
            limits,
            unrated: is_unrated,
            reject_rate: rate.get(),
            is_expected,
            calibration: class.calibration.clone(),
        })
    }

    /// Whether a frame at this distance is this product.
    pub(super) fn recognises(&self, distance: f32) -> bool {
        // Written so that a NaN is not recognised.
        self.limits.is_some_and(|limits| distance <= limits.radius)
    }

    /// Whether a frame of this product fails.
    pub(super) fn refuses(&self, score: f32) -> bool {
        self.limits.is_none_or(|limits| score > limits.threshold)
    }

    pub(super) fn p_value(&self, score: f32) -> Option<f64> {
        self.calibration.as_ref().map(|calibration| calibration.score_p_value(score))
    }
}
