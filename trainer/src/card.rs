//! The model card: what a person must know of a model file before a line trusts it, in Markdown beside the file.
//!
//! Owns the page's form. Every figure on it comes in; nothing is measured and no file is written here.

use std::fmt::Write as _;

use bundle::{
    precision::{Fp16, Int8, Precision},
    schema::Document,
};
use network::{Architecture, shapes::Shapes};

use crate::{
    evaluate::{ProductResult, Report, percent},
    metrics::binomial::share_in_words,
    precision::{
        likeness::{Likeness, Reports},
        sensitivity::MAP_CORRELATION_MIN,
    },
    recipe::Recipe,
    speed::Speedup,
};

const METHOD: &str = "reverse distillation with class-aware contrastive learning \
    (Deng & Li, CVPR 2022; Fan et al., ICCV 2025)";

/// What the card tells.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The model file's document.
    pub document: &'a Document,
    /// How it was trained.
    pub recipe: &'a Recipe,
    /// SHA-256 of the file.
    pub sha256: &'a str,
    /// Its length.
    pub file_bytes: usize,
    /// The length of the same network in FP32, without a document.
    pub fp32_bytes: usize,
    /// Good parts that each product was learned from, in the order of the document's classes.
    pub learned: &'a [usize],
    /// Results on the test images, where there are any.
    pub reports: Option<&'a Reports>,
    /// Against FP32 on held-out good parts; `None` for FP32 itself.
    pub likeness: Option<&'a Likeness>,
    /// Against FP32, one frame at a time; `None` for FP32 itself.
    pub speedup: Option<&'a Speedup>,
    /// Threads that speed was measured on.
    pub threads: usize,
}

/// The card's Markdown.
pub fn render(facts: &Facts<'_>) -> String {
    let Document { model, precision, .. } = facts.document;
    let mut page = format!("# {} {}\n\n", model.name, model.version);
    for section in [
        summary(facts),
        products(facts),
        numbers(precision),
        results(facts),
        speed(facts),
        recipe(facts),
    ] {
        page.push_str(&section);
    }
    page
}

fn summary(facts: &Facts<'_>) -> String {
    let Document { geometry, precision, data_fingerprint, created, tolerance, golden, .. } =
        facts.document;
    let Architecture { backbone, width, projector, .. } = facts.recipe.architecture;
    let (shapes, _) = Shapes::of(&facts.recipe.architecture);
    let projector = format!("{projector:?}").to_lowercase();
    let share = facts.file_bytes as f64 / facts.fp32_bytes.max(1) as f64;
    let rows = [
        ("method", METHOD.to_owned()),
        (
            "network",
            format!(
                "{backbone:?}, width {width}, {projector} projector: {:.1} M parameters, {:.2} GMAC a frame",
                shapes.parameter_count() as f64 / 1e6,
                shapes.macs as f64 / 1e9
            ),
        ),
        (
            "input",
            format!(
                "{} x {} pixels RGB, {:?}, {:?}{}",
                geometry.input.width,
                geometry.input.height,
                geometry.fit,
                geometry.resampling,
                if geometry.input_count() > 1 {
                    format!(", {} tiles", geometry.input_count())
                } else {
                    String::new()
                }
            ),
        ),
        ("precision", precision.name().to_owned()),
        (
            "file",
            format!(
                "{:.1} MB ({:.0} % of the FP32 network)",
                facts.file_bytes as f64 / 1e6,
                share * 100.0
            ),
        ),
        ("SHA-256 as exported", format!("`{}`", facts.sha256)),
        ("training data", format!("`{data_fingerprint}`")),
        (
            "golden frames",
            format!(
                "{}, tolerance {:.0e} of the score, {:.0e} of the embedding, {:.0e} of the map",
                golden.len(),
                tolerance.score,
                tolerance.embedding,
                tolerance.map
            ),
        ),
        ("created", created.clone()),
    ];
    let rows: String = rows.iter().map(|(what, value)| format!("| {what} | {value} |\n")).collect();
    format!("| | |\n| --- | --- |\n{rows}\n")
}

fn products(facts: &Facts<'_>) -> String {
    let mut text = "## Products\n\n\
        | product | learned from | calibrated on | smallest false-reject rate |\n\
        | --- | --- | --- | --- |\n"
        .to_owned();
    for (class, learned) in facts.document.classes.iter().zip(facts.learned) {
        let (count, rate) = class.calibration.as_ref().map_or_else(
            || ("0".to_owned(), "none before `calibrate`".to_owned()),
            |calibration| {
                let rate = format!("{:.2} %", calibration.smallest_rate() * 100.0);
                (calibration.count().to_string(), rate)
            },
        );
        let _infallible =
            writeln!(text, "| {} | {learned} | {count} | {rate} |", escaped(&class.name));
    }
    text.push_str("\nA site that calibrates on more good parts may promise a smaller rate.\n\n");
    text
}

fn numbers(precision: &Precision) -> String {
    let text = match precision {
        Precision::Fp32 => "Weights and arithmetic are f32.\n".to_owned(),
        Precision::Fp16(Fp16 { halved, kept }) => format!(
            "{halved} kernels are stored as f16 and computed in f32 (an accelerator picks its own precision); \
             biases are f32.\n{}",
            if kept.is_empty() {
                String::new()
            } else {
                format!("f16 would lose too much of: {}.\n", kept.join(", "))
            }
        ),
        Precision::Int8(int8) => int8_text(int8),
    };
    format!("## Numbers\n\n{text}\n")
}

