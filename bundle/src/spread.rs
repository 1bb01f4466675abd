//! How a figure of many pictures spreads: its mean and standard deviation.
//!
//! Pure. What is measured (brightness, focus) is whoever's who measures; a calibration keeps how it spread.

use serde::{Deserialize, Serialize};

/// Mean and standard deviation of a value over a number of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Frames that it was measured on.
    pub frames: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, of these frames themselves (divided by their number).
    pub standard_deviation: f64,
}

impl Spread {
    /// Of some values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut spread = Self::default();
        for value in values {
            spread.add(value);
        }
        spread
    }

    /// With one more value (Welford 1962).
    fn add(&mut self, value: f64) {
        *self = self.joined(Self { frames: 1, mean: value, standard_deviation: 0.0 });
    }

    /// Of the frames of both (Chan, Golub, `LeVeque` 1979).
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        let (a, b) = (self.frames as f64, other.frames as f64);
        if other.frames == 0 {
            return self;
        }
        let all = a + b;
        let apart = other.mean - self.mean;
        let squares = self.standard_deviation.powi(2) * a
            + other.standard_deviation.powi(2) * b
            + apart * apart * a * b / all;
        Self {
            frames: self.frames + other.frames,
            mean: self.mean + apart * b / all,
            standard_deviation: (squares / all).max(0.0).sqrt(),
        }
    }

    /// Whether it can be of any frames.
    pub fn is_sound(self) -> bool {
        let Self { frames, mean, standard_deviation } = self;
        frames > 0
            && mean.is_finite()
            && standard_deviation.is_finite()
            && standard_deviation >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn joined_spreads_are_those_of_all_values(
            a in prop::collection::vec(-1e3_f64..1e3, 0..40),
            b in prop::collection::vec(-1e3_f64..1e3, 1..40),
        ) {
            let joined = Spread::of(a.clone()).joined(Spread::of(b.clone()));
            let all: Vec<f64> = a.into_iter().chain(b).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let variance = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64;
            prop_assert_eq!(joined.frames, all.len());
            prop_assert!((joined.mean - mean).abs() < 1e-7);
            prop_assert!((joined.standard_deviation - variance.sqrt()).abs() < 1e-6);
        }
    }
}
