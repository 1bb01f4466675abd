//! Fills a trained network's memory with patches of the good parts that it learned from.
//!
//! Owns which patches are kept: for each product those that are furthest from one another, so that a few stand for all
//! (greedy k-center: Sener & Savarese, ICLR 2018; on random projections as in `PatchCore`, Roth et al., CVPR 2022). What a
//! patch is and how it is compared is `network::memory`. Knows no test image: held-out parts calibrate, and so may not be
//! remembered.

use anyhow::Context as _;
use indicatif::ProgressBar;
use network::{
    Graph as _, Normalisation, Path, detector::roots, memory, shapes::Shapes, teacher::teacher,
    weights::Weight,
};
use tch::{Device, Kind, Tensor, no_grad};

use crate::{
    checkpoint::Checkpoint,
    dataset::{GoodPart, store::Store},
    torch::{Mode, Shared, TorchGraph, Variables, batch_from_images, floats, int},
};

/// Patches of a product among which is chosen: 200 MB of them at ResNet-18's 384 channels.
const CANDIDATES_MAX: usize = 1 << 17;
/// Dimensions in which candidates are compared while choosing: distances keep their order well enough.
const PROJECTED: i64 = 64;

/// The checkpoint with a memory of that many patches of each product, in place of the one that it had.
///
/// `parts` are those that the run learned from ([`Checkpoint::split`]).
pub fn remember(
    mut checkpoint: Checkpoint,
    parts: &[GoodPart],
    patches_per_product: usize,
    device: Device,
    bar: &ProgressBar,
) -> anyhow::Result<Checkpoint> {
    let is_memory = |name: &str| name.starts_with(&format!("{}.", roots::MEMORY));
    checkpoint.weights = checkpoint.weights.without(is_memory);
    let recipe = &mut checkpoint.manifest.recipe;
    let products = checkpoint.manifest.classes.len();
    recipe.architecture.memory_patches = patches_per_product * products;
    recipe.architecture.validate()?;
    bar.set_length((parts.len() + recipe.architecture.memory_patches) as u64);
    let eyes = Eyes::new(&checkpoint, device)?;
    let recipe = &checkpoint.manifest.recipe;
    tch::manual_seed(recipe.seed.cast_signed());
    let chosen = (0..products)
        .map(|product| {
            let paths: Vec<_> = parts
                .iter()
                .filter(|part| part.class == product)
                .map(|part| part.path.clone())
                .collect();
            let store = Store::new(recipe.geometry(), paths);
            let candidates = candidates(&eyes, &store, bar)
                .with_context(|| format!("patches of {}", checkpoint.manifest.classes[product]))?;
            Ok(spread_out(&candidates, patches_per_product, bar))
        })
        .collect::<anyhow::Result<Vec<Tensor>>>()?;
    // Halved: the product of two patches is then the mean of the cosines at both scales.
    let rows = Tensor::cat(&chosen, 0) * 0.5;
    let shape = [rows.size().as_slice(), &[1, 1]].concat();
    let shape = shape.into_iter().map(|side| usize::try_from(side).unwrap_or(0)).collect();
    let name = (&Path::root() / roots::MEMORY).parameter("weight");
    checkpoint.weights.0.insert(name, Weight { shape, values: floats(&rows) });
    bar.finish();
    Ok(checkpoint)
}

/// The frozen teacher, which sees patches.
struct Eyes<'c> {
    checkpoint: &'c Checkpoint,
    teacher: Variables,
    device: Device,
}

impl<'c> Eyes<'c> {
    fn new(checkpoint: &'c Checkpoint, device: Device) -> anyhow::Result<Self> {
        let is_teachers = |name: &str| name.starts_with(&format!("{}.", roots::TEACHER));
        let (mut shapes, _) = Shapes::of(&checkpoint.manifest.recipe.architecture);
        shapes.parameters.retain(|parameter| is_teachers(&parameter.name));
        let weights = checkpoint.weights.clone().without(|name| !is_teachers(name));
        let weights = weights.check(&shapes.parameters)?;
        let teacher = Variables::new(&shapes.parameters, &weights, device, |_| false);
        Ok(Self { checkpoint, teacher, device })
    }

