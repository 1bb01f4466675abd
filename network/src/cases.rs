//! Every operation and every stage as a case that any interpreter can run.
//!
//! Owns the list: an operation that is not here is not proved. Used by the tests of this crate (reference, shapes,
//! ONNX Runtime) and of the trainer (libtorch). Inputs and weights are functions of a seed.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Normal};

use crate::reference::{Array, Reference};
use crate::shapes::{Parameter, Shape, Shapes};
use crate::weights::{Checked, Weights};
use crate::{
    Architecture, Backbone, BatchNorm, Blur, Conv2d, ConvTranspose2d, Graph, MaxPool2d,
    Normalisation, Path, ProjectorKind, anomaly_map, bottleneck, decoder, embedding, memory,
    projector, teacher,
};

/// One operation or stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the operation or stage of its name")]
pub enum Case {
    Normalise,
    Conv2d,
    Conv2dStride,
    Conv2dPointwise,
    Conv2dDepthwise,
    ConvTranspose2d,
    BatchNorm,
    InstanceNorm,
    Relu,
    LeakyRelu,
    MaxPool2d,
    AvgPool2d,
    Add,
    Mean,
    Concat,
    CosineDistance,
    CosineDistanceOfZeros,
    DistanceToNearest,
    ResizeUp,
    ResizeDown,
    GaussianBlur,
    ResizeBlurred,
    DropChannel,
    MapMax,
    GlobalAvgPool,
    L2Normalise,
    L2NormaliseChannels,
    ConvThenBatchNorm,
    ConvTransposeThenBatchNorm,
    Teacher,
    TeacherWide,
    ProjectorDense,
    ProjectorDepthwise,
    Bottleneck,
    BottleneckWide,
    Decoder,
    DecoderWide,
    AnomalyMap,
    AnomalyMapWithMemory,
    Memory,
    Embedding,
}

/// A width at which the naive loops end in a second.
fn tiny() -> Architecture {
    Architecture { width: 0.125, ..Architecture::resnet18(64) }
}

/// The same with bottleneck blocks.
fn tiny_wide() -> Architecture {
    Architecture { width: 0.0625, ..Architecture::published(Backbone::WideResNet50x2, 64) }
}

impl Case {
    /// All of them: operations, then what the folding pass touches, then stages.
    pub const ALL: [Self; 41] = [
        Self::Normalise,
        Self::Conv2d,
        Self::Conv2dStride,
        Self::Conv2dPointwise,
        Self::Conv2dDepthwise,
        Self::ConvTranspose2d,
        Self::BatchNorm,
        Self::InstanceNorm,
        Self::Relu,
        Self::LeakyRelu,
        Self::MaxPool2d,
        Self::AvgPool2d,
        Self::Add,
        Self::Mean,
        Self::Concat,
        Self::CosineDistance,
        Self::CosineDistanceOfZeros,
        Self::DistanceToNearest,
        Self::ResizeUp,
        Self::ResizeDown,
        Self::GaussianBlur,
        Self::ResizeBlurred,
        Self::DropChannel,
        Self::MapMax,
        Self::GlobalAvgPool,
        Self::L2Normalise,
        Self::L2NormaliseChannels,
        Self::ConvThenBatchNorm,
        Self::ConvTransposeThenBatchNorm,
        Self::Teacher,
        Self::TeacherWide,
        Self::ProjectorDense,
        Self::ProjectorDepthwise,
        Self::Bottleneck,
        Self::BottleneckWide,
        Self::Decoder,
        Self::DecoderWide,
        Self::AnomalyMap,
        Self::AnomalyMapWithMemory,
        Self::Memory,
        Self::Embedding,
    ];

