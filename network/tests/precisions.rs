//! The FP16-weights and INT8 forms of a network: a naive twin, steps of the weights, layers left in float, ONNX's own
//! checker.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use ndarray::ArrayD;
use network::{
    Architecture, Conv2d, ConvTranspose2d, Graph, Path, ProjectorKind,
    cases::Case,
    onnx::{
        self, Ranges,
        proto::{GraphProto, ModelProto, TensorProto, data_type},
    },
    reference::{Array, Reference},
    shapes::{Shape, Shapes},
    weights::{Checked, Weight, Weights},
};
use ort::{
    session::{Session, SessionInputValue, builder::GraphOptimizationLevel},
    value::Tensor,
};

use support::{check_onnx, runtime};

/// Runs a model; returns the outputs, and the operators that ONNX Runtime made of it.
fn run(
    model: &ModelProto,
    input: &Array,
    level: GraphOptimizationLevel,
    outputs: &[&str],
) -> (Vec<Array>, Vec<String>) {
    use prost::Message as _;
    let folder = tempfile::tempdir().unwrap();
    let optimised = folder.path().join("optimised.onnx");
    let mut session = Session::builder(runtime())
        .unwrap()
        .with_optimization_level(level)
        .unwrap()
        .with_optimized_model_path(&optimised)
        .unwrap()
        .commit_from_memory(&onnx::bytes(model))
        .unwrap();
    let value: SessionInputValue<'_> = Tensor::from_array(
        ArrayD::from_shape_vec(input.shape.clone(), input.values.clone()).unwrap(),
    )
    .unwrap()
    .into();
    let found = session.run(vec![("input0", value)]).unwrap();
    let arrays = outputs.iter().map(|name| {
        let array = found[*name].try_extract_array::<f32>().unwrap();
        Array { shape: array.shape().to_vec(), values: array.iter().copied().collect() }
    });
    let graph = ModelProto::decode(&*std::fs::read(optimised).unwrap()).unwrap().graph.unwrap();
    (arrays.collect(), graph.node.into_iter().map(|node| node.op_type).collect())
}

/// Two branches into a sum, a transposed convolution behind it: every shape that the pass treats.
fn block<G: Graph>(
    g: &mut G,
    x: &G::Tensor,
    mut rounded: impl FnMut(&str, &G::Tensor) -> G::Tensor,
) -> G::Tensor {
    let at = Path::root() / "op";
    let first = rounded("input0", x);
    let y = g.conv2d(&first, &(&at / "a"), Conv2d::three(4, 8, 1));
    // The Relu's range, on the convolution's output.
    let y = rounded("relu", &y);
    let y = g.relu(&y);
    let y = rounded("relu", &y);
    let y = g.conv2d(&y, &(&at / "b"), Conv2d::three(8, 6, 2));
    let y = rounded("op.b", &y);
    let s = g.conv2d(&first, &(&at / "shortcut"), Conv2d::one(4, 6, 2));
    let s = rounded("op.shortcut", &s);
    let y = g.add(&y, &s);
    let y = g.relu(&y);
    let y = rounded("relu_2", &y);
    let y = g.conv_transpose2d(&y, &(&at / "up"), ConvTranspose2d { inputs: 6, outputs: 5 });
    let y = rounded("relu_3", &y);
    g.relu(&y)
}

fn as_stated<T: Clone>(_: &str, x: &T) -> T {
    x.clone()
}

fn block_weights() -> Checked {
    let mut shapes = Shapes::default();
    block(&mut shapes, &Shape(vec![4, 10, 12]), as_stated);
    Weights::random(&shapes.parameters, 3).check(&shapes.parameters).unwrap()
}

fn block_model(weights: &Checked) -> ModelProto {
    onnx::fold(onnx::piece(weights, &[vec![4, 10, 12]], |g, x| {
        vec![(block(g, &x[0], as_stated), vec![5, 10, 12])]
    }))
}

