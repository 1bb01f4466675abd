//! Many boards on one broker: what that costs the broker, and how long a verdict takes to a consumer.
//!
//! `cargo run --release --example boards -- PORT BROKER_PID BOARDS PER_SECOND SECONDS`, which `tools/measure-boards` runs.
//! Each board is a ledger of its own on disk and the thread that `sightline run` sends with; only the camera and the
//! network are missing: verdicts are made at an even pace.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::allow_attributes,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement"
)]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use rumqttc::v5::{
    Client, Connection, Event, Incoming,
    mqttbytes::{QoS, v5::Filter},
};
use sightline::{
    clock::{Clock, SystemClock},
    frame::CameraId,
    inspected::Onlooker as _,
    ledger::{Account, Ledger, LedgerOptions, Retention, outbox::History},
    mqtt::{Format, Identity, Level, Means, MqttOptions, Publisher, Tally, Transport},
    record::{ModelLabel, Origin, Record},
    state::Board,
    verdict::{Decision, Recognition, Verdict},
};

struct Line {
    account: Account,
    ledger: Ledger,
    publisher: Publisher,
    tally: Arc<Tally>,
}

fn line(folder: &std::path::Path, port: u16, index: u64, clock: &Arc<dyn Clock>) -> Line {
    let path = folder.join(format!("{index}.db"));
    let retention = Retention { age_max: Duration::from_hours(24), bytes_max: u64::MAX };
    let options = LedgerOptions { path: path.clone(), retention };
    let camera = CameraId("top".into());
    let (ledger, mut accounts, _) = Ledger::open(options, &[camera], Arc::clone(clock)).unwrap();
    let tally = Arc::new(Tally::new(format!("mqtt://127.0.0.1:{port}")));
    let (rows, sent) = ledger.outbox(History::New);
    let means = Means {
        ledger: path,
        rows,
        sent,
        notes: ledger.notes(),
        board: Arc::new(Board::new(1)),
        tally: Arc::clone(&tally),
        clock: Arc::clone(clock),
        cameras: vec!["top".into()],
    };
    let level = |text: &str| Level::new(text).unwrap();
    let options = MqttOptions {
        host: "127.0.0.1".into(),
        port,
        transport: Transport::Plain,
        login: None,
        format: Format::Json,
        identity: Identity { site: level("plant"), device: level(&format!("line-{index}")) },
        prefix: "sightline".into(),
        keep_alive: Duration::from_secs(30),
        has_events: true,
        packet_bytes_max: 65_536,
        sparkplug_host: None,
    };
    let publisher = Publisher::start(options, means).unwrap();
    Line { account: accounts.remove(0), ledger, publisher, tally }
}

fn record(number: u64, epoch: u64, model: &Arc<ModelLabel>) -> Record {
    let recognition =
        Recognition { product: "bottle_cap".into(), distance: 0.0312, radius: Some(0.0871) };
    Record {
        origin: Origin {
            plc_part: None,
            camera: "top".into(),
            epoch,
            frame: number,
            file: None,
            time: SystemTime::now(),
            pts: None,
            latency: Duration::from_micros(23_417),
            inference: Some(Duration::from_micros(21_903)),
        },
        model: Arc::clone(model),
        verdict: Verdict {
            decision: Decision::Fail,
            recognition: Some(recognition),
            score: Some(0.418_223),
            p_value: Some(0.004_97),
            calibrated_on: Some(200),
            threshold: Some(0.381_1),
            reject_rate: 0.01,
            unrated: false,
            reason: None,
        },
    }
}

/// What the consumer saw.
#[derive(Default)]
struct Seen {
    ids: BTreeSet<String>,
    twice: u64,
    bytes: u64,
    /// From capture to here.
    latencies: Vec<Duration>,
}

