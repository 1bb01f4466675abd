//! The tables of a report: metrics, acceptance, confusion of products, unknown products, recipe.

use bundle::calibration::{RejectRate, frames_needed};
use maud::{Markup, html};

use super::{
    Run,
    confusion::Confusion,
    figures::{empty, tag},
    palette::Palette,
};
use crate::{
    evaluate::{COLUMNS, Foreign, ProductResult, percent},
    metrics::binomial,
};

/// Columns with names up to this many products, with numbers beyond.
const NAMED_COLUMNS_MAX: usize = 12;

/// The seven metrics of the field, product by product.
pub(super) fn metrics(run: &Run<'_>, palette: &Palette) -> Markup {
    let report = &run.evaluation.report;
    if report.products.is_empty() {
        return empty("The data set has no test part of a product that the model knows.");
    }
    html! {
        div.scroll { table {
            thead {
                tr {
                    th rowspan="2" { "product" }
                    th.n colspan="2" { "test parts" }
                    th.n colspan="3" { "image, %" }
                    th.n colspan="4" { "pixel, %" }
                    th.n rowspan="2" { "nearest product right, %" }
                }
                tr {
                    th.n { "good" } th.n { "defective" }
                    @for (name, _) in COLUMNS {
                        th.n { (name.trim_start_matches("image ").trim_start_matches("pixel ")) }
                    }
                }
            }
            tbody { @for (name, result) in &report.products {
                tr {
                    th scope="row" { (tag(palette, name)) }
                    td.n { (result.good) } td.n { (result.defective) }
                    @for (_, of) in COLUMNS { (metric(of(result))) }
                    (metric(result.recognised))
                }
            } }
            tfoot { tr {
                th scope="row" { "mean of products" }
                td.n { (sum(run, |result| result.good)) } td.n { (sum(run, |result| result.defective)) }
                @for (_, of) in COLUMNS { (metric(report.mean(of))) }
                (metric(report.mean(|result| result.recognised)))
            } }
        } }
        p.note {
            "–: the test set cannot tell. Image metrics need good and defective parts, pixel metrics drawn masks. "
            "Every product weighs the same in the mean."
        }
    }
}

fn sum(run: &Run<'_>, of: impl Fn(&ProductResult) -> usize) -> usize {
    run.evaluation.report.products.values().map(of).sum()
}

fn metric(value: Option<f64>) -> Markup {
    let Some(share) = value else { return html! { td.n.none { "–" } } };
    html! { td.n.bar style=(format!("--v:{:.1}%", share * 100.0)) { (percent(value)) } }
}

/// What a line would do: refused good parts and passed defective ones, and whether the calibration holds the rate.
pub(super) fn acceptance(run: &Run<'_>, palette: &Palette) -> Markup {
    let report = &run.evaluation.report;
    if report.products.is_empty() {
        return empty("The data set has no test part of a product that the model knows.");
    }
    let rate = report.rate.and_then(|rate| RejectRate::new(rate).ok());
    html! {
        div.scroll { table {
            thead {
                tr {
                    th rowspan="2" { "product" }
                    th colspan="2" { "good parts refused (false rejects)" }
                    th colspan="2" { "defective parts passed (escapes)" }
                    th.n colspan="4" { "calibration" }
                }
                tr {
                    th.n { "parts" } th { "share, 95 % interval" }
                    th.n { "parts" } th { "share, 95 % interval" }
                    th.n { "frames" } th.n { "needed" } th.n { "states at most" } th.n { "threshold" }
                }
            }
            tbody { @for (name, result) in &report.products {
                tr {
                    th scope="row" { (tag(palette, name)) }
                    (share((result.false_rejects, result.good)))
                    (share((result.escapes, result.defective)))
                    (calibration(run, name, rate))
                }
            } }
            tfoot { tr {
                th scope="row" { "all parts" }
                (share(report.false_rejects()))
                (share(report.escapes()))
                td colspan="4" {}
            } }
        } }
        @if report.unrated.is_empty() {
            p.note { "The calibration of every product supports the stated rate." }
        } @else {
            p.warning {
                strong { "The stated rate does not hold for: " }
                @for (index, name) in report.unrated.iter().enumerate() {
                    @if index > 0 { ", " }
                    (name)
                }
                ". Their calibration has too few frames, so only what lies beyond all of them is refused, and the rate is what "
                "the table states. Record good parts of them and run " code { "sightline-train calibrate" } "."
            }
        }
    }
}

/// The two cells of a share of some parts.
fn share((events, trials): (usize, usize)) -> Markup {
    if trials == 0 {
        return html! { td.n { "–" } td.none { "no such test part" } };
    }
    let (low, high) = binomial::interval_95(events, trials);
    let point = events as f64 / trials as f64;
    let style = format!(
        "--low:{:.2}%;--width:{:.2}%;--at:{:.2}%",
        low * 100.0,
        (high - low) * 100.0,
        point * 100.0
    );
    html! {
        td.n { (events) " of " (trials) }
        td.interval {
            span.text { (format!("{:.1} %", point * 100.0)) small { (format!(" {:.1}–{:.1}", low * 100.0, high * 100.0)) } }
            span.whisker style=(style) { i {} b {} }
        }
    }
}

