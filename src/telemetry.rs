//! What is counted and measured, for Prometheus.
//!
//! Owns every metric's name and help, once. Counters of frames are read off the accounts at each scrape, so that the
//! page and the ledger's equation can never tell two stories; only what nobody else keeps is counted here.
//! Knows no socket: `http` serves the text.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::Receiver;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet, text::encode},
    metrics::{
        MetricType,
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::{
    archive::Tally,
    clock::Clock,
    engine::Deviations,
    frame::{CameraId, Frame},
    judge::{drift::Figure, part::Part},
    ledger::{Account, DropReason, FaultReason, writer::Health},
    live,
    machine::{self, Machine},
    mqtt, plc,
    state::{Board, State, Trouble},
    verdict::Verdict,
};

/// From a tenth of a millisecond, which our own code may take, to ten seconds, where a person has noticed long ago.
const SECONDS: [f64; 16] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0,
];

/// All that the station tells Prometheus.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    verdicts: Family<VerdictLabels, Counter>,
    stages: Family<StageLabels, Histogram, Buckets>,
    losses: Family<CameraLabels, Counter>,
    batches: Counter,
    parts: Family<PartLabels, Counter>,
    drift: Family<DriftLabels, Gauge>,
    drift_capital: Family<DriftLabels, Gauge<f64, AtomicU64>>,
}

/// Where a scrape reads what others keep.
pub struct Sources {
    /// Every camera's account and queue.
    pub cameras: Vec<(Arc<Account>, Receiver<Frame>)>,
    /// How the station is.
    pub board: Arc<Board>,
    /// Whether the ledger takes rows; `None` without a ledger.
    pub ledger: Option<Arc<Health>>,
    /// How the archive goes; `None` without one.
    pub archive: Option<Arc<Tally>>,
    /// How sending to a broker goes; `None` without one.
    pub mqtt: Option<Arc<mqtt::Tally>>,
    /// What judges; it changes when the model is loaded anew or tested again.
    pub judging: Arc<Mutex<Judging>>,
    /// What the page costs; `None` where nothing is kept for one.
    pub live: Option<Arc<live::Counters>>,
    /// How it goes with the PLC; `None` without one.
    pub plc: Option<Arc<plc::Counters>>,
    /// For ages.
    pub clock: Arc<dyn Clock>,
}

/// What judges, and how well it agrees with the trainer.
#[derive(Clone, Debug)]
pub struct Judging {
    /// Its names.
    pub engine: EngineLabels,
    /// How far it was from the golden frames when they were last run.
    pub deviation: Deviations,
}

