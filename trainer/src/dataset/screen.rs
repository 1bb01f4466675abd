//! Looks at every image that a command will use before the command begins.
//!
//! Owns what a usable file is: it can be decoded and fits the geometry. So a bad file is told in the first minutes and
//! not after hours, and those that are skipped are skipped for the whole run, its split and its fingerprint.

use std::path::{Path, PathBuf};

use bundle::{geometry::Geometry, still};
use indicatif::ProgressBar;
use rayon::prelude::*;

use super::{DataError, Dataset};

/// Which images a command uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Those to learn from and to calibrate with.
    Good,
    /// Those to measure with, and their masks.
    Test,
    /// All of them.
    All,
}

/// A file that cannot be used.
#[derive(Debug)]
pub struct Bad<'a> {
    /// The file.
    pub path: &'a Path,
    /// Why.
    pub error: DataError,
}

/// Every bad file, in the set's order.
pub fn all<'a>(
    data: &'a Dataset,
    needed: Needed,
    geometry: &Geometry,
    bar: &ProgressBar,
) -> Vec<Bad<'a>> {
    let files = files(data, needed);
    bar.set_length(files.len() as u64);
    let bad = files.par_iter().filter_map(|&file| look(file, geometry, bar)).collect();
    bar.finish();
    bad
}

/// The first bad file of the set; those after it may not have been looked at.
pub fn first<'a>(
    data: &'a Dataset,
    needed: Needed,
    geometry: &Geometry,
    bar: &ProgressBar,
) -> Option<Bad<'a>> {
    let files = files(data, needed);
    bar.set_length(files.len() as u64);
    let bad = files.par_iter().find_map_first(|&file| look(file, geometry, bar));
    bar.finish();
    bad
}

fn files(data: &Dataset, needed: Needed) -> Vec<&Path> {
    let (good, test) = match needed {
        Needed::Good => (true, false),
        Needed::Test => (false, true),
        Needed::All => (true, true),
    };
    let mut files = Vec::new();
    for product in &data.classes {
        if good {
            files.extend(product.good.iter().map(PathBuf::as_path));
        }
        if test {
            files.extend(product.test.iter().map(|image| image.path.as_path()));
            files.extend(product.test.iter().filter_map(|image| image.mask.as_deref()));
        }
    }
    files
}

fn look<'a>(path: &'a Path, geometry: &Geometry, bar: &ProgressBar) -> Option<Bad<'a>> {
    let owned = || path.to_path_buf();
    let seen = still::read(path)
        .map_err(|source| DataError::Decode { path: owned(), source })
        .and_then(|still| {
            geometry
                .check_frame(still.size())
                .map_err(|source| DataError::Geometry { path: owned(), source })
        });
    bar.inc(1);
    seen.err().map(|error| Bad { path, error })
}
