//! `sightline run`: judges what the cameras of a configuration see.
//!
//! Owns what is overridden by the command line, what is printed where, and which exit code a run ends with.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bundle::geometry::Size;
use crossbeam_channel::Receiver;

use super::{
    Global, access, cameras,
    control::{Common, Control, Doors},
    load,
    loading::{self, Patience},
    mqtt, plc, print, production,
    recipes::Recipes,
    reload::note_dropped,
};
use crate::{
    archive::{self, ArchiveOptions, Intake, Store, Tally},
    calibration::desk::Listener,
    camera::{Camera, CameraOptions},
    channel::Overflow,
    clock::{Clock, SystemClock},
    config::{ArchiveSettings, Format, Settings},
    engine::{Built, Deviations, Runtime},
    fault::{Class, Fault, one_line},
    frame::Frame,
    inspected::Onlooker,
    inspector::Inspector,
    judge::Judge,
    ledger::{
        Account, Ledger, LedgerOptions, book,
        writer::{Health, Notes},
    },
    live::{self, Live},
    mqtt::{Means, Publisher, Tally as MqttTally},
    plc::Exchange,
    production::Counting,
    service::Manager,
    shutdown::{self, Hangups, StopRequested},
    sinks::stdout::{Status, Stdout, Style},
    state::{Board, Event},
    station::{Report, Station},
    telemetry::{Judging, Sources, Telemetry},
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

/// Two transactions; a disk that is slower than this is full.
const LEDGER_CLOSED_WITHIN: Duration = Duration::from_secs(5);
/// How often people and the service manager hear how far the engine is.
const HOW_FAR_EVERY: Duration = Duration::from_secs(5);
/// Commands that may wait for the engine's thread.
const COMMANDS: usize = 4;

pub(super) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<()> {
    let configured = settings(arguments)?;
    // Before anything slow: a request to stop must not be lost while the engine loads.
    let (stop, hangups) = signals()?;
    let mut manager = Manager::from_environment();
    manager.status("starting: loading and verifying the model");
    // First what is cheap to be wrong. The engine comes last: where it has to be built, state and health are served by then.
    let model = Arc::new(load::Model::read(&configured.model)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let board = Arc::new(Board::timed(configured.cameras.len(), Arc::clone(&clock)));
    let commands = crossbeam_channel::bounded(COMMANDS);
    let (recipes, dropped) =
        Recipes::new(configured, &model, commands.0.clone(), Arc::clone(&board));
    let (settings, recipes) = (recipes.settings(), Arc::new(recipes));
    let judges = model.judges(&cameras::recipes(&settings)?)?;
    let gate = settings.http.as_ref().map(|http| access::gate(http, &clock)).transpose()?;
    let runtime = load::runtime(global, &settings.engine)?;
    let (ledger, accounts) = ledger(&settings, &clock)?;
    let accounts: Vec<_> = accounts.into_iter().map(Arc::new).collect();
    let (archive, ledger) = or_close(archive(&settings), ledger)?;
    let opened = open(&settings, &model, &accounts, &board, &clock);
    let ((opened, exchange), ledger) = or_close(opened, ledger)?;
    let reloadable = reloadable(&settings, &opened);
    let judging = Arc::new(Mutex::new(not_yet(&settings, &model)));
    let (watched, ledger) = watched(&settings, &accounts, ledger, &board, &clock)?;
    let health = ledger.as_ref().map(|ledger| Arc::clone(ledger.health()));
    let telemetry = Arc::new(Telemetry::new(Sources {
        cameras: sources(&accounts, &opened),
        board: Arc::clone(&board),
        ledger: health.clone(),
        archive: archive.as_ref().map(|archive| Arc::clone(&archive.tally)),
        mqtt: watched.mqtt.clone(),
        judging: Arc::clone(&judging),
        live: watched.live.as_ref().map(|live| Arc::clone(live.counters())),
        plc: exchange.as_ref().map(|exchange| Arc::clone(exchange.counters())),
        clock: Arc::clone(&clock),
    }));
    let notes = ledger.as_ref().map(Ledger::notes);
    note_dropped(notes.as_ref(), &dropped, &*clock);
    let plc = plc::start(exchange, &settings, &accounts, ledger.as_ref(), &board, &clock);
    let (plc, ledger) = or_close(plc, ledger)?;
    let production = production::start(&settings, &model, &accounts, &clock);
    let common = Common {
        accounts,
        board: Arc::clone(&board),
        clock: Arc::clone(&clock),
        judging: Arc::clone(&judging),
        telemetry: Arc::clone(&telemetry),
        notes,
        recipes,
        production,
    };
    let doors = Doors {
        gate,
        commands: commands.0.clone(),
        cameras: reloadable,
        live: watched.live,
        archive: archive.as_ref().map(|archive| archive.path.clone().into()),
        mqtt: watched.mqtt,
        hangups,
    };
    let ((control, listener), ledger) =
        or_close(common.control(arguments.config.as_deref(), global, &settings, doors), ledger)?;
    let built = engine(&mut manager, &model, &runtime, &settings, &board, &stop);
    let (built, ledger) = or_close(built, ledger)?;
    let Some(built) = built else {
        let others = plc.into_iter().chain(watched.onlookers).chain(watched.publisher);
        return stopped_early(others, listener, ledger, control, &board);
    };
    *judging.lock().unwrap_or_else(PoisonError::into_inner) = judging_with(&built, &model);
    let inspector = model.inspector(built.engine, judges);
    let is_text = is_text(settings.format);
    let Common { accounts, notes, production, .. } = common;
    let sink = sink(is_text, status(accounts, health, Arc::clone(&clock)))?;
    introduce(&settings, &model, &inspector);
    control.introduce();
    note_start(notes, &inspector, &built.attempt.to_string(), &*clock);
    let counting: Box<dyn Onlooker> = Box::new(Counting::new(production));
    let archiving = archiving(archive, ledger.as_ref(), &board, &clock)?;
    // The broker last: what the others did until their end is told.
    let others = archiving.into_iter().chain(watched.publisher);
    let onlookers =
        plc.into_iter().chain(watched.onlookers).chain([counting]).chain(others).collect();
    let station = Station {
        cameras: opened.into_iter().map(|opened| (opened.camera, opened.overflow)).collect(),
        inspector,
        sink,
        ledger,
        board,
        telemetry,
        judging,
        commands,
        listener,
        onlookers,
        golden_every: settings.engine.golden_every,
        batch_wait: settings.engine.batch_wait,
        manager,
        clock,
        drain_within: Station::DRAIN_WITHIN,
    };
    // A thread that is late holds what the others wait for: then nobody is waited for any more.
    let report = station.run(&stop)?;
    ended(watched.page)?;
    control.finish()?;
    close(&report, is_text)
}

fn signals() -> Result<(Receiver<StopRequested>, Hangups), Fault> {
    let both = || Ok((shutdown::on_signals()?, Hangups::hold()?));
    both().map_err(|error: io::Error| {
        Fault::new(Class::Bug, format!("signals cannot be handled: {error}"))
    })
}

/// What is to judge, before there is an engine.
fn not_yet(settings: &Settings, model: &load::Model) -> Judging {
    let engine = load::engine_labels(&settings.engine.wish.providers, model.label());
    Judging { engine, deviation: Deviations::default() }
}

/// What judges, now that there is an engine.
fn judging_with(built: &Built, model: &load::Model) -> Judging {
    let engine = load::engine_labels(&built.attempt.providers, model.label());
    Judging { engine, deviation: built.engine.deviation() }
}

/// The cameras by their names, with the size that each one's pipeline scales to.
fn reloadable(settings: &Settings, opened: &[Opened]) -> Vec<(String, Option<Size>)> {
    let names = settings.cameras.iter().map(|camera| camera.name.clone());
    std::iter::zip(names, opened.iter().map(|opened| opened.scaled_to)).collect()
}

/// Every camera's account and queue.
fn sources(accounts: &[Arc<Account>], opened: &[Opened]) -> Vec<(Arc<Account>, Receiver<Frame>)> {
    let frames = opened.iter().map(|opened| opened.camera.frames().clone());
    std::iter::zip(accounts.iter().cloned(), frames).collect()
}

/// The configuration's, with what the command line overrides.
fn settings(arguments: &Arguments) -> Result<Settings, Fault> {
    let mut settings = match &arguments.config {
        Some(path) => cameras::read(path)?,
        None => cameras::demo()?,
    };
    for camera in &mut settings.cameras {
        camera.repeat |= arguments.r#loop;
        camera.realtime &= !arguments.fast;
    }
    Ok(settings)
}

/// The engine, while people and the service manager hear how far it is; `None` when the stop was asked for meanwhile.
fn engine(
    manager: &mut Manager,
    model: &Arc<load::Model>,
    runtime: &Runtime,
    settings: &Settings,
    board: &Board,
    stop: &Receiver<StopRequested>,
) -> Result<Option<Built>, Fault> {
    let tick = |manager: &mut Manager, text: Option<String>| {
        board.post(Event::Building(text.clone().unwrap_or_default()));
        if let Some(text) = text {
            manager.status(&format!("building {text}"));
        }
    };
    let patience = Patience { tick_every: HOW_FAR_EVERY, after_stop: Station::DRAIN_WITHIN };
    let Some((built, _took)) =
        loading::engine(model, runtime, &settings.engine, stop, patience, manager, tick)?
    else {
        manager.stopping();
        return Ok(None);
    };
    board.post(Event::Building(String::new()));
    board.post(load::fell_back(&built, &settings.engine));
    Ok(Some(built))
}

/// The end of a run that was asked to end before it had begun.
fn stopped_early(
    others: impl Iterator<Item = Box<dyn Onlooker>>,
    listener: Option<Listener>,
    ledger: Option<Ledger>,
    control: Control,
    board: &Board,
) -> anyhow::Result<()> {
    // Before the ledger closes: what people do from now on would stand in no audit trail.
    board.post(Event::Stopping);
    // `calibrate` waits for as long as somebody may show it frames.
    listener.into_iter().for_each(Listener::close);
    let closed: Vec<_> = others.map(|other| other.close(LEDGER_CLOSED_WITHIN)).collect();
    if let Some(ledger) = ledger {
        let _late = ledger.close().ended().recv_timeout(LEDGER_CLOSED_WITHIN);
    }
    control.finish()?;
    closed.into_iter().collect::<Result<(), Fault>>()?;
    print::note("stopped before the first frame");
    Ok(())
}

/// A start that fails leaves a ledger without open numberings: nothing has been captured.
fn or_close<T>(
    outcome: Result<T, Fault>,
    ledger: Option<Ledger>,
) -> Result<(T, Option<Ledger>), Fault> {
    match (outcome, ledger) {
        (Ok(value), ledger) => Ok((value, ledger)),
        (Err(fault), ledger) => {
            if let Some(ledger) = ledger {
                // A disk that takes nothing must not hide why the start failed.
                let _late = ledger.close().ended().recv_timeout(LEDGER_CLOSED_WITHIN);
            }
            Err(fault)
        }
    }
}

/// A camera that is built and does not play yet.
struct Opened {
    camera: Camera,
    overflow: Overflow,
    scaled_to: Option<Size>,
}

/// The cameras, and what those whose parts a PLC announces share with it.
fn open(
    settings: &Settings,
    model: &load::Model,
    accounts: &[Arc<Account>],
    board: &Arc<Board>,
    clock: &Arc<dyn Clock>,
) -> Result<(Vec<Opened>, Option<Exchange>), Fault> {
    let geometry = &model.file.document.geometry;
    let exchange = plc::exchange(settings, model)?;
    let opened: Result<_, Fault> = std::iter::zip(&settings.cameras, accounts)
        .map(|(camera, account)| {
            let scaled_to = camera.scaling.pipeline_size(geometry);
            let reconnect = Some(camera.reconnect);
            let plc = exchange.as_ref().and_then(|exchange| exchange.way(account.camera()));
            // Pictures are kept, and shown, as the camera took them; without scaling they are.
            let is_kept = cameras::archive_path(&settings.archive).is_some();
            let keep_full = scaled_to.is_some() && (is_kept || settings.http.is_some());
            let options =
                CameraOptions { plc, keep_full, reconnect, ..cameras::options(camera, scaled_to)? };
            let account = Arc::clone(account);
            let opened = Camera::open(&options, account, Arc::clone(board), Arc::clone(clock))
                .map_err(|error| cameras::failed(&camera.name, &error))?;
            Ok(Opened { camera: opened, overflow: camera.overflow, scaled_to })
        })
        .collect();
    Ok((opened?, exchange))
}

/// The audit trail begins with what judges.
fn note_start(notes: Option<Notes>, inspector: &Inspector, engine: &str, clock: &dyn Clock) {
    let Some(notes) = notes else { return };
    let label = inspector.model();
    let detail = format!("{} {} {} on {engine}", label.name, label.version, label.sha256);
    notes.note(book::Event::ours(clock.wall(), "started", "station", detail));
}

/// Who sees judged frames.
#[derive(Default)]
struct Watched {
    /// What is kept for the page.
    live: Option<Arc<Live>>,
    /// The engine's ends.
    onlookers: Vec<Box<dyn Onlooker>>,
    /// Ends with the onlookers.
    page: Option<live::Thread>,
    /// Who tells a broker, and how that goes. From here on it hears how the station is.
    publisher: Option<Box<dyn Onlooker>>,
    mqtt: Option<Arc<MqttTally>>,
}

/// Everybody who sees judged frames, or what became of them.
fn watched(
    settings: &Settings,
    accounts: &[Arc<Account>],
    ledger: Option<Ledger>,
    board: &Arc<Board>,
    clock: &Arc<dyn Clock>,
) -> Result<(Watched, Option<Ledger>), Fault> {
    let telling = telling(settings, ledger.as_ref(), board, clock);
    let (told, ledger) = or_close(telling, ledger)?;
    let (publisher, mqtt) = told.unzip();
    let (shown, ledger) = or_close(shown(settings, accounts), ledger)?;
    Ok((Watched { publisher, mqtt, ..shown }, ledger))
}

/// Without HTTP there is no page.
fn shown(settings: &Settings, accounts: &[Arc<Account>]) -> Result<Watched, Fault> {
    let Some(http) = &settings.http else { return Ok(Watched::default()) };
    let cameras = accounts.iter().map(|account| account.camera().clone()).collect();
    let (live, intake, page) = Live::start(cameras, http.pictures_per_second)
        .map_err(|error| Fault::new(Class::Bug, format!("a thread cannot be started: {error}")))?;
    Ok(Watched {
        live: Some(live),
        onlookers: vec![Box::new(intake)],
        page: Some(page),
        ..Watched::default()
    })
}

/// The engine's thread is gone, and with it whatever the page waited for.
fn ended(page: Option<live::Thread>) -> Result<(), Fault> {
    if page.is_none_or(live::Thread::join) {
        return Ok(());
    }
    Err(Fault::new(Class::Bug, "the thread page panicked; please report it"))
}

/// The ledger, where there is to be one, and an account for each camera.
fn ledger(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Result<(Option<Ledger>, Vec<Account>), Fault> {
    let Some(path) = cameras::ledger_path(&settings.ledger) else {
        let now = clock.wall();
        let accounts =
            settings.cameras.iter().map(|camera| cameras::unrecorded(camera, now)).collect();
        return Ok((None, accounts));
    };
    let options = LedgerOptions { path: path.clone(), retention: settings.ledger.retention };
    let cameras: Vec<_> = settings.cameras.iter().map(cameras::id).collect();
    let (ledger, accounts, found) = Ledger::open(options, &cameras, Arc::clone(clock))
        .map_err(|error| cameras::ledger_failed(&path, &error))?;
    if let Some(aside) = &found.moved_aside {
        print::note(&format!(
            "ledger {} was damaged: it lies at {} now, and a new one is begun",
            path.display(),
            aside.display()
        ));
    }
    for crashed in &found.crashed {
        let (first, last) = (crashed.numbers.start(), crashed.numbers.end());
        print::note(&format!(
            "camera {}: frames {first} to {last} of epoch {} were open when the last run ended: faulted, crash",
            crashed.camera, crashed.epoch
        ));
    }
    Ok((Some(ledger), accounts))
}

/// The archive before the cameras play.
struct Archive {
    path: PathBuf,
    store: Store,
    options: ArchiveOptions,
    tally: Arc<Tally>,
}

/// The archive's folder, where there is to be one.
fn archive(settings: &Settings) -> Result<Option<Archive>, Fault> {
    let Some(path) = cameras::archive_path(&settings.archive) else { return Ok(None) };
    let Some(ledger) = cameras::ledger_path(&settings.ledger) else {
        let line = "archive.path is there, but no ledger that says what became of the pictures: set ledger.path as well";
        return Err(Fault::new(Class::Configuration, line));
    };
    let store = Store::open(&path).map_err(|error| Fault::new(Class::Output, error.to_string()))?;
    let &ArchiveSettings { passes_every, caps, jpeg_quality, .. } = &settings.archive;
    let options = ArchiveOptions { ledger, passes_every, caps, jpeg_quality };
    Ok(Some(Archive { path, store, options, tally: Arc::default() }))
}

/// The archive's end of the engine's thread.
fn archiving(
    archive: Option<Archive>,
    ledger: Option<&Ledger>,
    board: &Arc<Board>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Box<dyn Onlooker>>, Fault> {
    let Some((archive, ledger)) = archive.zip(ledger) else { return Ok(None) };
    let Archive { store, options, tally, .. } = archive;
    let means = archive::Means {
        rows: ledger.evidence(),
        board: Arc::clone(board),
        tally,
        clock: Arc::clone(clock),
        epoch: ledger.epoch(),
    };
    let intake = Intake::start(store, options, means).map_err(|error| {
        Fault::new(Class::Output, format!("a thread cannot be started: {error}"))
    })?;
    Ok(Some(Box::new(intake)))
}

type Told = (Box<dyn Onlooker>, Arc<MqttTally>);

/// Who tells a broker, where one is to be told.
fn telling(
    settings: &Settings,
    ledger: Option<&Ledger>,
    board: &Arc<Board>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Told>, Fault> {
    let Some(of) = &settings.mqtt else { return Ok(None) };
    let path = cameras::ledger_path(&settings.ledger);
    let (Some(ledger), Some(path)) = (ledger, path) else { return Err(mqtt::without_ledger()) };
    let options = mqtt::options(of)?;
    let (rows, sent) = ledger.outbox(of.history);
    let tally = Arc::new(MqttTally::new(mqtt::address(of)));
    let means = Means {
        ledger: path,
        rows,
        sent,
        notes: ledger.notes(),
        board: Arc::clone(board),
        tally: Arc::clone(&tally),
        clock: Arc::clone(clock),
        cameras: settings.cameras.iter().map(|camera| camera.name.as_str().into()).collect(),
    };
    let publisher = Publisher::start(options, means)
        .map_err(|error| Fault::new(Class::Bug, format!("a thread cannot be started: {error}")))?;
    Ok(Some((Box::new(publisher), tally)))
}

fn sink(is_text: bool, status: Option<Status>) -> Result<Stdout, Fault> {
    let style = if is_text { Style::Text } else { Style::Json };
    Stdout::start(io::stdout(), style, status)
        .map_err(|error| Fault::new(Class::Output, format!("a thread cannot be started: {error}")))
}

fn is_text(format: Format) -> bool {
    match format {
        Format::Auto => io::stdout().is_terminal(),
        Format::Json => false,
        Format::Text => true,
    }
}

fn introduce(settings: &Settings, model: &load::Model, inspector: &Inspector) {
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
    let unrated: BTreeSet<_> =
        inspector.judges().iter().flat_map(Judge::unrated_products).collect();
    if !unrated.is_empty() {
        print::note(&format!(
            "the calibration is too small for that rate, so it is not promised, for: {}",
            unrated.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
}

/// The terminal's status line, where there is one: how far each camera is and how fast.
fn status(
    accounts: Vec<Arc<Account>>,
    ledger: Option<Arc<Health>>,
    clock: Arc<dyn Clock>,
) -> Option<Status> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let started = clock.monotonic();
    let text = move || {
        let seconds = clock.monotonic().saturating_sub(started).max(Duration::from_millis(1));
        let cameras: Vec<_> = accounts
            .iter()
            .map(|account| {
                let (id, balance) = (account.camera(), account.balance());
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
        let trouble = ledger.as_ref().and_then(|health| health.trouble());
        let trouble = trouble.map_or(String::new(), |why| format!("  |  DEGRADED, ledger: {why}"));
        format!("{}{trouble}", cameras.join("  |  "))
    };
    Some(Status { terminal: Box::new(io::stderr()), text: Box::new(text) })
}

fn close(report: &Report, is_text: bool) -> anyhow::Result<()> {
    // JSON lines stay JSON lines: what people read goes to standard error then.
    if is_text {
        print::line(&format!("\n{report}"))?;
    } else {
        print::note(&format!("\n{report}"));
    }
    if let Some(cause) = &report.gpu_failure {
        let line = format!(
            "the GPU failed for good: {cause}; start the process again (a service manager does)"
        );
        return Err(Fault::new(Class::Gpu, line).into());
    }
    if let Some((id, error)) = report.failures.last() {
        // The others were logged when they failed.
        let line = format!("camera {id}: {}", one_line(error));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{camera::CameraError, frame::CameraId, summary::Summary};

    #[test]
    fn a_lost_gpu_decides_the_exit_code_whatever_else_failed() {
        let report = Report {
            summary: Summary::default(),
            balances: Vec::new(),
            failures: vec![(CameraId("top".into()), CameraError::Buffer("gone".into()))],
            lines_lost: 0,
            engine_failure: Some("CUDA failure 700".into()),
            gpu_failure: Some("CUDA failure 700".into()),
        };
        let class = |report: &Report| {
            let error = close(report, false).unwrap_err();
            error.downcast_ref::<Fault>().unwrap().class
        };
        assert_eq!(class(&report), Class::Gpu);
        assert_eq!(class(&Report { gpu_failure: None, ..report }), Class::Camera);
    }
}
