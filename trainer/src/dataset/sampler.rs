//! Class-balanced batches: P products x K images.
//!
//! Pure: a batch is a function of the seed and the step, so that a run can go on anywhere. Both contrastive
//! losses need positives and negatives; a batch without two products would have none of the latter.

use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

/// Draws batches from images with known classes.
#[derive(Clone, Debug)]
pub struct Sampler {
    /// Image indices by class; no class is empty.
    by_class: Vec<Vec<usize>>,
    classes: usize,
    images_per_class: usize,
    seed: u64,
}

/// One drawn image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Index of the image.
    pub image: usize,
    /// Its class.
    pub class: usize,
}

impl Sampler {
    /// Batches of `classes` x `images_per_class`; with fewer classes than asked for, each gives more images, so
    /// that the batch keeps its size as far as it can be divided.
    pub fn new(
        class_of_image: &[usize],
        classes: usize,
        images_per_class: usize,
        seed: u64,
    ) -> Self {
        let count = class_of_image.iter().max().map_or(0, |last| last + 1);
        let mut by_class = vec![Vec::new(); count];
        for (image, &class) in class_of_image.iter().enumerate() {
            by_class[class].push(image);
        }
        by_class.retain(|images| !images.is_empty());
        let present = by_class.len().min(classes).max(1);
        let images_per_class = (classes * images_per_class).div_ceil(present);
        Self { by_class, classes: present, images_per_class, seed }
    }

    /// The batch of a step.
    pub fn batch(&self, step: u64, class_of_image: &[usize]) -> Vec<Draw> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(step);
        let mut order: Vec<usize> = (0..self.by_class.len()).collect();
        order.shuffle(&mut rng);
        let mut batch = Vec::with_capacity(self.classes * self.images_per_class);
        for &class in order.iter().take(self.classes) {
            let mut images = self.by_class[class].clone();
            images.shuffle(&mut rng);
            // A class with fewer images than asked for repeats them.
            let drawn = images.iter().cycle().take(self.images_per_class);
            batch.extend(drawn.map(|&image| Draw { image, class: class_of_image[image] }));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_batch_is_balanced_and_never_of_one_class(
            sizes in prop::collection::vec(1_usize..9, 2..7),
            classes in 2_usize..5,
            images in 1_usize..5,
            step in 0_u64..1000,
        ) {
            let of: Vec<usize> =
                sizes.iter().enumerate().flat_map(|(class, &n)| vec![class; n]).collect();
            let sampler = Sampler::new(&of, classes, images, 7);
            let batch = sampler.batch(step, &of);
            prop_assert_eq!(&batch, &sampler.batch(step, &of));
            let mut counts = BTreeMap::new();
            for draw in &batch {
                prop_assert_eq!(of[draw.image], draw.class);
                *counts.entry(draw.class).or_insert(0) += 1;
            }
            prop_assert!(counts.len() >= 2);
            let each: BTreeSet<usize> = counts.values().copied().collect();
            prop_assert_eq!(each.len(), 1);
            prop_assert!(batch.len() >= classes * images);
        }
    }

    #[test]
    fn every_image_comes_up() {
        let of = [0, 0, 0, 1, 1, 2];
        let sampler = Sampler::new(&of, 2, 2, 7);
        let seen: BTreeSet<usize> =
            (0..60).flat_map(|step| sampler.batch(step, &of)).map(|draw| draw.image).collect();
        assert_eq!(seen.len(), of.len());
    }
}
