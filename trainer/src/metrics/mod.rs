//! The field's metrics, over scores, masks and labels. Pure: numbers in, numbers out.
//!
//! Exact: every different score is a threshold, ties are decided together, and no curve is binned. Each is checked
//! against a second implementation in `tests/metrics.rs`.

pub mod binomial;
mod components;
mod ranking;
mod v_measure;

pub use components::Regions;
pub use ranking::{F1Max, FPR_MAX, Ranking, Scores, Step, thinned};
pub use v_measure::{VMeasure, v_measure};
