//! The thread of one camera, and the callback in which its frames are numbered.
//!
//! Owns the life of a pipeline: play, watch, start again at the end of a file, end. Sends one event.
//! Must not judge; what it counts goes to the ledger.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender};
use gstreamer::{self as gst, prelude::*};
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};

use super::{
    CameraError, CameraEvent, CameraOptions, Location,
    pipeline::{self, Pipeline, Stop},
    pixels::{FullBuffer, MappedFrame},
    stills::{self, Feed, Notes},
};
use crate::{
    channel::{self, Pushed, Pusher},
    clock::Clock,
    frame::{CameraId, Frame, FullResolution, Numbering, Picture, Stamp},
    ledger::{Account, DropReason, FaultReason},
};

/// How often the watcher looks up while the bus is silent: only the first frame is awaited that way.
const LOOK_UP_EVERY: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// Everything that the thread needs.
pub(super) struct Parts {
    id: CameraId,
    pipeline: Pipeline,
    feed: Option<Feed>,
    account: Arc<Account>,
    clock: Arc<dyn Clock>,
    repeat: bool,
    first_frame_within: Duration,
    /// What the preset says when it fails.
    remedy: Option<String>,
    /// Set by the callback, so that a source which never gives a frame is found out.
    has_frames: Arc<AtomicBool>,
    /// Why the callback gave up.
    failure: Arc<Mutex<Option<CameraError>>>,
}

impl Parts {
    /// Builds the pipeline and hangs the callback into it.
    pub(super) fn build(
        options: &CameraOptions,
        clock: Arc<dyn Clock>,
        account: Arc<Account>,
    ) -> Result<(Self, Receiver<Frame>), CameraError> {
        pipeline::init()?;
        let filled = options.preset.with(&options.parameters)?;
        let stills = match (filled.stills(), filled.value("location")) {
            (Some(line), Some(location)) => match stills::locate(location)? {
                Location::Stills(paths) => Some((line?, paths)),
                Location::Video => None,
            },
            _ => None,
        };
        let tail = filled.tail(options.scale_to)?;
        let paced = options.realtime && !options.preset.live;
        let source = match &stills {
            Some((line, _)) => line.clone(),
            None => filled.source()?,
        };
        let pipeline = Pipeline::build(&source, &tail, paced)?;
        let notes = Notes::default();
        let feed = match stills {
            Some((_, paths)) => Some(Feed {
                source: pipeline.element::<AppSrc>("stills").ok_or_else(|| {
                    CameraError::Launch { cause: "it has no appsrc named stills".into() }
                })?,
                paths,
                per_second: rate(filled.value("rate"))?,
                repeat: options.repeat,
                notes: notes.clone(),
            }),
            None => None,
        };
        let (pusher, frames) = channel::bounded(options.queue_len, options.overflow);
        let has_frames = Arc::new(AtomicBool::new(false));
        let failure = Arc::new(Mutex::new(None));
        let full = options.keep_full.then(|| remember_full(&pipeline.tail));
        Capture {
            numbering: Numbering::new(account.camera().clone(), account.epoch()),
            notes: feed.is_some().then_some(notes),
            full,
            pusher,
            account: Arc::clone(&account),
            clock: Arc::clone(&clock),
            has_frames: Arc::clone(&has_frames),
            failure: Arc::clone(&failure),
        }
        .hang_into(&pipeline.sink);
        let parts = Self {
            id: account.camera().clone(),
            pipeline,
            feed,
            account,
            clock,
            repeat: options.repeat,
            first_frame_within: options.first_frame_within,
            remedy: filled.remedy(),
            has_frames,
            failure,
        };
        Ok((parts, frames))
    }

    pub(super) fn stop(&self) -> Stop {
        Stop::of(&self.pipeline)
    }

    /// Plays to the end, and says how it went.
    pub(super) fn run(mut self, events: &Sender<CameraEvent>) {
        let played = self.play();
        self.pipeline.end();
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        let event = match failure.map_or(played, Err) {
            Ok(()) => CameraEvent::Ended(self.id),
            Err(error) => CameraEvent::Failed(self.id, error.with_remedy(self.remedy)),
        };
        // Nobody listens: the station itself has ended.
        let _nobody = events.send(event);
    }

