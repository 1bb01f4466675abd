//! `sightline inspect`: judges images and folders without a camera.
//!
//! Owns the table for people and the pictures of `--overlay`. A file that is no image is told and counted, the
//! others are judged all the same, and the exit code says so at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bundle::{calibration::RejectRate, geometry::RgbImage};

use super::{Global, load, print};
use crate::{
    clock::{Clock as _, SystemClock},
    config::{EngineSettings, JudgeSettings, ModelSettings},
    engine::OnnxOptions,
    fault::{Class, Fault, OrFault as _},
    images,
    inspector::{InspectError, Inspection, Inspector},
    judge::Unrated,
    overlay,
    record::{Origin, Record},
    summary::Summary,
    verdict::Verdict,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Images, and folders that are searched for images.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,

    /// A calibration file that overrides the model's own.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,

    /// Draws every frame beside its heat map into this folder.
    #[arg(long, value_name = "DIR")]
    overlay: Option<PathBuf>,

    /// One JSON object per image (docs/verdict-lines.md) instead of a table.
    #[arg(long)]
    json: bool,

    /// Ends with exit code 1 when any image does not pass.
    #[arg(long)]
    fail_on_reject: bool,

    /// The share of good parts that may be refused.
    #[arg(long, value_name = "R", default_value_t = 0.01)]
    reject_rate: f64,

    /// Goes on, and marks the verdicts, when the calibration is too small for the rate.
    #[arg(long)]
    allow_unrated: bool,

    /// Threads within an operation of the network; one per core by default.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<()> {
    let images = images::find(&arguments.paths)?;
    let overlays = match &arguments.overlay {
        Some(folder) => overlays(&images, folder)?,
        None => Vec::new(),
    };
    let inspector = load(arguments, global)?;
    let width = images.iter().map(|image| image.path.display().to_string().chars().count()).max();
    let mut work = Work {
        arguments,
        inspector,
        clock: SystemClock::start(),
        path_width: width.unwrap_or(0).clamp("image".len(), 80),
        summary: Summary::default(),
        unjudged: 0,
        overlays,
    };
    if !arguments.json {
        print::line(&table_row(
            work.path_width,
            "image",
            "decision",
            "product",
            ["score", "limit", "p", "distance", "radius"],
        ))?;
    }
    for (index, image) in images.iter().enumerate() {
        work.one(index, image)?;
    }
    work.close(images.len())
}

fn load(arguments: &Arguments, global: &Global) -> anyhow::Result<Inspector> {
    let rate = RejectRate::new(arguments.reject_rate).map_err(|error| {
        Fault::new(Class::Usage, format!("--reject-rate {}: {error}", arguments.reject_rate))
    })?;
    let judge = JudgeSettings {
        reject_rate: rate,
        rates: BTreeMap::new(),
        unrated: if arguments.allow_unrated { Unrated::Allowed } else { Unrated::Refused },
        // Images of anything are no camera that could drift.
        drift: None,
    };
    let onnx = OnnxOptions { threads: arguments.threads, ..OnnxOptions::default() };
    let engine = EngineSettings::without_file(onnx);
    let model =
        ModelSettings { path: arguments.model.clone(), calibration: arguments.calibration.clone() };
    Ok(load::inspector(&model, &engine, &[judge.recipe(None)], global)?.0)
}

struct Work<'a> {
    arguments: &'a Arguments,
    inspector: Inspector,
    clock: SystemClock,
    path_width: usize,
    summary: Summary,
    /// Images that cannot be decoded or do not fit the model's geometry.
    unjudged: usize,
    /// Where each image's picture goes; empty when none is wanted.
    overlays: Vec<PathBuf>,
}

