//! Known pictures through a preset's own tail, without its source: what `check` measures.
//!
//! Owns the short pipeline for it. What comes out is compared by whoever knows what should.

use bundle::geometry::{RgbImage, Size};
use gstreamer as gst;
use gstreamer_app::AppSrc;

use super::{CameraError, pipeline::Pipeline, pixels::MappedFrame, preset::Filled, stills};
use crate::frame::Pixels as _;

/// One picture takes milliseconds.
const WITHIN: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// The picture as the tail scales it to `size`.
pub fn scaled(
    preset: &Filled<'_>,
    picture: &RgbImage,
    size: Size,
) -> Result<RgbImage, CameraError> {
    let source = "appsrc name=stills format=time";
    let pipeline = Pipeline::build(source, &preset.tail(Some(size))?, false)?;
    let result = push_and_pull(&pipeline, picture);
    pipeline.end();
    result
}

fn push_and_pull(pipeline: &Pipeline, picture: &RgbImage) -> Result<RgbImage, CameraError> {
    pipeline.play()?;
    let source = pipeline
        .element::<AppSrc>("stills")
        .ok_or_else(|| CameraError::Buffer("the test source is gone".into()))?;
    let sample = stills::sample(picture, gst::ClockTime::ZERO)?;
    let stopped = |_error| CameraError::Buffer("the tail took no picture".into());
    source.push_sample(&sample).map_err(stopped)?;
    source.end_of_stream().map_err(stopped)?;
    let pulled = pipeline.sink.try_pull_sample(WITHIN).ok_or_else(|| {
        pipeline.failure().unwrap_or_else(|| CameraError::Buffer("the tail gave no picture".into()))
    })?;
    Ok(MappedFrame::of(&pulled)?.view().to_image())
}
