//! The companion trainer: data, losses, training, metrics, calibration, export.
//!
//! Makes the one file that the inspector runs. Depends on `network` (what is computed) and
//! `bundle` (what the file carries); the inspector never depends on it.

pub mod checkpoint;
pub mod files;
pub mod loss;
pub mod recipe;
pub mod torch;
pub mod training;
