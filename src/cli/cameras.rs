//! From a configuration to cameras: what `run`, `capture` and `check` share.
//!
//! Owns reading the configuration file, the demo line's place, and the prefix that names a camera in a failure.

use std::{
    env::VarError,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bundle::{bounded, geometry::Size};

use crate::{
    camera::{CameraError, CameraOptions, Platform, Preset},
    config::{self, ArchiveSettings, CameraSettings, LedgerSettings, Settings},
    fault::{Class, Fault, one_line},
    frame::CameraId,
    images,
    judge::{Attention, Recipe, attention::Mask},
    ledger::{Account, LedgerError},
};

/// How far above the executable a checkout's `models` may lie: `target/release/sightline` is two levels down.
const LEVELS_UP: usize = 4;

/// Where the Debian package puts `models`.
const INSTALLED: &str = "/usr/share/sightline";

/// What systemd allows all credentials of a unit together.
const CREDENTIAL_BYTES_MAX: u64 = 1 << 20;

/// Reads a configuration file; relative paths in it start at its folder.
pub(super) fn read(path: &Path) -> Result<Settings, Fault> {
    let shown = path.display();
    let text = bounded::text(path, config::BYTES_MAX).map_err(|error| {
        let line = format!(
            "configuration {shown} cannot be read: {error}; sightline.example.toml shows every key"
        );
        Fault::new(Class::Configuration, line)
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    config::read(&text, folder)
        .map_err(|error| Fault::new(Class::Configuration, format!("{shown}: {error}")))
}

/// The demo line of this checkout, or of the package.
pub(super) fn demo() -> Result<Settings, Fault> {
    let here = PathBuf::from(".");
    let above = std::env::current_exe().ok();
    let above = above.iter().flat_map(|path| path.ancestors().skip(1).take(LEVELS_UP));
    let folder = std::iter::once(here.as_path())
        .chain(above)
        .chain([Path::new(INSTALLED)])
        .find(|folder| folder.join("models/demo.onnx").is_file())
        .ok_or_else(|| {
            let line = "the demo line's models/demo.onnx is not here: run in Sightline's checkout, \
                        install the package sightline, or name a configuration (sightline.example.toml shows every key)";
            Fault::new(Class::Configuration, line)
        })?;
    config::demo(folder).map_err(|error| Fault::new(Class::Bug, format!("the demo line: {error}")))
}

/// The camera of that name among those of the configuration that `shown` names; the first where none is wanted.
pub(super) fn pick(
    cameras: Vec<CameraSettings>,
    wanted: Option<&str>,
    shown: &str,
) -> Result<CameraSettings, Fault> {
    let names: Vec<_> = cameras.iter().map(|camera| camera.name.clone()).collect();
    let mut cameras = cameras.into_iter();
    cameras.find(|camera| wanted.is_none_or(|name| *name == camera.name)).ok_or_else(|| {
        let (wanted, names) = (wanted.unwrap_or(""), names.join(", "));
        let line = format!("{shown} has no camera \"{wanted}\": it has {names}");
        Fault::new(Class::Configuration, line)
    })
}

/// What a camera is to do.
pub(super) fn options(
    settings: &CameraSettings,
    scale_to: Option<Size>,
) -> Result<CameraOptions, Fault> {
    let preset = Preset::find(&settings.preset, Platform::here())
        .map_err(|error| failed(&settings.name, &error.into()))?;
    let parameters = settings
        .parameters
        .iter()
        .map(|(name, value)| Ok((name.clone(), secret(&settings.name, name, value)?)))
        .collect::<Result<_, Fault>>()?;
    Ok(CameraOptions {
        preset,
        parameters,
        view: settings.view,
        trigger: settings.trigger,
        plc: None,
        scale_to,
        keep_full: false,
        overflow: settings.overflow,
        queue_len: settings.queue_len,
        realtime: settings.realtime,
        repeat: settings.repeat,
        first_frame_within: CameraOptions::FIRST_FRAME_WITHIN,
        reconnect: None,
    })
}

/// The ledger's file: the configuration's, else the one in the state directory that systemd gives the service.
pub(super) fn ledger_path(settings: &LedgerSettings) -> Option<PathBuf> {
    settings.path.clone().or_else(|| Some(state_directory()?.join("ledger.db")))
}

/// The archive's folder, found as the ledger's file is.
pub(super) fn archive_path(settings: &ArchiveSettings) -> Option<PathBuf> {
    settings.path.clone().or_else(|| Some(state_directory()?.join("archive")))
}

/// Several are separated by colons; ours is the first.
fn state_directory() -> Option<PathBuf> {
    let folders = std::env::var_os("STATE_DIRECTORY")?;
    std::env::split_paths(&folders).next()
}

/// Where the chosen recipes are kept: beside the ledger, whatever that is called.
pub(super) fn choices_path(settings: &LedgerSettings) -> Option<PathBuf> {
    Some(ledger_path(settings)?.with_extension("recipes.json"))
}

/// What is wrong with the ledger, with its path.
pub(super) fn ledger_failed(path: &Path, error: &LedgerError) -> Fault {
    let line = format!("ledger {}: {}", path.display(), one_line(error));
    Fault::new(Class::Output, line)
}

/// A camera's failure, with its name and the class of what is wrong.
pub(super) fn failed(camera: &str, error: &CameraError) -> Fault {
    let class = match error {
        CameraError::Preset(_) | CameraError::Launch { .. } | CameraError::Parameter { .. } => {
            Class::Configuration
        }
        CameraError::Location { .. } => Class::Data,
        CameraError::Start(_)
        | CameraError::MissingElement { .. }
        | CameraError::MissingPlugin { .. }
        | CameraError::Pipeline { .. }
        | CameraError::Silent { .. }
        | CameraError::Stalled { .. }
        | CameraError::Frozen { .. }
        | CameraError::EndOfStream { .. }
        | CameraError::Serial { .. }
        | CameraError::EngineGone
        | CameraError::Buffer(_)
        | CameraError::Thread(_) => Class::Camera,
    };
    Fault::new(class, format!("camera {camera}: {}", one_line(error)))
}

/// A parameter's value, from where the configuration says that it is kept: `env:NAME` in the environment,
/// `credential:NAME` among systemd's credentials.
fn secret(camera: &str, parameter: &str, value: &str) -> Result<String, Fault> {
    let refused = |why: String| {
        let line = format!("camera {camera}: parameters.{parameter} is {value}, but {why}");
        Fault::new(Class::Configuration, line)
    };
    if let Some(name) = value.strip_prefix("env:") {
        return std::env::var(name).map_err(|error| {
            // The library's own text for the second would tell the password.
            let why = match error {
                VarError::NotPresent => "it is not there",
                VarError::NotUnicode(_) => "it is not UTF-8",
            };
            refused(format!("the environment's {name} cannot be read: {why}"))
        });
    }
    let Some(name) = value.strip_prefix("credential:") else { return Ok(value.into()) };
    credential(name).map(|text| text.trim_end_matches(['\r', '\n']).to_owned()).map_err(refused)
}

/// One of systemd's credentials; an error says why there is none.
pub(super) fn credential(name: &str) -> Result<String, String> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err("a credential has a name and no path".into());
    }
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
        let remedy = format!("LoadCredential={name}:/path in the unit gives one");
        return Err(format!("systemd gave this process no credentials; {remedy}"));
    };
    let path = Path::new(&folder).join(name);
    bounded::text(&path, CREDENTIAL_BYTES_MAX)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// What the parts of each camera are held against, as the configuration says.
pub(super) fn recipes(settings: &Settings) -> Result<Vec<Recipe>, Fault> {
    let first = |camera: &CameraSettings| recipe(settings, camera, camera.recipe.as_deref());
    settings.cameras.iter().map(first).collect()
}

/// What the parts of a camera are held against by the recipe of that name; by its own keys without one.
pub(super) fn recipe(
    settings: &Settings,
    camera: &CameraSettings,
    name: Option<&str>,
) -> Result<Recipe, Fault> {
    let unknown = |name: &str| {
        let line = format!("camera {}: there is no recipe \"{name}\"", camera.name);
        Fault::new(Class::Configuration, line)
    };
    let recipes = &settings.recipes;
    let chosen = name
        .map(|name| recipes.iter().find(|recipe| recipe.name == name).ok_or_else(|| unknown(name)));
    let chosen = chosen.transpose()?;
    let mask_path = chosen.and_then(|it| it.ignore_mask.as_deref());
    let mask_path = mask_path.or(camera.ignore_mask.as_deref());
    let attention = Attention {
        rectangles: chosen.and_then(|it| it.ignore.as_ref()).unwrap_or(&camera.ignore).clone(),
        mask: mask_path.map(|path| mask(&camera.name, path)).transpose()?.map(Arc::new),
        area_min_px: chosen
            .and_then(|it| it.defect_area_min_px)
            .unwrap_or(camera.defect_area_min_px),
    };
    let products = chosen.and_then(|it| it.products.as_ref()).or(camera.products.as_ref());
    let wanted = settings.judge.recipe(products);
    Ok(Recipe {
        rate: chosen.and_then(|it| it.reject_rate).unwrap_or(wanted.rate),
        rates: chosen.and_then(|it| it.rates.clone()).unwrap_or(wanted.rates),
        part: chosen.and_then(|it| it.part).or(camera.part),
        attention,
        ..wanted
    })
}

fn mask(camera: &str, path: &Path) -> Result<Mask, Fault> {
    let mask = images::decode(path)
        .and_then(|picture| Mask::new(&picture).map_err(|error| one_line(&error)));
    mask.map_err(|why| {
        let line = format!("camera {camera}: ignore_mask {}: {why}", path.display());
        Fault::new(Class::Configuration, line)
    })
}

/// A camera's name as frames carry it.
pub(super) fn id(settings: &CameraSettings) -> CameraId {
    CameraId(settings.name.as_str().into())
}

/// An account for a run without a ledger: it is numbered by the second in which it began.
pub(super) fn unrecorded(settings: &CameraSettings, now: SystemTime) -> Account {
    let epoch = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Account::unrecorded(id(settings), epoch)
}
