//! Global contrastive loss: supervised contrast of the batch's embeddings (Khosla et al. 2020).

use tch::{Device, Kind, Tensor};

use crate::torch::{int, unit};

/// `mean_i -1/|P(i)| sum_{p in P(i)} log(e^(z_i z_p / t) / sum_{a != i} e^(z_i z_a / t))`, over the
/// anchors i of the batch that have another image of their class, P(i), in the batch or among the
/// remembered ones. `embeddings` is `[N, D]` (any norm), `classes` has N entries; `remembered` are
/// embeddings `[M, D]` of earlier batches with their M classes, which attract and repel but are
/// no anchors. The self-similarity is in neither sum.
pub fn global_contrastive(
    embeddings: &Tensor,
    classes: &[usize],
    remembered: Option<(&Tensor, &[usize])>,
    temperature: f64,
) -> Tensor {
    let device = embeddings.device();
    let labels = |classes: &[usize]| {
        let labels: Vec<i64> = classes.iter().map(|&class| int(class)).collect();
        Tensor::from_slice(&labels).to(device)
    };
    let label = labels(classes);
    let anchor = unit(embeddings, 1);
    let itself = Tensor::eye(int(classes.len()), (Kind::Bool, device));
    let (others, other_label, itself) = match remembered {
        None => (anchor.shallow_clone(), label.shallow_clone(), itself),
        Some((earlier, earlier_classes)) => {
            let rows = [int(classes.len()), int(earlier_classes.len())];
            let elsewhere = Tensor::zeros(rows, (Kind::Bool, device));
            (
                Tensor::cat(&[&anchor, &unit(&earlier.detach(), 1)], 0),
                Tensor::cat(&[&label, &labels(earlier_classes)], 0),
                Tensor::cat(&[&itself, &elsewhere], 1),
            )
        }
    };
    let same = label.unsqueeze(1).eq_tensor(&other_label.unsqueeze(0));
    let positive = same.logical_and(&itself.logical_not()).to_kind(Kind::Float);
    let per_anchor = positive.sum_dim_intlist([1].as_slice(), false, None);
    let anchors = per_anchor.gt(0.0).to_kind(Kind::Float);
    let anchor_count = anchors.sum(Kind::Float).double_value(&[]);
    if anchor_count < 1.0 {
        return Tensor::zeros([], (Kind::Float, Device::Cpu)).to(device);
    }
    let logits = anchor.matmul(&others.transpose(0, 1)) / temperature;
    let all = logits.masked_fill(&itself, f64::NEG_INFINITY);
    let log_share = logits - all.logsumexp([1].as_slice(), true);
    let mean_log_share = (log_share * &positive).sum_dim_intlist([1].as_slice(), false, None)
        / per_anchor.clamp_min(1.0);
    -(mean_log_share * anchors).sum(Kind::Float) / anchor_count
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPERATURE: f64 = 0.05;

    fn loss(embeddings: &Tensor, classes: &[usize]) -> Tensor {
        global_contrastive(embeddings, classes, None, TEMPERATURE)
    }

    fn rows(values: &[[f32; 2]]) -> Tensor {
        Tensor::from_slice(values.as_flattened()).view([-1, 2])
    }

    /// The formula of the documentation, in loops over f64.
    fn naive(z: &[[f64; 2]], classes: &[usize]) -> f64 {
        let dot = |a: usize, b: usize| (z[a][0] * z[b][0] + z[a][1] * z[b][1]) / TEMPERATURE;
        let mut terms = Vec::new();
        for i in 0..z.len() {
            let others: Vec<usize> = (0..z.len()).filter(|&a| a != i).collect();
            let all: f64 = others.iter().map(|&a| dot(i, a).exp()).sum();
            let positives: Vec<usize> =
                others.iter().copied().filter(|&p| classes[p] == classes[i]).collect();
            if positives.is_empty() {
                continue;
            }
            let sum: f64 = positives.iter().map(|&p| (dot(i, p).exp() / all).ln()).sum();
            terms.push(-sum / positives.len() as f64);
        }
        terms.iter().sum::<f64>() / terms.len() as f64
    }

    #[test]
    fn equals_the_naive_formula() {
        let z = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8], [0.6, -0.8]];
        let classes = [0, 0, 1, 1, 2];
        let expected = naive(&z, &classes);
        #[expect(clippy::cast_possible_truncation, reason = "test values are exact in f32")]
        let z32: Vec<[f32; 2]> = z.iter().map(|row| row.map(|v| v as f32)).collect();
        let loss = loss(&rows(&z32), &classes).double_value(&[]);
        assert!((loss - expected).abs() < 1e-4, "{loss} {expected}");
    }

    #[test]
    fn falls_when_classes_separate() {
        let classes = [0, 0, 1, 1];
        let mixed = rows(&[[1.0, 0.1], [0.1, 1.0], [1.0, 0.0], [0.0, 1.0]]);
        let apart = rows(&[[1.0, 0.1], [1.0, 0.0], [0.1, 1.0], [0.0, 1.0]]);
        let mixed = loss(&mixed, &classes).double_value(&[]);
        let apart = loss(&apart, &classes).double_value(&[]);
        assert!(apart < 0.1 && mixed > 5.0, "{apart} {mixed}");
    }

    #[test]
    fn gradient_pulls_a_class_together_and_pushes_others_away() {
        let z = rows(&[[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]]).set_requires_grad(true);
        loss(&z, &[0, 1, 0]).backward();
        let step = -z.grad().get(0);
        let towards_own = step.dot(&Tensor::from_slice(&[-0.3_f32, 0.7]));
        assert!(towards_own.double_value(&[]) > 0.0);
        // The lone class is repelled by both others: its gradient points away from their mean.
        let away = (-z.grad().get(1)).double_value(&[0]);
        assert!(away < 0.0, "{away}");
    }

    #[test]
    fn without_a_pair_there_is_no_loss() {
        let loss = loss(&rows(&[[1.0, 0.0], [0.0, 1.0]]), &[0, 1]);
        assert!(loss.double_value(&[]).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_remembered_attracts_and_repels_but_is_no_anchor() {
        // Two images of two classes, each with one remembered embedding of its class: the formula over the four with
        // the first two as anchors.
        let z = [[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [0.0, 1.0]];
        let dot = |a: usize, b: usize| (z[a][0] * z[b][0] + z[a][1] * z[b][1]) / TEMPERATURE;
        let term = |i: usize, positive: usize| {
            let all: f64 = (0..4).filter(|&a| a != i).map(|a| dot(i, a).exp()).sum();
            -(dot(i, positive).exp() / all).ln()
        };
        let expected = f64::midpoint(term(0, 2), term(1, 3));
        #[expect(clippy::cast_possible_truncation, reason = "test values are exact in f32")]
        let z32: Vec<[f32; 2]> = z.iter().map(|row| row.map(|v| v as f32)).collect();
        let (batch, earlier) = (rows(&z32[..2]), rows(&z32[2..]));
        let found = global_contrastive(&batch, &[0, 1], Some((&earlier, &[0, 1])), TEMPERATURE);
        let found = found.double_value(&[]);
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
}
