//! `sightline-train pretrain`: a teacher of our own, from generated pictures.

use std::path::PathBuf;

use anyhow::Context as _;

use super::bars;
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
    let mut recipe: PretrainRecipe = match &arguments.recipe {
        Some(path) => {
            let named = || format!("recipe {}", path.display());
            toml::from_str(&std::fs::read_to_string(path).with_context(named)?)
                .with_context(named)?
        }
        None => PretrainRecipe::default(),
    };
    recipe.iterations = arguments.iterations.unwrap_or(recipe.iterations);
    pretrain::pretrain(&recipe, &arguments.out, &bars::bar("pretrain"))?;
    bars::note(&format!("teacher {}", arguments.out.display()));
    Ok(())
}
