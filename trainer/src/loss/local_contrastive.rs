//! Local contrastive loss: dense, per scale; what looks the same in two views attracts, the same
//! place of another class repels.

use tch::{Kind, Tensor, no_grad};

use crate::torch::{int, unit};

/// The dense loss, averaged over locations, images and scales.
///
/// `teacher`, `teacher_view`: frozen features `[N, C, H, W]` of the images and of their strong
/// augmentation; `projected`, `projected_view`: the same behind the projector. `negative[n]` is
/// an image of another class than image `n`; without one (a batch of one class) the loss is zero.
///
/// For location i the partner j is the location of the view whose teacher feature is most
/// similar; with s+ the cosine of the projected pair and s- that of the projected negative at i,
/// the term is `-log(e^(s+/t) / (e^(s+/t) + e^(s-/t))) = softplus((s- - s+) / t)`.
///
/// `anchors` picks the locations i of a scale with that many: i64 `[M]`, or all of them.
pub fn local_contrastive(
    teacher: &[Tensor; 3],
    teacher_view: &[Tensor; 3],
    projected: &[Tensor; 3],
    projected_view: &[Tensor; 3],
    negative: Option<&[usize]>,
    temperature: f64,
    anchors: impl Fn(i64) -> Option<Tensor>,
) -> Tensor {
    let device = projected[0].device();
    let Some(negative) = negative else {
        return Tensor::zeros([], (Kind::Float, device));
    };
    let negative: Vec<i64> = negative.iter().map(|&index| int(index)).collect();
    let negative = Tensor::from_slice(&negative).to(device);
    let terms: Vec<Tensor> = (0..3)
        .map(|scale| {
            // [N, C, L]; [N, C, M] for the anchors.
            let places = |feature: &Tensor| feature.flatten(2, -1);
            let chosen = anchors(places(&teacher[scale]).size()[2]);
            let at_anchors = |feature: &Tensor| match &chosen {
                Some(index) => places(feature).index_select(2, index),
                None => places(feature),
            };
            let partner = partners(&at_anchors(&teacher[scale]), &places(&teacher_view[scale]));
            let anchor = unit(&at_anchors(&projected[scale]), 1);
            let view = unit(&projected_view[scale].flatten(2, -1), 1);
            let index = partner.unsqueeze(1).expand(anchor.size().as_slice(), false);
            let positive = view.gather(2, &index, false);
            let other = anchor.index_select(0, &negative);
            let cosine =
                |a: &Tensor, b: &Tensor| (a * b).sum_dim_intlist([1].as_slice(), false, None);
            let gap = cosine(&anchor, &other) - cosine(&anchor, &positive);
            (gap / temperature).softplus().mean(Kind::Float)
        })
        .collect();
    Tensor::stack(&terms, 0).mean(Kind::Float)
}

