//! ONNX Runtime as an [`Engine`]. The only file that says `use ort`.
//!
//! Owns the process's runtime, the sessions and the tensors that are bound to them.
//! Invariant: a session uses the providers that were asked for, in that order, or it is not built.
//! Cost per frame of 256 x 256: 192 KiB copied into the bound input, 256 KiB out of the bound map; nothing else is
//! allocated once a batch of that size has been run.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use bundle::geometry::{RgbView, Size};
use ndarray::{Ix1, Ix2, Ix3};
use ort::{
    environment::Environment,
    ep::{self, ExecutionProvider as _, ExecutionProviderDispatch},
    logging::LogLevel,
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{IoBinding, Session, builder::SessionBuilder},
    value::{Outlet, Tensor, TensorElementType, ValueType},
};

use super::{
    Attempt, Candidate, Engine, EngineError, Inference, Provider, fatal,
    library::{self, Probed, Search, Version},
    meter,
    plan::{self, Flags},
};

const INPUT: &str = "frames";
const OUTPUTS: [&str; 3] = ["anomaly_map", "score", "embedding"];

/// To be raised with every change of what `tensorrt` sets: an engine of an older set is not taken for a new one's.
pub const ENGINE_OPTIONS: u32 = 1;

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
    pub fn library(&self) -> &Path {
        &self.0.library.path
    }
}

/// How the network is to be run, whatever provider runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxOptions {
    /// Threads within an operation; `None` leaves it to ONNX Runtime: one per core.
    pub threads: Option<usize>,
    /// The most inputs that one run takes.
    pub batch_max: usize,
    /// The GPU, counted from 0.
    pub device: i32,
    /// What the runtime may hold of the GPU's memory, in bytes; `None` for all that it wants.
    pub gpu_memory_max: Option<usize>,
}

impl Default for OnnxOptions {
    fn default() -> Self {
        Self { threads: None, batch_max: 1, device: 0, gpu_memory_max: None }
    }
}

/// A session of ONNX Runtime for one Sightline model.
#[derive(Debug)]
pub struct Onnx {
    session: Session,
    input: Size,
    embedding_len: usize,
    /// Where inputs and outputs lie: pinned for the GPU, where there is one.
    memory: Allocator,
    /// Of a batch of one, of two, ...: each is made when the first such batch comes.
    buffers: Vec<Option<Buffers>>,
}

/// The tensors of a batch of one size, bound once and used for every run.
#[derive(Debug)]
struct Buffers {
    binding: IoBinding,
    /// u8 `[N, H, W, 3]`.
    frames: Tensor<u8>,
}

impl Onnx {
    /// Builds a session for a model whose input has the size `input`; it still has to be verified.
    ///
    /// `cache` is where `TensorRT` keeps what it builds.
    pub fn load(
        runtime: &Runtime,
        model: &[u8],
        input: Size,
        options: &OnnxOptions,
        attempt: &Attempt,
        cache: Option<&Path>,
    ) -> Result<Candidate<Self>, EngineError> {
        let (session, embedding_len) = session(runtime, model, input, options, attempt, cache)?;
        let memory = memory(&session, options, attempt);
        let buffers = (0..options.batch_max.max(1)).map(|_| None).collect();
        Ok(Candidate::new(Self { session, input, embedding_len, memory, buffers }))
    }

