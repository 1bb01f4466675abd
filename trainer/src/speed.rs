//! How much faster one network runs than another: a ratio within one run, so that what else the machine does strikes
//! both.
//!
//! Owns the interleaving and the interval. Times differ from machine to machine; ratios of one machine say what int8
//! is worth there.

use std::time::Instant;

use bundle::geometry::RgbImage;

use crate::detector::Detect;

/// Time of one network over that of another, pair by pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speedup {
    /// Median of the ratios.
    pub median: f64,
    /// Lower end of the median's 95 % interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Pairs of runs.
    pub pairs: usize,
    /// Median milliseconds a frame of the one that is compared with.
    pub base_millis: f64,
    /// Median milliseconds a frame of the other.
    pub millis: f64,
}

/// Runs both in turn on the same batch, `pairs` times after one run each to warm up.
pub fn speedup(
    base: &mut dyn Detect,
    other: &mut dyn Detect,
    batch: &[RgbImage],
    pairs: usize,
) -> anyhow::Result<Speedup> {
    let time = |detector: &mut dyn Detect| -> anyhow::Result<f64> {
        let started = Instant::now();
        detector.detect(batch)?;
        Ok(started.elapsed().as_secs_f64() * 1e3 / batch.len().max(1) as f64)
    };
    time(base)?;
    time(other)?;
    let (mut base_millis, mut millis, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pairs.max(1) {
        let (a, b) = (time(base)?, time(other)?);
        base_millis.push(a);
        millis.push(b);
        ratios.push(a / b);
    }
    let (low, high) = median_interval(&mut ratios);
    Ok(Speedup {
        median: median(&mut ratios),
        low,
        high,
        pairs: ratios.len(),
        base_millis: median(&mut base_millis),
        millis: median(&mut millis),
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

/// The 95 % interval of the median by order statistics: ranks `n / 2 -+ 0.98 sqrt(n)`, no matter the distribution.
fn median_interval(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let half = 0.98 * count.sqrt();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    let low = (count / 2.0 - half).floor().max(0.0) as usize;
    let high = values.len() - 1 - low.min(values.len() - 1);
    (values[low.min(high)], values[low.max(high)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_their_intervals_are_order_statistics() {
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(&mut [4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
        let mut ratios: Vec<f64> = (1..=25).map(f64::from).collect();
        // 12.5 - 4.9 = 7.6: the eighth of 25 from either end.
        assert_eq!(median_interval(&mut ratios), (8.0, 18.0));
        assert_eq!(median_interval(&mut [2.0]), (2.0, 2.0));
    }
}
