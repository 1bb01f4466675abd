//! The archive beside a running line: whatever ends the process, fills the disk or floods it, pictures and rows agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bundle::geometry::Size;
use rusqlite::Connection;
use sightline::{
    archive::{ArchiveOptions, Caps, Intake, Means, Store, Tally},
    camera::CameraOptions,
    clock::{Clock, SystemClock},
    engine::Engine,
    frame::CameraId,
    ledger::{Ledger, LedgerOptions, Retention},
    shutdown::StopRequested,
    station::{Report, Station},
};

use crate::{
    ledger::SmallDisk,
    line::{INPUT, Kept, options, station_with},
    service::Running,
    support::{self, Around, Scratch, json_lines, stderr, stdout},
};

/// Long enough for the slowest machine; a hang fails the test.
const PATIENCE: Duration = Duration::from_mins(1);
/// A camera whose pictures are larger than the model's input.
const CAPS: &str = "video/x-raw,width=96,height=64,framerate=30/1";
const LARGE: Size = Size { width: 96, height: 64 };
/// Everything that there is, for ever.
const EVERYTHING: Caps = Caps {
    bytes_max: u64::MAX,
    frames_max: 10_000,
    age_max: Duration::from_hours(24),
    free_min_bytes: 0,
};

/// The tiny network, which sees a good part whatever the camera shows, and a bad or a strange one where `sees` says so.
fn engine(slowed_ms: u64, sees: impl Fn(u64) -> &'static str + Send + 'static) -> impl Engine {
    let (mut calls, mut good) = (0, None);
    Around::engine(move |engine, input| {
        std::thread::sleep(Duration::from_millis(slowed_ms));
        calls += 1;
        // The golden frames are seen as they are.
        let Some(frame) = u64::checked_sub(calls, 3) else { return engine.infer(input) };
        let good = match &good {
            Some(good) => good,
            none => {
                let seen = support::infer(engine, &support::picture(INPUT, 5));
                assert!(none.is_none());
                &*good.insert(seen)
            }
        };
        let mut seen = good.clone();
        match sees(frame) {
            "fail" => {
                seen.anomaly_map *= 10.0;
                seen.score *= 10.0;
            }
            "unknown-product" => seen.embedding *= -1.0,
            _ => {}
        }
        Ok(seen)
    })
}

/// A station with ledger and archive in the folder, and what it counts.
fn station(
    scratch: &Scratch,
    camera: CameraOptions,
    engine: impl Engine + 'static,
    keeps: (u64, Caps),
    out: Kept,
) -> (Station, Arc<Tally>) {
    station_by(Arc::new(SystemClock::start()), scratch, camera, engine, keeps, out)
}

/// Civil time from a day on that is always the same, and with it the epochs: names of frames do not go by chance.
struct SameDay(SystemClock);

impl Clock for SameDay {
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(500_000) + self.0.monotonic()
    }
}

/// By a clock of its own.
fn station_by(
    clock: Arc<dyn Clock>,
    scratch: &Scratch,
    camera: CameraOptions,
    engine: impl Engine + 'static,
    (passes_every, caps): (u64, Caps),
    out: Kept,
) -> (Station, Arc<Tally>) {
    let retention = Retention { age_max: Duration::from_hours(24), bytes_max: u64::MAX };
    let path = scratch.path("ledger.db");
    let file = LedgerOptions { path: path.clone(), retention };
    let ids = [CameraId("top".into())];
    let (ledger, accounts, _) = Ledger::open(file, &ids, Arc::clone(&clock)).unwrap();
    let account = Arc::new(accounts.into_iter().next().unwrap());
    let camera = CameraOptions { keep_full: true, ..camera };
    let (rows, epoch) = (ledger.evidence(), ledger.epoch());
    let mut station =
        station_with(vec![(account, camera)], Some(ledger), engine, out, Arc::clone(&clock));
    let tally = Arc::new(Tally::default());
    let board = Arc::clone(&station.board);
    let means = Means { rows, board, tally: Arc::clone(&tally), clock, epoch };
    let options = ArchiveOptions { ledger: path, passes_every, caps, jpeg_quality: 92 };
    let store = Store::open(&scratch.path("archive")).unwrap();
    station.onlookers.push(Box::new(Intake::start(store, options, means).unwrap()));
    (station, tally)
}

