//! A frame's evidence as files: picture, heat map, mask, and the verdict with what is to be known of them.
//!
//! Pure: pixels in, bytes out; only a full-resolution buffer converts itself when it is asked. The mask is the model's
//! opinion of where the anomaly is, no person's.

use bundle::{
    geometry::{RgbImage, Size},
    heat,
};
use image::{
    ExtendedColorType, ImageEncoder as _,
    codecs::{
        jpeg::JpegEncoder,
        png::{CompressionType, FilterType, PngEncoder},
    },
};
use serde_json::{Value, json};

use super::names::File;
use crate::{
    frame::{Frame, Picture},
    inspected::Inspected,
    ledger::evidence::Resolution,
};

/// What a file system gives out at once: a file takes a whole number of them, a folder one.
const BLOCK_BYTES: u64 = 4096;

/// Files of one frame.
#[derive(Debug)]
pub struct Pictures {
    /// Their contents.
    pub files: Vec<(File, Vec<u8>)>,
    /// Which pixels the frame was taken from.
    pub resolution: Resolution,
    /// Why the full resolution is not to be had, where the pipeline keeps one.
    pub lacking: Option<String>,
}

impl Pictures {
    /// What they take of the disk.
    pub fn bytes_on_disk(&self) -> u64 {
        bytes_on_disk(self.files.iter().map(|(_, bytes)| bytes.len() as u64))
    }
}

/// What a folder with files of these lengths takes of the disk.
pub fn bytes_on_disk(lengths: impl IntoIterator<Item = u64>) -> u64 {
    let files = lengths.into_iter().map(|length| length.div_ceil(BLOCK_BYTES) * BLOCK_BYTES);
    BLOCK_BYTES + files.sum::<u64>()
}

/// Draws the evidence of a judged frame; `quality` is JPEG's, from 1 to 100.
pub fn draw(inspected: &Inspected, quality: u8) -> Result<Pictures, String> {
    let Inspected { frame, record, geometry, .. } = inspected;
    let Pixels { image, resolution, lacking } = pixels(frame, geometry.input)?;
    let size = image.size;
    let mut files = vec![(File::Frame, jpeg(&image, quality)?)];
    let map = inspected.map(size);
    let limit = map.as_ref().map(|map| heat::limit(map, record.verdict.threshold));
    if let (Some(map), Some(limit)) = (&map, limit) {
        files.push((File::Heat, grey(size, &heat::greys(map, limit))?));
    }
    if let (Some(map), Some(threshold)) = (&map, record.verdict.threshold) {
        let above = |value: &f32| if *value > threshold { u8::MAX } else { 0 };
        let mask: Vec<u8> = map.values.iter().map(above).collect();
        files.push((File::Mask, grey(size, &mask)?));
    }
    let told = json!({
        "resolution": resolution.name(),
        "width": size.width,
        "height": size.height,
        "heat_at_128": limit,
        "jpeg_quality": quality,
    });
    files.push((File::Verdict, verdict(&record.json(), &record.model.sha256, told)?));
    Ok(Pictures { files, resolution, lacking })
}

/// What a frame's pictures are made from.
struct Pixels {
    image: RgbImage,
    resolution: Resolution,
    lacking: Option<String>,
}

/// The largest picture that there is of the frame.
fn pixels(frame: &Frame, input: Size) -> Result<Pixels, String> {
    let mut lacking = None;
    match frame.full.as_ref().map(|full| full.to_rgb()) {
        Some(Ok(image)) => return Ok(Pixels { image, resolution: Resolution::Full, lacking }),
        // As of a buffer in a GPU's memory: better small than missing.
        Some(Err(why)) => lacking = Some(why),
        None => {}
    }
    match &frame.picture {
        Picture::Pixels(pixels) => {
            let view = pixels.view();
            // Where nothing scaled it, it is the camera's own; of the model's size nobody knows.
            let is_scaled = view.size() == input;
            let resolution = if is_scaled { Resolution::Model } else { Resolution::Full };
            Ok(Pixels { image: view.to_image(), resolution, lacking })
        }
        Picture::Unreadable(reason) => Err(reason.clone()),
    }
}

fn jpeg(image: &RgbImage, quality: u8) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(&image.pixels, image.size.width, image.size.height, ExtendedColorType::Rgb8)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn grey(size: Size, pixels: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Sub)
        .write_image(pixels, size.width, size.height, ExtendedColorType::L8)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The verdict line with what a folder without its ledger has to say besides.
fn verdict(line: &str, model_sha256: &str, told: Value) -> Result<Vec<u8>, String> {
    let mut verdict: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let fields = verdict.as_object_mut().ok_or("the verdict line is no object")?;
    fields.insert("model_sha256".into(), model_sha256.into());
    fields.insert("evidence".into(), told);
    let mut bytes = serde_json::to_vec_pretty(&verdict).map_err(|error| error.to_string())?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_whole_blocks_and_a_folder_one() {
        assert_eq!(bytes_on_disk([]), 4096);
        assert_eq!(bytes_on_disk([1, 4096, 4097, 0]), 4096 * (1 + 1 + 1 + 2));
    }
}
