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

/// One verdict, as a trend and a page's row of the last parts have it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    /// The camera's index.
    pub(super) camera: usize,
    /// `None` for a part of no known product, and for one that nobody judged.
    pub(super) product: Option<Arc<str>>,
    pub(super) epoch: u64,
    pub(super) frame: u64,
    pub(super) time: SystemTime,
    pub(super) score: Option<f32>,
    pub(super) threshold: Option<f32>,
    pub(super) decision: Decision,
}

impl Point {
    fn of(camera: usize, record: &Record) -> Self {
        let Record { origin, verdict, .. } = record;
        let product = match verdict.decision {
            Decision::Pass(_) | Decision::Fail => {
                verdict.recognition.as_ref().map(|nearest| Arc::clone(&nearest.product))
            }
            Decision::UnknownProduct | Decision::Fault => None,
        };
        Self {
            camera,
            product,
            epoch: origin.epoch,
            frame: origin.frame,
            time: origin.time,
            score: verdict.score,
            threshold: verdict.threshold,
            decision: verdict.decision,
        }
    }
}

/// What needs no picture.
#[derive(Debug)]
pub(super) enum Told {
    /// A verdict.
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
    /// The thread `page` has ended by itself.
    is_lost: bool,
}

pub(super) fn open(cameras: &[CameraId], counters: Arc<Counters>) -> (Intake, Ends) {
    let due: Arc<[AtomicBool]> = cameras.iter().map(|_| AtomicBool::new(false)).collect();
    let (told, hears) = crossbeam_channel::bounded(TOLD_WAITING);
    let (pictures, for_clients) = crossbeam_channel::bounded(cameras.len().max(1));
    let (rejects, for_list) = crossbeam_channel::bounded(REJECTS_WAITING);
    let ends =
        Ends { due: Arc::clone(&due), told: hears, pictures: for_clients, rejects: for_list };
    let cameras = cameras.to_vec();
    (Intake { cameras, counters, due, told, pictures, rejects, is_lost: false }, ends)
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

    fn tell(&mut self, told: Told) {
        if let Err(refused) = self.told.try_send(told) {
            self.is_lost |= refused.is_disconnected();
            self.counters.points_skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Onlooker for Intake {
    fn wants(&mut self, record: &Record) -> bool {
        let Some(camera) = self.camera(record) else { return false };
        self.tell(Told::Point(Point::of(camera, record)));
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
                if is_due {
                    // The next frame's, then. Only what was taken is given back: meanwhile one may have become due.
                    self.due[camera].store(true, Ordering::Release);
                }
            }
        } else if is_due && self.pictures.try_send(shown).is_err() {
            self.counters.pictures_skipped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_lost(&self) -> bool {
        self.is_lost
    }
}
