//! The `sightline` command: hands the arguments to `cli` and turns a fault's class into an exit code.
//!
//! Nothing else belongs here.

fn main() {}
