//! Which recipe each camera's parts are held against: as configured, or as somebody chose while the line runs.
//!
//! Owns the file with the choices, and how a new judge is appointed: built from the configuration and calibration in force
//! beside the running one, taken by the engine's thread between two frames, then kept. A refusal changes nothing.
//! Whoever loads the model anew and whoever chooses take turns, so that neither undoes the other's work.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bundle::{bounded, whole};
use crossbeam_channel::Sender;

use super::{
    cameras,
    load::{Model, Standards},
    print,
};
use crate::{
    config::{CameraSettings, Settings},
    fault::{Class, Fault, plain},
    http::{Choosing, Chosen, Line, NotChosen, Offered},
    judge::Recipe,
    state::Board,
    station::{Appoint, Command},
};

/// 64 cameras' names and recipes are some 10 kB.
const BYTES_MAX: u64 = 1 << 18;
/// What of a name is repeated.
const NAME_CHARS_MAX: usize = 64;
/// The engine's thread takes it between two frames; whoever asked is answered within the time that HTTP allows.
const APPOINTED_WITHIN: Duration = Duration::from_secs(3);

/// A choice that the configuration no longer offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) camera: String,
    recipe: Option<String>,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recipe = plain(self.recipe.as_deref().unwrap_or("none"), NAME_CHARS_MAX);
        write!(
            f,
            "the recipe {recipe} was chosen and is no longer offered: the configuration's holds"
        )
    }
}

/// What was chosen, by camera; `None` is the camera's own keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choices(BTreeMap<String, Option<String>>);

impl Choices {
    /// What is kept in that file. One that cannot be read is told, and nothing is chosen then.
    pub(super) fn read(place: Option<&Path>) -> Self {
        let Some(path) = place else { return Self::default() };
        let text = match bounded::text(path, BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                ignored(path, &error.to_string());
                return Self::default();
            }
        };
        match serde_json::from_str(&text) {
            Ok(choices) => Self(choices),
            Err(error) => {
                ignored(path, &error.to_string());
                Self::default()
            }
        }
    }

    /// The configuration with the choices in it. Those that it does not know, or no longer offers, are dropped.
    fn over(&mut self, configured: &Settings) -> (Settings, Vec<Dropped>) {
        let (mut settings, mut dropped) = (configured.clone(), Vec::new());
        self.0.retain(|name, recipe| {
            let camera = settings.cameras.iter_mut().find(|camera| camera.name == *name);
            if let Some(camera) = camera.filter(|camera| offers(camera, recipe.as_deref())) {
                camera.recipe.clone_from(recipe);
                return true;
            }
            dropped.push(Dropped { camera: name.clone(), recipe: recipe.clone() });
            false
        });
        (settings, dropped)
    }

    fn write(&self, path: &Path) -> std::io::Result<()> {
        whole::write(path, &serde_json::to_vec_pretty(&self.0)?)
    }
}

fn ignored(path: &Path, why: &str) {
    print::note(&format!(
        "the chosen recipes in {} cannot be read: {why}; the configuration's hold",
        path.display()
    ));
}

/// Whether a recipe may be chosen for a camera, as the configuration says.
fn offers(camera: &CameraSettings, recipe: Option<&str>) -> bool {
    match recipe {
        Some(name) => camera.recipes.iter().any(|offered| offered == name),
        // Its own keys are where it begins, or nowhere.
        None => camera.recipe.is_none(),
    }
}

/// What holds at the moment.
#[derive(Clone, Debug)]
struct InForce {
    /// As the file says.
    configured: Settings,
    /// With the choices in it.
    settings: Settings,
    choices: Choices,
    standards: Standards,
}

/// Keeps what holds, and changes it.
pub(super) struct Recipes {
    in_force: Mutex<Arc<InForce>>,
    /// Held by whoever changes what holds.
    turn: Mutex<()>,
    /// Where choices are kept; `None` where they end with the process.
    place: Option<PathBuf>,
    commands: Sender<Command>,
    board: Arc<Board>,
}

impl Recipes {
    pub(super) fn new(
        configured: Settings,
        model: &Model,
        commands: Sender<Command>,
        board: Arc<Board>,
    ) -> (Self, Vec<Dropped>) {
        let place = cameras::choices_path(&configured.ledger);
        let mut choices = Choices::read(place.as_deref());
        let (settings, dropped) = choices.over(&configured);
        let in_force = InForce { configured, settings, choices, standards: model.standards() };
        let recipes = Self {
            in_force: Mutex::new(Arc::new(in_force)),
            turn: Mutex::new(()),
            place,
            commands,
            board,
        };
        recipes.forget(&dropped);
        (recipes, dropped)
    }

    /// The configuration in force, with what was chosen in it.
    pub(super) fn settings(&self) -> Settings {
        self.now().settings.clone()
    }

    /// That configuration with what was chosen in it.
    pub(super) fn over(&self, configured: &Settings) -> Settings {
        self.now().choices.clone().over(configured).0
    }

    /// Nobody else changes what holds while this is kept.
    pub(super) fn take_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reload has brought another configuration and another model into force; the choices that ended by it.
    pub(super) fn reloaded(&self, configured: Settings, standards: Standards) -> Vec<Dropped> {
        let mut choices = self.now().choices.clone();
        let (settings, dropped) = choices.over(&configured);
        self.put(InForce { configured, settings, choices, standards });
        self.forget(&dropped);
        dropped
    }

