//! What `sightline-train data check` says about a data set.
//!
//! Pure: products and the facts of their files in, counts and findings out. Owns which finding is an error, that is,
//! makes every figure wrong or stops a run, and which is a warning, that is, something a person should know.

mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use bundle::geometry::Size;
use serde::Serialize;

use super::{
    Dataset, Product, held_out,
    survey::{ImageFacts, Survey},
};

/// Below it a 16-bit image has at most 12 bits of content: scaled to 8 bits it is nearly black.
const TWELVE_BITS: u16 = 1 << 12;
/// A line that refuses more than one good part in ten cannot be run.
const LEAST_RATE_MAX: f64 = 0.1;

/// A data set, counted and judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Its folders.
    pub roots: Vec<PathBuf>,
    /// Whether there is no error.
    pub usable: bool,
    /// Its products by name.
    pub products: BTreeMap<String, Counts>,
    /// What must be mended.
    pub errors: Vec<Finding>,
    /// What should be known.
    pub warnings: Vec<Finding>,
}

/// What a product has.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Good parts to learn from and to calibrate with.
    pub train_good: usize,
    /// Those among them that are held out for calibration.
    pub held_out: usize,
    /// The lowest false-reject rate that these can support; `None` when none is held out.
    pub least_reject_rate: Option<f64>,
    /// Good parts to measure with.
    pub test_good: usize,
    /// Defective ones, by kind.
    pub defects: BTreeMap<String, usize>,
    /// Masks of these.
    pub masks: usize,
    /// The image with the fewest pixels, and the one with the most; `None` when nothing could be decoded.
    pub sizes_px: Option<[Size; 2]>,
    /// Different sizes.
    pub distinct_sizes: usize,
    /// Images by channels and depth.
    pub modes: BTreeMap<String, usize>,
}

/// Something about a data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Finding {
    /// An image or mask that is not read.
    Undecodable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Nothing to learn from is left.
    NoGoodParts {
        /// The product.
        product: String,
    },
    /// The same pixels to learn from and to measure with.
    Leak {
        /// To learn from.
        train: Vec<PathBuf>,
        /// To measure with.
        test: Vec<PathBuf>,
    },
    /// The same pixels several times in training: some may be held out, while training sees the others.
    TrainDuplicates {
        /// The files.
        paths: Vec<PathBuf>,
    },
    /// The same pixels several times in the test set.
    TestDuplicates {
        /// The files.
        paths: Vec<PathBuf>,
    },
    /// A mask that belongs to no test image.
    MaskWithoutImage {
        /// The mask.
        path: PathBuf,
    },
    /// Defective images that nobody drew a mask for, in a product where others have one.
    DefectsWithoutMask {
        /// The product.
        product: String,
        /// Their number.
        images: usize,
    },
    /// A mask of another size than its image.
    MaskSize {
        /// The mask.
        path: PathBuf,
        /// Its size.
        mask: Size,
        /// Its image's.
        image: Size,
    },
    /// A mask without any value above 0.
    MaskEmpty {
        /// The mask.
        path: PathBuf,
    },
    /// A mask with nothing but values above 0.
    MaskFull {
        /// The mask.
        path: PathBuf,
    },
    /// Images with 16 bits whose values need no more than 12.
    TwelveBits {
        /// The product.
        product: String,
        /// Their number.
        images: usize,
        /// The largest value in them.
        largest: u16,
    },
    /// Images with transparent pixels, whose alpha is dropped.
    Transparent {
        /// The product.
        product: String,
        /// Their number.
        images: usize,
    },
    /// Defective parts that the data set lists for training.
    LeftOut {
        /// The product.
        product: String,
        /// Their number.
        images: usize,
    },
    /// Few held-out parts, so that no rate worth having can be promised.
    FewForCalibration {
        /// The product.
        product: String,
        /// Those that are held out.
        held_out: usize,
    },
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It must be mended.
    Error,
    /// It should be known.
    Warning,
}

