//! From what was typed to values that need no further checks.
//!
//! Pure. After this the rest of the program holds rates, sizes and policies, not strings and numbers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bundle::{
    calibration::RejectRate,
    geometry::{Geometry, Size},
};

use super::{
    ConfigError, keys,
    raw::{Raw, RawCamera, RawEngine, RawJudge, RawLedger, RawModel},
    shown,
};
use crate::{
    camera::Policy,
    channel::Overflow,
    engine::{OnnxOptions, Provider},
    judge::{Recipe, Unrated},
    ledger::Retention,
};

/// A bound against a typing error: 1024 frames of 256 x 256 are 200 MB.
const QUEUE_LEN_MAX: i64 = 1024;
/// A century: whoever wants rows for ever says how many days that is.
const KEEP_DAYS_MAX: i64 = 36_500;
/// 16 TB, more than any edge device has.
const SIZE_MAX_MB_MAX: i64 = 16_000_000;
/// A week: a line that trusts its engine for longer has no golden frames to speak of.
const GOLDEN_EVERY_MINS_MAX: i64 = 7 * 24 * 60;
/// More threads than any edge device has cores.
const THREADS_MAX: i64 = 256;

/// Each has a thread and a queue.
const CAMERAS_MAX: usize = 64;
/// It stands in every verdict line and in a thread's name.
const NAME_CHARS_MAX: usize = 64;
/// What marks a value as kept elsewhere, which `cli::cameras` and `camera::serial` look up.
const KEPT_ELSEWHERE: [&str; 3] = ["env:", "credential:", "serial:"];

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is looked for.
    pub model: ModelSettings,
    /// Where the network runs.
    pub engine: EngineSettings,
    /// When a part is refused.
    pub judge: JudgeSettings,
    /// What is printed.
    pub format: Format,
    /// Where it is written down what became of every frame.
    pub ledger: LedgerSettings,
    /// Where HTTP is served; `None` for nowhere.
    pub http: Option<SocketAddr>,
    /// Where frames come from; at least one.
    pub cameras: Vec<CameraSettings>,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct ModelSettings {
    /// The model file.
    pub path: PathBuf,
    /// The site's calibration; `None` means the one beside the model, if there is one.
    pub calibration: Option<PathBuf>,
}

/// Where the network runs.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// ONNX Runtime's library; `None` means that it is looked for.
    pub library: Option<PathBuf>,
    /// How the network is run.
    pub onnx: OnnxOptions,
    /// How often the golden frames are run again.
    pub golden_every: Duration,
}

impl JudgeSettings {
    /// What the parts of a camera are held against.
    pub fn recipe(&self, products: Option<&BTreeSet<String>>) -> Recipe {
        Recipe {
            rate: self.reject_rate,
            rates: self.rates.clone(),
            expected: products.cloned(),
            unrated: self.unrated,
        }
    }
}

impl EngineSettings {
    /// For a command that ends soon: the golden frames that run while loading are recent enough.
    pub fn without_file(onnx: OnnxOptions) -> Self {
        Self { library: None, onnx, golden_every: Duration::MAX }
    }
}

/// When a part is refused, whatever camera sees it.
#[derive(Clone, Debug)]
pub struct JudgeSettings {
    /// The operator's false-reject rate, split between radius and score.
    pub reject_rate: RejectRate,
    /// Rates of single products.
    pub rates: BTreeMap<String, RejectRate>,
    /// What happens when the calibration is too small for it.
    pub unrated: Unrated,
}

/// Where it is written down what became of every frame.
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// The file; `None` leaves it to the state directory that systemd gives, if it does.
    pub path: Option<PathBuf>,
    /// How long rows are kept.
    pub retention: Retention,
}

/// One camera, before the model says which size its frames must have.
#[derive(Clone, Debug)]
pub struct CameraSettings {
    /// Unique among the cameras.
    pub name: String,
    /// A preset's name, or the path of a preset file.
    pub preset: String,
    /// Overrides of the preset's parameters.
    pub parameters: BTreeMap<String, String>,
    /// What happens when the engine is slower than the camera.
    pub overflow: Overflow,
    /// Frames that may wait for the engine.
    pub queue_len: usize,
    /// Who brings frames to the model's size.
    pub scaling: Scaling,
    /// Files play at their own speed.
    pub realtime: bool,
    /// Files start again at their end.
    pub repeat: bool,
    /// How a live camera is watched and tried again.
    pub reconnect: Policy,
    /// The products that may come by; `None` for all that the model knows.
    pub products: Option<BTreeSet<String>>,
}

/// Who brings frames to the model's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// GStreamer, within the pipeline.
    Pipeline,
    /// `bundle::geometry`, the code that cut the training images.
    Exact,
}

impl Scaling {
    /// The size that the pipeline is to give; `None` for the camera's own.
    pub fn pipeline_size(self, geometry: &Geometry) -> Option<Size> {
        match self {
            Self::Pipeline => geometry.is_plain_stretch().then_some(geometry.input),
            Self::Exact => None,
        }
    }
}

