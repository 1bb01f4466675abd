//! The engine's end of the page: what is handed over of each judged frame, and what is let go.
//!
//! Owns the bounds between the two threads. Nothing here waits or takes a lock: a frame is handed over where one is due
//! and there is room, and what finds none is counted. Of each camera one picture at most is on its way, so that few of
//! a pipeline's buffers are held.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use crossbeam_channel::{Receiver, Sender};

use super::Counters;
use crate::{
    frame::CameraId,
    inspected::{Inspected, Onlooker},
    record::Record,
    verdict::Decision,
};

/// Rejects that may wait for their pictures. Each holds a buffer of its pipeline, of which a camera has few.
const REJECTS_WAITING: usize = 4;
/// What may be told between two ticks: a thousand verdicts a second, where one comes every second.
const TOLD_WAITING: usize = 1024;

/// One verdict of a product's trend.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    /// The camera's index.
    pub(super) camera: usize,
    pub(super) product: Arc<str>,
    pub(super) epoch: u64,
    pub(super) frame: u64,
    pub(super) time: SystemTime,
    pub(super) score: f32,
    pub(super) threshold: Option<f32>,
    pub(super) decision: Decision,
}

impl Point {
    /// `None` for a frame without a score: nobody judged it, or it resembles no product.
    fn of(camera: usize, record: &Record) -> Option<Self> {
        let Record { origin, verdict, .. } = record;
        let nearest = verdict.recognition.as_ref()?;
        Some(Self {
            camera,
            product: Arc::clone(&nearest.product),
            epoch: origin.epoch,
            frame: origin.frame,
            time: origin.time,
            score: verdict.score?,
            threshold: verdict.threshold,
            decision: verdict.decision,
        })
    }
}

/// What needs no picture.
#[derive(Debug)]
pub(super) enum Told {
    /// A verdict for the trend.
    Point(Point),
    /// A reject whose picture found no room.
    Bare(Box<Record>),
}

/// A frame that was handed over.
#[derive(Debug)]
pub(super) struct Shown {
    /// The camera's index.
    pub(super) camera: usize,
    /// The picture that was due.
    pub(super) is_due: bool,
    /// One of the rejects.
    pub(super) is_reject: bool,
    pub(super) inspected: Arc<Inspected>,
}

/// The other ends.
pub(super) struct Ends {
    /// Whether a picture of a camera is wanted: set by the thread `page`, taken by the engine's.
    pub(super) due: Arc<[AtomicBool]>,
    pub(super) told: Receiver<Told>,
    pub(super) pictures: Receiver<Shown>,
    pub(super) rejects: Receiver<Shown>,
}

/// The engine's end.
#[derive(Debug)]
pub struct Intake {
    cameras: Vec<CameraId>,
    counters: Arc<Counters>,
    due: Arc<[AtomicBool]>,
    told: Sender<Told>,
    pictures: Sender<Shown>,
    rejects: Sender<Shown>,
}

pub(super) fn open(cameras: &[CameraId], counters: Arc<Counters>) -> (Intake, Ends) {
    let due: Arc<[AtomicBool]> = cameras.iter().map(|_| AtomicBool::new(false)).collect();
    let (told, hears) = crossbeam_channel::bounded(TOLD_WAITING);
    let (pictures, for_clients) = crossbeam_channel::bounded(cameras.len().max(1));
    let (rejects, for_list) = crossbeam_channel::bounded(REJECTS_WAITING);
    let ends =
        Ends { due: Arc::clone(&due), told: hears, pictures: for_clients, rejects: for_list };
    (Intake { cameras: cameras.to_vec(), counters, due, told, pictures, rejects }, ends)
}

/// Whether a frame stands among the rejects.
pub(super) fn is_reject(record: &Record) -> bool {
    match record.verdict.decision {
        Decision::Fail | Decision::UnknownProduct => true,
        // What nobody judged has nothing to show beside its reason, which the state tells.
        Decision::Pass(_) | Decision::Fault => false,
    }
}

impl Intake {
    fn camera(&self, record: &Record) -> Option<usize> {
        self.cameras.iter().position(|id| id.0 == record.origin.camera)
    }

    fn tell(&self, told: Told) {
        if self.told.try_send(told).is_err() {
            self.counters.points_skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Onlooker for Intake {
    fn wants(&mut self, record: &Record) -> bool {
        let Some(camera) = self.camera(record) else { return false };
        if let Some(point) = Point::of(camera, record) {
            self.tell(Told::Point(point));
        }
        is_reject(record) || self.due[camera].load(Ordering::Acquire)
    }

    fn show(&mut self, inspected: &Arc<Inspected>) {
        let record = &inspected.record;
        let Some(camera) = self.camera(record) else { return };
        let (is_reject, is_due) =
            (is_reject(record), self.due[camera].swap(false, Ordering::AcqRel));
        let shown = Shown { camera, is_due, is_reject, inspected: Arc::clone(inspected) };
        if is_reject {
            if self.rejects.try_send(shown).is_err() {
                self.counters.rejects_skipped.fetch_add(1, Ordering::Relaxed);
                self.tell(Told::Bare(Box::new(record.clone())));
                // The next frame's, then.
                self.due[camera].store(is_due, Ordering::Release);
            }
        } else if is_due && self.pictures.try_send(shown).is_err() {
            self.counters.pictures_skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
