//! The measurements, one function each.
//!
//! Owns what is played, which figures come out of it, and what they should be. Each takes a station through
//! [`line::play`]; what it compares is alternated, for a machine is never as quick twice.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use bundle::geometry::Size;
use indicatif::ProgressBar;

use super::{
    Subject,
    line::{self, Observed, Play, Played},
    metered::KEPT_MAX,
    report::{Row, Section, Target},
    statistics::{self, Line},
};
use crate::{
    camera::{CameraOptions, Platform, Preset, View, clip},
    channel::Overflow,
    fault::{Class, Fault, one_line},
    state::Mode,
    summary::Latencies,
};

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Resident memory while frames go by.
    Memory,
    /// ONNX Runtime alone against the whole station.
    Pipeline,
    /// Processor time of our own code for each frame.
    Own,
    /// An H.264 video to verdicts.
    Video,
    /// Several cameras.
    Cameras,
    /// A paused camera.
    Paused,
}

impl Part {
    /// All of them; memory first, before others leave theirs behind.
    pub const ALL: [Self; 6] =
        [Self::Memory, Self::Pipeline, Self::Own, Self::Video, Self::Cameras, Self::Paused];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pipeline => "pipeline",
            Self::Own => "own",
            Self::Video => "video",
            Self::Cameras => "cameras",
            Self::Paused => "paused",
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Alternations of what is compared.
    pub rounds: usize,
    /// Frames of a round, and of the measurement of our own code.
    pub frames: u32,
    /// Frames of the measurement of memory.
    pub memory_frames: u32,
    /// How long video, cameras and pause are played.
    pub seconds: f64,
    /// Frames per second of each of several cameras.
    pub camera_rate: u32,
}

/// Frames that a session, caches and clocks need to come to speed.
const WARM_UP_FRAMES: usize = 10;
/// So many rounds' frames show our own code.
const OWN_ROUNDS: u32 = 4;
/// Cameras, side by side.
const CAMERAS: [usize; 4] = [1, 2, 4, 8];
/// What is judged in most plants.
const VIDEO: Size = Size { width: 1920, height: 1080 };
/// It is played over and over.
const CLIP_FRAMES: u32 = 150;
const PIPELINE_RATIO: Target = Target::AtLeast(0.95);
const OWN_MILLIS: Target = Target::AtMost(1.0);
const RESIDENT_MB: Target = Target::AtMost(250.0);
const MB: f64 = 1e6;

pub(super) struct Bench<'a> {
    pub(super) subject: &'a Subject,
    pub(super) extent: &'a Extent,
    pub(super) folder: &'a Path,
    pub(super) progress: ProgressBar,
}

