//! `sightline-train evaluate`: AUROC per product, of a model or of the inspector's verdict lines.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context as _;
use bundle::schema::{Class, Document};
use tch::Device;

use super::{RateArgument, bars, data::DataArguments};
use crate::{
    calibrate,
    checkpoint::Checkpoint,
    compare,
    dataset::{self, Dataset, Split, screen::Needed},
    deployed::OnnxDetector,
    detector::{Detect, TorchDetector},
    evaluate::{self, Evaluation, ImageScore, Report},
    files, line_report,
    report::{self, About},
    run, verdicts,
};

/// Of the intervals of `compare`: the same files give the same figures.
const BOOTSTRAP_SEED: u64 = 1;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// A checkpoint (libtorch) or an exported model (ONNX Runtime) on a test set.
    Model(ModelArguments),
    /// The verdict lines of `sightline run` over a test set's images, matched by their file.
    Verdicts {
        /// JSON lines.
        lines: PathBuf,
        /// The data set that was streamed; several folders make one set.
        #[arg(long, value_name = "DIR", required = true)]
        data: Vec<PathBuf>,
        /// Verdict lines of the same images on another way: shift of the score, flips, change of AUROC.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// The report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Two ways to train, by the scores of their runs on the same images: is the difference more than chance?
    Compare {
        /// Scores that `evaluate model --scores` wrote, of the runs of one way, in the order of their seeds.
        #[arg(long, value_name = "CSV", num_args = 1.., required = true)]
        one: Vec<PathBuf>,
        /// Of the runs of the other way, with the same seeds in the same order.
        #[arg(long, value_name = "CSV", num_args = 1.., required = true)]
        other: Vec<PathBuf>,
        /// The comparison as JSON.
        #[arg(long)]
        json: bool,
    },
    /// The verdict lines of `sightline run` over a rendered line, against its truth.
    Line {
        /// JSON lines.
        lines: PathBuf,
        /// What was rendered, a JSON line per frame.
        #[arg(long, value_name = "FILE")]
        truth: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct ModelArguments {
    /// A .safetensors checkpoint or an .onnx model.
    model: PathBuf,
    // Products of the data set that the model does not know are there to be refused.
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    rate: RateArgument,
    /// Writes a page with tables, curves and heat maps: one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Writes the score of every image, as CSV.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Model(arguments) => model(arguments),
        Command::Verdicts { lines, data, against, json } => {
            let data = dataset::read(data)?;
            let scores = verdicts::image_scores(&verdicts::read(lines)?, &data)?;
            let report = verdicts::report(&scores, &data);
            print(&report, *json)?;
            let Some(against) = against else { return Ok(()) };
            let shift = verdicts::shift(&verdicts::read(lines)?, &verdicts::read(against)?);
            let other = verdicts::image_scores(&verdicts::read(against)?, &data)?;
            let change = verdicts::auroc_change(&report, &verdicts::report(&other, &data));
            bars::result(&format!("{shift}\n{change}"))
        }
        Command::Compare { one, other, json } => {
            let read =
                |paths: &[PathBuf]| paths.iter().map(read_csv).collect::<Result<Vec<_>, _>>();
            let comparison = compare::compare(&read(one)?, &read(other)?, BOOTSTRAP_SEED)?;
            let json = json.then(|| serde_json::to_string_pretty(&comparison)).transpose()?;
            bars::result(&json.unwrap_or_else(|| comparison.to_string()))
        }
        Command::Line { lines, truth } => {
            let truth = verdicts::read_truth(truth)?;
            let report = line_report::LineReport::of(&verdicts::read(lines)?, &truth)?;
            bars::result(&report.to_string())
        }
    }
}

fn model(arguments: &ModelArguments) -> anyhow::Result<()> {
    let ModelArguments { model: path, data, rate, report, scores, json } = arguments;
    // What cannot be kept is told before it is measured.
    for file in [report, scores].into_iter().flatten() {
        files::check_writable(file)?;
    }
    let whole = data.read()?;
    let is_onnx = path.extension().is_some_and(|extension| extension == "onnx");
    let (mut opened, data) = if is_onnx {
        let opened = Opened::onnx(path)?;
        let data = data.screened(whole, Needed::Test, opened.detector.geometry())?;
        (opened, data)
    } else {
        let checkpoint = Checkpoint::load(path)?;
        let geometry = checkpoint.manifest.recipe.geometry();
        let data = data.screened(whole, Needed::All, &geometry)?;
        (Opened::checkpoint(path, checkpoint, &data)?, data)
    };
    let bar = bars::bar("evaluate");
    let evaluation = evaluate::evaluate(
        &mut *opened.detector,
        &opened.classes,
        &data,
        rate.false_reject_rate,
        &bar,
    )?;
    if let Some(path) = scores {
        files::write_atomically(path, &csv(&evaluation.images)?)?;
    }
    if let Some(file) = report {
        let page = page(path, &mut opened, &data, &evaluation)?;
        files::write_atomically(file, page.as_bytes())?;
    }
    print(&evaluation.report, *json)
}

/// The report as a page.
fn page(
    path: &Path,
    opened: &mut Opened,
    data: &Dataset,
    evaluation: &Evaluation,
) -> anyhow::Result<String> {
    let about = About {
        model: opened.name.clone(),
        model_file: path.display().to_string(),
        data: data.place(),
        when: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        input: opened.detector.geometry().input,
    };
    let log = run::read_log(path)?
        .map(|rows| report::TrainingLog { beside: path.display().to_string(), rows });
    let bar = bars::bar("pictures");
    let gallery = report::gather(&mut *opened.detector, data, evaluation, &bar)?;
    let shown = report::Run {
        about: &about,
        classes: &opened.classes,
        evaluation,
        gallery: &gallery,
        log: log.as_ref(),
        recipe: &opened.recipe,
    };
    report::html(&shown).context("draw the report")
}

/// A network that answers, with the products that it knows.
struct Opened {
    name: String,
    detector: Box<dyn Detect>,
    classes: Vec<Class>,
    recipe: serde_json::Value,
}

impl Opened {
    /// What the device will run, with the calibration that it carries.
    fn onnx(path: &Path) -> anyhow::Result<Self> {
        let (detector, file) = OnnxDetector::open(path)?;
        let Document { model, classes, recipe, .. } = file.document;
        let name = format!("{} {}", model.name, model.version);
        Ok(Self { name, detector: Box::new(detector), classes, recipe })
    }

    /// A checkpoint, with prototypes and calibration measured on the parts of its data set.
    fn checkpoint(path: &Path, checkpoint: Checkpoint, data: &Dataset) -> anyhow::Result<Self> {
        let names = checkpoint.manifest.classes.clone();
        let recipe = serde_json::to_value(&checkpoint.manifest.recipe)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Split { training, calibration, .. } = checkpoint.split(data)?;
        let mut detector = TorchDetector::new(checkpoint, Device::cuda_if_available())?;
        let prototypes =
            evaluate::prototypes(&mut detector, &names, &training, &bars::bar("prototypes"))?;
        let bar = bars::bar("calibrate");
        let measured = calibrate::measure(&mut detector, &prototypes, &calibration, &bar)?;
        let classes =
            calibrate::classes(&prototypes, &measured, "held-out part of the training data")?;
        Ok(Self { name: stem, detector: Box::new(detector), classes, recipe })
    }
}

pub(super) fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    bars::result(&if json { serde_json::to_string_pretty(report)? } else { report.to_string() })
}

fn csv(scores: &[ImageScore]) -> anyhow::Result<Vec<u8>> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    for score in scores {
        rows.serialize(score)?;
    }
    Ok(rows.into_inner()?)
}

fn read_csv(path: &PathBuf) -> anyhow::Result<Vec<ImageScore>> {
    let named = || format!("read {}", path.display());
    let mut rows = csv::Reader::from_path(path).with_context(named)?;
    rows.deserialize().collect::<Result<_, _>>().with_context(named)
}
