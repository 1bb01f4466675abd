//! `sightline prepare`: builds and verifies the engine of a configuration before its line is started.
//!
//! Owns what people see meanwhile. Loads by the very code that `run` loads with, so that what is prepared is what runs;
//! plays no camera and opens no ledger.

use std::{
    io::{IsTerminal as _, stderr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Global, cameras,
    load::{self, Took},
    loading::{self, Patience},
    print,
};
use crate::{
    config::Settings,
    engine::{Built, Engine as _, Runtime},
    fault::{Class, Fault, OrFault as _, one_line},
    service::Manager,
    shutdown,
    state::{Event, Trouble},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration whose engine is built; without one, the demo line's.
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,
}

/// Where there is no terminal, so many lines a minute are enough.
const TOLD_EVERY: Duration = Duration::from_secs(20);
/// Runs whose mean is told.
const RUNS: u32 = 10;

pub(super) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<()> {
    let settings = match &arguments.config {
        Some(path) => cameras::read(path)?,
        None => cameras::demo()?,
    };
    let stop = shutdown::on_signals()
        .map_err(|error| Fault::new(Class::Bug, format!("signals cannot be handled: {error}")))?;
    let model = Arc::new(load::Model::read(&settings.model)?);
    // What `run` would refuse before the engine is refused here as well, before minutes are spent.
    let _judges = model.judges(&cameras::recipes(&settings)?)?;
    let runtime = load::runtime(global, &settings.engine)?;
    let mut progress = Progress::start();
    let patience = Patience::OF_A_PERSON;
    let mut manager = Manager::from_environment();
    let tick = |_manager: &mut Manager, text| progress.tick(text);
    let engine = &settings.engine;
    let built = loading::engine(&model, &runtime, engine, &stop, patience, &mut manager, tick);
    progress.end();
    let Some((mut built, took)) = built? else {
        let line =
            "stopped before the engine was there; what was half built is cleared at the next start";
        return Err(Fault::new(Class::Engine, line).into());
    };
    if let Event::Begins(Trouble::Provider) = load::fell_back(&built, &settings.engine) {
        print::note(
            "another provider than the first of engine.providers is used: it may be too slow for the line",
        );
    }
    let per_frame = per_frame(&model, &mut built)?;
    print::line(&ready(&settings, &runtime, &built, took, per_frame))?;
    Ok(())
}

/// What is used, how far it is from what the trainer measured, and how long that took.
fn ready(
    settings: &Settings,
    runtime: &Runtime,
    built: &Built,
    took: Took,
    per_frame: Duration,
) -> String {
    let agreed = built.engine.deviation();
    let cache = built.attempt.builds().then(|| load::cache_path(&settings.engine));
    let how = how(took, cache.as_deref());
    format!(
        "ready: {} on ONNX Runtime {}; {how}; {} golden frames agree, score within {:.1e}, map within {:.1e}, warmed up in {}; then {:.1} ms a frame",
        built.attempt,
        runtime.version(),
        agreed.frames,
        agreed.score,
        agreed.map,
        secs(took.verify),
        per_frame.as_secs_f64() * 1e3
    )
}

/// Whether it was built, and from where it came; `cache` is where engines are kept that are built.
fn how(took: Took, cache: Option<&Path>) -> String {
    let load = secs(took.load);
    match (took.build, cache) {
        (_, None) => format!("nothing to build, loaded in {load}"),
        (Some(build), Some(cache)) => {
            format!("built in {}, kept in {}", secs(build), cache.display())
        }
        (None, Some(cache)) => format!("already built, loaded in {load} from {}", cache.display()),
    }
}

fn secs(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// What a frame takes, now that the engine is warm: the network alone, one frame at a time.
fn per_frame(model: &load::Model, built: &mut Built) -> Result<Duration, Fault> {
    let document = &model.file.document;
    let Some(golden) = document.golden.first() else { return Ok(Duration::ZERO) };
    let picture = golden.decode().or_fault(Class::Model)?;
    let began = Instant::now();
    for _ in 0..RUNS {
        let inferred = built.engine.infer(&picture.view());
        drop(inferred.map_err(|error| Fault::new(error.class(), one_line(&error)))?);
    }
    Ok(began.elapsed() / RUNS)
}

/// How far it is, for the person at the terminal, or for a log.
struct Progress {
    bar: Option<ProgressBar>,
    told: Instant,
}

impl Progress {
    fn start() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.set_message("loading the engine");
            bar.enable_steady_tick(Patience::OF_A_PERSON.tick_every / 4);
            bar
        });
        Self { bar, told: Instant::now() }
    }

    fn tick(&mut self, text: Option<String>) {
        let text = text.map_or("loading the engine".into(), |text| format!("building {text}"));
        if let Some(bar) = &self.bar {
            bar.set_message(text);
        } else if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            print::note(&text);
        }
    }

    fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_whether_something_was_built() {
        let check = |build: Option<u64>, cache: Option<&str>, expected: &str| {
            let build = build.map(Duration::from_secs);
            let took = Took { build, load: Duration::from_millis(2_340), verify: Duration::ZERO };
            assert_eq!(how(took, cache.map(Path::new)), expected);
        };
        check(None, None, "nothing to build, loaded in 2.3 s");
        check(Some(240), Some("/c"), "built in 240.0 s, kept in /c");
        check(None, Some("/c"), "already built, loaded in 2.3 s from /c");
    }
}
