//! Plain JSON: one object a message, every field always there, absence as `null`.
//!
//! Pure. Owns the fields, which `docs/mqtt.md` lists; they have the names of verdict lines and of the ledger's export.
//! No picture is ever among them.

use std::time::SystemTime;

use serde::Serialize;

use super::{
    dialect::{Delivery, Dialect, Heard, Length, Message, cut},
    topic::{Identity, Topics},
};
use crate::{
    alarm::{self, Standing},
    frame::{CameraId, FrameId},
    ledger::outbox::{EventRow, GapRow, PartRow, Row, UnjudgedRow, VerdictRow},
    state::{Condition, Trouble},
};

/// Speaks JSON.
#[derive(Clone, Debug)]
pub struct Json {
    identity: Identity,
    topics: Topics,
}

impl Json {
    /// On topics that begin with `prefix`.
    pub fn new(prefix: &str, identity: Identity) -> Self {
        Self { topics: Topics::new(prefix, &identity), identity }
    }

    fn status(&self, is_online: bool) -> Message {
        let body = Status { is_online };
        self.message(self.topics.station("status"), Delivery::Retained, &body)
    }

    fn message<T: Serialize>(&self, topic: String, delivery: Delivery, body: &T) -> Message {
        let Identity { site, device } = &self.identity;
        let whole = Whole { site: site.as_str(), device: device.as_str(), body };
        // Maps with string keys and plain values always have a JSON form.
        let payload = serde_json::to_vec(&whole).unwrap_or_default();
        Message { topic, payload, delivery }
    }

    fn written(&self, row: &Row, length: Length) -> Message {
        let camera = |camera: &str, what| self.topics.camera(camera, what);
        let acknowledged = Delivery::Acknowledged;
        match row {
            Row::Verdict(row) => self.message(
                camera(&row.camera, "verdict"),
                acknowledged,
                &Verdict::of(row, length),
            ),
            Row::Unjudged(row) => {
                let body = Unjudged::of(row, length);
                self.message(camera(&row.camera, "unjudged"), acknowledged, &body)
            }
            Row::Part(row) => {
                self.message(camera(&row.camera, "part"), acknowledged, &OfFrames::of(row, length))
            }
            Row::Gap(row) => {
                let topic = match &row.lane {
                    Some((camera, _)) => self.topics.camera(camera, "gap"),
                    None => self.topics.station("gap"),
                };
                self.message(topic, acknowledged, &Gap::of(row))
            }
            Row::Event(row) => {
                self.message(self.topics.station("event"), acknowledged, &Event::of(row, length))
            }
        }
    }
}

impl Dialect for Json {
    fn will(&mut self, _now: SystemTime) -> Message {
        self.status(false)
    }

    fn subscriptions(&self) -> Vec<String> {
        Vec::new()
    }

    fn waits_for_host(&self) -> bool {
        false
    }

    fn greeting(&mut self, condition: &Condition, now: SystemTime) -> Vec<Message> {
        let mut messages = vec![self.status(true)];
        messages.extend(self.state(condition, now));
        messages
    }

    fn row(&mut self, row: &Row, length: Length, _now: SystemTime) -> Option<Vec<Message>> {
        let (Length::Whole(bytes_max) | Length::Short(bytes_max)) = length;
        let message = self.written(row, length);
        (message.packet_bytes() <= bytes_max).then(|| vec![message])
    }

    fn state(&mut self, condition: &Condition, now: SystemTime) -> Vec<Message> {
        let time = rfc3339(now);
        let state =
            Stands { time: &time, state: condition.state().name(), mode: condition.mode.name() };
        let alarms = condition.troubles.iter().map(Alarm::of).collect();
        let alarms = Alarms { time: &time, alarms };
        vec![
            self.message(self.topics.station("state"), Delivery::Retained, &state),
            self.message(self.topics.station("alarms"), Delivery::Retained, &alarms),
        ]
    }

    fn heard(&mut self, _topic: &str, _payload: &[u8]) -> Heard {
        Heard::Nothing
    }

    fn farewell(&mut self, _now: SystemTime) -> Vec<Message> {
        vec![self.status(false)]
    }
}

#[derive(Serialize)]
struct Whole<'a, T> {
    site: &'a str,
    device: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
struct Status {
    #[serde(rename = "online")]
    is_online: bool,
}

#[derive(Serialize)]
struct Stands<'a> {
    time: &'a str,
    state: &'a str,
    mode: &'a str,
}

#[derive(Serialize)]
struct Alarms<'a> {
    time: &'a str,
    alarms: Vec<Alarm>,
}

#[derive(Serialize)]
struct Alarm {
    id: String,
    text: String,
    remedy: &'static str,
    since: String,
    acknowledged_by: Option<String>,
}

impl Alarm {
    fn of((trouble, standing): (&Trouble, &Standing)) -> Self {
        Self {
            id: alarm::id(trouble),
            text: alarm::text(trouble),
            remedy: alarm::remedy(trouble),
            since: rfc3339(standing.since),
            acknowledged_by: standing.acknowledged.as_ref().map(|by| by.who.clone()),
        }
    }
}

