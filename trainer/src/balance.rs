//! How hard the global loss may pull at the code, measured by how hard the reconstruction does.
//!
//! Owns the cut of a step at the code: what is computed behind it, by the student and by the embedding, gives its
//! gradients there, and the two are joined. In a run's first steps the global loss pulls many times as hard as the
//! reconstruction, and the code ends in few directions, which costs the student what tells parts of one product apart
//! (trainer/RESULTS.md, "Why the global loss costs"). Source of the remedy: Esser, Rombach and Ommer, CVPR 2021 (equation 7), who weigh a loss by the
//! ratio of two gradients at one layer; here it is only ever weighed down. Must not know the losses.

use tch::Tensor;

/// A code with the graph that made it, and a copy where that graph ends.
#[derive(Debug)]
pub struct Cut {
    code: Tensor,
    end: Tensor,
}

/// The gradients of two losses at one code.
#[derive(Debug)]
pub struct Pulls {
    /// Of the reconstruction.
    pub reconstruction: Tensor,
    /// Of the global loss, where it is on.
    pub global: Option<Tensor>,
}

impl Cut {
    /// Cuts at a code of any shape.
    pub fn new(code: &Tensor) -> Self {
        let end = code.detach().set_requires_grad(true);
        Self { code: code.shallow_clone(), end }
    }

    /// What is behind the cut begins here.
    pub fn end(&self) -> Tensor {
        self.end.shallow_clone()
    }

    /// Goes back from a loss to the cut: leaves the gradients of all parameters behind it, gives that of the code.
    pub fn pull(&self, loss: &Tensor) -> Tensor {
        loss.backward();
        let mut end = self.end();
        let pull = end.grad().copy();
        end.zero_grad();
        pull
    }

    /// A scalar whose gradients before the cut are those of the losses behind it.
    pub fn before(&self, pulls: &Pulls, global_most: f64) -> Tensor {
        (&self.code * pulls.joined(global_most)).sum(self.code.kind())
    }
}

impl Pulls {
    /// How many times as hard as the reconstruction the global loss pulls, by the Euclidean norm over the batch: 0 where
    /// it is off, the highest finite number where the reconstruction does not pull at all.
    pub fn global_to_reconstruction(&self) -> f64 {
        let norm = |of: &Tensor| of.norm().double_value(&[]);
        let global = self.global.as_ref().map_or(0.0, norm);
        if global == 0.0 { 0.0 } else { (global / norm(&self.reconstruction)).min(f64::MAX) }
    }

    /// Their sum, in which the global loss pulls at most `global_most` times as hard as the reconstruction; without a
    /// limit where that is 0.
    fn joined(&self, global_most: f64) -> Tensor {
        let found = self.global_to_reconstruction();
        let is_over = global_most > 0.0 && found > global_most;
        let scale = if is_over { global_most / found } else { 1.0 };
        match &self.global {
            Some(global) => &self.reconstruction + global * scale,
            None => self.reconstruction.shallow_clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradient at `x` of a square and a tripled sum behind the doubled `x`, through the cut, held against what is
    /// expected.
    fn check(x: [f64; 2], global_most: f64, expected: [f64; 2]) {
        let x = Tensor::from_slice(&x).set_requires_grad(true);
        let cut = Cut::new(&(&x * 2.0));
        let pulls = Pulls {
            reconstruction: cut.pull(&(cut.end().square().sum(tch::Kind::Double) * 0.5)),
            global: Some(cut.pull(&(cut.end().sum(tch::Kind::Double) * 3.0))),
        };
        cut.before(&pulls, global_most).backward();
        for (index, expected) in (0..).zip(expected) {
            let found = x.grad().double_value(&[index]);
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn without_a_limit_it_is_the_gradient_of_the_sum() {
        // d/dx of (2x)^2 / 2 + 3 (2x) is 4x + 6.
        check([1.0, -2.0], 0.0, [10.0, -2.0]);
        // The code is (2, -4), of norm 4.47; the other pull (3, 3), of norm 4.24: within once, and so untouched.
        check([1.0, -2.0], 1.0, [10.0, -2.0]);
    }

    #[test]
    fn the_global_pull_is_cut_down_to_its_share_and_keeps_its_direction() {
        // At most a tenth of 4.472: (3, 3) becomes 0.4472 in the direction (1, 1), 0.3162 each, doubled before the cut.
        check([1.0, -2.0], 0.1, [4.0 + 0.632_456, -8.0 + 0.632_456]);
    }

    #[test]
    fn where_nothing_pulls_nothing_is_divided() {
        check([0.0, 0.0], 0.1, [0.0, 0.0]);
        let zero = || Tensor::zeros([2], (tch::Kind::Double, tch::Device::Cpu));
        let ratio = |global| Pulls { reconstruction: zero(), global }.global_to_reconstruction();
        assert!(ratio(None).abs() < f64::EPSILON && ratio(Some(zero())).abs() < f64::EPSILON);
        assert!(ratio(Some(zero() + 1.0)).is_finite());
    }
}
