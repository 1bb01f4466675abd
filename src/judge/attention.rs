//! Where the judge looks, and how large a defect must be: one camera's ignored regions and minimum defect area.
//!
//! Pure. Owns how an anomaly map becomes the score that counts: the highest level at which some 8-connected region
//! outside what is ignored has the minimum area. Invariants: that score is never above the network's own, and a higher
//! map never gives a lower one, so that a calibration of whole maps still bounds the share of good parts refused;
//! with nothing ignored and an area of one pixel it is the network's own, bit for bit.

use std::sync::Arc;

use bundle::geometry::{Geometry, GeometryError, RgbImage, Size};
use ndarray::Array2;

use super::Evidence;
use crate::{area::Area, engine::inference::Inference};

/// Points along each side at which it is tried whether anything is left to look at.
const TRIED: u32 = 256;
/// So many of the highest pixels are looked at first; usually the region that decides is among them.
const FIRST_PIXELS: usize = 1_024;

/// A picture that is laid over the frame, whatever their sizes: white is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    size: Size,
    /// Rows first.
    ignored: Vec<bool>,
}

impl Mask {
    /// From a picture of black and white pixels.
    pub fn new(picture: &RgbImage) -> Result<Self, AttentionError> {
        let size = picture.size;
        let mut ignored = Vec::with_capacity(picture.pixels.len() / 3);
        for (index, pixel) in (0..).zip(picture.pixels.chunks_exact(3)) {
            match pixel {
                [0, 0, 0] => ignored.push(false),
                [255, 255, 255] => ignored.push(true),
                _ => {
                    let (x, y) = (index % size.width.max(1), index / size.width.max(1));
                    return Err(AttentionError::Grey { x, y });
                }
            }
        }
        Ok(Self { size, ignored })
    }

    fn holds(&self, x: f64, y: f64) -> bool {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "shares of a side, from 0 to 1; the cast saturates"
        )]
        let pixel = |share: f64, side: u32| {
            ((share * f64::from(side)) as usize).min(side.saturating_sub(1) as usize)
        };
        let at = pixel(y, self.size.height) * self.size.width as usize + pixel(x, self.size.width);
        self.ignored.get(at).copied().unwrap_or(false)
    }
}

/// What a camera's recipe says of where to look and how large a defect is.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// What is ignored.
    pub rectangles: Vec<Area>,
    /// What is ignored as well.
    pub mask: Option<Arc<Mask>>,
    /// The smallest region that counts, in pixels of the anomaly map; at least 1.
    pub area_min_px: usize,
}

impl Attention {
    /// Looks everywhere, at every pixel.
    pub const EVERYTHING: Self = Self { rectangles: Vec::new(), mask: None, area_min_px: 1 };

    /// Whether the network's own score is the one that counts.
    pub fn is_everything(&self) -> bool {
        !self.ignores_anything() && self.area_min_px <= 1
    }

    /// Whether any part of the frame is ignored.
    pub fn ignores_anything(&self) -> bool {
        !self.rectangles.is_empty() || self.mask.is_some()
    }

    /// Refuses what would leave nothing to look at, whatever the frame's size.
    pub fn check(&self) -> Result<(), AttentionError> {
        let centre = |at: u32| (f64::from(at) + 0.5) / f64::from(TRIED);
        let is_seen = |y: u32| (0..TRIED).any(|x| !self.ignores(centre(x), centre(y)));
        if (0..TRIED).any(is_seen) { Ok(()) } else { Err(AttentionError::Nothing) }
    }

    /// Refuses what leaves nothing to look at, as far as that can be told before a frame comes: shares of a frame that is
    /// stretched as a whole are shares of the map, a crop depends on the frame's shape.
    pub fn check_geometry(&self, geometry: &Geometry) -> Result<(), AttentionError> {
        self.check()?;
        let Size { width, height } = geometry.input;
        if self.area_min_px > width as usize * height as usize {
            return Err(AttentionError::Nothing);
        }
        if geometry.is_plain_stretch() {
            return self.over(geometry, geometry.input).map(drop);
        }
        Ok(())
    }