fn input() -> Array {
    // No value halfway between two steps.
    Array::of(&[2, 4, 10, 12], |i| ((i[0] * 7 + i[1] * 31 + i[2] * 5 + i[3] * 3) as f32).sin())
}

/// The largest magnitudes on one input, as a calibration would measure them.
fn ranges(model: &ModelProto, input: &Array) -> Ranges {
    let names = onnx::ranged_values(model);
    let model = onnx::with_outputs(model.clone(), &names);
    let named: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| *name != "input0").collect();
    let exposed = {
        let mut model = model;
        let graph = model.graph.as_mut().unwrap();
        graph.output.retain(|output| output.name != "input0");
        model
    };
    let (arrays, _) = run(&exposed, input, GraphOptimizationLevel::Disable, &named);
    let largest = |array: &Array| array.values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let mut ranges: Ranges = std::iter::zip(named, &arrays)
        .map(|(name, array)| (name.to_owned(), largest(array)))
        .collect();
    ranges.insert("input0".to_owned(), largest(input));
    ranges
}

/// Weights rounded by the definition: 127 steps up to the channel's largest value.
fn rounded_weights(exact: &Checked) -> Checked {
    let mut shapes = Shapes::default();
    block(&mut shapes, &Shape(vec![4, 10, 12]), as_stated);
    let mut weights = Weights::default();
    for parameter in &shapes.parameters {
        let mut values = exact.get(&parameter.name).values.clone();
        let plane: usize = parameter.shape[2..].iter().product();
        // A transposed kernel's outputs are axis 1, and each of its four places has a scale of its own.
        let channel = |index: usize| {
            if parameter.name == "op.up.weight" {
                index % (parameter.shape[1] * plane)
            } else {
                index / (parameter.shape[1] * plane)
            }
        };
        let mut largest = vec![0.0_f32; values.len()];
        for (index, value) in values.iter().enumerate() {
            largest[channel(index)] = largest[channel(index)].max(value.abs());
        }
        for (index, value) in values.iter_mut().enumerate() {
            let step = largest[channel(index)] / 127.0;
            *value = (*value / step).round_ties_even() * step;
        }
        weights.0.insert(parameter.name.clone(), Weight { shape: parameter.shape.clone(), values });
    }
    weights.check(&shapes.parameters).unwrap()
}

#[test]
fn a_quantised_graph_computes_what_a_naive_fake_quantisation_says() {
    let weights = block_weights();
    let float = block_model(&weights);
    let input = input();
    let ranges = ranges(&float, &input);
    let quantised = onnx::quantise(float, &ranges, &BTreeSet::new()).unwrap();
    let twin = rounded_weights(&weights);
    let expected = block(&mut Reference::new(&twin), &input, |value: &str, x: &Array| {
        let step = ranges[value] / 127.0;
        let round = |v: &f32| (v / step).round_ties_even().clamp(-128.0, 127.0) * step;
        Array { shape: x.shape.clone(), values: x.values.iter().map(round).collect() }
    });
    let step = ranges["relu_3"] / 127.0;
    for level in [GraphOptimizationLevel::Disable, GraphOptimizationLevel::All] {
        let is_optimised = matches!(level, GraphOptimizationLevel::All);
        let (found, operators) = run(&quantised, &input, level, &["output0"]);
        let distances: Vec<f32> = std::iter::zip(&expected.values, &found[0].values)
            .map(|(a, b)| (a - b).abs() / step)
            .collect();
        // A value between two steps may fall on either; what reads it then differs, too.
        let apart = distances.iter().filter(|distance| **distance > 0.01).count();
        assert!(distances.iter().all(|distance| *distance < 2.5), "{distances:?}");
        assert!(apart * 50 < distances.len(), "{apart} of {} values differ", distances.len());
        let integer = operators.iter().filter(|op| *op == "QLinearConv").count();
        assert_eq!(integer, if is_optimised { 4 } else { 0 }, "{operators:?}");
    }
}