    fn play(&mut self) -> Result<(), CameraError> {
        self.pipeline.play()?;
        let feeding = match self.feed.take() {
            Some(feed) => Some(
                std::thread::Builder::new()
                    .name("feed".into())
                    .spawn(move || feed.run())
                    .map_err(CameraError::Thread)?,
            ),
            None => None,
        };
        let watched = self.watch();
        self.pipeline.end();
        if let Some(Err(panic)) = feeding.map(JoinHandle::join) {
            // A bug there is a bug here: whoever joins this thread is told.
            std::panic::resume_unwind(panic);
        }
        watched
    }

    fn watch(&self) -> Result<(), CameraError> {
        let Some(bus) = self.pipeline.bus() else { return Ok(()) };
        let started = self.clock.monotonic();
        let mut lost: BTreeMap<String, u64> = BTreeMap::new();
        let mut missing = None;
        loop {
            let Some(message) = bus.timed_pop(LOOK_UP_EVERY) else {
                let waited = self.clock.monotonic().saturating_sub(started);
                if !self.has_frames.load(Ordering::Acquire) && waited > self.first_frame_within {
                    let within = self.first_frame_within;
                    return Err(CameraError::Silent { within, remedy: None });
                }
                continue;
            };
            if Stop::is(&message) {
                return Ok(());
            }
            #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is GStreamer's own talk")]
            match message.view() {
                gst::MessageView::Eos(_) if !self.start_again() => return Ok(()),
                gst::MessageView::Error(_) => {
                    // A missing plug-in is told before, in another message; where frames came, it was not needed.
                    let has_frames = self.has_frames.load(Ordering::Acquire);
                    let error = missing
                        .take()
                        .filter(|_| !has_frames)
                        .or_else(|| pipeline::failure(&message));
                    return error.map_or(Ok(()), Err);
                }
                gst::MessageView::Element(_) => {
                    missing = missing.or_else(|| pipeline::missing_plugin(&message));
                }
                gst::MessageView::Warning(warning) => {
                    tracing::warn!(camera = %self.id, "{}", warning.error().message());
                }
                gst::MessageView::Qos(qos) => self.count_lost(qos, &mut lost),
                _ => {}
            }
        }
    }

    /// Whether a file begins once more.
    fn start_again(&self) -> bool {
        // A feed repeats by itself; its end is the end.
        let is_stills = self.pipeline.element::<AppSrc>("stills").is_some();
        if !self.repeat || is_stills {
            return false;
        }
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
        let sought = self.pipeline.elements.seek_simple(flags, gst::ClockTime::ZERO);
        if sought.is_err() {
            tracing::warn!(camera = %self.id, "the source cannot start again: it cannot be sought in");
        }
        sought.is_ok()
    }

    /// Sources and decoders tell how many frames they dropped so far.
    fn count_lost(&self, qos: &gst::message::Qos, lost: &mut BTreeMap<String, u64>) {
        let source = qos.src().map(|source| source.path_string().to_string()).unwrap_or_default();
        let (_, dropped) = qos.stats();
        let dropped = match dropped {
            gst::GenericFormattedValue::Buffers(Some(count)) => *count,
            gst::GenericFormattedValue::Default(Some(count)) => *count,
            // A camera's driver tells no count, but the time that the gap took (v4l2src).
            gst::GenericFormattedValue::Undefined(_) => {
                let (.., duration) = qos.get();
                self.account.lost_upstream(frames_within(duration, self.pipeline.frame_duration()));
                return;
            }
            // Told in bytes or in time: no number of frames follows from that.
            gst::GenericFormattedValue::Default(None)
            | gst::GenericFormattedValue::Buffers(None)
            | gst::GenericFormattedValue::Bytes(_)
            | gst::GenericFormattedValue::Time(_)
            | gst::GenericFormattedValue::Percent(_)
            | gst::GenericFormattedValue::Other(..) => return,
        };
        let before = lost.insert(source, dropped).unwrap_or(0);
        self.account.lost_upstream(dropped.saturating_sub(before));
    }
}