fn int8_text(int8: &Int8) -> String {
    let mut text = format!(
        "{} convolutions run on int8: symmetric, one scale a tensor for activations and one an output channel \
         for kernels.\n\
         Ranges: {} on {} training images.\n\
         On {} held-out good images the anomaly maps differ from FP32's by {:.2} % of their mean; {:.0} % was allowed, \
         and each had to correlate by {MAP_CORRELATION_MIN}.\n",
        int8.quantised_layers,
        int8.range_method,
        int8.range_images,
        int8.sensitivity_images,
        int8.map_deviation * 100.0,
        int8.map_deviation_max * 100.0,
    );
    if int8.float_layers.is_empty() {
        text.push_str("No layer had to stay in float.\n");
    } else {
        text.push_str(
            "\nIn float, the most sensitive first:\n\n\
            | layer | deviation when it alone is on int8 |\n| --- | --- |\n",
        );
        for layer in &int8.float_layers {
            let share = layer.map_deviation * 100.0;
            let _infallible = writeln!(text, "| `{}` | {share:.2} % |", layer.name);
        }
    }
    text
}

fn results(facts: &Facts<'_>) -> String {
    let mut text = "## Results\n\n".to_owned();
    match facts.reports {
        Some(Reports { fp32, exported: None }) => {
            text.push_str(
                "On the data set's test images, in per cent.\n\n\
                | product | image AUROC | pixel AUROC | recognised |\n| --- | --- | --- | --- |\n",
            );
            for (name, figures) in rows(fp32) {
                let [image, pixel, recognised] = figures.map(percent);
                let _infallible = writeln!(text, "| {name} | {image} | {pixel} | {recognised} |");
            }
        }
        Some(Reports { fp32, exported: Some(exported) }) => {
            let _infallible = write!(
                text,
                "On the data set's test images, in per cent: FP32 / {}, and the change in points.\n\n\
                 | product | image AUROC | change | pixel AUROC | change | recognised |\n\
                 | --- | --- | --- | --- | --- | --- |\n",
                facts.document.precision.name()
            );
            for ((name, a), (_, b)) in rows(fp32).into_iter().zip(rows(exported)) {
                let both = |at: usize| format!("{} / {}", percent(a[at]), percent(b[at]));
                let change = |at: usize| {
                    a[at]
                        .zip(b[at])
                        .map_or("-".to_owned(), |(a, b)| format!("{:+.2}", (b - a) * 100.0))
                };
                let _infallible = writeln!(
                    text,
                    "| {name} | {} | {} | {} | {} | {} |",
                    both(0),
                    change(0),
                    both(1),
                    change(1),
                    both(2)
                );
            }
        }
        None => text.push_str(
            "The data set has no test images: how well defects are found was not measured.\n",
        ),
    }
    if let Some(Reports { fp32, exported }) = facts.reports {
        let of_file = exported.as_ref().unwrap_or(fp32);
        let words = |(events, trials)| share_in_words(events, trials);
        let rate = of_file.rate.map_or(0.0, |rate| rate * 100.0);
        let _infallible = writeln!(
            text,
            "\nAt a false-reject rate of {rate} % this file refused {} good parts and passed {} defective ones.",
            words(of_file.false_rejects()),
            words(of_file.escapes())
        );
        if !of_file.unrated.is_empty() {
            let names: Vec<String> = of_file.unrated.iter().map(|name| escaped(name)).collect();
            let _infallible = writeln!(
                text,
                "That rate is not promised for {}, which have too few calibration frames for it.",
                names.join(", ")
            );
        }
    }
    if let Some(likeness) = facts.likeness {
        let _infallible = writeln!(
            text,
            "\nAgainst FP32 on {} good frames: maps correlate by {:.4} at least and differ by {:.2} % of their mean, \
             scores by {:.1e} at most; {:.1} % of the frames are recognised alike.",
            likeness.frames,
            likeness.map_correlation,
            likeness.map_deviation * 100.0,
            likeness.score_deviation,
            likeness.recognised_alike * 100.0
        );
    }
    text.push('\n');
    text
}

/// Image AUROC, pixel AUROC and share of the nearest prototypes that are the parts' own.
type Figures = [Option<f64>; 3];

/// Of the products, and the means of all.
fn rows(report: &Report) -> Vec<(String, Figures)> {
    let mut rows: Vec<_> =
        report.products.iter().map(|(name, result)| (escaped(name), figures(result))).collect();
    let means = std::array::from_fn(|index| report.mean(|result| figures(result)[index]));
    rows.push(("**mean**".to_owned(), means));
    rows
}

fn figures(result: &ProductResult) -> Figures {
    [result.image_auroc, result.pixel.map(|pixel| pixel.auroc), result.recognised]
}

fn speed(facts: &Facts<'_>) -> String {
    let Some(speed) = facts.speedup else { return String::new() };
    format!(
        "## Speed\n\n{:.2} times as fast as FP32 (95 % interval {:.2} to {:.2}; {} interleaved pairs of one frame, \
         {} threads of ONNX Runtime on the machine that exported).\n\n",
        speed.median, speed.low, speed.high, speed.pairs, facts.threads
    )
}

fn recipe(facts: &Facts<'_>) -> String {
    let json = serde_json::to_string_pretty(&facts.document.recipe).unwrap_or_default();
    format!("## Recipe\n\n```json\n{json}\n```\n")
}

/// A folder's name in a table.
fn escaped(name: &str) -> String {
    name.replace('|', "\\|")
}