/// How verdicts are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON lines elsewhere.
    Auto,
    /// One JSON object per line.
    Json,
    /// One line for people.
    Text,
}

pub(super) fn settings(raw: Raw, folder: &Path) -> Result<Settings, ConfigError> {
    let mut cameras: Vec<CameraSettings> = Vec::new();
    let model = model(&raw.model, folder);
    let engine = engine(raw.engine, folder)?;
    let judge = judge(&raw.judge)?;
    let format = format(raw.output.format.as_deref())?;
    let ledger = ledger(raw.ledger, folder)?;
    let http = raw.http.listen.as_deref().map(listen).transpose()?;
    for (index, camera) in raw.camera.into_iter().enumerate() {
        let camera = self::camera(camera, index, folder)?;
        if cameras.iter().any(|other| other.name == camera.name) {
            let expected = "another camera has that name";
            return Err(value(format!("camera[{index}].name"), &quoted(&camera.name), expected));
        }
        cameras.push(camera);
    }
    if cameras.len() > CAMERAS_MAX {
        let (given, expected) = (format!("{} tables", cameras.len()), "it may be 64 at most");
        return Err(value("camera", &given, expected));
    }
    if cameras.is_empty() {
        let meaning = "at least one [[camera]] table with a name and a preset";
        return Err(ConfigError::Missing { path: "camera".into(), meaning });
    }
    Ok(Settings { model, engine, judge, format, ledger, http, cameras })
}

fn model(raw: &RawModel, folder: &Path) -> ModelSettings {
    ModelSettings {
        path: folder.join(raw.path.as_deref().unwrap_or("models/demo.onnx")),
        calibration: raw.calibration.as_deref().map(|path| folder.join(path)),
    }
}

fn engine(raw: RawEngine, folder: &Path) -> Result<EngineSettings, ConfigError> {
    let mut providers = Vec::new();
    for word in raw.providers.unwrap_or_else(|| vec!["cpu".into()]) {
        let provider: Provider = word
            .parse()
            .map_err(|expected: String| value("engine.providers", &quoted(&word), expected))?;
        if providers.contains(&provider) {
            return Err(value("engine.providers", &quoted(&word), "it is listed twice"));
        }
        providers.push(provider);
    }
    if providers.is_empty() {
        return Err(value("engine.providers", "[]", "at least one is needed, such as \"cpu\""));
    }
    let threads = raw.threads.map(|n| within("engine.threads", n, 1, THREADS_MAX)).transpose()?;
    let golden = "engine.golden_every_mins";
    let golden_every_mins =
        within(golden, raw.golden_every_mins.unwrap_or(60), 1, GOLDEN_EVERY_MINS_MAX)?;
    Ok(EngineSettings {
        library: raw.library.map(|path| folder.join(path)),
        onnx: OnnxOptions { providers, threads },
        golden_every: Duration::from_mins(golden_every_mins as u64),
    })
}

fn judge(raw: &RawJudge) -> Result<JudgeSettings, ConfigError> {
    Ok(JudgeSettings {
        reject_rate: reject_rate("judge.false_reject_rate", raw.false_reject_rate.unwrap_or(0.01))?,
        rates: raw
            .rates
            .iter()
            .map(|(product, rate)| {
                let path = format!("judge.rates.{product}");
                Ok((product.clone(), reject_rate(&path, *rate)?))
            })
            .collect::<Result<_, ConfigError>>()?,
        unrated: match raw.allow_unrated {
            Some(true) => Unrated::Allowed,
            Some(false) | None => Unrated::Refused,
        },
    })
}

fn ledger(raw: RawLedger, folder: &Path) -> Result<LedgerSettings, ConfigError> {
    let days = within("ledger.keep_days", raw.keep_days.unwrap_or(90), 1, KEEP_DAYS_MAX)?;
    let megabytes =
        within("ledger.size_max_mb", raw.size_max_mb.unwrap_or(4096), 1, SIZE_MAX_MB_MAX)?;
    Ok(LedgerSettings {
        path: raw.path.map(|path| folder.join(path)),
        retention: Retention {
            age_max: Duration::from_hours(24 * days as u64),
            bytes_max: megabytes as u64 * 1_000_000,
        },
    })
}

fn listen(text: &str) -> Result<SocketAddr, ConfigError> {
    let address: Option<SocketAddr> = text.parse().ok();
    address.filter(|address| address.ip().is_loopback()).ok_or_else(|| {
        let expected =
            "it must be a loopback address with a port, such as 127.0.0.1:9640 or [::1]:9640";
        value("http.listen", &quoted(text), expected)
    })
}

/// A false-reject rate, which `path` names.
fn reject_rate(path: &str, rate: f64) -> Result<RejectRate, ConfigError> {
    // The bundle's own message would not name the key.
    RejectRate::new(rate).map_err(|_not_a_rate| {
        value(path, &rate.to_string(), "it must be at least 0.000001 and less than 1")
    })
}

