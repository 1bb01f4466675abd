//! One frame of a camera: its number, when it was captured, its pixels.
//!
//! Owns the identity of a frame. Invariant: the numbers of one camera are consecutive from 1, and a number is
//! given before anything can fail ([`Numbering::give`] is the only way to one).
//! Pure. Must not know where pixels come from: they are whatever implements [`Pixels`].

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bundle::geometry::RgbView;

/// A camera's name; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CameraId(pub Arc<str>);

impl fmt::Display for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which frame.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId {
    /// Whose.
    pub camera: CameraId,
    /// Which numbering: it changes whenever a camera starts to count from 1 again.
    pub epoch: u64,
    /// From 1, without gaps.
    pub number: u64,
}

impl fmt::Display for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.camera, self.epoch, self.number)
    }
}

/// Hands out the numbers of one camera.
#[derive(Debug)]
pub struct Numbering {
    camera: CameraId,
    epoch: u64,
    given: u64,
}

impl Numbering {
    /// Nothing has been numbered yet.
    pub fn new(camera: CameraId, epoch: u64) -> Self {
        Self { camera, epoch, given: 0 }
    }

    /// The next frame's identity.
    pub fn give(&mut self) -> FrameId {
        self.given += 1;
        FrameId { camera: self.camera.clone(), epoch: self.epoch, number: self.given }
    }
}

/// When a frame was captured, on three clocks.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// On the station's monotonic clock; what latencies are measured from.
    pub monotonic: Duration,
    /// Civil time.
    pub wall: SystemTime,
    /// Presentation time in the stream, where the stream has one.
    pub pts: Option<Duration>,
}

/// Memory that holds RGB pixels, kept alive for as long as it is looked at.
pub trait Pixels: Send + Sync {
    /// The pixels.
    fn view(&self) -> RgbView<'_>;
}

impl Pixels for bundle::geometry::RgbImage {
    fn view(&self) -> RgbView<'_> {
        self.view()
    }
}

/// The buffer that a frame was scaled from, still in the camera's own format.
pub trait FullResolution: Send + Sync {
    /// Its pixels, converted when they are asked for.
    fn to_rgb(&self) -> Result<bundle::geometry::RgbImage, String>;
}

/// What was captured.
pub enum Picture {
    /// Pixels, in the size that the model takes or in the camera's own.
    Pixels(Box<dyn Pixels>),
    /// Something was there and could not be decoded, for this reason.
    Unreadable(String),
}

/// A numbered frame on its way to the engine.
pub struct Frame {
    /// Which one.
    pub id: FrameId,
    /// When.
    pub stamp: Stamp,
    /// The file it was read from, where the source knows it.
    pub origin: Option<Arc<str>>,
    /// What was captured.
    pub picture: Picture,
    /// The full-resolution buffer, where the pipeline keeps one.
    pub full: Option<Arc<dyn FullResolution>>,
}

// By hand: a log line must never print pixels.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let picture = match &self.picture {
            Picture::Pixels(pixels) => pixels.view().size().to_string(),
            Picture::Unreadable(reason) => format!("unreadable: {reason}"),
        };
        f.debug_struct("Frame")
            .field("id", &format_args!("{}", self.id))
            .field("stamp", &self.stamp)
            .field("origin", &self.origin)
            .field("picture", &format_args!("{picture}"))
            .field("full", &self.full.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_consecutive_from_one() {
        let mut numbering = Numbering::new(CameraId("top".into()), 7);
        let numbers: Vec<_> = (0..3).map(|_| numbering.give().to_string()).collect();
        assert_eq!(numbers, ["top/7/1", "top/7/2", "top/7/3"]);
    }
}
