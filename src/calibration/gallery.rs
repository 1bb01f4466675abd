//! Pictures of the frames that a person may have to look at.
//!
//! Which frames stand out is known only when all are there, and all pictures would not fit into memory. What stands out
//! is among the highest scores or the largest distances, so that those alone are kept, as PNG of a bounded size.
//! Owns both bounds. Knows nothing of what is suspicious.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use bundle::geometry::{Map, RgbImage, RgbView, Size};

use crate::{fault::Fault, images, overlay, verdict::Verdict};

/// Pictures of the highest scores, and as many of the largest distances: more than a person looks at in one go.
pub const KEPT: usize = 24;
/// Longest side of a frame in a picture: 48 pictures of noise, which nothing compresses, are 75 MB.
const SIDE_MAX_PX: u32 = 512;

/// The pictures that are kept, by the numbers of their frames.
#[derive(Debug, Default)]
pub struct Gallery(BTreeMap<usize, Kept>);

#[derive(Debug)]
struct Kept {
    score: f32,
    distance: f32,
    png: Vec<u8>,
}

impl Gallery {
    /// Whether a frame's picture would be kept now: asked before one is drawn.
    pub fn wants(&self, score: f32, distance: f32) -> bool {
        let above = |value: f32, of: fn(&Kept) -> f32| {
            self.0.values().filter(|kept| of(kept) >= value).count() < KEPT
        };
        above(score, |kept| kept.score) || above(distance, |kept| kept.distance)
    }

    /// Keeps a picture, and lets go of those that are no longer among the highest by either measure.
    pub fn keep(&mut self, id: usize, score: f32, distance: f32, png: Vec<u8>) {
        self.0.insert(id, Kept { score, distance, png });
        let highest = |of: fn(&Kept) -> f32| {
            let mut values: Vec<(f32, usize)> =
                self.0.iter().map(|(&id, kept)| (of(kept), id)).collect();
            // Among equals the earliest.
            values.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            values.into_iter().take(KEPT).map(|(_, id)| id).collect::<BTreeSet<_>>()
        };
        let (by_score, by_distance) = (highest(|kept| kept.score), highest(|kept| kept.distance));
        self.0.retain(|id, _| by_score.contains(id) || by_distance.contains(id));
    }

    /// A frame's picture as PNG.
    pub fn picture(&self, id: usize) -> Option<&[u8]> {
        self.0.get(&id).map(|kept| &*kept.png)
    }

    /// Writes the pictures of these frames, each under the name that `name` gives; the names of those that there were.
    pub fn write(
        &self,
        folder: &Path,
        ids: impl IntoIterator<Item = usize>,
        name: impl Fn(usize) -> String,
    ) -> Result<BTreeMap<usize, String>, Fault> {
        let mut written = BTreeMap::new();
        for id in ids {
            let Some(png) = self.picture(id) else { continue };
            let name = name(id);
            images::write_whole(&folder.join(&name), png)?;
            written.insert(id, name);
        }
        Ok(written)
    }
}

/// A frame beside itself under its heat map, as PNG; `map` has the frame's size.
pub fn draw(frame: &RgbView<'_>, map: &Map, verdict: &Verdict) -> Result<Vec<u8>, String> {
    let Size { width, height } = frame.size();
    let factor = width.max(height).div_ceil(SIDE_MAX_PX);
    if factor <= 1 {
        return images::png(&overlay::draw(frame, map, verdict));
    }
    let (frame, map) = reduced(frame, map, factor);
    images::png(&overlay::draw(&frame.view(), &map, verdict))
}

/// Each block of `factor` by `factor` pixels as one: its mean colour, and its highest anomaly.
fn reduced(frame: &RgbView<'_>, map: &Map, factor: u32) -> (RgbImage, Map) {
    let of = |side: u32| (side / factor).max(1);
    let size = Size { width: of(frame.size().width), height: of(frame.size().height) };
    let mut pixels = Vec::with_capacity(size.width as usize * size.height as usize * 3);
    let mut values = Vec::with_capacity(size.width as usize * size.height as usize);
    for y in 0..size.height {
        for x in 0..size.width {
            let (mut sum, mut count, mut highest) = ([0_u32; 3], 0, f32::MIN);
            for block_y in y * factor..((y + 1) * factor).min(frame.size().height) {
                let row = frame.row(block_y);
                for block_x in x * factor..((x + 1) * factor).min(frame.size().width) {
                    let at = block_x as usize * 3;
                    for (total, &value) in std::iter::zip(&mut sum, &row[at..at + 3]) {
                        *total += u32::from(value);
                    }
                    count += 1;
                    highest = highest.max(bundle::heat::value(map, block_x, block_y));
                }
            }
            // A mean of bytes is a byte.
            pixels.extend(sum.map(|total| u8::try_from(total / count.max(1)).unwrap_or(u8::MAX)));
            values.push(highest);
        }
    }
    (RgbImage { size, pixels }, Map { size, values })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_large_frame_becomes_a_small_picture_and_keeps_its_hottest_point() {
        let size = Size { width: 1300, height: 700 };
        let image = RgbImage { size, pixels: vec![90; 1300 * 700 * 3] };
        let mut map = Map { size, values: vec![0.0; 1300 * 700] };
        map.values[350 * 1300 + 650] = 2.0;
        let (small, heat) = reduced(&image.view(), &map, 3);
        assert_eq!((small.size, heat.size), (Size { width: 433, height: 233 }, small.size));
        assert!(small.pixels.iter().all(|&value| value == 90));
        assert_eq!(heat.values.iter().filter(|&&value| value > 1.0).count(), 1);
        let png = draw(&image.view(), &map, &Verdict::fault(0.01, "")).unwrap();
        let read = image::load_from_memory(&png).unwrap();
        assert!(read.width() < 1100 && read.height() < 600, "{}x{}", read.width(), read.height());
    }

    proptest! {
        #[test]
        fn the_highest_by_either_measure_are_kept_and_never_more(
            // Few distinct values, so that there are ties.
            frames in prop::collection::vec((0_u8..30, 0_u8..30), 1..200),
        ) {
            let mut gallery = Gallery::default();
            for (id, &(score, distance)) in frames.iter().enumerate() {
                let (score, distance) = (f32::from(score), f32::from(distance));
                if gallery.wants(score, distance) {
                    gallery.keep(id, score, distance, vec![0]);
                }
                prop_assert!(gallery.0.len() <= 2 * KEPT);
            }
            for of in [|f: &(u8, u8)| f.0, |f: &(u8, u8)| f.1] {
                for (id, frame) in frames.iter().enumerate() {
                    let above = frames.iter().filter(|other| of(other) >= of(frame)).count();
                    // Beyond all ties it is kept.
                    if above <= KEPT {
                        prop_assert!(gallery.picture(id).is_some(), "{id} {frame:?}");
                    }
                }
            }
        }
    }
}
