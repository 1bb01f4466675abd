//! Renders a data set in the layout of `MVTec` AD.
//!
//! Owns the folders and the numbering; training and test parts come from streams that never meet.

use std::path::{Path, PathBuf};

use bundle::geometry::{RgbImage, Size};
use rayon::prelude::*;

use crate::{
    defect::{Defect, Mask, spoil},
    line::AREA_FRACTIONS,
    product::Product,
    render::{Part, portrait},
    seeds::{Purpose, mix},
};

/// What a data set holds.
#[derive(Clone, Debug)]
pub struct DatasetOptions {
    /// Of everything.
    pub seed: u64,
    /// Of the pictures.
    pub size: Size,
    /// Which products.
    pub products: Vec<Product>,
    /// Good parts to learn from, of each product.
    pub train_good: u64,
    /// Good parts to measure with, of each product.
    pub test_good: u64,
    /// Defective parts of each kind, of each product.
    pub test_defective: u64,
}

/// A picture that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written: {cause}", path.display())]
pub struct WriteError {
    path: PathBuf,
    cause: String,
}

/// One picture to be rendered.
struct Item {
    product: Product,
    path: PathBuf,
    mask: Option<PathBuf>,
    defect: Option<(Defect, f64)>,
    seed: u64,
}

/// Renders the data set; `done` is called after each picture, from any thread.
pub fn write(
    root: &Path,
    options: &DatasetOptions,
    done: &(dyn Fn(usize) + Sync),
) -> Result<(), WriteError> {
    let items = items(root, options);
    let total = items.len();
    items.par_iter().try_for_each(|item| {
        item.write(options.size)?;
        done(total);
        Ok(())
    })
}

fn items(root: &Path, options: &DatasetOptions) -> Vec<Item> {
    let mut items = Vec::new();
    for product in &options.products {
        let folder = root.join(product.name());
        // A stream for every product, so that one more product changes no other.
        let seed =
            |purpose, index| mix(mix(options.seed, purpose, *product as u64), purpose, index);
        let good = |part: &str, index: u64, purpose| Item {
            product: *product,
            path: folder.join(part).join("good").join(format!("{index:05}.png")),
            mask: None,
            defect: None,
            seed: seed(purpose, index),
        };
        items.extend((0..options.train_good).map(|index| good("train", index, Purpose::Training)));
        items.extend((0..options.test_good).map(|index| good("test", index, Purpose::Test)));
        for kind in Defect::of(*product) {
            let name = kind.name();
            items.extend((0..options.test_defective).map(|index| Item {
                product: *product,
                path: folder.join("test").join(name).join(format!("{index:05}.png")),
                mask: Some(
                    folder.join("ground_truth").join(name).join(format!("{index:05}_mask.png")),
                ),
                defect: Some((*kind, AREA_FRACTIONS[index_of(index) % AREA_FRACTIONS.len()])),
                seed: seed(Purpose::Test, (1 << 32) + ((*kind as u64) << 24) + index),
            }));
        }
    }
    items
}

fn index_of(index: u64) -> usize {
    usize::try_from(index).unwrap_or(0)
}

impl Item {
    fn write(&self, size: Size) -> Result<(), WriteError> {
        let good = Part::good(self.product, self.seed);
        let (part, mask) = match self.defect {
            None => (good, None),
            Some((kind, area)) => {
                let (part, mask) = spoil(&good, kind, area, self.seed, size);
                (part, Some(mask))
            }
        };
        save_png(&self.path, &portrait(&part, size, self.seed))?;
        match (&self.mask, mask) {
            (Some(path), Some(mask)) => save_png(path, &picture_of(&mask)),
            _ => Ok(()),
        }
    }
}

fn picture_of(mask: &Mask) -> RgbImage {
    let pixels = mask.defective.iter().flat_map(|&defective| [if defective { 255 } else { 0 }; 3]);
    RgbImage { size: mask.size, pixels: pixels.collect() }
}

/// Writes a picture with the folders above it.
pub fn save_png(path: &Path, image: &RgbImage) -> Result<(), WriteError> {
    let failed = |cause: String| WriteError { path: path.to_path_buf(), cause };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
    }
    let Size { width, height } = image.size;
    image::save_buffer(path, &image.pixels, width, height, image::ExtendedColorType::Rgb8)
        .map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_mvtecs() {
        let folder = tempfile::tempdir().unwrap();
        let options = DatasetOptions {
            seed: 1,
            size: Size { width: 32, height: 32 },
            products: vec![Product::Gear],
            train_good: 2,
            test_good: 1,
            test_defective: 1,
        };
        write(folder.path(), &options, &|_| ()).unwrap();
        for path in [
            "gear/train/good/00001.png",
            "gear/test/good/00000.png",
            "gear/test/missing_part/00000.png",
            "gear/ground_truth/missing_part/00000_mask.png",
        ] {
            assert!(folder.path().join(path).is_file(), "{path}");
        }
        let read = |path: &str| std::fs::read(folder.path().join(path)).unwrap();
        assert_ne!(read("gear/train/good/00000.png"), read("gear/test/good/00000.png"));
    }
}
