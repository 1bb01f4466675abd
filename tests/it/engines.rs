//! Batches, the precision ladder, providers that are not there, and a GPU that fails for good.
//!
//! What does not depend on the provider is shown with the processor, and with engines that fail on purpose.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bundle::{
    geometry::{RgbView, Size},
    precision::Precision,
};
use sightline::{
    engine::{
        Arithmetic, Attempt, BuildError, Candidate, Engine, EngineError, Inference, OnnxOptions,
        Provider, Verified, Wish, build, build::Why, plan,
    },
    fault::Class,
    state::{State, Trouble},
    station::Station,
};

use crate::{
    line::{Kept, options, station},
    support::{self, Around, SIDE, Scratch, picture, stderr},
};

const INPUT: Size = Size { width: SIDE, height: SIDE };

/// What happens to a batch of so many, in which inputs are numbered from the first that the engine ever saw.
type Rule = Box<dyn FnMut(usize) -> Result<(), EngineError> + Send>;

/// The tiny network for batches, with a rule about which of them fail.
struct Batches {
    inner: Verified,
    rule: Rule,
    /// The length of each batch that came.
    seen: Arc<Mutex<Vec<usize>>>,
}

impl Batches {
    fn of(
        batch_max: usize,
        rule: impl FnMut(usize) -> Result<(), EngineError> + Send + 'static,
    ) -> Self {
        let options = OnnxOptions { batch_max, ..OnnxOptions::default() };
        Self {
            inner: support::engine_with(&support::bare_network(), &options),
            rule: Box::new(rule),
            seen: Arc::default(),
        }
    }
}

impl Engine for Batches {
    fn input_size(&self) -> Size {
        self.inner.input_size()
    }

    fn batch_max(&self) -> usize {
        self.inner.batch_max()
    }

    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError> {
        Ok(self.infer_batch(&[*input])?.remove(0))
    }

    fn infer_batch(&mut self, inputs: &[RgbView<'_>]) -> Result<Vec<Inference>, EngineError> {
        self.seen.lock().unwrap().push(inputs.len());
        (self.rule)(inputs.len())?;
        self.inner.infer_batch(inputs)
    }
}

#[test]
fn a_batch_gives_each_input_its_own_answer_whatever_came_before() {
    let options = OnnxOptions { batch_max: 4, ..OnnxOptions::default() };
    let mut batches = support::engine_with(&support::bare_network(), &options);
    let mut single = support::engine();
    let pictures: Vec<_> = (0..9).map(|seed| picture(INPUT, seed)).collect();
    let expected: Vec<_> =
        pictures.iter().map(|image| support::infer(&mut single, image)).collect();
    // The bound tensors of each length are used again and again.
    for (first, len) in [(0, 4), (4, 1), (5, 3), (2, 4), (8, 1), (0, 2), (1, 4)] {
        let views: Vec<_> = pictures[first..first + len].iter().map(|image| image.view()).collect();
        let inferences = batches.infer_batch(&views).unwrap();
        assert_eq!(inferences.len(), len);
        for (inference, expected) in std::iter::zip(&inferences, &expected[first..]) {
            assert!((inference.score - expected.score).abs() < 1e-5);
            let differ = &inference.anomaly_map - &expected.anomaly_map;
            assert!(differ.iter().all(|difference| difference.abs() < 1e-5));
            let differ = &inference.embedding - &expected.embedding;
            assert!(differ.iter().all(|difference| difference.abs() < 1e-5));
        }
    }
    assert!(batches.infer_batch(&[]).unwrap().is_empty());
    let views: Vec<_> = pictures.iter().map(|image| image.view()).collect();
    let refused = batches.infer_batch(&views).unwrap_err();
    assert!(matches!(refused, EngineError::BatchSize { got: 9, max: 4 }), "{refused}");
}

#[test]
fn rows_that_are_padded_give_the_answer_of_those_that_are_not() {
    let image = picture(INPUT, 7);
    let (row, stride) = (SIDE as usize * 3, SIDE as usize * 3 + 5);
    let mut padded = vec![255; stride * SIDE as usize];
    for (into, from) in std::iter::zip(padded.chunks_mut(stride), image.pixels.chunks(row)) {
        into[..row].copy_from_slice(from);
    }
    let mut engine = support::engine();
    let inference = engine.infer(&RgbView::new(INPUT, stride, &padded).unwrap()).unwrap();
    assert_eq!(inference, support::infer(&mut engine, &image));
}

/// Answers a batch in the wrong order.
struct Mixed(Verified);
impl Engine for Mixed {
    fn input_size(&self) -> Size {
        self.0.input_size()
    }

    fn batch_max(&self) -> usize {
        2
    }

    fn infer(&mut self, input: &RgbView<'_>) -> Result<Inference, EngineError> {
        self.0.infer(input)
    }

