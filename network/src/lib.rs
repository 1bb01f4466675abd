//! The network of Sightline, stated once.
//!
//! Owns the architecture: every stage is a function generic over the [`Graph`] vocabulary, and an
//! interpreter gives it a meaning. `shapes` counts, `reference` computes naively, `onnx` writes a
//! file; the trainer adds one over libtorch. Knows neither `tch` nor `ort`, neither files of ours
//! nor metadata: builds on a machine that has nothing but Rust.
//!
//! Method: reverse distillation (Deng & Li, CVPR 2022) with class-aware contrastive learning
//! (Fan et al., ICCV 2025, arXiv 2412.04769), and a memory of patches (Roth et al., CVPR 2022) beside it.

mod architecture;
mod graph;
mod path;

pub mod anomaly_map;
pub mod bottleneck;
pub mod decoder;
pub mod detector;
pub mod embedding;
pub mod memory;
pub mod projector;
pub mod residual;
pub mod teacher;

pub mod onnx;
pub mod shapes;
pub mod weights;

#[cfg(feature = "reference")]
pub mod cases;
#[cfg(feature = "reference")]
pub mod reference;

pub use architecture::{Architecture, ArchitectureError, Backbone, Block, ProjectorKind};
pub use graph::{
    BatchNorm, Blur, COSINE_EPS, Conv2d, ConvTranspose2d, Graph, MaxPool2d, NORM_EPS, Normalisation,
};
pub use path::Path;
