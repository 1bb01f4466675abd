//! What a line would do with a part: the deployed limits applied to a score and an embedding.
//!
//! Pure. The rule is the inspector's judge, whose limits `bundle::calibration` states; owned here is only its
//! application to a test set.

use bundle::{
    calibration::{Calibration, Limits, RejectRate},
    prototype::{Prototype, nearest},
    schema::Class,
};
use serde::{Deserialize, Serialize};

/// What a line does with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Accepted.
    Pass,
    /// Refused for its score.
    Fail,
    /// Refused because it lies outside of the nearest product's radius.
    UnknownProduct,
}

impl Decision {
    /// As it stands in a verdict line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::UnknownProduct => "unknown-product",
        }
    }
}

/// The limits of all products of a model at one false-reject rate.
#[derive(Clone, Debug)]
pub struct Standards {
    products: Vec<(String, Prototype, Option<Limits>)>,
    unrated: Vec<String>,
}

/// What the standards say about one part.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The product whose prototype is nearest; `None` when the model knows none.
    pub nearest: Option<String>,
    /// Its distance, `1 - cos`.
    pub distance: Option<f32>,
    /// What a line does.
    pub decision: Decision,
}

impl Standards {
    /// Where a product has too few calibration frames for the rate its outermost limits are taken, and the product is
    /// listed as unrated.
    pub fn new(classes: &[Class], rate: RejectRate) -> Self {
        let mut unrated = Vec::new();
        let products = classes
            .iter()
            .map(|class| {
                let calibration = class.calibration.as_ref();
                let rated = calibration.and_then(|calibration| calibration.limits(rate).ok());
                if rated.is_none() {
                    unrated.push(class.name.clone());
                }
                let limits = rated.or_else(|| calibration.and_then(Calibration::outermost_limits));
                (class.name.clone(), class.prototype.clone(), limits)
            })
            .collect();
        Self { products, unrated }
    }

    /// The products whose limits do not hold the rate.
    pub fn unrated(&self) -> &[String] {
        &self.unrated
    }

    /// The limits that a product's parts are held against; `None` without calibration.
    pub fn limits(&self, product: &str) -> Option<Limits> {
        let (.., limits) = self.products.iter().find(|(name, ..)| name == product)?;
        *limits
    }

    /// The products' names.
    pub fn names(&self) -> Vec<String> {
        self.products.iter().map(|(name, ..)| name.clone()).collect()
    }

    /// The judgement about one part. What has no limits is no known product; a score that is no number is refused.
    pub fn judge(&self, score: f32, embedding: &[f32]) -> Judgement {
        let prototypes = self.products.iter().map(|(_, prototype, _)| prototype);
        let Some(nearest) = nearest(prototypes, embedding) else {
            let decision = Decision::UnknownProduct;
            return Judgement { nearest: None, distance: None, decision };
        };
        let (name, _, limits) = &self.products[nearest.index];
        let decision = match limits {
            Some(limits) if nearest.distance <= limits.radius => {
                if score <= limits.threshold {
                    Decision::Pass
                } else {
                    Decision::Fail
                }
            }
            _ => Decision::UnknownProduct,
        };
        Judgement { nearest: Some(name.clone()), distance: Some(nearest.distance), decision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, direction: [f32; 2], frames: u16) -> Class {
        let scores = (1..=frames).map(|i| f32::from(i) / 100.0).collect();
        let distances = (1..=frames).map(|i| f32::from(i) / 1000.0).collect();
        Class {
            name: name.into(),
            prototype: Prototype { direction: direction.to_vec() },
            calibration: (frames > 0).then(|| Calibration::new(scores, distances, "test").unwrap()),
        }
    }

    #[test]
    fn a_part_is_held_against_the_limits_of_the_nearest_product() {
        let classes = [class("cap", [1.0, 0.0], 99), class("gear", [0.0, 1.0], 9)];
        let standards = Standards::new(&classes, RejectRate::new(0.02).unwrap());
        assert_eq!(standards.unrated(), ["gear"]);
        let check = |score: f32, embedding: [f32; 2], nearest: &str, decision: Decision| {
            let found = standards.judge(score, &embedding);
            assert_eq!((found.nearest.as_deref(), found.decision), (Some(nearest), decision));
        };
        check(0.99, [1.0, 0.0], "cap", Decision::Pass);
        check(1.0, [1.0, 0.0], "cap", Decision::Fail);
        check(f32::NAN, [1.0, 0.0], "cap", Decision::Fail);
        check(0.1, [0.8, 0.6], "cap", Decision::UnknownProduct);
        // Nine frames: only what is beyond all of them is refused.
        check(0.09, [0.0, 1.0], "gear", Decision::Pass);
        check(0.1, [0.0, 1.0], "gear", Decision::Fail);
        let uncalibrated =
            Standards::new(&[class("cap", [1.0, 0.0], 0)], RejectRate::new(0.5).unwrap());
        assert_eq!(uncalibrated.judge(0.0, &[1.0, 0.0]).decision, Decision::UnknownProduct);
    }
}
