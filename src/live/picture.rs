//! What a frame becomes for the page: a small JPEG, and its heat as a grey PNG to lay over it.
//!
//! Owns sizes, quality and what a grey means. Decides nothing: pixels in, bytes out; the frame's own buffer converts itself.

use bundle::{
    geometry::{Fit, Geometry, Map, Region, Resampling, RgbImage, RgbView, Size},
    heat,
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
    engine::Inference,
    frame::{Frame, Picture as Captured},
    inspected::Inspected,
};

/// Longest side: a 10-inch panel shows no more of it, and a 5-megapixel frame becomes some 100 kB.
pub const SIDE_MAX_PX: u32 = 960;
/// Longest side of the heat: it is as smooth as the network's blur makes it.
pub const HEAT_SIDE_MAX_PX: u32 = 256;
/// Nobody sees at arm's length what more would keep.
const QUALITY: u8 = 80;
/// Tiles of a side whose maps are kept apart before the heat is reduced.
const TILES_MAX: u32 = 4;

/// A frame as clients get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// JPEG, at most [`SIDE_MAX_PX`] long.
    pub jpeg: Bytes,
    /// Grey PNG to be stretched over the picture: 0 is no heat, [`heat::AT_LIMIT`] the threshold, 255 twice it or more.
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
        let limit = heat::limit(&map, inspected.record.verdict.threshold);
        grey(map.size, &heat::greys(&map, limit))
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
    let maps: Vec<Map> = inspected.inferences.iter().map(Inference::map).collect();
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