    /// What was dropped must not come back with the next start, unseen.
    fn forget(&self, dropped: &[Dropped]) {
        if !dropped.is_empty() {
            // Why it fails, where it does, stands in the log.
            let _not_kept = self.keep(&self.now().choices);
        }
    }

    fn now(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, in_force: InForce) {
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
    }

    /// Has the engine's thread take another judge for a camera.
    fn appoint(&self, camera: usize, recipe: &Recipe, standards: &Standards) -> Result<(), Fault> {
        let gone = |what: &str| Fault::new(Class::Engine, format!("the engine's thread {what}"));
        let (done, appointed) = crossbeam_channel::bounded(1);
        let wanted = Arc::new(AtomicBool::new(true));
        let judge = Box::new(standards.judge(recipe)?);
        let appoint = Appoint { camera, judge, done, wanted: Arc::clone(&wanted) };
        self.commands
            .try_send(Command::Appoint(appoint))
            .map_err(|_full| gone("takes no commands; try again"))?;
        // Whoever takes the mark first decides: withdrawn, it never happens; taken, it is about to be done.
        let is_done = appointed.recv_timeout(APPOINTED_WITHIN).is_ok()
            || !wanted.swap(false, Ordering::AcqRel);
        if is_done { Ok(()) } else { Err(gone("does not answer; nothing has changed")) }
    }
}

impl Choosing for Recipes {
    fn line(&self) -> Line {
        let now = self.now();
        let products: Vec<String> =
            now.standards.products.iter().map(|product| product.name.clone()).collect();
        let offered = |(camera, configured): (&CameraSettings, &CameraSettings)| {
            let (recipes, chosen) = (&now.settings.recipes, &camera.recipe);
            let chosen = recipes.iter().find(|recipe| Some(&recipe.name) == chosen.as_ref());
            let own = chosen.and_then(|recipe| recipe.products.as_ref());
            let expected = own.or(camera.products.as_ref());
            let may_come = |product: &&String| expected.is_none_or(|it| it.contains(*product));
            Offered {
                recipe: camera.recipe.clone(),
                recipes: camera.recipes.clone(),
                may_have_none: offers(configured, None),
                products: products.iter().filter(may_come).cloned().collect(),
            }
        };
        let cameras = std::iter::zip(&now.settings.cameras, &now.configured.cameras);
        Line { cameras: cameras.map(offered).collect(), products }
    }

    fn choose(&self, camera: &str, recipe: Option<&str>) -> Result<Chosen, NotChosen> {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let line = "the judges are being changed by somebody else; try again";
                return Err(NotChosen::Conflict(line.into()));
            }
        };
        let mut next = InForce::clone(&self.now());
        let place = next.settings.cameras.iter().position(|other| other.name == camera);
        let Some(place) = place else { return Err(NotChosen::NoCamera) };
        let (Some(configured), Some(holds)) =
            (next.configured.cameras.get(place), next.settings.cameras.get_mut(place))
        else {
            return Err(NotChosen::NoCamera);
        };
        if !offers(configured, recipe) {
            let names = configured.recipes.join(", ");
            let line = match (recipe, names.as_str()) {
                (None, _) => format!("camera {camera} begins with a recipe: choose one of {names}"),
                (Some(_), "") => format!("camera {camera} has no recipes to choose from"),
                (Some(name), _) => {
                    let name = plain(name, NAME_CHARS_MAX);
                    format!("camera {camera} has no recipe \"{name}\": it has {names}")
                }
            };
            return Err(NotChosen::Fault(Fault::new(Class::Configuration, line)));
        }
        let condition = self.board.condition();
        if !condition.is_ready || condition.is_stopping {
            let line = "the station is starting or stopping; choose when it runs";
            return Err(NotChosen::Conflict(line.into()));
        }
        let before = std::mem::replace(&mut holds.recipe, recipe.map(str::to_owned));
        if before.as_deref() == recipe {
            return Ok(Chosen { before, not_kept: self.keep(&next.choices) });
        }
        let fault = |fault: Fault| {
            let line = format!("recipe {}: {fault}", recipe.unwrap_or("none"));
            NotChosen::Fault(Fault::new(fault.class, line))
        };
        let holds = holds.clone();
        let wanted = cameras::recipe(&next.settings, &holds, recipe).map_err(fault)?;
        self.appoint(place, &wanted, &next.standards).map_err(fault)?;
        next.choices.0.insert(camera.to_owned(), recipe.map(str::to_owned));
        let not_kept = self.keep(&next.choices);
        self.put(next);
        Ok(Chosen { before, not_kept })
    }
}

impl Recipes {
    /// Keeps the choices for the next start; why they are not, where that fails.
    fn keep(&self, choices: &Choices) -> Option<String> {
        let until = "it holds until the end of the process";
        let Some(path) = &self.place else {
            return Some(format!(
                "{until}: without [ledger] path there is no folder to keep it in"
            ));
        };
        let error = choices.write(path).err()?;
        tracing::error!("chosen recipes cannot be kept in {}: {error}", path.display());
        Some(format!("{until}, for it cannot be kept: {error}"))
    }
}
