//! The interpreter over libtorch: the vocabulary of the network as tensor operations.

use network::{
    BatchNorm, Blur, COSINE_EPS, Conv2d, ConvTranspose2d, Graph, MaxPool2d, NORM_EPS,
    Normalisation, Path,
};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{Variables, int};

/// Momentum of the running statistics, libtorch's default.
const BATCH_NORM_MOMENTUM: f64 = 0.1;

/// Whether batch normalisation uses the batch's statistics (and updates the running ones).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics.
    Train,
    /// Running statistics.
    Eval,
}

/// In which numbers convolutions are computed; everything else, and every parameter, is f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits: what evaluation and export are held to.
    #[default]
    F32,
    /// 16 bits with f32's range: about twice as fast on processors that multiply them (AVX-512 BF16, AMX),
    /// slower on others.
    Bf16,
}

/// Computes at once what a stage states.
#[derive(Debug)]
pub struct TorchGraph<'v> {
    variables: &'v Variables,
    mode: Mode,
    precision: Precision,
    /// The weight of this batch in the running statistics.
    momentum: f64,
}

impl<'v> TorchGraph<'v> {
    /// An interpreter over these variables.
    pub fn new(variables: &'v Variables, mode: Mode) -> Self {
        Self { variables, mode, precision: Precision::F32, momentum: BATCH_NORM_MOMENTUM }
    }

    /// The same with another weight of this batch in the running statistics.
    #[must_use]
    pub fn with_momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// The same with convolutions in this precision.
    #[must_use]
    pub fn with(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// A convolution of an input with the parameter `at.weight`.
    fn convolve(&self, x: &Tensor, at: &Path, by: impl Fn(&Tensor, &Tensor) -> Tensor) -> Shared {
        let weight = self.variables.get(&at.parameter("weight"));
        Shared(match self.precision {
            Precision::F32 => by(x, weight),
            Precision::Bf16 => {
                let half = |tensor: &Tensor| tensor.to_kind(Kind::BFloat16);
                by(&half(x), &half(weight)).to_kind(Kind::Float)
            }
        })
    }
}

/// Rows divided by their norm along `dim`, floored at [`COSINE_EPS`].
pub(crate) fn unit(x: &Tensor, dim: i64) -> Tensor {
    x / x.norm_scalaropt_dim(2.0, [dim].as_slice(), true).clamp_min(f64::from(COSINE_EPS))
}

impl Graph for TorchGraph<'_> {
    type Tensor = Shared;

    fn normalise(&mut self, frames: &Shared, by: Normalisation) -> Shared {
        let device = frames.0.device();
        let scale = by.std.map(|std| 1.0 / (255.0 * std));
        let shift: [f32; 3] = std::array::from_fn(|c| -by.mean[c] / by.std[c]);
        let plane = |values: &[f32; 3]| Tensor::from_slice(values).view([1, 3, 1, 1]).to(device);
        // The layout stays that of frames, channels last: every operation keeps it, and a training step on a CPU takes a
        // tenth less time than with planes.
        let planes = frames.0.to_kind(Kind::Float).permute([0, 3, 1, 2]);
        Shared(planes * plane(&scale) + plane(&shift))
    }

    fn conv2d(&mut self, x: &Shared, at: &Path, spec: Conv2d) -> Shared {
        let (stride, padding) = (int(spec.stride), int(spec.padding));
        self.convolve(&x.0, at, |x, weight| {
            let none = None::<&Tensor>;
            x.conv2d(weight, none, [stride; 2], [padding; 2], [1; 2], int(spec.groups))
        })
    }

    fn conv_transpose2d(&mut self, x: &Shared, at: &Path, _spec: ConvTranspose2d) -> Shared {
        self.convolve(&x.0, at, |x, weight| {
            x.conv_transpose2d(weight, None::<&Tensor>, [2; 2], [0; 2], [0; 2], 1, [1; 2])
        })
    }

    fn batch_norm(&mut self, x: &Shared, at: &Path, _spec: BatchNorm) -> Shared {
        let of = |name| Some(self.variables.get(&at.parameter(name)));
        Shared(x.0.batch_norm(
            of("weight"),
            of("bias"),
            of("running_mean"),
            of("running_var"),
            self.mode == Mode::Train,
            self.momentum,
            f64::from(NORM_EPS),
            false,
        ))
    }

