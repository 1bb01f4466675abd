//! One self-contained HTML file about a measured model: what it finds, what it misses, and what that looks like.
//!
//! Owns the report's order and looks. Everything but `gather` is pure: an [`Evaluation`] and pictures in, text out. The
//! file refers to nothing outside of itself. Knows neither the command line nor how a model is run.

mod confusion;
mod figures;
mod gallery;
mod gather;
mod page;
mod palette;
mod pictures;
mod plot;
mod projection;
mod tables;

#[cfg(test)]
mod tests;

use bundle::{geometry::Size, schema::Class};

use crate::{evaluate::Evaluation, run::LogRow};

pub use gather::{Gallery, gather};
pub use page::html;
pub use plot::PlotError;

/// What was measured, on what and when, in words.
#[derive(Clone, Debug)]
pub struct About {
    /// The model's name, with its version where it has one.
    pub model: String,
    /// The file it was read from.
    pub model_file: String,
    /// The test set's folder.
    pub data: String,
    /// When, RFC 3339.
    pub when: String,
    /// The network's input.
    pub input: Size,
}

/// How a training went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingLog {
    /// The model beside which it lies.
    pub beside: String,
    /// In the order of their steps.
    pub rows: Vec<LogRow>,
}

/// Everything that a report shows.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The page's head.
    pub about: &'a About,
    /// The products that the model knows.
    pub classes: &'a [Class],
    /// The measurement.
    pub evaluation: &'a Evaluation,
    /// Pictures of parts.
    pub gallery: &'a Gallery,
    /// How the training went, where its log is there.
    pub log: Option<&'a TrainingLog>,
    /// How the model was trained, key by key.
    pub recipe: &'a serde_json::Value,
}