fn consume(
    mut connection: Connection,
    client: &Client,
    ends: &AtomicBool,
    is_there: &AtomicBool,
    came: &AtomicU64,
) -> Seen {
    let mut seen = Seen::default();
    while !ends.load(Ordering::Acquire) {
        match connection.recv_timeout(Duration::from_millis(100)) {
            Ok(Ok(Event::Incoming(Incoming::ConnAck(_)))) => {
                let filter = Filter::new("sightline/+/+/+/verdict", QoS::AtLeastOnce);
                client.try_subscribe_many([filter]).unwrap();
            }
            Ok(Ok(Event::Incoming(Incoming::SubAck(_)))) => is_there.store(true, Ordering::Release),
            Ok(Ok(Event::Incoming(Incoming::Publish(publish)))) => {
                let now = SystemTime::now();
                let body: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap();
                let text = |name: &str| body[name].as_str().unwrap().to_owned();
                let time = humantime::parse_rfc3339(&text("time")).unwrap();
                seen.latencies.push(now.duration_since(time).unwrap_or_default());
                seen.bytes += (publish.topic.len() + publish.payload.len()) as u64;
                if seen.ids.insert(format!("{} {}", text("device"), text("id"))) {
                    came.fetch_add(1, Ordering::AcqRel);
                } else {
                    seen.twice += 1;
                }
            }
            Ok(Err(error)) => panic!("{error}"),
            Ok(Ok(_)) | Err(_) => {}
        }
    }
    seen
}

/// Processor seconds and resident bytes of a process.
fn process(id: u32) -> (f64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let pages: u64 = fields[21].parse().unwrap();
    // The kernel's own tick and page on every machine that this runs on.
    (ticks / 100.0, pages * 4096)
}

fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|text| text.parse().unwrap()).collect();
    let [port, broker, boards, per_second, seconds] = arguments[..] else {
        panic!("PORT BROKER_PID BOARDS PER_SECOND SECONDS")
    };
    let (port, broker) = (port as u16, broker as u32);
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let (_, empty) = process(broker);
    let mut options = rumqttc::v5::MqttOptions::new("consumer", "127.0.0.1", port);
    options.set_receive_maximum(Some(1_000));
    let (client, connection) = Client::new(options, 64);
    let (ends, is_there) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let came = Arc::new(AtomicU64::new(0));
    let consumer = {
        let (ends, is_there, came) = (Arc::clone(&ends), Arc::clone(&is_there), Arc::clone(&came));
        std::thread::spawn(move || consume(connection, &client, &ends, &is_there, &came))
    };
    while !is_there.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let lines: Vec<Line> =
        (0..boards).map(|index| line(folder.path(), port, index, &clock)).collect();
    while lines.iter().any(|line| !line.tally.is_connected()) {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_secs(1));
    let model =
        Arc::new(ModelLabel { name: "demo".into(), version: "1".into(), sha256: "a".repeat(64) });
    let (began, (cpu, connected)) = (Instant::now(), process(broker));
    let own = process(std::process::id()).0;
    let total = per_second * seconds;
    for number in 1..=total {
        let due = Duration::from_secs_f64(number as f64 / per_second as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        for line in &lines {
            line.account.captured(number);
            line.account.judged(record(number, line.account.epoch(), &model), None);
        }
    }
    let made = began.elapsed();
    while came.load(Ordering::Acquire) < total * boards {
        assert!(began.elapsed() < made + Duration::from_mins(2), "{came:?} of {}", total * boards);
        std::thread::sleep(Duration::from_millis(10));
    }
    let lasted = began.elapsed();
    let (cpu_after, resident) = process(broker);
    let own = process(std::process::id()).0 - own;
    for Line { account, ledger, publisher, .. } in lines {
        drop(account);
        Box::new(publisher).close(Duration::from_secs(5)).unwrap();
        ledger.close().join();
    }
    ends.store(true, Ordering::Release);
    let mut seen = consumer.join().unwrap();
    seen.latencies.sort();
    let at = |share: f64| seen.latencies[((seen.latencies.len() - 1) as f64 * share) as usize];
    let verdicts = total * boards;
    println!(
        "boards {boards}, connections {}, verdicts {verdicts}, came twice {}",
        boards + 1,
        seen.twice
    );
    println!("messages per second {:.0}", verdicts as f64 / lasted.as_secs_f64());
    println!(
        "bytes per verdict {:.0} (topic and payload)",
        seen.bytes as f64 / seen.latencies.len() as f64
    );
    println!(
        "capture to subscriber p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
        at(0.5).as_secs_f64() * 1e3,
        at(0.99).as_secs_f64() * 1e3,
        at(1.0).as_secs_f64() * 1e3
    );
    println!(
        "broker: {:.1} % of a processor, memory {:.1} MB empty, {:.1} MB with the connections, {:.1} MB at the end",
        (cpu_after - cpu) / lasted.as_secs_f64() * 100.0,
        empty as f64 / 1e6,
        connected as f64 / 1e6,
        resident as f64 / 1e6
    );
    println!(
        "boards together: {:.1} % of a processor, ledgers on disk and consumer among them",
        own / lasted.as_secs_f64() * 100.0
    );
}
