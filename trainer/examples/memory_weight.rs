//! How much a memory should count beside the student, by judges that never saw the test images of the product in question:
//! `cargo run --release --package sightline-trainer --example memory_weight -- MEMORY.safetensors DATA`.
//!
//! The map is linear up to its maximum, so that one pass with the memory and one without give the map of every weight.
//! *Pasted*: held-out good parts against themselves with a piece of themselves pasted elsewhere (`CutPaste`: Li et al., CVPR
//! 2021), which needs no defective part at all. *Others*: for each product the weight that the test images of all the
//! other products are best at. The product's own test images are printed for comparison: chosen by them, a weight flatters.
//!
//! Owns the pasting and the choice. Must not know how the map is made, but that it is linear in the weight.

#![allow(clippy::print_stdout, reason = "a measurement is printed")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sides of a picture and values of a pixel, both bounded before"
)]

use std::path::PathBuf;

use bundle::geometry::{Map, RgbImage};
use indicatif::ProgressBar;
use network::{anomaly_map::MEMORY_COUNTS, detector::roots};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tch::Device;
use trainer::{
    checkpoint::Checkpoint,
    dataset,
    dataset::store::fitted,
    detector::{Detect as _, TorchDetector},
    metrics::Scores,
};

/// How often the memory counts where the student counts once.
const WEIGHTS: [f32; 10] = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];
/// Damaged copies of a held-out part.
const COPIES: usize = 2;

fn main() -> anyhow::Result<()> {
    trainer::torch::keep_freed_memory();
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [checkpoint, data] = paths.as_slice() else {
        anyhow::bail!("usage: memory_weight MEMORY.safetensors DATA")
    };
    let checkpoint = Checkpoint::load(checkpoint)?;
    let names = checkpoint.manifest.classes.clone();
    let data = dataset::read(std::slice::from_ref(data))?.only(&names)?;
    let held_out = checkpoint.split(&data)?.calibration;
    let geometry = checkpoint.manifest.recipe.geometry();
    let mut both = Both::new(checkpoint)?;
    let mut rng = ChaCha8Rng::seed_from_u64(2021);
    let images: usize = data.classes.iter().map(|class| class.test.len()).sum();
    let bar = ProgressBar::new((images + held_out.len() * (1 + COPIES)) as u64);
    let (mut pasted, mut test) = (Vec::new(), Vec::new());
    for (product, class) in data.classes.iter().enumerate() {
        let mut scores = PerWeight::default();
        for part in held_out.iter().filter(|part| part.class == product) {
            let tiles = fitted(&geometry, &part.path)?;
            scores.add(&both.scores(&tiles)?, false);
            for _ in 0..COPIES {
                let mut damaged = tiles.clone();
                let tile = rng.random_range(0..damaged.len());
                paste(&mut damaged[tile], &mut rng);
                scores.add(&both.scores(&damaged)?, true);
            }
            bar.inc(1 + COPIES as u64);
        }
        pasted.push(scores.aurocs());
        let mut scores = PerWeight::default();
        for image in &class.test {
            let tiles = fitted(&geometry, &image.path)?;
            scores.add(&both.scores(&tiles)?, image.defect.is_some());
            bar.inc(1);
        }
        test.push(scores.aurocs());
    }
    bar.finish_and_clear();
    tell(&names, &pasted, &test);
    Ok(())
}

/// AUROC of each weight.
type Aurocs = [f64; WEIGHTS.len()];

fn tell(names: &[String], pasted: &[Aurocs], test: &[Aurocs]) {
    println!("mean image AUROC of {} products, by weight of the memory", names.len());
    println!("weight      pasted    test");
    let [on_pasted, on_test] = [pasted, test].map(|of| mean(of.iter()));
    for ((weight, pasted), test) in WEIGHTS.iter().zip(on_pasted).zip(on_test) {
        println!("{weight:6.2}    {:7.2} {:7.2}", pasted * 100.0, test * 100.0);
    }
    println!();
    println!("product            others' weight  AUROC   pasted's own weight  AUROC");
    let [mut by_others, mut by_pasted] = [0.0; 2];
    for (product, name) in names.iter().enumerate() {
        let others = test.iter().enumerate().filter(|(other, _)| *other != product);
        let others = best(&mean(others.map(|(_, of)| of)));
        let own = best(&pasted[product]);
        by_others += test[product][others];
        by_pasted += test[product][own];
        println!(
            "{name:20} {:12.2} {:7.2} {:19.2} {:7.2}",
            WEIGHTS[others],
            test[product][others] * 100.0,
            WEIGHTS[own],
            test[product][own] * 100.0
        );
    }
    let share = 100.0 / names.len() as f64;
    let joint = best(&on_pasted);
    println!();
    println!("weight of each product by the other products' test images: {:.2}", by_others * share);
    println!("weight of each product by its own pasted pieces:           {:.2}", by_pasted * share);
    println!(
        "one weight for all, {}, by all products' pasted pieces:     {:.2}",
        WEIGHTS[joint],
        on_test[joint] * 100.0
    );
}

