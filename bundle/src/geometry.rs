//! From a frame to the model's input and back: the SAME code in trainer and inspector.
//!
//! Owns fit, resampling, region and tiles. Spaces: *frame* (what the camera gives), *input* (what the network
//! sees), *map* (what the network returns, of the input's size). Pixels are sRGB bytes, rows first, resampled as
//! they are (no linear light, as every `ImageNet` network was trained).
//! Invariant: same bytes in, same bytes out, on every machine; `frame_from_map` inverts `input_from_frame`.

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use serde::{Deserialize, Serialize};

/// A bound against a typing error; a 100-megapixel camera has sides of 12,000.
pub(crate) const SIDE_MAX: u32 = 32_768;
/// More tiles make a frame of many seconds.
const TILES_MAX: u32 = 64;

/// Width and height in pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// How a frame of another shape becomes the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Both sides are scaled on their own.
    Stretch,
    /// The centre is cut out in the input's shape, then scaled.
    Crop,
    /// Scaled as a whole, centred on black.
    Letterbox,
}

/// How pixels are resampled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// Antialiased bilinear: a triangle as wide as an output pixel (PIL's BILINEAR).
    Triangle,
    /// The mean over an output pixel's area (`OpenCV`'s `INTER_AREA`).
    Area,
}

/// Overlapping parts of the region, judged one by one.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiles {
    /// Tiles across.
    pub columns: u32,
    /// Tiles down.
    pub rows: u32,
    /// Share of a tile that its neighbour sees, too: from 0 to below 0.5.
    pub overlap: f64,
}

/// A rectangle of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// How frames become inputs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geometry {
    /// The model's input.
    pub input: Size,
    /// What happens to frames of another shape.
    pub fit: Fit,
    /// How they are scaled.
    pub resampling: Resampling,
    /// The part of the frame that is looked at; `None` for all of it.
    pub region: Option<Region>,
    /// How that part is divided; `None` for not at all.
    pub tiles: Option<Tiles>,
}

/// A frame or geometry that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GeometryError {
    /// Fewer bytes than the size says.
    #[error("an image of {size} with rows of {stride_bytes} bytes needs more than {have} bytes")]
    TooFewBytes {
        /// Its size.
        size: Size,
        /// Its stride.
        stride_bytes: usize,
        /// Bytes there are.
        have: usize,
    },
    /// A side is 0 or beyond any camera.
    #[error("{what} is {size}; each side must be from 1 to {SIDE_MAX} pixels")]
    Side {
        /// Whose.
        what: &'static str,
        /// Its size.
        size: Size,
    },
    /// The region reaches beyond the frame.
    #[error(
        "the region of {}x{} pixels at ({}, {}) reaches beyond the frame of {frame}; the model was made for a larger frame",
        region.width, region.height, region.x, region.y
    )]
    Region {
        /// The model's region.
        region: Region,
        /// The frame at hand.
        frame: Size,
    },
    /// Tiles that are none.
    #[error(
        "{columns} x {rows} tiles with an overlap of {overlap}; at least one, at most {TILES_MAX}, and an overlap from 0 to below 0.5"
    )]
    Tiles {
        /// Across.
        columns: u32,
        /// Down.
        rows: u32,
        /// Share.
        overlap: f64,
    },
    /// The resizing library refused.
    #[error("the image cannot be scaled: {0}")]
    Resize(String),
}

/// Borrowed RGB pixels, 3 bytes each, whose rows may be padded.
#[derive(Clone, Copy)]
pub struct RgbView<'a> {
    size: Size,
    stride_bytes: usize,
    bytes: &'a [u8],
}

impl<'a> RgbView<'a> {
    /// Pixels of `size` in rows of `stride_bytes`; the last row needs no padding.
    pub fn new(size: Size, stride_bytes: usize, bytes: &'a [u8]) -> Result<Self, GeometryError> {
        check_side("an image", size)?;
        let row = size.width as usize * 3;
        let need = stride_bytes
            .checked_mul(size.height as usize - 1)
            .and_then(|above| above.checked_add(row));
        if stride_bytes < row || need.is_none_or(|need| bytes.len() < need) {
            return Err(GeometryError::TooFewBytes { size, stride_bytes, have: bytes.len() });
        }
        Ok(Self { size, stride_bytes, bytes })
    }

    /// Its size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Bytes from one row to the next.
    pub fn stride_bytes(&self) -> usize {
        self.stride_bytes
    }

