//! The exported network in a precision: FP32, FP16 weights or INT8.
//!
//! Owns the choice of images that int8 is measured on, and the record of what was decided. The graph's passes are
//! `network::onnx`'s; nothing here sees a test image.

pub mod likeness;
pub mod ranges;
pub mod sensitivity;

use anyhow::bail;
use bundle::{
    geometry::RgbImage,
    golden::Tolerance,
    precision::{Fp16, Int8, Precision},
};
use indicatif::ProgressBar;
use network::onnx::{self, proto::ModelProto};
use rayon::prelude::*;

use crate::{
    dataset::{DataError, GoodPart, Split, store},
    recipe::Recipe,
};
use ranges::RangeMethod;

/// Training images that ranges are measured on: beyond a hundred the ranges of a fixed line hardly move.
const RANGE_IMAGES_MAX: usize = 128;
/// Held-out good images that sensitivity is measured on: each is run once a layer.
const SENSITIVITY_IMAGES_MAX: usize = 16;

/// What to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wanted {
    /// Weights and arithmetic in f32.
    Fp32,
    /// Kernels stored as f16: half the file.
    Fp16,
    /// Convolutions on int8: a quarter of the file, and faster.
    Int8,
}

/// A network, and how its numbers were chosen.
#[derive(Clone, Debug)]
pub struct Network {
    /// The ONNX file, without a document.
    pub bytes: Vec<u8>,
    /// The record.
    pub precision: Precision,
}

/// The network of the FP32 graph `float` in the precision that is wanted.
pub fn network(
    float: &ModelProto,
    wanted: Wanted,
    range_method: RangeMethod,
    recipe: &Recipe,
    split: &Split,
    bar: impl Fn(&'static str) -> ProgressBar,
) -> anyhow::Result<Network> {
    match wanted {
        Wanted::Fp32 => Ok(fp32(float)),
        Wanted::Fp16 => {
            let float = onnx::search_by_product(float.clone());
            let (model, onnx::HalfWeights { halved, kept }) = onnx::half_weights(float);
            let precision = Precision::Fp16(Fp16 { halved, kept });
            Ok(Network { bytes: onnx::bytes(&model), precision })
        }
        Wanted::Int8 => int8(float, range_method, recipe, split, bar),
    }
}

/// The FP32 form of the graph.
pub fn fp32(float: &ModelProto) -> Network {
    let model = onnx::search_by_product(float.clone());
    Network { bytes: onnx::bytes(&model), precision: Precision::Fp32 }
}

fn int8(
    float: &ModelProto,
    range_method: RangeMethod,
    recipe: &Recipe,
    split: &Split,
    bar: impl Fn(&'static str) -> ProgressBar,
) -> anyhow::Result<Network> {
    let learned = inputs(recipe, &balanced(&split.training, RANGE_IMAGES_MAX))?;
    if learned.is_empty() {
        bail!(
            "int8 is calibrated on training images, and there are none; add good parts to train/good"
        );
    }
    // Without held-out parts those that training saw have to do; no test image ever does.
    let held_out = if split.calibration.is_empty() { &split.training } else { &split.calibration };
    let held_out = inputs(recipe, &balanced(held_out, SENSITIVITY_IMAGES_MAX))?;
    let geometry = recipe.geometry();
    let ranges = ranges::measure(float, &learned, range_method, &bar("ranges"))?;
    let chosen = sensitivity::choose(float, &ranges, &geometry, &held_out, &bar("sensitivity"))?;
    let precision = Precision::Int8(Int8 {
        range_images: learned.len(),
        range_method: range_method.describe().to_owned(),
        quantised_layers: onnx::layers(float).len() - chosen.float_layers.len(),
        float_layers: chosen.float_layers,
        sensitivity_images: held_out.len(),
        map_deviation: chosen.map_deviation,
        map_deviation_max: sensitivity::MAP_DEVIATION_MAX,
    });
    // A memory that stayed in float is searched as FP32 searches it.
    let model = onnx::search_by_product(chosen.model);
    Ok(Network { bytes: onnx::bytes(&model), precision })
}

/// How far an engine may be from the golden frames of a file of this precision.
pub fn tolerance(precision: &Precision) -> Tolerance {
    match precision {
        Precision::Fp32 | Precision::Fp16(_) => Tolerance::default(),
        Precision::Int8(_) => Tolerance::INT8,
    }
}

/// At most `count` parts, the products in turn: a product of few parts is used up, not repeated.
pub fn balanced(parts: &[GoodPart], count: usize) -> Vec<GoodPart> {
    let classes = parts.iter().map(|part| part.class + 1).max().unwrap_or(0);
    let mut of_class: Vec<Vec<&GoodPart>> = vec![Vec::new(); classes];
    for part in parts {
        of_class[part.class].push(part);
    }
    let deepest = of_class.iter().map(Vec::len).max().unwrap_or(0);
    (0..deepest)
        .flat_map(|depth| of_class.iter().filter_map(move |own| own.get(depth)))
        .take(count)
        .map(|part| (*part).clone())
        .collect()
}

/// The parts' images as the network sees them: one tile of each, for more would unbalance the products, and of one part
/// after the other the next, for a part's corner says nothing of its middle.
fn inputs(recipe: &Recipe, parts: &[GoodPart]) -> anyhow::Result<Vec<RgbImage>> {
    let geometry = recipe.geometry();
    let fitted = parts
        .par_iter()
        .map(|part| store::fitted(&geometry, &part.path))
        .collect::<Result<Vec<_>, DataError>>()?;
    Ok(turns(fitted))
}

/// Of the first list the first, of the second the second, and so on, round and round.
fn turns<T>(lists: Vec<Vec<T>>) -> Vec<T> {
    let taken = lists.into_iter().enumerate();
    taken
        .filter_map(|(turn, mut list)| {
            (!list.is_empty()).then(|| list.swap_remove(turn % list.len()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_has_its_turn() {
        let of = |part: u32| (0..4).map(|tile| 10 * part + tile).collect::<Vec<u32>>();
        assert_eq!(turns((0..6).map(of).collect()), [0, 11, 22, 33, 40, 51]);
        assert_eq!(turns(vec![vec![7], vec![8]]), [7, 8]);
    }

    #[test]
    fn products_take_turns_until_the_count_is_reached() {
        let parts: Vec<GoodPart> = [0, 0, 0, 0, 2, 2, 1]
            .iter()
            .enumerate()
            .map(|(index, &class)| GoodPart { path: index.to_string().into(), class })
            .collect();
        let check = |count: usize, expected: &[&str]| {
            let found = balanced(&parts, count);
            let found: Vec<_> = found.iter().map(|part| part.path.to_string_lossy()).collect();
            assert_eq!(found, expected);
        };
        check(5, &["0", "6", "4", "1", "5"]);
        check(100, &["0", "6", "4", "1", "5", "2", "3"]);
        check(0, &[]);
        assert!(balanced(&[], 3).is_empty());
    }
}
