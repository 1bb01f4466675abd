//! What a camera wants beside products and rates: ignored regions, a minimum defect area, parts of several frames, and
//! the watch over drift; through real pipelines and the real engine.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bundle::{
    calibration::RejectRate,
    geometry::{Geometry, RgbImage, Size},
};
use rusqlite::Connection;
use sightline::{
    area::Area,
    clock::{Clock, SystemClock},
    engine::{Engine as _, golden::Candidate},
    frame::CameraId,
    inspector::Inspector,
    judge::{Attention, DriftOptions, Judge, Recipe, Unrated},
    ledger::{Ledger, LedgerOptions, Retention},
    state::Board,
};

use crate::{
    line::{INPUT, Kept, options, station_with},
    support::{self, Around, SIDE, Scratch, json_lines, picture, stderr, stdout},
};

fn recipe() -> Recipe {
    Recipe::of(RejectRate::new(0.02).unwrap(), Unrated::Refused)
}

fn inspector(recipes: &[Recipe]) -> Inspector {
    let document = support::document(99);
    let judges = recipes.iter().map(|recipe| Judge::new(&document.classes, recipe).unwrap());
    let judges = judges.collect();
    let engine = Candidate::new(support::engine()).verify(&document).unwrap();
    Inspector::new(engine, Geometry::square(SIDE), judges, support::label())
}

/// A line of pictures at 10 a second, as fast as they are judged.
fn line(scratch: &Scratch, more: &str) {
    scratch.write(
        "line.toml",
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[output]\nformat = \"json\"\n\
             [ledger]\npath = \"ledger.db\"\n\
             [[camera]]\nname = \"top\"\npreset = \"files\"\nparameters = {{ location = \"parts\" }}\n\
             realtime = false\noverflow = \"every\"\n{more}\n"
        ),
    );
}

#[test]
fn the_score_is_the_highest_outside_what_is_ignored_and_else_the_networks_own() {
    let left = Area::new(0.0, 0.0, 0.5, 1.0).unwrap();
    let attention = |rectangles, area_min_px| Attention { rectangles, mask: None, area_min_px };
    let wants = |attention| Recipe { attention, ..recipe() };
    let mut inspector = inspector(&[
        recipe(),
        wants(attention(vec![left], 1)),
        wants(attention(vec![], 40)),
        wants(attention(vec![left], 40)),
    ]);
    let mut differ = [0; 4];
    for seed in 0..20 {
        let image = picture(INPUT, seed);
        let inspections =
            [0, 1, 2, 3].map(|camera| inspector.inspect(image.view(), camera).unwrap());
        let inference = &inspections[0].inferences[0];
        let scores = inspections.each_ref().map(|it| it.verdict.score.unwrap());
        // Bit for bit.
        assert_eq!(scores[0].to_bits(), inference.score.to_bits());
        let map = &inference.anomaly_map;
        let right = map.slice(ndarray::s![.., SIDE as usize / 2..]);
        let expected = right.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert_eq!(scores[1].to_bits(), expected.to_bits());
        // So many pixels are at least as high, and the four pixels' neighbourhoods cannot be higher.
        let reached = map.iter().filter(|value| **value >= scores[2]).count();
        assert!(reached >= 40, "{reached}");
        assert!(scores[2] < scores[0] && scores[3] <= scores[1].min(scores[2]), "{scores:?}");
        for (count, score) in std::iter::zip(&mut differ, scores) {
            *count += u32::from(score < scores[0]);
        }
    }
    assert_eq!(differ[0], 0);
    assert!(differ[1] > 0 && differ[2] == 20, "{differ:?}");
}

