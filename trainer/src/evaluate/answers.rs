//! What a detector says about image files, tiles put together; and the prototypes that follow.
//!
//! Owns how an image's tiles become one score and one embedding. Knows no labels.

use std::path::Path;

use bundle::prototype::Prototype;
use indicatif::ProgressBar;
use rayon::prelude::*;

use crate::{
    dataset::{DataError, GoodPart, store},
    detector::{Answer, Detect},
};

/// Images that are decoded and judged together.
pub const BATCH: usize = 8;

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
