//! The decoder (student): mirrors the teacher's stages 3, 2, 1 from the bottleneck's embedding.

use crate::residual::{Resolution, stage};
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
    let g3 = stage(g, &(at / "layer3"), bottleneck, c4, c3, b3, Resolution::Double);
    let g2 = stage(g, &(at / "layer2"), &g3, c3, c2, b2, Resolution::Double);
    let g1 = stage(g, &(at / "layer1"), &g2, c2, c1, b1, Resolution::Double);
    [g1, g2, g3]
}
