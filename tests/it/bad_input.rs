//! Bad input gets one clear line that names the thing and the remedy, and a documented exit code.

use std::{path::PathBuf, process::Command, time::Duration};

use bundle::geometry::Size;

use crate::support::{self, Scratch, picture, stderr};

const INSPECT: [&str; 6] =
    ["inspect", "part.png", "--model", "model.onnx", "--reject-rate", "0.02"];

/// Longer than any of these may take, shorter than a person's patience.
const PATIENCE: Duration = Duration::from_mins(1);

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write_picture("part.png", &picture(Size { width: 32, height: 32 }, 0).view());
    scratch
}

/// The binary ends with `code` and one line that has all of `words`.
fn check(scratch: &Scratch, arguments: &[&str], code: i32, words: &[&str]) {
    let started = std::time::Instant::now();
    let output = scratch.run(arguments);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{arguments:?}: `{word}` is not in: {text}");
    }
    assert!(started.elapsed() < PATIENCE, "{arguments:?} took {:?}", started.elapsed());
}

fn with<'a>(arguments: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [arguments, more].concat()
}

#[test]
fn a_library_that_is_missing_or_no_library() {
    let scratch = scratch();
    scratch.write("text.so", "no library");
    let named = |path| with(&INSPECT, &["--onnxruntime", path]);
    check(
        &scratch,
        &named("nowhere.so"),
        5,
        &["nowhere.so", "--onnxruntime", "does not exist", "1.17.0"],
    );
    check(&scratch, &named("text.so"), 5, &["text.so", "cannot be loaded"]);
}

#[test]
fn a_library_that_is_another() {
    // The C library that this very process uses, wherever it lies.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .find(|path| path.contains("libc.so"));
    check(
        &scratch(),
        &with(&INSPECT, &["--onnxruntime", libc.unwrap()]),
        5,
        &["OrtGetApiBase", "libc.so"],
    );
}

#[test]
fn a_library_that_is_too_old() {
    let scratch = scratch();
    let library = fake_library(&scratch, "1.10.0");
    let library = library.to_str().unwrap();
    check(
        &scratch,
        &with(&INSPECT, &["--onnxruntime", library]),
        5,
        &["1.10.0", "1.17.0 or later"],
    );
}

