//! Folding: a batch normalisation behind a convolution becomes the convolution's own weights.
//!
//! A pass over the emitted graph, so that no stage knows of it. Equal outputs within rounding.

use std::collections::BTreeMap;

use super::emit::floats;
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use crate::NORM_EPS;

/// Folds every `BatchNormalization` that alone consumes the output of a `Conv` or `ConvTranspose`.
#[must_use]
pub fn fold(mut model: ModelProto) -> ModelProto {
    if let Some(graph) = model.graph.as_mut() {
        fold_graph(graph);
    }
    model
}

fn fold_graph(graph: &mut GraphProto) {
    let mut weights: BTreeMap<String, TensorProto> =
        graph.initializer.drain(..).map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for name in graph.node.iter().flat_map(|node| &node.input) {
        *uses.entry(name.clone()).or_default() += 1;
    }
    let mut kept: Vec<NodeProto> = Vec::with_capacity(graph.node.len());
    // Where each kept node's output stands in `kept`.
    let mut producer: BTreeMap<String, usize> = BTreeMap::new();
    for node in graph.node.drain(..) {
        let conv = producer.get(&node.input[0]).copied().filter(|&index| {
            let conv = &kept[index];
            node.op_type == "BatchNormalization"
                && matches!(conv.op_type.as_str(), "Conv" | "ConvTranspose")
                && conv.input.len() == 2
                && uses.get(&node.input[0]) == Some(&1)
                && uses.get(&conv.input[1]) == Some(&1)
        });
        let folded = conv.and_then(|index| fold_pair(&kept[index], &node, &weights));
        if let (Some(index), Some([kernel, bias])) = (conv, folded) {
            for name in &node.input[1..] {
                weights.remove(name);
            }
            let conv = &mut kept[index];
            conv.input.push(bias.name.clone());
            for info in graph.value_info.iter_mut().filter(|info| info.name == conv.output[0]) {
                info.name.clone_from(&node.output[0]);
            }
            conv.output.clone_from(&node.output);
            producer.insert(node.output[0].clone(), index);
            for tensor in [kernel, bias] {
                weights.insert(tensor.name.clone(), tensor);
            }
        } else {
            producer.insert(node.output[0].clone(), kept.len());
            kept.push(node);
        }
    }
    graph.node = kept;
    graph.initializer = weights.into_values().collect();
}

/// The kernel scaled and the bias that replaces the normalisation; `None` when a weight is not an
/// f32 initialiser.
fn fold_pair(
    conv: &NodeProto,
    norm: &NodeProto,
    weights: &BTreeMap<String, TensorProto>,
) -> Option<[TensorProto; 2]> {
    let kernel = weights.get(&conv.input[1])?;
    let dims: Vec<usize> =
        kernel.dims.iter().map(|&side| usize::try_from(side).ok()).collect::<Option<_>>()?;
    let mut values = values_of(kernel)?;
    let [scale, shift, mean, var] =
        [1, 2, 3, 4].map(|index| weights.get(&norm.input[index]).and_then(values_of));
    let (scale, shift, mean, var) = (scale?, shift?, mean?, var?);
    let gain: Vec<f32> =
        scale.iter().zip(&var).map(|(scale, var)| scale / (var + NORM_EPS).sqrt()).collect();
    let bias: Vec<f32> = shift
        .iter()
        .zip(&mean)
        .zip(&gain)
        .map(|((shift, mean), gain)| shift - mean * gain)
        .collect();
    // Output channels are axis 0 of a Conv's kernel and axis 1 of a ConvTranspose's.
    let plane = dims[2..].iter().product::<usize>();
    let of_output: Box<dyn Fn(usize) -> usize> = if conv.op_type == "Conv" {
        let per_output = dims[1] * plane;
        Box::new(move |index| index / per_output)
    } else {
        let outputs = dims[1];
        Box::new(move |index| index / plane % outputs)
    };
    for (index, value) in values.iter_mut().enumerate() {
        *value *= gain[of_output(index)];
    }
    let bias_name = conv.input[1].replace(".weight", ".bias");
    Some([floats(&kernel.name, &dims, &values), floats(&bias_name, &[bias.len()], &bias)])
}

/// The values of an f32 initialiser; `None` for one of another type.
pub(super) fn values_of(tensor: &TensorProto) -> Option<Vec<f32>> {
    let (quads, rest) = tensor.raw_data.as_ref()?.as_chunks::<4>();
    (rest.is_empty() && tensor.data_type == super::proto::data_type::FLOAT)
        .then(|| quads.iter().map(|quad| f32::from_le_bytes(*quad)).collect())
}
