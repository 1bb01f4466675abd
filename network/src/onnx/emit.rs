//! One ONNX node, or a few, for each operation of the vocabulary.

use std::collections::BTreeSet;

use super::proto::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type, data_type,
    dimension,
};
use crate::weights::Checked;
use crate::{
    BatchNorm, Blur, COSINE_EPS, Conv2d, ConvTranspose2d, Graph, MaxPool2d, NORM_EPS,
    Normalisation, Path,
};

const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// A value of the graph: its name, and its channels, rows and columns where an operation needs
/// them to choose constants.
#[derive(Clone, Debug)]
pub struct Value {
    name: String,
    channels: usize,
    height: usize,
    width: usize,
}

/// Builds an ONNX graph with the weights it is given.
#[derive(Debug)]
pub struct Emitter<'w> {
    weights: &'w Checked,
    graph: GraphProto,
    names: BTreeSet<String>,
}

impl<'w> Emitter<'w> {
    /// An empty graph over these weights.
    pub fn new(weights: &'w Checked) -> Self {
        Self { weights, graph: GraphProto::default(), names: BTreeSet::new() }
    }

    /// Declares an input `[N, H, W, C]` of u8 frames.
    pub fn input_u8(&mut self, name: &str, shape: &[usize; 3]) -> Value {
        self.graph.input.push(value_info(name, data_type::UINT8, shape));
        Value { name: name.to_owned(), channels: shape[2], height: shape[0], width: shape[1] }
    }

    /// Declares an input of f32, `[N, C, H, W]`, `[N, H, W]` or `[N, C]`.
    pub fn input_f32(&mut self, name: &str, shape: &[usize]) -> Value {
        self.graph.input.push(value_info(name, data_type::FLOAT, shape));
        let (channels, height, width) = match *shape {
            [c, h, w] => (c, h, w),
            [h, w] => (1, h, w),
            [c] => (c, 1, 1),
            _ => (1, 1, 1),
        };
        Value { name: name.to_owned(), channels, height, width }
    }

    /// Declares `value` an output under `name`, with its shape behind the batch dimension.
    pub fn output(&mut self, value: &Value, name: &str, shape: &[usize]) {
        self.node("Identity", name, &[&value.name], vec![]);
        self.graph.output.push(value_info(name, data_type::FLOAT, shape));
    }

    /// The finished model.
    pub fn finish(mut self, name: &str) -> ModelProto {
        name.clone_into(&mut self.graph.name);
        ModelProto {
            ir_version: IR_VERSION,
            producer_name: "sightline".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            metadata_props: vec![],
        }
    }

    /// Appends a node whose one output is `output`.
    fn node(&mut self, op: &str, output: &str, inputs: &[&str], attribute: Vec<AttributeProto>) {
        self.names.insert(output.to_owned());
        let inputs: Vec<String> = inputs.iter().map(|&input| input.to_owned()).collect();
        self.graph.node.push(node_of(op, output, &inputs, attribute));
    }

    /// Appends a node under a fresh name made of `stem`, and returns that name.
    fn op(
        &mut self,
        op: &str,
        stem: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> String {
        let mut output = stem.to_owned();
        let mut count = 1;
        while self.names.contains(&output) {
            count += 1;
            output = format!("{stem}_{count}");
        }
        self.node(op, &output, inputs, attribute);
        output
    }

    /// The initialiser of a parameter, added on first use.
    fn parameter(&mut self, at: &Path, name: &str) -> String {
        let full = at.parameter(name);
        if self.names.insert(full.clone()) {
            let weight = self.weights.get(&full);
            self.graph.initializer.push(floats(&full, &weight.shape, &weight.values));
        }
        full
    }

    /// A constant that is no parameter, added on first use.
    fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let full = format!("constant.{name}");
        if self.names.insert(full.clone()) {
            self.graph.initializer.push(floats(&full, shape, values));
        }
        full
    }

    fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let full = format!("constant.{name}");
        if self.names.insert(full.clone()) {
            self.graph.initializer.push(integers(&full, values));
        }
        full
    }

    /// `max(||x||, eps)` along axis 1, which stays as a dimension of 1.
    fn floored_norm(&mut self, x: &str) -> String {
        let axes = vec![ints("axes", &[1]), int("keepdims", 1)];
        let norm = self.op("ReduceL2", "norm", &[x], axes);
        let floor = self.constant("cosine_eps", &[], &[COSINE_EPS]);
        self.op("Max", "norm_floored", &[&norm, &floor], vec![])
    }
}

