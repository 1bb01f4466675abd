//! The log that training writes beside a checkpoint, read for drawing.
//!
//! Owns the reader's view of its rows: keys that it does not know are passed over, so that the log may grow.

use std::{io::BufRead as _, path::Path};

use anyhow::Context as _;
use serde::Deserialize;

/// A bound against a file that is no log: a run of a million steps.
const ROWS_MAX: usize = 1_000_000;

/// The losses of one step.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct LogRow {
    /// From 1.
    pub step: u64,
    /// Reconstruction term.
    pub reconstruction: f64,
    /// Local contrastive term, 0 where off.
    pub local: f64,
    /// Global contrastive term, 0 where off.
    pub global: f64,
    /// Joint norm of all gradients before clipping.
    pub gradient_norm: f64,
    /// With the time that the batch was waited for.
    pub images_per_second: f64,
}

/// A run's log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingLog {
    /// The file's name.
    pub name: String,
    /// In the order of their steps.
    pub rows: Vec<LogRow>,
}

/// The log beside a checkpoint or model; `None` when there is none.
///
/// A last line that a killed run left unfinished is passed over.
pub fn read_log(model: &Path) -> anyhow::Result<Option<TrainingLog>> {
    let path = model.with_extension("log.jsonl");
    let named = || format!("read the training log {}", path.display());
    let file = match std::fs::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(named)?,
    };
    let mut lines = std::io::BufReader::new(file).lines().take(ROWS_MAX).enumerate().peekable();
    let mut rows = Vec::new();
    while let Some((index, line)) = lines.next() {
        match serde_json::from_str(&line.with_context(named)?) {
            Ok(row) => rows.push(row),
            Err(_cut) if lines.peek().is_none() => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("line {}", index + 1))
                    .with_context(named);
            }
        }
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some(TrainingLog { name, rows }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_whatever_keys_it_gains_and_however_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("line.safetensors");
        assert_eq!(read_log(&model).unwrap(), None);
        let row = |step: u64| {
            format!(
                r#"{{"step":{step},"reconstruction":1.5,"local":0.5,"global":0,"gradient_norm":2,"images_per_second":8,"waiting_share":0.1}}"#
            )
        };
        let log = folder.path().join("line.log.jsonl");
        std::fs::write(&log, format!("{}\n{}\n{{\"step\":3,", row(1), row(2))).unwrap();
        let read = read_log(&model).unwrap().unwrap();
        assert_eq!((read.name.as_str(), read.rows.len()), ("line.log.jsonl", 2));
        std::fs::write(&log, format!("{}\nnonsense\n{}\n", row(1), row(2))).unwrap();
        let told = format!("{:#}", read_log(&model).unwrap_err());
        assert!(told.contains("line.log.jsonl") && told.contains("line 2"), "{told}");
    }
}
