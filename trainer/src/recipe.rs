//! Every hyper-parameter of a training run, with the paper's defaults.
//!
//! Owns their names, units and bounds. Serialised into checkpoints and model files.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use bundle::geometry::{Fit, Geometry, Region, Resampling, Size, Tiles};
use network::{Architecture, Backbone};

use crate::{dataset::augment::Augmentation, torch::Precision};

/// Which contrastive losses join the reconstruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Ccl {
    /// Reconstruction alone (the projector stays).
    None,
    /// The dense local loss.
    Local,
    /// The loss on global embeddings.
    Global,
    /// Both, as published.
    Both,
}

impl Ccl {
    /// Whether the local loss is on.
    pub fn local(self) -> bool {
        matches!(self, Self::Local | Self::Both)
    }

    /// Whether the global loss is on.
    pub fn global(self) -> bool {
        matches!(self, Self::Global | Self::Both)
    }
}

/// What the contrastive losses take for a class.
///
/// ```
/// use trainer::recipe::Classes;
/// assert_eq!("pseudo:8".parse(), Ok(Classes::Pseudo { count: Some(8) }));
/// assert_eq!(Classes::Products.to_string(), "products");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Classes {
    /// The product whose folder an image lies in.
    #[default]
    Products,
    /// Clusters of the frozen teacher's pooled features, where nobody sorted the images; their number is chosen by the
    /// silhouette when it is not given.
    Pseudo {
        /// How many, at least 2.
        count: Option<usize>,
    },
}

impl FromStr for Classes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = match text.split_once(':') {
            None if text == "products" => return Ok(Self::Products),
            None if text == "pseudo" => None,
            Some(("pseudo", count)) => {
                count.parse().ok().filter(|count| (2..=1024).contains(count))
            }
            _ => return Err(not_classes(text)),
        };
        if text != "pseudo" && count.is_none() {
            return Err(not_classes(text));
        }
        Ok(Self::Pseudo { count })
    }
}

fn not_classes(text: &str) -> String {
    format!("\"{text}\" is neither \"products\" nor \"pseudo\" nor \"pseudo:K\" with K in 2..=1024")
}

impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Products => f.write_str("products"),
            Self::Pseudo { count: None } => f.write_str("pseudo"),
            Self::Pseudo { count: Some(count) } => write!(f, "pseudo:{count}"),
        }
    }
}

impl TryFrom<String> for Classes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Classes> for String {
    fn from(classes: Classes) -> Self {
        classes.to_string()
    }
}

