//! `sightline bench`: what this machine makes of a model.
//!
//! Owns the options and how the figures are printed; the measuring is the module `bench`.

use std::path::PathBuf;

use bundle::calibration::RejectRate;
use clap::ValueEnum;

use super::{Global, cameras, load, print};
use crate::{
    bench::{self, Extent, Part, Report, Subject},
    config::{EngineSettings, JudgeSettings, ModelSettings},
    engine::{Attempt, OnnxOptions, Runtime, onnx::Bare},
    fault::{Class, Fault, OrFault as _},
    judge::{DriftOptions, Unrated},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration whose model, engine and judge are measured; without one, the demo line's.
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,

    /// Measures this model file instead of a configuration's.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    model: Option<PathBuf>,

    /// Measures only these parts.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<PartName>,

    /// How often what is compared is alternated.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Frames of a round.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..))]
    frames: u32,

    /// Frames that go by while memory is watched.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..))]
    memory_frames: u32,

    /// How long video, cameras and pause are played, each.
    #[arg(long, value_name = "S", default_value_t = 20.0)]
    seconds: f64,

    /// Frames per second of each of the cameras that play at once.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    camera_rate: u32,

    /// ONNX Runtime's threads; more than one per core slows it down.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,

    /// A few frames of everything: whether it works, not how fast.
    #[arg(long)]
    quick: bool,

    /// One JSON object instead of tables.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,

    /// Tables of Markdown.
    #[arg(long)]
    markdown: bool,
}

/// The parts by their names on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PartName {
    /// Resident memory while frames go by.
    Memory,
    /// ONNX Runtime alone against the whole station.
    Pipeline,
    /// Processor time of our own code for each frame.
    Own,
    /// A 1080p30 H.264 video to verdicts.
    Video,
    /// 1, 2, 4 and 8 cameras.
    Cameras,
    /// A paused camera.
    Paused,
}

impl PartName {
    const fn part(self) -> Part {
        match self {
            Self::Memory => Part::Memory,
            Self::Pipeline => Part::Pipeline,
            Self::Own => Part::Own,
            Self::Video => Part::Video,
            Self::Cameras => Part::Cameras,
            Self::Paused => Part::Paused,
        }
    }
}

/// An hour of each part is enough for anybody.
const SECONDS_MAX: f64 = 3600.0;

pub(super) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<()> {
    let extent = extent(arguments)?;
    let (model, engine, judge) = settings(arguments)?;
    let onnx = OnnxOptions { threads: Some(arguments.threads.into()), ..engine.onnx.clone() };
    let engine = EngineSettings { onnx, ..engine };
    let model = load::Model::read(&model)?;
    let judge = model.judge(&judge.recipe(None))?;
    let runtime = load::runtime(global, &engine)?;
    let built = model.engine(&runtime, &engine, &load::Building::default())?;
    let (document, label) = (model.file.document.clone(), model.label());
    let input = document.geometry.input;
    let machine = bench::machine(
        &label,
        input.to_string(),
        runtime.version().to_string(),
        engine.onnx.threads,
    );
    let bare = bare(model, runtime, engine, built.attempt);
    let subject = Subject::new(document, judge, label, built.engine, bare);
    let wanted: Vec<_> = arguments.only.iter().map(|name| name.part()).collect();
    let is_wanted = |part: &Part| wanted.is_empty() || wanted.contains(part);
    let parts: Vec<_> = Part::ALL.into_iter().filter(is_wanted).collect();
    let sections = subject.measure(&parts, &extent, &std::env::temp_dir())?;
    tell(arguments, &Report { machine, sections })?;
    Ok(())
}

fn extent(arguments: &Arguments) -> Result<Extent, Fault> {
    let seconds = arguments.seconds;
    if !(0.1..=SECONDS_MAX).contains(&seconds) {
        let line = format!("--seconds {seconds}: it must be from 0.1 to {SECONDS_MAX}");
        return Err(Fault::new(Class::Usage, line));
    }
    let asked = Extent {
        rounds: arguments.rounds.into(),
        frames: arguments.frames,
        memory_frames: arguments.memory_frames,
        seconds,
        camera_rate: arguments.camera_rate,
    };
    let quick = Extent { rounds: 1, frames: 12, memory_frames: 24, seconds: 0.5, ..asked };
    Ok(if arguments.quick { quick } else { asked })
}

fn settings(
    arguments: &Arguments,
) -> Result<(ModelSettings, EngineSettings, JudgeSettings), Fault> {
    if let Some(path) = &arguments.model {
        let reject_rate = RejectRate::new(0.02).or_fault(Class::Bug)?;
        let rates = std::collections::BTreeMap::new();
        // Speed is measured: whatever the calibration supports is well.
        let drift = Some(DriftOptions::default());
        let judge = JudgeSettings { reject_rate, rates, unrated: Unrated::Allowed, drift };
        let model = ModelSettings { path: path.clone(), calibration: None };
        return Ok((model, EngineSettings::without_file(OnnxOptions::default()), judge));
    }
    let settings = match &arguments.config {
        Some(path) => cameras::read(path)?,
        None => cameras::demo()?,
    };
    Ok((settings.model, settings.engine, settings.judge))
}

/// Builds a session with nothing around it, when one is wanted.
fn bare(
    model: load::Model,
    runtime: Runtime,
    engine: EngineSettings,
    attempt: Attempt,
) -> impl Fn() -> Result<Bare, Fault> + 'static {
    move || {
        let input = model.file.document.geometry.input;
        let cache = model.engine_folder(&runtime, &engine, &attempt);
        Bare::load(&runtime, model.bytes(), input, &engine.onnx, &attempt, cache.as_deref())
            .map_err(|error| Fault::new(error.class(), error.to_string()))
    }
}

fn tell(arguments: &Arguments, report: &Report) -> Result<(), Fault> {
    if arguments.json {
        let json = serde_json::to_string_pretty(report)
            .map_err(|error| Fault::new(Class::Bug, format!("the report: {error}")))?;
        return print::line(&json);
    }
    let is_markdown = arguments.markdown;
    let machine = &report.machine;
    print::line(&if is_markdown {
        format!("Measured on {machine}.\n")
    } else {
        format!("{machine}\n")
    })?;
    for section in &report.sections {
        let text = if is_markdown { section.markdown() } else { section.to_string() };
        print::line(&text)?;
    }
    Ok(())
}
