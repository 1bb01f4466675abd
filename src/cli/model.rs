//! `sightline model`: what a model file says about itself, and whether this machine computes what it promises.

use std::path::PathBuf;

use bundle::schema::Document;

use super::{Global, load, print};
use crate::{
    config::{EngineSettings, ModelSettings},
    engine::OnnxOptions,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the metadata: products, calibration, geometry, golden frames. Needs no ONNX Runtime.
    Show {
        /// The model file.
        file: PathBuf,
        /// The whole metadata document as JSON, with calibration and golden frames.
        #[arg(long)]
        json: bool,
    },
    /// Run the golden frames on this machine and compare.
    Verify {
        /// The model file.
        file: PathBuf,
    },
}

pub(super) fn run(command: &Command, global: &Global) -> anyhow::Result<()> {
    match command {
        Command::Show { file, json } => {
            let model = read(file)?;
            let text = if *json {
                serde_json::to_string_pretty(&model.file.document)?
            } else {
                show(&model)
            };
            Ok(print::line(&text)?)
        }
        Command::Verify { file } => {
            let model = read(file)?;
            let settings = EngineSettings::without_file(OnnxOptions::default());
            let runtime = load::runtime(global, &settings)?;
            let built = model.engine(&runtime, &settings, &load::Building::default())?;
            let deviation = built.engine.deviation();
            let tolerance = &model.file.document.tolerance;
            let line = format!(
                "{}: {} golden frames agree on ONNX Runtime {}: score within {:.1e} (tolerance {:.0e}), \
                 embedding {:.1e} ({:.0e}), map {:.1e} ({:.0e})",
                file.display(),
                deviation.frames,
                runtime.version(),
                deviation.score,
                tolerance.score,
                deviation.embedding,
                tolerance.embedding,
                deviation.map,
                tolerance.map,
            );
            Ok(print::line(&line)?)
        }
    }
}

fn read(file: &std::path::Path) -> anyhow::Result<load::Model> {
    Ok(load::Model::read(&ModelSettings { path: file.to_path_buf(), calibration: None })?)
}

fn show(model: &load::Model) -> String {
    let Document {
        model: name,
        geometry,
        classes,
        golden,
        created,
        data_fingerprint,
        precision,
        ..
    } = &model.file.document;
    let mut lines = vec![
        format!("model        {} {}", name.name, name.version),
        format!(
            "file         {} ({:.1} MB, SHA-256 {})",
            model.path.display(),
            model.file.bytes as f64 / 1e6,
            model.file.sha256
        ),
        format!("created      {created}"),
        format!("trained on   {data_fingerprint}"),
        format!(
            "input        {}x{}, {:?}, {:?}",
            geometry.input.width, geometry.input.height, geometry.fit, geometry.resampling
        ),
        format!("precision    {}", precision.name()),
        format!("golden       {} frames", golden.len()),
    ];
    if let Some(path) = &model.calibration {
        lines.push(format!("calibration  {} overrides the model's own", path.display()));
    }
    let width = classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
    for class in &model.products {
        let calibration =
            class.calibration.as_ref().map_or("no calibration".into(), |calibration| {
                format!(
                    "{} calibration frames, supports a false-reject rate of {:.4}",
                    calibration.count(),
                    calibration.smallest_rate()
                )
            });
        lines.push(format!("product      {:width$}  {calibration}", class.name));
    }
    lines.join("\n")
}
