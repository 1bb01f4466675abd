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
    collections::{BTreeMap, BTreeSet},
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

/// What runs have learned from: the SHA-256 of each file, whatever its name; its first 16 digits, for there are many.
pub type Learned = BTreeSet<String>;

/// One good part and the index of its product.
#[derive(Clone, Debug)]
pub struct GoodPart {
    /// The image.
    pub path: PathBuf,
    /// Index of the product in the data set.
    pub class: usize,
}

/// The good parts of a data set in two halves, of which no file of one has the bytes of a file of the other.
#[derive(Clone, Debug)]
pub struct Split {
    /// What training sees.
    pub training: Vec<GoodPart>,
    /// What neither it nor an earlier run ever saw.
    pub calibration: Vec<GoodPart>,
    /// The SHA-256 of every file.
    digests: BTreeMap<PathBuf, String>,
}

impl Split {
    /// The fingerprint of the images that a model learned from: their bytes, and their paths below the root that each came
    /// from, so that it does not matter where the roots are kept.
    pub fn fingerprint(&self, data: &Dataset) -> String {
        let files = self.training.iter().map(|part| {
            let root = &data.classes[part.class].root;
            let below = part.path.strip_prefix(root).unwrap_or(&part.path);
            (below.display().to_string(), self.digests[&part.path].clone())
        });
        fingerprint::of_files(files.collect())
    }

    /// What a model has learned from.
    pub fn learned(&self) -> Learned {
        self.training.iter().map(|part| short(&self.digests[&part.path])).collect()
    }
}

fn short(digest: &str) -> String {
    digest[..16].to_owned()
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

    /// Holds out a share of every product's good parts: a function of seed, product, file names and bytes alone.
    ///
    /// Neither what was `learned` earlier nor the copy of a file that is learned from is held out: a calibration must
    /// not be of parts that the model knows. Each file is read.
    pub fn split(
        &self,
        calibration_share: f64,
        seed: u64,
        learned: &Learned,
    ) -> Result<Split, DataError> {
        let mut digests = BTreeMap::new();
        for path in self.classes.iter().flat_map(|class| &class.good) {
            let bytes = std::fs::read(path)
                .map_err(|source| DataError::Read { path: path.clone(), source })?;
            digests.insert(path.clone(), fingerprint::sha256(&bytes));
        }
        let mut split = Split { training: Vec::new(), calibration: Vec::new(), digests };
        for (index, class) in self.classes.iter().enumerate() {
            let mut parts: Vec<GoodPart> = class
                .good
                .iter()
                .map(|path| GoodPart { path: path.clone(), class: index })
                .collect();
            let name = fingerprint::sha256(class.name.as_bytes());
            let salt = u64::from_str_radix(&name[..16], 16).unwrap_or(0);
            parts.shuffle(&mut ChaCha8Rng::seed_from_u64(seed ^ salt));
            let wanted = held_out(parts.len(), calibration_share);
            let (known, new): (Vec<_>, Vec<_>) = parts
                .into_iter()
                .partition(|part| learned.contains(&short(&split.digests[&part.path])));
            let mut new = new.into_iter();
            split.calibration.extend(new.by_ref().take(wanted));
            split.training.extend(new.chain(known));
        }
        let trained: BTreeSet<&String> =
            split.training.iter().map(|part| &split.digests[&part.path]).collect();
        let (copies, held_out): (Vec<_>, Vec<_>) = split
            .calibration
            .into_iter()
            .partition(|part| trained.contains(&split.digests[&part.path]));
        split.calibration = held_out;
        split.training.extend(copies);
        Ok(split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of two products, and the folder that they lie in.
    fn dataset(good: usize) -> (Dataset, tempfile::TempDir) {
        let names: Vec<String> = ["cap", "gear"]
            .iter()
            .flat_map(|name| (0..good).map(move |i| format!("{name}/{i}.png")))
            .collect();
        let folder = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
        (read(&[folder.path().to_path_buf()]).unwrap(), folder)
    }

    fn paths(parts: &[GoodPart]) -> BTreeSet<PathBuf> {
        parts.iter().map(|part| part.path.clone()).collect()
    }

    #[test]
    fn the_split_is_disjoint_complete_and_repeatable() {
        let (data, _folder) = dataset(10);
        let of = |seed: u64| data.split(0.2, seed, &Learned::new()).unwrap();
        let split = of(1);
        assert_eq!((split.training.len(), split.calibration.len()), (16, 4));
        assert!(paths(&split.training).is_disjoint(&paths(&split.calibration)));
        assert_eq!(paths(&split.calibration), paths(&of(1).calibration));
        assert_ne!(paths(&split.calibration), paths(&of(2).calibration));
    }

    #[test]
    fn one_part_is_learned_from() {
        let (data, _folder) = dataset(1);
        let split = data.split(0.8, 1, &Learned::new()).unwrap();
        assert_eq!((split.training.len(), split.calibration.len()), (2, 0));
    }

    #[test]
    fn what_an_earlier_run_learned_from_is_never_held_out() {
        let (data, folder) = dataset(20);
        let earlier = data.split(0.25, 1, &Learned::new()).unwrap();
        for i in 0..20 {
            std::fs::write(folder.path().join(format!("cap/new{i}.png")), format!("new{i}"))
                .unwrap();
        }
        // The data set has grown, and the seed is another one.
        let grown = read(&data.roots).unwrap();
        let seen = paths(&earlier.training);
        let blind = grown.split(0.25, 2, &Learned::new()).unwrap();
        assert!(!seen.is_disjoint(&paths(&blind.calibration)), "the test would see nothing");
        let later = grown.split(0.25, 2, &earlier.learned()).unwrap();
        assert!(seen.is_disjoint(&paths(&later.calibration)));
        assert_eq!(later.training.len() + later.calibration.len(), 60);
        // Of caps ten of forty; of gears the five that the earlier run held out.
        let of = |class| later.calibration.iter().filter(|part| part.class == class).count();
        assert_eq!((of(0), of(1)), (10, 5));
    }

    #[test]
    fn a_copy_of_a_file_that_is_learned_from_is_not_held_out() {
        let (data, folder) = dataset(4);
        for i in 0..4 {
            let bytes = std::fs::read(folder.path().join(format!("cap/{i}.png"))).unwrap();
            std::fs::write(folder.path().join(format!("cap/again{i}.png")), bytes).unwrap();
        }
        let data = read(&data.roots).unwrap();
        for seed in 0..20 {
            let split = data.split(0.5, seed, &Learned::new()).unwrap();
            let held_out = split.calibration.iter().map(|part| short(&split.digests[&part.path]));
            assert!(split.learned().is_disjoint(&held_out.collect()), "{seed}");
            assert_eq!(split.training.len() + split.calibration.len(), 12);
        }
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
            |data: &Dataset| data.split(0.0, 1, &Learned::new()).unwrap().fingerprint(data);
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