fn format(word: Option<&str>) -> Result<Format, ConfigError> {
    match word.unwrap_or("auto") {
        "auto" => Ok(Format::Auto),
        "json" => Ok(Format::Json),
        "text" => Ok(Format::Text),
        other => {
            Err(value("output.format", &quoted(other), "expected \"auto\", \"json\" or \"text\""))
        }
    }
}

fn camera(raw: RawCamera, index: usize, folder: &Path) -> Result<CameraSettings, ConfigError> {
    let path = |key: &str| format!("camera[{index}].{key}");
    let required = |given: Option<String>, name: &str| {
        let meaning = keys::find("camera", name).map_or("", |key| key.meaning);
        given.ok_or_else(|| ConfigError::Missing { path: path(name), meaning })
    };
    let name = required(raw.name, "name")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
        let expected = "it may have letters, digits, - and _ only, at most 64";
        return Err(value(path("name"), &quoted(&name), expected));
    }
    let preset = required(raw.preset, "preset")?;
    // A preset of one's own is a path like any other in the file.
    let is_path = preset.contains('/') || Path::new(&preset).extension().is_some();
    let preset = if is_path { folder.join(&preset).display().to_string() } else { preset };
    let mut parameters = BTreeMap::new();
    for (name, given) in raw.parameters {
        let text = match given {
            toml::Value::String(text) => in_folder(&name, text, folder),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(yes) => yes.to_string(),
            other @ (toml::Value::Array(_) | toml::Value::Table(_) | toml::Value::Datetime(_)) => {
                let expected = "a parameter is a string, a number, true or false";
                return Err(value(
                    path(&format!("parameters.{name}")),
                    &other.to_string(),
                    expected,
                ));
            }
        };
        parameters.insert(name, text);
    }
    let usual = Policy::default();
    let seconds = |key: &str, given: Option<f64>, usual: Duration| match given {
        None => Ok(usual),
        Some(given) => seconds(&path(key), given),
    };
    if raw.products.as_ref().is_some_and(Vec::is_empty) {
        let expected = "at least one product is needed; left out, all may come";
        return Err(value(path("products"), "[]", expected));
    }
    let overflow = match raw.overflow.as_deref().unwrap_or("latest") {
        "latest" => Overflow::Latest,
        "every" => Overflow::Every,
        other => {
            return Err(value(
                path("overflow"),
                &quoted(other),
                "expected \"latest\" or \"every\"",
            ));
        }
    };
    let scaling = match raw.scaling.as_deref().unwrap_or("pipeline") {
        "pipeline" => Scaling::Pipeline,
        "exact" => Scaling::Exact,
        other => {
            return Err(value(
                path("scaling"),
                &quoted(other),
                "expected \"pipeline\" or \"exact\"",
            ));
        }
    };
    Ok(CameraSettings {
        name,
        preset,
        parameters,
        overflow,
        queue_len: within(&path("queue_len"), raw.queue_len.unwrap_or(2), 1, QUEUE_LEN_MAX)?,
        scaling,
        realtime: raw.realtime.unwrap_or(true),
        repeat: raw.r#loop.unwrap_or(false),
        products: raw.products.map(|products| products.into_iter().collect()),
        reconnect: Policy {
            stall_after: seconds("stall_after_secs", raw.stall_after_secs, usual.stall_after)?,
            frozen_after: seconds("frozen_after_secs", raw.frozen_after_secs, usual.frozen_after)?,
            first_wait: seconds(
                "reconnect_first_secs",
                raw.reconnect_first_secs,
                usual.first_wait,
            )?,
            wait_max: seconds("reconnect_max_secs", raw.reconnect_max_secs, usual.wait_max)?,
            healthy_after: usual.healthy_after,
            give_up_after: match raw.give_up_after_secs {
                Some(given) => Some(seconds("give_up_after_secs", Some(given), usual.wait_max)?),
                None => None,
            },
        },
    })
}

/// `location` is the one parameter that elements take for a path; an address stays as it is.
fn in_folder(parameter: &str, text: String, folder: &Path) -> String {
    let is_elsewhere =
        text.contains("://") || KEPT_ELSEWHERE.iter().any(|mark| text.starts_with(mark));
    if parameter == "location" && !is_elsewhere {
        folder.join(&text).display().to_string()
    } else {
        text
    }
}

fn within(path: &str, given: i64, least: i64, most: i64) -> Result<usize, ConfigError> {
    usize::try_from(given).ok().filter(|_| (least..=most).contains(&given)).ok_or_else(|| {
        value(path, &given.to_string(), format!("it must be from {least} to {most}"))
    })
}

/// A duration that a person waits for: from a tenth of a second to a day.
fn seconds(path: &str, given: f64) -> Result<Duration, ConfigError> {
    let refused = || value(path, &given.to_string(), "it must be from 0.1 to 86400 seconds");
    if !(0.1..=86_400.0).contains(&given) {
        return Err(refused());
    }
    Duration::try_from_secs_f64(given).map_err(|_out_of_range| refused())
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn value(path: impl Into<String>, given: &str, expected: impl Into<String>) -> ConfigError {
    ConfigError::Value { path: shown(&path.into()), value: shown(given), expected: expected.into() }
}
