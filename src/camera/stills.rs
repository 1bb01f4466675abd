//! Feeds decoded images into a pipeline, one buffer for each file.
//!
//! Owns the rule that a file which cannot be decoded is a frame all the same: a black buffer travels in its place,
//! so that it is numbered in its order, and its note says why. Images are decoded by `images`, the trainer's decoder.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bundle::geometry::{RgbImage, Size};
use gstreamer as gst;
use gstreamer_app::AppSrc;
use gstreamer_video::{VideoFormat, VideoInfo};

use super::{CameraError, Location};
use crate::images;

/// What is known about a buffer on its way, in the order of the buffers.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Arc<Mutex<VecDeque<Note>>>);

/// A file, and why it could not be decoded.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) origin: Arc<str>,
    pub(super) unreadable: Option<String>,
}

impl Notes {
    fn add(&self, note: Note) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(note);
    }

    /// The note of the next buffer that arrives.
    pub(super) fn take(&self) -> Option<Note> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// What `location` names.
pub(super) fn locate(location: &str) -> Result<Location, CameraError> {
    let wrong = |problem: &str| CameraError::Location {
        path: location.to_owned(),
        problem: problem.to_owned(),
    };
    let path = Path::new(location);
    if path.is_file() && !images::is_image(path) {
        return Ok(Location::Video);
    }
    let found = images::find(&[path.to_path_buf()])
        .map_err(|fault| CameraError::Location { path: String::new(), problem: fault.to_string() });
    let paths: Vec<PathBuf> = match found {
        Ok(found) => found.into_iter().map(|image| image.path).collect(),
        Err(_) if !path.exists() && !images::is_pattern(location) => {
            return Err(wrong("does not exist"));
        }
        Err(error) => return Err(error),
    };
    Ok(Location::Stills(paths))
}

/// The feeding thread's work.
pub(super) struct Feed {
    pub(super) source: AppSrc,
    pub(super) paths: Vec<PathBuf>,
    pub(super) per_second: f64,
    pub(super) repeat: bool,
    pub(super) notes: Notes,
}

impl Feed {
    /// Feeds until the end or until the pipeline is stopped.
    pub(super) fn run(&self) {
        let mut index: u64 = 0;
        loop {
            for path in &self.paths {
                if self.one(path, index).is_err() {
                    // Stopped, or failed: then the pipeline's own message says why.
                    return;
                }
                index += 1;
            }
            if !self.repeat {
                break;
            }
        }
    }

    fn one(&self, path: &Path, index: u64) -> Result<gst::FlowSuccess, gst::FlowError> {
        let origin = Arc::from(path.display().to_string());
        let decoded = images::decode(path);
        let unreadable = decoded.as_ref().err().cloned();
        let image = decoded.unwrap_or_else(|_told_by_the_note| placeholder());
        // The bounds of the rate keep it far below what a time can hold.
        let pts = gst::ClockTime::from_seconds_f64(index as f64 / self.per_second);
        let sample = sample(&image, pts).map_err(|_no_memory| gst::FlowError::Error)?;
        self.notes.add(Note { origin, unreadable });
        self.source.push_sample(&sample)
    }
}

impl Drop for Feed {
    /// Also when the thread panics: a pipeline that waits for more would wait for ever.
    fn drop(&mut self) {
        // An error means that the pipeline was stopped before.
        let _stopped = self.source.end_of_stream();
    }
}

/// An image as a buffer, rows padded as GStreamer wants them.
pub(super) fn sample(image: &RgbImage, pts: gst::ClockTime) -> Result<gst::Sample, CameraError> {
    let wrong = |what: String| CameraError::Buffer(what);
    let Size { width, height } = image.size;
    let info = VideoInfo::builder(VideoFormat::Rgb, width, height)
        .build()
        .map_err(|error| wrong(error.to_string()))?;
    let stride = usize::try_from(info.stride().first().copied().unwrap_or(0)).unwrap_or(0);
    let row = width as usize * 3;
    let mut bytes = vec![0; info.size()];
    for (to, from) in std::iter::zip(bytes.chunks_mut(stride.max(1)), image.pixels.chunks(row)) {
        to[..row].copy_from_slice(from);
    }
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(pts);
    }
    let caps = info.to_caps().map_err(|error| wrong(error.to_string()))?;
    Ok(gst::Sample::builder().buffer(&buffer).caps(&caps).build())
}

fn placeholder() -> RgbImage {
    let size = Size { width: 16, height: 16 };
    RgbImage { size, pixels: vec![0; 16 * 16 * 3] }
}