#[derive(Serialize)]
struct Verdict<'a> {
    id: String,
    camera: &'a str,
    epoch: u64,
    frame: u64,
    origin: Option<String>,
    time: String,
    decision: &'a str,
    product: Option<&'a str>,
    distance: Option<f64>,
    radius: Option<f64>,
    score: Option<f64>,
    p_value: Option<f64>,
    threshold: Option<f64>,
    reject_rate: f64,
    unrated: bool,
    model: &'a str,
    model_version: &'a str,
    model_sha256: &'a str,
    latency_ms: f64,
    inference_ms: Option<f64>,
    reason: Option<String>,
    shortened: bool,
}

impl<'a> Verdict<'a> {
    fn of(row: &'a VerdictRow, length: Length) -> Self {
        let origin = row.file.as_deref().map(|file| cut(file, length));
        let reason = row.reason.as_deref().map(|reason| cut(reason, length));
        Self {
            id: frame_id(&row.camera, row.epoch, row.number),
            camera: &row.camera,
            epoch: row.epoch,
            frame: row.number,
            shortened: is_cut(origin.as_ref()) || is_cut(reason.as_ref()),
            origin: origin.map(|(text, _)| text),
            time: rfc3339(row.time),
            decision: &row.decision,
            product: row.product.as_deref(),
            distance: row.distance,
            radius: row.radius,
            score: row.score,
            p_value: row.p_value,
            threshold: row.threshold,
            reject_rate: row.reject_rate,
            unrated: row.unrated,
            model: &row.model.name,
            model_version: &row.model.version,
            model_sha256: &row.model.sha256,
            latency_ms: millis(row.latency_us),
            inference_ms: row.inference_us.map(millis),
            reason: reason.map(|(text, _)| text),
        }
    }
}

#[derive(Serialize)]
struct Unjudged<'a> {
    id: String,
    camera: &'a str,
    epoch: u64,
    first_frame: u64,
    last_frame: u64,
    frames: u64,
    time: String,
    disposition: &'a str,
    reason: String,
    shortened: bool,
}

impl<'a> Unjudged<'a> {
    fn of(row: &'a UnjudgedRow, length: Length) -> Self {
        let (reason, shortened) = cut(&row.reason, length);
        Self {
            id: frame_id(&row.camera, row.epoch, row.first),
            camera: &row.camera,
            epoch: row.epoch,
            first_frame: row.first,
            last_frame: row.last,
            frames: row.last - row.first + 1,
            time: rfc3339(row.time),
            disposition: &row.disposition,
            reason,
            shortened,
        }
    }
}

#[derive(Serialize)]
struct OfFrames<'a> {
    id: String,
    camera: &'a str,
    epoch: u64,
    part: u64,
    parts: u64,
    first_frame: u64,
    last_frame: u64,
    time: String,
    decision: &'a str,
    product: Option<&'a str>,
    passed: u32,
    failed: u32,
    unknown: u32,
    faulted: u32,
    missing: u32,
    reject_rate_bound: Option<f64>,
    unrated: bool,
    model: &'a str,
    model_version: &'a str,
    model_sha256: &'a str,
    reason: Option<String>,
    shortened: bool,
}

impl<'a> OfFrames<'a> {
    fn of(row: &'a PartRow, length: Length) -> Self {
        let [passed, failed, unknown, faulted, missing] = row.counts;
        let reason = row.reason.as_deref().map(|reason| cut(reason, length));
        Self {
            id: frame_id(&row.camera, row.epoch, row.first),
            camera: &row.camera,
            epoch: row.epoch,
            part: row.part,
            parts: row.parts,
            first_frame: row.first,
            last_frame: row.last,
            time: rfc3339(row.time),
            decision: &row.decision,
            product: row.product.as_deref(),
            passed,
            failed,
            unknown,
            faulted,
            missing,
            reject_rate_bound: row.reject_rate_bound,
            unrated: row.unrated,
            model: &row.model.name,
            model_version: &row.model.version,
            model_sha256: &row.model.sha256,
            shortened: is_cut(reason.as_ref()),
            reason: reason.map(|(text, _)| text),
        }
    }
}

#[derive(Serialize)]
struct Gap<'a> {
    id: String,
    camera: Option<&'a str>,
    epoch: Option<u64>,
    first: u64,
    last: u64,
    reason: &'static str,
}

/// Why there is a gap.
pub(super) const GAP_REASON: &str = "no longer kept when it could have been sent";

impl<'a> Gap<'a> {
    fn of(GapRow { lane, first, last }: &'a GapRow) -> Self {
        let id = match lane {
            // Told again it may be longer, and is no duplicate then.
            Some((camera, epoch)) => format!("{}-{last}", frame_id(camera, *epoch, *first)),
            None => format!("event/{first}-{last}"),
        };
        Self {
            id,
            camera: lane.as_ref().map(|(camera, _)| &**camera),
            epoch: lane.as_ref().map(|(_, epoch)| *epoch),
            first: *first,
            last: *last,
            reason: GAP_REASON,
        }
    }
}

