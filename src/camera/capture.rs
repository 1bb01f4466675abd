//! The appsink's callback: a frame gets its number, its stamp and its place in the channel.
//!
//! Owns the numbering, the trigger and the pusher for as long as the camera lives, whatever becomes of its pipelines; the
//! frame that the trigger holds until it knows whether a later one shows the part better; and the signs by
//! which the watcher sees whether frames come, whether they change, and whether the callback gave up.
//! Must not wait for anything but the channel under `every`.

use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use gstreamer::{self as gst, prelude::*};
use gstreamer_app::{AppSink, AppSinkCallbacks};

use super::{
    CameraError,
    lag::Lag,
    pipeline,
    pixels::{FullBuffer, MappedFrame},
    stills::Notes,
    trigger::{Cells, This, Trigger},
};
use crate::{
    channel::{Pushed, Pusher},
    clock::Clock,
    frame::{Frame, FullResolution, Numbering, Picture, Stamp},
    ledger::{Account, DropReason, FaultReason},
    plc::{Wanted, Way},
    state::{Board, Mode},
};

/// Bytes of a picture that tell it from the one before; a sensor's noise is everywhere.
const SAMPLED_BYTES: usize = 4_096;

/// What the callback owns.
pub(super) struct Capture {
    pub(super) numbering: Numbering,
    pub(super) notes: Option<Notes>,
    pub(super) pusher: Pusher<Frame>,
    pub(super) account: Arc<Account>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) board: Arc<Board>,
    pub(super) signs: Arc<Signs>,
    /// Which frames are handed over; `None` for all of them.
    pub(super) trigger: Option<Trigger>,
    /// Where a PLC announces parts; frames that no part asked for are dropped.
    pub(super) plc: Option<Way>,
    /// Where frames of a live camera are told apart by their time; `None` for all others.
    pub(super) lag: Option<Lag>,
    /// Shows the part best so far.
    pub(super) held: Option<Frame>,
    /// The last frame's time in the stream.
    pub(super) last_pts: Option<gst::ClockTime>,
}

/// What the watcher sees of the callback.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Nanoseconds on the monotonic clock; 0 while there is none in this attempt.
    first_frame: AtomicU64,
    last_frame: AtomicU64,
    last_change: AtomicU64,
    /// The callback waits for the channel: silence is then nobody's fault.
    is_held_back: AtomicBool,
    /// Frames for which there was time between two that came.
    gap_frames: AtomicU64,
    /// The last picture's sampled bytes.
    print: AtomicU64,
    /// Why the callback gave up.
    failure: Mutex<Option<CameraError>>,
}

impl Signs {
    /// A new attempt begins.
    pub(super) fn clear(&self) {
        let Self { first_frame, last_frame, last_change, gap_frames, print, .. } = self;
        for sign in [first_frame, last_frame, last_change, gap_frames, print] {
            sign.store(0, Ordering::Release);
        }
        self.take_failure();
    }

    /// When the first and the last frame of this attempt came.
    pub(super) fn frames(&self) -> Option<(Duration, Duration)> {
        let first = time(&self.first_frame)?;
        Some((first, time(&self.last_frame).unwrap_or(first)))
    }

    /// When the picture last changed.
    pub(super) fn last_change(&self) -> Option<Duration> {
        time(&self.last_change)
    }

    /// Frames of this attempt for which there was time and that did not come; a camera may have skipped them itself.
    pub(super) fn gap_frames(&self) -> u64 {
        self.gap_frames.load(Ordering::Acquire)
    }

    pub(super) fn is_held_back(&self) -> bool {
        self.is_held_back.load(Ordering::Acquire)
    }

    pub(super) fn take_failure(&self) -> Option<CameraError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn frame(&self, now: Duration, picture: &Picture) {
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.last_frame.store(nanos, Ordering::Release);
        if self.first_frame.load(Ordering::Acquire) == 0 {
            self.first_frame.store(nanos, Ordering::Release);
        }
        let print = print(picture);
        if print.is_none() || print != Some(self.print.load(Ordering::Acquire)) {
            self.print.store(print.unwrap_or(0), Ordering::Release);
            self.last_change.store(nanos, Ordering::Release);
        }
    }

