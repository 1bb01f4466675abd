//! `sightline-train train`: a recipe, a data set and a teacher become a checkpoint.

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use network::Backbone;
use serde::Deserialize;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{
    bars,
    data::DataArguments,
    device::{self, Wanted},
    recipe_or_default,
};
use crate::{
    dataset::{Dataset, screen::Needed},
    recipe::{Ccl, Classes, Recipe},
    run::{self, Outcome, RunOptions, Start},
    teacher::{
        Source, Teacher,
        hub::{Hub, Limits, Settings},
        remote,
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataArguments,

    /// Weights of the frozen teacher: a .safetensors file under torchvision's names, or `resnet18`, `resnet34` or
    /// `wide_resnet50_2` from the Hugging Face hub or its cache (docs/teachers.md).
    #[arg(long, value_name = "NAME|FILE", required_unless_present_any = ["refine", "resume"])]
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

    /// What the contrastive losses take for a class: `products`, `pseudo` or `pseudo:K`, instead of the recipe's.
    #[arg(long, value_name = "CLASSES")]
    classes: Option<Classes>,

    /// Seed, instead of the recipe's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Learns these products of the data set alone.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    products: Option<Vec<String>>,

    /// `cpu`, `cuda` or `cuda:N`; the first GPU that libtorch can use, else the CPU, when left out.
    #[arg(long, value_name = "DEVICE")]
    device: Option<Wanted>,

    /// Goes on with a run that was interrupted, from OUT.unfinished, to the weights that it would have ended in.
    #[arg(long, conflicts_with_all = ["teacher", "refine", "recipe", "iterations", "ccl", "classes", "seed", "products"])]
    resume: bool,
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
    let whole = arguments.data.read()?;
    let (recipe, data) = if arguments.resume {
        let manifest = run::unfinished(&arguments.out)?;
        (manifest.recipe, whole.only(&manifest.classes)?)
    } else {
        let data = arguments.products.as_ref().map(|names| whole.only(names)).transpose()?;
        let data = data.unwrap_or(whole);
        (recipe(arguments, &data)?, data)
    };
    recipe.validate()?;
    let data = arguments.data.screened(data, Needed::Good, &recipe.geometry())?;
    let source = arguments.teacher.as_deref().map(Source::of);
    let start = match (&arguments.refine, source) {
        _ if arguments.resume => Start::Unfinished,
        (Some(checkpoint), _) => Start::Checkpoint(checkpoint.clone()),
        (None, Some(source)) => Start::Teacher(teacher(&source)?),
        (None, None) => anyhow::bail!("name a --teacher, or a checkpoint to --refine"),
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first one stops after the step, the second ends the process at once, by the signal.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let out = arguments.out.clone();
    let options = RunOptions { start, out, device: device::of(arguments.device)?, stop };
    let out = arguments.out.display();
    match run::train(&recipe, &data, &options, bars::bar)? {
        Outcome::Finished(pace) => bars::note(&format!(
            "checkpoint {out}: {:.1} images/s, {:.1} % of the time waiting for data",
            pace.images_per_second(),
            pace.waiting_share() * 100.0
        )),
        Outcome::Stopped { step } => bars::note(&format!(
            "stopped at step {step} of {}; `sightline-train train --resume {} --out {out}` goes on",
            recipe.iterations, arguments.data
        )),
    }
    Ok(())
}

/// The recipe file's keys with what the command line says instead.
fn recipe(arguments: &Arguments, data: &Dataset) -> anyhow::Result<Recipe> {
    let mut recipe: Recipe = recipe_or_default(arguments.recipe.as_deref())?;
    if let Some(Source::Published(backbone)) = arguments.teacher.as_deref().map(Source::of) {
        let stated: Stated = recipe_or_default(arguments.recipe.as_deref())?;
        recipe = recipe.with_teacher(backbone, stated.architecture.map(|a| a.backbone))?;
    }
    recipe.iterations = arguments.iterations.unwrap_or(recipe.iterations);
    recipe.ccl = arguments.ccl.unwrap_or(recipe.ccl);
    recipe.classes = arguments.classes.unwrap_or(recipe.classes);
    recipe.seed = arguments.seed.unwrap_or(recipe.seed);
    let is_alone = data.classes.len() == 1 && recipe.classes == Classes::Products;
    if is_alone && recipe.ccl != Ccl::None {
        bars::note("one product: there is no other to contrast it with, so `ccl` is \"none\"");
        recipe.ccl = Ccl::None;
    }
    Ok(recipe)
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
