//! Decodes every file of a data set and notes what it shows.
//!
//! Owns the reading; what the facts mean is `audit`'s to say. One fact per file: a file that cannot be decoded is one too.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use bundle::{
    fingerprint,
    geometry::Size,
    still::{self, StillError},
};
use indicatif::ProgressBar;
use rayon::prelude::*;

use super::{Dataset, mask};

/// What an image shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its size, upright.
    pub size: Size,
    /// Channels and depth, such as `rgb 8`.
    pub mode: String,
    /// The largest value of its colour channels; `None` for 8 bits.
    pub largest_16_bit: Option<u16>,
    /// Whether any pixel is less than opaque.
    pub is_transparent: bool,
    /// SHA-256 of the decoded 8-bit RGB pixels: the same for a PNG that was compressed anew, another for a JPEG.
    pub pixels_sha256: String,
}

/// What a mask shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskFacts {
    /// Its size.
    pub size: Size,
    /// Pixels above 0.
    pub defective_px: usize,
}

/// The facts about every file of a data set, or why there are none.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Images by path.
    pub images: BTreeMap<PathBuf, Result<ImageFacts, String>>,
    /// Masks by path.
    pub masks: BTreeMap<PathBuf, Result<MaskFacts, String>>,
}

/// Decodes the images and masks of a data set, all cores at once.
pub fn survey(data: &Dataset, bar: &ProgressBar) -> Survey {
    let products = &data.classes;
    let good = products.iter().flat_map(|product| &product.good);
    let test = || products.iter().flat_map(|product| &product.test);
    let images: BTreeSet<&PathBuf> = good.chain(test().map(|image| &image.path)).collect();
    let masks: BTreeSet<&PathBuf> = test().filter_map(|image| image.mask.as_ref()).collect();
    bar.set_length((images.len() + masks.len()) as u64);
    let images = images.par_iter().map(|&path| {
        let facts = image(path).map_err(|error| error.to_string());
        bar.inc(1);
        (path.clone(), facts)
    });
    let images = images.collect();
    let masks = masks.par_iter().map(|&path| {
        let facts = mask(path).map_err(|error| error.to_string());
        bar.inc(1);
        (path.clone(), facts)
    });
    let survey = Survey { images, masks: masks.collect() };
    bar.finish();
    survey
}

fn image(path: &Path) -> Result<ImageFacts, StillError> {
    let still = still::read(path)?;
    Ok(ImageFacts {
        size: still.size(),
        mode: still.mode(),
        largest_16_bit: still.largest_16_bit(),
        is_transparent: still.is_transparent(),
        pixels_sha256: fingerprint::sha256(&still.into_rgb().pixels),
    })
}

fn mask(path: &Path) -> Result<MaskFacts, StillError> {
    let mask = mask::read(path)?;
    let defective_px = mask.defective.iter().filter(|&&defective| defective).count();
    Ok(MaskFacts { size: mask.size, defective_px })
}
