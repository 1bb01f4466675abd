//! Sparkplug B: the site is the group, the station the edge node, each camera a device.
//!
//! Pure. Owns topics, metrics and the two counters of Sparkplug 3.0: `seq`, which counts what a session publishes, and
//! `bdSeq`, which joins a birth to the death in the will. Messages are those of its Protobuf schema, as far as they are
//! spoken here. What differs from the specification, and why, is in `docs/mqtt.md`.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use prost::Message as _;
use serde::Deserialize;

use super::{
    dialect::{Delivery, Dialect, Heard, Length, Message, cut},
    json::{event_id, frame_id, millis},
    topic::{Identity, Level},
};
use crate::{
    alarm,
    ledger::outbox::{EventRow, GapRow, PartRow, Row, UnjudgedRow, VerdictRow},
    state::Condition,
};

const NAMESPACE: &str = "spBv1.0";
/// What a host writes to have every birth told again.
const REBIRTH: &str = "Node Control/Rebirth";
const BD_SEQ: &str = "bdSeq";

/// A message's body.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Payload {
    /// Milliseconds since 1970.
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    pub seq: Option<u64>,
}

/// A named value.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metric {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub datatype: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    pub is_historical: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub is_null: Option<bool>,
    #[prost(uint64, optional, tag = "11")]
    pub long: Option<u64>,
    #[prost(double, optional, tag = "13")]
    pub double: Option<f64>,
    #[prost(bool, optional, tag = "14")]
    pub boolean: Option<bool>,
    #[prost(string, optional, tag = "15")]
    pub text: Option<String>,
}

/// A value of one of the types that are used, or its absence.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Long(Option<u64>),
    Signed(i64),
    Double(Option<f64>),
    Boolean(Option<bool>),
    Text(Option<String>),
}

impl Value {
    /// The number of its type.
    const fn datatype(&self) -> u32 {
        match self {
            Self::Signed(_) => 4,
            Self::Long(_) => 8,
            Self::Double(_) => 10,
            Self::Boolean(_) => 11,
            Self::Text(_) => 12,
        }
    }

    fn metric(self, name: &str, time: SystemTime) -> Metric {
        let mut metric = Metric {
            name: Some(name.into()),
            timestamp: Some(since_1970(time)),
            datatype: Some(self.datatype()),
            ..Metric::default()
        };
        match self {
            Self::Long(value) => metric.long = value,
            // Two's complement, as the schema wants it.
            Self::Signed(value) => metric.long = Some(value.cast_unsigned()),
            Self::Double(value) => metric.double = value,
            Self::Boolean(value) => metric.boolean = value,
            Self::Text(value) => metric.text = value,
        }
        let Metric { long, double, boolean, text, .. } = &metric;
        let is_null = long.is_none() && double.is_none() && boolean.is_none() && text.is_none();
        metric.is_null = is_null.then_some(true);
        metric
    }
}

