//! ONNX Runtime as an [`Engine`]. The only file that says `use ort`.
//!
//! Owns the process's runtime and the sessions. Pixels are handed over without a copy where their rows are packed.
//! Invariant: a session uses the providers that were asked for, in that order, or it is not built.
//! Cost per frame: one output copy (a map of 256 x 256 is 256 KiB); no input copy when the stride is packed.

use std::sync::{Arc, OnceLock};

use bundle::geometry::{RgbView, Size};
use ndarray::{ArrayBase, ArrayView4, Ix1, Ix2, Ix3};
use ort::{
    environment::Environment,
    ep::{self, ExecutionProvider as _, ExecutionProviderDispatch},
    logging::LogLevel,
    session::{Session, builder::SessionBuilder},
    value::{Outlet, TensorElementType, TensorRef, ValueType},
};

use super::{
    Candidate, Engine, EngineError, Inference, Provider,
    library::{self, Probed, Search, Version},
    meter,
};

const INPUT: &str = "frames";
const OUTPUTS: [&str; 3] = ["anomaly_map", "score", "embedding"];

static STARTED: OnceLock<Started> = OnceLock::new();

/// ONNX Runtime, loaded and started: once per process, for it allows no second time.
#[derive(Clone, Debug)]
pub struct Runtime(&'static Started);

#[derive(Debug)]
struct Started {
    environment: Environment,
    library: Probed,
}

impl Runtime {
    /// Loads the library at the first call; later calls get the same runtime, wherever they would look.
    pub fn start(search: &Search) -> Result<Self, EngineError> {
        static STARTING: std::sync::Mutex<()> = std::sync::Mutex::new(());
        // A poisoned lock guards nothing but the order.
        let _one_at_a_time = STARTING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if STARTED.get().is_none() {
            let library = library::probe(search)?;
            let failed = |cause: String| EngineError::Start { version: library.version, cause };
            let environment = ort::init_from(&library.path)
                .map_err(|error| failed(error.to_string()))?
                .with_name("sightline")
                .with_telemetry(false)
                .with_logger(Arc::new(log))
                .build()
                .map_err(|error| failed(error.to_string()))?;
            // A guard against ours alone: `STARTING` is held.
            STARTED.get_or_init(|| Started { environment, library });
        }
        STARTED.get().map(Self).ok_or_else(|| EngineError::Run { cause: "no runtime".into() })
    }

    /// The runtime, where it has been started.
    pub fn started() -> Option<Self> {
        STARTED.get().map(Self)
    }

    /// The library's version.
    pub fn version(&self) -> Version {
        self.0.library.version
    }

    /// Where the library lies.
    pub fn library(&self) -> &std::path::Path {
        &self.0.library.path
    }
}

/// How the network is to be run.
#[derive(Clone, Debug)]
pub struct OnnxOptions {
    /// In the order of preference; what is not listed is not used.
    pub providers: Vec<Provider>,
    /// Threads within an operation; `None` leaves it to ONNX Runtime: one per core.
    pub threads: Option<usize>,
}

impl Default for OnnxOptions {
    fn default() -> Self {
        Self { providers: vec![Provider::Cpu], threads: None }
    }
}

/// A session of ONNX Runtime for one Sightline model.
#[derive(Debug)]
pub struct Onnx {
    session: Session,
    input: Size,
    /// Rows of a padded frame, packed; empty while frames come packed.
    packed: Vec<u8>,
}

impl Onnx {
    /// Builds a session for a model whose input has the size `input`; it still has to be verified.
    pub fn load(
        runtime: &Runtime,
        model: &[u8],
        input: Size,
        options: &OnnxOptions,
    ) -> Result<Candidate<Self>, EngineError> {
        let session = session(runtime, model, input, options)?;
        Ok(Candidate::new(Self { session, input, packed: Vec::new() }))
    }

    fn run(session: &mut Session, input: &ArrayView4<'_, u8>) -> Result<Inference, ort::Error> {
        let tensor = TensorRef::from_array_view(*input)?;
        let outputs = meter::around(|| session.run(ort::inputs![INPUT => tensor]))?;
        let output =
            |name: &str| outputs[name].try_extract_array::<f32>().map(ArrayBase::into_owned);
        let shape = |error: ndarray::ShapeError| ort::Error::new(error.to_string());
        let [maps, scores, embeddings] =
            [output("anomaly_map")?, output("score")?, output("embedding")?];
        let maps = maps.into_dimensionality::<Ix3>().map_err(shape)?;
        let scores = scores.into_dimensionality::<Ix1>().map_err(shape)?;
        let embeddings = embeddings.into_dimensionality::<Ix2>().map_err(shape)?;
        let (Some(anomaly_map), Some(score), Some(embedding)) =
            (maps.outer_iter().next(), scores.first(), embeddings.outer_iter().next())
        else {
            return Err(ort::Error::new("the model returned an empty batch"));
        };
        Ok(Inference {
            anomaly_map: anomaly_map.to_owned(),
            score: *score,
            embedding: embedding.to_owned(),
        })
    }
}

impl Engine for Onnx {
    fn input_size(&self) -> Size {
        self.input
    }

    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError> {
        if input.size() != self.input {
            return Err(EngineError::InputSize { got: input.size(), want: self.input });
        }
        let inference = tensor(input, &mut self.packed)
            .map_err(|error| ort::Error::new(error.to_string()))
            .and_then(|tensor| Self::run(&mut self.session, &tensor))
            .map_err(|error| EngineError::Run { cause: first_line(error.message()) })?;
        let [_, height, width, _] = tensor_shape(self.input);
        if inference.anomaly_map.dim() != (height, width) {
            let what = format!(
                "anomaly map has the shape {:?} instead of ({height}, {width})",
                inference.anomaly_map.dim()
            );
            return Err(EngineError::Interface { what });
        }
        Ok(inference)
    }
}

/// `session.run` on one input over and over, with nothing of ours around it: what a station is measured against.
#[derive(Debug)]
pub struct Bare {
    session: Session,
    input: Size,
    pixels: Vec<u8>,
}

impl Bare {
    /// A session as [`Onnx::load`] builds it. No golden frame is run: nobody looks at what it says.
    pub fn load(
        runtime: &Runtime,
        model: &[u8],
        input: Size,
        options: &OnnxOptions,
    ) -> Result<Self, EngineError> {
        let session = session(runtime, model, input, options)?;
        let len = tensor_shape(input).iter().product();
        let pixels = (0..=250_u8).cycle().take(len).collect();
        Ok(Self { session, input, pixels })
    }

    /// Runs the network once.
    pub fn run(&mut self) -> Result<(), EngineError> {
        let failed = |cause: String| EngineError::Run { cause: first_line(&cause) };
        let tensor = ArrayView4::from_shape(tensor_shape(self.input), &self.pixels)
            .map_err(|error| failed(error.to_string()))?;
        run_only(&mut self.session, &tensor).map_err(|error| failed(error.message().to_owned()))
    }
}

fn run_only(session: &mut Session, input: &ArrayView4<'_, u8>) -> Result<(), ort::Error> {
    let tensor = TensorRef::from_array_view(*input)?;
    session.run(ort::inputs![INPUT => tensor])?;
    Ok(())
}

/// The frame as `[1, H, W, 3]`: its own memory, or a copy in `packed` when its rows are padded.
pub fn tensor<'a>(
    frame: &RgbView<'a>,
    packed: &'a mut Vec<u8>,
) -> Result<ArrayView4<'a, u8>, ndarray::ShapeError> {
    let bytes = if let Some(bytes) = frame.packed() {
        bytes
    } else {
        pack(frame, packed);
        packed
    };
    ArrayView4::from_shape(tensor_shape(frame.size()), bytes)
}

