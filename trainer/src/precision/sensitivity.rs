//! Which layers stay in float: those that, on int8 alone, change the anomaly maps of good parts most.
//!
//! Owns the criterion, its budget and the greedy choice. Measured on ONNX Runtime, the exported form, with held-out
//! good parts; no test image takes part. Deterministic, and bounded: each layer is tried once, and in the end at most
//! all of them are in float, which is FP32.

use std::collections::BTreeSet;

use bundle::{
    geometry::{Geometry, RgbImage},
    precision::FloatLayer,
};
use indicatif::ProgressBar;
use network::onnx::{self, Ranges, proto::ModelProto};

use crate::{
    deployed::OnnxDetector,
    detector::{Answer, Detect as _},
    precision::likeness::least_correlation,
};

/// Mean absolute difference of the anomaly maps from FP32 that int8 may cost, relative to the maps' mean.
pub const MAP_DEVIATION_MAX: f64 = 0.05;

/// The least correlation that any part's map may have with FP32's: a mean over all parts hides the one whose map is
/// another. Above what the finished file is held to (`likeness`), which looks at more parts.
pub const MAP_CORRELATION_MIN: f64 = 0.97;

/// Images in a batch.
const BATCH: usize = 4;

/// The quantised network and what it kept in float.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The network.
    pub model: ModelProto,
    /// The most sensitive first.
    pub float_layers: Vec<FloatLayer>,
    /// Of the network, all its int8 layers together.
    pub map_deviation: f64,
}

/// How far maps are from FP32's.
#[derive(Clone, Copy, Debug)]
struct Distance {
    /// In the mean.
    map_deviation: f64,
    /// Of the part that is worst off.
    map_correlation: f64,
}

impl Distance {
    /// Written so that what is no number is not within.
    fn is_within_budget(self) -> bool {
        self.map_deviation <= MAP_DEVIATION_MAX && self.map_correlation >= MAP_CORRELATION_MIN
    }
}

/// Quantises all layers, then keeps the most sensitive in float until mean and worst part are within the budget.
pub fn choose(
    float: &ModelProto,
    ranges: &Ranges,
    geometry: &Geometry,
    images: &[RgbImage],
    bar: &ProgressBar,
) -> anyhow::Result<Chosen> {
    let layers = onnx::layers(float);
    // One run of the whole, one a layer; the greedy part adds its own.
    bar.set_length(1 + layers.len() as u64);
    let expected = maps(&onnx::bytes(float), geometry, images)?;
    let quantised = |float_layers: &BTreeSet<String>| -> anyhow::Result<(ModelProto, Distance)> {
        let model = onnx::quantise(float.clone(), ranges, float_layers)?;
        let found = maps(&onnx::bytes(&model), geometry, images)?;
        let map_deviation = map_deviation(&expected, &found);
        let map_correlation = least_correlation(&expected, &found);
        bar.set_message(format!(
            "map deviation {:.2} %, least correlation {map_correlation:.3}",
            map_deviation * 100.0
        ));
        bar.inc(1);
        Ok((model, Distance { map_deviation, map_correlation }))
    };
    let mut float_layers = Vec::new();
    let mut names = BTreeSet::new();
    let (mut model, mut distance) = quantised(&names)?;
    if !distance.is_within_budget() {
        let all: BTreeSet<String> = layers.iter().cloned().collect();
        let mut ranked = Vec::with_capacity(layers.len());
        for name in layers {
            let mut others = all.clone();
            others.remove(&name);
            let (_, Distance { map_deviation, .. }) = quantised(&others)?;
            ranked.push(FloatLayer { name, map_deviation });
        }
        // Stable: layers that cost the same stay in the order of the graph.
        ranked.sort_by(|a, b| b.map_deviation.total_cmp(&a.map_deviation));
        for layer in ranked {
            bar.inc_length(1);
            names.insert(layer.name.clone());
            float_layers.push(layer);
            (model, distance) = quantised(&names)?;
            if distance.is_within_budget() {
                break;
            }
        }
    }
    bar.finish();
    Ok(Chosen { model, float_layers, map_deviation: distance.map_deviation })
}

fn maps(network: &[u8], geometry: &Geometry, images: &[RgbImage]) -> anyhow::Result<Vec<Answer>> {
    let mut detector = OnnxDetector::new(network, geometry.clone())?;
    let mut answers = Vec::with_capacity(images.len());
    for images in images.chunks(BATCH) {
        answers.extend(detector.detect(images)?);
    }
    Ok(answers)
}

/// Mean absolute difference of the maps, relative to the expected ones' mean.
pub fn map_deviation(expected: &[Answer], found: &[Answer]) -> f64 {
    let (mut difference, mut sum) = (0.0, 0.0);
    for (expected, found) in expected.iter().zip(found) {
        for (expected, found) in expected.map.values.iter().zip(&found.map.values) {
            difference += f64::from((expected - found).abs());
            sum += f64::from(expected.abs());
        }
    }
    // A network that finds nothing anywhere cannot be off by a share of it.
    if sum > 0.0 { difference / sum } else { difference }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_mean_nor_the_worst_part_may_be_far_off() {
        let check = |map_deviation, map_correlation, is_within| {
            let distance = Distance { map_deviation, map_correlation };
            assert_eq!(distance.is_within_budget(), is_within, "{distance:?}");
        };
        check(0.04, 0.98, true);
        check(0.06, 0.98, false);
        check(0.04, 0.88, false);
        check(f64::NAN, 0.98, false);
        check(0.04, f64::NAN, false);
    }
}