    /// The share of the frame that is ignored, from 0 to 1, to a tenth of a percent.
    pub fn ignored_share(&self) -> f64 {
        let centre = |at: u32| (f64::from(at) + 0.5) / f64::from(TRIED);
        let points = (0..TRIED).flat_map(|y| (0..TRIED).map(move |x| (centre(x), centre(y))));
        let ignored = points.filter(|&(x, y)| self.ignores(x, y)).count();
        ignored as f64 / f64::from(TRIED * TRIED)
    }

    fn ignores(&self, x: f64, y: f64) -> bool {
        self.rectangles.iter().any(|rectangle| rectangle.holds(x, y))
            || self.mask.as_ref().is_some_and(|mask| mask.holds(x, y))
    }

    /// What it means for the maps of frames of that size.
    pub fn over(&self, geometry: &Geometry, frame: Size) -> Result<Gaze, AttentionError> {
        if self.is_everything() {
            return Ok(Gaze::default());
        }
        let ignored = if self.ignores_anything() {
            geometry.input_from_points(frame, |x, y| self.ignores(x, y))?
        } else {
            let Size { width, height } = geometry.input;
            vec![vec![false; width as usize * height as usize]; geometry.input_count()]
        };
        let gaze = Gaze { ignored, area_min_px: self.area_min_px.max(1) };
        let Size { width, height } = geometry.input;
        let flat = Array2::zeros((height as usize, width as usize));
        let is_possible = (0..gaze.ignored.len()).any(|tile| gaze.level(tile, &flat).is_some());
        if is_possible { Ok(gaze) } else { Err(AttentionError::Nothing) }
    }
}

/// An attention that cannot be paid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AttentionError {
    /// No defect could ever be seen.
    #[error(
        "nothing is left to look at: what is ignored covers everything that the model sees, or the minimum defect area does"
    )]
    Nothing,
    /// Not a mask.
    #[error(
        "the pixel at ({x}, {y}) is neither black nor white; white is ignored, black is looked at"
    )]
    Grey {
        /// From the left.
        x: u32,
        /// From the top.
        y: u32,
    },
    /// The frame does not fit.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
}

/// An attention laid over the maps of one size of frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaze {
    /// For each tile, whether each pixel of its map is ignored; empty where the network's own score counts.
    ignored: Vec<Vec<bool>>,
    area_min_px: usize,
}

impl Gaze {
    /// The evidence of a frame's tiles, with the score that counts.
    pub fn evidence(&self, inferences: &[Inference]) -> Evidence {
        let own = Evidence::of(inferences);
        // What is not a number stays so: an engine that fails where nobody looks is no engine.
        if self.ignored.is_empty() || !own.score.is_finite() {
            return own;
        }
        let tiles = inferences.iter().enumerate();
        let levels = tiles.filter_map(|(index, tile)| self.level(index, &tile.anomaly_map));
        let least = || inferences.iter().flat_map(|tile| &tile.anomaly_map);
        // Tiles that are wholly ignored have no level; one that has is sure by `Attention::over`.
        let score = levels.reduce(f32::max).or_else(|| least().copied().reduce(f32::min));
        Evidence { score: score.map_or(f32::NAN, |score| score.min(own.score)), ..own }
    }

