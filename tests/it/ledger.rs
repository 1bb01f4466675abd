//! The ledger's file beside a running line: what left the process is in it, whatever ends the process or fills the disk.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use rusqlite::Connection;
use sightline::{
    clock::{Clock, SystemClock},
    frame::CameraId,
    ledger::{Ledger, LedgerOptions, Retention, audit::Audit},
};

use crate::{
    line::{Kept, options, station_with},
    support::{self, Scratch, json_lines, stderr},
};

/// A line of moving test pictures at 30 per second, on the tiny model, with a ledger.
fn line(scratch: &Scratch, ledger: &str, frames: i64) {
    scratch.write(
        "line.toml",
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[output]\nformat = \"json\"\n\
             [ledger]\npath = \"{ledger}\"\n\
             [[camera]]\nname = \"top\"\npreset = \"test\"\noverflow = \"latest\"\n\
             parameters = {{ pattern = \"ball\", frames = {frames}, caps = \"video/x-raw,width=64,height=64,framerate=30/1\" }}\n"
        ),
    );
}

fn start(scratch: &Scratch) -> Child {
    scratch
        .command(&["run", "line.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Epoch and number of each whole line that was printed.
fn printed(output: &[u8]) -> Vec<(u64, u64)> {
    let text = std::str::from_utf8(output).unwrap();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            (value["epoch"].as_u64().unwrap(), value["frame"].as_u64().unwrap())
        })
        .collect()
}

fn verify(scratch: &Scratch, ledger: &str) -> String {
    let output = scratch.run(&["ledger", "verify", ledger]);
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_run_is_in_the_ledger_frame_by_frame() {
    let scratch = Scratch::new();
    line(&scratch, "ledger.db", 40);
    for _ in 0..2 {
        let output = scratch.run(&["run", "line.toml", "--fast"]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let told = verify(&scratch, "ledger.db");
    assert_eq!(
        told.lines().filter(|line| line.starts_with("ok      camera top epoch ")).count(),
        2,
        "{told}"
    );
    assert_eq!(told.matches("frames 1 to 40 =").count(), 2, "{told}");
    let export = scratch.run(&["ledger", "export", "ledger.db", "--format", "json"]);
    let rows: Vec<serde_json::Value> = json_lines(&export);
    let frames: i64 = rows
        .iter()
        .map(|row| row["last"].as_i64().unwrap() - row["frame"].as_i64().unwrap() + 1)
        .sum();
    assert_eq!(frames, 80);
    let csv = scratch.run(&["ledger", "export", "ledger.db", "--camera", "top"]);
    assert_eq!(String::from_utf8(csv.stdout).unwrap().lines().count(), rows.len() + 1);
    let none = scratch.run(&[
        "ledger",
        "export",
        "ledger.db",
        "--until",
        "2000-01-01T00:00:00Z",
        "--format",
        "json",
    ]);
    assert!(none.status.success() && none.stdout.is_empty());
    let stats = scratch.run(&["ledger", "stats", "ledger.db"]);
    assert!(String::from_utf8(stats.stdout).unwrap().starts_with("camera top\n"));
    let events = scratch.run(&["ledger", "events", "ledger.db"]);
    assert_eq!(String::from_utf8(events.stdout).unwrap().matches("started").count(), 2);
}

#[test]
fn a_second_process_and_a_missing_file_are_told() {
    let scratch = Scratch::new();
    line(&scratch, "ledger.db", -1);
    let mut first = start(&scratch);
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let second = scratch.run(&["run", "line.toml"]);
    assert_eq!(second.status.code(), Some(8));
    assert!(
        stderr(&second).contains("ledger.db: another sightline writes it"),
        "{}",
        stderr(&second)
    );
    // Reading beside the writer is allowed.
    assert!(verify(&scratch, "ledger.db").contains("still counting"));
    first.kill().unwrap();
    first.wait().unwrap();
    let missing = scratch.run(&["ledger", "verify", "nowhere.db"]);
    assert_eq!(missing.status.code(), Some(7));
}

#[test]
fn where_nobody_reads_any_more_what_was_judged_is_recorded() {
    let scratch = Scratch::new();
    line(&scratch, "ledger.db", -1);
    let mut child = start(&scratch);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..5 {
        lines.next().unwrap().unwrap();
    }
    drop(lines);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(8), "{}", stderr(&ended));
    // The numbering is closed: nothing is left for the next start to find.
    assert!(!verify(&scratch, "ledger.db").contains("still counting"));
    line(&scratch, "ledger.db", 3);
    assert!(scratch.run(&["run", "line.toml"]).status.success());
    let ledger = Connection::open(scratch.path("ledger.db")).unwrap();
    let crashed = "SELECT count(*) FROM unjudged WHERE reason = 'crash'";
    assert_eq!(ledger.query_row(crashed, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

/// How often the process is killed; `make soak` does it a hundred times.
fn kills() -> u32 {
    std::env::var("SIGHTLINE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

#[test]
fn after_kill_9_every_verdict_that_left_is_in_the_ledger_or_in_a_range_of_half_a_second() {
    let scratch = Scratch::new();
    line(&scratch, "ledger.db", -1);
    let (mut left, mut at_once) = (Vec::new(), 0);
    for round in 0..kills() {
        let mut child = start(&scratch);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        // Anywhere within a second, another place each time.
        let reader = std::thread::spawn(move || {
            let mut rest = Vec::new();
            std::io::Read::read_to_end(&mut output, &mut rest).unwrap();
            rest
        });
        std::thread::sleep(Duration::from_millis(u64::from(round) * 373 % 1_000));
        child.kill().unwrap();
        let told = stderr(&child.wait_with_output().unwrap());
        let rest = reader.join().unwrap();
        // The exception that is told: a disk that took more than a second for a commit.
        if !told.contains("verdicts leave before the ledger knows of their numbers") {
            left.extend(printed(first.as_bytes()));
            left.extend(printed(&rest));
            at_once += 1;
        }
    }
    // One more start recovers what the last kill left.
    line(&scratch, "ledger.db", 3);
    assert!(scratch.run(&["run", "line.toml"]).status.success());
    verify(&scratch, "ledger.db");
    let ledger = Connection::open(scratch.path("ledger.db")).unwrap();
    let covered = "SELECT (SELECT count(*) FROM verdict v JOIN lane l ON l.id = v.lane WHERE l.epoch = ?1 AND v.number = ?2)
        + (SELECT count(*) FROM unjudged u JOIN lane l ON l.id = u.lane
            WHERE l.epoch = ?1 AND u.disposition = 'faulted' AND ?2 BETWEEN u.first AND u.last)";
    let mut covered = ledger.prepare(covered).unwrap();
    // A busy machine judges few between two kills, and its disk is slow now and then.
    assert!(at_once > 0 && !left.is_empty(), "{at_once}");
    for (epoch, number) in left {
        let times: i64 =
            covered.query_row([epoch as i64, number as i64], |row| row.get(0)).unwrap();
        assert_eq!(times, 1, "frame {number} of epoch {epoch}");
    }
    let mut lengths = ledger
        .prepare("SELECT last - first + 1 AS frames FROM unjudged WHERE reason = 'crash' ORDER BY frames")
        .unwrap();
    let lengths: Vec<i64> =
        lengths.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    // Where the machine stands still between two frames a camera's rate is for a moment what it catches up at.
    let (usual, longest) = (lengths[lengths.len() / 2], lengths[lengths.len() - 1]);
    assert!(usual <= 15, "{usual} frames at 30 per second are more than half a second");
    assert!(longest <= 45, "{longest} frames are more than any rate of this camera asks for");
}

/// A file system of its own, gone with the value; `None` where the test may not mount one, which is said. With
/// `SIGHTLINE_MOUNTS` in the environment it may, and fails where it cannot.
pub struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    pub fn mount(at: &'a Path, kilobytes: u32) -> Option<Self> {
        Self::mount_with(at, &format!("size={kilobytes}k"))
    }

    /// With these options of tmpfs.
    #[expect(clippy::print_stderr, reason = "what is not tested is said")]
    pub fn mount_with(at: &'a Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(at));
        }
        let is_wanted = std::env::var_os("SIGHTLINE_MOUNTS").is_some();
        assert!(!is_wanted, "no file system can be mounted here, though SIGHTLINE_MOUNTS is set");
        eprintln!("not tested: no file system can be mounted here");
        None
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_for_a_while_costs_no_verdict() {
    let scratch = Scratch::new();
    let disk = scratch.path("disk");
    let Some(_mounted) = SmallDisk::mount(&disk, 400) else { return };
    line(&scratch, "disk/ledger.db", -1);
    let mut child = start(&scratch);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut read = |count: usize| {
        for _ in 0..count {
            lines.next().unwrap().unwrap();
        }
    };
    read(10);
    // Everything that is left, to the last byte.
    let ballast = disk.join("ballast");
    let _full = std::fs::write(&ballast, vec![0_u8; 400 << 10]);
    let events = |kind: &str| -> i64 {
        let ledger = Connection::open(disk.join("ledger.db")).unwrap();
        let count = "SELECT count(*) FROM event WHERE kind = ?1";
        ledger.query_row(count, [kind], |row| row.get(0)).unwrap()
    };
    // Verdicts go on for longer than SQLite's log has room.
    read(150);
    assert_eq!(events("ledger-gap"), 0);
    std::fs::remove_file(&ballast).unwrap();
    let since = Instant::now();
    while events("ledger-gap") == 0 {
        assert!(since.elapsed() < Duration::from_mins(1), "the ledger does not recover");
        read(5);
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    lines.by_ref().for_each(drop);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", stderr(&ended));
    assert!(
        stderr(&ended).contains("the ledger cannot be written, inspection goes on"),
        "{}",
        stderr(&ended)
    );
    let told = verify(&scratch, "disk/ledger.db");
    assert!(!told.contains("still counting"), "{told}");
    // The queue held what the disk did not take; a machine that is too slow for the camera displaces frames besides.
    let ledger = Connection::open(disk.join("ledger.db")).unwrap();
    let others = "SELECT count(*) FROM unjudged WHERE reason <> 'queue full'";
    let others: i64 = ledger.query_row(others, [], |row| row.get(0)).unwrap();
    assert_eq!(others, 0, "{told}");
}

/// A clock whose civil time jumps by an hour, forth and back, as by a time server's hand; monotonic time does not.
struct Stepping {
    clock: SystemClock,
    calls: AtomicU64,
}

impl Clock for Stepping {
    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn wall(&self) -> SystemTime {
        let hour = Duration::from_hours(1);
        match self.calls.fetch_add(1, Ordering::Relaxed) / 50 % 3 {
            0 => self.clock.wall(),
            1 => self.clock.wall() + hour,
            _ => self.clock.wall() - hour,
        }
    }
}

#[test]
fn a_clock_that_steps_by_an_hour_harms_neither_order_nor_latencies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut epochs = Vec::new();
    for _ in 0..3 {
        let clock: Arc<dyn Clock> =
            Arc::new(Stepping { clock: SystemClock::start(), calls: AtomicU64::new(0) });
        let retention = Retention { age_max: Duration::from_hours(24), bytes_max: u64::MAX };
        let file = LedgerOptions { path: path.clone(), retention };
        let ids = [CameraId("top".into())];
        let (ledger, accounts, found) = Ledger::open(file, &ids, Arc::clone(&clock)).unwrap();
        assert_eq!(found.crashed, []);
        let account = Arc::new(accounts.into_iter().next().unwrap());
        epochs.push(account.epoch());
        let out = Kept::default();
        let camera = options("test", &[("frames", "200")]);
        let cameras = vec![(account, camera)];
        let station = station_with(cameras, Some(ledger), support::engine(), out.clone(), clock);
        let report = station.run(&crossbeam_channel::never()).unwrap();
        let out = out.lines();
        assert!(report.balances[0].1.is_settled());
        let numbers: Vec<u64> = out.iter().map(|line| line["frame"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
        for line in &out {
            // An hour in a latency would be 3,600,000 ms; a busy machine may take a second.
            assert!((0.0..60_000.0).contains(&line["latency_ms"].as_f64().unwrap()), "{line}");
        }
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    let audit = Audit::open(&path).unwrap();
    let lanes = audit.lanes().unwrap();
    assert_eq!(lanes.len(), 3);
    for lane in lanes {
        assert!(lane.is_whole() && lane.verdicts == 200, "{lane:?}");
    }
}

#[test]
fn a_run_that_never_began_leaves_nothing_to_recover() {
    let scratch = Scratch::new();
    line(&scratch, "ledger.db", 3);
    let good = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let held = holder.local_addr().unwrap();
    let listen = format!("[http]\nlisten = \"{held}\"\n");
    for (bad, code) in [
        // A port that another program holds, and a pipeline that cannot be built.
        (format!("{listen}{good}"), 11),
        (good.replace("pattern = \"ball\"", "shape = \"ball\""), 3),
    ] {
        scratch.write("line.toml", bad);
        let output = scratch.run(&["run", "line.toml"]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    }
    scratch.write("line.toml", good);
    let output = scratch.run(&["run", "line.toml"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!stderr(&output).contains("were open when the last run ended"), "{}", stderr(&output));
    assert!(verify(&scratch, "ledger.db").contains("frames 1 to 3 ="));
}
