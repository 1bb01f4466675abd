//! Trains the small teacher from scratch on classes that formulas generate.
//!
//! Formula-driven supervised pretraining (Kataoka et al., ACCV 2020): a network that tells thousands of generated
//! shapes and textures apart has features that serve other pictures too, and its weights are nobody else's.
//! Owns the classifier around the teacher and its schedule. The teacher is the same stage that the detector uses.

use std::{path::Path, sync::Arc, time::Instant};

use anyhow::Context as _;
use bundle::geometry::RgbImage;
use crossbeam_channel::Receiver;
use indicatif::ProgressBar;
use network::{
    Architecture, Graph as _, Normalisation, Path as At,
    detector::roots,
    shapes::{Parameter, ParameterKind, Shapes},
    teacher::teacher,
    weights::Weights,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use synth::formula::FormulaClasses;
use tch::{Device, Tensor};

use crate::{
    files,
    recipe::RecipeError,
    torch::{
        Adam, AdamOptions, Mode, Precision, Shared, TorchGraph, Variables, batch_from_images, int,
    },
    training::{TrainingError, initial},
};

const HEAD: &str = "head";
/// Steps between two saves: a minute or two.
const SAVE_EVERY: u64 = 500;

/// A pretraining run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PretrainRecipe {
    /// Seed of classes, pictures and weights.
    pub seed: u64,
    /// Factor on the teacher's channel counts.
    pub width: f64,
    /// Generated classes.
    pub classes: usize,
    /// Side of a picture; a multiple of 32.
    pub image_px: usize,
    /// Pictures in a batch.
    pub batch: usize,
    /// Optimiser steps.
    pub iterations: u64,
    /// Peak of the learning rate: a short rise, then half a cosine down to 0.
    pub learning_rate: f64,
    /// In which numbers it convolves.
    pub precision: Precision,
}

impl Default for PretrainRecipe {
    fn default() -> Self {
        Self {
            seed: 42,
            width: 0.34,
            classes: 500,
            image_px: 96,
            batch: 64,
            iterations: 6000,
            learning_rate: 2e-3,
            precision: Precision::F32,
        }
    }
}

impl PretrainRecipe {
    fn architecture(&self) -> Architecture {
        Architecture { width: self.width, ..Architecture::resnet18(self.image_px) }
    }

    /// Refuses what cannot be followed.
    pub fn validate(&self) -> Result<(), RecipeError> {
        self.architecture().validate()?;
        let check = |key, value: f64, fits: bool, range| {
            if fits { Ok(()) } else { Err(RecipeError::Range { key, value, range }) }
        };
        let Self { classes, batch, iterations, learning_rate, .. } = *self;
        check("classes", classes as f64, classes > 1, "above 1")?;
        check("batch", batch as f64, (1..=4096).contains(&batch), "in 1..=4096")?;
        check("iterations", iterations as f64, iterations > 0, "above 0")?;
        let is_rate = learning_rate > 0.0 && learning_rate.is_finite();
        check("learning_rate", learning_rate, is_rate, "above 0")
    }

    fn rate(&self, step: u64) -> f64 {
        /// Share of the steps in which the rate rises.
        const WARM_UP: f64 = 0.05;
        let done = step as f64 / self.iterations as f64;
        if done < WARM_UP {
            return self.learning_rate * (done / WARM_UP).max(0.01);
        }
        let fall = (done - WARM_UP) / (1.0 - WARM_UP);
        self.learning_rate * f64::midpoint(1.0, (std::f64::consts::PI * fall).cos())
    }
}

/// Trains a teacher and writes its weights under torchvision's names; returns its accuracy in the last steps, 0 to 1.
pub fn pretrain(recipe: &PretrainRecipe, out: &Path, bar: &ProgressBar) -> anyhow::Result<f64> {
    recipe.validate()?;
    let architecture = recipe.architecture();
    let manifest = manifest(&architecture, recipe.classes);
    let weights = initial(&manifest, recipe.seed).check(&manifest)?;
    let variables = Variables::new(&manifest, &weights, Device::Cpu, |_| true);
    let mut optimiser =
        Adam::new(AdamOptions { beta1: 0.9, beta2: 0.999, ..AdamOptions::default() });
    let batches = batches(recipe)?;
    bar.set_length(recipe.iterations);
    // What is not finished must not pass for a teacher: it has a name of its own.
    let unfinished = files::unfinished(out);
    let mut accuracy = Running::default();
    let mut loss = Running::default();
    for step in 0..recipe.iterations {
        let started = Instant::now();
        let (frames, labels) = batches.recv().context(
            "the thread that renders pictures ended before the last step; please report it",
        )?;
        let logits = logits(&variables, &frames, recipe);
        let value = logits.cross_entropy_for_logits(&labels);
        variables.zero_grad();
        value.backward();
        let gradient_norm = variables.clip_grad_norm(5.0);
        let seen = value.double_value(&[]);
        if !seen.is_finite() || !gradient_norm.is_finite() {
            return Err(TrainingError::NotFinite { step, loss: seen, gradient_norm }.into());
        }
        optimiser.step(&variables, |_| recipe.rate(step));
        loss.add(seen);
        accuracy.add(logits.accuracy_for_logits(&labels).double_value(&[]));
        let rate = recipe.batch as f64 / started.elapsed().as_secs_f64();
        let (loss, accuracy) = (loss.mean, accuracy.mean * 100.0);
        bar.set_message(format!("loss {loss:.3}  accuracy {accuracy:.1} %  {rate:.0} images/s"));
        bar.inc(1);
        if (step + 1).is_multiple_of(SAVE_EVERY) {
            save(&variables, &unfinished)?;
        }
    }
    save(&variables, out)?;
    files::remove_if_there(&unfinished)?;
    bar.finish();
    Ok(accuracy.mean)
}