/// How many frames a gap of that duration swallowed: at least one.
fn frames_within(gap: Option<gst::ClockTime>, frame: Option<gst::ClockTime>) -> u64 {
    match (gap, frame) {
        (Some(gap), Some(frame)) if !frame.is_zero() => {
            // To the nearest: both durations are rounded to nanoseconds.
            ((gap + frame / 2).nseconds() / frame.nseconds()).max(1)
        }
        _ => 1,
    }
}

fn rate(given: Option<&str>) -> Result<f64, CameraError> {
    let text = given.unwrap_or("10");
    let rate = text.parse().ok().filter(|rate: &f64| *rate > 0.0 && rate.is_finite());
    rate.ok_or_else(|| CameraError::Parameter {
        name: "rate",
        value: text.into(),
        expected: "it must be a number above 0",
    })
}

type Latest = Arc<Mutex<Option<gst::Sample>>>;

/// Keeps the buffer that is being scaled. The tail works in the same streaming thread, so that the buffer which
/// the callback finds here is the one that its own was made of.
fn remember_full(tail: &gst::Pad) -> Latest {
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

/// What the appsink's callback owns.
struct Capture {
    numbering: Numbering,
    notes: Option<Notes>,
    full: Option<Latest>,
    pusher: Pusher<Frame>,
    account: Arc<Account>,
    clock: Arc<dyn Clock>,
    has_frames: Arc<AtomicBool>,
    failure: Arc<Mutex<Option<CameraError>>>,
}

impl Capture {
    fn hang_into(mut self, sink: &AppSink) {
        let callbacks =
            AppSinkCallbacks::builder().new_sample(move |sink| self.sample(sink)).build();
        sink.set_callbacks(callbacks);
    }

    fn sample(&mut self, sink: &AppSink) -> Result<gst::FlowSuccess, gst::FlowError> {
        let sample = sink.pull_sample().map_err(|_ended| gst::FlowError::Eos)?;
        // First of all: from here on this frame exists.
        let id = self.numbering.give();
        self.account.captured(id.number);
        self.has_frames.store(true, Ordering::Release);
        let pts = sample.buffer().and_then(gst::BufferRef::pts).map(Duration::from);
        let stamp = Stamp { monotonic: self.clock.monotonic(), wall: self.clock.wall(), pts };
        let note = self.notes.as_ref().and_then(Notes::take);
        let (origin, unreadable) =
            note.map_or((None, None), |note| (Some(note.origin), note.unreadable));
        let picture = match unreadable {
            Some(reason) => Picture::Unreadable(reason),
            None => match MappedFrame::of(&sample) {
                Ok(mapped) => Picture::Pixels(Box::new(mapped)),
                Err(error) => Picture::Unreadable(error.to_string()),
            },
        };
        let full = self.full.as_ref().and_then(|latest| {
            let sample = latest.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            Some(Arc::new(FullBuffer { sample }) as Arc<dyn FullResolution>)
        });
        self.push(Frame { id, stamp, origin, picture, full })
    }

    fn push(&mut self, frame: Frame) -> Result<gst::FlowSuccess, gst::FlowError> {
        match self.pusher.push(frame) {
            Pushed::Accepted => Ok(gst::FlowSuccess::Ok),
            Pushed::Displaced(Frame { id, picture, .. }) => {
                match picture {
                    Picture::Pixels(_) => self.account.dropped(id.number, DropReason::QueueFull),
                    // Nobody would have judged it anyway.
                    Picture::Unreadable(_) => self.account.faulted(id.number, FaultReason::Decode),
                }
                Ok(gst::FlowSuccess::Ok)
            }
            Pushed::Refused(frame) => {
                self.account.faulted(frame.id.number, FaultReason::Abandoned);
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert(CameraError::Buffer("the engine is gone".into()));
                Err(gst::FlowError::Error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_counted_in_frames() {
        let check = |gap_ms: Option<u64>, frame_ms: Option<u64>, expected| {
            let time = |ms: Option<u64>| ms.map(gst::ClockTime::from_mseconds);
            assert_eq!(frames_within(time(gap_ms), time(frame_ms)), expected, "{gap_ms:?}");
        };
        check(Some(100), Some(33), 3);
        check(Some(33), Some(33), 1);
        check(Some(1), Some(33), 1);
        check(Some(100), None, 1);
        check(None, Some(33), 1);
        check(Some(100), Some(0), 1);
    }
}
