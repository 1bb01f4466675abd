//! Calibrates an exported model on good parts: how they score and how far they lie from their prototype.
//!
//! Runs the deployed network on ONNX Runtime, because that is what will score the line. Owns the rule that a part
//! whose nearest prototype is another product's counts as infinitely far for its own.

use bundle::{
    calibration::{CONFUSED, Calibration},
    prototype::{Prototype, nearest},
    schema::Class,
};
use indicatif::ProgressBar;

use crate::{
    dataset::GoodPart,
    detector::Detect,
    evaluate::{BATCH, answers, direction, worst},
};

/// What one good part showed.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The part.
    pub part: GoodPart,
    /// Its image score.
    pub score: f32,
    /// Its distance from its own prototype.
    pub distance: f32,
}

/// Measures good parts against the prototypes, whose order is that of the parts' classes.
pub fn measure(
    detector: &mut dyn Detect,
    prototypes: &[(String, Prototype)],
    parts: &[GoodPart],
    bar: &ProgressBar,
) -> anyhow::Result<Vec<Measured>> {
    bar.set_length(parts.len() as u64);
    let mut measured = Vec::with_capacity(parts.len());
    for batch in parts.chunks(BATCH) {
        let answers = answers(detector, batch.iter().map(|part| part.path.as_path()))?;
        for (part, answer) in batch.iter().zip(answers) {
            let embedding = direction(&answer);
            let nearest = nearest(prototypes.iter().map(|(_, prototype)| prototype), &embedding);
            let distance = nearest
                .filter(|nearest| nearest.index == part.class)
                .map_or(CONFUSED, |nearest| nearest.distance);
            measured.push(Measured { part: part.clone(), score: worst(&answer), distance });
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish();
    Ok(measured)
}

/// The products with the calibration that was measured.
pub fn classes(
    prototypes: &[(String, Prototype)],
    measured: &[Measured],
    source: &str,
) -> anyhow::Result<Vec<Class>> {
    prototypes
        .iter()
        .enumerate()
        .map(|(index, (name, prototype))| {
            let calibration = of_class(measured, index, source)?;
            Ok(Class { name: name.clone(), prototype: prototype.clone(), calibration })
        })
        .collect()
}

/// The calibration of one class; `None` when no part of it was measured.
pub fn of_class(
    measured: &[Measured],
    class: usize,
    source: &str,
) -> anyhow::Result<Option<Calibration>> {
    let own = || measured.iter().filter(|measured| measured.part.class == class);
    if own().next().is_none() {
        return Ok(None);
    }
    let scores = own().map(|measured| measured.score).collect();
    let distances = own().map(|measured| measured.distance).collect();
    Ok(Some(Calibration::new(scores, distances, source)?))
}
