//! The basic residual block (He et al. 2016), plain and mirrored. Shared by teacher, bottleneck
//! and decoder.

use crate::{BatchNorm, Conv2d, ConvTranspose2d, Graph, Path};

/// How a block changes the resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Same rows and columns.
    Keep,
    /// Half of them, by stride 2.
    Halve,
    /// Twice as many, by a 2 x 2 transposed convolution (the decoder's mirror of `Halve`).
    Double,
}

/// One basic block; parameters are named as torchvision names them. The mirrored block names its
/// shortcut `upsample`.
pub fn basic_block<G: Graph>(
    g: &mut G,
    at: &Path,
    x: &G::Tensor,
    inputs: usize,
    outputs: usize,
    resolution: Resolution,
) -> G::Tensor {
    let first = &(at / "conv1");
    let y = match resolution {
        Resolution::Keep => g.conv2d(x, first, Conv2d::three(inputs, outputs, 1)),
        Resolution::Halve => g.conv2d(x, first, Conv2d::three(inputs, outputs, 2)),
        Resolution::Double => g.conv_transpose2d(x, first, ConvTranspose2d { inputs, outputs }),
    };
    let y = g.batch_norm(&y, &(at / "bn1"), BatchNorm { channels: outputs });
    let y = g.relu(&y);
    let y = g.conv2d(&y, &(at / "conv2"), Conv2d::three(outputs, outputs, 1));
    let y = g.batch_norm(&y, &(at / "bn2"), BatchNorm { channels: outputs });
    let shortcut = match resolution {
        Resolution::Keep if inputs == outputs => x.clone(),
        Resolution::Keep => {
            let at = at / "downsample";
            let s = g.conv2d(x, &(&at / 0), Conv2d::one(inputs, outputs, 1));
            g.batch_norm(&s, &(&at / 1), BatchNorm { channels: outputs })
        }
        Resolution::Halve => {
            let at = at / "downsample";
            let s = g.conv2d(x, &(&at / 0), Conv2d::one(inputs, outputs, 2));
            g.batch_norm(&s, &(&at / 1), BatchNorm { channels: outputs })
        }
        Resolution::Double => {
            let at = at / "upsample";
            let s = g.conv_transpose2d(x, &(&at / 0), ConvTranspose2d { inputs, outputs });
            g.batch_norm(&s, &(&at / 1), BatchNorm { channels: outputs })
        }
    };
    let y = g.add(&y, &shortcut);
    g.relu(&y)
}

/// A row of blocks, the first of which changes channels and resolution.
pub fn stage<G: Graph>(
    g: &mut G,
    at: &Path,
    x: &G::Tensor,
    inputs: usize,
    outputs: usize,
    blocks: usize,
    resolution: Resolution,
) -> G::Tensor {
    let mut y = basic_block(g, &(at / 0), x, inputs, outputs, resolution);
    for index in 1..blocks {
        y = basic_block(g, &(at / index), &y, outputs, outputs, Resolution::Keep);
    }
    y
}
