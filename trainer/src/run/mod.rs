//! A training run: batches in, checkpoint out, progress in between.
//!
//! Owns the loop around the step and the order of files: a checkpoint appears whole, and what is not finished has a
//! name of its own from which the run can go on. Knows no command line and no test image.

mod log;
mod start;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use indicatif::ProgressBar;
use network::weights::Weights;
use tch::Device;

use self::log::Log;
pub use self::{
    log::{LogRow, read_log},
    start::{Start, unfinished},
};
use crate::{
    checkpoint::{Checkpoint, Manifest},
    dataset::{
        Dataset, Learned,
        prefetch::{Prefetch, Source},
        store::Store,
    },
    files, pseudo,
    recipe::{Classes, Recipe},
    training::{StepReport, Trainer},
};

/// Steps between checkpoints: some minutes on a small machine.
const CHECKPOINT_EVERY: u64 = 100;
/// Undisturbed batches after the last step, from which batch normalisation takes its statistics: a thousand images.
const SETTLING_BATCHES: u64 = 64;

/// Where a run reads and writes.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What it begins with.
    pub start: Start,
    /// The checkpoint; the log lies beside it, with the extension `log.jsonl`. Both have these names when the run has
    /// ended, and end in `.unfinished` before.
    pub out: PathBuf,
    /// What it runs on.
    pub device: Device,
    /// Becomes true when the run is to stop after the step it is at.
    pub stop: Arc<AtomicBool>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// All steps are done and the checkpoint is there.
    Finished(Pace),
    /// It was asked to stop; the unfinished checkpoint is that of this step.
    Stopped {
        /// Steps done.
        step: u64,
    },
}

/// How fast a run went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Images learned from.
    pub images: u64,
    /// All time in steps, waiting included.
    pub time: Duration,
    /// Time in which the next batch was not ready.
    pub waiting: Duration,
}

impl Pace {
    /// Counts one batch.
    pub fn add(&mut self, images: usize, time: Duration, waiting: Duration) {
        self.images += images as u64;
        self.time += time;
        self.waiting += waiting;
    }

    /// Images a second.
    pub fn images_per_second(&self) -> f64 {
        self.images as f64 / self.time.as_secs_f64().max(1e-9)
    }

    /// Share of the time in which libtorch had nothing to do, 0 to 1.
    pub fn waiting_share(&self) -> f64 {
        self.waiting.as_secs_f64() / self.time.as_secs_f64().max(1e-9)
    }
}

/// Trains a network on the good parts of a data set; its test images are never opened.
pub fn train(
    recipe: &Recipe,
    data: &Dataset,
    options: &RunOptions,
    bar: impl Fn(&'static str) -> ProgressBar,
) -> anyhow::Result<Outcome> {
    recipe.validate()?;
    let begun = start::begin(recipe, options)?;
    let mut trainer = begun.trainer;
    let before = begun.refines.as_ref().map(|earlier| earlier.learned.clone()).unwrap_or_default();
    let split = data.split(recipe.calibration_share, recipe.seed, &before)?;
    let fingerprint = split.fingerprint(data);
    let learned: Learned = split.learned().into_iter().chain(before).collect();
    let parts = split.training;
    begun.expects.check(&data.names(), &fingerprint)?;
    let products: Vec<usize> = parts.iter().map(|part| part.class).collect();
    let store = Store::new(recipe.geometry(), parts.into_iter().map(|part| part.path).collect());
    let class_of_image = match recipe.classes {
        Classes::Products => products,
        Classes::Pseudo { count } => {
            pseudo::classes(&trainer, &store, count, &products, &bar("pseudo-classes"))?
        }
    };
    let source = Source::new(recipe, store, class_of_image);
    let steps = trainer.steps()..recipe.iterations + SETTLING_BATCHES;
    let batches = Prefetch::start(Arc::new(source), steps)?;
    let mut log = Log::open(&options.out, trainer.steps())?;
    // What is not finished must not pass for a model: it has a name of its own.
    let unfinished = files::unfinished(&options.out);
    let manifest = |trainer: &Trainer| Manifest {
        teacher: begun.teacher.clone(),
        refines: begun.refines.clone(),
        learned: learned.clone(),
        ..Manifest::new(recipe.clone(), trainer.steps(), data.names(), fingerprint.clone())
    };
    // The losses of a step are those before its update, whose outcome nothing has looked at yet.
    let numbers = |trainer: &Trainer| -> anyhow::Result<Weights> {
        let weights = trainer.weights();
        weights.check_values().with_context(|| format!("step {}", trainer.steps()))?;
        Ok(weights)
    };
    let save_unfinished = |trainer: &Trainer| {
        let state = Some(trainer.state());
        let checkpoint =
            Checkpoint { manifest: manifest(trainer), weights: numbers(trainer)?, state };
        checkpoint.save(&unfinished)
    };
    let is_left = |saved: u64| {
        let path = unfinished.display();
        if saved > 0 { format!("{path} holds step {saved}") } else { "nothing was saved".into() }
    };
    let is_stopped = || options.stop.load(Ordering::Relaxed);
    let early = |trainer: &Trainer| {
        // Its own panic was printed.
        anyhow::anyhow!(
            "the thread that makes batches ended at step {} of {}; please report it",
            trainer.steps(),
            recipe.iterations
        )
    };
    let bar = bar("train");
    bar.set_length(recipe.iterations);
    bar.set_position(trainer.steps());
    // What an earlier run did says nothing of this one's pace.
    bar.reset_eta();
    let mut pace = Pace::default();
    let mut saved = trainer.steps();
    while trainer.steps() < recipe.iterations {
        if is_stopped() {
            save_unfinished(&trainer)?;
            return Ok(Outcome::Stopped { step: trainer.steps() });
        }
        let started = Instant::now();
        let batch = batches.next().ok_or_else(|| early(&trainer))??;
        let waiting = started.elapsed();
        let report = trainer.step(&batch).with_context(|| is_left(saved))?;
        let time = started.elapsed();
        pace.add(batch.classes.len(), time, waiting);
        log.row(&LogRow::new(trainer.steps(), report, batch.classes.len(), time, waiting))?;
        bar.set_message(message(&report, &pace));
        bar.inc(1);
        if trainer.steps().is_multiple_of(CHECKPOINT_EVERY) {
            save_unfinished(&trainer).with_context(|| is_left(saved))?;
            saved = trainer.steps();
        }
    }
    bar.set_message("batch normalisation settles");
    for done in 0..SETTLING_BATCHES {
        if is_stopped() {
            // A run that goes on settles from the first batch again.
            save_unfinished(&trainer)?;
            return Ok(Outcome::Stopped { step: trainer.steps() });
        }
        let batch = batches.next().ok_or_else(|| early(&trainer))??;
        trainer.settle(&batch, done);
    }
    let weights = numbers(&trainer).with_context(|| is_left(saved))?;
    Checkpoint { manifest: manifest(&trainer), weights, state: None }.save(&options.out)?;
    log.finish()?;
    files::remove_if_there(&unfinished)?;
    bar.finish();
    Ok(Outcome::Finished(pace))
}

fn message(report: &StepReport, pace: &Pace) -> String {
    let StepReport { reconstruction, local, global, .. } = report;
    format!(
        "reconstruction {reconstruction:.4}  local {local:.4}  global {global:.4}  {:.1} images/s, {:.1} % waiting",
        pace.images_per_second(),
        pace.waiting_share() * 100.0
    )
}
