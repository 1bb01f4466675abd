//! The thread `page`: turns what the engine's thread hands over into events and pictures.
//!
//! Owns the tick: at each one it says of which cameras a picture is due, and puts into the trend what was told since.
//! A picture is made once, when its frame comes; a reject's, which is made anyhow, is shown as well. Must not know who gets it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crossbeam_channel::{Receiver, TryRecvError};
use serde::Serialize;

use super::{
    Facts, Live, event,
    intake::{Ends, Point, Shown, Told},
    lock,
    picture::{self, Picture},
    trend,
};
use crate::{
    frame::{CameraId, FrameId},
    machine::yield_to_others,
    record::Record,
};

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
    /// Rejects that came after their camera's picture: the line may stand still behind one, and it is what people look
    /// for then.
    newer: Vec<Option<(Record, Option<Picture>)>>,
}

impl Page {
    pub(super) fn new(live: Arc<Live>, ends: Ends) -> Self {
        let expected = vec![false; live.cameras.len()];
        let newer = live.cameras.iter().map(|_| None).collect();
        Self { live, ends, expected, newer }
    }

    /// Until the engine's thread has let go of its end.
    ///
    /// Nobody sleeps on its channels, for whoever sleeps there is woken under a lock, which the engine's thread would
    /// take: this thread looks, as often as `looks` says, and ticks after each `every`.
    pub(super) fn run(mut self, looks: &Receiver<Instant>, every: Duration) {
        yield_to_others("page");
        let mut next_tick = None;
        while let Ok(now) = looks.recv() {
            let is_over = self.look();
            if next_tick.is_none_or(|next| now >= next) {
                self.tick();
                next_tick = Some(now + every);
            }
            if is_over {
                break;
            }
        }
        self.hear();
    }

    /// Takes what was handed over, and no more than that: where rejects come faster than their pictures are made, a tick
    /// comes all the same. Whether nothing more will come.
    fn look(&mut self) -> bool {
        for _waiting in 0..self.ends.pictures.len() {
            let Ok(shown) = self.ends.pictures.try_recv() else { break };
            self.show(shown);
        }
        for _waiting in 0..self.ends.rejects.len() {
            let Ok(shown) = self.ends.rejects.try_recv() else { break };
            self.show(shown);
        }
        // Both lose their other end at once.
        match self.ends.rejects.try_recv() {
            Ok(shown) => {
                self.show(shown);
                false
            }
            Err(error) => error == TryRecvError::Disconnected,
        }
    }

    fn tick(&mut self) {
        self.hear();
        if !self.live.is_watched() {
            for (due, expected) in std::iter::zip(&*self.ends.due, &mut self.expected) {
                // Where the engine's thread has taken it already, the picture still comes.
                *expected &= !due.swap(false, Ordering::AcqRel);
            }
            self.newer.fill_with(|| None);
            lock(&self.live.feed).forget_pictures();
            return;
        }
        self.live.counters.ticks.fetch_add(1, Ordering::Relaxed);
        for (camera, newer) in self.newer.iter_mut().enumerate() {
            if let Some((record, picture)) = newer.take() {
                let event = picture_event(&record, picture.as_ref());
                lock(&self.live.feed).picture(camera, event);
                self.live.ring();
            }
        }
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
        for point in points {
            trend.add(point);
        }
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
        self.newer[camera] = None;
        if is_shown {
            lock(&self.live.feed).picture(camera, picture_event(&record, picture.as_ref()));
            self.live.ring();
        } else if self.live.is_watched() {
            self.newer[camera] = Some((record.clone(), picture.clone()));
        }
        if is_reject {
            self.reject(&record, picture);
        }
    }

    fn reject(&self, record: &Record, picture: Option<Picture>) {
        let origin = &record.origin;
        let frame = FrameId {
            camera: CameraId(Arc::clone(&origin.camera)),
            epoch: origin.epoch,
            number: origin.frame,
        };
        let row = lock(&self.live.rejects).add(frame, Facts::of(record), picture);
        self.live.tell_reject(&row);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::{
        inspected::Onlooker as _,
        live::{
            Guest, Intake, intake,
            tests::{Judged, judged},
        },
        verdict::Decision,
    };

    fn page(cameras: &[&str]) -> (Arc<Live>, Intake, Page) {
        let cameras = cameras.iter().map(|&name| CameraId(name.into())).collect();
        let live = Arc::new(Live::new(cameras));
        let (intake, ends) = intake::open(&live.cameras, Arc::clone(&live.counters));
        let page = Page::new(Arc::clone(&live), ends);
        (live, intake, page)
    }

    fn see(intake: &mut Intake, frame: &Arc<crate::inspected::Inspected>) {
        if intake.wants(&frame.record) {
            intake.show(frame);
        }
    }

    fn names(guest: &mut Guest) -> Vec<String> {
        let event = |bytes: bytes::Bytes| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.lines().next().unwrap().strip_prefix("event: ").unwrap().to_owned()
        };
        std::iter::from_fn(|| guest.next_event()).map(event).collect()
    }

