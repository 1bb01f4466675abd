//! The live channel as a page sees it: what comes, how often it is made, and what slow clients cost.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bundle::{
    calibration::Calibration,
    geometry::{RgbImage, Size},
};
use serde_json::Value;
use sightline::frame::Picture;

use crate::{
    line::options,
    service::{PATIENCE, Running},
    support::{self, SIDE, Scratch, picture, stderr},
    views::frames,
};

/// A line with a page, whose one camera is called "top".
fn line(scratch: &Scratch, model: &str, camera: &str) {
    let head = format!(
        "[model]\npath = \"{model}\"\n[judge]\nfalse_reject_rate = 0.02\n[output]\nformat = \"json\"\n\
         [ledger]\npath = \"ledger.db\"\n[http]\nlisten = \"127.0.0.1:0\"\npictures_per_second = 10\n"
    );
    let text = format!("{head}[[camera]]\nname = \"top\"\noverflow = \"every\"\n{camera}");
    scratch.write("line.toml", text);
}

/// The tiny model with calibration scores that put the threshold there, as a file.
fn write_model(scratch: &Scratch, threshold: f32) {
    let mut document = support::document(99);
    let class = &mut document.classes[0];
    let distances = class.calibration.as_ref().unwrap().distances().to_vec();
    let scores = vec![threshold; distances.len()];
    class.calibration = Some(Calibration::new(scores, distances, "test").unwrap());
    scratch.write("model.onnx", support::model(&document));
}

/// A client of the live channel.
struct Client(BufReader<TcpStream>);

impl Client {
    /// Asks for it, and reads nothing.
    fn ask(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // In the older protocol the stream is not in chunks.
        let request = format!("GET /api/v1/live HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        Self(BufReader::new(stream))
    }

    /// The next event's name and data; `None` at the end of the stream.
    fn next(&mut self) -> Option<(String, String)> {
        let (mut name, mut data) = (None, None);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match (line.trim_end(), name.take(), data.take()) {
                ("", Some(name), Some(data)) => return Some((name, data)),
                (line, before, _) => {
                    name = line.strip_prefix("event: ").map(str::to_owned).or(before);
                    data = line.strip_prefix("data: ").map(str::to_owned);
                }
            }
        }
    }

    /// The next event of that name.
    fn until(&mut self, wanted: &str) -> Value {
        loop {
            let (name, data) = self.next().expect("the stream goes on");
            if name == wanted {
                return serde_json::from_str(&data).unwrap();
            }
        }
    }
}