impl Graph for Emitter<'_> {
    type Tensor = Value;

    fn normalise(&mut self, frames: &Value, by: Normalisation) -> Value {
        // (x / 255 - mean) / std as one multiplication and one addition.
        let scale = by.std.map(|std| 1.0 / (255.0 * std));
        let shift: [f32; 3] = std::array::from_fn(|c| -by.mean[c] / by.std[c]);
        let float = self.op(
            "Cast",
            "frames_f32",
            &[&frames.name],
            vec![int("to", i64::from(data_type::FLOAT))],
        );
        let planes =
            self.op("Transpose", "frames_nchw", &[&float], vec![ints("perm", &[0, 3, 1, 2])]);
        let scale = self.constant("normalise_scale", &[1, 3, 1, 1], &scale);
        let shift = self.constant("normalise_shift", &[1, 3, 1, 1], &shift);
        let scaled = self.op("Mul", "frames_scaled", &[&planes, &scale], vec![]);
        let name = self.op("Add", "image", &[&scaled, &shift], vec![]);
        Value { name, ..frames.clone() }
    }

    fn conv2d(&mut self, x: &Value, at: &Path, spec: Conv2d) -> Value {
        let weight = self.parameter(at, "weight");
        let attributes = vec![
            ints("kernel_shape", &[spec.kernel as i64; 2]),
            ints("strides", &[spec.stride as i64; 2]),
            ints("pads", &[spec.padding as i64; 4]),
            ints("dilations", &[1; 2]),
            int("group", spec.groups as i64),
        ];
        let name = self.op("Conv", at.as_str(), &[&x.name, &weight], attributes);
        let side = |px: usize| (px + 2 * spec.padding - spec.kernel) / spec.stride + 1;
        Value { name, channels: spec.outputs, height: side(x.height), width: side(x.width) }
    }

    fn conv_transpose2d(&mut self, x: &Value, at: &Path, spec: ConvTranspose2d) -> Value {
        let weight = self.parameter(at, "weight");
        let attributes = vec![
            ints("kernel_shape", &[2; 2]),
            ints("strides", &[2; 2]),
            ints("pads", &[0; 4]),
            ints("dilations", &[1; 2]),
            int("group", 1),
        ];
        let name = self.op("ConvTranspose", at.as_str(), &[&x.name, &weight], attributes);
        let (height, width) = (2 * x.height, 2 * x.width);
        // What takes its place in int8 needs the shape in numbers.
        let info = value_info(&name, data_type::FLOAT, &[spec.outputs, height, width]);
        self.graph.value_info.push(info);
        Value { name, channels: spec.outputs, height, width }
    }

    fn batch_norm(&mut self, x: &Value, at: &Path, _spec: BatchNorm) -> Value {
        let inputs =
            ["weight", "bias", "running_mean", "running_var"].map(|name| self.parameter(at, name));
        let [scale, shift, mean, var] = &inputs;
        let attributes = vec![float("epsilon", NORM_EPS)];
        let name = self.op(
            "BatchNormalization",
            at.as_str(),
            &[&x.name, scale, shift, mean, var],
            attributes,
        );
        Value { name, ..x.clone() }
    }

    fn instance_norm(&mut self, x: &Value) -> Value {
        // The operator wants its affine parameters even where there are none.
        let channels = x.channels;
        let scale = self.constant(&format!("ones_{channels}"), &[channels], &vec![1.0; channels]);
        let shift = self.constant(&format!("zeros_{channels}"), &[channels], &vec![0.0; channels]);
        let name = self.op(
            "InstanceNormalization",
            "instance_norm",
            &[&x.name, &scale, &shift],
            vec![float("epsilon", NORM_EPS)],
        );
        Value { name, ..x.clone() }
    }

    fn relu(&mut self, x: &Value) -> Value {
        let name = self.op("Relu", "relu", &[&x.name], vec![]);
        Value { name, ..x.clone() }
    }

    fn leaky_relu(&mut self, x: &Value, slope: f32) -> Value {
        let name = self.op("LeakyRelu", "leaky_relu", &[&x.name], vec![float("alpha", slope)]);
        Value { name, ..x.clone() }
    }

    fn max_pool2d(&mut self, x: &Value, spec: MaxPool2d) -> Value {
        let attributes = vec![
            ints("kernel_shape", &[spec.kernel as i64; 2]),
            ints("strides", &[spec.stride as i64; 2]),
            ints("pads", &[spec.padding as i64; 4]),
        ];
        let name = self.op("MaxPool", "max_pool", &[&x.name], attributes);
        let side = |px: usize| (px + 2 * spec.padding - spec.kernel) / spec.stride + 1;
        Value { name, height: side(x.height), width: side(x.width), ..x.clone() }
    }

    fn avg_pool2d(&mut self, x: &Value, kernel: usize) -> Value {
        let attributes = vec![
            ints("kernel_shape", &[kernel as i64; 2]),
            ints("strides", &[1; 2]),
            ints("pads", &[kernel as i64 / 2; 4]),
            int("count_include_pad", 1),
        ];
        let name = self.op("AveragePool", "avg_pool", &[&x.name], attributes);
        Value { name, ..x.clone() }
    }

    fn add(&mut self, a: &Value, b: &Value) -> Value {
        let name = self.op("Add", "add", &[&a.name, &b.name], vec![]);
        Value { name, ..a.clone() }
    }

    fn mean(&mut self, parts: &[Value]) -> Value {
        // Sums and one product: TensorRT 8.6 has no general Mean.
        let mut sum = parts[0].name.clone();
        for part in &parts[1..] {
            sum = self.op("Add", "sum", &[&sum, &part.name], vec![]);
        }
        let share = 1.0 / parts.len() as f32;
        let share = self.constant(&format!("share_{}", parts.len()), &[], &[share]);
        let name = self.op("Mul", "mean", &[&sum, &share], vec![]);
        Value { name, ..parts[0].clone() }
    }

    fn concat(&mut self, parts: &[Value]) -> Value {
        let inputs: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let name = self.op("Concat", "concat", &inputs, vec![int("axis", 1)]);
        let channels = parts.iter().map(|part| part.channels).sum();
        Value { name, channels, ..parts[0].clone() }
    }

    fn cosine_distance(&mut self, a: &Value, b: &Value) -> Value {
        let product = self.op("Mul", "product", &[&a.name, &b.name], vec![]);
        let axis = self.integers("channel_axis", &[1]);
        let dot = self.op("ReduceSum", "dot", &[&product, &axis], vec![int("keepdims", 1)]);
        let norm_a = self.floored_norm(&a.name);
        let norm_b = self.floored_norm(&b.name);
        let norms = self.op("Mul", "norms", &[&norm_a, &norm_b], vec![]);
        let cosine = self.op("Div", "cosine", &[&dot, &norms], vec![]);
        let one = self.constant("one", &[], &[1.0]);
        let name = self.op("Sub", "cosine_distance", &[&one, &cosine], vec![]);
        Value { name, channels: 1, ..a.clone() }
    }

    fn distance_to_nearest(&mut self, cosines: &Value) -> Value {
        let attributes = vec![ints("axes", &[1]), int("keepdims", 1)];
        let nearest = self.op("ReduceMax", "nearest", &[&cosines.name], attributes);
        let one = self.constant("one", &[], &[1.0]);
        let name = self.op("Sub", "distance_to_nearest", &[&one, &nearest], vec![]);
        Value { name, channels: 1, ..cosines.clone() }
    }

    fn resize(&mut self, x: &Value, height: usize, width: usize) -> Value {
        // Scales rather than sizes: the batch stays dynamic. Sides are multiples, so they are exact.
        let scales = [1.0, 1.0, height as f32 / x.height as f32, width as f32 / x.width as f32];
        let scales = self.constant(&format!("scales_{}x{}", scales[2], scales[3]), &[4], &scales);
        let attributes = vec![
            string("mode", "linear"),
            string("coordinate_transformation_mode", "align_corners"),
        ];
        let name = self.op("Resize", "resize", &[&x.name, "", &scales], attributes);
        Value { name, channels: x.channels, height, width }
    }

    fn gaussian_blur(&mut self, x: &Value, blur: Blur) -> Value {
        let radius = blur.radius_px as i64;
        let taps = blur.taps();
        let pads = self.integers(
            &format!("blur_pads_{radius}"),
            &[0, 0, radius, radius, 0, 0, radius, radius],
        );
        let padded =
            self.op("Pad", "blur_padded", &[&x.name, &pads], vec![string("mode", "reflect")]);
        let stem = format!("blur_{}_{radius}", blur.sigma_px);
        let rows = self.constant(&format!("{stem}_rows"), &[1, 1, 1, taps.len()], &taps);
        let columns = self.constant(&format!("{stem}_columns"), &[1, 1, taps.len(), 1], &taps);
        let length = taps.len() as i64;
        let across = vec![ints("kernel_shape", &[1, length])];
        let down = vec![ints("kernel_shape", &[length, 1])];
        let blurred = self.op("Conv", "blur_across", &[&padded, &rows], across);
        let name = self.op("Conv", "blur_down", &[&blurred, &columns], down);
        Value { name, ..x.clone() }
    }

    /// `R x C`, where `R` and `C` resize and blur columns and rows: a product is what runtimes do best, and no border has
    /// to be mirrored nor a map of one channel convolved.
    fn resize_blurred(&mut self, x: &Value, height: usize, width: usize, blur: Blur) -> Value {
        let stem = |way, from, to| {
            format!("resize_blur_{}_{}_{way}_{from}to{to}", blur.sigma_px, blur.radius_px)
        };
        let down = resize_and_blur(x.height, height, blur);
        let across = transposed(&resize_and_blur(x.width, width, blur), x.width);
        let down = self.constant(&stem("down", x.height, height), &[height, x.height], &down);
        let across = self.constant(&stem("across", x.width, width), &[x.width, width], &across);
        let rows = self.op("MatMul", "map_rows", &[&down, &x.name], vec![]);
        let name = self.op("MatMul", "map_columns", &[&rows, &across], vec![]);
        Value { name, channels: x.channels, height, width }
    }

    fn drop_channel(&mut self, x: &Value) -> Value {
        let axis = self.integers("channel_axis", &[1]);
        let name = self.op("Squeeze", "map", &[&x.name, &axis], vec![]);
        Value { name, ..x.clone() }
    }

    fn map_max(&mut self, map: &Value) -> Value {
        let attributes = vec![ints("axes", &[1, 2]), int("keepdims", 0)];
        let name = self.op("ReduceMax", "map_max", &[&map.name], attributes);
        Value { name, height: 1, width: 1, ..map.clone() }
    }

    fn global_avg_pool(&mut self, x: &Value) -> Value {
        let pooled = self.op("GlobalAveragePool", "pooled", &[&x.name], vec![]);
        let name = self.op("Flatten", "pooled_flat", &[&pooled], vec![int("axis", 1)]);
        Value { name, height: 1, width: 1, ..x.clone() }
    }

    fn l2_normalise(&mut self, x: &Value) -> Value {
        let norm = self.floored_norm(&x.name);
        let name = self.op("Div", "l2_normalised", &[&x.name, &norm], vec![]);
        Value { name, ..x.clone() }
    }
}