/// What judges, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EngineLabels {
    /// The execution providers that are in use.
    pub providers: String,
    /// The version of ONNX Runtime.
    pub onnxruntime: String,
    /// The model's name.
    pub model: String,
    /// Its version.
    pub model_version: String,
    /// SHA-256 of its file.
    pub model_sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    camera: String,
    product: String,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    camera: String,
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    camera: String,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DriftLabels {
    camera: String,
    product: String,
    of: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CameraLabels {
    camera: String,
}

#[derive(Clone, Debug)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

/// The stages of one camera's frames; looked up once, observed at every frame.
#[derive(Clone, Debug)]
pub struct Stages {
    wait: Histogram,
    inspect: Histogram,
    verdict: Histogram,
}

impl Stages {
    /// A frame waited, was inspected, and had its verdict that long after its capture.
    pub fn observe(&self, wait: Duration, inspect: Duration, verdict: Duration) {
        self.wait.observe(wait.as_secs_f64());
        self.inspect.observe(inspect.as_secs_f64());
        self.verdict.observe(verdict.as_secs_f64());
    }
}

impl Telemetry {
    /// Reads the rest from `sources` at every scrape.
    pub fn new(sources: Sources) -> Self {
        let mut registry = Registry::with_prefix("sightline");
        let verdicts = Family::default();
        registry.register("verdicts", "Verdicts, by the nearest product", verdicts.clone());
        let stages = Family::new_with_constructor(Buckets);
        registry.register(
            "stage_seconds",
            "wait: capture to engine; inspect: preprocessing, inference and judge; verdict: capture to verdict",
            stages.clone(),
        );
        let losses = Family::default();
        registry.register("camera_losses", "How often a camera was lost", losses.clone());
        let parts = Family::default();
        registry.register("parts", "Verdicts about parts", parts.clone());
        let drift = Family::default();
        registry.register("drift", "1 while passed frames are not as they were", drift.clone());
        let drift_capital = Family::default();
        registry.register(
            "drift_capital",
            "What was won by betting that passed frames are not as they were; the alarm begins at 1e8",
            drift_capital.clone(),
        );
        let batches = Counter::default();
        registry.register("batches", "Batches that the engine was given", batches.clone());
        registry.register_collector(Box::new(sources));
        Self { registry, verdicts, stages, losses, batches, parts, drift, drift_capital }
    }

    /// The stages of a camera's frames.
    pub fn stages(&self, camera: &CameraId) -> Stages {
        let of = |stage| {
            let labels = StageLabels { camera: camera.to_string(), stage };
            self.stages.get_or_create(&labels).clone()
        };
        Stages { wait: of("wait"), inspect: of("inspect"), verdict: of("verdict") }
    }

    /// Frames were given to the engine together.
    pub fn batched(&self) {
        self.batches.inc();
    }

    /// A frame has its verdict.
    pub fn judged(&self, camera: &CameraId, verdict: &Verdict) {
        let product = verdict.recognition.as_ref().map_or("", |nearest| &*nearest.product);
        let labels = VerdictLabels {
            camera: camera.to_string(),
            product: product.into(),
            decision: verdict.decision.name(),
        };
        self.verdicts.get_or_create(&labels).inc();
    }

    /// A part has its verdict, or several had none.
    pub fn part(&self, camera: &CameraId, part: &Part) {
        let labels = PartLabels { camera: camera.to_string(), decision: part.decision.name() };
        self.parts.get_or_create(&labels).inc_by(part.parts);
    }

    /// How the watch over a product's figure stands.
    pub fn drift(
        &self,
        camera: &CameraId,
        product: &str,
        figure: Figure,
        capital: f64,
        is_alarmed: bool,
    ) {
        let labels =
            DriftLabels { camera: camera.to_string(), product: product.into(), of: figure.name() };
        self.drift.get_or_create(&labels).set(i64::from(is_alarmed));
        self.drift_capital.get_or_create(&labels).set(capital);
    }

    /// A camera was lost.
    pub fn lost(&self, camera: &CameraId) {
        self.losses.get_or_create(&CameraLabels { camera: camera.to_string() }).inc();
    }

    /// The text of a scrape, as `OpenMetrics` 1.0 wants it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _infallible = encode(&mut text, &self.registry);
        text
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("cameras", &self.cameras.len()).finish_non_exhaustive()
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.frames(&mut encoder)?;
        self.condition(&mut encoder)?;
        self.live(&mut encoder)?;
        self.archive(&mut encoder)?;
        self.mqtt(&mut encoder)?;
        self.plc(&mut encoder)?;
        self.machine(&mut encoder)
    }
}