/// A memory of two patches in four channels, features at 2 x 6 x 8 places, and how far from the memory they are.
struct Search {
    model: ModelProto,
    input: Array,
    expected: Array,
}

fn search() -> Search {
    let at = &Path::root() / "memory";
    let spec = Conv2d::one(4, 2, 1);
    // Whole steps of a range of 1, so that int8 has them as they are.
    let feature = |seed: usize| -> [f32; 4] {
        std::array::from_fn(|i| ((seed * 37 + i * i * 51) % 128) as f32 / 127.0)
    };
    // The largest of a patch is the end of its channel's range; no cosine is above 1.
    let patch = |seed: usize| {
        let mut values = feature(seed);
        values[seed % 4] = 1.0;
        values.map(|value| value / 2.0)
    };
    let mut shapes = Shapes::default();
    shapes.conv2d(&Shape(vec![4, 6, 8]), &at, spec);
    let patches = Weight { shape: vec![2, 4, 1, 1], values: (5..7).flat_map(patch).collect() };
    let weights = Weights([("memory.weight".to_owned(), patches)].into());
    let weights = weights.check(&shapes.parameters).unwrap();
    let input = Array::of(&[2, 4, 6, 8], |i| feature((i[0] * 6 + i[2]) * 8 + i[3])[i[1]]);
    let model = onnx::fold(onnx::piece(&weights, &[vec![4, 6, 8]], |g, x| {
        let cosines = g.conv2d(&x[0], &at, spec);
        vec![(g.distance_to_nearest(&cosines), vec![1, 6, 8])]
    }));
    let mut g = Reference::new(&weights);
    let cosines = g.conv2d(&input, &at, spec);
    let expected = g.distance_to_nearest(&cosines);
    let extreme = |of: fn(f32, f32) -> f32| expected.values.iter().copied().reduce(of).unwrap();
    let spread = (extreme(f32::min), extreme(f32::max));
    assert!((0.0..0.2).contains(&spread.0) && spread.1 > 0.6, "{spread:?}");
    Search { model, input, expected }
}

#[test]
fn the_memory_is_searched_in_integers_with_steps_for_every_cosine() {
    let Search { model, input, expected } = search();
    assert_eq!(onnx::ranged_values(&model), ["input0"], "cosines have a range by definition");
    let ranges = [("input0".to_owned(), 1.0)].into();
    let quantised = onnx::quantise(model, &ranges, &BTreeSet::new()).unwrap();
    for level in [GraphOptimizationLevel::Disable, GraphOptimizationLevel::All] {
        let is_optimised = matches!(level, GraphOptimizationLevel::All);
        let (found, operators) = run(&quantised, &input, level, &["output0"]);
        for (expected, found) in std::iter::zip(&expected.values, &found[0].values) {
            // Half of a step, of which 254 make a whole cosine.
            assert!((expected - found).abs() < 0.501 / 254.0, "{expected} {found}");
        }
        if is_optimised {
            let at = |op: &str| operators.iter().position(|found| found == op);
            let order = ["QLinearConv", "ReduceMax", "DequantizeLinear"].map(at);
            assert!(order.is_sorted() && order[0].is_some(), "{operators:?}");
        }
    }
}

#[test]
fn the_memory_is_searched_by_a_product_in_float() {
    let Search { model, input, expected } = search();
    let product = onnx::search_by_product(model);
    let (half, done) = onnx::half_weights(product.clone());
    assert_eq!((done.halved, done.kept), (1, vec![]));
    for (model, most) in [(product, 1e-6), (half, 1e-3)] {
        let (found, operators) = run(&model, &input, GraphOptimizationLevel::All, &["output0"]);
        assert!(operators.iter().any(|op| op == "MatMul"), "{operators:?}");
        assert!(!operators.iter().any(|op| op.contains("Conv")), "{operators:?}");
        assert_eq!(found[0].shape, expected.shape);
        for (expected, found) in std::iter::zip(&expected.values, &found[0].values) {
            assert!((expected - found).abs() < most, "{expected} {found}");
        }
    }
}

