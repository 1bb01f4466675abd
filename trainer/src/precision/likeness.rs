//! What a precision costs: the exported network held against the FP32 network that it came from.
//!
//! Owns the check that refuses a broken export, and the pair of reports for the model card. Knows nothing of how the
//! precision was made.

use anyhow::bail;
use bundle::{
    calibration::RejectRate,
    geometry::RgbImage,
    precision::Precision,
    prototype::{Prototype, nearest},
    schema::Class,
};
use indicatif::ProgressBar;

use super::sensitivity::map_deviation;
use crate::{
    dataset::Dataset,
    detector::{Answer, Detect},
    evaluate::{self, Report},
};

/// How like FP32 a network answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// Frames compared.
    pub frames: usize,
    /// The least Pearson correlation of a frame's two anomaly maps.
    pub map_correlation: f64,
    /// Mean absolute difference of the maps, relative to FP32's mean.
    pub map_deviation: f64,
    /// The largest absolute difference of a score.
    pub score_deviation: f32,
    /// Share of the frames in which both recognise the same product.
    pub recognised_alike: f64,
}

/// Both networks' results on the test images.
#[derive(Clone, Debug)]
pub struct Reports {
    /// Of FP32.
    pub fp32: Report,
    /// Of the exported network, where it is another.
    pub exported: Option<Report>,
}

/// The least map correlation with FP32 that an export may have: rounding weights to f16 moves a map by less than a
/// thousandth of its spread, int8 by some hundredths; a wrong scale or a lost bias by tenths.
fn map_correlation_min(precision: &Precision) -> f64 {
    match precision {
        Precision::Fp32 | Precision::Fp16(_) => 0.999,
        Precision::Int8(_) => 0.95,
    }
}

/// The least share of frames recognised alike: one doubtful frame in ten is rounding, more is a broken embedding.
const RECOGNISED_ALIKE_MIN: f64 = 0.9;

/// Compares the answers to these inputs, one at a time, by the same prototypes.
pub fn measure(
    fp32: &mut dyn Detect,
    exported: &mut dyn Detect,
    prototypes: &[(String, Prototype)],
    inputs: &[RgbImage],
) -> anyhow::Result<Likeness> {
    let mut expected: Vec<Answer> = Vec::new();
    let mut found: Vec<Answer> = Vec::new();
    for input in inputs {
        let input = std::slice::from_ref(input);
        expected.extend(fp32.detect(input)?);
        found.extend(exported.detect(input)?);
    }
    let pairs = || expected.iter().zip(&found);
    let product = |answer: &Answer| {
        nearest(prototypes.iter().map(|(_, prototype)| prototype), &answer.embedding)
            .map(|nearest| nearest.index)
    };
    let alike = pairs().filter(|(a, b)| product(a) == product(b)).count();
    Ok(Likeness {
        frames: inputs.len(),
        map_correlation: least_correlation(&expected, &found),
        map_deviation: map_deviation(&expected, &found),
        score_deviation: pairs()
            .map(|(a, b)| (a.score - b.score).abs())
            .fold(0.0, |most, d| if d.is_nan() || d > most { d } else { most }),
        recognised_alike: alike as f64 / inputs.len().max(1) as f64,
    })
}

/// Refuses an export that is no longer the network it came from.
pub fn check(likeness: &Likeness, precision: &Precision) -> anyhow::Result<()> {
    let least = map_correlation_min(precision);
    // Written so that a NaN is refused.
    let agrees =
        likeness.map_correlation >= least && likeness.recognised_alike >= RECOGNISED_ALIKE_MIN;
    if !agrees {
        bail!(
            "{} and FP32 disagree: {likeness:?}, a map correlation of {least} and {RECOGNISED_ALIKE_MIN} of the frames \
             recognised alike are needed; nothing was written; export with --precision fp32, or train longer",
            precision.name()
        );
    }
    Ok(())
}

/// A network and the products that it knows.
pub struct Measurable<'a> {
    /// The network.
    pub detector: &'a mut dyn Detect,
    /// Products with prototypes that were measured with it.
    pub classes: &'a [Class],
}

/// Measures on the test images; `None` when the data set has none.
pub fn reports(
    fp32: Measurable<'_>,
    exported: Option<Measurable<'_>>,
    data: &Dataset,
    rate: RejectRate,
    bar: impl Fn(&'static str) -> ProgressBar,
) -> anyhow::Result<Option<Reports>> {
    if data.classes.iter().all(|class| class.test.is_empty()) {
        return Ok(None);
    }
    let measure = |of: Measurable<'_>, what| {
        evaluate::evaluate(of.detector, of.classes, data, rate, &bar(what))
            .map(|evaluation| evaluation.report)
    };
    let fp32 = measure(fp32, "test FP32")?;
    let exported = exported.map(|exported| measure(exported, "test exported")).transpose()?;
    Ok(Some(Reports { fp32, exported }))
}

/// The least correlation of a frame's two maps; not a number where one of them is none.
pub(super) fn least_correlation(expected: &[Answer], found: &[Answer]) -> f64 {
    let pairs = expected.iter().zip(found);
    pairs
        .map(|(a, b)| correlation(&a.map.values, &b.map.values))
        .fold(1.0, |least, r| if r.is_nan() || r < least { r } else { least })
}

/// Pearson's; 1 for two maps that are both flat, for there is nothing to differ in.
fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |values: &[f32]| {
        values.iter().copied().map(f64::from).sum::<f64>() / values.len().max(1) as f64
    };
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a) - mean_a, f64::from(*b) - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    if aa == 0.0 && bb == 0.0 { 1.0 } else { ab / (aa * bb).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_is_pearsons() {
        let check = |a: &[f32], b: &[f32], expected: f64| {
            assert!((correlation(a, b) - expected).abs() < 1e-9, "{a:?} {b:?}");
        };
        check(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0], 1.0);
        check(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0], -1.0);
        check(&[1.0, 2.0, 1.0, 2.0], &[1.0, 1.0, 2.0, 2.0], 0.0);
        check(&[5.0, 5.0], &[7.0, 7.0], 1.0);
        assert!(correlation(&[1.0, f32::NAN], &[1.0, 2.0]).is_nan());
    }

    #[test]
    fn a_network_that_answers_otherwise_is_refused() {
        let like = |map_correlation, recognised_alike| Likeness {
            frames: 1,
            map_correlation,
            map_deviation: 0.0,
            score_deviation: 0.0,
            recognised_alike,
        };
        let int8 = Precision::Int8(bundle::precision::Int8::default());
        let half = Precision::Fp16(bundle::precision::Fp16::default());
        assert!(check(&like(0.98, 1.0), &int8).is_ok());
        assert!(check(&like(0.98, 0.5), &int8).is_err());
        assert!(check(&like(0.98, 1.0), &half).is_err());
        assert!(check(&like(f64::NAN, 1.0), &int8).is_err());
    }
}
