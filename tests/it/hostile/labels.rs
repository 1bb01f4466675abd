//! Names with quotes in them: products become labels, JSON, rows and lines, and come out as they went in.

use std::sync::{Arc, Mutex};

use bundle::{
    calibration::{Calibration, RejectRate},
    geometry::Size,
    prototype::Prototype,
    schema::Class,
};
use proptest::prelude::*;
use sightline::{
    clock::SystemClock,
    engine::Deviations,
    frame::CameraId,
    judge::{Evidence, Judge, Recipe, Unrated},
    state::Board,
    telemetry::{EngineLabels, Judging, Sources, Telemetry},
};

use super::value;
use crate::support::{self, Scratch, json_lines, picture, stderr};

/// The names and values of a sample's labels, as `OpenMetrics` 1.0 escapes them; `None` where that is broken.
fn labels(sample: &str) -> Option<Vec<(String, String)>> {
    let mut rest = sample.split_once('{')?.1;
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    _ => return None,
                }),
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &after[end..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.strip_prefix("} ")?.parse::<f64>().ok().map(|_| labels),
        }
    }
}

proptest! {
    #[test]
    fn a_products_and_a_models_name_come_out_of_the_metrics_as_they_went_in(product in value(), model in value()) {
        let clock = Arc::new(SystemClock::start());
        let engine = EngineLabels {
            providers: "cpu".into(),
            onnxruntime: "1".into(),
            model: model.clone(),
            model_version: "1".into(),
            model_sha256: "0".into(),
        };
        let telemetry = Telemetry::new(Sources {
            cameras: Vec::new(),
            board: Arc::new(Board::new(0)),
            ledger: None,
            archive: None,
            mqtt: None,
            judging: Arc::new(Mutex::new(Judging { engine, deviation: Deviations::default() })),
            live: None,
plc: None,
            clock,
        });
        let class = Class {
            name: product.clone(),
            prototype: Prototype { direction: vec![1.0] },
            calibration: Some(Calibration::new(vec![1.0; 9], vec![0.0; 9], "").unwrap()),
        };
        let recipe = Recipe::of(RejectRate::new(0.5).unwrap(), Unrated::Allowed);
        let judge = Judge::new(&[class], &recipe).unwrap();
        let verdict = judge.decide(&Evidence { score: 0.5, embedding: vec![1.0] });
        telemetry.judged(&CameraId("top".into()), &verdict);
        let text = telemetry.text();
        let find = |family: &str, label: &str| {
            let sample = text.lines().find(|line| line.starts_with(family)).unwrap();
            let labels = labels(sample).unwrap_or_else(|| panic!("{sample}"));
            labels.into_iter().find(|(name, _)| name == label).unwrap().1
        };
        prop_assert_eq!(find("sightline_verdicts_total{", "product"), product);
        prop_assert_eq!(find("sightline_engine_info{", "model"), model);
        prop_assert!(text.ends_with("# EOF\n"));
    }
}

#[test]
fn a_product_whose_name_is_sql_json_and_a_label_is_judged_and_written_down() {
    let name = "'; DROP TABLE rows; -- \",{}=\\ Wärmetauscher 漢字";
    let mut document = support::document(99);
    for class in &mut document.classes {
        name.clone_into(&mut class.name);
    }
    let scratch = Scratch::new();
    scratch.write("model.onnx", support::model(&document));
    let side = support::SIDE;
    for seed in 0..3 {
        let image = picture(Size { width: side, height: side }, seed);
        scratch.write_picture(&format!("parts/{seed}.png"), &image.view());
    }
    scratch.write(
        "line.toml",
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\nrates = {{ {} = 0.5 }}\n\
             [ledger]\npath = \"ledger.db\"\n[output]\nformat = \"json\"\n\
             [[camera]]\nname = \"top\"\npreset = \"files\"\noverflow = \"every\"\nrealtime = false\n\
             products = [{}]\nparameters = {{ location = \"parts\" }}\n",
            serde_json::Value::from(name),
            toml::Value::String(name.into()),
        ),
    );
    let output = scratch.run(&["run", "line.toml"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["product"] == name), "{lines:?}");
    let verified = scratch.run(&["ledger", "verify", "ledger.db"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}
