//! The station: wires cameras, engine and sinks, and takes them apart again.
//!
//! Owns who runs on which thread, the start order (sink, engine, cameras), the drain order (cameras, channels,
//! engine, sink, ledger) and the deadline for it. `worker` is the engine's thread, which gives every frame its one
//! disposition: `gather` says which share a batch, `golden` when golden frames are run, `aside` what follows from several
//! frames. `watch` tells what happens beside. Must not know how frames are made, how they are judged, or how lines look.

mod aside;
mod gather;
mod golden;
mod watch;
mod worker;

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, select};

pub use self::worker::{Appoint, Command, Swap};
use self::{
    aside::Aside,
    golden::Golden,
    watch::Watch,
    worker::{Done, Lane, Notice, Worker, keep},
};
use crate::{
    calibration::desk::Listener,
    camera::{Camera, CameraError, CameraEvent, Playing},
    channel::Overflow,
    clock::Clock,
    fault::{Class, Fault, one_line},
    frame::CameraId,
    inspected::Onlooker,
    inspector::Inspector,
    ledger::{Account, Balance, Ledger, Parts},
    service::Manager,
    shutdown::StopRequested,
    sinks::stdout::{Stdout, WhenFull},
    state::Board,
    summary::Summary,
    telemetry::{Judging, Telemetry},
};

/// Everything that a station is made of.
pub struct Station {
    /// The cameras, with what a full output means for each.
    pub cameras: Vec<(Camera, Overflow)>,
    /// Judges every frame.
    pub inspector: Inspector,
    /// Where verdict lines go.
    pub sink: Stdout,
    /// The file that the cameras' accounts write to; `None` where they end with the process.
    pub ledger: Option<Ledger>,
    /// Where threads post how things stand; the cameras' own.
    pub board: Arc<Board>,
    /// What is measured.
    pub telemetry: Arc<Telemetry>,
    /// What judges, for the metrics.
    pub judging: Arc<Mutex<Judging>>,
    /// Where the engine's thread is told to swap its inspector or to run its golden frames.
    pub commands: (Sender<Command>, Receiver<Command>),
    /// Who collects good parts beside; `None` where nobody does.
    pub listener: Option<Listener>,
    /// Who wants to see judged frames: the archive, the page.
    pub onlookers: Vec<Box<dyn Onlooker>>,
    /// How often the golden frames are run.
    pub golden_every: Duration,
    /// How long a frame may wait for others to fill its batch.
    pub batch_wait: Duration,
    /// Who started this process, and wants to hear from it.
    pub manager: Manager,
    /// What latencies are measured with; the cameras' own.
    pub clock: Arc<dyn Clock>,
    /// How long each step of a drain that was asked for may take; then those who are late are named.
    pub drain_within: Duration,
}

impl Station {
    /// A frame is judged in a fraction of a second, a network camera lets go in a few.
    pub const DRAIN_WITHIN: Duration = Duration::from_secs(20);
}

/// How a run went.
#[derive(Debug)]
pub struct Report {
    /// What was judged.
    pub summary: Summary,
    /// Each camera's account.
    pub balances: Vec<(CameraId, Balance)>,
    /// Cameras that failed.
    pub failures: Vec<(CameraId, CameraError)>,
    /// Verdict lines that standard output was too slow for.
    pub lines_lost: u64,
    /// What the engine said when it last failed.
    pub engine_failure: Option<String>,
    /// What the GPU said when it failed for good; the process must end.
    pub gpu_failure: Option<String>,
}

/// Losses and returns of a camera that may wait to be told.
const EVENTS_A_CAMERA: usize = 8;

