//! Loading the model and the judge's settings anew, without losing a frame.
//!
//! Owns the thread `reload` and the bound on how often it may: the new engine is built and verified beside the old one,
//! swapped in between two frames, or refused with the reason, and then nothing has changed.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bundle::geometry::Size;
use crossbeam_channel::{Receiver, Sender};

use super::{
    Global, cameras, load, print,
    recipes::{Dropped, Recipes},
};
use crate::{
    clock::Clock,
    config::Settings,
    fault::{Class, Fault},
    inspector::Inspector,
    ledger::{book::Event, writer::Notes},
    production::Production,
    shutdown::ReloadRequested,
    state::Board,
    station::{Command, Station, Swap},
    telemetry::Judging,
};

/// ONNX Runtime keeps some memory of each session that it has closed (measured by others up to 1.23): after so many a
/// restart is the better reload.
const SWAPS_MAX: u32 = 50;
/// The engine's thread swaps between two frames; longer than this it hangs.
const SWAPPED_WITHIN: Duration = Duration::from_secs(30);

/// Everything that a reload needs.
pub(super) struct Reload {
    /// The configuration; `None` is the demo line.
    pub(super) config: Option<PathBuf>,
    pub(super) global: Global,
    /// The cameras in their order, with the size that each one's pipeline scales to: what a reload cannot change.
    pub(super) cameras: Vec<(String, Option<Size>)>,
    pub(super) commands: Sender<Command>,
    pub(super) judging: Arc<Mutex<Judging>>,
    pub(super) board: Arc<Board>,
    pub(super) notes: Option<Notes>,
    pub(super) clock: Arc<dyn Clock>,
    /// What was chosen holds after a reload.
    pub(super) recipes: Arc<Recipes>,
    /// Hears when products were calibrated.
    pub(super) production: Arc<Production>,
}

/// Tells of choices that the configuration no longer offers.
pub(super) fn note_dropped(notes: Option<&Notes>, dropped: &[Dropped], clock: &dyn Clock) {
    for dropped in dropped {
        print::note(&format!("camera {}: {dropped}", dropped.camera));
        if let Some(notes) = notes {
            let (kind, detail) = ("recipe-dropped", dropped.to_string());
            notes.note(Event::ours(clock.wall(), kind, &dropped.camera, detail));
        }
    }
}

/// The thread that reloads.
pub(super) struct Reloading {
    /// Held while it loads.
    busy: Arc<Mutex<()>>,
}

impl Reloading {
    /// Waits until nothing is being loaded: a library must not be taken down while it works.
    ///
    /// Within a limit: what builds an engine for minutes, or hangs with a GPU, is left behind.
    pub(super) fn finish(self) {
        let deadline = Instant::now() + Station::DRAIN_WITHIN;
        while let Err(TryLockError::WouldBlock) = self.busy.try_lock() {
            if Instant::now() > deadline {
                tracing::warn!("a reload is left behind");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Reload {
    /// Reloads at each request.
    pub(super) fn start(self, requests: Receiver<ReloadRequested>) -> std::io::Result<Reloading> {
        let busy = Arc::new(Mutex::new(()));
        let held = Arc::clone(&busy);
        std::thread::Builder::new().name("reload".into()).spawn(move || {
            let mut swaps = 0;
            for _request in requests {
                let _busy = held.lock().unwrap_or_else(PoisonError::into_inner);
                match self.once(&mut swaps) {
                    Ok(told) => print::note(&format!("reloaded: {told}")),
                    Err(fault) => {
                        let why = fault.to_string();
                        tracing::error!("not reloaded, everything stays as it was: {why}");
                        self.note("reload-refused", why);
                    }
                }
            }
        })?;
        Ok(Reloading { busy })
    }

    fn once(&self, swaps: &mut u32) -> Result<String, Fault> {
        if *swaps == SWAPS_MAX {
            let line =
                format!("the model has been loaded anew {SWAPS_MAX} times; restart the service");
            return Err(Fault::new(Class::Engine, line));
        }
        let condition = self.board.condition();
        if condition.is_stopping {
            return Err(Fault::new(Class::Engine, "the station is stopping"));
        }
        if !condition.is_ready {
            return Err(Fault::new(Class::Engine, "the station is still starting; reload it then"));
        }
        let settings = match &self.config {
            Some(path) => cameras::read(path)?,
            None => cameras::demo()?,
        };
        let model = load::Model::read(&settings.model)?;
        // First what is cheap to be wrong.
        drop(model.judges(&cameras::recipes(&self.recipes.over(&settings))?)?);
        let runtime = load::runtime(&self.global, &settings.engine)?;
        let built = model.engine(&runtime, &settings.engine, &load::Building::default())?;
        let engine = load::engine_labels(&built.attempt.providers, model.label());
        let fell_back = load::fell_back(&built, &settings.engine);
        // Somebody may have chosen another recipe while the engine was built.
        let _turn = self.recipes.take_turn();
        let judges = model.judges(&cameras::recipes(&self.recipes.over(&settings))?)?;
        let inspector = model.inspector(built.engine, judges);
        self.check_cameras(&settings, &inspector)?;
        let told = format!("{} {}", engine.model, engine.model_version);
        let deviation = inspector.deviation();
        let (old, returned) = crossbeam_channel::bounded(1);
        let wanted = Arc::new(AtomicBool::new(true));
        let swap = Swap { inspector: Box::new(inspector), old, wanted: Arc::clone(&wanted) };
        let gone = |what: &str| Fault::new(Class::Engine, format!("the engine's thread {what}"));
        self.commands
            .send_timeout(Command::Swap(swap), SWAPPED_WITHIN)
            .map_err(|_full| gone("takes no commands"))?;
        let old: Box<Inspector> = match returned.recv_timeout(SWAPPED_WITHIN) {
            Ok(old) => old,
            // Whoever takes the mark first decides: withdrawn, it never happens; taken, it has happened.
            Err(_silent) if wanted.swap(false, Ordering::AcqRel) => {
                return Err(gone("does not swap: it has ended, or it hangs"));
            }
            Err(_silent) => returned
                .recv_timeout(SWAPPED_WITHIN)
                .map_err(|_silent| gone("does not swap: its GPU is lost, or it hangs"))?,
        };
        *swaps += 1;
        let dropped = self.recipes.reloaded(settings, model.standards());
        note_dropped(self.notes.as_ref(), &dropped, &*self.clock);
        self.production.calibrated(model.calibrated);
        self.board.post(fell_back);
        *self.judging.lock().unwrap_or_else(PoisonError::into_inner) =
            Judging { engine, deviation };
        drop(old);
        Ok(told)
    }

    /// The pipelines scale to the old model's input, and judges go by the place of their camera.
    fn check_cameras(&self, settings: &Settings, inspector: &Inspector) -> Result<(), Fault> {
        let wanted: Vec<_> = settings
            .cameras
            .iter()
            .map(|camera| (camera.name.clone(), camera.scaling.pipeline_size(inspector.geometry())))
            .collect();
        if wanted == self.cameras {
            return Ok(());
        }
        let line = "the new model or configuration wants other cameras, or frames of another size: restart the service";
        Err(Fault::new(Class::Configuration, line))
    }

    fn note(&self, kind: &'static str, detail: String) {
        if let Some(notes) = &self.notes {
            notes.note(Event::ours(self.clock.wall(), kind, "engine", detail));
        }
    }
}