impl Sources {
    fn frames(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let balances: Vec<_> = self
            .cameras
            .iter()
            .map(|(account, queue)| (account.camera().to_string(), account.balance(), queue.len()))
            .collect();
        let mut captured =
            family(encoder, "frames_captured", "Numbers given", MetricType::Counter)?;
        for (camera, balance, _) in &balances {
            count(&mut captured, &[("camera", camera)], balance.captured)?;
        }
        let mut judged = family(
            encoder,
            "frames_judged",
            "Frames with a verdict other than fault",
            MetricType::Counter,
        )?;
        for (camera, balance, _) in &balances {
            count(&mut judged, &[("camera", camera)], balance.judged)?;
        }
        let mut dropped =
            family(encoder, "frames_dropped", "Frames taken out unjudged", MetricType::Counter)?;
        for (camera, balance, _) in &balances {
            for (reason, frames) in std::iter::zip(DropReason::ALL, balance.dropped) {
                count(
                    &mut dropped,
                    &[("camera", camera.as_str()), ("reason", reason.name())],
                    frames,
                )?;
            }
        }
        let mut faulted = family(
            encoder,
            "frames_faulted",
            "Frames that could not be judged",
            MetricType::Counter,
        )?;
        for (camera, balance, _) in &balances {
            for (reason, frames) in std::iter::zip(FaultReason::ALL, balance.faulted) {
                count(
                    &mut faulted,
                    &[("camera", camera.as_str()), ("reason", reason.name())],
                    frames,
                )?;
            }
        }
        let mut lost = family(
            encoder,
            "frames_lost_upstream",
            "Frames that the pipeline lost before they could be numbered",
            MetricType::Counter,
        )?;
        for (camera, balance, _) in &balances {
            count(&mut lost, &[("camera", camera)], balance.lost_upstream)?;
        }
        let parts: Vec<_> = balances
            .iter()
            .filter_map(|(camera, balance, _)| Some((camera.as_str(), balance.parts?)))
            .collect();
        if !parts.is_empty() {
            let help = "Parts that the software trigger saw";
            let mut seen = family(encoder, "parts_seen", help, MetricType::Counter)?;
            for (camera, parts) in &parts {
                count(&mut seen, &[("camera", camera)], parts.seen)?;
            }
            let help = "Parts that the software trigger saw and nobody judged";
            let mut missed = family(encoder, "parts_missed", help, MetricType::Counter)?;
            for (camera, parts) in &parts {
                count(&mut missed, &[("camera", camera)], parts.missed)?;
            }
            let help = "How often a part had stayed for as long as none does";
            let mut long = family(encoder, "parts_too_long", help, MetricType::Counter)?;
            for (camera, parts) in &parts {
                count(&mut long, &[("camera", camera)], parts.too_long)?;
            }
        }
        let mut flying = family(
            encoder,
            "frames_in_flight",
            "Frames with a number and no end yet",
            MetricType::Gauge,
        )?;
        for (camera, balance, _) in &balances {
            gauge(&mut flying, &[("camera", camera)], balance.in_flight().unwrap_or(0) as f64)?;
        }
        let mut queued =
            family(encoder, "queue_frames", "Frames that wait for the engine", MetricType::Gauge)?;
        for (camera, _, queued_frames) in &balances {
            gauge(&mut queued, &[("camera", camera)], *queued_frames as f64)?;
        }
        Ok(())
    }

    fn condition(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let condition = self.board.condition();
        let mut state =
            family(encoder, "state", "1 for the state that the station is in", MetricType::Gauge)?;
        for one in State::ALL {
            let is_it = f64::from(u8::from(one == condition.state()));
            gauge(&mut state, &[("state", one.name())], is_it)?;
        }
        let mut up = family(encoder, "camera_up", "0 while a camera is lost", MetricType::Gauge)?;
        for (account, _) in &self.cameras {
            let camera = account.camera();
            let is_lost = condition.troubles.contains_key(&Trouble::Camera(camera.clone()));
            gauge(&mut up, &[("camera", &*camera.0)], f64::from(u8::from(!is_lost)))?;
        }
        if let Some(health) = &self.ledger {
            let mut up = family(
                encoder,
                "ledger_up",
                "0 while the ledger takes no rows",
                MetricType::Gauge,
            )?;
            gauge_alone(&mut up, f64::from(u8::from(health.trouble().is_none())))?;
        }
        let mut beat = family(
            encoder,
            "engine_beat_age_seconds",
            "Since the engine's thread last came round",
            MetricType::Gauge,
        )?;
        gauge_alone(&mut beat, self.board.since_beat(self.clock.monotonic()).as_secs_f64())?;
        let mut info = family(encoder, "engine", "What judges", MetricType::Info)?;
        let Judging { engine, deviation } =
            self.judging.lock().unwrap_or_else(PoisonError::into_inner).clone();
        info.encode_info(&engine)?;
        let mut golden = family(
            encoder,
            "golden_deviation",
            "Largest deviation from the golden frames",
            MetricType::Gauge,
        )?;
        for (of, deviation) in [("score", deviation.score), ("map", deviation.map)] {
            gauge(&mut golden, &[("of", of)], f64::from(deviation))?;
        }
        Ok(())
    }

