//! The command line of `sightline-train`: one match on the command, one line on standard error when it fails.
//!
//! Owns arguments, progress bars and exit codes; the library knows none of them.

mod bars;
mod data;
mod device;
mod evaluate;
mod exit;
mod export;
mod pretrain;
mod remember;
mod synth;
mod train;

use std::{ffi::OsString, path::Path, process::ExitCode};

use anyhow::Context as _;
use bundle::calibration::RejectRate;
use clap::{Parser, Subcommand};
use serde::de::DeserializeOwned;

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
    /// Give a trained checkpoint a memory of what good parts show.
    Remember(remember::Arguments),
    /// Look at a data set before it is trained on.
    #[command(subcommand)]
    Data(data::Command),
    /// Measure how well defective parts are told from good ones.
    #[command(subcommand)]
    Evaluate(evaluate::Command),
    /// Write the model file that the inspector runs.
    Export(export::ExportArguments),
    /// Calibrate an exported model on good parts that training did not see.
    Calibrate(export::CalibrateArguments),
    /// Render products, defects and lines.
    #[command(subcommand)]
    Synth(synth::Command),
    /// Train a teacher from scratch on generated pictures.
    Pretrain(pretrain::Arguments),
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
    if matches!(arguments.command, Command::Train(_) | Command::Pretrain(_)) {
        // Before any thread and any tensor.
        crate::torch::keep_freed_memory();
    }
    let done = match &arguments.command {
        Command::Train(arguments) => train::run(arguments),
        Command::Remember(arguments) => remember::run(arguments),
        Command::Data(command) => data::run(command),
        Command::Evaluate(command) => evaluate::run(command),
        Command::Export(arguments) => export::export(arguments),
        Command::Calibrate(arguments) => export::calibrate(arguments),
        Command::Synth(command) => synth::run(command),
        Command::Pretrain(arguments) => pretrain::run(arguments),
    };
    match done {
        Ok(()) => exit::Code::Ok.into(),
        Err(error) => {
            bars::note(&format!("sightline-train: {error:#}").replace('\n', " "));
            exit::Code::of(&error).into()
        }
    }
}

/// A recipe file's keys, or all defaults without one.
fn recipe_or_default<R: DeserializeOwned + Default>(path: Option<&Path>) -> anyhow::Result<R> {
    let Some(path) = path else { return Ok(R::default()) };
    let named = || format!("recipe {}", path.display());
    let text = std::fs::read_to_string(path).with_context(named)?;
    toml::from_str(&text).with_context(named)
}

/// The rate at which a test set is counted.
#[derive(Clone, Copy, Debug, clap::Args)]
struct RateArgument {
    /// The share of good parts that may be refused, at which false rejects and escapes are counted.
    #[arg(long, value_name = "RATE", default_value = "0.02", value_parser = reject_rate)]
    false_reject_rate: RejectRate,
}

fn reject_rate(text: &str) -> Result<RejectRate, String> {
    let rate = text.parse().map_err(|error: std::num::ParseFloatError| error.to_string())?;
    RejectRate::new(rate).map_err(|error| error.to_string())
}
