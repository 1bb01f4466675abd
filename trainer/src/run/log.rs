//! The log beside a checkpoint: one JSON object per step.
//!
//! Owns its fields. A run that goes on cuts off what it will do again.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{files, training::StepReport};

/// What one step saw and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// Counted from 1.
    pub step: u64,
    /// The losses.
    #[serde(flatten)]
    pub report: StepReport,
    /// Images a second, waiting included.
    pub images_per_second: f64,
    /// Share of the time in which the batch was not ready, 0 to 1.
    #[serde(default)]
    pub waiting_share: f64,
}

impl LogRow {
    pub(super) fn new(
        step: u64,
        report: StepReport,
        images: usize,
        time: Duration,
        waiting: Duration,
    ) -> Self {
        let seconds = time.as_secs_f64().max(1e-9);
        let images_per_second = images as f64 / seconds;
        Self { step, report, images_per_second, waiting_share: waiting.as_secs_f64() / seconds }
    }
}

/// The rows beside a checkpoint; `None` when there is no log.
///
/// A last line that a killed run did not finish is passed over.
pub fn read_log(checkpoint: &Path) -> anyhow::Result<Option<Vec<LogRow>>> {
    read(&path_of(checkpoint))
}

fn read(path: &Path) -> anyhow::Result<Option<Vec<LogRow>>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let row = |(index, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{} line {}", path.display(), index + 1))
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    whole.lines().enumerate().map(row).collect::<Result<_, _>>().map(Some)
}

fn path_of(checkpoint: &Path) -> PathBuf {
    checkpoint.with_extension("log.jsonl")
}

/// The open file, which has the log's name when the run has ended: until then that may be an earlier model's.
pub(super) struct Log {
    file: std::fs::File,
    path: PathBuf,
    finished: PathBuf,
}

impl Log {
    /// With the rows of the first `steps` steps that an earlier run wrote; none when there was none.
    pub(super) fn open(checkpoint: &Path, steps: u64) -> anyhow::Result<Self> {
        let finished = path_of(checkpoint);
        let path = files::unfinished(&finished);
        let earlier = if steps > 0 { read(&path)?.unwrap_or_default() } else { Vec::new() };
        let kept = earlier.iter().filter(|row| row.step <= steps);
        let lines = kept.map(|row| Ok(serde_json::to_string(row)? + "\n"));
        let text = lines.collect::<Result<String, serde_json::Error>>()?;
        files::write_atomically(&path, text.as_bytes())?;
        let file = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("open the log {}", path.display()))?;
        Ok(Self { file, path, finished })
    }

    /// The run has ended.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        std::fs::rename(&self.path, &self.finished)
            .with_context(|| format!("rename {}", self.path.display()))
    }

    pub(super) fn row(&mut self, row: &LogRow) -> anyhow::Result<()> {
        let line = serde_json::to_string(row)?;
        writeln!(self.file, "{line}").with_context(|| format!("write {}", self.path.display()))
    }
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
                r#"{{"step":{step},"reconstruction":1.5,"local":0.5,"global":0,"gradient_norm":2,"images_per_second":8,"new":0.1}}"#
            )
        };
        let log = folder.path().join("line.log.jsonl");
        std::fs::write(&log, format!("{}\n{}\n{{\"step\":3,", row(1), row(2))).unwrap();
        let rows = read_log(&model).unwrap().unwrap();
        assert_eq!(rows.iter().map(|row| row.step).collect::<Vec<_>>(), [1, 2]);
        std::fs::write(&log, format!("{}\nnonsense\n{}\n", row(1), row(2))).unwrap();
        let told = format!("{:#}", read_log(&model).unwrap_err());
        assert!(told.contains("line.log.jsonl") && told.contains("line 2"), "{told}");
    }
}
