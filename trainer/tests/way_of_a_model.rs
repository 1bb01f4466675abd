//! From nothing to a calibrated model file, by the built binary; and what it says to bad input.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;
mod the_loop;

use std::path::Path;

use bundle::precision::Precision;
use network::{
    Architecture, Backbone,
    weights::{Weight, Weights},
};
use trainer::checkpoint::Checkpoint;

use support::{RECIPE, Scratch, products, ready, train};

fn auroc(report: &str) -> f64 {
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    let products = report["products"].as_object().unwrap();
    products.values().map(|p| p["image_auroc"].as_f64().unwrap()).sum::<f64>()
        / products.len() as f64
}

#[test]
fn a_model_is_made_measured_exported_and_calibrated() {
    let scratch = ready();
    scratch.ok(&train("line.safetensors", &[]));
    let log = std::fs::read_to_string(scratch.path("line.log.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 5);
    assert!(!scratch.path("line.safetensors.unfinished").exists());
    std::fs::copy(scratch.path("parts/cap/test/good/00000.png"), scratch.path("more.png")).unwrap();

    changed_data_is_refused(&scratch);

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
    scratch.ok(&train("again.safetensors", &[]));
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
    a_memory_is_added_and_exported(&scratch);
    reports_are_one_file(&scratch);

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

/// With the checkpoint `line.safetensors`.
fn a_memory_is_added_and_exported(scratch: &Scratch) {
    let remember = |from: &'static str, count: &'static str, out: &'static str| {
        ["remember", from, "--data", "parts", "--patches-per-product", count, "--out", out]
    };
    scratch.ok(&remember("line.safetensors", "7", "memory.safetensors"));
    let before = Checkpoint::load(&scratch.path("line.safetensors")).unwrap();
    let after = Checkpoint::load(&scratch.path("memory.safetensors")).unwrap();
    assert_eq!(after.manifest.recipe.architecture.memory_patches, 14);
    let patches = &after.weights.0["memory.weight"];
    let channels = patches.shape[1];
    assert_eq!(patches.shape, [14, channels, 1, 1]);
    // Two halves of norm 1 each, halved.
    for patch in patches.values.chunks(channels) {
        let square: f32 = patch.iter().map(|value| value * value).sum();
        assert!((square - 0.5).abs() < 1e-4, "{square}");
    }
    assert_eq!(after.weights.clone().without(|name| name == "memory.weight"), before.weights);

    scratch.ok(&["export", "memory.safetensors", "--data", "parts", "--out", "memory.onnx"]);
    let measure =
        |model: &str| scratch.ok(&["evaluate", "model", model, "--data", "parts", "--json"]);
    let (torch, onnx) = (auroc(&measure("memory.safetensors")), auroc(&measure("memory.onnx")));
    assert!((torch - onnx).abs() < 0.002, "libtorch {torch}, ONNX Runtime {onnx}");
    assert!(measure("memory.safetensors") != measure("line.safetensors"));

    // Another memory takes the place of the first, and training leaves it behind.
    scratch.ok(&remember("memory.safetensors", "3", "smaller.safetensors"));
    let smaller = Checkpoint::load(&scratch.path("smaller.safetensors")).unwrap();
    assert_eq!(smaller.weights.0["memory.weight"].shape[0], 6);
    let refine =
        ["train", "--data", "parts", "--refine", "memory.safetensors", "--recipe", "recipe.toml"];
    scratch.ok(&[&refine[..], &["--iterations", "1", "--out", "without.safetensors"]].concat());
    let without = Checkpoint::load(&scratch.path("without.safetensors")).unwrap();
    assert!(!without.weights.0.contains_key("memory.weight"));

    scratch.fails(
        &remember("line.safetensors", "65536", "big.safetensors"),
        3,
        &["131072 patches"],
    );
    std::fs::write(
        scratch.path("memory.toml"),
        RECIPE.replace("[architecture]", "[architecture]\nmemory_patches = 5"),
    )
    .unwrap();
    let train =
        ["train", "--data", "parts", "--teacher", "teacher.safetensors", "--recipe", "memory.toml"];
    let out = ["--out", "never.safetensors"];
    scratch.fails(&[&train[..], &out].concat(), 3, &["memory of 5 patches", "remember"]);
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
    scratch.fails(&export("line.onnx/x.onnx", "int8"), 8, &["write line.onnx/x.onnx"]);
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

/// A part that is captured after the training could be taken for one that was held out.
fn changed_data_is_refused(scratch: &Scratch) {
    std::fs::copy(scratch.path("more.png"), scratch.path("parts/cap/train/good/later.png"))
        .unwrap();
    scratch.fails(
        &["export", "line.safetensors", "--data", "parts", "--out", "line.onnx"],
        7,
        &["no longer holds the images"],
    );
    std::fs::remove_file(scratch.path("parts/cap/train/good/later.png")).unwrap();
}

/// Of a checkpoint with its log, of an exported model, and where they cannot be written.
fn reports_are_one_file(scratch: &Scratch) {
    let report = |model: &'static str, out: &'static str| {
        ["evaluate", "model", model, "--data", "parts", "--report", out]
    };
    let page = |model, out| {
        scratch.ok(&report(model, out));
        std::fs::read_to_string(scratch.path(out)).unwrap()
    };
    let of_checkpoint = page("line.safetensors", "reports/line.html");
    assert!(of_checkpoint.contains("From the log beside"), "the losses are missing");
    // Nothing else is left in the folder.
    assert_eq!(std::fs::read_dir(scratch.path("reports")).unwrap().count(), 1);
    let document = scraper::Html::parse_document(&page("line.onnx", "onnx.html"));
    let count =
        |selector: &str| document.select(&scraper::Selector::parse(selector).unwrap()).count();
    assert!(document.errors.is_empty(), "{:?}", document.errors);
    assert_eq!(count("#metrics tbody tr"), 2);
    // Rendered defects have masks: two curves, a histogram for each product, an embedding.
    assert_eq!((count("#curves svg"), count("#scores svg"), count("#embedding svg")), (2, 2, 1));
    assert!(count("img[src^='data:image/jpeg']") >= 2 * 2 * 8);
    assert_eq!(count("script, link, img:not([src^='data:'])"), 0);
    // A folder, and a folder that is a file; told before anything is measured.
    scratch.fails(&report("line.onnx", "parts"), 8, &["write parts"]);
    scratch.fails(&report("line.onnx", "more.png/x.html"), 8, &["write more.png/x.html"]);
}

#[test]
fn a_whole_classifier_serves_as_teacher() {
    let scratch = ready();
    // What torchvision's file has beyond the third stage.
    let path = scratch.path("teacher.safetensors");
    let mut weights = Weights::load(&path).unwrap();
    for name in ["layer4.0.conv1.weight", "fc.weight"] {
        let weight = Weight { shape: vec![1], values: vec![0.5] };
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
fn a_published_teacher_is_taken_from_the_cache_and_remembered() {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    let scratch = Scratch::new();
    products(&scratch);
    let repository = scratch.path("hub/models--timm--resnet18.tv_in1k");
    let snapshot = repository.join("snapshots").join(COMMIT);
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(repository.join("refs")).unwrap();
    std::fs::write(repository.join("refs/main"), COMMIT).unwrap();
    let architecture = Architecture::published(Backbone::ResNet18, 64);
    let weights = Weights::random(&network::teacher::parameters(&architecture), 1);
    let bytes = weights.to_safetensors(None).unwrap();
    std::fs::write(snapshot.join("model.safetensors"), bytes).unwrap();
    std::fs::write(snapshot.join("README.md"), "---\nlicense: bsd-3-clause\n---\n").unwrap();
    std::fs::write(scratch.path("recipe.toml"), RECIPE.replace("0.125", "1.0")).unwrap();
    let train = |teacher| {
        [
            "train",
            "--data",
            "parts",
            "--teacher",
            teacher,
            "--recipe",
            "recipe.toml",
            "--iterations",
            "1",
            "--out",
            "line.safetensors",
        ]
    };
    let output = scratch.run(&train("resnet18"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for word in ["timm/resnet18.tv_in1k", COMMIT, "the licence bsd-3-clause"] {
        assert!(told.contains(word), "{told}");
    }
    let teacher = Checkpoint::load(&scratch.path("line.safetensors")).unwrap().manifest.teacher;
    let teacher = teacher.unwrap();
    assert_eq!(teacher.origin, "timm/resnet18.tv_in1k");
    assert_eq!(teacher.commit.as_deref(), Some(COMMIT));

    // What the recipe says otherwise, and what the cache has not.
    scratch.fails(&train("resnet34"), 3, &["backbone is resnet18", "backbone = \"resnet34\""]);
    std::fs::write(scratch.path("recipe.toml"), RECIPE).unwrap();
    scratch.fails(&train("resnet18"), 3, &["width = 1.0"]);
    std::fs::write(scratch.path("recipe.toml"), "iterations = 1\n").unwrap();
    scratch.fails(
        &train("wide_resnet50_2"),
        9,
        &["HF_HUB_OFFLINE", "model.safetensors", "models--timm--wide_resnet50_2.tv_in1k"],
    );
    scratch.fails(&train("resnet50"), 4, &["resnet50", "one of resnet18, resnet34"]);
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

/// A picture that differs from every other one of another seed.
fn picture(path: &Path, seed: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let value = |x: u32, y: u32, c: u32| u8::try_from((x * 7 + y * 11 + c * 90 + seed * 13) % 251);
    let image = image::RgbImage::from_fn(64, 64, |x, y| {
        image::Rgb([0, 1, 2].map(|c| value(x, y, c).unwrap()))
    });
    image.save(path).unwrap();
}

#[test]
fn a_data_set_is_checked_before_it_is_trained_on() {
    let scratch = Scratch::new();
    products(&scratch);
    let table = scratch.ok(&["data", "check", "parts"]);
    for words in ["train good", "cap", "64x64, rgb 8", "0 errors"] {
        assert!(table.contains(words), "`{words}` is not in {table}");
    }
    let json = |roots: &[&str]| -> serde_json::Value {
        let output = scratch.run(&[&["data", "check", "--json"], roots].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let audit = json(&["parts"]);
    assert_eq!(
        (&audit["usable"], &audit["products"]["cap"]["train_good"]),
        (&true.into(), &10.into())
    );
    // A second root of another layout.
    for seed in 0..3 {
        picture(&scratch.path(&format!("more/bolt/{seed}.png")), seed);
    }
    let names: Vec<String> =
        json(&["parts", "more"])["products"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["bolt", "cap", "weave"]);
    scratch.fails(&["data", "check", "parts", "parts"], 7, &["\"cap\" is in", "rename one"]);

    // The same pixels in another file format.
    let good = image::open(scratch.path("parts/cap/train/good/00000.png")).unwrap();
    good.save(scratch.path("parts/cap/test/good/leak.bmp")).unwrap();
    scratch.fails(&["data", "check", "parts"], 7, &["parts", "1 errors"]);
    let audit = json(&["parts"]);
    assert_eq!((&audit["usable"], &audit["errors"][0]["kind"]), (&false.into(), &"leak".into()));
    std::fs::remove_file(scratch.path("parts/cap/test/good/leak.bmp")).unwrap();

    std::fs::create_dir(scratch.path("empty")).unwrap();
    scratch.fails(&["data", "check", "empty"], 7, &["empty", "PRODUCT/train/good"]);
    scratch.fails(&["data", "check", "nowhere"], 7, &["nowhere"]);
    scratch.fails(&["data", "check"], 2, &[]);
}

#[test]
fn a_bad_image_is_told_before_training_or_skipped_throughout() {
    let scratch = ready();
    for seed in 0..8 {
        picture(&scratch.path(&format!("more/bolt/{seed}.png")), seed);
    }
    let whole = std::fs::read(scratch.path("more/bolt/3.png")).unwrap();
    std::fs::write(scratch.path("more/bolt/3.png"), &whole[..whole.len() / 2]).unwrap();
    let roots = ["--data", "parts", "--data", "more"];
    let train = [
        &["train", "--teacher", "teacher.safetensors", "--recipe", "recipe.toml", "--out"][..],
        &["line.safetensors"],
        &roots,
    ]
    .concat();
    let words = ["more/bolt/3.png", "--skip-bad"];
    scratch.fails(&train, 7, &words);
    assert!(!scratch.path("line.log.jsonl").exists(), "training had begun");
    scratch.fails(&["data", "check", "more"], 7, &["1 errors"]);

    let skip = |arguments: &[&'static str]| {
        let output = scratch.run(&[arguments, &["--skip-bad"]].concat());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        assert!(told.contains("skipped: image more/bolt/3.png"), "{told}");
        assert!(told.contains("1 files skipped"), "{told}");
    };
    skip(&train);
    let export = [&["export", "line.safetensors", "--out", "line.onnx"][..], &roots].concat();
    scratch.fails(&export, 7, &words);
    skip(&export);
    skip(&[&["evaluate", "model", "line.safetensors"][..], &roots].concat());
    // Neither the order of the roots nor their places are part of what was learned from.
    std::fs::rename(scratch.path("more"), scratch.path("elsewhere")).unwrap();
    scratch.ok(&[
        "export",
        "line.safetensors",
        "--out",
        "line.onnx",
        "--skip-bad",
        "--data",
        "elsewhere",
        "--data",
        "parts",
    ]);
    let file = bundle::model_file::read(&scratch.path("line.onnx")).unwrap();
    let names: Vec<_> = file.document.classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names, ["bolt", "cap", "weave"]);

    // Nothing is left to learn from.
    for seed in 0..8 {
        std::fs::write(scratch.path(&format!("elsewhere/bolt/{seed}.png")), "no image").unwrap();
    }
    scratch.fails(
        &["calibrate", "line.onnx", "--data", "elsewhere", "--skip-bad"],
        7,
        &["\"bolt\"", "no images of good parts"],
    );
}
