//! The whole detector, as it is deployed: u8 frames in; anomaly map, score and embedding out.

use crate::anomaly_map::anomaly_map;
use crate::bottleneck::bottleneck;
use crate::decoder::decoder;
use crate::embedding::embedding;
use crate::projector::projector;
use crate::teacher::teacher;
use crate::{Architecture, Graph, Normalisation, Path, memory};

/// The roots of the parameter trees.
pub mod roots {
    /// The frozen encoder.
    pub const TEACHER: &str = "teacher";
    /// The projector, one a scale.
    pub const PROJECTOR: &str = "projector";
    /// Fusion and one-class embedding.
    pub const BOTTLENECK: &str = "bottleneck";
    /// The student.
    pub const DECODER: &str = "decoder";
    /// What good parts showed to the teacher, where there is a memory.
    pub const MEMORY: &str = "memory";
}

/// What the detector says of a batch.
#[derive(Clone, Debug)]
pub struct Detection<T> {
    /// f32 `[N, H, W]`.
    pub anomaly_map: T,
    /// f32 `[N]`: the map's maximum.
    pub score: T,
    /// f32 `[N, D]`, rows of norm 1.
    pub embedding: T,
}

/// `f = E(x)`, `f' = P(f)`, `b = B(f')`, `g = D(b)`; map from `f` and `g`, embedding from `b`.
pub fn detector<G: Graph>(
    g: &mut G,
    frames: &G::Tensor,
    arch: &Architecture,
) -> Detection<G::Tensor> {
    let at = Path::root();
    let image = g.normalise(frames, Normalisation::IMAGENET);
    let features = teacher(g, &(&at / roots::TEACHER), &image, arch);
    let projected = projector(g, &(&at / roots::PROJECTOR), &features, arch);
    let code = bottleneck(g, &(&at / roots::BOTTLENECK), &projected, arch);
    let student = decoder(g, &(&at / roots::DECODER), &code, arch);
    let remembered = (arch.memory_patches > 0)
        .then(|| memory::distance(g, &(&at / roots::MEMORY), &features, arch));
    let map = anomaly_map(g, &features, &student, remembered.as_ref(), arch);
    let score = g.map_max(&map);
    let embedding = embedding(g, &code);
    Detection { anomaly_map: map, score, embedding }
}
