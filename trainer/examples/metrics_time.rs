//! How long the seven metrics take for a thousand maps of 256 x 256 with masks:
//! `cargo run --release --package sightline-trainer --example metrics_time`.

#![allow(clippy::print_stdout, reason = "a measurement is printed")]

use std::time::Instant;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use trainer::metrics::Scores;

const MAPS: usize = 1000;
const SIDE: usize = 256;

fn main() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // Every second part has a disc-shaped defect; its scores lie higher, smooth maps with noise of their own.
    let parts: Vec<(Vec<f32>, Vec<bool>)> = (0..MAPS)
        .map(|index| {
            let radius = if index % 2 == 0 { 0.0 } else { rng.random_range(3.0..30.0_f32) };
            let centre = [(); 2].map(|()| rng.random_range(0.0..SIDE as f32));
            let distance = |at: usize| {
                let (x, y) = ((at % SIDE) as f32, (at / SIDE) as f32);
                (x - centre[0]).hypot(y - centre[1])
            };
            let mask: Vec<bool> = (0..SIDE * SIDE).map(|at| distance(at) < radius).collect();
            let map = (0..SIDE * SIDE)
                .map(|at| 0.3 * radius / (1.0 + distance(at)) + rng.random_range(0.0..0.3_f32))
                .collect();
            (map, mask)
        })
        .collect();
    let started = Instant::now();
    let (mut images, mut pixels) = (Scores::default(), Scores::default());
    for (map, mask) in &parts {
        let highest = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        images.add(highest, mask.contains(&true));
        pixels.add_map(map, mask, SIDE);
    }
    let added = started.elapsed();
    for (name, scores) in [("image", images), ("pixel", pixels)] {
        let Some(ranking) = scores.rank() else {
            println!("{name}: nothing to rank");
            continue;
        };
        println!(
            "{name}: AUROC {:.4}, AP {:.4}, F1-max {:.4}, AUPRO {:.4}",
            ranking.auroc(),
            ranking.average_precision(),
            ranking.f1_max().f1,
            ranking.aupro()
        );
    }
    println!(
        "{MAPS} maps of {SIDE} x {SIDE}: {:.1} s, of which regions and collecting {:.1} s",
        started.elapsed().as_secs_f64(),
        added.as_secs_f64()
    );
}
