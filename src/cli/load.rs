//! From paths and settings to a verified engine and a judge: what most commands begin with.
//!
//! Owns the environment variables and the search for ONNX Runtime's library. The model file is read once, so
//! that its document and its network are of one and the same file even if it is replaced meanwhile.

use std::path::{Path, PathBuf};

use bundle::{
    calibration_file::CalibrationFile,
    model_file::{self, ModelFile},
    schema::Class as Product,
};

use super::Global;
use crate::{
    config::{EngineSettings, ModelSettings},
    engine::{Onnx, Runtime, Verified, library::Search},
    fault::{Class, Fault, OrFault as _},
    inspector::Inspector,
    judge::{Judge, Recipe},
    record::ModelLabel,
    telemetry::EngineLabels,
};

/// Ours first, then the one that `ort` itself would read.
const LIBRARY_VARIABLES: [&str; 2] = ["SIGHTLINE_ONNXRUNTIME", "ORT_DYLIB_PATH"];

/// A model file with the site's calibration laid over its own.
pub(super) struct Model {
    pub(super) path: PathBuf,
    pub(super) file: ModelFile,
    /// The classes that the judge goes by.
    pub(super) products: Vec<Product>,
    /// The calibration file that overrides the model's.
    pub(super) calibration: Option<PathBuf>,
    bytes: Vec<u8>,
}

impl Model {
    pub(super) fn read(settings: &ModelSettings) -> Result<Self, Fault> {
        let path = &settings.path;
        let bytes = read(path)?;
        let file = model_file::read_bytes(&bytes).map_err(|error| {
            Fault::new(Class::Model, format!("model {}: {error}", path.display()))
        })?;
        let mut products = file.document.classes.clone();
        let calibration = calibration_path(settings);
        if let Some(path) = &calibration {
            let site = CalibrationFile::read(path).or_fault(Class::Model)?;
            site.apply(&file.sha256, &mut products).or_fault(Class::Model)?;
        }
        Ok(Self { path: path.clone(), file, products, calibration, bytes })
    }

    /// The file itself, as it was read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn label(&self) -> ModelLabel {
        let Self { file, .. } = self;
        let name = &file.document.model;
        ModelLabel {
            name: name.name.clone(),
            version: name.version.clone(),
            sha256: file.sha256.clone(),
        }
    }

    pub(super) fn judge(&self, recipe: &Recipe) -> Result<Judge, Fault> {
        Judge::new(&self.products, recipe).or_fault(Class::Configuration)
    }

    pub(super) fn engine(
        &self,
        runtime: &Runtime,
        settings: &EngineSettings,
    ) -> Result<Verified, Fault> {
        let document = &self.file.document;
        let told = |text: String| format!("model {}: {text}", self.path.display());
        let candidate = Onnx::load(runtime, &self.bytes, document.geometry.input, &settings.onnx)
            .map_err(|error| {
            let is_models = error.class() == Class::Model;
            let text = error.to_string();
            Fault::new(error.class(), if is_models { told(text) } else { text })
        })?;
        candidate
            .verify(document)
            .map_err(|refusal| Fault::new(Class::Model, told(refusal.to_string())))
    }
}

/// Everything that judges a frame, with a judge for each recipe.
pub(super) fn inspector(
    model: &ModelSettings,
    engine: &EngineSettings,
    recipes: &[Recipe],
    global: &Global,
) -> Result<(Inspector, Model), Fault> {
    let model = Model::read(model)?;
    // Before the engine: it is the cheaper thing to be wrong.
    let judges = recipes.iter().map(|recipe| model.judge(recipe)).collect::<Result<_, _>>()?;
    let runtime = runtime(global, engine)?;
    let engine = model.engine(&runtime, engine)?;
    let geometry = model.file.document.geometry.clone();
    Ok((Inspector::new(engine, geometry, judges, model.label()), model))
}

/// What judges, by name.
pub(super) fn engine_labels(settings: &EngineSettings, inspector: &Inspector) -> EngineLabels {
    let providers: Vec<_> = settings.onnx.providers.iter().map(ToString::to_string).collect();
    let ModelLabel { name, version, sha256 } = (**inspector.model()).clone();
    EngineLabels {
        providers: providers.join(","),
        onnxruntime: Runtime::started()
            .map_or_else(String::new, |runtime| runtime.version().to_string()),
        model: name,
        model_version: version,
        model_sha256: sha256,
    }
}

pub(super) fn runtime(global: &Global, settings: &EngineSettings) -> Result<Runtime, Fault> {
    Runtime::start(&search(global, settings)).or_fault(Class::Engine)
}

fn search(global: &Global, settings: &EngineSettings) -> Search {
    let environment = LIBRARY_VARIABLES.iter().find_map(|variable| {
        let path = std::env::var_os(variable).filter(|path| !path.is_empty())?;
        Some(((*variable).to_owned(), PathBuf::from(path)))
    });
    let executable = std::env::current_exe().ok();
    let beside = executable.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    Search {
        named: global.onnxruntime.clone().or_else(|| settings.library.clone()),
        environment,
        folders: beside.into_iter().chain([PathBuf::from(".deps/onnxruntime")]).collect(),
        system: true,
    }
}

fn calibration_path(settings: &ModelSettings) -> Option<PathBuf> {
    // One that is named must be there; the one beside the model may be.
    settings.calibration.clone().or_else(|| {
        Some(settings.path.with_extension("calibration.json")).filter(|path| path.is_file())
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    if path.is_dir() {
        let line = format!("model {} is a folder; name the .onnx file in it", path.display());
        return Err(Fault::new(Class::Model, line));
    }
    std::fs::read(path).map_err(|error| {
        let is_absent = error.kind() == std::io::ErrorKind::NotFound;
        let remedy =
            if is_absent { "; name an .onnx file that sightline-train exported" } else { "" };
        Fault::new(
            Class::Model,
            format!("model {} cannot be read: {error}{remedy}", path.display()),
        )
    })
}
