//! The tensors of a network by dotted name, on one device.
//!
//! Owns which of them carry gradients. Names and shapes come from the network's manifest.

use std::collections::BTreeMap;

use network::shapes::Parameter;
use network::weights::{Checked, Weight, Weights};
use tch::{Device, Kind, Tensor, no_grad};

use super::{floats, int};

/// Named tensors.
#[derive(Debug)]
pub struct Variables {
    tensors: BTreeMap<String, Tensor>,
    trained: Vec<String>,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Variables {
    /// Copies checked weights to `device`; those that `train` names carry gradients, unless they
    /// are running statistics.
    pub fn new(
        manifest: &[Parameter],
        weights: &Checked,
        device: Device,
        train: impl Fn(&str) -> bool,
    ) -> Self {
        let mut tensors = BTreeMap::new();
        let mut trained = Vec::new();
        let mut shapes = BTreeMap::new();
        for parameter in manifest {
            let weight = weights.get(&parameter.name);
            let shape: Vec<i64> = weight.shape.iter().map(|&side| int(side)).collect();
            let tensor = Tensor::from_slice(&weight.values).view(shape.as_slice()).to(device);
            let tensor = if parameter.kind.is_trained() && train(&parameter.name) {
                trained.push(parameter.name.clone());
                tensor.set_requires_grad(true)
            } else {
                tensor
            };
            shapes.insert(parameter.name.clone(), weight.shape.clone());
            tensors.insert(parameter.name.clone(), tensor);
        }
        Self { tensors, trained, shapes }
    }

    /// The tensor of a name of the manifest.
    ///
    /// # Panics
    /// On a name outside it, which the shapes interpreter excludes.
    pub fn get(&self, name: &str) -> &Tensor {
        self.tensors.get(name).expect("made from the manifest of the same stages")
    }

    /// Those with gradients, in the manifest's order.
    pub fn trained(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.trained.iter().map(|name| (name.as_str(), self.get(name)))
    }

    /// Clears all gradients.
    pub fn zero_grad(&self) {
        for (_, tensor) in self.trained() {
            let mut grad = tensor.grad();
            if grad.defined() {
                no_grad(|| drop(grad.zero_()));
            }
        }
    }

    /// Scales all gradients so that their joint Euclidean norm is at most `limit`; returns the
    /// norm before.
    pub fn clip_grad_norm(&self, limit: f64) -> f64 {
        no_grad(|| {
            let grads: Vec<Tensor> =
                self.trained().map(|(_, t)| t.grad()).filter(Tensor::defined).collect();
            let squares: Vec<Tensor> = grads.iter().map(|g| g.square().sum(Kind::Float)).collect();
            if squares.is_empty() {
                return 0.0;
            }
            let norm = Tensor::stack(&squares, 0).sum(Kind::Float).sqrt().double_value(&[]);
            if norm > limit {
                for mut grad in grads {
                    grad *= limit / (norm + 1e-6);
                }
            }
            norm
        })
    }

    /// The running means of batch normalisation by name, with the variances beside them.
    pub fn running(&self) -> impl Iterator<Item = (&Tensor, &Tensor)> {
        self.tensors.iter().filter_map(|(name, mean)| {
            let layer = name.strip_suffix("running_mean")?;
            Some((mean, self.get(&format!("{layer}running_var"))))
        })
    }

    /// A copy in memory.
    pub fn to_weights(&self) -> Weights {
        let weights = self.tensors.iter().map(|(name, tensor)| {
            let weight = Weight { shape: self.shapes[name].clone(), values: floats(tensor) };
            (name.clone(), weight)
        });
        Weights(weights.collect())
    }
}