/// The bytes of a file that is served, where it is.
fn file(running: &Running, path: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(&running.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", running.address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    answer.starts_with(b"HTTP/1.0 200").then(|| answer.split_off(head + 4))
}

fn embedded(event: &Value, field: &str) -> image::DynamicImage {
    let bytes = STANDARD.decode(event[field].as_str().unwrap()).unwrap();
    image::load_from_memory(&bytes).unwrap()
}

/// Mean difference of two pictures' values.
fn apart(a: &RgbImage, b: &image::RgbImage) -> f64 {
    assert_eq!((a.size.width, a.size.height), b.dimensions());
    let sum: u64 =
        std::iter::zip(&a.pixels, b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.pixels.len() as f64
}

#[test]
fn events_show_each_frame_with_its_heat_and_say_what_changed() {
    let scratch = Scratch::new();
    let size = Size { width: SIDE, height: SIDE };
    let mut striped = picture(size, 5);
    for (at, value) in striped.pixels.iter_mut().enumerate() {
        *value = if at / 9 % 2 == 0 { 250 } else { 5 };
    }
    // The network's weights are random: whichever scores lower shall be the good part.
    let mut engine = support::engine();
    let mut pictures = [picture(size, 3), striped];
    let mut scores = [0, 1].map(|at: usize| support::infer(&mut engine, &pictures[at]).score);
    if scores[0] > scores[1] {
        pictures.swap(0, 1);
        scores.swap(0, 1);
    }
    write_model(&scratch, f32::midpoint(scores[0], scores[1]));
    for (name, image) in std::iter::zip(["a", "b"], &pictures) {
        scratch.write_picture(&format!("parts/{name}.png"), &image.view());
    }
    line(
        &scratch,
        "model.onnx",
        "preset = \"files\"\nparameters = { location = \"parts/*.png\" }\n",
    );
    let running = Running::start_with(&scratch, &["run", "--loop", "line.toml"], &[]);
    let mut client = Client::ask(&running.address);
    // At once: how the station is.
    let (name, data) = client.next().unwrap();
    let state: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&*name, &state["cameras"][0]["camera"]), ("state", &"top".into()));

    let mut seen = [false; 2];
    let mut last = 0;
    let mut reject = None;
    while seen != [true; 2] || reject.is_none() {
        let (name, data) = client.next().unwrap();
        let event: Value = serde_json::from_str(&data).unwrap();
        match &*name {
            "picture" => {
                let frame = event["frame"].as_u64().unwrap();
                assert!(frame > last, "{frame} after {last}");
                last = frame;
                let jpeg = embedded(&event, "jpeg").to_rgb8();
                let which = usize::from(apart(&pictures[1], &jpeg) < apart(&pictures[0], &jpeg));
                assert!(
                    apart(&pictures[which], &jpeg) < 25.0,
                    "{}",
                    apart(&pictures[which], &jpeg)
                );
                seen[which] = true;
                // What the network said about that picture, pixel by pixel.
                let map = support::infer(&mut engine, &pictures[which]).map();
                let heat = embedded(&event, "heat").to_luma8();
                assert_eq!(heat.dimensions(), (SIDE, SIDE));
                let threshold = event["threshold"].as_f64().unwrap();
                for (value, grey) in std::iter::zip(&map.values, heat.as_raw()) {
                    let expected = (f64::from(*value) / threshold * 128.0).clamp(0.0, 255.0);
                    assert!((expected - f64::from(*grey)).abs() < 1.5, "{expected} is {grey}");
                }
                let words = event["words"].as_str().unwrap();
                let begins = if event["decision"] == "pass" { "Good: " } else { "" };
                assert!(words.len() > 10 && words.starts_with(begins), "{event}");
                assert_eq!(event["decision"] == "pass", which == 0, "{event}");
                assert!(event["latency_ms"].as_f64().unwrap() > 0.0);
            }
            "points" => {
                for point in event.as_array().unwrap() {
                    assert_eq!(
                        (&point["camera"], &point["product"]),
                        (&"top".into(), &"wave".into())
                    );
                    assert!(point["score"].as_f64().is_some() && point["frame"].as_u64().is_some());
                }
            }
            "reject" => reject = Some(event),
            "state" => {}
            other => panic!("{other}"),
        }
    }
    let reject = reject.unwrap();
    assert_ne!(reject["decision"], "pass");
    assert_eq!(reject["is_false"], false);
    let jpeg = file(&running, reject["picture"].as_str().unwrap()).unwrap();
    assert!(apart(&pictures[1], &image::load_from_memory(&jpeg).unwrap().to_rgb8()) < 25.0);
    let heat = file(&running, reject["heat"].as_str().unwrap()).unwrap();
    assert_eq!(image::load_from_memory(&heat).unwrap().to_luma8().dimensions(), (SIDE, SIDE));
    // What changes is told to those who are there.
    assert_eq!(running.mode("pause").0, 200);
    while client.until("state")["state"] != "paused" {}
    assert_eq!(running.mode("run").0, 200);
    while client.until("state")["state"] != "running" {}
    client.until("picture");
    for (path, expected) in [
        ("/api/v1/trend?camera=top", 200),
        ("/api/v1/trend?camera=none", 404),
        ("/api/v1/trend", 400),
        ("/api/v1/trend?camera=top&also=this", 400),
        ("/api/v1/rejects/top/1/1/frame.jpg", 404),
        ("/api/v1/rejects/top/x/1/frame.jpg", 400),
        ("/api/v1/rejects/top/1/1/etc", 404),
        ("/api/v1/rejects/..%2f..%2fetc/1/1/frame.jpg", 404),
    ] {
        assert_eq!(running.get(path).0, expected, "{path}");
    }
    running.stop();
}

