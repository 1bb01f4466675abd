//! The shape interpreter: shapes, parameter manifest and multiply-accumulate counts; no numbers.
//!
//! Owns the list of parameters that every other interpreter relies on.

use std::fmt;

use crate::detector::{Detection, detector};
use crate::{
    Architecture, BatchNorm, Blur, Conv2d, ConvTranspose2d, Graph, MaxPool2d, Normalisation, Path,
};

/// A parameter of the network: its dotted name and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Dotted name.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// What it starts from before training.
    pub kind: ParameterKind,
}

impl Parameter {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The role of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// A kernel; the number of inputs that reach one output value.
    Kernel {
        /// Inputs per output value.
        fan_in: usize,
    },
    /// Scale of a batch normalisation.
    Scale,
    /// Shift of a batch normalisation.
    Shift,
    /// Running mean: a statistic, not trained.
    RunningMean,
    /// Running variance: a statistic, not trained.
    RunningVar,
}

impl ParameterKind {
    /// Whether the optimiser may change it.
    pub fn is_trained(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVar)
    }
}

/// A shape without the batch dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub Vec<usize>);

impl Shape {
    fn chw(&self) -> [usize; 3] {
        <[usize; 3]>::try_from(self.0.as_slice()).expect("stages pass [C, H, W] here")
    }
}

/// Collects what a network needs and costs.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    /// In the order of first use.
    pub parameters: Vec<Parameter>,
    /// Multiply-accumulates of the convolutions, per image.
    pub macs: u64,
    lines: Vec<String>,
}

impl Shapes {
    /// Runs the whole detector.
    pub fn of(arch: &Architecture) -> (Self, Detection<Shape>) {
        let mut shapes = Self::default();
        let frames = Shape(vec![arch.input_height, arch.input_width, 3]);
        let detection = detector(&mut shapes, &frames, arch);
        (shapes, detection)
    }

    /// Values in all parameters.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(Parameter::len).sum()
    }

    fn op(&mut self, name: &str, at: &str, shape: Vec<usize>) -> Shape {
        self.lines.push(format!("{name:<16} {at:<36} {shape:?}").trim_end().to_owned());
        Shape(shape)
    }

    fn parameter(&mut self, at: &Path, name: &str, shape: &[usize], kind: ParameterKind) {
        let name = at.parameter(name);
        if !self.parameters.iter().any(|known| known.name == name) {
            self.parameters.push(Parameter { name, shape: shape.to_vec(), kind });
        }
    }

    fn count(&mut self, outputs: [usize; 3], fan_in: usize) {
        self.macs += (outputs.iter().product::<usize>() * fan_in) as u64;
    }
}

/// The listing: one line an operation, then the totals.
impl fmt::Display for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "parameters {}", self.parameter_count())?;
        writeln!(f, "macs       {}", self.macs)
    }
}

impl Graph for Shapes {
    type Tensor = Shape;

    fn normalise(&mut self, frames: &Shape, _by: Normalisation) -> Shape {
        let [h, w, c] = frames.chw();
        assert_eq!(c, 3, "frames are RGB");
        self.op("normalise", "", vec![c, h, w])
    }

    fn conv2d(&mut self, x: &Shape, at: &Path, spec: Conv2d) -> Shape {
        let [c, h, w] = x.chw();
        assert_eq!(c, spec.inputs, "channels into {at}");
        let per_group = spec.inputs / spec.groups;
        let fan_in = per_group * spec.kernel * spec.kernel;
        self.parameter(
            at,
            "weight",
            &[spec.outputs, per_group, spec.kernel, spec.kernel],
            ParameterKind::Kernel { fan_in },
        );
        let side = |px: usize| (px + 2 * spec.padding - spec.kernel) / spec.stride + 1;
        let out = [spec.outputs, side(h), side(w)];
        self.count(out, fan_in);
        self.op("conv2d", at.as_str(), out.to_vec())
    }

    fn conv_transpose2d(&mut self, x: &Shape, at: &Path, spec: ConvTranspose2d) -> Shape {
        let [c, h, w] = x.chw();
        assert_eq!(c, spec.inputs, "channels into {at}");
        // With stride 2 and a 2 x 2 kernel each output value sees one input location.
        let kind = ParameterKind::Kernel { fan_in: spec.inputs };
        self.parameter(at, "weight", &[spec.inputs, spec.outputs, 2, 2], kind);
        let out = [spec.outputs, 2 * h, 2 * w];
        self.count(out, spec.inputs);
        self.op("conv_transpose2d", at.as_str(), out.to_vec())
    }

