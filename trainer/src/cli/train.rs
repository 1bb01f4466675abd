//! `sightline-train train`: a recipe, a data set and a teacher become a checkpoint.

use std::{ffi::OsString, path::PathBuf};

use network::Backbone;
use serde::Deserialize;
use tch::Device;

use super::{bars, recipe_or_default};
use crate::{
    dataset::mvtec,
    recipe::{Ccl, Recipe},
    run::{self, RunOptions, Start},
    teacher::{
        Source, Teacher,
        hub::{Hub, Limits, Settings},
        remote,
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The data set: CLASS/train/good/*, as MVTec AD lays it out.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Weights of the frozen teacher: a .safetensors file under torchvision's names, or `resnet18`, `resnet34` or
    /// `wide_resnet50_2` from the Hugging Face hub or its cache (docs/teachers.md).
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "refine")]
    teacher: Option<OsString>,

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

/// What of a recipe file a published teacher must agree with.
#[derive(Debug, Default, Deserialize)]
struct Stated {
    architecture: Option<StatedArchitecture>,
}

#[derive(Debug, Deserialize)]
struct StatedArchitecture {
    backbone: Backbone,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut recipe: Recipe = recipe_or_default(arguments.recipe.as_deref())?;
    let source = arguments.teacher.as_deref().map(Source::of);
    if let Some(Source::Published(backbone)) = source {
        let stated: Stated = recipe_or_default(arguments.recipe.as_deref())?;
        recipe = recipe.with_teacher(backbone, stated.architecture.map(|a| a.backbone))?;
    }
    recipe.iterations = arguments.iterations.unwrap_or(recipe.iterations);
    recipe.ccl = arguments.ccl.unwrap_or(recipe.ccl);
    recipe.seed = arguments.seed.unwrap_or(recipe.seed);
    let data = mvtec::read(&arguments.data)?;
    if data.classes.len() == 1 && recipe.ccl != Ccl::None {
        bars::note("one product: there is no other to contrast it with, so `ccl` is \"none\"");
        recipe.ccl = Ccl::None;
    }
    let start = match (&arguments.refine, source) {
        (Some(checkpoint), _) => Start::Checkpoint(checkpoint.clone()),
        (None, Some(source)) => Start::Teacher(teacher(&source)?),
        (None, None) => anyhow::bail!("name a --teacher, or a checkpoint to --refine"),
    };
    let options =
        RunOptions { start, out: arguments.out.clone(), device: Device::cuda_if_available() };
    let bar = bars::bar("train");
    run::train(&recipe, &data, &options, &bar)?;
    bars::note(&format!("checkpoint {}", arguments.out.display()));
    Ok(())
}

/// The teacher's file on this machine, fetched where it is not; says which it is and under what licence.
fn teacher(source: &Source) -> anyhow::Result<Teacher> {
    let backbone = match source {
        Source::File(path) => return Teacher::file(path),
        Source::Published(backbone) => *backbone,
    };
    let hub =
        Hub::new(Settings::from_environment(|name| std::env::var_os(name)), Limits::default());
    let bar = bars::bytes("teacher");
    let teacher = Teacher::published(backbone, &hub, &bar)?;
    bar.finish_and_clear();
    let Teacher { path, provenance } = &teacher;
    let page = hub.page(remote(backbone));
    let licence = match &provenance.licence {
        Some(licence) => format!("its card states the licence {licence}"),
        None => "its card could not be read, so look its licence up".to_owned(),
    };
    bars::note(&format!(
        "teacher {} at commit {}, SHA-256 {}, {}; {licence}: {page}",
        provenance.origin,
        provenance.commit.as_deref().unwrap_or_default(),
        provenance.sha256,
        path.display()
    ));
    Ok(teacher)
}
