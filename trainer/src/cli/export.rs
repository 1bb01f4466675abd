//! `sightline-train export` and `calibrate`: from a checkpoint to the file that the inspector runs.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, bail};
use bundle::{calibration_file::CalibrationFile, model_file, schema::ModelName};

use super::{RateArgument, bars, data::DataArguments};
use crate::{
    calibrate,
    checkpoint::Checkpoint,
    dataset::{GoodPart, screen::Needed},
    deployed::OnnxDetector,
    export::{self, ExportOptions, Exported},
    files,
    precision::{Wanted, ranges::RangeMethod},
};

#[derive(Debug, clap::Args)]
pub(super) struct ExportArguments {
    /// The checkpoint that `train` wrote.
    checkpoint: PathBuf,

    #[command(flatten)]
    data: DataArguments,

    /// The model file to write (.onnx); its model card goes beside it, with the extension md.
    #[arg(long, value_name = "FILE", value_parser = model_path)]
    out: PathBuf,

    /// The model's name; the file's by default.
    #[arg(long)]
    name: Option<String>,

    /// The model's version.
    #[arg(long, default_value = "1")]
    version: String,

    /// In which numbers the network is stored and computed; see docs/precision.md.
    #[arg(long, value_enum, default_value_t = Wanted::Fp32)]
    precision: Wanted,

    /// How the ranges of int8 are chosen from what training images show.
    #[arg(long, value_enum, default_value_t = RangeMethod::default())]
    ranges: RangeMethod,

    #[command(flatten)]
    rate: RateArgument,
}

#[derive(Debug, clap::Args)]
pub(super) struct CalibrateArguments {
    /// The exported model (.onnx).
    model: PathBuf,

    #[command(flatten)]
    data: DataArguments,

    /// Leaves the model as it is and writes MODEL.calibration.json beside it.
    #[arg(long)]
    site: bool,
}

/// Where a model may go: not where its card goes.
fn model_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|extension| extension == "md") {
        return Err("the model card goes there; name an .onnx file".to_owned());
    }
    Ok(path)
}

pub(super) fn export(arguments: &ExportArguments) -> anyhow::Result<()> {
    let checkpoint = Checkpoint::load(&arguments.checkpoint)?;
    // The test images, too: the card says what the model does with them.
    let data = arguments.data.screened(
        arguments.data.read()?,
        Needed::All,
        &checkpoint.manifest.recipe.geometry(),
    )?;
    let stem = arguments.out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = ModelName {
        name: arguments.name.clone().unwrap_or(stem),
        version: arguments.version.clone(),
    };
    let options = ExportOptions {
        rate: arguments.rate.false_reject_rate,
        out: arguments.out.clone(),
        name,
        precision: arguments.precision,
        range_method: arguments.ranges,
    };
    let Exported { agreement, likeness, speedup, card } =
        export::export(&checkpoint, &data, &options, bars::bar)?;
    bars::note(&format!(
        "model {}: libtorch and ONNX Runtime agree on {} frames, map within {:.1e}, score within {:.1e}",
        arguments.out.display(),
        agreement.frames,
        agreement.map,
        agreement.score
    ));
    if let (Some(likeness), Some(speedup)) = (likeness, speedup) {
        bars::note(&format!(
            "against FP32 on {} good frames: maps correlate by {:.4} at least, scores within {:.1e}; {:.2} times as fast",
            likeness.frames, likeness.map_correlation, likeness.score_deviation, speedup.median
        ));
    }
    bars::note(&format!("model card {}", card.display()));
    Ok(())
}

pub(super) fn calibrate(arguments: &CalibrateArguments) -> anyhow::Result<()> {
    let path = &arguments.model;
    let (mut detector, mut file) = OnnxDetector::open(path)?;
    let data =
        arguments.data.screened(arguments.data.read()?, Needed::Good, &file.document.geometry)?;
    let classes = &mut file.document.classes;
    let mut parts = Vec::new();
    for folder in &data.classes {
        let Some(class) = classes.iter().position(|class| class.name == folder.name) else {
            let known: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
            bail!(
                "{} holds \"{}\", which the model does not know; its products are {}",
                data.place(),
                folder.name,
                known.join(", ")
            );
        };
        parts.extend(folder.good.iter().map(|path| GoodPart { path: path.clone(), class }));
    }
    let prototypes: Vec<_> =
        classes.iter().map(|class| (class.name.clone(), class.prototype.clone())).collect();
    let bar = bars::bar("calibrate");
    let measured = calibrate::measure(&mut detector, &prototypes, &parts, &bar)?;
    let mut site = BTreeMap::new();
    for (index, class) in classes.iter_mut().enumerate() {
        let calibration = calibrate::of_class(&measured, index, "good parts of the line")?;
        if let Some(calibration) = calibration {
            let count = calibration.count();
            bars::note(&format!("  {}: {count} frames", class.name));
            site.insert(class.name.clone(), calibration.clone());
            class.calibration = Some(calibration);
        }
    }
    if arguments.site {
        let out = path.with_extension("calibration.json");
        let site = CalibrationFile { classes: site, ..CalibrationFile::of_model(file.sha256) };
        return files::write_atomically(&out, &serde_json::to_vec(&site)?);
    }
    let bytes = std::fs::read(path).with_context(|| format!("model {}", path.display()))?;
    files::write_atomically(path, &model_file::with_document(&bytes, &file.document)?)
}
