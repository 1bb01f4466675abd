//! Which layout a folder has, and what all layouts need to read one.
//!
//! Owns the rule: every layout looks for its own mark, and exactly one of them must find it. A root without any mark, or
//! with two, is an error that says what was looked for. Nothing is decoded here.

mod mvtec;
mod visa;
mod btad;
mod real_iad;
mod folders;

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use bundle::still;

use super::{DataError, Product, TestImage};

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Mvtec,
    Visa,
    Btad,
    RealIad,
    Folders,
}

impl Layout {
    const ALL: [Self; 5] = [Self::Mvtec, Self::Visa, Self::Btad, Self::RealIad, Self::Folders];

    /// Name and mark, for a person.
    const fn describe(self) -> &'static str {
        match self {
            Self::Mvtec => mvtec::DESCRIPTION,
            Self::Visa => visa::DESCRIPTION,
            Self::Btad => btad::DESCRIPTION,
            Self::RealIad => real_iad::DESCRIPTION,
            Self::Folders => folders::DESCRIPTION,
        }
    }

    /// What in the root bears this layout's mark.
    fn mark(self, root: &Path) -> Result<Option<PathBuf>, DataError> {
        match self {
            Self::Mvtec => mvtec::mark(root),
            Self::Visa => Ok(visa::mark(root)),
            Self::Btad => btad::mark(root),
            Self::RealIad => Ok(real_iad::mark(root)),
            Self::Folders => folders::mark(root),
        }
    }

    fn read(self, root: &Path) -> Result<Vec<Product>, DataError> {
        match self {
            Self::Mvtec => mvtec::read(root),
            Self::Visa => visa::read(root),
            Self::Btad => btad::read(root),
            Self::RealIad => real_iad::read(root),
            Self::Folders => folders::read(root),
        }
    }
}

/// The products in a root, whatever its layout, in the order of their names.
pub(super) fn read(root: &Path) -> Result<Vec<Product>, DataError> {
    let mut found = Vec::new();
    for layout in Layout::ALL {
        if let Some(mark) = layout.mark(root)? {
            found.push((layout, mark));
        }
    }
    let mut products = match found.as_slice() {
        [(layout, _)] => layout.read(root)?,
        [] => {
            return Err(DataError::UnknownLayout {
                root: root.to_path_buf(),
                expected: Layout::ALL.map(Layout::describe).join("; "),
            });
        }
        several => {
            let found = several
                .iter()
                .map(|(layout, mark)| format!("{} ({})", mark.display(), layout.describe()))
                .collect::<Vec<_>>();
            return Err(DataError::AmbiguousLayout {
                root: root.to_path_buf(),
                found: found.join(", "),
            });
        }
    };
    products.sort_by(|a, b| a.name.cmp(&b.name));
    match products.iter().find(|product| product.good.is_empty()) {
        Some(product) => {
            Err(DataError::NoImages { product: product.name.clone(), root: root.to_path_buf() })
        }
        None => Ok(products),
    }
}

/// The images of a folder by name; those of its folders are not among them.
fn images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let is_image = |path: &PathBuf| still::is_named_as_image(path) && !path.is_dir();
    Ok(entries(folder)?.into_iter().filter(is_image).collect())
}

/// The images of a folder that need not be there.
fn images_if_there(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    if folder.is_dir() { images(folder) } else { Ok(Vec::new()) }
}

/// The folders of a folder by name, without hidden ones; none where it is not there.
fn folders_of(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let is_shown = |path: &PathBuf| !file_name(path).starts_with('.') && path.is_dir();
    Ok(entries(folder)?.into_iter().filter(is_shown).collect())
}

/// The first folder of a root in which there is such a folder.
fn with_folder(root: &Path, below: &str) -> Result<Option<PathBuf>, DataError> {
    let bears = |folder: &PathBuf| folder.join(below).is_dir();
    Ok(entries(root)?.into_iter().find(bears).map(|folder| folder.join(below)))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: folder.to_path_buf(), source };
    let mut paths = std::fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A path that a list names below `base`; one that leads out of it is no path of this data set.
fn below(base: &Path, listed: &str) -> Option<PathBuf> {
    let listed = Path::new(listed);
    let mut parts = listed.components();
    parts
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        .then(|| base.join(listed))
}

/// The masks of some folders that no test image refers to.
fn unclaimed(masks: Vec<PathBuf>, test: &[TestImage]) -> Vec<PathBuf> {
    let claimed: BTreeSet<&PathBuf> = test.iter().filter_map(|image| image.mask.as_ref()).collect();
    masks.into_iter().filter(|mask| !claimed.contains(mask)).collect()
}

#[cfg(test)]
mod tests;
