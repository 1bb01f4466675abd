//! The thread of one camera: it plays a pipeline, watches it, and never gives a live camera up.
//!
//! Owns the life of pipelines: play, watch, start again at the end of a file, restart or rebuild after a failure, end.
//! End of stream, an error, silence and a picture that stands still are the same to a live camera: it is lost.
//! When and how it is tried again is `reconnect`; no other camera notices. Must not judge.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, Hasher as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender};
use gstreamer::{self as gst, prelude::*};
use gstreamer_app::AppSrc;

use super::{
    CameraError, CameraEvent, CameraOptions,
    blueprint::{Blueprint, Built},
    capture::{Capture, Signs},
    lag::Lag,
    packets::Packets,
    pipeline::{self, Pipeline},
    reconnect::{Next, Policy, Reconnect},
    trigger::Trigger,
};
use crate::{
    channel,
    clock::Clock,
    frame::{CameraId, Frame, Numbering},
    ledger::Account,
    state::Board,
};

/// How often the watcher looks up while the bus is silent.
const LOOK_UP_EVERY: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// Everything that the thread needs.
pub(super) struct Parts {
    id: CameraId,
    blueprint: Blueprint,
    built: Built,
    capture: Arc<Mutex<Capture>>,
    signs: Arc<Signs>,
    account: Arc<Account>,
    clock: Arc<dyn Clock>,
    repeat: bool,
    first_frame_within: Duration,
    /// How it is watched and tried again; `None` ends it with its first failure.
    reconnect: Option<Policy>,
    stop: Stop,
}

/// Asks the thread to end; it is woken up from whatever it waits for.
#[derive(Clone, Debug)]
pub(super) struct Stop(Arc<Asked>);

#[derive(Debug)]
struct Asked {
    already: AtomicBool,
    /// Wakes the watcher of the pipeline that plays.
    bus: Mutex<Option<gst::Bus>>,
    /// Wakes the wait between two attempts.
    wake: (Sender<()>, Receiver<()>),
}

impl Stop {
    fn new() -> Self {
        let wake = crossbeam_channel::bounded(1);
        Self(Arc::new(Asked { already: AtomicBool::new(false), bus: Mutex::default(), wake }))
    }

    pub(super) fn ask(&self) {
        self.0.already.store(true, Ordering::Release);
        // Full: it was woken already.
        let _woken = self.0.wake.0.try_send(());
        if let Some(bus) = &*self.0.bus.lock().unwrap_or_else(PoisonError::into_inner) {
            pipeline::wake(bus);
        }
    }

    fn is_asked(&self) -> bool {
        self.0.already.load(Ordering::Acquire)
    }

    fn listen_on(&self, bus: Option<gst::Bus>) {
        *self.0.bus.lock().unwrap_or_else(PoisonError::into_inner) = bus;
    }

    /// Waits, less when it is asked to stop.
    fn wait(&self, duration: Duration) {
        let _woken = self.0.wake.1.recv_timeout(duration);
    }
}

/// What the network lost in one attempt to play.
struct Network {
    /// Frames that had come before it.
    captured_before: u64,
    /// Lost frames that have been counted.
    told: u64,
}

impl Network {
    fn since(captured_before: u64) -> Self {
        Self { captured_before, told: 0 }
    }
}

/// How one attempt to play went.
#[derive(Debug)]
pub(super) enum Played {
    /// It was asked to stop.
    Stopped,
    /// Its source is at its end, as files are.
    Ended,
    /// It cannot go on.
    Lost(CameraError),
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) played: Played,
    /// How long it took.
    pub(super) lasted: Duration,
    /// For how long frames came.
    pub(super) healthy: Duration,
}

/// Which elements an attempt plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    /// Those that are there.
    Same,
    /// New ones.
    New,
}

impl Parts {
    /// Builds the pipeline and hangs the callback into it.
    pub(super) fn build(
        options: &CameraOptions,
        account: Arc<Account>,
        board: Arc<Board>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Receiver<Frame>), CameraError> {
        let (pusher, frames) = channel::bounded(options.queue_len, options.overflow);
        let signs = Arc::new(Signs::default());
        let id = account.camera().clone();
        let capture = Arc::new(Mutex::new(Capture {
            numbering: Numbering::new(id.clone(), account.epoch()),
            notes: None,
            pusher,
            account: Arc::clone(&account),
            clock: Arc::clone(&clock),
            board,
            signs: Arc::clone(&signs),
            trigger: options.trigger.map(Trigger::new),
            plc: options.plc.clone(),
            lag: (options.plc.is_some() && options.preset.live).then(Lag::default),
            held: None,
            last_pts: None,
        }));
        if options.trigger.is_some() {
            account.triggered();
        }
        let blueprint = Blueprint::new(options);
        let built = blueprint.first(&capture)?;
        let parts = Self {
            id,
            blueprint,
            built,
            capture,
            signs,
            account,
            clock,
            repeat: options.repeat,
            first_frame_within: options.first_frame_within,
            // What is no live source has an end of its own, and fails for good.
            reconnect: options.reconnect.filter(|_| options.preset.live),
            stop: Stop::new(),
        };
        Ok((parts, frames))
    }

