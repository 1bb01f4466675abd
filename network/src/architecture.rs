//! What can be chosen of the network: backbone, width, input size, projector.
//!
//! Owns the arithmetic of channels. Serialised into checkpoints and model files; knows no weights.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The family of the frozen teacher; its block type is also that of bottleneck and decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backbone {
    /// ResNet-18 (He et al. 2016): two basic blocks a stage.
    ResNet18,
    /// ResNet-34: three, four and six basic blocks in stages 1 to 3.
    ResNet34,
    /// WRN-50-2 (Zagoruyko & Komodakis 2016): ResNet-50 whose 3 x 3 convolutions are twice as wide;
    /// three, four and six bottleneck blocks in stages 1 to 3.
    #[serde(rename = "wide_resnet50_2")]
    WideResNet50x2,
}

impl Backbone {
    /// All of them, the smallest first.
    pub const ALL: [Self; 3] = [Self::ResNet18, Self::ResNet34, Self::WideResNet50x2];

    /// Its name in torchvision, in timm and in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResNet18 => "resnet18",
            Self::ResNet34 => "resnet34",
            Self::WideResNet50x2 => "wide_resnet50_2",
        }
    }

    /// Its residual block.
    pub fn block(self) -> Block {
        match self {
            Self::ResNet18 | Self::ResNet34 => Block::Basic,
            Self::WideResNet50x2 => Block::Bottleneck,
        }
    }
}

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The two kinds of residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two 3 x 3 convolutions.
    Basic,
    /// 1 x 1, 3 x 3, 1 x 1; the 3 x 3 has half as many channels as the block gives (WRN-50-2).
    Bottleneck,
}

/// How the projector's 3 x 3 convolutions are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjectorKind {
    /// Full convolutions, as published.
    Dense,
    /// Depthwise 3 x 3, then 1 x 1: a fraction of the cost.
    Depthwise,
}

/// Everything that decides the shapes of the network.
///
/// ```
/// use network::Architecture;
/// let full = Architecture::resnet18(256);
/// assert_eq!(full.channels(), [64, 128, 256, 512]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// The teacher's family.
    pub backbone: Backbone,
    /// Factor on all channel counts; 1 is the published network. Channels are rounded to 8.
    pub width: f64,
    /// Rows of the input, in pixels; a multiple of 32.
    pub input_height: usize,
    /// Columns of the input, in pixels; a multiple of 32.
    pub input_width: usize,
    /// The projector's convolutions.
    pub projector: ProjectorKind,
    /// Patches that the memory holds, of all products together; 0 for none. Filled after training, not by it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub memory_patches: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(memory_patches: &usize) -> bool {
    *memory_patches == 0
}

/// An architecture that cannot be built.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ArchitectureError {
    /// The strides of the network divide the input by 32.
    #[error("input size {height} x {width} px: both sides must be multiples of 32, at least 32")]
    Input {
        /// Rows asked for.
        height: usize,
        /// Columns asked for.
        width: usize,
    },
    /// Each patch costs as much at every place as one channel of a convolution.
    #[error("a memory of {0} patches: at most {most} fit a network", most = Architecture::MEMORY_PATCHES_MAX)]
    Memory(usize),
    /// The width factor is out of range.
    #[error("width factor {0}: must lie between 0.125 and 4")]
    Width(f64),
}

impl Architecture {
    /// The largest memory.
    pub const MEMORY_PATCHES_MAX: usize = 65_536;

    /// The full-width ResNet-18 network with dense projectors on a square input.
    pub fn resnet18(input_px: usize) -> Self {
        Self::published(Backbone::ResNet18, input_px)
    }

    /// The full-width network of a backbone with dense projectors on a square input.
    pub fn published(backbone: Backbone, input_px: usize) -> Self {
        Self {
            backbone,
            width: 1.0,
            input_height: input_px,
            input_width: input_px,
            projector: ProjectorKind::Dense,
            memory_patches: 0,
        }
    }

    /// Refuses what cannot be built.
    pub fn validate(&self) -> Result<(), ArchitectureError> {
        let fits = |px: usize| px >= 32 && px.is_multiple_of(32);
        if !fits(self.input_height) || !fits(self.input_width) {
            return Err(ArchitectureError::Input {
                height: self.input_height,
                width: self.input_width,
            });
        }
        if self.memory_patches > Self::MEMORY_PATCHES_MAX {
            return Err(ArchitectureError::Memory(self.memory_patches));
        }
        if !(0.125..=4.0).contains(&self.width) {
            return Err(ArchitectureError::Width(self.width));
        }
        Ok(())
    }

    /// Channels at strides 4, 8, 16 and 32: C1, C2, C3 of the teacher and C4 of the embedding.
    pub fn channels(&self) -> [usize; 4] {
        match self.backbone.block() {
            Block::Basic => [64, 128, 256, 512].map(|full| self.scaled(full)),
            // Twice the channels of its 3 x 3 convolution, which are rounded to 8, too.
            Block::Bottleneck => [128, 256, 512, 1024].map(|full| 2 * self.scaled(full)),
        }
    }

    /// Channels of the teacher's first convolution.
    pub fn stem_channels(&self) -> usize {
        self.scaled(64)
    }

    /// Residual blocks in the teacher's stages 1, 2, 3.
    pub fn blocks(&self) -> [usize; 3] {
        match self.backbone {
            Backbone::ResNet18 => [2, 2, 2],
            Backbone::ResNet34 | Backbone::WideResNet50x2 => [3, 4, 6],
        }
    }

    /// Length of the global embedding.
    pub fn embedding_len(&self) -> usize {
        self.channels()[3]
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "validated width times 1024 is far inside usize and positive"
    )]
    fn scaled(&self, full: usize) -> usize {
        let eighths = (full as f64 * self.width / 8.0).round();
        (eighths as usize).max(1) * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backbone_has_one_name_everywhere() {
        for backbone in Backbone::ALL {
            let in_recipe = serde_json::to_value(backbone).unwrap();
            assert_eq!(in_recipe, backbone.name());
            assert_eq!(serde_json::from_value::<Backbone>(in_recipe).unwrap(), backbone);
        }
    }
}
