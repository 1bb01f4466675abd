//! Images on disk: which there are, which of them training may see, and how they become batches.
//!
//! Owns the joining of several roots into one set and the split between training and calibration. Which files belong
//! to which product is `layout`'s to say, whether they can be used `screen`'s and `audit`'s. Knows no tensor: batches
//! are made of its images in `prefetch`.

mod layout;
pub mod screen;
pub mod survey;
pub mod audit;
pub mod mask;
pub mod store;
pub mod sampler;
pub mod augment;
pub mod prefetch;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use bundle::{fingerprint, geometry::GeometryError, still::StillError};
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

/// What is wrong with a data set. Each is one line with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A folder or file that should be there is not.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// No layout that is known.
    #[error("{} has no layout that is known; expected in it one of: {expected}", root.display())]
    UnknownLayout {
        /// The folder.
        root: PathBuf,
        /// Every layout's mark.
        expected: String,
    },
    /// More than one thing that it could be.
    #[error("{} is ambiguous: it has {found}; keep one of them in it", root.display())]
    AmbiguousLayout {
        /// The folder.
        root: PathBuf,
        /// What was found.
        found: String,
    },
    /// A list of a data set that cannot be followed.
    #[error("list {}: {cause}; unpack the data set anew", path.display())]
    List {
        /// The CSV or JSON file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// One name, two products.
    #[error(
        "product \"{product}\" is in {} and in {}; rename one of them, or leave one root out",
        roots[0].display(),
        roots[1].display()
    )]
    SameProduct {
        /// The name.
        product: String,
        /// Where it is.
        roots: [PathBuf; 2],
    },
    /// A product without good parts.
    #[error(
        "product \"{product}\" in {} has no images of good parts to learn from; add some, or take it out",
        root.display()
    )]
    NoImages {
        /// The product.
        product: String,
        /// Where it is.
        root: PathBuf,
    },
    /// A product that is asked for is not there.
    #[error("{place} holds no product \"{product}\"; its products are {}", known.join(", "))]
    NoSuchProduct {
        /// The folders.
        place: String,
        /// What was asked for.
        product: String,
        /// What is there.
        known: Vec<String>,
    },
    /// An image that cannot be decoded.
    #[error("image {} {source}; replace it, remove it, or skip it with --skip-bad", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StillError,
    },
    /// An image that does not fit the geometry.
    #[error("image {}: {source}", path.display())]
    Geometry {
        /// The file.
        path: PathBuf,
        /// Why.
        source: GeometryError,
    },
    /// `data check` found errors.
    #[error(
        "{roots} cannot be used as it is: {errors} errors, listed above; mend them and check again"
    )]
    Unusable {
        /// The folders.
        roots: String,
        /// How many.
        errors: usize,
    },
}

/// A data set: the products of one or several folders.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The folders.
    pub roots: Vec<PathBuf>,
    /// Products, by name.
    pub classes: Vec<Product>,
}

/// The images of one product.
#[derive(Clone, Debug, Default)]
pub struct Product {
    /// Its name in the data set.
    pub name: String,
    /// The folder of the data set that it came from.
    pub root: PathBuf,
    /// Good parts to learn from and to calibrate with.
    pub good: Vec<PathBuf>,
    /// Parts to measure with.
    pub test: Vec<TestImage>,
    /// What the data set lists for training although it calls it defective: nobody learns from it.
    pub left_out: Vec<PathBuf>,
    /// Masks that belong to no test image.
    pub unclaimed_masks: Vec<PathBuf>,
}

impl Product {
    /// A product of good parts alone.
    fn of_good(root: &Path, name: String, good: Vec<PathBuf>) -> Self {
        Self { name, root: root.to_path_buf(), good, ..Self::default() }
    }
}

/// A part to measure with.
#[derive(Clone, Debug)]
pub struct TestImage {
    /// The image.
    pub path: PathBuf,
    /// The kind of defect; `None` for a good part.
    pub defect: Option<String>,
    /// Above 0 where the defect is; `None` where nobody drew it.
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

/// Reads the products of all roots, each of any known layout, into one set.
///
/// Products keep their names and are in the order of these, however the roots are ordered: a name that two roots share
/// is an error. So one root and several are alike to whoever learns from them.
pub fn read(roots: &[PathBuf]) -> Result<Dataset, DataError> {
    let mut classes: Vec<Product> = Vec::new();
    for root in roots {
        for product in layout::read(root)? {
            if let Some(twin) = classes.iter().find(|known| known.name == product.name) {
                let roots = [twin.root.clone(), product.root];
                return Err(DataError::SameProduct { product: product.name, roots });
            }
            classes.push(product);
        }
    }
    classes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Dataset { roots: roots.to_vec(), classes })
}

/// How many of a product's good parts are held out for calibration: at least one is left to learn from.
pub fn held_out(good: usize, calibration_share: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count"
    )]
    let share = (good as f64 * calibration_share).round() as usize;
    share.min(good.saturating_sub(1))
}

