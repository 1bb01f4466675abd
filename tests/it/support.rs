//! What the tests share: a tiny model made on the fly, the built binary in a scratch folder.
//!
//! No binary fixtures: `network` emits a model with random weights, and its own inferences become golden frames
//! and calibration.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use bundle::{
    calibration::Calibration,
    geometry::{Geometry, RgbImage, RgbView, Size},
    golden::{GoldenFrame, Tolerance, block_means},
    model_file,
    precision::Precision,
    prototype::Prototype,
    schema::{self, Class, Document, ModelName},
};
use network::{
    Architecture,
    onnx::{self, proto::ModelProto},
    shapes,
    weights::Weights,
};
use sightline::{
    camera::{Camera, CameraError, CameraOptions},
    clock::SystemClock,
    engine::{
        Attempt, Candidate, Engine, EngineError, Inference, Onnx, OnnxOptions, Runtime, Verified,
        library::Search,
    },
    frame::CameraId,
    ledger::Account,
    record::ModelLabel,
    state::Board,
};

/// The smallest input that the network takes.
pub const SIDE: u32 = 32;

/// ONNX Runtime's library, where `make` puts it.
pub fn library() -> PathBuf {
    if let Some(path) = std::env::var_os("SIGHTLINE_ONNXRUNTIME") {
        return path.into();
    }
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/onnxruntime")
}

/// This process's runtime.
pub fn runtime() -> Runtime {
    Runtime::start(&Search { named: Some(library()), ..Search::default() }).unwrap()
}

/// A smooth picture that differs from seed to seed.
pub fn picture(size: Size, seed: u32) -> RgbImage {
    let wave = |x: u32, step: u32| (f64::from(x * step + seed * 37) / 9.0).sin() * 60.0 + 128.0;
    let mut pixels = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            for channel in 0..3 {
                pixels.push((wave(x, 1 + channel) / 2.0 + wave(y, 2 + channel) / 2.0) as u8);
            }
        }
    }
    RgbImage { size, pixels }
}

/// The tiny network's graph.
pub fn graph() -> ModelProto {
    graph_remembering(0)
}

/// The same with a memory of so many patches, whose halves have norm 1/2 as a trained one's have.
pub fn graph_remembering(memory_patches: usize) -> ModelProto {
    let architecture =
        Architecture { width: 0.125, memory_patches, ..Architecture::resnet18(SIDE as usize) };
    let manifest = shapes::Shapes::of(&architecture).0.parameters;
    let mut weights = Weights::random(&manifest, 7);
    let [_, c2, c3, _] = architecture.channels();
    if let Some(memory) = weights.0.get_mut("memory.weight") {
        for patch in memory.values.chunks_mut(c2 + c3) {
            let (fine, coarse) = patch.split_at_mut(c2);
            for half in [fine, coarse] {
                let norm = half.iter().map(|value| value * value).sum::<f32>().sqrt();
                for value in half {
                    *value = value.abs() / (2.0 * norm);
                }
            }
        }
    }
    onnx::detector_model(&architecture, &weights.check(&manifest).unwrap())
}

/// The tiny network without metadata.
pub fn bare_network() -> Vec<u8> {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| onnx::bytes(&graph())).clone()
}

/// A document that any engine satisfies, for its golden frame has an infinite tolerance.
fn unverifiable() -> Document {
    let black = RgbImage {
        size: Size { width: SIDE, height: SIDE },
        pixels: vec![0; (SIDE * SIDE * 3) as usize],
    };
    let golden = GoldenFrame::encode("wave", &black, 0.0, vec![0.0; 64], vec![0.0; 256]).unwrap();
    let all = f32::MAX;
    Document {
        format: schema::FORMAT,
        model: ModelName { name: "tiny".into(), version: "1".into() },
        data_fingerprint: "0".repeat(64),
        geometry: Geometry::square(SIDE),
        classes: Vec::new(),
        golden: vec![golden],
        tolerance: Tolerance { score: all, embedding: all, map: all },
        precision: Precision::Fp32,
        recipe: serde_json::Value::Null,
        created: "2026-01-01T00:00:00Z".into(),
    }
}

/// A camera on an account that ends with the test.
pub fn camera(name: &str, options: &CameraOptions) -> Result<Camera, CameraError> {
    let account = Arc::new(Account::unrecorded(CameraId(name.into()), 1));
    Camera::open(options, account, Arc::new(Board::new(1)), Arc::new(SystemClock::start()))
}

/// The tiny model's name.
pub fn label() -> ModelLabel {
    ModelLabel { name: "tiny".into(), version: "1".into(), sha256: "0".repeat(64) }
}

/// An engine of the tiny network.
pub fn engine() -> Verified {
    engine_of(&bare_network())
}

