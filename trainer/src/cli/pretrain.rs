//! `sightline-train pretrain`: a teacher of our own, from generated pictures.

use std::path::PathBuf;

use super::{bars, recipe_or_default};
use crate::pretrain::{self, PretrainRecipe};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The weights to write (.safetensors, torchvision's names).
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// A TOML file with keys of the pretraining recipe.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,

    /// Optimiser steps, instead of the recipe's.
    #[arg(long, value_name = "N")]
    iterations: Option<u64>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut recipe: PretrainRecipe = recipe_or_default(arguments.recipe.as_deref())?;
    recipe.iterations = arguments.iterations.unwrap_or(recipe.iterations);
    let accuracy = pretrain::pretrain(&recipe, &arguments.out, &bars::bar("pretrain"))?;
    let percent = accuracy * 100.0;
    bars::note(&format!("teacher {}: accuracy {percent:.1} %", arguments.out.display()));
    Ok(())
}
