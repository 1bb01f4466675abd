//! The archive: pictures of what was refused, of what nobody knows, and of some that passed.
//!
//! `policy` decides whose pictures are kept, `intake` is the engine's end and never waits, `keeper` the thread that
//! encodes (`pictures`), makes room (`retention`) and writes (`store`); `names` is the rule by which everything is found
//! again, `tally` what is counted.
//!
//! Invariants: a frame's evidence is whole or not there, and its row in the ledger comes after it and goes before it;
//! each refused frame has a row, kept or missing with the reason; nothing is removed because an index lacks it; only
//! names of the archive's own are ever touched. Knows no HTTP and no station.

mod intake;
mod keeper;
pub mod names;
pub mod pictures;
pub mod policy;
pub mod retention;
pub mod store;
mod tally;

use std::path::PathBuf;

pub use self::{
    intake::{Intake, Means},
    retention::Caps,
    store::{Store, StoreError},
    tally::Tally,
};

/// What the archive is to do.
#[derive(Clone, Debug)]
pub struct ArchiveOptions {
    /// The ledger's file, which says what the archive holds.
    pub ledger: PathBuf,
    /// One of so many that passed is kept; 0 keeps none.
    pub passes_every: u64,
    /// How much is kept.
    pub caps: Caps,
    /// JPEG's, from 1 to 100.
    pub jpeg_quality: u8,
}
