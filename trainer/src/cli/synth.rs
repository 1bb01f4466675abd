//! `sightline-train synth`: products, lines and their truth, rendered.

use std::path::PathBuf;

use bundle::geometry::Size;
use synth::{
    clip,
    dataset::{self, DatasetOptions},
    line::{Line, LineOptions},
    product::Product,
};

use super::bars;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// A data set in the layout of MVTec AD: good parts to learn from, good and defective ones to measure with.
    Products {
        /// The folder to write.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Good parts to learn from, of each product.
        #[arg(long, default_value_t = 200)]
        train: u64,
        /// Good parts to measure with, of each product.
        #[arg(long, default_value_t = 40)]
        test_good: u64,
        /// Defective parts of each kind, of each product.
        #[arg(long, default_value_t = 12)]
        test_defective: u64,
        #[command(flatten)]
        common: Common,
    },
    /// A clip of the indexed belt (.webm) and its truth (.truth.jsonl).
    Line {
        /// The clip to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Pockets of the belt.
        #[arg(long, default_value_t = 30)]
        pockets: u64,
        /// Frames from pocket to pocket.
        #[arg(long, default_value_t = 4)]
        moving: u64,
        /// Frames at rest.
        #[arg(long, default_value_t = 8)]
        rest: u64,
        /// Share of pockets without a part.
        #[arg(long, default_value_t = 0.1)]
        empty: f64,
        /// Share of parts with a defect.
        #[arg(long, default_value_t = 0.3)]
        defective: f64,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// Everything is a function of it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Side of a picture, in pixels.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(32..=4096))]
    side: u32,
    /// One product only; may be repeated.
    #[arg(long, value_parser = product)]
    product: Vec<Product>,
}

impl Common {
    fn size(&self) -> Size {
        Size { width: self.side, height: self.side }
    }

    fn products(&self) -> Vec<Product> {
        if self.product.is_empty() { Product::ALL.to_vec() } else { self.product.clone() }
    }
}

fn product(name: &str) -> Result<Product, String> {
    Product::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Product::ALL.into_iter().map(Product::name).collect();
        format!("the products are {}", known.join(", "))
    })
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Products { out, train, test_good, test_defective, common } => {
            let options = DatasetOptions {
                seed: common.seed,
                size: common.size(),
                products: common.products(),
                train_good: *train,
                test_good: *test_good,
                test_defective: *test_defective,
            };
            let bar = bars::bar("render");
            dataset::write(out, &options, &|total| {
                bar.set_length(total as u64);
                bar.inc(1);
            })?;
            bar.finish();
        }
        Command::Line { out, pockets, moving, rest, empty, defective, common } => {
            let line = Line::new(LineOptions {
                seed: common.seed,
                size: common.size(),
                products: common.products(),
                pockets: *pockets,
                moving_frames: *moving,
                rest_frames: *rest,
                empty_share: *empty,
                defect_share: *defective,
            });
            let bar = bars::bar("render");
            bar.set_length(line.frame_count());
            let truth = out.with_extension("truth.jsonl");
            clip::write(&line, common.size(), out, &truth, &mut || bar.inc(1))?;
            bar.finish();
        }
    }
    Ok(())
}
