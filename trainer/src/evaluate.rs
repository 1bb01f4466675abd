//! How well a model tells good parts from defective ones: AUROC per product, and products confused.
//!
//! Owns the table of results. Whatever computes the answers comes in as [`Detect`]; scores that the inspector
//! printed come in from `verdicts`.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use bundle::prototype::{Prototype, nearest};
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    dataset::{DataError, Dataset, GoodPart, TestImage, mask, store},
    detector::{Answer, Detect},
    metrics::auroc,
};

/// Images that are decoded and judged together.
const BATCH: usize = 8;

/// One measured image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageScore {
    /// The file.
    pub path: PathBuf,
    /// Its product.
    pub product: String,
    /// The kind of defect; `None` for a good part.
    pub defect: Option<String>,
    /// What the model says.
    pub score: f32,
    /// The product that the model recognises.
    pub recognised: Option<String>,
}

/// Results of one product.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProductResult {
    /// Good test parts.
    pub good: usize,
    /// Defective test parts.
    pub defective: usize,
    /// AUROC of the image score, 0 to 1.
    pub image_auroc: Option<f64>,
    /// AUROC of the map's pixels where masks are there, 0 to 1.
    pub pixel_auroc: Option<f64>,
    /// Share of the parts whose nearest prototype is their own.
    pub recognised: Option<f64>,
}

/// Results of all products.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// By name.
    pub products: BTreeMap<String, ProductResult>,
}

impl Report {
    /// Of the image AUROCs.
    pub fn mean_image_auroc(&self) -> Option<f64> {
        mean(self.products.values().filter_map(|result| result.image_auroc))
    }

    /// Of the pixel AUROCs.
    pub fn mean_pixel_auroc(&self) -> Option<f64> {
        mean(self.products.values().filter_map(|result| result.pixel_auroc))
    }

    /// From image scores alone: no pixels.
    pub fn of_scores(scores: &[ImageScore]) -> Self {
        let mut products: BTreeMap<String, Vec<&ImageScore>> = BTreeMap::new();
        for score in scores {
            products.entry(score.product.clone()).or_default().push(score);
        }
        let result = |scores: Vec<&ImageScore>| {
            let good = scores.iter().filter(|score| score.defect.is_none()).count();
            let known = scores.iter().filter(|score| score.recognised.is_some()).count();
            let right = scores
                .iter()
                .filter(|score| score.recognised.as_ref() == Some(&score.product))
                .count();
            ProductResult {
                good,
                defective: scores.len() - good,
                image_auroc: auroc(
                    scores.iter().map(|score| (score.score, score.defect.is_some())),
                ),
                pixel_auroc: None,
                recognised: (known > 0).then(|| right as f64 / known as f64),
            }
        };
        Self {
            products: products.into_iter().map(|(name, scores)| (name, result(scores))).collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.products.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        let width = width.max("product".len());
        let percent = |share: Option<f64>| {
            share.map_or("-".to_owned(), |share| format!("{:.2}", share * 100.0))
        };
        writeln!(
            f,
            "{:width$}  {:>5} {:>9} {:>12} {:>12} {:>11}",
            "product", "good", "defective", "image AUROC", "pixel AUROC", "recognised"
        )?;
        for (name, result) in &self.products {
            writeln!(
                f,
                "{name:width$}  {:>5} {:>9} {:>12} {:>12} {:>11}",
                result.good,
                result.defective,
                percent(result.image_auroc),
                percent(result.pixel_auroc),
                percent(result.recognised)
            )?;
        }
        write!(
            f,
            "{:width$}  {:>5} {:>9} {:>12} {:>12} {:>11}",
            "mean",
            "",
            "",
            percent(self.mean_image_auroc()),
            percent(self.mean_pixel_auroc()),
            percent(mean(self.products.values().filter_map(|result| result.recognised)))
        )
    }
}

/// Scores of the whole test set, and the report on them.
pub fn evaluate(
    detector: &mut dyn Detect,
    prototypes: &[(String, Prototype)],
    data: &Dataset,
    bar: &ProgressBar,
) -> anyhow::Result<(Report, Vec<ImageScore>)> {
    bar.set_length(data.classes.iter().map(|class| class.test.len() as u64).sum());
    let mut scores = Vec::new();
    let mut pixel_aurocs = BTreeMap::new();
    for class in &data.classes {
        let mut pixels: Vec<(f32, bool)> = Vec::new();
        for images in class.test.chunks(BATCH) {
            let answers = answers(detector, images.iter().map(|image| image.path.as_path()))?;
            for (image, answer) in images.iter().zip(answers) {
                add_pixels(detector, image, &answer, &mut pixels)?;
                let of = prototypes.iter().map(|(_, prototype)| prototype);
                scores.push(ImageScore {
                    path: image.path.clone(),
                    product: class.name.clone(),
                    defect: image.defect.clone(),
                    score: worst(&answer),
                    recognised: nearest(of, &direction(&answer))
                        .map(|nearest| prototypes[nearest.index].0.clone()),
                });
            }
            bar.inc(images.len() as u64);
        }
        pixel_aurocs.insert(class.name.clone(), auroc(pixels));
    }
    bar.finish();
    let mut report = Report::of_scores(&scores);
    for (name, result) in &mut report.products {
        result.pixel_auroc = pixel_aurocs.get(name).copied().flatten();
    }
    Ok((report, scores))
}

/// The answers for image files, each a list with one entry per tile.
pub fn answers<'a>(
    detector: &mut dyn Detect,
    paths: impl Iterator<Item = &'a Path>,
) -> anyhow::Result<Vec<Vec<Answer>>> {
    let geometry = detector.geometry().clone();
    let paths: Vec<&Path> = paths.collect();
    let inputs = paths
        .par_iter()
        .map(|path| store::fitted(&geometry, path))
        .collect::<Result<Vec<_>, DataError>>()?;
    let mut answers = detector.detect(&inputs.concat())?.into_iter();
    Ok(inputs.iter().map(|tiles| answers.by_ref().take(tiles.len()).collect()).collect())
}