    /// The pixels of row `y`, without padding.
    ///
    /// # Panics
    /// When `y` is not below the height.
    pub fn row(&self, y: u32) -> &'a [u8] {
        assert!(y < self.size.height, "row {y} of {}", self.size);
        let start = y as usize * self.stride_bytes;
        &self.bytes[start..start + self.size.width as usize * 3]
    }

    /// A copy of the pixels, without padding.
    pub fn to_image(&self) -> RgbImage {
        let Size { width, height } = self.size;
        self.cut(Region { x: 0, y: 0, width, height })
    }

    /// All pixels without a copy; `None` when rows are padded.
    pub fn packed(&self) -> Option<&'a [u8]> {
        let row = self.size.width as usize * 3;
        (self.stride_bytes == row).then(|| &self.bytes[..row * self.size.height as usize])
    }

    /// A copy of a rectangle that lies within.
    fn cut(&self, region: Region) -> RgbImage {
        let (left, width) = (region.x as usize * 3, region.width as usize * 3);
        let mut pixels = Vec::with_capacity(width * region.height as usize);
        for y in region.y..region.y + region.height {
            pixels.extend_from_slice(&self.row(y)[left..left + width]);
        }
        RgbImage { size: Size { width: region.width, height: region.height }, pixels }
    }
}

impl std::fmt::Debug for RgbView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbView({})", self.size)
    }
}

/// Packed RGB pixels, 3 bytes each, rows first.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Its size.
    pub size: Size,
    /// `height * width * 3` bytes.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// The pixels, borrowed.
    ///
    /// # Panics
    /// When the bytes are fewer than the size says, which is a bug of whoever built it.
    pub fn view(&self) -> RgbView<'_> {
        RgbView::new(self.size, self.size.width as usize * 3, &self.pixels)
            .expect("an RgbImage holds height * width * 3 bytes")
    }
}

impl std::fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbImage({})", self.size)
    }
}

/// One value per pixel, rows first.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Its size.
    pub size: Size,
    /// `height * width` values.
    pub values: Vec<f32>,
}

impl Geometry {
    /// The whole frame stretched to a square.
    pub fn square(px: u32) -> Self {
        Self {
            input: Size { width: px, height: px },
            fit: Fit::Stretch,
            resampling: Resampling::Triangle,
            region: None,
            tiles: None,
        }
    }

    /// Refuses what no frame could be fitted with.
    pub fn validate(&self) -> Result<(), GeometryError> {
        check_side("the model's input", self.input)?;
        if let Some(Region { width, height, .. }) = self.region {
            check_side("the region", Size { width, height })?;
        }
        let Some(Tiles { columns, rows, overlap }) = self.tiles else { return Ok(()) };
        let count = columns.saturating_mul(rows);
        if (1..=TILES_MAX).contains(&count) && (0.0..0.5).contains(&overlap) {
            Ok(())
        } else {
            Err(GeometryError::Tiles { columns, rows, overlap })
        }
    }

    /// Inputs per frame: 1, or the number of tiles.
    pub fn input_count(&self) -> usize {
        self.tiles.map_or(1, |tiles| tiles.columns as usize * tiles.rows as usize)
    }

    /// Whether the whole frame is scaled and nothing else: what any scaler can do.
    pub fn is_plain_stretch(&self) -> bool {
        self.fit == Fit::Stretch && self.region.is_none() && self.tiles.is_none()
    }

    /// Whether a frame of that size is the input as it is.
    pub fn is_identity_for(&self, frame: Size) -> bool {
        frame == self.input && self.region.is_none() && self.tiles.is_none()
    }

    /// The inputs for one frame, in rows of tiles.
    pub fn input_from_frame(&self, frame: &RgbView<'_>) -> Result<Vec<RgbImage>, GeometryError> {
        self.tiles_of(frame.size())?.into_iter().map(|tile| self.fitted(frame, tile)).collect()
    }

    /// Whether a frame of that size can be fitted.
    pub fn check_frame(&self, frame: Size) -> Result<(), GeometryError> {
        self.tiles_of(frame).map(drop)
    }