impl Station {
    /// Runs until every camera has ended, or `stop` asks for it; then drains.
    pub fn run(self, stop: &Receiver<StopRequested>) -> Result<Report, Fault> {
        let Self {
            cameras,
            inspector,
            sink,
            ledger,
            board,
            telemetry,
            judging,
            commands,
            listener,
            onlookers,
            golden_every,
            batch_wait,
            manager,
            clock,
            drain_within,
        } = self;
        // Held until the end: a channel whose senders are gone would wake the engine's thread all the time.
        let (_commands, commands) = commands;
        let lanes: Vec<Lane> = cameras
            .iter()
            .enumerate()
            .map(|(index, (camera, overflow))| lane(index, camera, *overflow, &telemetry))
            .collect();
        let accounts: Vec<_> = lanes.iter().map(|lane| Arc::clone(&lane.account)).collect();
        let (notify, notices) = crossbeam_channel::bounded(1);
        let is_output_waited_for = sink.is_waited_for();
        let watch = Watch {
            board: Arc::clone(&board),
            telemetry: Arc::clone(&telemetry),
            manager,
            notes: ledger.as_ref().map(Ledger::notes),
            health: ledger.as_ref().map(|ledger| Arc::clone(ledger.health())),
            clock: Arc::clone(&clock),
            parts: accounts.iter().map(|account| (Arc::clone(account), Parts::default())).collect(),
        };
        let worker = Worker {
            aside: Aside::new(inspector.judges()),
            inspector,
            sink,
            board,
            telemetry,
            judging,
            commands,
            listener,
            onlookers,
            golden: Golden::new(golden_every, clock.monotonic()),
            batch_wait,
            dead: None,
            notes: ledger.as_ref().map(Ledger::notes),
            failures: 0,
            clock,
            notify,
            summary: Summary::default(),
            lines_lost: 0,
            engine_failure: None,
        };
        let engine = std::thread::Builder::new()
            .name("engine-0".into())
            .spawn(move || worker.run(lanes))
            .map_err(|error| {
                Fault::new(Class::Engine, format!("a thread cannot be started: {error}"))
            })?;

        let (event, events) = crossbeam_channel::bounded(cameras.len() * EVENTS_A_CAMERA);
        let playing = cameras.into_iter().map(|(camera, _)| play(camera, &event));
        let playing: Vec<_> = playing.collect::<Result<_, Fault>>()?;
        drop(event);
        let mut drain = Drain {
            stop,
            notices,
            within: drain_within,
            is_asked_for: false,
            watch,
            is_output_waited_for,
            accounts,
        };
        let settled = drain.cameras(&playing, &events).and_then(|failures| {
            drain.engine()?;
            Ok((failures, finish(engine, playing)?))
        });
        let (failures, done) = match settled {
            Ok(settled) => settled,
            Err(fault) => {
                // Who is late has the others in hand. What is judged is recorded all the same.
                drain.within = RECORDED_WITHIN.min(drain_within);
                if let Err(second) = drain.ledger(ledger) {
                    tracing::error!("{second}");
                }
                return Err(fault);
            }
        };
        // Before anything else can end this function.
        let _inspector = keep(done.inspector, done.gpu_failure.is_some());
        drain.outputs(done.sink, done.onlookers, ledger)?;
        let balances = drain.balances().collect();
        Ok(Report {
            summary: done.summary,
            balances,
            failures,
            lines_lost: done.lines_lost,
            engine_failure: done.engine_failure,
            gpu_failure: done.gpu_failure,
        })
    }
}

fn play(camera: Camera, event: &Sender<CameraEvent>) -> Result<Playing, Fault> {
    let id = camera.id().clone();
    camera.play(event.clone()).map_err(|error| {
        Fault::new(Class::Camera, format!("camera {id}: a thread cannot be started: {error}"))
    })
}

fn lane(index: usize, camera: &Camera, overflow: Overflow, telemetry: &Telemetry) -> Lane {
    let when_full = match overflow {
        // A free-running camera must not be slowed by a reader that sleeps.
        Overflow::Latest => WhenFull::Lose,
        Overflow::Every => WhenFull::Wait,
    };
    Lane {
        frames: camera.frames().clone(),
        account: Arc::clone(camera.account()),
        camera: index,
        stages: telemetry.stages(camera.id()),
        plc: camera.plc().cloned(),
        when_full,
    }
}

