//! libtorch behind the network's vocabulary: interpreter, variables, optimiser.
//!
//! Owns every call that depends on how `tch` lays out things. Knows no data set and no loss.

mod adam;
mod graph;
mod variables;

pub use adam::{Adam, AdamOptions};
pub use graph::{Mode, Shared, TorchGraph};
pub(crate) use graph::unit;
pub use variables::Variables;

use tch::{Kind, Tensor};

/// A length as libtorch counts it.
///
/// # Panics
/// Beyond `i64::MAX`, which no tensor reaches.
pub fn int(len: usize) -> i64 {
    i64::try_from(len).expect("lengths of tensors fit i64")
}

/// The values of an f32 tensor, row-major.
pub fn floats(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_kind(Kind::Float).contiguous().view([-1]);
    let mut values = vec![0.0_f32; flat.numel()];
    let count = values.len();
    flat.copy_data(&mut values, count);
    values
}
