//! The station: wires cameras, engine and sinks, and takes them apart again.
//!
//! Owns who runs on which thread, the start order (sink, engine, cameras), the drain order (cameras, channels,
//! engine, sink, ledger) and the deadline for it. Every frame that it takes from a channel gets its one disposition
//! here; between two frames the engine's thread obeys commands and runs golden frames (`golden`). `aside` draws conclusions from
//! several frames, `watch` tells what happens beside. Must not know how frames are made, how they are judged, or how lines look.

mod aside;
mod gather;
mod golden;
mod watch;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Select, Sender, select};

use self::{aside::Aside, golden::Golden, watch::Watch};
use crate::{
    calibration::desk::{Heard, Listener},
    camera::{Camera, CameraError, CameraEvent, Playing},
    channel::Overflow,
    clock::Clock,
    engine::{Deviations, Engine as _, EngineError, Inference, Refusal},
    fault::{Class, Fault, one_line},
    frame::{CameraId, Frame, Picture},
    inspector::{InspectError, Inspection, Inspector},
    judge::Judge,
    ledger::{Account, Balance, FaultReason, Ledger, Parts, book::Event, writer::Notes},
    record::{Origin, Record},
    service::Manager,
    shutdown::StopRequested,
    sinks::{
        line::Line,
        stdout::{Handed, Stdout, WhenFull},
    },
    state::{self, Board, Trouble},
    summary::Summary,
    telemetry::{Judging, Stages, Telemetry},
    verdict::{Decision, Verdict},
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

/// A camera as the engine's thread sees it.
struct Lane {
    frames: Receiver<Frame>,
    account: Arc<Account>,
    /// Its index among the station's cameras: its judge's.
    camera: usize,
    stages: Stages,
    when_full: WhenFull,
}

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
        let mut playing = Vec::new();
        for (camera, _) in cameras {
            let id = camera.id().clone();
            playing.push(camera.play(event.clone()).map_err(|error| {
                Fault::new(
                    Class::Camera,
                    format!("camera {id}: a thread cannot be started: {error}"),
                )
            })?);
        }
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
        let failures = drain.cameras(&playing, &events)?;
        drain.engine()?;
        let done = finish(engine, playing)?;
        // Before anything else can end this function.
        let _inspector = keep(done.inspector, done.gpu_failure.is_some());
        drain.sink(done.sink)?;
        // Last: what the others did until their end is in it.
        drain.ledger(ledger)?;
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
        when_full,
    }
}

/// How often the station looks round: the ledger's health, the engine's beat, the service manager.
const LOOK_ROUND_EVERY: Duration = Duration::from_millis(500);
/// How often the engine's thread comes round where no frames come.
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// So many failures in a row are no accident any more.
const ENGINE_FAILURES: u32 = 3;

/// What the engine's thread is told between two frames.
pub enum Command {
    /// Judge with another inspector from now on.
    Swap(Swap),
    /// Run the golden frames.
    Golden,
}

/// An inspector that is to judge.
pub struct Swap {
    /// The new one.
    pub inspector: Box<Inspector>,
    /// Where the old one goes: whoever built the new one takes it apart, which may take a while.
    pub old: Sender<Box<Inspector>>,
    /// False once it has happened, or whoever sent it waits no longer: it happens at most once, and never unseen.
    pub wanted: Arc<AtomicBool>,
}

