//! What a Sightline model file carries beside the network.
//!
//! One ONNX file is the whole truth about a model: this crate owns the document in its metadata, which says how
//! frames are fitted ([`geometry`]), which products it knows ([`prototype`]), how normal parts score
//! ([`calibration`]) and what it must answer on known pictures ([`golden`]). Trainer and inspector read it alike, and
//! image files too ([`still`]).
//! Depends on nothing of ours, and neither on ONNX Runtime nor on GStreamer nor on libtorch.

pub mod geometry;
pub mod heat;
pub mod still;
pub mod spread;
pub mod calibration;
pub mod prototype;
pub mod golden;
pub mod precision;
pub mod schema;
pub mod model_file;
pub mod calibration_file;
pub mod fingerprint;
pub mod bounded;
pub mod whole;
