//! Life as a service: what the service manager hears, what is served over HTTP, and how the station is paused.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Scratch, stderr};

/// Long enough for the slowest machine; a hang fails the test.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A line of moving test pictures with HTTP and a ledger.
pub fn line(scratch: &Scratch) {
    scratch.write(
        "line.toml",
        "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[output]\nformat = \"json\"\n\
         [ledger]\npath = \"ledger.db\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [[camera]]\nname = \"top\"\npreset = \"test\"\n\
         parameters = { pattern = \"ball\", caps = \"video/x-raw,width=64,height=64,framerate=30/1\" }\n",
    );
}

/// A running line and where it serves.
pub struct Running {
    pub child: Child,
    pub address: String,
}

impl Running {
    pub fn start(scratch: &Scratch, environment: &[(&str, &str)]) -> Self {
        Self::start_with(scratch, &["run", "line.toml"], environment)
    }

    pub fn start_with(scratch: &Scratch, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = scratch
            .command(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(told.read_line(&mut line).unwrap() > 0, "it ended before it served");
            if let Some((_, address)) = line.trim().split_once(" at http") {
                break address.trim_start_matches('s').trim_start_matches("://").to_owned();
            }
        };
        // Somebody has to read on, or the process blocks.
        std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
        Self { child, address }
    }

