//! How much later than usual a frame comes through its pipeline.
//!
//! Pure: ages and times come in. Owns what is usual: the least age that was seen, which is let grow as slowly as two clocks
//! drift apart, so that a camera's own clock is followed and a queue that fills is not.

use std::time::Duration;

/// Two quartz clocks differ by less than one in so many.
const DRIFT: u32 = 10_000;

/// What is known of one camera's frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lag {
    usual: Option<(Duration, Duration)>,
}

impl Lag {
    /// A frame of that age came now; by how much that is more than usual.
    pub(super) fn excess(&mut self, age: Duration, now: Duration) -> Duration {
        let usual = self.usual.map_or(age, |(usual, at)| {
            age.min(usual.saturating_add(now.saturating_sub(at) / DRIFT))
        });
        self.usual = Some((usual, now));
        age.saturating_sub(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_fills_is_seen_and_a_clock_that_drifts_is_followed() {
        let ms = Duration::from_millis;
        let mut lag = Lag::default();
        assert_eq!(lag.excess(ms(40), ms(0)), ms(0));
        assert_eq!(lag.excess(ms(30), ms(20)), ms(0));
        // Held up for half a second, and on its way back.
        assert_eq!(lag.excess(ms(530), ms(520)).as_millis(), 499);
        assert_eq!(lag.excess(ms(130), ms(521)).as_millis(), 99);
        // A camera's clock that runs too slowly by 50 in a million, for a day.
        for second in 1..86_400 {
            let drifted = Duration::from_micros(30_000 + 50 * second);
            assert_eq!(lag.excess(drifted, Duration::from_secs(second + 1)).as_millis(), 0);
        }
    }
}
