//! The thread `page`: turns what the engine's thread hands over into events and pictures.
//!
//! Owns the tick: at each one it says of which cameras a picture is due, and puts into the trend what was told since.
//! A picture is made once, when its frame comes. Must not know who gets it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crossbeam_channel::{Receiver, select};
use serde::Serialize;

use super::{
    Facts, Live, event,
    intake::{Ends, Point, Shown, Told},
    lock,
    picture::{self, Picture},
    trend,
};
use crate::record::Record;

#[derive(Serialize)]
struct PictureJson {
    #[serde(flatten)]
    facts: Facts,
    latency_ms: f64,
    jpeg: Option<String>,
    heat: Option<String>,
}

pub(super) struct Page {
    live: Arc<Live>,
    ends: Ends,
    /// Of which cameras a picture is due or on its way.
    expected: Vec<bool>,
}

impl Page {
    pub(super) fn new(live: Arc<Live>, ends: Ends) -> Self {
        let expected = vec![false; live.cameras.len()];
        Self { live, ends, expected }
    }

    /// Until the engine's thread has let go of its end.
    pub(super) fn run(mut self, ticks: &Receiver<Instant>) {
        loop {
            select! {
                recv(self.ends.rejects) -> shown => match shown {
                    Ok(shown) => self.show(shown),
                    Err(_gone) => break,
                },
                recv(self.ends.pictures) -> shown => match shown {
                    Ok(shown) => self.show(shown),
                    Err(_gone) => break,
                },
                recv(ticks) -> _ => self.tick(),
            }
        }
        self.hear();
    }

    fn tick(&mut self) {
        self.hear();
        if !self.live.is_watched() {
            for (due, expected) in std::iter::zip(&*self.ends.due, &mut self.expected) {
                // Where the engine's thread has taken it already, the picture still comes.
                *expected &= !due.swap(false, Ordering::AcqRel);
            }
            lock(&self.live.feed).forget_pictures();
            return;
        }
        self.live.counters.ticks.fetch_add(1, Ordering::Relaxed);
        for (due, expected) in std::iter::zip(&*self.ends.due, &mut self.expected) {
            if !*expected {
                *expected = true;
                due.store(true, Ordering::Release);
            }
        }
    }

    /// Puts into the trend and the list what was told without a picture.
    fn hear(&mut self) {
        let mut points: Vec<Point> = Vec::new();
        let len = self.ends.told.len();
        for told in self.ends.told.try_iter().take(len) {
            match told {
                Told::Point(point) => points.push(point),
                Told::Bare(record) => self.reject(&record, None),
            }
        }
        if points.is_empty() {
            return;
        }
        if self.live.is_watched() {
            let json = trend::json(&points, |camera| {
                self.live.cameras.get(camera).map_or("", |id| &*id.0)
            });
            lock(&self.live.feed).passes(event("points", &json));
        }
        let mut trend = lock(&self.live.trend);
        points.into_iter().for_each(|point| trend.add(point));
        drop(trend);
        self.live.ring();
    }

    fn show(&mut self, shown: Shown) {
        let Shown { camera, is_due, is_reject, inspected } = shown;
        if is_due {
            self.expected[camera] = false;
        }
        let is_shown = is_due && self.live.is_watched();
        if !is_shown && !is_reject {
            return;
        }
        let counters = &self.live.counters;
        let picture = match picture::draw(&inspected) {
            Ok(picture) => {
                let encodes = if is_shown { &counters.encodes } else { &counters.reject_encodes };
                encodes.fetch_add(1, Ordering::Relaxed);
                Some(picture)
            }
            Err(why) => {
                tracing::debug!(frame = %inspected.frame.id, "it has no picture: {why}");
                counters.pictures_skipped.fetch_add(1, Ordering::Relaxed);
                None
            }
        };
        let record = inspected.record.clone();
        // Its pipeline has few buffers.
        drop(inspected);
        if is_shown {
            lock(&self.live.feed).picture(camera, picture_event(&record, picture.as_ref()));
            self.live.ring();
        }
        if is_reject {
            self.reject(&record, picture);
        }
    }

    fn reject(&self, record: &Record, picture: Option<Picture>) {
        let origin = &record.origin;
        let frame = crate::frame::FrameId {
            camera: crate::frame::CameraId(Arc::clone(&origin.camera)),
            epoch: origin.epoch,
            number: origin.frame,
        };
        let row = lock(&self.live.rejects).add(frame, Facts::of(record), picture);
        let json = serde_json::to_string(&row).unwrap_or_default();
        lock(&self.live.feed).passes(event("reject", &json));
        self.live.ring();
    }
}

fn picture_event(record: &Record, picture: Option<&Picture>) -> bytes::Bytes {
    let heat = picture.and_then(|picture| picture.heat.as_ref());
    let json = PictureJson {
        facts: Facts::of(record),
        latency_ms: record.origin.latency.as_secs_f64() * 1e3,
        jpeg: picture.map(|picture| STANDARD.encode(&picture.jpeg)),
        heat: heat.map(|heat| STANDARD.encode(heat)),
    };
    event("picture", &serde_json::to_string(&json).unwrap_or_default())
}
