//! `prepare`, by the built binary: what it loads is what `run` loads.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use crate::support::{Scratch, stderr, stdout};

fn config(more: &str) -> String {
    format!(
        "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[engine]\ncache = \"cache\"\n{more}\n\
         [[camera]]\nname = \"top\"\npreset = \"usb\"\nparameters = {{ device = \"/nonexistent\" }}\n"
    )
}

/// Every file below a folder with its age.
fn files(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.path(), entry.metadata().unwrap().modified().unwrap());
        }
    }
    found
}

#[test]
fn an_engine_is_ready_without_its_cameras_and_the_second_time_makes_no_file() {
    let scratch = Scratch::new();
    scratch.write("line.toml", config(""));
    let mut before = None;
    for _ in 0..2 {
        let output = scratch.run(&["prepare", "line.toml"]);
        let told = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{told}{}", stderr(&output));
        assert_eq!(told.lines().count(), 1, "{told}");
        for word in ["ready: cpu", "nothing to build", "2 golden frames agree", "ms a frame"] {
            assert!(told.contains(word), "`{word}` is not in: {told}");
        }
        let now = files(&scratch.path("."));
        assert_eq!(before.get_or_insert_with(|| now.clone()), &now);
    }
}

#[test]
fn it_fails_as_run_would() {
    let scratch = Scratch::new();
    let check = |more: &str, code, word: &str| {
        scratch.write("line.toml", config(more));
        let prepared = scratch.run(&["prepare", "line.toml"]);
        assert_eq!(prepared.status.code(), Some(code), "{more}: {}", stderr(&prepared));
        assert!(stderr(&prepared).contains(word), "{more}: {}", stderr(&prepared));
        let ran = scratch.run(&["run", "line.toml"]);
        let last = |output| stderr(output).lines().last().map(str::to_owned);
        assert_eq!((ran.status.code(), last(&ran)), (Some(code), last(&prepared)), "{more}");
    };
    check("providers = [\"tensorrt\"]", 5, "was built without it");
    check("library = \"nowhere.so\"", 5, "does not exist");
    check("treads = 2", 3, "threads");
    scratch.write("model.onnx", "no model");
    check("", 4, "model");
    assert!(!scratch.path("cache").exists(), "what cannot be built leaves nothing behind");
}

/// Whether a process has a handler for a signal (`SigCgt` of proc(5)).
fn handles(pid: u32, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}

#[test]
fn who_asks_for_the_end_is_not_kept_waiting() {
    const SIGINT: u32 = 2;
    let scratch = Scratch::new();
    // The shipped model takes half a second to load and verify; the request comes before.
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/models/demo.onnx");
    scratch.write("line.toml", config("").replace("model.onnx", shipped));
    let child = scratch
        .command(&["prepare", "line.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !handles(child.id(), SIGINT) {
        assert!(began.elapsed() < Duration::from_mins(2), "it does not handle SIGINT");
        std::thread::sleep(Duration::from_millis(1));
    }
    let asked = Instant::now();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}{}", stdout(&output), stderr(&output));
    assert!(stderr(&output).contains("stopped before the engine was there"), "{}", stderr(&output));
    assert!(asked.elapsed() < Duration::from_mins(2), "{:?}", asked.elapsed());
}