/// A training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// Seed of everything random.
    pub seed: u64,
    /// The network.
    pub architecture: Architecture,
    /// How images of another shape become inputs.
    pub fit: Fit,
    /// How they are scaled.
    pub resampling: Resampling,
    /// The part of the image that is looked at.
    pub region: Option<Region>,
    /// How that part is divided.
    pub tiles: Option<Tiles>,
    /// Optimiser steps.
    pub iterations: u64,
    /// Classes in a batch.
    pub batch_classes: usize,
    /// Images of each class in a batch.
    pub batch_images_per_class: usize,
    /// In which numbers training convolves.
    pub precision: Precision,
    /// The contrastive losses.
    pub ccl: Ccl,
    /// What they take for a class.
    pub classes: Classes,
    /// Temperature of the local loss.
    pub local_temperature: f64,
    /// Temperature of the global loss.
    pub global_temperature: f64,
    /// Factor on the local loss; that on the reconstruction is 1.
    pub local_weight: f64,
    /// Factor on the global loss.
    pub global_weight: f64,
    /// Width of a head behind the embedding that carries the global loss in its place and is dropped after training; 0
    /// for none, as published.
    pub global_head: usize,
    /// How many times as hard as the reconstruction the global loss may pull at the code at most, by the norm of the
    /// gradients there; 0 for no limit, as published. Where the limit holds, `global_weight` says nothing; a head of its
    /// own is not limited, only what reaches the code through it.
    pub global_gradient_max: f64,
    /// Embeddings of each class that are kept from earlier batches and join the global loss, where classes outnumber
    /// the batch; 0 for none.
    pub embedding_memory: usize,
    /// Anchor locations of the local loss per scale and image; a random subset of that size where there are
    /// more. The mean over a subset is an unbiased estimate of the mean over all; 4096 are all at 256 px.
    pub local_locations_max: usize,
    /// Learning rate of bottleneck and decoder.
    pub learning_rate: f64,
    /// Learning rate of the projector.
    pub projector_learning_rate: f64,
    /// Share of the iterations after which both rates fall to a tenth.
    pub decay_at: f64,
    /// Adam's decay of the mean.
    pub beta1: f64,
    /// Adam's decay of the square.
    pub beta2: f64,
    /// Limit of the joint norm of all gradients.
    pub gradient_norm_max: f64,
    /// Probability that a batch's projected features are disturbed before the bottleneck.
    pub noise_probability: f64,
    /// Standard deviation of that disturbance.
    pub noise_sigma: f64,
    /// Share of the locations that it reaches.
    pub noise_share: f64,
    /// Share of the normal training images that is held out for calibration.
    pub calibration_share: f64,
    /// How the second view of the local loss differs from the image.
    pub augmentation: Augmentation,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 42,
            architecture: Architecture::resnet18(256),
            fit: Fit::Stretch,
            resampling: Resampling::Triangle,
            region: None,
            tiles: None,
            iterations: 5000,
            batch_classes: 8,
            batch_images_per_class: 2,
            precision: Precision::F32,
            ccl: Ccl::Both,
            classes: Classes::Products,
            local_temperature: 0.05,
            global_temperature: 0.05,
            local_weight: 1.0,
            global_weight: 1.0,
            global_head: 0,
            global_gradient_max: 0.0,
            embedding_memory: 0,
            local_locations_max: 4096,
            learning_rate: 5e-3,
            projector_learning_rate: 1e-3,
            decay_at: 0.8,
            beta1: 0.5,
            beta2: 0.999,
            gradient_norm_max: 5.0,
            noise_probability: 0.3,
            noise_sigma: 1.0,
            noise_share: 0.5,
            calibration_share: 0.2,
            augmentation: Augmentation::default(),
        }
    }
}

/// A recipe that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The network cannot be built.
    #[error(transparent)]
    Architecture(#[from] network::ArchitectureError),
    /// Frames cannot be fitted.
    #[error(transparent)]
    Geometry(#[from] bundle::geometry::GeometryError),
    /// The second view cannot be drawn.
    #[error(transparent)]
    Augmentation(#[from] crate::dataset::augment::AugmentationError),
    /// The recipe's backbone is not the teacher's.
    #[error(
        "the recipe's backbone is {stated}, and the teacher is {teacher}: write `backbone = \"{teacher}\"` under \
         [architecture] of the recipe, or name --teacher {stated}"
    )]
    Backbone {
        /// The recipe's.
        stated: Backbone,
        /// The teacher's.
        teacher: Backbone,
    },
    /// Published teachers have one width.
    #[error(
        "the recipe's width is {width}, and the published teacher {teacher} has 1: write `width = 1.0` under \
         [architecture] of the recipe, or name the file of a teacher that has this width"
    )]
    PublishedWidth {
        /// The recipe's.
        width: f64,
        /// The teacher.
        teacher: Backbone,
    },
    /// The memory is not trained.
    #[error(
        "the recipe's architecture has a memory of {0} patches: leave `memory_patches` out, and fill a memory after \
         training with `sightline-train remember`"
    )]
    Memory(usize),
    /// A number is out of its range.
    #[error("recipe key `{key}` is {value}: must lie {range}")]
    Range {
        /// The key.
        key: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
}

