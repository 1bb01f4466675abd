//! Which product a part was taken for.
//!
//! Pure. A part outside of every radius is taken for none.

use std::collections::BTreeMap;

use crate::evaluate::{Decision, ImageScore};

/// Parts, by true product and by the product that they were taken for; `None` is unknown.
#[derive(Clone, Debug, Default)]
pub(super) struct Confusion(BTreeMap<String, BTreeMap<Option<String>, usize>>);

impl Confusion {
    pub(super) fn of(images: &[ImageScore]) -> Self {
        let mut counts: BTreeMap<String, BTreeMap<Option<String>, usize>> = BTreeMap::new();
        for image in images {
            let taken_for = match image.decision {
                Decision::Pass | Decision::Fail => image.recognised.clone(),
                Decision::UnknownProduct => None,
            };
            *counts.entry(image.product.clone()).or_default().entry(taken_for).or_default() += 1;
        }
        Self(counts)
    }

    /// Parts of one product that were taken for another or for none.
    pub(super) fn count(&self, product: &str, taken_for: Option<&str>) -> usize {
        let row = self.0.get(product);
        row.and_then(|row| row.get(&taken_for.map(str::to_owned))).copied().unwrap_or(0)
    }

    /// All parts of a product.
    pub(super) fn total(&self, product: &str) -> usize {
        self.0.get(product).map_or(0, |row| row.values().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_outside_of_every_radius_is_taken_for_none() {
        let image = |recognised: &str, decision| ImageScore {
            path: "x.png".into(),
            product: "cap".into(),
            defect: None,
            score: 0.0,
            recognised: Some(recognised.into()),
            decision,
        };
        let confusion = Confusion::of(&[
            image("cap", Decision::Pass),
            image("cap", Decision::UnknownProduct),
            image("gear", Decision::Fail),
        ]);
        let count = |taken_for| confusion.count("cap", taken_for);
        assert_eq!((count(Some("cap")), count(Some("gear")), count(None)), (1, 1, 1));
        assert_eq!((confusion.total("cap"), confusion.total("gear")), (3, 0));
    }
}
