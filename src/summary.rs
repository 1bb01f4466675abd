//! What a run amounts to: verdicts per product and decision, and how long they took.
//!
//! Pure. Its memory does not grow with the number of frames: latencies go into buckets 2 % wide.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crate::verdict::{Decision, Verdict};

/// Verdicts counted by what they say.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Per product; `None` for verdicts without a recognised product.
    products: BTreeMap<Option<Arc<str>>, Counts>,
    /// From the capture of a frame to its verdict.
    pub latency: Latencies,
    /// The inference alone.
    pub inference: Latencies,
}

/// Verdicts of each decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed.
    pub pass: u64,
    /// Failed.
    pub fail: u64,
    /// Not recognised.
    pub unknown_product: u64,
    /// Not judged.
    pub fault: u64,
}

impl Counts {
    /// All of them.
    pub fn total(self) -> u64 {
        self.pass + self.fail + self.unknown_product + self.fault
    }
}

impl Summary {
    /// Counts one verdict.
    pub fn add(&mut self, verdict: &Verdict) {
        let product = match verdict.decision {
            Decision::Pass(_) | Decision::Fail => {
                verdict.recognition.as_ref().map(|nearest| nearest.product.clone())
            }
            // The nearest product is no product of an unknown part.
            Decision::UnknownProduct | Decision::Fault => None,
        };
        let counts = self.products.entry(product).or_default();
        match verdict.decision {
            Decision::Pass(_) => counts.pass += 1,
            Decision::Fail => counts.fail += 1,
            Decision::UnknownProduct => counts.unknown_product += 1,
            Decision::Fault => counts.fault += 1,
        }
    }

    /// Over all products.
    pub fn counts(&self) -> Counts {
        self.products.values().fold(Counts::default(), |sum, counts| Counts {
            pass: sum.pass + counts.pass,
            fail: sum.fail + counts.fail,
            unknown_product: sum.unknown_product + counts.unknown_product,
            fault: sum.fault + counts.fault,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.products.keys().flatten().map(|name| name.chars().count()).max();
        let width = width.unwrap_or(0).max("product".len());
        writeln!(
            f,
            "  {:width$}  {:>8} {:>8} {:>8} {:>8}",
            "product", "pass", "fail", "unknown", "fault"
        )?;
        let total = (self.products.len() > 1).then(|| ("all", self.counts()));
        let rows =
            self.products.iter().map(|(name, counts)| (name.as_deref().unwrap_or("-"), *counts));
        for (name, counts) in rows.chain(total) {
            let Counts { pass, fail, unknown_product, fault } = counts;
            writeln!(f, "  {name:width$}  {pass:>8} {fail:>8} {unknown_product:>8} {fault:>8}")?;
        }
        writeln!(f, "  capture to verdict  {}", self.latency)?;
        write!(f, "  inference alone     {}", self.inference)
    }
}

/// Durations in buckets whose bounds are 2 % apart, from 1 microsecond to an hour and more.
#[derive(Clone)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    longest: Duration,
}

/// 2^(1/35) is 1.02.
const BUCKETS_PER_DOUBLING: u16 = 35;
/// 2^32 microseconds are 71 minutes; what takes longer is counted there.
const DOUBLINGS: u16 = 32;

impl Default for Latencies {
    fn default() -> Self {
        let buckets = vec![0; usize::from(DOUBLINGS * BUCKETS_PER_DOUBLING) + 1];
        Self { buckets, count: 0, longest: Duration::ZERO }
    }
}

impl Latencies {
    /// Counts one duration.
    pub fn add(&mut self, duration: Duration) {
        let last = self.buckets.len() - 1;
        let micros = (duration.as_secs_f64() * 1e6).max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least 0, and the cast saturates"
        )]
        let bucket = ((micros.log2() * f64::from(BUCKETS_PER_DOUBLING)).round() as usize).min(last);
        self.buckets[bucket] += 1;
        self.count += 1;
        self.longest = self.longest.max(duration);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, exactly.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// The duration that the share `quantile` did not exceed, within 1 %; `None` when there were none.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = (quantile * self.count as f64).ceil().max(1.0);
        let mut below = 0_u64;
        let bucket = self.buckets.iter().position(|count| {
            below += count;
            self.count > 0 && below as f64 >= rank
        })?;
        let micros = (bucket as f64 / f64::from(BUCKETS_PER_DOUBLING)).exp2();
        Some(Duration::try_from_secs_f64(micros / 1e6).unwrap_or(self.longest).min(self.longest))
    }
}

// By hand: a thousand zeros tell nobody anything.
impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} durations, {self}", self.count)
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
        let [Some(p50), Some(p90), Some(p99)] = [0.5, 0.9, 0.99].map(|q| self.quantile(q)) else {
            return f.write_str("none");
        };
        write!(
            f,
            "p50 {:.1} ms  p90 {:.1} ms  p99 {:.1} ms  max {:.1} ms",
            millis(p50),
            millis(p90),
            millis(p99),
            millis(self.longest)
        )
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ranks")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Latencies::default().quantile(0.5), None);
        assert_eq!(Latencies::default().to_string(), "none");
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_list_within_a_bucket(
            mut micros in prop::collection::vec(1_u64..10_000_000, 1..200),
            quantile in 0.0..=1.0_f64,
        ) {
            let mut latencies = Latencies::default();
            for &duration in &micros {
                latencies.add(Duration::from_micros(duration));
            }
            micros.sort_unstable();
            let rank = (quantile * micros.len() as f64).ceil().max(1.0) as usize;
            let exact = micros[rank - 1] as f64;
            let found = latencies.quantile(quantile).unwrap().as_secs_f64() * 1e6;
            prop_assert!((found / exact - 1.0).abs() < 0.011, "{found} instead of {exact}");
        }
    }
}