#[test]
fn a_convolution_that_is_no_search_is_no_product() {
    let model = detector(&tiny(ProjectorKind::Dense));
    assert_eq!(onnx::search_by_product(model.clone()), model);
    let Search { model, .. } = search();
    let ranges = [("input0".to_owned(), 1.0)].into();
    let quantised = onnx::quantise(model, &ranges, &BTreeSet::new()).unwrap();
    assert_eq!(onnx::search_by_product(quantised.clone()), quantised);
}

fn graph(model: &ModelProto) -> &GraphProto {
    model.graph.as_ref().unwrap()
}

fn initialiser<'m>(model: &'m ModelProto, name: &str) -> Option<&'m TensorProto> {
    graph(model).initializer.iter().find(|tensor| tensor.name == name)
}

fn f32s(tensor: &TensorProto) -> Vec<f32> {
    let (quads, _) = tensor.raw_data.as_ref().unwrap().as_chunks::<4>();
    quads.iter().map(|quad| f32::from_le_bytes(*quad)).collect()
}

#[test]
fn int8_weights_are_within_half_a_step_of_their_channel() {
    let arch = tiny(ProjectorKind::Dense);
    let (float, quantised) = (detector(&arch), int8(&arch, &BTreeSet::new()));
    let mut kernels = 0;
    for layer in onnx::layers(&float) {
        let name = format!("{layer}.weight");
        let stored = initialiser(&quantised, &format!("{name}.int8")).unwrap();
        let scales = f32s(initialiser(&quantised, &format!("{name}.scale")).unwrap());
        let exact = initialiser(&float, &name).unwrap();
        if exact.dims[..2] != stored.dims[..2] {
            // A transposed kernel: its twin test is the naive one.
            continue;
        }
        let steps: Vec<i8> =
            stored.raw_data.as_ref().unwrap().iter().map(|byte| byte.cast_signed()).collect();
        let per_channel = steps.len() / scales.len();
        for (index, (exact, step)) in std::iter::zip(f32s(exact), &steps).enumerate() {
            let scale = scales[index / per_channel];
            assert!((exact - f32::from(*step) * scale).abs() <= scale * 0.5001, "{name} {index}");
        }
        assert!(steps.iter().all(|step| *step > i8::MIN), "{name}: symmetric");
        kernels += 1;
    }
    assert!(kernels > 40, "{kernels}");
}

#[test]
fn a_layer_listed_as_float_has_no_pair() {
    let arch = tiny(ProjectorKind::Dense);
    let float: BTreeSet<String> =
        ["teacher.conv1", "projector.0.0", "decoder.layer3.0.conv1"].map(str::to_owned).into();
    let model = int8(&arch, &float);
    let is_dequantised = |value: &str| {
        graph(&model)
            .node
            .iter()
            .any(|node| node.op_type == "DequantizeLinear" && node.output[0] == value)
    };
    let is_quantised = |value: &str| {
        graph(&model)
            .node
            .iter()
            .any(|node| node.op_type == "QuantizeLinear" && node.input[0] == value)
    };
    let mut layers = 0;
    for node in &graph(&model).node {
        if !matches!(node.op_type.as_str(), "Conv" | "ConvTranspose")
            || node.input[1].starts_with("constant.")
        {
            continue;
        }
        let wanted = !float.contains(&node.name);
        assert_eq!(is_dequantised(&node.input[0]), wanted, "{}", node.name);
        assert_eq!(is_dequantised(&node.input[1]), wanted, "{}", node.name);
        assert_eq!(is_quantised(&node.output[0]), wanted, "{}", node.name);
        layers += 1;
    }
    assert_eq!(layers, onnx::layers(&detector(&arch)).len());
}

