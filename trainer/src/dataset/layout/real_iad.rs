//! The layout of Real-IAD (Wang et al., CVPR 2024), split by its JSON files.
//!
//! `realiad_jsons/CLASS.json` (its archive unpacks to `realiad_jsons/realiad_jsons/CLASS.json`, which is found too) holds
//! `meta { normal_class, prefix }` and the lists `train` and `test` of `{ category, anomaly_class, image_path, mask_path }`.
//! Paths lie below `realiad_256`, `realiad_512` or `realiad_1024` (whichever one is there) or the root, then `prefix`. A
//! view in which the defect cannot be seen is `OK` in its list, and so it is here.
//!
//! The lists of its fully unsupervised setting (FUIAD) mix defective parts into the training set on purpose. They are no
//! good parts: nobody learns from them here, they are left out, and `data check` says how many.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{DataError, Product, TestImage, below, entries, file_name, folders_of, stem};

pub(super) const DESCRIPTION: &str = "Real-IAD: realiad_jsons/CLASS.json";

const LISTS: &str = "realiad_jsons";
const IMAGES: &str = "realiad_";

#[derive(Deserialize)]
struct List {
    meta: Meta,
    train: Vec<Entry>,
    test: Vec<Entry>,
}

#[derive(Deserialize)]
struct Meta {
    normal_class: String,
    #[serde(default)]
    prefix: String,
}

#[derive(Deserialize)]
struct Entry {
    anomaly_class: String,
    image_path: String,
    mask_path: Option<String>,
}

pub(super) fn mark(root: &Path) -> Option<PathBuf> {
    let lists = root.join(LISTS);
    lists.is_dir().then_some(lists)
}

pub(super) fn read(root: &Path) -> Result<Vec<Product>, DataError> {
    let outer = root.join(LISTS);
    let inner = outer.join(LISTS);
    let folder = if inner.is_dir() { inner } else { outer };
    let is_list = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let lists: Vec<PathBuf> = entries(&folder)?.into_iter().filter(is_list).collect();
    if lists.is_empty() {
        let cause = "has no CLASS.json in it".to_owned();
        return Err(DataError::List { path: folder, cause });
    }
    let images = images_root(root)?;
    lists.iter().map(|list| product(root, &images, list)).collect()
}

/// Where the images are: two resolutions side by side would be a choice that nobody made.
fn images_root(root: &Path) -> Result<PathBuf, DataError> {
    let is_resolution = |path: &PathBuf| {
        file_name(path).strip_prefix(IMAGES).is_some_and(|side| side.parse::<u32>().is_ok())
    };
    let found: Vec<PathBuf> = folders_of(root)?.into_iter().filter(is_resolution).collect();
    match found.as_slice() {
        [] => Ok(root.to_path_buf()),
        [one] => Ok(one.clone()),
        several => {
            let names: Vec<String> = several.iter().map(|path| file_name(path)).collect();
            let found = format!("images of several resolutions ({})", names.join(", "));
            Err(DataError::AmbiguousLayout { root: root.to_path_buf(), found })
        }
    }
}

fn product(root: &Path, images: &Path, path: &Path) -> Result<Product, DataError> {
    let failed = |cause: String| DataError::List { path: path.to_path_buf(), cause };
    let bytes = std::fs::read(path)
        .map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    let list: List = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    let named = |listed: &str| {
        let base = below(images, &list.meta.prefix);
        base.and_then(|base| below(&base, listed))
            .ok_or_else(|| failed(format!("{listed} leads out of the data set")))
    };
    let mut product = Product::of_good(root, stem(path), Vec::new());
    for entry in &list.train {
        let path = named(&entry.image_path)?;
        let is_good = entry.anomaly_class == list.meta.normal_class;
        if is_good { product.good.push(path) } else { product.left_out.push(path) }
    }
    for entry in &list.test {
        let path = named(&entry.image_path)?;
        let defect =
            (entry.anomaly_class != list.meta.normal_class).then(|| entry.anomaly_class.clone());
        let mask = match (&defect, entry.mask_path.as_deref()) {
            (None, _) | (_, None | Some("")) => None,
            (Some(_), Some(mask)) => Some(named(mask)?),
        };
        product.test.push(TestImage { path, defect, mask });
    }
    Ok(product)
}