impl Finding {
    /// How bad it is.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Undecodable { .. } | Self::NoGoodParts { .. } | Self::Leak { .. } => {
                Severity::Error
            }
            Self::TrainDuplicates { .. }
            | Self::TestDuplicates { .. }
            | Self::MaskWithoutImage { .. }
            | Self::DefectsWithoutMask { .. }
            | Self::MaskSize { .. }
            | Self::MaskEmpty { .. }
            | Self::MaskFull { .. }
            | Self::TwelveBits { .. }
            | Self::Transparent { .. }
            | Self::LeftOut { .. }
            | Self::FewForCalibration { .. } => Severity::Warning,
        }
    }
}

impl Audit {
    /// Judges a data set by the facts of its files; `calibration_share` of the good parts is held out.
    pub fn of(data: &Dataset, survey: &Survey, calibration_share: f64) -> Self {
        let mut findings = undecodable(survey);
        findings.extend(repeated(data, survey));
        let mut products = BTreeMap::new();
        for product in &data.classes {
            let counts = count(product, survey, calibration_share);
            findings.extend(of_product(product, &counts, survey));
            findings.extend(of_masks(product, survey));
            products.insert(product.name.clone(), counts);
        }
        let (errors, warnings): (Vec<_>, Vec<_>) =
            findings.into_iter().partition(|finding| finding.severity() == Severity::Error);
        Self { roots: data.roots.clone(), usable: errors.is_empty(), products, errors, warnings }
    }
}

fn undecodable(survey: &Survey) -> Vec<Finding> {
    let images =
        survey.images.iter().filter_map(|(path, facts)| Some((path, facts.as_ref().err()?)));
    let masks = survey.masks.iter().filter_map(|(path, facts)| Some((path, facts.as_ref().err()?)));
    let bad = images.chain(masks);
    bad.map(|(path, cause)| Finding::Undecodable { path: path.clone(), cause: cause.clone() })
        .collect()
}

/// Leaks and duplicates, whichever product they are in.
fn repeated(data: &Dataset, survey: &Survey) -> Vec<Finding> {
    #[derive(Default)]
    struct Twins {
        train: BTreeSet<PathBuf>,
        test: BTreeSet<PathBuf>,
    }
    let mut by_pixels: BTreeMap<(u32, u32, &str), Twins> = BTreeMap::new();
    let mut add = |path: &PathBuf, of: fn(&mut Twins) -> &mut BTreeSet<PathBuf>| {
        if let Some(Ok(facts)) = survey.images.get(path) {
            let key = (facts.size.width, facts.size.height, facts.pixels_sha256.as_str());
            of(by_pixels.entry(key).or_default()).insert(path.clone());
        }
    };
    for product in &data.classes {
        product.good.iter().for_each(|path| add(path, |twins| &mut twins.train));
        product.test.iter().for_each(|image| add(&image.path, |twins| &mut twins.test));
    }
    let mut findings: Vec<Finding> = by_pixels
        .into_values()
        .filter_map(|Twins { train, test }| {
            let list = |paths: BTreeSet<PathBuf>| paths.into_iter().collect();
            match (train.len(), test.len()) {
                (1.., 1..) => Some(Finding::Leak { train: list(train), test: list(test) }),
                (2.., _) => Some(Finding::TrainDuplicates { paths: list(train) }),
                (_, 2..) => Some(Finding::TestDuplicates { paths: list(test) }),
                _ => None,
            }
        })
        .collect();
    // By file and not by hash, so that two runs over copies of a set read alike.
    findings.sort_by(|a, b| first_path(a).cmp(&first_path(b)));
    findings
}

fn first_path(finding: &Finding) -> Option<&Path> {
    match finding {
        Finding::Leak { train: paths, .. }
        | Finding::TrainDuplicates { paths }
        | Finding::TestDuplicates { paths } => paths.first().map(PathBuf::as_path),
        Finding::Undecodable { path, .. }
        | Finding::MaskWithoutImage { path }
        | Finding::MaskSize { path, .. }
        | Finding::MaskEmpty { path }
        | Finding::MaskFull { path } => Some(path),
        Finding::NoGoodParts { .. }
        | Finding::DefectsWithoutMask { .. }
        | Finding::TwelveBits { .. }
        | Finding::Transparent { .. }
        | Finding::LeftOut { .. }
        | Finding::FewForCalibration { .. } => None,
    }
}