/// The matrix `[to, from]` that resizes a line of `from` values to `to` as [`Graph::resize`] does and blurs it as
/// [`Graph::gaussian_blur`] does.
fn resize_and_blur(from: usize, to: usize, blur: Blur) -> Vec<f32> {
    let taps = blur.taps();
    let mut matrix = vec![0.0_f64; to * from];
    for row in 0..to {
        for (tap, &weight) in taps.iter().enumerate() {
            let away = (row + tap).abs_diff(blur.radius_px);
            let at = if away < to { away } else { 2 * (to - 1) - away };
            // The corners of both lines coincide.
            let place = if to > 1 { (at * (from - 1)) as f64 / (to - 1) as f64 } else { 0.0 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
            let low = place as usize;
            let share = place - low as f64;
            matrix[row * from + low] += f64::from(weight) * (1.0 - share);
            matrix[row * from + (low + 1).min(from - 1)] += f64::from(weight) * share;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "weights in 0..1 kept as f32")]
    matrix.into_iter().map(|weight| weight as f32).collect()
}

/// The transpose of a matrix of `columns` columns.
pub(super) fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

/// A node that is called as its one output is.
pub(super) fn node_of(
    op: &str,
    output: &str,
    input: &[String],
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        input: input.to_vec(),
        output: vec![output.to_owned()],
        name: output.to_owned(),
        op_type: op.to_owned(),
        attribute,
    }
}

pub(super) fn floats(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|&side| side as i64).collect(),
        data_type: data_type::FLOAT,
        name: name.to_owned(),
        raw_data: Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
    }
}

pub(super) fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        dims: vec![values.len() as i64],
        data_type: data_type::INT64,
        name: name.to_owned(),
        raw_data: Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
    }
}

fn value_info(name: &str, elem_type: i32, shape: &[usize]) -> ValueInfoProto {
    let batch = Dimension { value: Some(dimension::Value::DimParam("N".to_owned())) };
    let sides = shape
        .iter()
        .map(|&side| Dimension { value: Some(dimension::Value::DimValue(side as i64)) });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(sides).collect() };
    let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(shape) });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind, ..AttributeProto::default() }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, attribute_type::INT) }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, attribute_type::INTS) }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, attribute_type::FLOAT) }
}

pub(super) fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.as_bytes().to_vec()), ..attribute(name, attribute_type::STRING) }
}