    /// The highest level at which a region of that map counts; `None` where none could.
    fn level(&self, tile: usize, map: &Array2<f32>) -> Option<f32> {
        let ignored = self.ignored.get(tile)?;
        let values: Vec<f32> = map.iter().copied().collect();
        let mut seen: Vec<usize> = std::iter::zip(0..values.len(), ignored)
            .filter(|(_, is_ignored)| !**is_ignored)
            .map(|(pixel, _)| pixel)
            .collect();
        let at = |pixel: usize| values.get(pixel).copied().unwrap_or(f32::NEG_INFINITY);
        if self.area_min_px <= 1 {
            return seen.into_iter().map(at).reduce(f32::max);
        }
        let descending = |a: &usize, b: &usize| at(*b).total_cmp(&at(*a));
        let mut regions = Regions::new(values.len(), map.ncols());
        let mut from = 0;
        let mut wanted = FIRST_PIXELS.max(4 * self.area_min_px);
        // The highest pixels first, and only as many as it takes: sorting a whole map would cost milliseconds.
        while from < seen.len() {
            let rest = &mut seen[from..];
            let count = wanted.min(rest.len());
            if count < rest.len() {
                rest.select_nth_unstable_by(count, descending);
            }
            rest[..count].sort_unstable_by(descending);
            for &pixel in &rest[..count] {
                if regions.add(pixel) >= self.area_min_px {
                    return Some(at(pixel));
                }
            }
            from += count;
            wanted = wanted.saturating_mul(4);
        }
        None
    }
}

/// 8-connected regions of a map that grow pixel by pixel: disjoint sets (Tarjan 1975).
struct Regions {
    columns: usize,
    /// The pixel above each in its region's tree; itself at the top, `usize::MAX` for pixels that are not in yet.
    above: Vec<usize>,
    /// Pixels of the region, at its top.
    area: Vec<usize>,
}

impl Regions {
    const ABSENT: usize = usize::MAX;

    fn new(pixels: usize, columns: usize) -> Self {
        Self { columns: columns.max(1), above: vec![Self::ABSENT; pixels], area: vec![0; pixels] }
    }

    /// Adds a pixel; the area of its region.
    fn add(&mut self, pixel: usize) -> usize {
        self.above[pixel] = pixel;
        self.area[pixel] = 1;
        let (row, column) = (pixel / self.columns, pixel % self.columns);
        for y in row.saturating_sub(1)..=row + 1 {
            for x in column.saturating_sub(1)..=(column + 1).min(self.columns - 1) {
                let neighbour = y * self.columns + x;
                if self.above.get(neighbour).is_some_and(|above| *above != Self::ABSENT) {
                    self.join(pixel, neighbour);
                }
            }
        }
        let top = self.top(pixel);
        self.area[top]
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.top(a), self.top(b));
        if a == b {
            return;
        }
        let (large, small) = if self.area[a] < self.area[b] { (b, a) } else { (a, b) };
        self.above[small] = large;
        self.area[large] += self.area[small];
    }

    fn top(&mut self, mut pixel: usize) -> usize {
        while self.above[pixel] != pixel {
            // Every second step is shortened, so that paths stay short.
            self.above[pixel] = self.above[self.above[pixel]];
            pixel = self.above[pixel];
        }
        pixel
    }
}

#[cfg(test)]
mod tests {
    use bundle::geometry::{Fit, Tiles};
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    fn inference(map: Array2<f32>) -> Inference {
        let score = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Inference { anomaly_map: map, score, embedding: array![1.0, 0.0] }
    }

    fn rectangle(x: f64, y: f64, width: f64, height: f64) -> Area {
        Area::new(x, y, width, height).unwrap()
    }

    fn ignoring(rectangles: Vec<Area>, area_min_px: usize) -> Attention {
        Attention { rectangles, mask: None, area_min_px }
    }

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    /// The level by its definition: every value of the map is tried, and regions are flooded.
    fn naive(map: &Array2<f32>, ignored: &[bool], area: usize) -> Option<f32> {
        let (rows, columns) = map.dim();
        let mut levels: Vec<f32> = map.iter().copied().collect();
        levels.sort_by(|a, b| b.total_cmp(a));
        levels.into_iter().find(|&level| {
            let mut open: Vec<bool> =
                map.iter().zip(ignored).map(|(v, ignored)| *v >= level && !ignored).collect();
            (0..open.len()).any(|start| {
                let mut stack = vec![start];
                let mut count = 0;
                while let Some(pixel) = stack.pop() {
                    if !std::mem::take(&mut open[pixel]) {
                        continue;
                    }
                    count += 1;
                    let (row, column) = (pixel / columns, pixel % columns);
                    for y in row.saturating_sub(1)..(row + 2).min(rows) {
                        for x in column.saturating_sub(1)..(column + 2).min(columns) {
                            stack.push(y * columns + x);
                        }
                    }
                }
                count >= area
            })
        })
    }

