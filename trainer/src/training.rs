//! The training step: stages called one by one, with noise, detach and losses between them.
//!
//! Owns the order of a step and the guard against numbers that are none. Gets batches, knows no
//! files.

use std::collections::BTreeMap;

use anyhow::Context as _;
use network::bottleneck::bottleneck;
use network::decoder::decoder;
use network::detector::roots;
use network::embedding::embedding;
use network::projector::projector;
use network::shapes::{Parameter, Shapes};
use network::teacher::teacher;
use network::weights::{Checked, Weight, Weights};
use network::{Graph as _, Normalisation, Path};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor, no_grad};

use crate::balance::{Cut, Pulls};
use crate::head::{self, head};
use crate::loss::{global_contrastive, local_contrastive, reconstruction};
use crate::memory::EmbeddingMemory;
use crate::recipe::Recipe;
use crate::torch::{Adam, AdamOptions, Mode, Shared, TorchGraph, Variables, floats, int};

/// One batch: the images, their strong augmentation and their classes.
#[derive(Debug)]
pub struct Batch {
    /// u8 `[N, H, W, 3]`.
    pub frames: Tensor,
    /// u8 `[N, H, W, 3]`; needed by the local loss only.
    pub views: Option<Tensor>,
    /// N class indices.
    pub classes: Vec<usize>,
}

/// What a step saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StepReport {
    /// Reconstruction term.
    pub reconstruction: f64,
    /// Local contrastive term, 0 where off.
    pub local: f64,
    /// Global contrastive term, 0 where off.
    pub global: f64,
    /// How many times as hard as the reconstruction the global loss pulls at the code, before any limit; 0 where off and
    /// in logs of earlier versions.
    #[serde(default)]
    pub global_pull: f64,
    /// Joint norm of all gradients before clipping.
    pub gradient_norm: f64,
}

/// Training cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// A loss or gradient is not a number.
    #[error(
        "step {step}: the loss is {loss} and the gradient norm {gradient_norm}; \
         lower the learning rates or gradient_norm_max, or look at the data"
    )]
    NotFinite {
        /// Counted from 0.
        step: u64,
        /// The sum of the losses.
        loss: f64,
        /// Before clipping.
        gradient_norm: f64,
    },
}

/// The network in training.
#[derive(Debug)]
pub struct Trainer {
    recipe: Recipe,
    device: Device,
    frozen: Variables,
    trained: Variables,
    optimiser: Adam,
    memory: EmbeddingMemory,
    step: u64,
}

/// Names of what a run needs to go on beside the network's weights.
mod state {
    /// Running mean of the gradients.
    pub(super) const MEAN: &str = "mean.";
    /// Running mean of their squares.
    pub(super) const SQUARE: &str = "square.";
    /// Remembered embeddings, by class.
    pub(super) const MEMORY: &str = "memory.";
}

impl Trainer {
    /// A network with this teacher and freshly initialised other parts.
    pub fn new(recipe: Recipe, teacher: &Weights, device: Device) -> anyhow::Result<Self> {
        let (_, trained) = manifests(&recipe);
        let fresh = initial(&trained, recipe.seed);
        Self::begin(recipe, teacher.clone(), fresh, device)
    }

    /// A network that goes on with the weights of another run, teacher included.
    pub fn refine(recipe: Recipe, weights: &Weights, device: Device) -> anyhow::Result<Self> {
        // A head of its own begins anew: no finished checkpoint has one.
        let head =
            initial(&head::parameters(&recipe.architecture, recipe.global_head), recipe.seed);
        Self::go_on(recipe, weights, head, device)
    }

    fn go_on(
        recipe: Recipe,
        weights: &Weights,
        head: Weights,
        device: Device,
    ) -> anyhow::Result<Self> {
        let prefix = format!("{}.", roots::TEACHER);
        let memory = format!("{}.", roots::MEMORY);
        let (teacher, mut rest): (BTreeMap<_, _>, BTreeMap<_, _>) = weights
            .clone()
            .without(|name| name.starts_with(&memory))
            .0
            .into_iter()
            .partition(|(name, _)| name.starts_with(&prefix));
        rest.extend(head.0);
        Self::begin(recipe, Weights(teacher), Weights(rest), device)
    }