/// A library with ONNX Runtime's one entry point that only knows its version.
fn fake_library(scratch: &Scratch, version: &str) -> PathBuf {
    let source = format!(
        "use std::ffi::{{c_char, c_void}};\n\
         #[repr(C)] pub struct Base {{ api: extern \"C\" fn(u32) -> *const c_void, version: extern \"C\" fn() -> *const c_char }}\n\
         extern \"C\" fn api(_: u32) -> *const c_void {{ std::ptr::null() }}\n\
         extern \"C\" fn version() -> *const c_char {{ c\"{version}\".as_ptr() }}\n\
         static BASE: Base = Base {{ api, version }};\n\
         #[unsafe(no_mangle)] pub extern \"C\" fn OrtGetApiBase() -> *const Base {{ &BASE }}\n"
    );
    scratch.write("fake.rs", source);
    let library = scratch.path("libfake.so");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(compiler)
        .args(["--edition", "2024", "--crate-type", "cdylib", "-C", "panic=abort", "-o"])
        .args([&library, &scratch.path("fake.rs")])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

#[test]
fn a_provider_that_is_not_there_is_never_fallen_back_from() {
    let scratch = scratch();
    let config = "[model]\npath = \"model.onnx\"\n[engine]\nproviders = [\"cuda\", \"cpu\"]\n[judge]\nfalse_reject_rate = 0.02\n\
                  [[camera]]\nname = \"top\"\npreset = \"test\"\n";
    scratch.write("line.toml", config);
    check(&scratch, &["run", "line.toml"], 5, &["\"cuda\" is not available", "engine.providers"]);
}

#[test]
fn a_model_that_is_none() {
    let scratch = scratch();
    let model = std::fs::read(scratch.path("model.onnx")).unwrap();
    scratch.write("truncated.onnx", &model[..model.len() / 2]);
    scratch.write("bare.onnx", support::bare_network());
    scratch.write("empty.onnx", "");
    scratch.write("folder.onnx/file", "");
    let newer = network_with_document(
        &support::document(0).to_json().unwrap().replace("\"format\":1", "\"format\":99"),
    );
    scratch.write("newer.onnx", newer);
    let show = |file| ["model", "show", file];
    check(&scratch, &show("nowhere.onnx"), 4, &["nowhere.onnx", "sightline-train"]);
    check(&scratch, &show("truncated.onnx"), 4, &["truncated.onnx"]);
    check(&scratch, &show("empty.onnx"), 4, &["empty.onnx"]);
    check(&scratch, &show("bare.onnx"), 4, &["bare.onnx", "metadata"]);
    check(&scratch, &show("folder.onnx"), 4, &["folder.onnx", "is a folder"]);
    check(&scratch, &show("part.png"), 4, &["part.png"]);
    check(&scratch, &show("newer.onnx"), 4, &["newer.onnx", "99"]);
}

fn network_with_document(json: &str) -> Vec<u8> {
    use prost::Message as _;
    let mut model = network::onnx::proto::ModelProto::decode(&*support::bare_network()).unwrap();
    network::onnx::set_metadata(&mut model, bundle::schema::KEY, json.to_owned());
    network::onnx::bytes(&model)
}

#[test]
fn a_configuration_with_a_mistake() {
    let scratch = scratch();
    scratch.write("typo.toml", "[judge]\nfales_reject_rate = 0.01\n");
    scratch.write("syntax.toml", "[judge\n");
    check(&scratch, &["run", "nowhere.toml"], 3, &["nowhere.toml", "sightline.example.toml"]);
    check(
        &scratch,
        &["run", "typo.toml"],
        3,
        &["typo.toml", "judge.fales_reject_rate", "did you mean \"false_reject_rate\"?"],
    );
    check(&scratch, &["run", "syntax.toml"], 3, &["syntax.toml: line 1"]);
}

#[test]
fn a_rate_that_the_calibration_cannot_support() {
    let scratch = scratch();
    let asked = ["inspect", "part.png", "--model", "model.onnx", "--reject-rate", "0.001"];
    check(
        &scratch,
        &asked,
        3,
        &["\"wave\" has 99 calibration frames", "needs 1999", "allow_unrated"],
    );
    let output = scratch.run(&with(&asked, &["--allow-unrated", "--json"]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(support::json_lines(&output)[0]["unrated"], true);
}

#[test]
fn images_that_are_not_there() {
    let scratch = scratch();
    std::fs::create_dir(scratch.path("empty")).unwrap();
    let inspect = |path| ["inspect", path, "--model", "model.onnx", "--reject-rate", "0.02"];
    check(&scratch, &inspect("nowhere.png"), 7, &["nowhere.png"]);
    check(&scratch, &inspect("empty"), 7, &["folder empty has no images"]);
}

#[test]
fn output_that_cannot_be_written() {
    let scratch = scratch();
    scratch.write("file", "");
    check(
        &scratch,
        &with(&INSPECT, &["--json", "--overlay", "file/below"]),
        8,
        &["file/below", "cannot be written"],
    );
}

fn camera(more: &str) -> String {
    format!(
        "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n\
         [[camera]]\nname = \"top\"\noverflow = \"every\"\n{more}"
    )
}

#[test]
fn a_camera_that_cannot_be() {
    let scratch = scratch();
    std::fs::create_dir(scratch.path("empty")).unwrap();
    let check_camera = |more: &str, code, words: &[&str]| {
        scratch.write("line.toml", camera(more));
        check(&scratch, &["run", "line.toml"], code, words);
    };
    check_camera("preset = \"fiels\"\n", 3, &["camera top", "\"fiels\"", "files"]);
    check_camera("preset = \"files\"\n", 3, &["camera top", "\"location\" is missing"]);
    check_camera(
        "preset = \"test\"\nparameters = { patern = \"snow\" }\n",
        3,
        &["camera top", "\"patern\"", "pattern"],
    );
    check_camera(
        "preset = \"files\"\nparameters = { location = \"nowhere.webm\" }\n",
        7,
        &["camera top", "nowhere.webm does not exist"],
    );
    check_camera(
        "preset = \"files\"\nparameters = { location = \"empty\" }\n",
        7,
        &["camera top", "empty has no images"],
    );
    check_camera(
        "preset = \"files\"\nparameters = { location = \"parts/*.png\" }\n",
        7,
        &["camera top", "parts/*.png", "no images match"],
    );
}

#[test]
fn a_camera_that_fails_while_it_plays() {
    let scratch = scratch();
    // No video, whatever its name says. A live camera would be tried again: tests/it/reconnect.rs.
    scratch.write("belt.webm", vec![7_u8; 4_000]);
    for (more, words) in [(
        "preset = \"files\"\nparameters = { location = \"belt.webm\" }\n",
        ["camera top", "decodebin: "],
    )] {
        scratch.write("line.toml", camera(more));
        let output = scratch.run(&["run", "line.toml"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(6), "{told}");
        let last = told.lines().last().unwrap();
        for word in words {
            assert!(last.contains(word), "`{word}` is not in: {told}");
        }
        assert!(told.contains("captured 0 = judged 0"), "{told}");
    }
}

/// GStreamer with the plug-ins that `files` lists and no others.
fn with_plugins(scratch: &Scratch, files: &[&str], arguments: &[&str]) -> std::process::Output {
    let folder = scratch.path("plugins");
    std::fs::create_dir_all(&folder).unwrap();
    for name in files {
        let name = format!("libgst{name}.so");
        let installed =
            format!("/usr/lib/{}-linux-gnu/gstreamer-1.0/{name}", std::env::consts::ARCH);
        std::os::unix::fs::symlink(installed, folder.join(name)).unwrap();
    }
    let mut command = scratch.command(arguments);
    command
        .env("GST_PLUGIN_SYSTEM_PATH_1_0", &folder)
        .env("GST_PLUGIN_PATH_1_0", "")
        .env("GST_REGISTRY_1_0", scratch.path("registry"));
    command.output().unwrap()
}

#[test]
fn an_element_that_is_missing_is_told_with_its_package() {
    let scratch = scratch();
    scratch.write("line.toml", camera("preset = \"test\"\n"));
    let output = with_plugins(&scratch, &["coreelements"], &["run", "line.toml"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(6), "{told}");
    let package = "no element \"videotestsrc\": install the package gstreamer1.0-plugins-base";
    assert!(told.contains(package), "{told}");
}

#[test]
fn a_decoder_that_is_missing_is_told_with_what_it_decodes() {
    let scratch = scratch();
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/models/demo.webm");
    let location = format!("preset = \"files\"\nparameters = {{ location = \"{clip}\" }}\n");
    scratch.write("line.toml", camera(&location));
    // All that plays the clip, but for VP8's decoder.
    let plugins =
        ["coreelements", "playback", "typefindfunctions", "app", "videoconvertscale", "matroska"];
    let output = with_plugins(&scratch, &plugins, &["run", "line.toml"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("GStreamer has no VP8") && told.contains("install "), "{told}");
}