    fn instance_norm(&mut self, x: &Shared) -> Shared {
        // Groups of one channel each: the same sums as libtorch's own instance norm, which would rearrange its input.
        let (channels, none) = (x.0.size()[1], None::<&Tensor>);
        Shared(x.0.group_norm(channels, none, none, f64::from(NORM_EPS), false))
    }

    fn relu(&mut self, x: &Shared) -> Shared {
        Shared(x.0.relu())
    }

    fn leaky_relu(&mut self, x: &Shared, slope: f32) -> Shared {
        /// The one slope that tch's binding computes in one pass.
        const BOUND: f32 = 0.01;
        if slope.to_bits() == BOUND.to_bits() {
            return Shared(x.0.leaky_relu());
        }
        Shared(x.0.clamp_min(0.0) + x.0.clamp_max(0.0) * f64::from(slope))
    }

    fn max_pool2d(&mut self, x: &Shared, spec: MaxPool2d) -> Shared {
        let [kernel, stride, padding] = [spec.kernel, spec.stride, spec.padding].map(int);
        Shared(x.0.max_pool2d([kernel; 2], [stride; 2], [padding; 2], [1; 2], false))
    }

    fn avg_pool2d(&mut self, x: &Shared, kernel: usize) -> Shared {
        let [side, border] = [kernel, kernel / 2].map(int);
        Shared(x.0.avg_pool2d([side; 2], [1; 2], [border; 2], false, true, None))
    }

    fn add(&mut self, a: &Shared, b: &Shared) -> Shared {
        Shared(&a.0 + &b.0)
    }

    fn mean(&mut self, parts: &[Shared]) -> Shared {
        // Not `+=`, which would change the first part itself.
        let first = parts[0].0.shallow_clone();
        let sum = parts[1..].iter().fold(first, |sum, part| sum + &part.0);
        Shared(sum * (1.0 / parts.len() as f64))
    }

    fn concat(&mut self, parts: &[Shared]) -> Shared {
        let parts: Vec<&Tensor> = parts.iter().map(|part| &part.0).collect();
        Shared(Tensor::cat(&parts, 1))
    }

    fn cosine_distance(&mut self, a: &Shared, b: &Shared) -> Shared {
        let floor = f64::from(COSINE_EPS);
        let norm = |x: &Tensor| x.norm_scalaropt_dim(2.0, [1].as_slice(), true).clamp_min(floor);
        let dot = (&a.0 * &b.0).sum_dim_intlist([1].as_slice(), true, None);
        Shared(1.0 - dot / (norm(&a.0) * norm(&b.0)))
    }

    fn distance_to_nearest(&mut self, cosines: &Shared) -> Shared {
        Shared(1.0 - cosines.0.amax([1].as_slice(), true))
    }

    fn resize(&mut self, x: &Shared, height: usize, width: usize) -> Shared {
        Shared(x.0.upsample_bilinear2d([int(height), int(width)], true, None, None))
    }

    fn gaussian_blur(&mut self, x: &Shared, blur: Blur) -> Shared {
        let radius = int(blur.radius_px);
        let taps = Tensor::from_slice(&blur.taps()).to(x.0.device());
        let none = || None::<&Tensor>;
        let (stride, padding, dilation) = ([1; 2], [0; 2], [1; 2]);
        let padded = x.0.reflection_pad2d([radius; 4]);
        let across = taps.view([1, 1, 1, -1]);
        let down = taps.view([1, 1, -1, 1]);
        let blurred = padded.conv2d(&across, none(), stride, padding, dilation, 1);
        Shared(blurred.conv2d(&down, none(), stride, padding, dilation, 1))
    }

    fn drop_channel(&mut self, x: &Shared) -> Shared {
        Shared(x.0.squeeze_dim(1))
    }

    fn map_max(&mut self, map: &Shared) -> Shared {
        Shared(map.0.amax([1, 2].as_slice(), false))
    }

    fn global_avg_pool(&mut self, x: &Shared) -> Shared {
        Shared(x.0.mean_dim([2, 3].as_slice(), false, None))
    }

    fn l2_normalise(&mut self, x: &Shared) -> Shared {
        Shared(unit(&x.0, 1))
    }
}

/// A tensor whose clone shares its storage, as the vocabulary's handles do.
#[derive(Debug)]
pub struct Shared(pub Tensor);

impl Clone for Shared {
    fn clone(&self) -> Self {
        Self(self.0.shallow_clone())
    }
}