    fn fail(&self, error: CameraError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

fn time(sign: &AtomicU64) -> Option<Duration> {
    let nanos = sign.load(Ordering::Acquire);
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

/// A hash of some of the picture's bytes; `None` for what is no picture.
fn print(picture: &Picture) -> Option<u64> {
    let Picture::Pixels(pixels) = picture else { return None };
    let view = pixels.view();
    let rows = u64::from(view.size().height).max(1);
    let per_row = (SAMPLED_BYTES as u64 / rows).max(1);
    let mut hasher = DefaultHasher::new();
    for y in 0..view.size().height {
        let row = view.row(y);
        let step = usize::try_from((row.len() as u64 / per_row).max(1)).unwrap_or(1);
        for byte in row.iter().step_by(step) {
            hasher.write_u8(*byte);
        }
    }
    Some(hasher.finish())
}

type Latest = Arc<Mutex<Option<gst::Sample>>>;

/// Keeps the buffer that is being scaled. The tail works in the same streaming thread, so that the buffer which
/// the callback finds here is the one that its own was made of.
pub(super) fn remember_full(tail: &gst::Pad) -> Latest {
    let latest: Latest = Arc::default();
    let kept = Arc::clone(&latest);
    tail.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let sample = info
            .buffer()
            .zip(pad.current_caps())
            .map(|(buffer, caps)| gst::Sample::builder().buffer(buffer).caps(&caps).build());
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = sample;
        gst::PadProbeReturn::Ok
    });
    latest
}

/// Hangs a capture into a pipeline's sink; the pipeline before it must have ended.
pub(super) fn hang_into(capture: &Arc<Mutex<Capture>>, sink: &AppSink, full: Option<Latest>) {
    let capture = Arc::clone(capture);
    let callbacks = AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            // Never contended: one pipeline plays at a time, and calls from one thread.
            let mut capture = capture.lock().unwrap_or_else(PoisonError::into_inner);
            capture.sample(sink, full.as_ref())
        })
        .build();
    sink.set_callbacks(callbacks);
}

impl Capture {
    fn sample(
        &mut self,
        sink: &AppSink,
        full: Option<&Latest>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let sample = sink.pull_sample().map_err(|_ended| gst::FlowError::Eos)?;
        // First of all: from here on this frame exists.
        let id = self.numbering.give();
        self.account.captured(id.number);
        let age = self.lag.is_some().then(|| age(sink, &sample)).flatten();
        let pts = sample.buffer().and_then(gst::BufferRef::pts);
        self.look_for_gap(pts, sample.caps().and_then(pipeline::frame_duration));
        let pts = pts.map(Duration::from);
        let stamp = Stamp { monotonic: self.clock.monotonic(), wall: self.clock.wall(), pts };
        // When it would have come, had nothing held it up on its way.
        let excess = self.lag.as_mut().zip(age).map(|(lag, age)| lag.excess(age, stamp.monotonic));
        let taken = stamp.monotonic.saturating_sub(excess.unwrap_or_default());
        let note = self.notes.as_ref().and_then(Notes::take);
        let (origin, unreadable) =
            note.map_or((None, None), |note| (Some(note.origin), note.unreadable));
        let picture = match unreadable {
            Some(reason) => Picture::Unreadable(reason),
            None if is_damaged(&sample) => {
                Picture::Unreadable("the decoder says that the picture is damaged".into())
            }
            None => match MappedFrame::of(&sample) {
                Ok(mapped) => Picture::Pixels(Box::new(mapped)),
                Err(error) => Picture::Unreadable(error.to_string()),
            },
        };
        self.signs.frame(stamp.monotonic, &picture);
        let not_wanted = match self.board.mode() {
            Mode::Run => None,
            Mode::Pause => Some(DropReason::Paused),
            Mode::Maintenance => Some(DropReason::Maintenance),
        };
        if let Some(reason) = not_wanted {
            self.account.dropped(id.number, reason);
            // The part came before the pause.
            return self.release();
        }
        let full = full.and_then(|latest| {
            let sample = latest.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            Some(Arc::new(FullBuffer { sample }) as Arc<dyn FullResolution>)
        });
        self.choose(Frame { id, stamp, origin, picture, full }, taken)
    }

    fn look_for_gap(&mut self, pts: Option<gst::ClockTime>, frame: Option<gst::ClockTime>) {
        let last = std::mem::replace(&mut self.last_pts, pts);
        let (Some(last), Some(pts), Some(frame)) = (last, pts, frame) else { return };
        let since = pts.saturating_sub(last) + frame / 2;
        let gap = (since.nseconds() / frame.nseconds().max(1)).saturating_sub(1);
        self.signs.gap_frames.fetch_add(gap, Ordering::AcqRel);
    }