/// How often the station looks round: the ledger's health, the engine's beat, the service manager.
const LOOK_ROUND_EVERY: Duration = Duration::from_millis(500);
/// How long rows have left to get into the file where somebody else was late.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);
/// Who is late when lines wait for a reader.
const OUTPUT_ASLEEP: &str =
    "sink-stdout, for nothing reads standard output: end its reader, or write to a file";

/// Waits for each part's end in the order of the flow: without a limit while nobody asks for it, within one
/// as soon as somebody does.
struct Drain<'a> {
    stop: &'a Receiver<StopRequested>,
    /// Disconnected when the engine's thread is gone.
    notices: Receiver<Notice>,
    within: Duration,
    is_asked_for: bool,
    watch: Watch,
    /// Whether the engine waits for standard output's reader, and with it everything before the engine.
    is_output_waited_for: Arc<AtomicBool>,
    accounts: Vec<Arc<Account>>,
}

impl Drain<'_> {
    /// Waits for every camera's end, and asks for it when it is time.
    fn cameras(
        &mut self,
        playing: &[Playing],
        events: &Receiver<CameraEvent>,
    ) -> Result<Vec<(CameraId, CameraError)>, Fault> {
        self.watch.ready();
        // A tick of its own: what cameras tell, however often, must not put a round off.
        let rounds = crossbeam_channel::tick(LOOK_ROUND_EVERY);
        let mut failures = Vec::new();
        let mut running: Vec<&CameraId> = playing.iter().map(|camera| &camera.id).collect();
        while !running.is_empty() {
            let event = if self.is_asked_for {
                match events.recv_timeout(self.within) {
                    Ok(event) => event,
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        let names: Vec<_> =
                            running.iter().map(|id| format!("camera {id}")).collect();
                        return Err(self.late(Class::Camera, &names.join(", ")));
                    }
                }
            } else {
                select! {
                    recv(events) -> event => match event {
                        Ok(event) => event,
                        // Every camera's thread is gone; those that panicked are found at the join.
                        Err(_) => break,
                    },
                    // A request, the output gone, or the engine gone: there is nothing to play for.
                    recv(self.stop) -> _ => { self.ask(playing); continue }
                    recv(self.notices) -> _ => { self.ask(playing); continue }
                    recv(rounds) -> _ => { self.watch.round(); continue }
                }
            };
            let id = match event {
                CameraEvent::Lost(id, error, again) => {
                    self.watch.lost(&id, &error, again);
                    continue;
                }
                CameraEvent::Back { camera, gone, attempt } => {
                    self.watch.back(camera, gone, attempt);
                    continue;
                }
                CameraEvent::GivenUp(id, error) => {
                    let why = one_line(&error);
                    tracing::error!(camera = %id, "given up, the process ends to be restarted: {why}");
                    self.watch.note("camera-given-up", &id.0, why);
                    failures.push((id.clone(), error));
                    self.ask(playing);
                    id
                }
                CameraEvent::Ended(id) => id,
                CameraEvent::Failed(id, error) => {
                    if running.len() > 1 {
                        // The others go on; of the last one the end of the run tells.
                        tracing::error!(camera = %id, "{}", one_line(&error));
                    }
                    failures.push((id.clone(), error));
                    id
                }
            };
            running.retain(|other| **other != id);
        }
        self.watch.stopping();
        Ok(failures)
    }

    fn ask(&mut self, playing: &[Playing]) {
        self.is_asked_for = true;
        for camera in playing {
            camera.stop();
        }
    }

    /// Waits until the engine has judged what is left in the channels.
    fn engine(&mut self) -> Result<(), Fault> {
        self.watch.drains_on();
        loop {
            if !self.is_asked_for {
                select! {
                    recv(self.notices) -> notice => match notice {
                        Ok(Notice::Output | Notice::Gpu | Notice::Onlooker) => {}
                        Err(_gone) => return Ok(()),
                    },
                    recv(self.stop) -> _ => self.is_asked_for = true,
                }
                continue;
            }
            match self.notices.recv_timeout(self.within) {
                Ok(Notice::Output | Notice::Gpu | Notice::Onlooker) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => return Err(self.late(Class::Engine, "engine-0")),
            }
        }
    }

    /// Closes what the engine told. Whatever becomes of one, the others are closed; the first that failed is told.
    fn outputs(
        &mut self,
        sink: Stdout,
        onlookers: Vec<Box<dyn Onlooker>>,
        ledger: Option<Ledger>,
    ) -> Result<(), Fault> {
        let written = self.sink(sink);
        let close = |onlooker: Box<dyn Onlooker>| {
            self.watch.drains_on();
            onlooker.close(self.within)
        };
        let closed: Vec<_> = onlookers.into_iter().map(close).collect();
        // Last: what the others did until their end is in it.
        let recorded = self.ledger(ledger);
        written.and(recorded).and(closed.into_iter().collect())
    }

    /// Waits until every line is written.
    fn sink(&mut self, sink: Stdout) -> Result<(), Fault> {
        self.watch.drains_on();
        let closing = sink.close();
        if !self.is_asked_for {
            select! {
                // Disconnected: it never gets an item.
                recv(closing.ended()) -> _ => {}
                recv(self.stop) -> _ => self.is_asked_for = true,
            }
        }
        if self.is_asked_for
            && closing.ended().recv_timeout(self.within) == Err(RecvTimeoutError::Timeout)
        {
            return Err(self.late(Class::Output, OUTPUT_ASLEEP));
        }
        closing.join().map_err(|error| {
            Fault::new(Class::Output, format!("standard output cannot be written: {error}"))
        })
    }

    /// Waits until every row is in the file.
    fn ledger(&mut self, ledger: Option<Ledger>) -> Result<(), Fault> {
        self.watch.parts();
        self.watch.drains_on();
        let Some(ledger) = ledger else { return Ok(()) };
        let closing = ledger.close();
        // Even where nobody asked: a disk that takes nothing may never take anything.
        match closing.ended().recv_timeout(self.within) {
            Err(RecvTimeoutError::Timeout) => {
                let why = closing.trouble().unwrap_or_else(|| "the disk is slow".into());
                Err(self.late(Class::Output, &format!("ledger, {why}")))
            }
            Ok(_) | Err(RecvTimeoutError::Disconnected) => {
                if closing.join() {
                    return Ok(());
                }
                Err(Fault::new(Class::Bug, "the thread ledger panicked; please report it"))
            }
        }
    }

    /// Names who is late, and gives the account as it stands.
    fn late(&self, class: Class, who: &str) -> Fault {
        let (class, who) = if self.is_output_waited_for.load(Ordering::Relaxed) {
            (Class::Output, OUTPUT_ASLEEP)
        } else {
            (class, who)
        };
        let seconds = self.within.as_secs_f64();
        let accounts: Vec<_> =
            self.balances().map(|(id, balance)| format!("camera {id}: {balance}")).collect();
        let accounts = accounts.join("; ");
        Fault::new(class, format!("not drained within {seconds} s: {who} ({accounts})"))
    }

    fn balances(&self) -> impl Iterator<Item = (CameraId, Balance)> + '_ {
        self.accounts.iter().map(|account| (account.camera().clone(), account.balance()))
    }
}

/// Joins the cameras' threads, then the engine's, which ends when it has drained the channels.
fn finish(engine: JoinHandle<Done>, playing: Vec<Playing>) -> Result<Done, Fault> {
    let mut panicked = Vec::new();
    for camera in playing {
        let id = camera.id.clone();
        if !camera.join() {
            panicked.push(format!("cam-{id}"));
        }
    }
    let done = engine.join();
    if done.is_err() {
        panicked.push("engine-0".into());
    }
    match done {
        Ok(done) if panicked.is_empty() => Ok(done),
        Ok(_) | Err(_) => {
            let line = format!("threads that panicked: {}; please report it", panicked.join(", "));
            Err(Fault::new(Class::Bug, line))
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary)?;
        for (id, balance) in &self.balances {
            write!(f, "\n  camera {id}: {balance}")?;
        }
        if self.lines_lost > 0 {
            write!(
                f,
                "\n  {} verdict lines were lost: standard output was too slow",
                self.lines_lost
            )?;
        }
        Ok(())
    }
}
