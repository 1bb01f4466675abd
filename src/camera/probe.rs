//! How long a frame takes from stage to stage within a pipeline.
//!
//! Owns the pad probes and what they saw. They cost a clock and a lock each, so they are there only where somebody
//! measures. A frame is known again by its presentation time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gstreamer::{self as gst, prelude::*};

use super::pipeline::Pipeline;
use crate::clock::Clock;

/// Frames that a decoder may hold at once; what never comes out of it is forgotten.
const IN_DECODER_MAX: usize = 256;
/// An hour at 30 frames per second.
const KEPT_MAX: usize = 108_000;

/// What the probes saw.
#[derive(Default)]
pub struct StageTimes {
    seen: Mutex<Seen>,
}

/// Durations in the order of the frames.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// By presentation time, when frames entered the decoder.
    entered: BTreeMap<gst::ClockTime, Duration>,
    /// When the last frame left it.
    left: Option<Duration>,
    /// From entering the decoder to leaving it.
    pub decode: Vec<Duration>,
    /// From the decoder to the appsink: conversion and scaling.
    pub scale: Vec<Duration>,
}

impl StageTimes {
    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Seen {
    fn enter(&mut self, pts: gst::ClockTime, now: Duration) {
        if self.entered.len() >= IN_DECODER_MAX {
            self.entered.pop_first();
        }
        self.entered.insert(pts, now);
    }

    fn leave(&mut self, pts: Option<gst::ClockTime>, now: Duration) {
        self.left = Some(now);
        let entered = pts.and_then(|pts| self.entered.remove(&pts));
        if let Some(entered) = entered.filter(|_| self.decode.len() < KEPT_MAX) {
            self.decode.push(now.saturating_sub(entered));
        }
    }

    fn arrive(&mut self, now: Duration) {
        if let Some(left) = self.left.take().filter(|_| self.scale.len() < KEPT_MAX) {
            self.scale.push(now.saturating_sub(left));
        }
    }
}

/// Hangs probes into a pipeline that does not play yet.
pub(super) fn attach(pipeline: &Pipeline, clock: &Arc<dyn Clock>) -> Arc<StageTimes> {
    let times = Arc::new(StageTimes::default());
    on_buffers(&pipeline.tail, &times, clock, Seen::leave);
    if let Some(pad) = pipeline.sink.static_pad("sink") {
        on_buffers(&pad, &times, clock, |seen, _pts, now| seen.arrive(now));
    }
    let (kept, clock) = (Arc::clone(&times), Arc::clone(clock));
    // The decoder is there as soon as the stream is known, and not before.
    pipeline.elements.connect_deep_element_added(move |_pipeline, _bin, element| {
        let klass = element.metadata("klass").unwrap_or_default();
        let is_decoder = klass.contains("Decoder") && klass.contains("Video");
        let Some(pad) = element.static_pad("sink").filter(|_| is_decoder) else { return };
        on_buffers(&pad, &kept, &clock, |seen, pts, now| {
            if let Some(pts) = pts {
                seen.enter(pts, now);
            }
        });
    });
    times
}

fn on_buffers(
    pad: &gst::Pad,
    times: &Arc<StageTimes>,
    clock: &Arc<dyn Clock>,
    note: impl Fn(&mut Seen, Option<gst::ClockTime>, Duration) + Send + Sync + 'static,
) {
    let (times, clock) = (Arc::clone(times), Arc::clone(clock));
    pad.add_probe(gst::PadProbeType::BUFFER, move |_pad, info| {
        if let Some(buffer) = info.buffer() {
            times.note(|seen| note(seen, buffer.pts(), clock.monotonic()));
        }
        gst::PadProbeReturn::Ok
    });
}
