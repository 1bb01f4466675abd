//! What a run begins with: a teacher, another run's weights, or its own state from before an interruption.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::RunOptions;
use crate::{
    checkpoint::{Checkpoint, Manifest},
    files,
    recipe::Recipe,
    teacher::{Provenance, Teacher},
    training::Trainer,
};

/// What a run begins with.
#[derive(Clone, Debug)]
pub enum Start {
    /// Weights of the frozen teacher; everything else is drawn from the seed.
    Teacher(Teacher),
    /// The checkpoint of another run with the same architecture, all of it.
    Checkpoint(PathBuf),
    /// The unfinished checkpoint that the same run left beside its output.
    Unfinished,
}

/// A trainer that is ready for its next step.
pub(super) struct Begun {
    pub(super) trainer: Trainer,
    /// The teacher that it began with.
    pub(super) teacher: Option<Provenance>,
    /// The run whose weights it began with.
    pub(super) refines: Option<Box<Manifest>>,
    pub(super) expects: Expected,
}

/// What the data set must be, for a run that goes on.
pub(super) enum Expected {
    Anything,
    Same(Box<Manifest>),
}

impl Expected {
    pub(super) fn check(&self, classes: &[String], fingerprint: &str) -> anyhow::Result<()> {
        match self {
            Self::Same(manifest)
                if manifest.classes != classes || manifest.data_fingerprint != fingerprint =>
            {
                bail!(
                    "the data set no longer holds the images that the run learned from; restore them, or train anew \
                     without --resume"
                )
            }
            Self::Anything | Self::Same(_) => Ok(()),
        }
    }
}

/// What the run that left an unfinished checkpoint beside `out` was told.
pub fn unfinished(out: &Path) -> anyhow::Result<Manifest> {
    let path = files::unfinished(out);
    Ok(Checkpoint::load(&path).context("there is nothing to resume")?.manifest)
}

pub(super) fn begin(recipe: &Recipe, options: &RunOptions) -> anyhow::Result<Begun> {
    let unfinished = files::unfinished(&options.out);
    if !matches!(options.start, Start::Unfinished) && unfinished.exists() {
        bail!(
            "{} is a run that has not ended: go on with it by --resume, remove it, or name another --out",
            unfinished.display()
        );
    }
    match &options.start {
        Start::Teacher(teacher) => {
            let weights =
                teacher.weights(&recipe.architecture)?.under(network::detector::roots::TEACHER);
            let trainer = Trainer::new(recipe.clone(), &weights, options.device)?;
            let teacher = Some(teacher.provenance.clone());
            Ok(Begun { trainer, teacher, refines: None, expects: Expected::Anything })
        }
        Start::Checkpoint(path) => {
            let Checkpoint { mut manifest, weights, .. } = Checkpoint::load(path)?;
            if manifest.learned.is_empty() {
                bail!(
                    "checkpoint {} is of an earlier version and does not say which parts it learned from, so that none \
                     could be held out; train anew",
                    path.display()
                );
            }
            // What those before it learned from is in its own list.
            if let Some(earlier) = &mut manifest.refines {
                earlier.learned.clear();
            }
            let trainer = Trainer::refine(recipe.clone(), &weights, options.device)
                .with_context(|| format!("refine {}", path.display()))?;
            let refines = Some(Box::new(manifest));
            Ok(Begun { trainer, teacher: None, refines, expects: Expected::Anything })
        }
        Start::Unfinished => {
            let path = unfinished;
            let Checkpoint { manifest, weights, state } = Checkpoint::load(&path)?;
            let state = state.unwrap_or_default();
            let trainer =
                Trainer::resume(recipe.clone(), &weights, &state, manifest.steps, options.device)
                    .with_context(|| format!("resume {}", path.display()))?;
            let (teacher, refines) = (manifest.teacher.clone(), manifest.refines.clone());
            Ok(Begun { trainer, teacher, refines, expects: Expected::Same(Box::new(manifest)) })
        }
    }
}
