//! `sightline run`: judges what the cameras of a configuration see.
//!
//! Owns what is overridden by the command line, what is printed where, and which exit code a run ends with.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{Global, cameras, load, print};
use crate::{
    camera::Camera,
    clock::{Clock, SystemClock},
    config::{Format, Settings},
    fault::{Class, Fault},
    frame::CameraId,
    ledger::Counters,
    shutdown,
    sinks::{
        line::ModelLabel,
        stdout::{Status, Stdout, Style},
    },
    station::{Report, Station},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; without one, the demo line plays.
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,

    /// Files start again at their end, until the process is stopped.
    #[arg(long)]
    r#loop: bool,

    /// Files play as fast as they can be judged.
    #[arg(long)]
    fast: bool,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<()> {
    let mut settings = match &arguments.config {
        Some(path) => cameras::read(path)?,
        None => cameras::demo()?,
    };
    for camera in &mut settings.cameras {
        camera.repeat |= arguments.r#loop;
        camera.realtime &= !arguments.fast;
    }
    // Before anything slow: a request to stop must not be lost while the engine loads.
    let stop = shutdown::on_signals()
        .map_err(|error| Fault::new(Class::Bug, format!("signals cannot be handled: {error}")))?;
    let (inspector, model) =
        load::inspector(&settings.model, &settings.engine, &settings.judge, global)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let epoch = cameras::epoch(clock.wall());
    let mut opened = Vec::new();
    for camera in &settings.cameras {
        let scale_to = camera.scaling.pipeline_size(inspector.geometry());
        let options = cameras::options(camera, scale_to, epoch)?;
        let camera_opened = Camera::open(options, Arc::clone(&clock))
            .map_err(|error| cameras::failed(&camera.name, &error))?;
        opened.push((camera_opened, camera.overflow));
    }
    let document = &model.file.document;
    let label =
        ModelLabel { name: document.model.name.clone(), version: document.model.version.clone() };
    let is_text = is_text(settings.format);
    let style = if is_text { Style::Text } else { Style::Json(label) };
    let accounts: Vec<_> = opened
        .iter()
        .map(|(camera, _)| (camera.id().clone(), Arc::clone(camera.counters())))
        .collect();
    let status = io::stderr().is_terminal().then(|| status(accounts, Arc::clone(&clock)));
    let sink = Stdout::start(io::stdout(), style, status).map_err(|error| {
        Fault::new(Class::Output, format!("a thread cannot be started: {error}"))
    })?;
    introduce(&settings, &model, &inspector);
    let reject_rate = settings.judge.reject_rate.get();
    let drain_within = Station::DRAIN_WITHIN;
    let station = Station { cameras: opened, inspector, sink, clock, reject_rate, drain_within };
    let report = station.run(&stop)?;
    close(&report, is_text)
}

fn is_text(format: Format) -> bool {
    match format {
        Format::Auto => io::stdout().is_terminal(),
        Format::Json => false,
        Format::Text => true,
    }
}

fn introduce(settings: &Settings, model: &load::Model, inspector: &crate::inspector::Inspector) {
    let document = &model.file.document;
    let cameras: Vec<_> = settings.cameras.iter().map(|camera| &*camera.name).collect();
    print::note(&format!(
        "Sightline: model {} {}, {} products, false-reject rate {} %, camera {}",
        document.model.name,
        document.model.version,
        document.classes.len(),
        settings.judge.reject_rate.get() * 100.0,
        cameras.join(", ")
    ));
    let unrated: Vec<_> = inspector.judge().unrated_products().collect();
    if !unrated.is_empty() {
        print::note(&format!(
            "the calibration is too small for that rate, so it is not promised, for: {}",
            unrated.join(", ")
        ));
    }
}

/// The terminal's status line: how far each camera is and how fast.
fn status(accounts: Vec<(CameraId, Arc<Counters>)>, clock: Arc<dyn Clock>) -> Status {
    let started = clock.monotonic();
    let text = move || {
        let seconds = clock.monotonic().saturating_sub(started).max(Duration::from_millis(1));
        let cameras: Vec<_> = accounts
            .iter()
            .map(|(id, counters)| {
                let balance = counters.balance();
                format!(
                    "{id}: {} captured, {} judged, {} dropped, {} faulted, {:.1}/s",
                    balance.captured,
                    balance.judged,
                    balance.dropped_total(),
                    balance.faulted_total(),
                    balance.judged as f64 / seconds.as_secs_f64()
                )
            })
            .collect();
        cameras.join("  |  ")
    };
    Status { terminal: Box::new(io::stderr()), text: Box::new(text) }
}

fn close(report: &Report, is_text: bool) -> anyhow::Result<()> {
    // JSON lines stay JSON lines: what people read goes to standard error then.
    if is_text {
        print::line(&format!("\n{report}"))?;
    } else {
        print::note(&format!("\n{report}"));
    }
    if let Some((id, error)) = report.failures.last() {
        // The others were logged when they failed.
        let line = format!("camera {id}: {}", crate::fault::one_line(error));
        return Err(Fault::new(Class::Camera, line).into());
    }
    let is_settled = report.balances.iter().all(|(_, balance)| balance.is_settled());
    if !is_settled {
        let line = "frames are missing from the account above; please report it";
        return Err(Fault::new(Class::Bug, line).into());
    }
    let judged: u64 = report.balances.iter().map(|(_, balance)| balance.judged).sum();
    match &report.engine_failure {
        Some(reason) if judged == 0 => {
            let line = format!("the engine failed for every frame: {reason}");
            Err(Fault::new(Class::Engine, line).into())
        }
        Some(_) | None => Ok(()),
    }
}
