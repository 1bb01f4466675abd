//! Every operation and stage: reference = shapes = ONNX Runtime, before and after folding; and ONNX's own checker.
//!
//! The trainer adds libtorch to the same cases.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path as FilePath;

use ndarray::ArrayD;
use network::{
    Architecture, Backbone, Graph as _, Normalisation, ProjectorKind,
    cases::Case,
    detector::detector,
    onnx::{self, Emitter, proto::ModelProto},
    reference::{Array, Reference},
    shapes::Shapes,
    weights::Weights,
};
use ort::{
    session::{Session, SessionInputValue},
    value::Tensor,
};

use support::{check_onnx, root, runtime};

/// Runs a model on f32 inputs, or on u8 frames where `as_u8` says so.
fn onnx_runtime(model: &ModelProto, inputs: &[Array], as_u8: bool, outputs: usize) -> Vec<Array> {
    let mut session =
        Session::builder(runtime()).unwrap().commit_from_memory(&onnx::bytes(model)).unwrap();
    let named: Vec<(String, SessionInputValue<'_>)> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let shape = input.shape.clone();
            let value: SessionInputValue<'_> = if as_u8 {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to 255"
                )]
                let bytes = input.values.iter().map(|value| *value as u8).collect();
                Tensor::from_array(ArrayD::from_shape_vec(shape, bytes).unwrap()).unwrap().into()
            } else {
                Tensor::from_array(ArrayD::from_shape_vec(shape, input.values.clone()).unwrap())
                    .unwrap()
                    .into()
            };
            (format!("input{index}"), value)
        })
        .collect();
    let found = session.run(named).unwrap();
    (0..outputs)
        .map(|index| {
            let array =
                found[format!("output{index}").as_str()].try_extract_array::<f32>().unwrap();
            Array { shape: array.shape().to_vec(), values: array.iter().copied().collect() }
        })
        .collect()
}

fn case_model(case: Case, weights: &network::weights::Checked) -> ModelProto {
    let (_, shapes) = case.shapes();
    let build = |g: &mut Emitter<'_>, x: &[onnx::Value]| {
        std::iter::zip(case.run(g, x), shapes).collect::<Vec<_>>()
    };
    if case != Case::Normalise {
        return onnx::piece(weights, &case.inputs(), build);
    }
    let mut g = Emitter::new(weights);
    let frames = g.input_u8("input0", &<[usize; 3]>::try_from(case.inputs()[0].clone()).unwrap());
    for (index, (value, shape)) in build(&mut g, &[frames]).into_iter().enumerate() {
        g.output(&value, &format!("output{index}"), &shape);
    }
    g.finish("piece")
}

#[test]
fn the_reference_has_the_shapes_that_the_shapes_interpreter_says() {
    for case in Case::ALL {
        let outputs = case.reference(&case.weights(1), &case.arrays(2, 2));
        let (_, shapes) = case.shapes();
        assert_eq!(outputs.len(), shapes.len(), "{case:?}");
        for (output, shape) in std::iter::zip(outputs, shapes) {
            assert_eq!(output.shape, [&[2], shape.as_slice()].concat(), "{case:?}");
        }
    }
}

#[test]
fn onnx_runtime_computes_what_the_reference_says_before_and_after_folding() {
    for case in Case::ALL {
        let weights = case.weights(3);
        let model = case_model(case, &weights);
        let folded = onnx::fold(model.clone());
        for batch in [1, 3] {
            let inputs = case.arrays(batch, 4 + batch as u64);
            let expected = case.reference(&weights, &inputs);
            for (name, model) in [("as stated", &model), ("folded", &folded)] {
                let found = onnx_runtime(model, &inputs, case == Case::Normalise, expected.len());
                for (expected, found) in std::iter::zip(&expected, &found) {
                    let distance = expected.distance(found);
                    assert!(distance < 1e-4, "{case:?} {name}, batch {batch}: {distance}");
                }
            }
        }
    }
}

#[test]
fn folding_leaves_no_batch_norm_behind_a_convolution() {
    let count = |model: &ModelProto, op: &str| {
        model.graph.as_ref().unwrap().node.iter().filter(|node| node.op_type == op).count()
    };
    for case in [
        Case::ConvThenBatchNorm,
        Case::ConvTransposeThenBatchNorm,
        Case::Teacher,
        Case::TeacherWide,
        Case::Decoder,
        Case::DecoderWide,
    ] {
        let model = case_model(case, &case.weights(1));
        assert!(count(&model, "BatchNormalization") > 0, "{case:?}");
        assert_eq!(count(&onnx::fold(model), "BatchNormalization"), 0, "{case:?}");
    }
}

