//! Which engines may be tried for a model file, in which order.
//!
//! Pure. Owns the precision ladder and the rule that falling back is the operator's explicit choice. Whether an engine
//! is there is `onnx`'s to find out, whether it may be used `golden`'s.

use std::{fmt, str::FromStr};

use bundle::{geometry::Size, golden::Tolerance, precision::Precision};

use super::Provider;

/// In which numbers a provider may compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// What the model file quantised on integers of 8 bits, the rest on floats of 16.
    Int8,
    /// On floats of 16 bits.
    Fp16,
    /// As the model file says: on floats of 32 bits, but for what it quantised.
    Fp32,
}

impl Arithmetic {
    /// The fastest first.
    pub const ALL: [Self; 3] = [Self::Int8, Self::Fp16, Self::Fp32];

    /// The word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Fp16 => "fp16",
            Self::Fp32 => "fp32",
        }
    }

    /// How far an engine that computes so may be off a model file's golden frames.
    ///
    /// f16 has 11 bits of mantissa, so that a whole network cannot stay within what is allowed to f32; it is held to what
    /// the trainer allows a network on int8.
    pub fn tolerance(self, file: Tolerance) -> Tolerance {
        match self {
            Self::Fp32 => file,
            Self::Int8 | Self::Fp16 => Tolerance {
                score: file.score.max(Tolerance::INT8.score),
                embedding: file.embedding.max(Tolerance::INT8.embedding),
                map: file.map.max(Tolerance::INT8.map),
            },
        }
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Arithmetic {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|arithmetic| arithmetic.name() == word)
            .ok_or_else(|| "expected \"int8\", \"fp16\" or \"fp32\"".into())
    }
}

/// What the operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// In the order of preference; what is not listed is not used.
    pub providers: Vec<Provider>,
    /// Whether the next provider is tried where one is not there or its golden frames disagree. Otherwise the others
    /// only take the operations that the first does not know.
    pub fall_back: bool,
    /// What `TensorRT` may compute in, in the order of preference.
    pub arithmetics: Vec<Arithmetic>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            providers: vec![Provider::Cpu],
            fall_back: false,
            arithmetics: Arithmetic::ALL.to_vec(),
        }
    }
}

/// One engine to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The provider that is to run the network, then those that take what it does not know.
    pub providers: Vec<Provider>,
    /// What the first computes in.
    pub arithmetic: Arithmetic,
    /// What that allows `TensorRT` to use for this model file.
    pub flags: Flags,
}

impl Attempt {
    /// These providers, the first of which computes so on a file of that precision.
    pub fn new(providers: Vec<Provider>, arithmetic: Arithmetic, file: &Precision) -> Self {
        Self { providers, arithmetic, flags: Flags::of(arithmetic, file) }
    }

    /// As the model file says, on the processor.
    pub fn cpu() -> Self {
        Self::new(vec![Provider::Cpu], Arithmetic::Fp32, &Precision::Fp32)
    }

    /// Whether an engine is built for it, which takes minutes, unless the cache has one.
    pub fn builds(&self) -> bool {
        self.providers.contains(&Provider::TensorRt)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.providers.iter().map(|provider| provider.name()).collect();
        f.write_str(&names.join("+"))?;
        // Elsewhere it is as the model file says.
        if self.builds() { write!(f, " in {}", self.arithmetic) } else { Ok(()) }
    }
}

/// The engines to try for a model file of this precision, in this order; none where the wish leaves none.
pub fn attempts(wish: &Wish, file: &Precision) -> Vec<Attempt> {
    let chains = if wish.fall_back { wish.providers.len() } else { 1 };
    (0..chains.min(wish.providers.len()))
        .flat_map(|first| {
            let providers = &wish.providers[first..];
            let arithmetics = match providers.first() {
                Some(Provider::TensorRt) => ladder(&wish.arithmetics, file),
                Some(Provider::Cpu | Provider::Cuda) | None => vec![Arithmetic::Fp32],
            };
            arithmetics
                .into_iter()
                .map(|arithmetic| Attempt::new(providers.to_vec(), arithmetic, file))
        })
        .collect()
}