type Named = (&'static str, Value);

/// Speaks Sparkplug B.
#[derive(Clone, Debug)]
pub struct Sparkplug {
    identity: Identity,
    host: Option<Level>,
    cameras: Vec<Arc<str>>,
    bd_seq: u8,
    seq: u8,
    /// When this connection's first birth was told: what is older was stored. None before that.
    began: Option<SystemTime>,
    /// What the host last said of itself was said then, in milliseconds since 1970.
    host_at: u64,
    /// The devices that this session has introduced.
    born: BTreeSet<Arc<str>>,
}

impl Sparkplug {
    /// A node with a device for each camera; `start` tells sessions of different processes apart.
    pub fn new(
        identity: Identity,
        cameras: Vec<Arc<str>>,
        host: Option<Level>,
        start: SystemTime,
    ) -> Self {
        // Counted on from a number that the process before is unlikely to have had.
        let bd_seq = u8::try_from(since_1970(start) / 1_000 % 256).unwrap_or(0);
        let (seq, born) = (0, BTreeSet::new());
        Self { identity, host, cameras, bd_seq, seq, began: None, host_at: 0, born }
    }

    fn topic(&self, kind: &str, device: Option<&str>) -> String {
        let Identity { site, device: node } = &self.identity;
        let device = device.map_or(String::new(), |device| format!("/{device}"));
        format!("{NAMESPACE}/{site}/{kind}/{node}{device}")
    }

    /// A message that counts.
    fn counted(
        &mut self,
        kind: &str,
        device: Option<&str>,
        metrics: Vec<Metric>,
        now: SystemTime,
    ) -> Message {
        let is_birth = matches!(kind, "NBIRTH" | "DBIRTH");
        let payload =
            Payload { timestamp: Some(since_1970(now)), metrics, seq: Some(u64::from(self.seq)) };
        self.seq = self.seq.wrapping_add(1);
        Message {
            topic: self.topic(kind, device),
            payload: payload.encode_to_vec(),
            delivery: if is_birth { Delivery::Once } else { Delivery::Acknowledged },
        }
    }

    fn death(&self, now: SystemTime) -> Message {
        let bd_seq = Value::Signed(i64::from(self.bd_seq)).metric(BD_SEQ, now);
        let payload =
            Payload { timestamp: Some(since_1970(now)), metrics: vec![bd_seq], seq: None };
        Message {
            topic: self.topic("NDEATH", None),
            payload: payload.encode_to_vec(),
            delivery: Delivery::Acknowledged,
        }
    }

    fn birth_of(&mut self, camera: &Arc<str>, now: SystemTime) -> Message {
        self.born.insert(Arc::clone(camera));
        let metrics = camera_metrics().map(|(name, value)| value.metric(name, now)).collect();
        self.counted("DBIRTH", Some(camera), metrics, now)
    }

    /// The camera that a row is of, what it says, and when that was so.
    fn said(
        row: &Row,
        length: Length,
        now: SystemTime,
    ) -> (Option<Arc<str>>, Vec<Named>, SystemTime) {
        match row {
            Row::Verdict(row) => (Some(Arc::clone(&row.camera)), verdict(row, length), row.time),
            Row::Unjudged(row) => (Some(Arc::clone(&row.camera)), unjudged(row, length), row.time),
            Row::Part(row) => (Some(Arc::clone(&row.camera)), part(row, length), row.time),
            Row::Gap(row @ GapRow { lane, .. }) => {
                (lane.as_ref().map(|(camera, _)| Arc::clone(camera)), gap(row), now)
            }
            Row::Event(row) => (None, event(row, length), row.time),
        }
    }
}

impl Dialect for Sparkplug {
    fn will(&mut self, now: SystemTime) -> Message {
        self.bd_seq = self.bd_seq.wrapping_add(1);
        (self.began, self.host_at) = (None, 0);
        self.born.clear();
        self.death(now)
    }

    fn subscriptions(&self) -> Vec<String> {
        let state = self.host.as_ref().map(|host| format!("{NAMESPACE}/STATE/{host}"));
        [self.topic("NCMD", None)].into_iter().chain(state).collect()
    }

    fn waits_for_host(&self) -> bool {
        self.host.is_some()
    }

    fn greeting(&mut self, condition: &Condition, now: SystemTime) -> Vec<Message> {
        self.seq = 0;
        self.began.get_or_insert(now);
        let mut metrics = vec![
            Value::Signed(i64::from(self.bd_seq)).metric(BD_SEQ, now),
            Value::Boolean(Some(false)).metric(REBIRTH, now),
        ];
        let version = Value::Text(Some(env!("CARGO_PKG_VERSION").into()));
        metrics.push(version.metric("Properties/Sightline Version", now));
        metrics.extend(state(condition).into_iter().map(|(name, value)| value.metric(name, now)));
        metrics.extend(node_metrics().map(|(name, value)| value.metric(name, now)));
        let mut messages = vec![self.counted("NBIRTH", None, metrics, now)];
        // Those that were born in this session, too, whose numberings come from an earlier configuration.
        let cameras: BTreeSet<_> = self.cameras.iter().chain(&self.born).cloned().collect();
        messages.extend(cameras.iter().map(|camera| self.birth_of(camera, now)));
        messages
    }

    fn row(&mut self, row: &Row, length: Length, now: SystemTime) -> Option<Vec<Message>> {
        let (camera, said, time) = Self::said(row, length, now);
        let is_historical = self.began.is_some_and(|began| time < began).then_some(true);
        let metrics = said
            .into_iter()
            .map(|(name, value)| Metric { is_historical, ..value.metric(name, time) });
        let metrics: Vec<Metric> = metrics.collect();
        // Nothing is counted for a message that is not sent.
        let mut next = self.clone();
        let mut messages = Vec::new();
        if let Some(camera) = &camera
            && !next.born.contains(camera)
        {
            messages.push(next.birth_of(camera, now));
        }
        let kind = if camera.is_some() { "DDATA" } else { "NDATA" };
        messages.push(next.counted(kind, camera.as_deref(), metrics, now));
        let (Length::Whole(bytes_max) | Length::Short(bytes_max)) = length;
        if messages.iter().any(|message| message.packet_bytes() > bytes_max) {
            return None;
        }
        *self = next;
        Some(messages)
    }

    fn state(&mut self, condition: &Condition, now: SystemTime) -> Vec<Message> {
        let metrics = state(condition).into_iter().map(|(name, value)| value.metric(name, now));
        let metrics = metrics.collect();
        vec![self.counted("NDATA", None, metrics, now)]
    }

    fn heard(&mut self, topic: &str, payload: &[u8]) -> Heard {
        if topic == self.topic("NCMD", None) {
            // What is no command is none of ours.
            let Ok(command) = Payload::decode(payload) else { return Heard::Nothing };
            let is_rebirth = |metric: &Metric| {
                metric.name.as_deref() == Some(REBIRTH) && metric.boolean == Some(true)
            };
            return if command.metrics.iter().any(is_rebirth) {
                Heard::Greet
            } else {
                Heard::Nothing
            };
        }
        let is_host = self
            .host
            .as_ref()
            .is_some_and(|host| topic.strip_prefix(NAMESPACE) == Some(&format!("/STATE/{host}")));
        match serde_json::from_slice(payload) {
            // The newest stands: a broker may give an older one again.
            Ok(HostState { online, timestamp }) if is_host && timestamp >= self.host_at => {
                self.host_at = timestamp;
                Heard::Host { is_online: online }
            }
            Ok(_) | Err(_) => Heard::Nothing,
        }
    }

    fn farewell(&mut self, now: SystemTime) -> Vec<Message> {
        vec![self.death(now)]
    }
}

/// What a host application says of itself.
#[derive(Deserialize)]
struct HostState {
    online: bool,
    /// Milliseconds since 1970; older hosts do not say it.
    #[serde(default)]
    timestamp: u64,
}

fn text(text: &str) -> Value {
    Value::Text(Some(text.into()))
}

fn short(text: &str, length: Length) -> Value {
    Value::Text(Some(cut(text, length).0))
}

fn state(condition: &Condition) -> Vec<Named> {
    let alarms: Vec<_> = condition.troubles.keys().map(alarm::id).collect();
    vec![
        ("state", text(condition.state().name())),
        ("mode", text(condition.mode.name())),
        ("alarms", Value::Text(Some(alarms.join(",")))),
    ]
}

fn verdict(row: &VerdictRow, length: Length) -> Vec<Named> {
    let optional =
        |text: &Option<String>| Value::Text(text.as_deref().map(|text| cut(text, length).0));
    vec![
        ("id", Value::Text(Some(frame_id(&row.camera, row.epoch, row.number)))),
        ("epoch", Value::Long(Some(row.epoch))),
        ("frame", Value::Long(Some(row.number))),
        ("origin", optional(&row.file)),
        ("decision", text(&row.decision)),
        ("product", optional(&row.product)),
        ("distance", Value::Double(row.distance)),
        ("radius", Value::Double(row.radius)),
        ("score", Value::Double(row.score)),
        ("p_value", Value::Double(row.p_value)),
        ("threshold", Value::Double(row.threshold)),
        ("reject_rate", Value::Double(Some(row.reject_rate))),
        ("unrated", Value::Boolean(Some(row.unrated))),
        ("model", text(&row.model.name)),
        ("model_version", text(&row.model.version)),
        ("model_sha256", text(&row.model.sha256)),
        ("latency_ms", Value::Double(Some(millis(row.latency_us)))),
        ("inference_ms", Value::Double(row.inference_us.map(millis))),
        ("reason", optional(&row.reason)),
    ]
}

fn unjudged(row: &UnjudgedRow, length: Length) -> Vec<Named> {
    vec![
        ("unjudged/id", Value::Text(Some(frame_id(&row.camera, row.epoch, row.first)))),
        ("unjudged/first_frame", Value::Long(Some(row.first))),
        ("unjudged/last_frame", Value::Long(Some(row.last))),
        ("unjudged/disposition", text(&row.disposition)),
        ("unjudged/reason", short(&row.reason, length)),
    ]
}

fn part(row: &PartRow, length: Length) -> Vec<Named> {
    let count = |index: usize| Value::Long(row.counts.get(index).copied().map(u64::from));
    vec![
        ("part/id", Value::Text(Some(frame_id(&row.camera, row.epoch, row.first)))),
        ("part/part", Value::Long(Some(row.part))),
        ("part/parts", Value::Long(Some(row.parts))),
        ("part/first_frame", Value::Long(Some(row.first))),
        ("part/last_frame", Value::Long(Some(row.last))),
        ("part/decision", text(&row.decision)),
        ("part/product", Value::Text(row.product.clone())),
        ("part/passed", count(0)),
        ("part/failed", count(1)),
        ("part/unknown", count(2)),
        ("part/faulted", count(3)),
        ("part/missing", count(4)),
        ("part/reject_rate_bound", Value::Double(row.reject_rate_bound)),
        ("part/unrated", Value::Boolean(Some(row.unrated))),
        ("part/reason", Value::Text(row.reason.as_deref().map(|text| cut(text, length).0))),
    ]
}

fn gap(GapRow { lane, first, last }: &GapRow) -> Vec<Named> {
    let bounds = [("gap/first", Value::Long(Some(*first))), ("gap/last", Value::Long(Some(*last)))];
    let epoch = lane.as_ref().map(|(_, epoch)| ("gap/epoch", Value::Long(Some(*epoch))));
    bounds.into_iter().chain(epoch).collect()
}

fn event(row: &EventRow, length: Length) -> Vec<Named> {
    vec![
        ("event/id", Value::Text(Some(event_id(row)))),
        ("event/kind", text(&row.kind)),
        ("event/who", text(&row.who)),
        ("event/subject", text(&row.subject)),
        ("event/detail", short(&row.detail, length)),
    ]
}

/// What a node may say besides how it is; nothing yet.
fn node_metrics() -> impl Iterator<Item = Named> {
    let long = ["gap/first", "gap/last"].map(|name| (name, Value::Long(None)));
    let text = ["event/id", "event/kind", "event/who", "event/subject", "event/detail"];
    long.into_iter().chain(text.map(|name| (name, Value::Text(None))))
}

/// What a camera may say; nothing yet.
fn camera_metrics() -> impl Iterator<Item = Named> {
    let long = [
        "epoch",
        "frame",
        "unjudged/first_frame",
        "unjudged/last_frame",
        "part/part",
        "part/parts",
        "part/first_frame",
        "part/last_frame",
        "part/passed",
        "part/failed",
        "part/unknown",
        "part/faulted",
        "part/missing",
        "gap/first",
        "gap/last",
        "gap/epoch",
    ];
    let double = [
        "distance",
        "radius",
        "score",
        "p_value",
        "threshold",
        "reject_rate",
        "latency_ms",
        "inference_ms",
        "part/reject_rate_bound",
    ];
    let text = [
        "id",
        "origin",
        "decision",
        "product",
        "model",
        "model_version",
        "model_sha256",
        "reason",
        "unjudged/id",
        "unjudged/disposition",
        "unjudged/reason",
        "part/id",
        "part/decision",
        "part/product",
        "part/reason",
    ];
    let boolean = ["unrated", "part/unrated"];
    let long = long.map(|name| (name, Value::Long(None)));
    let double = double.map(|name| (name, Value::Double(None)));
    let boolean = boolean.map(|name| (name, Value::Boolean(None)));
    let text = text.map(|name| (name, Value::Text(None)));
    long.into_iter().chain(double).chain(boolean).chain(text)
}

/// Milliseconds since 1970.
fn since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ledger::outbox::EventRow;

    fn level(text: &str) -> Level {
        Level::new(text).unwrap()
    }

    fn sparkplug() -> Sparkplug {
        let identity = Identity { site: level("plant"), device: level("line-1") };
        Sparkplug::new(identity, Vec::new(), Some(level("scada")), UNIX_EPOCH)
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_judged_while_a_host_was_waited_for_is_history() {
        let mut sparkplug = sparkplug();
        sparkplug.will(at(10));
        // The host comes a minute after the connection.
        sparkplug.greeting(&Condition::starting(0), at(70));
        let is_historical = |sparkplug: &mut Sparkplug, seconds| {
            let [kind, who, subject, detail] = ["started", "ann", "line", ""].map(String::from);
            let row = Row::Event(EventRow { id: 1, time: at(seconds), kind, who, subject, detail });
            let told = sparkplug.row(&row, Length::Whole(65_536), at(200)).unwrap();
            let payload = Payload::decode(&*told.last().unwrap().payload).unwrap();
            payload.metrics.iter().all(|metric| metric.is_historical == Some(true))
        };
        assert!(is_historical(&mut sparkplug, 30));
        assert!(!is_historical(&mut sparkplug, 80));
        // Births that are asked for again begin no session.
        sparkplug.greeting(&Condition::starting(0), at(90));
        assert!(!is_historical(&mut sparkplug, 80));
        sparkplug.will(at(100));
        sparkplug.greeting(&Condition::starting(0), at(110));
        assert!(is_historical(&mut sparkplug, 80));
    }

    #[test]
    fn the_newest_word_of_a_host_stands() {
        let mut sparkplug = sparkplug();
        let mut says = |text: &str| sparkplug.heard("spBv1.0/STATE/scada", text.as_bytes());
        let host = |is_online| Heard::Host { is_online };
        assert_eq!(says(r#"{"online":true,"timestamp":5}"#), host(true));
        assert_eq!(says(r#"{"online":false,"timestamp":4}"#), Heard::Nothing);
        assert_eq!(says(r#"{"online":false,"timestamp":5}"#), host(false));
        assert_eq!(says("offline"), Heard::Nothing);
        assert_eq!(says(r#"{"online":true,"timestamp":6}"#), host(true));
        let other = sparkplug.heard("spBv1.0/STATE/other", br#"{"online":false,"timestamp":7}"#);
        assert_eq!(other, Heard::Nothing);
    }
}