    /// The answer to raw bytes: status and body.
    pub fn raw(&self, request: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        // A server that refuses a body may reset the connection after its answer.
        let _reset = stream.read_to_end(&mut answer);
        // A picture is no text.
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
        (status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
    }

    pub fn request(&self, first: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        self.raw(
            format!(
                "{first} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}",
                self.address
            )
            .as_bytes(),
        )
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        self.request(&format!("GET {path}"), "", "")
    }

    pub fn mode(&self, mode: &str) -> (u16, String) {
        let body = format!("{{\"mode\":\"{mode}\"}}");
        self.request("POST /api/v1/mode", "Content-Type: application/json\r\n", &body)
    }

    /// A counter's or a gauge's value; the labels as they are written.
    pub fn metric(&self, name: &str) -> i64 {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        whole(value.unwrap_or_else(|| panic!("{name} is not in {text}")))
    }

    pub fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn stop(mut self) {
        signal(&self.child, "-TERM");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only where a test has failed is it still there.
        let _ended = self.child.kill();
    }
}

pub fn signal(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

/// Until none of its threads can do anything more: a signal is on its way for a moment.
fn until_still(process: u32) {
    let began = Instant::now();
    let is_still = |stat: String| stat.rsplit(')').next().is_some_and(|it| it.starts_with(" T"));
    let are_still = || {
        let mut threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        threads.all(|thread| {
            // One that is gone says nothing either.
            let stat = std::fs::read_to_string(thread.unwrap().path().join("stat"));
            stat.map_or(true, is_still)
        })
    };
    while !are_still() {
        assert!(began.elapsed() < PATIENCE, "it goes on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A counter's value, which may be written as a float.
fn whole(text: &str) -> i64 {
    text.parse::<f64>().unwrap().round() as i64
}

const TOP: &str = "{camera=\"top\"}";

#[test]
fn metrics_health_and_state_are_served_and_add_up() {
    let scratch = Scratch::new();
    line(&scratch);
    let running = Running::start(&scratch, &[]);
    running.until("frames are judged", |it| {
        it.metric(&format!("sightline_frames_judged_total{TOP}")) > 5
    });
    assert_eq!(running.get("/healthz"), (200, "ok\n".into()));
    assert_eq!(running.get("/readyz"), (200, "running\n".into()));
    let (_, text) = running.get("/metrics");
    let value = |name: &str| -> i64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        whole(line.unwrap_or_else(|| panic!("{name} is not in {text}")))
    };
    let verdicts: i64 = text
        .lines()
        .filter(|line| line.starts_with("sightline_verdicts_total"))
        .map(|line| whole(line.rsplit(' ').next().unwrap()))
        .sum();
    let judged = value(&format!("sightline_frames_judged_total{TOP}"));
    // One may be between its verdict and its account.
    assert!((judged - verdicts).abs() <= 1, "{judged} and {verdicts}");
    assert_eq!(value("sightline_state{state=\"running\"}"), 1);
    assert_eq!(value("sightline_state{state=\"degraded\"}"), 0);
    assert_eq!(value(&format!("sightline_camera_up{TOP}")), 1);
    assert_eq!(value("sightline_ledger_up"), 1);
    for stage in ["wait", "inspect", "verdict"] {
        assert!(
            value(&format!("sightline_stage_seconds_count{{camera=\"top\",stage=\"{stage}\"}}"))
                > 5
        );
    }
    for part in [
        "sightline_engine_info{providers=\"cpu\",onnxruntime=\"1.",
        "sightline_golden_deviation{of=\"score\"}",
        "# EOF",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let (status, body) = running.get("/api/v1/state");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["state"], &body["cameras"][0]["camera"]),
        (200, &"running".into(), &"top".into())
    );
    running.stop();
}

#[test]
fn a_paused_station_counts_every_frame_and_judges_none() {
    let scratch = Scratch::new();
    line(&scratch);
    let running = Running::start(&scratch, &[]);
    running.until("frames are judged", |it| {
        it.metric(&format!("sightline_frames_judged_total{TOP}")) > 0
    });
    assert_eq!(running.mode("pause"), (200, "paused\n".into()));
    assert_eq!(running.get("/readyz"), (503, "paused\n".into()));
    assert_eq!(running.get("/healthz").0, 200);
    let paused = "sightline_frames_dropped_total{camera=\"top\",reason=\"paused\"}";
    running.until("nothing is in flight", |it| {
        it.metric(&format!("sightline_frames_in_flight{TOP}")) == 0
    });
    let judged = running.metric(&format!("sightline_frames_judged_total{TOP}"));
    let dropped = running.metric(paused);
    running.until("frames are counted", |it| it.metric(paused) > dropped + 10);
    assert_eq!(running.metric(&format!("sightline_frames_judged_total{TOP}")), judged);
    assert_eq!(running.mode("maintenance").1, "maintenance\n");
    assert_eq!(running.mode("run").1, "running\n");
    running.until("frames are judged again", |it| {
        it.metric(&format!("sightline_frames_judged_total{TOP}")) > judged
    });
    running.stop();
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    let events = String::from_utf8(scratch.run(&["ledger", "events", "ledger.db"]).stdout).unwrap();
    for change in ["run to pause", "pause to maintenance", "maintenance to run"] {
        assert!(events.contains(change), "{events}");
    }
    let stats = String::from_utf8(scratch.run(&["ledger", "stats", "ledger.db"]).stdout).unwrap();
    assert!(stats.contains("dropped: paused"), "{stats}");
}

#[test]
fn what_no_client_may_do_is_refused() {
    let scratch = Scratch::new();
    line(&scratch);
    let running = Running::start(&scratch, &[]);
    let json = "Content-Type: application/json\r\n";
    let large = format!("{{\"mode\":\"{}\"}}", "x".repeat(20_000));
    let post = "POST /api/v1/mode";
    for (first, headers, body, expected) in [
        // As a form of another site would send it.
        (post, "Content-Type: text/plain\r\n", "{\"mode\":\"pause\"}", 415),
        (post, "", "{\"mode\":\"pause\"}", 415),
        (post, json, "{\"mode\":\"sleep\"}", 422),
        (post, json, "{\"mode\":\"pause\",\"for\":1}", 422),
        (post, json, "{", 400),
        (post, json, &large, 413),
        ("GET /api/v1/mode", "", "", 405),
        ("GET /../../etc/passwd", "", "", 404),
        ("GET /metrics/..%2f..%2fetc%2fpasswd", "", "", 404),
    ] {
        let (status, text) = running.request(first, headers, body);
        assert_eq!(status, expected, "{first} {headers} {text}");
    }
    // By a name that somebody's page made point here.
    for host in ["evil.example", "evil.example:80", ""] {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(running.raw(request.as_bytes()).0, 421, "{host}");
    }
    assert_eq!(running.raw(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n").0, 421);
    assert_eq!(running.raw(b"no HTTP at all\r\n\r\n").0, 400);
    // More clients than there are places, that begin and never end: they are let go of, and the next is served.
    let address = running.address.clone();
    let slow: Vec<TcpStream> = (0..70)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: loc").unwrap();
            stream
        })
        .collect();
    assert_eq!(running.get("/healthz").0, 200);
    drop(slow);
    assert_eq!(running.get("/readyz"), (200, "running\n".into()));
    running.stop();
}

#[test]
fn the_service_manager_hears_ready_status_and_that_it_lives() {
    let scratch = Scratch::new();
    line(&scratch);
    let path = scratch.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let hear = |within: Duration| {
        manager.set_read_timeout(Some(within)).unwrap();
        let mut buffer = [0; 4_096];
        manager
            .recv(&mut buffer)
            .ok()
            .map(|len| String::from_utf8_lossy(&buffer[..len]).trim().to_owned())
    };
    let mut running = Running::start(
        &scratch,
        &[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "4000000")],
    );
    let mut heard = Vec::new();
    let mut until = |word: &str| {
        while heard.last().is_none_or(|last: &String| last != word) {
            heard.push(
                hear(PATIENCE).unwrap_or_else(|| panic!("{word} does not come after {heard:?}")),
            );
        }
    };
    until("READY=1");
    until("WATCHDOG=1");
    until("WATCHDOG=1");
    assert!(heard.iter().any(|told| told == "STATUS=running"), "{heard:?}");
    let ready = heard.iter().position(|told| told == "READY=1").unwrap();
    let starting = heard.iter().position(|told| told.starts_with("STATUS=starting")).unwrap();
    assert!(starting < ready, "{heard:?}");
    // A process that hangs does not say that it lives.
    signal(&running.child, "-STOP");
    until_still(running.child.id());
    while hear(Duration::from_millis(1)).is_some() {}
    assert_eq!(hear(Duration::from_secs(3)), None);
    signal(&running.child, "-CONT");
    signal(&running.child, "-TERM");
    let began = Instant::now();
    while hear(PATIENCE).is_some_and(|told| told != "STOPPING=1") {
        assert!(began.elapsed() < PATIENCE);
    }
    assert!(running.child.wait().unwrap().success());
}
