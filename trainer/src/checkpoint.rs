//! A checkpoint: weights of the whole network and the recipe that made them, in one safetensors
//! file. Written to a side file first, then renamed.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use network::weights::Weights;
use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Learned, Split};
use crate::recipe::Recipe;
use crate::teacher::Provenance;

const KEY: &str = "sightline.checkpoint";
const FORMAT: u32 = 1;
/// What a run needs to go on lies below this name, apart from the network's parameters.
const STATE: &str = "training";

/// What stands beside the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this document.
    pub format: u32,
    /// How the weights came about.
    pub recipe: Recipe,
    /// Steps done.
    pub steps: u64,
    /// Product names by class index.
    pub classes: Vec<String>,
    /// Fingerprint of the training data.
    pub data_fingerprint: String,
    /// The teacher that the run began with; `None` for one that refines, and in checkpoints of earlier versions.
    #[serde(default)]
    pub teacher: Option<Provenance>,
    /// The run whose weights this one began with; `None` for one that began with a teacher.
    #[serde(default)]
    pub refines: Option<Box<Manifest>>,
    /// What it and those before it learned from; empty in checkpoints of earlier versions, and in those that a refining
    /// run remembers but for the last.
    #[serde(default)]
    pub learned: Learned,
}

/// Weights with their manifest.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// What stands beside the weights.
    pub manifest: Manifest,
    /// The whole network's.
    pub weights: Weights,
    /// What an unfinished run needs to go on; `None` in a finished one.
    pub state: Option<Weights>,
}

impl Manifest {
    /// The manifest of a run.
    pub fn new(recipe: Recipe, steps: u64, classes: Vec<String>, data_fingerprint: String) -> Self {
        Self {
            format: FORMAT,
            recipe,
            steps,
            classes,
            data_fingerprint,
            teacher: None,
            refines: None,
            learned: Learned::new(),
        }
    }

    /// What the runs before this one learned from.
    pub fn learned_before(&self) -> Learned {
        self.refines.as_ref().map(|refined| refined.learned.clone()).unwrap_or_default()
    }
}

impl Checkpoint {
    /// Writes it at `path`, atomically.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let manifest = serde_json::to_string(&self.manifest).context("write the manifest")?;
        let metadata = HashMap::from([(KEY.to_owned(), manifest)]);
        let mut tensors = self.weights.clone();
        if let Some(state) = &self.state {
            tensors.0.extend(state.clone().under(STATE).0);
        }
        let bytes = tensors.to_safetensors(Some(metadata)).context("write the weights")?;
        crate::files::write_atomically(path, &bytes)
    }

    /// The parts that the run learned from and those that it never saw.
    ///
    /// Products that the run was not given are left out. Refuses a data set whose images are no longer those of the
    /// run, where parts that it learned from could pass for held-out ones, and a run that has not ended: one that could
    /// go on has not, though all its steps are done, for its batch norms have not settled.
    pub fn split(&self, data: &Dataset) -> anyhow::Result<Split> {
        let Manifest { recipe, steps, classes, data_fingerprint, .. } = &self.manifest;
        if *steps < recipe.iterations || self.state.is_some() {
            bail!(
                "the checkpoint is that of an unfinished run, after {steps} of {} steps; go on with train --resume",
                recipe.iterations
            );
        }
        let root = data.place();
        let data =
            &data.only(classes).context("name the data set that the checkpoint was trained on")?;
        let before = self.manifest.learned_before();
        let split = data.split(recipe.calibration_share, recipe.seed, &before)?;
        if split.fingerprint(data) != *data_fingerprint {
            bail!(
                "{root} no longer holds the images that the checkpoint learned from, so that none can be said to be \
                 held out; restore them, or train anew"
            );
        }
        Ok(split)
    }

    /// Reads it.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let (weights, metadata) = Weights::load_with_metadata(path)?;
        let Some(text) = metadata.get(KEY) else {
            bail!(
                "{} holds weights but no recipe: give a checkpoint written by `sightline-train train`",
                path.display()
            );
        };
        let manifest: Manifest = serde_json::from_str(text)
            .with_context(|| format!("read the manifest of checkpoint {}", path.display()))?;
        if manifest.format != FORMAT {
            bail!(
                "checkpoint {} has format {}, this program reads {FORMAT}",
                path.display(),
                manifest.format
            );
        }
        let (mut network, mut state) = (Weights::default(), Weights::default());
        for (name, weight) in weights.0 {
            match name.strip_prefix(STATE).and_then(|rest| rest.strip_prefix('.')) {
                Some(rest) => state.0.insert(rest.to_owned(), weight),
                None => network.0.insert(name, weight),
            };
        }
        let state = (!state.0.is_empty()).then_some(state);
        Ok(Self { manifest, weights: network, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_an_earlier_version_is_read() {
        let manifest = Manifest::new(Recipe::default(), 5, vec!["cap".into()], String::new());
        let mut earlier = serde_json::to_value(&manifest).unwrap();
        for key in ["teacher", "refines", "learned"] {
            assert!(earlier.as_object_mut().unwrap().remove(key).is_some(), "{key}");
        }
        assert_eq!(serde_json::from_value::<Manifest>(earlier).unwrap(), manifest);
    }
}
