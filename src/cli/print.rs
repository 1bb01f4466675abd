//! The command line's own printing: results on standard output, failures on standard error.
//!
//! Owns the rule that a result which cannot be written is a fault of its own.

use std::io::{self, Write as _};

use crate::fault::{Class, Fault};

/// Writes a line of results.
pub(super) fn line(text: &str) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| unwritable(&error))
}

/// Standard output is gone.
pub(super) fn unwritable(error: &io::Error) -> Fault {
    Fault::new(Class::Output, format!("standard output cannot be written: {error}"))
}

/// The one line of a failure.
pub(super) fn failure(text: &str) {
    note(&format!("sightline: {}", text.replace('\n', " ")));
}

/// A line for the person at the terminal, on standard error.
pub(super) fn note(text: &str) {
    // Nobody is left to be told that standard error is closed.
    drop(writeln!(io::stderr().lock(), "{text}"));
}