    /// Shapes of the inputs, without the batch.
    pub fn inputs(self) -> Vec<Vec<usize>> {
        let plane = vec![4, 9, 7];
        let pyramid = |arch: Architecture| {
            let [c1, c2, c3, _] = arch.channels();
            vec![vec![c1, 16, 16], vec![c2, 8, 8], vec![c3, 4, 4]]
        };
        let code = |arch: Architecture| vec![vec![arch.channels()[3], 2, 2]];
        match self {
            Self::Normalise => vec![vec![9, 7, 3]],
            Self::Add | Self::Mean | Self::CosineDistance | Self::CosineDistanceOfZeros => {
                vec![plane.clone(), plane]
            }
            Self::Concat => vec![plane, vec![2, 9, 7]],
            Self::GaussianBlur => vec![vec![1, 20, 15]],
            Self::DropChannel | Self::ResizeBlurred => vec![vec![1, 9, 7]],
            Self::MapMax => vec![vec![9, 7]],
            Self::L2Normalise => vec![vec![5]],
            Self::Teacher | Self::TeacherWide => vec![vec![3, 64, 64]],
            Self::ProjectorDense | Self::ProjectorDepthwise | Self::Bottleneck | Self::Memory => {
                pyramid(tiny())
            }
            Self::BottleneckWide => pyramid(tiny_wide()),
            Self::Decoder | Self::Embedding => code(tiny()),
            Self::DecoderWide => code(tiny_wide()),
            Self::AnomalyMap => [pyramid(tiny()), pyramid(tiny())].concat(),
            Self::AnomalyMapWithMemory => {
                [pyramid(tiny()), pyramid(tiny()), vec![vec![1, 8, 8]]].concat()
            }
            Self::Conv2d
            | Self::Conv2dStride
            | Self::Conv2dPointwise
            | Self::Conv2dDepthwise
            | Self::ConvTranspose2d
            | Self::BatchNorm
            | Self::InstanceNorm
            | Self::Relu
            | Self::LeakyRelu
            | Self::MaxPool2d
            | Self::AvgPool2d
            | Self::DistanceToNearest
            | Self::L2NormaliseChannels
            | Self::ResizeUp
            | Self::ResizeDown
            | Self::GlobalAvgPool
            | Self::ConvThenBatchNorm
            | Self::ConvTransposeThenBatchNorm => vec![plane],
        }
    }

    /// Runs the case in any interpreter.
    pub fn run<G: Graph>(self, g: &mut G, x: &[G::Tensor]) -> Vec<G::Tensor> {
        let at = &Path::root() / "op";
        let arch = tiny();
        let three = |of: &[G::Tensor]| [of[0].clone(), of[1].clone(), of[2].clone()];
        match self {
            Self::Normalise => vec![g.normalise(&x[0], Normalisation::IMAGENET)],
            Self::Conv2d => vec![g.conv2d(&x[0], &at, Conv2d::three(4, 6, 1))],
            Self::Conv2dStride => {
                let spec = Conv2d { kernel: 7, padding: 3, ..Conv2d::three(4, 6, 2) };
                vec![g.conv2d(&x[0], &at, spec)]
            }
            Self::Conv2dPointwise => vec![g.conv2d(&x[0], &at, Conv2d::one(4, 6, 2))],
            Self::Conv2dDepthwise => vec![g.conv2d(&x[0], &at, Conv2d::depthwise(4))],
            Self::ConvTranspose2d => {
                vec![g.conv_transpose2d(&x[0], &at, ConvTranspose2d { inputs: 4, outputs: 3 })]
            }
            Self::BatchNorm => vec![g.batch_norm(&x[0], &at, BatchNorm { channels: 4 })],
            Self::InstanceNorm => vec![g.instance_norm(&x[0])],
            Self::Relu => vec![g.relu(&x[0])],
            Self::LeakyRelu => vec![g.leaky_relu(&x[0], 0.2)],
            Self::MaxPool2d => {
                vec![g.max_pool2d(&x[0], MaxPool2d { kernel: 3, stride: 2, padding: 1 })]
            }
            Self::AvgPool2d => vec![g.avg_pool2d(&x[0], 3)],
            Self::Add => vec![g.add(&x[0], &x[1])],
            Self::Mean => vec![g.mean(x)],
            Self::Concat => vec![g.concat(x)],
            Self::CosineDistance => vec![g.cosine_distance(&x[0], &x[1])],
            Self::CosineDistanceOfZeros => {
                // 0 - 0 by way of relu: half of the locations have all-zero features.
                let zeros = [g.relu(&x[0]), g.relu(&x[1])];
                vec![g.cosine_distance(&zeros[0], &zeros[1])]
            }
            Self::DistanceToNearest => vec![g.distance_to_nearest(&x[0])],
            Self::ResizeUp => vec![g.resize(&x[0], 21, 16)],
            Self::ResizeDown => vec![g.resize(&x[0], 5, 4)],
            Self::ResizeBlurred => {
                vec![g.resize_blurred(&x[0], 21, 32, Blur { sigma_px: 2.0, radius_px: 6 })]
            }
            Self::GaussianBlur => {
                vec![g.gaussian_blur(&x[0], Blur { sigma_px: 2.0, radius_px: 6 })]
            }
            Self::DropChannel => vec![g.drop_channel(&x[0])],
            Self::MapMax => vec![g.map_max(&x[0])],
            Self::GlobalAvgPool => vec![g.global_avg_pool(&x[0])],
            Self::L2Normalise | Self::L2NormaliseChannels => vec![g.l2_normalise(&x[0])],
            Self::ConvThenBatchNorm => {
                let y = g.conv2d(&x[0], &(&at / "conv"), Conv2d::three(4, 6, 1));
                vec![g.batch_norm(&y, &(&at / "bn"), BatchNorm { channels: 6 })]
            }
            Self::ConvTransposeThenBatchNorm => {
                let spec = ConvTranspose2d { inputs: 4, outputs: 6 };
                let y = g.conv_transpose2d(&x[0], &(&at / "conv"), spec);
                vec![g.batch_norm(&y, &(&at / "bn"), BatchNorm { channels: 6 })]
            }
            Self::Teacher => teacher::teacher(g, &at, &x[0], &arch).into(),
            Self::TeacherWide => teacher::teacher(g, &at, &x[0], &tiny_wide()).into(),
            Self::ProjectorDense => {
                let arch = Architecture { projector: ProjectorKind::Dense, ..arch };
                projector::projector(g, &at, &three(x), &arch).into()
            }
            Self::ProjectorDepthwise => {
                let arch = Architecture { projector: ProjectorKind::Depthwise, ..arch };
                projector::projector(g, &at, &three(x), &arch).into()
            }
            Self::Bottleneck => vec![bottleneck::bottleneck(g, &at, &three(x), &arch)],
            Self::BottleneckWide => {
                vec![bottleneck::bottleneck(g, &at, &three(x), &tiny_wide())]
            }
            Self::Decoder => decoder::decoder(g, &at, &x[0], &arch).into(),
            Self::DecoderWide => decoder::decoder(g, &at, &x[0], &tiny_wide()).into(),
            Self::AnomalyMap => {
                vec![anomaly_map::anomaly_map(g, &three(x), &three(&x[3..]), None, &arch)]
            }
            Self::AnomalyMapWithMemory => {
                let student = three(&x[3..]);
                vec![anomaly_map::anomaly_map(g, &three(x), &student, Some(&x[6]), &arch)]
            }
            Self::Memory => {
                let arch = Architecture { memory_patches: 6, ..arch };
                vec![memory::distance(g, &at, &three(x), &arch)]
            }
            Self::Embedding => vec![embedding::embedding(g, &x[0])],
        }
    }