    /// A run that was interrupted after `step` steps: its weights, and what [`Self::state`] gave then.
    ///
    /// Goes on as if nothing had happened: a step draws nothing from earlier ones but what is restored here.
    pub fn resume(
        recipe: Recipe,
        weights: &Weights,
        state: &Weights,
        step: u64,
        device: Device,
    ) -> anyhow::Result<Self> {
        let of_head = state.0.iter().filter(|(name, _)| is_of_head(name));
        let head = Weights(of_head.map(|(name, of)| (name.clone(), of.clone())).collect());
        let mut trainer = Self::go_on(recipe, weights, head, device)?;
        let mut moments = BTreeMap::new();
        for (name, variable) in trainer.trained.trained() {
            let moment = |of: &str| state.0.get(&format!("{of}{name}"));
            let (Some(mean), Some(square)) = (moment(state::MEAN), moment(state::SQUARE)) else {
                continue;
            };
            let [mean, square] = [mean, square].map(|weight| tensor(weight, device));
            anyhow::ensure!(
                mean.size() == variable.size() && square.size() == variable.size(),
                "the optimiser's state of {name} has another shape than the parameter"
            );
            moments.insert(name.to_owned(), (mean, square));
        }
        // Before the first step there is none.
        anyhow::ensure!(
            step == 0 || !moments.is_empty(),
            "the checkpoint holds no state of the optimiser"
        );
        let steps = i32::try_from(step).context("more steps than an optimiser counts")?;
        trainer.optimiser = Adam::resume(adam_options(&trainer.recipe), steps, moments);
        for (name, weight) in &state.0 {
            let Some(class) = name.strip_prefix(state::MEMORY) else { continue };
            let class = class.parse().with_context(|| format!("the state names {name}"))?;
            let rows = tensor(weight, device);
            trainer.memory.push(&rows, &vec![class; weight.shape[0]]);
        }
        trainer.step = step;
        Ok(trainer)
    }

    fn begin(
        recipe: Recipe,
        teacher: Weights,
        rest: Weights,
        device: Device,
    ) -> anyhow::Result<Self> {
        let (frozen, trained) = manifests(&recipe);
        let teacher = teacher.check(&frozen)?;
        let rest = rest.check(&trained)?;
        Ok(Self {
            frozen: Variables::new(&frozen, &teacher, device, |_| false),
            trained: Variables::new(&trained, &rest, device, |_| true),
            optimiser: Adam::new(adam_options(&recipe)),
            memory: EmbeddingMemory::new(recipe.embedding_memory),
            step: 0,
            device,
            recipe,
        })
    }

    /// One step on one batch.
    pub fn step(&mut self, batch: &Batch) -> Result<StepReport, TrainingError> {
        let report = self.gradients(batch)?;
        self.update();
        Ok(report)
    }

