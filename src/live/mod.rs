//! What the page sees: a few pictures a second of each camera, the last rejects, and every product's trend.
//!
//! Owns what is kept for it, all of it bounded, and the thread `page` that makes it. `intake` is the engine's end, `page`
//! the thread, `picture` what a frame becomes, `facts` and `words` what is said about it, `rejects` and `trend` what is
//! kept, `feed` what each client gets next. Each event is made once, whatever the number of clients; where nobody
//! watches, no picture is made but those of rejects.
//! Invariant: the engine's thread neither waits here nor takes a lock; a client that is slow costs nobody else anything.
//! Must not know sockets: `http` carries the bytes.

mod facts;
mod feed;
mod intake;
mod page;
pub mod picture;
mod rejects;
mod trend;
mod words;

use std::{
    fmt, io,
    num::NonZeroU8,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

pub use self::{
    facts::Facts,
    intake::Intake,
    rejects::{Of, Row},
    trend::Trend,
    words::words,
};
use self::{feed::Feed, page::Page, rejects::Rejects};
use crate::frame::{CameraId, FrameId};

/// How often the thread `page` looks for what was handed over: four rejects in such a time are 200 a second.
const LOOKS_EVERY: Duration = Duration::from_millis(20);

/// What is counted here, for the metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Ticks at which somebody watched.
    pub ticks: AtomicU64,
    /// Pictures that were encoded for those who watch, once for all of them.
    pub encodes: AtomicU64,
    /// Pictures that were encoded for the list of rejects alone.
    pub reject_encodes: AtomicU64,
    /// Pictures that could not be made, for want of room or because a frame could not be converted.
    pub pictures_skipped: AtomicU64,
    /// Rejects that are listed without their picture, for too many came at once.
    pub rejects_skipped: AtomicU64,
    /// Points of the trend that found no room.
    pub points_skipped: AtomicU64,
    /// Clients of the live channel.
    pub clients: AtomicUsize,
}

/// What is kept for the page and told to its clients.
pub struct Live {
    cameras: Vec<CameraId>,
    counters: Arc<Counters>,
    feed: Mutex<Feed>,
    rejects: Mutex<Rejects>,
    trend: Mutex<Trend>,
    /// Rung when there is something new for clients.
    bell: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// The thread `page`. It ends with the engine's end of it, the [`Intake`].
#[derive(Debug)]
pub struct Thread(std::thread::JoinHandle<()>);

impl Thread {
    /// Waits for its end; `false` when it panicked.
    pub fn join(self) -> bool {
        self.0.join().is_ok()
    }
}

impl Live {
    /// Starts the thread `page`, for these cameras and so many pictures a second of each.
    pub fn start(
        cameras: Vec<CameraId>,
        pictures_per_second: NonZeroU8,
    ) -> io::Result<(Arc<Self>, Intake, Thread)> {
        let live = Arc::new(Self::new(cameras));
        let (intake, ends) = intake::open(&live.cameras, Arc::clone(&live.counters));
        let every = Duration::from_secs(1) / u32::from(pictures_per_second.get());
        let page = Page::new(Arc::clone(&live), ends);
        let looks = crossbeam_channel::tick(LOOKS_EVERY);
        let thread = std::thread::Builder::new()
            .name("page".into())
            .spawn(move || page.run(&looks, every))?;
        Ok((live, intake, Thread(thread)))
    }

    fn new(cameras: Vec<CameraId>) -> Self {
        Self {
            counters: Arc::default(),
            feed: Mutex::new(Feed::new(cameras.len())),
            rejects: Mutex::default(),
            trend: Mutex::new(Trend::new(cameras.len())),
            bell: OnceLock::new(),
            cameras,
        }
    }

    /// What is counted.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// From now on `bell` is rung when a client may find something new; the first that is hung stays.
    pub fn hang(&self, bell: Box<dyn Fn() + Send + Sync>) {
        let _hung_before = self.bell.set(bell);
    }

    /// A client that wants every event from now on, and the pictures that are there.
    pub fn enter(self: &Arc<Self>) -> Guest {
        self.counters.clients.fetch_add(1, Ordering::AcqRel);
        Guest { cursor: lock(&self.feed).cursor(), live: Arc::clone(self) }
    }

    /// Whether anybody watches.
    pub fn is_watched(&self) -> bool {
        self.counters.clients.load(Ordering::Acquire) > 0
    }

    /// Tells all clients how the station is, as JSON.
    pub fn tell_state(&self, json: &str) {
        lock(&self.feed).state(event("state", json));
        self.ring();
    }

    /// The last rejects, the newest first.
    pub fn rejects(&self) -> Vec<Row> {
        lock(&self.rejects).rows()
    }

    /// A reject's picture, as long as it is kept.
    pub fn picture(&self, frame: &FrameId, of: Of) -> Option<Bytes> {
        lock(&self.rejects).picture(frame, of)
    }

    /// Somebody says whether a reject was a good part: all clients are told; `false` where it is not among the last ones.
    pub fn mark(&self, frame: &FrameId, is_false: bool) -> bool {
        let marked = lock(&self.rejects).mark(frame, is_false);
        if let Some(row) = &marked {
            self.tell_reject(row);
        }
        marked.is_some()
    }

    fn tell_reject(&self, row: &Row) {
        let json = serde_json::to_string(row).unwrap_or_default();
        lock(&self.feed).passes(event("reject", &json));
        self.ring();
    }

    /// The trend of a camera's products as JSON; `None` where there is no such camera.
    pub fn trend(&self, camera: &str) -> Option<String> {
        let camera = self.cameras.iter().position(|id| *id.0 == *camera)?;
        Some(lock(&self.trend).json(camera))
    }

    fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell();
        }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("cameras", &self.cameras)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// Somebody who watches, and how far he has come.
#[derive(Debug)]
pub struct Guest {
    live: Arc<Live>,
    cursor: feed::Cursor,
}

impl Guest {
    /// The next event that he has not seen, as the bytes that all share; `None` while there is none.
    pub fn next_event(&mut self) -> Option<Bytes> {
        lock(&self.live.feed).next(&mut self.cursor)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.live.counters.clients.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An event as Server-Sent Events spells it; `json` has no line break.
pub fn event(name: &str, json: &str) -> Bytes {
    format!("event: {name}\ndata: {json}\n\n").into()
}

/// Whoever panicked with the lock has left nothing half done that would matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bundle::geometry::{Geometry, RgbImage, Size};
    use ndarray::{Array1, Array2};

    use super::*;
    use crate::{
        engine::Inference,
        frame::{Frame, FullResolution, Picture, Stamp},
        inspected::{Inspected, Onlooker as _},
        record::{ModelLabel, Origin, Record},
        verdict::{Decision, Recognition, Verdict},
    };

    /// A frame that a test makes up.
    pub(super) struct Judged {
        pub(super) camera: &'static str,
        pub(super) frame: u64,
        pub(super) decision: Decision,
        /// `None` cannot be read.
        pub(super) picture: Option<RgbImage>,
        pub(super) full: Option<Arc<dyn FullResolution>>,
        pub(super) maps: Vec<Array2<f32>>,
        pub(super) geometry: Geometry,
        pub(super) threshold: Option<f32>,
    }

    impl Default for Judged {
        fn default() -> Self {
            let size = Size { width: 8, height: 8 };
            Self {
                camera: "top",
                frame: 1,
                // No other than the judge makes a pass; the intake takes a fault for one.
                decision: Decision::Fault,
                picture: Some(RgbImage { size, pixels: vec![90; 8 * 8 * 3] }),
                full: None,
                maps: vec![Array2::from_elem((8, 8), 0.5)],
                geometry: Geometry::square(8),
                threshold: Some(1.0),
            }
        }
    }

    pub(super) fn judged(of: &Judged) -> Arc<Inspected> {
        let camera = CameraId(of.camera.into());
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(of.frame);
        let is_fault = of.decision == Decision::Fault;
        let record = Record {
            origin: Origin {
                camera: Arc::clone(&camera.0),
                epoch: 1,
                frame: of.frame,
                file: None,
                plc_part: None,
                time,
                pts: None,
                latency: Duration::from_millis(20),
                inference: None,
            },
            model: Arc::new(ModelLabel {
                name: "tiny".into(),
                version: "1".into(),
                sha256: String::new(),
            }),
            verdict: Verdict {
                decision: of.decision,
                recognition: Some(Recognition {
                    product: "cap".into(),
                    distance: 0.1,
                    radius: Some(0.5),
                }),
                score: Some(0.5),
                threshold: of.threshold,
                reason: is_fault.then(|| "torn".into()),
                ..Verdict::fault(0.01, "")
            },
        };
        let frame = Frame {
            id: FrameId { camera, epoch: 1, number: of.frame },
            stamp: Stamp { monotonic: Duration::ZERO, wall: time, pts: None },
            origin: None,
            picture: of.picture.clone().map_or_else(
                || Picture::Unreadable("torn".into()),
                |image| Picture::Pixels(Box::new(image)),
            ),
            full: of.full.clone(),
        };
        let inference = |map: &Array2<f32>| Inference {
            anomaly_map: map.clone(),
            score: 0.5,
            embedding: Array1::zeros(1),
        };
        let inferences = of.maps.iter().map(inference).collect();
        Arc::new(Inspected { frame, record, inferences, geometry: Arc::new(of.geometry.clone()) })
    }

    /// The page's thread, or a client's, may hold any lock for as long as it likes.
    #[test]
    fn the_engines_thread_waits_for_no_lock_and_for_no_room() {
        let cameras = ["top", "side"].map(|name| CameraId(name.into())).to_vec();
        let (live, mut intake, thread) = Live::start(cameras, NonZeroU8::new(30).unwrap()).unwrap();
        let _guest = live.enter();
        let locks = (lock(&live.feed), lock(&live.rejects), lock(&live.trend));
        let (done, ended) = crossbeam_channel::bounded(1);
        let offers = 20_000;
        let engine = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                let mut alive = Vec::new();
                for frame in 0..offers {
                    let camera = if frame % 2 == 0 { "top" } else { "side" };
                    let decision = if frame % 3 == 0 { Decision::Fail } else { Decision::Fault };
                    let frame = judged(&Judged { camera, frame, decision, ..Judged::default() });
                    if intake.wants(&frame.record) {
                        intake.show(&frame);
                    }
                    alive.push(Arc::downgrade(&frame));
                }
                let held = alive.iter().filter(|frame| frame.strong_count() > 0).count();
                done.send(held).unwrap();
                intake
            })
            .unwrap();
        let held = ended.recv_timeout(Duration::from_mins(1)).expect("an offer waited");
        // Four rejects and a picture of each camera wait, and one is in work.
        assert!(held <= 7, "{held} frames are held");
        drop(locks);
        drop(engine.join().unwrap());
        assert!(thread.join());
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &live.counters;
        assert!(of(&counters.points_skipped) > 0 && of(&counters.rejects_skipped) > 0);
        let rejects = live.rejects();
        assert!(rejects.len() <= 50 && !rejects.is_empty(), "{}", rejects.len());
    }
}
