//! The PLC for real: processes that speak Modbus with pymodbus, lines that tests hold, and a line whose parts can be
//! told apart by their pictures.

mod lines;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use bundle::geometry::{RgbImage, Size};
use serde_json::Value;

use crate::{
    line::INPUT,
    service::Running,
    support::{SIDE, Scratch, free_port, json_lines, picture, stderr, stdout},
};

/// The program of the PLC.
fn plc(arguments: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = root.join(".deps/python");
    let more = std::env::var("PYTHONPATH").unwrap_or_default();
    let mut command = Command::new("python3");
    command
        .arg(root.join("tests/it/plc/plc.py"))
        .args(arguments)
        .env("PYTHONPATH", format!("{}:{more}", packages.display()))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn said(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{} {}", stdout(output), stderr(output));
    json_lines(output)
}

/// A child that ends with its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Only where a test has failed is it still there.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A running station and where its PLC is served.
struct Station {
    running: Running,
    port: String,
}

impl Station {
    /// `line.toml` names port 0 for both HTTP and Modbus.
    fn start(scratch: &Scratch) -> Self {
        let lines = std::fs::File::create(scratch.path("lines.json")).unwrap();
        let mut child = scratch
            .command(&["run", "line.toml"])
            .stdout(lines)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let (mut port, mut all) = (String::new(), String::new());
        let address = loop {
            let mut line = String::new();
            let ended = told.read_line(&mut line).unwrap() == 0;
            all.push_str(&line);
            assert!(!ended, "it ended before it served: {all}");
            if let Some((_, address)) = line.trim().split_once("the PLC is served at ") {
                port = address.rsplit(':').next().map(str::to_owned).unwrap();
            }
            if let Some((_, address)) = line.trim().split_once(" at http://") {
                break address.to_owned();
            }
        };
        // Somebody has to read on, or the process blocks.
        std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
        Self { running: Running { child, address }, port }
    }

    /// What the PLC's program saw in these steps.
    fn steps(&self, steps: &[&str]) -> Vec<Value> {
        let arguments: Vec<_> = ["one", &self.port].iter().chain(steps).copied().collect();
        said(&plc(&arguments).output().unwrap())
    }

    fn counter(&self, name: &str) -> i64 {
        self.running.metric(&format!("sightline_{name}"))
    }
}

/// The kinds of what happened, with their text, the oldest first.
fn events(scratch: &Scratch) -> Vec<(String, String)> {
    let told = stdout(&scratch.run(&["ledger", "events", "ledger.db", "--most", "500"]));
    let mut events: Vec<_> = told
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let kind = words.next().unwrap_or_default().to_owned();
            (kind, words.collect::<Vec<_>>().join(" "))
        })
        .collect();
    events.reverse();
    events
}

fn triggers(scratch: &Scratch) -> Vec<Value> {
    let arguments = ["ledger", "export", "ledger.db", "--rows", "triggers", "--format", "json"];
    json_lines(&scratch.run(&arguments))
}

const HEAD: &str = "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.4\ndrift = false\n\
     [output]\nformat = \"json\"\n[ledger]\npath = \"ledger.db\"\n[http]\nlisten = \"127.0.0.1:0\"\n";

/// Pictures with their scores.
type Scored = Vec<(RgbImage, f64)>;