    /// Copies the inputs into the bound tensor, runs, and copies the outputs out.
    fn run(&mut self, inputs: &[RgbView<'_>]) -> Result<Vec<Inference>, ort::Error> {
        let Some(slot) = self.buffers.get_mut(inputs.len() - 1) else { return Ok(Vec::new()) };
        let buffers = match slot {
            Some(buffers) => buffers,
            None => slot.insert(Buffers::new(
                &self.session,
                &self.memory,
                self.input,
                self.embedding_len,
                inputs.len(),
            )?),
        };
        buffers.fill(inputs)?;
        // Every time: a tensor is sent to the GPU when it is bound.
        buffers.binding.bind_input(INPUT, &buffers.frames)?;
        let outputs = meter::around(|| self.session.run_binding(&buffers.binding))?;
        let output = |name: &str| outputs[name].try_extract_array::<f32>();
        let shape = |error: ndarray::ShapeError| ort::Error::new(error.to_string());
        let [maps, scores, embeddings] =
            [output("anomaly_map")?, output("score")?, output("embedding")?];
        let maps = maps.into_dimensionality::<Ix3>().map_err(shape)?;
        let scores = scores.into_dimensionality::<Ix1>().map_err(shape)?;
        let embeddings = embeddings.into_dimensionality::<Ix2>().map_err(shape)?;
        let each = maps.outer_iter().zip(&scores).zip(embeddings.outer_iter());
        Ok(each
            .map(|((anomaly_map, score), embedding)| Inference {
                anomaly_map: anomaly_map.to_owned(),
                score: *score,
                embedding: embedding.to_owned(),
            })
            .collect())
    }
}

impl Buffers {
    fn new(
        session: &Session,
        memory: &Allocator,
        Size { width, height }: Size,
        embedding_len: usize,
        batch: usize,
    ) -> Result<Self, ort::Error> {
        let (width, height) = (width as usize, height as usize);
        let frames = Tensor::<u8>::new(memory, [batch, height, width, 3])?;
        let mut binding = session.create_binding()?;
        let outputs: [&[usize]; 3] = [&[batch, height, width], &[batch], &[batch, embedding_len]];
        for (name, shape) in std::iter::zip(OUTPUTS, outputs) {
            binding.bind_output(name, Tensor::<f32>::new(memory, shape)?)?;
        }
        Ok(Self { binding, frames })
    }

    /// Row by row: a camera's rows may be padded.
    fn fill(&mut self, inputs: &[RgbView<'_>]) -> Result<(), ort::Error> {
        let (_shape, mut rest) = self.frames.try_extract_tensor_mut::<u8>()?;
        for input in inputs {
            for y in 0..input.size().height {
                let row = input.row(y);
                let Some((into, behind)) = rest.split_at_mut_checked(row.len()) else {
                    return Err(ort::Error::new("the frames do not fit the bound tensor"));
                };
                into.copy_from_slice(row);
                rest = behind;
            }
        }
        Ok(())
    }
}

impl Engine for Onnx {
    fn input_size(&self) -> Size {
        self.input
    }

    fn batch_max(&self) -> usize {
        self.buffers.len()
    }

    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError> {
        self.infer_batch(std::slice::from_ref(input))?
            .pop()
            .ok_or_else(|| EngineError::Run { cause: "the model returned an empty batch".into() })
    }

    fn infer_batch(&mut self, inputs: &[RgbView<'_>]) -> Result<Vec<Inference>, EngineError> {
        let (got, max) = (inputs.len(), self.batch_max());
        if got > max {
            return Err(EngineError::BatchSize { got, max });
        }
        if let Some(odd) = inputs.iter().find(|input| input.size() != self.input) {
            return Err(EngineError::InputSize { got: odd.size(), want: self.input });
        }
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let inferences =
            self.run(inputs).map_err(|error| failed(&error, |cause| EngineError::Run { cause }))?;
        if inferences.len() == got {
            return Ok(inferences);
        }
        Err(EngineError::Run {
            cause: format!("the model returned {} results for {got} inputs", inferences.len()),
        })
    }
}

/// `session.run` on one input over and over, with nothing of ours around it: what a station is measured against.
#[derive(Debug)]
pub struct Bare {
    session: Session,
    frames: Tensor<u8>,
}

impl Bare {
    /// A session as [`Onnx::load`] builds it. No golden frame is run: nobody looks at what it says.
    pub fn load(
        runtime: &Runtime,
        model: &[u8],
        input: Size,
        options: &OnnxOptions,
        attempt: &Attempt,
        cache: Option<&Path>,
    ) -> Result<Self, EngineError> {
        let (session, _embedding_len) = session(runtime, model, input, options, attempt, cache)?;
        let shape = [1, input.height as usize, input.width as usize, 3];
        let pixels: Vec<u8> = (0..=250_u8).cycle().take(shape.iter().product()).collect();
        let frames = Tensor::from_array((shape, pixels))
            .map_err(|error| failed(&error, |cause| EngineError::Run { cause }))?;
        Ok(Self { session, frames })
    }