#[derive(Serialize)]
struct Event<'a> {
    id: String,
    time: String,
    kind: &'a str,
    who: &'a str,
    subject: &'a str,
    detail: String,
    shortened: bool,
}

impl<'a> Event<'a> {
    fn of(row: &'a EventRow, length: Length) -> Self {
        let (detail, shortened) = cut(&row.detail, length);
        Self {
            id: event_id(row),
            time: rfc3339(row.time),
            kind: &row.kind,
            who: &row.who,
            subject: &row.subject,
            detail,
            shortened,
        }
    }
}

fn is_cut(text: Option<&(String, bool)>) -> bool {
    text.is_some_and(|(_, is_cut)| *is_cut)
}

/// By which a frame is known everywhere; of a run or a part, its first one.
pub(super) fn frame_id(camera: &str, epoch: u64, number: u64) -> String {
    FrameId { camera: CameraId(camera.into()), epoch, number }.to_string()
}

/// A new ledger counts its events from 1 again: their time belongs to their name.
pub(super) fn event_id(row: &EventRow) -> String {
    format!("{}/{}", rfc3339(row.time), row.id)
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

/// Milliseconds, of microseconds.
pub(super) fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::{
        ledger::outbox::ModelRow,
        mqtt::topic::Level,
        state::{Event as Happened, Trouble},
    };

    fn json() -> Json {
        let level = |text: &str| Level::new(text).unwrap();
        Json::new("sightline", Identity { site: level("plant"), device: level("line-1") })
    }

    fn verdict(reason: &str) -> Row {
        Row::Verdict(Box::new(VerdictRow {
            camera: "top".into(),
            epoch: 7,
            number: 3,
            time: UNIX_EPOCH,
            decision: "fault".into(),
            product: None,
            distance: None,
            radius: None,
            score: None,
            p_value: None,
            threshold: None,
            reject_rate: 0.01,
            unrated: false,
            model: ModelRow { name: "demo".into(), version: "1".into(), sha256: "ab".into() },
            latency_us: 1_500,
            inference_us: None,
            file: None,
            reason: Some(reason.into()),
        }))
    }

    fn rows() -> [Row; 5] {
        let camera = "top".into();
        let (first, last, time) = (4, 6, UNIX_EPOCH);
        let (disposition, reason) = ("dropped".into(), "queue full".into());
        let run = UnjudgedRow { camera, epoch: 7, first, last, disposition, reason, time };
        let part = PartRow {
            camera: "top".into(),
            epoch: 7,
            part: 1,
            parts: 1,
            first,
            last,
            time,
            decision: "pass".into(),
            product: Some("cap".into()),
            model: ModelRow::default(),
            counts: [2, 0, 0, 0, 1],
            reject_rate_bound: Some(0.02),
            unrated: false,
            reason: None,
        };
        let text = |text: &str| text.to_owned();
        let (kind, who) = (text("started"), text("sightline"));
        let (subject, detail) = (text("station"), text("demo 1"));
        let event = EventRow { id: 9, time, kind, who, subject, detail };
        let gap = GapRow { lane: Some(("top".into(), 7)), first: 1, last: 2 };
        [
            verdict("decode"),
            Row::Unjudged(run),
            Row::Part(Box::new(part)),
            Row::Gap(gap),
            Row::Event(event),
        ]
    }

    #[test]
    fn every_field_is_documented_and_every_row_has_a_name() {
        let page = include_str!("../../docs/mqtt.md");
        let mut json = json();
        let alarmed = Condition::starting(1).next(Happened::Begins(Trouble::Ledger), UNIX_EPOCH);
        let mut messages = json.greeting(&alarmed, UNIX_EPOCH);
        for row in rows() {
            let told = json.row(&row, Length::Whole(65_536), UNIX_EPOCH).unwrap();
            let body: serde_json::Value = serde_json::from_slice(&told[0].payload).unwrap();
            assert!(body["id"].as_str().is_some_and(|id| id.contains('/')), "{body}");
            if let Row::Gap(_) = row {
                assert_eq!(body["id"], "top/7/1-2");
            }
            messages.extend(told);
        }
        for message in messages {
            let what = message.topic.rsplit('/').next().unwrap();
            assert!(page.contains(&format!("/{what}` |")), "docs/mqtt.md lacks the topic {what}");
            let body: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            for field in body.as_object().unwrap().keys() {
                assert!(page.contains(&format!("| `{field}` |")), "docs/mqtt.md lacks {field}");
            }
        }
    }

    #[test]
    fn a_long_reason_is_cut_where_the_message_would_be_too_large() {
        let (mut json, long) = (json(), verdict(&"x".repeat(5_000)));
        assert_eq!(json.row(&long, Length::Whole(1_100), UNIX_EPOCH), None);
        let told = json.row(&long, Length::Short(1_100), UNIX_EPOCH).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&told[0].payload).unwrap();
        assert_eq!(body["shortened"], true);
        assert_eq!(body["id"], "top/7/3");
        // Nothing is so short, and that is said.
        assert_eq!(json.row(&long, Length::Short(100), UNIX_EPOCH), None);
        assert_eq!(json.will(UNIX_EPOCH).delivery, Delivery::Retained);
    }
}
