//! `tools/board-check`, on this machine, which is no Jetson: what can run runs, the rest says why it did not.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use crate::{
    rtsp,
    support::{Scratch, library, stderr},
};

const SCRIPT: &str = "tools/board-check";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn board_check(scratch: &Scratch, program: &str, more: &[&str]) -> Output {
    let arguments = ["--out", "report", "--model", "model.onnx", "--sightline", program];
    Command::new(root().join(SCRIPT))
        .args(arguments)
        .args(more)
        .current_dir(scratch.path("."))
        .env("SIGHTLINE_ONNXRUNTIME", library())
        .output()
        .unwrap()
}

/// Result and reason of each section of the report's table.
fn results(scratch: &Scratch) -> BTreeMap<String, (String, String)> {
    let report = std::fs::read_to_string(scratch.path("report/report.md")).unwrap();
    let rows = report.lines().filter_map(|line| {
        let cells: Vec<_> = line.split(" | ").collect();
        let [id, _claim, result, reason] = cells[..] else { return None };
        let id = id.strip_prefix("| `")?.strip_suffix('`')?;
        let result = result.trim_matches('*').to_owned();
        Some((id.to_owned(), (result, reason.trim_end_matches(" |").to_owned())))
    });
    rows.collect()
}

/// The sections that the script has, in its order.
fn sections() -> Vec<String> {
    let script = std::fs::read_to_string(root().join(SCRIPT)).unwrap();
    let mut ids: Vec<String> = Vec::new();
    for line in script.lines().map(str::trim_start) {
        let Some(rest) = line.strip_prefix("section ").or_else(|| line.strip_prefix("camera "))
        else {
            continue;
        };
        let id = rest.split(' ').next().unwrap().trim_matches('"');
        let each: Vec<_> = match id {
            "$1" => Vec::new(),
            "golden-$precision" => ["int8", "fp16", "fp32"].map(|it| format!("golden-{it}")).into(),
            id => vec![id.to_owned()],
        };
        ids.extend(each);
    }
    ids.dedup();
    ids
}

#[test]
fn a_machine_that_is_no_jetson_runs_what_it_can() {
    let scratch = Scratch::new();
    // A network camera goes the way of every camera in the script.
    let camera = format!("rtsp://127.0.0.1:{}/line", rtsp::serve_beside());
    let more = ["--quick", "--rtsp", &camera];
    let output = board_check(&scratch, env!("CARGO_BIN_EXE_sightline"), &more);
    let results = results(&scratch);
    let told = stderr(&output);
    for id in sections() {
        assert!(results.contains_key(&id), "{id} is not in the report: {told}");
    }
    for id in ["engine-cpu", "line", "rtsp", "latency", "memory"] {
        assert_eq!(results[id].0, "PASS", "{id}: {:?}\n{told}", results[id]);
    }
    assert!(results["rtsp"].1.contains("5 of "), "{results:?}");
    assert!(results["engine-cpu"].1.contains("2 golden frames agree"), "{results:?}");
    if !Path::new("/etc/nv_tegra_release").exists() {
        for id in
            ["providers", "engine-build", "engine-cache", "golden-fp16", "csi", "gige", "gpio"]
        {
            let (result, reason) = &results[id];
            assert!(result == "NOT RUN" && !reason.is_empty(), "{id}: {result}, {reason}");
        }
    }
    let has_failed = results.values().any(|(result, _)| result == "FAIL");
    assert_eq!(output.status.code(), Some(i32::from(has_failed)), "{told}");
    let report = std::fs::read_to_string(scratch.path("report/report.md")).unwrap();
    assert!(
        report.contains("## latency: PASS") && report.contains("| engine's thread"),
        "{report}"
    );
    assert!(report.contains("$ sightline prepare"), "{report}");
}