    fn value(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    #[test]
    fn a_picture_is_made_once_for_all_who_watch_and_none_where_nobody_does() {
        let (live, mut intake, mut page) = page(&["top", "side"]);
        let good = |camera, frame| judged(&Judged { camera, frame, ..Judged::default() });
        let step = |intake: &mut Intake, page: &mut Page, frame| {
            page.tick();
            // A hundred frames for each tick.
            for frame in frame..frame + 50 {
                see(intake, &good("top", frame));
                see(intake, &good("side", frame));
            }
            assert!(!page.look());
        };
        step(&mut intake, &mut page, 1);
        assert_eq!((value(&live.counters.encodes), value(&live.counters.ticks)), (0, 0));
        let mut guests: Vec<Guest> = (0..3).map(|_| live.enter()).collect();
        for tick in 1..=3 {
            step(&mut intake, &mut page, 100 * tick);
            assert_eq!(value(&live.counters.encodes), 2 * tick);
            assert_eq!(value(&live.counters.ticks), tick);
        }
        // The first two looked away for three ticks: they get the newest.
        let [first, second] = [0, 1].map(|guest| {
            let events: Vec<_> = std::iter::from_fn(|| guests[guest].next_event()).collect();
            events.into_iter().filter(|event| event.starts_with(b"event: picture")).collect()
        });
        let (first, second): (Vec<bytes::Bytes>, Vec<_>) = (first, second);
        assert_eq!(first.len(), 2);
        for (one, other) in std::iter::zip(&first, &second) {
            assert_eq!(one.as_ptr(), other.as_ptr(), "they share its bytes");
            assert!(String::from_utf8_lossy(one).contains("\"frame\":300,"));
        }
        guests.clear();
        step(&mut intake, &mut page, 1_000);
        assert_eq!(value(&live.counters.encodes), 6);
        // Whoever comes then gets nothing that is old.
        assert_eq!(names(&mut live.enter()), [""; 0]);
        assert_eq!(value(&live.counters.pictures_skipped), 0);
    }

    #[test]
    fn a_reject_is_listed_with_its_picture_whoever_watches() {
        let (live, mut intake, mut page) = page(&["top"]);
        let fail = |frame| {
            let decision = Decision::Fail;
            judged(&Judged { frame, decision, ..Judged::default() })
        };
        see(&mut intake, &fail(7));
        page.look();
        let rows = live.rejects();
        let picture = rows[0].picture.as_deref();
        assert_eq!(picture, Some("/api/v1/rejects/top/1/7/frame.jpg"));
        assert_eq!(value(&live.counters.reject_encodes), 1);
        // Too many at once: every one has its row, the pictures of four of them find room.
        for frame in 10..20 {
            see(&mut intake, &fail(frame));
        }
        page.look();
        page.tick();
        let rows = live.rejects();
        assert_eq!(rows.len(), 11);
        assert_eq!(rows.iter().filter(|row| row.picture.is_some()).count(), 5);
        assert_eq!(value(&live.counters.rejects_skipped), 6);
        // Where one is due it is made once, for both.
        let mut guest = live.enter();
        page.tick();
        see(&mut intake, &fail(30));
        page.look();
        assert_eq!((value(&live.counters.encodes), value(&live.counters.reject_encodes)), (1, 5));
        assert_eq!(names(&mut guest), ["reject", "picture"]);
    }

    #[test]
    fn a_frame_that_cannot_be_shown_is_told_without_a_picture() {
        let (live, mut intake, mut page) = page(&["top"]);
        let mut guest = live.enter();
        page.tick();
        let unreadable = Judged { decision: Decision::Fault, picture: None, ..Judged::default() };
        see(&mut intake, &judged(&unreadable));
        page.look();
        let event = guest.next_event().unwrap();
        let text = String::from_utf8_lossy(&event);
        let json: serde_json::Value =
            serde_json::from_str(text.trim().split_once("data: ").unwrap().1).unwrap();
        assert_eq!(
            (&json["decision"], &json["jpeg"], &json["heat"]),
            (&"fault".into(), &().into(), &().into())
        );
        assert_eq!(json["words"], "Not judged: torn");
        assert_eq!(live.rejects().len(), 0);
    }

    #[test]
    fn the_thread_ends_with_the_engine_and_hears_what_was_told_last() {
        let cameras = vec![CameraId("top".into())];
        let (live, mut intake, thread) =
            Live::start(cameras, std::num::NonZeroU8::new(1).unwrap()).unwrap();
        for frame in 1..=10 {
            let failed = Judged { frame, decision: Decision::Fail, ..Judged::default() };
            see(&mut intake, &judged(&failed));
        }
        drop(intake);
        assert!(thread.join());
        let trend = live.trend("top").unwrap();
        assert_eq!(trend.matches("\"frame\":").count(), 10, "{trend}");
        assert_eq!(live.trend("none"), None);
    }
}
