//! The demo line, as `make run` plays it: the shipped model on the shipped clip.

use std::path::Path;

use crate::support::{self, json_lines, stderr};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
/// What a checkout of the repository may cost a newcomer.
const MODEL_BYTES_MAX: u64 = 14_000_000;

#[test]
fn the_demo_line_is_judged_to_its_end_and_no_part_is_taken_for_another() {
    let folder = Path::new(SHIPPED);
    assert!(std::fs::metadata(folder.join("demo.onnx")).unwrap().len() <= MODEL_BYTES_MAX);
    let truth = std::fs::read_to_string(folder.join("demo.truth.jsonl")).unwrap();
    let truth: Vec<serde_json::Value> =
        truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(truth.len() >= 300, "{}", truth.len());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sightline"))
        .args(["run", "--fast"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("SIGHTLINE_ONNXRUNTIME", support::library())
        .output()
        .unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let frames = truth.len();
    assert!(told.contains(&format!("captured {frames} = judged {frames}")), "{told}");
    let lines = json_lines(&output);
    assert_eq!(lines.len(), frames);
    let (mut defective, mut refused) = (0, 0);
    for (line, truth) in lines.iter().zip(&truth) {
        assert_eq!(line["frame"], truth["frame"]);
        if truth["state"] != "rest" {
            continue;
        }
        let is_recognised = line["decision"] == "pass" || line["decision"] == "fail";
        assert!(!is_recognised || line["product"] == truth["product"], "{line} {truth}");
        // From 1 % of the frame on.
        if truth["area_fraction"].as_f64().unwrap() >= 0.01 {
            defective += 1;
            refused += u32::from(line["decision"] != "pass");
        }
    }
    // What `tools/measure-demo-line` measures on hundreds of parts; here, that the model is the one that was measured.
    assert!(defective > 0 && 10 * refused >= 9 * defective, "{refused} of {defective}");
}
