//! What clippy cannot say: headers, purity, and where `unsafe`, `ort` and GStreamer may be.

use std::path::{Path, PathBuf};

/// The crates' source folders, and the tests.
const FOLDERS: [&str; 7] =
    ["src", "bundle/src", "network/src", "synth/src", "trainer/src", "tests", "benches"];

/// Modules that decide and never act.
const PURE: [&str; 96] = [
    "src/camera/lag.rs",
    "src/alarm.rs",
    "src/production/figures.rs",
    "src/production/proposal.rs",
    "src/production/shift.rs",
    "src/access/mod.rs",
    "src/access/attempts.rs",
    "src/access/password.rs",
    "src/access/session.rs",
    "src/access/users.rs",
    "src/archive/names.rs",
    "src/archive/pictures.rs",
    "src/archive/policy.rs",
    "src/archive/retention.rs",
    "src/area.rs",
    "src/inspected.rs",
    "src/frame.rs",
    "src/channel.rs",
    "src/camera/packages.rs",
    "src/camera/trigger.rs",
    "src/camera/view.rs",
    "src/calibration/collection.rs",
    "src/calibration/doubt.rs",
    "src/preprocess.rs",
    "src/verdict.rs",
    "src/fault.rs",
    "src/summary.rs",
    "src/doctor/mod.rs",
    "src/doctor/facts.rs",
    "src/doctor/parse.rs",
    "src/doctor/findings/mod.rs",
    "src/doctor/findings/devices.rs",
    "src/doctor/findings/engine.rs",
    "src/doctor/findings/machine.rs",
    "src/doctor/findings/resources.rs",
    "src/bench/report.rs",
    "src/bench/statistics.rs",
    "src/overlay.rs",
    "src/sinks/line.rs",
    "src/engine/inference.rs",
    "src/engine/provider.rs",
    "src/engine/plan.rs",
    "src/engine/build.rs",
    "src/engine/fatal.rs",
    "src/live/facts.rs",
    "src/live/feed.rs",
    "src/live/rejects.rs",
    "src/live/trend.rs",
    "src/live/words.rs",
    "src/judge/mod.rs",
    "src/judge/appearance.rs",
    "src/judge/attention.rs",
    "src/judge/drift.rs",
    "src/judge/evidence.rs",
    "src/judge/part.rs",
    "src/judge/recipe.rs",
    "src/judge/standard.rs",
    "src/config/keys.rs",
    "src/config/raw.rs",
    "src/config/resolve.rs",
    "src/config/settings.rs",
    "src/config/suggest.rs",
    "src/config/example.rs",
    "src/backoff.rs",
    "src/mqtt/dialect.rs",
    "src/mqtt/failure.rs",
    "src/mqtt/json.rs",
    "src/mqtt/sparkplug.rs",
    "src/mqtt/suspicion.rs",
    "src/mqtt/topic.rs",
    "src/mqtt/window.rs",
    "src/ledger/balance.rs",
    "src/ledger/evidence.rs",
    "src/ledger/triggers.rs",
    "src/config/plc.rs",
    "src/plc/bursts.rs",
    "src/plc/handshake.rs",
    "src/plc/map.rs",
    "src/plc/net.rs",
    "src/plc/pairing.rs",
    "src/plc/post.rs",
    "src/plc/pusher.rs",
    "bundle/src/calibration.rs",
    "bundle/src/spread.rs",
    "bundle/src/precision.rs",
    "bundle/src/prototype.rs",
    "trainer/src/dataset/audit/mod.rs",
    "trainer/src/dataset/audit/report.rs",
    "network/src/onnx/half.rs",
    "network/src/onnx/quantise.rs",
    "trainer/src/metrics/ranking.rs",
    "trainer/src/metrics/components.rs",
    "trainer/src/metrics/v_measure.rs",
    "trainer/src/evaluate/report.rs",
    "trainer/src/evaluate/acceptance.rs",
    "trainer/src/compare.rs",
];

