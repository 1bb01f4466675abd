//! Cameras: GStreamer pipelines whose frames are numbered, counted and put into a channel.
//!
//! Owns GStreamer: no other module knows it. `preset` is the text of a pipeline, `pipeline` the elements made of
//! it, `blueprint` what is built anew after a failure, `view` and `crop` the part of the picture that is looked at,
//! `capture` the callback, `trigger` which frames show a part, `pixels` the mapped buffers, `packets` what the network
//! lost, `inventory` what is installed, `stills` feeds decoded images, `supervisor` is the thread that watches, `reconnect` decides when a lost camera is tried again.
//! Invariants: a frame is numbered in the appsink's callback, before anything of ours can fail or drop; a pipeline
//! that ends, fails or is stopped says so exactly once; its channel closes after its last frame; a live camera that fails
//! is tried again for ever, and no other camera notices.
//! Must not know verdicts.

mod blueprint;
mod capture;
pub mod clip;
mod crop;
pub mod inventory;
mod lag;
mod packages;
mod packets;
mod pipeline;
pub mod pixels;
pub mod preset;
pub mod probe;
pub mod reconnect;
mod secret;
mod serial;
mod stills;
mod supervisor;
pub mod tail;
pub mod trigger;
pub mod view;

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use bundle::geometry::Size;
use crossbeam_channel::{Receiver, Sender};

pub use self::{
    preset::{Platform, Preset, PresetError},
    reconnect::Policy,
    trigger::Rule,
    view::View,
};
use crate::{
    channel::Overflow,
    clock::Clock,
    frame::{CameraId, Frame},
    ledger::Account,
    plc::Way,
    state::Board,
};

/// What a camera is to do.
#[derive(Clone)]
pub struct CameraOptions {
    /// Its pipeline.
    pub preset: Preset,
    /// The preset's parameters that are not left at their defaults.
    pub parameters: BTreeMap<String, String>,
    /// The part of the picture that is looked at, and which way up.
    pub view: View,
    /// Which frames show a part; `None` takes every frame for one.
    pub trigger: Option<Rule>,
    /// Where a PLC announces parts; `None` where none does.
    pub plc: Option<Way>,
    /// The size that the pipeline scales to; `None` leaves frames in the camera's own.
    pub scale_to: Option<Size>,
    /// Whether a frame carries the buffer that it was scaled from: the same view in full resolution.
    pub keep_full: bool,
    /// What happens when the engine is slower than the camera.
    pub overflow: Overflow,
    /// Frames that may wait for the engine.
    pub queue_len: usize,
    /// Files play at their own speed.
    pub realtime: bool,
    /// Files start again at their end.
    pub repeat: bool,
    /// How long the first frame may take.
    pub first_frame_within: Duration,
    /// How a live camera is watched and tried again; `None` ends it with its first failure.
    pub reconnect: Option<Policy>,
}

// By hand: a parameter may be a password.
impl fmt::Debug for CameraOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CameraOptions")
            .field("preset", &self.preset.description)
            .field("parameters", &self.parameters.keys())
            .field("view", &self.view)
            .field("trigger", &self.trigger)
            .field("scale_to", &self.scale_to)
            .field("overflow", &self.overflow)
            .finish_non_exhaustive()
    }
}

impl CameraOptions {
    /// A network camera that has to wake up answers within this.
    pub const FIRST_FRAME_WITHIN: Duration = Duration::from_secs(20);
}

/// What a camera's thread tells the station: losses and returns as they come, and one end.
#[derive(Debug)]
pub enum CameraEvent {
    /// It was lost, and will be tried again after this long.
    Lost(CameraId, CameraError, Duration),
    /// Its frames come again.
    Back {
        /// Whose.
        camera: CameraId,
        /// Since it was lost.
        gone: Duration,
        /// Since the attempt that succeeded began.
        attempt: Duration,
    },
    /// It was lost for so long that the process is to be restarted.
    GivenUp(CameraId, CameraError),
    /// Its source is at its end, or it was stopped.
    Ended(CameraId),
    /// It cannot go on.
    Failed(CameraId, CameraError),
}

impl CameraEvent {
    /// Whose.
    pub fn camera(&self) -> &CameraId {
        match self {
            Self::Lost(id, ..)
            | Self::Back { camera: id, .. }
            | Self::GivenUp(id, _)
            | Self::Ended(id)
            | Self::Failed(id, _) => id,
        }
    }
}

/// A pipeline that is built and does not play yet.
pub struct Camera {
    account: Arc<Account>,
    plc: Option<Way>,
    frames: Receiver<Frame>,
    parts: supervisor::Parts,
}

/// A pipeline that plays, on a thread of its own. Dropping the handle does not stop it.
#[derive(Debug)]
pub struct Playing {
    /// Whose.
    pub id: CameraId,
    stop: supervisor::Stop,
    thread: std::thread::JoinHandle<()>,
}

