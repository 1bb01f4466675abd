//! Writes the one file that the inspector runs.
//!
//! Owns the order: emit the network in the wanted precision, measure prototypes and calibration with it on ONNX
//! Runtime, choose golden frames, put the document in, verify FP32 against libtorch and the precision against FP32,
//! and only then let card and file appear by renaming.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use bundle::{
    calibration::RejectRate,
    geometry::RgbImage,
    golden::{GoldenFrame, block_means},
    model_file,
    schema::{self, Document, ModelName},
};
use indicatif::ProgressBar;
use network::{onnx, shapes::Shapes};
use tch::Device;

use crate::{
    calibrate::{self, Measured},
    card,
    checkpoint::Checkpoint,
    dataset::{Dataset, GoodPart, store},
    deployed::{Computation, OnnxDetector},
    detector::{Answer, Detect, TorchDetector},
    evaluate, files,
    precision::{
        self, Wanted,
        likeness::{self, Likeness, Measurable},
        ranges::RangeMethod,
    },
    speed::{self, Speedup},
};

/// libtorch and ONNX Runtime must agree within this, absolute, on maps and scores.
const AGREEMENT: f32 = 1e-4;
/// Batch sizes of the verification: one frame, and several.
const BATCHES: [usize; 2] = [1, 4];
/// Held-out good parts that a precision is compared with FP32 on.
const LIKENESS_FRAMES_MAX: usize = 32;
/// Pairs of runs that its speed is measured by.
const SPEED_PAIRS: usize = 25;

/// What the file is called and where it goes.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The share of good parts that may be refused, at which the card counts.
    pub rate: RejectRate,
    /// The file.
    pub out: PathBuf,
    /// Name and version of the model.
    pub name: ModelName,
    /// In which numbers.
    pub precision: Wanted,
    /// How ranges of int8 are chosen.
    pub range_method: RangeMethod,
}

