//! Calibrating on site, by the command and beside a running line.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use bundle::{
    calibration_file::CalibrationFile,
    geometry::{RgbImage, Size},
};

use sightline::judge::appearance::Appearance;

use crate::{
    ledger::SmallDisk,
    service::{self, Running},
    support::{self, SIDE, Scratch, picture, stderr, stdout},
};

const INPUT: Size = Size { width: SIDE, height: SIDE };

/// A line that plays the folder `parts`, at a rate of 2 %: 99 frames.
fn line(scratch: &Scratch, parts: u32) {
    for seed in 0..parts {
        scratch.write_picture(&format!("parts/{seed:04}.png"), &picture(INPUT, seed).view());
    }
    scratch.write(
        "line.toml",
        "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n\
         [[camera]]\nname = \"top\"\npreset = \"files\"\nparameters = { location = \"parts\" }\n",
    );
}

/// Bytes from 0 to `highest`, others for each seed.
fn noise(seed: u32, highest: u32) -> RgbImage {
    let mut state = seed.wrapping_mul(2_654_435_761);
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 16) % (highest + 1)) as u8
    };
    RgbImage { size: INPUT, pixels: (0..SIDE * SIDE * 3).map(|_| byte()).collect() }
}

/// Parts that differ by some grain only.
fn grainy(seed: u32) -> RgbImage {
    let mut part = picture(INPUT, 0);
    for (value, grain) in std::iter::zip(&mut part.pixels, noise(seed, 12).pixels) {
        *value = value.saturating_add(grain);
    }
    part
}

fn file(scratch: &Scratch) -> CalibrationFile {
    CalibrationFile::read(&scratch.path("model.calibration.json")).unwrap()
}

const CALIBRATE: [&str; 5] = ["calibrate", "line.toml", "--product", "wave", "--fast"];

fn calibrate(scratch: &Scratch, more: &[&str]) -> std::process::Output {
    scratch.run(&[&CALIBRATE[..], more].concat())
}

