//! How long to wait before something that failed is tried again.
//!
//! Pure: chance comes in. Each wait is twice the one before, up to a limit, and moved by chance, so that those who failed
//! together do not come back together.

use std::time::Duration;

/// The wait after so many failures before this one; `jitter` is from 0 to 1, by chance.
pub fn wait(first: Duration, max: Duration, failures: u32, jitter: f64) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    // A quarter up or down.
    let factor = 0.75 + 0.5 * jitter.clamp(0.0, 1.0);
    doubled.min(max).mul_f64(factor).min(max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_bounded_by_both_sides(failures in 0_u32..1_000, jitter in -1.0..2.0) {
            let (first, max) = (Duration::from_secs(1), Duration::from_mins(1));
            let wait = wait(first, max, failures, jitter);
            prop_assert!(wait >= first.mul_f64(0.75) && wait <= max);
        }
    }
}
