//! `sightline bench` on the tiny model: every part ends, prints its rows, and JSON is JSON. How fast is no test's matter.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Scratch, stderr, stdout};

/// Whether GStreamer has an H.264 encoder and decoder is the machine's matter: `make test` installs both.
fn report(only: &str) -> BTreeMap<String, Value> {
    let scratch = Scratch::new();
    let output =
        scratch.run(&["bench", "--model", "model.onnx", "--quick", "--json", "--only", only]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["machine"]["model"], "tiny 1");
    let sections = report["sections"].as_array().unwrap();
    sections
        .iter()
        .flat_map(|section| section["rows"].as_array().unwrap())
        .map(|row| (row["what"].as_str().unwrap().to_owned(), row.clone()))
        .collect()
}

fn value(rows: &BTreeMap<String, Value>, what: &str) -> f64 {
    let row = rows.get(what).unwrap_or_else(|| panic!("no row {what} among {:?}", rows.keys()));
    row["value"].as_f64().unwrap_or_else(|| panic!("no figure: {row}"))
}

#[test]
fn the_station_is_held_against_the_bare_loop() {
    let rows = report("pipeline");
    let ratio = value(&rows, "whole station") / value(&rows, "session.run alone");
    assert!((value(&rows, "station to session.run") - ratio).abs() < 1e-9, "{rows:?}");
    assert_eq!(rows["station to session.run"]["target"]["at_least"], 0.95);
}

#[test]
fn own_code_has_a_p99_and_memory_a_bound() {
    let rows = report("own,memory");
    let [p50, p99, longest] =
        ["p50", "p99", "longest"].map(|name| value(&rows, &format!("engine's thread, {name}")));
    assert!(0.0 < p50 && p50 <= p99 && p99 <= longest, "{rows:?}");
    assert_eq!(rows["engine's thread, p99"]["target"]["at_most"], 1.0);
    assert!(value(&rows, "resident memory, highest") > 1.0);
}

#[test]
fn a_video_has_latencies_and_shares_stage_by_stage() {
    let rows = report("video");
    for stage in [
        "decode",
        "convert and scale",
        "wait for the engine",
        "network and judge",
        "capture to verdict",
    ] {
        let [p50, p99, p999] =
            ["p50", "p99", "p99.9"].map(|name| value(&rows, &format!("{stage}, {name}")));
        assert!(0.0 <= p50 && p50 <= p99 && p99 <= p999, "{stage}: {rows:?}");
    }
    // Full HD cannot be decoded and scaled for nothing.
    assert!(value(&rows, "convert and scale, p50") > 0.0);
    assert!(value(&rows, "processor: all") > 0.0);
}

#[test]
fn cameras_and_a_pause_have_their_cost() {
    let rows = report("cameras,paused");
    for count in [1, 2, 4, 8] {
        value(&rows, &format!("{count}: processor per camera"));
        value(&rows, &format!("{count}: capture to verdict, p99"));
    }
    value(&rows, "8: resident memory for each further camera");
    value(&rows, "raw 640x480, scaled");
    value(&rows, "1080p H.264, decoded and scaled");
}

#[test]
fn people_get_tables_and_mistakes_a_line() {
    let scratch = Scratch::new();
    let own = ["--quick", "--only", "own", "--threads", "2"];
    let run = |more: &[&str]| {
        scratch.run(&[&["bench", "--model", "model.onnx"], &own[..], more].concat())
    };
    // With the model, engine and judge of a line.
    scratch.write(
        "line.toml",
        "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n\
         [[camera]]\nname = \"top\"\npreset = \"test\"\n",
    );
    let line = scratch.run(&[&["bench", "line.toml"], &own[..]].concat());
    assert!(stdout(&line).contains("\nown: "), "{}{}", stdout(&line), stderr(&line));
    let text = stdout(&run(&[]));
    assert!(text.contains("\nown: ") && text.contains("at most 1: "), "{text}");
    let markdown = stdout(&run(&["--markdown"]));
    assert!(markdown.contains("\n| engine's thread, p99 | "), "{markdown}");
    let wrong = run(&["--seconds", "0"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("--seconds 0: it must be from 0.1 to 3600"));
    let missing = scratch.run(&["bench", "--model", "absent.onnx"]);
    assert_eq!(missing.status.code(), Some(4));
}
