//! Collecting good parts beside a running line: one product at one camera at a time.
//!
//! The engine's thread judges as always and hands copies of the frames that are wanted to the thread `calibrate`, which
//! measures and draws; when that is still busy the frame is missed, counted, and the engine has waited for nothing. What
//! people want comes through [`Desk`]. Owns the threads' meeting places and both bounds: two frames that wait, one
//! collection.
//! Invariants: whatever happens here, a frame's verdict and account are not touched; a collection never mixes models; what
//! is not finished is never written.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use bundle::{
    calibration_file::{ForReview, Put},
    geometry::{Geometry, Map, RgbImage},
    spread::Spread,
};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use serde::Serialize;

use super::{
    collection::{Beside, Collection, Shown},
    gallery::{self, Gallery},
    site::{Aim, Site, Support, Told, Written, name_of},
};
use crate::{
    access::TakeNote,
    clock::Clock,
    engine::Inference,
    fault::{Class, Fault},
    frame::{CameraId, FrameId},
    judge::{Evidence, Recipe, appearance::Appearance},
    preprocess::Inputs,
    record::ModelLabel,
    verdict::Verdict,
};

/// Who did what nobody asked for.
const OURS: &str = "sightline";
/// Frames that wait to be measured: one in hand, one waiting.
const QUEUE_LEN: usize = 2;
/// Frames for review that are told at once; the file lists all.
const TOLD_MAX: usize = 200;

/// What a collection starts from, as configuration and model files say at that moment.
#[derive(Clone, Debug)]
pub struct Basis {
    /// The products that the model knows.
    pub products: Vec<String>,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// How frames are fitted.
    pub geometry: Geometry,
    /// What the camera's parts are held against.
    pub recipe: Recipe,
    /// The calibration file.
    pub file: PathBuf,
}

/// Reads configuration and model files for a camera.
pub type ReadBasis = dyn Fn(&str) -> Result<Basis, Fault> + Send + Sync;

/// What the desk reaches the rest of the station by.
pub struct Means {
    /// Reads configuration and model files for a camera.
    pub basis: Box<ReadBasis>,
    /// SHA-256 of the model that judges.
    pub judging: Box<dyn Fn() -> String + Send + Sync>,
    /// Records what was done.
    pub note: Arc<TakeNote>,
    /// Formats civil time, and measures how long is left.
    pub clock: Arc<dyn Clock>,
}

/// What somebody wants to be collected.
#[derive(Clone, Debug)]
pub struct Order {
    /// The camera.
    pub camera: String,
    /// The product that passes it.
    pub product: String,
    /// How many frames; as many as the configured rate needs where nothing is said.
    pub count: Option<usize>,
    /// Takes one frame of so many; at least 1.
    pub every: u64,
    /// What becomes of the product's calibration that is there.
    pub how: Put,
}

/// Why a wish is not granted.
#[derive(Debug)]
pub enum Refused {
    /// It is not the time for it.
    Conflict(String),
    /// It cannot be done.
    Fault(Fault),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// How a collection stands.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// `none`, `collecting`, `ready` or `failed`.
    pub state: &'static str,
    /// What is being collected.
    #[serde(flatten)]
    pub session: Option<Standing>,
    /// How the last one ended.
    pub last: Option<String>,
}

/// A collection that goes on, or waits for somebody to finish it.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    camera: String,
    product: String,
    append: bool,
    every: u64,
    began: String,
    wanted: usize,
    collected: usize,
    faults: u64,
    missed: u64,
    repeats: usize,
    seconds_left: Option<u64>,
    refused_before: Option<usize>,
    suspicious: usize,
    for_review: Vec<ForReview>,
    brightness: Spread,
    focus: Spread,
    support: Option<Support>,
    failure: Option<String>,
}

struct Session {
    number: u64,
    collection: Collection,
    gallery: Gallery,
    site: Site,
    camera: CameraId,
    every: u64,
    began: String,
    started: Duration,
    geometry: Arc<Geometry>,
    model_sha256: String,
    failure: Option<String>,
}

