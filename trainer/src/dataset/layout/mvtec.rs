//! The layout of MVTec AD (Bergmann et al., CVPR 2019), which MPDD (Jezek et al., ICUMT 2021) and `sightline
//! capture` share.
//!
//! `CLASS/train/good/*`, `CLASS/test/good/*`, `CLASS/test/DEFECT/*`, and masks `CLASS/ground_truth/DEFECT/STEM_mask.png`
//! or `STEM.png` (so VisA's own converter writes them). Only `train/good` must be there: a plant that captured good parts
//! has nothing else yet. Other folders of `train` are not looked at.

use std::path::{Path, PathBuf};

use super::{
    DataError, Product, TestImage, file_name, folders_of, images, images_if_there, stem, unclaimed,
    with_folder,
};

pub(super) const DESCRIPTION: &str = "MVTec AD, MPDD, `sightline capture`: PRODUCT/train/good";

pub(super) fn mark(root: &Path) -> Result<Option<PathBuf>, DataError> {
    with_folder(root, "train/good")
}

pub(super) fn read(root: &Path) -> Result<Vec<Product>, DataError> {
    let mut products = Vec::new();
    for folder in folders_of(root)? {
        let good = folder.join("train").join("good");
        if !good.is_dir() {
            continue;
        }
        let (test, unclaimed_masks) = test_images(&folder)?;
        products.push(Product {
            test,
            unclaimed_masks,
            ..Product::of_good(root, file_name(&folder), images(&good)?)
        });
    }
    Ok(products)
}

/// Test images, and masks without one.
fn test_images(class: &Path) -> Result<(Vec<TestImage>, Vec<PathBuf>), DataError> {
    let mut found = Vec::new();
    for folder in folders_of(&class.join("test"))? {
        let kind = file_name(&folder);
        let masks = class.join("ground_truth").join(&kind);
        let defect = (kind != "good").then_some(kind);
        for path in images(&folder)? {
            let stem = stem(&path);
            let mask = [format!("{stem}_mask.png"), format!("{stem}.png")]
                .map(|name| masks.join(name))
                .into_iter()
                .find(|mask| defect.is_some() && mask.is_file());
            found.push(TestImage { path, defect: defect.clone(), mask });
        }
    }
    let mut masks = Vec::new();
    for folder in folders_of(&class.join("ground_truth"))? {
        masks.extend(images_if_there(&folder)?);
    }
    let unclaimed = unclaimed(masks, &found);
    Ok((found, unclaimed))
}
