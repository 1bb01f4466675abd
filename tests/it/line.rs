//! A station in the test's own process: real pipelines, the real engine, and what it would print kept.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bundle::{
    calibration::RejectRate,
    geometry::{Geometry, Size},
};
use sightline::{
    camera::{Camera, CameraOptions, Platform, Preset, View},
    channel::Overflow,
    clock::{Clock, SystemClock},
    engine::{Deviations, Engine, golden::Candidate},
    frame::CameraId,
    inspector::Inspector,
    judge::{Judge, Recipe, Unrated},
    ledger::{Account, Ledger},
    service::Manager,
    sinks::stdout::{Stdout, Style},
    state::Board,
    station::Station,
    telemetry::{EngineLabels, Judging, Sources, Telemetry},
};

use crate::support::{self, SIDE};

/// The model's size.
pub const INPUT: Size = Size { width: SIDE, height: SIDE };

/// A camera that plays a preset as fast as its frames are judged, and loses none.
pub fn options(preset: &str, parameters: &[(&str, &str)]) -> CameraOptions {
    let parameters: BTreeMap<String, String> =
        parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    CameraOptions {
        preset: Preset::find(preset, Platform::Any).unwrap(),
        parameters,
        view: View::default(),
        trigger: None,
        plc: None,
        scale_to: Some(INPUT),
        keep_full: false,
        overflow: Overflow::Every,
        queue_len: 2,
        realtime: false,
        repeat: false,
        first_frame_within: Duration::from_mins(2),
        reconnect: None,
    }
}

/// Standard output, kept.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// What was written, line by line.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A station whose cameras are "top" and "side", on accounts that end with it.
pub fn station(cameras: Vec<CameraOptions>, engine: impl Engine + 'static, out: Kept) -> Station {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let cameras = std::iter::zip(["top", "side"], cameras)
        .map(|(name, options)| (Arc::new(Account::unrecorded(CameraId(name.into()), 1)), options))
        .collect();
    station_with(cameras, None, engine, out, clock)
}

/// A station of the tiny model.
pub fn station_with(
    cameras: Vec<(Arc<Account>, CameraOptions)>,
    ledger: Option<Ledger>,
    engine: impl Engine + 'static,
    out: Kept,
    clock: Arc<dyn Clock>,
) -> Station {
    let document = support::document(99);
    let rate = RejectRate::new(0.02).unwrap();
    let judge = Judge::new(&document.classes, &Recipe::of(rate, Unrated::Refused)).unwrap();
    let engine = Candidate::new(engine).verify(&document).unwrap();
    let judges = vec![judge; cameras.len()];
    let inspector = Inspector::new(engine, Geometry::square(SIDE), judges, support::label());
    let board = Arc::new(Board::new(cameras.len()));
    let cameras = cameras
        .into_iter()
        .map(|(account, options)| {
            let overflow = options.overflow;
            let board = Arc::clone(&board);
            (Camera::open(&options, account, board, Arc::clone(&clock)).unwrap(), overflow)
        })
        .collect();
    let sink = Stdout::start(out, Style::Json, None).unwrap();
    let judging = Arc::new(Mutex::new(Judging {
        engine: EngineLabels {
            providers: "cpu".into(),
            onnxruntime: String::new(),
            model: "tiny".into(),
            model_version: "1".into(),
            model_sha256: String::new(),
        },
        deviation: Deviations::default(),
    }));
    Station {
        cameras,
        inspector,
        sink,
        ledger,
        telemetry: Arc::new(Telemetry::new(Sources {
            cameras: Vec::new(),
            board: Arc::clone(&board),
            ledger: None,
            archive: None,
            mqtt: None,
            judging: Arc::clone(&judging),
            live: None,
            plc: None,
            clock: Arc::clone(&clock),
        })),
        board,
        judging,
        commands: crossbeam_channel::bounded(1),
        listener: None,
        onlookers: Vec::new(),
        golden_every: Duration::from_hours(1),
        batch_wait: Duration::ZERO,
        manager: Manager::from_environment(),
        clock,
        drain_within: Station::DRAIN_WITHIN,
    }
}
