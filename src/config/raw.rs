//! The configuration file as it was typed: strict TOML, nothing resolved.
//!
//! Owns the message for what TOML or its types do not allow, and for keys that do not exist.
//! Only `resolve` reads what comes out of here.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ConfigError, keys, suggest};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default)]
    pub(super) model: RawModel,
    #[serde(default)]
    pub(super) engine: RawEngine,
    #[serde(default)]
    pub(super) judge: RawJudge,
    #[serde(default)]
    pub(super) output: RawOutput,
    #[serde(default)]
    pub(super) ledger: RawLedger,
    #[serde(default)]
    pub(super) http: RawHttp,
    #[serde(default)]
    pub(super) camera: Vec<RawCamera>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    pub(super) path: Option<String>,
    pub(super) calibration: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEngine {
    pub(super) library: Option<String>,
    pub(super) providers: Option<Vec<String>>,
    pub(super) fall_back: Option<bool>,
    pub(super) precisions: Option<Vec<String>>,
    pub(super) cache: Option<String>,
    pub(super) device: Option<i64>,
    pub(super) gpu_memory_max_mb: Option<i64>,
    pub(super) batch_max: Option<i64>,
    pub(super) batch_wait_ms: Option<i64>,
    pub(super) threads: Option<i64>,
    pub(super) golden_every_mins: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJudge {
    pub(super) false_reject_rate: Option<f64>,
    #[serde(default)]
    pub(super) rates: BTreeMap<String, f64>,
    pub(super) allow_unrated: Option<bool>,
    pub(super) drift: Option<bool>,
    pub(super) drift_reference_frames: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOutput {
    pub(super) format: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLedger {
    pub(super) path: Option<String>,
    pub(super) keep_days: Option<i64>,
    pub(super) size_max_mb: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    pub(super) listen: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCamera {
    pub(super) name: Option<String>,
    pub(super) preset: Option<String>,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, toml::Value>,
    pub(super) overflow: Option<String>,
    pub(super) queue_len: Option<i64>,
    pub(super) scaling: Option<String>,
    pub(super) realtime: Option<bool>,
    pub(super) r#loop: Option<bool>,
    pub(super) products: Option<Vec<String>>,
    pub(super) region: Option<RawArea>,
    pub(super) rotate: Option<i64>,
    pub(super) trigger: Option<RawTrigger>,
    #[serde(default)]
    pub(super) ignore: Vec<RawArea>,
    pub(super) ignore_mask: Option<String>,
    pub(super) defect_area_min_px: Option<i64>,
    pub(super) part: Option<RawPart>,
    pub(super) stall_after_secs: Option<f64>,
    pub(super) frozen_after_secs: Option<f64>,
    pub(super) reconnect_first_secs: Option<f64>,
    pub(super) reconnect_max_secs: Option<f64>,
    pub(super) give_up_after_secs: Option<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawArea {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrigger {
    pub(super) region: Option<RawArea>,
    pub(super) contrast: Option<f64>,
    pub(super) presence: Option<f64>,
    pub(super) gap_frames: Option<i64>,
    pub(super) longest_secs: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPart {
    pub(super) frames: i64,
    pub(super) fails: i64,
    pub(super) within_ms: i64,
}

/// Reads the text of a configuration file.
pub(super) fn parse(text: &str) -> Result<Raw, ConfigError> {
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        message: error.message().replace('\n', ", "),
    };
    // Keys first: serde's own message has neither the key's path nor a suggestion.
    check_keys(&text.parse::<toml::Table>().map_err(syntax)?)?;
    toml::from_str(text).map_err(syntax)
}

fn check_keys(root: &toml::Table) -> Result<(), ConfigError> {
    for (table, value) in root {
        if !keys::TABLES.iter().any(|(known, _)| known == table) {
            // A key typed outside its table is the likelier mistake than a misspelt table.
            let home = keys::KEYS.iter().find(|key| key.name == table);
            let hint = match home {
                Some(key) => format!("did you mean {}.{}?", key.table, key.name),
                None => suggest::hint(table, keys::TABLES.iter().map(|(known, _)| *known)),
            };
            return Err(ConfigError::UnknownKey { path: table.clone(), hint });
        }
        match value {
            toml::Value::Table(entries) => check_table(table, table, entries)?,
            toml::Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let toml::Value::Table(entries) = item {
                        check_table(table, &format!("{table}[{index}]"), entries)?;
                    }
                }
            }
            // Of the wrong type: serde says so with the line.
            toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_) => {}
        }
    }
    Ok(())
}

fn check_table(table: &str, path: &str, entries: &toml::Table) -> Result<(), ConfigError> {
    let unknown = entries.keys().find(|name| keys::find(table, name).is_none());
    let Some(name) = unknown else { return Ok(()) };
    let known = keys::KEYS.iter().filter(|key| key.table == table).map(|key| key.name);
    Err(ConfigError::UnknownKey {
        path: format!("{path}.{name}"),
        hint: suggest::hint(name, known),
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}