fn architectures() -> [(&'static str, Architecture); 5] {
    let tiny = |backbone| Architecture { width: 0.125, ..Architecture::published(backbone, 64) };
    let narrow = tiny(Backbone::ResNet18);
    [
        ("dense", narrow.clone()),
        ("memory", Architecture { memory_patches: 12, ..narrow.clone() }),
        ("depthwise", Architecture { projector: ProjectorKind::Depthwise, ..narrow }),
        ("resnet34", tiny(Backbone::ResNet34)),
        ("wide_resnet50_2", tiny(Backbone::WideResNet50x2)),
    ]
}

#[test]
fn the_whole_detector_is_the_references() {
    for (name, arch) in architectures() {
        let manifest = Shapes::of(&arch).0.parameters;
        let weights = Weights::random(&manifest, 5).check(&manifest).unwrap();
        let model = onnx::search_by_product(onnx::detector_model(&arch, &weights));
        let mut session =
            Session::builder(runtime()).unwrap().commit_from_memory(&onnx::bytes(&model)).unwrap();
        for batch in [1, 4] {
            let frames = Array::of(&[batch, arch.input_height, arch.input_width, 3], |i| {
                ((i[0] * 31 + i[1] * 5 + i[2] * 3 + i[3] * 70) % 256) as f32
            });
            let expected = detector(&mut Reference::new(&weights), &frames, &arch);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
            let bytes = frames.values.iter().map(|value| *value as u8).collect();
            let input =
                Tensor::from_array(ArrayD::from_shape_vec(frames.shape.clone(), bytes).unwrap());
            let found = session.run(ort::inputs!["frames" => input.unwrap()]).unwrap();
            for (output, expected) in [
                ("anomaly_map", expected.anomaly_map),
                ("score", expected.score),
                ("embedding", expected.embedding),
            ] {
                let array = found[output].try_extract_array::<f32>().unwrap();
                let found = Array {
                    shape: array.shape().to_vec(),
                    values: array.iter().copied().collect(),
                };
                let distance = expected.distance(&found);
                assert!(distance < 1e-4, "{name}, {output}, batch {batch}: {distance}");
            }
        }
    }
}

/// The interpreter speaks `Normalise` on a single frame, too.
#[test]
fn black_and_white_are_normalised_by_the_definition() {
    let weights = Weights::default().check(&[]).unwrap();
    for (value, expected) in [(0.0, -0.485 / 0.229), (255.0, (1.0 - 0.485) / 0.229)] {
        let frame = Array::of(&[1, 1, 1, 3], |_| value);
        let image = Reference::new(&weights).normalise(&frame, Normalisation::IMAGENET);
        assert!((image.values[0] - expected).abs() < 1e-6);
    }
}

#[test]
fn onnx_own_checker_takes_the_exported_models() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = vec![root().join("models/demo.onnx")];
    for (name, arch) in architectures() {
        let manifest = Shapes::of(&arch).0.parameters;
        let weights = Weights::random(&manifest, 5).check(&manifest).unwrap();
        let path = folder.path().join(format!("{name}.onnx"));
        let model = onnx::search_by_product(onnx::detector_model(&arch, &weights));
        std::fs::write(&path, onnx::bytes(&model)).unwrap();
        paths.push(path);
    }
    for path in paths {
        check_onnx(&path);
    }
}

/// A change of an architecture shows here, and in the review of these files.
#[test]
fn the_published_architectures_are_those_on_record() {
    for backbone in Backbone::ALL {
        let name = format!("tests/{backbone}-256.shapes.txt");
        let record = FilePath::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let listing = Shapes::of(&Architecture::published(backbone, 256)).0.to_string();
        if std::env::var_os("SIGHTLINE_BLESS").is_some() {
            std::fs::write(&record, &listing).unwrap();
        }
        let recorded = std::fs::read_to_string(&record).unwrap();
        assert_eq!(listing, recorded, "if this is meant, run the tests with SIGHTLINE_BLESS=1");
    }
}
