//! Teachers from files: torchvision's own networks, randomly initialised, give torchvision's own features; what is no
//! such file is told apart, with the remedy.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use network::{
    Architecture, Backbone, Path as At,
    reference::Array,
    teacher,
    weights::{Weight, Weights, WeightsError},
};
use tch::{Device, Tensor, no_grad};
use trainer::{
    teacher::Teacher,
    torch::{Mode, Shared, TorchGraph, Variables, floats, int},
};

/// Relative, between two versions of libtorch.
const TOLERANCE: f32 = 1e-4;

/// A network of torchvision, in a folder; see the script.
fn torchvision(backbone: Backbone, dtype: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torchvision_reference.py");
    // Debian's own, for which it packages torchvision; another Python that has it may be named.
    let python = std::env::var_os("SIGHTLINE_TORCHVISION_PYTHON");
    let python = python.map_or_else(|| PathBuf::from("/usr/bin/python3"), PathBuf::from);
    let output = Command::new(&python)
        .arg(script)
        .args([backbone.name(), dtype])
        .arg(folder.path())
        // Where this points to the trainer's libtorch, torchvision's would load it.
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}; run make test once", python.display());
    folder
}

fn architecture(backbone: Backbone) -> Architecture {
    Architecture { input_width: 96, ..Architecture::published(backbone, 64) }
}

fn array(weight: &Weight) -> Array {
    Array { shape: weight.shape.clone(), values: weight.values.clone() }
}

#[test]
fn the_teachers_features_are_torchvisions() {
    for (backbone, dtype) in [
        (Backbone::ResNet18, "F32"),
        (Backbone::ResNet34, "F16"),
        (Backbone::WideResNet50x2, "BF16"),
    ] {
        let folder = torchvision(backbone, dtype);
        let arch = architecture(backbone);
        let file = Teacher::file(&folder.path().join("model.safetensors")).unwrap();
        let manifest = teacher::parameters(&arch);
        let weights = file.weights(&arch).unwrap().check(&manifest).unwrap();
        let variables = Variables::new(&manifest, &weights, Device::Cpu, |_| false);
        let reference = Weights::load(&folder.path().join("reference.safetensors")).unwrap().0;
        let image = &reference["image"];
        let shape: Vec<i64> = image.shape.iter().map(|&side| int(side)).collect();
        let image = Shared(Tensor::from_slice(&image.values).view(shape.as_slice()));
        let features = no_grad(|| {
            let mut g = TorchGraph::new(&variables, Mode::Eval);
            teacher::teacher(&mut g, &At::root(), &image, &arch)
        });
        for (stage, found) in std::iter::zip(["layer1", "layer2", "layer3"], features) {
            let shape = found.0.size().iter().map(|&side| usize::try_from(side).unwrap()).collect();
            let found = Array { shape, values: floats(&found.0) };
            let distance = array(&reference[stage]).distance(&found);
            assert!(distance < TOLERANCE, "{backbone} {dtype} {stage}: {distance}");
        }
    }
}

#[test]
fn a_file_of_another_network_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let check = |file: Backbone, recipe: Backbone, width: f64, words: &[&str]| {
        let weights = Weights::random(&teacher::parameters(&architecture(file)), 1);
        let path = folder.path().join("teacher.safetensors");
        std::fs::write(&path, weights.to_safetensors(None).unwrap()).unwrap();
        let arch = Architecture { width, ..architecture(recipe) };
        let teacher = Teacher::file(&path).unwrap();
        let told = format!("{:#}", teacher.weights(&arch).unwrap_err());
        for word in words {
            assert!(told.contains(word), "`{word}` is not in: {told}");
        }
    };
    let (small, deep, wide) = (Backbone::ResNet18, Backbone::ResNet34, Backbone::WideResNet50x2);
    check(
        deep,
        small,
        1.0,
        &[
            "is a resnet34 and no resnet18",
            "backbone = \"resnet34\"",
            "70 not needed: layer1.2.bn1.bias [64], ",
        ],
    );
    check(small, deep, 1.0, &["70 missing: layer1.2.conv1.weight [64, 64, 3, 3], ", ", ..."]);
    check(
        wide,
        small,
        1.0,
        &[
            "backbone = \"wide_resnet50_2\"",
            "layer1.0.conv1.weight [128, 64, 1, 1] instead of [64, 64, 3, 3]",
        ],
    );
    check(
        small,
        small,
        0.5,
        &["no resnet18 of width 0.5", "conv1.weight [64, 3, 7, 7] instead of [32, 3, 7, 7]"],
    );
}

#[test]
fn a_file_of_torch_save_is_named_with_the_way_to_convert_it() {
    let folder = torchvision(Backbone::ResNet18, "F32");
    let path = folder.path().join("model.pth");
    let error = Teacher::file(&path).unwrap().weights(&architecture(Backbone::ResNet18));
    let error = error.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(WeightsError::Pickle { .. })), "{error}");
    let told = error.to_string();
    for word in ["safetensors.torch", "weights_only=True", path.to_str().unwrap()] {
        assert!(told.contains(word), "{told}");
    }
}

#[test]
fn values_that_no_network_has_are_refused() {
    let arch = Architecture { width: 0.125, ..architecture(Backbone::ResNet18) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("teacher.safetensors");
    let check = |name: &str, value: f32, words: &[&str]| {
        let mut weights = Weights::random(&teacher::parameters(&arch), 1);
        weights.0.get_mut(name).unwrap().values[3] = value;
        std::fs::write(&path, weights.to_safetensors(None).unwrap()).unwrap();
        let error = Teacher::file(&path).unwrap().weights(&arch).unwrap_err();
        for word in words {
            assert!(format!("{error:#}").contains(word), "{error:#}");
        }
    };
    check("layer2.0.conv1.weight", f32::NAN, &["layer2.0.conv1.weight", "no finite"]);
    check("bn1.weight", f32::INFINITY, &["bn1.weight", "no finite"]);
    check("bn1.running_var", -1.0, &["bn1.running_var", "negative"]);
}
