//! Throughput of exported files against the first of them: ratios within one run, batches of one and of four.
//!
//! `cargo run --release --example precision_speed -- fp32.onnx fp16.onnx int8.onnx`; `THREADS=1` limits ONNX Runtime.
//! The frames are the first file's golden frames.

#![expect(clippy::print_stdout, reason = "its output")]

use std::path::Path;

use anyhow::{Context as _, bail};
use bundle::{geometry::RgbImage, golden::GoldenFrame, model_file};
use trainer::{
    deployed::{Computation, OnnxDetector},
    speed::speedup,
};

/// Interleaved pairs of runs: an interval of the median of some per cent on a quiet machine.
const PAIRS: usize = 40;

fn main() -> anyhow::Result<()> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let Some((base, others)) = paths.split_first().filter(|(_, others)| !others.is_empty()) else {
        bail!("name the FP32 file and at least one other");
    };
    let threads = std::env::var("THREADS").ok().map(|n| n.parse()).transpose()?;
    let threads = threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let open = |path: &str| -> anyhow::Result<(OnnxDetector, Vec<RgbImage>)> {
        let bytes = std::fs::read(path).with_context(|| format!("model {path}"))?;
        let document = model_file::read_bytes(&bytes)?.document;
        let frames = document.golden.iter().map(GoldenFrame::decode).collect::<Result<_, _>>()?;
        let detector =
            OnnxDetector::with(&bytes, document.geometry, Computation::Fused, Some(threads))?;
        Ok((detector, frames))
    };
    let (mut first, frames) = open(base)?;
    println!("| file | batch | ms a frame | base, ms a frame | ratio | 95 % interval |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for path in others {
        let (mut other, _) = open(path)?;
        for size in [1, 4] {
            let batch: Vec<RgbImage> = frames.iter().cycle().take(size).cloned().collect();
            let found = speedup(&mut first, &mut other, &batch, PAIRS)?;
            let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
            println!(
                "| {name} | {size} | {:.1} | {:.1} | {:.2} | {:.2} to {:.2} |",
                found.millis, found.base_millis, found.median, found.low, found.high
            );
        }
    }
    println!("\n{threads} threads of ONNX Runtime, {PAIRS} interleaved pairs.");
    Ok(())
}
