//! An image file as pixels: the one decoding that trainer and inspector share.
//!
//! Owns which files are read and what becomes of depth, alpha, palette and orientation:
//!
//! - PNG, JPEG, BMP and TIFF, told by their content and not by their name. Palettes and grey of 1, 2 and 4 bits are
//!   expanded.
//! - 16 bits become 8 by `round(value / 257)`: the whole range, linearly. A camera's 12 bits in a 16-bit file are
//!   therefore dark: [`Still::largest_16_bit`] tells.
//! - Alpha is dropped and the colour beneath it kept, as `OpenCV` and every training code do.
//! - The orientation in the metadata (EXIF, TIFF) is applied.
//! - What would be a guess is an error: CMYK, floating point, animations, several pages, a file that was cut off.
//!
//! Bounds: no file and no image beyond [`FILE_BYTES_MAX`] and [`PIXELS_MAX`] is read, whatever its header promises.

mod jpeg;

use std::{
    io::{Cursor, Read as _},
    path::Path,
};

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, Limits,
    codecs::{bmp::BmpDecoder, jpeg::JpegDecoder, png::PngDecoder, tiff::TiffDecoder},
    metadata::Orientation,
};

use crate::geometry::{RgbImage, SIDE_MAX, Size};

/// What names of image files end with.
pub const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff"];

/// An uncompressed image of [`PIXELS_MAX`] in 16-bit RGB.
pub const FILE_BYTES_MAX: u64 = PIXELS_MAX * 6;

/// Pixels of an image: a 100-megapixel camera has fewer.
pub const PIXELS_MAX: u64 = 1 << 27;

/// A file that is not read. The text is for a person and does not repeat the path.
#[derive(Debug, thiserror::Error)]
pub enum StillError {
    /// The system says no.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A folder, a pipe or a device.
    #[error("is no regular file")]
    NoFile,
    /// Too many bytes.
    #[error("has {bytes} bytes, more than the {FILE_BYTES_MAX} of any camera's image")]
    File {
        /// Its length.
        bytes: u64,
    },
    /// Another format, or none.
    #[error("is {0}; PNG, JPEG, BMP and TIFF are read")]
    Format(String),
    /// A side or their product is too large, or 0.
    #[error(
        "says that it is {size}; an image has sides of 1 to {SIDE_MAX} pixels and at most {PIXELS_MAX} in all"
    )]
    Size {
        /// What its header says.
        size: Size,
    },
    /// The end is missing.
    #[error("is cut off: the end-of-image marker is missing; copy it anew")]
    CutOff,
    /// Colours for printing have no one meaning on a screen.
    #[error("has CMYK colours; save it as RGB")]
    Cmyk,
    /// Nobody knows which value is white.
    #[error("has floating-point pixels; save it with 8 or 16 bits")]
    Float,
    /// Nobody knows which of them is the part.
    #[error("holds {0}; save each as a file of its own")]
    Several(&'static str),
    /// The decoder says no.
    #[error("{0}")]
    Decode(String),
}

/// A decoded image in its own depth, upright.
#[derive(Clone, Debug)]
pub struct Still(DynamicImage);

/// Whether the file's name says that it is an image. Names that begin with a dot are other programs' notes.
pub fn is_named_as_image(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().and_then(|extension| extension.to_str());
    !is_hidden
        && extension.is_some_and(|extension| {
            EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
        })
}

/// Reads and decodes a file.
pub fn read(path: &Path) -> Result<Still, StillError> {
    let metadata = std::fs::metadata(path)?;
    // Opening a pipe would wait for its writer.
    if !metadata.is_file() {
        return Err(StillError::NoFile);
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(StillError::File { bytes: metadata.len() });
    }
    decode(&bytes)
}

/// Decodes the bytes of a file.
pub fn decode(bytes: &[u8]) -> Result<Still, StillError> {
    if bytes.is_empty() {
        return Err(StillError::Format("empty".to_owned()));
    }
    let format = image::guess_format(bytes)
        .map_err(|_unknown| StillError::Format("no image that is known".to_owned()))?;
    let cursor = Cursor::new(bytes);
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other formats, also those that the crate will know"
    )]
    match format {
        ImageFormat::Png => {
            let decoder = PngDecoder::with_limits(cursor, limits()).map_err(failed)?;
            if decoder.is_apng().map_err(failed)? {
                return Err(StillError::Several("an animation"));
            }
            upright(decoder)
        }
        ImageFormat::Jpeg => {
            let markers = jpeg::markers(bytes);
            if markers.channels == Some(4) {
                return Err(StillError::Cmyk);
            }
            // The decoder fills what is missing with grey.
            if !markers.whole {
                return Err(StillError::CutOff);
            }
            upright(JpegDecoder::new(cursor).map_err(failed)?)
        }
        ImageFormat::Bmp => upright(BmpDecoder::new(cursor).map_err(failed)?),
        ImageFormat::Tiff => {
            let pages = tiff::decoder::Decoder::new(cursor.clone());
            if pages.is_ok_and(|pages| pages.more_images()) {
                return Err(StillError::Several("several pages"));
            }
            upright(TiffDecoder::new(cursor).map_err(failed)?)
        }
        other => Err(StillError::Format(other.to_mime_type().to_owned())),
    }
}