#[test]
fn a_missing_range_is_told() {
    let float = block_model(&block_weights());
    let error = onnx::quantise(float, &Ranges::new(), &BTreeSet::new()).unwrap_err().to_string();
    assert!(error.contains("op.a") && error.contains("input0"), "{error}");
}

fn with_memory() -> Architecture {
    Architecture { memory_patches: 12, ..tiny(ProjectorKind::Depthwise) }
}

fn tiny(projector: ProjectorKind) -> Architecture {
    Architecture { width: 0.125, projector, ..Architecture::resnet18(64) }
}

fn detector(arch: &Architecture) -> ModelProto {
    let manifest = Shapes::of(arch).0.parameters;
    let weights = Weights::random(&manifest, 5).check(&manifest).unwrap();
    onnx::detector_model(arch, &weights)
}

/// Quantised with ranges that no calibration measured: for the form alone.
fn int8(arch: &Architecture, float: &BTreeSet<String>) -> ModelProto {
    let model = detector(arch);
    let ranges = onnx::ranged_values(&model).into_iter().map(|name| (name, 4.0)).collect();
    onnx::quantise(model, &ranges, float).unwrap()
}

#[test]
fn half_weights_are_half_the_file_and_compute_the_same() {
    let case = Case::Decoder;
    let weights = case.weights(3);
    let (_, shapes) = case.shapes();
    let model = onnx::fold(onnx::piece(&weights, &case.inputs(), |g, x| {
        std::iter::zip(case.run(g, x), shapes).collect()
    }));
    let (half, done) = onnx::half_weights(model.clone());
    assert_eq!((done.halved, done.kept.len()), (onnx::layers(&model).len(), 0));
    let (before, after) = (onnx::bytes(&model).len(), onnx::bytes(&half).len());
    assert!(after * 10 < before * 6, "{before} and {after} bytes");
    assert!(graph(&half).initializer.iter().any(|t| t.data_type == data_type::FLOAT16));
    let input = &case.arrays(2, 4)[0];
    let names = ["output0", "output1", "output2"];
    let (expected, _) = run(&model, input, GraphOptimizationLevel::All, &names);
    let (found, operators) = run(&half, input, GraphOptimizationLevel::All, &names);
    for (expected, found) in std::iter::zip(&expected, &found) {
        let (mut error, mut power) = (0.0, 0.0);
        for (a, b) in std::iter::zip(&expected.values, &found.values) {
            error += f64::from(a - b).powi(2);
            power += f64::from(*a).powi(2);
        }
        assert!(error.sqrt() < 2e-3 * power.sqrt(), "{error} of {power}");
    }
    assert!(!operators.iter().any(|op| op == "Cast"), "the casts are folded: {operators:?}");
}

#[test]
fn onnx_own_checker_takes_every_precision() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, arch) in [
        ("dense", tiny(ProjectorKind::Dense)),
        ("depthwise", tiny(ProjectorKind::Depthwise)),
        ("memory", with_memory()),
    ] {
        let float = onnx::search_by_product(detector(&arch));
        let (half, done) = onnx::half_weights(float.clone());
        // The memory too, which is a product by then, and no constant.
        assert_eq!(done.halved, onnx::layers(&detector(&arch)).len(), "{kind}");
        let is_memory =
            |op: &str| graph(&float).node.iter().any(|n| n.name == "memory" && n.op_type == op);
        assert_eq!([is_memory("MatMul"), is_memory("Conv")], [kind == "memory", false], "{kind}");
        let int8 = int8(&arch, &BTreeSet::new());
        for (name, model) in [("fp32", float), ("fp16", half), ("int8", int8)] {
            assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17), "{name}");
            let path = folder.path().join(format!("{name}-{kind}.onnx"));
            std::fs::write(&path, onnx::bytes(&model)).unwrap();
            check_onnx(&path);
        }
    }
}