/// A program that behaves like ours, but for what is wrong with it.
fn stand_in(scratch: &Scratch, prepare: &str) -> String {
    let script = format!(
        "#!/bin/sh\ncase $1 in\n--version) echo sightline 0 ;;\n\
         doctor) echo \"$*\" >>asked; printf '    \"providers\": [\\n      \"tensorrt\"\\n    ],\\n' ;;\n\
         prepare) cache=$(sed -n 's/^cache = \"\\(.*\\)\"/\\1/p' \"$2\"); mkdir -p \"$cache\"; {prepare} ;;\n\
         check) echo \"playing $(sed -n 's/^parameters = //p' \"$3\")\" ;;\n\
         capture) echo \"recording $*\"; exit 8 ;;\n\
         ledger) echo adds up; exit 7 ;;\n\
         bench) echo '| slope | 30 bytes/frame | 25 to 35 | |'; echo '| whole station | 1 | | at least 2: missed |' ;;\n\
         *) echo done ;;\nesac\n"
    );
    scratch.write("program", script);
    let path = scratch.path("program");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn what_is_wrong_on_a_board_is_found() {
    let scratch = Scratch::new();
    let check = |prepare: &str, expected: &[(&str, &str, &str)]| {
        let program = stand_in(&scratch, prepare);
        let output = board_check(&scratch, &program, &[]);
        let results = results(&scratch);
        for (id, result, word) in expected {
            let (told, reason) = &results[*id];
            assert!(told == result && reason.contains(word), "{prepare}: {id}: {told}, {reason}");
        }
        assert_eq!(output.status.code(), Some(1), "the ledger does not add up: {results:?}");
        assert_eq!(results["line"].0, "FAIL");
        assert_eq!(results["latency"].1, "beyond its target: whole station");
        assert_eq!(results["memory"].1, "memory grows by at least 25 bytes a frame");
    };
    // The second time it is there; each precision's is in a cache of its own.
    let build =
        "test -s $cache/a.engine && how='already built, loaded in 1.0 s from' || how='built in";
    let fast = format!("{build} 9.5 s, kept in'; echo x > $cache/a.engine");
    check(
        &format!("{fast}; echo \"ready: tensorrt+cuda+cpu in fp16; $how $cache\""),
        &[
            ("engine-build", "PASS", "built in 9.5 s"),
            ("engine-cache", "PASS", "already built"),
            ("golden-int8", "PASS", "built in"),
        ],
    );
    let slow = format!("{build} 29.5 s, kept in'; echo x > $cache/a.engine");
    let ready = "echo \"ready: tensorrt in fp16; $how $cache\"";
    check(&format!("{slow}; {ready}"), &[("engine-build", "FAIL", "without a word of progress")]);
    check(
        &format!("{slow}; echo building tensorrt in fp16 for 20 s; {ready}"),
        &[("engine-build", "PASS", "built in 29.5 s")],
    );
    // Whatever it says: another provider, no engine file or an empty one is no engine of TensorRT's.
    check(
        &format!("{fast}; echo 'ready: cuda+cpu; built in 9.5 s'"),
        &[
            ("engine-build", "FAIL", "another provider"),
            ("golden-fp16", "FAIL", "another provider"),
        ],
    );
    for nothing in ["true", ": > $cache/a.engine"] {
        check(
            &format!("{nothing}; echo 'ready: tensorrt in fp16; built in 9.5 s'"),
            &[
                ("engine-build", "FAIL", "no engine file"),
                ("golden-fp16", "FAIL", "no engine file"),
                ("engine-cache", "FAIL", "built again"),
            ],
        );
    }
    check(
        "echo x > $cache/$$.engine; echo 'ready: tensorrt in fp16; already built'",
        &[
            ("engine-build", "FAIL", "nothing was built"),
            ("engine-cache", "FAIL", "files appeared"),
        ],
    );
    check(
        "echo no int8 in this file; exit 3",
        &[("golden-int8", "NOT RUN", "cannot be computed"), ("engine-build", "FAIL", "no int8")],
    );
    check(
        "echo golden frames disagree; exit 4",
        &[("golden-fp16", "FAIL", "disagree"), ("engine-cpu", "FAIL", "disagree")],
    );
}

#[test]
fn a_cameras_password_is_in_no_report_and_the_installed_line_is_looked_at() {
    let scratch = Scratch::new();
    let program = stand_in(&scratch, "echo ready: cpu; exit 5");
    scratch.write("line.toml", "");
    let camera = "rtsp://ada:s3cr3t/@t@127.0.0.1:9/line";
    let more = ["--quick", "--rtsp", camera, "--config", "line.toml"];
    let output = board_check(&scratch, &program, &more);
    let rtsp = &results(&scratch)["rtsp"];
    assert!(rtsp.0 == "FAIL" && rtsp.1.contains("rtsp://***@127.0.0.1:9/line"), "{rtsp:?}");
    let logs = std::fs::read_dir(scratch.path("report/logs")).unwrap();
    let logs = logs.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let told = [
        std::fs::read_to_string(scratch.path("report/report.md")).unwrap(),
        stderr(&output),
        logs.collect(),
    ]
    .concat();
    assert!(told.contains("playing") && told.contains("recording"), "{told}");
    assert!(!told.contains("s3cr3t") && !told.contains("@t"), "{told}");
    // Doctor is asked what that line needs, each time.
    let asked = std::fs::read_to_string(scratch.path("asked")).unwrap();
    assert!(asked.lines().count() == 2, "{asked}");
    assert!(asked.lines().all(|line| line.ends_with("line.toml")), "{asked}");
}

#[test]
fn the_page_lists_the_sections_that_there_are() {
    let page = std::fs::read_to_string(root().join("docs/board-check.md")).unwrap();
    let listed: Vec<_> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()))
        .collect();
    assert_eq!(listed, sections());
}

#[test]
fn a_wrong_command_line_says_the_right_one() {
    let scratch = Scratch::new();
    for arguments in [&["--nonsense", "x"][..], &["--out"], &["folder"]] {
        let output = Command::new(root().join(SCRIPT))
            .args(arguments)
            .current_dir(scratch.path("."))
            .output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains("--out FOLDER"), "{}", stderr(&output));
    }
}
