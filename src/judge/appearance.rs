//! How a picture looks apart from what it shows: brightness and focus of the model's input.
//!
//! Pure. Owns the two measures. Every fourth row is looked at: drift is slow, and a frame's time is short.

use bundle::geometry::RgbView;

/// From one row that is looked at to the next.
const ROWS_APART: usize = 4;

/// Brightness and focus of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Appearance {
    /// Mean luma (ITU-R BT.601), from 0 to 255.
    pub brightness: f32,
    /// Energy of the Laplacian over the variance of the luma: falls when the picture is defocused, and stays when it
    /// becomes darker or loses contrast (Pertuz et al., Pattern Recognition 46, 2013, on measures of focus). 0 for a
    /// picture of one colour.
    pub focus: f32,
}

impl Appearance {
    /// Of all inputs of a frame together; `None` where there is nothing to measure.
    pub fn of<'a>(inputs: impl Iterator<Item = RgbView<'a>>) -> Option<Self> {
        let mut sums = Sums::default();
        for input in inputs {
            sums.add(&input);
        }
        sums.appearance()
    }
}

/// Sums over pixels; exact, for they are integers.
#[derive(Default)]
struct Sums {
    pixels: u64,
    luma: u64,
    squares: u64,
    edges: u64,
}

impl Sums {
    fn add(&mut self, input: &RgbView<'_>) {
        let height = input.size().height;
        let [mut above, mut here, mut below] = [const { Vec::new() }; 3];
        for y in (1..height.saturating_sub(1)).step_by(ROWS_APART) {
            luma(input.row(y - 1), &mut above);
            luma(input.row(y), &mut here);
            luma(input.row(y + 1), &mut below);
            for (columns, (above, below)) in
                std::iter::zip(here.windows(3), std::iter::zip(&above[1..], &below[1..]))
            {
                let &[left, middle, right] = columns else { continue };
                let edge = 4 * middle - left - right - above - below;
                self.luma += u64::from(middle.unsigned_abs());
                self.squares += u64::from((middle * middle).unsigned_abs());
                self.edges += u64::from((edge * edge).unsigned_abs());
            }
            self.pixels += here.len().saturating_sub(2) as u64;
        }
    }

    fn appearance(&self) -> Option<Appearance> {
        if self.pixels == 0 {
            return None;
        }
        let pixels = self.pixels as f64;
        let brightness = self.luma as f64 / pixels;
        let variance = self.squares as f64 / pixels - brightness * brightness;
        let energy = self.edges as f64 / pixels;
        let focus = if variance > 0.0 { energy / variance } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "a figure for people and ranks")]
        Some(Appearance { brightness: brightness as f32, focus: focus as f32 })
    }
}

/// The luma of a row of pixels, from 0 to 255.
fn luma(row: &[u8], into: &mut Vec<i32>) {
    into.clear();
    into.extend(row.chunks_exact(3).map(|pixel| match *pixel {
        [red, green, blue] => {
            (77 * i32::from(red) + 150 * i32::from(green) + 29 * i32::from(blue)) >> 8
        }
        _ => 0,
    }));
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pixels")]
mod tests {
    use bundle::geometry::{RgbImage, Size};

    use super::*;

    fn picture(pixel: impl Fn(u32, u32) -> f64) -> RgbImage {
        let size = Size { width: 48, height: 40 };
        let pixels = (0..40).flat_map(|y| (0..48).map(move |x| (x, y)));
        RgbImage { size, pixels: pixels.flat_map(|(x, y)| [pixel(x, y) as u8; 3]).collect() }
    }

    fn of(image: &RgbImage) -> Appearance {
        Appearance::of([image.view()].into_iter()).unwrap()
    }

    #[test]
    fn a_darker_picture_is_darker_and_as_sharp_a_defocused_one_as_bright_and_less_sharp() {
        // Detail upon something large, as parts have it.
        let level = |x: u32, y: u32| {
            let grain = f64::from((x * x + 3 * y * x + y) % 7) * 8.0;
            (f64::from(x) / 7.0).sin() * 60.0 + 100.0 + grain
        };
        let sharp = of(&picture(level));
        let darker = of(&picture(|x, y| level(x, y) * 0.5));
        let blurred = of(&picture(|x, y| {
            let around = (0..3).flat_map(|dy| (0..3).map(move |dx| level(x + dx, y + dy)));
            around.sum::<f64>() / 9.0
        }));
        assert!((darker.brightness / sharp.brightness - 0.5).abs() < 0.02, "{darker:?} {sharp:?}");
        assert!((darker.focus / sharp.focus - 1.0).abs() < 0.05, "{darker:?} {sharp:?}");
        assert!((blurred.brightness - sharp.brightness).abs() < 3.0, "{blurred:?} {sharp:?}");
        assert!(blurred.focus < 0.5 * sharp.focus, "{blurred:?} {sharp:?}");
    }

    #[test]
    fn a_picture_of_one_colour_has_no_focus_and_a_tiny_one_nothing() {
        let grey = of(&picture(|_, _| 90.0));
        assert_eq!((grey.brightness, grey.focus), (90.0, 0.0));
        let tiny = RgbImage { size: Size { width: 2, height: 2 }, pixels: vec![0; 12] };
        assert_eq!(Appearance::of([tiny.view()].into_iter()), None);
    }
}
