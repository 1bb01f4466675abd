//! The PLC: parts are announced, their results are given, bad ones are struck.
//!
//! `post` is one camera's parts on their way, made of `pairing` (which frame is a part's), `handshake` (what the PLC sees)
//! and `pusher` (when a part is struck): all of it pure. `map` is what stands in which register. `desk` is the thread `plc`,
//! which turns time and what happens into calls of them; `modbus_server` and `modbus_client` speak to the PLC, `gpio` has
//! lines, `bursts` keeps the ledger from being flooded, `net` says whose addresses are let in.
//! The camera's callback and the engine's thread reach it by a [`Way`]: neither waits for the PLC.
//! Must not know pixels, nor how verdicts are reached. Beside `http` the only place with `tokio`.

mod bursts;
mod counters;
mod desk;
pub mod gpio;
pub mod handshake;
pub mod map;
mod modbus_client;
mod modbus_server;
pub mod net;
pub mod pairing;
pub mod post;
pub mod pusher;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::Notify;

pub use self::{
    counters::Counters,
    desk::{Means, Plc, start},
    net::Net,
    pairing::Wanted,
};
use self::{
    map::WordOrder,
    post::{Judged, Post},
};
use crate::{frame::CameraId, verdict::Verdict};

/// Parts of a camera that may be on their way, and results that may wait: more are on no conveyor between a sensor and a pusher.
pub const PARTS_MAX: usize = 64;
/// Verdicts that may wait for the thread `plc`, of all cameras together.
const VERDICTS_MAX: usize = 256;

/// How the PLC is spoken to, and what is relied on.
#[derive(Clone, Debug)]
pub struct Options {
    /// By Modbus; `None` where there are lines alone.
    pub modbus: Option<Modbus>,
    /// How long the PLC may give no sign of life.
    pub watchdog: Duration,
    /// Whether parts may pass while the station is degraded.
    pub trusts_degraded: bool,
    /// What lines there are; they serve the first camera.
    pub lines: Option<gpio::LineOptions>,
}

/// Modbus TCP, from one side or the other.
#[derive(Clone, Debug)]
pub struct Modbus {
    /// Who asks.
    pub role: Role,
    /// The unit identifier.
    pub unit: u8,
    /// How values of 32 bits lie in two registers.
    pub order: WordOrder,
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Role {
    /// The PLC asks, and writes.
    Server {
        /// Where it is listened.
        listen: SocketAddr,
        /// Who may come in beside the machine itself.
        allow: Vec<Net>,
    },
    /// Sightline asks the PLC, and writes into it.
    Client {
        /// Where the PLC is.
        connect: SocketAddr,
        /// Where the block of the first camera begins.
        address: u16,
        /// How often it is asked.
        every: Duration,
    },
}

/// A verdict on its way to the thread `plc`.
#[derive(Debug)]
struct Handed {
    lane: usize,
    frame: u64,
    judged: Judged,
}

/// What cameras, engine and the thread `plc` share, before the thread runs.
#[derive(Debug)]
pub struct Exchange {
    options: Options,
    lanes: Vec<(CameraId, Arc<Mutex<Post>>)>,
    verdicts: (Sender<Handed>, Receiver<Handed>),
    refused: Arc<AtomicU64>,
    wake: Arc<Notify>,
    counters: Arc<Counters>,
}

impl Exchange {
    /// For these cameras, in the order of their blocks of registers.
    pub fn new(options: Options, cameras: Vec<(CameraId, post::Rule)>) -> Self {
        let lane = |(camera, rule)| (camera, Arc::new(Mutex::new(Post::new(rule))));
        Self {
            options,
            lanes: cameras.into_iter().map(lane).collect(),
            verdicts: crossbeam_channel::bounded(VERDICTS_MAX),
            refused: Arc::default(),
            wake: Arc::default(),
            counters: Arc::default(),
        }
    }

    /// The way of that camera's frames; `None` for a camera whose parts nobody announces.
    pub fn way(&self, camera: &CameraId) -> Option<Way> {
        let lane = self.lanes.iter().position(|(id, _)| id == camera)?;
        Some(Way {
            lane,
            post: Arc::clone(&self.lanes[lane].1),
            verdicts: self.verdicts.0.clone(),
            refused: Arc::clone(&self.refused),
            wake: Arc::clone(&self.wake),
        })
    }

    /// What is counted.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

/// How a camera's callback and the engine's thread reach the parts of that camera. The lock is held for microseconds.
#[derive(Clone, Debug)]
pub struct Way {
    lane: usize,
    post: Arc<Mutex<Post>>,
    verdicts: Sender<Handed>,
    refused: Arc<AtomicU64>,
    wake: Arc<Notify>,
}

impl Way {
    /// A frame was captured at that time; whether a part asked for it.
    pub fn frame(&self, number: u64, at: Duration) -> Wanted {
        let wanted = lock(&self.post).frame(number, at);
        self.wake.notify_one();
        wanted
    }

    /// A frame was taken out before anybody judged it.
    pub fn lost(&self, number: u64, at: Duration) {
        lock(&self.post).lost(number, at);
        self.wake.notify_one();
    }

    /// The PLC's number of the part that the frame shows, as far as that is certain by now.
    pub fn part_of(&self, number: u64) -> Option<u32> {
        lock(&self.post).part_of(number)
    }

    /// A frame has its verdict; never waits. What finds no room is counted, and its part's deadline passes.
    pub fn judged(&self, frame: u64, verdict: &Verdict) {
        let handed = Handed { lane: self.lane, frame, judged: Judged::of(verdict) };
        if self.verdicts.try_send(handed).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        self.wake.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
