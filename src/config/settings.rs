//! What a configuration comes to: rates, sizes and policies that need no further checks.
//!
//! Owns the types alone, and what of them follows from what. Pure. Knows neither TOML nor the words that were typed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroU8,
    path::PathBuf,
    time::Duration,
};

use bundle::{
    calibration::RejectRate,
    geometry::{Geometry, Size},
};

use crate::{
    archive::Caps,
    camera::{Policy, Rule, View, view::Area},
    channel::Overflow,
    engine::{OnnxOptions, Wish},
    judge::{Attention, DriftOptions, PartRule, Recipe, Unrated},
    ledger::{Retention, outbox::History},
    mqtt::{self, Level},
    plc::{self, pairing, post::Safe, pusher},
    production::shift::Starts,
};

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
    /// Which frames' pictures are kept.
    pub archive: ArchiveSettings,
    /// Where HTTP is served; `None` for nowhere.
    pub http: Option<HttpSettings>,
    /// Which broker is told; `None` for none.
    pub mqtt: Option<MqttSettings>,
    /// The PLC; `None` where there is none.
    pub plc: Option<PlcSettings>,
    /// When shifts begin.
    pub shift: Starts,
    /// What may be chosen for a camera while the line runs.
    pub recipes: Vec<RecipeSettings>,
    /// Where frames come from; at least one.
    pub cameras: Vec<CameraSettings>,
}

/// A recipe that somebody may choose; what is `None` is the camera's own, or `[judge]`'s.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipeSettings {
    /// Unique among the recipes.
    pub name: String,
    /// The rate of every product that has none of its own.
    pub reject_rate: Option<RejectRate>,
    /// Rates of single products.
    pub rates: Option<BTreeMap<String, RejectRate>>,
    /// The products that may come by.
    pub products: Option<BTreeSet<String>>,
    /// What is ignored of frames.
    pub ignore: Option<Vec<Area>>,
    /// The picture of what is ignored as well.
    pub ignore_mask: Option<PathBuf>,
    /// The smallest defect, in pixels of the model's input.
    pub defect_area_min_px: Option<usize>,
    /// How frames make parts.
    pub part: Option<PartRule>,
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
    /// Which engines may be used.
    pub wish: Wish,
    /// How the network is run.
    pub onnx: OnnxOptions,
    /// Where `TensorRT` keeps what it builds; `None` means the usual folder.
    pub cache: Option<PathBuf>,
    /// How long a frame may wait for others to fill its batch.
    pub batch_wait: Duration,
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
            attention: Attention::EVERYTHING,
            part: None,
            drift: self.drift,
        }
    }
}

impl EngineSettings {
    /// For a command that ends soon: the golden frames that run while loading are recent enough.
    pub fn without_file(onnx: OnnxOptions) -> Self {
        Self {
            library: None,
            wish: Wish::default(),
            onnx,
            cache: None,
            batch_wait: Duration::ZERO,
            golden_every: Duration::MAX,
        }
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
    /// How it is watched whether parts and pictures stay as they were.
    pub drift: Option<DriftOptions>,
}

/// Where it is written down what became of every frame.
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// The file; `None` leaves it to the state directory that systemd gives, if it does.
    pub path: Option<PathBuf>,
    /// How long rows are kept.
    pub retention: Retention,
}

/// Which frames' pictures are kept.
#[derive(Clone, Debug)]
pub struct ArchiveSettings {
    /// The folder; `None` leaves it to the state directory that systemd gives, if it does.
    pub path: Option<PathBuf>,
    /// One of so many that passed; 0 for none.
    pub passes_every: u64,
    /// How much is kept.
    pub caps: Caps,
    /// JPEG's, from 1 to 100.
    pub jpeg_quality: u8,
}

/// Where HTTP is served, and to whom.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Address and port; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Who may come in; `None` for whoever reaches the loopback address.
    pub users: Option<Kept>,
    /// The certificate and its key.
    pub tls: Option<(Kept, Kept)>,
    /// A proxy in front does TLS.
    pub is_behind_proxy: bool,
    /// Names and addresses by which it may be called beside its own, in lower case.
    pub hosts: Vec<String>,
    /// Pictures of each camera that the page shows.
    pub pictures_per_second: NonZeroU8,
}

/// Which broker is told of every frame, and how.
#[derive(Clone, Debug)]
pub struct MqttSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS; `None` for plain TCP.
    pub tls: Option<MqttTls>,
    /// The form of what is sent.
    pub format: mqtt::Format,
    /// The site's name.
    pub site: Level,
    /// The station's name; `None` for the machine's host name.
    pub device: Option<Level>,
    /// What topics of JSON begin with.
    pub prefix: String,
    /// Who the broker is told this is, and where the password is kept.
    pub user: Option<(String, Option<Kept>)>,
    /// How long the connection may be silent.
    pub keep_alive: Duration,
    /// Where sending begins.
    pub history: History,
    /// Events are sent as well.
    pub has_events: bool,
    /// No message is larger.
    pub packet_bytes_max: usize,
    /// The Sparkplug host that is waited for.
    pub sparkplug_host: Option<Level>,
}

/// What TLS to the broker takes.
#[derive(Clone, Debug)]
pub struct MqttTls {
    /// Who vouches for the broker; `None` for those that the system trusts.
    pub ca: Option<Kept>,
    /// The certificate that this station shows, and its key.
    pub identity: Option<(Kept, Kept)>,
}

/// How the PLC is spoken to, and what it is promised.
#[derive(Clone, Debug)]
pub struct PlcSettings {
    /// Addresses and lines.
    pub options: plc::Options,
    /// From a trigger to its verdict.
    pub verdict_within: Duration,
    /// What the lines do where nothing may be relied on.
    pub safe: Safe,
    /// When parts are struck; `None` where nobody strikes.
    pub pusher: Option<pusher::Rule>,
    /// Who tells where the belt is.
    pub encoder: Option<EncoderFrom>,
}

/// Who tells where the belt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncoderFrom {
    /// The PLC, in a register.
    Registers(pusher::Width),
    /// An encoder on the board's lines.
    Lines,
}

/// What is the PLC's about a camera.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraPlc {
    /// Which frame is a part's.
    pub pairing: pairing::Rule,
    /// Products by their codes.
    pub products: BTreeMap<u16, String>,
}

/// Where something secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In a file.
    File(PathBuf),
    /// Among systemd's credentials, under that name.
    Credential(String),
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
    /// The part of the picture that is looked at, and which way up.
    pub view: View,
    /// Which frames show a part; `None` takes every frame for one.
    pub trigger: Option<Rule>,
    /// Its parts are announced by the PLC.
    pub plc: Option<CameraPlc>,
    /// What is ignored of its frames.
    pub ignore: Vec<Area>,
    /// The picture of what is ignored as well.
    pub ignore_mask: Option<PathBuf>,
    /// The smallest defect, in pixels of the model's input.
    pub defect_area_min_px: usize,
    /// How its frames make parts.
    pub part: Option<PartRule>,
    /// The recipe that holds until another is chosen; `None` for the camera's own keys.
    pub recipe: Option<String>,
    /// The recipes that may be chosen.
    pub recipes: Vec<String>,
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
