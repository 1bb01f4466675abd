//! The engine's thread: frames of all cameras in, one disposition for each out.
//!
//! Owns what happens between two frames (commands, golden frames) and what becomes of a frame's verdict: line, row,
//! metrics, listener. `gather` says which frames share a batch, `aside` what follows from several of them. Must not know
//! who started this thread, how it is ended, or how frames are judged.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Select, Sender};

use super::{aside::Aside, gather, golden::Golden};
use crate::{
    calibration::desk::{Heard, Listener},
    clock::Clock,
    engine::{Deviations, Engine as _, EngineError, Inference, Refusal},
    fault::one_line,
    frame::{Frame, Picture},
    inspected::{Inspected, Onlooker},
    inspector::{InspectError, Inspection, Inspector},
    judge::Judge,
    ledger::{Account, FaultReason, Reserving, book::Event, writer::Notes},
    plc::Way,
    record::{Origin, Record},
    sinks::{
        line::Line,
        stdout::{Handed, Stdout, WhenFull},
    },
    state::{self, Board, Trouble},
    summary::Summary,
    telemetry::{Judging, Stages, Telemetry},
    verdict::{Decision, Verdict},
};

/// How often the engine's thread comes round where no frames come.
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// So many failures in a row are no accident any more.
const ENGINE_FAILURES: u32 = 3;

/// What the engine's thread is told between two frames.
pub enum Command {
    /// Judge with another inspector from now on.
    Swap(Swap),
    /// Judge one camera's frames by another judge from now on.
    Appoint(Appoint),
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

/// A judge for one camera.
pub struct Appoint {
    /// The camera's place among the station's.
    pub camera: usize,
    /// The new judge.
    pub judge: Box<Judge>,
    /// Told when it has happened.
    pub done: Sender<()>,
    /// As for a [`Swap`].
    pub wanted: Arc<AtomicBool>,
}

/// What is gone, as the engine's thread tells the station before its end.
pub(super) enum Notice {
    /// Nobody reads the verdicts any more.
    Output,
    /// The GPU failed for good.
    Gpu,
    /// A thread that frames are shown to has ended by itself.
    Onlooker,
}

/// A camera as the engine's thread sees it.
pub(super) struct Lane {
    pub(super) frames: Receiver<Frame>,
    pub(super) account: Arc<Account>,
    /// Its index among the station's cameras: its judge's.
    pub(super) camera: usize,
    pub(super) stages: Stages,
    /// Where a PLC announces its parts.
    pub(super) plc: Option<Way>,
    pub(super) when_full: WhenFull,
}

/// The engine's thread.
pub(super) struct Worker {
    pub(super) inspector: Inspector,
    /// What the judges know from one frame to the next.
    pub(super) aside: Aside,
    pub(super) sink: Stdout,
    pub(super) board: Arc<Board>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) judging: Arc<Mutex<Judging>>,
    pub(super) commands: Receiver<Command>,
    pub(super) listener: Option<Listener>,
    /// Who wants to see judged frames.
    pub(super) onlookers: Vec<Box<dyn Onlooker>>,
    pub(super) golden: Golden,
    pub(super) batch_wait: Duration,
    /// What the GPU said when it failed for good: it is not asked again.
    pub(super) dead: Option<String>,
    pub(super) notes: Option<Notes>,
    /// Failures of the engine since it last succeeded.
    pub(super) failures: u32,
    pub(super) clock: Arc<dyn Clock>,
    /// Its disconnection tells the station that this thread is gone.
    pub(super) notify: Sender<Notice>,
    pub(super) summary: Summary,
    pub(super) lines_lost: u64,
    pub(super) engine_failure: Option<String>,
}

/// What is left of it.
pub(super) struct Done {
    /// Not taken apart before every verdict has left.
    pub(super) inspector: Inspector,
    pub(super) sink: Stdout,
    pub(super) onlookers: Vec<Box<dyn Onlooker>>,
    pub(super) summary: Summary,
    pub(super) lines_lost: u64,
    pub(super) engine_failure: Option<String>,
    pub(super) gpu_failure: Option<String>,
}

/// The destructors of a provider whose GPU is lost may hang or crash, and the process ends anyhow.
#[expect(clippy::mem_forget, reason = "what is not taken apart cannot hang the end of the process")]
fn leave(inspector: Inspector) {
    std::mem::forget(inspector);
}

