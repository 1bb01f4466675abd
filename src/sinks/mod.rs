//! Where verdicts go.
//!
//! A sink owns its thread and its bounded queue; none can hold the engine of a free-running camera.
//! Knows nothing of how a verdict came about.

pub mod line;
pub mod stdout;
