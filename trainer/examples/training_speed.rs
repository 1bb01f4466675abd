//! How fast a training run is beside its bare forward and backward passes:
//! `cargo run --release --package sightline-trainer --example training_speed -- DATA TEACHER.safetensors RECIPE.toml`.
//!
//! Three kinds of blocks in turn, so that what else the machine does strikes all: steps on batches as a run gets them,
//! steps on one batch in memory, and forward and backward passes on that batch.

#![allow(clippy::print_stdout, reason = "a measurement is printed")]

use std::{path::PathBuf, sync::Arc, time::Instant};

use anyhow::Context as _;
use indicatif::ProgressBar;
use network::detector::roots;
use tch::Device;
use trainer::{
    dataset::{
        self, Learned,
        prefetch::{Prefetch, Source},
        store::Store,
    },
    recipe::Recipe,
    run::Pace,
    teacher::Teacher,
    training::Trainer,
};

/// Repetitions of the three kinds of blocks.
const ROUNDS: u64 = 6;
/// Steps of a block: several times what the queue of batches holds.
const STEPS: u64 = 8;

fn main() -> anyhow::Result<()> {
    trainer::torch::keep_freed_memory();
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [data, teacher, recipe] = paths.as_slice() else {
        anyhow::bail!("usage: training_speed DATA TEACHER.safetensors RECIPE.toml")
    };
    let recipe: Recipe = toml::from_str(&std::fs::read_to_string(recipe)?)?;
    let data = dataset::read(std::slice::from_ref(data))?;
    let parts = data.split(recipe.calibration_share, recipe.seed, &Learned::new())?.training;
    let (classes, paths) = parts.into_iter().map(|part| (part.class, part.path)).unzip();
    let store = Store::new(recipe.geometry(), paths);
    let source = Arc::new(Source::new(&recipe, store, classes));
    let teacher = Teacher::file(teacher)?.weights(&recipe.architecture)?.under(roots::TEACHER);
    let mut trainer = Trainer::new(recipe, &teacher, Device::Cpu)?;
    let [mut run, mut in_memory, mut bare] = [Pace::default(); 3];
    let bar = ProgressBar::new(ROUNDS * 3 * STEPS);
    for round in 0..=ROUNDS {
        let from = round * (STEPS + 1);
        let batches = Prefetch::start(Arc::clone(&source), from..from + STEPS + 1)?;
        let next =
            || batches.next().context("a batch for every step")?.map_err(anyhow::Error::from);
        let first = next()?;
        trainer.step(&first)?;
        // The first round decodes and warms up.
        let count = |pace: &mut Pace, started: Instant, waited| {
            if round > 0 {
                pace.add(first.classes.len(), started.elapsed(), waited);
                bar.inc(1);
            }
        };
        for _ in 0..STEPS {
            let started = Instant::now();
            let batch = next()?;
            let waited = started.elapsed();
            trainer.step(&batch)?;
            count(&mut run, started, waited);
        }
        for _ in 0..STEPS {
            let started = Instant::now();
            trainer.step(&first)?;
            count(&mut in_memory, started, std::time::Duration::ZERO);
        }
        for _ in 0..STEPS {
            let started = Instant::now();
            trainer.gradients(&first)?;
            count(&mut bare, started, std::time::Duration::ZERO);
        }
    }
    bar.finish_and_clear();
    let rate = |pace: &Pace| pace.images_per_second();
    println!(
        "run                  {:.2} images/s, {:.2} % of it waiting",
        rate(&run),
        run.waiting_share() * 100.0
    );
    println!("steps in memory      {:.2} images/s", rate(&in_memory));
    println!("forward and backward {:.2} images/s", rate(&bare));
    println!("run / forward and backward {:.3}", rate(&run) / rate(&bare));
    Ok(())
}