#[test]
fn a_mask_and_an_area_are_read_shown_and_used() {
    let scratch = Scratch::new();
    for seed in 0..4 {
        scratch.write_picture(&format!("parts/{seed}.png"), &picture(INPUT, seed).view());
    }
    let mut mask = vec![0; 8 * 4 * 3];
    mask[..8 * 3].fill(255);
    let size = Size { width: 8, height: 4 };
    scratch.write_picture("mask.png", &RgbImage { size, pixels: mask }.view());
    line(&scratch, "");
    let whole = json_lines(&scratch.run(&["run", "line.toml"]));
    line(
        &scratch,
        "ignore_mask = \"mask.png\"\ndefect_area_min_px = 9\n\
         ignore = [{ x = 0.0, y = 0.0, width = 0.25, height = 1.0 }]",
    );
    let checked = scratch.run(&["check", "line.toml"]);
    let told = stdout(&checked);
    assert_eq!(checked.status.code(), Some(0), "{told}{}", stderr(&checked));
    // A quarter by the mask, a quarter of the rest by the rectangle.
    assert!(told.contains("judge of camera top: 43.8 % of the frame are ignored"), "{told}");
    assert!(told.contains("a defect counts from 9 pixels of the model's input on"), "{told}");
    let looked = json_lines(&scratch.run(&["run", "line.toml"]));
    assert_eq!((whole.len(), looked.len()), (4, 4));
    let score = |line: &serde_json::Value| line["score"].as_f64().unwrap();
    for (whole, looked) in std::iter::zip(&whole, &looked) {
        assert!(score(looked) < score(whole), "{looked} {whole}");
        assert!(looked["p_value"].as_f64() >= whole["p_value"].as_f64(), "{looked} {whole}");
    }
}

#[test]
fn what_cannot_be_wanted_is_one_line_with_the_remedy() {
    let scratch = Scratch::new();
    scratch.write_picture("parts/0.png", &picture(INPUT, 0).view());
    scratch.write_picture("photo.png", &picture(INPUT, 1).view());
    scratch.write("text.png", "no picture");
    let white = RgbImage { size: INPUT, pixels: vec![255; (SIDE * SIDE * 3) as usize] };
    scratch.write_picture("white.png", &white.view());
    for (wanted, words) in [
        (
            "ignore = [{ x = 0.5, y = 0.0, width = 0.6, height = 1.0 }]",
            "\"camera[0].ignore[0]\" is { x = 0.5, y = 0, width = 0.6, height = 1 }, but it reaches beyond the picture",
        ),
        ("ignore = [{ x = 0.5, y = 0.0, width = 0.5 }]", "missing field `height`"),
        (
            "ignore = [{ x = 0.0, y = 0.0, width = 1.0, height = 1.0 }]",
            "nothing is left to look at",
        ),
        ("ignore_mask = \"white.png\"", "nothing is left to look at"),
        ("ignore_mask = \"nowhere.png\"", "camera top: ignore_mask nowhere.png: "),
        ("ignore_mask = \"text.png\"", "camera top: ignore_mask text.png: "),
        ("ignore_mask = \"photo.png\"", "is neither black nor white; white is ignored"),
        ("defect_area_min_px = 0", "it must be from 1 to"),
        ("defect_area_min_px = 2000", "nothing is left to look at"),
        (
            "part = { frames = 3, fails = 4, within_ms = 100 }",
            "\"camera[0].part.fails\" is 4, but it must be from 1 to 3",
        ),
        ("part = { frames = 3, fails = 2 }", "missing field `within_ms`"),
        ("part = { frames = 3, fails = 2, within = 9 }", "unknown field `within`"),
    ] {
        line(&scratch, wanted);
        for command in ["run", "check"] {
            let output = scratch.run(&[command, "line.toml"]);
            let text = format!("{}{}", stdout(&output), stderr(&output));
            assert_eq!(output.status.code(), Some(3), "{command} {wanted}: {text}");
            assert_eq!(stderr(&output).lines().count(), 1, "{command} {wanted}: {text}");
            assert!(stderr(&output).contains(words), "{command} {wanted}: {text}");
        }
    }
}

