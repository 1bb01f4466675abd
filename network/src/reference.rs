//! The reference interpreter: naive loops over plain arrays, in f64 where sums are long.
//!
//! The oracle of every other interpreter. Written from the definitions, shares no code with them; slow on purpose.

use crate::weights::Checked;
use crate::{
    BatchNorm, Blur, COSINE_EPS, Conv2d, ConvTranspose2d, Graph, MaxPool2d, NORM_EPS,
    Normalisation, Path,
};

/// A row-major array; its shape begins with the batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Outermost first.
    pub shape: Vec<usize>,
    /// As many values as the shape says.
    pub values: Vec<f32>,
}

impl Array {
    /// An array of values that `value` gives for each index.
    pub fn of(shape: &[usize], mut value: impl FnMut(&[usize]) -> f32) -> Self {
        let mut index = vec![0; shape.len()];
        let mut values = Vec::with_capacity(shape.iter().product());
        for _ in 0..shape.iter().product() {
            values.push(value(&index));
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Self { shape: shape.to_vec(), values }
    }

    /// The largest difference from another array, in units of this one's values: of each, or of their root mean
    /// square where that is larger, or of 1 where both are smaller. Not a number where any difference is none.
    ///
    /// The root mean square, since a value near 0 carries the rounding of the larger ones that it was summed from.
    ///
    /// # Panics
    /// Where the shapes differ.
    pub fn distance(&self, other: &Self) -> f32 {
        assert_eq!(self.shape, other.shape, "shapes compared");
        let square: f32 = self.values.iter().map(|value| value * value).sum();
        let unit = (square / self.values.len() as f32).sqrt().max(1.0);
        let one = |(a, b): (&f32, &f32)| (a - b).abs() / a.abs().max(unit);
        // Not `f32::max`: it would swallow a NaN, and what is no number must stay the worst.
        let worst = std::iter::zip(&self.values, &other.values).map(one);
        worst.fold(0.0, |worst: f32, d| if worst.is_nan() || d <= worst { worst } else { d })
    }

    fn at(&self, index: &[usize]) -> f64 {
        let offset = std::iter::zip(index, &self.shape).fold(0, |offset, (&i, &n)| offset * n + i);
        f64::from(self.values[offset])
    }

    /// The value at a place that may lie outside the last two axes; `None` there.
    fn inside(&self, n: usize, c: usize, y: Option<usize>, x: Option<usize>) -> Option<f64> {
        let (y, x) = (y.filter(|y| *y < self.shape[2])?, x.filter(|x| *x < self.shape[3])?);
        Some(self.at(&[n, c, y, x]))
    }

    fn nchw(&self) -> [usize; 4] {
        <[usize; 4]>::try_from(self.shape.as_slice()).expect("stages pass [N, C, H, W] here")
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        let values = self.values.iter().map(|value| narrow(f(f64::from(*value)))).collect();
        Self { shape: self.shape.clone(), values }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "results are kept as f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Computes a stage with these weights.
#[derive(Debug)]
pub struct Reference<'w> {
    weights: &'w Checked,
}

impl<'w> Reference<'w> {
    /// An interpreter with these weights.
    pub fn new(weights: &'w Checked) -> Self {
        Self { weights }
    }

    fn weight(&self, at: &Path, name: &str) -> Array {
        let weight = self.weights.get(&at.parameter(name));
        Array { shape: weight.shape.clone(), values: weight.values.clone() }
    }
}

/// Where an output location reads: `out * stride + tap - padding`, unless that is before the edge.
fn source(out: usize, stride: usize, tap: usize, padding: usize) -> Option<usize> {
    (out * stride + tap).checked_sub(padding)
}

fn pooled(px: usize, kernel: usize, stride: usize, padding: usize) -> usize {
    (px + 2 * padding - kernel) / stride + 1
}

impl Graph for Reference<'_> {
    type Tensor = Array;

    fn normalise(&mut self, frames: &Array, by: Normalisation) -> Array {
        let [n, h, w, _] = frames.nchw();
        Array::of(&[n, 3, h, w], |i| {
            let value = frames.at(&[i[0], i[2], i[3], i[1]]) / 255.0;
            narrow((value - f64::from(by.mean[i[1]])) / f64::from(by.std[i[1]]))
        })
    }

    fn conv2d(&mut self, x: &Array, at: &Path, spec: Conv2d) -> Array {
        let weight = self.weight(at, "weight");
        let [n, _, h, w] = x.nchw();
        let Conv2d { outputs, kernel, stride, padding, groups, .. } = spec;
        let (ins, outs) = (spec.inputs / groups, outputs / groups);
        let side = |px| pooled(px, kernel, stride, padding);
        Array::of(&[n, outputs, side(h), side(w)], |i| {
            let first = i[1] / outs * ins;
            let mut sum = 0.0;
            for c in 0..ins {
                for ky in 0..kernel {
                    for kx in 0..kernel {
                        let (y, x_) =
                            (source(i[2], stride, ky, padding), source(i[3], stride, kx, padding));
                        let value = x.inside(i[0], first + c, y, x_).unwrap_or(0.0);
                        sum += value * weight.at(&[i[1], c, ky, kx]);
                    }
                }
            }
            narrow(sum)
        })
    }

    fn conv_transpose2d(&mut self, x: &Array, at: &Path, spec: ConvTranspose2d) -> Array {
        let weight = self.weight(at, "weight");
        let [n, _, h, w] = x.nchw();
        Array::of(&[n, spec.outputs, 2 * h, 2 * w], |i| {
            let sum = (0..spec.inputs).map(|c| {
                x.at(&[i[0], c, i[2] / 2, i[3] / 2]) * weight.at(&[c, i[1], i[2] % 2, i[3] % 2])
            });
            narrow(sum.sum())
        })
    }

    fn batch_norm(&mut self, x: &Array, at: &Path, _spec: BatchNorm) -> Array {
        let [scale, shift, mean, var] =
            ["weight", "bias", "running_mean", "running_var"].map(|name| self.weight(at, name));
        Array::of(&x.shape, |i| {
            let of = |array: &Array| array.at(&[i[1]]);
            let unit = (x.at(i) - of(&mean)) / (of(&var) + f64::from(NORM_EPS)).sqrt();
            narrow(unit * of(&scale) + of(&shift))
        })
    }

    fn instance_norm(&mut self, x: &Array) -> Array {
        let [_, channels, h, w] = x.nchw();
        let planes: Vec<(f64, f64)> = x
            .values
            .chunks(h * w)
            .map(|plane| {
                let count = (h * w) as f64;
                let mean = plane.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
                let square = |v: &f32| (f64::from(*v) - mean).powi(2);
                (mean, plane.iter().map(square).sum::<f64>() / count)
            })
            .collect();
        Array::of(&x.shape, |i| {
            let (mean, var) = planes[i[0] * channels + i[1]];
            narrow((x.at(i) - mean) / (var + f64::from(NORM_EPS)).sqrt())
        })
    }

    fn relu(&mut self, x: &Array) -> Array {
        x.map(|value| value.max(0.0))
    }

    fn leaky_relu(&mut self, x: &Array, slope: f32) -> Array {
        x.map(|value| if value > 0.0 { value } else { value * f64::from(slope) })
    }

    fn max_pool2d(&mut self, x: &Array, spec: MaxPool2d) -> Array {
        let [n, c, h, w] = x.nchw();
        let MaxPool2d { kernel, stride, padding } = spec;
        let side = |px| pooled(px, kernel, stride, padding);
        Array::of(&[n, c, side(h), side(w)], |i| {
            let mut most = f64::NEG_INFINITY;
            for ky in 0..kernel {
                for kx in 0..kernel {
                    let (y, x_) =
                        (source(i[2], stride, ky, padding), source(i[3], stride, kx, padding));
                    most = most.max(x.inside(i[0], i[1], y, x_).unwrap_or(f64::NEG_INFINITY));
                }
            }
            narrow(most)
        })
    }

    fn avg_pool2d(&mut self, x: &Array, kernel: usize) -> Array {
        Array::of(&x.shape, |i| {
            let mut sum = 0.0;
            for ky in 0..kernel {
                for kx in 0..kernel {
                    let (y, x_) =
                        (source(i[2], 1, ky, kernel / 2), source(i[3], 1, kx, kernel / 2));
                    sum += x.inside(i[0], i[1], y, x_).unwrap_or(0.0);
                }
            }
            narrow(sum / (kernel * kernel) as f64)
        })
    }

    fn add(&mut self, a: &Array, b: &Array) -> Array {
        Array::of(&a.shape, |i| narrow(a.at(i) + b.at(i)))
    }

    fn mean(&mut self, parts: &[Array]) -> Array {
        let count = parts.len() as f64;
        Array::of(&parts[0].shape, |i| {
            narrow(parts.iter().map(|part| part.at(i)).sum::<f64>() / count)
        })
    }

    fn concat(&mut self, parts: &[Array]) -> Array {
        let [n, _, h, w] = parts[0].nchw();
        let channels = parts.iter().map(|part| part.shape[1]).sum();
        Array::of(&[n, channels, h, w], |i| {
            let mut channel = i[1];
            let part = parts.iter().find(|part| {
                let is_in = channel < part.shape[1];
                if !is_in {
                    channel -= part.shape[1];
                }
                is_in
            });
            narrow(part.expect("channels are counted above").at(&[i[0], channel, i[2], i[3]]))
        })
    }

    fn cosine_distance(&mut self, a: &Array, b: &Array) -> Array {
        let [n, channels, h, w] = a.nchw();
        Array::of(&[n, 1, h, w], |i| {
            let dot = |p: &Array, q: &Array| {
                let at = |array: &Array, c| array.at(&[i[0], c, i[2], i[3]]);
                (0..channels).map(|c| at(p, c) * at(q, c)).sum::<f64>()
            };
            let norm = |p: &Array| dot(p, p).sqrt().max(f64::from(COSINE_EPS));
            narrow(1.0 - dot(a, b) / (norm(a) * norm(b)))
        })
    }

    fn distance_to_nearest(&mut self, cosines: &Array) -> Array {
        let [n, channels, h, w] = cosines.nchw();
        Array::of(&[n, 1, h, w], |i| {
            let at = |c| cosines.at(&[i[0], c, i[2], i[3]]);
            narrow(1.0 - (0..channels).map(at).fold(f64::NEG_INFINITY, f64::max))
        })
    }

    fn resize(&mut self, x: &Array, height: usize, width: usize) -> Array {
        let [n, c, h, w] = x.nchw();
        // The corners of both grids coincide.
        let place = |out: usize, outs: usize, ins: usize| {
            let at = if outs > 1 { out as f64 * (ins - 1) as f64 / (outs - 1) as f64 } else { 0.0 };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "within the plane"
            )]
            let low = at.floor() as usize;
            (low, (low + 1).min(ins - 1), at - low as f64)
        };
        Array::of(&[n, c, height, width], |i| {
            let (top, bottom, down) = place(i[2], height, h);
            let (left, right, across) = place(i[3], width, w);
            let row = |y| {
                let at = |x_| x.at(&[i[0], i[1], y, x_]);
                at(left) * (1.0 - across) + at(right) * across
            };
            narrow(row(top) * (1.0 - down) + row(bottom) * down)
        })
    }

    fn gaussian_blur(&mut self, x: &Array, blur: Blur) -> Array {
        let [_, _, h, w] = x.nchw();
        let taps = blur.taps();
        let mirror = |at: usize, tap: usize, px: usize| {
            let shifted = at + tap;
            let from = shifted.abs_diff(blur.radius_px);
            if from < px { from } else { 2 * (px - 1) - from }
        };
        Array::of(&x.shape, |i| {
            let mut sum = 0.0;
            for (ky, down) in taps.iter().enumerate() {
                for (kx, across) in taps.iter().enumerate() {
                    let place = [i[0], i[1], mirror(i[2], ky, h), mirror(i[3], kx, w)];
                    sum += x.at(&place) * f64::from(*down) * f64::from(*across);
                }
            }
            narrow(sum)
        })
    }

    fn drop_channel(&mut self, x: &Array) -> Array {
        let [n, _, h, w] = x.nchw();
        Array { shape: vec![n, h, w], values: x.values.clone() }
    }

    fn map_max(&mut self, map: &Array) -> Array {
        let plane = map.shape[1] * map.shape[2];
        let values = map.values.chunks(plane).map(|m| m.iter().copied().fold(f32::MIN, f32::max));
        Array { shape: vec![map.shape[0]], values: values.collect() }
    }

    fn global_avg_pool(&mut self, x: &Array) -> Array {
        let [n, c, h, w] = x.nchw();
        Array::of(&[n, c], |i| {
            let first = (i[0] * c + i[1]) * h * w;
            let plane = &x.values[first..first + h * w];
            narrow(plane.iter().map(|v| f64::from(*v)).sum::<f64>() / (h * w) as f64)
        })
    }

    fn l2_normalise(&mut self, x: &Array) -> Array {
        Array::of(&x.shape, |i| {
            let square = |c: usize| x.at(&[&[i[0], c], &i[2..]].concat()).powi(2);
            let norm = (0..x.shape[1]).map(square).sum::<f64>().sqrt();
            narrow(x.at(i) / norm.max(f64::from(COSINE_EPS)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Weights;

    fn none() -> Checked {
        Weights::default().check(&[]).expect("nothing is needed")
    }

    fn row(values: &[f32]) -> Array {
        Array { shape: vec![1, 1, 1, values.len()], values: values.to_vec() }
    }

    #[test]
    fn corners_of_a_resized_row_stay_where_they_are() {
        let weights = none();
        let resized = Reference::new(&weights).resize(&row(&[0.0, 1.0, 4.0]), 1, 5);
        assert_eq!(resized.values, [0.0, 0.5, 1.0, 2.5, 4.0]);
    }

    #[test]
    fn features_of_zeros_have_distance_one() {
        let weights = none();
        let zeros = Array::of(&[1, 2, 1, 1], |_| 0.0);
        let distance = Reference::new(&weights).cosine_distance(&zeros, &zeros);
        assert_eq!(distance.values, [1.0]);
    }

    #[test]
    fn the_blur_mirrors_without_the_edge_pixel() {
        let weights = none();
        let map = Array::of(&[1, 1, 3, 3], |i| if i[3] == 1 { 1.0 } else { 0.0 });
        let blur = Blur { sigma_px: 1.0, radius_px: 1 };
        let taps = blur.taps();
        let blurred = Reference::new(&weights).gaussian_blur(&map, blur);
        // Left of column 0 is column 1 again: both neighbours are 1.
        let expected = taps[0] + taps[2];
        assert!((blurred.values[0] - expected).abs() < 1e-6);
    }
}
