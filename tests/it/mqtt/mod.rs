//! What a broker is told: a real Mosquitto, and consumers that never saw this code.

mod doors;
mod outage;
mod picky;
mod sparkplug;

use std::{
    collections::BTreeMap,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rumqttc::v5::{
    Client, Connection, Event, Incoming, MqttOptions,
    mqttbytes::{QoS, v5::Filter},
};

use crate::support::{Scratch, free_port, stderr};

/// Long enough for the slowest machine; a hang fails the test.
const PATIENCE: Duration = Duration::from_mins(2);

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs the line until it is so, again where it is not yet: at its end a run tells what it can in five seconds, and leaves
/// the rest to the next start.
fn run_until(scratch: &Scratch, what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..5 {
        let output = scratch.run(&["run", "line.toml"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let ended = Instant::now();
        while ended.elapsed() < Duration::from_secs(10) {
            if is_so() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    panic!("{what}");
}

/// A Mosquitto of this test's own, on a port that stays the same when it is stopped and started again.
struct Broker {
    port: u16,
    configuration: PathBuf,
    child: Option<Child>,
}

impl Broker {
    /// Not running yet. `listener` are lines about who is let in, and how.
    fn new(scratch: &Scratch, listener: &str) -> Self {
        let port = free_port();
        let (store, log) = (scratch.path("broker"), scratch.path("mosquitto.log"));
        std::fs::create_dir_all(&store).unwrap();
        // What is queued for a consumer that is away is not thrown away.
        let text = format!(
            "user root\npersistence true\npersistence_location {}/\nmax_queued_messages 0\nlog_dest file {}\n\
             listener {port} 127.0.0.1\n{listener}\n",
            store.display(),
            log.display(),
        );
        scratch.write("mosquitto.conf", text);
        Self { port, configuration: scratch.path("mosquitto.conf"), child: None }
    }

    fn open(scratch: &Scratch) -> Self {
        let mut broker = Self::new(scratch, "allow_anonymous true");
        broker.start();
        broker
    }

    fn start(&mut self) {
        // Where Debian puts it, which is on root's path alone.
        let debian = Path::new("/usr/sbin/mosquitto");
        let program = if debian.exists() { debian } else { Path::new("mosquitto") };
        let child = Command::new(program)
            .arg("-c")
            .arg(&self.configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is there: tools/install-packages test");
        self.child = Some(child);
        let port = self.port;
        until("the broker listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// As an operator stops it: what it holds is saved.
    fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        signal(&child, "-TERM");
        child.wait().unwrap();
    }

    fn signal(&self, signal: &str) {
        self::signal(self.child.as_ref().unwrap(), signal);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

fn signal(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

/// A message that a consumer got.
#[derive(Clone, Debug)]
struct Got {
    topic: String,
    payload: Vec<u8>,
    qos: QoS,
    retain: bool,
}

impl Got {
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn what(&self) -> &str {
        self.topic.rsplit('/').next().unwrap()
    }
}

/// Subscribes to everything, with a session that the broker keeps while it is away; comes back by itself.
struct Consumer {
    got: Arc<Mutex<Vec<Got>>>,
    client: Client,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Consumer {
    fn of(broker: &Broker) -> Self {
        Self::with(MqttOptions::new("consumer", "127.0.0.1", broker.port))
    }

    fn with(mut options: MqttOptions) -> Self {
        options.set_clean_start(false).set_session_expiry_interval(Some(86_400));
        options.set_keep_alive(Duration::from_secs(5));
        let (client, connection) = Client::new(options, 64);
        let got = Arc::new(Mutex::new(Vec::new()));
        let (ends, is_there) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (got, ends, is_there) =
                (Arc::clone(&got), Arc::clone(&ends), Arc::clone(&is_there));
            let client = client.clone();
            std::thread::spawn(move || consume(connection, &client, &got, &ends, &is_there))
        };
        until("the consumer is subscribed", || is_there.load(Ordering::Acquire));
        Self { got, client, ends, thread: Some(thread) }
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Bodies of messages of that kind, in the order in which they came.
    fn bodies(&self, what: &str) -> Vec<serde_json::Value> {
        self.got().iter().filter(|got| got.what() == what).map(Got::json).collect()
    }

    /// How many messages of that kind have come.
    fn count(&self, what: &str) -> usize {
        self.got.lock().unwrap().iter().filter(|got| got.what() == what).count()
    }

    /// The newest body of that kind.
    fn last(&self, what: &str) -> Option<serde_json::Value> {
        self.bodies(what).pop()
    }
}

fn consume(
    mut connection: Connection,
    client: &Client,
    got: &Mutex<Vec<Got>>,
    ends: &AtomicBool,
    is_there: &AtomicBool,
) {
    while !ends.load(Ordering::Acquire) {
        match connection.recv_timeout(Duration::from_millis(100)) {
            Ok(Ok(Event::Incoming(Incoming::ConnAck(_)))) => {
                client.try_subscribe_many([Filter::new("#", QoS::AtLeastOnce)]).unwrap();
            }
            Ok(Ok(Event::Incoming(Incoming::SubAck(_)))) => is_there.store(true, Ordering::Release),
            Ok(Ok(Event::Incoming(Incoming::Publish(publish)))) => got.lock().unwrap().push(Got {
                topic: String::from_utf8(publish.topic.to_vec()).unwrap(),
                payload: publish.payload.to_vec(),
                qos: publish.qos,
                retain: publish.retain,
            }),
            Ok(Err(_gone)) => std::thread::sleep(Duration::from_millis(100)),
            Ok(Ok(_)) | Err(_) => {}
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _failed = thread.join();
        }
    }
}

/// A line of two cameras that play moving test pictures as fast as they are judged; `frames` of each, -1 for ever.
fn line(scratch: &Scratch, frames: i64, mqtt: &str, more: &str) {
    let camera = |name: &str| {
        format!(
            "[[camera]]\nname = \"{name}\"\npreset = \"test\"\noverflow = \"every\"\nrealtime = false\n\
             parameters = {{ pattern = \"ball\", frames = {frames}, caps = \"video/x-raw,width=64,height=64,framerate=30/1\" }}\n"
        )
    };
    scratch.write(
        "line.toml",
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\ndrift = false\n[output]\nformat = \"json\"\n\
             [ledger]\npath = \"ledger.db\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [mqtt]\nsite = \"plant\"\ndevice = \"line-1\"\n{mqtt}\n{more}\n{}{}",
            camera("top"),
            camera("side")
        ),
    );
}

/// The same, told to that broker.
fn line_to(scratch: &Scratch, frames: i64, broker: &Broker, more: &str) {
    line(scratch, frames, &format!("broker = \"mqtt://127.0.0.1:{}\"", broker.port), more);
}

/// Every row that the ledger has, by kind: verdicts as identifiers, runs as identifiers with their last number.
struct Rows {
    verdicts: BTreeMap<String, String>,
    runs: BTreeMap<String, u64>,
}

fn ledger(scratch: &Scratch) -> Rows {
    let connection = rusqlite::Connection::open(scratch.path("ledger.db")).unwrap();
    let query = "SELECT l.camera || '/' || l.epoch || '/' || v.number, v.decision
                 FROM verdict v JOIN lane l ON l.id = v.lane";
    let mut statement = connection.prepare(query).unwrap();
    let verdicts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let query = "SELECT l.camera || '/' || l.epoch || '/' || u.first, u.last
                 FROM unjudged u JOIN lane l ON l.id = u.lane";
    let verdicts = verdicts.map(Result::unwrap).collect();
    let mut statement = connection.prepare(query).unwrap();
    let runs = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    Rows { verdicts, runs }
}

fn verdicts(scratch: &Scratch) -> usize {
    // Not there yet, or not yet with its tables.
    let connection = rusqlite::Connection::open_with_flags(
        scratch.path("ledger.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    );
    let count = |connection: rusqlite::Connection| {
        connection.query_row("SELECT count(*) FROM verdict", [], |row| row.get::<_, i64>(0))
    };
    connection.and_then(count).map_or(0, |rows| rows as usize)
}
