//! What is wanted of a judge at one camera: rates, and the products that may come.
//!
//! Pure. Owns no decision: `mod` holds parts against it.

use std::collections::{BTreeMap, BTreeSet};

use bundle::{calibration::RejectRate, schema::Class};

use super::{Attention, DriftOptions, PartRule, RecipeError, Unrated};

/// What one camera's parts are held against.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The false-reject rate of every product that has none of its own.
    pub rate: RejectRate,
    /// Rates of single products, by name.
    pub rates: BTreeMap<String, RejectRate>,
    /// The products that may come by here; `None` for all that the model knows.
    pub expected: Option<BTreeSet<String>>,
    /// What happens when a calibration cannot support its rate.
    pub unrated: Unrated,
    /// Where it looks, and how large a defect is.
    pub attention: Attention,
    /// How frames make parts; `None` where each frame is a part.
    pub part: Option<PartRule>,
    /// How it is watched whether parts and pictures stay as they were; `None` for not at all.
    pub drift: Option<DriftOptions>,
}

impl Recipe {
    /// One rate for every product, all of which may come.
    pub fn of(rate: RejectRate, unrated: Unrated) -> Self {
        Self {
            rate,
            rates: BTreeMap::new(),
            expected: None,
            unrated,
            attention: Attention::EVERYTHING,
            part: None,
            drift: None,
        }
    }

    /// A product's rate.
    pub fn rate_of(&self, product: &str) -> RejectRate {
        self.rates.get(product).copied().unwrap_or(self.rate)
    }

    /// Whether a product may come by.
    pub fn expects(&self, product: &str) -> bool {
        self.expected.as_ref().is_none_or(|expected| expected.contains(product))
    }

    /// Every name must be one of the model's.
    pub(super) fn check(&self, classes: &[Class]) -> Result<(), RecipeError> {
        let mut named = self.rates.keys().chain(self.expected.iter().flatten());
        let is_known = |name: &&String| classes.iter().any(|class| class.name == **name);
        match named.find(|name| !is_known(name)) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<_> = classes.iter().map(|class| class.name.as_str()).collect();
                Err(RecipeError::UnknownProduct { name: name.clone(), known: known.join(", ") })
            }
        }
    }
}