/// Pictures that pass and pictures that do not, with their scores: no two are alike. Under a rate that refuses many, for the
/// tiny network knows no defects.
fn pictures(scratch: &Scratch) -> (Scored, Scored) {
    let size = Size { width: SIDE, height: SIDE };
    let noise = |seed: u32| {
        let byte = |at: u32| {
            let mixed = (at ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
            (mixed >> 24) as u8
        };
        RgbImage { size, pixels: (0..SIDE * SIDE * 3).map(byte).collect() }
    };
    let mut images = BTreeMap::new();
    for seed in 0..24 {
        images.insert(format!("good-{seed:02}.png"), picture(size, seed));
        images.insert(format!("noise-{seed:02}.png"), noise(seed));
    }
    for (name, image) in &images {
        scratch.write_picture(&format!("candidates/{name}"), &image.view());
    }
    let output = scratch.run(&[
        "inspect",
        "candidates",
        "--json",
        "--model",
        "model.onnx",
        "--reject-rate",
        "0.4",
    ]);
    let (mut passing, mut failing, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for line in json_lines(&output) {
        let Some(score) = line["score"].as_f64() else { continue };
        let name = line["origin"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        // So far apart that what the pipeline changes is nothing.
        if taken.iter().any(|other: &f64| (other - score).abs() < 1.5e-3) {
            continue;
        }
        taken.push(score);
        let image = images[&name].clone();
        match line["decision"].as_str().unwrap() {
            "pass" => passing.push((image, score)),
            _ => failing.push((image, score)),
        }
    }
    assert!(passing.len() >= 4 && failing.len() >= 4, "{} {}", stdout(&output), stderr(&output));
    passing.truncate(8);
    failing.truncate(8);
    (passing, failing)
}

/// A line that shows one good part again and again, 50 times a second, as a free-running camera does.
fn good_line(scratch: &Scratch, plc: &str, camera: &str) {
    let (passing, _) = pictures(scratch);
    scratch.write_picture("part/part.png", &passing[0].0.view());
    scratch.write(
        "line.toml",
        format!(
            "{HEAD}[plc]\naddress = \"127.0.0.1:0\"\n{plc}\n[[camera]]\nname = \"top\"\npreset = \"files\"\n\
             parameters = {{ location = \"part\", rate = 50 }}\nloop = true\n{camera}\n"
        ),
    );
}

/// What a machine that is busy takes its time for is none of the troubles that are meant.
const WATCHDOG_MS: i64 = 5_000;
/// Of a thousand parts, on a machine that is so busy that most frames come too late for theirs.
const JUDGED_MIN: usize = 50;
/// Seen from the PLC's side, on a machine that is busy; to the millisecond it is held by the posts' own tests.
const SLACK_MS: i64 = 20_000;

fn times() -> String {
    format!("watchdog_ms = {WATCHDOG_MS}\nverdict_within_ms = 20000")
}

#[test]
fn a_plc_that_leaves_is_slow_or_talks_garbage_gets_nothing_and_inspection_goes_on() {
    let scratch = Scratch::new();
    let camera = "plc = { frame_within_ms = 10000, products = { wave = 7 } }";
    good_line(&scratch, &times(), camera);
    let station = Station::start(&scratch);

    // In order: a part passes; one that is announced as another product does not, nor one of an unknown code.
    let seen = station.steps(&["ready", "part=70001", "part=70002/7", "part=70003/8"]);
    let told = |step: usize, what: &str| seen[step][what].as_i64().unwrap();
    assert_eq!((told(1, "result"), told(1, "product")), (1, 7), "{seen:?}");
    assert_eq!(told(2, "result"), 1, "{seen:?}");
    assert_eq!((told(3, "result"), told(3, "why")), (4, 7), "{seen:?}");

    // In the middle of the handshake the PLC leaves: its result is taken back, and nothing passes until it is back.
    let seen = station.steps(&["ready", "trigger=80001", "valid", "leave", "come", "silent"]);
    assert_eq!((seen[2]["part"].as_i64(), seen[2]["result"].as_i64()), (Some(80001), Some(1)));
    let safe = &seen[5];
    assert!(safe["after_ms"].as_i64().unwrap() <= WATCHDOG_MS + SLACK_MS, "{seen:?}");
    assert_eq!((&safe["valid"], &safe["ready"]), (&false.into(), &false.into()), "{seen:?}");

    // It comes back and goes on; then it lives, but takes nothing: safe within the same time.
    let seen = station.steps(&["ready", "trigger=80002", "valid", "slow", "ready", "part=80003"]);
    assert_eq!(seen[2]["part"], 80002, "{seen:?}");
    assert!(seen[3]["after_ms"].as_i64().unwrap() <= WATCHDOG_MS + SLACK_MS, "{seen:?}");
    assert_eq!((&seen[3]["valid"], &seen[5]["result"]), (&false.into(), &1.into()), "{seen:?}");

    // Garbage ends its own connection and no other; the PLC beside it goes on.
    // The program before has ended, which is a loss of its own, or two, however long the next one takes to begin.
    station.running.until("the PLC is missed", |it| it.get("/readyz").1.contains("PLC"));
    std::thread::sleep(Duration::from_millis(200));
    let seen = station.steps(&[
        "ready",
        "garbage=474554202f20485454502f312e310d0a0d0a",
        "garbage=000100000000",
        // Function 16 that says more registers than it has, in one whole frame.
        "garbage=00010000000901100000000502000100",
        "trickle",
        "part=90001",
        "panel",
        "crowd=12",
        "storm=100",
        "part=90002",
    ]);
    assert_eq!((&seen[5]["result"], &seen[9]["result"]), (&1.into(), &1.into()), "{seen:?}");
    let panel = &seen[6];
    let codes = ["version", "busy", "wrong", "coil"].map(|it| panel[it].as_i64().unwrap());
    assert_eq!(codes, [1, 6, 2, 1], "{panel}");
    assert_eq!(panel["flags"][0], true, "{panel}");
    // The PLC and the dribbling one have two of the eight places.
    assert!(seen[7]["closed"].as_i64().unwrap() >= 6, "{seen:?}");
    let garbage = || station.counter("plc_garbage_total");
    station.running.until("garbage is counted", |_| garbage() >= 30);

    // A station that is paused passes nothing, and says so.
    station.running.mode("pause");
    let seen = station.steps(&["state=5", "part=90003"]);
    assert_eq!((&seen[0]["ready"], &seen[0]["safe"]), (&false.into(), &true.into()), "{seen:?}");
    assert_eq!((&seen[1]["result"], &seen[1]["why"]), (&4.into(), &1.into()), "{seen:?}");
    station.running.mode("run");
    let seen = station.steps(&["ready", "part=90004"]);
    assert_eq!(seen[1]["result"], 1, "{seen:?}");

    // The PLC is gone for good: the alarm, and frames that nobody asks for are counted all the same.
    station.running.until("the PLC is missed", |it| it.get("/readyz").1.contains("PLC"));
    let state: Value = serde_json::from_str(&station.running.get("/api/v1/state").1).unwrap();
    assert_eq!(state["alarms"][0]["id"], "plc", "{state}");
    let captured = || station.counter("frames_captured_total{camera=\"top\"}");
    let before = captured();
    station.running.until("frames go on", |_| captured() > before + 20);
    let dropped = || station.counter("frames_dropped_total{camera=\"top\",reason=\"no part\"}");
    station.running.until("they are counted as nobody's", |_| dropped() > 50);
    station.running.stop();

    let told = events(&scratch);
    let has = |kind: &str, text: &str| told.iter().any(|it| it.0 == kind && it.1.contains(text));
    assert!(has("plc-lost", "no sign of life"), "{told:?}");
    assert!(has("plc-lost", "not acknowledged"), "{told:?}");
    assert!(has("plc-garbage", "127.0.0.1"), "{told:?}");
    assert!(has("plc-turned-away", "127.0.0.1"), "{told:?}");
    assert!(has("result-withdrawn", "part 80001"), "{told:?}");
    assert!(has("part-refused", "part 90003: the station does not run"), "{told:?}");
    let rows = triggers(&scratch);
    let row = |part: i64| rows.iter().find(|row| row["part"] == part).unwrap();
    assert_eq!((&row(70001)["result"], &row(70003)["result"]), (&"pass".into(), &"fault".into()));
    assert!(row(70001)["acknowledged"].is_string() && row(70001)["frame"].is_i64());
    for withdrawn in [80001, 80002] {
        assert_eq!(row(withdrawn)["acknowledged"], Value::Null, "{rows:?}");
    }
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}

#[test]
fn a_plc_that_is_asked_announces_parts_and_takes_their_results() {
    let scratch = Scratch::new();
    let mut asked = Ended(plc(&["asked", "5"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(asked.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&said.next().unwrap().unwrap()).unwrap() };
    let port = next()["port"].clone();
    good_line(&scratch, &times(), "plc = { frame_within_ms = 10000 }");
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    let text = text.replace(
        "address = \"127.0.0.1:0\"",
        &format!("modbus = \"client\"\naddress = \"127.0.0.1:{port}\""),
    );
    scratch.write("line.toml", text);
    let running = Running::start(&scratch, &[]);
    for part in 1..=5 {
        let given = next();
        assert_eq!((&given["part"], &given["result"]), (&part.into(), &1.into()), "{given}");
    }
    // Its program has stopped, and its memory answers: that is no sign of life.
    let safe = next();
    assert!(safe["after_ms"].as_i64().unwrap() <= WATCHDOG_MS + SLACK_MS, "{safe}");
    assert_eq!(safe["ready"], false, "{safe}");
    assert!(asked.0.wait().unwrap().success());
    // And gone altogether.
    running.until("it is not reached", |_| {
        events(&scratch).iter().any(|(kind, _)| kind == "plc-unreachable")
    });
    running.stop();
    let rows = triggers(&scratch);
    assert_eq!(rows.iter().filter(|row| row["result"] == "pass").count(), 5, "{rows:?}");
}

/// Every second one is triggered by the same signal, the others run freely.
const CAMERAS: usize = 8;
const PARTS_A_CAMERA: usize = 125;

fn is_triggered(camera: i64) -> bool {
    camera % 2 == 1
}

/// One picture's bytes after the other, as the line's cameras send them.
fn raw(pictures: &[(RgbImage, f64)]) -> Vec<u8> {
    pictures.iter().flat_map(|(image, _)| image.pixels.clone()).collect()
}

#[test]
fn a_thousand_parts_at_random_times_get_their_own_results() {
    let scratch = Scratch::new();
    let (passing, failing) = pictures(&scratch);
    let good = passing.len() as i64;
    let pictures: Vec<_> = passing.into_iter().chain(failing).collect();
    scratch.write("pictures.rgb", raw(&pictures));
    let Size { width, height } = INPUT;
    scratch.write(
        "raw.toml",
        format!(
            "description = \"Raw pictures over TCP\"\nlive = false\n\
             launch = \"tcpclientsrc host=127.0.0.1 port={{port}} ! rawvideoparse format=rgb width={width} height={height}\"\n\
             [parameters.port]\nmeaning = \"Where the pictures come from.\"\n"
        ),
    );
    let ports: Vec<_> = (0..CAMERAS).map(|_| free_port().to_string()).collect();
    let cameras: String = (0..)
        .zip(&ports)
        .map(|(index, port)| {
            // Pictures come 25 ms after their part, those of nobody 150 ms after it and 100 ms before the next.
            let rule = if is_triggered(index) {
                "frames = \"each\", delay_ms = 70, frame_within_ms = 65"
            } else {
                "frames = \"first\", delay_ms = 20, frame_within_ms = 80"
            };
            format!(
                "[[camera]]\nname = \"c{index}\"\npreset = \"raw.toml\"\nparameters = {{ port = {port} }}\n\
                 realtime = false\nqueue_len = 8\nplc = {{ {rule} }}\n"
            )
        })
        .collect();
    let plc_table =
        "[plc]\naddress = \"127.0.0.1:0\"\nwatchdog_ms = 30000\nverdict_within_ms = 3000\n";
    let config = format!("{HEAD}{plc_table}{cameras}");
    scratch.write("line.toml", config);
    // The cameras first: a pipeline finds somebody to connect to only when they are there.
    let parts = PARTS_A_CAMERA.to_string();
    let files = scratch.path("pictures.rgb").display().to_string();
    let port_file = scratch.path("port");
    let waiting = port_file.display().to_string();
    let line = plc(&["line", &format!("@{waiting}"), &ports.join(","), &files, &parts, "11"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for port in &ports {
        let began = Instant::now();
        while !is_listening(port) {
            assert!(began.elapsed() < Duration::from_mins(2), "the line's cameras are not there");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let station = Station::start(&scratch);
    std::fs::write(scratch.path("port.new"), &station.port).unwrap();
    std::fs::rename(scratch.path("port.new"), &port_file).unwrap();
    let output = line.wait_with_output().unwrap();
    let told = said(&output);
    station.running.stop();

    let (parts, rest): (Vec<&Value>, Vec<&Value>) =
        told.iter().partition(|line| line["part"].is_i64());
    assert_eq!(parts.len(), CAMERAS * PARTS_A_CAMERA);
    assert!(rest.iter().all(|line| line["error"].is_null()), "{rest:?}");
    let mut judged = 0;
    for part in &parts {
        let (picture, fate) = (part["picture"].as_i64().unwrap(), part["fate"].as_str().unwrap());
        let result = part["result"].as_i64().unwrap_or_else(|| panic!("no result for {part}"));
        let score = pictures[usize::try_from(picture).unwrap()].1;
        match result {
            1..=3 => {
                // The score says which picture was judged: it is this part's, and no other's.
                let given = part["score"].as_f64().unwrap() / 1e6;
                assert!(
                    (given - score).abs() < 4e-4,
                    "{part}: it has {given}, its picture {score}"
                );
                assert_eq!(result == 1, picture < good, "{part}");
                assert!(!["lost", "late"].contains(&fate), "{part}");
                // Of two frames in a triggered camera's window nobody knows which is the part's.
                let camera = part["part"].as_i64().unwrap() / 1_000_000;
                assert!(fate == "once" || !is_triggered(camera), "{part}");
                judged += 1;
            }
            // Not judged, or not in time: never a pass, and never another's.
            4 | 5 => {}
            _ => panic!("{part}"),
        }
    }
    // Many are judged, or this would show nothing. How many says how busy the machine is: that each has its own result was
    // asked above.
    assert!(judged >= JUDGED_MIN, "only {judged} were judged: {rest:?}");
    eprintln!("{judged} of {} parts judged; {rest:?}", parts.len());
    check_ledger(&scratch, &parts);
}

fn is_listening(port: &str) -> bool {
    // Not by a connection, which the camera would take for the station's.
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let wanted = format!(":{:04X} 00000000:0000 0A", port.parse::<u16>().unwrap());
    table.contains(&wanted)
}

/// What the PLC was told is what the ledger says, and the verdict lines name the same parts.
fn check_ledger(scratch: &Scratch, parts: &[&Value]) {
    let words = ["pass", "fail", "unknown-product", "fault", "late"];
    let rows = triggers(scratch);
    assert_eq!(rows.len(), parts.len());
    let by_part: BTreeMap<i64, &Value> =
        rows.iter().map(|row| (row["part"].as_i64().unwrap(), row)).collect();
    for part in parts {
        let row = by_part[&part["part"].as_i64().unwrap()];
        let word = words[part["result"].as_u64().unwrap() as usize - 1];
        assert_eq!(row["result"], word, "{part} {row}");
        if let Some(frame) = part["frame"].as_i64().filter(|frame| *frame > 0) {
            assert_eq!(row["frame"], frame, "{part} {row}");
        }
        assert!(row["acknowledged"].is_string(), "{part} {row}");
    }
    let lines = std::fs::read_to_string(scratch.path("lines.json")).unwrap();
    let mut named = 0;
    for line in lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let Some(part) = line["plc_part"].as_i64() else { continue };
        assert_eq!(by_part[&part]["frame"], line["frame"], "{line}");
        named += 1;
    }
    // Whose a triggered camera's frame is, is certain only after its window, when its line has left.
    assert!(named >= JUDGED_MIN / 2, "{named}");
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}

#[test]
fn an_address_that_is_not_there_yet_keeps_no_line_from_inspecting() {
    let scratch = Scratch::new();
    // Of a range that is for documentation alone: no machine has it.
    let plc = "[plc]\naddress = \"192.0.2.7:0\"\nallow = [\"192.0.2.0/24\"]\n";
    scratch.write(
        "line.toml",
        format!("{HEAD}{plc}[[camera]]\nname = \"top\"\npreset = \"test\"\nplc = {{}}\n"),
    );
    let station = Station::start(&scratch);
    assert_ne!(station.port, "");
    let captured = || station.counter("frames_captured_total{camera=\"top\"}");
    station.running.until("it inspects", |_| captured() > 5);
    station.running.stop();
}

#[test]
fn a_panel_that_reads_takes_no_strike_from_the_plc() {
    let scratch = Scratch::new();
    let plc = "watchdog_ms = 30000\nverdict_within_ms = 2000\nreject_after = \"8000 ms\"\nreject_pulse_ms = 50";
    good_line(&scratch, plc, "plc = { frame_within_ms = 1500, products = { wave = 7 } }");
    let station = Station::start(&scratch);
    // Nobody knows a product of code 8.
    let seen = station.steps(&["ready", "calm", "part=1/8", "struck"]);
    assert_ne!(seen[2]["result"], 1, "{seen:?}");
    assert_eq!((&seen[3]["panel"], &seen[3]["plc"]), (&true.into(), &true.into()), "{seen:?}");
    station.running.stop();
    // It was read long after its time, and that was told.
    assert!(events(&scratch).iter().any(|(kind, _)| kind == "pulse-missed"));
}

#[test]
fn what_does_not_hold_together_is_one_line_with_its_remedy() {
    let scratch = Scratch::new();
    let ends = |code: i32, plc: &str, camera: &str, expected: &str| {
        let text =
            format!("{HEAD}{plc}\n[[camera]]\nname = \"top\"\npreset = \"test\"\n{camera}\n");
        scratch.write("wrong.toml", text);
        let output = scratch.run(&["run", "wrong.toml"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert_eq!(told.trim().lines().count(), 1, "{told}");
        assert!(told.contains(expected), "{told} instead of {expected}");
    };
    let check = |plc: &str, camera: &str, expected: &str| ends(3, plc, camera, expected);
    let here = "[plc]\naddress = \"127.0.0.1:0\"\n";
    check("", "plc = {}", "[plc] has no address and no gpio_lines");
    check(here, "", "no camera's parts are the PLC's: give one plc = {}");
    check("[plc]\naddress = \"0.0.0.0:1502\"\n", "plc = {}", "takes plc.allow");
    check("[plc]\naddress = \"plc:502\"\n", "plc = {}", "an address with a port");
    check(&format!("{here}allow = [\"lan\"]\n"), "plc = {}", "a network such as");
    check(here, "plc = {}\ntrigger = {}", "leave one of them out");
    check(here, "plc = { frame_within_ms = 500 }", "no verdict could be in time");
    check(here, "plc = { products = { nut = 1 } }", "known are wave");
    check(here, "plc = { products = { wave = 0 } }", "it must be from 1 to 65535");
    check(here, "plc = { frames = \"all\" }", "expected \"first\" or \"each\"");
    check(&format!("{here}reject_after = \"100 ms\"\n"), "plc = {}", "the part would have passed");
    check(&format!("{here}reject_after = \"500 ms\"\n"), "plc = {}", "550 ms or more");
    check(here, "plc = {}\noverflow = \"every\"", "have lost their time");
    check(
        &format!("{here}gpio_lines = {{ trigger = \"PQ.05\" }}\n"),
        "plc = {}",
        "both would announce",
    );
    let client = "[plc]\nmodbus = \"client\"\naddress = \"127.0.0.1:1502\"\n";
    check(&format!("{client}poll_ms = 100\n"), "plc = {}", "no trigger's time would be certain");
    let struck = format!("{client}poll_ms = 30\nreject_after = \"600 ms\"\n");
    check(&struck, "plc = {}", "it must be twice as much");
    check(&format!("{here}reject_after = \"100\"\n"), "plc = {}", "\"600 ms\" or \"1200 counts\"");
    check(&format!("{here}reject_after = \"9 counts\"\n"), "plc = {}", "plc.encoder is not there");
    check(&format!("{here}encoder = \"lines\"\n"), "plc = {}", "has no encoder_a");
    check("[plc]\ngpio_lines = { ok = \"PQ.05\" }\n", "plc = {}", "nothing announces parts");
    check("[plc]\ngpio_lines = { oke = \"PQ.05\" }\n", "plc = {}", "known are ok, reject");
    let chip =
        "[plc]\ngpio_chip = \"/dev/gpiochip-of-no-board\"\ngpio_lines = { trigger = \"PQ.05\" }\n";
    // What a later start may find mended does not keep the service down.
    ends(12, chip, "plc = {}", "group gpio");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_here = format!("[plc]\naddress = \"{}\"\n", taken.local_addr().unwrap());
    ends(11, &taken_here, "plc = {}", "end what holds it");

    scratch.write(
        "line.toml",
        format!("{HEAD}{here}[[camera]]\nname = \"top\"\npreset = \"test\"\nplc = {{}}\n"),
    );
    let told = stdout(&scratch.run(&["check", "line.toml"]));
    assert!(told.contains("top from register 0; a verdict within 500 ms"), "{told}");
}