#[test]
fn parts_of_several_frames_are_told_and_recorded_and_no_fault_makes_a_pass() {
    let scratch = Scratch::new();
    for number in 1..=14 {
        let name = format!("parts/{number:02}.png");
        // One frame of the second part cannot be decoded, two of the third; the fifth lacks one.
        if [5, 7, 9].contains(&number) {
            scratch.write(&name, "no picture");
        } else {
            scratch.write_picture(&name, &picture(INPUT, number).view());
        }
    }
    line(&scratch, "part = { frames = 3, fails = 2, within_ms = 250 }");
    let told = stdout(&scratch.run(&["check", "line.toml"]));
    assert!(told.contains("is refused with 2 of them: at most 3 % of good parts are"), "{told}");
    let output = scratch.run(&["run", "line.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = json_lines(&output);
    let (parts, frames): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line.get("part").is_some());
    assert_eq!((frames.len(), parts.len()), (14, 5), "{parts:?}");
    for (index, part) in (0_u64..).zip(&parts) {
        let numbers = 3 * index + 1..=(3 * index + 3).min(14);
        assert_eq!(part["part"], index + 1);
        assert_eq!(
            (&part["first_frame"], &part["last_frame"]),
            (&(*numbers.start()).into(), &(*numbers.end()).into())
        );
        let mut count: BTreeMap<&str, u64> = BTreeMap::new();
        for frame in &frames {
            if numbers.contains(&frame["frame"].as_u64().unwrap()) {
                *count.entry(frame["decision"].as_str().unwrap()).or_default() += 1;
            }
        }
        let of = |decision: &str| count.get(decision).copied().unwrap_or(0);
        let undecided = 3 - of("pass") - of("fail") - of("unknown-product");
        let refused = of("fail") + of("unknown-product");
        let expected = match () {
            () if refused >= 2 && of("unknown-product") > of("fail") => "unknown-product",
            () if refused >= 2 => "fail",
            () if refused + undecided >= 2 => "fault",
            () => "pass",
        };
        assert_eq!(part["decision"], expected, "{part}");
        assert_eq!(part["faulted"], of("fault"), "{part}");
    }
    assert_eq!((&parts[0]["decision"], &parts[2]["decision"]), (&"pass".into(), &"fault".into()));
    assert_eq!(parts[4]["missing"], 1);
    assert!((parts[0]["reject_rate_bound"].as_f64().unwrap() - 0.03).abs() < 1e-9);
    // Each part comes after the last of its frames.
    let place = |wanted: &serde_json::Value| lines.iter().position(|line| line == wanted);
    assert!(place(parts[0]) > place(frames[2]) && place(parts[0]) < place(frames[3]));
    // The ledger tells the same.
    let export = ["ledger", "export", "ledger.db", "--rows", "parts", "--format", "json"];
    let rows = json_lines(&scratch.run(&export));
    assert_eq!(rows.len(), parts.len());
    for (row, part) in std::iter::zip(&rows, &parts) {
        for field in
            ["part", "first_frame", "last_frame", "decision", "product", "passed", "reason"]
        {
            assert_eq!(row[field], part[field], "{field}: {row} {part}");
        }
    }
    let csv = stdout(&scratch.run(&export[..5]));
    assert_eq!(csv.lines().count(), 6, "{csv}");
    let stats = stdout(&scratch.run(&["ledger", "stats", "ledger.db"]));
    assert!(stats.contains("  parts: ") && stats.contains(" pass"), "{stats}");
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}

/// Fine detail over something smooth, dimmed or blurred.
fn textured(seed: u32, share: f32, is_blurred: bool) -> RgbImage {
    let level = |x: u32, y: u32| {
        let grain = (x * 7 + y * 13 + x * y * 5 + seed * 3) % 11;
        (f64::from(x + seed % 3) / 6.0).sin() * 50.0 + 110.0 + f64::from(grain) * 6.0
    };
    let mut pixels = Vec::new();
    for y in 0..SIDE {
        for x in 0..SIDE {
            let around = (0..9).map(|at| level(x + at % 3, y + at / 3)).sum::<f64>() / 9.0;
            let value = if is_blurred { around } else { level(x, y) };
            pixels.extend([(value * f64::from(share)) as u8; 3]);
        }
    }
    RgbImage { size: INPUT, pixels }
}

/// Troubles, metrics and the ledger's events after 150 usual pictures and 750 of another kind.
fn troubles_after(share: f32, is_blurred: bool) -> (Vec<String>, String, Vec<String>) {
    let scratch = Scratch::new();
    for number in 0..900 {
        let image = if number < 150 {
            textured(number, 1.0, false)
        } else {
            textured(number, share, is_blurred)
        };
        scratch.write_picture(&format!("parts/{number:03}.png"), &image.view());
    }
    // Whatever the pictures look like, the network says of them what it says of good parts.
    let mut engine = support::engine();
    let good: Vec<_> =
        (0..99).map(|seed| engine.infer(&picture(INPUT, seed).view()).unwrap()).collect();
    let golden = support::document(99).golden.len();
    let calls = AtomicUsize::new(0);
    // Two documents are verified by: the station's own and this one's.
    let around = Around::engine(move |inner, input| {
        match calls.fetch_add(1, Ordering::Relaxed).checked_sub(golden) {
            None => inner.infer(input),
            Some(call) => Ok(good[call % good.len()].clone()),
        }
    });
    let document = support::document(99);
    let drift = Some(DriftOptions { reference_frames: 120 });
    let judge = Judge::new(&document.classes, &Recipe { drift, ..recipe() }).unwrap();
    let verified = Candidate::new(around).verify(&document).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let retention = Retention { age_max: Duration::from_hours(24), bytes_max: u64::MAX };
    let file = LedgerOptions { path: scratch.path("ledger.db"), retention };
    let ids = [CameraId("top".into())];
    let (ledger, accounts, _) = Ledger::open(file, &ids, Arc::clone(&clock)).unwrap();
    let parts = scratch.path("parts");
    let camera = options("files", &[("location", parts.to_str().unwrap())]);
    let cameras = std::iter::zip(accounts.into_iter().map(Arc::new), [camera]).collect();
    let out = Kept::default();
    let mut station = station_with(cameras, Some(ledger), support::engine(), out.clone(), clock);
    let geometry = Geometry::square(SIDE);
    station.inspector = Inspector::new(verified, geometry, vec![judge], support::label());
    let board: Arc<Board> = Arc::clone(&station.board);
    let telemetry = Arc::clone(&station.telemetry);
    station.run(&crossbeam_channel::never()).unwrap();
    assert!(out.lines().iter().all(|line| line["decision"] == "pass"), "drift is no verdict");
    let troubles = board.condition().troubles.keys().map(ToString::to_string).collect();
    let ledger = Connection::open(scratch.path("ledger.db")).unwrap();
    let mut events = ledger.prepare("SELECT detail FROM event WHERE kind = 'drift'").unwrap();
    let events = events.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    (troubles, telemetry.text(), events)
}

#[test]
fn a_camera_that_darkens_or_loses_its_focus_is_found() {
    let (troubles, metrics, events) = troubles_after(1.0, false);
    assert_eq!((troubles, events), (Vec::<String>::new(), vec![]));
    for of in ["score", "brightness", "focus"] {
        let quiet = format!("sightline_drift{{camera=\"top\",product=\"wave\",of=\"{of}\"}} 0");
        assert!(metrics.contains(&quiet), "{metrics}");
    }
    let (troubles, metrics, events) = troubles_after(0.9, false);
    assert_eq!(troubles, ["drift at camera top: brightness of wave"]);
    let alarm = "sightline_drift{camera=\"top\",product=\"wave\",of=\"brightness\"} 1";
    assert!(metrics.contains(alarm), "{metrics}");
    assert_eq!(events.len(), 1);
    assert!(events[0].starts_with("product wave: pictures are darker"), "{events:?}");
    let (troubles, _, events) = troubles_after(1.0, true);
    assert_eq!(troubles, ["drift at camera top: focus of wave"]);
    assert!(events[0].starts_with("product wave: pictures are less sharp"), "{events:?}");
}
