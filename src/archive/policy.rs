//! Which judged frames' pictures are kept.
//!
//! Pure. What was refused and what nobody knows always; of what passed one frame of so many, each product of each camera
//! counted for itself, so that a rare product is among them. A part that nobody judged has no evidence to keep.

use std::{collections::BTreeMap, sync::Arc};

use crate::{ledger::evidence::Kind, record::Record};

/// Decides for one frame after another.
#[derive(Debug)]
pub struct Policy {
    /// One of so many that passed; 0 keeps none of them.
    passes_every: u64,
    /// Frames that passed, by camera and product: as many as the model has products.
    passed: BTreeMap<(Arc<str>, Arc<str>), u64>,
}

impl Policy {
    /// Keeps one of so many frames that passed; 0 keeps none of them.
    pub fn new(passes_every: u64) -> Self {
        Self { passes_every, passed: BTreeMap::new() }
    }

    /// As what this frame's pictures are kept; `None` where they are not. Asked once for each frame.
    pub fn wants(&mut self, record: &Record) -> Option<Kind> {
        let kind = Kind::of(record.verdict.decision)?;
        let nearest = record.verdict.recognition.as_ref();
        let product = nearest.map_or_else(|| "".into(), |nearest| Arc::clone(&nearest.product));
        self.is_wanted(kind, (Arc::clone(&record.origin.camera), product)).then_some(kind)
    }

    fn is_wanted(&mut self, kind: Kind, from: (Arc<str>, Arc<str>)) -> bool {
        match kind {
            Kind::Fail | Kind::UnknownProduct => true,
            Kind::Pass if self.passes_every == 0 => false,
            Kind::Pass => {
                let passed = self.passed.entry(from).or_default();
                let is_due = passed.is_multiple_of(self.passes_every);
                *passed += 1;
                is_due
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_refused_is_wanted_always_and_of_each_product_one_pass_of_so_many(
            every in 0_u64..6,
            frames in prop::collection::vec((0_usize..3, 0_u8..3, 0_u8..2), 0..200),
        ) {
            let mut policy = Policy::new(every);
            let mut passes: BTreeMap<(u8, u8), (u64, u64)> = BTreeMap::new();
            for (kind, product, camera) in frames {
                let kind = Kind::ALL[kind];
                let from = (camera.to_string().into(), product.to_string().into());
                let is_wanted = policy.is_wanted(kind, from);
                if kind == Kind::Pass {
                    let (seen, kept) = passes.entry((camera, product)).or_default();
                    *seen += 1;
                    *kept += u64::from(is_wanted);
                } else {
                    prop_assert!(is_wanted);
                }
            }
            for (seen, kept) in passes.into_values() {
                prop_assert_eq!(kept, if every == 0 { 0 } else { seen.div_ceil(every) });
            }
        }
    }
}
