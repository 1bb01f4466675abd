//! Files with FP16 weights and on INT8: the inspector runs them, tells their precision, and refuses one that is off.

use std::collections::BTreeSet;

use bundle::{
    golden::Tolerance,
    model_file,
    precision::{Fp16, Int8, Precision},
    schema::Document,
};
use network::onnx;

use crate::support::{self, Scratch, json_lines, picture, stderr, stdout};

/// The tiny network in both precisions, without a memory and with one, with their records and tolerances. The ranges
/// hold what these pictures reach.
fn variants() -> Vec<(Vec<u8>, Precision, Tolerance)> {
    let of = |memory_patches| {
        let float = support::graph_remembering(memory_patches);
        let ranges = onnx::ranged_values(&float).into_iter().map(|name| (name, 8.0)).collect();
        let int8 = onnx::quantise(float.clone(), &ranges, &BTreeSet::new()).unwrap();
        let half = onnx::half_weights(onnx::search_by_product(float)).0;
        [
            (onnx::bytes(&half), Precision::Fp16(Fp16::default()), Tolerance::default()),
            (onnx::bytes(&int8), Precision::Int8(Int8::default()), Tolerance::INT8),
        ]
    };
    [of(0), of(12)].concat()
}

fn file(network: &[u8], precision: Precision, tolerance: Tolerance) -> (Document, Vec<u8>) {
    let measured = support::document_of(&mut support::engine_of(network), 99);
    let document = Document { precision, tolerance, ..measured };
    let bytes = model_file::with_document(network, &document).unwrap();
    (document, bytes)
}

#[test]
fn every_precision_is_inspected_with() {
    let scratch = Scratch::new();
    let size = bundle::geometry::Size { width: support::SIDE, height: support::SIDE };
    for seed in 0..3 {
        scratch.write_picture(&format!("parts/{seed}.png"), &picture(size, seed).view());
    }
    for (network, precision, tolerance) in variants() {
        let name = precision.name();
        let (mut document, bytes) = file(&network, precision, tolerance);
        scratch.write("other.onnx", &bytes);
        let inspect =
            ["inspect", "parts", "--json", "--model", "other.onnx", "--reject-rate", "0.02"];
        let output = scratch.run(&inspect);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        let lines = json_lines(&output);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line["decision"] == "pass"), "{name}: {lines:?}");
        let shown = stdout(&scratch.run(&["model", "show", "other.onnx"]));
        assert!(shown.contains(&format!("precision    {name}")), "{shown}");

        // Golden frames guard this network as they do FP32.
        document.golden[0].score += 2.0 * tolerance.score;
        scratch.write("off.onnx", model_file::with_document(&network, &document).unwrap());
        let output = scratch.run(&["model", "verify", "off.onnx"]);
        assert_eq!(output.status.code(), Some(4), "{name}: {}", stderr(&output));
    }
}