/// A file on int8 has its scales in it, and is nothing else than on int8; the other files have none to compute on int8 with.
fn ladder(wanted: &[Arithmetic], file: &Precision) -> Vec<Arithmetic> {
    let is_quantised = matches!(file, Precision::Int8(_));
    let can = |arithmetic: &Arithmetic| match arithmetic {
        Arithmetic::Int8 => is_quantised,
        Arithmetic::Fp16 => !is_quantised,
        Arithmetic::Fp32 => true,
    };
    wanted.iter().copied().filter(can).collect()
}

/// What `TensorRT` is allowed to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// Integers of 8 bits, where the network says so.
    pub int8: bool,
    /// Floats of 16 bits.
    pub fp16: bool,
}

impl Flags {
    /// Integers are allowed to a network that is quantised only: for any other `TensorRT` would want scales, and there are
    /// none; and one that is quantised does not build without.
    pub fn of(arithmetic: Arithmetic, file: &Precision) -> Self {
        let int8 = matches!(file, Precision::Int8(_));
        match arithmetic {
            Arithmetic::Int8 | Arithmetic::Fp16 => Self { int8, fp16: true },
            Arithmetic::Fp32 => Self { int8, fp16: false },
        }
    }
}

/// The shape of a batch in the words of ONNX Runtime's `TensorRT` provider, such as `frames:4x256x256x3`.
pub fn profile(input: &str, batch: usize, Size { width, height }: Size) -> String {
    format!("{input}:{batch}x{height}x{width}x3")
}

#[cfg(test)]
mod tests {
    use bundle::precision::{Fp16, Int8};

    use super::*;

    fn told(wish: &Wish, file: &Precision) -> Vec<String> {
        attempts(wish, file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_ladder_goes_from_the_fastest_to_the_file_as_it_is() {
        let all = Wish { providers: Provider::ALL.to_vec(), ..Wish::default() };
        let fp32 = ["tensorrt+cuda+cpu in fp16", "tensorrt+cuda+cpu in fp32"];
        assert_eq!(told(&all, &Precision::Fp32), fp32);
        assert_eq!(told(&all, &Precision::Fp16(Fp16::default())), fp32);
        assert_eq!(
            told(&all, &Precision::Int8(Int8::default())),
            ["tensorrt+cuda+cpu in int8", "tensorrt+cuda+cpu in fp32"]
        );
    }

    #[test]
    fn falling_back_is_tried_only_where_it_is_asked_for() {
        let wish = |fall_back| Wish {
            providers: Provider::ALL.to_vec(),
            fall_back,
            arithmetics: vec![Arithmetic::Fp16],
        };
        assert_eq!(told(&wish(false), &Precision::Fp32), ["tensorrt+cuda+cpu in fp16"]);
        assert_eq!(
            told(&wish(true), &Precision::Fp32),
            ["tensorrt+cuda+cpu in fp16", "cuda+cpu", "cpu"]
        );
        // A file on int8 has no f16 network in it.
        assert_eq!(told(&wish(false), &Precision::Int8(Int8::default())), [""; 0]);
        assert_eq!(told(&Wish::default(), &Precision::Fp32), ["cpu"]);
    }

    #[test]
    fn integers_are_allowed_to_a_quantised_network_only() {
        for (file, int8) in [(Precision::Fp32, false), (Precision::Int8(Int8::default()), true)] {
            let flags = |arithmetic| Flags::of(arithmetic, &file);
            assert_eq!(flags(Arithmetic::Fp16), Flags { int8, fp16: true });
            assert_eq!(flags(Arithmetic::Fp32), Flags { int8, fp16: false });
        }
    }

    #[test]
    fn the_profile_is_in_the_providers_words() {
        let size = Size { width: 320, height: 256 };
        assert_eq!(profile("frames", 4, size), "frames:4x256x320x3");
    }
}
