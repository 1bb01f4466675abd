//! libtorch computes what the reference and ONNX Runtime compute: every operation, random weights, shipped weights.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use bundle::{
    geometry::{Geometry, RgbImage, Size},
    golden::GoldenFrame,
    model_file,
};
use network::{
    Architecture, Backbone, ProjectorKind,
    cases::Case,
    onnx::{self, proto::ModelProto},
    reference::Array,
    shapes::{Parameter, ParameterKind, Shapes},
    weights::{Weight, Weights},
};
use prost::Message as _;
use tch::{Device, Kind, Tensor, no_grad};
use trainer::{
    checkpoint::{Checkpoint, Manifest},
    deployed::OnnxDetector,
    detector::{Detect as _, TorchDetector},
    export, precision,
    recipe::Recipe,
    torch::{Mode, Shared, TorchGraph, Variables, floats, int},
};

/// What the issue of parity allows, absolute.
const TOLERANCE: f32 = 1e-4;

#[test]
fn libtorch_computes_what_the_reference_says() {
    for case in Case::ALL {
        let weights = case.weights(3);
        let (manifest, _) = case.shapes();
        let variables = Variables::new(&manifest, &weights, Device::Cpu, |_| false);
        for batch in [1, 3] {
            let inputs = case.arrays(batch, 4 + batch as u64);
            let expected = case.reference(&weights, &inputs);
            let tensors: Vec<Shared> = inputs.iter().map(|input| tensor(input, case)).collect();
            let found =
                no_grad(|| case.run(&mut TorchGraph::new(&variables, Mode::Eval), &tensors));
            for (expected, found) in std::iter::zip(&expected, &found) {
                let shape: Vec<usize> =
                    found.0.size().iter().map(|&side| usize::try_from(side).unwrap()).collect();
                let found = Array { shape, values: floats(&found.0) };
                let distance = expected.distance(&found);
                assert!(distance < TOLERANCE, "{case:?}, batch {batch}: {distance}");
            }
        }
    }
}

fn tensor(array: &Array, case: Case) -> Shared {
    let shape: Vec<i64> = array.shape.iter().map(|&side| int(side)).collect();
    let tensor = Tensor::from_slice(&array.values).view(shape.as_slice());
    Shared(if case == Case::Normalise { tensor.to_kind(Kind::Uint8) } else { tensor })
}

fn checkpoint(recipe: Recipe, weights: Weights) -> Checkpoint {
    let manifest = Manifest::new(recipe, 0, Vec::new(), String::new());
    Checkpoint { manifest, weights, state: None }
}

/// Smooth pictures that differ in every channel.
fn pictures(geometry: &Geometry, count: u32) -> Vec<RgbImage> {
    let Size { width, height } = geometry.input;
    let wave = |x: u32, step: u32| (f64::from(x * step) / 11.0).sin() * 50.0;
    (0..count)
        .map(|seed| {
            let mut pixels = Vec::new();
            for y in 0..height {
                for x in 0..width {
                    for channel in 0..3 {
                        let value = 128.0 + wave(x + seed * 9, 1 + channel) + wave(y, 2 + seed);
                        #[expect(
                            clippy::cast_possible_truncation,
                            clippy::cast_sign_loss,
                            reason = "28 to 228"
                        )]
                        pixels.push(value as u8);
                    }
                }
            }
            RgbImage { size: geometry.input, pixels }
        })
        .collect()
}

#[test]
fn random_weights_agree_in_batches_of_one_and_four() {
    for (backbone, projector) in [
        (Backbone::ResNet18, ProjectorKind::Dense),
        (Backbone::ResNet18, ProjectorKind::Depthwise),
        (Backbone::ResNet34, ProjectorKind::Dense),
        (Backbone::WideResNet50x2, ProjectorKind::Depthwise),
    ] {
        for (seed, memory_patches) in [(0, 0), (1, 9)] {
            let architecture = Architecture {
                width: 0.25,
                projector,
                memory_patches,
                ..Architecture::published(backbone, 96)
            };
            let manifest = Shapes::of(&architecture).0.parameters;
            let weights = Weights::random(&manifest, seed);
            let checked = weights.clone().check(&manifest).unwrap();
            let network = precision::fp32(&onnx::detector_model(&architecture, &checked)).bytes;
            let recipe = Recipe { architecture, ..Recipe::default() };
            let geometry = recipe.geometry();
            let mut deployed = OnnxDetector::new(&network, geometry.clone()).unwrap();
            let mut torch = TorchDetector::new(checkpoint(recipe, weights), Device::Cpu).unwrap();
            let agreement =
                export::agreement(&mut deployed, &mut torch, &pictures(&geometry, 8)).unwrap();
            assert!(agreement.map <= TOLERANCE && agreement.score <= TOLERANCE, "{agreement:?}");
        }
    }
}

#[test]
fn the_shipped_weights_agree_in_batches_of_one_and_four() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo.onnx");
    let bytes = std::fs::read(path).unwrap();
    let document = model_file::read_bytes(&bytes).unwrap().document;
    let recipe: Recipe = serde_json::from_value(document.recipe.clone()).unwrap();
    let weights = unfolded(&bytes, &recipe.architecture);
    let mut deployed = OnnxDetector::new(&bytes, document.geometry.clone()).unwrap();
    let mut torch = TorchDetector::new(checkpoint(recipe, weights), Device::Cpu).unwrap();
    let inputs: Vec<RgbImage> =
        document.golden.iter().map(GoldenFrame::decode).collect::<Result<_, _>>().unwrap();
    assert!(inputs.len() >= 4);
    let agreement = export::agreement(&mut deployed, &mut torch, &inputs).unwrap();
    assert!(agreement.map <= TOLERANCE && agreement.score <= TOLERANCE, "{agreement:?}");
    // And with the figures of the day of the export.
    for (golden, answer) in std::iter::zip(&document.golden, torch.detect(&inputs).unwrap()) {
        assert!((golden.score - answer.score).abs() <= TOLERANCE, "{}", golden.class);
    }
}

/// The weights of an exported file. Folding made a batch normalisation part of its convolution; what is left of
/// it is the shift.
fn unfolded(bytes: &[u8], arch: &Architecture) -> Weights {
    let graph = ModelProto::decode(bytes).unwrap().graph.unwrap();
    let stored = |name: &str| {
        let tensor = graph.initializer.iter().find(|tensor| tensor.name == name)?;
        let (quads, _) = tensor.raw_data.as_ref()?.as_chunks::<4>();
        Some(quads.iter().map(|quad| f32::from_le_bytes(*quad)).collect::<Vec<_>>())
    };
    let manifest: Vec<Parameter> = Shapes::of(arch).0.parameters;
    let mut shift: Option<Vec<f32>> = None;
    let mut weights = Weights::default();
    for parameter in &manifest {
        let values = match parameter.kind {
            // A batch normalisation's parameters come behind the kernel that it was folded into.
            ParameterKind::Kernel { .. } => {
                shift = stored(&parameter.name.replace(".weight", ".bias"));
                stored(&parameter.name).unwrap()
            }
            ParameterKind::Scale => vec![1.0; parameter.len()],
            ParameterKind::Shift => shift.take().unwrap(),
            ParameterKind::RunningMean => vec![0.0; parameter.len()],
            ParameterKind::RunningVar => vec![1.0 - network::NORM_EPS; parameter.len()],
        };
        weights.0.insert(parameter.name.clone(), Weight { shape: parameter.shape.clone(), values });
    }
    weights
}