    pub(super) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// The pipeline that plays first.
    pub(super) fn pipeline(&self) -> &Pipeline {
        &self.built.pipeline
    }

    /// Plays to the end, and says how it went.
    pub(super) fn run(mut self, events: &Sender<CameraEvent>) {
        let id = self.id.clone();
        let stop = self.stop.clone();
        let policy = self.reconnect;
        let mut wait = |duration| stop.wait(duration);
        let told = id.clone();
        let mut tell = |event: Told| {
            let event = match event {
                Told::Lost(error, again) => CameraEvent::Lost(told.clone(), error, again),
                Told::Back { gone, attempt } => {
                    CameraEvent::Back { camera: told.clone(), gone, attempt }
                }
            };
            // The station reads until every camera has ended; a return that it missed would leave this one lost for good.
            let _nobody = events.send(event);
        };
        let clock = Arc::clone(&self.clock);
        let ended = supervise(policy, &*clock, &mut wait, &mut tell, &mut |elements, tell| {
            self.attempt(elements, tell)
        });
        self.built.pipeline.end();
        // The channel closes with the capture.
        drop(self);
        let event = match ended {
            Ok(()) => CameraEvent::Ended(id),
            Err(error) if policy.is_some() => CameraEvent::GivenUp(id, error),
            Err(error) => CameraEvent::Failed(id, error),
        };
        // Nobody listens: the station itself has ended.
        let _nobody = events.send(event);
    }

    fn attempt(&mut self, elements: Elements, back: &mut dyn FnMut(Duration)) -> Attempt {
        let began = self.clock.monotonic();
        self.signs.clear();
        let renewed = match elements {
            Elements::Same => Ok(()),
            Elements::New => self.blueprint.again(&self.capture).map(|built| self.built = built),
        };
        let played = match renewed.and_then(|()| self.play(back)) {
            _ if self.stop.is_asked() => Played::Stopped,
            Ok(played) => played,
            Err(error) => Played::Lost(error),
        };
        let played = match (self.signs.take_failure(), played) {
            (Some(failure), Played::Lost(_) | Played::Ended) => Played::Lost(failure),
            (_, Played::Lost(error)) => Played::Lost(error.with_remedy(self.built.remedy.clone())),
            (_, played @ (Played::Stopped | Played::Ended)) => played,
        };
        let healthy =
            self.signs.frames().map_or(Duration::ZERO, |(first, last)| last.saturating_sub(first));
        Attempt { played, lasted: self.clock.monotonic().saturating_sub(began), healthy }
    }

    fn play(&mut self, back: &mut dyn FnMut(Duration)) -> Result<Played, CameraError> {
        self.stop.listen_on(self.built.pipeline.bus());
        let mut network = Network::since(self.account.balance().captured);
        let (watched, feeding) = match self.built.pipeline.play().and_then(|()| self.feed()) {
            Ok(feeding) => (self.watch(back, &mut network), feeding),
            Err(error) => (Err(error), None),
        };
        self.count_packets(&mut network);
        self.built.pipeline.rest();
        // Its threads have ended: nothing follows what the trigger holds. That nobody takes it is told by the signs.
        let _refused = self.capture.lock().unwrap_or_else(PoisonError::into_inner).rest();
        if let Some(Err(panic)) = feeding.map(JoinHandle::join) {
            // A bug there is a bug here: whoever joins this thread is told.
            std::panic::resume_unwind(panic);
        }
        watched
    }

    /// Starts to feed decoded images, where the source is stills.
    fn feed(&mut self) -> Result<Option<JoinHandle<()>>, CameraError> {
        let Some(feed) = self.built.feed.take() else { return Ok(None) };
        let thread = std::thread::Builder::new().name("feed".into());
        thread.spawn(move || feed.run()).map(Some).map_err(CameraError::Thread)
    }

