//! A thread that makes the next batches while libtorch works on this one.
//!
//! Owns the thread `batches` and its bounded queue. A batch is a function of seed and step, whatever the timing.

use std::{sync::Arc, thread::JoinHandle};

use bundle::geometry::RgbImage;
use crossbeam_channel::Receiver;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{DataError, augment::Augmentation, sampler::Sampler, store::Store};
use crate::{recipe::Recipe, torch::batch_from_images, training::Batch};

/// One being used, one waiting, one being made.
const BATCHES_AHEAD: usize = 2;

/// What batches are made of.
#[derive(Debug)]
pub struct Source {
    /// The images.
    store: Store,
    /// The class of each image.
    class_of_image: Vec<usize>,
    /// Which images a step gets.
    sampler: Sampler,
    /// The steps that need the second view: all before this one.
    views_before_step: u64,
    /// How the second view differs from the image.
    augmentation: Augmentation,
    /// Seed of the augmentation.
    seed: u64,
}

/// Batches in the order of their steps.
#[derive(Debug)]
pub struct Prefetch {
    batches: Receiver<Result<Batch, DataError>>,
    thread: Option<JoinHandle<()>>,
}

impl Prefetch {
    /// Starts making the batches of `steps`.
    pub fn start(source: Arc<Source>, steps: std::ops::Range<u64>) -> std::io::Result<Self> {
        let (send, batches) = crossbeam_channel::bounded(BATCHES_AHEAD);
        let work = move || {
            for step in steps {
                let batch = source.batch(step);
                let failed = batch.is_err();
                // Nobody waits for more: training ended.
                if send.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("batches".into()).spawn(work)?;
        Ok(Self { batches, thread: Some(thread) })
    }

    /// The next batch; `None` after the last.
    pub fn next(&self) -> Option<Result<Batch, DataError>> {
        self.batches.recv().ok()
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // The thread ends at its next send, once the queue is gone.
        self.batches = crossbeam_channel::never();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Source {
    /// What the batches of this recipe are made of: the images, and the class of each.
    pub fn new(recipe: &Recipe, store: Store, class_of_image: Vec<usize>) -> Self {
        let sampler = Sampler::new(
            &class_of_image,
            recipe.batch_classes,
            recipe.batch_images_per_class,
            recipe.seed,
        );
        Self {
            store,
            class_of_image,
            sampler,
            views_before_step: if recipe.ccl.local() { recipe.iterations } else { 0 },
            augmentation: recipe.augmentation.clone(),
            seed: recipe.seed,
        }
    }

    fn batch(&self, step: u64) -> Result<Batch, DataError> {
        let draws = self.sampler.batch(step, &self.class_of_image);
        let pairs = draws
            .par_iter()
            .enumerate()
            .map(|(place, draw)| self.pair(step, place, draw.image))
            .collect::<Result<Vec<_>, DataError>>()?;
        let (frames, views): (Vec<RgbImage>, Vec<Option<RgbImage>>) = pairs.into_iter().unzip();
        let views: Option<Vec<RgbImage>> = views.into_iter().collect();
        Ok(Batch {
            frames: batch_from_images(frames.iter()),
            views: views.map(|views| batch_from_images(views.iter())),
            classes: draws.iter().map(|draw| draw.class).collect(),
        })
    }

    /// An image and, where the step needs it, another view of it: a function of seed, step and place in the batch.
    fn pair(
        &self,
        step: u64,
        place: usize,
        image: usize,
    ) -> Result<(RgbImage, Option<RgbImage>), DataError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 0x5eed);
        rng.set_stream(step << 16 | place as u64);
        let inputs = self.store.get(image)?;
        // With tiles a step sees one of them.
        let frame = inputs[rng.random_range(0..inputs.len())].clone();
        let view =
            (step < self.views_before_step).then(|| self.augmentation.view(&frame, &mut rng));
        Ok((frame, view))
    }
}
