//! Named weights in memory: loaded from safetensors, made at random, checked against a manifest.
//!
//! Knows names and shapes only; what a name means is the network's business.

use std::collections::{BTreeMap, HashMap};
use std::path::Path as FilePath;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Normal, Uniform};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::shapes::{Parameter, ParameterKind};

/// One tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// As many values as the shape says.
    pub values: Vec<f32>,
}

/// Tensors by dotted name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights(pub BTreeMap<String, Weight>);

/// Weights that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("read weights {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it claims to be.
    #[error("{path} is not a safetensors file of f32, f16 or bf16 tensors: {detail}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// A file of `torch.save`.
    #[error(
        "{path} is a PyTorch file, which can hold any program; convert it where you trust it: python3 -c \
         \"import torch, safetensors.torch as s; s.save_file(torch.load('{path}', weights_only=True), \
         '{path}.safetensors')\""
    )]
    Pickle {
        /// The file.
        path: String,
    },
    /// A value that no trained network has.
    #[error("{name} holds {what}; the file is damaged, or its training failed")]
    Value {
        /// The tensor.
        name: String,
        /// What it holds.
        what: &'static str,
    },
    /// Names or shapes differ from what the architecture needs.
    #[error("weights do not fit the architecture: {0}")]
    Mismatch(Mismatch),
}

/// How weights differ from a manifest; the first differences are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Needed and absent: name and shape.
    pub missing: Vec<(String, Vec<usize>)>,
    /// Present and not needed: name and shape.
    pub extra: Vec<(String, Vec<usize>)>,
    /// Present with another shape: name, needed, found.
    pub reshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.reshaped.is_empty()
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = |(name, shape): &(String, Vec<usize>)| format!("{name} {shape:?}");
        let reshaped = |(name, needed, found): &(String, Vec<usize>, Vec<usize>)| {
            format!("{name} {found:?} instead of {needed:?}")
        };
        let parts = [
            first("missing", &self.missing, named),
            first("not needed", &self.extra, named),
            first("of another shape", &self.reshaped, reshaped),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join("; "))
    }
}

/// How many there are, and the first of them; `None` where there is none.
fn first<T>(what: &str, of: &[T], one: impl Fn(&T) -> String) -> Option<String> {
    /// As many as are read at a glance.
    const SHOWN: usize = 5;
    let shown: Vec<String> = of.iter().take(SHOWN).map(one).collect();
    let more = if of.len() > SHOWN { ", ..." } else { "" };
    (!of.is_empty()).then(|| format!("{} {what}: {}{more}", of.len(), shown.join(", ")))
}

impl Weights {
    /// Reads a safetensors file; f16 and bf16 are widened.
    pub fn load(path: &FilePath) -> Result<Self, WeightsError> {
        Ok(Self::load_with_metadata(path)?.0)
    }

