//! Reads what the inspector printed and what was really there.
//!
//! Owns the trainer's view of `docs/verdict-lines.md` (the fields it needs) and of a rendered line's truth.

use std::{
    collections::BTreeMap,
    fmt,
    io::BufRead as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, de::DeserializeOwned};
use synth::line::FrameTruth;

use crate::{
    dataset::Dataset,
    evaluate::{Decision, ImageScore, Report},
};

/// The fields of a verdict line that are measured.
#[derive(Clone, Debug, Deserialize)]
pub struct VerdictLine {
    /// The frame's number, from 1.
    pub frame: u64,
    /// The file it was read from.
    pub origin: Option<PathBuf>,
    /// `pass`, `fail`, `unknown-product` or `fault`.
    pub decision: String,
    /// The nearest product.
    pub product: Option<String>,
    /// The image score.
    pub score: Option<f32>,
}

/// The verdict lines of a file.
pub fn read(path: &Path) -> anyhow::Result<Vec<VerdictLine>> {
    json_lines(path)
}

/// The truth of a rendered line, in the order of its frames.
pub fn read_truth(path: &Path) -> anyhow::Result<Vec<FrameTruth>> {
    json_lines(path)
}

fn json_lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let named = || format!("read {}", path.display());
    let file = std::fs::File::open(path).with_context(named)?;
    let mut rows = Vec::new();
    for (index, line) in std::io::BufReader::new(file).lines().enumerate() {
        let row = serde_json::from_str(&line.with_context(named)?)
            .with_context(|| format!("{} line {}", path.display(), index + 1))?;
        rows.push(row);
    }
    Ok(rows)
}

/// The score of every test image, found by its file; an image without a verdict is an error.
pub fn image_scores(lines: &[VerdictLine], data: &Dataset) -> anyhow::Result<Vec<ImageScore>> {
    let by_file = by_file(lines);
    let mut scores = Vec::new();
    for class in &data.classes {
        for image in &class.test {
            let Some(line) = by_file.get(&canonical(&image.path)) else {
                bail!("{} has no verdict line; was it streamed?", image.path.display());
            };
            let decision = match line.decision.as_str() {
                "pass" => Decision::Pass,
                "fail" => Decision::Fail,
                "unknown-product" => Decision::UnknownProduct,
                other => bail!("the verdict about {} is {other}", image.path.display()),
            };
            let Some(score) = line.score else {
                bail!("the verdict about {} has no score", image.path.display());
            };
            scores.push(ImageScore {
                path: image.path.clone(),
                product: class.name.clone(),
                defect: image.defect.clone(),
                score,
                recognised: line.product.clone(),
                decision,
            });
        }
    }
    Ok(scores)
}

/// How the scores of the same files differ between two runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shift {
    /// Files in both.
    pub images: usize,
    /// Mean of (first - second).
    pub mean: f64,
    /// Largest absolute difference.
    pub largest: f64,
    /// Decisions that differ.
    pub flips: usize,
}

/// Compares two runs over the same files.
pub fn shift(one: &[VerdictLine], other: &[VerdictLine]) -> Shift {
    let other = by_file(other);
    let mut shift = Shift::default();
    for (file, line) in by_file(one) {
        let Some(twin) = other.get(&file) else { continue };
        let (Some(a), Some(b)) = (line.score, twin.score) else { continue };
        let difference = f64::from(a) - f64::from(b);
        shift.images += 1;
        shift.mean += difference;
        shift.largest = shift.largest.max(difference.abs());
        shift.flips += usize::from(line.decision != twin.decision);
    }
    shift.mean /= shift.images.max(1) as f64;
    shift
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "score shift over {} images: mean {:+.5}, largest {:.5}; {} decisions flip",
            self.images, self.mean, self.largest, self.flips
        )
    }
}

/// The report on what the inspector said; all products of the data set count as known.
pub fn report(scores: &[ImageScore], data: &Dataset) -> Report {
    Report::of(scores, &data.names())
}

/// The change of the mean and of every product's image AUROC, in words.
pub fn auroc_change(one: &Report, other: &Report) -> String {
    let difference = |a: Option<f64>, b: Option<f64>| Some(a? - b?);
    let largest = one
        .products
        .iter()
        .filter_map(|(name, result)| {
            let twin = other.products.get(name)?;
            Some((difference(result.image_auroc, twin.image_auroc)?, name))
        })
        .max_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
    let mean = difference(one.mean_image_auroc(), other.mean_image_auroc()).unwrap_or(f64::NAN);
    let largest =
        largest.map_or(String::new(), |(change, name)| format!(", largest {change:+.4} ({name})"));
    format!("change of image AUROC: mean {mean:+.4}{largest}")
}

fn by_file(lines: &[VerdictLine]) -> BTreeMap<PathBuf, &VerdictLine> {
    lines.iter().filter_map(|line| Some((canonical(line.origin.as_ref()?), line))).collect()
}

/// The same file under another name is the same file.
fn canonical(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_gone| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(file: &str, decision: &str, score: f32) -> VerdictLine {
        VerdictLine {
            frame: 1,
            origin: Some(file.into()),
            decision: decision.into(),
            product: None,
            score: Some(score),
        }
    }

    #[test]
    fn a_shift_is_over_the_files_of_both() {
        let one = [line("a", "pass", 0.5), line("b", "fail", 0.75), line("c", "pass", 9.0)];
        let other = [line("b", "pass", 0.5), line("a", "pass", 0.5)];
        let found = shift(&one, &other);
        assert_eq!(found, Shift { images: 2, mean: 0.125, largest: 0.25, flips: 1 });
    }
}