    /// The first half of a step, forward and backward: the gradients of the losses, clipped.
    pub fn gradients(&mut self, batch: &Batch) -> Result<StepReport, TrainingError> {
        let arch = &self.recipe.architecture;
        let at = Path::root();
        let count = batch.frames.size()[0];
        let local_on = self.recipe.ccl.local() && batch.views.is_some();
        let features = match &batch.views {
            Some(views) if local_on => self.features(&Tensor::cat(&[&batch.frames, views], 0)),
            _ => self.features(&batch.frames),
        };
        let mut g = TorchGraph::new(&self.trained, Mode::Train).with(self.recipe.precision);
        let shared = features.each_ref().map(|f| Shared(f.shallow_clone()));
        // The projector normalises each image alone, so both views may pass it as one batch.
        let projected =
            projector(&mut g, &(&at / roots::PROJECTOR), &shared, arch).map(|feature| feature.0);
        let first = |all: &[Tensor; 3]| all.each_ref().map(|t| t.narrow(0, 0, count));
        let second = |all: &[Tensor; 3]| all.each_ref().map(|t| t.narrow(0, count, count));
        let f = first(&features);
        let p = first(&projected);
        let mut rng = ChaCha8Rng::seed_from_u64(self.recipe.seed ^ self.step.rotate_left(32));
        let disturbed = self.disturb(&p, &mut rng).map(Shared);
        let code = bottleneck(&mut g, &(&at / roots::BOTTLENECK), &disturbed, arch);
        let cut = Cut::new(&code.0);
        let code = Shared(cut.end());
        let student = decoder(&mut g, &(&at / roots::DECODER), &code, arch).map(|t| t.0);

        let zero = || Tensor::zeros([], (Kind::Float, features[0].device()));
        let reconstruction = reconstruction(&f, &student);
        let local = if local_on {
            let negative = negatives(&batch.classes, &mut rng);
            let (f_view, p_view) = (second(&features), second(&projected));
            let most = int(self.recipe.local_locations_max);
            // Drawn from libtorch's generator, seeded here so that a step needs no state of earlier ones.
            tch::manual_seed(rng.random_range(0..i64::MAX));
            let anchors = |count: i64| {
                let all = (Kind::Int64, features[0].device());
                (count > most).then(|| Tensor::randperm(count, all).narrow(0, 0, most))
            };
            let temperature = self.recipe.local_temperature;
            local_contrastive(&f, &f_view, &p, &p_view, negative.as_deref(), temperature, anchors)
        } else {
            zero()
        };
        let global = if self.recipe.ccl.global() {
            let mut embeddings = embedding(&mut g, &code).0;
            if self.recipe.global_head > 0 {
                embeddings = head(&self.trained, &embeddings);
            }
            let remembered = self.memory.all();
            let earlier = remembered.as_ref().map(|(rows, classes)| (rows, classes.as_slice()));
            let temperature = self.recipe.global_temperature;
            let loss = global_contrastive(&embeddings, &batch.classes, earlier, temperature);
            self.memory.push(&embeddings, &batch.classes);
            loss
        } else {
            zero()
        };
        let (local_weight, global_weight) = (self.recipe.local_weight, self.recipe.global_weight);
        self.trained.zero_grad();
        let pulls = Pulls {
            reconstruction: cut.pull(&reconstruction),
            // Where it is off, and where no image of the batch has another of its class, there is nothing to go back to.
            global: global.requires_grad().then(|| cut.pull(&(&global * global_weight))),
        };
        let before = cut.before(&pulls, self.recipe.global_gradient_max);
        (before + &local * local_weight).backward();
        let gradient_norm = self.trained.clip_grad_norm(self.recipe.gradient_norm_max);
        let report = StepReport {
            reconstruction: reconstruction.double_value(&[]),
            local: local.double_value(&[]),
            global: global.double_value(&[]),
            global_pull: pulls.global_to_reconstruction(),
            gradient_norm,
        };
        let loss = report.reconstruction + report.local + report.global;
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(TrainingError::NotFinite { step: self.step, loss, gradient_norm });
        }
        Ok(report)
    }

    /// The second half of a step: moves the parameters against their gradients.
    fn update(&mut self) {
        let decay = self.recipe.decay(self.step);
        let projector_prefix = format!("{}.", roots::PROJECTOR);
        let (of_projector, of_rest) =
            (self.recipe.projector_learning_rate, self.recipe.learning_rate);
        self.optimiser.step(&self.trained, |name| {
            decay * if name.starts_with(&projector_prefix) { of_projector } else { of_rest }
        });
        self.step += 1;
    }

    /// The frozen teacher's features of frames u8 `[N, H, W, 3]`.
    fn features(&self, frames: &Tensor) -> [Tensor; 3] {
        no_grad(|| {
            let mut g = TorchGraph::new(&self.frozen, Mode::Eval).with(self.recipe.precision);
            let image = g.normalise(&Shared(frames.to(self.device)), Normalisation::IMAGENET);
            let at = Path::root() / roots::TEACHER;
            teacher(&mut g, &at, &image, &self.recipe.architecture).map(|feature| feature.0)
        })
    }

    /// The teacher's features of frames u8 `[N, H, W, 3]`, averaged over the locations: f32 `[N, C1 + C2 + C3]`, the part
    /// of each scale of unit length.
    pub fn pooled_features(&self, frames: &Tensor) -> Tensor {
        let pooled = self.features(frames).map(|feature| {
            let mean = feature.mean_dim([2, 3].as_slice(), false, None);
            crate::torch::unit(&mean, 1)
        });
        Tensor::cat(&pooled, 1)
    }

    /// Measures the running statistics of batch normalisation anew, on one more undisturbed batch after `done` others.
    ///
    /// While training they follow the last ten batches or so, some of which carry noise that no deployed frame has
    /// and all of which saw other weights. Mean and variance over many batches of the finished network are what it is
    /// deployed with (Wu and Johnson 2021, arXiv 2105.07576).
    pub fn settle(&self, batch: &Batch, done: u64) {
        let before: Vec<Tensor> = self.trained.running().map(|(mean, _)| mean.copy()).collect();
        let arch = &self.recipe.architecture;
        let at = Path::root();
        let features = self.features(&batch.frames).map(Shared);
        no_grad(|| {
            let mut g = TorchGraph::new(&self.trained, Mode::Train)
                .with(self.recipe.precision)
                .with_momentum(1.0 / (done + 1) as f64);
            let projected = projector(&mut g, &(&at / roots::PROJECTOR), &features, arch);
            let code = bottleneck(&mut g, &(&at / roots::BOTTLENECK), &projected, arch);
            decoder(&mut g, &(&at / roots::DECODER), &code, arch);
            // The mean of the batches' variances lacks that of their means, which is large where a batch shows a few of
            // many products (Chan, Golub and LeVeque 1979, with batches of one size).
            for ((mean, variance), before) in self.trained.running().zip(&before) {
                let between = (mean - before).square() * done as f64;
                let mut variance = variance.shallow_clone();
                variance += between;
            }
        });
    }

    /// Gaussian noise at a random share of the locations, in some of the batches (as RD++ and
    /// `UniAD` do), so that the bottleneck learns to remove what does not belong.
    fn disturb(&self, projected: &[Tensor; 3], rng: &mut ChaCha8Rng) -> [Tensor; 3] {
        if !rng.random_bool(self.recipe.noise_probability) {
            return projected.each_ref().map(Tensor::shallow_clone);
        }
        // libtorch's generator is seeded per step, so that a step needs no state of earlier ones.
        tch::manual_seed(rng.random_range(0..i64::MAX));
        projected.each_ref().map(|p| {
            let size = p.size();
            let places = Tensor::rand([size[0], 1, size[2], size[3]], (Kind::Float, p.device()))
                .lt(self.recipe.noise_share)
                .to_kind(Kind::Float);
            p + p.randn_like() * places * self.recipe.noise_sigma
        })
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// What [`Self::resume`] needs beside the weights.
    pub fn state(&self) -> Weights {
        let mut state = BTreeMap::new();
        for (name, (mean, square)) in self.optimiser.moments() {
            state.insert(format!("{}{name}", state::MEAN), weight(mean));
            state.insert(format!("{}{name}", state::SQUARE), weight(square));
        }
        for (class, rows) in self.memory.by_class() {
            state.insert(format!("{}{class}", state::MEMORY), weight(&rows));
        }
        let trained = self.trained.to_weights().0;
        state.extend(trained.into_iter().filter(|(name, _)| is_of_head(name)));
        Weights(state)
    }

    /// All weights of the network, teacher included; what only training has is in [`Self::state`].
    pub fn weights(&self) -> Weights {
        let mut weights = self.frozen.to_weights();
        let trained = self.trained.to_weights().0;
        weights.0.extend(trained.into_iter().filter(|(name, _)| !is_of_head(name)));
        weights
    }
}

