//! The station: wires cameras, engine and sinks, and takes them apart again.
//!
//! Owns who runs on which thread, the start order (sink, engine, cameras), the drain order (cameras, channels,
//! engine, sink) and the deadline for it. Every frame that it takes from a channel gets its one disposition here.
//! Must not know how frames are made, how they are judged, or how lines look.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Select, Sender, select};

use crate::{
    camera::{Camera, CameraError, CameraEvent, Playing},
    channel::Overflow,
    clock::Clock,
    fault::{Class, Fault, one_line},
    frame::{CameraId, Frame, Picture},
    inspector::Inspector,
    ledger::{Account, Balance, FaultReason, Ledger, book::Event},
    record::{Origin, Record},
    shutdown::StopRequested,
    sinks::stdout::{Handed, Stdout, WhenFull},
    summary::Summary,
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
    /// What latencies are measured with; the cameras' own.
    pub clock: Arc<dyn Clock>,
    /// The operator's false-reject rate, for verdicts that no judge made.
    pub reject_rate: f64,
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
}

/// Losses and returns of a camera that may wait to be told.
const EVENTS_A_CAMERA: usize = 8;

/// A camera as the engine's thread sees it.
struct Lane {
    frames: Receiver<Frame>,
    account: Arc<Account>,
    when_full: WhenFull,
}

impl Station {
    /// Runs until every camera has ended, or `stop` asks for it; then drains.
    pub fn run(self, stop: &Receiver<StopRequested>) -> Result<Report, Fault> {
        let Self { cameras, inspector, sink, ledger, clock, reject_rate, drain_within } = self;
        let lanes: Vec<Lane> =
            cameras.iter().map(|(camera, overflow)| lane(camera, *overflow)).collect();
        let accounts: Vec<_> = lanes.iter().map(|lane| Arc::clone(&lane.account)).collect();
        let (notify, notices) = crossbeam_channel::bounded(1);
        let is_output_waited_for = sink.is_waited_for();
        let drain_clock = Arc::clone(&clock);
        let worker = Worker {
            inspector,
            sink,
            clock,
            reject_rate,
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
            clock: drain_clock,
            is_output_waited_for,
            accounts,
        };
        let failures = drain.cameras(&playing, &events, ledger.as_ref())?;
        drain.engine()?;
        let done = finish(engine, playing)?;
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
        })
    }
}

fn lane(camera: &Camera, overflow: Overflow) -> Lane {
    let when_full = match overflow {
        // A free-running camera must not be slowed by a reader that sleeps.
        Overflow::Latest => WhenFull::Lose,
        Overflow::Every => WhenFull::Wait,
    };
    Lane { frames: camera.frames().clone(), account: Arc::clone(camera.account()), when_full }
}

/// What the engine's thread tells the station before its end.
enum Notice {
    /// Nobody reads the verdicts any more.
    OutputGone,
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
    clock: Arc<dyn Clock>,
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
        ledger: Option<&Ledger>,
    ) -> Result<Vec<(CameraId, CameraError)>, Fault> {
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
                }
            };
            let id = match event {
                CameraEvent::Lost(id, error, again) => {
                    let why = one_line(&error);
                    let seconds = again.as_secs_f64();
                    tracing::error!(camera = %id, "lost, tried again in {seconds:.1} s: {why}");
                    self.note(ledger, "camera-lost", &id, why);
                    continue;
                }
                CameraEvent::Back { camera, gone, attempt } => {
                    let [gone, attempt] = [gone, attempt].map(|time| time.as_secs_f64());
                    let when = format!("after {gone:.1} s, {attempt:.2} s into the attempt");
                    tracing::warn!(%camera, "frames come again {when}");
                    self.note(ledger, "camera-back", &camera, when);
                    continue;
                }
                CameraEvent::GivenUp(id, error) => {
                    let why = one_line(&error);
                    tracing::error!(camera = %id, "given up, the process ends to be restarted: {why}");
                    self.note(ledger, "camera-given-up", &id, why);
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
        Ok(failures)
    }

    fn note(&self, ledger: Option<&Ledger>, kind: &'static str, camera: &CameraId, detail: String) {
        let Some(ledger) = ledger else { return };
        let event = Event::ours(self.clock.wall(), kind, &camera.0, detail);
        if !ledger.note(event) {
            tracing::warn!(%camera, kind, "the ledger takes no events");
        }
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
                        Ok(Notice::OutputGone) => {}
                        Err(_gone) => return Ok(()),
                    },
                    recv(self.stop) -> _ => self.is_asked_for = true,
                }
                continue;
            }
            match self.notices.recv_timeout(self.within) {
                Ok(Notice::OutputGone) => {}
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

/// The engine's thread.
struct Worker {
    inspector: Inspector,
    sink: Stdout,
    clock: Arc<dyn Clock>,
    reject_rate: f64,
    /// Its disconnection tells the station that this thread is gone.
    notify: Sender<Notice>,
    summary: Summary,
    lines_lost: u64,
    engine_failure: Option<String>,
}

/// What is left of it.
struct Done {
    sink: Stdout,
    summary: Summary,
    lines_lost: u64,
    engine_failure: Option<String>,
}

impl Worker {
    /// Takes frames from all lanes until the last one is closed and empty.
    fn run(mut self, mut lanes: Vec<Lane>) -> Done {
        while !lanes.is_empty() {
            let closed = self.until_one_closes(&lanes);
            lanes.remove(closed);
        }
        let Self { sink, summary, lines_lost, engine_failure, .. } = self;
        Done { sink, summary, lines_lost, engine_failure }
    }

    fn until_one_closes(&mut self, lanes: &[Lane]) -> usize {
        let mut select = Select::new();
        for lane in lanes {
            select.recv(&lane.frames);
        }
        loop {
            // Among several that are ready, crossbeam chooses at random: no camera starves another.
            let ready = select.select();
            let index = ready.index();
            match ready.recv(&lanes[index].frames) {
                Ok(frame) => self.one(&frame, &lanes[index]),
                Err(_closed) => return index,
            }
        }
    }

    fn one(&mut self, frame: &Frame, lane: &Lane) {
        let started = self.clock.monotonic();
        let (verdict, is_inferred, fault) = match &frame.picture {
            Picture::Unreadable(reason) => {
                let reason = format!("cannot be decoded: {reason}");
                (Verdict::fault(self.reject_rate, reason), false, Some(FaultReason::Decode))
            }
            Picture::Pixels(pixels) => match self.inspector.inspect(pixels.view()) {
                Ok(inspection) => {
                    let fault = match inspection.verdict.decision {
                        Decision::Fault => Some(FaultReason::Engine),
                        Decision::Pass(_) | Decision::Fail | Decision::UnknownProduct => None,
                    };
                    (inspection.verdict, true, fault)
                }
                Err(error) => {
                    let reason = one_line(&error);
                    (Verdict::fault(self.reject_rate, reason), false, Some(FaultReason::Engine))
                }
            },
        };
        let ended = self.clock.monotonic();
        let latency = ended.saturating_sub(frame.stamp.monotonic);
        let inference = is_inferred.then(|| ended.saturating_sub(started));
        self.summary.latency.add(latency);
        if let Some(inference) = inference {
            self.summary.inference.add(inference);
        }
        self.summary.add(&verdict);
        if fault == Some(FaultReason::Engine) {
            self.engine_failure.clone_from(&verdict.reason);
        }
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
        self.print(record.clone(), lane.when_full);
        // Last: what the ledger calls judged has been handed over.
        lane.account.judged(record, fault);
    }

    fn print(&mut self, line: Record, when_full: WhenFull) {
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
