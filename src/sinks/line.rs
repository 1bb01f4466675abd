//! One verdict, about a frame or about a part, as a line: JSON for programs, text for people.
//!
//! Owns the schema of `docs/verdict-lines.md`. Pure; absence is `null`, and every field is always there.

use std::time::Duration;

use serde::Serialize;

use crate::{
    judge::part::Counts,
    record::{ModelLabel, PartRecord, Record},
};

/// A line of standard output.
#[derive(Clone, Debug)]
pub enum Line {
    /// About a frame.
    Frame(Box<Record>),
    /// About a part, after the lines of its frames.
    Part(Box<PartRecord>),
}

impl Line {
    /// The line as a JSON object, without a newline.
    pub fn json(&self) -> String {
        match self {
            Self::Frame(record) => record.json(),
            Self::Part(record) => record.json(),
        }
    }

    /// The line for people, without a newline.
    pub fn text(&self) -> String {
        match self {
            Self::Frame(record) => record.text(),
            Self::Part(record) => record.text(),
        }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    camera: &'a str,
    epoch: u64,
    frame: u64,
    origin: Option<&'a str>,
    plc_part: Option<u32>,
    time: String,
    pts_seconds: Option<f64>,
    decision: &'static str,
    product: Option<&'a str>,
    distance: Option<f32>,
    radius: Option<f32>,
    score: Option<f32>,
    p_value: Option<f64>,
    threshold: Option<f32>,
    reject_rate: f64,
    unrated: bool,
    model: &'a ModelLabel,
    latency_ms: f64,
    inference_ms: Option<f64>,
    reason: Option<&'a str>,
}

impl Record {
    /// The line as a JSON object, without a newline.
    pub fn json(&self) -> String {
        let Self { origin, model, verdict } = self;
        let nearest = verdict.recognition.as_ref();
        let json = Json {
            camera: &origin.camera,
            epoch: origin.epoch,
            frame: origin.frame,
            origin: origin.file.as_deref(),
            plc_part: origin.plc_part,
            time: humantime::format_rfc3339_micros(origin.time).to_string(),
            pts_seconds: origin.pts.map(|pts| pts.as_secs_f64()),
            decision: verdict.decision.name(),
            product: nearest.map(|nearest| &*nearest.product),
            distance: nearest.map(|nearest| nearest.distance),
            radius: nearest.and_then(|nearest| nearest.radius),
            score: verdict.score,
            p_value: verdict.p_value,
            threshold: verdict.threshold,
            reject_rate: verdict.reject_rate,
            unrated: verdict.unrated,
            model,
            latency_ms: millis(origin.latency),
            inference_ms: origin.inference.map(millis),
            reason: verdict.reason.as_deref(),
        };
        // A map with string keys and plain values always has a JSON form.
        serde_json::to_string(&json).unwrap_or_default()
    }

    /// The line for people, without a newline.
    pub fn text(&self) -> String {
        let Self { origin, verdict, .. } = self;
        let product = verdict.recognition.as_ref().map_or("-", |nearest| &nearest.product);
        let what = match (&verdict.reason, verdict.score) {
            (Some(reason), _) => reason.clone(),
            (None, Some(score)) => {
                let limit = verdict.threshold.map_or("-".into(), |limit| format!("{limit:.4}"));
                let p = verdict.p_value.map_or("-".into(), |p| format!("{p:.4}"));
                let distance = verdict.recognition.as_ref().map_or(String::new(), |nearest| {
                    let radius = nearest.radius.map_or("-".into(), |radius| format!("{radius:.4}"));
                    format!("  distance {:.4} of {radius}", nearest.distance)
                });
                format!("score {score:.4} of {limit}  p {p}{distance}")
            }
            (None, None) => String::new(),
        };
        let file = origin.file.as_deref().map_or(String::new(), |file| format!("  {file}"));
        let unrated = if verdict.unrated { "  unrated" } else { "" };
        let part = origin.plc_part.map_or(String::new(), |part| format!("  part {part}"));
        format!(
            "{} {:>6}  {:15}  {product:12}  {what}{unrated}{part}  {:.1} ms{file}",
            origin.camera,
            origin.frame,
            verdict.decision.name(),
            millis(origin.latency),
        )
    }
}

#[derive(Serialize)]
struct PartJson<'a> {
    part: u64,
    parts: u64,
    camera: &'a str,
    epoch: u64,
    first_frame: u64,
    last_frame: u64,
    time: String,
    decision: &'static str,
    product: Option<&'a str>,
    passed: u32,
    failed: u32,
    unknown: u32,
    faulted: u32,
    missing: u32,
    reject_rate_bound: Option<f64>,
    unrated: bool,
    model: &'a ModelLabel,
    reason: Option<&'a str>,
}

