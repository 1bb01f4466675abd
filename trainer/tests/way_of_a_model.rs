//! From nothing to a calibrated model file, by the built binary; and what it says to bad input.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use bundle::precision::Precision;
use trainer::checkpoint::Checkpoint;

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sightline-train"))
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// Runs a command that must end well.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must end with this code and tell these words in one line.
    fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = told.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        for word in words {
            assert!(last.contains(word), "{arguments:?}: `{word}` is not in: {told}");
        }
        assert!(!told.contains("panicked"), "{told}");
    }
}

const RECIPE: &str = "iterations = 5\nbatch_classes = 2\nbatch_images_per_class = 2\nlocal_locations_max = 64\n\
    [architecture]\nbackbone = \"resnet18\"\nwidth = 0.125\ninput_height = 64\ninput_width = 64\nprojector = \"dense\"\n";

fn products(scratch: &Scratch) {
    scratch.ok(&[
        "synth",
        "products",
        "--out",
        "parts",
        "--train",
        "10",
        "--test-good",
        "6",
        "--test-defective",
        "2",
        "--side",
        "64",
        "--product",
        "weave",
        "--product",
        "cap",
    ]);
}

fn teacher(scratch: &Scratch) {
    std::fs::write(
        scratch.path("teacher.toml"),
        "width = 0.125\nclasses = 4\nimage_px = 32\nbatch = 4\niterations = 3\n",
    )
    .unwrap();
    scratch.ok(&["pretrain", "--recipe", "teacher.toml", "--out", "teacher.safetensors"]);
}

fn auroc(report: &str) -> f64 {
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    let products = report["products"].as_object().unwrap();
    products.values().map(|p| p["image_auroc"].as_f64().unwrap()).sum::<f64>()
        / products.len() as f64
}

#[test]
fn a_model_is_made_measured_exported_and_calibrated() {
    let scratch = Scratch::new();
    products(&scratch);
    teacher(&scratch);
    std::fs::write(scratch.path("recipe.toml"), RECIPE).unwrap();
    let train = |out: &str| {
        scratch.ok(&[
            "train",
            "--data",
            "parts",
            "--teacher",
            "teacher.safetensors",
            "--recipe",
            "recipe.toml",
            "--out",
            out,
        ]);
    };
    train("line.safetensors");
    let log = std::fs::read_to_string(scratch.path("line.log.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 5);
    assert!(!scratch.path("line.safetensors.unfinished").exists());
    std::fs::copy(scratch.path("parts/cap/test/good/00000.png"), scratch.path("more.png")).unwrap();

    // A part that is captured after the training could be taken for one that was held out.
    std::fs::copy(scratch.path("more.png"), scratch.path("parts/cap/train/good/later.png"))
        .unwrap();
    scratch.fails(
        &["export", "line.safetensors", "--data", "parts", "--out", "line.onnx"],
        7,
        &["no longer holds the images"],
    );
    std::fs::remove_file(scratch.path("parts/cap/train/good/later.png")).unwrap();

    // A run goes on with the weights of another, if the network is the same.
    let refine = |recipe: &'static str| {
        [
            "train",
            "--data",
            "parts",
            "--refine",
            "line.safetensors",
            "--recipe",
            recipe,
            "--iterations",
            "1",
            "--out",
            "refined.safetensors",
        ]
    };
    scratch.ok(&refine("recipe.toml"));
    let refined = Checkpoint::load(&scratch.path("refined.safetensors")).unwrap();
    assert_eq!(refined.manifest.steps, 1);
    assert_eq!(refined.manifest.refines.map(|earlier| earlier.steps), Some(5));
    std::fs::write(scratch.path("wide.toml"), RECIPE.replace("0.125", "0.25")).unwrap();
    scratch.fails(&refine("wide.toml"), 4, &["refine line.safetensors", "shape"]);

    // The same seed, the same weights.
    train("again.safetensors");
    let bytes = |name: &str| std::fs::read(scratch.path(name)).unwrap();
    assert!(
        bytes("line.safetensors") == bytes("again.safetensors"),
        "a run depends on more than its seed"
    );

    scratch.ok(&["export", "line.safetensors", "--data", "parts", "--out", "line.onnx"]);
    let measure =
        |model: &str| scratch.ok(&["evaluate", "model", model, "--data", "parts", "--json"]);
    let (torch, onnx) = (auroc(&measure("line.safetensors")), auroc(&measure("line.onnx")));
    assert!((torch - onnx).abs() < 0.002, "libtorch {torch}, ONNX Runtime {onnx}");

    every_precision_is_exported_and_measured(&scratch);

    let file = bundle::model_file::read(&scratch.path("line.onnx")).unwrap();
    let names: Vec<_> = file.document.classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names, ["cap", "weave"]);
    assert_eq!(file.document.golden.len(), 2);
    let frames = |file: &bundle::model_file::ModelFile| -> Vec<usize> {
        let counts = file
            .document
            .classes
            .iter()
            .map(|c| c.calibration.as_ref().map_or(0, bundle::calibration::Calibration::count));
        counts.collect()
    };
    // A fifth of ten, which training never saw.
    assert_eq!(frames(&file), [2, 2]);

    scratch.ok(&[
        "synth",
        "products",
        "--out",
        "more",
        "--train",
        "12",
        "--test-good",
        "1",
        "--test-defective",
        "0",
        "--side",
        "64",
        "--seed",
        "77",
        "--product",
        "weave",
        "--product",
        "cap",
    ]);
    scratch.ok(&["calibrate", "line.onnx", "--data", "more"]);
    let calibrated = bundle::model_file::read(&scratch.path("line.onnx")).unwrap();
    assert_eq!(frames(&calibrated), [12, 12]);
    assert_eq!(calibrated.document.golden, file.document.golden);
}