#[test]
fn a_defect_is_hottest_where_it_is() {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let clip = format!("{models}/demo.webm");
    // In the middle of a rest a good gear lies there.
    let played = sightline::camera::CameraOptions {
        scale_to: None,
        ..options("files", &[("location", &clip)])
    };
    let frames = frames(&played);
    let Picture::Pixels(pixels) = &frames[7].picture else { panic!("{:?}", frames[7]) };
    let mut part = pixels.view().to_image();
    let Size { width, height } = part.size;
    // A stain to the right, below the middle.
    let (left, top, side) = (width * 5 / 8, height * 9 / 16, width / 10);
    for y in top..top + side {
        for x in left..left + side {
            let at = 3 * (y * width + x) as usize;
            part.pixels[at..at + 3].copy_from_slice(&[250, 20, 200]);
        }
    }
    let scratch = Scratch::new();
    scratch.write_picture("parts/stained.png", &part.view());
    line(
        &scratch,
        &format!("{models}/demo.onnx"),
        "preset = \"files\"\nparameters = { location = \"parts/*.png\" }\n",
    );
    let running = Running::start_with(&scratch, &["run", "--loop", "line.toml"], &[]);
    let event = Client::ask(&running.address).until("picture");
    assert_ne!(event["decision"], "pass", "{event}");
    let heat = embedded(&event, "heat").to_luma8();
    let (x, y, grey) = heat.enumerate_pixels().max_by_key(|(_, _, grey)| grey.0).unwrap();
    assert!(grey.0[0] > 128, "{grey:?} is not above the threshold");
    let within = |at: u32, shown: u32, from: u32, of: u32| {
        let at = (f64::from(at) + 0.5) / f64::from(shown) * f64::from(of);
        // The network sees in steps of some pixels.
        let slack = f64::from(side) / 2.0;
        (f64::from(from) - slack..f64::from(from + side) + slack).contains(&at)
    };
    assert!(
        within(x, heat.width(), left, width) && within(y, heat.height(), top, height),
        "hottest at {x}, {y} of {}x{}",
        heat.width(),
        heat.height()
    );
    running.stop();
}

const ENCODES: &str = "sightline_live_encodes_total{for=\"tick\"}";
const TICKS: &str = "sightline_live_ticks_total";
const CLIENTS: &str = "sightline_live_clients";

/// Encodes and ticks until there were so many more ticks, the tick whose picture was being made at the start among them.
fn measured(running: &Running, ticks: i64) -> (i64, i64) {
    let (encodes, began) = (running.metric(ENCODES), running.metric(TICKS) - 1);
    // A machine that is busy ticks slowly.
    for some in (0..=ticks).step_by(10) {
        running.until("it ticks", |it| it.metric(TICKS) >= began + some);
    }
    // In this order: no tick is missed whose picture is counted.
    let encodes = running.metric(ENCODES) - encodes;
    (encodes, running.metric(TICKS) - began)
}

/// Of noise a picture takes 70 kB, and an event 90: whoever does not read is full soon.
const SNOW: &str = "preset = \"test\"\nparameters = { pattern = \"snow\", \
                    caps = \"video/x-raw,width=320,height=240,framerate=15/1\" }\n";
/// What a page may cost beside its clients' own sockets: the pictures of 50 rejects (4 MB), an event for each of 50 clients
/// (5 MB), buffers of 50 connections (2 MB), and as much again for what the allocator does not give back. Were what ten
/// clients do not read kept for them, it would be 10 x 100 x 90 kB = 90 MB.
const GROWTH_MAX_BYTES: i64 = 40_000_000;

