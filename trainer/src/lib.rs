//! The companion trainer: data, losses, training, metrics, calibration, export.
//!
//! Makes the one file that the inspector runs. Depends on `network` (what is computed) and
//! `bundle` (what the file carries); the inspector never depends on it.

pub mod recipe;
pub mod teacher;
pub mod torch;
pub mod dataset;
pub mod loss;
pub mod memory;
pub mod training;
pub mod head;
pub mod balance;
pub mod run;
pub mod checkpoint;
pub mod detector;
pub mod deployed;
pub mod metrics;
pub mod cluster;
pub mod pseudo;
pub mod remember;
pub mod evaluate;
pub mod report;
pub mod compare;
pub mod calibrate;
pub mod precision;
pub mod speed;
pub mod card;
pub mod export;
pub mod pretrain;
pub mod verdicts;
pub mod line_report;
pub mod files;
pub mod cli;