/// The facts of a product's images that could be decoded.
fn facts<'a>(product: &'a Product, survey: &'a Survey) -> impl Iterator<Item = &'a ImageFacts> {
    let paths = product.good.iter().chain(product.test.iter().map(|image| &image.path));
    paths.filter_map(|path| survey.images.get(path)?.as_ref().ok())
}

fn count(product: &Product, survey: &Survey, calibration_share: f64) -> Counts {
    let train_good = product.good.len();
    let held_out = held_out(train_good, calibration_share);
    let mut counts = Counts {
        train_good,
        held_out,
        // One rank for the radius, one for the score.
        least_reject_rate: (held_out > 0).then(|| (2.0 / (held_out + 1) as f64).min(1.0)),
        test_good: product.test.iter().filter(|image| image.defect.is_none()).count(),
        masks: product.test.iter().filter(|image| image.mask.is_some()).count(),
        ..Counts::default()
    };
    for defect in product.test.iter().filter_map(|image| image.defect.clone()) {
        *counts.defects.entry(defect).or_default() += 1;
    }
    let mut sizes = BTreeMap::new();
    for facts in facts(product, survey) {
        let Size { width, height } = facts.size;
        sizes.insert((u64::from(width) * u64::from(height), width), facts.size);
        *counts.modes.entry(facts.mode.clone()).or_default() += 1;
    }
    let least = sizes.first_key_value().map(|(_, &size)| size);
    let most = sizes.last_key_value().map(|(_, &size)| size);
    counts.sizes_px = least.zip(most).map(|(least, most)| [least, most]);
    counts.distinct_sizes = sizes.len();
    counts
}

fn of_product(product: &Product, counts: &Counts, survey: &Survey) -> Vec<Finding> {
    let name = || product.name.clone();
    let mut findings = Vec::new();
    let is_decoded = |path: &PathBuf| matches!(survey.images.get(path), Some(Ok(_)));
    if !product.good.iter().any(is_decoded) {
        findings.push(Finding::NoGoodParts { product: name() });
    }
    if counts.least_reject_rate.is_none_or(|rate| rate > LEAST_RATE_MAX) {
        let held_out = counts.held_out;
        findings.push(Finding::FewForCalibration { product: name(), held_out });
    }
    let dark: Vec<u16> = facts(product, survey)
        .filter_map(|facts| facts.largest_16_bit)
        .filter(|&largest| largest < TWELVE_BITS)
        .collect();
    if let Some(&largest) = dark.iter().max() {
        let images = dark.len();
        findings.push(Finding::TwelveBits { product: name(), images, largest });
    }
    let images = facts(product, survey).filter(|facts| facts.is_transparent).count();
    if images > 0 {
        findings.push(Finding::Transparent { product: name(), images });
    }
    let images = product.left_out.len();
    if images > 0 {
        findings.push(Finding::LeftOut { product: name(), images });
    }
    findings
}

fn of_masks(product: &Product, survey: &Survey) -> Vec<Finding> {
    let unclaimed = product.unclaimed_masks.iter();
    let mut findings: Vec<Finding> =
        unclaimed.map(|path| Finding::MaskWithoutImage { path: path.clone() }).collect();
    let bare = product.test.iter().filter(|image| image.defect.is_some() && image.mask.is_none());
    let images = bare.count();
    // A product that nobody drew masks for has no pixel AUROC, and the table says so.
    if images > 0 && product.test.iter().any(|image| image.mask.is_some()) {
        findings.push(Finding::DefectsWithoutMask { product: product.name.clone(), images });
    }
    for image in &product.test {
        let Some(path) = &image.mask else { continue };
        let Some(Ok(mask)) = survey.masks.get(path) else { continue };
        let path = path.clone();
        if let Some(Ok(facts)) = survey.images.get(&image.path)
            && facts.size != mask.size
        {
            let (mask, image) = (mask.size, facts.size);
            findings.push(Finding::MaskSize { path: path.clone(), mask, image });
        }
        if mask.defective_px == 0 {
            findings.push(Finding::MaskEmpty { path });
        } else if mask.defective_px == mask.size.width as usize * mask.size.height as usize {
            findings.push(Finding::MaskFull { path });
        }
    }
    findings
}

#[cfg(test)]
mod tests;
