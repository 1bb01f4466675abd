//! INT8: quantise-dequantise pairs around the convolutions, weights as int8.
//!
//! A pure pass over the folded graph: graph, ranges and a list of layers that stay in float come in, a graph comes
//! out. Knows neither pixels nor a runtime; who measures the ranges and chooses the list is the trainer.
//!
//! The form is one that ONNX Runtime and `TensorRT` both take:
//! - activations: int8, symmetric (zero point 0), one scale a tensor; kernels: int8 in -127..=127, symmetric, one scale
//!   an output channel, behind `DequantizeLinear(axis = 0)`; biases f32 (`TensorRT` wants them so, and ONNX Runtime
//!   from 1.21 on makes them int32 itself).
//! - A convolution has a pair on its input and one on its output, for only then does ONNX Runtime make it a
//!   `QLinearConv`. Where the output's one reader is a Relu, the pair takes the Relu's range: what it clips, the Relu
//!   would have clipped.
//! - Both branches of a residual sum carry a pair, the sum itself none.
//! - A transposed convolution of 2 x 2 and stride 2 becomes a pointwise convolution whose outputs are put in their
//!   places, which are the same sums: ONNX Runtime has no integer kernel for the former. The places are filled by a
//!   transposition of whole rows of channels, as ONNX Runtime's integer convolutions lay them out: `DepthToSpace`
//!   moves single values and took a tenth of the network's time.
//! - The memory's cosines are moved by a half, so that int8's steps, which lie on both sides of zero, are all used: a
//!   range of theirs would spend half of the steps on cosines below zero, which features behind a Relu do not have.
//!   Their maximum has the same pair before and behind it, so that ONNX Runtime takes it of the integers.
//! - Each reader of a tensor has a pair of its own, with a scale of its own (see [`Quantiser::pair`]).

use std::collections::{BTreeMap, BTreeSet};

use super::emit::{floats, int, integers, ints, node_of};
use super::fold::values_of;
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorTypeProto, TypeProto,
    ValueInfoProto, data_type, dimension,
};

/// The largest magnitude that each value of the graph is to represent, by the value's name.
pub type Ranges = BTreeMap<String, f32>;

/// The largest int8 of a symmetric scale.
const STEPS: f32 = 127.0;
/// A range of zero would divide by zero: a tensor that is always zero gets this one.
const RANGE_MIN: f32 = 1e-6;
/// The one zero point of all activations.
const ZERO: &str = "constant.int8_zero";
/// What the memory's cosines, 0 to 1, are moved by, and then the largest magnitude that they have.
const COSINE_SHIFT: f32 = 0.5;
/// The scale of what was moved.
const COSINE_SCALE: &str = "constant.cosine_scale";
/// What is added to their maximum.
const COSINE_BACK: &str = "constant.cosine_back";
/// The shape that sets the two rows of a transposed convolution's places apart.
const SPLIT: &str = "constant.split_rows";

/// A graph that cannot be quantised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantiseError {
    /// No range was given for a value that needs one.
    #[error("quantise layer {layer}: no finite range of {value} is known")]
    Range {
        /// The convolution.
        layer: String,
        /// The value.
        value: String,
    },
    /// The kernel is no f32 initialiser of the shape that the operator asks for.
    #[error("quantise layer {layer}: its kernel is no f32 initialiser")]
    Kernel {
        /// The convolution.
        layer: String,
    },
    /// The graph does not state the shape of a transposed convolution's output.
    #[error("quantise layer {layer}: the shape of its output is not stated")]
    Shape {
        /// The transposed convolution.
        layer: String,
    },
}

/// Names of the layers that can be quantised, in the order of the graph: every convolution with learned weights.
pub fn layers(model: &ModelProto) -> Vec<String> {
    let nodes = model.graph.iter().flat_map(|graph| &graph.node);
    nodes.filter(|node| is_layer(node)).map(|node| node.name.clone()).collect()
}

/// Names of the values whose ranges [`quantise`] may ask for.
pub fn ranged_values(model: &ModelProto) -> Vec<String> {
    let Some(graph) = model.graph.as_ref() else { return Vec::new() };
    let readers = Readers::of(graph);
    let mut names = BTreeSet::new();
    for node in &graph.node {
        if is_layer(node) {
            names.insert(node.input[0].clone());
            if !readers.is_search(node) {
                names.insert(readers.ranged(&node.output[0]).to_owned());
            }
        } else if is_sum(node) {
            names.extend(node.input.iter().cloned());
        }
    }
    names.into_iter().collect()
}