impl Recipe {
    /// Refuses what cannot be followed.
    pub fn validate(&self) -> Result<(), RecipeError> {
        self.architecture.validate()?;
        self.geometry().validate()?;
        let patches = self.architecture.memory_patches;
        if patches > 0 {
            return Err(RecipeError::Memory(patches));
        }
        let check = |key, value: f64, fits: bool, range| {
            if fits { Ok(()) } else { Err(RecipeError::Range { key, value, range }) }
        };
        let share = |value: f64| (0.0..=1.0).contains(&value);
        check("iterations", self.iterations as f64, self.iterations > 0, "above 0")?;
        let classes = self.batch_classes;
        check("batch_classes", classes as f64, (1..=64).contains(&classes), "in 1..=64")?;
        let images = self.batch_images_per_class;
        check("batch_images_per_class", images as f64, (1..=64).contains(&images), "in 1..=64")?;
        // Without another class nothing repels, without another image nothing attracts.
        if self.ccl != Ccl::None {
            check("batch_classes", classes as f64, classes > 1, "above 1, or `ccl` be \"none\"")?;
        }
        if self.ccl.global() {
            let range = "above 1, or `ccl` be \"none\" or \"local\"";
            check("batch_images_per_class", images as f64, images > 1, range)?;
        }
        let locations = self.local_locations_max;
        check("local_locations_max", locations as f64, locations > 0, "above 0")?;
        for (key, value) in [
            ("learning_rate", self.learning_rate),
            ("projector_learning_rate", self.projector_learning_rate),
            ("gradient_norm_max", self.gradient_norm_max),
            ("local_temperature", self.local_temperature),
            ("global_temperature", self.global_temperature),
        ] {
            check(key, value, value > 0.0 && value.is_finite(), "above 0")?;
        }
        for (key, value) in [
            ("decay_at", self.decay_at),
            ("noise_probability", self.noise_probability),
            ("noise_share", self.noise_share),
        ] {
            check(key, value, share(value), "in 0..=1")?;
        }
        for (key, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            check(key, value, (0.0..1.0).contains(&value), "in 0..1")?;
        }
        for (key, value) in [
            ("noise_sigma", self.noise_sigma),
            ("local_weight", self.local_weight),
            ("global_weight", self.global_weight),
            ("global_gradient_max", self.global_gradient_max),
        ] {
            check(key, value, value >= 0.0 && value.is_finite(), "at or above 0")?;
        }
        let memory = self.embedding_memory;
        check("embedding_memory", memory as f64, memory <= 1024, "in 0..=1024")?;
        let head = self.global_head;
        check("global_head", head as f64, head <= 4096, "in 0..=4096")?;
        self.augmentation.validate()?;
        let held_out = self.calibration_share;
        check("calibration_share", held_out, (0.0..0.9).contains(&held_out), "in 0..0.9")
    }

    /// The recipe for a published teacher: its backbone is the teacher's, unless the file stated one, with which the
    /// teacher must then agree.
    pub fn with_teacher(
        mut self,
        teacher: Backbone,
        stated: Option<Backbone>,
    ) -> Result<Self, RecipeError> {
        match stated {
            Some(stated) if stated != teacher => {
                return Err(RecipeError::Backbone { stated, teacher });
            }
            Some(_) | None => self.architecture.backbone = teacher,
        }
        let width = self.architecture.width;
        if width.to_bits() == 1.0_f64.to_bits() {
            Ok(self)
        } else {
            Err(RecipeError::PublishedWidth { width, teacher })
        }
    }

    /// How images become inputs, for the trainer and later for the device.
    pub fn geometry(&self) -> Geometry {
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        let Architecture { input_height, input_width, .. } = self.architecture;
        Geometry {
            input: Size { width: side(input_width), height: side(input_height) },
            fit: self.fit,
            resampling: self.resampling,
            region: self.region,
            tiles: self.tiles,
        }
    }