fn adam_options(recipe: &Recipe) -> AdamOptions {
    AdamOptions { beta1: recipe.beta1, beta2: recipe.beta2, ..AdamOptions::default() }
}

fn weight(tensor: &Tensor) -> Weight {
    let shape = tensor.size().iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
    Weight { shape, values: floats(tensor) }
}

fn tensor(weight: &Weight, device: Device) -> Tensor {
    let shape: Vec<i64> = weight.shape.iter().map(|&side| int(side)).collect();
    Tensor::from_slice(&weight.values).view(shape.as_slice()).to(device)
}

fn is_of_head(name: &str) -> bool {
    name.strip_prefix(head::ROOT).is_some_and(|rest| rest.starts_with('.'))
}

/// The parameters of the teacher, and all others that a run needs.
fn manifests(recipe: &Recipe) -> (Vec<Parameter>, Vec<Parameter>) {
    let (shapes, _) = Shapes::of(&recipe.architecture);
    let prefix = format!("{}.", roots::TEACHER);
    let (frozen, mut trained): (Vec<_>, Vec<_>) =
        shapes.parameters.into_iter().partition(|parameter| parameter.name.starts_with(&prefix));
    trained.extend(head::parameters(&recipe.architecture, recipe.global_head));
    (frozen, trained)
}

