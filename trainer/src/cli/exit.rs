//! Exit codes: the same as the inspector's, `docs/exit-codes.md`.
//!
//! Owns which error of the library is of which class.

use std::process::ExitCode;

use bundle::model_file::ModelFileError;
use network::{ArchitectureError, weights::WeightsError};

use super::device::NoSuchDevice;
use crate::{
    dataset::DataError,
    recipe::RecipeError,
    teacher::hub::{Fault, HubError},
};

/// The classes that a trainer's errors fall into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Ok = 0,
    Usage = 2,
    Configuration = 3,
    Model = 4,
    Engine = 5,
    Data = 7,
    Output = 8,
    Network = 9,
}

impl Code {
    /// The class of the innermost error that is known.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if cause.is::<RecipeError>()
                || cause.is::<ArchitectureError>()
                || cause.is::<toml::de::Error>()
            {
                return Self::Configuration;
            }
            if cause.is::<ModelFileError>() || cause.is::<WeightsError>() {
                return Self::Model;
            }
            if let Some(error) = cause.downcast_ref::<HubError>() {
                return Self::of_hub(&error.fault);
            }
            if cause.is::<ort::Error>() || cause.is::<NoSuchDevice>() {
                return Self::Engine;
            }
            if cause.is::<DataError>() {
                return Self::Data;
            }
            if cause.is::<std::io::Error>() {
                return Self::Output;
            }
        }
        Self::Data
    }
}

impl Code {
    fn of_hub(fault: &Fault) -> Self {
        match fault {
            Fault::Offline
            | Fault::Unreachable(_)
            | Fault::Answer(_)
            | Fault::Missing
            | Fault::Denied(_)
            | Fault::Checksum { .. }
            | Fault::Busy => Self::Network,
            Fault::Cache { .. } => Self::Output,
            Fault::Damaged { .. } => Self::Model,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}
