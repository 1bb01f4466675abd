//! The field's metrics, over scores and labels. Pure: slices in, numbers out.

pub mod auroc;
pub mod binomial;

pub use auroc::auroc;