/// Fresh parameters as PyTorch's ResNet starts: Kaiming-normal kernels, neutral batch norms.
pub(crate) fn initial(manifest: &[Parameter], seed: u64) -> Weights {
    use network::shapes::ParameterKind as Kind;
    let mut weights = Weights::random(manifest, seed);
    for parameter in manifest {
        let Some(weight) = weights.0.get_mut(&parameter.name) else { continue };
        match parameter.kind {
            Kind::Kernel { .. } => {}
            Kind::Scale | Kind::RunningVar => weight.values.fill(1.0),
            Kind::Shift | Kind::RunningMean => weight.values.fill(0.0),
        }
    }
    weights
}

/// For each image one of another class, or `None` when the batch has a single class.
fn negatives(classes: &[usize], rng: &mut ChaCha8Rng) -> Option<Vec<usize>> {
    classes
        .iter()
        .map(|class| {
            let others: Vec<usize> =
                (0..classes.len()).filter(|&index| classes[index] != *class).collect();
            (!others.is_empty()).then(|| others[rng.random_range(0..others.len())])
        })
        .collect()
}

/// A network whose weights no longer change: the teacher's or the whole detector's.
pub fn checked_detector(
    recipe: &Recipe,
    weights: Weights,
) -> Result<Checked, network::weights::WeightsError> {
    let (shapes, _) = Shapes::of(&recipe.architecture);
    weights.check(&shapes.parameters)
}

#[cfg(test)]
mod tests {
    use network::{Architecture, ProjectorKind};

    use super::*;
    use crate::recipe::Ccl;

    fn recipe() -> Recipe {
        Recipe {
            architecture: Architecture {
                width: 0.125,
                projector: ProjectorKind::Dense,
                ..Architecture::resnet18(32)
            },
            iterations: 40,
            noise_probability: 0.0,
            ..Recipe::default()
        }
    }

    fn trainer(recipe: &Recipe) -> Trainer {
        let prefix = format!("{}.", roots::TEACHER);
        let (shapes, _) = Shapes::of(&recipe.architecture);
        let teacher: Vec<_> =
            shapes.parameters.into_iter().filter(|p| p.name.starts_with(&prefix)).collect();
        Trainer::new(recipe.clone(), &Weights::random(&teacher, 1), Device::Cpu).unwrap()
    }

    /// Four images of two classes, and another view of each.
    fn batch() -> Batch {
        tch::manual_seed(5);
        let frames = || Tensor::randint(255, [4, 32, 32, 3], (Kind::Uint8, Device::Cpu));
        Batch { frames: frames(), views: Some(frames()), classes: vec![0, 0, 1, 1] }
    }