const IMPURE: [&str; 12] = [
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "Instant::now",
    "SystemTime::now",
    "use gstreamer",
    "gstreamer::",
    "ort::",
    "rusqlite",
    "tracing",
    "std::env",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(String, String)> {
    fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    for folder in FOLDERS {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// The code without its comments and without its tests.
fn code(source: &str) -> String {
    let tested = source.split("#[cfg(test)]").next().unwrap_or_default();
    tested
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn every_file_says_first_what_it_is() {
    let headless: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(name, _)| name)
        .collect();
    assert!(headless.is_empty(), "no `//!` header: {headless:?}");
}

#[test]
fn pure_modules_stay_pure() {
    let sources = sources();
    for pure in PURE {
        let (name, text) = sources
            .iter()
            .find(|(name, _)| name == pure)
            .unwrap_or_else(|| panic!("{pure} is gone: correct the list"));
        for impure in IMPURE {
            assert!(!code(text).contains(impure), "{name} is pure and says {impure}");
        }
    }
}

#[test]
fn foreign_worlds_have_one_door_each() {
    let check = |word: &str, allowed: &dyn Fn(&str) -> bool| {
        for (name, text) in sources().iter().filter(|(name, _)| !name.starts_with("tests/")) {
            assert!(!code(text).contains(word) || allowed(name), "{name} says `{word}`");
        }
    };
    check("unsafe ", &|name| {
        ["src/engine/library.rs", "src/engine/gpu.rs", "src/doctor/gather/clock.rs"].contains(&name)
            || name == "trainer/src/torch/allocator.rs"
    });
    check("use ort::", &|name| name == "src/engine/onnx.rs" || name == "trainer/src/deployed.rs");
    check("tokio", &|name| {
        ["src/http/", "src/plc/"].iter().any(|folder| name.starts_with(folder))
            || name == "src/mqtt/client.rs"
    });
    check("gpiocdev", &|name| name == "src/plc/gpio.rs");
    check("rumqttc::", &|name| name.starts_with("src/mqtt/") || name.starts_with("examples/"));
    check("use rusqlite", &|name| name.starts_with("src/ledger/"));
    check("use gstreamer", &|name| name.starts_with("src/camera/"));
    check("use tch", &|name| name.starts_with("trainer/src/"));
    check("anyhow::", &|name| name.starts_with("src/cli/") || name.starts_with("trainer/src/"));
    check("std::env::var", &|name| {
        name.starts_with("src/cli/") || name.starts_with("trainer/src/")
    });
}

/// Routes that are no part of the API: the page's own files.
const ROUTES_BESIDE: &str = "src/http/page";

#[test]
fn every_route_comes_with_its_documentation() {
    for (name, text) in sources() {
        if name.starts_with("src/http/") && !name.starts_with(ROUTES_BESIDE) {
            assert!(
                !code(&text).contains(".route("),
                "{name}: .routes(routes!(handler)) puts a route into the OpenAPI document as well"
            );
        }
    }
}

#[test]
fn unsafe_blocks_are_counted() {
    for (file, blocks) in [
        ("src/doctor/gather/clock.rs", 1),
        ("src/engine/gpu.rs", 7),
        ("src/engine/library.rs", 6),
        ("trainer/src/torch/allocator.rs", 1),
    ] {
        let sources = sources();
        let (_, text) = sources.iter().find(|(name, _)| name == file).unwrap();
        assert_eq!(
            code(text).matches("unsafe {").count(),
            blocks,
            "{file}: a new unsafe block wants a review, and this number"
        );
    }
}

#[test]
fn no_test_expects_a_panic() {
    let word = ["should", "panic"].join("_");
    for (name, text) in sources() {
        assert!(
            !text.contains(&word),
            "{name} has a test that expects a panic; return an error instead"
        );
    }
}