impl Bench<'_> {
    pub(super) fn measure(&self, part: Part) -> Result<Section, Fault> {
        let (method, rows, notes) = match part {
            Part::Memory => self.memory()?,
            Part::Pipeline => self.pipeline()?,
            Part::Own => self.own()?,
            Part::Video => self.video()?,
            Part::Cameras => self.cameras()?,
            Part::Paused => self.paused()?,
        };
        Ok(Section { name: part.name(), method, rows, notes })
    }

    fn pipeline(&self) -> Result<Figures, Fault> {
        let Extent { rounds, frames, .. } = *self.extent;
        let mut bare = (self.subject.bare)()?;
        let (mut alone, mut station, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            self.progress.set_message(format!("round {} of {rounds}", round + 1));
            let mut run_bare = || self.bare_rate(&mut bare, frames);
            let run_station = || {
                let played = self.play(&self.raw_play(frames)?)?;
                played.visits.rate(WARM_UP_FRAMES).ok_or_else(too_short)
            };
            // Whoever comes second finds a warmer machine: they take turns.
            let (bare_rate, station_rate) = if round % 2 == 0 {
                let bare_rate = run_bare()?;
                (bare_rate, run_station()?)
            } else {
                let station_rate = run_station()?;
                (run_bare()?, station_rate)
            };
            alone.push(bare_rate);
            station.push(station_rate);
            ratios.push(station_rate / bare_rate);
        }
        let row = |what: &str, values: &[f64], unit| {
            Row::new(what, statistics::median(values).unwrap_or(f64::NAN), unit).among(values)
        };
        let method = format!(
            "{rounds} rounds of {frames} frames each, alternated: `session.run` in a loop against the station fed raw frames \
             of the model's size; medians, lowest and highest."
        );
        let rows = vec![
            row("session.run alone", &alone, "frames/s"),
            row("whole station", &station, "frames/s"),
            row("station to session.run", &ratios, "x").target(PIPELINE_RATIO),
        ];
        Ok((method, rows, Vec::new()))
    }

    fn bare_rate(&self, bare: &mut crate::engine::onnx::Bare, frames: u32) -> Result<f64, Fault> {
        let engine =
            |error: crate::engine::EngineError| Fault::new(error.class(), one_line(&error));
        for _ in 0..WARM_UP_FRAMES {
            bare.run().map_err(engine)?;
        }
        let began = self.subject.clock.monotonic();
        for _ in 0..frames {
            bare.run().map_err(engine)?;
        }
        let seconds = self.subject.clock.monotonic().saturating_sub(began).as_secs_f64();
        Ok(f64::from(frames) / seconds.max(f64::EPSILON))
    }

    fn own(&self) -> Result<Figures, Fault> {
        // A percentile wants many.
        let frames = self.extent.frames.saturating_mul(OWN_ROUNDS);
        self.progress.set_message(format!("{frames} frames"));
        let played = self.play(&self.raw_play(frames)?)?;
        let own: Vec<_> = played.visits.own.iter().skip(WARM_UP_FRAMES).map(millis).collect();
        let quantile = |q| statistics::quantile(&own, q).unwrap_or(f64::NAN);
        let mut rows = vec![
            Row::new("engine's thread, p50", quantile(0.5), "ms"),
            Row::new("engine's thread, p99", quantile(0.99), "ms").target(OWN_MILLIS),
            Row::new("engine's thread, longest", quantile(1.0), "ms"),
        ];
        let judged = played.observed.frames(|look| look.judged);
        for (group, cpu) in played.observed.cpu(beside_the_engine) {
            rows.push(Row::new(
                format!("{group}, mean"),
                millis(&cpu) / (judged as f64).max(1.0),
                "ms",
            ));
        }
        let method = format!(
            "{frames} raw frames of the model's size; processor time of a thread per frame. The engine's thread: all that it \
             does between two calls of the network and around them."
        );
        Ok((method, rows, Vec::new()))
    }

    fn video(&self) -> Result<Figures, Fault> {
        let Some((clip, encoder)) = self.clip()? else { return Ok(no_encoder()) };
        self.progress.set_message("plays".to_owned());
        let played =
            self.play(&Play { stages: true, ..self.timed(vec![self.video_camera(&clip)?]) })?;
        let lines: Vec<serde_json::Value> = std::str::from_utf8(&played.lines)
            .unwrap_or_default()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let field =
            |name: &str| lines.iter().filter_map(|line| line[name].as_f64()).collect::<Vec<_>>();
        let (latency, inspect) = (field("latency_ms"), field("inference_ms"));
        let waited: Vec<_> =
            std::iter::zip(&latency, &inspect).map(|(all, part)| all - part).collect();
        let seen = played.stages.as_ref().map(|stages| stages.seen()).unwrap_or_default();
        let in_millis = |durations: &[Duration]| durations.iter().map(millis).collect::<Vec<_>>();
        let mut rows = Vec::new();
        for (stage, values) in [
            ("decode", in_millis(&seen.decode)),
            ("convert and scale", in_millis(&seen.scale)),
            ("wait for the engine", waited),
            ("network and judge", inspect),
            ("capture to verdict", latency),
        ] {
            for (name, q) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
                let value = statistics::quantile(&values, q).unwrap_or(f64::NAN);
                rows.push(Row::new(format!("{stage}, {name}"), value, "ms"));
            }
        }
        rows.extend(shares(&played.observed));
        rows.push(dropped("frames dropped", &played));
        let method = format!(
            "{}x{} H.264 at 30 frames/s ({encoder}, 8 Mbit/s) in real time for {} s, scaled in the pipeline; time within a \
             stage, and each stage's share of one core.",
            VIDEO.width, VIDEO.height, self.extent.seconds
        );
        let notes = vec![
            "Capture is where a decoded and scaled frame leaves the pipeline. A decoder with several threads holds a frame for \
             each of them, which its time shows."
                .to_owned(),
        ];
        Ok((method, rows, notes))
    }

    fn cameras(&self) -> Result<Figures, Fault> {
        let mut rows = Vec::new();
        let mut one = None;
        for count in CAMERAS {
            self.progress.set_message(format!("{count} at once"));
            let cameras = vec![self.test_camera(self.extent.camera_rate)?; count];
            let played = self.play(&self.timed(cameras))?;
            let observed = &played.observed;
            let share = share(observed);
            let frames = observed.frames(|look| look.captured) as f64;
            let busy = share / 100.0 * observed.seconds();
            let resident =
                observed.looks.last().map_or(f64::NAN, |look| look.resident_bytes as f64) / MB;
            let row = |what: &str, value, unit| Row::new(format!("{count}: {what}"), value, unit);
            rows.push(row("processor per camera", share / count as f64, "% of a core"));
            rows.push(row("processor per frame", 1e3 * busy / frames.max(1.0), "ms"));
            rows.push(row("capture to verdict, p99", p99(&played.report.summary.latency), "ms"));
            rows.push(row("resident memory", resident, "MB"));
            if let Some(one) = one {
                let more = (resident - one) / (count - 1) as f64;
                rows.push(row("resident memory for each further camera", more, "MB"));
            }
            rows.push(dropped(&format!("{count}: frames dropped"), &played));
            one.get_or_insert(resident);
        }
        let Extent { seconds, camera_rate, .. } = self.extent;
        let method = format!(
            "1, 2, 4 and 8 cameras of 640x480 at {camera_rate} frames/s, {seconds} s each, on one engine."
        );
        Ok((method, rows, Vec::new()))
    }

    fn paused(&self) -> Result<Figures, Fault> {
        self.progress.set_message("a raw camera".to_owned());
        let paused = |camera| -> Result<f64, Fault> {
            let play = Play { mode: Mode::Pause, ..self.timed(vec![camera]) };
            Ok(share(&self.play(&play)?.observed))
        };
        let unit = "% of a core";
        let mut rows = vec![Row::new("raw 640x480, scaled", paused(self.test_camera(30)?)?, unit)];
        let mut notes = Vec::new();
        if let Some((clip, _)) = self.clip()? {
            self.progress.set_message("an H.264 camera".to_owned());
            rows.push(Row::new(
                "1080p H.264, decoded and scaled",
                paused(self.video_camera(&clip)?)?,
                unit,
            ));
        } else {
            notes = no_encoder().2;
        }
        let seconds = self.extent.seconds;
        let method = format!(
            "One camera at 30 frames/s in `pause` for {seconds} s: frames are counted and not judged."
        );
        Ok((method, rows, notes))
    }

    fn memory(&self) -> Result<Figures, Fault> {
        let frames = self.extent.memory_frames;
        self.progress.set_message(format!("{frames} frames"));
        let played = self.play(&Play { visits_max: 0, ..self.raw_play(frames)? })?;
        let looks = &played.observed.looks;
        // The first tenth fills pools, caches and the ledger's pages.
        let steady: Vec<_> = looks
            .iter()
            .filter(|look| look.judged >= u64::from(frames) / 10)
            .map(|look| (look.judged as f64, look.resident_bytes as f64))
            .collect();
        let highest = looks.iter().map(|look| look.resident_bytes).max().unwrap_or(0) as f64 / MB;
        let mut rows =
            vec![Row::new("resident memory, highest", highest, "MB").target(RESIDENT_MB)];
        let mut notes = Vec::new();
        match (Line::through(&steady), steady.first(), steady.last()) {
            (Some(line), Some(first), Some(last)) => {
                rows.push(Row::new("slope", line.slope, "bytes/frame").within(line.slope_within));
                rows.push(Row::new("after a tenth of the frames", first.1 / MB, "MB"));
                rows.push(Row::new("at the end", last.1 / MB, "MB"));
            }
            _ => notes.push("Too few frames for a slope.".to_owned()),
        }
        let method = format!(
            "{frames} raw frames through one camera with its ledger; the line of least squares through resident memory after \
             the first tenth, with its 95 % interval."
        );
        Ok((method, rows, notes))
    }

    fn play(&self, play: &Play) -> Result<Played, Fault> {
        // Every station has a new ledger.
        let folder = self.folder.join("station");
        let played = line::play(self.subject, play, make(&folder)?);
        drop(fs::remove_dir_all(&folder));
        played
    }

    /// Raw frames of the model's size, as fast as they are judged, none lost.
    fn raw_play(&self, frames: u32) -> Result<Play, Fault> {
        let Size { width, height } = self.subject.document.geometry.input;
        let caps = format!("video/x-raw,format=RGB,width={width},height={height},framerate=30/1");
        let total = u64::from(frames) + WARM_UP_FRAMES as u64;
        let camera = CameraOptions {
            overflow: Overflow::Every,
            realtime: false,
            repeat: false,
            ..self.camera("test", &[("caps", &caps), ("frames", &total.to_string())])?
        };
        Ok(Play {
            cameras: vec![camera],
            mode: Mode::Run,
            seconds: None,
            warm_up: Duration::ZERO,
            stages: false,
            visits_max: KEPT_MAX,
        })
    }

    /// Cameras in real time.
    fn timed(&self, cameras: Vec<CameraOptions>) -> Play {
        Play {
            cameras,
            mode: Mode::Run,
            seconds: Some(self.extent.seconds),
            warm_up: Duration::from_secs_f64((self.extent.seconds / 5.0).min(2.0)),
            stages: false,
            visits_max: KEPT_MAX,
        }
    }

    fn test_camera(&self, rate: u32) -> Result<CameraOptions, Fault> {
        let caps = format!("video/x-raw,width=640,height=480,framerate={rate}/1");
        self.camera("test", &[("caps", &caps), ("pattern", "ball")])
    }

    fn video_camera(&self, clip: &Path) -> Result<CameraOptions, Fault> {
        self.camera("files", &[("location", &clip.display().to_string())])
    }

    /// A camera that plays in real time, over and over, and loses what comes too fast.
    fn camera(&self, preset: &str, parameters: &[(&str, &str)]) -> Result<CameraOptions, Fault> {
        let geometry = &self.subject.document.geometry;
        let preset = Preset::find(preset, Platform::here())
            .map_err(|error| Fault::new(Class::Bug, one_line(&error)))?;
        let parameters: BTreeMap<_, _> =
            parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Ok(CameraOptions {
            preset,
            parameters,
            scale_to: geometry.is_plain_stretch().then_some(geometry.input),
            keep_full: false,
            overflow: Overflow::Latest,
            queue_len: 2,
            realtime: true,
            repeat: true,
            first_frame_within: CameraOptions::FIRST_FRAME_WITHIN,
            reconnect: None,
            view: View::default(),
            trigger: None,
            plc: None,
        })
    }

    fn clip(&self) -> Result<Option<(std::path::PathBuf, &'static str)>, Fault> {
        self.progress.set_message("encodes a clip".to_owned());
        let path = self.folder.join("clip.mkv");
        let encoder = clip::h264(&path, VIDEO, CLIP_FRAMES)
            .map_err(|error| Fault::new(Class::Camera, one_line(&error)))?;
        Ok(encoder.map(|encoder| (path, encoder)))
    }
}