fn mean<'a>(of: impl Iterator<Item = &'a Aurocs>) -> Aurocs {
    let (mut sum, mut count) = ([0.0; WEIGHTS.len()], 0.0);
    for aurocs in of {
        sum.iter_mut().zip(aurocs).for_each(|(sum, auroc)| *sum += auroc);
        count += 1.0;
    }
    sum.map(|sum| sum / f64::max(count, 1.0))
}

/// The first of the best.
fn best(aurocs: &Aurocs) -> usize {
    (0..aurocs.len()).rev().max_by(|a, b| aurocs[*a].total_cmp(&aurocs[*b])).unwrap_or(0)
}

/// Scores of each weight.
#[derive(Default)]
struct PerWeight([Scores; WEIGHTS.len()]);

impl PerWeight {
    fn add(&mut self, scores: &[f32; WEIGHTS.len()], is_anomalous: bool) {
        for (of, score) in self.0.iter_mut().zip(scores) {
            of.add(*score, is_anomalous);
        }
    }

    fn aurocs(self) -> Aurocs {
        self.0.map(|scores| scores.rank().map_or(f64::NAN, |ranking| ranking.auroc()))
    }
}

/// The same network with its memory and without.
struct Both {
    with: TorchDetector,
    without: TorchDetector,
}

impl Both {
    fn new(with: Checkpoint) -> anyhow::Result<Self> {
        anyhow::ensure!(
            with.manifest.recipe.architecture.memory_patches > 0,
            "the checkpoint has no memory: give it one with `sightline-train remember`"
        );
        let mut without = with.clone();
        without.manifest.recipe.architecture.memory_patches = 0;
        let memory = format!("{}.", roots::MEMORY);
        without.weights = without.weights.without(|name| name.starts_with(&memory));
        let detector = |checkpoint| TorchDetector::new(checkpoint, Device::Cpu);
        Ok(Self { with: detector(with)?, without: detector(without)? })
    }

    /// The highest score of all tiles, for each weight.
    fn scores(&mut self, tiles: &[RgbImage]) -> anyhow::Result<[f32; WEIGHTS.len()]> {
        let counts = MEMORY_COUNTS as f32;
        let mut most = [f32::NEG_INFINITY; WEIGHTS.len()];
        let with = self.with.detect(tiles)?;
        for (with, without) in with.iter().zip(self.without.detect(tiles)?) {
            let Map { values: student, .. } = &without.map;
            for (fused, student) in with.map.values.iter().zip(student) {
                let memory = ((1.0 + counts) * fused - student) / counts;
                for (most, weight) in most.iter_mut().zip(WEIGHTS) {
                    *most = most.max((student + weight * memory) / (1.0 + weight));
                }
            }
        }
        Ok(most)
    }
}

/// Copies a piece of 0.3 to 3 % of the picture elsewhere, its colours shifted by up to a tenth.
fn paste(image: &mut RgbImage, rng: &mut ChaCha8Rng) {
    let (width, height) = (image.size.width as usize, image.size.height as usize);
    let area = rng.random_range(0.003..0.03) * (width * height) as f64;
    let aspect: f64 = rng.random_range(0.3_f64.ln()..3.3_f64.ln()).exp();
    let side = |pixels: f64, most: usize| (pixels.round() as usize).clamp(1, most / 2);
    let (wide, high) = (side((area * aspect).sqrt(), width), side((area / aspect).sqrt(), height));
    let mut corner = || (rng.random_range(0..=width - wide), rng.random_range(0..=height - high));
    let ((from_x, from_y), (to_x, to_y)) = (corner(), corner());
    let gains: [f32; 3] = std::array::from_fn(|_| rng.random_range(0.9..1.1));
    let before = image.pixels.clone();
    for y in 0..high {
        for x in 0..wide {
            for (channel, gain) in gains.iter().enumerate() {
                let at = |x: usize, y: usize| (y * width + x) * 3 + channel;
                let value = f32::from(before[at(from_x + x, from_y + y)]) * gain;
                image.pixels[at(to_x + x, to_y + y)] = value.round().clamp(0.0, 255.0) as u8;
            }
        }
    }
}