impl Work<'_> {
    fn one(&mut self, index: usize, image: &images::Image) -> anyhow::Result<()> {
        let number = index as u64 + 1;
        let time = self.clock.wall();
        let started = self.clock.monotonic();
        let frame = match images::decode(&image.path) {
            Ok(frame) => frame,
            Err(reason) => {
                return self.unjudged(number, image, format!("cannot be decoded: {reason}"));
            }
        };
        let began = self.clock.monotonic();
        let inspection = match self.inspector.inspect(frame.view(), 0) {
            Ok(inspection) => inspection,
            // This image alone: the others may fit.
            Err(error @ InspectError::Geometry(_)) => {
                return self.unjudged(number, image, crate::fault::one_line(&error));
            }
            Err(InspectError::Engine(error)) => return Err(error).or_fault(Class::Engine)?,
            Err(error @ (InspectError::NoJudge { .. } | InspectError::Attention(_))) => {
                return Err(error).or_fault(Class::Bug)?;
            }
        };
        let ended = self.clock.monotonic();
        let inference = ended.saturating_sub(began);
        let latency = ended.saturating_sub(started);
        self.summary.latency.add(latency);
        self.summary.inference.add(inference);
        if let Some(path) = self.overlays.get(index) {
            images::write_png(path, &self.picture(&frame, &inspection))?;
        }
        let origin = origin(number, &image.path, time, latency, Some(inference));
        self.tell(origin, inspection.verdict)
    }

    fn unjudged(
        &mut self,
        number: u64,
        image: &images::Image,
        reason: String,
    ) -> anyhow::Result<()> {
        self.unjudged += 1;
        print::note(&format!("{}: {reason}", image.path.display()));
        let verdict = Verdict::fault(self.arguments.reject_rate, reason);
        let origin = origin(number, &image.path, self.clock.wall(), Duration::ZERO, None);
        self.tell(origin, verdict)
    }

    fn picture(&self, frame: &RgbImage, inspection: &Inspection) -> RgbImage {
        let map = self.inspector.frame_from_map(&inspection.inferences, frame.size);
        overlay::draw(&frame.view(), &map, &inspection.verdict)
    }

    fn tell(&mut self, origin: Origin, verdict: Verdict) -> anyhow::Result<()> {
        let record = Record { origin, model: Arc::clone(self.inspector.model()), verdict };
        self.summary.add(&record.verdict);
        let text = if self.arguments.json { record.json() } else { self.table_row(&record) };
        Ok(print::line(&text)?)
    }

    fn table_row(&self, record: &Record) -> String {
        let Record { origin, verdict, .. } = record;
        let number = |value: Option<f32>| value.map_or("-".into(), |value| format!("{value:.4}"));
        let nearest = verdict.recognition.as_ref();
        let columns = [
            number(verdict.score),
            number(verdict.threshold),
            verdict.p_value.map_or("-".into(), |p| format!("{p:.4}")),
            number(nearest.map(|nearest| nearest.distance)),
            number(nearest.and_then(|nearest| nearest.radius)),
        ];
        let mut row = table_row(
            self.path_width,
            origin.file.as_deref().unwrap_or("-"),
            verdict.decision.name(),
            nearest.map_or("-", |nearest| &nearest.product),
            columns.each_ref().map(String::as_str),
        );
        if verdict.unrated {
            row.push_str("  unrated");
        }
        row
    }

    fn close(self, images: usize) -> anyhow::Result<()> {
        if !self.arguments.json {
            print::line(&format!(
                "\n{images} images, {} not judged\n{}",
                self.unjudged, self.summary
            ))?;
        }
        if self.unjudged > 0 {
            let line = format!(
                "{} of {images} images cannot be judged; they are listed above",
                self.unjudged
            );
            return Err(Fault::new(Class::Data, line).into());
        }
        let counts = self.summary.counts();
        if self.arguments.fail_on_reject && counts.pass < counts.total() {
            return Err(Fault::new(Class::Rejected, "at least one part was not passed").into());
        }
        Ok(())
    }
}

fn table_row(
    width: usize,
    image: &str,
    decision: &str,
    product: &str,
    numbers: [&str; 5],
) -> String {
    let [score, limit, p, distance, radius] = numbers;
    format!(
        "{image:width$}  {decision:15}  {product:16}  {score:>8}  {limit:>8}  {p:>7}  {distance:>8}  {radius:>8}"
    )
}

fn origin(
    number: u64,
    path: &Path,
    time: SystemTime,
    latency: Duration,
    inference: Option<Duration>,
) -> Origin {
    Origin {
        camera: Arc::from("inspect"),
        epoch: 0,
        frame: number,
        file: Some(path.display().to_string().into()),
        plc_part: None,
        time,
        pts: None,
        latency,
        inference,
    }
}

/// A picture's path for each image: its own below `folder` as a PNG, with a number where two would be the same.
/// None of them may be an image that is to be judged.
fn overlays(images: &[images::Image], folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let originals: BTreeSet<PathBuf> =
        images.iter().filter_map(|image| image.path.canonicalize().ok()).collect();
    let mut drawn = BTreeSet::new();
    let mut overlays = Vec::with_capacity(images.len());
    for image in images {
        let path = folder.join(&image.below);
        let mut candidate = path.with_extension("png");
        let mut number = 2;
        while !drawn.insert(candidate.clone()) {
            candidate = path.with_extension(format!("{number}.png"));
            number += 1;
        }
        if candidate.canonicalize().is_ok_and(|path| originals.contains(&path)) {
            let line = format!(
                "--overlay {} would overwrite {}; name another folder",
                folder.display(),
                candidate.display()
            );
            return Err(Fault::new(Class::Usage, line));
        }
        overlays.push(candidate);
    }
    Ok(overlays)
}
