//! `sightline-train evaluate`: AUROC per product, of a model or of the inspector's verdict lines.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use bundle::prototype::Prototype;
use tch::Device;

use super::{bars, data::DataArguments};
use crate::{
    checkpoint::Checkpoint,
    dataset::{self, Dataset, screen::Needed},
    deployed::OnnxDetector,
    detector::{Detect, TorchDetector},
    evaluate::{self, ImageScore, Report},
    files, line_report, verdicts,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// A checkpoint (libtorch) or an exported model (ONNX Runtime) on a test set.
    Model {
        /// A .safetensors checkpoint or an .onnx model.
        model: PathBuf,
        #[command(flatten)]
        data: DataArguments,
        /// Writes the score of every image, as CSV.
        #[arg(long, value_name = "FILE")]
        scores: Option<PathBuf>,
        /// The report as JSON.
        #[arg(long)]
        json: bool,
    },
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
    /// The verdict lines of `sightline run` over a rendered line, against its truth.
    Line {
        /// JSON lines.
        lines: PathBuf,
        /// What was rendered, a JSON line per frame.
        #[arg(long, value_name = "FILE")]
        truth: PathBuf,
    },
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Model { model, data, scores, json } => {
            let is_onnx = model.extension().is_some_and(|extension| extension == "onnx");
            let (report, list) = if is_onnx { onnx(model, data)? } else { torch(model, data)? };
            if let Some(path) = scores {
                files::write_atomically(path, csv(&list).as_bytes())?;
            }
            print(&report, *json)
        }
        Command::Verdicts { lines, data, against, json } => {
            let data = dataset::read(data)?;
            let scores = verdicts::image_scores(&verdicts::read(lines)?, &data)?;
            print(&Report::of_scores(&scores), *json)?;
            let Some(against) = against else { return Ok(()) };
            let shift = verdicts::shift(&verdicts::read(lines)?, &verdicts::read(against)?);
            let other = verdicts::image_scores(&verdicts::read(against)?, &data)?;
            let change = verdicts::auroc_change(&scores, &other);
            bars::result(&format!("{shift}\n{change}"))
        }
        Command::Line { lines, truth } => {
            let truth = verdicts::read_truth(truth)?;
            let report = line_report::LineReport::of(&verdicts::read(lines)?, &truth)?;
            bars::result(&report.to_string())
        }
    }
}

fn onnx(path: &Path, data: &DataArguments) -> anyhow::Result<(Report, Vec<ImageScore>)> {
    let data_set = data.read()?;
    let (mut detector, file) = OnnxDetector::open(path)?;
    let data = data.screened(data_set, Needed::Test, detector.geometry())?;
    let prototypes: Vec<(String, Prototype)> =
        file.document.classes.into_iter().map(|class| (class.name, class.prototype)).collect();
    measure(&mut detector, &prototypes, &data)
}

fn torch(path: &Path, data: &DataArguments) -> anyhow::Result<(Report, Vec<ImageScore>)> {
    let data_set = data.read()?;
    let checkpoint = Checkpoint::load(path)?;
    let data = data.screened(data_set, Needed::All, &checkpoint.manifest.recipe.geometry())?;
    let parts = checkpoint.split(&data)?.training;
    let mut detector = TorchDetector::new(checkpoint, Device::cuda_if_available())?;
    let bar = bars::bar("prototypes");
    let prototypes = evaluate::prototypes(&mut detector, &data.names(), &parts, &bar)?;
    measure(&mut detector, &prototypes, &data)
}

fn measure(
    detector: &mut dyn Detect,
    prototypes: &[(String, Prototype)],
    data: &Dataset,
) -> anyhow::Result<(Report, Vec<ImageScore>)> {
    evaluate::evaluate(detector, prototypes, data, &bars::bar("evaluate"))
}

pub(super) fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    bars::result(&if json { serde_json::to_string_pretty(report)? } else { report.to_string() })
}

fn csv(scores: &[ImageScore]) -> String {
    scores.iter().fold(String::from("path,product,defect,score,recognised\n"), |mut text, score| {
        let ImageScore { path, product, defect, score, recognised } = score;
        let defect = defect.as_deref().unwrap_or("");
        let recognised = recognised.as_deref().unwrap_or("");
        writeln!(text, "{},{product},{defect},{score},{recognised}", path.display())
            .expect("writing to a String cannot fail");
        text
    })
}
