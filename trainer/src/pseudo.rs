//! Pseudo-classes: clusters of what the frozen teacher sees, where nobody sorted the images.
//!
//! Owns which features are clustered: those of all three scales, pooled, each scale of unit length, so that none of
//! them decides alone. Source: the ablation of Fan et al., ICCV 2025 (CCL).

use anyhow::Context as _;
use indicatif::ProgressBar;

use crate::{
    cluster,
    dataset::store::Store,
    metrics::v_measure,
    torch::{batch_from_images, floats},
    training::Trainer,
};

/// The cluster of every image of the store. How far they agree with the products is told on the bar, not used.
pub fn classes(
    trainer: &Trainer,
    images: &Store,
    count: Option<usize>,
    products: &[usize],
    bar: &ProgressBar,
) -> anyhow::Result<Vec<usize>> {
    bar.set_length(images.len() as u64);
    let mut features: Vec<Vec<f32>> = Vec::with_capacity(images.len());
    for index in 0..images.len() {
        let inputs = images.get(index)?;
        let pooled = trainer.pooled_features(&batch_from_images(inputs.iter()));
        // The mean over an image's tiles.
        features.push(floats(&pooled.mean_dim([0].as_slice(), false, None)));
        bar.inc(1);
    }
    let points: Vec<&[f32]> = features.iter().map(Vec::as_slice).collect();
    let found = match count {
        Some(count) => cluster::k_means(&points, count).map(|classes| (count, classes)),
        None => cluster::best_count(&points),
    };
    let (count, classes) = found.with_context(|| {
        format!("{} images cannot be grouped; give more, or a smaller K", images.len())
    })?;
    let agreement = v_measure(products, &classes).v;
    bar.finish_with_message(format!("{count} groups, v-measure {agreement:.3} with the products"));
    Ok(classes)
}
