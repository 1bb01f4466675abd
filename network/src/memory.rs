//! The memory: how far each place lies from every patch that good parts showed.
//!
//! One memory for all products, of unit features at strides 8 and 16 smoothed over 3 x 3 places. It sees what the
//! student has learned to reconstruct although no good part shows it; the student sees what the memory's few patches
//! cannot tell apart. Source: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (`PatchCore`), CVPR 2022,
//! here with the cosine instead of the Euclidean distance, so that a search is one 1 x 1 convolution.

use crate::{Architecture, Conv2d, Graph, Path};

/// Side of the square of places that a patch is the mean of.
const SMOOTHED: usize = 3;

/// Patches of features at strides 8 and 16, `[N, C2 + C3, H/8, W/8]`: the channels of either scale have norm 1, so
/// that neither decides alone.
pub fn patches<G: Graph>(g: &mut G, features: &[G::Tensor; 3], arch: &Architecture) -> G::Tensor {
    let [_, f2, f3] = features;
    let f2 = g.l2_normalise(f2);
    let f3 = g.l2_normalise(f3);
    let f3 = g.resize(&f3, arch.input_height / 8, arch.input_width / 8);
    let halves = [f2, f3].map(|half| {
        let smooth = g.avg_pool2d(&half, SMOOTHED);
        g.l2_normalise(&smooth)
    });
    g.concat(&halves)
}

/// The distance of each place from the nearest remembered patch, `[N, 1, H/8, W/8]`: one minus the mean of the cosines
/// at both scales.
///
/// `at.weight` is `[arch.memory_patches, C2 + C3, 1, 1]`: halves of [`patches`], which makes the product that mean.
pub fn distance<G: Graph>(
    g: &mut G,
    at: &Path,
    features: &[G::Tensor; 3],
    arch: &Architecture,
) -> G::Tensor {
    let patches = patches(g, features, arch);
    let [_, c2, c3, _] = arch.channels();
    let cosines = g.conv2d(&patches, at, Conv2d::one(c2 + c3, arch.memory_patches, 1));
    g.distance_to_nearest(&cosines)
}