fn upright(mut decoder: impl ImageDecoder) -> Result<Still, StillError> {
    use ExtendedColorType::{Cmyk8, Cmyk16, Rgb32F, Rgba32F};
    let (width, height) = decoder.dimensions();
    let size = Size { width, height };
    let sides = 1..=SIDE_MAX;
    let pixels = u64::from(width) * u64::from(height);
    if !sides.contains(&width) || !sides.contains(&height) || pixels > PIXELS_MAX {
        return Err(StillError::Size { size });
    }
    let colour = decoder.original_color_type();
    if matches!(colour, Cmyk8 | Cmyk16) {
        return Err(StillError::Cmyk);
    }
    if matches!(colour, Rgb32F | Rgba32F) {
        return Err(StillError::Float);
    }
    decoder.set_limits(limits()).map_err(failed)?;
    // Broken metadata is no reason to refuse the pixels, which then are as the camera wrote them.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(orientation);
    Ok(Still(image))
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    // RGBA with 16 bits, and as much again for the decoder.
    limits.max_alloc = Some(PIXELS_MAX * 8 * 2);
    limits
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn failed(error: image::ImageError) -> StillError {
    StillError::Decode(error.to_string().replace('\n', " "))
}

impl Still {
    /// Its size, upright.
    pub fn size(&self) -> Size {
        Size { width: self.0.width(), height: self.0.height() }
    }

    /// Channels and depth, such as `rgb 8` or `grey 16`; grey and palettes of fewer bits count as 8.
    pub fn mode(&self) -> String {
        let colour = self.0.color();
        let name = if colour.has_color() { "rgb" } else { "grey" };
        let alpha = if colour.has_alpha() { "+alpha" } else { "" };
        format!("{name}{alpha} {}", 8 * self.sample_bytes())
    }

    /// As 8-bit RGB; how, is said at the top of this file.
    pub fn into_rgb(self) -> RgbImage {
        let size = self.size();
        RgbImage { size, pixels: self.0.into_rgb8().into_raw() }
    }

    /// The largest value of a colour channel with 16 bits; `None` for 8 bits.
    pub fn largest_16_bit(&self) -> Option<u16> {
        (self.sample_bytes() == 2).then(|| self.colours().flatten().max().unwrap_or(0))
    }

    /// Whether any pixel is less than opaque.
    pub fn is_transparent(&self) -> bool {
        let opaque = if self.sample_bytes() == 2 { u16::MAX } else { u16::from(u8::MAX) };
        self.0.color().has_alpha()
            && self.pixels().any(|pixel| pixel.last().is_some_and(|alpha| alpha < opaque))
    }

    /// For each pixel, rows first, whether any colour channel is above 0 in the file's own depth.
    pub fn above_zero(&self) -> Vec<bool> {
        self.colours().map(|mut pixel| pixel.any(|value| value > 0)).collect()
    }

    fn sample_bytes(&self) -> usize {
        let colour = self.0.color();
        usize::from(colour.bytes_per_pixel() / colour.channel_count().max(1))
    }

    /// The samples of each pixel, alpha last.
    fn pixels(&self) -> impl Iterator<Item = impl DoubleEndedIterator<Item = u16>> {
        let sample = self.sample_bytes();
        let pixel = usize::from(self.0.color().bytes_per_pixel());
        self.0.as_bytes().chunks_exact(pixel).map(move |pixel| {
            pixel.chunks_exact(sample).map(|sample| match *sample {
                [low, high] => u16::from_ne_bytes([low, high]),
                [value] => u16::from(value),
                _ => 0,
            })
        })
    }

    /// The samples of each pixel without alpha.
    fn colours(&self) -> impl Iterator<Item = impl Iterator<Item = u16>> {
        let channels = if self.0.color().has_color() { 3 } else { 1 };
        self.pixels().map(move |pixel| pixel.take(channels))
    }
}

#[cfg(test)]
mod tests;
