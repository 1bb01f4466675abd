//! The memory's search in float as a matrix product, places by patches.
//!
//! A pass over a float graph. ONNX Runtime lays a convolution's channels out in blocks and back again, which for the
//! thousands of channels that are read once, by a maximum, costs more than the sums do. On int8 it lays channels out last
//! and the convolution is the faster of the two, so [`super::quantise`] wants the convolution, and what it made int8 is
//! left alone.

use std::collections::BTreeMap;

use super::emit::{floats, int, ints, node_of, transposed};
use super::fold::values_of;
use super::proto::{GraphProto, ModelProto};
use super::quantise::Readers;

/// The same sums, `[N, H, W, C]` by `[C, P]`, where a maximum over its channels is all that a pointwise convolution of
/// f32 weights is for.
#[must_use]
pub fn search_by_product(mut model: ModelProto) -> ModelProto {
    if let Some(graph) = model.graph.as_mut() {
        rewrite(graph);
    }
    model
}

fn rewrite(graph: &mut GraphProto) {
    let readers = Readers::of(graph);
    let kernels: BTreeMap<&str, [usize; 2]> = graph
        .initializer
        .iter()
        .filter_map(|tensor| {
            let &[patches, channels, 1, 1] = tensor.dims.as_slice() else { return None };
            let sides = [usize::try_from(patches).ok()?, usize::try_from(channels).ok()?];
            values_of(tensor).map(|_| (tensor.name.as_str(), sides))
        })
        .collect();
    let searches: BTreeMap<String, [usize; 2]> = graph
        .node
        .iter()
        .filter(|node| readers.is_search(node))
        .filter_map(|node| Some((node.output[0].clone(), *kernels.get(node.input[1].as_str())?)))
        .collect();
    let mut nodes = Vec::with_capacity(graph.node.len() + 2 * searches.len());
    for node in graph.node.drain(..) {
        let output = &node.output[0];
        if let Some(&[patches, channels]) = searches.get(output) {
            let last = format!("{output}.channels_last");
            let weight = &node.input[1];
            for tensor in graph.initializer.iter_mut().filter(|tensor| tensor.name == *weight) {
                let Some(values) = values_of(tensor) else { continue };
                *tensor = floats(weight, &[channels, patches], &transposed(&values, channels));
            }
            let perm = vec![ints("perm", &[0, 2, 3, 1])];
            nodes.push(node_of("Transpose", &last, &node.input[..1], perm));
            nodes.push(node_of("MatMul", output, &[last.clone(), weight.clone()], vec![]));
        } else if searches.contains_key(&node.input[0]) {
            let last = format!("{output}.channels_last");
            let maximum = vec![ints("axes", &[-1]), int("keepdims", 1)];
            nodes.push(node_of("ReduceMax", &last, &node.input, maximum));
            let perm = vec![ints("perm", &[0, 3, 1, 2])];
            nodes.push(node_of("Transpose", output, std::slice::from_ref(&last), perm));
        } else {
            nodes.push(node);
        }
    }
    graph.node = nodes;
}