    /// A mask over the frame in the space of each input; `marked` holds a value per pixel of `frame`, rows first.
    ///
    /// A pixel of the input is marked when the centre of at least one marked pixel falls on it, so that no mark within
    /// the region is lost however small it is; where the input is finer than the frame, the nearest pixel decides.
    pub fn input_from_mask(
        &self,
        frame: Size,
        marked: &[bool],
    ) -> Result<Vec<Vec<bool>>, GeometryError> {
        let tiles = self.tiles_of(frame)?;
        let row = self.input.width as usize;
        let mask_of = |tile| {
            let Placement { source, target } = self.placement(tile);
            let mut input = vec![false; row * self.input.height as usize];
            let columns = centres(source.x, source.width, target.width);
            let rows = centres(source.y, source.height, target.height);
            for (y, lines) in (target.y as usize..).zip(&rows) {
                for (x, span) in (target.x as usize..).zip(&columns) {
                    input[y * row + x] = lines.clone().any(|line| {
                        let start = line as usize * frame.width as usize;
                        let span = start + span.start as usize..start + span.end as usize;
                        marked.get(span).is_some_and(|marked| marked.contains(&true))
                    });
                }
            }
            input
        };
        Ok(tiles.into_iter().map(mask_of).collect())
    }

    /// For each input, whether the centre of each of its pixels lies on what `is_marked` says of a point of the frame,
    /// which it gets in shares of the frame's sides. Where no part of the frame is, as in a letterbox's bars, nothing is.
    pub fn input_from_points(
        &self,
        frame: Size,
        is_marked: impl Fn(f64, f64) -> bool,
    ) -> Result<Vec<Vec<bool>>, GeometryError> {
        let row = self.input.width as usize;
        let mask_of = |tile| {
            let Placement { source, target } = self.placement(tile);
            let share = |at: u32, (from, len): (u32, u32), count: u32, side: u32| {
                let pixel = (f64::from(at) + 0.5) * f64::from(len) / f64::from(count);
                (f64::from(from) + pixel) / f64::from(side)
            };
            let mut input = vec![false; row * self.input.height as usize];
            for y in 0..target.height {
                let down = share(y, (source.y, source.height), target.height, frame.height);
                let start = (target.y + y) as usize * row + target.x as usize;
                for x in 0..target.width {
                    let across = share(x, (source.x, source.width), target.width, frame.width);
                    input[start + x as usize] = is_marked(across, down);
                }
            }
            input
        };
        Ok(self.tiles_of(frame)?.into_iter().map(mask_of).collect())
    }

    /// Maps laid back over the frame: tiles stitched by their maximum, 0 where nothing was looked at.
    pub fn frame_from_map(&self, maps: &[Map], frame: Size) -> Map {
        let count = frame.width as usize * frame.height as usize;
        let mut whole = Map { size: frame, values: vec![0.0; count] };
        let Ok(tiles) = self.tiles_of(frame) else { return whole };
        for (tile, map) in tiles.into_iter().zip(maps) {
            let Placement { source, target } = self.placement(tile);
            let across = Axis::new((source.x, source.width), (target.x, target.width));
            let down = Axis::new((source.y, source.height), (target.y, target.height));
            for y in source.y..source.y + source.height {
                let map_y = down.map_from_frame(y);
                for x in source.x..source.x + source.width {
                    let value = bilinear(map, across.map_from_frame(x), map_y);
                    let at = y as usize * frame.width as usize + x as usize;
                    whole.values[at] = whole.values[at].max(value);
                }
            }
        }
        whole
    }

    fn tiles_of(&self, frame: Size) -> Result<Vec<Region>, GeometryError> {
        check_side("the frame", frame)?;
        let all = Region { x: 0, y: 0, width: frame.width, height: frame.height };
        let region = self.region.unwrap_or(all);
        let fits =
            |from: u32, len: u32, side: u32| from.checked_add(len).is_some_and(|e| e <= side);
        if !fits(region.x, region.width, frame.width)
            || !fits(region.y, region.height, frame.height)
        {
            return Err(GeometryError::Region { region, frame });
        }
        let Some(tiles) = self.tiles else { return Ok(vec![region]) };
        let columns = spans(region.x, region.width, tiles.columns, tiles.overlap);
        let rows = spans(region.y, region.height, tiles.rows, tiles.overlap);
        Ok(rows
            .iter()
            .flat_map(|&(y, height)| {
                columns.iter().map(move |&(x, width)| Region { x, y, width, height })
            })
            .collect())
    }

