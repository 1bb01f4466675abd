//! Long runs: interrupted, resumed, out of disk, out of numbers; and what they may learn from. By the built binary.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    process::Command,
    sync::{Arc, atomic::AtomicBool},
};

use indicatif::ProgressBar;
use network::weights::Weights;
use trainer::{
    checkpoint::Checkpoint,
    dataset,
    run::{self, Outcome, RunOptions, Start},
    teacher::Teacher,
};

use support::{RECIPE, ready, train};

#[test]
fn an_interrupted_run_ends_in_the_weights_of_an_unbroken_one() {
    let scratch = ready();
    let steps = ["--iterations", "103", "--ccl", "both"];
    scratch.ok(&train("unbroken.safetensors", &steps));
    let mut child = Command::new(env!("CARGO_BIN_EXE_sightline-train"))
        .args(train("broken.safetensors", &steps))
        .current_dir(scratch.0.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Anywhere in the middle: some steps are in the log.
    let log = scratch.path("broken.log.jsonl.unfinished");
    let begun = std::time::Instant::now();
    while std::fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < 7 {
        assert!(begun.elapsed().as_secs() < 300 && child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("stopped at step") && told.contains("--resume"), "{told}");
    assert!(!scratch.path("broken.safetensors").exists());
    // The half-made model is refused by everything that wants a whole one.
    scratch.fails(
        &["export", "broken.safetensors.unfinished", "--data", "parts", "--out", "x.onnx"],
        7,
        &["unfinished run"],
    );
    // Nor does a run that forgets to go on take its place.
    scratch.fails(&train("broken.safetensors", &steps), 7, &["has not ended", "--resume"]);
    let resume = ["train", "--resume", "--data", "parts", "--out", "broken.safetensors"];
    scratch.ok(&resume);
    let bytes = |name: &str| std::fs::read(scratch.path(name)).unwrap();
    assert!(bytes("unbroken.safetensors") == bytes("broken.safetensors"));
    let steps = |name: &str| -> Vec<u64> {
        let text = std::fs::read_to_string(scratch.path(name)).unwrap();
        let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        text.lines().map(|line| row(line)["step"].as_u64().unwrap()).collect()
    };
    assert_eq!(steps("broken.log.jsonl"), (1..=103).collect::<Vec<u64>>());
    // Nothing is left to go on with.
    scratch.fails(&resume, 4, &["nothing to resume", "broken.safetensors.unfinished"]);
}

#[test]
fn the_precision_of_the_small_machine_trains_a_model_too() {
    let scratch = ready();
    std::fs::write(scratch.path("recipe.toml"), format!("precision = \"bf16\"\n{RECIPE}")).unwrap();
    scratch.ok(&train("bf16.safetensors", &[]));
    let report =
        scratch.ok(&["evaluate", "model", "bf16.safetensors", "--data", "parts", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(report["products"]["cap"].is_object(), "{report}");
}

#[test]
fn a_refined_model_is_calibrated_with_parts_that_no_run_before_it_learned_from() {
    let scratch = ready();
    scratch.ok(&train("line.safetensors", &[]));
    let first = Checkpoint::load(&scratch.path("line.safetensors")).unwrap().manifest;
    // The line has gone on, and the seed is another one.
    for i in 0..10_u8 {
        let name = format!("parts/cap/train/good/later{i}.png");
        image::RgbImage::from_pixel(64, 64, image::Rgb([i, 90, 90]))
            .save(scratch.path(&name))
            .unwrap();
    }
    let refine = ["train", "--data", "parts", "--recipe", "recipe.toml", "--seed", "9"];
    let refine =
        [&refine[..], &["--refine", "line.safetensors", "--out", "next.safetensors"]].concat();
    scratch.ok(&refine);
    let next = Checkpoint::load(&scratch.path("next.safetensors")).unwrap();
    assert!(!first.learned.is_empty() && next.manifest.learned.is_superset(&first.learned));
    let data = dataset::read(&[scratch.path("parts")]).unwrap();
    for part in next.split(&data).unwrap().calibration {
        let digest = bundle::fingerprint::sha256(&std::fs::read(&part.path).unwrap());
        assert!(!first.learned.contains(&digest[..16]), "{}", part.path.display());
    }
    // A third one knows what both saw.
    let again = [&refine[..8], &["next.safetensors", "--out", "third.safetensors"]].concat();
    scratch.ok(&again);
    let third = Checkpoint::load(&scratch.path("third.safetensors")).unwrap().manifest;
    assert!(third.learned.is_superset(&next.manifest.learned));
    assert!(third.refines.unwrap().refines.unwrap().learned.is_empty());
}

#[test]
fn a_disk_that_is_full_leaves_the_earlier_checkpoint_as_it_was() {
    let scratch = ready();
    scratch.ok(&train("line.safetensors", &[]));
    let before = std::fs::read(scratch.path("line.safetensors")).unwrap();
    // The system refuses to let a file grow beyond 64 blocks of 512 bytes, as it refuses when the disk is full.
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 64; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_sightline-train"),
        ])
        .args(train("line.safetensors", &["--seed", "3"]))
        .current_dir(scratch.0.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(8), "{told}");
    let last = told.lines().last().unwrap();
    assert!(last.contains("write line.safetensors") && last.contains("too large"), "{told}");
    assert!(before == std::fs::read(scratch.path("line.safetensors")).unwrap());
    let debris = std::fs::read_dir(scratch.0.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp"))
        .count();
    assert_eq!(debris, 0);
}

#[test]
fn classes_may_be_found_and_products_chosen() {
    let scratch = ready();
    scratch.ok(&train("pseudo.safetensors", &["--classes", "pseudo:2"]));
    scratch.ok(&train("chosen.safetensors", &["--classes", "pseudo"]));
    // One product alone has classes when they are found.
    scratch.ok(&train("alone.safetensors", &["--products", "cap", "--classes", "pseudo:2"]));
    let alone = Checkpoint::load(&scratch.path("alone.safetensors")).unwrap();
    assert_eq!(alone.manifest.classes, ["cap"]);
    // The other product is there to be refused.
    let report =
        scratch.ok(&["evaluate", "model", "alone.safetensors", "--data", "parts", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["foreign"]["weave"]["parts"], 14);
    assert!(report["products"].get("weave").is_none());

    scratch.fails(
        &train("x.safetensors", &["--products", "cap,cup"]),
        7,
        &["\"cup\"", "cap, weave"],
    );
    scratch.fails(&train("x.safetensors", &["--classes", "pseudo:1"]), 2, &["--help"]);
    scratch.fails(&train("x.safetensors", &["--classes", "pseudo:900"]), 7, &["cannot be grouped"]);
    scratch.fails(&train("x.safetensors", &["--device", "tpu"]), 2, &["--help"]);
    if !tch::Cuda::is_available() {
        scratch.fails(
            &train("x.safetensors", &["--device", "cuda:3"]),
            5,
            &["cuda:3", "--device cpu"],
        );
    }
}

#[test]
fn numbers_that_are_none_stop_a_run_and_name_what_is_left() {
    let scratch = ready();
    std::fs::write(
        scratch.path("recipe.toml"),
        format!("learning_rate = 1e30\nprojector_learning_rate = 1e30\n{RECIPE}"),
    )
    .unwrap();
    scratch.fails(
        &train("line.safetensors", &[]),
        7,
        &["step", "learning rates", "nothing was saved"],
    );
    assert!(!scratch.path("line.safetensors").exists());
}

#[test]
fn a_run_that_is_stopped_before_its_first_step_goes_on_as_if_it_were_new() {
    let scratch = ready();
    scratch.ok(&train("unbroken.safetensors", &[]));
    let stopped = RunOptions {
        start: Start::Teacher(Teacher::file(&scratch.path("teacher.safetensors")).unwrap()),
        out: scratch.path("broken.safetensors"),
        device: tch::Device::Cpu,
        stop: Arc::new(AtomicBool::new(true)),
    };
    let recipe = toml::from_str(RECIPE).unwrap();
    let data = dataset::read(&[scratch.path("parts")]).unwrap();
    let outcome = run::train(&recipe, &data, &stopped, |_| ProgressBar::hidden()).unwrap();
    assert_eq!(outcome, Outcome::Stopped { step: 0 });
    scratch.ok(&["train", "--resume", "--data", "parts", "--out", "broken.safetensors"]);
    let bytes = |name: &str| std::fs::read(scratch.path(name)).unwrap();
    assert!(bytes("unbroken.safetensors") == bytes("broken.safetensors"));
}

#[test]
fn a_run_whose_batch_norms_have_not_settled_passes_for_no_model_and_can_go_on() {
    let scratch = ready();
    scratch.ok(&train("line.safetensors", &[]));
    let settled = std::fs::read(scratch.path("line.safetensors")).unwrap();
    // All steps are done, and the state to go on with is there: what a run leaves that is stopped while it settles.
    let mut checkpoint = Checkpoint::load(&scratch.path("line.safetensors")).unwrap();
    let trained = |name: &str| !name.starts_with("teacher.") && !name.contains(".running_");
    let moments =
        checkpoint.weights.0.iter().filter(|(name, _)| trained(name)).flat_map(|(name, weight)| {
            ["mean", "square"].map(|of| (format!("{of}.{name}"), weight.clone()))
        });
    checkpoint.state = Some(Weights(moments.collect()));
    for (name, weight) in &mut checkpoint.weights.0 {
        if name.contains(".running_") && !name.starts_with("teacher.") {
            weight.values.fill(0.5);
        }
    }
    std::fs::remove_file(scratch.path("line.safetensors")).unwrap();
    checkpoint.save(&scratch.path("line.safetensors.unfinished")).unwrap();
    let export = ["export", "line.safetensors.unfinished", "--data", "parts", "--out", "x.onnx"];
    scratch.fails(&export, 7, &["unfinished run", "5 of 5 steps", "--resume"]);
    scratch.ok(&["train", "--resume", "--data", "parts", "--out", "line.safetensors"]);
    assert!(settled == std::fs::read(scratch.path("line.safetensors")).unwrap());
}