fn manifest(architecture: &Architecture, classes: usize) -> Vec<Parameter> {
    let prefix = format!("{}.", roots::TEACHER);
    let (shapes, _) = Shapes::of(architecture);
    let mut manifest: Vec<Parameter> =
        shapes.parameters.into_iter().filter(|p| p.name.starts_with(&prefix)).collect();
    let channels = architecture.channels()[2];
    manifest.push(Parameter {
        name: format!("{HEAD}.weight"),
        shape: vec![classes, channels],
        kind: ParameterKind::Kernel { fan_in: channels },
    });
    manifest.push(Parameter {
        name: format!("{HEAD}.bias"),
        shape: vec![classes],
        kind: ParameterKind::Shift,
    });
    manifest
}

fn logits(variables: &Variables, frames: &Tensor, recipe: &PretrainRecipe) -> Tensor {
    let mut g = TorchGraph::new(variables, Mode::Train).with(recipe.precision);
    let image = g.normalise(&Shared(frames.shallow_clone()), Normalisation::IMAGENET);
    let at = At::root();
    let [_, _, deepest] = teacher(&mut g, &(&at / roots::TEACHER), &image, &recipe.architecture());
    let pooled = g.global_avg_pool(&deepest).0;
    let weight = variables.get(&format!("{HEAD}.weight"));
    pooled.linear(weight, Some(variables.get(&format!("{HEAD}.bias"))))
}

fn save(variables: &Variables, out: &Path) -> anyhow::Result<()> {
    let prefix = format!("{}.", roots::TEACHER);
    let weights = variables
        .to_weights()
        .0
        .into_iter()
        .filter_map(|(name, weight)| Some((name.strip_prefix(&prefix)?.to_owned(), weight)));
    let bytes = Weights(weights.collect()).to_safetensors(None)?;
    files::write_atomically(out, &bytes)
}

/// A thread that renders; a batch is a function of the seed and its step.
fn batches(recipe: &PretrainRecipe) -> anyhow::Result<Receiver<(Tensor, Tensor)>> {
    /// One being used, one waiting.
    const AHEAD: usize = 2;
    let (send, batches) = crossbeam_channel::bounded(AHEAD);
    let recipe = recipe.clone();
    let classes = Arc::new(FormulaClasses::new(recipe.classes, recipe.seed));
    let side = u32::try_from(recipe.image_px)?;
    let work = move || {
        for step in 0..recipe.iterations {
            let mut rng = ChaCha8Rng::seed_from_u64(recipe.seed);
            rng.set_stream(step + 1);
            let drawn: Vec<(usize, u64)> = (0..recipe.batch)
                .map(|_| (rng.random_range(0..recipe.classes), rng.random()))
                .collect();
            let images: Vec<RgbImage> =
                drawn.par_iter().map(|&(class, seed)| classes.render(class, seed, side)).collect();
            let labels: Vec<i64> = drawn.iter().map(|&(class, _)| int(class)).collect();
            let batch = (batch_from_images(images.iter()), Tensor::from_slice(&labels));
            if send.send(batch).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("formulas".into()).spawn(work)?;
    Ok(batches)
}

/// A mean that forgets: what the last hundred steps or so looked like.
#[derive(Default)]
struct Running {
    mean: f64,
    count: u32,
}

impl Running {
    fn add(&mut self, value: f64) {
        self.count = (self.count + 1).min(100);
        self.mean += (value - self.mean) / f64::from(self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls_to_nothing() {
        let recipe = PretrainRecipe { iterations: 1000, learning_rate: 1.0, ..Default::default() };
        assert!(recipe.rate(0) < 0.02);
        assert!((recipe.rate(50) - 1.0).abs() < 1e-9);
        assert!(recipe.rate(999) < 1e-4);
    }

    #[test]
    fn a_few_steps_learn_and_the_names_are_torchvisions() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("teacher.safetensors");
        let recipe = PretrainRecipe {
            width: 0.125,
            classes: 4,
            image_px: 32,
            batch: 16,
            iterations: 80,
            ..Default::default()
        };
        let accuracy = pretrain(&recipe, &out, &ProgressBar::hidden()).unwrap();
        // By chance a quarter.
        assert!(accuracy > 0.4, "{accuracy}");
        let weights = Weights::load(&out).unwrap();
        assert!(weights.0.contains_key("layer3.1.conv2.weight"));
        assert!(!weights.0.contains_key("head.weight"));
        // The detector takes it.
        let shapes = Shapes::of(&Architecture { width: 0.125, ..Architecture::resnet18(64) }).0;
        let teacher: Vec<_> =
            shapes.parameters.into_iter().filter(|p| p.name.starts_with("teacher.")).collect();
        weights.under("teacher").check(&teacher).unwrap();
    }
}
