//! The strong augmentation of the second view, as the paper's code draws it.
//!
//! Pure: pixels and a random generator in, pixels out. Random resized crop of 0.8 to 1 of the area, both flips,
//! rotation within 15 degrees (one warp), colour jitter 0.4 / 0.4 / 0.4 / 0.1, grey with 0.2, Gaussian blur.

use bundle::geometry::RgbImage;
use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

/// A kernel of 23 taps.
const BLUR_RADIUS_PX: usize = 11;

/// How far a view may differ from its image. The defaults are those of the paper's code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Share of the area that a crop keeps at least, above 0 up to 1.
    pub crop_area_min: f32,
    /// Width to height of a crop, at most, and its inverse at least.
    pub crop_aspect_max: f32,
    /// Probability of mirroring left and right.
    pub flip_horizontal: f64,
    /// Probability of mirroring top and bottom.
    pub flip_vertical: f64,
    /// Largest rotation to either side.
    pub rotation_max_degrees: f32,
    /// Brightness is multiplied with 1 - this to 1 + this.
    pub brightness: f32,
    /// Contrast likewise.
    pub contrast: f32,
    /// Saturation likewise.
    pub saturation: f32,
    /// Largest turn of the hue to either side, in whole turns.
    pub hue_max_turns: f32,
    /// Probability that all colour is taken out.
    pub grey_probability: f64,
    /// Smallest standard deviation of the blur.
    pub blur_sigma_min_px: f32,
    /// Largest standard deviation of the blur; the kernel has 23 taps.
    pub blur_sigma_max_px: f32,
}

/// A range of the augmentation that cannot be drawn from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("recipe key `augmentation.{key}` is {value}: must lie {range}")]
pub struct AugmentationError {
    key: &'static str,
    value: f64,
    range: &'static str,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            crop_area_min: 0.8,
            crop_aspect_max: 4.0 / 3.0,
            flip_horizontal: 0.5,
            flip_vertical: 0.5,
            rotation_max_degrees: 15.0,
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
            hue_max_turns: 0.1,
            grey_probability: 0.2,
            blur_sigma_min_px: 0.1,
            blur_sigma_max_px: 2.0,
        }
    }
}

impl Augmentation {
    /// Refuses what cannot be drawn.
    pub fn validate(&self) -> Result<(), AugmentationError> {
        let check = |key, value: f64, fits: bool, range| {
            if fits { Ok(()) } else { Err(AugmentationError { key, value, range }) }
        };
        let area = f64::from(self.crop_area_min);
        check("crop_area_min", area, area > 0.0 && area <= 1.0, "above 0, up to 1")?;
        let aspect = f64::from(self.crop_aspect_max);
        check("crop_aspect_max", aspect, (1.0..=4.0).contains(&aspect), "in 1..=4")?;
        let rotation = f64::from(self.rotation_max_degrees);
        check("rotation_max_degrees", rotation, (0.0..=180.0).contains(&rotation), "in 0..=180")?;
        for (key, value) in [
            ("flip_horizontal", self.flip_horizontal),
            ("flip_vertical", self.flip_vertical),
            ("brightness", self.brightness.into()),
            ("contrast", self.contrast.into()),
            ("saturation", self.saturation.into()),
            ("hue_max_turns", self.hue_max_turns.into()),
            ("grey_probability", self.grey_probability),
        ] {
            check(key, value, (0.0..=1.0).contains(&value), "in 0..=1")?;
        }
        let (low, high) = (f64::from(self.blur_sigma_min_px), f64::from(self.blur_sigma_max_px));
        check("blur_sigma_min_px", low, low > 0.0, "above 0")?;
        let range = "from blur_sigma_min_px to 10";
        check("blur_sigma_max_px", high, (low..=10.0).contains(&high), range)
    }

