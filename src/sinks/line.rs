//! One verdict as a line: JSON for programs, text for people.
//!
//! Owns the schema of `docs/verdict-lines.md`. Pure; absence is `null`, and every field is always there.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::verdict::Verdict;

/// Where a frame came from and how long it took.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The camera's name; `inspect` for images that no camera brought.
    pub camera: Arc<str>,
    /// Start of the numbering.
    pub epoch: u64,
    /// The frame's number, from 1.
    pub frame: u64,
    /// The file it was read from, where there was one.
    pub file: Option<Arc<str>>,
    /// When it was captured.
    pub time: SystemTime,
    /// Its presentation time in the stream.
    pub pts: Option<Duration>,
    /// From capture to verdict.
    pub latency: Duration,
    /// The inference alone; `None` when there was none.
    pub inference: Option<Duration>,
}

/// The model that a verdict rests on.
#[derive(Clone, Debug, Serialize)]
pub struct ModelLabel {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One verdict, ready to be printed.
#[derive(Clone, Debug)]
pub struct VerdictLine {
    /// The frame.
    pub origin: Origin,
    /// What the judge says about it.
    pub verdict: Verdict,
}

#[derive(Serialize)]
struct Json<'a> {
    camera: &'a str,
    epoch: u64,
    frame: u64,
    origin: Option<&'a str>,
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

impl VerdictLine {
    /// The line as a JSON object, without a newline.
    pub fn json(&self, model: &ModelLabel) -> String {
        let Self { origin, verdict } = self;
        let nearest = verdict.recognition.as_ref();
        let json = Json {
            camera: &origin.camera,
            epoch: origin.epoch,
            frame: origin.frame,
            origin: origin.file.as_deref(),
            time: rfc3339(origin.time),
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
        let Self { origin, verdict } = self;
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
        format!(
            "{} {:>6}  {:15}  {product:12}  {what}{unrated}  {:.1} ms{file}",
            origin.camera,
            origin.frame,
            verdict.decision.name(),
            millis(origin.latency),
        )
    }
}

fn millis(duration: Duration) -> f64 {
    // Microseconds are what the clock can tell.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// `2026-11-23T18:06:42.123456Z`. A date needs no crate: days to civil by the proleptic Gregorian calendar.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years that begin in March put the leap day at the end, so that months count alike.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60,
        since.subsec_micros()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        };
        // date -u -d @N +%FT%T
        check(0, "1970-01-01T00:00:00.000000Z");
        check(951_782_399, "2000-02-28T23:59:59.000000Z");
        check(951_782_400, "2000-02-29T00:00:00.000000Z");
        check(1_709_251_199, "2024-02-29T23:59:59.000000Z");
        check(1_795_457_202, "2026-11-23T18:06:42.000000Z");
        check(4_107_542_400, "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn every_field_is_always_there_and_documented() {
        let line = VerdictLine {
            origin: Origin {
                camera: "top".into(),
                epoch: 0,
                frame: 1,
                file: None,
                time: SystemTime::UNIX_EPOCH,
                pts: None,
                latency: Duration::from_micros(1_500),
                inference: None,
            },
            verdict: Verdict::fault(0.01, "decode"),
        };
        let model = ModelLabel { name: "demo".into(), version: "1".into() };
        let json = line.json(&model);
        assert_eq!(
            json,
            "{\"camera\":\"top\",\"epoch\":0,\"frame\":1,\"origin\":null,\
             \"time\":\"1970-01-01T00:00:00.000000Z\",\"pts_seconds\":null,\"decision\":\"fault\",\
             \"product\":null,\"distance\":null,\"radius\":null,\"score\":null,\"p_value\":null,\
             \"threshold\":null,\"reject_rate\":0.01,\"unrated\":false,\
             \"model\":{\"name\":\"demo\",\"version\":\"1\"},\"latency_ms\":1.5,\"inference_ms\":null,\
             \"reason\":\"decode\"}"
        );
        let page = include_str!("../../docs/verdict-lines.md");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        for field in value.as_object().unwrap().keys() {
            assert!(
                page.contains(&format!("| `{field}` |")),
                "docs/verdict-lines.md lacks {field}"
            );
        }
    }
}