/// Runs until so many are kept: of those that passed, of no known product, and refused. How many frames that takes is
/// the machine's matter.
fn run_until_kept(station: Station, tally: &Arc<Tally>, enough: [u64; 3]) -> Report {
    let (stop, stops) = crossbeam_channel::bounded(1);
    let tally = Arc::clone(tally);
    let watch = std::thread::spawn(move || {
        let began = Instant::now();
        let kept = || {
            let kept: BTreeMap<_, _> = tally.kept().collect();
            ["pass", "unknown-product", "fail"].map(|kind| kept[kind])
        };
        while std::iter::zip(kept(), enough).any(|(kept, enough)| kept < enough) {
            assert!(began.elapsed() < PATIENCE, "only {:?} are kept", kept());
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.send(StopRequested).unwrap();
    });
    let report = station.run(&stops).unwrap();
    watch.join().unwrap();
    report
}

/// More frames than any machine needs, one after the other as a camera gives them.
fn endless() -> CameraOptions {
    CameraOptions { realtime: true, ..camera(5_000) }
}

fn camera(frames: u32) -> CameraOptions {
    options("test", &[("frames", &frames.to_string()), ("caps", CAPS)])
}

/// What the ledger says of pictures: decision and state with its reason, by `camera/epoch/number`.
fn rows(scratch: &Scratch) -> BTreeMap<String, (String, String)> {
    let connection = Connection::open(scratch.path("ledger.db")).unwrap();
    let query = "SELECT l.camera || '/' || l.epoch || '/' || e.number, e.decision,
            e.state || coalesce(': ' || e.reason, '') FROM evidence e JOIN lane l ON l.id = e.lane";
    let mut statement = connection.prepare(query).unwrap();
    let rows =
        statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn states(scratch: &Scratch) -> BTreeMap<(String, String), usize> {
    let mut states = BTreeMap::new();
    for state in rows(scratch).into_values() {
        *states.entry(state).or_default() += 1;
    }
    states
}

/// The folders three deep in the archive.
fn folders(archive: &Path) -> BTreeSet<String> {
    let names = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().map(Result::unwrap);
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        folders.map(|entry| entry.file_name().into_string().unwrap()).collect()
    };
    let mut found = BTreeSet::new();
    for camera in names(archive) {
        for epoch in names(&archive.join(&camera)) {
            for frame in names(&archive.join(&camera).join(&epoch)) {
                found.insert(format!("{camera}/{epoch}/{frame}"));
            }
        }
    }
    found
}

fn is_unfinished(frame: &str) -> bool {
    frame.strip_suffix(".tmp").is_some()
}

/// Every row that says `kept` has its whole folder.
fn check_kept(scratch: &Scratch, archive: &Path) {
    for (frame, (decision, state)) in rows(scratch) {
        if state != "kept" {
            continue;
        }
        let folder = archive.join(&frame);
        let verdict = std::fs::read(folder.join("verdict.json"))
            .unwrap_or_else(|error| panic!("{frame} is kept, but: {error}"));
        let verdict: serde_json::Value = serde_json::from_slice(&verdict).unwrap();
        assert_eq!(verdict["decision"], *decision);
        for file in ["frame.jpg", "heat.png", "mask.png"] {
            match image::open(folder.join(file)) {
                Ok(picture) => {
                    assert_eq!(verdict["evidence"]["width"], picture.width(), "{frame}/{file}");
                }
                Err(error) => assert!(file == "mask.png" && !folder.join(file).exists(), "{error}"),
            }
        }
    }
}

/// After an end in order: rows and folders are the same, nothing is left over, each refused frame has a row.
fn check(scratch: &Scratch, archive: &Path) {
    check_kept(scratch, archive);
    let kept: BTreeSet<String> = rows(scratch)
        .into_iter()
        .filter(|(_, (_, state))| state == "kept")
        .map(|(frame, _)| frame)
        .collect();
    assert_eq!(folders(archive), kept);
    let archive = archive.to_str().unwrap();
    let verified = scratch.run(&["ledger", "verify", "ledger.db", "--archive", archive]);
    assert!(verified.status.success(), "{}\n{}", stdout(&verified), stderr(&verified));
}

#[test]
fn what_is_refused_is_kept_at_full_resolution_and_its_folder_explains_itself() {
    let scratch = Scratch::new();
    let out = Kept::default();
    let sees = |frame| ["pass", "fail", "pass", "unknown-product"][frame as usize % 4];
    let (station, tally) =
        station(&scratch, endless(), engine(60, sees), (3, EVERYTHING), out.clone());
    let report = run_until_kept(station, &tally, [2, 3, 3]);
    assert!(report.balances[0].1.is_settled());
    check(&scratch, &scratch.path("archive"));
    let lines = out.lines();
    let rows = rows(&scratch);
    let mut passes = 0;
    for line in &lines {
        let id = format!("top/{}/{}", line["epoch"], line["frame"]);
        let row = rows.get(&id);
        if line["decision"] == "pass" {
            // The first, the fourth, ...
            assert_eq!(row.is_some(), passes % 3 == 0, "{id}");
            passes += 1;
            continue;
        }
        assert_eq!(row.map(|row| &*row.0), line["decision"].as_str());
        let folder = scratch.path("archive").join(&id);
        // On a machine that is busy with something else one may be missing; then its row says so.
        if !folder.exists() {
            assert_eq!(row.unwrap().1, "missing: busy");
            continue;
        }
        let told = std::fs::read_to_string(folder.join("verdict.json")).unwrap();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        for (field, value) in line.as_object().unwrap() {
            assert_eq!(told[field], *value, "{field}");
        }
        assert_eq!(told["evidence"]["resolution"], "full");
        let frame = image::open(folder.join("frame.jpg")).unwrap();
        assert_eq!((frame.width(), frame.height()), (LARGE.width, LARGE.height));
        let heat = image::open(folder.join("heat.png")).unwrap().into_luma8();
        let mask = image::open(folder.join("mask.png")).unwrap().into_luma8();
        assert_eq!((heat.dimensions(), mask.dimensions()), ((96, 64), (96, 64)));
        for (heat, mask) in std::iter::zip(heat.pixels(), mask.pixels()) {
            // 128 is at the threshold, rounded to either side.
            let is_above = mask.0[0] == 255;
            assert!(if is_above { heat.0[0] >= 128 } else { heat.0[0] <= 128 && mask.0[0] == 0 });
        }
        let above = mask.pixels().filter(|pixel| pixel.0[0] == 255).count();
        assert_eq!(above > 0, line["decision"] == "fail", "{id}: {above}");
    }
    assert!(passes > 3, "{passes}");
    assert_eq!(tally.waiting(), 0);
}

#[test]
fn under_a_flood_of_rejects_the_cap_holds_and_what_passed_goes_first() {
    let scratch = Scratch::new();
    // First what passes, then a flood. A frame takes five blocks of 4096 bytes, or six.
    let sees = |frame| match frame {
        0..30 => "pass",
        30..60 => "unknown-product",
        _ => "fail",
    };
    let caps = Caps { bytes_max: 30 * 5 * 4096, ..EVERYTHING };
    let (station, tally) =
        station(&scratch, camera(160), engine(50, sees), (1, caps), Kept::default());
    let (watched, is_done) =
        (Arc::clone(&tally), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let done = Arc::clone(&is_done);
    let watch = std::thread::spawn(move || {
        let mut most = 0;
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            most = most.max(watched.bytes());
            std::thread::sleep(Duration::from_millis(1));
        }
        most
    });
    let report = station.run(&crossbeam_channel::never()).unwrap();
    is_done.store(true, std::sync::atomic::Ordering::Release);
    assert_eq!(report.balances[0].1.judged, 160);
    let most = watch.join().unwrap();
    assert!(most > 0 && most <= caps.bytes_max, "{most}");
    check(&scratch, &scratch.path("archive"));
    let states = states(&scratch);
    assert_eq!(states.values().sum::<usize>(), 160, "{states:?}");
    let count = |decision: &str, state: &str| {
        let found = states.iter().filter(|((d, s), _)| d == decision && s.starts_with(state));
        found.map(|(_, count)| *count).sum::<usize>()
    };
    assert!(count("fail", "kept") > 0, "{states:?}");
    assert!(count("pass", "removed: size") > 0, "{states:?}");
    // Rejects went only when nothing else was left.
    if count("fail", "removed") > 0 {
        assert_eq!(count("pass", "kept") + count("unknown-product", "kept"), 0, "{states:?}");
    }
    if count("unknown-product", "removed") > 0 {
        assert_eq!(count("pass", "kept"), 0, "{states:?}");
    }
}

/// A line of the built binary with ledger and archive.
fn line(scratch: &Scratch, archive: &str, more: &str) {
    scratch.write(
        "line.toml",
        format!(
            // A rate at which two of three of these pictures are refused.
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.5\n[output]\nformat = \"json\"\n\
             [ledger]\npath = \"ledger.db\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [archive]\npath = \"{archive}\"\npasses_every = 2\nfree_min_mb = 0\n\
             [[camera]]\nname = \"top\"\npreset = \"test\"\n\
             parameters = {{ pattern = \"ball\", caps = \"{CAPS}\"{more} }}\n"
        ),
    );
}

fn start(scratch: &Scratch) -> Child {
    let mut command = scratch.command(&["run", "line.toml"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// How often the process is killed; `make soak` does it a hundred times.
fn kills() -> u32 {
    std::env::var("SIGHTLINE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

#[test]
fn after_kill_9_no_row_is_without_its_pictures_and_no_reject_without_a_row() {
    let scratch = Scratch::new();
    line(&scratch, "archive", "");
    let archive = scratch.path("archive");
    let mut printed = Vec::new();
    let mut leftovers = 0;
    for round in 0..kills() {
        let mut child = start(&scratch);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        let reader = std::thread::spawn(move || output.lines().map_while(Result::ok).collect());
        std::thread::sleep(Duration::from_millis(u64::from(round) * 379 % 1_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let lines: Vec<String> = reader.join().unwrap();
        printed.extend(lines.into_iter().chain([first]));
        // At any moment, and whatever the next start repairs.
        check_kept(&scratch, &archive);
        leftovers += folders(&archive).iter().filter(|name| is_unfinished(name)).count();
    }
    line(&scratch, "archive", ", frames = 3");
    let last = scratch.run(&["run", "line.toml"]);
    assert!(last.status.success(), "{}", stderr(&last));
    check(&scratch, &archive);
    eprintln!("{leftovers} folders were found half written and are gone");
    let rows = rows(&scratch);
    let ledger = Connection::open(scratch.path("ledger.db")).unwrap();
    let has_verdict = "SELECT count(*) FROM verdict v JOIN lane l ON l.id = v.lane WHERE l.epoch = ?1 AND v.number = ?2";
    let mut has_verdict = ledger.prepare(has_verdict).unwrap();
    let mut refused = 0;
    for line in printed {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
        if line["decision"] == "pass" || line["decision"] == "fault" {
            continue;
        }
        let (epoch, number) = (line["epoch"].as_i64().unwrap(), line["frame"].as_i64().unwrap());
        let verdicts: i64 = has_verdict.query_row([epoch, number], |row| row.get(0)).unwrap();
        // What the crash closed as faulted is no reject in the ledger.
        if verdicts == 1 {
            refused += 1;
            assert!(rows.contains_key(&format!("top/{epoch}/{number}")), "{line}");
        }
    }
    assert!(refused > kills() as usize, "{refused}");
    assert!(rows.values().any(|(_, state)| state == "kept"));
}

#[test]
fn a_full_disk_is_told_costs_pictures_alone_and_is_recovered_from() {
    let scratch = Scratch::new();
    let disk = scratch.path("disk");
    let Some(_mounted) = SmallDisk::mount(&disk, 4_000) else { return };
    line(&scratch, "disk/archive", "");
    let running = Running::start(&scratch, &[]);
    let kept = |it: &Running| -> i64 {
        let of = |decision| {
            it.metric(&format!("sightline_evidence_kept_total{{decision=\"{decision}\"}}"))
        };
        of("pass") + of("fail") + of("unknown-product")
    };
    let missing = |it: &Running| -> i64 {
        let of =
            |reason| it.metric(&format!("sightline_evidence_missing_total{{reason=\"{reason}\"}}"));
        // Where nothing is missing, one reject goes for the next.
        let gone = it.metric("sightline_evidence_removed_total{bound=\"free space\"}");
        of("no room") + of("not written") + gone
    };
    running.until("pictures are kept", |it| kept(it) > 3);
    // Everything that is left, to the last byte; and what the archive gives up for new pictures is taken as well.
    let ballast = disk.join("ballast");
    let fill = || {
        let mut file = std::fs::File::options().create(true).append(true).open(&ballast).unwrap();
        let _full = std::io::copy(&mut std::io::repeat(0), &mut file);
    };
    running.until("it is degraded", |it| {
        fill();
        let (_, told) = it.get("/readyz");
        missing(it) >= 3 && told.contains("degraded") && told.contains("archive")
    });
    let judged = || running.metric("sightline_frames_judged_total{camera=\"top\"}");
    let before = judged();
    running.until("inspection goes on", |_| judged() > before + 10);
    std::fs::remove_file(&ballast).unwrap();
    let before = kept(&running);
    running.until("pictures are kept again", |it| kept(it) > before + 3);
    running.until("it is running", |it| it.get("/readyz") == (200, "running\n".into()));
    running.stop();
    check(&scratch, &disk.join("archive"));
}

#[test]
fn where_inodes_are_used_up_some_go_for_the_next_and_not_all_of_them() {
    let scratch = Scratch::new();
    let disk = scratch.path("disk");
    // Room for megabytes, and names for some 58 frames of four files and a folder each.
    let Some(_mounted) = SmallDisk::mount_with(&disk, "size=64m,nr_inodes=300") else { return };
    line(&scratch, "disk/archive", "");
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    let capped = text.replace("free_min_mb = 0", "free_min_mb = 1\nsize_max_mb = 20");
    scratch.write("line.toml", capped);
    let running = Running::start(&scratch, &[]);
    let gone = "sightline_evidence_removed_total{bound=\"free space\"}";
    let fewest = std::cell::Cell::new(i64::MAX);
    running.until("some go again and again", |it| {
        let removed = it.metric(gone);
        if removed > 0 {
            fewest.set(fewest.get().min(it.metric("sightline_archive_frames")));
        }
        removed > 40
    });
    assert!(fewest.get() > 20, "only {} were left of 58", fewest.get());
    let (_, told) = running.get("/readyz");
    assert!(told.contains("degraded") && told.contains("archive"), "{told}");
    for reason in ["no room", "not written"] {
        let missing = format!("sightline_evidence_missing_total{{reason=\"{reason}\"}}");
        assert_eq!(running.metric(&missing), 0, "{reason}");
    }
    running.stop();
    check(&scratch, &disk.join("archive"));
}

#[test]
fn a_start_finds_what_is_gone_adopts_what_has_no_row_and_touches_nothing_else() {
    let scratch = Scratch::new();
    let sees = |_| "fail";
    let run = || {
        let (station, tally) =
            station(&scratch, endless(), engine(40, sees), (1, EVERYTHING), Kept::default());
        run_until_kept(station, &tally, [0, 0, 3]);
    };
    run();
    let archive = scratch.path("archive");
    let first = folders(&archive);
    assert!(first.len() >= 3, "{first:?}");
    let mut names = first.iter();
    let (gone, rowless) = (names.next().unwrap(), names.next().unwrap());
    std::fs::remove_dir_all(archive.join(gone)).unwrap();
    let lane = archive.join(rowless).parent().unwrap().to_owned();
    let forget = "DELETE FROM evidence WHERE number = ?1";
    let number: i64 = rowless.rsplit('/').next().unwrap().parse().unwrap();
    let ledger = Connection::open(scratch.path("ledger.db")).unwrap();
    assert_eq!(ledger.execute(forget, [number]).unwrap(), 1);
    drop(ledger);
    // Half a folder of ours, and what people put there.
    std::fs::create_dir(lane.join("99.tmp")).unwrap();
    std::fs::write(lane.join("99.tmp/frame.jpg"), "half").unwrap();
    let foreign = ["notes.txt", "top/notes.txt", "other camera!/1/1/frame.jpg"];
    let foreign: Vec<_> = foreign.iter().map(|name| archive.join(name)).collect();
    let mine = [lane.join("7.jpg"), lane.join("old/frame.jpg"), lane.join("98.tmp/mine.txt")];
    for path in foreign.iter().chain(&mine) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "somebody's").unwrap();
    }
    run();
    let rows = rows(&scratch);
    assert_eq!(rows[gone].1, "missing: gone");
    assert_eq!(rows[rowless].1, "kept");
    assert!(!lane.join("99.tmp").exists());
    for path in foreign.iter().chain(&mine) {
        assert!(path.exists(), "{}", path.display());
    }
    check_kept(&scratch, &archive);
    // A new ledger beside an old archive: everything is found again, and nothing removed for want of a row.
    std::fs::remove_file(scratch.path("ledger.db")).unwrap();
    // A numbering is named by the second it began in, or one later: what a new ledger begins must be another's.
    std::thread::sleep(Duration::from_secs(3));
    let before = folders(&archive);
    run();
    assert!(before.is_subset(&folders(&archive)));
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}\n{}", stdout(&verified), stderr(&verified));
    let kept = rows_kept(&scratch);
    assert!(first.iter().filter(|name| *name != gone).all(|name| kept.contains(name)), "{kept:?}");
}

fn rows_kept(scratch: &Scratch) -> BTreeSet<String> {
    let kept = rows(scratch).into_iter().filter(|(_, (_, state))| state == "kept");
    kept.map(|(frame, _)| frame).collect()
}

#[test]
fn pictures_are_served_by_name_and_nothing_else_leaves_the_archive() {
    let scratch = Scratch::new();
    line(&scratch, "archive", "");
    let running = Running::start(&scratch, &[]);
    let archive = scratch.path("archive");
    let began = Instant::now();
    let frame = loop {
        if let Some(frame) = folders(&archive).into_iter().find(|name| !is_unfinished(name)) {
            break frame;
        }
        assert!(began.elapsed() < PATIENCE, "nothing is kept");
        std::thread::sleep(Duration::from_millis(50));
    };
    let get = |path: &str| running.get(&format!("/api/v1/evidence/{path}"));
    for (file, starts) in
        [("frame.jpg", "\u{fffd}\u{fffd}"), ("heat.png", "\u{fffd}PNG"), ("verdict.json", "{")]
    {
        let (status, body) = get(&format!("{frame}/{file}"));
        assert!(status == 200 && body.starts_with(starts), "{file}: {status}");
    }
    std::fs::write(scratch.path("secret"), "secret").unwrap();
    let (lane, _) = frame.rsplit_once('/').unwrap();
    let (camera, epoch) = lane.split_once('/').unwrap();
    // What people put there, under names of ours: links out of the archive, to a file and to a folder.
    std::fs::create_dir(archive.join(lane).join("777")).unwrap();
    symlink(scratch.path("secret"), archive.join(lane).join("777/frame.jpg")).unwrap();
    std::fs::create_dir_all(scratch.path("outside/1/1")).unwrap();
    std::fs::write(scratch.path("outside/1/1/frame.jpg"), "secret").unwrap();
    symlink(scratch.path("outside"), archive.join("link")).unwrap();
    symlink(scratch.path("outside/1/1"), archive.join(lane).join("778")).unwrap();
    std::fs::write(archive.join(lane).join("secret"), "secret").unwrap();
    for path in [
        format!("{lane}/777/frame.jpg"),
        format!("{lane}/778/frame.jpg"),
        "link/1/1/frame.jpg".into(),
        format!("{frame}/secret"),
        format!("{frame}/../secret"),
        format!("{frame}/..%2fsecret"),
        format!("{frame}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret"),
        format!("{camera}/{epoch}/../../../secret"),
        format!("{camera}/{epoch}/..%2f..%2f..%2fsecret/frame.jpg"),
        "%2e%2e/outside/1/frame.jpg".into(),
        "../outside/1/frame.jpg".into(),
        "..%2foutside/1/1/frame.jpg".into(),
        format!("%2fetc/{epoch}/1/frame.jpg"),
        "/etc/passwd".into(),
        format!("{camera}/{epoch}/+1/frame.jpg"),
        format!("{camera}/{epoch}/01/frame.jpg"),
        format!("{camera}/{epoch}/1.tmp/frame.jpg"),
        format!("{camera}/{epoch}/1%00/frame.jpg"),
        format!("{camera}/{epoch}/99999999/frame.jpg"),
        format!("{camera}/{epoch}/99999999999999999999999/frame.jpg"),
        format!("{frame}/frame.jpg%00.png"),
        format!("{frame}/"),
    ] {
        let (status, body) = get(&path);
        assert!(
            [400, 404].contains(&status) && !body.contains("secret"),
            "{path}: {status} {body}"
        );
    }
    assert_eq!(running.get("/healthz").0, 200);
    running.stop();
}

fn an_interrupted_export_is_not_mixed_with_the_next(scratch: &Scratch, good: usize) {
    // A slash at the end is no other name.
    std::fs::create_dir(scratch.path("more.unfinished")).unwrap();
    let export = ["ledger", "export", "ledger.db", "--evidence", "--as", "mvtec", "--out", "more/"];
    let interrupted = scratch.run(&export);
    assert_eq!(interrupted.status.code(), Some(8), "{}", stderr(&interrupted));
    assert!(stderr(&interrupted).contains("remove it first"), "{}", stderr(&interrupted));
    std::fs::remove_dir(scratch.path("more.unfinished")).unwrap();
    assert!(scratch.run(&export).status.success());
    let count = |folder: &str| std::fs::read_dir(scratch.path(folder)).map_or(0, Iterator::count);
    assert_eq!(count("more/wave/train/good") + count("more/wave/test/good"), good);
}

#[test]
fn the_loop_from_the_line_to_the_training_folder() {
    let scratch = Scratch::new();
    let sees =
        |frame| ["pass", "fail", "pass", "pass", "unknown-product", "pass"][frame as usize % 6];
    let out = Kept::default();
    let clock = Arc::new(SameDay(SystemClock::start()));
    let keeps = (1, EVERYTHING);
    let (station, tally) =
        station_by(clock, &scratch, endless(), engine(50, sees), keeps, out.clone());
    run_until_kept(station, &tally, [24, 3, 3]);
    check(&scratch, &scratch.path("archive"));
    let rows = rows(&scratch);
    let kept = |decision: &str| -> Vec<&String> {
        let kept = rows.iter().filter(|(_, (d, state))| d == decision && state == "kept");
        kept.map(|(frame, _)| frame).collect()
    };
    // Two people look: one reject was none, of another that was taken back.
    let ledger = Connection::open(scratch.path("ledger.db")).unwrap();
    let fails = kept("fail");
    for (frame, detail) in [
        (fails[0], "good part of wave: no to yes"),
        (fails[1], "good part of wave: no to yes"),
        (fails[1], "good part of wave: yes to no"),
    ] {
        let note = "INSERT INTO event (time_us, kind, who, subject, detail) VALUES (0, 'false-reject', 'ann', ?1, ?2)";
        ledger.execute(note, [frame, detail]).unwrap();
    }
    drop(ledger);
    let export = |form: &str, out: &str| {
        let output = scratch.run(&[
            "ledger",
            "export",
            "ledger.db",
            "--evidence",
            "--as",
            form,
            "--out",
            out,
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
    };
    export("mvtec", "parts");
    let count = |folder: &str| std::fs::read_dir(scratch.path(folder)).map_or(0, Iterator::count);
    let good = kept("pass").len() + 1;
    // One of five, by its name: where it is, it stays.
    let (train, test) = (count("parts/wave/train/good"), count("parts/wave/test/good"));
    assert_eq!(train + test, good);
    assert!(test < train, "{test} of {good} kept from training");
    assert_eq!(count("parts/wave/test/defect"), fails.len() - 1);
    assert_eq!(count("parts/wave/ground_truth/defect"), fails.len() - 1);
    assert_eq!(count("parts/unknown-product/to-sort"), kept("unknown-product").len());
    let stem = fails[1].replace('/', "-");
    let frame = image::open(scratch.path(&format!("parts/wave/test/defect/{stem}.jpg"))).unwrap();
    let mask = scratch.path(&format!("parts/wave/ground_truth/defect/{stem}_mask.png"));
    let mask = image::open(mask).unwrap();
    assert_eq!((frame.width(), frame.height()), (mask.width(), mask.height()));
    export("zip", "parts.zip");
    let zip = std::fs::File::open(scratch.path("parts.zip")).unwrap();
    let mut zip = zip::ZipArchive::new(zip).unwrap();
    let all = rows.values().filter(|(_, state)| state == "kept").count();
    let manifest = std::io::read_to_string(zip.by_name("manifest.csv").unwrap()).unwrap();
    assert_eq!(manifest.lines().count(), all + 1);
    assert_eq!(manifest.matches(",fail,true,wave,").count(), 1, "{manifest}");
    for frame in rows.iter().filter(|(_, (_, state))| state == "kept").map(|(frame, _)| frame) {
        let mut bytes = Vec::new();
        let mut file = zip.by_name(&format!("{frame}/frame.jpg")).unwrap();
        std::io::copy(&mut file, &mut bytes).unwrap();
        assert_eq!(
            bytes,
            std::fs::read(scratch.path("archive").join(frame).join("frame.jpg")).unwrap()
        );
    }
    // What is there is not written over, and of a time without pictures there is nothing to write.
    let again = scratch.run(&[
        "ledger",
        "export",
        "ledger.db",
        "--evidence",
        "--as",
        "mvtec",
        "--out",
        "parts",
    ]);
    assert_eq!(again.status.code(), Some(8), "{}", stderr(&again));
    an_interrupted_export_is_not_mixed_with_the_next(&scratch, train + test);
    let until = "2000-01-01T00:00:00Z";
    let none = scratch.run(&[
        "ledger",
        "export",
        "ledger.db",
        "--evidence",
        "--until",
        until,
        "--out",
        "none",
    ]);
    assert_eq!(none.status.code(), Some(7), "{}", stderr(&none));
    assert!(!scratch.path("none").exists() && !scratch.path("none.unfinished").exists());
    let rows = json_lines(&scratch.run(&["ledger", "export", "ledger.db", "--format", "json"]));
    let judged = rows.iter().filter(|row| row["disposition"] == "judged");
    assert_eq!(judged.count(), out.lines().len());
}

#[test]
fn an_archive_without_a_ledger_and_one_in_use_are_told() {
    let scratch = Scratch::new();
    line(&scratch, "archive", ", frames = 3");
    let good = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    scratch.write("line.toml", good.replace("[ledger]\npath = \"ledger.db\"\n", ""));
    let output = scratch.run(&["run", "line.toml"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("set ledger.path as well"), "{}", stderr(&output));
    scratch.write("line.toml", good);
    let held = Store::open(&scratch.path("archive")).unwrap();
    let output = scratch.run(&["run", "line.toml"]);
    assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
    assert!(stderr(&output).contains("another sightline writes it"), "{}", stderr(&output));
    drop(held);
    let output = scratch.run(&["run", "line.toml"]);
    assert!(output.status.success(), "{}", stderr(&output));
}