fn grey(size: Size, greys: &[u8]) -> Result<Bytes, String> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Up)
        .write_image(greys, size.width, size.height, ExtendedColorType::L8)
        .map_err(|error| error.to_string())?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bundle::geometry::Tiles;
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        frame::FullResolution,
        live::tests::{Judged, judged},
    };

    struct Full(Result<RgbImage, String>);

    impl FullResolution for Full {
        fn to_rgb(&self) -> Result<RgbImage, String> {
            self.0.clone()
        }
    }

    fn image(width: u32, height: u32, level: u8) -> RgbImage {
        let pixels = vec![level; width as usize * height as usize * 3];
        RgbImage { size: Size { width, height }, pixels }
    }

    fn decoded(bytes: &[u8]) -> image::DynamicImage {
        image::load_from_memory(bytes).unwrap()
    }

    /// Where the hottest grey is, in shares of the sides.
    fn hottest_at(heat: &[u8]) -> (f64, f64, u8) {
        let grey = decoded(heat).to_luma8();
        let (x, y, pixel) = grey.enumerate_pixels().max_by_key(|(_, _, pixel)| pixel.0).unwrap();
        let share = |at: u32, side: u32| (f64::from(at) + 0.5) / f64::from(side);
        (share(x, grey.width()), share(y, grey.height()), pixel.0[0])
    }

    #[test]
    fn a_large_frame_is_shown_from_its_full_resolution_and_small() {
        let full = Arc::new(Full(Ok(image(1920, 1080, 200))));
        let of = Judged { full: Some(full), ..Judged::default() };
        let picture = draw(&judged(&of)).unwrap();
        let jpeg = decoded(&picture.jpeg).to_rgb8();
        assert_eq!(jpeg.dimensions(), (960, 540));
        assert!(jpeg.pixels().all(|pixel| pixel.0.iter().all(|value| value.abs_diff(200) < 4)));
        let heat = picture.heat.unwrap();
        assert_eq!(decoded(&heat).color(), image::ColorType::L8);
        // Half of the threshold everywhere.
        assert!(decoded(&heat).to_luma8().pixels().all(|pixel| pixel.0 == [64]));
        // What the model saw is better than nothing.
        let full = Arc::new(Full(Err("gone".into())));
        let of = Judged { full: Some(full), ..Judged::default() };
        assert_eq!(decoded(&draw(&judged(&of)).unwrap().jpeg).to_rgb8().dimensions(), (8, 8));
    }

    #[test]
    fn a_frame_that_nobody_judged_has_no_heat_and_one_without_a_threshold_is_hottest_at_its_own() {
        let of = Judged { maps: Vec::new(), ..Judged::default() };
        assert_eq!(draw(&judged(&of)).unwrap().heat, None);
        let of = Judged { threshold: None, ..Judged::default() };
        let drawn = draw(&judged(&of)).unwrap().heat.unwrap();
        assert_eq!(hottest_at(&drawn).2, heat::AT_LIMIT);
        assert!(draw(&judged(&Judged { picture: None, ..Judged::default() })).is_err());
    }

    #[test]
    fn heat_lies_where_the_frame_was_looked_at() {
        let check = |geometry: Geometry, frame: (u32, u32), tile: usize, expected: (f64, f64)| {
            let mut maps = vec![Array2::zeros((32, 32)); geometry.input_count()];
            // Three quarters across and one quarter down.
            maps[tile].slice_mut(ndarray::s![6..10, 22..26]).fill(3.0);
            let picture = Some(image(frame.0, frame.1, 90));
            let of = Judged { maps, picture, geometry: geometry.clone(), ..Judged::default() };
            let heat = draw(&judged(&of)).unwrap().heat.unwrap();
            let size = decoded(&heat).to_luma8().dimensions();
            assert!(size.0.max(size.1) <= HEAT_SIDE_MAX_PX, "{size:?}");
            let (x, y, grey) = hottest_at(&heat);
            assert_eq!(grey, 255, "{geometry:?}");
            // The blob is an eighth of the input wide.
            assert!(
                (x - expected.0).abs() < 0.07 && (y - expected.1).abs() < 0.07,
                "{x} {y} {geometry:?}"
            );
        };
        let plain = Geometry::square(32);
        check(plain.clone(), (32, 32), 0, (0.75, 0.25));
        check(plain.clone(), (2000, 1000), 0, (0.75, 0.25));
        let region = Region { x: 1000, y: 500, width: 1000, height: 500 };
        let looking = Geometry { region: Some(region), ..plain.clone() };
        check(looking, (2000, 1000), 0, (0.875, 0.625));
        let cropping = Geometry { fit: Fit::Crop, ..plain.clone() };
        check(cropping, (2000, 1000), 0, (0.625, 0.25));
        let boxing = Geometry { fit: Fit::Letterbox, ..plain.clone() };
        // The frame fills the middle half of the input's height, and the blob's lower half its upper eighth.
        check(boxing, (2000, 1000), 0, (0.75, 0.0625));
        let tiles = Some(Tiles { columns: 3, rows: 2, overlap: 0.0 });
        check(Geometry { tiles, ..plain }, (3000, 2000), 4, (1.75 / 3.0, 1.25 / 2.0));
    }

    proptest! {
        #[test]
        fn a_smaller_size_keeps_its_shape(width in 1_u32..5_000, height in 1_u32..5_000) {
            let size = within(Size { width, height }, SIDE_MAX_PX);
            prop_assert!(size.width.max(size.height) <= SIDE_MAX_PX);
            prop_assert!(size.width >= 1 && size.height >= 1);
            let scale = f64::from(size.width.max(size.height)) / f64::from(width.max(height));
            prop_assert!(scale <= 1.0);
            prop_assert!((f64::from(size.width) - f64::from(width) * scale).abs() <= 1.0);
            prop_assert!((f64::from(size.height) - f64::from(height) * scale).abs() <= 1.0);
        }

        #[test]
        fn a_region_stays_within_the_smaller_picture(
            x in 0_u32..4_000, y in 0_u32..3_000, width in 1_u32..4_000, height in 1_u32..3_000,
            longest in 1_u32..300,
        ) {
            let frame = Size { width: 4_000, height: 3_000 };
            let region = Region {
                x, y, width: width.min(frame.width - x), height: height.min(frame.height - y),
            };
            let size = within(frame, longest);
            let small = region_within(region, frame, size);
            prop_assert!(small.width >= 1 && small.x + small.width <= size.width);
            prop_assert!(small.height >= 1 && small.y + small.height <= size.height);
        }
    }
}