    /// Reads a safetensors file and the texts that stand beside its tensors.
    pub fn load_with_metadata(
        path: &FilePath,
    ) -> Result<(Self, HashMap<String, String>), WeightsError> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|source| WeightsError::Read { path: name.clone(), source })?;
        // The magic numbers of zip archives, which torch.save writes, and of the bare pickles of its old format.
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0x80, 0x02]) {
            return Err(WeightsError::Pickle { path: name });
        }
        let format = |detail: String| WeightsError::Format { path: name.clone(), detail };
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| format(error.to_string()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| format(error.to_string()))?;
        let mut weights = BTreeMap::new();
        for (key, view) in file.tensors() {
            // Counters such as num_batches_tracked take no part in inference.
            if view.dtype() == Dtype::I64 {
                continue;
            }
            let values = floats(&view)
                .ok_or_else(|| format(format!("{key} has type {:?}", view.dtype())))?;
            weights.insert(key, Weight { shape: view.shape().to_vec(), values });
        }
        Ok((Self(weights), header.metadata().clone().unwrap_or_default()))
    }

    /// The safetensors form, f32, names in order, with texts beside the tensors.
    pub fn to_safetensors(
        &self,
        metadata: Option<HashMap<String, String>>,
    ) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let bytes: Vec<(&String, Vec<u8>)> = self
            .0
            .iter()
            .map(|(name, weight)| {
                (name, weight.values.iter().flat_map(|value| value.to_le_bytes()).collect())
            })
            .collect();
        let views = bytes
            .iter()
            .zip(self.0.values())
            .map(|((name, bytes), weight)| {
                Ok((name.as_str(), TensorView::new(Dtype::F32, weight.shape.clone(), bytes)?))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        safetensors::serialize(views, metadata)
    }

    /// Kaiming-normal kernels (He et al. 2015) and plausible statistics: variances stay near one
    /// through the network, so that rounding noise is not amplified.
    ///
    /// # Panics
    /// Never: the distributions have constant, ordered bounds.
    pub fn random(manifest: &[Parameter], seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let weights = manifest.iter().map(|parameter| {
            let values = match parameter.kind {
                ParameterKind::Kernel { fan_in } => {
                    normal(&mut rng, 0.0, (2.0 / fan_in as f32).sqrt(), parameter.len())
                }
                ParameterKind::Scale | ParameterKind::RunningVar => {
                    let spread = Uniform::new(0.5_f32, 1.5).expect("bounds are ordered");
                    spread.sample_iter(&mut rng).take(parameter.len()).collect()
                }
                ParameterKind::Shift | ParameterKind::RunningMean => {
                    normal(&mut rng, 0.0, 0.1, parameter.len())
                }
            };
            (parameter.name.clone(), Weight { shape: parameter.shape.clone(), values })
        });
        Self(weights.collect())
    }

    /// The same tensors with `prefix` and a dot before every name.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        Self(
            self.0.into_iter().map(|(name, weight)| (format!("{prefix}.{name}"), weight)).collect(),
        )
    }

    /// Without the tensors whose names `is_unused` knows.
    #[must_use]
    pub fn without(mut self, is_unused: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|name, _| !is_unused(name));
        self
    }

    /// Accepts only values with which a network computes numbers: finite ones, and no negative variance.
    pub fn check_values(&self) -> Result<(), WeightsError> {
        for (name, weight) in &self.0 {
            let is_variance = name.ends_with("running_var");
            let what = if !weight.values.iter().all(|value| value.is_finite()) {
                "values that are no finite numbers"
            } else if is_variance && weight.values.iter().any(|value| *value < 0.0) {
                "negative variances"
            } else {
                continue;
            };
            return Err(WeightsError::Value { name: name.clone(), what });
        }
        Ok(())
    }

    /// Accepts only weights that have exactly the manifest's names and shapes.
    pub fn check(self, manifest: &[Parameter]) -> Result<Checked, WeightsError> {
        let mut mismatch = Mismatch::default();
        for parameter in manifest {
            match self.0.get(&parameter.name) {
                None => mismatch.missing.push((parameter.name.clone(), parameter.shape.clone())),
                Some(weight) if weight.shape != parameter.shape => mismatch.reshaped.push((
                    parameter.name.clone(),
                    parameter.shape.clone(),
                    weight.shape.clone(),
                )),
                Some(_) => {}
            }
        }
        mismatch.extra = self
            .0
            .iter()
            .filter(|(name, _)| !manifest.iter().any(|parameter| parameter.name == **name))
            .map(|(name, weight)| (name.clone(), weight.shape.clone()))
            .collect();
        if mismatch.is_empty() { Ok(Checked(self)) } else { Err(WeightsError::Mismatch(mismatch)) }
    }
}

/// Weights with exactly the names and shapes of the manifest they were checked against.
#[derive(Clone, Debug)]
pub struct Checked(Weights);

impl Checked {
    /// The tensor of a name of that manifest.
    ///
    /// # Panics
    /// On a name outside it: a stage would then use a parameter that the shapes interpreter,
    /// running the same stage, did not see.
    pub fn get(&self, name: &str) -> &Weight {
        self.0.0.get(name).expect("checked against the manifest of the same stages")
    }
}

fn normal(rng: &mut ChaCha8Rng, mean: f32, std: f32, len: usize) -> Vec<f32> {
    let normal = Normal::new(mean, std).expect("standard deviation is finite and positive");
    normal.sample_iter(rng).take(len).collect()
}

fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let halves = |widen: fn(u16) -> f32| {
        let (pairs, _) = view.data().as_chunks::<2>();
        Some(pairs.iter().map(|pair| widen(u16::from_le_bytes(*pair))).collect())
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "upstream's enum is non-exhaustive")]
    match view.dtype() {
        Dtype::F32 => {
            let (quads, _) = view.data().as_chunks::<4>();
            Some(quads.iter().map(|quad| f32::from_le_bytes(*quad)).collect())
        }
        Dtype::F16 => halves(|bits| half::f16::from_bits(bits).to_f32()),
        Dtype::BF16 => halves(|bits| half::bf16::from_bits(bits).to_f32()),
        _ => None,
    }
}
