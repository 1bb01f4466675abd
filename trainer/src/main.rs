//! `sightline-train`: hands the arguments to the library's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    trainer::cli::main(std::env::args_os())
}
