//! What the losses make of the code that the student reconstructs from:
//! `cargo run --release --package sightline-trainer --example code_report -- DATA CHECKPOINT.safetensors...`.
//!
//! A student that reconstructs badly may be given too little, or may not yet make use of what it is given. To tell one from
//! the other, a ridge regression reads the teacher's features out of the code, learned on training parts and judged on
//! held-out good parts. What it is judged by is what differs between parts of one product: code and features are taken
//! less their mean over the product's parts at that place. Features are averaged over the code's places, at stride 32.
//! Beside it: how many directions the code uses (participation ratio: the square of the covariance's trace over the trace
//! of its square), and how alike embeddings are within and across products.
//!
//! Owns these measures. Must not know how a network is trained.

#![allow(clippy::print_stdout, reason = "a measurement is printed")]

use std::path::PathBuf;

use anyhow::Context as _;
use bundle::geometry::RgbImage;
use indicatif::ProgressBar;
use network::{
    Graph as _, Normalisation, Path, bottleneck::bottleneck, decoder::decoder, detector::roots,
    embedding::embedding, projector::projector, shapes::Shapes, teacher::teacher,
};
use tch::{Device, Kind, Tensor, no_grad};
use trainer::{
    checkpoint::Checkpoint,
    dataset::{self, Dataset, GoodPart, store::fitted},
    loss::reconstruction,
    torch::{Mode, Shared, TorchGraph, Variables, batch_from_images},
};

/// Images at a time.
const BATCH: usize = 16;
/// Most parts of a product that are looked at, the first ones: the regression needs no more.
const PARTS: usize = 60;
/// Ridges, as shares of the mean variance of the code's channels: were the answer another with each, the ridge would decide
/// it, since a code of few directions has channels of little variance.
const RIDGES: [f64; 3] = [1e-3, 1e-5, 1e-7];

fn main() -> anyhow::Result<()> {
    trainer::torch::keep_freed_memory();
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let Some((data, checkpoints)) = paths.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        anyhow::bail!("usage: code_report DATA CHECKPOINT.safetensors...")
    };
    let data = dataset::read(std::slice::from_ref(data))?;
    println!(
        "checkpoint            held-out loss   read at ridge {RIDGES:?}, of stride 16 | 8 | 4   directions, all / of a product   \
         cosine within / across"
    );
    for path in checkpoints {
        let name = path.file_stem().context("a checkpoint's file")?.to_string_lossy();
        println!("{name:20} {}", report(&data, &Checkpoint::load(path)?)?);
    }
    Ok(())
}

/// What one network makes of some parts.
struct Codes {
    /// `[N, C4, H/32, W/32]`.
    code: Tensor,
    /// `[N, D]` of unit length.
    embedding: Tensor,
    /// The teacher's, averaged over the code's locations: `[N, Ck, H/32, W/32]`.
    features: [Tensor; 3],
    /// The reconstruction term, mean over the parts.
    loss: f64,
    /// N product indices.
    products: Vec<usize>,
}

fn report(data: &Dataset, checkpoint: &Checkpoint) -> anyhow::Result<String> {
    let data = data.only(&checkpoint.manifest.classes)?;
    let split = checkpoint.split(&data)?;
    let training = codes(checkpoint, &first(&split.training))?;
    let held_out = codes(checkpoint, &first(&split.calibration))?;
    let read = |scale: usize| {
        readable(&training, &held_out, scale).map(|share| format!("{share:.3}")).join(" ")
    };
    let products = data.classes.len();
    let mut of_product = 0.0;
    for product in 0..products {
        of_product += directions(&locations(&of(&training.code, &training.products, product)));
    }
    let (within, across) = likeness(&held_out);
    Ok(format!(
        "{:13.3}   {} | {} | {}   {:.1} / {:.1}   {within:.3} / {across:.3}",
        held_out.loss,
        read(2),
        read(1),
        read(0),
        directions(&locations(&training.code)),
        of_product / products as f64,
    ))
}

/// The first [`PARTS`] of each product.
fn first(parts: &[GoodPart]) -> Vec<&GoodPart> {
    let mut seen = std::collections::BTreeMap::<usize, usize>::new();
    let mut is_first = |part: &GoodPart| {
        let count = seen.entry(part.class).or_default();
        *count += 1;
        *count <= PARTS
    };
    parts.iter().filter(|part| is_first(part)).collect()
}