/// What was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// FP32 on ONNX Runtime against libtorch.
    pub agreement: Agreement,
    /// The precision against FP32; `None` for FP32 itself.
    pub likeness: Option<Likeness>,
    /// The precision's time against FP32's.
    pub speedup: Option<Speedup>,
    /// Where the model card is.
    pub card: PathBuf,
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
) -> anyhow::Result<Exported> {
    files::check_writable(&options.out)?;
    let manifest = &checkpoint.manifest;
    let split = checkpoint.split(data)?;
    let data = &data.only(&manifest.classes)?;
    let recipe = &manifest.recipe;
    let geometry = recipe.geometry();
    let (shapes, _) = Shapes::of(&recipe.architecture);
    let weights = checkpoint.weights.clone().check(&shapes.parameters)?;
    let float = onnx::detector_model(&recipe.architecture, &weights);
    let fp32_bytes = precision::fp32(&float).bytes;
    let mut fp32 = OnnxDetector::new(&fp32_bytes, geometry.clone())?;
    let network =
        precision::network(&float, options.precision, options.range_method, recipe, &split, &bar)?;
    let mut deployed = OnnxDetector::new(&network.bytes, geometry.clone())?;

    let names = data.names();
    let prototypes =
        evaluate::prototypes(&mut deployed, &names, &split.training, &bar("prototypes"))?;
    let measured =
        calibrate::measure(&mut deployed, &prototypes, &split.calibration, &bar("calibrate"))?;
    let golden = golden_frames(&mut deployed, data, &measured)?;
    let classes = calibrate::classes(&prototypes, &measured, "held-out part of the training data")?;
    let document = Document {
        format: schema::FORMAT,
        model: options.name.clone(),
        data_fingerprint: manifest.data_fingerprint.clone(),
        geometry,
        classes,
        golden,
        tolerance: precision::tolerance(&network.precision),
        precision: network.precision,
        recipe: serde_json::to_value(recipe)?,
        created: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
    };
    let bytes = model_file::with_document(&network.bytes, &document)?;
    let inputs = verify_golden(&bytes)?;
    let mut torch = TorchDetector::new(checkpoint.clone(), Device::Cpu)?;
    let agreement = verify_fp32(&mut fp32, &mut torch, &inputs)?;

    let mut like = None;
    let mut speedup = None;
    let reports = if document.precision.is_fp32() {
        let fp32 = Measurable { detector: &mut fp32, classes: &document.classes };
        likeness::reports(fp32, None, data, options.rate, &bar)?
    } else {
        let inputs = likeness_inputs(&document, &split.calibration, inputs)?;
        let found = likeness::measure(&mut fp32, &mut deployed, &prototypes, &inputs)?;
        likeness::check(&found, &document.precision)?;
        like = Some(found);
        speedup = Some(speed::speedup(&mut fp32, &mut deployed, &inputs[..1], SPEED_PAIRS)?);
        let bar_of_fp32 = bar("prototypes FP32");
        let fp32_prototypes =
            evaluate::prototypes(&mut fp32, &names, &split.training, &bar_of_fp32)?;
        let fp32_classes = calibrate::classes(&fp32_prototypes, &[], "")?;
        let fp32 = Measurable { detector: &mut fp32, classes: &fp32_classes };
        let exported = Measurable { detector: &mut deployed, classes: &document.classes };
        likeness::reports(fp32, Some(exported), data, options.rate, &bar)?
    };

    let learned: Vec<usize> = (0..data.classes.len())
        .map(|class| split.training.iter().filter(|part| part.class == class).count())
        .collect();
    let page = card::render(&card::Facts {
        document: &document,
        recipe,
        sha256: &bundle::fingerprint::sha256(&bytes),
        file_bytes: bytes.len(),
        fp32_bytes: fp32_bytes.len(),
        learned: &learned,
        reports: reports.as_ref(),
        likeness: like.as_ref(),
        speedup: speedup.as_ref(),
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    });
    // The card first: where the model is, its card is, too.
    let card = options.out.with_extension("md");
    files::write_atomically(&card, page.as_bytes())?;
    files::write_atomically(&options.out, &bytes)?;
    Ok(Exported { agreement, likeness: like, speedup, card })
}

/// The golden frames' pictures, and held-out good parts.
fn likeness_inputs(
    document: &Document,
    held_out: &[GoodPart],
    mut inputs: Vec<RgbImage>,
) -> anyhow::Result<Vec<RgbImage>> {
    for part in precision::balanced(held_out, LIKENESS_FRAMES_MAX) {
        inputs.extend(store::fitted(&document.geometry, &part.path)?);
    }
    Ok(inputs)
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

/// The finished bytes, loaded anew, against the document: as the device will compute, and node by node as the file
/// states it, which is what another processor may differ by. Returns the golden frames' pictures.
fn verify_golden(bytes: &[u8]) -> anyhow::Result<Vec<RgbImage>> {
    let document = model_file::read_bytes(bytes)?.document;
    let inputs = document.golden.iter().map(GoldenFrame::decode).collect::<Result<Vec<_>, _>>()?;
    for computation in [Computation::Fused, Computation::AsStated] {
        let mut deployed = OnnxDetector::with(bytes, document.geometry.clone(), computation, None)?;
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
                    "the exported file, computed {computation:?}, does not reproduce its golden frame of \"{}\": \
                     {deviation:?}, allowed {tolerance:?}; nothing was written",
                    golden.class
                );
            }
        }
    }
    Ok(inputs)
}

/// FP32 on ONNX Runtime against libtorch: what every precision is made from.
fn verify_fp32(
    fp32: &mut OnnxDetector,
    torch: &mut TorchDetector,
    inputs: &[RgbImage],
) -> anyhow::Result<Agreement> {
    // A full batch, however few the products are.
    let largest = BATCHES.into_iter().max().unwrap_or(1);
    let inputs: Vec<RgbImage> =
        inputs.iter().cycle().take(inputs.len().max(largest)).cloned().collect();
    let agreement = agreement(fp32, torch, &inputs)?;
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