    fn watch(
        &self,
        back: &mut dyn FnMut(Duration),
        network: &mut Network,
    ) -> Result<Played, CameraError> {
        let Some(bus) = self.built.pipeline.bus() else { return Ok(Played::Ended) };
        let started = self.clock.monotonic();
        let mut lost: BTreeMap<String, u64> = BTreeMap::new();
        let mut missing = None;
        let mut is_told = false;
        let mut looked = started;
        loop {
            if self.stop.is_asked() {
                return Ok(Played::Stopped);
            }
            if !is_told && self.signs.frames().is_some() {
                is_told = true;
                back(self.clock.monotonic().saturating_sub(started));
            }
            // However much the pipeline's elements say: that is no frame.
            let now = self.clock.monotonic();
            if now.saturating_sub(looked) >= Duration::from(LOOK_UP_EVERY) {
                looked = now;
                self.look_for_silence(started)?;
                self.count_packets(network);
            }
            let Some(message) = bus.timed_pop(LOOK_UP_EVERY) else { continue };
            #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is GStreamer's own talk")]
            match message.view() {
                gst::MessageView::Eos(_) if self.reconnect.is_some() => {
                    return Err(CameraError::EndOfStream { remedy: None });
                }
                gst::MessageView::Eos(_) if !self.start_again() => return Ok(Played::Ended),
                gst::MessageView::Error(_) => {
                    // A missing plug-in is told before, in another message; where frames came, it was not needed.
                    let has_frames = self.signs.frames().is_some();
                    let error = missing
                        .take()
                        .filter(|_| !has_frames)
                        .or_else(|| pipeline::failure(&message));
                    return error.map_or(Ok(Played::Ended), Err);
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

    /// Whether nothing came for too long, or the same again and again.
    fn look_for_silence(&self, started: Duration) -> Result<(), CameraError> {
        let now = self.clock.monotonic();
        let Some((_, last)) = self.signs.frames() else {
            let within = self.first_frame_within;
            let is_silent = now.saturating_sub(started) > within;
            return if is_silent {
                Err(CameraError::Silent { within, remedy: None })
            } else {
                Ok(())
            };
        };
        // Held back by the engine, it is not the camera that is silent.
        let Some(policy) = self.reconnect.filter(|_| !self.signs.is_held_back()) else {
            return Ok(());
        };
        if now.saturating_sub(last) > policy.stall_after {
            return Err(CameraError::Stalled { within: policy.stall_after, remedy: None });
        }
        let changed = self.signs.last_change().unwrap_or(now);
        if now.saturating_sub(changed) > policy.frozen_after {
            return Err(CameraError::Frozen { within: policy.frozen_after });
        }
        Ok(())
    }

    /// Whether a file begins once more.
    fn start_again(&self) -> bool {
        // A feed repeats by itself; its end is the end.
        let is_stills = self.built.pipeline.element::<AppSrc>("stills").is_some();
        if !self.repeat || is_stills {
            return false;
        }
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
        let sought = self.built.pipeline.elements.seek_simple(flags, gst::ClockTime::ZERO);
        if sought.is_err() {
            tracing::warn!(camera = %self.id, "the source cannot start again: it cannot be sought in");
        }
        sought.is_ok()
    }

    /// A network camera's jitter buffer tells how many packets it waited for in vain; without their rest, pictures are
    /// not decoded until the next whole one, which shows as a gap in the stream's time.
    fn count_packets(&self, network: &mut Network) {
        let packets = Packets::of(&self.built.pipeline.elements);
        let came = self.account.balance().captured.saturating_sub(network.captured_before);
        let gaps = if packets.lost() > 0 { self.signs.gap_frames() } else { 0 };
        let frames = packets.lost_frames(came).max(gaps);
        if network.told == 0 && frames > 0 {
            tracing::warn!(camera = %self.id, packets = packets.lost(), "the network loses packets");
        }
        self.account.lost_upstream(frames.saturating_sub(network.told));
        network.told = network.told.max(frames);
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
                self.account
                    .lost_upstream(frames_within(duration, self.built.pipeline.frame_duration()));
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

/// What happens between the attempts.
#[derive(Debug)]
pub(super) enum Told {
    /// Lost for this reason, to be tried again after this long.
    Lost(CameraError, Duration),
    /// Frames come again.
    Back {
        /// Since the loss.
        gone: Duration,
        /// Since this attempt began.
        attempt: Duration,
    },
}

/// One attempt to play; the callback is told when the first frame has come, and how long that took.
type Play<'a> = dyn FnMut(Elements, &mut dyn FnMut(Duration)) -> Attempt + 'a;

/// Plays until it is stopped, is at its end, or is given up. Without a policy the first failure is the last.
pub(super) fn supervise(
    policy: Option<Policy>,
    clock: &dyn Clock,
    wait: &mut dyn FnMut(Duration),
    tell: &mut dyn FnMut(Told),
    play: &mut Play<'_>,
) -> Result<(), CameraError> {
    let mut reconnect = policy.map(Reconnect::new);
    let mut elements = Elements::Same;
    let mut lost_at: Option<Duration> = None;
    loop {
        let attempt = play(elements, &mut |attempt| {
            if let Some(at) = lost_at.take() {
                tell(Told::Back { gone: clock.monotonic().saturating_sub(at), attempt });
            }
        });
        let Attempt { played, lasted, healthy } = attempt;
        let error = match played {
            Played::Stopped | Played::Ended => return Ok(()),
            Played::Lost(error) => error,
        };
        let Some(reconnect) = &mut reconnect else { return Err(error) };
        lost_at.get_or_insert_with(|| clock.monotonic());
        let again = match reconnect.next(lasted, healthy, chance()) {
            Next::GiveUp => return Err(error),
            Next::Restart(wait) => {
                elements = Elements::Same;
                wait
            }
            Next::Rebuild(wait) => {
                elements = Elements::New;
                wait
            }
        };
        tell(Told::Lost(error, again));
        wait(again);
    }
}

/// A number from 0 to 1, by chance: the standard library seeds every hasher anew.
fn chance() -> f64 {
    let random = std::hash::RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1_u64 << 53) as f64
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

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::SystemTime};

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

    /// A clock that only moves when somebody waits.
    #[derive(Default)]
    struct Simulated(std::sync::atomic::AtomicU64);

    impl Simulated {
        fn pass(&self, duration: Duration) {
            let nanos = u64::try_from(duration.as_nanos()).unwrap();
            self.0.fetch_add(nanos, Ordering::AcqRel);
        }
    }

    impl Clock for Simulated {
        fn monotonic(&self) -> Duration {
            Duration::from_nanos(self.0.load(Ordering::Acquire))
        }

        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }
    }

    /// Attempts that last and are healthy for so many seconds each, then a stop; what was told, without the jitter.
    fn check(policy: Option<Policy>, attempts: &[(u64, u64)], expected: &str) {
        let clock = Simulated::default();
        let index = Cell::new(0);
        let mut told = Vec::new();
        let waited = Cell::new(Duration::ZERO);
        let ended = supervise(
            policy,
            &clock,
            &mut |duration| {
                waited.set(duration);
                clock.pass(duration);
            },
            &mut |event| {
                told.push(match event {
                    // To the power of two that the jitter moved it from.
                    Told::Lost(_, again) => {
                        format!("lost, again in {:.0}", again.as_secs_f64().log2().round().exp2())
                    }
                    Told::Back { gone, .. } => {
                        assert!(gone >= waited.get());
                        "back".into()
                    }
                });
            },
            &mut |elements, back| {
                let attempt = attempts.get(index.replace(index.get() + 1));
                let Some(&(lasted, healthy)) = attempt else {
                    return Attempt {
                        played: Played::Stopped,
                        lasted: Duration::ZERO,
                        healthy: Duration::ZERO,
                    };
                };
                if healthy > 0 {
                    back(Duration::ZERO);
                }
                let [lasted, healthy] = [lasted, healthy].map(Duration::from_secs);
                clock.pass(lasted);
                let what = format!("{elements:?}");
                let error = CameraError::Launch { cause: what };
                Attempt { played: Played::Lost(error), lasted, healthy }
            },
        );
        told.push(match ended {
            Ok(()) => "stopped".into(),
            Err(error) => format!("gave up: {error}"),
        });
        assert_eq!(told.join("; "), expected);
    }

    #[test]
    fn a_lost_camera_is_tried_again_on_schedule() {
        let policy = Some(Policy::default());
        check(policy, &[], "stopped");
        check(
            policy,
            &[(90, 90), (20, 0), (20, 0), (5, 3), (100, 100)],
            "lost, again in 1; lost, again in 2; lost, again in 4; back; lost, again in 8; back; lost, again in 1; stopped",
        );
    }

    #[test]
    fn without_a_policy_or_when_nothing_helps_the_failure_is_the_end() {
        let built = "the preset's launch line cannot be built";
        check(None, &[(3, 1)], &format!("gave up: {built}: Same"));
        let policy = Policy { give_up_after: Some(Duration::from_mins(1)), ..Policy::default() };
        check(
            Some(policy),
            &[(20, 0); 9],
            &format!("lost, again in 1; lost, again in 2; gave up: {built}: New"),
        );
    }

    #[test]
    fn chance_is_from_zero_to_one() {
        assert!((0..1_000).map(|_| chance()).all(|chance| (0.0..1.0).contains(&chance)));
    }
}
