//! What tests of the built binary share: a scratch folder, tiny products, a tiny teacher, a recipe of seconds.
//!
//! Owns how a command must end. Knows no test.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::PathBuf,
    process::{Command, Output},
};

/// A folder in which the built binary runs.
pub(crate) struct Scratch(pub(crate) tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sightline-train"))
            .args(arguments)
            .current_dir(self.0.path())
            // No test asks the real hub, nor depends on what a user fetched from it.
            .env("HF_HUB_OFFLINE", "1")
            .env("HF_HUB_CACHE", self.path("hub"))
            .output()
            .unwrap()
    }

    /// Runs a command that must end well.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must end with this code and tell these words in one line.
    pub(crate) fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) {
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

/// A network that trains in seconds.
pub(crate) const RECIPE: &str = "iterations = 5\nbatch_classes = 2\nbatch_images_per_class = 2\nlocal_locations_max = 64\n\
    [architecture]\nbackbone = \"resnet18\"\nwidth = 0.125\ninput_height = 64\ninput_width = 64\nprojector = \"dense\"\n";

/// Parts of two products.
pub(crate) fn products(scratch: &Scratch) {
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

/// A teacher of the recipe's width.
pub(crate) fn teacher(scratch: &Scratch) {
    std::fs::write(
        scratch.path("teacher.toml"),
        "width = 0.125\nclasses = 4\nimage_px = 32\nbatch = 4\niterations = 3\n",
    )
    .unwrap();
    scratch.ok(&["pretrain", "--recipe", "teacher.toml", "--out", "teacher.safetensors"]);
}

/// A folder with parts, a teacher and the recipe.
pub(crate) fn ready() -> Scratch {
    let scratch = Scratch::new();
    products(&scratch);
    teacher(&scratch);
    std::fs::write(scratch.path("recipe.toml"), RECIPE).unwrap();
    scratch
}

/// The arguments of a training in such a folder.
pub(crate) fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = [
        "train",
        "--data",
        "parts",
        "--teacher",
        "teacher.safetensors",
        "--recipe",
        "recipe.toml",
        "--out",
    ];
    fixed.into_iter().chain([out]).chain(more.iter().copied()).collect()
}
