//! `sightline inspect`: judges images and folders without a camera.
//!
//! Owns the table for people and the pictures of `--overlay`. A file that is no image is told and counted, the
//! others are judged all the same, and the exit code says so at the end.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use bundle::{
    calibration::{Budget, RejectRate},
    geometry::RgbImage,
};

use super::{Global, load, print};
use crate::{
    clock::{Clock as _, SystemClock},
    config::{EngineSettings, JudgeSettings, ModelSettings},
    engine::OnnxOptions,
    fault::{Class, Fault, OrFault as _},
    images,
    inspector::{Inspection, Inspector},
    judge::Unrated,
    overlay,
    sinks::line::{ModelLabel, Origin, VerdictLine},
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
    let (inspector, model) = load(arguments, global)?;
    let width = images.iter().map(|image| image.path.display().to_string().chars().count()).max();
    let document = &model.file.document;
    let label =
        ModelLabel { name: document.model.name.clone(), version: document.model.version.clone() };
    let mut work = Work {
        arguments,
        inspector,
        label,
        clock: SystemClock::start(),
        path_width: width.unwrap_or(0).clamp("image".len(), 80),
        summary: Summary::default(),
        unreadable: 0,
        drawn: BTreeSet::new(),
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
        work.one(index as u64 + 1, image)?;
    }
    work.close(images.len())
}

fn load(arguments: &Arguments, global: &Global) -> anyhow::Result<(Inspector, load::Model)> {
    let rate = RejectRate::new(arguments.reject_rate).map_err(|error| {
        Fault::new(Class::Usage, format!("--reject-rate {}: {error}", arguments.reject_rate))
    })?;
    let judge = JudgeSettings {
        budget: Budget::split(rate),
        unrated: if arguments.allow_unrated { Unrated::Allowed } else { Unrated::Refused },
    };
    let engine = EngineSettings {
        library: None,
        onnx: OnnxOptions { threads: arguments.threads, ..OnnxOptions::default() },
    };
    let model =
        ModelSettings { path: arguments.model.clone(), calibration: arguments.calibration.clone() };
    Ok(load::inspector(&model, &engine, &judge, global)?)
}

struct Work<'a> {
    arguments: &'a Arguments,
    inspector: Inspector,
    label: ModelLabel,
    clock: SystemClock,
    path_width: usize,
    summary: Summary,
    unreadable: usize,
    /// Pictures of this run, so that two images of one name do not share one.
    drawn: BTreeSet<PathBuf>,
}

impl Work<'_> {
    fn one(&mut self, number: u64, image: &images::Image) -> anyhow::Result<()> {
        let time = self.clock.wall();
        let started = self.clock.monotonic();
        let frame = match images::decode(&image.path) {
            Ok(frame) => frame,
            Err(reason) => {
                self.unreadable += 1;
                print::note(&format!("{}: {reason}", image.path.display()));
                let rate = self.arguments.reject_rate;
                let verdict = Verdict::fault(rate, format!("cannot be decoded: {reason}"));
                let latency = self.clock.monotonic().saturating_sub(started);
                let origin = origin(number, &image.path, time, latency, None);
                return self.tell(&VerdictLine { origin, verdict });
            }
        };
        let began = self.clock.monotonic();
        let inspection = self.inspector.inspect(frame.view()).or_fault(Class::Engine)?;
        let ended = self.clock.monotonic();
        let inference = ended.saturating_sub(began);
        let latency = ended.saturating_sub(started);
        self.summary.latency.add(latency);
        self.summary.inference.add(inference);
        if let Some(folder) = &self.arguments.overlay {
            let path = unused(&mut self.drawn, &folder.join(&image.below));
            images::write_png(&path, &self.picture(&frame, &inspection))?;
        }
        let origin = origin(number, &image.path, time, latency, Some(inference));
        self.tell(&VerdictLine { origin, verdict: inspection.verdict })
    }

    fn picture(&self, frame: &RgbImage, inspection: &Inspection) -> RgbImage {
        let map = self.inspector.frame_from_map(&inspection.inferences, frame.size);
        overlay::draw(&frame.view(), &map, &inspection.verdict)
    }

    fn tell(&mut self, line: &VerdictLine) -> anyhow::Result<()> {
        self.summary.add(&line.verdict);
        let text = if self.arguments.json { line.json(&self.label) } else { self.table_row(line) };
        Ok(print::line(&text)?)
    }

    fn table_row(&self, line: &VerdictLine) -> String {
        let VerdictLine { origin, verdict } = line;
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
                "\n{images} images, {} unreadable\n{}",
                self.unreadable, self.summary
            ))?;
        }
        if self.unreadable > 0 {
            let line = format!(
                "{} of {images} images cannot be read; they are listed above",
                self.unreadable
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
    latency: std::time::Duration,
    inference: Option<std::time::Duration>,
) -> Origin {
    Origin {
        camera: Arc::from("inspect"),
        epoch: 0,
        frame: number,
        file: Some(path.display().to_string().into()),
        time,
        pts: None,
        latency,
        inference,
    }
}

/// `path` as a PNG, or with a number where this run already drew one there.
fn unused(drawn: &mut BTreeSet<PathBuf>, path: &Path) -> PathBuf {
    let mut candidate = path.with_extension("png");
    let mut number = 2;
    while !drawn.insert(candidate.clone()) {
        candidate = path.with_extension(format!("{number}.png"));
        number += 1;
    }
    candidate
}