impl Dataset {
    /// The folders, for a person.
    pub fn place(&self) -> String {
        let roots: Vec<String> = self.roots.iter().map(|root| root.display().to_string()).collect();
        roots.join(", ")
    }

    /// The set without some files: an image goes with its mask, a mask leaves its image without one.
    pub fn without(mut self, files: &BTreeSet<PathBuf>) -> Result<Self, DataError> {
        for product in &mut self.classes {
            product.good.retain(|path| !files.contains(path));
            product.test.retain(|image| !files.contains(&image.path));
            for image in &mut product.test {
                image.mask = image.mask.take().filter(|mask| !files.contains(mask));
            }
            if product.good.is_empty() {
                let (product, root) = (product.name.clone(), product.root.clone());
                return Err(DataError::NoImages { product, root });
            }
        }
        Ok(self)
    }

    /// Product names in the order of their indices.
    pub fn names(&self) -> Vec<String> {
        self.classes.iter().map(|class| class.name.clone()).collect()
    }

    /// The set with the products of these names alone, in their old order; the first name that it lacks is the error.
    pub fn only(&self, names: &[String]) -> Result<Self, DataError> {
        if let Some(missing) = names.iter().find(|name| !self.names().contains(name)) {
            return Err(DataError::NoSuchProduct {
                place: self.place(),
                product: missing.clone(),
                known: self.names(),
            });
        }
        let is_named = |class: &&Product| names.contains(&class.name);
        let classes = self.classes.iter().filter(is_named).cloned().collect();
        Ok(Self { roots: self.roots.clone(), classes })
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
            let held_out = held_out(parts.len(), calibration_share);
            split.calibration.extend(parts.drain(..held_out));
            split.training.append(&mut parts);
        }
        split
    }
}

/// The fingerprint of the images that a model learned from: their bytes, and their paths below the root that each came
/// from, so that it does not matter where the roots are kept.
pub fn fingerprint_of(data: &Dataset, parts: &[GoodPart]) -> Result<String, DataError> {
    let files = parts
        .iter()
        .map(|part| {
            let bytes = std::fs::read(&part.path)
                .map_err(|source| DataError::Read { path: part.path.clone(), source })?;
            let root = &data.classes[part.class].root;
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
        let class = |name: &str| {
            let good = (0..good).map(|i| PathBuf::from(format!("{name}/{i}.png"))).collect();
            Product::of_good(Path::new(""), name.to_owned(), good)
        };
        Dataset { roots: vec![PathBuf::new()], classes: vec![class("cap"), class("gear")] }
    }

    #[test]
    fn the_split_is_disjoint_complete_and_repeatable() {
        let paths = |parts: &[GoodPart]| -> BTreeSet<PathBuf> {
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

    /// Writes empty files and gives the folder back.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        folder
    }

    #[test]
    fn roots_of_different_layouts_become_one_set() {
        let one = folder(&["gear/train/good/0.png", "gear/test/dent/0.png"]);
        let other = folder(&["cap/0.png", "cap/1.png"]);
        let roots = |a: &tempfile::TempDir, b: &tempfile::TempDir| {
            vec![a.path().to_path_buf(), b.path().to_path_buf()]
        };
        let data = read(&roots(&one, &other)).unwrap();
        assert_eq!(data.names(), ["cap", "gear"]);
        let fingerprint =
            |data: &Dataset| fingerprint_of(data, &data.split(0.0, 1).training).unwrap();
        let swapped = read(&roots(&other, &one)).unwrap();
        assert_eq!(swapped.names(), data.names());
        assert_eq!(fingerprint(&swapped), fingerprint(&data));
        // A root alone has the fingerprint that it always had: relative paths and bytes.
        let alone = read(&[other.path().to_path_buf()]).unwrap();
        let files = ["cap/0.png", "cap/1.png"];
        let files = files.map(|file| (file.to_owned(), fingerprint::sha256(file.as_bytes())));
        assert_eq!(fingerprint(&alone), fingerprint::of_files(files.to_vec()));

        let told = read(&roots(&one, &one)).unwrap_err().to_string();
        assert!(told.contains("\"gear\" is in") && told.contains("rename one"), "{told}");
    }

    #[test]
    fn files_are_taken_out_and_a_product_without_good_parts_is_an_error() {
        let one = folder(&[
            "gear/train/good/0.png",
            "gear/train/good/1.png",
            "gear/test/dent/0.png",
            "gear/test/dent/1.png",
            "gear/ground_truth/dent/1_mask.png",
        ]);
        let data = read(&[one.path().to_path_buf()]).unwrap();
        let without = |names: &[&str]| {
            data.clone()
                .without(&names.iter().map(|name| one.path().join("gear").join(name)).collect())
        };
        let rest =
            without(&["train/good/0.png", "test/dent/0.png", "ground_truth/dent/1_mask.png"])
                .unwrap();
        assert_eq!((rest.classes[0].good.len(), rest.classes[0].test.len()), (1, 1));
        assert_eq!(rest.classes[0].test[0].mask, None);
        let none = without(&["train/good/0.png", "train/good/1.png"]);
        assert!(matches!(none, Err(DataError::NoImages { .. })));
    }
}
