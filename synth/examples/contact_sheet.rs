//! Draws every product with its defects on one sheet each, and a sheet of the pretraining's classes.

use std::path::PathBuf;

use bundle::geometry::{RgbImage, Size};
use synth::{
    dataset::save_png,
    defect::{Defect, spoil},
    formula::FormulaClasses,
    product::Product,
    render::{Part, portrait},
};

const SIDE: u32 = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "sheets".into()));
    let size = Size { width: SIDE, height: SIDE };
    for product in Product::ALL {
        let mut pictures: Vec<RgbImage> =
            (0..4).map(|seed| portrait(&Part::good(product, seed), size, seed)).collect();
        for area in [0.01, 0.003] {
            for kind in Defect::of(product) {
                let (part, _) = spoil(&Part::good(product, 9), *kind, area, 5, size);
                pictures.push(portrait(&part, size, 9));
            }
        }
        save_png(&folder.join(format!("{}.png", product.name())), &sheet(&pictures, 4))?;
    }
    let classes = FormulaClasses::new(24, 42);
    let pictures: Vec<RgbImage> =
        (0..24).flat_map(|class| [0, 1].map(|seed| classes.render(class, seed, 96))).collect();
    save_png(&folder.join("formula.png"), &sheet(&pictures, 12))?;
    Ok(())
}

fn sheet(pictures: &[RgbImage], columns: usize) -> RgbImage {
    let Size { width, height } = pictures[0].size;
    let rows = pictures.len().div_ceil(columns);
    let (w, h) = (width as usize, height as usize);
    let mut pixels = vec![0; columns * w * rows * h * 3];
    for (index, picture) in pictures.iter().enumerate() {
        let (left, top) = (index % columns * w, index / columns * h);
        for (y, row) in picture.pixels.chunks_exact(w * 3).enumerate() {
            let start = ((top + y) * columns * w + left) * 3;
            pixels[start..start + w * 3].copy_from_slice(row);
        }
    }
    let side = |n: usize| u32::try_from(n).unwrap_or(0);
    RgbImage { size: Size { width: side(columns * w), height: side(rows * h) }, pixels }
}