    #[test]
    fn an_ignored_region_is_not_seen_and_what_lies_beside_it_is() {
        let mut map = Array2::zeros((8, 8));
        map[[0, 0]] = 5.0;
        map[[7, 7]] = 2.0;
        let upper_left = ignoring(vec![rectangle(0.0, 0.0, 0.5, 0.5)], 1);
        let gaze = upper_left.over(&Geometry::square(8), size(640, 480)).unwrap();
        let evidence = gaze.evidence(&[inference(map.clone())]);
        assert_eq!((evidence.score, evidence.embedding), (2.0, vec![1.0, 0.0]));
        // A picture says the same.
        let mut pixels = vec![0; 3 * 16];
        for pixel in [0, 1, 4, 5] {
            pixels[3 * pixel..3 * pixel + 3].fill(255);
        }
        let mask = Mask::new(&RgbImage { size: size(4, 4), pixels }).unwrap();
        let drawn = Attention { mask: Some(Arc::new(mask)), ..Attention::EVERYTHING };
        assert_eq!(drawn.over(&Geometry::square(8), size(640, 480)).unwrap(), gaze);
        assert!((drawn.ignored_share() - 0.25).abs() < 1e-9);
        // Tiles: the left one is ignored wholly, the right one not at all.
        let tiles = Some(Tiles { columns: 2, rows: 1, overlap: 0.0 });
        let tiled = Geometry { tiles, fit: Fit::Stretch, ..Geometry::square(8) };
        let left = ignoring(vec![rectangle(0.0, 0.0, 0.5, 1.0)], 1);
        let gaze = left.over(&tiled, size(64, 32)).unwrap();
        let maps = [inference(map), inference(Array2::from_elem((8, 8), 0.5))];
        assert_eq!(gaze.evidence(&maps).score.to_bits(), 0.5_f32.to_bits());
    }

    #[test]
    fn what_leaves_nothing_to_look_at_is_refused() {
        let whole = ignoring(vec![rectangle(0.0, 0.0, 0.6, 1.0), rectangle(0.5, 0.0, 0.5, 1.0)], 1);
        assert_eq!(whole.check(), Err(AttentionError::Nothing));
        // Not everything, but all that a model with a centre crop sees.
        let middle = ignoring(vec![rectangle(0.2, 0.0, 0.6, 1.0)], 1);
        assert_eq!(middle.check(), Ok(()));
        let crop = Geometry { fit: Fit::Crop, ..Geometry::square(8) };
        assert_eq!(middle.over(&crop, size(64, 32)), Err(AttentionError::Nothing));
        let none = ignoring(vec![], 65);
        for fit in [Fit::Stretch, Fit::Crop] {
            let geometry = Geometry { fit, ..Geometry::square(8) };
            assert_eq!(none.check_geometry(&geometry), Err(AttentionError::Nothing));
            assert_eq!(ignoring(vec![], 64).check_geometry(&geometry), Ok(()));
        }
        // An area that no region of what is left has.
        let rows = ignoring(vec![rectangle(0.0, 0.25, 1.0, 0.5)], 17);
        assert_eq!(rows.check_geometry(&Geometry::square(8)), Err(AttentionError::Nothing));
        let grey = RgbImage { size: size(2, 1), pixels: vec![255, 255, 255, 0, 0, 9] };
        assert_eq!(Mask::new(&grey), Err(AttentionError::Grey { x: 1, y: 0 }));
    }

