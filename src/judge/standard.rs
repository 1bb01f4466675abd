//! One product's standard: its prototype, and the two limits that share the false-reject budget.
//!
//! Pure. Invariant: without a calibration there is no limit, and without a limit nothing is recognised.

use std::sync::Arc;

use bundle::{
    calibration::{Budget, Calibration, CalibrationTooSmall, RejectRate},
    prototype::Prototype,
    schema::Class,
};

use super::{ClassTooSmall, Unrated};

#[derive(Clone, Debug)]
pub(super) struct Standard {
    pub(super) product: Arc<str>,
    pub(super) prototype: Prototype,
    /// The largest distance from the prototype that is accepted.
    pub(super) radius: Option<f32>,
    /// The highest score that passes.
    pub(super) threshold: Option<f32>,
    /// The limits are stricter or laxer than the operator's rate, for the calibration is too small.
    pub(super) unrated: bool,
    calibration: Option<Calibration>,
}

impl Standard {
    pub(super) fn new(
        class: &Class,
        budget: &Budget,
        unrated: Unrated,
    ) -> Result<Self, ClassTooSmall> {
        let supported = class.calibration.as_ref().map_or_else(
            || Err(CalibrationTooSmall { have: 0, need: budget.frames_needed() }),
            |calibration| calibration.supports(budget),
        );
        let is_unrated = match (supported, unrated) {
            (Ok(()), _) => false,
            (Err(_), Unrated::Allowed) => true,
            (Err(cause), Unrated::Refused) => {
                return Err(ClassTooSmall::new(&class.name, budget.total.get(), &cause));
            }
        };
        let limits = class.calibration.as_ref().map(|calibration| {
            let rate = |asked: RejectRate| {
                if is_unrated { supportable(calibration, asked) } else { asked }
            };
            (
                calibration.radius(rate(budget.radius)),
                calibration.score_threshold(rate(budget.score)),
            )
        });
        let (radius, threshold) = limits.unwrap_or((None, None));
        Ok(Self {
            product: class.name.as_str().into(),
            prototype: class.prototype.clone(),
            radius,
            threshold,
            unrated: is_unrated,
            calibration: class.calibration.clone(),
        })
    }

    /// Whether a frame at this distance is this product.
    pub(super) fn recognises(&self, distance: f32) -> bool {
        // Written so that a NaN is not recognised.
        self.radius.is_some_and(|radius| distance <= radius)
    }

    /// Whether a frame of this product fails: `score > threshold` is the same as `p <= rate`.
    pub(super) fn refuses(&self, score: f32) -> bool {
        self.threshold.is_none_or(|threshold| score > threshold)
    }

    pub(super) fn p_value(&self, score: f32) -> Option<f64> {
        self.calibration.as_ref().map(|calibration| calibration.score_p_value(score))
    }
}

/// The operator's rate, or the smallest that these frames can support: only what is beyond every one
/// of them is refused.
fn supportable(calibration: &Calibration, asked: RejectRate) -> RejectRate {
    // 1.5 and not 1: k = floor(rate * (n + 1)) must be 1 whatever the rounding.
    let smallest = 1.5 / (calibration.count() as f64 + 1.0);
    if asked.get() >= smallest { asked } else { RejectRate::new(smallest).unwrap_or(asked) }
}
