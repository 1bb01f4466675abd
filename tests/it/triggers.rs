//! The software trigger on real pipelines: one frame for each part, every other one with its reason.

use std::time::Duration;

use bundle::geometry::{RgbImage, Size};
use sightline::{
    camera::{CameraOptions, trigger::Rule},
    channel::Overflow,
    engine::{Engine as _, EngineError},
    ledger::{DropReason, Parts},
    state,
};

use crate::{
    line::{Kept, options, station},
    support::{self, Around, Scratch, json_lines, stderr, stdout},
};

/// Frames that teach the empty belt.
const LEARNED: usize = 31;
/// Where a part's left edge is as it passes; the fourth frame has it nearest to the middle.
const PASSING: [i32; 8] = [-50, -20, 10, 40, 60, 90, 120, 155];

/// A grey belt of 160 pixels with a part of 60 on it.
fn belt(part: Option<i32>) -> RgbImage {
    let size = Size { width: 160, height: 80 };
    let level = |x: i32, y: i32| {
        let is_part = part.is_some_and(|left| (left..left + 60).contains(&x));
        if is_part && (10..70).contains(&y) { 150 } else { 50 }
    };
    let pixels = (0..80).flat_map(|y| (0..160).flat_map(move |x| [level(x, y); 3])).collect();
    RgbImage { size, pixels }
}

/// The pictures of an empty belt and then of so many parts; the files that show one in the middle.
fn film(scratch: &Scratch, parts: usize) -> Vec<String> {
    let mut number = 0;
    let mut add = |part| {
        let name = format!("film/{number:04}.png");
        scratch.write_picture(&name, &belt(part).view());
        number += 1;
        name
    };
    for _ in 0..LEARNED {
        add(None);
    }
    let mut wanted = Vec::new();
    for _ in 0..parts {
        for left in PASSING {
            let name = add(Some(left));
            if left == 40 {
                wanted.push(name);
            }
        }
        for _ in 0..3 {
            add(None);
        }
    }
    wanted
}

fn config() -> &'static str {
    "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[output]\nformat = \"json\"\n\
     [ledger]\npath = \"ledger.db\"\n\
     [[camera]]\nname = \"top\"\npreset = \"files\"\nparameters = { location = \"film\" }\n\
     overflow = \"every\"\nrealtime = false\ntrigger = {}\n"
}