    #[test]
    fn an_engine_that_fails_where_nobody_looks_is_a_fault_all_the_same() {
        let mut map = Array2::zeros((8, 8));
        map[[0, 0]] = f32::NAN;
        let gaze = ignoring(vec![rectangle(0.0, 0.0, 0.5, 0.5)], 4)
            .over(&Geometry::square(8), size(8, 8))
            .unwrap();
        assert!(gaze.evidence(&[inference(map)]).score.is_nan());
    }

    /// Maps with many ties and with none, and what is ignored of them.
    fn cases() -> impl Strategy<Value = (Array2<f32>, Vec<bool>, usize)> {
        let value = prop_oneof![(0_u8..4).prop_map(f32::from), 0.0_f32..4.0];
        (1_usize..12, 1_usize..12).prop_flat_map(move |(rows, columns)| {
            let pixels = rows * columns;
            (
                prop::collection::vec(value.clone(), pixels),
                prop::collection::vec(prop::bool::weighted(0.2), pixels),
                1..=pixels,
            )
                .prop_map(move |(values, ignored, area)| {
                    (Array2::from_shape_vec((rows, columns), values).unwrap(), ignored, area)
                })
        })
    }

    proptest! {
        #[test]
        fn the_level_is_what_its_definition_says((map, ignored, area) in cases()) {
            let expected = naive(&map, &ignored, area);
            let gaze = Gaze { ignored: vec![ignored], area_min_px: area };
            prop_assert_eq!(gaze.level(0, &map), expected);
        }

        #[test]
        fn it_is_never_above_the_networks_score_and_never_falls_when_the_map_rises(
            (map, ignored, area) in cases(),
            rises in prop::collection::vec(0.0_f32..2.0, 144),
        ) {
            let gaze = Gaze { ignored: vec![ignored], area_min_px: area };
            let own = inference(map.clone());
            let score = gaze.evidence(std::slice::from_ref(&own)).score;
            prop_assert!(score <= own.score);
            let higher = &map
                + &Array2::from_shape_vec(map.dim(), rises[..map.len()].to_vec()).unwrap();
            let raised = gaze.evidence(&[inference(higher)]).score;
            prop_assert!(raised >= score, "{} after {}", raised, score);
        }

        #[test]
        fn with_nothing_ignored_and_one_pixel_it_is_the_networks_own(
            (map, _, _) in cases(),
            score in 0.0_f32..9.0,
        ) {
            // Another value than the map's maximum, so that it is seen which of them is taken.
            let own = Inference { score, ..inference(map) };
            let everything = Attention::EVERYTHING;
            let gaze = everything.over(&Geometry::square(8), size(8, 8)).unwrap();
            prop_assert_eq!(gaze.evidence(std::slice::from_ref(&own)), Evidence::of(&[own]));
        }

        #[test]
        fn large_maps_are_searched_as_far_as_it_takes(area in 1_usize..6_000, seed in any::<u64>()) {
            // Pixels that touch none of their neighbours' values: regions form late.
            let values = (0..96 * 96_u64).map(|i| {
                let mixed = (i ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                (mixed >> 40) as f32
            });
            let map = Array2::from_shape_vec((96, 96), values.collect()).unwrap();
            let gaze = Gaze { ignored: vec![vec![false; 96 * 96]], area_min_px: area };
            let level = gaze.level(0, &map).unwrap();
            // At the level a region is large enough, just above it none is.
            let is_enough = |level: f32| {
                let mut regions = Regions::new(map.len(), 96);
                let pixels = map.iter().enumerate().filter(|(_, v)| **v >= level);
                pixels.map(|(pixel, _)| regions.add(pixel)).max().unwrap_or(0) >= area
            };
            prop_assert!(is_enough(level));
            prop_assert!(!is_enough(level.next_up()));
        }
    }
}
