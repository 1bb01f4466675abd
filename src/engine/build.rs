//! Tries the engines of a plan until one agrees with the golden frames.
//!
//! Owns that walk, and what is said when none agrees. Knows neither ONNX Runtime nor a clock: how an attempt is loaded
//! comes in as a function, so that the walk is the same for every provider.

use bundle::schema::Document;

use super::{Attempt, Candidate, Engine, EngineError, Refusal, Verified};
use crate::fault::{Class, one_line};

/// An engine that may be used, and how it was come by.
#[derive(Debug)]
pub struct Built {
    /// The engine.
    pub engine: Verified,
    /// Which one it is.
    pub attempt: Attempt,
    /// Those that were tried before it, and why they are not used.
    pub refused: Vec<Refused>,
}

/// An engine that is not used.
#[derive(Debug)]
pub struct Refused {
    /// Which one.
    pub attempt: Attempt,
    /// Why.
    pub why: Why,
}

/// Why an engine is not used.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// It could not be loaded.
    #[error(transparent)]
    Load(#[from] EngineError),
    /// The golden frames do not agree.
    #[error(transparent)]
    Golden(#[from] Refusal),
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration leaves nothing to try.
    #[error(
        "engine.precisions leaves nothing that this model file can be computed in; list \"fp32\" too"
    )]
    NothingToTry,
    /// Everything that was tried was refused.
    #[error("{}", refusals(.0))]
    Refused(Vec<Refused>),
}

/// What is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This one is being loaded, and built where it has to be.
    Loads(Attempt),
    /// Its golden frames are being run.
    Verifies(Attempt),
}

/// The first engine that agrees. A GPU that failed for good ends the search: it would fail the others too.
pub fn build<E: Engine + 'static>(
    attempts: &[Attempt],
    document: &Document,
    mut load: impl FnMut(&Attempt) -> Result<Candidate<E>, EngineError>,
    mut tell: impl FnMut(Progress),
) -> Result<Built, BuildError> {
    let mut refused: Vec<Refused> = Vec::new();
    for attempt in attempts {
        tell(Progress::Loads(attempt.clone()));
        let engine = load(attempt).map_err(Why::from).and_then(|candidate| {
            tell(Progress::Verifies(attempt.clone()));
            let tolerance = attempt.arithmetic.tolerance(document.tolerance);
            candidate.verify_within(document, tolerance).map_err(Why::from)
        });
        match engine {
            Ok(engine) => return Ok(Built { engine, attempt: attempt.clone(), refused }),
            Err(why) => {
                let is_fatal = why.class() == Class::Gpu;
                refused.push(Refused { attempt: attempt.clone(), why });
                if is_fatal {
                    break;
                }
            }
        }
    }
    Err(if refused.is_empty() { BuildError::NothingToTry } else { BuildError::Refused(refused) })
}

impl Why {
    /// What the person who must act has to look at.
    pub fn class(&self) -> Class {
        match self {
            Self::Load(error) => error.class(),
            Self::Golden(Refusal::Failed { source: error @ EngineError::Fatal { .. }, .. }) => {
                error.class()
            }
            Self::Golden(_) => Class::Model,
        }
    }
}

impl BuildError {
    /// Of the last one that was tried.
    pub fn class(&self) -> Class {
        match self {
            Self::NothingToTry => Class::Configuration,
            Self::Refused(refused) => {
                refused.last().map_or(Class::Engine, |refused| refused.why.class())
            }
        }
    }
}

/// Only one: its own words. Several: each with its name.
fn refusals(refused: &[Refused]) -> String {
    if let [only] = refused {
        return one_line(&only.why);
    }
    let each =
        refused.iter().map(|refused| format!("{}: {}", refused.attempt, one_line(&refused.why)));
    format!("no engine can be used: {}", each.collect::<Vec<_>>().join("; "))
}