/// What the engine's thread tells the station before its end.
enum Notice {
    /// Nobody reads the verdicts any more.
    OutputGone,
    /// The GPU failed for good.
    GpuGone,
}

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
                    default(LOOK_ROUND_EVERY) => { self.watch.round(); continue }
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
        loop {
            if !self.is_asked_for {
                select! {
                    recv(self.notices) -> notice => match notice {
                        Ok(Notice::OutputGone | Notice::GpuGone) => {}
                        Err(_gone) => return Ok(()),
                    },
                    recv(self.stop) -> _ => self.is_asked_for = true,
                }
                continue;
            }
            match self.notices.recv_timeout(self.within) {
                Ok(Notice::OutputGone | Notice::GpuGone) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => return Err(self.late(Class::Engine, "engine-0")),
            }
        }
    }

    /// Waits until every line is written.
    fn sink(&mut self, sink: Stdout) -> Result<(), Fault> {
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

/// The destructors of a provider whose GPU is lost may hang or crash, and the process ends anyhow.
#[expect(clippy::mem_forget, reason = "what is not taken apart cannot hang the end of the process")]
fn leave(inspector: Inspector) {
    std::mem::forget(inspector);
}

/// The inspector, to be taken apart at the end; nothing where its GPU is lost.
fn keep(inspector: Inspector, is_lost: bool) -> Option<Inspector> {
    if !is_lost {
        return Some(inspector);
    }
    leave(inspector);
    None
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

/// The engine's thread.
struct Worker {
    inspector: Inspector,
    /// What the judges know from one frame to the next.
    aside: Aside,
    sink: Stdout,
    board: Arc<Board>,
    telemetry: Arc<Telemetry>,
    judging: Arc<Mutex<Judging>>,
    commands: Receiver<Command>,
    listener: Option<Listener>,
    golden: Golden,
    batch_wait: Duration,
    /// What the GPU said when it failed for good: it is not asked again.
    dead: Option<String>,
    notes: Option<Notes>,
    /// Failures of the engine since it last succeeded.
    failures: u32,
    clock: Arc<dyn Clock>,
    /// Its disconnection tells the station that this thread is gone.
    notify: Sender<Notice>,
    summary: Summary,
    lines_lost: u64,
    engine_failure: Option<String>,
}

/// What is left of it.
struct Done {
    /// Not taken apart before every verdict has left.
    inspector: Inspector,
    sink: Stdout,
    summary: Summary,
    lines_lost: u64,
    engine_failure: Option<String>,
    gpu_failure: Option<String>,
}

impl Worker {
    /// Takes frames from all lanes until the last one is closed and empty.
    fn run(mut self, mut lanes: Vec<Lane>) -> Done {
        while !lanes.is_empty() {
            let closed = self.until_one_closes(&lanes);
            let lane = lanes.remove(closed);
            self.conclude_lane(&lane);
        }
        let Self { inspector, sink, summary, lines_lost, engine_failure, dead, listener, .. } =
            self;
        if let Some(listener) = listener {
            listener.close();
        }
        Done { inspector, sink, summary, lines_lost, engine_failure, gpu_failure: dead }
    }

    fn until_one_closes(&mut self, lanes: &[Lane]) -> usize {
        let mut select = Select::new();
        for lane in lanes {
            select.recv(&lane.frames);
        }
        let commands = self.commands.clone();
        select.recv(&commands);
        loop {
            // Between two frames, one golden frame at a time: no part waits longer than for another part.
            self.golden_step();
            let now = self.clock.monotonic();
            self.board.beat(now);
            self.tell_overdue(lanes, now);
            // Among several that are ready, crossbeam chooses at random: no camera starves another.
            let is_testing = self.golden.is_running() && self.dead.is_none();
            let wait = if is_testing { Duration::ZERO } else { BEAT_EVERY };
            let Ok(ready) = select.select_timeout(wait) else { continue };
            let index = ready.index();
            if index == lanes.len() {
                if let Ok(command) = ready.recv(&commands) {
                    self.obey(command, lanes);
                }
                continue;
            }
            match ready.recv(&lanes[index].frames) {
                Ok(frame) => {
                    let until = gather::Until {
                        batch_max: self.inspector.engine().batch_max(),
                        wait: self.batch_wait,
                    };
                    let frames: Vec<_> = lanes.iter().map(|lane| &lane.frames).collect();
                    self.batch(&gather::gather((index, frame), &frames, until), lanes);
                }
                Err(_closed) => return index,
            }
        }
    }

    fn obey(&mut self, command: Command, lanes: &[Lane]) {
        match command {
            // No engine helps a process whose GPU is lost; whoever sent it sees its channel close.
            Command::Swap(swap) if self.dead.is_some() => leave(*swap.inspector),
            Command::Swap(swap) if !swap.wanted.swap(false, Ordering::AcqRel) => {}
            Command::Swap(Swap { inspector, old, .. }) => {
                let before = std::mem::replace(&mut self.inspector, *inspector);
                self.recall(lanes, &before);
                let label = self.inspector.model();
                let detail = format!("{} {} {}", label.name, label.version, label.sha256);
                self.note("model", detail);
                self.trusted(self.inspector.deviation());
                self.golden = Golden::new(self.golden.every, self.clock.monotonic());
                let _gone = old.send(Box::new(before));
            }
            Command::Golden => self.golden.begin(),
        }
    }

    /// Runs the next golden frame, where it is time for one.
    fn golden_step(&mut self) {
        if self.dead.is_some() {
            return;
        }
        let now = self.clock.monotonic();
        let frames = self.inspector.engine().golden_frames();
        let Some(index) = self.golden.next(now, frames) else { return };
        match self.inspector.engine().check(index) {
            Ok(deviation) => {
                if let Some(all) = self.golden.agrees(deviation, now, frames) {
                    self.inspector.engine().agreed(all);
                    let Deviations { frames, score, map, .. } = all;
                    self.note(
                        "golden",
                        format!(
                            "{frames} frames agree: score within {score:.1e}, map within {map:.1e}"
                        ),
                    );
                    self.trusted(all);
                }
            }
            Err(Refusal::Failed { source: source @ EngineError::Fatal { .. }, .. }) => {
                self.bury(&source.into());
            }
            Err(refusal) => {
                let why = one_line(&refusal);
                tracing::error!("nothing is judged until the golden frames agree again: {why}");
                self.note("golden-refused", why.clone());
                self.golden.refused(now, why);
                self.board.post(state::Event::Begins(Trouble::Golden));
            }
        }
    }

    /// The engine has shown that it can be trusted.
    fn trusted(&mut self, deviation: Deviations) {
        self.board.post(state::Event::Ends(Trouble::Golden));
        let mut judging = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        judging.deviation = deviation;
    }

    fn note(&self, kind: &'static str, detail: String) {
        if let Some(notes) = &self.notes {
            notes.note(Event::ours(self.clock.wall(), kind, "engine", detail));
        }
    }

    /// Judges frames that came at once; each gets its disposition.
    fn batch(&mut self, frames: &[(usize, Frame)], lanes: &[Lane]) {
        let started = self.clock.monotonic();
        let untrusted = match (&self.dead, self.golden.refusal()) {
            (Some(why), _) => Some(format!("the GPU failed for good: {why}")),
            (None, Some(why)) => Some(format!("the engine is not trusted: {why}")),
            (None, None) => None,
        };
        let inputs: Vec<_> = frames
            .iter()
            .filter_map(|(lane, frame)| match &frame.picture {
                Picture::Pixels(pixels) if untrusted.is_none() => {
                    Some((pixels.view(), lanes[*lane].camera))
                }
                Picture::Pixels(_) | Picture::Unreadable(_) => None,
            })
            .collect();
        if !inputs.is_empty() {
            self.telemetry.batched();
        }
        let mut outcomes = self.inspector.inspect_batch(&inputs).into_iter();
        let ended = self.clock.monotonic();
        for (lane, frame) in frames {
            let outcome = match (&frame.picture, &untrusted) {
                (Picture::Unreadable(reason), _) => {
                    Err((format!("cannot be decoded: {reason}"), FaultReason::Decode))
                }
                (Picture::Pixels(_), Some(why)) => Err((why.clone(), FaultReason::Engine)),
                (Picture::Pixels(_), None) => match outcomes.next() {
                    Some(Ok(inspection)) => Ok(inspection),
                    Some(Err(error)) => {
                        self.bury(&error);
                        Err((one_line(&error), FaultReason::Engine))
                    }
                    None => Err(("the engine gave no answer".into(), FaultReason::Engine)),
                },
            };
            self.settle(frame, &lanes[*lane], outcome, started, ended);
        }
    }

    /// Takes note of a failure that only a new process gets out of.
    fn bury(&mut self, error: &InspectError) {
        if let InspectError::Engine(EngineError::Fatal { cause }) = error
            && self.dead.is_none()
        {
            tracing::error!(
                "the GPU failed for good, the process ends to be started again: {cause}"
            );
            self.note("gpu-failed", cause.clone());
            self.board.post(state::Event::Begins(Trouble::Engine));
            self.dead = Some(cause.clone());
            // Full: the station knows already that it is to end.
            let _told = self.notify.try_send(Notice::GpuGone);
        }
    }

    /// Gives one frame its disposition, by the verdict about it or why there is none.
    fn settle(
        &mut self,
        frame: &Frame,
        lane: &Lane,
        outcome: Result<Inspection, (String, FaultReason)>,
        started: Duration,
        ended: Duration,
    ) {
        let reject_rate = self.inspector.judges().get(lane.camera).map_or(0.0, Judge::reject_rate);
        let is_inferred = outcome.is_ok();
        let (Inspection { verdict, inferences, appearance }, fault) = match outcome {
            Ok(inspection) => {
                let is_fault = inspection.verdict.decision == Decision::Fault;
                (inspection, is_fault.then_some(FaultReason::Engine))
            }
            Err((reason, fault)) => {
                let verdict = Verdict::fault(reject_rate, reason);
                (Inspection { verdict, inferences: Vec::new(), appearance: None }, Some(fault))
            }
        };
        let wanted = self.listener.as_ref().and_then(|it| it.wants(&frame.id.camera));
        let latency = ended.saturating_sub(frame.stamp.monotonic);
        let inference = is_inferred.then(|| ended.saturating_sub(started));
        self.summary.latency.add(latency);
        if let Some(inference) = inference {
            self.summary.inference.add(inference);
        }
        self.summary.add(&verdict);
        match fault {
            Some(FaultReason::Engine) => {
                self.engine_failure.clone_from(&verdict.reason);
                self.failures = self.failures.saturating_add(1);
                if self.failures == ENGINE_FAILURES {
                    self.board.post(state::Event::Begins(Trouble::Engine));
                }
            }
            None if self.failures > 0 => {
                self.failures = 0;
                self.board.post(state::Event::Ends(Trouble::Engine));
            }
            Some(FaultReason::Decode | FaultReason::Abandoned | FaultReason::Crash) | None => {}
        }
        let waited = started.saturating_sub(frame.stamp.monotonic);
        lane.stages.observe(waited, ended.saturating_sub(started), latency);
        self.telemetry.judged(&frame.id.camera, &verdict);
        let origin = Origin {
            camera: Arc::clone(&frame.id.camera.0),
            epoch: frame.id.epoch,
            frame: frame.id.number,
            file: frame.origin.clone(),
            time: frame.stamp.wall,
            pts: frame.stamp.pts,
            latency,
            inference,
        };
        let record = Record { origin, model: Arc::clone(self.inspector.model()), verdict };
        self.print(Line::Frame(Box::new(record.clone())), lane.when_full);
        let verdict = record.verdict.clone();
        // What the ledger calls judged has been handed over.
        lane.account.judged(record, fault);
        self.conclude(frame, lane, &verdict, appearance);
        if let Some(collection) = wanted {
            self.tell_listener(collection, frame, verdict, inferences);
        }
    }

    /// A calibration wants this frame: a copy of it, after its verdict has left.
    fn tell_listener(
        &self,
        collection: u64,
        frame: &Frame,
        verdict: Verdict,
        inferences: Vec<Inference>,
    ) {
        let Some(listener) = &self.listener else { return };
        match &frame.picture {
            Picture::Pixels(pixels) if verdict.decision != Decision::Fault => {
                if !listener.has_room(collection) {
                    return;
                }
                let (id, picture) = (frame.id.clone(), pixels.view().to_image());
                let model = Arc::clone(self.inspector.model());
                listener.hear(Heard { collection, id, picture, inferences, verdict, model });
            }
            Picture::Pixels(_) | Picture::Unreadable(_) => listener.fault(collection),
        }
    }

    fn print(&mut self, line: Line, when_full: WhenFull) {
        match self.sink.hand(line, when_full) {
            Handed::Queued => {}
            Handed::Lost => self.lines_lost += 1,
            Handed::Closed => {
                self.lines_lost += 1;
                // Full: the station knows already.
                let _told = self.notify.try_send(Notice::OutputGone);
            }
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