fn calibration(run: &Run<'_>, name: &str, rate: Option<RejectRate>) -> Markup {
    let class = run.classes.iter().find(|class| class.name == name);
    let calibration = class.and_then(|class| class.calibration.as_ref());
    let have = calibration.map_or(0, bundle::calibration::Calibration::count);
    let confused = calibration.map_or(0, bundle::calibration::Calibration::confused);
    let need = rate.map(|rate| frames_needed(rate, confused));
    let limits = run.evaluation.standards.limits(name);
    html! {
        td.n.bad[need.is_some_and(|need| have < need)] { (have) }
        td.n { @if let Some(need) = need { (need) } @else { "–" } }
        td.n { @if let Some(limits) = limits { (format!("{:.1} %", limits.refused * 100.0)) } @else { "–" } }
        td.n { @if let Some(limits) = limits { (format!("{:.4}", limits.threshold)) } @else { "–" } }
    }
}

/// Which product the parts were taken for.
pub(super) fn confusion(run: &Run<'_>, palette: &Palette) -> Markup {
    let confusion = Confusion::of(&run.evaluation.images);
    let known = palette.known();
    if known.is_empty() {
        return empty("The data set has no test part of a product that the model knows.");
    }
    let is_named = known.len() <= NAMED_COLUMNS_MAX;
    let cell = |row: &str, taken_for: Option<&str>| {
        let count = confusion.count(row, taken_for);
        let share = count as f64 / confusion.total(row).max(1) as f64;
        let is_right = taken_for == Some(row);
        html! {
            td.n.cell.right[is_right && count > 0].wrong[!is_right && count > 0]
                style=(format!("--v:{share:.3}")) {
                @if count > 0 { (count) }
            }
        }
    };
    html! {
        div.scroll { table.confusion {
            thead { tr {
                th { "is, down · taken for, across" }
                @for name in known {
                    th.n title=(name) {
                        @if is_named { span.up { (name) } } @else { (palette.number(name)) }
                    }
                }
                th.n { span.up { "unknown" } }
            } }
            tbody { @for name in palette.names() {
                tr {
                    th scope="row" {
                        (tag(palette, name))
                        @if !known.contains(name) { small { " not known to the model" } }
                    }
                    @for taken_for in known { (cell(name, Some(taken_for))) }
                    (cell(name, None))
                }
            } }
        } }
        @if let Some(measure) = run.evaluation.report.v_measure {
            p.note {
                "v-measure of the embeddings: " (format!("{:.3}", measure.v))
                " (1: clustered without labels, the good parts fall into exactly the products)."
            }
        }
        @if known.len() == 1 {
            p.note { "The model knows one product, so a part can be taken for that one or for none." }
        }
    }
}

/// Products that the model does not know.
pub(super) fn foreign(run: &Run<'_>, palette: &Palette) -> Markup {
    let foreign = &run.evaluation.report.foreign;
    html! {
        div.scroll { table {
            thead { tr {
                th { "product" } th.n { "parts" } th.n { "refused as unknown" } th.n { "refused for their score" }
                th.n { "passed" }
            } }
            tbody { @for (name, Foreign { parts, unknown, failed, passed }) in foreign {
                tr {
                    th scope="row" { (tag(palette, name)) }
                    td.n { (parts) } td.n { (unknown) } td.n { (failed) } td.n.bad[*passed > 0] { (passed) }
                }
            } }
        } }
    }
}

/// Every hyper-parameter.
pub(super) fn recipe(recipe: &serde_json::Value) -> Markup {
    let mut rows = Vec::new();
    flatten(String::new(), recipe, &mut rows);
    html! {
        table.recipe { tbody { @for (key, value) in rows {
            tr { th scope="row" { code { (key) } } td { code { (value) } } }
        } } }
    }
}

fn flatten(key: String, value: &serde_json::Value, rows: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(key, value, rows);
            }
        }
        serde_json::Value::String(text) => rows.push((key, text.clone())),
        serde_json::Value::Null => rows.push((key, "–".into())),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) | serde_json::Value::Array(_) => {
            rows.push((key, value.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_told_key_by_key() {
        let value = serde_json::json!({"seed": 42, "architecture": {"width": 0.5}, "region": null});
        let mut rows = Vec::new();
        flatten(String::new(), &value, &mut rows);
        let mut told: Vec<String> =
            rows.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        told.sort();
        assert_eq!(told, ["architecture.width=0.5", "region=–", "seed=42"]);
    }
}
