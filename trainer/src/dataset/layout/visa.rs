//! The layout of VisA (Zou et al., ECCV 2022), split by its CSV file.
//!
//! `split_csv/1cls.csv` has the columns `object,split,label,image,mask`; the last two are paths below the root, such as
//! `candle/Data/Images/Anomaly/000.JPG` and `candle/Data/Masks/Anomaly/000.png`, the mask empty for a normal part. Its
//! masks hold small label numbers, not white. All its defects are one kind, `anomaly`. A training row that is not
//! `normal` is no good part and is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{DataError, Product, TestImage, below, images_if_there, unclaimed};

pub(super) const DESCRIPTION: &str = "VisA: split_csv/1cls.csv";

#[derive(Deserialize)]
struct Row {
    object: String,
    split: Part,
    label: Label,
    image: String,
    mask: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Train,
    Test,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Label {
    Normal,
    Anomaly,
}

pub(super) fn mark(root: &Path) -> Option<PathBuf> {
    let list = root.join("split_csv").join("1cls.csv");
    list.is_file().then_some(list)
}

pub(super) fn read(root: &Path) -> Result<Vec<Product>, DataError> {
    let list = root.join("split_csv").join("1cls.csv");
    let failed = |cause: String| DataError::List { path: list.clone(), cause };
    let mut rows = csv::Reader::from_path(&list).map_err(|error| failed(error.to_string()))?;
    let mut products: BTreeMap<String, Product> = BTreeMap::new();
    let mut mask_folders: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for row in rows.deserialize() {
        let row: Row = row.map_err(|error| failed(error.to_string()))?;
        let named = |path: &str| {
            below(root, path).ok_or_else(|| failed(format!("{path} leads out of the data set")))
        };
        let path = named(&row.image)?;
        let mask = match row.mask.as_deref() {
            None | Some("") => None,
            Some(mask) => Some(named(mask)?),
        };
        if let Some(folder) = mask.as_deref().and_then(Path::parent) {
            mask_folders.entry(row.object.clone()).or_default().insert(folder.to_path_buf());
        }
        let product = products
            .entry(row.object)
            .or_insert_with_key(|name| Product::of_good(root, name.clone(), Vec::new()));
        match (row.split, row.label) {
            (Part::Train, Label::Normal) => product.good.push(path),
            (Part::Train, Label::Anomaly) => product.left_out.push(path),
            (Part::Test, Label::Normal) => {
                product.test.push(TestImage { path, defect: None, mask: None });
            }
            (Part::Test, Label::Anomaly) => {
                product.test.push(TestImage { path, defect: Some("anomaly".to_owned()), mask });
            }
        }
    }
    if products.is_empty() {
        return Err(failed("has no rows".to_owned()));
    }
    for (name, folders) in mask_folders {
        let mut masks = Vec::new();
        for folder in folders {
            masks.extend(images_if_there(&folder)?);
        }
        if let Some(product) = products.get_mut(&name) {
            product.unclaimed_masks = unclaimed(masks, &product.test);
        }
    }
    Ok(products.into_values().collect())
}