impl Camera {
    /// Builds the pipeline of the camera whose account that is; nothing plays yet. While the board says `pause` or
    /// `maintenance`, its frames are counted and given to nobody.
    pub fn open(
        options: &CameraOptions,
        account: Arc<Account>,
        board: Arc<Board>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CameraError> {
        let (parts, frames) =
            supervisor::Parts::build(options, Arc::clone(&account), board, clock)?;
        Ok(Self { account, plc: options.plc.clone(), frames, parts })
    }

    /// Its name.
    pub fn id(&self) -> &CameraId {
        self.account.camera()
    }

    /// Its account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Where a PLC announces its parts.
    pub fn plc(&self) -> Option<&Way> {
        self.plc.as_ref()
    }

    /// Where its frames come out; closed after the last one.
    pub fn frames(&self) -> &Receiver<Frame> {
        &self.frames
    }

    /// Times its frames from stage to stage, which costs a little; for those who measure.
    pub fn probe(&self, clock: &Arc<dyn Clock>) -> Arc<probe::StageTimes> {
        probe::attach(self.parts.pipeline(), clock)
    }

    /// Lets it play. `events` must have room for one event of each camera.
    pub fn play(self, events: Sender<CameraEvent>) -> std::io::Result<Playing> {
        let Self { account, parts, .. } = self;
        let id = account.camera().clone();
        let stop = parts.stop();
        // Linux shows 15 bytes of a thread's name; that is enough to tell cameras apart.
        let thread = std::thread::Builder::new()
            .name(format!("cam-{id}"))
            .spawn(move || parts.run(&events))?;
        Ok(Playing { id, stop, thread })
    }
}

impl Playing {
    /// Asks it to end: no frame is numbered any more, those that are go on to the engine.
    pub fn stop(&self) {
        self.stop.ask();
    }

    /// Stops it and lets go of the frames that are still on their way, which would hold its thread; `false`
    /// when that panicked.
    pub fn end(self, frames: &Receiver<Frame>) -> bool {
        self.stop();
        for _unwanted in frames {}
        self.join()
    }

    /// Waits for its end; `false` when its thread panicked.
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

/// Why a camera gives no frames.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// GStreamer itself does not start.
    #[error("GStreamer does not start: {0}")]
    Start(String),
    /// The preset.
    #[error(transparent)]
    Preset(#[from] PresetError),
    /// Elements that are not installed.
    #[error("GStreamer has no element \"{element}\": {remedy}")]
    MissingElement {
        /// The element.
        element: String,
        /// Where it comes from.
        remedy: String,
    },
    /// A decoder, demultiplexer or converter that is not installed.
    #[error(
        "GStreamer has no {what}: install gstreamer1.0-libav or gstreamer1.0-plugins-bad, or choose another format"
    )]
    MissingPlugin {
        /// In GStreamer's words.
        what: String,
    },
    /// The launch line is none. It is not shown: there may be a password in it.
    #[error("the preset's launch line cannot be built: {cause}")]
    Launch {
        /// GStreamer's words.
        cause: String,
    },
    /// The files that are to be played are not there.
    #[error("{path} {problem}")]
    Location {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A parameter that this module reads itself.
    #[error("the preset's parameter \"{name}\" is \"{value}\", but {expected}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// The pipeline posted an error.
    #[error("{element}: {message}{}{}", detail(.debug), advice(.remedy.as_deref()))]
    Pipeline {
        /// The element that failed.
        element: String,
        /// Its words.
        message: String,
        /// The last line of its details.
        debug: String,
        /// What the preset says of it.
        remedy: Option<String>,
    },
    /// The pipeline plays and nothing comes.
    #[error("no frame within {} s{}", within.as_secs(), advice(.remedy.as_deref()))]
    Silent {
        /// How long was waited.
        within: Duration,
        /// What the preset says of it.
        remedy: Option<String>,
    },
    /// Frames came, and come no more.
    #[error("no frame for {} s{}", within.as_secs(), advice(.remedy.as_deref()))]
    Stalled {
        /// How long was waited.
        within: Duration,
        /// What the preset says of it.
        remedy: Option<String>,
    },
    /// The picture does not change by a single value.
    #[error("the picture has not changed for {} s: the camera repeats an old one, or shows no sensor's picture", within.as_secs())]
    Frozen {
        /// How long was waited.
        within: Duration,
    },
    /// A live source said that it is at its end.
    #[error("the stream ended{}", advice(.remedy.as_deref()))]
    EndOfStream {
        /// What the preset says of it.
        remedy: Option<String>,
    },
    /// No device has that serial number.
    #[error("no camera with the serial number {serial} is plugged in; there are: {there}")]
    Serial {
        /// The number.
        serial: String,
        /// Those that are there.
        there: String,
    },
    /// Nobody takes frames any more.
    #[error("the engine is gone")]
    EngineGone,
    /// What came out of the pipeline is no picture.
    #[error("the pipeline gave a buffer that is no RGB picture: {0}")]
    Buffer(String),
    /// A thread could not be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

impl CameraError {
    /// With what the preset says about such a failure.
    #[must_use]
    fn with_remedy(mut self, advised: Option<String>) -> Self {
        if let Self::Pipeline { remedy, .. }
        | Self::Silent { remedy, .. }
        | Self::Stalled { remedy, .. }
        | Self::EndOfStream { remedy } = &mut self
        {
            *remedy = advised;
        }
        self
    }
}

fn advice(remedy: Option<&str>) -> String {
    remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default()
}

fn detail(debug: &str) -> String {
    if debug.is_empty() { String::new() } else { format!(" ({debug})") }
}

/// The files of a `location`: what a source of stills plays.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Location {
    Stills(Vec<PathBuf>),
    Video,
}
