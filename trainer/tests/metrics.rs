//! Our metrics against the field's own packages on drawn cases: ties, several regions, regions that touch at a corner,
//! empty masks, test sets without defects or without anything normal.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use trainer::metrics::{Ranking, Regions, Scores, VMeasure, v_measure};

/// MVTec's own code keeps false-positive rates as 32-bit numbers, with errors of 6e-8; everything else agrees closer.
const TOLERANCE: f64 = 1e-6;
const CASES: usize = 200;

/// A test set of maps of one size, with a mask for each.
#[derive(Debug, Serialize)]
struct Case {
    width: usize,
    height: usize,
    maps: Vec<Vec<f32>>,
    masks: Vec<Vec<bool>>,
    classes: Vec<usize>,
    clusters: Vec<usize>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    image: Option<Ranked>,
    pixel: Option<Ranked>,
    regions: Vec<Vec<usize>>,
    v_measure: [f64; 3],
}

#[derive(Debug, Deserialize)]
struct Ranked {
    auroc: f64,
    average_precision: f64,
    f1_max: f64,
    aupro: Option<f64>,
}

/// How a mask is drawn.
#[derive(Clone, Copy, Debug)]
enum Mask {
    Empty,
    Full,
    /// Rectangles that may touch, overlap or be a single pixel.
    Rectangles,
    /// A line from corner to corner, of pixels that touch at their corners only, and what lies about it.
    Diagonal,
    /// Every pixel by chance: many small regions of strange shapes.
    Speckles,
}

impl Mask {
    const ALL: [Self; 5] =
        [Self::Empty, Self::Full, Self::Rectangles, Self::Diagonal, Self::Speckles];

    fn draw(self, rng: &mut ChaCha8Rng, width: usize, height: usize) -> Vec<bool> {
        let mut mask = vec![false; width * height];
        match self {
            Self::Empty => {}
            Self::Full => mask.fill(true),
            Self::Rectangles => {
                for _ in 0..rng.random_range(1..6) {
                    let (x, y) = (rng.random_range(0..width), rng.random_range(0..height));
                    let right = (x + rng.random_range(1..5)).min(width);
                    let bottom = (y + rng.random_range(1..5)).min(height);
                    for row in y..bottom {
                        mask[row * width + x..row * width + right].fill(true);
                    }
                }
            }
            Self::Diagonal => {
                for at in 0..width.min(height) {
                    mask[at * width + at] = true;
                    mask[at * width + width - 1 - at] |= rng.random_bool(0.5);
                }
            }
            Self::Speckles => mask.iter_mut().for_each(|pixel| *pixel = rng.random_bool(0.3)),
        }
        mask
    }
}

fn case(rng: &mut ChaCha8Rng) -> Case {
    let (width, height) = (rng.random_range(1..20), rng.random_range(1..20));
    let images = rng.random_range(1..6);
    // From two levels, where nearly everything is tied, to numbers that hardly ever are.
    let levels = [2.0, 5.0, 40.0, 1e6][rng.random_range(0..4)];
    let signal = rng.random_range(-0.3..1.0_f32);
    let masks: Vec<Vec<bool>> = (0..images)
        .map(|_| Mask::ALL[rng.random_range(0..Mask::ALL.len())].draw(rng, width, height))
        .collect();
    let maps = masks
        .iter()
        .map(|mask| {
            let noise = |rng: &mut ChaCha8Rng| rng.random_range(-1.0..1.0_f32);
            let pixel = |&is_defect: &bool| {
                let value = noise(rng) + if is_defect { signal } else { 0.0 };
                (value * levels).round() / levels
            };
            mask.iter().map(pixel).collect()
        })
        .collect();
    let points = rng.random_range(1..40);
    let mut labels = |kinds: usize| (0..points).map(|_| rng.random_range(0..kinds)).collect();
    let (classes, clusters) = (labels(4), labels(3));
    Case { width, height, maps, masks, classes, clusters }
}

fn peers(cases: &[Case]) -> Vec<Answer> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = root.join("../.deps/python");
    assert!(packages.is_dir(), "{} is not there; run make test once", packages.display());
    let mut child = Command::new("python3")
        .arg(root.join("tests/peers.py"))
        .env("PYTHONPATH", &packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = serde_json::to_vec(cases).unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the peers failed: see above");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn check(name: &str, ours: Option<&Ranking>, theirs: Option<&Ranked>, case: &Case) {
    let (ours, theirs) = match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours, theirs),
        (None, None) => return,
        other => panic!("{name}: {:?} against {:?} in {case:?}", other.0.is_some(), other.1),
    };
    let close = |metric: &str, ours: f64, theirs: f64| {
        let distance = (ours - theirs).abs();
        assert!(distance <= TOLERANCE, "{name} {metric}: {ours} against {theirs} in {case:?}");
    };
    close("AUROC", ours.auroc(), theirs.auroc);
    close("AP", ours.average_precision(), theirs.average_precision);
    close("F1-max", ours.f1_max().f1, theirs.f1_max);
    if let Some(aupro) = theirs.aupro {
        close("AUPRO", ours.aupro(), aupro);
    }
}

#[test]
fn the_fields_own_packages_agree_with_every_metric() {
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let cases: Vec<Case> = (0..CASES).map(|_| case(&mut rng)).collect();
    let answers = peers(&cases);
    assert_eq!(answers.len(), cases.len());
    let (mut ranked, mut regions) = (0, 0);
    for (case, answer) in cases.iter().zip(&answers) {
        let (mut images, mut pixels) = (Scores::default(), Scores::default());
        for (map, mask) in case.maps.iter().zip(&case.masks) {
            pixels.add_map(map, mask, case.width);
            let highest = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            images.add(highest, mask.contains(&true));
        }
        check("image", images.rank().as_ref(), answer.image.as_ref(), case);
        check("pixel", pixels.rank().as_ref(), answer.pixel.as_ref(), case);
        for (mask, theirs) in case.masks.iter().zip(&answer.regions) {
            let ours = Regions::of(mask, case.width);
            assert_eq!(ours.sizes(), theirs, "regions of {mask:?}, {} wide", case.width);
            regions += theirs.len();
        }
        let VMeasure { homogeneity, completeness, v } = v_measure(&case.classes, &case.clusters);
        for (ours, theirs) in [homogeneity, completeness, v].into_iter().zip(answer.v_measure) {
            assert!((ours - theirs).abs() <= TOLERANCE, "{ours} against {theirs} in {case:?}");
        }
        ranked += usize::from(answer.image.is_some()) + usize::from(answer.pixel.is_some());
    }
    // The cases must not have become trivial.
    assert!(ranked > CASES && regions > CASES, "{ranked} rankings, {regions} regions");
}