    fn infer_batch(&mut self, inputs: &[RgbView<'_>]) -> Result<Vec<Inference>, EngineError> {
        inputs.iter().rev().map(|input| self.0.infer(input)).collect()
    }
}

#[test]
fn an_engine_that_mixes_up_a_batch_is_refused() {
    let document = support::document(99);
    assert!(document.golden.len() > 1);
    let refusal = Candidate::new(Mixed(support::engine())).verify(&document).unwrap_err();
    assert!(refusal.to_string().contains("engine refused: at golden frame 1"), "{refusal}");
}

/// Two cameras that are faster than the engine, and what became of their frames.
fn two_cameras(engine: Batches, wait: Duration) -> (sightline::station::Report, Kept) {
    let out = Kept::default();
    let cameras = vec![options("test", &[("frames", "40")]), options("test", &[("frames", "40")])];
    let station = Station { batch_wait: wait, ..station(cameras, engine, out.clone()) };
    (station.run(&crossbeam_channel::never()).unwrap(), out)
}

#[test]
fn frames_of_two_cameras_share_batches_and_keep_their_order() {
    let engine = Batches::of(4, |_len| {
        // Frames come meanwhile.
        std::thread::sleep(Duration::from_millis(5));
        Ok(())
    });
    let seen = Arc::clone(&engine.seen);
    let golden = support::document(99).golden.len();
    let (report, out) = two_cameras(engine, Duration::from_millis(20));
    for (id, balance) in &report.balances {
        assert!(balance.is_settled(), "{id}: {balance}");
        assert_eq!((balance.judged, balance.dropped_total(), balance.faulted_total()), (40, 0, 0));
    }
    let lines = out.lines();
    for camera in ["top", "side"] {
        let numbers: Vec<_> = lines
            .iter()
            .filter(|line| line["camera"] == camera)
            .map(|line| line["frame"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
    }
    let seen = seen.lock().unwrap();
    // Each golden frame alone, then all in full batches; then the line's.
    let line = &seen[golden + golden.div_ceil(4)..];
    assert_eq!(line.iter().sum::<usize>(), 80);
    assert!(line.iter().all(|len| (1..=4).contains(len)), "{line:?}");
    assert!(line.contains(&4), "{line:?}");
}

#[test]
fn where_a_batch_fails_each_frame_is_tried_alone() {
    let (mut golden, document) = (true, support::document(99));
    let batches_of_golden = document.golden.len().div_ceil(4);
    let mut full = 0;
    let engine = Batches::of(4, move |len| {
        full += usize::from(len == 4);
        golden &= full <= batches_of_golden;
        if len > 1 && !golden {
            return Err(EngineError::Run { cause: "CUDA failure 2: out of memory".into() });
        }
        Ok(())
    });
    let (report, _out) = two_cameras(engine, Duration::from_millis(20));
    for (id, balance) in &report.balances {
        assert_eq!((balance.judged, balance.faulted_total()), (40, 0), "{id}: {balance}");
    }
}

#[test]
fn a_gpu_that_fails_for_good_is_not_asked_again_and_every_frame_is_accounted_for() {
    let mut golden = support::document(99).golden.len() + 3;
    let calls = Arc::new(Mutex::new(0));
    let called = Arc::clone(&calls);
    let engine = Around::engine(move |engine, input| {
        if golden == 0 {
            *called.lock().unwrap() += 1;
            return Err(EngineError::Fatal { cause: "CUDA failure 700: illegal address".into() });
        }
        golden -= 1;
        engine.infer(input)
    });
    let out = Kept::default();
    // It would play for a minute: the failure ends it.
    let camera = options("test", &[("frames", "3000")]);
    let mut camera = camera;
    camera.realtime = true;
    let station = station(vec![camera], engine, out.clone());
    let board = Arc::clone(&station.board);
    let report = station.run(&crossbeam_channel::never()).unwrap();
    assert!(report.gpu_failure.as_deref().unwrap().contains("CUDA failure 700"));
    assert_eq!(*calls.lock().unwrap(), 1);
    let balance = report.balances[0].1;
    assert!(balance.is_settled(), "{balance}");
    assert_eq!(balance.judged, 3);
    assert!(balance.captured < 3000 && balance.faulted_total() >= 1, "{balance}");
    let condition = board.condition();
    assert_eq!(condition.state(), State::Stopping);
    assert!(condition.troubles.contains_key(&Trouble::Engine));
    assert!(out.lines().iter().skip(3).all(|line| line["decision"] == "fault"));
}

/// What the ladder comes to with an engine that fails as `fail` says for an attempt's name.
fn ladder(
    wish: &Wish,
    fail: impl Fn(&Attempt) -> Option<EngineError>,
    off: &'static [&'static str],
) -> Result<(String, Vec<String>), BuildError> {
    let document = support::document(99);
    let attempts = plan::attempts(wish, &document.precision);
    let load = |attempt: &Attempt| {
        if let Some(error) = fail(attempt) {
            return Err(error);
        }
        let lies = off.contains(&attempt.to_string().as_str());
        Ok(Candidate::new(Around::engine(move |engine, input| {
            let mut inference = engine.infer(input)?;
            if lies {
                inference.score += 1.0;
            }
            Ok(inference)
        })))
    };
    build::build(&attempts, &document, load, |_progress| {}).map(|built| {
        let refused =
            built.refused.iter().map(|refused| format!("{}: {}", refused.attempt, refused.why));
        (built.attempt.to_string(), refused.collect())
    })
}

fn missing(provider: Provider) -> EngineError {
    EngineError::Provider { provider, cause: "built without it".into() }
}

#[test]
fn the_ladder_takes_the_first_engine_whose_golden_frames_agree() {
    let wish = Wish { providers: Provider::ALL.to_vec(), fall_back: true, ..Wish::default() };
    let (used, refused) = ladder(&wish, |_| None, &["tensorrt+cuda+cpu in fp16"]).unwrap();
    assert_eq!(used, "tensorrt+cuda+cpu in fp32");
    assert_eq!(refused.len(), 1);
    assert!(refused[0].starts_with("tensorrt+cuda+cpu in fp16: engine refused"), "{refused:?}");

    let no_tensorrt = |attempt: &Attempt| {
        attempt.providers.contains(&Provider::TensorRt).then(|| missing(Provider::TensorRt))
    };
    let (used, refused) = ladder(&wish, no_tensorrt, &["cuda+cpu"]).unwrap();
    assert_eq!(used, "cpu");
    assert_eq!(refused.len(), 3, "{refused:?}");
}

#[test]
fn without_fall_back_the_next_provider_is_not_even_tried() {
    let wish = Wish { providers: Provider::ALL.to_vec(), ..Wish::default() };
    let error = ladder(
        &wish,
        |attempt| {
            assert_eq!(attempt.providers[0], Provider::TensorRt);
            Some(missing(Provider::TensorRt))
        },
        &[],
    )
    .unwrap_err();
    assert_eq!(error.class(), Class::Engine);
    let text = error.to_string();
    assert!(text.starts_with("no engine can be used: tensorrt+cuda+cpu in fp16: "), "{text}");
    let nothing = Wish { arithmetics: vec![Arithmetic::Int8], ..wish };
    let error = ladder(&nothing, |_| None, &[]).unwrap_err();
    assert_eq!(error.class(), Class::Configuration);
    assert!(error.to_string().contains("engine.precisions"), "{error}");
}

#[test]
fn a_gpu_that_fails_for_good_ends_the_search() {
    let wish = Wish { providers: Provider::ALL.to_vec(), fall_back: true, ..Wish::default() };
    let fatal = |_: &Attempt| Some(EngineError::Fatal { cause: "CUDA failure 719".into() });
    let error = ladder(&wish, fatal, &[]).unwrap_err();
    assert_eq!(error.class(), Class::Gpu);
    let BuildError::Refused(refused) = error else { panic!("{error}") };
    assert!(
        matches!(&*refused, [only] if matches!(only.why, Why::Load(EngineError::Fatal { .. })))
    );
}

#[test]
fn a_provider_that_the_library_lacks_is_named_or_fallen_back_from() {
    for provider in [Provider::Cuda, Provider::TensorRt] {
        let providers = vec![provider, Provider::Cpu];
        let attempt = Attempt::new(providers, Arithmetic::Fp16, &Precision::Fp32);
        let error = support::candidate(&support::bare_network(), &OnnxOptions::default(), &attempt)
            .err()
            .unwrap();
        assert!(error.to_string().contains("built without it"), "{error}");
    }
    let scratch = Scratch::new();
    let config = |fall_back: bool| {
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nallow_unrated = true\n\
             [engine]\nproviders = [\"tensorrt\", \"cpu\"]\nfall_back = {fall_back}\ncache = \"engines\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\
             [[camera]]\nname = \"top\"\npreset = \"test\"\nparameters = {{ frames = \"20\" }}\n"
        )
    };
    scratch.write("line.toml", config(false));
    let output = scratch.run(&["run", "line.toml"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert!(stderr(&output).contains("\"tensorrt\" is not available"), "{}", stderr(&output));
    scratch.write("line.toml", config(true));
    let output = scratch.run(&["run", "line.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("tensorrt+cpu in fp16 is not used"), "{}", stderr(&output));
    let output = scratch.run(&["check", "line.toml"]);
    assert!(support::stdout(&output).contains("tensorrt+cpu in fp16 is not used"));
}
