//! Reconstruction: one minus the cosine of the flattened features, per image and scale.

use tch::{Kind, Tensor};

use crate::torch::unit;

/// `sum_k mean_n (1 - cos(f_kn, g_kn))`; `teacher` and `student` are `[N, C_k, H_k, W_k]` per
/// scale. Gradients reach the student only.
pub fn reconstruction(teacher: &[Tensor; 3], student: &[Tensor; 3]) -> Tensor {
    let terms: Vec<Tensor> = teacher
        .iter()
        .zip(student)
        .map(|(f, g)| {
            let f = unit(&f.detach().flatten(1, -1), 1);
            let g = unit(&g.flatten(1, -1), 1);
            let product: Tensor = f * g;
            let cosine = product.sum_dim_intlist([1].as_slice(), false, None);
            1.0 - cosine.mean(Kind::Float)
        })
        .collect();
    Tensor::stack(&terms, 0).sum(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).view([1, 1, 1, -1])
    }

    #[test]
    fn worked_by_hand() {
        // cos of (3, 4) and (4, 3) is 24/25; of a vector and itself 1; of orthogonal vectors 0.
        let f = [feature(&[3.0, 4.0]), feature(&[1.0, 2.0]), feature(&[1.0, 0.0])];
        let g = [feature(&[4.0, 3.0]), feature(&[2.0, 4.0]), feature(&[0.0, 5.0])];
        let loss = reconstruction(&f, &g).double_value(&[]);
        assert!((loss - (0.04 + 0.0 + 1.0)).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn each_image_weighs_the_same_whatever_its_magnitude() {
        // cos 0.96 and cos 0; as one vector of both images the large one would decide.
        let pair = |a: &[f32], b: &[f32]| Tensor::cat(&[feature(a), feature(b)], 0);
        let f = [0, 1, 2].map(|_| pair(&[3.0, 4.0], &[100.0, 0.0]));
        let g = [0, 1, 2].map(|_| pair(&[4.0, 3.0], &[0.0, 100.0]));
        let loss = reconstruction(&f, &g).double_value(&[]);
        assert!((loss - 3.0 * 0.52).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn gradient_reaches_the_student_only() {
        let f: [Tensor; 3] = std::array::from_fn(|_| feature(&[1.0, 0.0]).set_requires_grad(true));
        let g: [Tensor; 3] = std::array::from_fn(|_| feature(&[1.0, 1.0]).set_requires_grad(true));
        reconstruction(&f, &g).backward();
        assert!(!f[0].grad().defined());
        assert!(g[0].grad().abs().sum(Kind::Float).double_value(&[]) > 0.0);
    }
}
