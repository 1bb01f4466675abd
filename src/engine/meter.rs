//! How much of a thread's processor time went into the network itself.
//!
//! Off until a thread asks for it: then each run of the network on that thread adds to its sum. What is left of the
//! thread's time is our own code. Knows neither ONNX Runtime nor who asks.

use std::{cell::Cell, time::Duration};

use crate::clock::thread_cpu;

thread_local! {
    static SPENT: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Processor time of this thread within the network since the first call, which switches the meter on.
pub fn spent() -> Duration {
    let spent = SPENT.get().unwrap_or_default();
    SPENT.set(Some(spent));
    spent
}

/// Runs the network, and counts its time where somebody wants to know it.
pub fn around<T>(run: impl FnOnce() -> T) -> T {
    let Some(spent) = SPENT.get() else { return run() };
    let before = thread_cpu();
    let outcome = run();
    SPENT.set(Some(spent + thread_cpu().saturating_sub(before)));
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> u64 {
        (0..2_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n.wrapping_mul(n)))
    }

    #[test]
    fn only_what_is_run_under_a_meter_that_is_on_is_counted() {
        around(work);
        assert_eq!(spent(), Duration::ZERO);
        let before = thread_cpu();
        around(work);
        let counted = spent();
        assert!(counted > Duration::ZERO && counted + before <= thread_cpu());
        work();
        assert_eq!(spent(), counted);
    }
}