#[test]
fn what_is_collected_is_what_the_engine_says_about_each_part() {
    let scratch = Scratch::new();
    line(&scratch, 110);
    let output = calibrate(&scratch, &[]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{told}{}", stderr(&output));
    assert!(told.contains("99 good parts from camera top"), "{told}");
    assert!(told.contains("rates from 2.0000 %; the configured 2.0000 % holds"), "{told}");
    // The same parts through the same network, in this process.
    let mut engine = support::engine();
    let parts = (0..99).map(|seed| picture(INPUT, seed));
    let mut scores: Vec<f32> =
        parts.clone().map(|part| support::infer(&mut engine, &part).score).collect();
    scores.sort_by(f32::total_cmp);
    let file = file(&scratch);
    let wave = &file.classes["wave"];
    assert_eq!(wave.scores(), scores);
    assert_eq!((wave.count(), wave.distances().len()), (99, 99));
    let looks = parts.filter_map(|part| Appearance::of(std::iter::once(part.view())));
    let looks: Vec<Appearance> = looks.collect();
    let mean = |of: fn(&Appearance) -> f32| {
        looks.iter().map(|look| f64::from(of(look))).sum::<f64>() / 99.0
    };
    assert!((wave.brightness().unwrap().mean - mean(|look| look.brightness)).abs() < 1e-6);
    assert!((wave.focus().unwrap().mean - mean(|look| look.focus)).abs() < 1e-6);
    let session = &file.collected["wave"].sessions[0];
    assert_eq!((session.frames, session.faults, session.repeats), (99, 0, 0));
    // These are the frames that the model was calibrated on.
    assert_eq!(session.refused_before, Some(0));
    let check = scratch.run(&["check", "line.toml"]);
    let told = stdout(&check);
    assert_eq!(check.status.code(), Some(0), "{told}");
    assert!(
        told.contains("model.calibration.json over the model's own; false-reject rates: wave from 2.0000 % (99 frames)"),
        "{told}"
    );
    let show = stdout(&scratch.run(&["calibrate", "show", "model.calibration.json"]));
    assert!(show.contains("wave: 99 frames (0 excluded") && show.contains("brightness"), "{show}");
}

#[test]
fn a_suspicious_part_is_shown_stays_in_and_leaves_by_a_persons_word_only() {
    let scratch = Scratch::new();
    line(&scratch, 0);
    for seed in 0..149 {
        let part = if seed == 100 { noise(0, 255) } else { grainy(seed) };
        scratch.write_picture(&format!("parts/{seed:04}.png"), &part.view());
    }
    let output = calibrate(&scratch, &["--count", "149"]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{told}{}", stderr(&output));
    let before = file(&scratch);
    let collected = &before.collected["wave"];
    assert_eq!(collected.sessions[0].suspicious, 1, "{told}");
    let listed = &collected.for_review;
    let odd = listed.iter().find(|frame| frame.id == 101);
    let odd = odd.unwrap_or_else(|| panic!("the odd part is not among {listed:?}: {told}"));
    assert!(odd.frame.starts_with("top/") && odd.frame.ends_with("/101"), "{}", odd.frame);
    assert!(told.contains("still in the calibration") && told.contains("exclude"), "{told}");
    assert_eq!((before.classes["wave"].count(), before.classes["wave"].excluded()), (149, 0));
    assert!(before.classes["wave"].distances().contains(&odd.distance));
    let name = odd.picture.as_ref().unwrap();
    let drawn = image::open(scratch.path("model.calibration.review").join(name)).unwrap();
    // Beside its heat map.
    assert!(drawn.width() > 2 * SIDE && drawn.height() > SIDE);
    let output = scratch.run(&[
        "calibrate",
        "exclude",
        "model.calibration.json",
        "--product",
        "wave",
        "101",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // Three ranks of 150 now: the rate still holds, with one frame less it would not.
    assert!(stdout(&output).contains("149 frames (1 excluded"), "{}", stdout(&output));
    let after = file(&scratch);
    assert_eq!((after.classes["wave"].count(), after.classes["wave"].excluded()), (149, 1));
    assert!(!after.classes["wave"].distances().contains(&odd.distance));
    assert_eq!(scratch.run(&["check", "line.toml"]).status.code(), Some(0));
    let unknown = ["calibrate", "exclude", "model.calibration.json", "--product", "wave", "7777"];
    let output = scratch.run(&unknown);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no frame 7777 for review"), "{}", stderr(&output));
    assert_eq!(file(&scratch), after);
}

#[test]
fn a_folder_of_good_parts_is_measured_too_and_more_can_be_added() {
    let scratch = Scratch::new();
    line(&scratch, 99);
    scratch.write("parts/broken.png", "no picture");
    let images = ["--images", "parts"];
    let output = calibrate(&scratch, &images);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("broken.png: not judged, not collected"));
    let first = file(&scratch);
    assert_eq!(first.collected["wave"].sessions[0].faults, 1);
    for seed in 0..100 {
        scratch.write_picture(&format!("more/{seed:04}.png"), &picture(INPUT, 500 + seed).view());
    }
    let output = calibrate(&scratch, &["--images", "more", "--append"]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(told.contains("has 199 frames") && told.contains("rates from 1.0000 %"), "{told}");
    let both = file(&scratch);
    assert_eq!(both.classes["wave"].count(), 199);
    assert_eq!(both.collected["wave"].sessions.len(), 2);
    // The camera gives the very same values as the folder that it plays.
    std::fs::remove_file(scratch.path("parts/broken.png")).unwrap();
    let output = calibrate(&scratch, &["--every", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(file(&scratch).classes["wave"].scores(), first.classes["wave"].scores());
    let show = scratch.run(&["calibrate", "show", "model.calibration.json"]);
    assert!(stdout(&show).contains("wave"), "{}{}", stdout(&show), stderr(&show));
}

#[test]
fn what_cannot_be_calibrated_is_told_and_nothing_is_written() {
    let scratch = Scratch::new();
    line(&scratch, 20);
    let check = |arguments: &[&str], code, word: &str| {
        let output = scratch.run(&[&["calibrate"], arguments].concat());
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(word), "{arguments:?}: `{word}` is not in: {told}");
        assert!(!scratch.path("model.calibration.json").exists(), "{arguments:?}");
    };
    let wave = ["line.toml", "--product", "wave", "--fast"];
    let with = |more: &[&'static str]| [&wave[..], more].concat();
    check(&[], 2, "CONFIG");
    check(&["line.toml"], 2, "--product");
    check(&["line.toml", "--product", "lid"], 3, "it knows wave");
    check(&with(&["--camera", "side"]), 3, "no camera \"side\"");
    check(&with(&["--count", "0"]), 2, "0 frames");
    check(&with(&["--count", "1000000"]), 2, "the most that are taken");
    check(&with(&["--count", "98"]), 3, "needs 99");
    check(&with(&["--every", "0"]), 2, "--every");
    check(&with(&["--into", "nowhere/line.json"]), 8, "cannot be written");
    check(&with(&["--into", "."]), 8, "cannot be written");
    check(&with(&["--images", "nowhere"]), 7, "nowhere");
    check(&wave, 7, "the source ended after 20 of 99 good parts; nothing is written");
    check(&with(&["--keep-partial"]), 3, "20 frames of \"wave\"");
    CalibrationFile::of_model("f".repeat(64)).write(&scratch.path("other.json")).unwrap();
    check(&with(&["--into", "other.json"]), 4, "belongs to another model");
    scratch.write("broken.json", "{");
    check(&with(&["--into", "broken.json"]), 4, "not valid");
    check(&["show", "nowhere.json"], 4, "cannot be read");
    // A person may want it all the same.
    let output = calibrate(&scratch, &["--keep-partial", "--allow-unrated"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("needs 99 and is not promised"), "{}", stdout(&output));
    assert_eq!(file(&scratch).classes["wave"].count(), 20);
}

#[test]
fn parts_that_stand_still_are_told_to_be_repeats() {
    let scratch = Scratch::new();
    line(&scratch, 0);
    for number in 0..99 {
        scratch.write_picture(&format!("parts/{number:04}.png"), &picture(INPUT, 1).view());
    }
    let output = calibrate(&scratch, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("98 frames are exact repeats"), "{}", stderr(&output));
}

#[test]
fn a_command_that_is_stopped_writes_nothing() {
    let scratch = Scratch::new();
    line(&scratch, 1);
    scratch.write(
        "line.toml",
        "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n\
         [[camera]]\nname = \"top\"\npreset = \"test\"\n\
         parameters = { caps = \"video/x-raw,width=64,height=64,framerate=5/1\" }\n",
    );
    let mut child = scratch
        .command(&["calibrate", "line.toml", "--product", "wave", "--count", "90000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    told.read_line(&mut first).unwrap();
    assert!(first.starts_with("collecting 90000 good parts of wave"), "{first}");
    // Anywhere while the engine loads or frames come.
    std::thread::sleep(Duration::from_secs(2));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    let told = rest;
    assert_eq!(child.wait().unwrap().code(), Some(7), "{told}");
    assert!(told.contains("stopped after ") && told.contains("nothing is written"), "{told}");
    assert!(!scratch.path("model.calibration.json").exists());
}

#[test]
fn a_full_disk_leaves_the_file_of_before() {
    let scratch = Scratch::new();
    line(&scratch, 120);
    let disk = scratch.path("disk");
    let Some(_mounted) = SmallDisk::mount(&disk, 400) else { return };
    let into = ["--into", "disk/line.json"];
    assert_eq!(calibrate(&scratch, &into).status.code(), Some(0));
    let before = std::fs::read(disk.join("line.json")).unwrap();
    let _full = std::fs::write(disk.join("ballast"), vec![0_u8; 400 << 10]);
    let output = calibrate(&scratch, &[&into[..], &["--after", "10"]].concat());
    assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("disk/line") && told.contains("cannot be written"), "{told}");
    assert_eq!(std::fs::read(disk.join("line.json")).unwrap(), before);
    let left = std::fs::read_dir(&disk).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| !name.to_str().unwrap().ends_with("review")).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// The shipped model on parts of the shipped clip: gears, eight pictures of a broken one among them.
#[test]
fn a_broken_gear_among_good_ones_is_found_and_a_wrong_product_is_refused() {
    let scratch = Scratch::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    std::fs::copy(shipped.join("demo.onnx"), scratch.path("model.onnx")).unwrap();
    let clip = shipped.join("demo.webm").display().to_string();
    scratch.write(
        "line.toml",
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.2\n\
             [[camera]]\nname = \"belt\"\npreset = \"files\"\nparameters = {{ location = \"{clip}\" }}\n"
        ),
    );
    let calibrate = |more: &[&str]| {
        scratch.run(&[&["calibrate", "line.toml", "--product", "gear", "--fast"], more].concat())
    };
    // The belt carries eight products.
    let output = calibrate(&["--count", "100"]);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(stderr(&output).contains("nearer to another product"), "{}", stderr(&output));
    let location = format!("location={clip}");
    let capture = ["capture", "--preset", "files", "--set", &location, "--product", "all"];
    let output = scratch.run(&[&capture[..], &["--into", "parts", "--fast"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let truth = std::fs::read_to_string(shipped.join("demo.truth.jsonl")).unwrap();
    let mut broken = BTreeSet::new();
    for (index, line) in truth.lines().enumerate() {
        let truth: serde_json::Value = serde_json::from_str(line).unwrap();
        if truth["state"] == "rest" && truth["product"] == "gear" {
            let name = format!("{:06}.png", index + 1);
            let from = scratch.path("parts/all/train/good").join(&name);
            std::fs::create_dir_all(scratch.path("gears")).unwrap();
            std::fs::copy(from, scratch.path("gears").join(&name)).unwrap();
            if truth["area_fraction"].as_f64().unwrap() > 0.0 {
                broken.insert(format!("gears/{name}"));
            }
        }
    }
    assert_eq!(broken.len(), 8);
    let output = calibrate(&["--images", "gears"]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{told}{}", stderr(&output));
    let before = file(&scratch);
    let listed = &before.collected["gear"].for_review;
    assert!(before.collected["gear"].sessions[0].suspicious > 0, "{told}");
    assert!(listed.len() >= 5 && listed.iter().all(|it| broken.contains(&it.frame)), "{told}");
    // A person looks at the pictures, and takes them out.
    let ids: Vec<String> = listed.iter().map(|frame| frame.id.to_string()).collect();
    let mut arguments = vec!["calibrate", "exclude", "model.calibration.json", "--product", "gear"];
    arguments.extend(ids.iter().map(String::as_str));
    let output = scratch.run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (before, after) = (&before.classes["gear"], &file(&scratch).classes["gear"]);
    assert_eq!((after.count(), after.excluded()), (before.count(), ids.len()));
    assert!(after.scores().last() < before.scores().last());
}

const API: &str = "/api/v1/calibration";
const JSON: &str = "Content-Type: application/json\r\n";

fn post(running: &Running, path: &str, body: &str) -> (u16, String) {
    running.request(&format!("POST {API}{path}"), JSON, body)
}

fn standing(running: &Running) -> serde_json::Value {
    let (status, body) = running.get(API);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn a_running_line_is_calibrated_while_verdicts_go_on() {
    let scratch = Scratch::new();
    service::line(&scratch);
    // So that a frame which is missing is the collection's doing, and not a busy machine's.
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    let every = "preset = \"test\"\noverflow = \"every\"\n";
    scratch.write("line.toml", text.replace("preset = \"test\"\n", every));
    let running = Running::start(&scratch, &[]);
    assert_eq!(standing(&running), serde_json::json!({ "state": "none", "last": null }));
    let begin = "{\"camera\":\"top\",\"product\":\"wave\",\"count\":120}";
    let (status, body) = post(&running, "", begin);
    assert_eq!(status, 202, "{body}");
    assert!(body.contains("\"state\":\"collecting\"") && body.contains("\"wanted\":120"), "{body}");
    assert_eq!(post(&running, "", begin).0, 409);
    let (status, body) = post(&running, "/finish", "{}");
    assert!(status == 409 && body.contains("of 120 frames"), "{body}");
    running.until("all are collected", |it| standing(it)["state"] == "ready");
    let now = standing(&running);
    assert_eq!((&now["collected"], &now["support"]["is_supported"]), (&120.into(), &true.into()));
    // An excluded frame costs a rank, which 120 frames do not have.
    let (status, body) = post(&running, "/exclude", "{\"frames\":[5]}");
    assert_eq!(status, 200, "{body}");
    let (status, body) = post(&running, "/finish", "{}");
    assert!(status == 422 && body.contains("1 excluded"), "{body}");
    assert!(!scratch.path("model.calibration.json").exists());
    assert_eq!(post(&running, "/exclude", "{\"frames\":[121]}").0, 422);
    assert_eq!(post(&running, "/exclude", "{\"frames\":[]}").0, 200);
    let listed = now["for_review"].as_array().unwrap();
    assert!(listed.len() >= 5, "{now}");
    for frame in listed.iter().filter(|frame| !frame["picture"].is_null()) {
        let (status, png) = running.get(frame["picture"].as_str().unwrap());
        assert!(status == 200 && png.contains("PNG"), "{frame}");
    }
    assert_eq!(running.get(&format!("{API}/pictures/1/0")).0, 404);
    let judged = "sightline_frames_judged_total{camera=\"top\"}";
    let before = running.metric(judged);
    let (status, body) = post(&running, "/finish", "{}");
    assert_eq!(status, 200, "{body}");
    let done: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&done["support"]["frames"], &done["is_reloading"]),
        (&120.into(), &true.into()),
        "{body}"
    );
    assert_eq!(file(&scratch).classes["wave"].count(), 120);
    assert_eq!(post(&running, "/finish", "{}").0, 409);
    running.until("the new calibration is taken", |_| {
        let events = stdout(&scratch.run(&["ledger", "events", "ledger.db"]));
        events.contains("calibration-finished") && events.contains("engine: tiny 1")
    });
    running.until("verdicts go on", |it| it.metric(judged) > before + 5);
    running.stop();
    let events = stdout(&scratch.run(&["ledger", "events", "ledger.db"]));
    for kind in ["calibration-started", "calibration-excluded", "calibration-refused"] {
        assert!(events.contains(kind), "{events}");
    }
    assert!(!events.contains("reload-refused"), "{events}");
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    // Collecting and swapping dropped no frame.
    let stats = stdout(&scratch.run(&["ledger", "stats", "ledger.db"]));
    assert!(!stats.contains("dropped") && !stats.contains("faulted"), "{stats}");
}

#[test]
fn a_full_disk_beside_a_running_line_can_be_emptied_and_tried_again() {
    let scratch = Scratch::new();
    let disk = scratch.path("disk");
    let Some(_mounted) = SmallDisk::mount(&disk, 400) else { return };
    service::line(&scratch);
    let text = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    let model = "path = \"model.onnx\"\n";
    let named = format!("{model}calibration = \"disk/line.json\"\n");
    scratch.write("line.toml", text.replace(model, &named));
    let bytes = std::fs::read(scratch.path("model.onnx")).unwrap();
    let sha256 = bundle::model_file::read_bytes(&bytes).unwrap().sha256;
    let empty = CalibrationFile::of_model(sha256);
    let path = disk.join("line.json");
    empty.write(&path).unwrap();
    let running = Running::start(&scratch, &[]);
    let begin = "{\"camera\":\"top\",\"product\":\"wave\"}";
    assert_eq!(post(&running, "", begin).0, 202);
    running.until("all are collected", |it| standing(it)["state"] == "ready");
    let _full = std::fs::write(disk.join("ballast"), vec![0_u8; 400 << 10]);
    let (status, body) = post(&running, "/finish", "{}");
    assert!(status == 500 && body.contains("cannot be written"), "{body}");
    assert_eq!(CalibrationFile::read(&path).unwrap(), empty);
    let now = standing(&running);
    assert_eq!((&now["state"], &now["collected"]), (&"ready".into(), &99.into()), "{now}");
    std::fs::remove_file(disk.join("ballast")).unwrap();
    let (status, body) = post(&running, "/finish", "{}");
    assert_eq!(status, 200, "{body}");
    assert_eq!(CalibrationFile::read(&path).unwrap().classes["wave"].count(), 99);
    running.stop();
}

#[test]
fn a_wrong_wish_is_refused_and_a_line_that_stops_writes_nothing() {
    let scratch = Scratch::new();
    service::line(&scratch);
    let running = Running::start(&scratch, &[]);
    for (path, body, expected, word) in [
        ("", "{\"camera\":\"side\",\"product\":\"wave\"}", 422, "there are top"),
        ("", "{\"camera\":\"top\",\"product\":\"lid\"}", 422, "it knows wave"),
        ("", "{\"camera\":\"top\",\"product\":\"wave\",\"count\":0}", 422, "0 frames"),
        ("", "{\"camera\":\"top\",\"product\":\"wave\",\"count\":98}", 422, "needs 99"),
        ("", "{\"camera\":\"top\",\"product\":\"wave\",\"count\":1000000}", 422, "the most"),
        ("", "{\"camera\":\"top\",\"product\":\"wave\",\"every\":0}", 422, "at least 1"),
        ("", "{\"camera\":\"top\",\"product\":\"wave\",\"count\":-1}", 422, "count"),
        ("", "{\"camera\":\"top\",\"product\":\"wave\",\"amount\":5}", 422, "amount"),
        ("", "{\"camera\":\"top\"}", 422, "product"),
        ("", "{", 400, ""),
        ("/finish", "{}", 409, "no calibration is in progress"),
        ("/cancel", "{}", 409, "no calibration is in progress"),
        ("/exclude", "{\"frames\":[1]}", 409, "no calibration is in progress"),
    ] {
        let (status, text) = post(&running, path, body);
        assert_eq!(status, expected, "{path} {body}: {text}");
        assert!(text.contains(word), "{path} {body}: {text}");
    }
    // As a form of another site would send it.
    let form = running.request(&format!("POST {API}/cancel"), "", "{}");
    assert_eq!(form.0, 415);
    let begin = "{\"camera\":\"top\",\"product\":\"wave\",\"count\":50000,\"every\":2}";
    assert_eq!(post(&running, "", begin).0, 202);
    assert_eq!(post(&running, "/cancel", "{}").0, 200);
    assert!(standing(&running)["last"].as_str().unwrap().contains("cancelled after"));
    assert_eq!(post(&running, "", begin).0, 202);
    running.until("some are collected", |it| standing(it)["collected"].as_u64() > Some(3));
    running.stop();
    assert!(!scratch.path("model.calibration.json").exists());
    let events = stdout(&scratch.run(&["ledger", "events", "ledger.db"]));
    for kind in ["calibration-cancelled", "calibration-abandoned"] {
        assert!(events.contains(kind), "{events}");
    }
}