    /// Parameters, and the outputs' shapes without the batch.
    pub fn shapes(self) -> (Vec<Parameter>, Vec<Vec<usize>>) {
        let mut shapes = Shapes::default();
        let inputs: Vec<Shape> = self.inputs().into_iter().map(Shape).collect();
        let outputs = self.run(&mut shapes, &inputs);
        (shapes.parameters, outputs.into_iter().map(|shape| shape.0).collect())
    }

    /// Random weights of the case.
    ///
    /// # Panics
    /// Never: they are made from the very list that they are checked against.
    pub fn weights(self, seed: u64) -> Checked {
        let (manifest, _) = self.shapes();
        Weights::random(&manifest, seed).check(&manifest).expect("made from this manifest")
    }

    /// Random inputs of the case: normal, or whole numbers from 0 to 255 for frames.
    ///
    /// # Panics
    /// Never: the normal distribution's parameters are constants.
    pub fn arrays(self, batch: usize, seed: u64) -> Vec<Array> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let normal = Normal::new(0.0_f32, 1.0).expect("a standard deviation of 1");
        let is_frames = self == Self::Normalise;
        self.inputs()
            .iter()
            .map(|shape| {
                let shape = [&[batch], shape.as_slice()].concat();
                Array::of(&shape, |_| {
                    let value = normal.sample(&mut rng);
                    if is_frames { (128.0 + 60.0 * value).clamp(0.0, 255.0).round() } else { value }
                })
            })
            .collect()
    }

    /// What the definitions say.
    pub fn reference(self, weights: &Checked, inputs: &[Array]) -> Vec<Array> {
        self.run(&mut Reference::new(weights), inputs)
    }
}