/// An engine of another network with the tiny one's inputs and outputs.
pub fn engine_of(network: &[u8]) -> Verified {
    engine_with(network, &OnnxOptions::default())
}

/// The same, run with these options.
pub fn engine_with(network: &[u8], options: &OnnxOptions) -> Verified {
    candidate(network, options, &Attempt::cpu()).unwrap().verify(&unverifiable()).unwrap()
}

/// An engine of which nothing is known.
pub fn candidate(
    network: &[u8],
    options: &OnnxOptions,
    attempt: &Attempt,
) -> Result<Candidate<Onnx>, EngineError> {
    let size = Size { width: SIDE, height: SIDE };
    Onnx::load(&runtime(), network, size, options, attempt, None)
}

/// The verified engine with something of a test's around each inference.
pub struct Around<F> {
    inner: Verified,
    infer: F,
}

impl<F: FnMut(&mut Verified, &RgbView<'_>) -> Result<Inference, EngineError> + Send> Around<F> {
    /// `infer` gets the tiny network's engine and the input.
    pub fn engine(infer: F) -> Self {
        Self { inner: engine(), infer }
    }
}

impl<F: FnMut(&mut Verified, &RgbView<'_>) -> Result<Inference, EngineError> + Send> Engine
    for Around<F>
{
    fn input_size(&self) -> Size {
        self.inner.input_size()
    }

    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError> {
        (self.infer)(&mut self.inner, input)
    }
}

/// What the tiny network says about a picture of its own size.
pub fn infer(engine: &mut Verified, image: &RgbImage) -> Inference {
    engine.infer(&image.view()).unwrap()
}

/// The tiny model's document: one product, "wave", calibrated on `calibration` pictures.
pub fn document(calibration: usize) -> Document {
    document_of(&mut engine(), calibration)
}

/// The document of an engine's network, measured with it.
pub fn document_of(engine: &mut Verified, calibration: usize) -> Document {
    let size = Size { width: SIDE, height: SIDE };
    let mut inferences =
        (0..calibration.max(1) as u32).map(|seed| infer(engine, &picture(size, seed)));
    let first = inferences.next().unwrap();
    let direction = first.embedding.to_vec();
    let distance =
        |embedding: &[f32]| 1.0 - direction.iter().zip(embedding).map(|(a, b)| a * b).sum::<f32>();
    let (mut scores, mut distances) = (vec![first.score], vec![0.0]);
    for inference in inferences {
        scores.push(inference.score);
        distances.push(distance(&inference.embedding.to_vec()));
    }
    let golden = (0..2)
        .map(|seed| {
            let image = picture(size, seed);
            let inference = infer(engine, &image);
            let map = block_means(&inference.map());
            GoldenFrame::encode("wave", &image, inference.score, inference.embedding.to_vec(), map)
                .unwrap()
        })
        .collect();
    let calibration =
        (calibration > 0).then(|| Calibration::new(scores, distances, "test").unwrap());
    Document {
        classes: vec![Class {
            name: "wave".into(),
            prototype: Prototype { direction: direction.clone() },
            calibration,
        }],
        golden,
        tolerance: Tolerance::default(),
        ..unverifiable()
    }
}

/// The tiny model as a file's bytes.
pub fn model(document: &Document) -> Vec<u8> {
    model_file::with_document(&bare_network(), document).unwrap()
}

/// A folder with `model.onnx` in it, and the built binary to run there.
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// A folder whose model has 99 calibration frames: enough for a rate of 2 %.
    pub fn new() -> Self {
        static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
        let scratch = Self { folder: tempfile::tempdir().unwrap() };
        scratch.write("model.onnx", MODEL.get_or_init(|| model(&document(99))));
        scratch
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Writes a picture as PNG.
    pub fn write_picture(&self, name: &str, image: &RgbView<'_>) {
        let RgbImage { size, pixels } = image.to_image();
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        image::save_buffer(
            self.path(name),
            &pixels,
            size.width,
            size.height,
            image::ExtendedColorType::Rgb8,
        )
        .unwrap();
    }

    /// The binary with these arguments, in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sightline"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("SIGHTLINE_ONNXRUNTIME", library());
        command
    }

    /// Runs the binary with these arguments, in this folder.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

/// A port that nobody listens on, and that nobody gets between now and its use: it is none of those that the system gives to
/// whoever asks for any, and each process of tests begins elsewhere.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 20_000;
    const OF_A_PROCESS: u32 = 32;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(OF_A_PROCESS);
    let ports = std::iter::repeat_with(|| {
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        u16::try_from(FIRST + next % PORTS).unwrap()
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(PORTS as usize).find(is_free).unwrap()
}

/// What a run left on standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a run left on standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON lines on standard output.
pub fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
