//! A new model without losing a frame, and golden frames while the line runs.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use bundle::schema::{Document, ModelName};

use crate::support::{self, Scratch, stderr};

/// Long enough for the slowest machine; a hang fails the test.
const PATIENCE: Duration = Duration::from_mins(1);

fn line(scratch: &Scratch, more: &str) {
    scratch.write(
        "line.toml",
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[output]\nformat = \"json\"\n\
             [ledger]\npath = \"ledger.db\"\n{more}\
             [[camera]]\nname = \"top\"\npreset = \"test\"\noverflow = \"every\"\n\
             parameters = {{ pattern = \"ball\", caps = \"video/x-raw,width=64,height=64,framerate=50/1\" }}\n"
        ),
    );
}

struct Running {
    child: Child,
    lines: Receiver<serde_json::Value>,
    seen: Vec<serde_json::Value>,
    telling: Receiver<String>,
    told: String,
}

impl Running {
    fn start(scratch: &Scratch) -> Self {
        let mut child = scratch
            .command(&["run", "line.toml"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for text in output {
                if line.send(serde_json::from_str(&text.unwrap()).unwrap()).is_err() {
                    return;
                }
            }
        });
        let errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, telling) = channel();
        std::thread::spawn(move || {
            errors.map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        Self { child, lines, seen: Vec::new(), telling, told: String::new() }
    }

    /// Reads verdicts until one is of that version of the model.
    fn until_version(&mut self, version: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap();
            let is_it = line["model"]["version"] == version;
            self.seen.push(line);
            if is_it {
                return;
            }
        }
    }

    fn read(&mut self, count: usize) {
        for _ in 0..count {
            self.seen.push(self.lines.recv_timeout(PATIENCE).unwrap());
        }
    }

    /// Waits until it has told that so often: a reload loads a session and runs golden frames, however long that takes.
    fn until_told(&mut self, what: &str, times: usize) {
        let began = Instant::now();
        while self.told.matches(what).count() < times {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let line = self.telling.recv_timeout(left).unwrap_or_else(|_| panic!("{}", self.told));
            self.told.extend([&line, "\n"]);
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Stops it: every verdict, and what it told.
    fn stop(mut self) -> (Vec<serde_json::Value>, String) {
        self.signal("-TERM");
        self.seen.extend(self.lines.iter());
        self.told.extend(self.telling.iter().map(|line| format!("{line}\n")));
        assert!(self.child.wait().unwrap().success(), "{}", self.told);
        (self.seen, self.told)
    }
}

/// The tiny model under another version.
fn versioned(version: &str) -> Document {
    Document {
        model: ModelName { name: "tiny".into(), version: version.into() },
        ..support::document(99)
    }
}

fn events(scratch: &Scratch) -> String {
    String::from_utf8(scratch.run(&["ledger", "events", "ledger.db"]).stdout).unwrap()
}

#[test]
fn a_new_model_is_swapped_in_between_two_frames_and_a_bad_one_is_refused() {
    let scratch = Scratch::new();
    line(&scratch, "");
    let mut running = Running::start(&scratch);
    running.until_version("1");
    // As a deployment would: the whole file at once, by its name.
    let deploy = |bytes: Vec<u8>| {
        scratch.write("model.new", bytes);
        std::fs::rename(scratch.path("model.new"), scratch.path("model.onnx")).unwrap();
    };
    deploy(support::model(&versioned("2")));
    running.signal("-HUP");
    running.until_version("2");
    // Golden frames of another network: it would judge otherwise than the trainer measured.
    let mut foreign = versioned("3");
    for golden in &mut foreign.golden {
        golden.score += 0.5;
    }
    deploy(support::model(&foreign));
    running.signal("-HUP");
    running.until_told("not reloaded", 1);
    deploy(b"no model at all".to_vec());
    running.signal("-HUP");
    running.until_told("not reloaded", 2);
    let (seen, told) = running.stop();
    let numbers: Vec<u64> = seen.iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let versions: Vec<&str> =
        seen.iter().map(|line| line["model"]["version"].as_str().unwrap()).collect();
    assert!(versions.is_sorted() && versions.last() == Some(&"2"), "{versions:?}");
    assert!(seen.iter().all(|line| line["decision"] != "fault"));
    assert!(told.contains("reloaded: tiny 2"), "{told}");
    let refused: Vec<&str> = told.lines().filter(|line| line.contains("not reloaded")).collect();
    assert_eq!(refused.len(), 2, "{told}");
    assert!(refused[0].contains("deviates by"), "{told}");
    let events = events(&scratch);
    assert_eq!(events.matches("reload-refused").count(), 2, "{events}");
    assert!(events.contains("engine: tiny 2"), "{events}");
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}

#[test]
fn the_judges_settings_are_reloaded_and_other_cameras_are_not() {
    let scratch = Scratch::new();
    line(&scratch, "");
    let mut running = Running::start(&scratch);
    running.read(3);
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    scratch
        .write("line.toml", text.replace("false_reject_rate = 0.02", "false_reject_rate = 0.05"));
    running.signal("-HUP");
    while running.seen.last().unwrap()["reject_rate"] != 0.05 {
        running.read(1);
    }
    scratch.write("line.toml", format!("{text}[[camera]]\nname = \"side\"\npreset = \"test\"\n"));
    running.signal("-HUP");
    running.until_told("restart the service", 1);
    // Recipes go by the camera: another camera in its place must not get this one's.
    scratch.write("line.toml", text.replace("name = \"top\"", "name = \"bottom\""));
    running.signal("-HUP");
    running.until_told("restart the service", 2);
    scratch.write("line.toml", text.replace("0.02", "0.0001"));
    running.signal("-HUP");
    running.until_told("needs", 1);
    let (seen, told) = running.stop();
    assert_eq!(seen.last().unwrap()["reject_rate"], 0.05);
    assert_eq!(told.matches("restart the service").count(), 2, "{told}");
    assert!(told.contains("needs"), "{told}");
}

#[test]
fn a_reload_begins_parts_and_ends_them_between_two_frames() {
    let scratch = Scratch::new();
    line(&scratch, "");
    let without = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    let mut running = Running::start(&scratch);
    running.read(5);
    // At 50 frames a second the second of two comes after 20 ms, the next part's first after 40.
    scratch.write(
        "line.toml",
        format!("{without}part = {{ frames = 2, fails = 1, within_ms = 30 }}\n"),
    );
    running.signal("-HUP");
    let is_part = |line: &&serde_json::Value| line.get("part").is_some();
    while running.seen.iter().filter(is_part).count() < 5 {
        running.read(1);
    }
    scratch.write("line.toml", &without);
    running.signal("-HUP");
    let mut plain = 0;
    while plain < 20 {
        running.read(1);
        plain = if running.seen.last().is_some_and(|line| is_part(&line)) { 0 } else { plain + 1 };
    }
    let (lines, told) = running.stop();
    assert!(told.matches("reloaded: tiny 1").count() == 2, "{told}");
    let (parts, frames): (Vec<_>, Vec<_>) = lines.iter().partition(is_part);
    let number = |line: &serde_json::Value, field: &str| line[field].as_u64().unwrap();
    let numbers: Vec<u64> = frames.iter().map(|line| number(line, "frame")).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    // From the reload on every frame is of one part, until the other one.
    let mut next = number(parts[0], "first_frame");
    for part in &parts {
        assert_eq!(number(part, "first_frame"), next, "{part}");
        next = number(part, "last_frame") + 1;
    }
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}
