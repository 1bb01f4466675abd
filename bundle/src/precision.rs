//! In which numbers a model file keeps its weights, and how that was decided.
//!
//! Owns the record alone: shown by the model card and `sightline model show`, never interpreted by an engine, for the
//! network itself says how it is computed.

use serde::{Deserialize, Serialize};

/// The precision of a model file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Precision {
    /// Weights and arithmetic in f32. Files of before this record are these.
    #[default]
    Fp32,
    /// Kernels stored as f16.
    Fp16(Fp16),
    /// Convolutions on int8, but for some.
    Int8(Int8),
}

/// How the FP16 weights came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fp16 {
    /// Kernels stored as f16.
    pub halved: usize,
    /// Kernels that stay f32, because f16 would lose too much of them.
    pub kept: Vec<String>,
}

/// How the INT8 network came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Int8 {
    /// Training images that the ranges were measured on.
    pub range_images: usize,
    /// How a range was chosen from what was measured.
    pub range_method: String,
    /// Layers on int8.
    pub quantised_layers: usize,
    /// Layers in float, the most sensitive first.
    pub float_layers: Vec<FloatLayer>,
    /// Good images, held out from training, that sensitivity was measured on.
    pub sensitivity_images: usize,
    /// Mean absolute difference of the anomaly maps from FP32 on them, relative to the maps' mean.
    pub map_deviation: f64,
    /// What was allowed.
    pub map_deviation_max: f64,
}

/// A layer that stays in float.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloatLayer {
    /// Its name.
    pub name: String,
    /// The map deviation when this layer alone is on int8.
    pub map_deviation: f64,
}

impl Precision {
    /// Whether this is FP32, which the document need not say.
    pub fn is_fp32(&self) -> bool {
        match self {
            Self::Fp32 => true,
            Self::Fp16(_) | Self::Int8(_) => false,
        }
    }

    /// Its short name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fp32 => "FP32",
            Self::Fp16(_) => "FP16 weights",
            Self::Int8(_) => "INT8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_precision_survives_json() {
        let int8 = Int8 {
            float_layers: vec![FloatLayer { name: "teacher.conv1".into(), map_deviation: 0.1 }],
            ..Int8::default()
        };
        for precision in [Precision::Fp32, Precision::Fp16(Fp16::default()), Precision::Int8(int8)]
        {
            let json = serde_json::to_string(&precision).unwrap();
            assert_eq!(serde_json::from_str::<Precision>(&json).unwrap(), precision, "{json}");
        }
        let unknown = serde_json::from_str::<Precision>("{\"kind\":\"int4\"}").unwrap_err();
        assert!(unknown.to_string().contains("int4"), "{unknown}");
    }
}