impl PartRecord {
    /// The line as a JSON object, without a newline.
    pub fn json(&self) -> String {
        let Self { camera, epoch, time, model, part } = self;
        let Counts { passed, failed, unknown, faulted, missing } = part.counts;
        let json = PartJson {
            part: part.number,
            parts: part.parts,
            camera,
            epoch: *epoch,
            first_frame: *part.frames.start(),
            last_frame: *part.frames.end(),
            time: humantime::format_rfc3339_micros(*time).to_string(),
            decision: part.decision.name(),
            product: part.product.as_deref(),
            passed,
            failed,
            unknown,
            faulted,
            missing,
            reject_rate_bound: part.reject_rate_bound,
            unrated: part.unrated,
            model,
            reason: part.reason.as_deref(),
        };
        serde_json::to_string(&json).unwrap_or_default()
    }

    /// The line for people, without a newline.
    pub fn text(&self) -> String {
        let Self { camera, part, .. } = self;
        let product = part.product.as_deref().unwrap_or("-");
        let what = part.reason.clone().unwrap_or_else(|| part.counts.to_string());
        let unrated = if part.unrated { "  unrated" } else { "" };
        format!(
            "{camera} part {}  {:15}  {product:12}  frames {} to {}: {what}{unrated}",
            part.number,
            part.decision.name(),
            part.frames.start(),
            part.frames.end(),
        )
    }
}

fn millis(duration: Duration) -> f64 {
    // Microseconds are what the clock can tell.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{
        frame::Stamp,
        judge::part::{PartRule, Parts},
        record::Origin,
        verdict::Verdict,
    };

    #[test]
    fn every_field_is_always_there_and_documented() {
        let model = ModelLabel { name: "demo".into(), version: "1".into(), sha256: String::new() };
        let record = Record {
            model: model.into(),
            origin: Origin {
                camera: "top".into(),
                epoch: 0,
                frame: 1,
                file: None,
                plc_part: None,
                time: SystemTime::UNIX_EPOCH,
                pts: None,
                latency: Duration::from_micros(1_500),
                inference: None,
            },
            verdict: Verdict::fault(0.01, "decode"),
        };
        let json = record.json();
        assert_eq!(
            json,
            "{\"camera\":\"top\",\"epoch\":0,\"frame\":1,\"origin\":null,\"plc_part\":null,\
             \"time\":\"1970-01-01T00:00:00.000000Z\",\"pts_seconds\":null,\"decision\":\"fault\",\
             \"product\":null,\"distance\":null,\"radius\":null,\"score\":null,\"p_value\":null,\
             \"threshold\":null,\"reject_rate\":0.01,\"unrated\":false,\
             \"model\":{\"name\":\"demo\",\"version\":\"1\"},\"latency_ms\":1.5,\"inference_ms\":null,\
             \"reason\":\"decode\"}"
        );
        documented(&json);
    }

    #[test]
    fn the_line_of_a_part_is_documented_as_well() {
        let rule = PartRule { frames: 1, fails: 1, within: Duration::from_secs(1) };
        let time = SystemTime::UNIX_EPOCH;
        let stamp = Stamp { monotonic: Duration::ZERO, wall: time, pts: None };
        let part = Parts::new(rule).frame(1, &stamp, &Verdict::fault(0.01, "decode")).remove(0);
        let model = ModelLabel { name: "demo".into(), version: "1".into(), sha256: String::new() };
        let record = PartRecord { camera: "top".into(), epoch: 0, time, model: model.into(), part };
        let json = record.json();
        assert_eq!(
            json,
            "{\"part\":1,\"parts\":1,\"camera\":\"top\",\"epoch\":0,\"first_frame\":1,\"last_frame\":1,\
             \"time\":\"1970-01-01T00:00:00.000000Z\",\"decision\":\"fault\",\"product\":null,\"passed\":0,\
             \"failed\":0,\"unknown\":0,\"faulted\":1,\"missing\":0,\"reject_rate_bound\":null,\"unrated\":false,\
             \"model\":{\"name\":\"demo\",\"version\":\"1\"},\"reason\":\"0 passed, 0 failed, 0 unknown, 1 faulted, \
             0 missing: those that nobody judged could have refused it\"}"
        );
        documented(&json);
    }

    fn documented(json: &str) {
        let page = include_str!("../../docs/verdict-lines.md");
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        for field in value.as_object().unwrap().keys() {
            assert!(
                page.contains(&format!("| `{field}` |")),
                "docs/verdict-lines.md lacks {field}"
            );
        }
    }
}
