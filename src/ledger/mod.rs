//! The ledger: what became of every frame, at any moment and after any end.
//!
//! `account` is one camera's handle: counters (`balance` is their equation) and, where there is a ledger file, the way
//! into it. `writer` is the thread that commits, `book` the file itself, `settled` the arithmetic of numbers, `evidence`
//! what is said of pictures, `triggers` of parts that a PLC announced, `audit` reads what is there, `outbox` reads on from
//! what was sent. The file is SQLite: nothing else of Sightline knows SQL.
//!
//! Invariants: every number ends in exactly one disposition, in memory and at each commit; numbers are reserved in the
//! file before they are given, so that after `kill -9` the open ones are found and closed as faulted; whoever gives a
//! disposition never waits for the disk: what the file could not take is recorded as such.
//! Knows no pixels and no pipeline.

pub mod account;
pub mod audit;
pub mod balance;
pub mod book;
mod counters;
pub mod evidence;
pub mod outbox;
pub mod past;
mod settled;
pub mod triggers;
pub mod writer;

pub use self::{
    account::{Account, Reserving},
    balance::{Balance, DropReason, FaultReason, Parts},
    book::{LedgerError, Retention},
    writer::{Ledger, LedgerOptions},
};

/// What became of frames that have no verdict in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjudged {
    /// Taken out.
    Dropped(DropReason),
    /// Could not be judged.
    Faulted(FaultReason),
    /// Came to some end while the file could not be written: counted and told, not recorded one by one.
    Unrecorded,
}

impl Unjudged {
    /// The word for the disposition.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dropped(_) => "dropped",
            Self::Faulted(_) => "faulted",
            Self::Unrecorded => "unrecorded",
        }
    }

    /// The word for the reason.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Dropped(reason) => reason.name(),
            Self::Faulted(reason) => reason.name(),
            Self::Unrecorded => "the ledger could not be written",
        }
    }
}
