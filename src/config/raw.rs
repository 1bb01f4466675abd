//! The configuration file as it was typed: strict TOML, nothing resolved.
//!
//! Owns the message for what TOML or its types do not allow, and for keys that do not exist.
//! Only `resolve` reads what comes out of here.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ConfigError, keys, shown, suggest};

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
    pub(super) archive: RawArchive,
    #[serde(default)]
    pub(super) http: RawHttp,
    #[serde(default)]
    pub(super) mqtt: RawMqtt,
    #[serde(default)]
    pub(super) plc: RawPlc,
    #[serde(default)]
    pub(super) shift: RawShift,
    #[serde(default)]
    pub(super) recipe: Vec<RawRecipe>,
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
pub(super) struct RawArchive {
    pub(super) path: Option<String>,
    pub(super) passes_every: Option<i64>,
    pub(super) size_max_mb: Option<i64>,
    pub(super) keep_days: Option<i64>,
    pub(super) free_min_mb: Option<i64>,
    pub(super) jpeg_quality: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    pub(super) listen: Option<String>,
    pub(super) pictures_per_second: Option<i64>,
    pub(super) users: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) plain: Option<bool>,
    #[serde(default)]
    pub(super) hosts: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMqtt {
    pub(super) broker: Option<String>,
    pub(super) format: Option<String>,
    pub(super) site: Option<String>,
    pub(super) device: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) allow_plain_password: Option<bool>,
    pub(super) ca_certificate: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) keep_alive_secs: Option<i64>,
    pub(super) history: Option<String>,
    pub(super) events: Option<bool>,
    pub(super) packet_bytes_max: Option<i64>,
    pub(super) sparkplug_host: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlc {
    pub(super) modbus: Option<String>,
    pub(super) address: Option<String>,
    #[serde(default)]
    pub(super) allow: Vec<String>,
    pub(super) unit: Option<i64>,
    pub(super) word_order: Option<String>,
    pub(super) registers_from: Option<i64>,
    pub(super) poll_ms: Option<i64>,
    pub(super) watchdog_ms: Option<i64>,
    pub(super) verdict_within_ms: Option<i64>,
    pub(super) trust_degraded: Option<bool>,
    pub(super) safe: Option<String>,
    pub(super) reject_after: Option<String>,
    pub(super) reject_pulse_ms: Option<i64>,
    pub(super) encoder: Option<String>,
    pub(super) gpio_chip: Option<String>,
    #[serde(default)]
    pub(super) gpio_lines: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) gpio_active_low: Vec<String>,
    pub(super) gpio_debounce_ms: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCameraPlc {
    pub(super) frames: Option<String>,
    pub(super) delay_ms: Option<i64>,
    pub(super) frame_within_ms: Option<i64>,
    #[serde(default)]
    pub(super) products: BTreeMap<String, i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawShift {
    pub(super) starts: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRecipe {
    pub(super) name: Option<String>,
    pub(super) false_reject_rate: Option<f64>,
    pub(super) rates: Option<BTreeMap<String, f64>>,
    pub(super) products: Option<Vec<String>>,
    pub(super) ignore: Option<Vec<RawArea>>,
    pub(super) ignore_mask: Option<String>,
    pub(super) defect_area_min_px: Option<i64>,
    pub(super) part: Option<RawPart>,
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
    pub(super) recipe: Option<String>,
    pub(super) recipes: Option<Vec<String>>,
    pub(super) region: Option<RawArea>,
    pub(super) rotate: Option<i64>,
    pub(super) trigger: Option<RawTrigger>,
    pub(super) plc: Option<RawCameraPlc>,
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
        message: shown(&error.message().replace('\n', ", ")),
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
            return Err(ConfigError::UnknownKey { path: shown(table), hint });
        }
        match (table.as_str(), value) {
            (several @ ("camera" | "recipe"), toml::Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{several}[{index}]");
                    let entries = item.as_table().ok_or_else(|| {
                        let expected =
                            format!("each {several} is a table of its own: [[{several}]]");
                        wrong(&path, item, expected)
                    })?;
                    check_table(several, &path, entries)?;
                }
            }
            (several @ ("camera" | "recipe"), _) => {
                let expected =
                    format!("a line may have several: write [[{several}]], not [{several}]");
                return Err(wrong(several, value, expected));
            }
            (_, toml::Value::Table(entries)) => check_table(table, table, entries)?,
            _ => return Err(wrong(table, value, format!("it is a table: write [{table}]"))),
        }
    }
    Ok(())
}

fn check_table(table: &str, path: &str, entries: &toml::Table) -> Result<(), ConfigError> {
    for (name, given) in entries {
        let path = format!("{path}.{}", shown(name));
        let Some(key) = keys::find(table, name) else {
            let known: Vec<_> = keys::of(table).map(|key| key.name).collect();
            let hint = suggest::hint(name, known.iter().copied());
            return Err(ConfigError::UnknownKey { path, hint });
        };
        // The example says which kind it is; serde's own message has no path.
        let example = key.example();
        if example.as_ref().is_some_and(|example| !is_of_kind(example, given)) {
            let kind = example.as_ref().map_or("a value", kind);
            return Err(wrong(&path, given, format!("it takes {kind}, such as {}", key.value)));
        }
    }
    Ok(())
}

/// Whether a value is of its example's kind: a whole number is a number as well, and a table of texts may have any
/// plain value, for it becomes text.
fn is_of_kind(example: &toml::Value, given: &toml::Value) -> bool {
    use toml::Value::{Array, Boolean, Float, Integer, String, Table};
    match (example, given) {
        (String(_), String(_))
        | (Integer(_), Integer(_))
        | (Float(_), Float(_) | Integer(_))
        | (Boolean(_), Boolean(_)) => true,
        (Array(of), Array(items)) => {
            items.iter().all(|item| of.first().is_none_or(|of| is_of_kind(of, item)))
        }
        (Table(of), Table(entries)) => match of.values().next() {
            None | Some(String(_)) => true,
            // Where names are free, as those of products, every value is like the first.
            Some(first) => {
                entries.iter().all(|(name, entry)| is_of_kind(of.get(name).unwrap_or(first), entry))
            }
        },
        _ => false,
    }
}

fn kind(example: &toml::Value) -> &'static str {
    match example {
        toml::Value::String(_) => "a text in quotes",
        toml::Value::Integer(_) => "a whole number",
        toml::Value::Float(_) => "a number",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
    }
}

fn wrong(path: &str, given: &toml::Value, expected: String) -> ConfigError {
    ConfigError::Value { path: path.into(), value: shown(&given.to_string()), expected }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}