    fn fitted(&self, frame: &RgbView<'_>, tile: Region) -> Result<RgbImage, GeometryError> {
        let Placement { source, target } = self.placement(tile);
        let cut = frame.cut(source);
        let scaled = self.scaled(cut, Size { width: target.width, height: target.height })?;
        if scaled.size == self.input {
            return Ok(scaled);
        }
        let row = self.input.width as usize * 3;
        let mut pixels = vec![0; row * self.input.height as usize];
        let (left, width) = (target.x as usize * 3, target.width as usize * 3);
        for (y, line) in scaled.pixels.chunks_exact(width).enumerate() {
            let start = (target.y as usize + y) * row + left;
            pixels[start..start + width].copy_from_slice(line);
        }
        Ok(RgbImage { size: self.input, pixels })
    }

    /// Which part of a tile goes to which part of the input.
    fn placement(&self, tile: Region) -> Placement {
        let Size { width, height } = self.input;
        let whole = Region { x: 0, y: 0, width, height };
        match self.fit {
            Fit::Stretch => Placement { source: tile, target: whole },
            Fit::Crop => Placement { source: inscribed(tile, self.input), target: whole },
            Fit::Letterbox => {
                let shape = Size { width: tile.width, height: tile.height };
                Placement { source: tile, target: inscribed(whole, shape) }
            }
        }
    }

    fn scaled(&self, image: RgbImage, to: Size) -> Result<RgbImage, GeometryError> {
        if image.size == to {
            return Ok(image);
        }
        let failed = |error: &dyn std::fmt::Display| GeometryError::Resize(error.to_string());
        let Size { width, height } = image.size;
        let source = ImageRef::new(width, height, &image.pixels, PixelType::U8x3)
            .map_err(|error| failed(&error))?;
        let mut scaled = Image::new(to.width, to.height, PixelType::U8x3);
        let filter = match self.resampling {
            Resampling::Triangle => FilterType::Bilinear,
            Resampling::Area => FilterType::Box,
        };
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
        Resizer::new().resize(&source, &mut scaled, &options).map_err(|error| failed(&error))?;
        Ok(RgbImage { size: to, pixels: scaled.into_vec() })
    }
}

struct Placement {
    /// In the frame.
    source: Region,
    /// In the input.
    target: Region,
}

/// The largest centred rectangle of `shape`'s aspect within `outer`.
fn inscribed(outer: Region, shape: Size) -> Region {
    let scaled = |side: u32, by: u32, over: u32| {
        let exact = (u64::from(side) * u64::from(by) + u64::from(over) / 2) / u64::from(over);
        u32::try_from(exact).unwrap_or(u32::MAX).max(1)
    };
    let width = scaled(outer.height, shape.width, shape.height).min(outer.width);
    let height = scaled(outer.width, shape.height, shape.width).min(outer.height);
    Region {
        x: outer.x + (outer.width - width) / 2,
        y: outer.y + (outer.height - height) / 2,
        width,
        height,
    }
}

/// For each of `count` pixels over `len` ones from `from`: those whose centre falls on it, else the nearest one.
fn centres(from: u32, len: u32, count: u32) -> Vec<std::ops::Range<u32>> {
    let (len, count) = (u64::from(len), u64::from(count));
    // The first pixel whose centre is not before the edge `at`: the least s with (s + 1/2) / len >= at / count.
    let first = |at: u64| (2 * at * len).saturating_sub(count).div_ceil(2 * count);
    let pixel = |exact: u64| from + u32::try_from(exact).unwrap_or(u32::MAX);
    (0..count)
        .map(|at| {
            let (start, end) = (first(at), first(at + 1));
            let start = if start < end { start } else { (2 * at + 1) * len / (2 * count) };
            pixel(start)..pixel(end.max(start + 1))
        })
        .collect()
}

/// `count` spans of equal length over `len` pixels, each sharing `overlap` of itself with its neighbour.
fn spans(from: u32, len: u32, count: u32, overlap: f64) -> Vec<(u32, u32)> {
    let intervals = f64::from(count - 1);
    let exact = f64::from(len) / (f64::from(count) - intervals * overlap);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the region, whose sides are u32"
    )]
    let pixels = |exact: f64| exact.round() as u32;
    let span = pixels(exact.ceil()).clamp(1, len);
    let free = f64::from(len - span);
    (0..count)
        .map(|index| {
            let offset = if count == 1 { 0.0 } else { free * f64::from(index) / intervals };
            (from + pixels(offset), span)
        })
        .collect()
}

