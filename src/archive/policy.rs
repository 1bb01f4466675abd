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
        match kind {
            Kind::Fail | Kind::UnknownProduct => Some(kind),
            Kind::Pass if self.passes_every == 0 => None,
            Kind::Pass => {
                let product = record.verdict.recognition.as_ref()?.product.clone();
                let passed =
                    self.passed.entry((Arc::clone(&record.origin.camera), product)).or_default();
                let is_due = passed.is_multiple_of(self.passes_every);
                *passed += 1;
                is_due.then_some(kind)
            }
        }
    }
}
