//! The way of a frame, from real GStreamer pipelines through ONNX Runtime to lines and the ledger's account.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bundle::{
    calibration::RejectRate,
    geometry::{Geometry, RgbImage, Size},
};
use crossbeam_channel::Receiver;
use sightline::{
    camera::CameraOptions,
    channel::Overflow,
    engine::{Engine, EngineError, golden::Candidate},
    frame::Picture,
    inspector::Inspector,
    judge::{Judge, Recipe, Unrated},
    ledger::Balance,
    shutdown::StopRequested,
    sinks::stdout::{Stdout, Style},
    state::State,
    station::{Report, Station},
};

use crate::{
    line::{INPUT, Kept, options, station},
    support::{self, Around, SIDE, Scratch, json_lines, picture, stderr},
};

fn never() -> Receiver<StopRequested> {
    crossbeam_channel::never()
}

fn balance(report: &Report) -> Balance {
    assert_eq!(report.balances.len(), 1);
    report.balances[0].1
}

/// An engine that takes its time.
fn slowed(by_millis: u64) -> impl Engine {
    Around::engine(move |engine, input| {
        std::thread::sleep(Duration::from_millis(by_millis));
        engine.infer(input)
    })
}

#[test]
fn under_every_a_slow_engine_holds_the_camera_back_and_judges_every_frame() {
    let out = Kept::default();
    let camera = options("test", &[("frames", "60")]);
    let report = station(vec![camera], slowed(10), out.clone()).run(&never()).unwrap();
    let balance = balance(&report);
    assert!(balance.is_settled(), "{balance}");
    assert_eq!((balance.captured, balance.judged, balance.dropped_total()), (60, 60, 0));
    let numbers: Vec<_> = out.lines().iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
}

#[test]
fn under_latest_a_slow_engine_costs_frames_and_every_one_is_accounted_for() {
    let out = Kept::default();
    let camera = CameraOptions {
        overflow: Overflow::Latest,
        ..options("test", &[("frames", "400"), ("caps", "video/x-raw,width=64,height=64")])
    };
    let report = station(vec![camera], slowed(20), out.clone()).run(&never()).unwrap();
    let balance = balance(&report);
    assert!(balance.is_settled(), "{balance}");
    assert_eq!(balance.captured, 400);
    assert!(balance.dropped_total() > 0, "{balance}");
    // A line for each frame that was judged; no line may be lost while the reader is quick.
    let numbers: Vec<_> = out.lines().iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len() as u64 + report.lines_lost, balance.judged);
    assert!(numbers.is_sorted() && numbers.last() == Some(&400), "the newest frame is judged");
}

#[test]
fn two_cameras_are_judged_by_one_engine_and_accounted_for_apart() {
    let out = Kept::default();
    let side = options("test", &[("frames", "30"), ("pattern", "ball")]);
    let cameras = vec![options("test", &[("frames", "50")]), side];
    let report = station(cameras, support::engine(), out.clone()).run(&never()).unwrap();
    let judged: Vec<_> = report.balances.iter().map(|(id, b)| (id.to_string(), b.judged)).collect();
    assert_eq!(judged, [("top".to_owned(), 50), ("side".to_owned(), 30)]);
    for (camera, frames) in [("top", 50), ("side", 30)] {
        let lines = out.lines();
        let numbers =
            lines.iter().filter(|line| line["camera"] == camera).map(|line| &line["frame"]);
        assert!(numbers.map(|n| n.as_u64().unwrap()).eq(1..=frames), "{camera}");
    }
}