    /// Patches of frames u8 `[N, H, W, 3]`: f32 `[N * H/8 * W/8, C]`.
    fn patches(&self, frames: &Tensor) -> Tensor {
        let architecture = &self.checkpoint.manifest.recipe.architecture;
        no_grad(|| {
            let mut g = TorchGraph::new(&self.teacher, Mode::Eval);
            let image = g.normalise(&Shared(frames.to(self.device)), Normalisation::IMAGENET);
            let at = Path::root() / roots::TEACHER;
            let features = teacher(&mut g, &at, &image, architecture);
            let patches = memory::patches(&mut g, &features, architecture).0;
            patches.permute([0, 2, 3, 1]).flatten(0, 2)
        })
    }
}

/// Patches of all images, f32 `[M, C]`; where there are too many, as many of each image.
fn candidates(eyes: &Eyes<'_>, images: &Store, bar: &ProgressBar) -> anyhow::Result<Tensor> {
    anyhow::ensure!(!images.is_empty(), "there is no part to remember");
    let most = int((CANDIDATES_MAX / images.len()).max(1));
    let mut all = Vec::with_capacity(images.len());
    for index in 0..images.len() {
        let inputs = images.get(index)?;
        let patches = eyes.patches(&batch_from_images(inputs.iter()));
        let count = patches.size()[0];
        all.push(if count > most {
            let kept = Tensor::randperm(count, (Kind::Int64, patches.device())).narrow(0, 0, most);
            patches.index_select(0, &kept)
        } else {
            patches
        });
        bar.inc(1);
    }
    Ok(Tensor::cat(&all, 0))
}

/// `count` rows of `[M, C]`, each the one furthest from those before it; rows again where there are not as many.
fn spread_out(rows: &Tensor, count: usize, bar: &ProgressBar) -> Tensor {
    no_grad(|| {
        let random = Tensor::randn([rows.size()[1], PROJECTED], (Kind::Float, rows.device()));
        let places = rows.matmul(&random);
        let squares = places.square().sum_dim_intlist([1].as_slice(), false, None);
        let mut to_nearest =
            Tensor::full([rows.size()[0]], f64::INFINITY, (Kind::Float, rows.device()));
        let mut chosen = Vec::with_capacity(count);
        let mut next = 0;
        for _ in 0..count {
            chosen.push(next);
            let distances = &squares + squares.get(next) - places.mv(&places.get(next)) * 2.0;
            to_nearest = to_nearest.minimum(&distances);
            next = to_nearest.argmax(0, false).int64_value(&[]);
            bar.inc(1);
        }
        rows.index_select(0, &Tensor::from_slice(&chosen).to(rows.device()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_rows_stand_for_every_group() {
        tch::manual_seed(3);
        // Five groups of forty rows, of very different directions.
        let middles = Tensor::randn([5, 16], (Kind::Float, Device::Cpu)) * 10.0;
        let rows =
            middles.repeat([40, 1]) + Tensor::randn([200, 16], (Kind::Float, Device::Cpu)) * 0.1;
        let chosen = spread_out(&rows, 5, &ProgressBar::hidden());
        let between = (chosen.unsqueeze(1) - middles.unsqueeze(0)).norm_scalaropt_dim(
            2.0,
            [2].as_slice(),
            false,
        );
        let nearest: Vec<i64> = Vec::try_from(between.argmin(1, false)).unwrap();
        let groups: std::collections::BTreeSet<i64> = nearest.into_iter().collect();
        assert_eq!(groups.len(), 5);
        // More than there are: the same again, and no endless search.
        assert_eq!(spread_out(&rows.narrow(0, 0, 2), 4, &ProgressBar::hidden()).size(), [4, 16]);
    }
}
