//! Golden frames: pictures in the model file with the answers that the trainer measured on them.
//!
//! Whatever runs the network must reproduce them within the [`Tolerance`], or it computes something else.
//! PNG and not JPEG, because JPEG decoders differ by a grey value here and there.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::geometry::{Map, RgbImage, Size};

/// Blocks along each side of the coarse map.
pub const BLOCKS: usize = 16;

/// Pictures beyond this side are no golden frames but an attack or an accident.
const SIDE_MAX: u32 = 4096;

/// A picture of the model's input size and what the model must answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenFrame {
    /// The product in the picture.
    pub class: String,
    /// The picture, as PNG.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub png: Vec<u8>,
    /// Expected score.
    pub score: f32,
    /// Expected embedding.
    pub embedding: Vec<f32>,
    /// Expected means of the anomaly map over 16 x 16 blocks, rows first.
    pub map: Vec<f32>,
}

/// How far an engine may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Of the score, absolute.
    pub score: f32,
    /// Of an element of the embedding, absolute.
    pub embedding: f32,
    /// Of a block's mean, absolute.
    pub map: f32,
}

impl Default for Tolerance {
    /// Ten times what FP32 on another processor deviates by; scores of normal parts differ by far more.
    fn default() -> Self {
        Self { score: 1e-3, embedding: 1e-3, map: 1e-3 }
    }
}

impl Tolerance {
    /// Of a network on int8. A processor that rounds a value halfway between two steps the other way shifts what
    /// follows by a step: computed in float instead of on integers, a full-width network differed by up to 4e-3.
    /// Five times that.
    pub const INT8: Self = Self { score: 2e-2, embedding: 2e-2, map: 2e-2 };
}

/// The largest absolute deviations from what was expected; NaN where something is not a number or is missing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deviation {
    /// Of the score.
    pub score: f32,
    /// Of an element of the embedding.
    pub embedding: f32,
    /// Of a block's mean.
    pub map: f32,
}

/// A picture that cannot be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Not a PNG, or a broken one.
    #[error("not a readable PNG: {0}")]
    Decode(#[from] png::DecodingError),
    /// The encoder refused.
    #[error("cannot be written as PNG: {0}")]
    Encode(#[from] png::EncodingError),
    /// A PNG, but not the kind that the trainer writes.
    #[error(
        "a PNG of {width}x{height} pixels, {colour:?}; expected 8-bit RGB of at most {SIDE_MAX} pixels a side"
    )]
    Kind {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// Its colour type.
        colour: png::ColorType,
    },
}

impl GoldenFrame {
    /// A golden frame of this picture with these answers.
    pub fn encode(
        class: impl Into<String>,
        image: &RgbImage,
        score: f32,
        embedding: Vec<f32>,
        map: Vec<f32>,
    ) -> Result<Self, PictureError> {
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, image.size.width, image.size.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&image.pixels)?;
        writer.finish()?;
        Ok(Self { class: class.into(), png, score, embedding, map })
    }

    /// The picture.
    pub fn decode(&self) -> Result<RgbImage, PictureError> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(&self.png)).read_info()?;
        let info = reader.info();
        let (width, height, colour) = (info.width, info.height, info.color_type);
        let fits = colour == png::ColorType::Rgb
            && info.bit_depth == png::BitDepth::Eight
            && width <= SIDE_MAX
            && height <= SIDE_MAX;
        if !fits {
            return Err(PictureError::Kind { width, height, colour });
        }
        let mut pixels = vec![0; width as usize * height as usize * 3];
        reader.next_frame(&mut pixels)?;
        Ok(RgbImage { size: Size { width, height }, pixels })
    }

    /// How far an answer is from the expected one.
    pub fn deviation(&self, score: f32, embedding: &[f32], map: &[f32]) -> Deviation {
        Deviation {
            score: (score - self.score).abs(),
            embedding: largest_difference(&self.embedding, embedding),
            map: largest_difference(&self.map, map),
        }
    }
}

/// Means of a map over 16 x 16 blocks, rows first; a map that 16 does not divide gets blocks of unequal size.
pub fn block_means(map: &Map) -> Vec<f32> {
    let (width, height) = (map.size.width as usize, map.size.height as usize);
    let bounds = |side: usize, block: usize| {
        let from = block * side / BLOCKS;
        from..((block + 1) * side / BLOCKS).max(from + 1).min(side.max(1))
    };
    let mut means = Vec::with_capacity(BLOCKS * BLOCKS);
    for row in 0..BLOCKS {
        for column in 0..BLOCKS {
            let (mut sum, mut count) = (0.0_f64, 0_u32);
            for y in bounds(height, row) {
                for x in bounds(width, column) {
                    sum += map.values.get(y * width + x).copied().map_or(f64::NAN, f64::from);
                    count += 1;
                }
            }
            #[expect(clippy::cast_possible_truncation, reason = "f64 to f32 rounds")]
            means.push((sum / f64::from(count)) as f32);
        }
    }
    means
}

fn largest_difference(expected: &[f32], found: &[f32]) -> f32 {
    if expected.len() != found.len() {
        return f32::NAN;
    }
    let differences = expected.iter().zip(found).map(|(a, b)| (a - b).abs());
    // `f32::max` would lose a NaN.
    differences.fold(0.0, |largest, d| if d.is_nan() || d > largest { d } else { largest })
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> RgbImage {
        let size = Size { width: 5, height: 3 };
        RgbImage { size, pixels: (0..45).collect() }
    }

    #[test]
    fn the_picture_survives_bit_for_bit() {
        let golden =
            GoldenFrame::encode("cap", &picture(), 0.5, vec![1.0, 0.0], vec![0.0; 256]).unwrap();
        assert_eq!(golden.decode().unwrap(), picture());
        let json = serde_json::to_string(&golden).unwrap();
        assert_eq!(serde_json::from_str::<GoldenFrame>(&json).unwrap(), golden);
    }

    #[test]
    fn a_deviation_that_is_no_number_stays_one() {
        let golden =
            GoldenFrame::encode("cap", &picture(), 0.5, vec![1.0, 0.0], vec![0.0]).unwrap();
        let deviation = golden.deviation(0.25, &[1.0, 0.5], &[0.125]);
        assert_eq!(deviation, Deviation { score: 0.25, embedding: 0.5, map: 0.125 });
        assert!(golden.deviation(f32::NAN, &[], &[0.0]).score.is_nan());
        assert!(golden.deviation(0.5, &[f32::NAN, 0.0], &[0.0]).embedding.is_nan());
        assert!(golden.deviation(0.5, &[], &[0.0]).embedding.is_nan());
    }

    #[test]
    fn a_picture_that_is_none_is_an_error() {
        let mut golden = GoldenFrame::encode("cap", &picture(), 0.5, vec![], vec![]).unwrap();
        golden.png.truncate(40);
        assert!(golden.decode().is_err());
        golden.png.clear();
        assert!(golden.decode().is_err());
    }

    #[test]
    fn block_means_of_a_ramp() {
        let size = Size { width: 32, height: 16 };
        let map = Map { size, values: (0..512_u16).map(|i| f32::from(i % 32)).collect() };
        let means = block_means(&map);
        assert_eq!(means.len(), 256);
        assert!((means[0] - 0.5).abs() < 1e-6 && (means[255] - 30.5).abs() < 1e-6);
    }
}
