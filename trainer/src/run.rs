//! A training run: batches in, checkpoint out, progress in between.
//!
//! Owns the loop around the step, the log beside the checkpoint and the order of files: a checkpoint appears
//! whole. Knows no command line.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use indicatif::ProgressBar;
use network::weights::Weights;
use tch::Device;

use crate::{
    checkpoint::{Checkpoint, Manifest},
    dataset::{
        self, Dataset,
        prefetch::{Prefetch, Source},
        sampler::Sampler,
        store::Store,
    },
    files,
    recipe::Recipe,
    training::{StepReport, Trainer},
};

/// Steps between checkpoints: some minutes on a small machine.
const CHECKPOINT_EVERY: u64 = 100;
/// Undisturbed batches after the last step, from which batch normalisation takes its statistics: a thousand images.
const SETTLING_BATCHES: u64 = 64;

/// What a run begins with.
#[derive(Clone, Debug)]
pub enum Start {
    /// Weights of the frozen teacher, torchvision's names; everything else is drawn from the seed.
    Teacher(PathBuf),
    /// The checkpoint of another run with the same architecture, all of it.
    Checkpoint(PathBuf),
}

/// Where a run reads and writes.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What it begins with.
    pub start: Start,
    /// The checkpoint; the log lies beside it, with the extension `log.jsonl`.
    pub out: PathBuf,
    /// What it runs on.
    pub device: Device,
}

/// Trains a network on a data set.
pub fn train(
    recipe: &Recipe,
    data: &Dataset,
    options: &RunOptions,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    recipe.validate()?;
    let (mut trainer, refines) = begin(recipe, options)?;
    let parts = data.split(recipe.calibration_share, recipe.seed).training;
    let fingerprint = dataset::fingerprint_of(data, &parts)?;
    let class_of_image: Vec<usize> = parts.iter().map(|part| part.class).collect();
    let sampler = Sampler::new(
        &class_of_image,
        recipe.batch_classes,
        recipe.batch_images_per_class,
        recipe.seed,
    );
    let source = Source {
        store: Store::new(recipe.geometry(), parts.into_iter().map(|part| part.path).collect()),
        class_of_image,
        sampler,
        views_before_step: if recipe.ccl.local() { recipe.iterations } else { 0 },
        seed: recipe.seed,
    };
    let batches = Prefetch::start(Arc::new(source), 0..recipe.iterations + SETTLING_BATCHES)?;
    let mut log = Log::create(&options.out)?;
    // What is not finished must not pass for a model: it has a name of its own.
    let unfinished = files::unfinished(&options.out);
    let save = |trainer: &Trainer, path: &Path| {
        let manifest = Manifest {
            refines: refines.clone(),
            ..Manifest::new(recipe.clone(), trainer.steps(), data.names(), fingerprint.clone())
        };
        Checkpoint { manifest, weights: trainer.weights() }.save(path)
    };
    let early = |trainer: &Trainer| {
        // Its own panic was printed.
        anyhow::anyhow!(
            "the thread that makes batches ended at step {} of {}; please report it",
            trainer.steps(),
            recipe.iterations
        )
    };
    bar.set_length(recipe.iterations);
    while trainer.steps() < recipe.iterations {
        // With the time that the batch was waited for.
        let started = Instant::now();
        let batch = batches.next().ok_or_else(|| early(&trainer))??;
        let report = trainer.step(&batch)?;
        let images_per_second = batch.classes.len() as f64 / started.elapsed().as_secs_f64();
        log.row(trainer.steps(), &report, images_per_second)?;
        bar.set_message(message(&report, images_per_second));
        bar.inc(1);
        if trainer.steps().is_multiple_of(CHECKPOINT_EVERY) {
            save(&trainer, &unfinished)?;
        }
    }
    bar.set_message("batch normalisation settles");
    for done in 0..SETTLING_BATCHES {
        let batch = batches.next().ok_or_else(|| early(&trainer))??;
        trainer.settle(&batch, done);
    }
    save(&trainer, &options.out)?;
    files::remove_if_there(&unfinished)?;
    bar.finish();
    Ok(())
}

fn begin(
    recipe: &Recipe,
    options: &RunOptions,
) -> anyhow::Result<(Trainer, Option<Box<Manifest>>)> {
    match &options.start {
        Start::Teacher(path) => {
            let teacher = Weights::load(path)?
                .without(network::teacher::is_classifiers)
                .under(network::detector::roots::TEACHER);
            Ok((Trainer::new(recipe.clone(), &teacher, options.device)?, None))
        }
        Start::Checkpoint(path) => {
            let Checkpoint { manifest, weights } = Checkpoint::load(path)?;
            let trainer = Trainer::refine(recipe.clone(), &weights, options.device)
                .with_context(|| format!("refine {}", path.display()))?;
            Ok((trainer, Some(Box::new(manifest))))
        }
    }
}

fn message(report: &StepReport, images_per_second: f64) -> String {
    let StepReport { reconstruction, local, global, .. } = report;
    format!(
        "reconstruction {reconstruction:.4}  local {local:.4}  global {global:.4}  {images_per_second:.1} images/s"
    )
}

/// One JSON object per step.
struct Log {
    file: std::fs::File,
    path: PathBuf,
}

impl Log {
    fn create(checkpoint: &Path) -> anyhow::Result<Self> {
        let path = checkpoint.with_extension("log.jsonl");
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("create {}", folder.display()))?;
        }
        let file = std::fs::File::create(&path)
            .with_context(|| format!("create the log {}", path.display()))?;
        Ok(Self { file, path })
    }

    fn row(&mut self, step: u64, report: &StepReport, rate: f64) -> anyhow::Result<()> {
        let row = serde_json::json!({
            "step": step,
            "reconstruction": report.reconstruction,
            "local": report.local,
            "global": report.global,
            "gradient_norm": report.gradient_norm,
            "images_per_second": rate,
        });
        writeln!(self.file, "{row}").with_context(|| format!("write {}", self.path.display()))
    }
}
