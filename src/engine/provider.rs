//! The execution providers that a configuration can ask for.
//!
//! Pure: names and their order. Whether a provider is there is the runtime's to say.
//! Invariant: nothing outside the operator's list is ever used.

use std::{fmt, str::FromStr};

/// Where the network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The processor; in every ONNX Runtime.
    Cpu,
    /// CUDA; in ONNX Runtime's builds for GPUs and NVIDIA's for Jetson.
    Cuda,
    /// `TensorRT`; in the same builds as CUDA.
    TensorRt,
}

impl Provider {
    /// Every provider, best first.
    pub const ALL: [Self; 3] = [Self::TensorRt, Self::Cuda, Self::Cpu];

    /// The word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.name() == word)
            .ok_or_else(|| "expected \"cpu\", \"cuda\" or \"tensorrt\"".into())
    }
}