#[test]
fn fifty_clients_of_which_ten_never_read_cost_no_encode_no_frame_and_little_memory() {
    let scratch = Scratch::new();
    // Below every score: each frame is a reject.
    write_model(&scratch, 0.0);
    line(&scratch, "model.onnx", SNOW);
    let running = Running::start_with(&scratch, &["run", "line.toml"], &[]);
    let judged = "sightline_frames_judged_total{camera=\"top\"}";
    running.until("frames are judged", |it| it.metric(judged) > 30);
    // Nobody watches: nothing is encoded but rejects.
    assert_eq!((running.metric(ENCODES), running.metric(TICKS)), (0, 0));

    // One client that reads.
    let is_over = Arc::new(AtomicBool::new(false));
    let seen: Arc<Mutex<BTreeMap<u64, String>>> = Arc::default();
    let reader = |index: usize| {
        let (address, is_over, seen) =
            (running.address.clone(), Arc::clone(&is_over), Arc::clone(&seen));
        let read = move || {
            let (mut pictures, mut last) = (0_u32, 0);
            // As a browser does it: a connection that has lived for long enough is followed by the next.
            while !is_over.load(Ordering::Relaxed) {
                let mut client = Client::ask(&address);
                while !is_over.load(Ordering::Relaxed) {
                    let Some((name, data)) = client.next() else { break };
                    if name != "picture" {
                        continue;
                    }
                    let json: Value = serde_json::from_str(&data).unwrap();
                    let frame = json["frame"].as_u64().unwrap();
                    assert!(frame >= last, "client {index}: {frame} after {last}");
                    (pictures, last) = (pictures + 1, frame);
                    let mut seen = seen.lock().unwrap();
                    // Few are enough to compare.
                    if seen.len() < 20 || seen.contains_key(&frame) {
                        let first = seen.entry(frame).or_insert_with(|| data.clone());
                        assert_eq!(*first, data, "all get the same bytes");
                    }
                }
            }
            pictures
        };
        std::thread::Builder::new().name(format!("client-{index}")).spawn(read).unwrap()
    };
    let mut readers = vec![reader(0)];
    running.until("it watches", |it| it.metric(CLIENTS) == 1);
    let (encodes, ticks) = measured(&running, 20);
    assert!(0 < encodes && encodes <= ticks, "{encodes} encodes at {ticks} ticks for one client");

    // And 49 more, ten of which never read.
    let before = running.metric("sightline_resident_bytes");
    let mut stalled: Vec<Client> = (0..10).map(|_| Client::ask(&running.address)).collect();
    readers.extend((1..40).map(reader));
    running.until("all watch", |it| it.metric(CLIENTS) == 50);
    // A few: who reads nothing for 20 s is let go of, and a busy machine ticks slowly.
    let (encodes, ticks) = measured(&running, 10);
    assert!(0 < encodes && encodes <= ticks, "{encodes} encodes at {ticks} ticks for fifty");
    let grown = running.metric("sightline_resident_bytes") - before;
    assert!(grown < GROWTH_MAX_BYTES, "{} MB more", grown / 1_000_000);
    assert_eq!(running.metric(CLIENTS), 50, "until here all of them were there");
    let (encodes, ticks) = measured(&running, 90);
    assert!(0 < encodes && encodes <= ticks, "{encodes} encodes at {ticks} ticks for most");

    // Who wakes up finds little that is old, and then the newest.
    let newest = *seen.lock().unwrap().keys().next_back().unwrap();
    let made = running.metric(ENCODES);
    let (mut old, mut is_newest_there) = (0, false);
    while let Some((name, data)) = stalled[0].next() {
        if name == "picture" {
            let json: Value = serde_json::from_str(&data).unwrap();
            // Several hundred frames later.
            if json["frame"].as_u64().unwrap() > newest + 100 {
                is_newest_there = true;
                break;
            }
            old += 1;
        }
    }
    assert!(old < made / 4, "{old} old pictures of {made} waited");
    assert!(
        is_newest_there || running.metric(CLIENTS) < 50,
        "it got no new one, and was not let go of"
    );

    // That the engine's thread waits for nothing here is shown beside it, with every lock held (`live`, `production`).
    assert_eq!(running.metric("sightline_live_skipped_total{what=\"picture\"}"), 0);
    // What is kept is bounded.
    let (_, rejects) = running.get("/api/v1/rejects");
    let rejects: Value = serde_json::from_str(&rejects).unwrap();
    let frames: Vec<_> =
        rejects.as_array().unwrap().iter().map(|row| row["frame"].as_u64().unwrap()).collect();
    assert_eq!(frames.len(), 50);
    assert!(frames.first() > frames.last(), "the newest first: {frames:?}");
    let (_, trend) = running.get("/api/v1/trend?camera=top");
    let trend: Value = serde_json::from_str(&trend).unwrap();
    let points = trend["products"]["wave"].as_array().unwrap().len();
    assert!((1..=300).contains(&points), "{points}");
    assert_eq!(niceness(running.child.id(), "page"), Some(5));

    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > 0, "everyone who reads sees pictures");
    }
    drop(stalled);
    running.until("all are gone", |it| it.metric(CLIENTS) == 0);
    let ticks = running.metric(TICKS);
    let after = running.metric(judged) + 30;
    running.until("frames are judged", |it| it.metric(judged) > after);
    // One may have been on its way.
    assert!(running.metric(TICKS) <= ticks + 1);
    running.stop();
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}

/// How far a process's thread of that name steps back for others.
fn niceness(process: u32, thread: &str) -> Option<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.flatten().find_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        // The fields after the name, which is in brackets: the state is the third of all, the niceness the nineteenth.
        let fields = stat.rsplit_once(')')?.1.split_whitespace();
        (name.trim() == thread).then(|| fields.clone().nth(16)?.parse().ok())?
    })
}
