//! The interval that a count of rare events may fall into.
//!
//! Pure. Exact two-sided interval of Clopper and Pearson (1934), by bisection on the binomial tail.

/// The smallest and largest rate that `events` of `trials` are compatible with at 95 %.
pub fn interval_95(events: usize, trials: usize) -> (f64, f64) {
    const TAIL: f64 = 0.025;
    if trials == 0 {
        return (0.0, 1.0);
    }
    let bisect = |is_low: &dyn Fn(f64) -> bool| {
        let (mut low, mut high) = (0.0, 1.0);
        // 60 halvings reach the last bit of an f64.
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if is_low(middle) { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    };
    let at_least = |rate: f64, count: usize| 1.0 - at_most(rate, count.wrapping_sub(1), trials);
    let lower = if events == 0 { 0.0 } else { bisect(&|rate| at_least(rate, events) < TAIL) };
    let upper =
        if events == trials { 1.0 } else { bisect(&|rate| at_most(rate, events, trials) > TAIL) };
    (lower, upper)
}

/// `3 of 40 (7.5 %, 1.6 to 20.4 % at 95 %)`.
pub fn share_in_words(events: usize, trials: usize) -> String {
    if trials == 0 {
        return "none there".into();
    }
    let (low, high) = interval_95(events, trials);
    let [share, low, high] = [events as f64 / trials as f64, low, high].map(|share| share * 100.0);
    format!("{events} of {trials} ({share:.1} %, {low:.1} to {high:.1} % at 95 %)")
}

/// P(X <= count) for X binomial; `usize::MAX` stands for -1.
fn at_most(rate: f64, count: usize, trials: usize) -> f64 {
    if count == usize::MAX {
        return 0.0;
    }
    if rate <= 0.0 {
        return 1.0;
    }
    if rate >= 1.0 {
        return if count >= trials { 1.0 } else { 0.0 };
    }
    // In logarithms: (1 - rate)^trials underflows for thousands of trials.
    let mut log_term = trials as f64 * (-rate).ln_1p();
    let mut sum = log_term.exp();
    for k in 1..=count.min(trials) {
        log_term += ((trials - k + 1) as f64 / k as f64).ln() + rate.ln() - (-rate).ln_1p();
        sum += log_term.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_intervals() {
        let check = |events, trials, low: f64, high: f64| {
            let (found_low, found_high) = interval_95(events, trials);
            assert!((found_low - low).abs() < 5e-5, "{found_low} instead of {low}");
            assert!((found_high - high).abs() < 5e-5, "{found_high} instead of {high}");
        };
        // R: binom.test(x, n)$conf.int
        check(0, 10, 0.0, 0.3085);
        check(1, 20, 0.0013, 0.2487);
        check(10, 10, 0.6915, 1.0);
        check(5, 100, 0.0164, 0.1128);
        assert_eq!(interval_95(0, 0), (0.0, 1.0));
        assert_eq!(share_in_words(5, 100), "5 of 100 (5.0 %, 1.6 to 11.3 % at 95 %)");
        assert_eq!(share_in_words(0, 0), "none there");
    }
}
