//! The plainest layout: a folder for each product with images of good parts, and nothing else.
//!
//! `PRODUCT/*`. What `sightline capture` records has the layout of `mvtec` instead; good parts that a person collected
//! look like this.

use std::path::{Path, PathBuf};

use super::{DataError, Product, file_name, folders_of, images};

pub(super) const DESCRIPTION: &str = "good parts alone: PRODUCT/*.png (or jpg, bmp, tif)";

pub(super) fn mark(root: &Path) -> Result<Option<PathBuf>, DataError> {
    for folder in folders_of(root)? {
        if let Some(first) = images(&folder)?.into_iter().next() {
            return Ok(Some(first));
        }
    }
    Ok(None)
}

pub(super) fn read(root: &Path) -> Result<Vec<Product>, DataError> {
    let mut products = Vec::new();
    for folder in folders_of(root)? {
        let good = images(&folder)?;
        // A folder of something else.
        if !good.is_empty() {
            products.push(Product::of_good(root, file_name(&folder), good));
        }
    }
    Ok(products)
}
