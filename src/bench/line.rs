//! A station that is measured: the one that `run` wires, with its lines thrown away or kept, and an observer beside it.
//!
//! Owns the wiring and when a measurement ends. Nothing in it is a stand-in: cameras, channels, engine, judge, ledger and
//! sink are those of `run`.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Subject,
    metered::Visits,
    process::{self, Threads},
};
use crate::{
    camera::{Camera, CameraOptions, probe::StageTimes},
    channel::Overflow,
    clock::Clock,
    engine::{Deviations, golden::Candidate},
    fault::{Class, Fault, OrFault as _, one_line},
    frame::CameraId,
    inspector::Inspector,
    ledger::{Account, Ledger, LedgerOptions, Retention},
    machine,
    service::Manager,
    shutdown::StopRequested,
    sinks::stdout::{Stdout, Style},
    state::{self, Board, Mode},
    station::{Report, Station},
    telemetry::{EngineLabels, Judging, Sources, Telemetry},
};

/// How often the observer looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Looks that are kept: their memory is taken before anything is measured, for it must not be seen to grow.
const LOOKS_MAX: usize = 16_384;

/// What is to be played.
pub(super) struct Play {
    pub(super) cameras: Vec<CameraOptions>,
    pub(super) mode: Mode,
    /// When to stop; `None` at the cameras' own end.
    pub(super) seconds: Option<f64>,
    /// Nothing of this first part is measured.
    pub(super) warm_up: Duration,
    /// Frames of the first camera are timed from stage to stage.
    pub(super) stages: bool,
    /// Visits of the engine's thread that are kept: none where memory itself is measured.
    pub(super) visits_max: usize,
}

/// What came of it.
pub(super) struct Played {
    pub(super) report: Report,
    pub(super) visits: Visits,
    /// Verdict lines, as they were printed.
    pub(super) lines: Vec<u8>,
    pub(super) stages: Option<Arc<StageTimes>>,
    pub(super) observed: Observed,
}

/// What the observer saw after the warm-up.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) looks: Vec<Look>,
    first: Threads,
    last: Threads,
}

/// The process at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) at: Duration,
    /// Frames that have been captured so far, and of them judged.
    pub(super) captured: u64,
    pub(super) judged: u64,
    pub(super) resident_bytes: u64,
}

impl Observed {
    fn see(&mut self, look: Look) {
        // Threads that are gone by the end count as they were last seen.
        self.last.extend(process::threads());
        if self.first.is_empty() {
            self.first.clone_from(&self.last);
        }
        self.looks.push(look);
    }

    /// Processor time of the threads whose name is given to `group`, summed by what it says; `None` leaves a thread out.
    pub(super) fn cpu<K: Ord>(
        &self,
        group: impl Fn(&str) -> Option<K>,
    ) -> std::collections::BTreeMap<K, Duration> {
        let mut sums = std::collections::BTreeMap::new();
        for (id, thread) in &self.last {
            let before = self.first.get(id).map_or(Duration::ZERO, |first| first.cpu);
            if let Some(key) = group(&thread.name) {
                *sums.entry(key).or_default() += thread.cpu.saturating_sub(before);
            }
        }
        sums
    }

    /// From the first look to the last.
    pub(super) fn seconds(&self) -> f64 {
        let at = |look: Option<&Look>| look.map_or(0.0, |look| look.at.as_secs_f64());
        at(self.looks.last()) - at(self.looks.first())
    }

    /// Frames between the first look and the last, as `count` counts them.
    pub(super) fn frames(&self, count: impl Fn(&Look) -> u64) -> u64 {
        let of = |look: Option<&Look>| look.map_or(0, &count);
        of(self.looks.last()).saturating_sub(of(self.looks.first()))
    }
}

/// Where lines go: counted as written, kept only where somebody reads them.
#[derive(Clone)]
struct Lines {
    kept: Option<Arc<Mutex<Vec<u8>>>>,
    /// The device that forgets; it costs the system call that standard output costs.
    null: Arc<std::fs::File>,
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kept) = &self.kept {
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        }
        (&*self.null).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.null).flush()
    }
}

