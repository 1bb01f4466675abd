//! The engine: pixels in, [`Inference`] out.
//!
//! Owns the seam to ONNX Runtime and the rule that no engine is used before its golden frames agree.
//! Invariants: `infer` takes `&mut self`, because ONNX Runtime's `Run` is not thread-safe; the only way to a
//! [`Verified`] engine is [`Candidate::verify`]; the active providers are those asked for or none.
//! Must not know cameras, verdicts or the configuration file.

pub mod golden;
pub mod inference;
pub mod library;
pub mod meter;
pub mod onnx;
pub mod provider;

use bundle::geometry::{RgbView, Size};

pub use self::{
    golden::{Candidate, Deviations, Refusal, Verified},
    inference::Inference,
    onnx::{Onnx, OnnxOptions, Runtime},
    provider::Provider,
};

/// Something that runs the network.
pub trait Engine: Send {
    /// The size that every input must have.
    fn input_size(&self) -> Size;

    /// Runs the network on one input.
    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError>;
}

impl<E: Engine + ?Sized> Engine for Box<E> {
    fn input_size(&self) -> Size {
        (**self).input_size()
    }

    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError> {
        (**self).infer(input)
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
            Self::Library(_)
            | Self::Start { .. }
            | Self::Provider { .. }
            | Self::InputSize { .. }
            | Self::Run { .. } => crate::fault::Class::Engine,
        }
    }
}
