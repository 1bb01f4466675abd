//! An exported model on ONNX Runtime: what the device will compute.
//!
//! The trainer's only `use ort`. Owns the search for the library; the inspector has its own, because it must
//! survive libraries that the trainer never meets.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bundle::{
    geometry::{Geometry, Map, RgbImage},
    model_file::{self, ModelFile, ModelFileError},
};
use ndarray::{ArrayBase, ArrayD, ArrayView4};
use network::onnx::names;
use ort::{
    environment::Environment,
    session::{Session, builder::GraphOptimizationLevel},
    value::TensorRef,
};

use crate::detector::{Answer, Detect};

/// Ours first, then the one that `ort` itself would read.
const LIBRARY_VARIABLES: [&str; 2] = ["SIGHTLINE_ONNXRUNTIME", "ORT_DYLIB_PATH"];
/// Where `make` puts it.
const LIBRARY_FOLDER: &str = ".deps/onnxruntime";

/// How a session computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Computation {
    /// As the device will: operations fused, convolutions on int8 where the file has them.
    #[default]
    Fused,
    /// Node by node as the file states them, pairs of int8 in float: another implementation of the same arithmetic.
    AsStated,
}

/// A model on ONNX Runtime.
#[derive(Debug)]
pub struct OnnxDetector {
    session: Session,
    geometry: Geometry,
}

impl OnnxDetector {
    /// A network without metadata yet, with the geometry it was trained with.
    pub fn new(model: &[u8], geometry: Geometry) -> anyhow::Result<Self> {
        Self::with(model, geometry, Computation::Fused, None)
    }

    /// Computed in this way, on so many threads; `None` leaves their number to ONNX Runtime: one per core.
    pub fn with(
        model: &[u8],
        geometry: Geometry,
        computation: Computation,
        threads: Option<usize>,
    ) -> anyhow::Result<Self> {
        Ok(Self { session: session(model, computation, threads)?, geometry })
    }

    /// Reads a model file and loads its network.
    pub fn open(path: &Path) -> anyhow::Result<(Self, ModelFile)> {
        let named = || format!("model {}", path.display());
        let bytes = std::fs::read(path)
            .map_err(|source| ModelFileError::Read { path: path.into(), source })?;
        let file = model_file::read_bytes(&bytes).with_context(named)?;
        let detector = Self::new(&bytes, file.document.geometry.clone()).with_context(named)?;
        Ok((detector, file))
    }
}

impl Detect for OnnxDetector {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn detect(&mut self, inputs: &[RgbImage]) -> anyhow::Result<Vec<Answer>> {
        run(&mut self.session, inputs)
    }
}

/// Reads values inside the network, which are further outputs of its file.
#[derive(Debug)]
pub struct ValueProbe {
    session: Session,
}

impl ValueProbe {
    /// A network whose outputs were added.
    pub fn new(model: &[u8]) -> anyhow::Result<Self> {
        Ok(Self { session: session(model, Computation::Fused, None)? })
    }

    /// Runs one image and gives each named f32 value to `see`.
    pub fn run(
        &mut self,
        input: &RgbImage,
        names: &[String],
        mut see: impl FnMut(&str, &[f32]),
    ) -> anyhow::Result<()> {
        let shape = [1, input.size.height as usize, input.size.width as usize, 3];
        let frames = ArrayView4::from_shape(shape, &input.pixels)?;
        let tensor = TensorRef::from_array_view(frames)?;
        let outputs = self.session.run(ort::inputs![names::FRAMES => tensor])?;
        for name in names {
            let (_, values) = outputs[name.as_str()].try_extract_tensor::<f32>()?;
            see(name, values);
        }
        Ok(())
    }
}

/// A session for the bytes of an ONNX file.
fn session(
    bytes: &[u8],
    computation: Computation,
    threads: Option<usize>,
) -> anyhow::Result<Session> {
    let build = || -> Result<Session, ort::Error> {
        let level = match computation {
            Computation::Fused => GraphOptimizationLevel::All,
            Computation::AsStated => GraphOptimizationLevel::Disable,
        };
        // Threads that spin when their work is done hold the cores from whatever runs next, another session above all:
        // with them, what two networks take in turn is not what either takes alone. The engine does without as well.
        let builder = Session::builder(environment()?)?.with_intra_op_spinning(false)?;
        let mut builder = builder.with_optimization_level(level)?;
        if let Some(threads) = threads {
            builder = builder.with_intra_threads(threads)?;
        }
        builder.commit_from_memory(bytes)
    };
    build().context("ONNX Runtime does not take the model")
}

/// Runs a session on images of one size.
fn run(session: &mut Session, inputs: &[RgbImage]) -> anyhow::Result<Vec<Answer>> {
    let Some(first) = inputs.first() else { return Ok(Vec::new()) };
    let size = first.size;
    let pixels: Vec<u8> = inputs.iter().flat_map(|input| input.pixels.iter().copied()).collect();
    let shape = [inputs.len(), size.height as usize, size.width as usize, 3];
    let frames = ArrayView4::from_shape(shape, &pixels).context("images of different sizes")?;
    let tensor = TensorRef::from_array_view(frames)?;
    let outputs = session.run(ort::inputs![names::FRAMES => tensor])?;
    let output = |name: &str| -> Result<ArrayD<f32>, ort::Error> {
        outputs[name].try_extract_array::<f32>().map(ArrayBase::into_owned)
    };
    let (maps, scores) = (output(names::ANOMALY_MAP)?, output(names::SCORE)?);
    let embeddings = output(names::EMBEDDING)?;
    Ok(scores
        .iter()
        .zip(maps.outer_iter())
        .zip(embeddings.outer_iter())
        .map(|((&score, map), embedding)| Answer {
            map: Map { size, values: map.iter().copied().collect() },
            score,
            embedding: embedding.iter().copied().collect(),
        })
        .collect())
}

fn environment() -> Result<&'static Environment, ort::Error> {
    static STARTED: std::sync::OnceLock<Environment> = std::sync::OnceLock::new();
    if let Some(environment) = STARTED.get() {
        return Ok(environment);
    }
    let library = library().map_err(|error| ort::Error::new(error.to_string()))?;
    let failed = |error: &dyn std::fmt::Display| ort::Error::new(error.to_string());
    let environment = ort::init_from(&library)
        .map_err(|error| failed(&error))?
        .with_name("sightline-train")
        .build()
        .map_err(|error| failed(&error))?;
    Ok(STARTED.get_or_init(|| environment))
}

fn library() -> anyhow::Result<PathBuf> {
    let named = LIBRARY_VARIABLES.iter().find_map(std::env::var_os).map(PathBuf::from);
    let folders = named.unwrap_or_else(|| {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(LIBRARY_FOLDER);
        if beside.is_dir() { beside } else { LIBRARY_FOLDER.into() }
    });
    if folders.is_file() {
        return Ok(folders);
    }
    let is_library = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so"))
    };
    let found = std::fs::read_dir(&folders)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(is_library);
    let Some(found) = found else {
        bail!(
            "ONNX Runtime's library was not found in {}; `make test` fetches it, or name it with {}=FILE",
            folders.display(),
            LIBRARY_VARIABLES[0]
        );
    };
    Ok(found)
}
