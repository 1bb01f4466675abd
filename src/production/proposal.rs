//! Whether false rejects are more than the stated rate explains, and what is proposed then.
//!
//! Pure. A product's rate says that at most that share of its good parts is refused. Of `n` parts that were judged in a
//! shift, at most `n` were good: how many good ones among them were refused by chance is at most binomial with `n` and
//! the rate. `k` that people marked are some of those, for nobody marks all. So where `k` or more of `n` are less likely
//! than [`LEVEL`], the calibration no longer describes the parts. It is asked again at each mark; over a shift a wrong
//! proposal is a few times as likely as the level then, and costs a person a look.

/// How unlikely chance must be.
pub const LEVEL: f64 = 0.001;
/// So many false rejects since the last calibration are worth a new one, whatever the rate explains.
pub const MANY: u64 = 30;

/// What is known of one camera's product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Parts that were judged in this shift.
    pub judged: u64,
    /// False rejects of this shift, since the last calibration.
    pub in_shift: u64,
    /// All of them since the last calibration.
    pub in_all: u64,
    /// The configured rate; `None` where the calibration does not promise one, or no part has come yet.
    pub rate: Option<f64>,
}

/// Why a product is to be calibrated anew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// Its stated rate does not explain so many.
    MoreThanRate {
        /// How likely chance is to give as many.
        p_value: f64,
    },
    /// There are many.
    Many,
}

/// Whether to calibrate anew.
pub fn propose(known: &Known) -> Option<Why> {
    let p_value = known.rate.map(|rate| tail(known.in_shift, known.judged, rate));
    match p_value {
        Some(p_value) if p_value < LEVEL => Some(Why::MoreThanRate { p_value }),
        Some(_) | None => (known.in_all >= MANY).then_some(Why::Many),
    }
}

/// The proposal in plain words, with what to do.
pub fn text(camera: &str, product: &str, known: &Known, why: Why) -> String {
    let what = match why {
        Why::MoreThanRate { .. } => {
            let rate = known.rate.unwrap_or(0.0);
            format!(
                "{} good parts of {product} were refused at camera {camera} in this shift, among {} that were judged; \
                 the configured rate of {} % explains {:.1}.",
                known.in_shift,
                known.judged,
                rate * 100.0,
                rate * known.judged as f64,
            )
        }
        Why::Many => format!(
            "{} good parts of {product} were refused at camera {camera} since its last calibration.",
            known.in_all
        ),
    };
    format!(
        "{what} Calibrate {product} anew on good parts; where light, lens or focus have changed, put that right first."
    )
}

/// The probability of `k` or more successes in `n` trials of probability `p`, exactly: the sum of its terms.
///
/// Terms are summed from the `k`-th on, or those below it where these are fewer in weight; each follows from the one
/// before, and the first from logarithms of factorials, so that nothing under- or overflows.
pub fn tail(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 || p >= 1.0 {
        return 1.0;
    }
    if k > n || p <= 0.0 {
        return 0.0;
    }
    let (trials, odds) = (n as f64, p / (1.0 - p));
    let term = |k: u64| {
        let k = k as f64;
        let choose = ln_factorial(trials) - ln_factorial(k) - ln_factorial(trials - k);
        (choose + k * p.ln() + (trials - k) * (-p).ln_1p()).exp()
    };
    if k as f64 >= trials * p {
        // Above the mean each term is smaller than the one before.
        let (mut sum, mut next) = (0.0, term(k));
        for k in k..=n {
            sum += next;
            next *= (n - k) as f64 / (k + 1) as f64 * odds;
            if next < sum * 1e-17 {
                break;
            }
        }
        return sum.min(1.0);
    }
    // Below it the other tail is the smaller one, and its terms shrink downwards.
    let (mut sum, mut next) = (0.0, term(k - 1));
    for below in (0..k).rev() {
        sum += next;
        next *= below as f64 / ((n - below + 1) as f64 * odds);
        if next < sum * 1e-17 {
            break;
        }
    }
    (1.0 - sum).clamp(0.0, 1.0)
}

/// Stirling's series, above 10 exact to the last digits; below by multiplication.
fn ln_factorial(n: f64) -> f64 {
    if n < 10.0 {
        let mut product = 1.0;
        let mut factor = 2.0;
        while factor <= n {
            product *= factor;
            factor += 1.0;
        }
        return product.ln();
    }
    let square = n * n;
    let series = (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / (1680.0 * square)) / square) / square)
        / n;
    n * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI * n).ln() + series
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_tail_is_the_textbooks() {
        // Every term by Python's math.lgamma.
        for (k, n, p, expected) in [
            (1, 1, 0.5, 0.5),
            (2, 3, 0.5, 0.5),
            (5, 100, 0.01, 0.003_432_321_6),
            (20, 5_000, 0.001, 3.378_828e-7),
            (8_640, 864_000, 0.01, 0.501_452_2),
            (9_000, 864_000, 0.01, 5.609_065e-5),
        ] {
            let found = tail(k, n, p);
            assert!((found / expected - 1.0).abs() < 1e-6, "{k} of {n} at {p}: {found:e}");
        }
        assert_eq!((tail(0, 0, 0.1), tail(1, 0, 0.1), tail(3, 2, 0.1)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn a_proposal_needs_more_than_chance_or_many() {
        let known = |judged, in_shift, in_all, rate| Known { judged, in_shift, in_all, rate };
        let proposed = |it: Known| propose(&it).is_some();
        assert!(!proposed(known(1000, 12, 12, Some(0.01))));
        assert!(proposed(known(1000, 25, 25, Some(0.01))));
        assert!(!proposed(known(0, 0, 29, Some(0.01))));
        assert!(proposed(known(0, 0, 30, Some(0.01))));
        assert!(!proposed(known(1000, 25, 25, None)));
        assert!(proposed(known(1000, 25, 30, None)));
        let it = known(1000, 25, 25, Some(0.01));
        assert_eq!(
            text("top", "cap", &it, propose(&it).unwrap()),
            "25 good parts of cap were refused at camera top in this shift, among 1000 that were judged; the configured \
             rate of 1 % explains 10.0. Calibrate cap anew on good parts; where light, lens or focus have changed, put \
             that right first."
        );
    }

    /// Every term by itself.
    fn plain(k: u64, n: u64, p: f64) -> f64 {
        let choose = |k: u64| (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>();
        let term = |k: u64| {
            choose(k)
                * p.powi(i32::try_from(k).unwrap())
                * (1.0 - p).powi(i32::try_from(n - k).unwrap())
        };
        (k..=n).map(term).sum()
    }

    proptest! {
        #[test]
        fn the_tail_is_the_sum_of_all_its_terms(n in 0_u64..60, k in 0_u64..60, p in 0.001_f64..0.999) {
            let expected = if k > n { 0.0 } else { plain(k, n, p) };
            let found = tail(k, n, p);
            prop_assert!((found - expected).abs() <= 1e-9 * expected.max(1e-3), "{found} {expected}");
        }

        #[test]
        fn it_falls_with_each_success_and_rises_with_each_trial(
            n in 1_u64..1_000_000, k in 1_u64..2_000, p in 1e-6_f64..0.2,
        ) {
            let slack = 1e-9;
            prop_assert!(tail(k + 1, n, p) <= tail(k, n, p) + slack);
            prop_assert!(tail(k, n + 1, p) + slack >= tail(k, n, p));
            prop_assert!((0.0..=1.0).contains(&tail(k, n, p)));
        }
    }
}
