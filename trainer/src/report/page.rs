//! The page: its head, the order of its sections, and how to read them.
//!
//! Owns every sentence that a plant engineer reads first. Every name is escaped by `maud`.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    About, Run,
    figures::{self, empty, tag},
    gather::Exhibit,
    palette::Palette,
    plot::{self, PlotError},
    tables,
};
use crate::evaluate::{Decision, ImageScore, Recognition, Report, percent};

const STYLE: &str = include_str!("style.css");
/// Beyond this many products the gallery is folded.
const OPEN_PRODUCTS_MAX: usize = 8;

/// The whole report as one HTML file.
pub fn html(run: &Run<'_>) -> Result<String, PlotError> {
    let report = &run.evaluation.report;
    let palette = &Palette::of(report);
    let About { model, model_file, data, when, input } = run.about;
    let mut sections = vec![
        Section::new("metrics", "Metrics", tables::metrics(run, palette)),
        Section::new("acceptance", "What a line would do", tables::acceptance(run, palette)),
        Section::new("scores", "Scores", figures::histograms(run, palette)?),
        Section::new("curves", "ROC and PRO curves", figures::curves(run, palette)?),
        Section::new("gallery", "Gallery", gallery(run, palette)),
        Section::new("confusion", "Recognition of products", tables::confusion(run, palette)),
        Section::new("embedding", "Embedding", figures::embedding(run, palette)?),
    ];
    if !report.foreign.is_empty() {
        let table = tables::foreign(run, palette);
        sections.push(Section::new("unknown", "Unknown products", table));
    }
    sections.push(Section::new("training", "Training", figures::losses(run)?));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (model) " – Sightline report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.kicker { "Sightline report" }
                    h1 { (model) }
                    p.facts {
                        span { (when) } span { "model " code { (model_file) } } span { "data " code { (data) } }
                        span { (run.evaluation.images.len()) " test parts, " (report.products.len()) " known products" }
                        span { "input " (input) }
                    }
                }
                main {
                    (verdict(report))
                    nav {
                        @for Section { id, title, .. } in &sections { a href={ "#" (id) } { (title) } }
                        a href="#recipe" { "Recipe" }
                        a href="#reading" { "How to read it" }
                    }
                    @for Section { id, title, body } in &sections {
                        section id=(id) { h2 { (title) } (body) }
                    }
                    section id="recipe" {
                        h2 { "Recipe" }
                        details {
                            summary { "How the model was trained" }
                            (tables::recipe(run.recipe))
                        }
                    }
                    section id="reading" { h2 { "How to read it" } (glossary()) }
                }
            }
        }
    };
    Ok(page.into_string())
}