    /// A strongly augmented view of an image, of the same size.
    pub fn view(&self, image: &RgbImage, rng: &mut impl Rng) -> RgbImage {
        let mut planes = self.warp(image, rng);
        self.jitter(&mut planes, rng);
        let (width, height) = (image.size.width as usize, image.size.height as usize);
        let sigma = rng.random_range(self.blur_sigma_min_px..=self.blur_sigma_max_px);
        blur(&mut planes, width, height, sigma);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=255; the cast saturates"
        )]
        let pixels = planes.iter().map(|value| value.round().clamp(0.0, 255.0) as u8).collect();
        RgbImage { size: image.size, pixels }
    }

    /// Crop, flips and rotation in one bilinear look-up per pixel; beyond the image its border goes on.
    fn warp(&self, image: &RgbImage, rng: &mut impl Rng) -> Vec<f32> {
        let (width, height) = (image.size.width as f32, image.size.height as f32);
        let area = rng.random_range(self.crop_area_min..=1.0);
        let log_aspect = self.crop_aspect_max.ln();
        let aspect: f32 = rng.random_range(-log_aspect..=log_aspect).exp();
        let crop_width = (area * aspect).sqrt().min(1.0) * width;
        let crop_height = (area / aspect).sqrt().min(1.0) * height;
        let left = rng.random_range(0.0..=(width - crop_width).max(0.0));
        let top = rng.random_range(0.0..=(height - crop_height).max(0.0));
        let flip_x = if rng.random_bool(self.flip_horizontal) { -1.0 } else { 1.0 };
        let flip_y = if rng.random_bool(self.flip_vertical) { -1.0 } else { 1.0 };
        let angle =
            rng.random_range(-self.rotation_max_degrees..=self.rotation_max_degrees).to_radians();
        let (sin, cos) = angle.sin_cos();
        let (columns, rows) = (image.size.width as usize, image.size.height as usize);
        let mut planes = Vec::with_capacity(columns * rows * 3);
        for y in 0..rows {
            for x in 0..columns {
                let (u, v) = (x as f32 + 0.5 - width / 2.0, y as f32 + 0.5 - height / 2.0);
                let (u, v) = (flip_x * (cos * u - sin * v), flip_y * (sin * u + cos * v));
                let source_x = left + crop_width * (u / width + 0.5) - 0.5;
                let source_y = top + crop_height * (v / height + 0.5) - 0.5;
                planes.extend(bilinear(image, source_x, source_y));
            }
        }
        planes
    }

    fn jitter(&self, planes: &mut [f32], rng: &mut impl Rng) {
        let mut factor = |by: f32| rng.random_range(1.0 - by..=1.0 + by);
        let (brightness, contrast) = (factor(self.brightness), factor(self.contrast));
        let saturation = factor(self.saturation);
        let turns = rng.random_range(-self.hue_max_turns..=self.hue_max_turns);
        let saturation = if rng.random_bool(self.grey_probability) { 0.0 } else { saturation };
        let count = (planes.len() / 3).max(1) as f32;
        let mean = planes.as_chunks::<3>().0.iter().map(luma).sum::<f32>() / count * brightness;
        let hue = hue_rotation(turns);
        for pixel in planes.as_chunks_mut::<3>().0 {
            let lit = pixel
                .map(|value| ((value * brightness - mean) * contrast + mean).clamp(0.0, 255.0));
            let grey = luma(&lit);
            let coloured = lit.map(|value| grey + (value - grey) * saturation);
            *pixel =
                hue.map(|row| row[0] * coloured[0] + row[1] * coloured[1] + row[2] * coloured[2]);
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the image")]
fn bilinear(image: &RgbImage, x: f32, y: f32) -> [f32; 3] {
    let (width, height) = (image.size.width as usize, image.size.height as usize);
    let x = x.clamp(0.0, (width - 1) as f32);
    let y = y.clamp(0.0, (height - 1) as f32);
    let (left, upper) = (x as usize, y as usize);
    let (right, lower) = ((left + 1).min(width - 1), (upper + 1).min(height - 1));
    let (share_x, share_y) = (x - left as f32, y - upper as f32);
    let pixel = |x: usize, y: usize| &image.pixels[3 * (y * width + x)..][..3];
    let (a, b) = (pixel(left, upper), pixel(right, upper));
    let (c, d) = (pixel(left, lower), pixel(right, lower));
    std::array::from_fn(|channel| {
        let mix = |from: &[u8], to: &[u8]| {
            f32::from(from[channel]) * (1.0 - share_x) + f32::from(to[channel]) * share_x
        };
        mix(a, b) * (1.0 - share_y) + mix(c, d) * share_y
    })
}

/// ITU-R BT.601.
fn luma(pixel: &[f32; 3]) -> f32 {
    0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
}

/// A rotation about the grey axis: what a turn of the hue does to RGB, without leaving it for HSV.
fn hue_rotation(turns: f32) -> [[f32; 3]; 3] {
    let (sin, cos) = (turns * std::f32::consts::TAU).sin_cos();
    let third = (1.0 - cos) / 3.0;
    let root = sin / 3.0_f32.sqrt();
    [
        [cos + third, third - root, third + root],
        [third + root, cos + third, third - root],
        [third - root, third + root, cos + third],
    ]
}

fn blur(planes: &mut Vec<f32>, width: usize, height: usize, sigma: f32) {
    let taps: Vec<f32> = (0..=BLUR_RADIUS_PX)
        .map(|distance| (-0.5 * (distance as f32 / sigma).powi(2)).exp())
        .collect();
    // Taps beyond four sigma are below 0.04 %.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 11")]
    let radius = ((4.0 * sigma).ceil() as usize).min(BLUR_RADIUS_PX);
    let total = taps[0] + 2.0 * taps[1..=radius].iter().sum::<f32>();
    let pass =
        |from: &[f32], to: &mut Vec<f32>, steps: usize, at: &dyn Fn(usize) -> (usize, usize)| {
            to.clear();
            for index in 0..from.len() {
                let (place, len) = at(index);
                let base = index - place * steps;
                let mut sum = taps[0] * from[index];
                for (distance, tap) in taps.iter().enumerate().take(radius + 1).skip(1) {
                    let before = place.saturating_sub(distance);
                    let after = (place + distance).min(len - 1);
                    sum += tap * (from[base + before * steps] + from[base + after * steps]);
                }
                to.push(sum / total);
            }
        };
    let mut across = Vec::with_capacity(planes.len());
    pass(planes, &mut across, 3, &|index| (index / 3 % width, width));
    pass(&across, planes, 3 * width, &|index| (index / (3 * width), height));
}

#[cfg(test)]
mod tests {
    use bundle::geometry::Size;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn flat(value: u8) -> RgbImage {
        RgbImage { size: Size { width: 24, height: 16 }, pixels: vec![value; 24 * 16 * 3] }
    }

    #[test]
    fn a_view_has_the_same_size_and_depends_on_the_seed_alone() {
        let image = RgbImage {
            size: Size { width: 24, height: 16 },
            pixels: (0..24 * 16 * 3_u32).map(|i| (i * 37 % 251) as u8).collect(),
        };
        let view =
            |seed| Augmentation::default().view(&image, &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(view(1), view(1));
        assert_ne!(view(1), view(2));
        assert_eq!(view(1).pixels.len(), image.pixels.len());
    }

    #[test]
    fn a_grey_plane_stays_grey_and_plane() {
        for seed in 0..20 {
            let view =
                Augmentation::default().view(&flat(100), &mut ChaCha8Rng::seed_from_u64(seed));
            let first = view.pixels[0];
            assert!(view.pixels.iter().all(|&v| v.abs_diff(first) <= 1), "seed {seed}");
            assert!((60..=140).contains(&first), "seed {seed}: {first}");
        }
    }

    #[test]
    fn a_range_that_cannot_be_drawn_from_is_refused() {
        assert_eq!(Augmentation::default().validate(), Ok(()));
        for wrong in [
            Augmentation { crop_area_min: 0.0, ..Augmentation::default() },
            Augmentation { flip_vertical: 1.5, ..Augmentation::default() },
            Augmentation { blur_sigma_max_px: 0.01, ..Augmentation::default() },
            Augmentation { rotation_max_degrees: f32::NAN, ..Augmentation::default() },
        ] {
            assert!(wrong.validate().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn nothing_changes_where_nothing_may() {
        let none = Augmentation {
            crop_area_min: 1.0,
            crop_aspect_max: 1.0,
            flip_horizontal: 0.0,
            flip_vertical: 0.0,
            rotation_max_degrees: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue_max_turns: 0.0,
            grey_probability: 0.0,
            blur_sigma_min_px: 0.01,
            blur_sigma_max_px: 0.01,
        };
        let image = RgbImage {
            size: Size { width: 24, height: 16 },
            pixels: (0..24 * 16 * 3_u32).map(|i| (i * 37 % 251) as u8).collect(),
        };
        let view = none.view(&image, &mut ChaCha8Rng::seed_from_u64(1));
        let largest = view.pixels.iter().zip(&image.pixels).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(largest <= Some(1), "{largest:?}");
    }

    #[test]
    fn turning_the_hue_keeps_the_grey_axis_and_a_full_turn_everything() {
        let apply = |turns: f32, p: [f32; 3]| {
            hue_rotation(turns).map(|r| r[0] * p[0] + r[1] * p[1] + r[2] * p[2])
        };
        for value in apply(0.1, [5.0; 3]) {
            assert!((value - 5.0).abs() < 1e-5);
        }
        for (value, expected) in apply(1.0, [1.0, 2.0, 3.0]).into_iter().zip([1.0, 2.0, 3.0]) {
            assert!((value - expected).abs() < 1e-4);
        }
    }
}
