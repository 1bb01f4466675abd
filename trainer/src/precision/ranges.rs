//! Ranges of the activations: what the FP32 network's values reach on training images.
//!
//! Owns the histograms and the rule that makes a range of one. Deterministic: images in their order, one at a time.

use std::collections::BTreeMap;

use bundle::geometry::RgbImage;
use indicatif::ProgressBar;
use network::onnx::{self, Ranges, proto::ModelProto};

use crate::deployed::ValueProbe;

/// Bins of a histogram; its end doubles when a value lies beyond it.
const BINS: usize = 4096;
/// Share of the values that a percentile keeps.
const PERCENTILE: f64 = 0.9999;
/// Ranges that the least square error is sought among.
const CANDIDATES: usize = 128;
/// Steps of int8 on one side of zero.
const STEPS: f64 = 127.0;

/// How a range is chosen from the magnitudes that were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RangeMethod {
    /// The largest magnitude.
    Max,
    /// What 99.99 % of the magnitudes stay below.
    Percentile,
    /// The range whose rounding and clipping errors have the least sum of squares.
    #[default]
    Mse,
}

impl RangeMethod {
    /// For the record.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Max => "largest magnitude",
            Self::Percentile => "99.99 % of the magnitudes",
            Self::Mse => "least square error of rounding and clipping",
        }
    }
}

/// Runs the FP32 network on the images and chooses the range of every value that `onnx::quantise` asks for.
pub fn measure(
    float: &ModelProto,
    images: &[RgbImage],
    method: RangeMethod,
    bar: &ProgressBar,
) -> anyhow::Result<Ranges> {
    bar.set_length(images.len() as u64);
    let names = onnx::ranged_values(float);
    let mut probe = ValueProbe::new(&onnx::bytes(&onnx::with_outputs(float.clone(), &names)))?;
    let mut histograms: BTreeMap<String, Histogram> = BTreeMap::new();
    for image in images {
        probe.run(image, &names, |name, values| {
            histograms.entry(name.to_owned()).or_default().add(values);
        })?;
        bar.inc(1);
    }
    bar.finish();
    Ok(histograms.into_iter().map(|(name, histogram)| (name, histogram.range(method))).collect())
}

/// Counts of magnitudes in equal bins from zero.
#[derive(Clone, Debug)]
struct Histogram {
    counts: Vec<u64>,
    /// Where the last bin ends.
    end: f32,
    /// The largest magnitude.
    largest: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BINS], end: 1.0 / 1024.0, largest: 0.0 }
    }
}

impl Histogram {
    fn add(&mut self, values: &[f32]) {
        // What is no number or infinite has no range; the export's own checks find such a network.
        for value in values.iter().map(|value| value.abs()).filter(|value| value.is_finite()) {
            self.largest = self.largest.max(value);
            while value >= self.end && self.end < f32::MAX / 2.0 {
                self.double();
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to BINS"
            )]
            let bin = (value / self.end * BINS as f32) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    /// Twice the end; two bins become one.
    fn double(&mut self) {
        for bin in 0..BINS / 2 {
            self.counts[bin] = self.counts[2 * bin] + self.counts[2 * bin + 1];
        }
        self.counts[BINS / 2..].fill(0);
        self.end *= 2.0;
    }

    fn range(&self, method: RangeMethod) -> f32 {
        match method {
            RangeMethod::Max => self.largest,
            RangeMethod::Percentile => self.percentile().min(self.largest),
            RangeMethod::Mse => self.least_square_error(),
        }
    }

    /// The end of the bin that the percentile lies in.
    fn percentile(&self) -> f32 {
        let all: u64 = self.counts.iter().sum();
        let wanted = all as f64 * PERCENTILE;
        let mut below = 0;
        for (bin, count) in self.counts.iter().enumerate() {
            below += count;
            if below as f64 >= wanted {
                return self.end * (bin + 1) as f32 / BINS as f32;
            }
        }
        self.largest
    }

    fn least_square_error(&self) -> f32 {
        let mut best = (f64::INFINITY, self.largest);
        for candidate in 1..=CANDIDATES {
            let range = self.largest * candidate as f32 / CANDIDATES as f32;
            let error = self.square_error(range);
            if error <= best.0 {
                best = (error, range);
            }
        }
        best.1
    }

    /// A uniform error of a step's width inside the range, the distance to it outside.
    fn square_error(&self, range: f32) -> f64 {
        let range = f64::from(range);
        let step = range / STEPS;
        let width = f64::from(self.end) / BINS as f64;
        let errors = self.counts.iter().enumerate().map(|(bin, count)| {
            let value = (bin as f64 + 0.5) * width;
            // A bin finer than a step near zero, most of all exact zeros, rounds to zero and is off by its value.
            let rounding = (step * step / 12.0).min(value * value);
            let beyond = (value - range).max(0.0);
            *count as f64 * if beyond > 0.0 { beyond * beyond } else { rounding }
        });
        errors.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add(values);
        histogram
    }

    #[test]
    fn ranges_follow_their_definitions() {
        // 20,000 values up to 1, two of which lie at 50.
        let mut values: Vec<f32> = (0..20_000).map(|i| i as f32 / 20_000.0).collect();
        values[3] = -50.0;
        values[70] = 50.0;
        let histogram = histogram(&values);
        let check = |method, low: f32, high: f32| {
            let range = histogram.range(method);
            assert!((low..=high).contains(&range), "{method:?}: {range}");
        };
        check(RangeMethod::Max, 50.0, 50.0);
        check(RangeMethod::Percentile, 0.99, 1.1);
        // Clipping the two costs more than coarse steps for the rest do.
        check(RangeMethod::Mse, 30.0, 50.0);
    }

    #[test]
    fn a_wider_range_is_refused_when_its_steps_cost_more() {
        let mut values: Vec<f32> = (0..200_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        values[0] = 3.0;
        let range = histogram(&values).range(RangeMethod::Mse);
        assert!((0.9..2.0).contains(&range), "{range}");
    }

    #[test]
    fn zeros_and_what_is_no_number_have_a_range() {
        assert!(histogram(&[0.0; 9]).range(RangeMethod::Mse).abs() < 1e-9);
        assert!((histogram(&[f32::NAN, 2.0]).range(RangeMethod::Max) - 2.0).abs() < 1e-6);
        assert!(histogram(&[]).range(RangeMethod::Percentile).abs() < 1e-9);
    }
}
