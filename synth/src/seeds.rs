//! Independent streams of random numbers from one seed.
//!
//! Owns the mixing: purpose and index choose the stream, so that training, test and line never share a part.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// What a stream is for. The number is part of the seed: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Good parts to learn from.
    Training = 1,
    /// Parts to measure with.
    Test = 2,
    /// Parts on a line.
    Line = 3,
    /// The order of a line.
    Order = 4,
    /// How a part varies.
    Variation = 5,
    /// Where a defect is.
    Defect = 6,
    /// The camera's noise.
    Noise = 7,
    /// Classes of the pretraining.
    Formula = 8,
    /// Pictures of those classes.
    FormulaPicture = 9,
}

/// A seed of its own for every purpose and index (`SplitMix64`, Steele et al. 2014).
pub(crate) fn mix(seed: u64, purpose: Purpose, index: u64) -> u64 {
    splitmix(splitmix(splitmix(seed) ^ purpose as u64) ^ index)
}

/// The stream of a purpose and index.
pub(crate) fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(mix(seed, purpose, index))
}

pub(crate) fn splitmix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