/// Frame pixels to map pixels along one axis; both count from the centre of their first pixel.
struct Axis {
    from: f64,
    to: f64,
    scale: f64,
    last: f64,
}

impl Axis {
    fn new((from, len): (u32, u32), (to, map_len): (u32, u32)) -> Self {
        let (from, to, map_len) = (f64::from(from), f64::from(to), f64::from(map_len));
        Self { from, to, scale: map_len / f64::from(len), last: map_len - 1.0 }
    }

    fn map_from_frame(&self, frame: u32) -> f64 {
        let exact = (f64::from(frame) - self.from + 0.5) * self.scale - 0.5;
        self.to + exact.clamp(0.0, self.last)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "coordinates were clamped to the map; values are f32"
)]
fn bilinear(map: &Map, x: f64, y: f64) -> f32 {
    let Size { width, height } = map.size;
    let (left, upper) = (x.floor() as u32, y.floor() as u32);
    let right = (left + 1).min(width.saturating_sub(1));
    let lower = (upper + 1).min(height.saturating_sub(1));
    let (share_x, share_y) = ((x - x.floor()) as f32, (y - y.floor()) as f32);
    let value = |x: u32, y: u32| {
        map.values.get(y as usize * width as usize + x as usize).copied().unwrap_or(0.0)
    };
    let above = value(left, upper) * (1.0 - share_x) + value(right, upper) * share_x;
    let below = value(left, lower) * (1.0 - share_x) + value(right, lower) * share_x;
    above * (1.0 - share_y) + below * share_y
}

