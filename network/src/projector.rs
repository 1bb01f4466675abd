//! The projector: maps the teacher's features, scale by scale, to where classes stand apart.

use crate::{Architecture, Conv2d, Graph, Path, ProjectorKind};

/// Slope of the projector's leaky rectifier.
pub const LEAKY_SLOPE: f32 = 0.01;

/// Projects each scale: four convolutions C, C/2, C/4, C/2, C, each followed by instance
/// normalisation and a leaky rectifier. Shapes are those of `features`.
pub fn projector<G: Graph>(
    g: &mut G,
    at: &Path,
    features: &[G::Tensor; 3],
    arch: &Architecture,
) -> [G::Tensor; 3] {
    let channels = arch.channels();
    std::array::from_fn(|scale| {
        project(g, &(at / scale), &features[scale], channels[scale], arch.projector)
    })
}

fn project<G: Graph>(
    g: &mut G,
    at: &Path,
    feature: &G::Tensor,
    channels: usize,
    kind: ProjectorKind,
) -> G::Tensor {
    let widths = [channels, channels / 2, channels / 4, channels / 2, channels];
    let mut x = feature.clone();
    for (index, pair) in widths.windows(2).enumerate() {
        let at = at / index;
        x = match kind {
            ProjectorKind::Dense => g.conv2d(&x, &at, Conv2d::three(pair[0], pair[1], 1)),
            ProjectorKind::Depthwise => {
                let y = g.conv2d(&x, &(&at / "depthwise"), Conv2d::depthwise(pair[0]));
                g.conv2d(&y, &(&at / "pointwise"), Conv2d::one(pair[0], pair[1], 1))
            }
        };
        x = g.instance_norm(&x);
        x = g.leaky_relu(&x, LEAKY_SLOPE);
    }
    x
}
