//! The bench: what this machine makes of a model, measured on the station that would run it.
//!
//! Owns what is measured and how. `line` plays a station, `metered` lends it one engine, `process` reads the kernel's
//! figures, `statistics` and `report` are pure, `sections` are the measurements. Must not know the command line.

mod line;
mod metered;
mod process;
mod report;
mod sections;
mod statistics;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bundle::schema::Document;
use indicatif::{ProgressBar, ProgressStyle};

use self::metered::Lent;
pub use self::{
    report::{Machine, Report, Row, Section, Target},
    sections::{Extent, Part},
};
use crate::{
    clock::{Clock, SystemClock},
    engine::{Verified, onnx::Bare},
    fault::Fault,
    judge::Judge,
    record::ModelLabel,
};

/// What is measured.
pub struct Subject {
    document: Document,
    judge: Judge,
    label: ModelLabel,
    engine: Lent,
    bare: Box<dyn Fn() -> Result<Bare, Fault>>,
    clock: Arc<dyn Clock>,
}

impl Subject {
    /// A model with its verified engine; `bare` builds another session of the same network with the same options.
    pub fn new(
        document: Document,
        judge: Judge,
        label: ModelLabel,
        engine: Verified,
        bare: impl Fn() -> Result<Bare, Fault> + 'static,
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let engine = Lent::of(engine, Arc::clone(&clock));
        Self { document, judge, label, engine, bare: Box::new(bare), clock }
    }

    /// Measures these parts; ledgers and clips lie in `folder` meanwhile.
    pub fn measure(
        &self,
        parts: &[Part],
        extent: &Extent,
        folder: &Path,
    ) -> Result<Vec<Section>, Fault> {
        let mut sections = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let folder = Scratch::make(folder, index)?;
            let progress = progress(part.name());
            let bench = sections::Bench { subject: self, extent, folder: &folder.0, progress };
            let section = bench.measure(*part);
            bench.progress.finish_and_clear();
            sections.push(section?);
        }
        Ok(sections)
    }
}

/// What is measured on, before anything is.
pub fn machine(
    label: &ModelLabel,
    input: String,
    onnxruntime: String,
    threads: Option<usize>,
) -> Machine {
    Machine {
        processor: process::processor(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        load_before: process::load_average(),
        model: format!("{} {}", label.name, label.version),
        input,
        onnxruntime,
        threads,
    }
}

/// A folder that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn make(within: &Path, index: usize) -> Result<Self, Fault> {
        let name = format!("sightline-bench-{}-{index}", std::process::id());
        let folder = within.join(name);
        std::fs::create_dir_all(&folder).map_err(|error| {
            let line = format!("{} cannot be made: {error}", folder.display());
            Fault::new(crate::fault::Class::Output, line)
        })?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left lies in the folder for what is temporary.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Drawn on a terminal only.
fn progress(part: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.set_prefix(part);
    bar.enable_steady_tick(std::time::Duration::from_millis(250));
    bar
}