    /// Images in a batch.
    pub fn batch(&self) -> usize {
        self.batch_classes * self.batch_images_per_class
    }

    /// The factor on both learning rates at a step counted from 0.
    pub fn decay(&self, step: u64) -> f64 {
        if (step as f64) < self.decay_at * self.iterations as f64 { 1.0 } else { 0.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_fall_to_a_tenth_at_four_fifths() {
        let recipe = Recipe { iterations: 100, ..Recipe::default() };
        let rates = [0, 79, 80, 99].map(|step| recipe.decay(step));
        assert!(
            rates.iter().zip([1.0, 1.0, 0.1, 0.1]).all(|(a, b): (&f64, f64)| (a - b).abs() < 1e-12)
        );
    }

    #[test]
    fn a_teacher_sets_the_backbone_that_the_recipe_leaves_open() {
        let check = |stated, width, expected: Result<Backbone, &str>| {
            let mut recipe = Recipe::default();
            recipe.architecture.width = width;
            let found = recipe.with_teacher(Backbone::ResNet34, stated);
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.architecture.backbone, expected),
                (Err(found), Err(word)) => assert!(found.to_string().contains(word), "{found}"),
                (found, expected) => panic!("{found:?}, {expected:?}"),
            }
        };
        check(None, 1.0, Ok(Backbone::ResNet34));
        check(Some(Backbone::ResNet34), 1.0, Ok(Backbone::ResNet34));
        check(Some(Backbone::ResNet18), 1.0, Err("backbone = \"resnet34\""));
        check(None, 0.5, Err("width = 1.0"));
    }

    #[test]
    fn a_batch_in_which_nothing_can_be_contrasted_is_refused() {
        let check = |classes, images, ccl, is_fine| {
            let recipe = Recipe {
                batch_classes: classes,
                batch_images_per_class: images,
                ccl,
                ..Recipe::default()
            };
            assert_eq!(recipe.validate().is_ok(), is_fine, "{classes} {images} {ccl:?}");
        };
        check(1, 16, Ccl::Both, false);
        check(1, 16, Ccl::None, true);
        check(16, 1, Ccl::Global, false);
        check(16, 1, Ccl::Local, true);
        check(2, 2, Ccl::Both, true);
    }

    #[test]
    fn every_recipe_that_is_shipped_can_be_used() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        let mut found = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // Of another kind: it trains a teacher.
            if name == "demo-teacher.toml" {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let recipe: Recipe = toml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            recipe.validate().unwrap_or_else(|e| panic!("{name}: {e}"));
            found += 1;
        }
        assert!(found >= 4, "{found}");
    }

    #[test]
    fn the_published_recipe_states_every_key_with_its_default() {
        let text = include_str!("../recipes/published.toml");
        assert_eq!(toml::from_str::<Recipe>(text).unwrap(), Recipe::default());
        let stated: toml::Table = toml::from_str(text).unwrap();
        let default = toml::Table::try_from(Recipe::default()).unwrap();
        let keys = |table: &toml::Table| table.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&stated), keys(&default));
        for table in ["architecture", "augmentation"] {
            let of = |whole: &toml::Table| keys(whole[table].as_table().unwrap());
            assert_eq!(of(&stated), of(&default));
        }
    }

    #[test]
    fn classes_are_read_from_words() {
        let check = |text: &str, expected: Option<Classes>| {
            assert_eq!(text.parse::<Classes>().ok(), expected, "{text}");
            if let Some(classes) = expected {
                assert_eq!(classes.to_string(), text);
            }
        };
        check("products", Some(Classes::Products));
        check("pseudo", Some(Classes::Pseudo { count: None }));
        check("pseudo:12", Some(Classes::Pseudo { count: Some(12) }));
        for wrong in ["pseudo:", "pseudo:1", "pseudo:x", "products:3", "", "labels"] {
            check(wrong, None);
        }
    }
}
