//! The engine: pixels in, [`Inference`] out.
//!
//! Owns the seam to ONNX Runtime and the rule that no engine is used before its golden frames agree.
//! Invariants: `infer` takes `&mut self`, because ONNX Runtime's `Run` is not thread-safe; the only way to a
//! [`Verified`] engine is [`Candidate::verify`]; the active providers are those asked for or none.
//! To read from: `plan` (which engines may be tried, in which order), `build` (tries them), `onnx` (one of them),
//! `golden` (whether it may be used), `cache` and `gpu` (what `TensorRT` builds, and for which machine), `fatal`.
//! Must not know cameras, verdicts or the configuration file.

pub mod build;
pub mod cache;
pub mod fatal;
pub mod golden;
pub mod gpu;
pub mod inference;
pub mod library;
pub mod onnx;
pub mod plan;
pub mod provider;

use bundle::geometry::{RgbView, Size};

pub use self::{
    build::{BuildError, Built, Progress, Refused},
    golden::{Candidate, Deviations, Refusal, Verified},
    inference::Inference,
    onnx::{Onnx, OnnxOptions, Runtime},
    plan::{Arithmetic, Attempt, Wish},
    provider::Provider,
};

/// Something that runs the network.
pub trait Engine: Send {
    /// The size that every input must have.
    fn input_size(&self) -> Size;

    /// The most inputs that one run of the network takes; at least 1.
    fn batch_max(&self) -> usize {
        1
    }

    /// Runs the network on one input.
    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError>;

    /// Runs the network on several inputs, at most [`batch_max`](Self::batch_max) at once: an inference for each, in
    /// their order.
    fn infer_batch(&mut self, inputs: &[RgbView<'_>]) -> Result<Vec<Inference>, EngineError> {
        inputs.iter().map(|input| self.infer(input)).collect()
    }
}

impl<E: Engine + ?Sized> Engine for Box<E> {
    fn input_size(&self) -> Size {
        (**self).input_size()
    }

    fn batch_max(&self) -> usize {
        (**self).batch_max()
    }

    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError> {
        (**self).infer(input)
    }

    fn infer_batch(&mut self, inputs: &[RgbView<'_>]) -> Result<Vec<Inference>, EngineError> {
        (**self).infer_batch(inputs)
    }
}

/// Why there is no engine, or no inference.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The library could not be found, loaded or used.
    #[error(transparent)]
    Library(#[from] library::LibraryError),
    /// ONNX Runtime would not start.
    #[error("start ONNX Runtime {version}: {cause}")]
    Start {
        /// The library's version.
        version: library::Version,
        /// Its words.
        cause: String,
    },
    /// A provider of the configuration is not in this library, or its device is not there.
    #[error(
        "execution provider \"{provider}\" is not available ({cause}); use an ONNX Runtime library that has it, or list only what is there in engine.providers"
    )]
    Provider {
        /// The provider.
        provider: Provider,
        /// What ONNX Runtime says.
        cause: String,
    },
    /// ONNX Runtime does not take the model.
    #[error("ONNX Runtime does not take the model: {cause}")]
    Load {
        /// Its words.
        cause: String,
    },
    /// The model's inputs and outputs are not those of a Sightline model.
    #[error("the model's {what}, which is no Sightline model's; export it with sightline-train")]
    Interface {
        /// What was found and what was expected.
        what: String,
    },
    /// An input of the wrong size reached the engine.
    #[error("an input of {}x{} pixels came to an engine for {}x{}", .got.width, .got.height, .want.width, .want.height)]
    InputSize {
        /// The input's size.
        got: Size,
        /// The model's size.
        want: Size,
    },
    /// More inputs at once than the engine was loaded for: a bug.
    #[error("{got} inputs came at once to an engine for at most {max}; please report it")]
    BatchSize {
        /// How many came.
        got: usize,
        /// How many it takes.
        max: usize,
    },
    /// The folder of the built engines cannot be used.
    #[error(transparent)]
    Cache(#[from] cache::CacheError),
    /// The GPU is in a state that only a new process gets out of.
    #[error("the GPU failed for good ({cause}); the process must be started again")]
    Fatal {
        /// ONNX Runtime's words.
        cause: String,
    },
    /// The inference itself failed.
    #[error("inference failed: {cause}")]
    Run {
        /// ONNX Runtime's words.
        cause: String,
    },
}

impl EngineError {
    /// What the person who must act has to look at.
    pub fn class(&self) -> crate::fault::Class {
        match self {
            Self::Load { .. } | Self::Interface { .. } => crate::fault::Class::Model,
            Self::Fatal { .. } => crate::fault::Class::Gpu,
            Self::Library(_)
            | Self::Cache(_)
            | Self::BatchSize { .. }
            | Self::Start { .. }
            | Self::Provider { .. }
            | Self::InputSize { .. }
            | Self::Run { .. } => crate::fault::Class::Engine,
        }
    }
}