/// The same model with these values as further outputs.
#[must_use]
pub fn with_outputs(mut model: ModelProto, names: &[String]) -> ModelProto {
    if let Some(graph) = model.graph.as_mut() {
        graph.output.extend(names.iter().map(|name| ValueInfoProto {
            name: name.clone(),
            r#type: Some(TypeProto {
                // Its shape is what the runtime infers.
                tensor_type: Some(TensorTypeProto { elem_type: data_type::FLOAT, shape: None }),
            }),
        }));
    }
    model
}

/// Quantises every layer but those in `float_layers`.
pub fn quantise(
    mut model: ModelProto,
    ranges: &Ranges,
    float_layers: &BTreeSet<String>,
) -> Result<ModelProto, QuantiseError> {
    if let Some(graph) = model.graph.take() {
        model.graph = Some(Quantiser::new(&graph, ranges, float_layers).run(&graph)?);
    }
    Ok(model)
}

/// A convolution of learned weights: a blur's taps are constants.
pub(super) fn is_layer(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Conv" | "ConvTranspose")
        && node.input.get(1).is_some_and(|kernel| !kernel.starts_with("constant."))
}

/// The sum of two branches: the mean of the maps and the image's shift add constants or stand behind a resize.
fn is_sum(node: &NodeProto) -> bool {
    node.op_type == "Add" && (node.name == "add" || node.name.starts_with("add_"))
}

/// Who reads a value.
pub(super) struct Readers<'g>(BTreeMap<&'g str, Vec<&'g NodeProto>>);

impl<'g> Readers<'g> {
    pub(super) fn of(graph: &'g GraphProto) -> Self {
        let mut readers: BTreeMap<&str, Vec<&NodeProto>> = BTreeMap::new();
        for node in &graph.node {
            for input in &node.input {
                readers.entry(input).or_default().push(node);
            }
        }
        Self(readers)
    }

    fn only(&self, value: &str) -> Option<&'g NodeProto> {
        match self.0.get(value).map(Vec::as_slice) {
            Some([one]) => Some(one),
            Some(_) | None => None,
        }
    }

    /// Whether a layer is the memory: a convolution without bias that is read by a maximum over its channels alone.
    pub(super) fn is_search(&self, node: &NodeProto) -> bool {
        let over_channels = |axis: &AttributeProto| axis.name == "axes" && axis.ints == [1];
        node.op_type == "Conv"
            && node.input.len() == 2
            && self.only(&node.output[0]).is_some_and(|reader| {
                reader.op_type == "ReduceMax" && reader.attribute.iter().any(over_channels)
            })
    }

    /// The value whose range a convolution's output takes.
    fn ranged<'v>(&self, value: &'v str) -> &'v str
    where
        'g: 'v,
    {
        match self.only(value) {
            Some(relu) if relu.op_type == "Relu" => &relu.output[0],
            Some(_) | None => value,
        }
    }
}

struct Quantiser<'g> {
    ranges: &'g Ranges,
    float_layers: &'g BTreeSet<String>,
    readers: Readers<'g>,
    weights: BTreeMap<&'g str, &'g TensorProto>,
    /// Rows and columns of the values whose shapes the graph states.
    sides: BTreeMap<&'g str, [i64; 2]>,
    nodes: Vec<NodeProto>,
    constants: BTreeMap<String, TensorProto>,
    /// What a quantised layer's output is called behind its pair.
    dequantised: BTreeMap<&'g str, String>,
    /// What the memory's cosines, moved, are called behind their pair.
    cosines: BTreeMap<&'g str, String>,
    /// Pairs that a value has.
    pairs: BTreeMap<&'g str, u32>,
}