/// Plays until the end, with a ledger in `folder`.
pub(super) fn play(subject: &Subject, play: &Play, folder: &Path) -> Result<Played, Fault> {
    let clock = Arc::clone(&subject.clock);
    let board = Arc::new(Board::new(play.cameras.len()));
    board.post(state::Event::Mode(play.mode));
    let names: Vec<_> = (1..=play.cameras.len()).map(camera).collect();
    let retention = Retention { age_max: Duration::from_hours(24), bytes_max: 1_000_000_000 };
    let options = LedgerOptions { path: folder.join("ledger.db"), retention };
    let (ledger, accounts, _found) =
        Ledger::open(options, &names, Arc::clone(&clock)).or_fault(Class::Output)?;
    let accounts: Vec<_> = accounts.into_iter().map(Arc::new).collect();
    let (cameras, stages) = open(play, &accounts, &board, &clock)?;
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null");
    let null = null.map_err(|error| Fault::new(Class::Output, format!("/dev/null: {error}")))?;
    let kept = play.stages.then(Arc::default);
    let lines = Lines { kept: kept.clone(), null: Arc::new(null) };
    let sink = Stdout::start(lines, Style::Json, None).map_err(|error| no_thread(&error))?;
    let judging = Arc::new(Mutex::new(Judging {
        engine: EngineLabels {
            providers: String::new(),
            onnxruntime: String::new(),
            model: subject.label.name.clone(),
            model_version: subject.label.version.clone(),
            model_sha256: subject.label.sha256.clone(),
        },
        deviation: Deviations::default(),
    }));
    let telemetry = Arc::new(Telemetry::new(Sources {
        cameras: Vec::new(),
        board: Arc::clone(&board),
        ledger: None,
        archive: None,
        mqtt: None,
        judging: Arc::clone(&judging),
        live: None,
        plc: None,
        clock: Arc::clone(&clock),
    }));
    let engine = Candidate::new(subject.engine.clone())
        .verify(&subject.document)
        .map_err(|refusal| Fault::new(Class::Model, one_line(&refusal)))?;
    let judges = vec![subject.judge.clone(); accounts.len()];
    let geometry = subject.document.geometry.clone();
    let station = Station {
        cameras,
        inspector: Inspector::new(engine, geometry, judges, subject.label.clone()),
        sink,
        ledger: Some(ledger),
        board,
        telemetry,
        judging,
        commands: crossbeam_channel::bounded(1),
        listener: None,
        onlookers: Vec::new(),
        golden_every: Duration::MAX,
        batch_wait: Duration::ZERO,
        manager: Manager::from_environment(),
        clock: Arc::clone(&clock),
        drain_within: Station::DRAIN_WITHIN,
    };
    subject.engine.begin(play.visits_max);
    let observer = Observer { accounts, clock, seconds: play.seconds, warm_up: play.warm_up };
    let (report, observed) = observer.beside(station)?;
    if let Some((id, error)) = report.failures.first() {
        return Err(Fault::new(Class::Camera, format!("camera {id}: {}", one_line(error))));
    }
    if let Some(reason) = &report.engine_failure {
        return Err(Fault::new(Class::Engine, reason.clone()));
    }
    let lines = kept.map_or_else(Vec::new, |kept: Arc<Mutex<Vec<u8>>>| {
        std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner))
    });
    Ok(Played { report, visits: subject.engine.visits(), lines, stages, observed })
}

fn camera(number: usize) -> CameraId {
    CameraId(format!("bench-{number}").into())
}

type Cameras = (Vec<(Camera, Overflow)>, Option<Arc<StageTimes>>);

fn open(
    play: &Play,
    accounts: &[Arc<Account>],
    board: &Arc<Board>,
    clock: &Arc<dyn Clock>,
) -> Result<Cameras, Fault> {
    let mut stages = None;
    let mut cameras = Vec::new();
    for (options, account) in std::iter::zip(&play.cameras, accounts) {
        let camera =
            Camera::open(options, Arc::clone(account), Arc::clone(board), Arc::clone(clock))
                .map_err(|error| Fault::new(Class::Camera, one_line(&error)))?;
        if play.stages && stages.is_none() {
            stages = Some(camera.probe(clock));
        }
        cameras.push((camera, options.overflow));
    }
    Ok((cameras, stages))
}

fn no_thread(error: &io::Error) -> Fault {
    Fault::new(Class::Bug, format!("a thread cannot be started: {error}"))
}

/// Looks at the process while the station runs, and ends it when it is time.
struct Observer {
    accounts: Vec<Arc<Account>>,
    clock: Arc<dyn Clock>,
    seconds: Option<f64>,
    warm_up: Duration,
}

impl Observer {
    fn beside(self, station: Station) -> Result<(Report, Observed), Fault> {
        let (request, stop) = crossbeam_channel::bounded(1);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let observing = std::thread::Builder::new().name("bench".into());
            let observing = observing
                .spawn_scoped(scope, || {
                    self.watch(&is_over, || {
                        // Full: it was asked already.
                        let _asked = request.try_send(StopRequested);
                    })
                })
                .map_err(|error| no_thread(&error))?;
            let report = station.run(&stop);
            is_over.store(true, Ordering::Release);
            let observed = observing
                .join()
                .map_err(|_panic| Fault::new(Class::Bug, "the thread bench panicked"))?;
            Ok((report?, observed))
        })
    }

    fn watch(&self, is_over: &AtomicBool, stop: impl Fn()) -> Observed {
        let mut observed = Observed::default();
        let nothing = Look { at: Duration::MAX, captured: 1, judged: 1, resident_bytes: 1 };
        observed.looks = vec![nothing; LOOKS_MAX];
        observed.looks.clear();
        let mut began = None;
        loop {
            // The last look is at a station that has ended: of a short one it may be the only one.
            let is_last = is_over.load(Ordering::Acquire);
            let look = self.look();
            if look.captured > 0 {
                let began = *began.get_or_insert(look.at);
                let lasted = look.at.saturating_sub(began);
                if lasted >= self.warm_up && observed.looks.len() < LOOKS_MAX {
                    observed.see(look);
                }
                let ends = self.seconds.map(|seconds| self.warm_up.as_secs_f64() + seconds);
                if ends.is_some_and(|ends| lasted.as_secs_f64() >= ends) {
                    stop();
                    return observed;
                }
            }
            if is_last {
                return observed;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn look(&self) -> Look {
        let mut look = Look {
            at: self.clock.monotonic(),
            captured: 0,
            judged: 0,
            resident_bytes: machine::resident_bytes().unwrap_or(0),
        };
        for balance in self.accounts.iter().map(|account| account.balance()) {
            look.captured += balance.captured;
            look.judged += balance.judged;
        }
        look
    }
}
