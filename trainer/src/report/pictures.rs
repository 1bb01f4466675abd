//! A part and its heat map as small pictures that a page can carry.
//!
//! Owns their size and coding. Pure: pixels in, `data:` URIs out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bundle::{
    geometry::{Map, RgbImage, Size},
    heat::{OUTLINE, heated, is_outline},
};
use image::{ImageError, codecs::jpeg::JpegEncoder, imageops::FilterType};

/// Longer side of a picture, in pixels.
const SIDE_MAX: u32 = 208;
/// Of 100; defects of a few pixels survive.
const JPEG_QUALITY: u8 = 82;
/// The line around a drawn defect: a colour that neither parts nor heat have.
const DRAWN: [u8; 3] = [255, 0, 220];

/// Two pictures of one part, as `data:` URIs of JPEG files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pictures {
    /// The part, with the outline of the drawn defect where there is one.
    pub(super) part: String,
    /// The part under its heat map, with the outline of what lies above the limit.
    pub(super) heat: String,
    /// Of each.
    pub(super) size: Size,
    /// Whether somebody drew the defect.
    pub(super) has_mask: bool,
}

/// Pictures of a frame; map and mask have its size.
pub(super) fn pictures(
    frame: &RgbImage,
    map: &Map,
    mask: Option<&[bool]>,
    limit: f32,
) -> Result<Pictures, ImageError> {
    let size = thumbnail_size(frame.size);
    let mut part = shrunk(frame, size);
    let map = Map { size, values: highest_of(frame.size, &map.values, size) };
    let mut heat = part.clone();
    for y in 0..size.height {
        for x in 0..size.width {
            let pixel = heat.get_pixel_mut(x, y);
            let value = bundle::heat::value(&map, x, y);
            pixel.0 = if is_outline(&map, x, y, limit) {
                OUTLINE
            } else {
                heated(pixel.0, value / limit)
            };
        }
    }
    if let Some(mask) = mask {
        let values: Vec<f32> = mask.iter().map(|&inside| if inside { 1.0 } else { 0.0 }).collect();
        let mask = Map { size, values: highest_of(frame.size, &values, size) };
        let is_inside = |x: u32, y: u32| {
            x < size.width && y < size.height && bundle::heat::value(&mask, x, y) > 0.5
        };
        for (x, y, pixel) in part.enumerate_pixels_mut() {
            // Around the defect, not on it: it may be a few pixels small.
            let touches = || {
                (y.saturating_sub(1)..=y + 1)
                    .any(|y| (x.saturating_sub(1)..=x + 1).any(|x| is_inside(x, y)))
            };
            if !is_inside(x, y) && touches() {
                pixel.0 = DRAWN;
            }
        }
    }
    let has_mask = mask.is_some();
    Ok(Pictures { part: data_uri(&part)?, heat: data_uri(&heat)?, size, has_mask })
}

/// At most [`SIDE_MAX`]; never larger than the frame.
fn thumbnail_size(frame: Size) -> Size {
    let longer = frame.width.max(frame.height).max(1);
    if longer <= SIDE_MAX {
        return frame;
    }
    let side = |pixels: u32| (u64::from(pixels) * u64::from(SIDE_MAX) / u64::from(longer)).max(1);
    let side = |pixels: u32| u32::try_from(side(pixels)).unwrap_or(SIDE_MAX);
    Size { width: side(frame.width), height: side(frame.height) }
}

fn shrunk(frame: &RgbImage, size: Size) -> image::RgbImage {
    let Size { width, height } = frame.size;
    let image = image::RgbImage::from_raw(width, height, frame.pixels.clone()).unwrap_or_default();
    if size == frame.size {
        return image;
    }
    image::imageops::resize(&image, size.width, size.height, FilterType::Triangle)
}

/// Each pixel of a smaller grid gets the highest value that falls on it: a defect of one pixel stays visible.
fn highest_of(from: Size, values: &[f32], to: Size) -> Vec<f32> {
    let mut highest = vec![0.0_f32; to.width as usize * to.height as usize];
    let scale = |at: usize, from: u32, to: u32| at * to as usize / from.max(1) as usize;
    for (index, &value) in values.iter().enumerate() {
        let (x, y) = (index % from.width as usize, index / from.width as usize);
        let at =
            scale(y, from.height, to.height) * to.width as usize + scale(x, from.width, to.width);
        if let Some(kept) = highest.get_mut(at) {
            *kept = kept.max(value);
        }
    }
    highest
}

fn data_uri(image: &image::RgbImage) -> Result<String, ImageError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(image)?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_small_decode_and_show_a_defect_of_one_pixel() {
        let size = Size { width: 1000, height: 500 };
        let frame = RgbImage { size, pixels: vec![90; 1000 * 500 * 3] };
        let mut map = Map { size, values: vec![0.0; 1000 * 500] };
        map.values[250 * 1000 + 500] = 3.0;
        let mask: Vec<bool> = (0..1000 * 500).map(|at| at == 100 * 1000 + 100).collect();
        let pictures = pictures(&frame, &map, Some(&mask), 1.0).unwrap();
        assert_eq!(pictures.size, Size { width: 208, height: 104 });
        let decode = |uri: &str| {
            let bytes = STANDARD.decode(uri.strip_prefix("data:image/jpeg;base64,").unwrap());
            image::load_from_memory(&bytes.unwrap()).unwrap().into_rgb8()
        };
        let (part, heat) = (decode(&pictures.part), decode(&pictures.heat));
        assert_eq!(heat.dimensions(), (208, 104));
        assert!(heat.get_pixel(104, 52).0[1] > 180, "{:?}", heat.get_pixel(104, 52));
        assert!(part.get_pixel(19, 20).0[0] > 140, "{:?}", part.get_pixel(19, 20));
        assert!(part.get_pixel(150, 60).0[0].abs_diff(90) < 4);
    }

    #[test]
    fn a_small_frame_keeps_its_size() {
        let check = |width, height, expected: (u32, u32)| {
            let size = thumbnail_size(Size { width, height });
            assert_eq!((size.width, size.height), expected);
        };
        check(64, 32, (64, 32));
        check(416, 208, (208, 104));
        check(30_000, 1, (208, 1));
    }
}