fn codes(checkpoint: &Checkpoint, parts: &[&GoodPart]) -> anyhow::Result<Codes> {
    let recipe = &checkpoint.manifest.recipe;
    let (arch, geometry) = (&recipe.architecture, recipe.geometry());
    let (shapes, _) = Shapes::of(arch);
    let weights = checkpoint.weights.clone().check(&shapes.parameters)?;
    let variables = Variables::new(&shapes.parameters, &weights, Device::Cpu, |_| false);
    let (mut products, mut loss) = (Vec::new(), 0.0);
    let mut kept: [Vec<Tensor>; 5] = Default::default();
    let bar = ProgressBar::new(parts.len() as u64);
    for batch in parts.chunks(BATCH) {
        let mut tiles: Vec<RgbImage> = Vec::new();
        for part in batch {
            let of_part = fitted(&geometry, &part.path)?;
            products.extend(std::iter::repeat_n(part.class, of_part.len()));
            tiles.extend(of_part);
        }
        no_grad(|| {
            let mut g = TorchGraph::new(&variables, Mode::Eval);
            let at = Path::root();
            let frames = Shared(batch_from_images(tiles.iter()));
            let image = g.normalise(&frames, Normalisation::IMAGENET);
            let features = teacher(&mut g, &(&at / roots::TEACHER), &image, arch);
            let projected = projector(&mut g, &(&at / roots::PROJECTOR), &features, arch);
            let code = bottleneck(&mut g, &(&at / roots::BOTTLENECK), &projected, arch);
            let student = decoder(&mut g, &(&at / roots::DECODER), &code, arch).map(|t| t.0);
            let features = features.map(|feature| feature.0);
            let count = tiles.len() as f64;
            loss += count * reconstruction(&features, &student).double_value(&[]);
            let [_, _, height, width] = code.0.size()[..] else { return };
            let [fine, middle, coarse] =
                features.map(|feature| feature.adaptive_avg_pool2d([height, width]));
            let embedding = embedding(&mut g, &code).0;
            for (kept, tensor) in kept.iter_mut().zip([code.0, embedding, fine, middle, coarse]) {
                kept.push(tensor);
            }
        });
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    let [code, embedding, fine, middle, coarse] = kept.map(|of| Tensor::cat(&of, 0));
    let loss = loss / products.len() as f64;
    Ok(Codes { code, embedding, features: [fine, middle, coarse], loss, products })
}

/// `[N, C, H, W]` to `[N H W, C]`.
fn locations(of: &Tensor) -> Tensor {
    let channels = of.size()[1];
    of.permute([0, 2, 3, 1]).reshape([-1, channels])
}

fn of(all: &Tensor, products: &[usize], product: usize) -> Tensor {
    let is_of: Vec<bool> = products.iter().map(|&of| of == product).collect();
    all.index(&[Some(Tensor::from_slice(&is_of))])
}

fn centred(rows: &Tensor) -> Tensor {
    rows - rows.mean_dim([0].as_slice(), true, None)
}

/// The participation ratio of rows `[N, C]`.
fn directions(rows: &Tensor) -> f64 {
    let rows = centred(&rows.to_kind(Kind::Double));
    let covariance = rows.transpose(0, 1).matmul(&rows);
    let trace = covariance.trace().double_value(&[]);
    trace * trace / covariance.square().sum(Kind::Double).double_value(&[])
}

/// What differs between the parts of one product: `[N, C, H, W]` less the mean over its parts at each place, as f64 rows
/// `[N H W, C]`, product by product.
fn differences(all: &Tensor, products: &[usize]) -> Vec<Tensor> {
    let count = products.iter().max().map_or(0, |most| most + 1);
    let of_product = |product| {
        let of = of(all, products, product).to_kind(Kind::Double);
        locations(&(&of - of.mean_dim([0].as_slice(), true, None)))
    };
    (0..count).map(of_product).collect()
}

/// The share of the variance of what differs between held-out parts of one product, in the teacher's features of a scale,
/// that a linear reader finds in the code: mean over the products, for each ridge.
fn readable(training: &Codes, held_out: &Codes, scale: usize) -> [f64; RIDGES.len()] {
    let rows = |of: &Tensor| Tensor::cat(&differences(of, &training.products), 0);
    let (x, y) = (rows(&training.code), rows(&training.features[scale]));
    let covariance = x.transpose(0, 1).matmul(&x);
    let target = x.transpose(0, 1).matmul(&y);
    let channels = covariance.size()[0];
    let codes = differences(&held_out.code, &held_out.products);
    let features = differences(&held_out.features[scale], &held_out.products);
    RIDGES.map(|share| {
        let ridge = share * covariance.trace().double_value(&[]) / channels as f64;
        let ridge = Tensor::eye(channels, (Kind::Double, Device::Cpu)) * ridge;
        let reader = Tensor::linalg_solve(&(&covariance + ridge), &target, true);
        let of_product = |(x, y): (&Tensor, &Tensor)| {
            let square = |of: &Tensor| of.square().sum(Kind::Double).double_value(&[]);
            1.0 - square(&(y - x.matmul(&reader))) / square(y)
        };
        codes.iter().zip(&features).map(of_product).sum::<f64>() / codes.len() as f64
    })
}

/// Mean cosine of embeddings of one product, and of two.
fn likeness(codes: &Codes) -> (f64, f64) {
    let cosines = codes.embedding.matmul(&codes.embedding.transpose(0, 1));
    let (mut within, mut across) = ((0.0, 0), (0.0, 0));
    for (i, one) in (0_i64..).zip(&codes.products) {
        for (j, other) in (0_i64..).zip(&codes.products).filter(|(j, _)| *j != i) {
            let (sum, count) = if one == other { &mut within } else { &mut across };
            *sum += cosines.double_value(&[i, j]);
            *count += 1;
        }
    }
    (within.0 / f64::from(within.1.max(1)), across.0 / f64::from(across.1.max(1)))
}
