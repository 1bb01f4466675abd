//! The teacher: a frozen ImageNet-style encoder, up to its third stage.

use crate::residual::{Residual, Resolution, stage};
use crate::shapes::{Parameter, Shape, Shapes};
use crate::{Architecture, BatchNorm, Conv2d, Graph, MaxPool2d, Path};

/// Whether a parameter of torchvision's classifier is none of the teacher's: its last stage or its head.
pub fn is_classifiers(name: &str) -> bool {
    name.starts_with("layer4.") || name.starts_with("fc.")
}

/// The teacher's parameters under torchvision's names.
pub fn parameters(arch: &Architecture) -> Vec<Parameter> {
    let mut shapes = Shapes::default();
    teacher(&mut shapes, &Path::root(), &Shape(vec![3, arch.input_height, arch.input_width]), arch);
    shapes.parameters
}

/// Features of stages 1, 2, 3 at strides 4, 8, 16 of the normalised image `[N, 3, H, W]`.
/// Parameter names below `at` are torchvision's.
pub fn teacher<G: Graph>(
    g: &mut G,
    at: &Path,
    image: &G::Tensor,
    arch: &Architecture,
) -> [G::Tensor; 3] {
    let [c1, c2, c3, _] = arch.channels();
    let [b1, b2, b3] = arch.blocks();
    let stem = arch.stem_channels();
    let conv = Conv2d { inputs: 3, outputs: stem, kernel: 7, stride: 2, padding: 3, groups: 1 };
    let x = g.conv2d(image, &(at / "conv1"), conv);
    let x = g.batch_norm(&x, &(at / "bn1"), BatchNorm { channels: stem });
    let x = g.relu(&x);
    let x = g.max_pool2d(&x, MaxPool2d { kernel: 3, stride: 2, padding: 1 });
    let block = arch.backbone.block();
    let first = |inputs, outputs, resolution| Residual { block, inputs, outputs, resolution };
    let f1 = stage(g, &(at / "layer1"), &x, first(stem, c1, Resolution::Keep), b1);
    let f2 = stage(g, &(at / "layer2"), &f1, first(c1, c2, Resolution::Halve), b2);
    let f3 = stage(g, &(at / "layer3"), &f2, first(c2, c3, Resolution::Halve), b3);
    [f1, f2, f3]
}
