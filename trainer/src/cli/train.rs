//! `sightline-train train`: a recipe, a data set and a teacher become a checkpoint.

use std::path::PathBuf;

use tch::Device;

use super::{bars, data::DataArguments, recipe_or_default};
use crate::{
    dataset::screen::Needed,
    recipe::{Ccl, Recipe},
    run::{self, RunOptions, Start},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataArguments,

    /// Weights of the frozen teacher (.safetensors, torchvision's names).
    #[arg(long, value_name = "FILE", required_unless_present = "refine")]
    teacher: Option<PathBuf>,

    /// Instead of a teacher: the checkpoint of an earlier run, whose weights are trained on.
    #[arg(long, value_name = "FILE", conflicts_with = "teacher")]
    refine: Option<PathBuf>,

    /// The checkpoint to write (.safetensors); a log is written beside it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// A TOML file with keys of the recipe; what it leaves out has the published value.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,

    /// Optimiser steps, instead of the recipe's.
    #[arg(long, value_name = "N")]
    iterations: Option<u64>,

    /// Contrastive losses, instead of the recipe's.
    #[arg(long)]
    ccl: Option<Ccl>,

    /// Seed, instead of the recipe's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut recipe: Recipe = recipe_or_default(arguments.recipe.as_deref())?;
    recipe.iterations = arguments.iterations.unwrap_or(recipe.iterations);
    recipe.ccl = arguments.ccl.unwrap_or(recipe.ccl);
    recipe.seed = arguments.seed.unwrap_or(recipe.seed);
    recipe.validate()?;
    let data = arguments.data.screened(arguments.data.read()?, Needed::Good, &recipe.geometry())?;
    if data.classes.len() == 1 && recipe.ccl != Ccl::None {
        bars::note("one product: there is no other to contrast it with, so `ccl` is \"none\"");
        recipe.ccl = Ccl::None;
    }
    let start = match (&arguments.refine, &arguments.teacher) {
        (Some(checkpoint), _) => Start::Checkpoint(checkpoint.clone()),
        (None, Some(teacher)) => Start::Teacher(teacher.clone()),
        (None, None) => anyhow::bail!("name a --teacher, or a checkpoint to --refine"),
    };
    let options =
        RunOptions { start, out: arguments.out.clone(), device: Device::cuda_if_available() };
    let bar = bars::bar("train");
    run::train(&recipe, &data, &options, &bar)?;
    bars::note(&format!("checkpoint {}", arguments.out.display()));
    Ok(())
}
