//! The global embedding, by which products are told apart.

use crate::Graph;

/// `[N, C4]`, rows of Euclidean norm 1, from the bottleneck's `[N, C4, H/32, W/32]`.
pub fn embedding<G: Graph>(g: &mut G, bottleneck: &G::Tensor) -> G::Tensor {
    let pooled = g.global_avg_pool(bottleneck);
    g.l2_normalise(&pooled)
}