#[test]
fn each_part_is_judged_once_and_every_frame_is_in_the_ledger() {
    let scratch = Scratch::new();
    let wanted = film(&scratch, 3);
    scratch.write("line.toml", config());
    let output = scratch.run(&["run", "line.toml"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let judged: Vec<_> = json_lines(&output)
        .iter()
        .map(|line| line["origin"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(judged.len(), 3, "{told}");
    for (judged, wanted) in judged.iter().zip(&wanted) {
        assert!(judged.ends_with(wanted), "{judged} instead of {wanted}");
    }
    let account = "captured 64 = judged 3 + dropped 61 (30 not triggered, 31 learning the empty belt) + faulted 0; \
                   parts 3 seen, 0 missed, 0 too long";
    assert!(told.contains(account), "{told}");
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    let exported = stdout(&scratch.run(&["ledger", "export", "ledger.db", "--format", "csv"]));
    assert!(exported.contains("not triggered"), "{exported}");
}

#[test]
fn capture_records_the_frames_that_would_be_judged() {
    let scratch = Scratch::new();
    film(&scratch, 2);
    scratch.write("line.toml", config());
    let output =
        scratch.run(&["capture", "line.toml", "--product", "wave", "--into", "data", "--fast"]);
    assert!(stdout(&output).contains("2 of 2 frames kept"), "{}", stderr(&output));
    let kept = image::open(scratch.path("data/wave/train/good/000002.png")).unwrap().into_rgb8();
    assert_eq!(kept.into_raw(), belt(Some(40)).pixels);
}

/// A camera of the film under the trigger.
fn camera(scratch: &Scratch, rule: Rule) -> CameraOptions {
    let location = scratch.path("film").display().to_string();
    CameraOptions { trigger: Some(rule), ..options("files", &[("location", &location)]) }
}

#[test]
fn a_part_that_nobody_judged_is_missed_and_counted() {
    let scratch = Scratch::new();
    film(&scratch, 4);
    let never = crossbeam_channel::never();
    // It takes the golden frames, then two parts.
    let mut good = support::document(99).golden.len() + 2;
    let engine = Around::engine(move |engine, input| {
        if good == 0 {
            return Err(EngineError::Run { cause: "out of memory".into() });
        }
        good -= 1;
        engine.infer(input)
    });
    let report = station(vec![camera(&scratch, Rule::default())], engine, Kept::default())
        .run(&never)
        .unwrap();
    let balance = report.balances[0].1;
    assert!(balance.is_settled(), "{balance}");
    assert_eq!(balance.parts, Some(Parts { seen: 4, missed: 2, too_long: 0 }), "{balance}");
    assert_eq!((balance.judged, balance.faulted_total()), (2, 2), "{balance}");
    // An engine that is slower than the parts come, under `latest`.
    let slow = Around::engine(|engine, input| {
        std::thread::sleep(Duration::from_millis(300));
        engine.infer(input)
    });
    let camera = CameraOptions {
        overflow: Overflow::Latest,
        queue_len: 1,
        ..camera(&scratch, Rule::default())
    };
    let report = station(vec![camera], slow, Kept::default()).run(&never).unwrap();
    let balance = report.balances[0].1;
    let parts = balance.parts.unwrap();
    assert!(balance.is_settled(), "{balance}");
    assert_eq!((parts.seen, parts.missed), (4, 4 - balance.judged), "{balance}");
    assert!(parts.missed > 0, "{balance}");
}

#[test]
fn who_pauses_wants_no_parts() {
    let scratch = Scratch::new();
    film(&scratch, 2);
    let out = Kept::default();
    let cameras = vec![camera(&scratch, Rule::default())];
    let station = station(cameras, support::engine(), out.clone());
    station.board.post(state::Event::Mode(state::Mode::Pause));
    let report = station.run(&crossbeam_channel::never()).unwrap();
    let balance = report.balances[0].1;
    assert_eq!(balance.captured, balance.dropped[DropReason::Paused as usize], "{balance}");
    assert_eq!(balance.parts, Some(Parts::default()), "{balance}");
}

#[test]
fn what_stays_for_too_long_is_an_event() {
    let scratch = Scratch::new();
    film(&scratch, 1);
    scratch
        .write("line.toml", config().replace("trigger = {}", "trigger = { longest_secs = 0.1 }"));
    let output = scratch.run(&["run", "line.toml"]);
    let told = stderr(&output);
    assert!(told.contains("parts 1 seen, 0 missed,") && !told.contains("0 too long"), "{told}");
    let events = stdout(&scratch.run(&["ledger", "events", "ledger.db"]));
    assert!(events.contains("part-too-long") && !events.contains("parts-missed"), "{events}");
}

#[test]
fn a_part_that_stays_is_told_and_one_in_view_at_the_end_is_judged() {
    let scratch = Scratch::new();
    film(&scratch, 0);
    // At ten frames a second.
    for number in LEARNED..LEARNED + 20 {
        scratch.write_picture(&format!("film/{number:04}.png"), &belt(Some(50)).view());
    }
    let never = crossbeam_channel::never();
    let check = |longest_secs: u64, too_long: u64| {
        let rule = Rule { longest: Duration::from_secs(longest_secs), ..Rule::default() };
        let out = Kept::default();
        let report = station(vec![camera(&scratch, rule)], support::engine(), out.clone())
            .run(&never)
            .unwrap();
        let balance = report.balances[0].1;
        assert!(balance.is_settled(), "{balance}");
        assert_eq!(balance.parts, Some(Parts { seen: 1, missed: 0, too_long }), "{balance}");
        assert_eq!(out.lines().len(), 1, "{balance}");
    };
    check(1, 1);
    check(10, 0);
}