/// Standard output that tells when something was written to it.
struct Told {
    written: crossbeam_channel::Sender<()>,
    /// Whether it ever comes back from there.
    is_stuck: bool,
}

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Full: it was told before.
        let _told = self.written.try_send(());
        if self.is_stuck {
            std::thread::sleep(Duration::from_mins(10));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a station and asks it to stop as soon as the first line is written.
fn run_until_the_first_line(
    camera: CameraOptions,
    is_stuck: bool,
) -> Result<Report, sightline::fault::Fault> {
    let mut station = station(vec![camera], slowed(5), Kept::default());
    let (written, first_line) = crossbeam_channel::bounded(1);
    station.sink = Stdout::start(Told { written, is_stuck }, Style::Text, None).unwrap();
    if is_stuck {
        station.drain_within = Duration::from_millis(500);
    }
    let (request, stop) = crossbeam_channel::bounded(1);
    let asker = std::thread::spawn(move || {
        first_line.recv().unwrap();
        if is_stuck {
            // Until whatever can fill up has.
            std::thread::sleep(Duration::from_secs(2));
        }
        request.send(StopRequested).unwrap();
    });
    let report = station.run(&stop);
    asker.join().unwrap();
    report
}

#[test]
fn a_request_to_stop_drains_what_was_captured() {
    let balance = balance(&run_until_the_first_line(options("test", &[]), false).unwrap());
    assert!(balance.is_settled() && balance.judged > 0, "{balance}");
}

#[test]
fn a_reader_that_sleeps_does_not_keep_a_stopped_station_alive() {
    // A clip that is judged to its end, with lines left; and one that holds a full queue, the engine and the camera.
    for frames in ["20", "1000"] {
        let camera = options("test", &[("frames", frames)]);
        let fault = run_until_the_first_line(camera, true).unwrap_err();
        let told = fault.to_string();
        assert!(told.starts_with("not drained within 0.5 s: sink-stdout"), "{told}");
        assert!(told.contains("captured"), "{told}");
        assert_eq!(fault.class.exit_code(), 8);
    }
}

/// Writes nothing after the first line, as a pipe whose reader has gone.
struct Gone;

impl io::Write for Gone {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_is_gone_ends_the_run() {
    let mut station = station(vec![options("test", &[])], support::engine(), Kept::default());
    station.sink = Stdout::start(Gone, Style::Text, None).unwrap();
    let fault = station.run(&never()).unwrap_err();
    assert_eq!(fault.class.exit_code(), 8);
    assert!(fault.to_string().contains("standard output"), "{fault}");
}

#[test]
fn a_frame_that_the_engine_failed_at_is_a_fault_and_never_a_pass() {
    let out = Kept::default();
    // It takes the golden frames and no other.
    let mut golden = support::document(99).golden.len();
    let engine = Around::engine(move |engine, input| {
        if golden == 0 {
            return Err(EngineError::Run { cause: "out of memory".into() });
        }
        golden -= 1;
        engine.infer(input)
    });
    let camera = options("test", &[("frames", "5")]);
    let report = station(vec![camera], engine, out.clone()).run(&never()).unwrap();
    let balance = balance(&report);
    assert!(balance.is_settled(), "{balance}");
    assert_eq!((balance.judged, balance.faulted_total()), (0, 5));
    for line in out.lines() {
        assert_eq!(line["decision"], "fault");
        assert!(line["reason"].as_str().unwrap().contains("out of memory"));
    }
}

#[test]
fn stills_are_numbered_in_order_and_a_corrupt_one_is_one_fault_in_its_place() {
    let scratch = Scratch::new();
    for (name, seed) in [("1.png", 1), ("3.png", 3), ("5.png", 5)] {
        scratch.write_picture(
            &format!("parts/{name}"),
            &picture(Size { width: 50, height: 37 }, seed).view(),
        );
    }
    scratch.write_picture("parts/2.png", &picture(Size { width: 33, height: 90 }, 2).view());
    let whole = std::fs::read(scratch.path("parts/1.png")).unwrap();
    scratch.write("parts/4.png", &whole[..whole.len() / 2]);
    scratch.write("parts/readme.txt", "no image");
    let out = Kept::default();
    let location = scratch.path("parts").display().to_string();
    let camera = options("files", &[("location", &location)]);
    let report = station(vec![camera], support::engine(), out.clone()).run(&never()).unwrap();
    let balance = balance(&report);
    assert!(balance.is_settled(), "{balance}");
    assert_eq!((balance.captured, balance.judged, balance.faulted_total()), (5, 4, 1));
    for (index, line) in out.lines().iter().enumerate() {
        let expected = format!("{}.png", index + 1);
        assert!(line["origin"].as_str().unwrap().ends_with(&expected), "{line}");
        assert_eq!(line["frame"], index as u64 + 1);
        assert_eq!(line["decision"] == "fault", index == 3, "{line}");
    }
}

#[test]
fn the_engine_gets_the_mapped_buffer_itself() {
    let camera = support::camera("top", &options("test", &[("frames", "3")])).unwrap();
    let frames = camera.frames().clone();
    let (event, _events) = crossbeam_channel::bounded(1);
    let playing = camera.play(event).unwrap();
    let document = support::document(99);
    let rate = RejectRate::new(0.02).unwrap();
    let judge = Judge::new(&document.classes, &Recipe::of(rate, Unrated::Refused)).unwrap();
    let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
    let watch = Arc::clone(&seen);
    let engine = Around::engine(move |engine, input| {
        watch.lock().unwrap().push(input.row(0).as_ptr() as usize);
        engine.infer(input)
    });
    let engine = Candidate::new(engine).verify(&document).unwrap();
    seen.lock().unwrap().clear();
    let mut inspector =
        Inspector::new(engine, Geometry::square(SIDE), vec![judge], support::label());
    let mut mapped = Vec::new();
    for frame in &frames {
        let Picture::Pixels(pixels) = &frame.picture else { panic!("{frame:?}") };
        // `camera::pixels` shows that this is GStreamer's buffer; here, that nobody copies it on the way.
        mapped.push(pixels.view().row(0).as_ptr() as usize);
        inspector.inspect(pixels.view(), 0).unwrap();
    }
    assert!(playing.join());
    assert_eq!(mapped.len(), 3);
    assert_eq!(*seen.lock().unwrap(), mapped);
}

/// Mean difference of two pictures of one size, in grey levels.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    let sum: u64 = a.pixels.iter().zip(&b.pixels).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.pixels.len() as f64
}

#[test]
fn a_frame_can_carry_the_buffer_that_it_was_scaled_from() {
    let caps = "video/x-raw,format=NV12,width=320,height=200";
    let camera = CameraOptions {
        keep_full: true,
        ..options("test", &[("frames", "3"), ("pattern", "snow"), ("caps", caps)])
    };
    let camera = support::camera("top", &camera).unwrap();
    let frames = camera.frames().clone();
    let (event, _events) = crossbeam_channel::bounded(1);
    let playing = camera.play(event).unwrap();
    let (mut scaled, mut from_full) = (Vec::new(), Vec::new());
    for frame in &frames {
        let full = frame.full.as_ref().unwrap().to_rgb().unwrap();
        assert_eq!(full.size, Size { width: 320, height: 200 });
        let Picture::Pixels(pixels) = &frame.picture else { panic!("{frame:?}") };
        scaled.push(pixels.view().to_image());
        from_full.extend(Geometry::square(SIDE).input_from_frame(&full.view()).unwrap());
    }
    assert!(playing.join());
    assert_eq!(scaled.len(), 3);
    for (index, scaled) in scaled.iter().enumerate() {
        assert_eq!(scaled.size, INPUT);
        // Snow is another picture in every frame: each is nearest to its own.
        let nearest = (0..3).min_by(|&a, &b| {
            difference(scaled, &from_full[a]).total_cmp(&difference(scaled, &from_full[b]))
        });
        assert_eq!(nearest, Some(index));
    }
}

/// In a process of its own: other tests would grow this one's memory.
#[test]
fn memory_does_not_grow_with_the_number_of_frames() {
    let scratch = Scratch::new();
    scratch.write(
        "line.toml",
        "[model]\npath = \"model.onnx\"\n[engine]\nthreads = 1\n[judge]\nfalse_reject_rate = 0.02\n\
         [[camera]]\nname = \"top\"\npreset = \"test\"\noverflow = \"every\"\nrealtime = false\n\
         parameters = { frames = 20000, caps = \"video/x-raw,width=32,height=32,framerate=30/1\" }\n",
    );
    let mut child = scratch
        .command(&["run", "line.toml"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    let lines = io::BufRead::lines(io::BufReader::new(child.stdout.take().unwrap()));
    let (mut count, mut early_kib, mut late_kib) = (0_u32, 0, 0);
    for line in lines {
        line.unwrap();
        count += 1;
        if count == 2_000 {
            early_kib = resident().unwrap();
        } else if count > 2_000 && count % 500 == 0 && count <= 19_500 {
            late_kib = late_kib.max(resident().unwrap());
        }
    }
    let output = child.wait_with_output().unwrap();
    let told = stderr(&output);
    assert!(output.status.success(), "{told}");
    assert_eq!(count, 20_000);
    assert!(told.contains("captured 20000 = judged 20000 + dropped 0 + faulted 0"), "{told}");
    assert!(
        early_kib > 0 && late_kib < early_kib + 8 * 1024,
        "{early_kib} KiB, later {late_kib} KiB"
    );
}

#[test]
fn a_video_is_decoded_judged_and_repeated_by_the_built_binary() {
    let scratch = Scratch::new();
    encode(&scratch, "belt.webm", 12);
    let config = |more: &str| {
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[[camera]]\nname = \"belt\"\n\
             preset = \"files\"\nparameters = {{ location = \"belt.webm\" }}\noverflow = \"every\"\n{more}"
        )
    };
    scratch.write("line.toml", config(""));
    let output = scratch.run(&["run", "line.toml", "--fast"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = json_lines(&output);
    let numbers: Vec<_> = lines.iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    assert!(stderr(&output).contains("captured 12 = judged 12"), "{}", stderr(&output));

    // Repeated, it goes on until it is asked to stop, and drains then.
    let child = scratch
        .command(&["run", "line.toml", "--fast", "--loop"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = child;
    let mut reader = io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for _ in 0..40 {
        line.clear();
        assert!(io::BufRead::read_line(&mut reader, &mut line).unwrap() > 0);
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut rest = String::new();
    io::Read::read_to_string(&mut reader, &mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let total = 40 + rest.lines().count();
    let told = stderr(&output);
    assert!(told.contains(&format!("captured {total} = judged {total}")), "{total} lines: {told}");
}

/// A video of bars, encoded by GStreamer's own tool.
fn encode(scratch: &Scratch, name: &str, frames: u32) {
    let path = scratch.path(name).display().to_string();
    let status = std::process::Command::new("gst-launch-1.0")
        .args(["-q", "videotestsrc", &format!("num-buffers={frames}")])
        .args([
            "!",
            "video/x-raw,width=128,height=96,framerate=30/1",
            "!",
            "vp8enc",
            "!",
            "webmmux",
        ])
        .args(["!", "filesink", &format!("location={path}")])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn an_engine_that_no_longer_agrees_with_its_golden_frames_judges_nothing_until_it_does() {
    let lies = Arc::new(AtomicBool::new(false));
    let is_lying = Arc::clone(&lies);
    let engine = Around::engine(move |engine, input| {
        let mut inference = engine.infer(input)?;
        if is_lying.load(Ordering::Acquire) {
            inference.score -= 0.01;
        }
        Ok(inference)
    });
    let out = Kept::default();
    let camera = CameraOptions {
        realtime: true,
        ..options("test", &[("caps", "video/x-raw,width=32,height=32,framerate=50/1")])
    };
    let station = Station {
        golden_every: Duration::from_millis(100),
        ..station(vec![camera], engine, out.clone())
    };
    let board = Arc::clone(&station.board);
    let (stop, stops) = crossbeam_channel::bounded(1);
    let running = std::thread::spawn(move || station.run(&stops).unwrap());
    let until = |state: State| {
        let began = std::time::Instant::now();
        while board.condition().state() != state {
            assert!(began.elapsed() < Duration::from_mins(1), "{}", board.condition());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(State::Running);
    lies.store(true, Ordering::Release);
    until(State::Fault);
    let last = |is_so: fn(&serde_json::Value) -> bool| {
        let began = std::time::Instant::now();
        while !out.lines().last().is_some_and(is_so) {
            assert!(began.elapsed() < Duration::from_mins(1), "{:?}", out.lines().last());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    last(|line| line["reason"].is_string());
    lies.store(false, Ordering::Release);
    until(State::Running);
    last(|line| !line["reason"].is_string());
    stop.send(StopRequested).unwrap();
    let report = running.join().unwrap();
    let balance = balance(&report);
    assert!(balance.is_settled() && balance.judged > 0 && balance.faulted_total() > 0, "{balance}");
    let reasons: Vec<_> =
        out.lines().iter().filter_map(|line| line["reason"].as_str().map(str::to_owned)).collect();
    assert!(!reasons.is_empty());
    for reason in reasons {
        assert!(
            reason.starts_with("the engine is not trusted: engine refused: at golden frame"),
            "{reason}"
        );
    }
    assert!(out.lines().last().unwrap()["reason"].is_null());
}