/// Where the engine's thread looks whether a frame is wanted.
struct Gate {
    session: u64,
    camera: CameraId,
    every: u64,
    passed: u64,
    beside: Beside,
}

struct Shared {
    /// Looked at for every frame, and without a lock.
    is_open: AtomicBool,
    gate: Mutex<Option<Gate>>,
    session: Mutex<Option<Session>>,
    last: Mutex<Option<String>>,
    means: Means,
}

/// Where people come to.
pub struct Desk {
    shared: Arc<Shared>,
    cameras: Vec<CameraId>,
    /// Whoever changes something; the number of the last collection.
    wishes: Mutex<u64>,
    thread: JoinHandle<()>,
}

/// The engine's thread's end.
pub struct Listener {
    shared: Arc<Shared>,
    heard: Sender<Heard>,
}

/// A judged frame that is wanted.
pub struct Heard {
    /// For which collection, as [`Listener::wants`] said.
    pub collection: u64,
    /// The frame.
    pub id: FrameId,
    /// Its pixels, as the model got them or was to fit them.
    pub picture: RgbImage,
    /// What the network said.
    pub inferences: Vec<Inference>,
    /// What the judge said.
    pub verdict: Verdict,
    /// The model in charge.
    pub model: Arc<ModelLabel>,
}

impl Listener {
    /// Whether a frame of that camera is wanted, and for which collection: asked once for each frame.
    pub fn wants(&self, camera: &CameraId) -> Option<u64> {
        if !self.shared.is_open.load(Ordering::Acquire) {
            return None;
        }
        let mut gate = lock(&self.shared.gate);
        let gate = gate.as_mut().filter(|gate| gate.camera == *camera)?;
        let passed = gate.passed;
        gate.passed += 1;
        passed.is_multiple_of(gate.every).then_some(gate.session)
    }

    /// The frame that was wanted could not be judged.
    pub fn fault(&self, collection: u64) {
        self.count(collection, |beside| beside.faults += 1);
    }

    /// Whether there is room for another frame, asked before it is copied; without room it is counted as missed.
    pub fn has_room(&self, collection: u64) -> bool {
        let is_full = self.heard.is_full();
        if is_full {
            self.count(collection, |beside| beside.missed += 1);
        }
        !is_full
    }

    /// Takes a frame, or counts it as missed; never waits.
    pub fn hear(&self, heard: Heard) {
        match self.heard.try_send(heard) {
            Ok(()) => {}
            Err(TrySendError::Full(heard) | TrySendError::Disconnected(heard)) => {
                self.count(heard.collection, |beside| beside.missed += 1);
            }
        }
    }

    fn count(&self, collection: u64, change: impl FnOnce(&mut Beside)) {
        let mut gate = lock(&self.shared.gate);
        if let Some(gate) = gate.as_mut().filter(|gate| gate.session == collection) {
            change(&mut gate.beside);
        }
    }

    /// The station ends: what is not finished is not written, and that is told.
    pub fn close(self) {
        self.shared.close_gate();
        let Some(session) = lock(&self.shared.session).take() else { return };
        let Session { collection, camera, .. } = session;
        let told = format!(
            "\"{}\": stopped after {} of {} frames; nothing is written",
            collection.product(),
            collection.count(),
            collection.wanted()
        );
        tracing::warn!(%camera, "calibration abandoned: {told}");
        (self.shared.means.note)(OURS, "calibration-abandoned", &camera.0, told);
    }
}

impl Desk {
    /// Starts the thread; it ends when the listener is gone.
    pub fn start(cameras: Vec<CameraId>, means: Means) -> std::io::Result<(Self, Listener)> {
        let shared = Arc::new(Shared {
            is_open: AtomicBool::new(false),
            gate: Mutex::new(None),
            session: Mutex::new(None),
            last: Mutex::new(None),
            means,
        });
        let (heard, frames) = crossbeam_channel::bounded(QUEUE_LEN);
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("calibrate".into())
            .spawn(move || worker.measure(&frames))?;
        let listener = Listener { shared: Arc::clone(&shared), heard };
        Ok((Self { shared, cameras, wishes: Mutex::new(0), thread }, listener))
    }