impl<'g> Quantiser<'g> {
    fn new(graph: &'g GraphProto, ranges: &'g Ranges, float_layers: &'g BTreeSet<String>) -> Self {
        let weights = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor));
        Self {
            ranges,
            float_layers,
            readers: Readers::of(graph),
            weights: weights.collect(),
            sides: graph.value_info.iter().filter_map(sides_of).collect(),
            nodes: Vec::with_capacity(3 * graph.node.len()),
            constants: BTreeMap::new(),
            dequantised: BTreeMap::new(),
            cosines: BTreeMap::new(),
            pairs: BTreeMap::new(),
        }
    }

    fn run(mut self, graph: &'g GraphProto) -> Result<GraphProto, QuantiseError> {
        for node in &graph.node {
            if is_layer(node) && !self.float_layers.contains(&node.name) {
                self.layer(node)?;
            } else if let Some(pair) = self.cosines.get(node.input[0].as_str()).cloned() {
                self.maximum(node, pair);
            } else {
                let mut kept = NodeProto { input: self.inputs(node), ..node.clone() };
                if is_sum(node)
                    && node.input.iter().any(|x| self.dequantised.contains_key(x.as_str()))
                {
                    for (input, value) in kept.input.iter_mut().zip(&node.input) {
                        if !self.dequantised.contains_key(value.as_str()) {
                            *input = self.pair(&node.name, value, value, input)?;
                        }
                    }
                }
                self.nodes.push(kept);
            }
        }
        let used: BTreeSet<&str> =
            self.nodes.iter().flat_map(|node| &node.input).map(String::as_str).collect();
        let kept = graph.initializer.iter().filter(|tensor| used.contains(tensor.name.as_str()));
        let initializer = kept.cloned().chain(self.constants.values().cloned()).collect();
        Ok(GraphProto {
            node: self.nodes,
            initializer,
            name: graph.name.clone(),
            input: graph.input.clone(),
            output: graph.output.clone(),
            value_info: graph.value_info.clone(),
        })
    }

    /// The node's inputs, behind their pairs where they have one.
    fn inputs(&self, node: &NodeProto) -> Vec<String> {
        let named = |input: &String| self.dequantised.get(input.as_str()).unwrap_or(input).clone();
        node.input.iter().map(named).collect()
    }

    fn layer(&mut self, node: &'g NodeProto) -> Result<(), QuantiseError> {
        let input = &node.input[0];
        let x = match self.dequantised.get(input.as_str()) {
            // Straight behind another layer: its pair is this one's.
            Some(pair) => pair.clone(),
            None => self.pair(&node.name, input, input, input)?,
        };
        if node.op_type == "ConvTranspose" {
            self.transposed(node, x)
        } else if self.readers.is_search(node) {
            self.search(node, x)
        } else {
            self.convolution(node, x)
        }
    }

    fn convolution(&mut self, node: &'g NodeProto, x: String) -> Result<(), QuantiseError> {
        let (kernel, _) = self.kernel(node, false)?;
        let input = [x, kernel].into_iter().chain(node.input.get(2).cloned()).collect();
        self.nodes.push(NodeProto { input, ..node.clone() });
        let output = &node.output[0];
        let ranged = self.readers.ranged(output).to_owned();
        let pair = self.pair(&node.name, output, &ranged, output)?;
        self.dequantised.insert(output, pair);
        Ok(())
    }

    fn transposed(&mut self, node: &'g NodeProto, x: String) -> Result<(), QuantiseError> {
        let (kernel, _) = self.kernel(node, true)?;
        let mut input = vec![x, kernel];
        if let Some(bias) = node.input.get(2) {
            input.push(self.repeated(node, bias)?);
        }
        let output = &node.output[0];
        let flat = format!("{output}.pointwise");
        let attribute = vec![
            ints("kernel_shape", &[1; 2]),
            ints("strides", &[1; 2]),
            ints("pads", &[0; 4]),
            ints("dilations", &[1; 2]),
            int("group", 1),
        ];
        self.nodes.push(NodeProto {
            input,
            name: node.name.clone(),
            ..node_of("Conv", &flat, &[], attribute)
        });
        let ranged = self.readers.ranged(output).to_owned();
        let pair = self.pair(&node.name, output, &ranged, &flat)?;
        self.unfold(node, pair)?;
        // Its values are the pair's: a sum that reads them needs no other.
        self.dequantised.insert(output, output.clone());
        Ok(())
    }

    /// The memory's cosines, moved.
    fn search(&mut self, node: &'g NodeProto, x: String) -> Result<(), QuantiseError> {
        let (kernel, patches) = self.kernel(node, false)?;
        let shift = format!("{}.shift", node.input[1]);
        let shift = self.constant(floats(&shift, &[patches], &vec![-COSINE_SHIFT; patches]));
        self.nodes.push(NodeProto { input: vec![x, kernel, shift], ..node.clone() });
        self.constant(floats(COSINE_SCALE, &[], &[COSINE_SHIFT / STEPS]));
        let output = &node.output[0];
        let pair = self.pair_of_scale(output, output, COSINE_SCALE);
        self.cosines.insert(output, pair);
        Ok(())
    }

    /// Puts a pointwise convolution's outputs in their places: `[N, 2 * 2 * C, H, W]` to `[N, C, 2 * H, 2 * W]`.
    fn unfold(&mut self, node: &'g NodeProto, flat: String) -> Result<(), QuantiseError> {
        let output = &node.output[0];
        let wrong = || QuantiseError::Shape { layer: node.name.clone() };
        let [rows, columns] = *self.sides.get(output.as_str()).ok_or_else(wrong)?;
        // Of a reshape's sides, 0 is what the input has there and -1 what remains.
        let split = self.constant(integers(SPLIT, &[0, 0, 0, 2, -1]));
        let name = format!("constant.merge_{rows}x{columns}");
        let merge = self.constant(integers(&name, &[0, rows, columns, -1]));
        let [last, apart, rows, places] =
            ["channels_last", "split", "rows", "places"].map(|step| format!("{output}.{step}"));
        self.push("Transpose", &last, vec![flat], vec![ints("perm", &[0, 2, 3, 1])]);
        self.push("Reshape", &apart, vec![last, split], vec![]);
        self.push("Transpose", &rows, vec![apart], vec![ints("perm", &[0, 1, 3, 2, 4])]);
        self.push("Reshape", &places, vec![rows, merge], vec![]);
        self.push("Transpose", output, vec![places], vec![ints("perm", &[0, 3, 1, 2])]);
        Ok(())
    }

    /// The maximum of the moved cosines `pair`, and the cosine that it was.
    fn maximum(&mut self, node: &NodeProto, pair: String) {
        let output = &node.output[0];
        let moved = format!("{output}.moved");
        self.nodes.push(NodeProto {
            input: vec![pair],
            output: vec![moved.clone()],
            ..node.clone()
        });
        let pair = self.pair_of_scale(&moved, &moved, COSINE_SCALE);
        let back = self.constant(floats(COSINE_BACK, &[], &[COSINE_SHIFT]));
        self.push("Add", output, vec![pair, back], vec![]);
    }

    /// Appends `source -> QuantizeLinear -> DequantizeLinear` and returns the last name.
    ///
    /// `value` is what `source` was called in the float graph. Each pair of a value has a scale of its own, apart by
    /// one unit in the last place (6e-8 of it): ONNX Runtime merges equal pairs, and 1.23 turns no pair with two
    /// readers into the unsigned one that its x86 kernels want; such a convolution would run in float.
    fn pair(
        &mut self,
        layer: &str,
        value: &'g str,
        ranged: &str,
        source: &str,
    ) -> Result<String, QuantiseError> {
        let range = self.ranges.get(ranged).copied().filter(|range| range.is_finite());
        let range = range.ok_or_else(|| QuantiseError::Range {
            layer: layer.to_owned(),
            value: ranged.to_owned(),
        })?;
        let count = self.pairs.entry(value).or_default();
        *count += 1;
        let stem = format!("{value}.pair{count}");
        let scale = f32::from_bits((range.max(RANGE_MIN) / STEPS).to_bits() + (*count - 1));
        let scale = self.constant(floats(&format!("{stem}.scale"), &[], &[scale]));
        Ok(self.pair_of_scale(&stem, source, &scale))
    }

    /// The same under names that begin with `stem`, with the scale of this name.
    fn pair_of_scale(&mut self, stem: &str, source: &str, scale: &str) -> String {
        let zero = self.constant(bytes(ZERO, vec![], &[0]));
        let (quantised, dequantised) = (format!("{stem}.int8"), format!("{stem}.float"));
        let inputs = |of: &str| vec![of.to_owned(), scale.to_owned(), zero.clone()];
        self.push("QuantizeLinear", &quantised, inputs(source), vec![]);
        self.push("DequantizeLinear", &dequantised, inputs(&quantised), vec![]);
        dequantised
    }

    /// Adds a constant, once, and returns its name.
    fn constant(&mut self, tensor: TensorProto) -> String {
        let name = tensor.name.clone();
        self.constants.entry(name.clone()).or_insert(tensor);
        name
    }

    /// Appends the dequantisation of a layer's int8 kernel; returns its name and its output channels.
    fn kernel(
        &mut self,
        node: &NodeProto,
        is_transposed: bool,
    ) -> Result<(String, usize), QuantiseError> {
        let wrong = || QuantiseError::Kernel { layer: node.name.clone() };
        let tensor = *self.weights.get(node.input[1].as_str()).ok_or_else(wrong)?;
        let mut values = values_of(tensor).ok_or_else(wrong)?;
        let mut dims = tensor.dims.clone();
        if is_transposed {
            let &[inputs, outputs, 2, 2] = dims.as_slice() else { return Err(wrong()) };
            if values.len() != 4 * side(inputs) * side(outputs) {
                return Err(wrong());
            }
            values = pointwise(&values, side(inputs), side(outputs));
            dims = vec![4 * outputs, inputs, 1, 1];
        }
        let channels = dims.first().map_or(0, |&count| side(count));
        if channels == 0 || values.len() % channels != 0 {
            return Err(wrong());
        }
        let (scales, steps) = per_channel(&values, channels);
        let name = &tensor.name;
        let stored = self.constant(bytes(&format!("{name}.int8"), dims, &steps));
        let scale = self.constant(floats(&format!("{name}.scale"), &[channels], &scales));
        let zeros = vec![0; channels];
        let zero = self.constant(bytes(&format!("{name}.zero"), vec![channels as i64], &zeros));
        let out = format!("{name}.float");
        self.push("DequantizeLinear", &out, vec![stored, scale, zero], vec![int("axis", 0)]);
        Ok((out, channels))
    }

    /// A transposed convolution's bias, once for each of the four places of its output.
    fn repeated(&mut self, node: &NodeProto, bias: &str) -> Result<String, QuantiseError> {
        let values = self.weights.get(bias).and_then(|tensor| values_of(tensor));
        let values = values.ok_or_else(|| QuantiseError::Kernel { layer: node.name.clone() })?;
        let values = values.repeat(4);
        Ok(self.constant(floats(&format!("{bias}.pointwise"), &[values.len()], &values)))
    }

    fn push(&mut self, op: &str, output: &str, input: Vec<String>, attribute: Vec<AttributeProto>) {
        // A layer without batch norm is called as its output is.
        let name = format!("{output}.{op}");
        self.nodes.push(NodeProto { input, name, ..node_of(op, output, &[], attribute) });
    }
}

