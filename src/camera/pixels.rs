//! Pixels in GStreamer's own memory.
//!
//! Owns the mapping: the buffer stays mapped for as long as somebody looks at it, and is never copied.

use bundle::geometry::{RgbImage, RgbView, Size};
use gstreamer as gst;
use gstreamer_video::{
    VideoFormat, VideoFrame, VideoFrameExt as _, VideoInfo, video_frame::Readable,
};

use super::CameraError;
use crate::frame::{FullResolution, Pixels};

/// A mapped buffer of packed RGB rows.
pub struct MappedFrame {
    frame: VideoFrame<Readable>,
    size: Size,
    stride_bytes: usize,
}

impl MappedFrame {
    /// Maps the buffer of a sample whose caps say RGB.
    pub fn of(sample: &gst::Sample) -> Result<Self, CameraError> {
        let wrong = |what: &str| CameraError::Buffer(what.to_owned());
        let caps = sample.caps().ok_or_else(|| wrong("no caps"))?;
        let info = VideoInfo::from_caps(caps).map_err(|error| wrong(&error.to_string()))?;
        let buffer = sample.buffer_owned().ok_or_else(|| wrong("no buffer"))?;
        if info.format() != VideoFormat::Rgb {
            return Err(wrong(&format!("format {}", info.format())));
        }
        let frame = VideoFrame::from_buffer_readable(buffer, &info)
            .map_err(|_buffer| wrong("it cannot be mapped"))?;
        let size = Size { width: frame.width(), height: frame.height() };
        let stride_bytes = frame.plane_stride().first().copied().unwrap_or(0);
        let stride_bytes = usize::try_from(stride_bytes)
            .map_err(|_negative| wrong("its rows run from the bottom to the top"))?;
        let mapped = Self { frame, size, stride_bytes };
        // Once, so that `view` cannot fail.
        RgbView::new(mapped.size, stride_bytes, mapped.bytes())
            .map_err(|error| wrong(&error.to_string()))?;
        Ok(mapped)
    }

    fn bytes(&self) -> &[u8] {
        self.frame.plane_data(0).unwrap_or_default()
    }
}

impl Pixels for MappedFrame {
    #[expect(clippy::expect_used, reason = "`of` made the very same view")]
    fn view(&self) -> RgbView<'_> {
        RgbView::new(self.size, self.stride_bytes, self.bytes()).expect("checked when mapped")
    }
}

/// The buffer that a frame was scaled from, in the camera's own format.
pub(super) struct FullBuffer {
    pub(super) sample: gst::Sample,
}

/// A conversion of one frame takes milliseconds.
const CONVERT_WITHIN: gst::ClockTime = gst::ClockTime::from_seconds(10);

impl FullResolution for FullBuffer {
    fn to_rgb(&self) -> Result<RgbImage, String> {
        let caps = gstreamer_video::VideoCapsBuilder::new().format(VideoFormat::Rgb).build();
        let converted = gstreamer_video::convert_sample(&self.sample, &caps, Some(CONVERT_WITHIN))
            .map_err(|error| error.to_string())?;
        let mapped = MappedFrame::of(&converted).map_err(|error| error.to_string())?;
        Ok(mapped.view().to_image())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(width: u32, height: u32) -> gst::Sample {
        gst::init().unwrap();
        let info = VideoInfo::builder(VideoFormat::Rgb, width, height).build().unwrap();
        let buffer = gst::Buffer::from_mut_slice(vec![7_u8; info.size()]);
        gst::Sample::builder().buffer(&buffer).caps(&info.to_caps().unwrap()).build()
    }

    #[test]
    fn a_view_is_the_mapped_buffer_itself() {
        let sample = sample(256, 4);
        let mapped = MappedFrame::of(&sample).unwrap();
        let buffer = sample.buffer().unwrap().map_readable().unwrap();
        let packed = mapped.view().packed().unwrap();
        assert_eq!(packed.as_ptr(), buffer.as_slice().as_ptr());
        assert_eq!(packed.len(), 256 * 4 * 3);
    }

    #[test]
    fn rows_that_are_padded_are_seen_without_their_padding() {
        // GStreamer pads rows to multiples of 4 bytes: 5 pixels are 15 bytes in 16.
        let mapped = MappedFrame::of(&sample(5, 2)).unwrap();
        assert_eq!(mapped.view().stride_bytes(), 16);
        assert_eq!(mapped.view().packed(), None);
        assert_eq!(mapped.view().row(1).len(), 15);
    }
}
