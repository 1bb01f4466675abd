//! The layout of BTAD, beanTech's data set (Mishra et al., ISIE 2021).
//!
//! `PRODUCT/train/ok/*`, `PRODUCT/test/ok/*`, `PRODUCT/test/ko/*`, and masks `PRODUCT/ground_truth/ko/STEM.png` or
//! `.bmp`. Its products are called `01`, `02` and `03`; any name will do. Images are BMP or PNG.

use std::path::{Path, PathBuf};

use super::{
    DataError, Product, TestImage, file_name, folders_of, images, images_if_there, stem, unclaimed,
    with_folder,
};

pub(super) const DESCRIPTION: &str = "BTAD: PRODUCT/train/ok";

pub(super) fn mark(root: &Path) -> Result<Option<PathBuf>, DataError> {
    with_folder(root, "train/ok")
}

pub(super) fn read(root: &Path) -> Result<Vec<Product>, DataError> {
    let mut products = Vec::new();
    for folder in folders_of(root)? {
        let good = folder.join("train").join("ok");
        if !good.is_dir() {
            continue;
        }
        let masks = folder.join("ground_truth").join("ko");
        let mut test: Vec<TestImage> = images_if_there(&folder.join("test").join("ok"))?
            .into_iter()
            .map(|path| TestImage { path, defect: None, mask: None })
            .collect();
        for path in images_if_there(&folder.join("test").join("ko"))? {
            let mask = ["png", "bmp"]
                .map(|extension| masks.join(format!("{}.{extension}", stem(&path))))
                .into_iter()
                .find(|mask| mask.is_file());
            test.push(TestImage { path, defect: Some("ko".to_owned()), mask });
        }
        products.push(Product {
            unclaimed_masks: unclaimed(images_if_there(&masks)?, &test),
            test,
            ..Product::of_good(root, file_name(&folder), images(&good)?)
        });
    }
    Ok(products)
}
