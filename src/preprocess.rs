//! From a frame to the model's inputs, by the model file's own geometry.
//!
//! Pure. Owns the decision whether a frame can be handed over as it is: then not a byte is copied.
//! The fitting itself is `bundle::geometry`, the same code that cut the training images.

use bundle::geometry::{Geometry, GeometryError, RgbImage, RgbView};

/// The model's inputs for one frame.
pub enum Inputs<'a> {
    /// The frame's own memory: it already has the model's size.
    Frame(RgbView<'a>),
    /// Fitted copies: one, or one for each tile.
    Fitted(Vec<RgbImage>),
}

impl<'a> Inputs<'a> {
    /// The inputs that `geometry` asks for.
    pub fn from_frame(geometry: &Geometry, frame: RgbView<'a>) -> Result<Self, GeometryError> {
        if geometry.is_identity_for(frame.size()) {
            return Ok(Self::Frame(frame));
        }
        geometry.input_from_frame(&frame).map(Self::Fitted)
    }

    /// The inputs one after another.
    pub fn views(&self) -> impl Iterator<Item = RgbView<'_>> {
        let (frame, fitted): (_, &[RgbImage]) = match self {
            Self::Frame(frame) => (Some(*frame), &[]),
            Self::Fitted(images) => (None, images),
        };
        frame.into_iter().chain(fitted.iter().map(RgbImage::view))
    }
}
