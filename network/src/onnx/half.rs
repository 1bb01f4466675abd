//! Weights stored in half precision: half the file, the same computation.
//!
//! A pass over the folded graph. Each learned kernel becomes a FLOAT16 initialiser behind a `Cast` to FLOAT, which every
//! runtime folds away when it loads the file: ONNX Runtime then computes in f32, and `TensorRT` picks its own
//! precision. Biases and constants stay f32: they are a two-hundredth of the file. Knows no file and no runtime.

use std::collections::BTreeSet;

use half::f16;

use super::emit::int;
use super::fold::values_of;
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto, data_type};
use super::quantise::is_layer;

/// Root mean square of the rounding errors, relative to that of the kernel, above which a kernel stays f32.
/// Rounding to 11 significant bits costs about 2e-4; above this bound, values lie below what f16 resolves.
const RELATIVE_ERROR_MAX: f64 = 1e-3;

/// What the pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HalfWeights {
    /// Kernels that are FLOAT16 now.
    pub halved: usize,
    /// Kernels that stay f32, because f16 cannot hold a value of them or loses too much.
    pub kept: Vec<String>,
}

/// Stores the learned kernels of convolutions, and the memory where it is a product, as FLOAT16, each behind a `Cast`.
#[must_use]
pub fn half_weights(mut model: ModelProto) -> (ModelProto, HalfWeights) {
    let mut done = HalfWeights::default();
    if let Some(graph) = model.graph.as_mut() {
        halve(graph, &mut done);
    }
    (model, done)
}

fn halve(graph: &mut GraphProto, done: &mut HalfWeights) {
    let kernels: BTreeSet<String> = graph
        .node
        .iter()
        .filter(|node| is_layer(node) || node.op_type == "MatMul")
        .filter_map(|node| node.input.get(1).cloned())
        .filter(|kernel| !kernel.starts_with("constant."))
        .collect();
    let mut casts = Vec::new();
    for tensor in &mut graph.initializer {
        let Some(values) = kernels.contains(&tensor.name).then(|| values_of(tensor)).flatten()
        else {
            continue;
        };
        let Some(halves) = halves(&values) else {
            done.kept.push(tensor.name.clone());
            continue;
        };
        let stored = format!("{}.f16", tensor.name);
        casts.push(NodeProto {
            input: vec![stored.clone()],
            output: vec![tensor.name.clone()],
            name: tensor.name.clone(),
            op_type: "Cast".to_owned(),
            attribute: vec![int("to", i64::from(data_type::FLOAT))],
        });
        *tensor = TensorProto {
            dims: std::mem::take(&mut tensor.dims),
            data_type: data_type::FLOAT16,
            name: stored,
            raw_data: Some(halves.iter().flat_map(|half| half.to_le_bytes()).collect()),
        };
        done.halved += 1;
    }
    // Before their readers: ONNX wants nodes in order.
    graph.node.splice(0..0, casts);
}

/// The values in f16; `None` where one overflows or too much is lost.
fn halves(values: &[f32]) -> Option<Vec<f16>> {
    let halves: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
    let square = |value: f64| value * value;
    let error: f64 = std::iter::zip(values, &halves)
        .map(|(value, half)| square(f64::from(*value) - f64::from(half.to_f32())))
        .sum();
    let power: f64 = values.iter().map(|value| square(f64::from(*value))).sum();
    // Written so that a NaN or an infinity is refused.
    (error <= square(RELATIVE_ERROR_MAX) * power).then_some(halves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_halved_only_where_f16_holds_it() {
        let check = |values: &[f32], is_halved: bool| {
            assert_eq!(halves(values).is_some(), is_halved, "{values:?}");
        };
        check(&[0.1, -0.25, 3.0], true);
        check(&[0.0, 0.0], true);
        check(&[1.0, 70_000.0], false);
        check(&[1e-7, -3e-8], false);
        check(&[f32::NAN], false);
    }
}