fn tensor_shape(size: Size) -> [usize; 4] {
    [1, size.height as usize, size.width as usize, 3]
}

fn pack(frame: &RgbView<'_>, into: &mut Vec<u8>) {
    into.clear();
    for y in 0..frame.size().height {
        into.extend_from_slice(frame.row(y));
    }
}

fn session(
    runtime: &Runtime,
    model: &[u8],
    input: Size,
    options: &OnnxOptions,
) -> Result<Session, EngineError> {
    let session = session_builder(runtime, options)?
        .commit_from_memory(model)
        .map_err(|error| EngineError::Load { cause: first_line(error.message()) })?;
    check_interface(&session, input)?;
    Ok(session)
}

fn session_builder(
    runtime: &Runtime,
    options: &OnnxOptions,
) -> Result<SessionBuilder, EngineError> {
    let build = || -> Result<SessionBuilder, ort::Error> {
        // Spinning workers would take the cores from the decoder while they wait for the next frame.
        let builder = Session::builder(&runtime.0.environment)?.with_intra_op_spinning(false)?;
        Ok(match options.threads {
            Some(threads) => builder.with_intra_threads(threads)?,
            None => builder,
        })
    };
    let refused = |error: &ort::Error| EngineError::Load { cause: first_line(error.message()) };
    let mut builder = build().map_err(|error| refused(&error))?;
    for &provider in &options.providers {
        let Some((available, dispatch)) = accelerator(provider) else { continue };
        let missing = |cause: String| EngineError::Provider { provider, cause };
        if !available.map_err(|error| missing(first_line(error.message())))? {
            let version = runtime.version();
            return Err(missing(format!(
                "ONNX Runtime {version} at {} was built without it",
                runtime.library().display()
            )));
        }
        builder = builder
            .with_execution_providers([dispatch])
            .map_err(|error| missing(first_line(error.message())))?;
    }
    if options.providers.contains(&Provider::Cpu) {
        return Ok(builder);
    }
    // Without "cpu" in the list no single node may fall back to it either.
    builder.with_disable_cpu_fallback().map_err(|error| refused(&error.into()))
}

