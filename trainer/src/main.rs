//! `sightline-train`: hands the command line to the library and turns faults into exit codes.

fn main() {}