/// With the checkpoint `line.safetensors` and its FP32 export.
fn every_precision_is_exported_and_measured(scratch: &Scratch) {
    let export = |out: &'static str, precision: &'static str| {
        ["export", "line.safetensors", "--data", "parts", "--out", out, "--precision", precision]
    };
    let bytes = |name: &str| std::fs::metadata(scratch.path(name)).unwrap().len();
    let card = std::fs::read_to_string(scratch.path("line.md")).unwrap();
    assert!(card.contains("| precision | FP32 |") && card.contains("**mean**"), "{card}");
    for (precision, name, share) in [("fp16", "FP16 weights", 0.6), ("int8", "INT8", 0.45)] {
        let out = if precision == "fp16" { "half.onnx" } else { "small.onnx" };
        scratch.ok(&export(out, precision));
        assert!((bytes(out) as f64) < share * bytes("line.onnx") as f64, "{precision}");
        let file = bundle::model_file::read(&scratch.path(out)).unwrap();
        assert_eq!(file.document.precision.name(), name);
        let card = std::fs::read_to_string(scratch.path(out).with_extension("md")).unwrap();
        for words in [&format!("| precision | {name} |"), "times as fast as FP32", &file.sha256] {
            assert!(card.contains(words), "`{words}` is not in: {card}");
        }
        // What the card says is what the file does.
        let report = scratch.ok(&["evaluate", "model", out, "--data", "parts", "--json"]);
        let mean = format!("/ {:.2} |", auroc(&report) * 100.0);
        assert!(card.contains(&mean), "`{mean}` is not in: {card}");
    }
    let file = bundle::model_file::read(&scratch.path("small.onnx")).unwrap();
    let Precision::Int8(int8) = file.document.precision else { panic!("no record of int8") };
    // A fifth of twenty parts is held out; the rest is what ranges are measured on.
    assert_eq!((int8.range_images, int8.sensitivity_images), (16, 4));
    assert!(int8.map_deviation <= int8.map_deviation_max, "{int8:?}");

    scratch.fails(&export("line.md", "int8"), 2, &[]);
    scratch.fails(&export("x.onnx", "int4"), 2, &[]);
    scratch.fails(
        &export("line.onnx/x.onnx", "int8"),
        8,
        &["line.onnx/x.onnx", "cannot be written"],
    );
    scratch.fails(
        &[
            "export",
            "line.safetensors",
            "--data",
            "nowhere",
            "--out",
            "x.onnx",
            "--precision",
            "int8",
        ],
        7,
        &["nowhere"],
    );
    assert!(!scratch.path("x.onnx").exists() && !scratch.path("x.md").exists());
}