    fn batch_norm(&mut self, x: &Shape, at: &Path, spec: BatchNorm) -> Shape {
        assert_eq!(x.chw()[0], spec.channels, "channels into {at}");
        let shape = [spec.channels];
        self.parameter(at, "weight", &shape, ParameterKind::Scale);
        self.parameter(at, "bias", &shape, ParameterKind::Shift);
        self.parameter(at, "running_mean", &shape, ParameterKind::RunningMean);
        self.parameter(at, "running_var", &shape, ParameterKind::RunningVar);
        self.op("batch_norm", at.as_str(), x.0.clone())
    }

    fn instance_norm(&mut self, x: &Shape) -> Shape {
        self.op("instance_norm", "", x.0.clone())
    }

    fn relu(&mut self, x: &Shape) -> Shape {
        self.op("relu", "", x.0.clone())
    }

    fn leaky_relu(&mut self, x: &Shape, _slope: f32) -> Shape {
        self.op("leaky_relu", "", x.0.clone())
    }

    fn max_pool2d(&mut self, x: &Shape, spec: MaxPool2d) -> Shape {
        let [c, h, w] = x.chw();
        let side = |px: usize| (px + 2 * spec.padding - spec.kernel) / spec.stride + 1;
        self.op("max_pool2d", "", vec![c, side(h), side(w)])
    }

    fn avg_pool2d(&mut self, x: &Shape, kernel: usize) -> Shape {
        assert_eq!(kernel % 2, 1, "a window has a middle");
        self.op("avg_pool2d", "", x.0.clone())
    }

    fn add(&mut self, a: &Shape, b: &Shape) -> Shape {
        assert_eq!(a, b, "shapes added");
        self.op("add", "", a.0.clone())
    }

    fn mean(&mut self, parts: &[Shape]) -> Shape {
        assert!(parts.windows(2).all(|pair| pair[0] == pair[1]), "shapes averaged");
        self.op("mean", "", parts[0].0.clone())
    }

    fn concat(&mut self, parts: &[Shape]) -> Shape {
        let [_, h, w] = parts[0].chw();
        let channels = parts
            .iter()
            .map(|part| {
                let [c, ph, pw] = part.chw();
                assert_eq!([ph, pw], [h, w], "planes concatenated");
                c
            })
            .sum();
        self.op("concat", "", vec![channels, h, w])
    }

    fn cosine_distance(&mut self, a: &Shape, b: &Shape) -> Shape {
        assert_eq!(a, b, "shapes compared");
        let [_, h, w] = a.chw();
        self.op("cosine_distance", "", vec![1, h, w])
    }

    fn distance_to_nearest(&mut self, cosines: &Shape) -> Shape {
        let [_, h, w] = cosines.chw();
        self.op("distance_to_nearest", "", vec![1, h, w])
    }

    fn resize(&mut self, x: &Shape, height: usize, width: usize) -> Shape {
        self.op("resize", "", vec![x.chw()[0], height, width])
    }

    fn gaussian_blur(&mut self, x: &Shape, blur: Blur) -> Shape {
        let [c, h, w] = x.chw();
        assert_eq!(c, 1, "blur takes a map");
        assert!(h.min(w) > blur.radius_px, "the border can be mirrored only inside the map");
        self.op("gaussian_blur", "", x.0.clone())
    }

    fn drop_channel(&mut self, x: &Shape) -> Shape {
        let [c, h, w] = x.chw();
        assert_eq!(c, 1, "only a one-channel map loses its channel");
        self.op("drop_channel", "", vec![h, w])
    }

    fn map_max(&mut self, _map: &Shape) -> Shape {
        self.op("map_max", "", vec![])
    }

    fn global_avg_pool(&mut self, x: &Shape) -> Shape {
        self.op("global_avg_pool", "", vec![x.chw()[0]])
    }

    fn l2_normalise(&mut self, x: &Shape) -> Shape {
        self.op("l2_normalise", "", x.0.clone())
    }
}
