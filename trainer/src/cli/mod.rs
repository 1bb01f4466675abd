//! The command line of `sightline-train`: one match on the command, one line on standard error when it fails.
//!
//! Owns arguments, progress bars and exit codes; the library knows none of them.

mod bars;
mod evaluate;
mod exit;
mod train;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

/// Trains, evaluates, calibrates and exports the model that Sightline runs.
#[derive(Debug, Parser)]
#[command(name = "sightline-train", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Learn from the good parts of a data set.
    Train(train::Arguments),
    /// Measure how well defective parts are told from good ones.
    #[command(subcommand)]
    Evaluate(evaluate::Command),
}

/// Runs the command of these arguments.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way, too, and belong on standard output.
            let code = if error.use_stderr() { exit::Code::Usage } else { exit::Code::Ok };
            return if error.print().is_ok() { code.into() } else { exit::Code::Output.into() };
        }
    };
    let done = match &arguments.command {
        Command::Train(arguments) => train::run(arguments),
        Command::Evaluate(command) => evaluate::run(command),
    };
    match done {
        Ok(()) => exit::Code::Ok.into(),
        Err(error) => {
            bars::note(&format!("sightline-train: {error:#}").replace('\n', " "));
            exit::Code::of(&error).into()
        }
    }
}