struct Section {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

impl Section {
    fn new(id: &'static str, title: &'static str, body: Markup) -> Self {
        Self { id, title, body }
    }
}

/// The result in plain words.
fn verdict(report: &Report) -> Markup {
    let (refused, good) = report.false_rejects();
    let (passed, defective) = report.escapes();
    let found = defective - passed;
    let at = match report.rate {
        Some(rate) => format!("at a stated false-reject rate of {} %", plot::number(rate * 100.0)),
        None => "as the inspector decided".to_owned(),
    };
    let share = |(part, whole): (usize, usize)| {
        (whole > 0).then(|| format!("{:.1} %", part as f64 / whole as f64 * 100.0))
    };
    let Recognition { correct, unknown, wrong } = report.recognition();
    let all = correct + unknown + wrong;
    html! {
        p.verdict {
            @if defective > 0 {
                "Finds " strong { (found) " of " (defective) } " defective parts"
            } @else {
                "Was shown no defective part, so that nothing can be said about what it finds"
            }
            @if good > 0 {
                " and refuses " strong { (refused) " of " (good) } " good parts"
            }
            " " (at) "."
            @if !report.unrated.is_empty() {
                " For " (report.unrated.len()) " of " (report.products.len())
                " products the calibration is too small for that rate."
            }
        }
        div.cards {
            (card("defects found", share((found, defective)), &counted(passed, "escape")))
            (card("good parts refused", share((refused, good)), &format!("{refused} of {good}")))
            (card("mean image AUROC", report.mean_image_auroc().map(|v| format!("{} %", percent(Some(v)))), "good told from defective"))
            (card("mean AUPRO", report.mean(|r| Some(r.pixel?.aupro)).map(|v| format!("{} %", percent(Some(v)))), "defect regions covered"))
            (card("product recognised", share((correct, all)), &format!("{wrong} taken for another, {unknown} for none")))
        }
    }
}

fn card(title: &str, value: Option<String>, note: &str) -> Markup {
    html! {
        div.card {
            span { (title) }
            strong { @if let Some(value) = value { (value) } @else { "–" } }
            small { (note) }
        }
    }
}

fn gallery(run: &Run<'_>, palette: &Palette) -> Markup {
    let is_open = palette.names().len() <= OPEN_PRODUCTS_MAX;
    html! {
        p.note {
            "Left the part, right its anomaly map: blue from a quarter of the threshold, red at and above it; the white line "
            "encloses what is refused. " i.drawn {} " outlines the defect as it was drawn, where somebody drew it."
        }
        @if run.gallery.products.iter().flatten().all(|(_, row)| row.is_empty()) {
            (empty("The test set has no part to show."))
        }
        @for (name, rows) in palette.names().iter().zip(&run.gallery.products) {
            details.product open[is_open] {
                summary {
                    (tag(palette, name))
                    small { (summary(run, name)) }
                }
                @for (row, exhibits) in rows {
                    h3 { (row.title()) }
                    @if exhibits.is_empty() { (empty(row.why_empty())) }
                    div.exhibits { @for one in exhibits { (exhibit(run, one)) } }
                }
            }
        }
    }
}

fn summary(run: &Run<'_>, name: &str) -> String {
    run.evaluation.report.products.get(name).map_or_else(
        || "not known to the model".to_owned(),
        |result| {
            let escapes = counted(result.escapes, "escape");
            format!("{escapes}, {}", counted(result.false_rejects, "false reject"))
        },
    )
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn exhibit(run: &Run<'_>, Exhibit { image, pictures }: &Exhibit) -> Markup {
    let ImageScore { path, product, defect, score, recognised, decision } =
        &run.evaluation.images[*image];
    let threshold = recognised
        .as_deref()
        .and_then(|name| run.evaluation.standards.limits(name))
        .map(|limits| limits.threshold);
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let (width, height) = (pictures.size.width, pictures.size.height);
    let is_wrong = run.evaluation.report.products.contains_key(product)
        && (defect.is_some() == (*decision == Decision::Pass));
    html! {
        figure.exhibit.wrong[is_wrong] title=(path.display()) {
            div.pair {
                img src=(pictures.part) width=(width) height=(height) loading="lazy" alt={ "part " (file) };
                img src=(pictures.heat) width=(width) height=(height) loading="lazy" alt={ "anomaly map of " (file) };
            }
            figcaption {
                b class={ "decision " (decision.name()) } { (decision.name()) }
                span.score {
                    (format!("{score:.4}"))
                    @if let Some(threshold) = threshold { " / " (format!("{threshold:.4}")) }
                }
                span.kind {
                    (defect.as_deref().unwrap_or("good"))
                    @if let Some(other) = recognised.as_deref().filter(|other| *other != product) {
                        ", nearest to " (other)
                    }
                    @if defect.is_some() && !pictures.has_mask { ", not drawn" }
                }
                span.file { (file) }
            }
        }
    }
}

fn glossary() -> Markup {
    let terms = [
        (
            "Anomaly score",
            "The highest value of a part's anomaly map. Above the product's threshold the part fails.",
        ),
        (
            "False-reject rate",
            "What the operator states: the share of good parts that may be refused. The threshold follows from it and \
             from the product's calibration frames, good parts that training did not see.",
        ),
        (
            "Escape, false reject",
            "A defective part that passes; a good part that is refused, for its score or as unknown.",
        ),
        (
            "95 % interval",
            "Rates that so many parts are compatible with (Clopper and Pearson). Few parts, wide interval.",
        ),
        (
            "AUROC",
            "The probability that a defective part scores above a good one, 50 % by chance. Of pixels: a defective pixel \
             above a normal one.",
        ),
        (
            "AP, F1-max",
            "Average precision, and the best balance of precision and recall over all thresholds. They fall with the \
             share of defective parts; compare them on the same test set only.",
        ),
        (
            "AUPRO",
            "How much of each defect region the map covers, every region weighing the same, over false-positive rates \
             from 0 to 30 % of the normal pixels.",
        ),
        (
            "Recognised",
            "Share of the parts whose nearest prototype is their own product's. Outside of every product's radius a part \
             is unknown, and never passes.",
        ),
        (
            "Embedding, prototype",
            "The network's summary of a part; the mean of a product's good parts. Products should lie apart.",
        ),
    ];
    html! { dl { @for (term, meaning) in terms { dt { (term) } dd { (meaning) } } } }
}
