//! An engine that computes something else than the trainer did is refused, on every path to it.

use std::ops::Mul as _;

use bundle::schema::Document;
use sightline::engine::{Candidate, Engine as _, Inference, Refusal, Verified};

use crate::support::{self, Around, Scratch, stderr};

/// Verifies an engine that answers almost as the real one does.
fn verify(document: &Document, score: f32, embedding: f32, map: f32) -> Result<Verified, Refusal> {
    let off = Around::engine(move |engine, input| {
        let inference = engine.infer(input)?;
        Ok(Inference {
            score: inference.score.mul(score),
            embedding: inference.embedding.mul(embedding),
            anomaly_map: inference.anomaly_map.mul(map),
        })
    });
    Candidate::new(off).verify(document)
}

#[test]
fn what_deviates_is_named() {
    let document = support::document(0);
    assert!(verify(&document, 1.0, 1.0, 1.0).is_ok());
    for (factors, expected) in [
        ((1.5, 1.0, 1.0), "score"),
        ((1.0, 0.5, 1.0), "embedding"),
        ((1.0, 1.0, 0.0), "anomaly map"),
        ((f32::NAN, 1.0, 1.0), "score"),
        ((1.0, f32::NAN, 1.0), "embedding"),
        ((1.0, 1.0, f32::NAN), "anomaly map"),
    ] {
        match verify(&document, factors.0, factors.1, factors.2) {
            Err(Refusal::Deviates { what, .. }) => assert_eq!(what, expected),
            other => panic!("{factors:?} gave {other:?}"),
        }
    }
}

#[test]
fn a_model_without_golden_frames_is_refused() {
    let document = Document { golden: Vec::new(), ..support::document(0) };
    assert!(matches!(verify(&document, 1.0, 1.0, 1.0), Err(Refusal::NoGoldenFrames)));
}

#[test]
fn the_command_names_the_frame_and_ends_with_the_models_code() {
    let scratch = Scratch::new();
    let mut document = support::document(0);
    document.golden[1].score += 1.0;
    scratch.write("off.onnx", support::model(&document));
    let output = scratch.run(&["model", "verify", "off.onnx"]);
    assert_eq!(output.status.code(), Some(4));
    let text = stderr(&output);
    assert!(text.contains("golden frame 2 (wave) the score deviates by"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    let output = scratch.run(&["model", "verify", "model.onnx"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
