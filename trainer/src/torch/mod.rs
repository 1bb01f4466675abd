//! libtorch behind the network's vocabulary: interpreter, variables, optimiser, memory.
//!
//! Owns every call that depends on how `tch` lays out things. Knows no data set and no loss.

mod adam;
mod allocator;
mod graph;
mod variables;

pub use adam::{Adam, AdamOptions};
pub use allocator::keep_freed_memory;
pub(crate) use graph::unit;
pub use graph::{Mode, Precision, Shared, TorchGraph};
pub use variables::Variables;

use bundle::geometry::RgbImage;
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

/// u8 images of one size as a batch `[N, H, W, 3]`.
pub fn batch_from_images<'a>(images: impl ExactSizeIterator<Item = &'a RgbImage>) -> Tensor {
    let count = int(images.len());
    let mut bytes = Vec::new();
    let mut side = [0_i64; 2];
    for image in images {
        side = [i64::from(image.size.height), i64::from(image.size.width)];
        bytes.extend_from_slice(&image.pixels);
    }
    Tensor::from_data_size(&bytes, &[count, side[0], side[1], 3], Kind::Uint8)
}
