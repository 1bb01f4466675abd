//! The `sightline` command: hands the arguments to `cli` and turns a fault's class into an exit code.
//!
//! Nothing else belongs here.

use std::process::ExitCode;

fn main() -> ExitCode {
    sightline::cli::main(std::env::args_os())
}
