//! The vocabulary of the network: every operation that any stage may use, and nothing else.
//!
//! Tensors are f32 `[N, C, H, W]` unless said otherwise. Parameters are named by [`Path`]; an
//! interpreter gets them from weights that were checked against the shapes interpreter's list.

use crate::Path;

/// Channel-wise normalisation of u8 images: `(x / 255 - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Mean of R, G, B in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of R, G, B in 0..1.
    pub std: [f32; 3],
}

impl Normalisation {
    /// The statistics of `ImageNet`, which every torchvision teacher expects.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
}

/// A 2-D convolution with square kernel; weight `[out, in / groups, k, k]`, no bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Zeros added on every side.
    pub padding: usize,
    /// Channel groups; `inputs` makes it depthwise.
    pub groups: usize,
}

impl Conv2d {
    /// 3 x 3, padding 1.
    pub fn three(inputs: usize, outputs: usize, stride: usize) -> Self {
        Self { inputs, outputs, kernel: 3, stride, padding: 1, groups: 1 }
    }

    /// 1 x 1, no padding.
    pub fn one(inputs: usize, outputs: usize, stride: usize) -> Self {
        Self { inputs, outputs, kernel: 1, stride, padding: 0, groups: 1 }
    }

    /// 3 x 3 on each channel alone.
    pub fn depthwise(channels: usize) -> Self {
        Self { groups: channels, ..Self::three(channels, channels, 1) }
    }
}

/// The 2 x 2 transposed convolution with stride 2 that doubles rows and columns;
/// weight `[in, out, 2, 2]`, no bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose2d {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
}

/// Batch normalisation with affine parameters; eps 1e-5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNorm {
    /// Channels.
    pub channels: usize,
}

/// Maximum pooling with square window; padding counts as minus infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2d {
    /// Side of the window.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Border on every side.
    pub padding: usize,
}

/// Separable Gaussian blur; the border is mirrored without repeating the edge pixel
/// (ONNX `Pad` mode `reflect`, libtorch `reflection_pad2d`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blur {
    /// Standard deviation in pixels.
    pub sigma_px: f64,
    /// Half the kernel's length, in pixels: the kernel has `2 * radius + 1` taps.
    pub radius_px: usize,
}

impl Blur {
    /// The kernel, normalised to sum 1.
    pub fn taps(&self) -> Vec<f32> {
        let square = |offset: i64| (offset * offset) as f64;
        let radius = i64::try_from(self.radius_px).unwrap_or(i64::MAX);
        let raw: Vec<f64> = (-radius..=radius)
            .map(|offset| (-square(offset) / (2.0 * self.sigma_px * self.sigma_px)).exp())
            .collect();
        let sum: f64 = raw.iter().sum();
        #[expect(clippy::cast_possible_truncation, reason = "weights in 0..1 kept as f32")]
        raw.iter().map(|tap| (tap / sum) as f32).collect()
    }
}

/// Epsilon of batch and instance normalisation.
pub const NORM_EPS: f32 = 1e-5;

/// Floor of a vector's norm where it divides: all-zero features give distance 1, not NaN.
pub const COSINE_EPS: f32 = 1e-8;

/// An interpreter of the network.
pub trait Graph {
    /// The interpreter's handle of a value.
    type Tensor: Clone;

    /// u8 RGB frames `[N, H, W, 3]` to normalised f32 `[N, 3, H, W]`.
    fn normalise(&mut self, frames: &Self::Tensor, by: Normalisation) -> Self::Tensor;

    /// Convolution with the parameter `at.weight`.
    fn conv2d(&mut self, x: &Self::Tensor, at: &Path, spec: Conv2d) -> Self::Tensor;

    /// Transposed convolution with the parameter `at.weight`.
    fn conv_transpose2d(
        &mut self,
        x: &Self::Tensor,
        at: &Path,
        spec: ConvTranspose2d,
    ) -> Self::Tensor;

    /// Batch normalisation with `at.weight`, `at.bias`, `at.running_mean`, `at.running_var`.
    fn batch_norm(&mut self, x: &Self::Tensor, at: &Path, spec: BatchNorm) -> Self::Tensor;

    /// Instance normalisation over each channel's plane, without parameters.
    fn instance_norm(&mut self, x: &Self::Tensor) -> Self::Tensor;

    /// `max(x, 0)`.
    fn relu(&mut self, x: &Self::Tensor) -> Self::Tensor;

    /// `x` where positive, `slope * x` elsewhere.
    fn leaky_relu(&mut self, x: &Self::Tensor, slope: f32) -> Self::Tensor;

    /// Maximum pooling.
    fn max_pool2d(&mut self, x: &Self::Tensor, spec: MaxPool2d) -> Self::Tensor;

    /// Mean over square windows of an odd side, step 1; the border counts as zeros. Shapes stay.
    fn avg_pool2d(&mut self, x: &Self::Tensor, kernel: usize) -> Self::Tensor;

    /// Elementwise sum of two tensors of one shape.
    fn add(&mut self, a: &Self::Tensor, b: &Self::Tensor) -> Self::Tensor;

    /// Elementwise mean of tensors of one shape.
    fn mean(&mut self, parts: &[Self::Tensor]) -> Self::Tensor;

    /// Concatenation along the channels.
    fn concat(&mut self, parts: &[Self::Tensor]) -> Self::Tensor;

    /// `1 - cos(a, b)` over the channels at every location: `[N, 1, H, W]`.
    /// Norms are floored at [`COSINE_EPS`].
    fn cosine_distance(&mut self, a: &Self::Tensor, b: &Self::Tensor) -> Self::Tensor;

    /// One minus the largest of the channels, which are cosines, at every place: `[N, 1, H, W]`.
    fn distance_to_nearest(&mut self, cosines: &Self::Tensor) -> Self::Tensor;

    /// Bilinear resize with `align_corners = true`.
    fn resize(&mut self, x: &Self::Tensor, height: usize, width: usize) -> Self::Tensor;

    /// Gaussian blur of a one-channel map `[N, 1, H, W]`.
    fn gaussian_blur(&mut self, x: &Self::Tensor, blur: Blur) -> Self::Tensor;

    /// [`Self::resize`], then [`Self::gaussian_blur`], of a one-channel map. Both are linear along rows and columns, so
    /// an interpreter may do it as one product each way.
    fn resize_blurred(
        &mut self,
        x: &Self::Tensor,
        height: usize,
        width: usize,
        blur: Blur,
    ) -> Self::Tensor {
        let resized = self.resize(x, height, width);
        self.gaussian_blur(&resized, blur)
    }

    /// `[N, 1, H, W]` to `[N, H, W]`.
    fn drop_channel(&mut self, x: &Self::Tensor) -> Self::Tensor;

    /// Maximum of each map: `[N, H, W]` to `[N]`.
    fn map_max(&mut self, map: &Self::Tensor) -> Self::Tensor;

    /// Mean over each channel's plane: `[N, C, H, W]` to `[N, C]`.
    fn global_avg_pool(&mut self, x: &Self::Tensor) -> Self::Tensor;

    /// Rows of `[N, D]`, or the channels at every place of `[N, C, H, W]`, divided by their Euclidean norm, floored at
    /// [`COSINE_EPS`].
    fn l2_normalise(&mut self, x: &Self::Tensor) -> Self::Tensor;
}