    fn live(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(counters) = &self.live else { return Ok(()) };
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let help = "Clients of the live channel";
        let mut clients = family(encoder, "live_clients", help, MetricType::Gauge)?;
        gauge_alone(&mut clients, counters.clients.load(Ordering::Relaxed) as f64)?;
        let help = "Ticks at which somebody watched";
        let mut ticks = family(encoder, "live_ticks", help, MetricType::Counter)?;
        ticks.encode_counter::<NoLabelSet, _, u64>(&of(&counters.ticks), None)?;
        let help = "Pictures that were encoded, once for all clients";
        let mut encodes = family(encoder, "live_encodes", help, MetricType::Counter)?;
        for (why, counter) in [("tick", &counters.encodes), ("reject", &counters.reject_encodes)] {
            count(&mut encodes, &[("for", why)], of(counter))?;
        }
        let help = "What the page goes without, for there was no room";
        let mut skipped = family(encoder, "live_skipped", help, MetricType::Counter)?;
        for (what, counter) in [
            ("picture", &counters.pictures_skipped),
            ("reject", &counters.rejects_skipped),
            ("point", &counters.points_skipped),
        ] {
            count(&mut skipped, &[("what", what)], of(counter))?;
        }
        Ok(())
    }

    fn archive(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(tally) = &self.archive else { return Ok(()) };
        let help = "Frames whose pictures were written";
        let mut kept = family(encoder, "evidence_kept", help, MetricType::Counter)?;
        for (decision, frames) in tally.kept() {
            count(&mut kept, &[("decision", decision)], frames)?;
        }
        let help = "Frames whose pictures are missing";
        let mut missing = family(encoder, "evidence_missing", help, MetricType::Counter)?;
        for (reason, frames) in tally.missing() {
            count(&mut missing, &[("reason", reason)], frames)?;
        }
        let help = "Frames whose pictures had to go, by the bound that they went for";
        let mut removed = family(encoder, "evidence_removed", help, MetricType::Counter)?;
        for (bound, frames) in tally.removed() {
            count(&mut removed, &[("bound", bound)], frames)?;
        }
        let help = "Frames whose pictures wait to be encoded or written";
        let mut waiting = family(encoder, "archive_waiting_frames", help, MetricType::Gauge)?;
        gauge_alone(&mut waiting, tally.waiting() as f64)?;
        let mut frames =
            family(encoder, "archive_frames", "Frames in the archive", MetricType::Gauge)?;
        gauge_alone(&mut frames, tally.frames() as f64)?;
        let help = "What the archive takes of the disk";
        let mut bytes = family(encoder, "archive_bytes", help, MetricType::Gauge)?;
        gauge_alone(&mut bytes, tally.bytes() as f64)
    }

