//! The command line: one match on the command, one line on standard error when it fails.
//!
//! Owns arguments, environment variables and files; no other module reads them. The only place of `anyhow`.

mod access;
mod bench;
mod cameras;
mod calibrate;
mod capture;
mod check;
mod control;
mod doctor;
#[cfg(test)]
mod pages;
mod inspect;
mod evidence;
mod ledger;
mod listen;
mod load;
mod loading;
mod model;
mod mqtt;
mod plc;
mod prepare;
mod print;
mod production;
mod recipes;
mod reload;
mod run;
mod user;

use std::{ffi::OsString, io::IsTerminal as _, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::fault::{Class, Fault};

/// Inspects every frame of a production-line camera and accounts for every frame.
#[derive(Debug, Parser)]
#[command(name = "sightline", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    global: Global,
}

#[derive(Clone, Debug, clap::Args)]
struct Global {
    /// ONNX Runtime's shared library, or the folder that holds it.
    #[arg(long, global = true, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,

    /// What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing.
    #[arg(long, global = true, value_name = "FILTER", default_value = "error,onnxruntime=off")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge what the cameras of a configuration see; without one, play the demo line.
    Run(run::Arguments),
    /// Record good parts through a camera's own pipeline into a training folder.
    Capture(capture::Arguments),
    /// Measure good parts of a product, and write the calibration that verdicts rest on.
    Calibrate(calibrate::Arguments),
    /// Judge images and folders, without a camera.
    Inspect(inspect::Arguments),
    /// Say whether a configuration, its model and its pipelines hold together.
    Check(check::Arguments),
    /// Build and verify the engine of a configuration, before its line is started.
    Prepare(prepare::Arguments),
    /// Say what this machine has of what an inspector needs, and what to do about the rest.
    Doctor(doctor::Arguments),
    /// Measure what this machine makes of a model.
    Bench(bench::Arguments),
    /// Look at what became of every frame.
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Say who may come in, and as what.
    #[command(subcommand)]
    User(user::Command),
    /// Look at a model file.
    #[command(subcommand)]
    Model(model::Command),
}

/// Runs the command of these arguments; failures are told in one line on standard error.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way, too, and belong on standard output.
            let code = if error.use_stderr() { Class::Usage.exit_code() } else { 0 };
            return if error.print().is_ok() {
                code.into()
            } else {
                Class::Output.exit_code().into()
            };
        }
    };
    let done = start_log(&arguments.global.log).and_then(|()| dispatch(&arguments));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let class = error.downcast_ref::<Fault>().map_or(Class::Bug, |fault| fault.class);
            if class != Class::Rejected {
                print::failure(&format!("{error:#}"));
            }
            class.exit_code().into()
        }
    }
}

fn dispatch(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { command, global } = arguments;
    match command {
        Command::Run(arguments) => run::run(arguments, global),
        Command::Capture(arguments) => capture::run(arguments, global),
        Command::Calibrate(arguments) => calibrate::run(arguments, global),
        Command::Inspect(arguments) => inspect::run(arguments, global),
        Command::Check(arguments) => check::run(arguments, global),
        Command::Prepare(arguments) => prepare::run(arguments, global),
        Command::Doctor(arguments) => doctor::run(arguments, global),
        Command::Bench(arguments) => bench::run(arguments, global),
        Command::Ledger(command) => ledger::run(command),
        Command::User(command) => user::run(command),
        Command::Model(command) => model::run(command, global),
    }
}

fn start_log(filter: &str) -> anyhow::Result<()> {
    let filter: EnvFilter = filter.parse().map_err(|error| {
        Fault::new(Class::Usage, format!("--log {filter}: {error}; try --log info"))
    })?;
    // A journal or a file keeps colours as garbage.
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        // A log that takes no line, on a full disk or without a reader, must not end the thread that wrote it.
        .log_internal_errors(false)
        .init();
    Ok(())
}
