//! The decoder (student): mirrors the teacher's stages 3, 2, 1 from the bottleneck's embedding.

use crate::residual::{Residual, Resolution, stage};
use crate::{Architecture, Graph, Path};

/// Reconstructed features at strides 4, 8, 16, with the shapes of the teacher's.
pub fn decoder<G: Graph>(
    g: &mut G,
    at: &Path,
    bottleneck: &G::Tensor,
    arch: &Architecture,
) -> [G::Tensor; 3] {
    let [c1, c2, c3, c4] = arch.channels();
    let [b1, b2, b3] = arch.blocks();
    let block = arch.backbone.block();
    let first =
        |inputs, outputs| Residual { block, inputs, outputs, resolution: Resolution::Double };
    let g3 = stage(g, &(at / "layer3"), bottleneck, first(c4, c3), b3);
    let g2 = stage(g, &(at / "layer2"), &g3, first(c3, c2), b2);
    let g1 = stage(g, &(at / "layer1"), &g2, first(c2, c1), b1);
    [g1, g2, g3]
}
