//! The frozen teacher's weights: from a file, or by name from the Hugging Face hub.
//!
//! Owns which repository a name stands for, that a file's names, shapes and values are checked before a run begins
//! with them, and what a checkpoint remembers of its teacher. `hub` fetches, `cache` keeps.

pub mod cache;
pub mod hub;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use indicatif::ProgressBar;
use network::{Architecture, Backbone, teacher, weights::Weights};
use serde::{Deserialize, Serialize};

use self::hub::{Check, Hub, HubError, RemoteFile};

/// What a teacher is named by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// One of the published teachers, from the hub.
    Published(Backbone),
    /// A file of this machine.
    File(PathBuf),
}

impl Source {
    /// A name of a backbone is that backbone; anything else is a path (`./resnet18`, if need be).
    pub fn of(argument: &OsStr) -> Self {
        let named = Backbone::ALL.into_iter().find(|backbone| argument == backbone.name());
        named.map_or_else(|| Self::File(argument.into()), Self::Published)
    }
}

/// What a checkpoint remembers of its teacher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The repository of the hub, or a file's name.
    pub origin: String,
    /// The repository's commit; `None` for a file.
    #[serde(default)]
    pub commit: Option<String>,
    /// The licence as the repository states it; `None` where it states none, and for a file.
    #[serde(default)]
    pub licence: Option<String>,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// A teacher's file on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Teacher {
    /// The file.
    pub path: PathBuf,
    /// Where it came from.
    pub provenance: Provenance,
}

impl Teacher {
    /// A file of this machine.
    pub fn file(path: &Path) -> anyhow::Result<Self> {
        let sha256 = cache::sha256_of(path)
            .map_err(|source| network::weights::WeightsError::Read {
                path: path.display().to_string(),
                source,
            })
            .with_context(|| {
                format!(
                    "--teacher takes a file, or one of {}",
                    Backbone::ALL.map(Backbone::name).join(", ")
                )
            })?;
        let origin = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let provenance = Provenance { origin, commit: None, licence: None, sha256 };
        Ok(Self { path: path.to_owned(), provenance })
    }

    /// A published teacher, from the hub's cache or by way of it.
    pub fn published(backbone: Backbone, hub: &Hub, bar: &ProgressBar) -> Result<Self, HubError> {
        let weights = remote(backbone);
        let card =
            RemoteFile { name: "README.md", bytes_max: 1 << 20, check: Check::Length, ..weights };
        // The card lies beside the weights once they were fetched; a run that finds them asks nobody. A card that
        // cannot be had is no reason to do without the weights: the licence is then not known, and that is said.
        let (fetched, card) = if let Some(found) = hub.cached(weights)? {
            (found, hub.cached(card).ok().flatten())
        } else {
            let fetched = hub.fetch(weights, bar)?;
            let card = hub.fetch_at(card, &fetched.cached.commit).ok();
            (fetched, card)
        };
        let licence = card
            .and_then(|card| std::fs::read_to_string(card.cached.path).ok())
            .and_then(|text| licence(&text));
        let provenance = Provenance {
            origin: weights.repository.to_owned(),
            commit: Some(fetched.cached.commit),
            licence,
            sha256: fetched.sha256,
        };
        Ok(Self { path: fetched.cached.path, provenance })
    }

    /// Its weights under torchvision's names, checked against the architecture; last stage and head are left out.
    pub fn weights(&self, architecture: &Architecture) -> anyhow::Result<Weights> {
        let path = self.path.display();
        let weights = Weights::load(&self.path)?.without(teacher::is_classifiers);
        let Err(misfit) = weights.clone().check(&teacher::parameters(architecture)) else {
            weights.check_values().with_context(|| format!("teacher {path}"))?;
            return Ok(weights);
        };
        let fits = |backbone: &Backbone| {
            let other = Architecture { backbone: *backbone, ..architecture.clone() };
            weights.clone().check(&teacher::parameters(&other)).is_ok()
        };
        let backbone = architecture.backbone;
        Err(match Backbone::ALL.iter().find(|backbone| fits(backbone)) {
            Some(found) => anyhow::Error::new(misfit).context(format!(
                "teacher {path} is a {found} and no {backbone}: write `backbone = \"{found}\"` under [architecture] \
                 of the recipe, or name another file"
            )),
            None => anyhow::Error::new(misfit).context(format!(
                "teacher {path} is no {backbone} of width {}",
                architecture.width
            )),
        })
    }
}

/// Where a backbone's published weights are: torchvision's, under timm's names, which are the same.
pub fn remote(backbone: Backbone) -> RemoteFile {
    let repository = match backbone {
        Backbone::ResNet18 => "timm/resnet18.tv_in1k",
        Backbone::ResNet34 => "timm/resnet34.tv_in1k",
        Backbone::WideResNet50x2 => "timm/wide_resnet50_2.tv_in1k",
    };
    // WRN-50-2 has 276 MB.
    RemoteFile { repository, name: "model.safetensors", bytes_max: 1 << 30, check: Check::Sha256 }
}

/// The licence that a model card's front matter states: `license: bsd-3-clause`.
fn licence(card: &str) -> Option<String> {
    let mut lines = card.lines();
    if lines.next()?.trim() != "---" {
        return None;
    }
    let mut lines = lines.take_while(|line| line.trim() != "---");
    let value = lines.by_ref().find_map(|line| line.strip_prefix("license:"))?.trim();
    // A list has its first entry on the next line.
    let value =
        if value.is_empty() { lines.next()?.trim().strip_prefix('-')?.trim() } else { value };
    let value = value.trim_matches(['"', '\'']);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._+ ".contains(c);
    (!value.is_empty() && value.len() <= 64 && value.chars().all(is_name)).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_licence_is_the_cards() {
        let check = |card: &str, expected: Option<&str>| {
            assert_eq!(licence(card).as_deref(), expected, "{card}");
        };
        check("---\ntags:\n- timm\nlicense: bsd-3-clause\n---\n# Card\n", Some("bsd-3-clause"));
        check("---\nlicense: \"mit\"\n---\n", Some("mit"));
        check("---\nlicense:\n- apache-2.0\n- mit\n---\n", Some("apache-2.0"));
        check("---\ntags: x\n---\nlicense: mit\n", None);
        check("# Card\nlicense: mit\n", None);
        check("", None);
        check("---\nlicense:\n---\n", None);
        check("---\nlicense: \u{1b}[31m\n---\n", None);
    }

    #[test]
    fn a_name_is_a_backbone_and_anything_else_a_file() {
        for backbone in Backbone::ALL {
            assert_eq!(Source::of(backbone.name().as_ref()), Source::Published(backbone));
        }
        for path in ["./resnet18", "resnet18.safetensors", "resnet50"] {
            assert_eq!(Source::of(path.as_ref()), Source::File(path.into()));
        }
    }
}
