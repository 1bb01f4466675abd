//! What the network lost: RTP packets that a jitter buffer waited for in vain.
//!
//! Owns the way from packets to frames. Reads the jitter buffers of a pipeline's video streams; a pipeline without one
//! loses nothing here.

use gstreamer::{self as gst, prelude::*};

/// Packets of one attempt to play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packets {
    lost: u64,
    arrived: u64,
}

impl Packets {
    /// Those of the video streams of a pipeline, so far.
    pub(super) fn of(pipeline: &gst::Pipeline) -> Self {
        let mut all = Self::default();
        for element in pipeline.iterate_recurse().into_iter().flatten() {
            let is_buffer = element.factory().is_some_and(|f| f.name() == "rtpjitterbuffer");
            if !is_buffer || !carries_video(&element) {
                continue;
            }
            let stats = element.property::<gst::Structure>("stats");
            let count = |name| stats.get::<u64>(name).unwrap_or(0);
            all.lost += count("num-lost");
            all.arrived += count("num-pushed");
        }
        all
    }

    /// How many frames were lost with these packets while so many came: as many as the lost packets would have
    /// carried, at least one where any is lost. Which frames they were, nobody knows.
    pub(super) fn lost_frames(self, came: u64) -> u64 {
        if self.lost == 0 {
            return 0;
        }
        let of_all = u128::from(self.lost) * u128::from(came);
        let frames = of_all.div_ceil(u128::from(self.arrived.max(1)));
        // No frame is smaller than a packet.
        u64::try_from(frames).unwrap_or(u64::MAX).clamp(1, self.lost)
    }

    /// How many are lost.
    pub(super) fn lost(self) -> u64 {
        self.lost
    }
}

/// A network camera's sound has a jitter buffer of its own.
fn carries_video(buffer: &gst::Element) -> bool {
    let caps = buffer.static_pad("sink").and_then(|pad| pad.current_caps());
    let media = caps.and_then(|caps| caps.structure(0)?.get::<String>("media").ok());
    media.is_none_or(|media| media == "video")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_become_frames_of_the_size_that_came() {
        let check = |lost, arrived, came, expected| {
            assert_eq!(Packets { lost, arrived }.lost_frames(came), expected, "{lost}/{arrived}");
        };
        check(0, 1_000, 100, 0);
        // Ten packets a frame.
        check(20, 1_000, 100, 2);
        check(21, 1_000, 100, 3);
        check(1, 1_000, 100, 1);
        // Nothing came yet, or more frames than packets.
        check(5, 0, 0, 1);
        check(5, 10, 100, 5);
    }
}
