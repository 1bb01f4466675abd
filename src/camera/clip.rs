//! Makes an H.264 clip, for measuring what decoding costs.
//!
//! Owns the encoders that may do it and the picture: detail that moves everywhere, at the bit rate and the distance of key
//! frames of a usual network camera. Knows nothing of who plays it.

use std::path::Path;

use bundle::geometry::Size;
use gstreamer::{self as gst, prelude::*};

use super::{CameraError, pipeline};

/// In the order of preference. No B-frames: cameras that are looked at live send none.
const ENCODERS: [(&str, &str); 3] = [
    ("x264enc", "x264enc speed-preset=superfast bitrate=8000 key-int-max=30 bframes=0"),
    ("openh264enc", "openh264enc bitrate=8000000 gop-size=30"),
    ("nvv4l2h264enc", "nvvidconv ! nvv4l2h264enc bitrate=8000000 iframeinterval=30"),
];

/// Encoders of slow boards make some 10 frames per second.
const ENCODE_WITHIN: gst::ClockTime = gst::ClockTime::from_seconds(180);

/// Writes `frames` frames at 30 per second as Matroska; the encoder's name, or `None` where there is no encoder.
pub fn h264(path: &Path, size: Size, frames: u32) -> Result<Option<&'static str>, CameraError> {
    pipeline::init()?;
    let found = ENCODERS.iter().find(|(name, _)| gst::ElementFactory::find(name).is_some());
    let Some((name, encoder)) = found else { return Ok(None) };
    let Size { width, height } = size;
    let line = format!(
        "videotestsrc num-buffers={frames} pattern=zone-plate kx2=20 ky2=20 kt=1 \
         ! video/x-raw,format=I420,width={width},height={height},framerate=30/1 \
         ! {encoder} ! h264parse ! matroskamux ! filesink name=file"
    );
    let wrong = |cause: String| CameraError::Launch { cause };
    let element = gst::parse::launch(&line).map_err(|error| wrong(error.to_string()))?;
    let pipeline = element
        .downcast::<gst::Pipeline>()
        .map_err(|_element| wrong("it is one element".into()))?;
    if let Some(file) = pipeline.by_name("file") {
        // As a property: a path may hold anything that a launch line would misread.
        file.set_property("location", path.display().to_string());
    }
    let bus = pipeline.bus().ok_or_else(|| wrong("it has no bus".into()))?;
    let played = pipeline.set_state(gst::State::Playing);
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(ENCODE_WITHIN, &types);
    let _always = pipeline.set_state(gst::State::Null);
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) if played.is_ok() => Ok(Some(name)),
        Some(_) => {
            let failure = message.as_ref().and_then(pipeline::failure);
            Err(failure.unwrap_or_else(|| wrong(format!("{name} does not play"))))
        }
        None => Err(wrong(format!("{name} made no clip within {} s", ENCODE_WITHIN.seconds()))),
    }
}
