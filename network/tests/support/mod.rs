//! What tests of ONNX files share: where the checkout is, and the runtime and ONNX's own checker that `make test` put
//! there.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use ort::environment::Environment;

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// ONNX Runtime, loaded once.
pub(crate) fn runtime() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let named = std::env::var_os("SIGHTLINE_ONNXRUNTIME").map(PathBuf::from);
        let folder = named.unwrap_or_else(|| root().join(".deps/onnxruntime"));
        let library = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}; run make test once", folder.display()))
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().contains("libonnxruntime.so"))
            .unwrap();
        ort::init_from(library).unwrap().build().unwrap()
    })
}

/// ONNX's own checker must take the file.
pub(crate) fn check_onnx(path: &Path) {
    let packages = root().join(".deps/python");
    assert!(packages.is_dir(), "{} is not there; run make test once", packages.display());
    let script =
        "import onnx, sys; onnx.checker.check_model(onnx.load(sys.argv[1]), full_check=True)";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .env("PYTHONPATH", packages)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", path.display());
}
