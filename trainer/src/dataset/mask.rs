//! Masks: which pixels of an image belong to its defect.
//!
//! Owns the rule, in this order: a pixel of the mask is defective when any colour channel is above 0, judged in the
//! file's own depth and at its own size, because some data sets draw with label numbers such as 1 and not with white;
//! then a pixel of the input is defective when the centre of at least one defective pixel falls on it
//! (`Geometry::input_from_mask`). No resampling comes before the judgement, and no defect vanishes for being small.

use std::path::Path;

use bundle::{
    geometry::{Geometry, Size},
    still::{self, StillError},
};

use super::DataError;

/// A mask at its own size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Its size.
    pub size: Size,
    /// For each pixel, rows first, whether it belongs to the defect.
    pub defective: Vec<bool>,
}

/// Reads a mask.
pub fn read(path: &Path) -> Result<Mask, StillError> {
    let still = still::read(path)?;
    Ok(Mask { size: still.size(), defective: still.above_zero() })
}

/// A mask in the space of all inputs of its image: one value per pixel, input after input.
pub fn in_inputs(geometry: &Geometry, path: &Path) -> Result<Vec<bool>, DataError> {
    let Mask { size, defective } =
        read(path).map_err(|source| DataError::Decode { path: path.to_path_buf(), source })?;
    let inputs = geometry
        .input_from_mask(size, &defective)
        .map_err(|source| DataError::Geometry { path: path.to_path_buf(), source })?;
    Ok(inputs.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pixels: &[u8], side: u32, input_px: u32, expected: &[bool]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        image::save_buffer(&path, pixels, side, side, image::ExtendedColorType::L8).unwrap();
        assert_eq!(in_inputs(&Geometry::square(input_px), &path).unwrap(), expected);
    }

    #[test]
    fn label_numbers_count_and_one_pixel_does_not_vanish() {
        check(&[0, 1, 0, 0], 2, 2, &[false, true, false, false]);
        let mut one_pixel = [0; 64 * 64];
        one_pixel[5 * 64 + 60] = 1;
        check(&one_pixel, 64, 2, &[false, true, false, false]);
        check(&[0; 64 * 64], 64, 2, &[false; 4]);
    }
}
