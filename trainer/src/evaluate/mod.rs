//! How well a model tells good parts from defective ones and products from one another.
//!
//! Owns the walk over a test set. Whatever computes the answers comes in as [`Detect`]; what follows from them is
//! `report`, pure.

mod acceptance;
mod answers;
mod pixels;
mod report;

use std::{collections::BTreeMap, path::PathBuf};

use bundle::{calibration::RejectRate, schema::Class};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

pub use acceptance::{Decision, Judgement, Standards};
pub use answers::{BATCH, answers, direction, prototypes, worst};
pub use report::{COLUMNS, Foreign, PixelMetrics, ProductResult, Recognition, Report, percent};

use crate::{
    cluster,
    dataset::Dataset,
    detector::Detect,
    metrics::{self, Scores, v_measure},
};

/// Points of a curve that is kept for drawing.
const CURVE_POINTS: usize = 200;

/// One measured image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageScore {
    /// The file.
    pub path: PathBuf,
    /// Its product.
    pub product: String,
    /// The kind of defect; `None` for a good part.
    pub defect: Option<String>,
    /// What the model says.
    pub score: f32,
    /// The product whose prototype is nearest.
    pub recognised: Option<String>,
    /// What a line would do with it.
    pub decision: Decision,
}

/// Per-region overlap against false-positive rate, each 0 to 1, thinned for drawing.
pub type Curve = Vec<(f64, f64)>;

/// A test set, measured.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The figures.
    pub report: Report,
    /// Every image.
    pub images: Vec<ImageScore>,
    /// The embedding of every image, in the same order.
    pub embeddings: Vec<Vec<f32>>,
    /// What the decisions were made with.
    pub standards: Standards,
    /// Of each product with masks.
    pub overlap_curves: BTreeMap<String, Curve>,
}

/// Measures a test set with the products that a model knows, at a false-reject rate.
///
/// Products of the data set that the model does not know are foreign: they are there to be refused.
pub fn evaluate(
    detector: &mut dyn Detect,
    classes: &[Class],
    data: &Dataset,
    rate: RejectRate,
    bar: &ProgressBar,
) -> anyhow::Result<Evaluation> {
    bar.set_length(data.classes.iter().map(|class| class.test.len() as u64).sum());
    let standards = Standards::new(classes, rate);
    let (mut images, mut embeddings) = (Vec::new(), Vec::new());
    let (mut pixel_metrics, mut overlap_curves) = (BTreeMap::new(), BTreeMap::new());
    for class in &data.classes {
        let mut scores = Scores::default();
        for batch in class.test.chunks(BATCH) {
            let answers = answers(detector, batch.iter().map(|image| image.path.as_path()))?;
            for (image, tiles) in batch.iter().zip(answers) {
                pixels::add(detector.geometry(), image, &tiles, &mut scores)?;
                let (score, embedding) = (worst(&tiles), direction(&tiles));
                let Judgement { nearest, decision, .. } = standards.judge(score, &embedding);
                images.push(ImageScore {
                    path: image.path.clone(),
                    product: class.name.clone(),
                    defect: image.defect.clone(),
                    score,
                    recognised: nearest,
                    decision,
                });
                embeddings.push(embedding);
            }
            bar.inc(batch.len() as u64);
        }
        if let Some(ranking) = scores.rank() {
            pixel_metrics.insert(class.name.clone(), PixelMetrics::of(&ranking));
            let curve =
                ranking.per_region_overlap().take_while(|(rate, _)| *rate <= metrics::FPR_MAX);
            overlap_curves.insert(class.name.clone(), metrics::thinned(curve, CURVE_POINTS));
        }
    }
    bar.finish();
    let known = standards.names();
    let mut report = Report::of(&images, &known);
    report.add_pixels(&pixel_metrics);
    report.add_standards(&standards, rate);
    report.v_measure = agreement_of_clusters(&images, &embeddings, &known);
    Ok(Evaluation { report, images, embeddings, standards, overlap_curves })
}

/// Clusters the embeddings of the known products' good parts, as many clusters as products, and compares.
fn agreement_of_clusters(
    images: &[ImageScore],
    embeddings: &[Vec<f32>],
    known: &[String],
) -> Option<metrics::VMeasure> {
    let (classes, points): (Vec<usize>, Vec<&[f32]>) = images
        .iter()
        .zip(embeddings)
        .filter(|(image, _)| image.defect.is_none())
        .filter_map(|(image, embedding)| {
            Some((known.iter().position(|name| *name == image.product)?, embedding.as_slice()))
        })
        .unzip();
    let clusters = cluster::k_means(&points, known.len())?;
    Some(v_measure(&classes, &clusters))
}