#[test]
fn a_whole_classifier_serves_as_teacher() {
    let scratch = Scratch::new();
    products(&scratch);
    teacher(&scratch);
    std::fs::write(scratch.path("recipe.toml"), RECIPE).unwrap();
    // What torchvision's file has beyond the third stage.
    let path = scratch.path("teacher.safetensors");
    let mut weights = network::weights::Weights::load(&path).unwrap();
    for name in ["layer4.0.conv1.weight", "fc.weight"] {
        let weight = network::weights::Weight { shape: vec![1], values: vec![0.5] };
        weights.0.insert(name.into(), weight);
    }
    std::fs::write(&path, weights.to_safetensors(None).unwrap()).unwrap();
    let train = [
        "train",
        "--data",
        "parts",
        "--teacher",
        "teacher.safetensors",
        "--recipe",
        "recipe.toml",
        "--iterations",
        "1",
        "--out",
        "line.safetensors",
    ];
    scratch.ok(&train);
    // And what it has not is still an error.
    weights.0.insert("layer5.weight".into(), weights.0["fc.weight"].clone());
    std::fs::write(&path, weights.to_safetensors(None).unwrap()).unwrap();
    scratch.fails(&train, 4, &["layer5.weight"]);
}

#[test]
fn bad_input_gets_one_line_and_an_exit_code() {
    let scratch = Scratch::new();
    products(&scratch);
    std::fs::write(scratch.path("recipe.toml"), RECIPE).unwrap();
    std::fs::write(scratch.path("typo.toml"), "iteratoins = 5\n").unwrap();
    std::fs::write(scratch.path("none.safetensors"), "no weights").unwrap();
    std::fs::create_dir(scratch.path("empty")).unwrap();
    let train = |data, teacher, recipe| {
        [
            "train",
            "--data",
            data,
            "--teacher",
            teacher,
            "--recipe",
            recipe,
            "--out",
            "x.safetensors",
        ]
    };
    scratch.fails(
        &train("parts", "nowhere.safetensors", "recipe.toml"),
        4,
        &["nowhere.safetensors"],
    );
    scratch.fails(&train("parts", "none.safetensors", "recipe.toml"), 4, &["none.safetensors"]);
    scratch.fails(&train("nowhere", "none.safetensors", "recipe.toml"), 7, &["nowhere"]);
    scratch.fails(&train("empty", "none.safetensors", "recipe.toml"), 7, &["empty"]);
    scratch.fails(
        &train("parts", "none.safetensors", "typo.toml"),
        3,
        &["typo.toml", "iteratoins"],
    );
    scratch.fails(
        &["export", "none.safetensors", "--data", "parts", "--out", "x.onnx"],
        4,
        &["none.safetensors"],
    );
    scratch.fails(&["evaluate", "model", "nowhere.onnx", "--data", "parts"], 4, &["nowhere.onnx"]);
    std::fs::write(scratch.path("none.toml"), "classes = 0\n").unwrap();
    let pretrain = ["pretrain", "--recipe", "none.toml", "--out", "x.safetensors"];
    scratch.fails(&pretrain, 3, &["classes", "above 1"]);
    assert!(!Path::new(&scratch.path("x.safetensors")).exists());
}
