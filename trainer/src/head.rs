//! The head that carries the global loss where a recipe asks for one: two layers that only training has.
//!
//! Owns its parameters and what they compute. What the loss wants to be alike is then alike behind the head, and the
//! code before it, from which the student reconstructs, may keep what tells parts of one product apart. Source: Chen et
//! al., ICML 2020 (`SimCLR`, section 4.2), and Khosla et al., `NeurIPS` 2020, who drop it after training as well. Must not
//! know the losses.

use network::shapes::{Parameter, ParameterKind, Shapes};
use network::{Architecture, Path};
use tch::Tensor;

use crate::torch::Variables;

/// The root of its parameters.
pub const ROOT: &str = "head";

fn layer(index: usize) -> String {
    (Path::root() / ROOT / index).parameter("weight")
}

/// Its parameters for an output of that width: none for a width of 0.
pub fn parameters(arch: &Architecture, width: usize) -> Vec<Parameter> {
    if width == 0 {
        return Vec::new();
    }
    let (_, detection) = Shapes::of(arch);
    let fan_in: usize = detection.embedding.0.iter().product();
    let kernel = |index, outputs| Parameter {
        name: layer(index),
        shape: vec![outputs, fan_in],
        kind: ParameterKind::Kernel { fan_in },
    };
    vec![kernel(0, fan_in), kernel(1, width)]
}

/// Embeddings `[N, D]` to what is contrasted, `[N, width]`; a linear layer, a `ReLU`, a linear layer.
pub fn head(variables: &Variables, embeddings: &Tensor) -> Tensor {
    let linear = |x: &Tensor, index| x.matmul(&variables.get(&layer(index)).transpose(0, 1));
    linear(&linear(embeddings, 0).relu(), 1)
}