type Figures = (String, Vec<Row>, Vec<String>);

fn no_encoder() -> Figures {
    let note = "GStreamer has no H.264 encoder here: install gstreamer1.0-plugins-ugly (x264enc) or -bad (openh264enc).";
    (String::from("1080p30 H.264 to verdicts."), Vec::new(), vec![note.to_owned()])
}

fn too_short() -> Fault {
    let line = format!("--frames must be more than {WARM_UP_FRAMES}");
    Fault::new(Class::Usage, line)
}

fn make(folder: &Path) -> Result<&Path, Fault> {
    fs::create_dir_all(folder).map_err(|error| {
        Fault::new(Class::Output, format!("{} cannot be made: {error}", folder.display()))
    })?;
    Ok(folder)
}

fn millis(duration: &Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn p99(latencies: &Latencies) -> f64 {
    latencies.quantile(0.99).as_ref().map_or(f64::NAN, millis)
}

fn dropped(what: &str, played: &Played) -> Row {
    let dropped: u64 =
        played.report.balances.iter().map(|(_, balance)| balance.dropped_total()).sum();
    let captured: u64 = played.report.balances.iter().map(|(_, balance)| balance.captured).sum();
    let percent = 100.0 * dropped as f64 / (captured as f64).max(1.0);
    Row::new(what, percent, "%")
}

/// The stage that a thread works for; `None` for those that measure.
fn stage(thread: &str) -> Option<&'static str> {
    match thread {
        "bench" => None,
        "engine-0" => Some("network and judge"),
        "sink-stdout" => Some("verdict lines"),
        "ledger" => Some("ledger"),
        name if name.starts_with("cam-") => Some("watching the camera"),
        // libav's workers; where it has none, it decodes in the streaming thread.
        name if name.starts_with("av:") => Some("decoder's workers"),
        name if name.contains(':') => Some("streaming: demux, decode, scale, capture"),
        // ONNX Runtime's threads have the name of the thread that made them.
        _ => Some("main, ONNX Runtime's pool, others"),
    }
}

fn beside_the_engine(thread: &str) -> Option<&'static str> {
    stage(thread).filter(|stage| *stage != "network and judge")
}

/// Of all threads but those that measure, in percent of one core.
fn share(observed: &Observed) -> f64 {
    let cpu: Duration = observed.cpu(stage).into_values().sum();
    100.0 * cpu.as_secs_f64() / observed.seconds().max(f64::EPSILON)
}

fn shares(observed: &Observed) -> Vec<Row> {
    let seconds = observed.seconds().max(f64::EPSILON);
    let mut rows: Vec<_> = observed
        .cpu(stage)
        .into_iter()
        .map(|(stage, cpu)| {
            let percent = 100.0 * cpu.as_secs_f64() / seconds;
            Row::new(format!("processor: {stage}"), percent, "% of a core")
        })
        .collect();
    rows.push(Row::new("processor: all", share(observed), "% of a core"));
    rows
}