    /// Runs the network once.
    pub fn run(&mut self) -> Result<(), EngineError> {
        self.session
            .run(ort::inputs![INPUT => &self.frames])
            .map(drop)
            .map_err(|error| failed(&error, |cause| EngineError::Run { cause }))
    }
}

/// A GPU reads and writes pinned memory without a copy in between; the processor takes any.
fn memory(session: &Session, options: &OnnxOptions, attempt: &Attempt) -> Allocator {
    if attempt.providers.iter().all(|provider| *provider == Provider::Cpu) {
        return Allocator::default();
    }
    let pinned = MemoryInfo::new(
        AllocationDevice::CUDA_PINNED,
        options.device,
        AllocatorType::Device,
        MemoryType::CPUInput,
    );
    pinned.and_then(|info| Allocator::new(session, info)).unwrap_or_else(|error| {
        tracing::warn!(
            "no pinned memory for the GPU, each frame is copied once more: {}",
            first_line(error.message())
        );
        Allocator::default()
    })
}

/// Whether the library was built with every provider of the attempt: found out before minutes are spent on the first.
pub fn check_available(runtime: &Runtime, attempt: &Attempt) -> Result<(), EngineError> {
    for &provider in &attempt.providers {
        let missing = |cause: String| EngineError::Provider { provider, cause };
        if !is_available(provider).map_err(|error| failed(&error, missing))? {
            return Err(missing(format!(
                "ONNX Runtime {} at {} was built without it",
                runtime.version(),
                runtime.library().display()
            )));
        }
    }
    Ok(())
}

/// Whether the library was built with that provider; whether its GPU is there is another question.
pub fn has(_started: &Runtime, provider: Provider) -> bool {
    is_available(provider).unwrap_or(false)
}

fn is_available(provider: Provider) -> ort::Result<bool> {
    match provider {
        Provider::Cpu => Ok(true),
        Provider::Cuda => ep::CUDA::is_available(),
        Provider::TensorRt => ep::TensorRT::is_available(),
    }
}

/// A session for the model, and the length of its embedding.
fn session(
    runtime: &Runtime,
    model: &[u8],
    input: Size,
    options: &OnnxOptions,
    attempt: &Attempt,
    cache: Option<&Path>,
) -> Result<(Session, usize), EngineError> {
    let session = session_builder(runtime, input, options, attempt, cache)?
        .commit_from_memory(model)
        .map_err(|error| failed(&error, |cause| EngineError::Load { cause }))?;
    let embedding_len = check_interface(&session, input)?;
    Ok((session, embedding_len))
}

fn session_builder(
    runtime: &Runtime,
    input: Size,
    options: &OnnxOptions,
    attempt: &Attempt,
    cache: Option<&Path>,
) -> Result<SessionBuilder, EngineError> {
    let build = || -> Result<SessionBuilder, ort::Error> {
        // Spinning workers would take the cores from the decoder while they wait for the next frame.
        let builder = Session::builder(&runtime.0.environment)?.with_intra_op_spinning(false)?;
        Ok(match options.threads {
            Some(threads) => builder.with_intra_threads(threads)?,
            None => builder,
        })
    };
    let refused = |error: &ort::Error| failed(error, |cause| EngineError::Load { cause });
    let mut builder = build().map_err(|error| refused(&error))?;
    check_available(runtime, attempt)?;
    for &provider in &attempt.providers {
        let dispatch = match provider {
            Provider::Cpu => continue,
            Provider::Cuda => cuda(options),
            Provider::TensorRt => tensorrt(input, options, attempt, cache),
        };
        builder = builder.with_execution_providers([dispatch]).map_err(|error| {
            failed(&error.into(), |cause| EngineError::Provider { provider, cause })
        })?;
    }
    if attempt.providers.contains(&Provider::Cpu) {
        return Ok(builder);
    }
    // Without "cpu" in the list no single node may fall back to it either.
    builder.with_disable_cpu_fallback().map_err(|error| refused(&error.into()))
}

fn cuda(options: &OnnxOptions) -> ExecutionProviderDispatch {
    let provider = ep::CUDA::default()
        .with_device_id(options.device)
        // The default doubles the arena: a board shares its memory with the cameras.
        .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested)
        // Ten bits of mantissa are not what the trainer measured.
        .with_tf32(false);
    match options.gpu_memory_max {
        Some(bytes) => provider.with_memory_limit(bytes),
        None => provider,
    }
    // The default of `ort` is to log a failure and go on with the processor.
    .build()
    .error_on_failure()
}

fn tensorrt(
    input: Size,
    options: &OnnxOptions,
    attempt: &Attempt,
    cache: Option<&Path>,
) -> ExecutionProviderDispatch {
    let Flags { int8, fp16 } = attempt.flags;
    // One engine for every batch up to the largest; without profiles each new size would rebuild for minutes.
    let profile = |batch: usize| plan::profile(INPUT, batch, input);
    let mut provider = ep::TensorRT::default()
        .with_device_id(options.device)
        .with_int8(int8)
        .with_fp16(fp16)
        .with_profile_min_shapes(profile(1))
        .with_profile_opt_shapes(profile(options.batch_max))
        .with_profile_max_shapes(profile(options.batch_max));
    if let Some(bytes) = options.gpu_memory_max {
        provider = provider.with_max_workspace_size(bytes);
    }
    if let Some(folder) = cache {
        let folder = folder.display();
        provider = provider
            .with_engine_cache(true)
            .with_engine_cache_path(&folder)
            .with_timing_cache(true)
            .with_timing_cache_path(&folder);
    }
    provider.build().error_on_failure()
}

/// What ONNX Runtime says, as the error that `kind` makes of it; whatever it was at, a dead GPU is a dead GPU.
fn failed(error: &ort::Error, kind: impl FnOnce(String) -> EngineError) -> EngineError {
    let cause = first_line(error.message());
    // The code may stand behind the first line.
    if fatal::is_fatal(error.message()) { EngineError::Fatal { cause } } else { kind(cause) }
}

/// The length of the embedding, where inputs and outputs are those of a Sightline model.
fn check_interface(session: &Session, input: Size) -> Result<usize, EngineError> {
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
    if let Some(missing) = OUTPUTS.iter().find(|name| !outputs.contains(name)) {
        return wrong(format!("outputs {outputs:?} lack \"{missing}\""));
    }
    // Behind the batch; `None` is a length that only the run would tell.
    let shape = |name: &str| -> Option<Vec<Option<usize>>> {
        let outlet = session.outputs().iter().find(|outlet| outlet.name() == name)?;
        let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = outlet.dtype() else {
            return None;
        };
        Some(shape.iter().skip(1).map(|len| usize::try_from(*len).ok()).collect())
    };
    let (height, width) = (input.height as usize, input.width as usize);
    match (shape("anomaly_map"), shape("score"), shape("embedding").as_deref()) {
        (Some(map), Some(score), Some(&[Some(embedding)]))
            if map == [Some(height), Some(width)] && score.is_empty() =>
        {
            Ok(embedding)
        }
        (map, score, embedding) => wrong(format!(
            "outputs have the shapes {map:?}, {score:?} and {embedding:?} behind the batch \
             instead of [{height}, {width}], [] and [D], all of f32"
        )),
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