/// A provider that has to be registered; the processor is always there.
fn accelerator(provider: Provider) -> Option<(ort::Result<bool>, ExecutionProviderDispatch)> {
    match provider {
        Provider::Cpu => None,
        // The default of `ort` is to log a failure and go on with the processor.
        Provider::Cuda => {
            Some((ep::CUDA::is_available(), ep::CUDA::default().build().error_on_failure()))
        }
        Provider::TensorRt => {
            Some((ep::TensorRT::is_available(), ep::TensorRT::default().build().error_on_failure()))
        }
    }
}

fn check_interface(session: &Session, input: Size) -> Result<(), EngineError> {
    let wrong = |what: String| Err(EngineError::Interface { what });
    let [frames] = session.inputs() else {
        return wrong(format!("inputs are {:?} instead of [\"{INPUT}\"]", names(session.inputs())));
    };
    if frames.name() != INPUT {
        return wrong(format!("input is \"{}\" instead of \"{INPUT}\"", frames.name()));
    }
    let expected = [i64::from(input.height), i64::from(input.width), 3];
    let dtype = frames.dtype();
    let fits = matches!(dtype, ValueType::Tensor { ty: TensorElementType::Uint8, shape, .. }
        if shape.len() == 4 && shape[1..] == expected);
    if !fits {
        let Size { width, height } = input;
        return wrong(format!("input is {dtype} instead of u8 [N, {height}, {width}, 3]"));
    }
    let outputs = names(session.outputs());
    match OUTPUTS.iter().find(|name| !outputs.contains(name)) {
        Some(missing) => wrong(format!("outputs {outputs:?} lack \"{missing}\"")),
        None => Ok(()),
    }
}

fn names(outlets: &[Outlet]) -> Vec<&str> {
    outlets.iter().map(Outlet::name).collect()
}

/// ONNX Runtime's messages carry source paths and newlines; a person gets the first line.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim().to_owned()
}

fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Fatal | LogLevel::Error => {
            tracing::error!(target: "onnxruntime", category, location, "{message}");
        }
        LogLevel::Warning => tracing::warn!(target: "onnxruntime", category, location, "{message}"),
        LogLevel::Info => tracing::debug!(target: "onnxruntime", category, location, "{message}"),
        LogLevel::Verbose => {
            tracing::trace!(target: "onnxruntime", category, location, "{message}");
        }
    }
}