/// The kernel `[inputs, outputs, 2, 2]` of a transposed convolution as `[2 * 2 * outputs, inputs]`.
fn pointwise(values: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let mut kernel = Vec::with_capacity(values.len());
    for place in 0..4 {
        for output in 0..outputs {
            kernel.extend((0..inputs).map(|input| values[4 * (input * outputs + output) + place]));
        }
    }
    kernel
}

/// Scales, one a channel, and the steps: rounded to even, as `QuantizeLinear` rounds.
fn per_channel(values: &[f32], channels: usize) -> (Vec<f32>, Vec<i8>) {
    let mut scales = Vec::with_capacity(channels);
    let mut steps = Vec::with_capacity(values.len());
    for channel in values.chunks(values.len() / channels) {
        let largest = channel.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let scale = largest.max(RANGE_MIN) / STEPS;
        scales.push(scale);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of i8")]
        steps.extend(
            channel
                .iter()
                .map(|value| (value / scale).round_ties_even().clamp(-STEPS, STEPS) as i8),
        );
    }
    (scales, steps)
}

/// A side of a tensor; 0, which no kernel has, where it is none.
fn side(dim: i64) -> usize {
    usize::try_from(dim).unwrap_or(0)
}

/// Rows and columns of a value `[N, C, H, W]` whose shape is stated in numbers.
fn sides_of(info: &ValueInfoProto) -> Option<(&str, [i64; 2])> {
    let shape = info.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    let [_, _, rows, columns] = shape.dim.as_slice() else { return None };
    match (&rows.value, &columns.value) {
        (Some(dimension::Value::DimValue(rows)), Some(dimension::Value::DimValue(columns))) => {
            Some((&info.name, [*rows, *columns]))
        }
        _ => None,
    }
}

fn bytes(name: &str, dims: Vec<i64>, values: &[i8]) -> TensorProto {
    TensorProto {
        dims,
        data_type: data_type::INT8,
        name: name.to_owned(),
        raw_data: Some(values.iter().map(|value| value.cast_unsigned()).collect()),
    }
}
