//! `sightline inspect`: images and folders, offline.

use bundle::geometry::{Region, Size};

use crate::support::{self, Scratch, json_lines, picture, stderr, stdout};

const ALLOWED: [&str; 4] = ["--model", "model.onnx", "--reject-rate", "0.02"];

fn scratch_with_parts() -> Scratch {
    let scratch = Scratch::new();
    let size = Size { width: 32, height: 32 };
    for seed in 0..4 {
        scratch.write_picture(&format!("parts/{seed}.png"), &picture(size, seed).view());
    }
    // Four times as large: the geometry scales it.
    scratch.write_picture("parts/large.png", &picture(Size { width: 128, height: 96 }, 1).view());
    scratch
}

#[test]
fn a_folder_becomes_one_line_per_image() {
    let scratch = scratch_with_parts();
    let output = scratch.run(&[&["inspect", "parts", "--json"], &ALLOWED[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0]["origin"], "parts/0.png");
    assert_eq!(lines[0]["decision"], "pass", "{}", lines[0]);
    assert_eq!(lines[0]["product"], "wave");
    assert_eq!(lines[0]["unrated"], false);
    assert_eq!(lines[4]["frame"], 5);
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}

#[test]
fn the_table_ends_with_a_summary() {
    let scratch = scratch_with_parts();
    let output = scratch.run(&[&["inspect", "parts/0.png"], &ALLOWED[..]].concat());
    let text = stdout(&output);
    assert!(text.starts_with("image"), "{text}");
    assert!(text.contains("1 images, 0 not judged"), "{text}");
}

#[test]
fn overlays_mirror_the_folder_and_show_two_frames_and_a_bar() {
    let scratch = scratch_with_parts();
    let output = scratch.run(&[&["inspect", "parts", "--overlay", "heat"], &ALLOWED[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let picture = image::open(scratch.path("heat/large.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (2 * 128 + 4, 96 + 6));
}

#[test]
fn an_overlay_never_overwrites_an_image() {
    let scratch = scratch_with_parts();
    let before = std::fs::read(scratch.path("parts/0.png")).unwrap();
    let output = scratch.run(&[&["inspect", "parts", "--overlay", "parts"], &ALLOWED[..]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("would overwrite parts/0.png"), "{}", stderr(&output));
    assert_eq!(std::fs::read(scratch.path("parts/0.png")).unwrap(), before);
}

#[test]
fn a_corrupt_image_is_told_and_the_others_are_judged() {
    let scratch = scratch_with_parts();
    scratch.write("parts/1.png", b"\x89PNG\r\n\x1a\nno more");
    let output = scratch.run(&[&["inspect", "parts", "--json"], &ALLOWED[..]].concat());
    assert_eq!(output.status.code(), Some(7));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[1]["decision"], "fault");
    assert!(
        lines[1]["reason"].as_str().unwrap().starts_with("cannot be decoded: "),
        "{}",
        lines[1]
    );
    assert!(
        stderr(&output).contains("sightline: 1 of 5 images cannot be judged"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_image_that_does_not_fit_is_one_fault_and_the_others_are_judged() {
    let scratch = scratch_with_parts();
    let mut document = support::document(99);
    document.geometry.region = Some(Region { x: 0, y: 0, width: 64, height: 64 });
    scratch.write("model.onnx", support::model(&document));
    let output = scratch.run(&[&["inspect", "parts", "--json"], &ALLOWED[..]].concat());
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(7), "{told}");
    let faults: Vec<bool> =
        json_lines(&output).iter().map(|line| line["decision"] == "fault").collect();
    assert_eq!(faults, [true, true, true, true, false], "{told}");
    assert!(told.contains("parts/0.png: ") && told.contains("4 of 5 images"), "{told}");
}

#[test]
fn rejects_are_an_exit_code_only_when_asked_for() {
    let scratch = scratch_with_parts();
    // At this rate nine good parts of ten are refused.
    let arguments = ["inspect", "parts", "--json", "--model", "model.onnx", "--reject-rate", "0.9"];
    let output = scratch.run(&arguments);
    let refused = json_lines(&output).iter().filter(|line| line["decision"] != "pass").count();
    assert!(refused > 0, "{}", stdout(&output));
    assert_eq!(output.status.code(), Some(0));
    let output = scratch.run(&[&arguments[..], &["--fail-on-reject"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).is_empty());
}
