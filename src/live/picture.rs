//! What a frame becomes for the page: a small JPEG, and its heat as a grey PNG to lay over it.
//!
//! Owns sizes, quality and what a grey means. Pure; the frame's own buffer converts itself.

use bundle::{
    geometry::{Fit, Geometry, Map, Region, Resampling, RgbImage, RgbView, Size},
    heat::highest,
};
use bytes::Bytes;
use image::{
    ExtendedColorType, ImageEncoder as _,
    codecs::{
        jpeg::JpegEncoder,
        png::{CompressionType, FilterType, PngEncoder},
    },
};

use crate::{
    frame::{Frame, Picture as Captured},
    inspected::Inspected,
};

/// Longest side: a 10-inch panel shows no more of it, and a 5-megapixel frame becomes some 100 kB.
pub const SIDE_MAX_PX: u32 = 960;
/// Longest side of the heat: it is as smooth as the network's blur makes it.
pub const HEAT_SIDE_MAX_PX: u32 = 256;
/// The grey of a value at the threshold: as much room above it as below.
pub const AT_THRESHOLD: u8 = 128;
/// Nobody sees at arm's length what more would keep.
const QUALITY: u8 = 80;
/// Tiles of a side whose maps are kept apart before the heat is reduced.
const TILES_MAX: u32 = 4;

/// A frame as clients get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// JPEG, at most [`SIDE_MAX_PX`] long.
    pub jpeg: Bytes,
    /// Grey PNG to be stretched over the picture: 0 is no heat, [`AT_THRESHOLD`] the threshold, 255 twice it or more.
    /// `None` where nobody judged the frame.
    pub heat: Option<Bytes>,
}

impl Picture {
    /// How many bytes it keeps.
    pub fn bytes(&self) -> usize {
        self.jpeg.len() + self.heat.as_ref().map_or(0, Bytes::len)
    }
}

/// The pictures of a judged frame, in its full resolution's view where that is kept.
pub fn draw(inspected: &Inspected) -> Result<Picture, String> {
    let Frame { picture, full, .. } = &inspected.frame;
    let pixels = match picture {
        Captured::Pixels(pixels) => pixels,
        Captured::Unreadable(reason) => return Err(reason.clone()),
    };
    let jpeg = match full.as_ref().map(|full| full.to_rgb()) {
        Some(Ok(full)) => jpeg(&full.view())?,
        Some(Err(why)) => {
            tracing::debug!(frame = %inspected.frame.id, "its full resolution is not to be had: {why}");
            jpeg(&pixels.view())?
        }
        None => jpeg(&pixels.view())?,
    };
    let heat = heat(inspected, pixels.view().size()).map(|map| {
        let limit = inspected.record.verdict.threshold.filter(|threshold| *threshold > 0.0);
        grey(&map, limit.unwrap_or_else(|| highest(&map)))
    });
    Ok(Picture { jpeg, heat: heat.transpose()? })
}

/// A size of the same shape whose longest side is `longest` at most.
fn within(size: Size, longest: u32) -> Size {
    let from = size.width.max(size.height).max(1);
    if from <= longest {
        return size;
    }
    let scaled = |side: u32| {
        let exact = (u64::from(side) * u64::from(longest) + u64::from(from) / 2) / u64::from(from);
        u32::try_from(exact).unwrap_or(longest).max(1)
    };
    Size { width: scaled(size.width), height: scaled(size.height) }
}

fn jpeg(frame: &RgbView<'_>) -> Result<Bytes, String> {
    let size = within(frame.size(), SIDE_MAX_PX);
    let RgbImage { size: Size { width, height }, pixels } = if size == frame.size() {
        frame.to_image()
    } else {
        let whole = Geometry {
            input: size,
            fit: Fit::Stretch,
            resampling: Resampling::Triangle,
            region: None,
            tiles: None,
        };
        let scaled = whole.input_from_frame(frame).map_err(|error| error.to_string())?;
        scaled.into_iter().next().ok_or("nothing was scaled")?
    };
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode(&pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| error.to_string())?;
    Ok(bytes.into())
}

/// The map over the judged frame, as small as it is shown; the hottest point of what became one pixel is kept.
fn heat(inspected: &Inspected, frame: Size) -> Option<Map> {
    if inspected.inferences.is_empty() {
        return None;
    }
    let geometry = &*inspected.geometry;
    let factor = geometry.tiles.map_or(1, |tiles| tiles.columns.max(tiles.rows).min(TILES_MAX));
    let size = within(frame, HEAT_SIDE_MAX_PX * factor);
    let geometry = Geometry {
        region: geometry.region.map(|region| region_within(region, frame, size)),
        ..geometry.clone()
    };
    let maps: Vec<Map> = inspected.inferences.iter().map(crate::engine::Inference::map).collect();
    Some(hottest(&geometry.frame_from_map(&maps, size), factor))
}

/// A region of a frame in a smaller picture of it.
fn region_within(region: Region, frame: Size, size: Size) -> Region {
    let span = |from: u32, len: u32, side: u32, to: u32| {
        let scaled = |at: u32| {
            let exact =
                (u64::from(at) * u64::from(to) + u64::from(side) / 2) / u64::from(side.max(1));
            u32::try_from(exact).unwrap_or(to).min(to)
        };
        let start = scaled(from).min(to.saturating_sub(1));
        (start, scaled(from.saturating_add(len)).saturating_sub(start).max(1))
    };
    let (x, width) = span(region.x, region.width, frame.width, size.width);
    let (y, height) = span(region.y, region.height, frame.height, size.height);
    Region { x, y, width, height }
}

/// Each block of `factor` by `factor` values as its highest one.
fn hottest(map: &Map, factor: u32) -> Map {
    if factor <= 1 {
        return map.clone();
    }
    let Size { width, height } = map.size;
    let size = Size { width: width.div_ceil(factor), height: height.div_ceil(factor) };
    let mut values = vec![0.0_f32; size.width as usize * size.height as usize];
    for (y, row) in map.values.chunks_exact(width.max(1) as usize).enumerate() {
        let start = y / factor as usize * size.width as usize;
        for (x, &value) in row.iter().enumerate() {
            let highest = &mut values[start + x / factor as usize];
            *highest = highest.max(value);
        }
    }
    Map { size, values }
}

fn grey(map: &Map, limit: f32) -> Result<Bytes, String> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and a NaN is no heat"
    )]
    let grey = |value: &f32| (value / limit * f32::from(AT_THRESHOLD)).round() as u8;
    let greys: Vec<u8> = map.values.iter().map(grey).collect();
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Up)
        .write_image(&greys, map.size.width, map.size.height, ExtendedColorType::L8)
        .map_err(|error| error.to_string())?;
    Ok(bytes.into())
}
