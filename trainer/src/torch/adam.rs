//! Adam (Kingma & Ba 2015), in the open: tch's optimisers can neither save nor restore their state.

use std::collections::BTreeMap;

use tch::{Tensor, no_grad};

use super::Variables;

/// Hyper-parameters that all groups share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
    /// Decay of the mean.
    pub beta1: f64,
    /// Decay of the square.
    pub beta2: f64,
    /// Added to the root of the square.
    pub eps: f64,
    /// Decoupled weight decay (`AdamW`), as a fraction of the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// The optimiser's state.
#[derive(Debug)]
pub struct Adam {
    options: AdamOptions,
    step: i32,
    moments: BTreeMap<String, (Tensor, Tensor)>,
}

impl Adam {
    /// A fresh state.
    pub fn new(options: AdamOptions) -> Self {
        Self { options, step: 0, moments: BTreeMap::new() }
    }

    /// The state of an earlier optimiser after `step` steps: mean and square of the gradients by variable.
    pub fn resume(
        options: AdamOptions,
        step: i32,
        moments: BTreeMap<String, (Tensor, Tensor)>,
    ) -> Self {
        Self { options, step, moments }
    }

    /// Mean and square of the gradients by variable.
    pub fn moments(&self) -> &BTreeMap<String, (Tensor, Tensor)> {
        &self.moments
    }

    /// One step over every variable that has a gradient; `rate` gives the learning rate by name.
    pub fn step(&mut self, variables: &Variables, rate: impl Fn(&str) -> f64) {
        self.step += 1;
        let AdamOptions { beta1, beta2, eps, weight_decay } = self.options;
        let correction1 = 1.0 - beta1.powi(self.step);
        let correction2 = 1.0 - beta2.powi(self.step);
        no_grad(|| {
            for (name, variable) in variables.trained() {
                let grad = variable.grad();
                if !grad.defined() {
                    continue;
                }
                let (mean, square) = self
                    .moments
                    .entry(name.to_owned())
                    .or_insert_with(|| (variable.zeros_like(), variable.zeros_like()));
                *mean *= beta1;
                *mean += &grad * (1.0 - beta1);
                *square *= beta2;
                *square += grad.square() * (1.0 - beta2);
                let rate = rate(name);
                let denominator = (&*square / correction2).sqrt() + eps;
                // Shares its storage: the update is in place.
                let mut target = variable.shallow_clone();
                if weight_decay > 0.0 {
                    target *= 1.0 - rate * weight_decay;
                }
                target -= &*mean / denominator * (rate / correction1);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use network::{
        shapes::{Parameter, ParameterKind},
        weights::{Weight, Weights},
    };
    use tch::Device;

    use super::*;

    #[test]
    fn three_steps_worked_by_hand() {
        let manifest = [Parameter {
            name: "w".into(),
            shape: vec![1],
            kind: ParameterKind::Kernel { fan_in: 1 },
        }];
        let weights =
            Weights([("w".to_owned(), Weight { shape: vec![1], values: vec![1.0] })].into());
        let weights = weights.check(&manifest).unwrap();
        let variables = Variables::new(&manifest, &weights, Device::Cpu, |_| true);
        let mut adam = Adam::new(AdamOptions { beta1: 0.5, ..AdamOptions::default() });
        let mut values = Vec::new();
        for slope in [2.0, -1.0, 4.0] {
            variables.zero_grad();
            (variables.get("w") * slope).sum(tch::Kind::Float).backward();
            adam.step(&variables, |_| 0.1);
            values.push(variables.get("w").double_value(&[0]));
        }
        // By the paper's algorithm 1 with beta1 0.5, beta2 0.999, rate 0.1:
        // m / (1 - 0.5^t) = 2, 0, 2.2857143;
        // v / (1 - 0.999^t) = 4, 2.49925, 7.004003.
        let expected = [0.9, 0.9, 0.9 - 0.1 * 2.285_714_3 / 7.004_003_f64.sqrt()];
        for (found, expected) in values.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{values:?} {expected}");
        }
    }
}
