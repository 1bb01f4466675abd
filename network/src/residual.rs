//! The residual blocks (He et al. 2016), plain and mirrored. Shared by teacher, bottleneck and decoder.

use crate::architecture::Block;
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

/// A residual block, or the first of a row of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residual {
    /// What it is made of.
    pub block: Block,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// What becomes of rows and columns.
    pub resolution: Resolution,
}

/// One block; parameters are named as torchvision names them. The mirrored block names its shortcut `upsample`.
///
/// The resolution changes in the first 3 x 3 convolution, as torchvision's does.
pub fn residual<G: Graph>(g: &mut G, at: &Path, x: &G::Tensor, spec: Residual) -> G::Tensor {
    let Residual { inputs, outputs, resolution, .. } = spec;
    let y = match spec.block {
        Block::Basic => {
            let y = spatial(g, at, 1, x, [inputs, outputs], resolution);
            let y = g.relu(&y);
            spatial(g, at, 2, &y, [outputs; 2], Resolution::Keep)
        }
        Block::Bottleneck => {
            let inner = outputs / 2;
            let y = convolved(g, at, 1, x, Conv2d::one(inputs, inner, 1));
            let y = g.relu(&y);
            let y = spatial(g, at, 2, &y, [inner; 2], resolution);
            let y = g.relu(&y);
            convolved(g, at, 3, &y, Conv2d::one(inner, outputs, 1))
        }
    };
    let shortcut = shortcut(g, at, x, spec);
    let y = g.add(&y, &shortcut);
    g.relu(&y)
}

/// A row of blocks, the first of which changes channels and resolution.
pub fn stage<G: Graph>(
    g: &mut G,
    at: &Path,
    x: &G::Tensor,
    first: Residual,
    blocks: usize,
) -> G::Tensor {
    let next = Residual { inputs: first.outputs, resolution: Resolution::Keep, ..first };
    let mut y = residual(g, &(at / 0), x, first);
    for index in 1..blocks {
        y = residual(g, &(at / index), &y, next);
    }
    y
}

/// The 3 x 3 convolution `conv{index}`, or the transposed one in its place, with its normalisation `bn{index}`.
fn spatial<G: Graph>(
    g: &mut G,
    at: &Path,
    index: usize,
    x: &G::Tensor,
    [inputs, outputs]: [usize; 2],
    resolution: Resolution,
) -> G::Tensor {
    match resolution {
        Resolution::Keep => convolved(g, at, index, x, Conv2d::three(inputs, outputs, 1)),
        Resolution::Halve => convolved(g, at, index, x, Conv2d::three(inputs, outputs, 2)),
        Resolution::Double => {
            let conv = at / format_args!("conv{index}");
            let y = g.conv_transpose2d(x, &conv, ConvTranspose2d { inputs, outputs });
            g.batch_norm(&y, &(at / format_args!("bn{index}")), BatchNorm { channels: outputs })
        }
    }
}

fn convolved<G: Graph>(
    g: &mut G,
    at: &Path,
    index: usize,
    x: &G::Tensor,
    spec: Conv2d,
) -> G::Tensor {
    let y = g.conv2d(x, &(at / format_args!("conv{index}")), spec);
    g.batch_norm(&y, &(at / format_args!("bn{index}")), BatchNorm { channels: spec.outputs })
}

fn shortcut<G: Graph>(g: &mut G, at: &Path, x: &G::Tensor, spec: Residual) -> G::Tensor {
    let Residual { inputs, outputs, resolution, .. } = spec;
    let mut down = |stride| {
        let at = at / "downsample";
        let s = g.conv2d(x, &(&at / 0), Conv2d::one(inputs, outputs, stride));
        g.batch_norm(&s, &(&at / 1), BatchNorm { channels: outputs })
    };
    match resolution {
        Resolution::Keep if inputs == outputs => x.clone(),
        Resolution::Keep => down(1),
        Resolution::Halve => down(2),
        Resolution::Double => {
            let at = at / "upsample";
            let s = g.conv_transpose2d(x, &(&at / 0), ConvTranspose2d { inputs, outputs });
            g.batch_norm(&s, &(&at / 1), BatchNorm { channels: outputs })
        }
    }
}
