//! Calibrating on site: good parts are collected through the very pipeline and engine that judge.
//!
//! `collection` gathers what the frames showed, `doubt` says which of them a person should look at, `gallery` keeps
//! pictures of those, `site` is the calibration file that they end in, and `desk` lets a running station collect beside
//! its verdicts. Owns the rule that nothing is dropped because it looks odd: only a person excludes a frame, and it stays
//! in the number (`bundle::calibration::Limits`).
//! Must not know where frames come from, nor who asks.

pub mod collection;
pub mod desk;
pub mod doubt;
pub mod gallery;
pub mod site;
