//! The pictures of a report: decodes the chosen parts once more and asks the model for their maps.
//!
//! Owns the only reading of files and the only use of a model in a report. The maps of a whole test set would not fit
//! into memory; those of the gallery are computed anew.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use bundle::heat;
use indicatif::ProgressBar;

use super::{
    gallery::{Row, choose},
    palette::Palette,
    pictures::{Pictures, pictures},
};
use crate::{
    dataset::{DataError, Dataset, mask, store},
    detector::Detect,
    evaluate::{Evaluation, ImageScore},
};

/// Pictures of parts, row by row.
#[derive(Clone, Debug, Default)]
pub struct Gallery {
    /// Of each product, in the palette's order.
    pub(super) products: Vec<Vec<(Row, Vec<Exhibit>)>>,
}

/// A part in the gallery.
#[derive(Clone, Debug)]
pub(super) struct Exhibit {
    /// Its index among the images.
    pub(super) image: usize,
    /// What it looks like.
    pub(super) pictures: Pictures,
}

/// Makes the pictures of the parts that are worth looking at.
pub fn gather(
    detector: &mut dyn Detect,
    data: &Dataset,
    evaluation: &Evaluation,
    bar: &ProgressBar,
) -> anyhow::Result<Gallery> {
    let palette = Palette::of(&evaluation.report);
    let chosen = choose(&evaluation.images, palette.names(), palette.known().len());
    bar.set_length(chosen.iter().flatten().map(|(_, row)| row.len() as u64).sum());
    let masks: BTreeMap<&Path, &Path> = data
        .classes
        .iter()
        .flat_map(|class| &class.test)
        .filter_map(|image| Some((image.path.as_path(), image.mask.as_deref()?)))
        .collect();
    let mut gallery = Gallery::default();
    for rows in chosen {
        let mut of_product = Vec::new();
        for (row, indices) in rows {
            let mut exhibits = Vec::new();
            for index in indices {
                let image = &evaluation.images[index];
                let mask = masks.get(image.path.as_path()).copied();
                let limit = limit(evaluation, image);
                let pictures = picture(detector, &image.path, mask, limit)?;
                exhibits.push(Exhibit { image: index, pictures });
                bar.inc(1);
            }
            of_product.push((row, exhibits));
        }
        gallery.products.push(of_product);
    }
    bar.finish();
    Ok(gallery)
}

/// The threshold that the part was held against.
fn limit(evaluation: &Evaluation, image: &ImageScore) -> Option<f32> {
    Some(evaluation.standards.limits(image.recognised.as_deref()?)?.threshold)
}

fn picture(
    detector: &mut dyn Detect,
    path: &Path,
    mask: Option<&Path>,
    limit: Option<f32>,
) -> anyhow::Result<Pictures> {
    let geometry = detector.geometry().clone();
    let frame = store::decode(path)?;
    let inputs = geometry
        .input_from_frame(&frame.view())
        .map_err(|source| DataError::Geometry { path: path.to_path_buf(), source })?;
    let maps: Vec<_> = detector.detect(&inputs)?.into_iter().map(|answer| answer.map).collect();
    let map = geometry.frame_from_map(&maps, frame.size);
    let drawn = mask
        .map(|path| {
            mask::read(path)
                .map_err(|source| DataError::Decode { path: path.to_path_buf(), source })
        })
        .transpose()?
        .filter(|mask| mask.size == frame.size)
        .map(|mask| mask.defective);
    let limit = limit.unwrap_or_else(|| heat::highest(&map));
    pictures(&frame, &map, drawn.as_deref(), limit)
        .with_context(|| format!("make a picture of {}", path.display()))
}
