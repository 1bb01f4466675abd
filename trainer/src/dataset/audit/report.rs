//! An audit in words: a table of the products, then the findings.
//!
//! Owns the texts. A kind of finding that is frequent is cut short; JSON has all of them.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use super::{Audit, Counts, Finding};

/// Lines of one kind: what a person reads before looking for the pattern.
const LINES_MAX: usize = 10;
/// Files in one line.
const PATHS_MAX: usize = 3;

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.products.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        let width = width.max("product".len());
        writeln!(
            f,
            "{:width$}  {:>10} {:>8} {:>10} {:>9} {:>7} {:>5}  images",
            "product", "train good", "held out", "least rate", "test good", "defects", "masks"
        )?;
        for (name, counts) in &self.products {
            let Counts { train_good, held_out, test_good, masks, .. } = counts;
            let rate = counts
                .least_reject_rate
                .map_or("-".to_owned(), |rate| format!("{:.1} %", rate * 100.0));
            writeln!(
                f,
                "{name:width$}  {train_good:>10} {held_out:>8} {rate:>10} {test_good:>9} {:>7} {masks:>5}  {}",
                counts.defects.values().sum::<usize>(),
                Images(counts),
            )?;
        }
        for (name, Counts { defects, .. }) in &self.products {
            if !defects.is_empty() {
                let kinds: Vec<_> =
                    defects.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
                writeln!(f, "{name}: {}", kinds.join(", "))?;
            }
        }
        list(f, "error", &self.errors)?;
        list(f, "warning", &self.warnings)?;
        write!(f, "{} errors, {} warnings", self.errors.len(), self.warnings.len())
    }
}

fn list(f: &mut fmt::Formatter<'_>, word: &str, findings: &[Finding]) -> fmt::Result {
    let mut by_kind: BTreeMap<usize, Vec<&Finding>> = BTreeMap::new();
    let mut kinds = Vec::new();
    for finding in findings {
        let kind = std::mem::discriminant(finding);
        let index = kinds.iter().position(|&known| known == kind).unwrap_or(kinds.len());
        if index == kinds.len() {
            kinds.push(kind);
        }
        by_kind.entry(index).or_default().push(finding);
    }
    for findings in by_kind.values() {
        for finding in findings.iter().take(LINES_MAX) {
            writeln!(f, "{word}: {finding}")?;
        }
        let more = findings.len().saturating_sub(LINES_MAX);
        if more > 0 {
            writeln!(f, "{word}: ... and {more} more of this kind; --json lists all")?;
        }
    }
    Ok(())
}

/// Sizes and modes of a product's images.
struct Images<'a>(&'a Counts);

impl fmt::Display for Images<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { sizes_px, distinct_sizes, modes, .. } = self.0;
        match sizes_px {
            None => f.write_str("-")?,
            Some([only, _]) if *distinct_sizes == 1 => write!(f, "{only}")?,
            Some([least, most]) => write!(f, "{least} to {most} ({distinct_sizes} sizes)")?,
        }
        for (mode, images) in modes {
            if modes.len() == 1 {
                write!(f, ", {mode}")?;
            } else {
                write!(f, ", {images} {mode}")?;
            }
        }
        Ok(())
    }
}

/// Some files in one line.
struct Paths<'a>(&'a [PathBuf]);

impl fmt::Display for Paths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.0.iter().take(PATHS_MAX).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}", path.display())?;
        }
        let more = self.0.len().saturating_sub(PATHS_MAX);
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = |path: &Path| path.display().to_string();
        match self {
            Self::Undecodable { path, cause } => {
                write!(f, "{} {cause}; replace or remove it", file(path))
            }
            Self::NoGoodParts { product } => {
                write!(f, "\"{product}\" has no good part that can be decoded; add some")
            }
            Self::Leak { train, test } => write!(
                f,
                "leak: {} to learn from and {} to measure with have the same pixels; remove one side",
                Paths(train),
                Paths(test)
            ),
            Self::TrainDuplicates { paths } => write!(
                f,
                "{} have the same pixels: one may be held out for calibration while training sees the other",
                Paths(paths)
            ),
            Self::TestDuplicates { paths } => {
                write!(f, "{} have the same pixels and count several times", Paths(paths))
            }
            Self::MaskWithoutImage { path } => {
                write!(f, "mask {} belongs to no defective test image", file(path))
            }
            Self::DefectsWithoutMask { product, images } => write!(
                f,
                "\"{product}\" has {images} defective images without a mask: their pixels do not count"
            ),
            Self::MaskSize { path, mask, image } => {
                write!(f, "mask {} is {mask}, its image {image}", file(path))
            }
            Self::MaskEmpty { path } => write!(f, "mask {} marks nothing", file(path)),
            Self::MaskFull { path } => write!(f, "mask {} marks the whole image", file(path)),
            Self::TwelveBits { product, images, largest } => write!(
                f,
                "\"{product}\" has {images} images with 16 bits and no value above {largest}: they become nearly black; scale them to 65535"
            ),
            Self::Transparent { product, images } => write!(
                f,
                "\"{product}\" has {images} images with transparent pixels: alpha is dropped, the colour beneath it is seen"
            ),
            Self::LeftOut { product, images } => write!(
                f,
                "\"{product}\" lists {images} defective images for training: they are left out"
            ),
            Self::FewForCalibration { product, held_out } => write!(
                f,
                "\"{product}\" has {held_out} parts held out for calibration, too few for a useful false-reject rate; add good parts, or `calibrate` on others"
            ),
        }
    }
}
