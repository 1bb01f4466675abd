//! The picture of a verdict: the frame, the frame under its heat map, and a bar in the verdict's colour.
//!
//! Owns the colours of decisions; those of heat are `bundle::heat`. Pure: pixels in, pixels out. What glows red is what
//! failed, and the white line encloses it.

use bundle::{
    geometry::{Map, RgbImage, RgbView, Size},
    heat::{OUTLINE, heated, highest, is_outline, value},
};

use crate::verdict::{Decision, Verdict};

/// Between the two pictures.
const GAP: u32 = 4;
/// Of the frame's height, at least [`BAR_MIN`].
const BAR_SHARE: u32 = 24;
const BAR_MIN: u32 = 6;
const BACKGROUND: [u8; 3] = [24, 24, 24];

/// Draws `frame` beside itself under `map`, which has the frame's size.
pub fn draw(frame: &RgbView<'_>, map: &Map, verdict: &Verdict) -> RgbImage {
    let Size { width, height } = frame.size();
    let bar = (height / BAR_SHARE).max(BAR_MIN);
    let size = Size { width: 2 * width + GAP, height: height + bar };
    let mut picture = Canvas::new(size);
    picture.fill(0..size.width, 0..bar, decision_colour(verdict.decision));
    let limit = verdict.threshold.unwrap_or_else(|| highest(map));
    for y in 0..height {
        let row = frame.row(y);
        for x in 0..width {
            let at = 3 * x as usize;
            let pixel = [row[at], row[at + 1], row[at + 2]];
            picture.set(x, bar + y, pixel);
            let heat = value(map, x, y) / limit;
            let pixel = if is_outline(map, x, y, limit) { OUTLINE } else { heated(pixel, heat) };
            picture.set(width + GAP + x, bar + y, pixel);
        }
    }
    picture.image
}

/// Green, red, amber and grey, also apart for the colour-blind by their lightness.
fn decision_colour(decision: Decision) -> [u8; 3] {
    match decision {
        Decision::Pass(_) => [46, 160, 67],
        Decision::Fail => [218, 30, 40],
        Decision::UnknownProduct => [255, 176, 0],
        Decision::Fault => [141, 141, 141],
    }
}

struct Canvas {
    image: RgbImage,
}

impl Canvas {
    fn new(size: Size) -> Self {
        let pixels = BACKGROUND.repeat(size.width as usize * size.height as usize);
        Self { image: RgbImage { size, pixels } }
    }

    fn set(&mut self, x: u32, y: u32, colour: [u8; 3]) {
        let at = 3 * (y as usize * self.image.size.width as usize + x as usize);
        self.image.pixels[at..at + 3].copy_from_slice(&colour);
    }

    fn fill(&mut self, xs: std::ops::Range<u32>, ys: std::ops::Range<u32>, colour: [u8; 3]) {
        for y in ys {
            for x in xs.clone() {
                self.set(x, y, colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_left_half_is_the_frame_and_only_what_is_above_the_limit_is_outlined() {
        let size = Size { width: 8, height: 8 };
        let image = RgbImage { size, pixels: vec![100; 8 * 8 * 3] };
        let mut map = Map { size, values: vec![0.0; 64] };
        for (x, y) in [(3, 3), (4, 3), (3, 4), (4, 4)] {
            map.values[y * 8 + x] = 2.0;
        }
        let verdict = Verdict { threshold: Some(1.0), ..Verdict::fault(0.01, "") };
        let picture = draw(&image.view(), &map, &verdict);
        assert_eq!(picture.size, Size { width: 20, height: 14 });
        let at = |x: usize, y: usize| &picture.pixels[3 * (y * 20 + x)..][..3];
        assert_eq!(at(0, 0), decision_colour(Decision::Fault));
        for y in 0..8 {
            for x in 0..8 {
                assert_eq!(at(x, 6 + y), [100; 3], "left half at {x}, {y}");
                let expected: &[u8] =
                    if (3..5).contains(&x) && (3..5).contains(&y) { &OUTLINE } else { &[100; 3] };
                assert_eq!(at(12 + x, 6 + y), expected, "right half at {x}, {y}");
            }
        }
    }
}