fn check_side(what: &'static str, size: Size) -> Result<(), GeometryError> {
    let fits = |side: u32| (1..=SIDE_MAX).contains(&side);
    if fits(size.width) && fits(size.height) {
        Ok(())
    } else {
        Err(GeometryError::Side { what, size })
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pixels")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> RgbImage {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        RgbImage {
            size: Size { width, height },
            pixels: pixels.flat_map(|(x, y)| pixel(x, y)).collect(),
        }
    }

    fn one(geometry: &Geometry, image: &RgbImage) -> RgbImage {
        let mut inputs = geometry.input_from_frame(&image.view()).unwrap();
        assert_eq!(inputs.len(), 1);
        inputs.remove(0)
    }

    #[test]
    fn a_frame_of_the_inputs_size_stays_bit_for_bit() {
        let frame = image(8, 8, |x, y| [x as u8 * 9, y as u8 * 7, 200]);
        let geometry = Geometry::square(8);
        assert!(geometry.is_identity_for(frame.size));
        assert_eq!(one(&geometry, &frame), frame);
    }

    #[test]
    fn scaling_is_antialiased() {
        // Stripes of one pixel must become grey; two-tap bilinear would leave them or lose them.
        let frame = image(64, 64, |x, _| if x % 2 == 0 { [255; 3] } else { [0; 3] });
        for resampling in [Resampling::Triangle, Resampling::Area] {
            let input = one(&Geometry { resampling, ..Geometry::square(16) }, &frame);
            // At the border half of the triangle is missing, so its stripes weigh unequally.
            assert!(input.pixels.iter().all(|v| (100..156).contains(v)), "{resampling:?}");
        }
    }

    #[test]
    fn letterbox_keeps_the_shape_and_crop_the_centre() {
        let frame = image(40, 20, |x, _| if (10..30).contains(&x) { [255; 3] } else { [90; 3] });
        let letterbox = Geometry { fit: Fit::Letterbox, ..Geometry::square(20) };
        let input = one(&letterbox, &frame);
        let at = |x: usize, y: usize| input.pixels[(y * 20 + x) * 3];
        assert_eq!((at(0, 0), at(0, 10), at(10, 10), at(0, 19)), (0, 90, 255, 0));
        let crop = Geometry { fit: Fit::Crop, ..Geometry::square(20) };
        assert!(one(&crop, &frame).pixels.iter().all(|&v| v == 255));
    }

    #[test]
    fn a_region_beyond_the_frame_is_refused() {
        let region = Some(Region { x: 4, y: 0, width: 5, height: 4 });
        let geometry = Geometry { region, ..Geometry::square(4) };
        let frame = image(8, 8, |_, _| [0; 3]);
        let error = geometry.input_from_frame(&frame.view()).unwrap_err().to_string();
        assert!(error.contains("reaches beyond the frame of 8x8"), "{error}");
    }

    #[test]
    fn padded_rows_give_the_same_input() {
        let frame = image(5, 4, |x, y| [x as u8 * 40, y as u8 * 40, 1]);
        let mut padded = Vec::new();
        for row in frame.pixels.chunks(15) {
            padded.extend_from_slice(row);
            padded.push(77);
        }
        padded.pop();
        let view = RgbView::new(frame.size, 16, &padded).unwrap();
        assert_eq!(view.packed(), None);
        let geometry = Geometry::square(3);
        assert_eq!(
            geometry.input_from_frame(&view).unwrap(),
            geometry.input_from_frame(&frame.view()).unwrap()
        );
        assert!(RgbView::new(frame.size, 16, &padded[1..]).is_err());
        assert!(RgbView::new(frame.size, 14, &padded).is_err());
    }

    #[test]
    fn tiles_cover_the_region_and_overlap() {
        let tiles = Some(Tiles { columns: 3, rows: 2, overlap: 0.25 });
        let geometry = Geometry { tiles, ..Geometry::square(8) };
        let regions = geometry.tiles_of(Size { width: 100, height: 70 }).unwrap();
        assert_eq!(regions.len(), geometry.input_count());
        assert_eq!((regions[0].x, regions[0].width), (0, 40));
        assert_eq!((regions[1].x, regions[2].x), (30, 60));
        assert_eq!((regions[3].y, regions[3].height), (30, 40));
    }

    #[test]
    fn masks_of_the_inputs_size_stay_and_finer_inputs_take_the_nearest() {
        let size = Size { width: 3, height: 2 };
        let mask = vec![true, false, false, false, false, true];
        let same = Geometry { input: size, ..Geometry::square(1) };
        assert_eq!(same.input_from_mask(size, &mask).unwrap()[0], mask);
        let finer = Geometry { input: Size { width: 6, height: 2 }, ..Geometry::square(1) };
        let (on, off) = (true, false);
        let expected = vec![on, on, off, off, off, off, off, off, off, off, on, on];
        assert_eq!(finer.input_from_mask(size, &mask).unwrap(), [expected]);
        let letterbox = Geometry { fit: Fit::Letterbox, ..Geometry::square(3) };
        let all = letterbox.input_from_mask(size, &[true; 6]).unwrap();
        assert_eq!(all[0].iter().filter(|&&marked| marked).count(), 6);
        // Tiles that overlap both see what lies in both.
        let tiles = Some(Tiles { columns: 2, rows: 1, overlap: 0.4 });
        let tiles = Geometry { tiles, ..Geometry::square(4) };
        let middle: Vec<bool> = (0..10).map(|x| x == 5).collect();
        let seen = tiles.input_from_mask(Size { width: 10, height: 1 }, &middle).unwrap();
        assert!(seen.iter().all(|tile| tile.contains(&true)), "{seen:?}");
    }

    #[test]
    fn points_of_the_frame_are_found_in_every_fit() {
        let right_half = |x: f64, _y: f64| x > 0.5;
        let marked = |geometry: &Geometry, frame: Size| -> Vec<usize> {
            let inputs = geometry.input_from_points(frame, right_half).unwrap();
            inputs.iter().map(|input| input.iter().filter(|on| **on).count()).collect()
        };
        let wide = Size { width: 40, height: 20 };
        assert_eq!(marked(&Geometry::square(20), wide), [200]);
        let letterbox = Geometry { fit: Fit::Letterbox, ..Geometry::square(20) };
        assert_eq!(marked(&letterbox, wide), [100]);
        let crop = Geometry { fit: Fit::Crop, ..Geometry::square(20) };
        assert_eq!(marked(&crop, wide), [200]);
        let region = Some(Region { x: 20, y: 0, width: 20, height: 20 });
        assert_eq!(marked(&Geometry { region, ..Geometry::square(8) }, wide), [64]);
        let tiles = Some(Tiles { columns: 2, rows: 1, overlap: 0.0 });
        assert_eq!(marked(&Geometry { tiles, ..Geometry::square(8) }, wide), [0, 64]);
    }

    fn any_geometry() -> impl Strategy<Value = Geometry> {
        let fit = prop_oneof![Just(Fit::Stretch), Just(Fit::Crop), Just(Fit::Letterbox)];
        let tiles = prop::option::of((1_u32..4, 1_u32..4, 0.0_f64..0.49));
        (8_u32..40, 8_u32..40, fit, tiles).prop_map(|(width, height, fit, tiles)| Geometry {
            input: Size { width, height },
            fit,
            resampling: Resampling::Triangle,
            region: None,
            tiles: tiles.map(|(columns, rows, overlap)| Tiles { columns, rows, overlap }),
        })
    }

    proptest! {
        /// One marked pixel of a large mask is seen by one pixel of the input, near where it was.
        #[test]
        fn no_mark_is_lost(
            (width, height) in (1_u32..300, 1_u32..300),
            (across, down) in (1_u32..40, 1_u32..40),
            (x, y) in (0.0_f64..1.0, 0.0_f64..1.0),
        ) {
            let (x, y) = ((f64::from(width) * x) as u32, (f64::from(height) * y) as u32);
            let mut marked = vec![false; (width * height) as usize];
            marked[(y * width + x) as usize] = true;
            let input = Size { width: across, height: down };
            let geometry = Geometry { input, ..Geometry::square(1) };
            let seen = geometry.input_from_mask(Size { width, height }, &marked).unwrap();
            let places: Vec<u32> = (0..).zip(&seen[0]).filter(|(_, on)| **on).map(|(i, _)| i).collect();
            prop_assert!(!places.is_empty());
            if width >= across && height >= down {
                prop_assert_eq!(places.len(), 1);
            }
            for place in places {
                let off = |at: u32, of: u32, source: u32, len: u32| {
                    let centre = (f64::from(at) + 0.5) / f64::from(of);
                    (centre - (f64::from(source) + 0.5) / f64::from(len)).abs()
                        <= 0.5 / f64::from(of.min(len)) + 1e-9
                };
                prop_assert!(off(place % across, across, x, width));
                prop_assert!(off(place / across, down, y, height));
            }
        }

        /// A spot in the frame lights up in the input; the input as a map lights up the same spot of the frame.
        #[test]
        fn the_map_comes_back_to_where_the_frame_was(
            geometry in any_geometry(),
            (width, height) in (16_u32..90, 16_u32..90),
            (at_x, at_y) in (0.3_f64..0.7, 0.3_f64..0.7),
        ) {
            geometry.validate().unwrap();
            let spot = (f64::from(width) * at_x, f64::from(height) * at_y);
            let radius = f64::from(width.max(height)) / 10.0 + 2.0;
            let frame = image(width, height, |x, y| {
                let distance = (f64::from(x) + 0.5 - spot.0).hypot(f64::from(y) + 0.5 - spot.1);
                [((1.0 - distance / radius).max(0.0) * 255.0) as u8; 3]
            });
            let inputs = geometry.input_from_frame(&frame.view()).unwrap();
            prop_assert_eq!(inputs.len(), geometry.input_count());
            let maps: Vec<Map> = inputs
                .iter()
                .map(|input| Map {
                    size: input.size,
                    values: input.pixels.chunks(3).map(|p| f32::from(p[0])).collect(),
                })
                .collect();
            let back = geometry.frame_from_map(&maps, frame.size);
            let seen: f32 = back.values.iter().sum();
            // Crop may cut the spot off; tiles of 8 pixels may blur it away.
            prop_assume!(seen > 500.0);
            let centre = |weight: &dyn Fn(u32, u32) -> f64| {
                let (mut sum, mut x_sum, mut y_sum) = (0.0, 0.0, 0.0);
                for y in 0..height {
                    for x in 0..width {
                        let w = weight(x, y);
                        (sum, x_sum, y_sum) =
                            (sum + w, x_sum + w * f64::from(x), y_sum + w * f64::from(y));
                    }
                }
                (x_sum / sum, y_sum / sum)
            };
            let at = |x: u32, y: u32| (y * width + x) as usize;
            let was = centre(&|x, y| {
                let seen = back.values[at(x, y)] > 0.0;
                if seen { f64::from(frame.pixels[at(x, y) * 3]) } else { 0.0 }
            });
            let now = centre(&|x, y| f64::from(back.values[at(x, y)]));
            let pixel = (f64::from(width) / f64::from(geometry.input.width))
                .max(f64::from(height) / f64::from(geometry.input.height))
                .max(1.0);
            let off = (was.0 - now.0).hypot(was.1 - now.1);
            prop_assert!(off < 1.5 * pixel, "{was:?} became {now:?}, an input pixel is {pixel}");
        }
    }
}
