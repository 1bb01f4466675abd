//! Where verdicts go.
//!
//! A sink owns its thread and its bounded queue; none can hold the engine of a free-running camera. Only an output
//! that is waited for on behalf of an `every` camera can, and with it the others on the same engine: they drop frames
//! and count them.
//! Knows nothing of how a verdict came about.

pub mod line;
pub mod stdout;
