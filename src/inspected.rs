//! A judged frame with everything that was seen of it, for whoever wants its picture.
//!
//! Owns how such a frame is shared: once, by reference, after its verdict has left. Knows neither archive nor page: they
//! are [`Onlooker`]s. Pixels stay where GStreamer put them, so an onlooker that keeps a frame keeps a buffer of its
//! pipeline: few, and not for long.

use std::{sync::Arc, time::Duration};

use bundle::geometry::{Geometry, Map, Size};

use crate::{engine::Inference, fault::Fault, frame::Frame, record::Record};

/// A judged frame.
#[derive(Debug)]
pub struct Inspected {
    /// The frame, with its pixels.
    pub frame: Frame,
    /// Its verdict, as every sink got it.
    pub record: Record,
    /// What the network said: one inference, or one for each tile; empty for a frame that nobody judged.
    pub inferences: Vec<Inference>,
    /// How the frame was fitted to the model's input.
    pub geometry: Arc<Geometry>,
}

impl Inspected {
    /// The anomaly map laid over a picture of the frame in that size; `None` for a frame that nobody judged.
    pub fn map(&self, size: Size) -> Option<Map> {
        if self.inferences.is_empty() {
            return None;
        }
        let maps: Vec<Map> = self.inferences.iter().map(Inference::map).collect();
        Some(self.geometry.frame_from_map(&maps, size))
    }
}

/// Who wants to see judged frames. `wants` and `show` are called on the engine's thread, and may not wait.
pub trait Onlooker: Send {
    /// Whether this frame is wanted; asked once for each frame, before anything is kept for it.
    fn wants(&mut self, record: &Record) -> bool;
    /// The frame that was wanted. What finds no room is counted by the onlooker itself.
    fn show(&mut self, inspected: &Arc<Inspected>);
    /// Whether its thread has ended by itself, which is a bug: the station ends, and says so.
    fn is_lost(&self) -> bool {
        false
    }
    /// No frame comes any more: finishes what is in hand, at most within that time. Called once, by the station.
    fn close(self: Box<Self>, _within: Duration) -> Result<(), Fault> {
        Ok(())
    }
}