/// The inspector, to be taken apart at the end; nothing where its GPU is lost.
pub(super) fn keep(inspector: Inspector, is_lost: bool) -> Option<Inspector> {
    if !is_lost {
        return Some(inspector);
    }
    leave(inspector);
    None
}

impl Worker {
    /// Takes frames from all lanes until the last one is closed and empty.
    pub(super) fn run(mut self, mut lanes: Vec<Lane>) -> Done {
        while !lanes.is_empty() {
            let closed = self.until_one_closes(&lanes);
            let lane = lanes.remove(closed);
            self.conclude_lane(&lane);
        }
        let Self { inspector, sink, onlookers, summary, lines_lost, .. } = self;
        let Self { engine_failure, dead, listener, .. } = self;
        if let Some(listener) = listener {
            listener.close();
        }
        let gpu_failure = dead;
        Done { inspector, sink, onlookers, summary, lines_lost, engine_failure, gpu_failure }
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
            self.tell_lost();
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
                    self.batch(gather::gather((index, frame), &frames, until), lanes);
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
            Command::Appoint(appoint) if !appoint.wanted.swap(false, Ordering::AcqRel) => {}
            Command::Appoint(Appoint { camera, judge, done, .. }) => {
                if self.inspector.appoint(camera, *judge).is_some() {
                    self.begin_anew(lanes, camera);
                }
                let _gone = done.try_send(());
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

    pub(super) fn note(&self, kind: &'static str, detail: String) {
        if let Some(notes) = &self.notes {
            notes.note(Event::ours(self.clock.wall(), kind, "engine", detail));
        }
    }

    /// Judges frames that came at once; each gets its disposition.
    fn batch(&mut self, frames: Vec<(usize, Frame)>, lanes: &[Lane]) {
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
            self.settle(frame, &lanes[lane], outcome, started, ended);
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
            let _told = self.notify.try_send(Notice::Gpu);
        }
    }

    /// Gives one frame its disposition, by the verdict about it or why there is none.
    fn settle(
        &mut self,
        frame: Frame,
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
            plc_part: lane.plc.as_ref().and_then(|plc| plc.part_of(frame.id.number)),
            time: frame.stamp.wall,
            pts: frame.stamp.pts,
            latency,
            inference,
        };
        let record = Record { origin, model: Arc::clone(self.inspector.model()), verdict };
        let number = lane.account.reserving(record.origin.frame);
        self.print(Line::Frame(Box::new(record.clone())), number, lane.when_full);
        // What the ledger calls judged has been handed over.
        lane.account.judged(record.clone(), fault);
        self.conclude(&frame, lane, &record.verdict, appearance);
        if let Some(collection) = wanted {
            self.tell_listener(collection, &frame, record.verdict.clone(), inferences.clone());
        }
        self.show(frame, record, inferences);
    }

    /// Last of all: whoever wants to see the frame shares it, and nobody is waited for.
    fn show(&mut self, frame: Frame, record: Record, inferences: Vec<Inference>) {
        let wanted: Vec<_> =
            self.onlookers.iter_mut().map(|onlooker| onlooker.wants(&record)).collect();
        if !wanted.contains(&true) {
            return;
        }
        let geometry = Arc::clone(self.inspector.geometry());
        let inspected = Arc::new(Inspected { frame, record, inferences, geometry });
        for (onlooker, _) in self.onlookers.iter_mut().zip(wanted).filter(|(_, wanted)| *wanted) {
            onlooker.show(&inspected);
        }
        self.tell_lost();
    }

    /// Whether a thread that looks on has ended, even where no frame comes that it would want.
    fn tell_lost(&self) {
        if self.onlookers.iter().any(|onlooker| onlooker.is_lost()) {
            // Full: the station knows already that it is to end.
            let _told = self.notify.try_send(Notice::Onlooker);
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

    pub(super) fn print(&mut self, line: Line, number: Option<Reserving>, when_full: WhenFull) {
        match self.sink.hand(line, number, when_full) {
            Handed::Queued => {}
            Handed::Lost => self.lines_lost += 1,
            Handed::Closed => {
                self.lines_lost += 1;
                // Full: the station knows already.
                let _told = self.notify.try_send(Notice::Output);
            }
        }
    }
}
