//! The three losses of class-aware contrastive learning, each a pure function of tensors.
//!
//! Source: Fan et al., ICCV 2025, arXiv 2412.04769; reconstruction as in Deng & Li, CVPR 2022.
//! Knows neither networks nor data sets.

mod global_contrastive;
mod local_contrastive;
mod reconstruction;

pub use global_contrastive::global_contrastive;
pub use local_contrastive::local_contrastive;
pub use reconstruction::reconstruction;