    /// Waits for the thread's end, after the listener is gone; `false` when it panicked.
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        let beside = self.shared.beside();
        let last = lock(&self.shared.last).clone();
        let session = lock(&self.shared.session);
        let Some(session) = session.as_ref() else {
            return Status { state: "none", session: None, last };
        };
        let now = self.shared.means.clock.monotonic();
        Status { state: session.state(), session: Some(session.standing(beside, now)), last }
    }

    /// Begins to collect.
    pub fn begin(&self, order: &Order, who: &str) -> Result<Status, Refused> {
        let mut number = lock(&self.wishes);
        if lock(&self.shared.session).is_some() {
            let line = "a calibration is in progress: finish it, or cancel it";
            return Err(Refused::Conflict(line.into()));
        }
        let configuration = |line: String| Refused::Fault(Fault::new(Class::Configuration, line));
        let Some(camera) = self.cameras.iter().find(|camera| *camera.0 == *order.camera) else {
            let known: Vec<_> = self.cameras.iter().map(ToString::to_string).collect();
            let known = known.join(", ");
            return Err(configuration(format!(
                "there is no camera \"{}\": there are {known}",
                order.camera
            )));
        };
        if order.every == 0 {
            return Err(Fault::new(Class::Usage, "every is at least 1").into());
        }
        let basis = (self.shared.means.basis)(&order.camera)?;
        if basis.model_sha256 != (self.shared.means.judging)() {
            let line = "the model file is another than the one that judges; reload first";
            return Err(Refused::Conflict(line.into()));
        }
        let aim = Aim::new(&order.product, order.how, &basis.recipe, &basis.products)?;
        let site = Site::open(&basis.file, &basis.model_sha256, aim)?;
        let wanted = site.count(order.count)?;
        *number += 1;
        let (every, camera) = (order.every, camera.clone());
        let detail = format!(
            "\"{}\": {wanted} frames, one of {every}, {} {}",
            order.product,
            match order.how {
                Put::Add => "added to",
                Put::Replace => "in place of what is in",
            },
            name_of(&basis.file)
        );
        *lock(&self.shared.session) = Some(Session {
            number: *number,
            collection: Collection::new(&*order.product, wanted, site.first_id()),
            gallery: Gallery::default(),
            site,
            camera: camera.clone(),
            every,
            began: self.shared.now(),
            started: self.shared.means.clock.monotonic(),
            geometry: Arc::new(basis.geometry),
            model_sha256: basis.model_sha256,
            failure: None,
        });
        let beside = Beside::default();
        (self.shared.means.note)(who, "calibration-started", &camera.0, detail);
        *lock(&self.shared.gate) =
            Some(Gate { session: *number, camera, every, passed: 0, beside });
        self.shared.is_open.store(true, Ordering::Release);
        Ok(self.status())
    }

    /// A frame's picture as PNG, where one was kept, and that collection is the one that is open.
    pub fn picture(&self, collection: u64, id: usize) -> Option<Vec<u8>> {
        let held = lock(&self.shared.session);
        let session = held.as_ref().filter(|it| it.number == collection)?;
        session.gallery.picture(id).map(<[u8]>::to_vec)
    }

    /// A person has looked: exactly these frames are no good parts.
    pub fn exclude(&self, ids: &[usize], who: &str) -> Result<Status, Refused> {
        let _wish = lock(&self.wishes);
        let mut held = lock(&self.shared.session);
        let session = held.as_mut().ok_or_else(nothing)?;
        session
            .collection
            .exclude(ids)
            .map_err(|error| Fault::new(Class::Usage, error.to_string()))?;
        let product = session.collection.product();
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        let ids = if ids.is_empty() { "none".into() } else { ids.join(", ") };
        let detail = format!("\"{product}\": excluded frames: {ids}");
        (self.shared.means.note)(who, "calibration-excluded", &session.camera.0, detail);
        drop(held);
        Ok(self.status())
    }

    /// Lets go of what was collected.
    pub fn cancel(&self, who: &str) -> Result<Status, Refused> {
        let _wish = lock(&self.wishes);
        self.shared.close_gate();
        let session = lock(&self.shared.session).take().ok_or_else(nothing)?;
        let told = format!(
            "\"{}\": cancelled after {} of {} frames; nothing is written",
            session.collection.product(),
            session.collection.count(),
            session.collection.wanted()
        );
        (self.shared.means.note)(who, "calibration-cancelled", &session.camera.0, told.clone());
        *lock(&self.shared.last) = Some(told);
        Ok(self.status())
    }

    /// Writes the file; with `Partial::Keep` of what there is.
    pub fn finish(&self, partial: Partial, who: &str) -> Result<Written, Refused> {
        let _wish = lock(&self.wishes);
        let beside = self.shared.beside();
        let mut held = lock(&self.shared.session);
        let session = held.take_if(|session| {
            session.failure.is_none() && (session.collection.is_full() || partial == Partial::Keep)
        });
        let Some(session) = session else {
            let Some(session) = held.as_ref() else { return Err(nothing()) };
            let line = session.failure.clone().unwrap_or_else(|| {
                format!(
                    "{} of {} frames are collected: wait, or keep what there is with \"partial\": true",
                    session.collection.count(),
                    session.collection.wanted()
                )
            });
            return Err(Refused::Conflict(line));
        };
        // Not held while the disk is waited for: the thread `calibrate` and other questions go on.
        drop(held);
        match self.conclude(&session, beside) {
            Ok(written) => {
                self.shared.close_gate();
                let told = format!(
                    "\"{}\": {} frames, {} suspicious, {} excluded; {} supports a false-reject rate of {:.3e}",
                    session.collection.product(),
                    written.session.frames,
                    written.session.suspicious,
                    session.collection.excluded(),
                    name_of(&written.file),
                    written.support.lowest_rate
                );
                (self.shared.means.note)(
                    who,
                    "calibration-finished",
                    &session.camera.0,
                    told.clone(),
                );
                *lock(&self.shared.last) = Some(told);
                Ok(written)
            }
            Err(fault) => {
                (self.shared.means.note)(
                    who,
                    "calibration-refused",
                    &session.camera.0,
                    fault.to_string(),
                );
                // As it was: the disk may have room again, or more frames may come.
                *lock(&self.shared.session) = Some(session);
                Err(fault.into())
            }
        }
    }

    fn conclude(&self, session: &Session, beside: Beside) -> Result<Written, Fault> {
        let told = Told {
            from: format!("camera {}", session.camera),
            times: [session.began.clone(), self.shared.now()],
            every: session.every,
            beside,
        };
        session.site.write(&session.collection, &session.gallery, told)
    }
}

