//! `check` and `capture`, by the built binary.

use bundle::geometry::{RgbImage, Size};

use crate::support::{SIDE, Scratch, picture, stderr, stdout};

fn config(more: &str) -> String {
    format!(
        "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n\
         [[camera]]\nname = \"top\"\npreset = \"test\"\nparameters = {{ frames = 6 }}\n{more}"
    )
}

#[test]
fn check_says_line_by_line_what_holds() {
    let scratch = Scratch::new();
    scratch.write("line.toml", config(""));
    let output = scratch.run(&["check", "line.toml", "--play"]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{told}{}", stderr(&output));
    for word in [
        "ok      configuration",
        "ok      model: ",
        "golden frames agree",
        "ok      camera top",
        "plays: the first frame has 32x32 pixels",
    ] {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    assert!(!told.contains("FAILED"), "{told}");
}

#[test]
fn check_finds_a_scaler_that_is_not_the_trainers() {
    let scratch = Scratch::new();
    let size = "video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1";
    for scale in [
        // A picture that is mirrored on the way looks right to a person.
        format!(
            "videoconvert ! videoscale method=bilinear2 add-borders=false ! {size} ! videoflip video-direction=horiz"
        ),
        // A frame of another shape gets black bars.
        format!("videoconvert ! videoscale method=bilinear2 ! {size}"),
    ] {
        let preset = format!(
            "description = \"One's own\"\nlive = false\nlaunch = \"videotestsrc num-buffers=3\"\nscale = \"{scale}\"\n"
        );
        scratch.write("own.toml", preset);
        let own = config("").replace("\"test\"\nparameters = { frames = 6 }", "\"own.toml\"");
        scratch.write("line.toml", own);
        let output = scratch.run(&["check", "line.toml"]);
        let told = stdout(&output);
        assert_eq!(output.status.code(), Some(6), "{scale}: {told}{}", stderr(&output));
        assert!(
            told.contains("FAILED  camera top") && told.contains("scaling = \"exact\""),
            "{told}"
        );
    }
}

#[test]
fn check_makes_every_check_and_ends_with_the_first_failure() {
    let scratch = Scratch::new();
    scratch.write("line.toml", config("").replace("model.onnx", "nowhere.onnx"));
    let output = scratch.run(&["check", "line.toml"]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("FAILED  model") && told.contains("ok      camera top"), "{told}");
}

#[test]
fn capture_records_what_the_pipeline_gives_and_never_writes_over() {
    let scratch = Scratch::new();
    let parts: Vec<RgbImage> =
        (0..6).map(|seed| picture(Size { width: SIDE, height: SIDE }, seed)).collect();
    for (index, part) in parts.iter().enumerate() {
        scratch.write_picture(&format!("parts/{index}.png"), &part.view());
    }
    let arguments = [
        "capture",
        "--preset",
        "files",
        "--set",
        "location=parts",
        "--product",
        "cap",
        "--into",
        "data",
        "--size",
        "32x32",
        "--after",
        "1",
        "--every",
        "2",
        "--fast",
    ];
    let output = scratch.run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("3 of 6 frames kept"), "{}", stdout(&output));
    for (number, index) in [(1, 1), (2, 3), (3, 5)] {
        let path = scratch.path(&format!("data/cap/train/good/{number:06}.png"));
        let kept = image::open(path).unwrap().into_rgb8();
        assert_eq!(kept.into_raw(), parts[index].pixels);
    }
    let output = scratch.run(&[&arguments[..], &["--count", "1"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(scratch.path("data/cap/train/good/000004.png").is_file());
    assert!(!scratch.path("data/cap/train/good/000005.png").exists());
}

#[test]
fn capture_tells_what_it_cannot_do() {
    let scratch = Scratch::new();
    let check = |arguments: &[&str], code, word: &str| {
        let output = scratch.run(&[&["capture", "--into", "data"], arguments].concat());
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(word), "{arguments:?}: `{word}` is not in: {told}");
    };
    check(&["--product", "cap"], 2, "CONFIG");
    check(&["--preset", "test", "--product", "../cap"], 2, "folder's name");
    check(&["--preset", "test", "--set", "frames", "--product", "cap"], 2, "NAME=VALUE");
    check(
        &["--preset", "test", "--set", "frames=3", "--product", "cap", "--fast", "--after", "9"],
        7,
        "--after",
    );
    check(
        &["--preset", "files", "--set", "location=nowhere", "--product", "cap"],
        7,
        "nowhere does not exist",
    );
}
