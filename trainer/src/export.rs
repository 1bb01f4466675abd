//! Writes the one file that the inspector runs.
//!
//! Owns the order: emit the network, measure prototypes and calibration with it on ONNX Runtime, choose golden
//! frames, put the document in, verify against libtorch, and only then let the file appear by renaming.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use bundle::{
    geometry::RgbImage,
    golden::{GoldenFrame, Tolerance, block_means},
    model_file,
    prototype::Prototype,
    schema::{self, Class, Document, ModelName},
};
use indicatif::ProgressBar;
use network::{onnx, shapes::Shapes};
use tch::Device;

use crate::{
    calibrate::{self, Measured},
    checkpoint::Checkpoint,
    dataset::{Dataset, store},
    deployed::OnnxDetector,
    detector::{Answer, Detect, TorchDetector},
    evaluate, files,
};

/// libtorch and ONNX Runtime must agree within this, absolute, on maps and scores.
const AGREEMENT: f32 = 1e-4;
/// Batch sizes of the verification: one frame, and several.
const BATCHES: [usize; 2] = [1, 4];

/// What the file is called and where it goes.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The file.
    pub out: PathBuf,
    /// Name and version of the model.
    pub name: ModelName,
}

/// How far libtorch and ONNX Runtime were apart on the golden frames.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Largest difference of a map's value.
    pub map: f32,
    /// Largest difference of a score.
    pub score: f32,
    /// Frames compared.
    pub frames: usize,
}

/// Exports a checkpoint with the data set it was trained on.
pub fn export(
    checkpoint: &Checkpoint,
    data: &Dataset,
    options: &ExportOptions,
    bar: impl Fn(&'static str) -> ProgressBar,
) -> anyhow::Result<Agreement> {
    let split = checkpoint.split(data)?;
    let manifest = &checkpoint.manifest;
    let recipe = &manifest.recipe;
    let (shapes, _) = Shapes::of(&recipe.architecture);
    let weights = checkpoint.weights.clone().check(&shapes.parameters)?;
    let network = onnx::bytes(&onnx::detector_model(&recipe.architecture, &weights));
    let mut deployed = OnnxDetector::new(&network, recipe.geometry())?;

    let names = data.names();
    let prototypes =
        evaluate::prototypes(&mut deployed, &names, &split.training, &bar("prototypes"))?;
    let measured =
        calibrate::measure(&mut deployed, &prototypes, &split.calibration, &bar("calibrate"))?;
    let golden = golden_frames(&mut deployed, data, &measured)?;
    let classes = classes(&prototypes, &measured)?;
    let document = Document {
        format: schema::FORMAT,
        model: options.name.clone(),
        data_fingerprint: manifest.data_fingerprint.clone(),
        geometry: recipe.geometry(),
        classes,
        golden,
        tolerance: Tolerance::default(),
        recipe: serde_json::to_value(recipe)?,
        created: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
    };
    let bytes = model_file::with_document(&network, &document)?;
    let agreement = verify(&bytes, checkpoint)?;
    files::write_atomically(&options.out, &bytes)?;
    Ok(agreement)
}

fn classes(
    prototypes: &[(String, Prototype)],
    measured: &[Measured],
) -> anyhow::Result<Vec<Class>> {
    prototypes
        .iter()
        .enumerate()
        .map(|(index, (name, prototype))| {
            let source = "held-out part of the training data";
            let calibration = calibrate::of_class(measured, index, source)?;
            Ok(Class { name: name.clone(), prototype: prototype.clone(), calibration })
        })
        .collect()
}

/// One frame of each product: of the held-out parts the one with the median score.
fn golden_frames(
    detector: &mut dyn Detect,
    data: &Dataset,
    measured: &[Measured],
) -> anyhow::Result<Vec<GoldenFrame>> {
    let geometry = detector.geometry().clone();
    let mut golden = Vec::new();
    for (index, class) in data.classes.iter().enumerate() {
        let mut own: Vec<&Measured> =
            measured.iter().filter(|measured| measured.part.class == index).collect();
        own.sort_by(|a, b| a.score.total_cmp(&b.score));
        let path = own.get(own.len() / 2).map_or(&class.good[0], |measured| &measured.part.path);
        let input = store::fitted(&geometry, path)?.swap_remove(0);
        let answer = one(detector, &input)?;
        let map = block_means(&answer.map);
        golden.push(GoldenFrame::encode(
            class.name.clone(),
            &input,
            answer.score,
            answer.embedding,
            map,
        )?);
    }
    Ok(golden)
}

/// The finished bytes, loaded anew, against the document and against libtorch.
fn verify(bytes: &[u8], checkpoint: &Checkpoint) -> anyhow::Result<Agreement> {
    let document = model_file::read_bytes(bytes)?.document;
    let mut deployed = OnnxDetector::new(bytes, document.geometry.clone())?;
    let mut torch = TorchDetector::new(checkpoint.clone(), Device::Cpu)?;
    let mut inputs =
        document.golden.iter().map(GoldenFrame::decode).collect::<Result<Vec<_>, _>>()?;
    for (golden, input) in document.golden.iter().zip(&inputs) {
        let answer = one(&mut deployed, input)?;
        let deviation =
            golden.deviation(answer.score, &answer.embedding, &block_means(&answer.map));
        let tolerance = &document.tolerance;
        let agrees = deviation.score <= tolerance.score
            && deviation.embedding <= tolerance.embedding
            && deviation.map <= tolerance.map;
        if !agrees {
            bail!(
                "the exported file does not reproduce its golden frame of \"{}\": {deviation:?}",
                golden.class
            );
        }
    }
    // A full batch, however few the products are.
    let largest = BATCHES.into_iter().max().unwrap_or(1);
    inputs = inputs.iter().cycle().take(inputs.len().max(largest)).cloned().collect();
    let agreement = agreement(&mut deployed, &mut torch, &inputs)?;
    // Written so that a NaN is refused.
    let agrees = agreement.map <= AGREEMENT && agreement.score <= AGREEMENT;
    if !agrees {
        bail!(
            "ONNX Runtime and libtorch disagree: {agreement:?}, allowed {AGREEMENT}; nothing was written"
        );
    }
    Ok(agreement)
}

/// Compares two ways to compute, in batches of one and of four.
pub fn agreement(
    one: &mut dyn Detect,
    other: &mut dyn Detect,
    inputs: &[RgbImage],
) -> anyhow::Result<Agreement> {
    let mut worst = Agreement { frames: inputs.len(), ..Agreement::default() };
    for batch in BATCHES {
        for inputs in inputs.chunks(batch) {
            for (a, b) in one.detect(inputs)?.iter().zip(other.detect(inputs)?) {
                let map = a.map.values.iter().zip(&b.map.values).map(|(a, b)| (a - b).abs());
                worst.map = map.fold(worst.map, larger_or_nan);
                worst.score = larger_or_nan(worst.score, (a.score - b.score).abs());
            }
        }
    }
    Ok(worst)
}

/// `f32::max` would lose a NaN.
fn larger_or_nan(a: f32, b: f32) -> f32 {
    if b.is_nan() || b > a { b } else { a }
}

fn one(detector: &mut dyn Detect, input: &RgbImage) -> anyhow::Result<Answer> {
    detector.detect(std::slice::from_ref(input))?.pop().context("the network gave no answer")
}
