//! What the judge says about one frame.
//!
//! Owns the words: a decision, the numbers it was taken from, and the standard it was held against.
//! Invariant: a [`Decision::Pass`] can be built by `judge` only, for [`Accepted`] has no other constructor.
//! Knows neither how a verdict is reached nor where it goes.

use std::sync::Arc;

pub use crate::judge::Accepted;

/// The decision about one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The product was recognised and its score is within the operator's false-reject rate.
    Pass(Accepted),
    /// The product was recognised and its score is as high as normal parts hardly ever have.
    Fail,
    /// Outside every product's acceptance radius. Never a silent pass.
    UnknownProduct,
    /// Nobody judged this part: camera, decoder or engine failed. Never a pass.
    Fault,
}

impl Decision {
    /// The word in verdict lines and summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass(_) => "pass",
            Self::Fail => "fail",
            Self::UnknownProduct => "unknown-product",
            Self::Fault => "fault",
        }
    }

    /// Whether the part may go on.
    pub const fn is_pass(self) -> bool {
        matches!(self, Self::Pass(_))
    }
}

/// The nearest product, whether or not the frame lies within its radius.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognition {
    /// Name of the product's class in the model file.
    pub product: Arc<str>,
    /// Cosine distance from the product's prototype.
    pub distance: f32,
    /// The largest distance that is still accepted; `None` without a calibration.
    pub radius: Option<f32>,
}

/// A decision with everything that it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What becomes of the part.
    pub decision: Decision,
    /// The nearest product; `None` when there was no inference to recognise it from.
    pub recognition: Option<Recognition>,
    /// The maximum of the anomaly map.
    pub score: Option<f32>,
    /// The conformal p-value of the score among the product's calibration scores.
    pub p_value: Option<f64>,
    /// Good parts that the p-value ranks it among; `None` without a calibration.
    pub calibrated_on: Option<usize>,
    /// The score above which the product fails at this rate.
    pub threshold: Option<f32>,
    /// The operator's false-reject rate for the product, the whole budget of radius and score together.
    pub reject_rate: f64,
    /// The calibration is too small for the rate and the operator allowed that: the rate is not promised.
    pub unrated: bool,
    /// Why nobody judged the part, where the decision is `fault`; or that a recognised product is not expected here.
    pub reason: Option<String>,
}

impl Verdict {
    /// The verdict about a part that nobody judged.
    pub fn fault(reject_rate: f64, reason: impl Into<String>) -> Self {
        Self {
            decision: Decision::Fault,
            recognition: None,
            score: None,
            p_value: None,
            calibrated_on: None,
            threshold: None,
            reject_rate,
            unrated: false,
            reason: Some(reason.into()),
        }
    }
}