    fn plc(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(counters) = &self.plc else { return Ok(()) };
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (name, help, counter) in [
            ("plc_triggers", "Parts that the PLC announced", &counters.triggers),
            ("plc_triggers_missed", "Parts for which no frame could be told", &counters.missed),
            ("plc_acknowledged", "Results that the PLC took", &counters.acknowledged),
            ("plc_withdrawn", "Results that were not given, or taken back", &counters.withdrawn),
            ("plc_struck", "Parts that the pusher struck", &counters.struck),
            (
                "plc_pulses_missed",
                "Parts that the pusher should have struck",
                &counters.pulses_missed,
            ),
            ("plc_losses", "How often the PLC was lost", &counters.losses),
            (
                "plc_garbage",
                "Requests and connections that were no Modbus of ours",
                &counters.garbage,
            ),
            ("plc_turned_away", "Connections that were not let in", &counters.turned_away),
            (
                "plc_verdicts_lost",
                "Verdicts that found no room on their way",
                &counters.verdicts_lost,
            ),
        ] {
            let mut metric = family(encoder, name, help, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&of(counter), None)?;
        }
        let help = "What parts ended with for the PLC";
        let mut results = family(encoder, "plc_results", help, MetricType::Counter)?;
        for (outcome, counter) in std::iter::zip(plc::handshake::Outcome::ALL, &counters.results) {
            count(&mut results, &[("result", outcome.name())], of(counter))?;
        }
        let help =
            "What the PLC sees of the first camera's handshake, and whether the PLC is there";
        let mut signals = family(encoder, "plc_signal", help, MetricType::Gauge)?;
        for (signal, is_on) in [
            ("connected", &counters.is_connected),
            ("ready", &counters.is_ready),
            ("busy", &counters.is_busy),
            ("valid", &counters.is_valid),
            ("safe", &counters.is_safe),
        ] {
            let is_on = f64::from(u8::from(is_on.load(Ordering::Relaxed)));
            gauge(&mut signals, &[("signal", signal)], is_on)?;
        }
        Ok(())
    }

    fn mqtt(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(tally) = &self.mqtt else { return Ok(()) };
        let help = "1 while there is a connection to the broker";
        let mut up = family(encoder, "mqtt_connected", help, MetricType::Gauge)?;
        gauge_alone(&mut up, f64::from(u8::from(tally.is_connected())))?;
        let help = "Frames with a disposition that the broker has not acknowledged";
        let mut backlog = family(encoder, "mqtt_backlog_frames", help, MetricType::Gauge)?;
        gauge_alone(&mut backlog, tally.backlog_frames() as f64)?;
        let help = "How long the oldest verdict waits for the broker's acknowledgement";
        let mut oldest = family(encoder, "mqtt_oldest_unsent_seconds", help, MetricType::Gauge)?;
        gauge_alone(&mut oldest, tally.oldest_age(self.clock.wall()).as_secs_f64())?;
        for (name, help, value) in tally.counters() {
            let mut counter = family(encoder, name, help, MetricType::Counter)?;
            counter.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn machine(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut up = family(encoder, "uptime_seconds", "Since the start", MetricType::Gauge)?;
        gauge_alone(&mut up, self.clock.monotonic().as_secs_f64())?;
        if let Some(bytes) = machine::resident_bytes() {
            let mut resident =
                family(encoder, "resident_bytes", "Memory of the process", MetricType::Gauge)?;
            gauge_alone(&mut resident, bytes as f64)?;
        }
        let machine = Machine::default();
        let zones = machine.temperatures();
        if !zones.is_empty() {
            let help = "Of each thermal zone of the machine";
            let mut temperature = family(encoder, "temperature_celsius", help, MetricType::Gauge)?;
            for (zone, celsius) in zones {
                gauge(&mut temperature, &[("zone", &*zone)], celsius)?;
            }
        }
        let devices = machine.cooling();
        if !devices.is_empty() {
            let help = "How far a cooling device is up, from 0 to 1; a clock above 0 is throttled";
            let mut cooling = family(encoder, "cooling_share", help, MetricType::Gauge)?;
            for device in devices {
                gauge(&mut cooling, &[("device", &*device.device)], device.share)?;
            }
        }
        let events = machine.over_currents();
        if !events.is_empty() {
            let help = "How often an over-current guard slowed the board down since its start";
            let mut guards = family(encoder, "over_currents", help, MetricType::Counter)?;
            for (guard, count_since_start) in events {
                count(&mut guards, &[("guard", &*guard)], count_since_start)?;
            }
        }
        Ok(())
    }
}

fn family<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
    kind: MetricType,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}

fn count<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &[(&str, &str); N],
    value: u64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn gauge<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &[(&str, &str); N],
    value: f64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_gauge(&value)
}

fn gauge_alone(metric: &mut MetricEncoder<'_>, value: f64) -> fmt::Result {
    metric.encode_gauge(&value)
}
