//! How a picture looks as a whole: how bright it is and how sharp.
//!
//! Pure. Owns both measures and their spread over many pictures, so that what a calibration saw and what a camera
//! gives months later are measured alike. Judges nothing.

use serde::{Deserialize, Serialize};

use crate::geometry::{RgbView, Size};

/// One picture's brightness and focus.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    /// Mean luma of the sRGB bytes (ITU-R BT.601 weights), from 0 to 255.
    pub brightness: f64,
    /// Variance of the Laplacian of luma, in grey levels squared (Pech-Pacheco et al., Diatom autofocusing in
    /// brightfield microscopy, ICPR 2000). It falls as the picture blurs; only pictures of one size compare.
    pub focus: f64,
}

impl Look {
    /// Measures a picture; one without inner pixels has no focus.
    ///
    /// ```
    /// use bundle::{geometry::{RgbImage, Size}, look::Look};
    /// let grey = RgbImage { size: Size { width: 4, height: 4 }, pixels: vec![128; 48] };
    /// assert_eq!(Look::of(&grey.view()), Look { brightness: 128.0, focus: 0.0 });
    /// ```
    pub fn of(picture: &RgbView<'_>) -> Self {
        let Size { width, height } = picture.size();
        let luma: Vec<Vec<i32>> = (0..height).map(|y| luma(picture.row(y))).collect();
        let sum: i64 = luma.iter().flatten().map(|&value| i64::from(value)).sum();
        let pixels = (f64::from(width) * f64::from(height)).max(1.0);
        // The Laplacian's mean is near 0, so that nothing cancels in the difference of the squares.
        let (mut inner, mut total, mut squares) = (0.0, 0.0, 0.0);
        for rows in luma.windows(3) {
            let [above, row, below] = rows else { continue };
            let (mut of_row, mut squares_of_row) = (0_i64, 0_i64);
            for x in 1..row.len().saturating_sub(1) {
                let value = i64::from(above[x] + below[x] + row[x - 1] + row[x + 1] - 4 * row[x]);
                of_row += value;
                squares_of_row += value * value;
                inner += 1.0;
            }
            total += of_row as f64 / LUMA_ONE;
            squares += squares_of_row as f64 / (LUMA_ONE * LUMA_ONE);
        }
        let mean = total / f64::max(inner, 1.0);
        Self {
            brightness: sum as f64 / LUMA_ONE / pixels,
            focus: (squares / f64::max(inner, 1.0) - mean * mean).max(0.0),
        }
    }

    /// The mean over a frame's inputs, which are one or its tiles.
    pub fn of_all<'a>(pictures: impl IntoIterator<Item = RgbView<'a>>) -> Self {
        let (mut sum, mut count) = (Self::default(), 0.0_f64);
        for picture in pictures {
            let look = Self::of(&picture);
            sum.brightness += look.brightness;
            sum.focus += look.focus;
            count += 1.0;
        }
        let count = count.max(1.0);
        Self { brightness: sum.brightness / count, focus: sum.focus / count }
    }
}

/// A grey level of luma in [`luma`]'s units.
const LUMA_ONE: f64 = 1000.0;

/// In thousandths of a grey level, so that sums are exact.
fn luma(row: &[u8]) -> Vec<i32> {
    row.chunks_exact(3)
        .map(|pixel| {
            299 * i32::from(pixel[0]) + 587 * i32::from(pixel[1]) + 114 * i32::from(pixel[2])
        })
        .collect()
}

/// Mean and standard deviation of a value over a number of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Frames that it was measured on.
    pub frames: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, of these frames themselves (divided by their number).
    pub standard_deviation: f64,
}

impl Spread {
    /// Of some values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut spread = Self::default();
        for value in values {
            spread.add(value);
        }
        spread
    }

    /// With one more value (Welford 1962).
    fn add(&mut self, value: f64) {
        *self = self.joined(Self { frames: 1, mean: value, standard_deviation: 0.0 });
    }

    /// Of the frames of both (Chan, Golub, `LeVeque` 1979).
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        let (a, b) = (self.frames as f64, other.frames as f64);
        if other.frames == 0 {
            return self;
        }
        let all = a + b;
        let apart = other.mean - self.mean;
        let squares = self.standard_deviation.powi(2) * a
            + other.standard_deviation.powi(2) * b
            + apart * apart * a * b / all;
        Self {
            frames: self.frames + other.frames,
            mean: self.mean + apart * b / all,
            standard_deviation: (squares / all).max(0.0).sqrt(),
        }
    }

    /// Whether it can be of any frames.
    pub fn is_sound(self) -> bool {
        let Self { frames, mean, standard_deviation } = self;
        frames > 0
            && mean.is_finite()
            && standard_deviation.is_finite()
            && standard_deviation >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geometry::RgbImage;

    fn image(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> RgbImage {
        let mut pixels = Vec::new();
        for y in 0..height {
            for x in 0..width {
                pixels.extend(pixel(x, y));
            }
        }
        RgbImage { size: Size { width, height }, pixels }
    }

    #[test]
    fn brightness_weighs_the_colours() {
        let of = |pixel: [u8; 3]| Look::of(&image(5, 4, |_, _| pixel).view()).brightness;
        for (pixel, expected) in
            [([255, 255, 255], 255.0), ([100, 0, 0], 29.9), ([0, 100, 0], 58.7), ([0, 0, 0], 0.0)]
        {
            assert!((of(pixel) - expected).abs() < 1e-9, "{pixel:?}");
        }
    }

    #[test]
    fn focus_is_the_variance_of_the_laplacian_and_falls_with_blur() {
        // One white pixel in black, 5x5: the nine inner pixels are -4, four times 1 and four times 0, times 255.
        let dot = Look::of(&image(5, 5, |x, y| [if (x, y) == (2, 2) { 255 } else { 0 }; 3]).view());
        let mean_square = (16.0 + 4.0) / 9.0 * 255.0 * 255.0;
        assert!((dot.focus - mean_square).abs() < 1e-6, "{}", dot.focus);
        let stripes = |period: u32| {
            let picture =
                image(32, 32, |x, _| [if (x / period).is_multiple_of(2) { 200 } else { 50 }; 3]);
            Look::of(&picture.view()).focus
        };
        assert!(stripes(1) > stripes(4) && stripes(4) > stripes(16));
        assert!(Look::of(&image(2, 2, |_, _| [9; 3]).view()).focus.abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn joined_spreads_are_those_of_all_values(
            a in prop::collection::vec(-1e3_f64..1e3, 0..40),
            b in prop::collection::vec(-1e3_f64..1e3, 1..40),
        ) {
            let joined = Spread::of(a.clone()).joined(Spread::of(b.clone()));
            let all: Vec<f64> = a.into_iter().chain(b).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let variance = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64;
            prop_assert_eq!(joined.frames, all.len());
            prop_assert!((joined.mean - mean).abs() < 1e-7);
            prop_assert!((joined.standard_deviation - variance.sqrt()).abs() < 1e-6);
        }
    }
}