/// What becomes of a collection that is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// It is written all the same.
    Keep,
    /// It is not.
    Refuse,
}

fn nothing() -> Refused {
    Refused::Conflict("no calibration is in progress".into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn now(&self) -> String {
        humantime::format_rfc3339_seconds(self.means.clock.wall()).to_string()
    }

    fn beside(&self) -> Beside {
        lock(&self.gate).as_ref().map_or_else(Beside::default, |gate| gate.beside)
    }

    /// Nothing is wanted any more. The gate stays for its counts until the next one opens.
    fn close_gate(&self) {
        self.is_open.store(false, Ordering::Release);
    }

    /// The thread `calibrate`.
    fn measure(&self, frames: &Receiver<Heard>) {
        for heard in frames {
            self.one(&heard);
        }
    }

    fn one(&self, heard: &Heard) {
        let geometry = {
            let held = lock(&self.session);
            let Some(session) = held.as_ref().filter(|it| it.number == heard.collection) else {
                return;
            };
            Arc::clone(&session.geometry)
        };
        // It was judged with this geometry, so that it fits.
        let Ok(inputs) = Inputs::from_frame(&geometry, heard.picture.view()) else { return };
        let look = Appearance::of(inputs.views());
        let wanted = {
            let mut held = lock(&self.session);
            let Some(session) = held.as_mut().filter(|it| it.number == heard.collection) else {
                return;
            };
            let wanted = session.take(heard, look);
            if session.failure.is_some() || session.collection.is_full() {
                self.close_gate();
            }
            wanted
        };
        let Some((id, score, distance)) = wanted else { return };
        let maps: Vec<Map> = heard.inferences.iter().map(Inference::map).collect();
        let map = geometry.frame_from_map(&maps, heard.picture.size);
        let drawn = gallery::draw(&heard.picture.view(), &map, &heard.verdict);
        let mut held = lock(&self.session);
        let Some(session) = held.as_mut().filter(|it| it.number == heard.collection) else {
            return;
        };
        match drawn {
            Ok(png) => session.gallery.keep(id, score, distance, png),
            Err(error) => tracing::warn!("calibration: a picture cannot be kept: {error}"),
        }
    }
}

impl Session {
    /// Collects a frame; its number, score and distance where its picture would be kept.
    fn take(&mut self, heard: &Heard, look: Option<Appearance>) -> Option<(usize, f32, f32)> {
        if heard.model.sha256 != self.model_sha256 {
            let line =
                "the model was replaced while it was being calibrated: cancel, and begin anew";
            self.failure = Some(line.into());
            return None;
        }
        let whole = Evidence::of(&heard.inferences).score;
        let shown = Shown::of(&heard.verdict, whole, self.collection.product(), look)?;
        let (score, distance) = (shown.score, shown.distance);
        let id = self.collection.add(heard.id.to_string(), shown)?;
        self.gallery.wants(score, distance).then_some((id, score, distance))
    }

    fn state(&self) -> &'static str {
        if self.failure.is_some() {
            "failed"
        } else if self.collection.is_full() {
            "ready"
        } else {
            "collecting"
        }
    }

    fn standing(&self, beside: Beside, now: Duration) -> Standing {
        let Self { collection, site, .. } = self;
        let (wanted, collected) = (collection.wanted(), collection.count());
        let (brightness, focus) = collection.look();
        let pictured = collection.doubtful().into_iter().map(|doubtful| doubtful.part.id);
        let pictured = pictured.filter(|&id| self.gallery.picture(id).is_some());
        let number = self.number;
        let address = |id| (id, format!("/api/v1/calibration/pictures/{number}/{id}"));
        let for_review = collection.listed(&pictured.map(address).collect());
        let elapsed = now.saturating_sub(self.started).as_secs_f64();
        let left = (wanted - collected) as f64;
        let seconds_left = (collected > 0 && left > 0.0)
            .then(|| (elapsed / collected as f64 * left).ceil())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(|left| left.as_secs());
        Standing {
            camera: self.camera.to_string(),
            product: collection.product().into(),
            append: site.aim().how == Put::Add,
            every: self.every,
            began: self.began.clone(),
            wanted,
            collected,
            faults: beside.faults,
            missed: beside.missed,
            repeats: collection.repeats(),
            seconds_left,
            refused_before: collection.refused_before(),
            suspicious: collection.suspicious(),
            for_review: for_review.into_iter().take(TOLD_MAX).collect(),
            brightness,
            focus,
            support: site
                .with(collection, "")
                .map(|calibration| Support::of(&calibration, site.aim().rate)),
            failure: self.failure.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bundle::{calibration::RejectRate, calibration_file::CalibrationFile, geometry::Size};
    use ndarray::{Array1, Array2};

    use super::*;
    use crate::{
        clock::SystemClock,
        judge::Unrated,
        verdict::{Decision, Recognition},
    };

    type Notes = Arc<Mutex<Vec<String>>>;

    struct Line {
        desk: Desk,
        listener: Listener,
        notes: Notes,
        folder: tempfile::TempDir,
        next: u64,
    }

    /// A desk whose model "aa" knows caps and gears, at a rate of 20 %: nine frames.
    fn line() -> Line {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("line.calibration.json");
        let notes = Notes::default();
        let noted = Arc::clone(&notes);
        let basis = move |_camera: &str| {
            Ok(Basis {
                products: vec!["cap".into(), "gear".into()],
                model_sha256: "aa".into(),
                geometry: Geometry::square(8),
                recipe: Recipe::of(RejectRate::new(0.2).unwrap(), Unrated::Refused),
                file: file.clone(),
            })
        };
        let means = Means {
            basis: Box::new(basis),
            judging: Box::new(|| "aa".into()),
            note: Arc::new(move |who, kind, camera, detail| {
                noted.lock().unwrap().push(format!("{kind} {camera} {who}: {detail}"));
            }),
            clock: Arc::new(SystemClock::start()),
        };
        let cameras = ["top", "side"].map(|name| CameraId(name.into())).to_vec();
        let (desk, listener) = Desk::start(cameras, means).unwrap();
        Line { desk, listener, notes, folder, next: 0 }
    }

    fn order() -> Order {
        let (camera, product) = ("top".into(), "cap".into());
        Order { camera, product, count: None, every: 1, how: Put::Replace }
    }

    impl Line {
        fn path(&self) -> PathBuf {
            self.folder.path().join("line.calibration.json")
        }

        /// A frame passes; it is waited for until it is measured.
        fn pass(&mut self, camera: &str, model: &str) {
            self.next += 1;
            let camera = CameraId(camera.into());
            let Some(collection) = self.listener.wants(&camera) else { return };
            let before = self.collected();
            let recognition =
                Recognition { product: "cap".into(), distance: 0.1, radius: Some(0.5) };
            let verdict = Verdict {
                decision: Decision::Fail,
                recognition: Some(recognition),
                score: Some(1.0 + self.next as f32 / 1000.0),
                threshold: Some(2.0),
                ..Verdict::fault(0.2, "")
            };
            let size = Size { width: 8, height: 8 };
            self.listener.hear(Heard {
                collection,
                id: FrameId { camera, epoch: 1, number: self.next },
                picture: RgbImage { size, pixels: vec![77; 8 * 8 * 3] },
                inferences: vec![Inference {
                    anomaly_map: Array2::zeros((8, 8)),
                    score: 1.0,
                    embedding: Array1::zeros(1),
                }],
                verdict,
                model: Arc::new(ModelLabel {
                    name: "tiny".into(),
                    version: "1".into(),
                    sha256: model.into(),
                }),
            });
            let mut rounds = 0;
            while self.collected() == before && self.desk.status().state == "collecting" {
                rounds += 1;
                assert!(rounds < 10_000, "the frame is not measured");
                std::thread::sleep(Duration::from_millis(2));
            }
        }

        fn collected(&self) -> usize {
            self.desk.status().session.map_or(0, |standing| standing.collected)
        }

        fn end(self) -> Vec<String> {
            self.listener.close();
            assert!(self.desk.join());
            Arc::into_inner(self.notes).unwrap().into_inner().unwrap()
        }
    }

    fn refused<T: std::fmt::Debug>(outcome: Result<T, Refused>) -> String {
        match outcome.unwrap_err() {
            Refused::Conflict(line) => format!("conflict: {line}"),
            Refused::Fault(fault) => format!("{}: {fault}", fault.class.name()),
        }
    }

    #[test]
    fn frames_of_its_camera_are_collected_until_there_are_enough() {
        let mut line = line();
        line.pass("top", "aa");
        assert_eq!(line.desk.status().state, "none");
        let status = line.desk.begin(&Order { every: 2, ..order() }, "ann").unwrap();
        assert_eq!((status.state, status.session.unwrap().wanted), ("collecting", 9));
        for _ in 0..16 {
            line.pass("top", "aa");
            line.pass("side", "aa");
        }
        // One of two, of one camera of two.
        assert_eq!(line.collected(), 8);
        assert!(refused(line.desk.finish(Partial::Refuse, "ann")).starts_with("conflict: 8 of 9"));
        let collection = line.listener.wants(&CameraId("top".into())).unwrap();
        line.listener.fault(collection);
        for _ in 0..4 {
            line.pass("top", "aa");
        }
        let status = line.desk.status();
        let standing = status.session.unwrap();
        assert_eq!((status.state, standing.collected, standing.faults), ("ready", 9, 1));
        assert_eq!((standing.brightness.mean, standing.focus.mean), (77.0, 0.0));
        assert!(standing.support.unwrap().is_supported);
        assert!(line.desk.picture(collection, 1).is_some());
        assert!(line.desk.picture(collection, 10).is_none());
        // An earlier collection's frame 1 is another one.
        assert!(line.desk.picture(collection - 1, 1).is_none());
        assert!(refused(line.desk.begin(&order(), "ann")).starts_with("conflict"));
        // A rank that an exclusion costs is missing then; nothing is lost by asking.
        line.desk.exclude(&[3], "ann").unwrap();
        assert!(
            refused(line.desk.finish(Partial::Refuse, "ann"))
                .starts_with("configuration: 9 frames")
        );
        assert!(!line.path().exists());
        assert!(
            refused(line.desk.exclude(&[10], "ann")).starts_with("usage: frame 10 is not among")
        );
        line.desk.exclude(&[], "ann").unwrap();
        let written = line.desk.finish(Partial::Refuse, "ann").unwrap();
        assert_eq!((written.support.frames, written.session.faults), (9, 1));
        assert_eq!(CalibrationFile::read(&line.path()).unwrap().classes["cap"].count(), 9);
        assert_eq!(line.desk.status().state, "none");
        // Where it lies is the machine's own affair.
        let last = line.desk.status().last.unwrap();
        assert!(last.contains("line.calibration.json") && !last.contains('/'), "{last}");
        assert!(
            refused(line.desk.finish(Partial::Keep, "ann")).starts_with("conflict: no calibration")
        );
        let notes = line.end();
        let kinds: Vec<_> = notes.iter().map(|n| n.split(' ').next().unwrap()).collect();
        assert_eq!(
            kinds,
            [
                "calibration-started",
                "calibration-excluded",
                "calibration-refused",
                "calibration-excluded",
                "calibration-finished"
            ],
            "{notes:?}"
        );
    }

    #[test]
    fn models_are_not_mixed_and_what_is_not_finished_is_not_written() {
        let mut line = line();
        line.desk.begin(&order(), "ann").unwrap();
        line.pass("top", "aa");
        line.pass("top", "bb");
        let status = line.desk.status();
        assert_eq!((status.state, status.session.unwrap().collected), ("failed", 1));
        line.pass("top", "aa");
        assert_eq!(line.collected(), 1);
        assert!(refused(line.desk.finish(Partial::Keep, "ann")).contains("the model was replaced"));
        assert!(line.desk.cancel("ann").unwrap().last.unwrap().contains("nothing is written"));
        line.desk.begin(&order(), "ann").unwrap();
        line.pass("top", "aa");
        let path = line.path();
        let notes = line.end();
        assert!(notes.last().unwrap().starts_with("calibration-abandoned top"), "{notes:?}");
        assert!(!path.exists());
    }

    #[test]
    fn a_wrong_order_is_refused_with_the_remedy() {
        let line = line();
        for (order, told) in [
            (Order { camera: "front".into(), ..order() }, "there are top, side"),
            (Order { product: "lid".into(), ..order() }, "it knows cap, gear"),
            (Order { count: Some(0), ..order() }, "usage: 0 frames"),
            (Order { count: Some(8), ..order() }, "needs 9"),
            (Order { count: Some(1_000_000), ..order() }, "the most that are taken"),
            (Order { every: 0, ..order() }, "at least 1"),
        ] {
            let line = refused(line.desk.begin(&order, "ann"));
            assert!(line.contains(told), "{line}");
        }
        assert_eq!(line.desk.status().state, "none");
        assert!(refused(line.desk.exclude(&[1], "ann")).starts_with("conflict"));
        assert!(refused(line.desk.cancel("ann")).starts_with("conflict"));
        assert_eq!(line.end(), Vec::<String>::new());
    }
}