    /// The largest change of a trained value below a root.
    fn largest_change(before: &Weights, after: &Weights, root: &str) -> f32 {
        let below = before.0.iter().filter(|(name, _)| {
            name.starts_with(&format!("{root}.")) && !name.contains(".running_")
        });
        below
            .flat_map(|(name, weight)| weight.values.iter().zip(&after.0[name].values))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max)
    }

    #[test]
    fn the_first_step_of_adam_is_each_parts_learning_rate_and_the_teacher_stays() {
        let recipe = recipe();
        let mut trainer = trainer(&recipe);
        let before = trainer.weights();
        trainer.step(&batch()).unwrap();
        let after = trainer.weights();
        assert!(largest_change(&before, &after, roots::TEACHER) == 0.0);
        for (root, rate) in [
            (roots::PROJECTOR, recipe.projector_learning_rate),
            (roots::BOTTLENECK, recipe.learning_rate),
            (roots::DECODER, recipe.learning_rate),
        ] {
            // The first step is the sign of the gradient times the rate.
            let change = f64::from(largest_change(&before, &after, root));
            assert!((change - rate).abs() < 0.02 * rate, "{root} {change} {rate}");
        }
    }

    #[test]
    fn a_refined_network_begins_where_the_other_ended() {
        let mut first = trainer(&recipe());
        first.step(&batch()).unwrap();
        let weights = first.weights();
        let next = Trainer::refine(recipe(), &weights, Device::Cpu).unwrap();
        assert_eq!(next.weights(), weights);
        assert_eq!(next.steps(), 0);
    }

    #[test]
    fn a_resumed_run_takes_the_steps_of_an_unbroken_one() {
        for (global_head, global_gradient_max) in [(0, 0.0), (8, 0.1)] {
            resumes(&Recipe {
                noise_probability: 0.5,
                embedding_memory: 2,
                global_head,
                global_gradient_max,
                ..recipe()
            });
        }
    }

    fn resumes(recipe: &Recipe) {
        let mut unbroken = trainer(recipe);
        for _ in 0..3 {
            unbroken.step(&batch()).unwrap();
        }
        let (weights, state) = (unbroken.weights(), unbroken.state());
        let mut resumed =
            Trainer::resume(recipe.clone(), &weights, &state, 3, Device::Cpu).unwrap();
        for _ in 0..2 {
            assert_eq!(unbroken.step(&batch()).unwrap(), resumed.step(&batch()).unwrap());
        }
        assert_eq!(unbroken.weights(), resumed.weights());
        assert_eq!(unbroken.state(), resumed.state());
        let none = Weights::default();
        assert!(Trainer::resume(recipe.clone(), &weights, &none, 3, Device::Cpu).is_err());
    }

    #[test]
    fn a_head_carries_the_global_loss_and_is_in_no_network() {
        let recipe = Recipe { global_head: 8, ccl: Ccl::Global, ..recipe() };
        let mut trainer = trainer(&recipe);
        let batch = batch();
        let reports: Vec<StepReport> = (0..40).map(|_| trainer.step(&batch).unwrap()).collect();
        assert!(reports[39].global < reports[0].global, "{:?} {:?}", reports[0], reports[39]);
        let (shapes, _) = Shapes::of(&recipe.architecture);
        let weights = trainer.weights();
        assert!(weights.clone().check(&shapes.parameters).is_ok());
        let begun = initial(&head::parameters(&recipe.architecture, 8), recipe.seed);
        let state = trainer.state();
        assert!(begun.0.len() == 2 && begun.0.iter().all(|(name, of)| state.0[name] != *of));
        // A run that refines begins with another.
        let next = Trainer::refine(recipe, &weights, Device::Cpu).unwrap();
        assert!(begun.0.iter().all(|(name, of)| next.state().0[name] == *of));
    }

    #[test]
    fn a_limit_holds_the_global_loss_back_and_nothing_else() {
        let report = |ccl, global_gradient_max| {
            let recipe = Recipe { ccl, global_gradient_max, ..recipe() };
            trainer(&recipe).gradients(&batch()).unwrap()
        };
        let without = report(Ccl::Local, 0.0);
        let (free, held) = (report(Ccl::Both, 0.0), report(Ccl::Both, 1e-6));
        assert!(free.gradient_norm > 1.5 * without.gradient_norm, "{free:?} {without:?}");
        let apart = (held.gradient_norm - without.gradient_norm).abs();
        assert!(apart < 1e-3 * without.gradient_norm, "{held:?} {without:?}");
        assert!(free.global_pull > 0.0 && (held.global_pull - free.global_pull).abs() < 1e-6);
    }

    #[test]
    fn a_batch_without_a_pair_has_no_global_loss_and_is_learned_from() {
        let alone = Batch { classes: vec![0, 1, 2, 3], ..batch() };
        let report = trainer(&recipe()).step(&alone).unwrap();
        assert!(report.global.abs() < f64::EPSILON && report.global_pull.abs() < f64::EPSILON);
        assert!(report.gradient_norm > 0.0, "{report:?}");
    }

    #[test]
    fn every_loss_falls() {
        let mut trainer = trainer(&recipe());
        let batch = batch();
        let reports: Vec<StepReport> = (0..40).map(|_| trainer.step(&batch).unwrap()).collect();
        let (first, last) = (reports[0], reports[39]);
        assert!(last.reconstruction < 0.7 * first.reconstruction, "{first:?} {last:?}");
        assert!(last.local < first.local, "{first:?} {last:?}");
        assert!(last.global < first.global, "{first:?} {last:?}");
    }

    #[test]
    fn settled_statistics_are_those_of_the_batch() {
        let mut trainer = trainer(&recipe());
        let batch = batch();
        for _ in 0..3 {
            trainer.step(&batch).unwrap();
        }
        trainer.settle(&batch, 0);
        let settled = trainer.weights();
        // The same batch again changes nothing: the mean of equal statistics.
        trainer.settle(&batch, 1);
        let again = trainer.weights();
        let mut statistics = 0;
        for (name, weight) in settled.0.iter().filter(|(name, _)| name.contains(".running_")) {
            for (a, b) in weight.values.iter().zip(&again.0[name].values) {
                assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{name} {a} {b}");
                statistics += 1;
            }
        }
        assert!(statistics > 0);
        assert!(largest_change(&settled, &again, roots::DECODER) == 0.0);
    }

    #[test]
    fn the_settled_variance_is_that_of_all_batches_together() {
        let trainer = trainer(&recipe());
        // A batch of noise and one of flat pictures: their means lie apart.
        let frames = |low: i64, high: i64| {
            tch::manual_seed(low);
            Tensor::randint_low(low, high, [4, 32, 32, 3], (Kind::Uint8, Device::Cpu))
        };
        let settled = |frames: &[Tensor]| {
            for (done, frames) in (0..).zip(frames) {
                let classes = vec![0; frames.size()[0].try_into().unwrap()];
                trainer
                    .settle(&Batch { frames: frames.shallow_clone(), views: None, classes }, done);
            }
            // Behind these, what a layer gets depends on which images were normalised together.
            let first =
                ["fuse1.0", "fuse2.0"].map(|at| format!("{}.{at}.bn.running_", roots::BOTTLENECK));
            let mut weights = trainer.weights().0;
            weights.retain(|name, _| first.iter().any(|first| name.starts_with(first)));
            weights
        };
        let [noise, flat] = [frames(0, 255), frames(180, 182)];
        let together = settled(&[Tensor::cat(&[&noise, &flat], 0)]);
        let alone = [&noise, &flat].map(|frames| settled(std::slice::from_ref(frames)));
        let apart = settled(&[noise, flat]);
        assert_eq!(together.len(), 4);
        let mut between = 0.0_f32;
        for (name, together) in &together {
            for (channel, &a) in together.values.iter().enumerate() {
                let b = apart[name].values[channel];
                // Unbiased variances of 16 values and of 32: their denominators differ by 3.3 %.
                assert!((a - b).abs() < 0.05 * (1e-2 + a.abs()), "{name} {a} {b}");
                let within =
                    f32::midpoint(alone[0][name].values[channel], alone[1][name].values[channel]);
                if name.ends_with("var") {
                    between = between.max((a - within) / a);
                }
            }
        }
        assert!(
            between > 0.2,
            "without what lies between the batches all would agree, too: {between}"
        );
    }
}