/// The prototype of every product: the mean direction of its good parts' embeddings.
pub fn prototypes(
    detector: &mut dyn Detect,
    names: &[String],
    parts: &[GoodPart],
    bar: &ProgressBar,
) -> anyhow::Result<Vec<(String, Prototype)>> {
    bar.set_length(parts.len() as u64);
    let mut embeddings: Vec<Vec<Vec<f32>>> = vec![Vec::new(); names.len()];
    for batch in parts.chunks(BATCH) {
        let answers = answers(detector, batch.iter().map(|part| part.path.as_path()))?;
        for (part, answer) in batch.iter().zip(answers) {
            embeddings[part.class].push(direction(&answer));
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish();
    names
        .iter()
        .zip(embeddings)
        .map(|(name, embeddings)| {
            let prototype = Prototype::of(embeddings.iter().map(Vec::as_slice));
            let prototype = prototype.ok_or_else(|| {
                anyhow::anyhow!("the embeddings of \"{name}\" have no direction; train longer")
            })?;
            Ok((name.clone(), prototype))
        })
        .collect()
}

/// The score of an image: that of its worst tile.
pub fn worst(tiles: &[Answer]) -> f32 {
    // `f32::max` would lose a NaN.
    let higher = |a: f32, b: f32| if a.is_nan() || a > b { a } else { b };
    tiles.iter().map(|tile| tile.score).fold(f32::NEG_INFINITY, higher)
}

/// The direction of an image's embedding: for one tile bit for bit, else that of the tiles' sum.
pub fn direction(tiles: &[Answer]) -> Vec<f32> {
    match tiles {
        [one] => one.embedding.clone(),
        many => Prototype::of(many.iter().map(|tile| tile.embedding.as_slice()))
            .map_or_else(Vec::new, |mean| mean.direction),
    }
}

/// Pixels count where it is known which of them are defective: in good parts and in masked ones.
fn add_pixels(
    detector: &dyn Detect,
    image: &TestImage,
    tiles: &[Answer],
    pixels: &mut Vec<(f32, bool)>,
) -> Result<(), DataError> {
    let values = tiles.iter().flat_map(|tile| tile.map.values.iter().copied());
    match (&image.defect, &image.mask) {
        (None, _) => pixels.extend(values.map(|value| (value, false))),
        (Some(_), Some(mask)) => {
            pixels.extend(values.zip(mask::in_inputs(detector.geometry(), mask)?));
        }
        (Some(_), None) => {}
    }
    Ok(())
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_per_product() {
        let score = |product: &str, defect: bool, score: f32| ImageScore {
            path: PathBuf::new(),
            product: product.into(),
            defect: defect.then(|| "dent".into()),
            score,
            recognised: Some("cap".into()),
        };
        // Across products the scores overlap; within each they do not.
        let report = Report::of_scores(&[
            score("cap", false, 0.1),
            score("cap", true, 0.2),
            score("gear", false, 0.5),
            score("gear", true, 0.6),
        ]);
        assert_eq!(report.mean_image_auroc(), Some(1.0));
        assert_eq!(report.products["gear"].recognised, Some(0.0));
        assert_eq!((report.products["cap"].good, report.products["cap"].defective), (1, 1));
        assert!(report.to_string().contains("100.00"));
    }
}
