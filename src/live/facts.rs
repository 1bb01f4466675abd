//! A frame's verdict as the page's JSON has it.
//!
//! Owns those fields, once for pictures and rejects. Pure; absence is `null`.

use serde::Serialize;
use utoipa::ToSchema;

use super::words;
use crate::record::Record;

/// What is told of a frame beside its picture.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Facts {
    /// The camera's name.
    pub camera: String,
    /// Which numbering.
    pub epoch: u64,
    /// The frame's number.
    pub frame: u64,
    /// When it was captured, RFC 3339 in UTC.
    pub time: String,
    /// `pass`, `fail`, `unknown-product` or `fault`.
    pub decision: &'static str,
    /// The nearest product.
    pub product: Option<String>,
    /// The maximum of the anomaly map.
    pub score: Option<f32>,
    /// The score above which the product fails.
    pub threshold: Option<f32>,
    /// The conformal p-value of the score.
    pub p_value: Option<f64>,
    /// Decision and p-value in words.
    pub words: String,
    /// Why nobody judged it, or that the product is not expected here.
    pub reason: Option<String>,
}

impl Facts {
    /// Of a frame.
    pub fn of(record: &Record) -> Self {
        let Record { origin, verdict, .. } = record;
        Self {
            camera: origin.camera.to_string(),
            epoch: origin.epoch,
            frame: origin.frame,
            time: humantime::format_rfc3339_micros(origin.time).to_string(),
            decision: verdict.decision.name(),
            product: verdict.recognition.as_ref().map(|nearest| nearest.product.to_string()),
            score: verdict.score,
            threshold: verdict.threshold,
            p_value: verdict.p_value,
            words: words(verdict),
            reason: verdict.reason.clone(),
        }
    }
}
