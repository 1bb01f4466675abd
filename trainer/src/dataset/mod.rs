//! Images on disk: which there are, which of them training may see, and how they become batches.
//!
//! Owns the split between training and calibration and the decoding of files. Knows no tensor: batches are
//! made of its images in `prefetch`.

pub mod augment;
pub mod mvtec;
pub mod prefetch;
pub mod sampler;
pub mod store;

use std::path::{Path, PathBuf};

use bundle::fingerprint;
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

/// What is wrong with a data set. Each is one line with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A folder that should be there is not.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// No class in the folder.
    #[error("{} has no class folder: expected CLASS/train/good/*.png (or jpg, bmp, tif) in it", .0.display())]
    NoClasses(PathBuf),
    /// A class without good parts.
    #[error("{} has no images; a class needs good parts to learn from", .0.display())]
    NoImages(PathBuf),
    /// A product that is asked for is not there.
    #[error("{} holds no product \"{product}\"; its products are {}", root.display(), known.join(", "))]
    NoSuchProduct {
        /// The folder.
        root: PathBuf,
        /// What was asked for.
        product: String,
        /// What is there.
        known: Vec<String>,
    },
    /// An image that cannot be decoded.
    #[error("image {} cannot be decoded: {cause}; remove it or replace it", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        cause: String,
    },
    /// An image that does not fit the geometry.
    #[error("image {}: {source}", path.display())]
    Geometry {
        /// The file.
        path: PathBuf,
        /// Why.
        source: bundle::geometry::GeometryError,
    },
}

/// A data set: one folder per product.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The folder.
    pub root: PathBuf,
    /// Products, by name.
    pub classes: Vec<ProductFolder>,
}

/// The images of one product.
#[derive(Clone, Debug)]
pub struct ProductFolder {
    /// The folder's name.
    pub name: String,
    /// Good parts to learn from and to calibrate with.
    pub good: Vec<PathBuf>,
    /// Parts to measure with.
    pub test: Vec<TestImage>,
}

/// A part to measure with.
#[derive(Clone, Debug)]
pub struct TestImage {
    /// The image.
    pub path: PathBuf,
    /// The kind of defect; `None` for a good part.
    pub defect: Option<String>,
    /// White where the defect is; `None` where nobody drew it.
    pub mask: Option<PathBuf>,
}

/// One good part and the index of its product.
#[derive(Clone, Debug)]
pub struct GoodPart {
    /// The image.
    pub path: PathBuf,
    /// Index of the product in the data set.
    pub class: usize,
}

/// The good parts of a data set in two disjoint halves.
#[derive(Clone, Debug)]
pub struct Split {
    /// What training sees.
    pub training: Vec<GoodPart>,
    /// What it never sees.
    pub calibration: Vec<GoodPart>,
}

impl Dataset {
    /// Product names in the order of their indices.
    pub fn names(&self) -> Vec<String> {
        self.classes.iter().map(|class| class.name.clone()).collect()
    }

    /// The set with the products of these names alone, in their old order; the first name that it lacks is the error.
    pub fn only(&self, names: &[String]) -> Result<Self, DataError> {
        if let Some(missing) = names.iter().find(|name| !self.names().contains(name)) {
            return Err(DataError::NoSuchProduct {
                root: self.root.clone(),
                product: missing.clone(),
                known: self.names(),
            });
        }
        let is_named = |class: &&ProductFolder| names.contains(&class.name);
        let classes = self.classes.iter().filter(is_named).cloned().collect();
        Ok(Self { root: self.root.clone(), classes })
    }

    /// Holds out a share of every product's good parts: a function of seed, product and file names alone.
    pub fn split(&self, calibration_share: f64, seed: u64) -> Split {
        let mut split = Split { training: Vec::new(), calibration: Vec::new() };
        for (index, class) in self.classes.iter().enumerate() {
            let mut parts: Vec<GoodPart> = class
                .good
                .iter()
                .map(|path| GoodPart { path: path.clone(), class: index })
                .collect();
            let name = fingerprint::sha256(class.name.as_bytes());
            let salt = u64::from_str_radix(&name[..16], 16).unwrap_or(0);
            parts.shuffle(&mut ChaCha8Rng::seed_from_u64(seed ^ salt));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a count"
            )]
            let held_out = (parts.len() as f64 * calibration_share).round() as usize;
            // At least one part is left to learn from.
            let held_out = held_out.min(parts.len().saturating_sub(1));
            split.calibration.extend(parts.drain(..held_out));
            split.training.append(&mut parts);
        }
        split
    }
}

/// The fingerprint of the images that a model learned from.
pub fn fingerprint_of(root: &Path, parts: &[GoodPart]) -> Result<String, DataError> {
    let files = parts
        .iter()
        .map(|part| {
            let bytes = std::fs::read(&part.path)
                .map_err(|source| DataError::Read { path: part.path.clone(), source })?;
            let below = part.path.strip_prefix(root).unwrap_or(&part.path);
            Ok((below.display().to_string(), fingerprint::sha256(&bytes)))
        })
        .collect::<Result<_, DataError>>()?;
    Ok(fingerprint::of_files(files))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(good: usize) -> Dataset {
        let class = |name: &str| ProductFolder {
            name: name.into(),
            good: (0..good).map(|i| PathBuf::from(format!("{name}/{i}.png"))).collect(),
            test: Vec::new(),
        };
        Dataset { root: PathBuf::new(), classes: vec![class("cap"), class("gear")] }
    }

    #[test]
    fn the_split_is_disjoint_complete_and_repeatable() {
        let paths = |parts: &[GoodPart]| -> std::collections::BTreeSet<PathBuf> {
            parts.iter().map(|part| part.path.clone()).collect()
        };
        let split = dataset(10).split(0.2, 1);
        assert_eq!((split.training.len(), split.calibration.len()), (16, 4));
        assert!(paths(&split.training).is_disjoint(&paths(&split.calibration)));
        assert_eq!(paths(&split.calibration), paths(&dataset(10).split(0.2, 1).calibration));
        assert_ne!(paths(&split.calibration), paths(&dataset(10).split(0.2, 2).calibration));
    }

    #[test]
    fn one_part_is_learned_from() {
        let split = dataset(1).split(0.8, 1);
        assert_eq!((split.training.len(), split.calibration.len()), (2, 0));
    }
}
