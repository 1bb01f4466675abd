//! The loop of `docs/loop.md`, by its own commands: line, archive, training folder, model, line.
//!
//! Both binaries take part. A small teacher and a recipe of seconds stand in for those that the page names; everything
//! else is run as it stands there.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{RECIPE, Scratch, teacher};

/// The fenced blocks of a page in that language.
fn blocks<'a>(page: &'a str, language: &'a str) -> impl Iterator<Item = &'a str> {
    let fences = page.split("\n```").skip(1).step_by(2);
    fences.filter_map(move |block| block.strip_prefix(language)?.strip_prefix('\n'))
}

/// The folder of the built binaries.
fn binaries() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_sightline-train")).parent().unwrap();
    assert!(folder.join("sightline").is_file(), "build the inspector first: cargo build");
    folder.into()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn run(scratch: &Scratch, command: &str) -> String {
    let path = format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(scratch.0.path())
        .env("PATH", path)
        .env("HF_HUB_OFFLINE", "1")
        // Beside the executable there is none, and the folder is another.
        .env("SIGHTLINE_ONNXRUNTIME", repository().join(".deps/onnxruntime"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_pictures_of_a_line_train_the_model_that_judges_it_next() {
    let page = std::fs::read_to_string(repository().join("docs/loop.md")).unwrap();
    let scratch = Scratch::new();
    std::os::unix::fs::symlink(repository().join("models"), scratch.path("models")).unwrap();
    teacher(&scratch);
    std::fs::create_dir_all(scratch.path("trainer/recipes")).unwrap();
    std::fs::write(scratch.path("trainer/recipes/small-machine.toml"), RECIPE).unwrap();
    let line = blocks(&page, "toml").next().unwrap();
    std::fs::write(scratch.path("line.toml"), line).unwrap();
    // Step 5: the new model in the old one's place.
    let (around, back) = page.split_once("\n## 5.").unwrap();
    let commands = |page| -> Vec<String> {
        let lines = blocks(page, "sh").flat_map(str::lines);
        lines
            .map(|line| line.replace("--teacher resnet18", "--teacher teacher.safetensors"))
            .collect()
    };
    let (around, back) = (commands(around), commands(back));
    assert_eq!((around.len(), back.len()), (7, 2), "{around:?} {back:?}");
    for command in &around {
        run(&scratch, command);
    }
    let line = line
        .replace("models/demo.onnx", "line.onnx")
        .replace("false_reject_rate = 0.02", "false_reject_rate = 0.02\nallow_unrated = true");
    std::fs::write(scratch.path("line.toml"), line).unwrap();
    for command in &back {
        run(&scratch, command);
    }
    // Both models judged every frame, and the account adds up.
    run(&scratch, "sightline ledger verify ledger.db");
    let rows = run(&scratch, "sightline ledger export ledger.db --format json");
    let rows: Vec<serde_json::Value> =
        rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let models: BTreeSet<_> = rows.iter().filter_map(|row| row["model_sha256"].as_str()).collect();
    assert_eq!(models.len(), 2, "{models:?}");
    let judged = rows.iter().filter(|row| row["disposition"] == "judged");
    assert!(judged.clone().all(|row| row["score"].is_number() && row["decision"] != "fault"));
    let by = |model: &str| judged.clone().filter(|row| row["model_sha256"] == model).count();
    let counts: BTreeSet<_> = models.iter().map(|model| by(model)).collect();
    assert_eq!(counts.len(), 1, "both saw the same clip: {counts:?}");
}
