//! The ONNX interpreter: appends nodes and initialisers, then writes one self-contained file.
//!
//! Owns the choice of operators: opset 17 and IR 8, so that ONNX Runtime 1.17+ and TensorRT
//! 8.6 to 10.x read it. Knows nothing of metadata but that it is a key and a text.

mod emit;
mod fold;
mod half;
mod product;
pub mod proto;
mod quantise;

use prost::Message as _;

pub use emit::{Emitter, Value};
pub use fold::fold;
pub use half::{HalfWeights, half_weights};
pub use product::search_by_product;
pub use quantise::{QuantiseError, Ranges, layers, quantise, ranged_values, with_outputs};

use crate::detector::detector;
use crate::weights::Checked;
use crate::{Architecture, Graph};
use proto::{ModelProto, StringStringEntryProto};

/// Names of the deployed model's input and outputs.
pub mod names {
    /// u8 `[N, H, W, 3]`, RGB.
    pub const FRAMES: &str = "frames";
    /// f32 `[N, H, W]`.
    pub const ANOMALY_MAP: &str = "anomaly_map";
    /// f32 `[N]`.
    pub const SCORE: &str = "score";
    /// f32 `[N, D]`, rows of norm 1.
    pub const EMBEDDING: &str = "embedding";
}

/// The detector, batch norms folded: what [`quantise`] takes; [`search_by_product`] makes it the form that is deployed in
/// float.
pub fn detector_model(arch: &Architecture, weights: &Checked) -> ModelProto {
    fold(detector_model_unfolded(arch, weights))
}

/// The deployed detector as the stages state it.
pub fn detector_model_unfolded(arch: &Architecture, weights: &Checked) -> ModelProto {
    let (height, width) = (arch.input_height, arch.input_width);
    let mut g = Emitter::new(weights);
    let frames = g.input_u8(names::FRAMES, &[height, width, 3]);
    let detection = detector(&mut g, &frames, arch);
    g.output(&detection.anomaly_map, names::ANOMALY_MAP, &[height, width]);
    g.output(&detection.score, names::SCORE, &[]);
    g.output(&detection.embedding, names::EMBEDDING, &[arch.embedding_len()]);
    g.finish("sightline-detector")
}

/// Sets one metadata property, replacing an older value.
pub fn set_metadata(model: &mut ModelProto, key: &str, value: String) {
    model.metadata_props.retain(|entry| entry.key != key);
    model.metadata_props.push(StringStringEntryProto { key: key.to_owned(), value });
}

/// The file's bytes.
pub fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// A model of any other piece of the network, for tests: one f32 input per shape in `inputs`
/// (without the batch), one output per value returned.
pub fn piece(
    weights: &Checked,
    inputs: &[Vec<usize>],
    build: impl FnOnce(&mut Emitter<'_>, &[Value]) -> Vec<(Value, Vec<usize>)>,
) -> ModelProto {
    let mut g = Emitter::new(weights);
    let values: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, shape)| g.input_f32(&format!("input{index}"), shape))
        .collect();
    let outputs = build(&mut g, &values);
    for (index, (value, shape)) in outputs.iter().enumerate() {
        g.output(value, &format!("output{index}"), shape);
    }
    g.finish("piece")
}

/// Checks at compile time that the emitter speaks the whole vocabulary.
const _: fn() = || {
    fn speaks<G: Graph>() {}
    speaks::<Emitter<'static>>();
};