/// For every location of `features` `[N, C, M]` the most similar location of `view` `[N, C, L]`: i64 `[N, M]`.
fn partners(features: &Tensor, view: &Tensor) -> Tensor {
    no_grad(|| {
        let count = features.size()[0];
        // One image at a time: at stride 4 the similarity matrix takes 64 MB an image.
        let rows: Vec<Tensor> = (0..count)
            .map(|n| {
                let a = unit(&features.get(n), 0);
                let b = unit(&view.get(n), 0);
                a.transpose(0, 1).matmul(&b).argmax(1, false)
            })
            .collect();
        Tensor::stack(&rows, 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPERATURE: f64 = 0.05;

    fn plane(values: &[f32]) -> Tensor {
        // Two channels, `values.len() / 2` locations.
        Tensor::from_slice(values).view([1, 2, -1])
    }

    fn thrice(tensor: &Tensor) -> [Tensor; 3] {
        std::array::from_fn(|_| tensor.shallow_clone())
    }

    #[test]
    fn partner_is_the_most_similar_location() {
        // Locations (1,0) and (0,1) against a view that swaps them.
        let partner = partners(&plane(&[1.0, 0.0, 0.0, 1.0]), &plane(&[0.1, 5.0, 3.0, 0.0]));
        assert_eq!(Vec::<i64>::try_from(partner.view([-1])).expect("two"), [1, 0]);
    }

    #[test]
    fn worked_by_hand() {
        // One location, two images of two classes. Image 0: anchor (1,0), positive (0.6,0.8),
        // negative = image 1's anchor (0,1): s+ = 0.6, s- = 0, softplus(-12).
        // Image 1: anchor (0,1), positive (0,1), negative (1,0): s+ = 1, s- = 0, softplus(-20).
        let stack = |a: [f32; 2], b: [f32; 2]| {
            Tensor::cat(&[Tensor::from_slice(&a), Tensor::from_slice(&b)], 0).view([2, 2, 1, 1])
        };
        let teacher = thrice(&stack([1.0, 1.0], [1.0, 1.0]));
        let projected = thrice(&stack([1.0, 0.0], [0.0, 1.0]));
        let view = thrice(&stack([0.6, 0.8], [0.0, 2.0]));
        let loss = local_contrastive(
            &teacher,
            &teacher,
            &projected,
            &view,
            Some(&[1, 0]),
            TEMPERATURE,
            |_| None,
        );
        let expected = f64::midpoint((-12.0_f64).exp().ln_1p(), (-20.0_f64).exp().ln_1p());
        let loss = loss.double_value(&[]);
        assert!((loss - expected).abs() < 1e-8, "{loss} {expected}");
    }

    /// The definition in loops over numbers: `[image][channel][location]` for each scale.
    fn naive(features: [&[Vec<Vec<Vec<f64>>>; 3]; 4], negative: &[usize]) -> f64 {
        let [teacher, teacher_view, projected, projected_view] = features;
        let at = |image: &Vec<Vec<f64>>, place: usize| -> Vec<f64> {
            image.iter().map(|channel| channel[place]).collect()
        };
        let cosine = |a: &[f64], b: &[f64]| {
            let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
            dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
        };
        let (mut sum, mut count) = (0.0, 0);
        for scale in 0..3 {
            let (mut of_scale, mut terms) = (0.0, 0);
            for image in 0..teacher[scale].len() {
                for place in 0..teacher[scale][image][0].len() {
                    let own = at(&teacher[scale][image], place);
                    let similar =
                        |other: usize| cosine(&own, &at(&teacher_view[scale][image], other));
                    let partner = (0..teacher_view[scale][image][0].len())
                        .max_by(|&a, &b| similar(a).total_cmp(&similar(b)))
                        .unwrap();
                    let anchor = at(&projected[scale][image], place);
                    let positive = at(&projected_view[scale][image], partner);
                    let repelled = at(&projected[scale][negative[image]], place);
                    let [plus, minus] = [positive, repelled]
                        .map(|other| (cosine(&anchor, &other) / TEMPERATURE).exp());
                    of_scale -= (plus / (plus + minus)).ln();
                    terms += 1;
                }
            }
            sum += of_scale / f64::from(terms);
            count += 1;
        }
        sum / f64::from(count)
    }

    #[test]
    fn equals_the_definition_in_loops() {
        use rand::{RngExt as _, SeedableRng as _};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        // Three images; each scale of another size and channel count.
        let sizes = [(3, 2, 3), (4, 2, 2), (5, 1, 3)];
        let mut draw = || -> [Vec<Vec<Vec<f64>>>; 3] {
            sizes.map(|(channels, rows, columns)| {
                let mut channel =
                    || (0..rows * columns).map(|_| rng.random_range(-1.0..1.0)).collect();
                (0..3).map(|_| (0..channels).map(|_| channel()).collect()).collect()
            })
        };
        let numbers = [draw(), draw(), draw(), draw()];
        let tensors = numbers.each_ref().map(|feature| {
            std::array::from_fn::<Tensor, 3, _>(|scale| {
                let (channels, rows, columns) = sizes[scale];
                let flat: Vec<f64> = feature[scale].iter().flatten().flatten().copied().collect();
                let shape = [3, i64::from(channels), i64::from(rows), i64::from(columns)];
                Tensor::from_slice(&flat).to_kind(Kind::Float).view(shape)
            })
        });
        let negative = [2, 0, 1];
        let [f, f_view, p, p_view] = &tensors;
        let loss = local_contrastive(f, f_view, p, p_view, Some(&negative), TEMPERATURE, |_| None);
        let expected = naive(numbers.each_ref(), &negative);
        let loss = loss.double_value(&[]);
        assert!((loss - expected).abs() < 1e-4, "{loss} {expected}");
    }

    #[test]
    fn stays_finite_where_exponentials_would_overflow() {
        // s+ = -1, s- = 1: the exponents are -200 and 200, and e^200 is infinite in f32. The loss is the gap.
        let teacher = thrice(&Tensor::ones([2, 2, 1, 1], (Kind::Float, tch::Device::Cpu)));
        let view = thrice(&(-&teacher[0]));
        let loss =
            local_contrastive(&teacher, &teacher, &teacher, &view, Some(&[1, 0]), 0.005, |_| None);
        assert!((loss.double_value(&[]) - 400.0).abs() < 1e-2);
    }

    #[test]
    fn the_mean_over_parts_of_the_anchors_is_the_mean_over_all() {
        tch::manual_seed(1);
        let random = || {
            std::array::from_fn::<Tensor, 3, _>(|_| {
                Tensor::randn([2, 3, 2, 3], (Kind::Float, tch::Device::Cpu))
            })
        };
        let (f, f_view, p, p_view) = (random(), random(), random(), random());
        let loss = |anchors: &dyn Fn(i64) -> Option<Tensor>| {
            local_contrastive(&f, &f_view, &p, &p_view, Some(&[1, 0]), TEMPERATURE, anchors)
                .double_value(&[])
        };
        let part = |index: &[i64]| loss(&|_| Some(Tensor::from_slice(index)));
        let halves = f64::midpoint(part(&[0, 2, 4]), part(&[5, 3, 1]));
        assert!((halves - loss(&|_| None)).abs() < 1e-5);
    }

    #[test]
    fn one_class_has_no_negative_and_no_loss() {
        let f = thrice(&Tensor::ones([2, 2, 1, 1], (Kind::Float, tch::Device::Cpu)));
        assert!(
            local_contrastive(&f, &f, &f, &f, None, TEMPERATURE, |_| None).double_value(&[]).abs()
                < f64::EPSILON
        );
    }
}