    /// The pipeline plays no more.
    pub(super) fn rest(&mut self) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.last_pts = None;
        self.release()
    }

    /// Asks the trigger, where there is one, whether the frame is handed over.
    fn choose(
        &mut self,
        frame: Frame,
        taken: Duration,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if let Some(plc) = &self.plc
            && plc.frame(frame.id.number, taken) == Wanted::No
        {
            self.account.dropped(frame.id.number, DropReason::NoPart);
            return Ok(gst::FlowSuccess::Ok);
        }
        let (Some(trigger), Picture::Pixels(pixels)) = (&mut self.trigger, &frame.picture) else {
            // Nobody knows what a picture shows that cannot be read: it becomes a fault.
            return self.push(frame);
        };
        let at = frame.stamp.pts.unwrap_or(frame.stamp.monotonic);
        let step = trigger.see(Cells::of(&pixels.view(), trigger.area()), at);
        if step.is_new {
            self.account.part_seen();
        }
        if step.is_long {
            self.account.part_too_long();
            tracing::warn!(
                camera = %frame.id.camera, frame = frame.id.number,
                "a part stays for longer than any does: do two touch, did the belt stop?"
            );
        }
        let released = match self.held.take_if(|_| step.releases) {
            Some(held) => self.push(held),
            None => Ok(gst::FlowSuccess::Ok),
        };
        let number = frame.id.number;
        match step.this {
            This::Learned => self.account.dropped(number, DropReason::Learning),
            This::NotWanted => self.account.dropped(number, DropReason::NotTriggered),
            This::Held => {
                if let Some(before) = self.held.replace(frame) {
                    self.account.dropped(before.id.number, DropReason::NotTriggered);
                }
            }
        }
        released
    }

    /// Hands over what the trigger holds: no frame follows that could show the part better.
    fn release(&mut self) -> Result<gst::FlowSuccess, gst::FlowError> {
        let is_a_parts = self.trigger.as_mut().is_some_and(Trigger::end);
        match self.held.take() {
            Some(held) if is_a_parts => self.push(held),
            Some(held) => {
                self.account.dropped(held.id.number, DropReason::NotTriggered);
                Ok(gst::FlowSuccess::Ok)
            }
            None => Ok(gst::FlowSuccess::Ok),
        }
    }

    /// A frame that the trigger chose is not judged.
    fn missed(&self, frame: u64, why: &'static str) {
        if self.trigger.is_some() {
            self.account.part_missed();
            tracing::warn!(camera = %self.account.camera(), frame, "a part is not judged: {why}");
        }
    }

    /// The PLC waits for no verdict about that frame any more.
    fn lost(&self, frame: u64) {
        if let Some(plc) = &self.plc {
            plc.lost(frame, self.clock.monotonic());
        }
    }

    fn push(&mut self, frame: Frame) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.signs.is_held_back.store(true, Ordering::Release);
        let pushed = self.pusher.push(frame);
        self.signs.is_held_back.store(false, Ordering::Release);
        match pushed {
            Pushed::Accepted => Ok(gst::FlowSuccess::Ok),
            Pushed::Displaced(Frame { id, picture, .. }) => {
                self.lost(id.number);
                match picture {
                    Picture::Pixels(_) => {
                        self.account.dropped(id.number, DropReason::QueueFull);
                        self.missed(id.number, "the queue is full");
                    }
                    // Nobody would have judged it anyway.
                    Picture::Unreadable(_) => self.account.faulted(id.number, FaultReason::Decode),
                }
                Ok(gst::FlowSuccess::Ok)
            }
            Pushed::Refused(frame) => {
                self.lost(frame.id.number);
                self.account.faulted(frame.id.number, FaultReason::Abandoned);
                if matches!(frame.picture, Picture::Pixels(_)) {
                    self.missed(frame.id.number, "the engine is gone");
                }
                self.signs.fail(CameraError::EngineGone);
                Err(gst::FlowError::Error)
            }
        }
    }
}

/// How long ago a frame was stamped, as far as the pipeline's clock tells.
fn age(sink: &AppSink, sample: &gst::Sample) -> Option<Duration> {
    let now = sink.current_running_time()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let at = segment.to_running_time(sample.buffer()?.pts()?)?;
    Some(Duration::from(now.saturating_sub(at)))
}

/// Whether the decoder, or the driver, marked the buffer as incomplete.
fn is_damaged(sample: &gst::Sample) -> bool {
    sample.buffer().is_some_and(|buffer| buffer.flags().contains(gst::BufferFlags::CORRUPTED))
}

#[cfg(test)]
mod tests {
    use bundle::geometry::{RgbImage, Size};

    use super::*;

    #[test]
    fn an_incomplete_buffer_is_no_picture() {
        gst::init().unwrap();
        let sample = |flags| {
            let mut buffer = gst::Buffer::with_size(12).unwrap();
            buffer.get_mut().unwrap().set_flags(flags);
            gst::Sample::builder().buffer(&buffer).build()
        };
        assert!(is_damaged(&sample(gst::BufferFlags::CORRUPTED)));
        assert!(!is_damaged(&sample(gst::BufferFlags::DISCONT)));
    }

    #[test]
    fn a_picture_that_repeats_is_seen_not_to_change() {
        let picture = |level: u8| {
            let size = Size { width: 100, height: 60 };
            let mut pixels = vec![9; 100 * 60 * 3];
            // One row's noise is enough.
            pixels[100 * 3 * 30..100 * 3 * 31].fill(level);
            Picture::Pixels(Box::new(RgbImage { size, pixels }))
        };
        let signs = Signs::default();
        let secs = Duration::from_secs;
        assert_eq!((signs.frames(), signs.last_change()), (None, None));
        for (at, level) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1)] {
            signs.frame(secs(at), &picture(level));
        }
        assert_eq!(signs.frames(), Some((secs(1), secs(5))));
        assert_eq!(signs.last_change(), Some(secs(3)));
        // What cannot be read is no picture, and so never the same one.
        signs.frame(secs(6), &Picture::Unreadable("torn".into()));
        signs.frame(secs(7), &Picture::Unreadable("torn".into()));
        assert_eq!(signs.last_change(), Some(secs(7)));
        signs.clear();
        assert_eq!((signs.frames(), signs.last_change()), (None, None));
    }
}
