//! The bottleneck: multi-scale fusion, then the one-class embedding.

use crate::residual::{Residual, Resolution, stage};
use crate::{Architecture, BatchNorm, Conv2d, Graph, Path};

/// Residual blocks of the one-class embedding.
const EMBEDDING_BLOCKS: usize = 3;

/// Fuses the projected features at stride 16 and compresses them to `[N, C4, H/32, W/32]`.
pub fn bottleneck<G: Graph>(
    g: &mut G,
    at: &Path,
    features: &[G::Tensor; 3],
    arch: &Architecture,
) -> G::Tensor {
    let [c1, c2, c3, c4] = arch.channels();
    let [f1, f2, f3] = features;
    let a = halve(g, &(at / "fuse1" / 0), f1, c1, c2);
    let a = halve(g, &(at / "fuse1" / 1), &a, c2, c3);
    let b = halve(g, &(at / "fuse2" / 0), f2, c2, c3);
    let fused = g.concat(&[a, b, f3.clone()]);
    let first = Residual {
        block: arch.backbone.block(),
        inputs: 3 * c3,
        outputs: c4,
        resolution: Resolution::Halve,
    };
    stage(g, &(at / "layer4"), &fused, first, EMBEDDING_BLOCKS)
}

fn halve<G: Graph>(
    g: &mut G,
    at: &Path,
    x: &G::Tensor,
    inputs: usize,
    outputs: usize,
) -> G::Tensor {
    let y = g.conv2d(x, &(at / "conv"), Conv2d::three(inputs, outputs, 2));
    let y = g.batch_norm(&y, &(at / "bn"), BatchNorm { channels: outputs });
    g.relu(&y)
}
