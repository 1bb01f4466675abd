//! `sightline-train remember`: a trained checkpoint, and beside its student a memory of patches.

use std::path::PathBuf;

use super::{
    bars,
    data::DataArguments,
    device::{self, Wanted},
};
use crate::{checkpoint::Checkpoint, dataset::screen::Needed, remember};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The finished checkpoint that `train` wrote.
    checkpoint: PathBuf,

    #[command(flatten)]
    data: DataArguments,

    /// Patches that are remembered of each product: more find more, and cost more on the device.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    patches_per_product: u32,

    /// The checkpoint to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// `cpu`, `cuda` or `cuda:N`; the first GPU that libtorch can use, else the CPU, when left out.
    #[arg(long, value_name = "DEVICE")]
    device: Option<Wanted>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let checkpoint = Checkpoint::load(&arguments.checkpoint)?;
    let geometry = checkpoint.manifest.recipe.geometry();
    let data = arguments.data.read()?.only(&checkpoint.manifest.classes)?;
    let data = arguments.data.screened(data, Needed::Good, &geometry)?;
    let parts = checkpoint.split(&data)?.training;
    let device = device::of(arguments.device)?;
    let bar = bars::bar("remember");
    let per_product = usize::try_from(arguments.patches_per_product)?;
    let remembered = remember::remember(checkpoint, &parts, per_product, device, &bar)?;
    remembered.save(&arguments.out)?;
    let architecture = &remembered.manifest.recipe.architecture;
    bars::note(&format!(
        "checkpoint {} remembers {} patches",
        arguments.out.display(),
        architecture.memory_patches
    ));
    Ok(())
}
