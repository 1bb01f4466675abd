//! The plots of a report: score histograms, curves, embedding and losses.
//!
//! Owns what is drawn in which plot. A plot without data is a sentence that says why.

use maud::{Markup, PreEscaped, html};
use plotters::style::RGBColor;

use super::{
    Run, TrainingLog,
    palette::{GROUP, Palette},
    plot::{self, Axes, GREY, PlotError},
    projection::Plane,
};
use crate::{
    evaluate::{Decision, ImageScore},
    metrics::{FPR_MAX, Scores, thinned},
    run::LogRow,
};

/// Bars of a histogram.
const BINS: usize = 32;
/// Points of a drawn curve.
const CURVE_POINTS: usize = 200;
/// Parts in an embedding plot; more of them hide each other.
const DOTS_MAX: usize = 3000;
/// Other products' parts in an embedding plot, for comparison.
const BACKGROUND_DOTS_MAX: usize = 600;
/// A small plot, as shown.
const SMALL: (u32, u32) = (380, 230);
/// A square one.
const SQUARE: (u32, u32) = (440, 380);

/// How the scores of good and defective parts of each product lie about its threshold.
pub(super) fn histograms(run: &Run<'_>, palette: &Palette) -> Result<Markup, PlotError> {
    let mut figures = Vec::new();
    for name in palette.known() {
        let of_product = || run.evaluation.images.iter().filter(|image| image.product == *name);
        let threshold = run.evaluation.standards.limits(name).map(|limits| limits.threshold);
        let drawn = histogram(of_product(), threshold, palette.colour(name))?;
        let unknown =
            of_product().filter(|image| image.decision == Decision::UnknownProduct).count();
        figures.push(html! {
            figure {
                figcaption { (tag(palette, name)) }
                (drawn)
                p.note {
                    @if let Some(threshold) = threshold {
                        "threshold " (format!("{threshold:.4}"))
                    } @else {
                        "no threshold: the product has no calibration frames"
                    }
                    @if unknown > 0 { "; " (unknown) " refused as unknown, whatever they score" }
                }
            }
        });
    }
    Ok(html! {
        p.legend {
            span { i.bar-key style="--c:#8a8a8a" {} "good parts" }
            span { i.bar-key style="--c:var(--accent)" {} "defective parts, in the product's colour" }
        }
        div.plots { @for figure in figures { (figure) } }
    })
}

fn histogram<'a>(
    images: impl Iterator<Item = &'a ImageScore>,
    threshold: Option<f32>,
    colour: RGBColor,
) -> Result<Markup, PlotError> {
    let (defective, good): (Vec<&ImageScore>, Vec<&ImageScore>) =
        images.partition(|image| image.defect.is_some());
    let scores = |images: &[&ImageScore]| -> Vec<f64> {
        images
            .iter()
            .map(|image| f64::from(image.score))
            .filter(|score| score.is_finite())
            .collect()
    };
    let (good, defective) = (scores(&good), scores(&defective));
    if good.is_empty() && defective.is_empty() {
        return Ok(empty("The test set has no part of this product."));
    }
    let threshold = threshold.map(f64::from);
    let x = plot::range(good.iter().chain(&defective).copied().chain(threshold));
    let edges: Vec<f64> =
        (0..=BINS).map(|i| x.start + (x.end - x.start) * i as f64 / BINS as f64).collect();
    let (of_good, of_defective) = (counts(&edges, &good), counts(&edges, &defective));
    let highest = of_good.iter().chain(&of_defective).copied().max().unwrap_or(1);
    let axes = Axes {
        size: SMALL,
        x,
        // Room for the threshold's name.
        y: 0.0..highest as f64 * 1.18,
        x_label: "anomaly score",
        y_label: "parts",
        y_format: whole,
    };
    let text = plot::svg(&axes, |canvas| {
        plot::bars(canvas, &edges, &of_good, GREY)?;
        plot::bars(canvas, &edges, &of_defective, colour)?;
        threshold.map_or(Ok(()), |at| plot::upright(canvas, at, "threshold"))
    })?;
    let missing = match (good.len(), defective.len()) {
        (0, _) => Some("The test set has no good part of this product."),
        (_, 0) => Some("The test set has no defective part of this product."),
        _ => None,
    };
    Ok(html! { (PreEscaped(text)) @if let Some(missing) = missing { (empty(missing)) } })
}

/// Parts are whole: nothing is written between them.
fn whole(value: f64) -> String {
    let rounded = value.round();
    if (value - rounded).abs() < 1e-6 { format!("{rounded:.0}") } else { String::new() }
}

fn counts(edges: &[f64], values: &[f64]) -> Vec<usize> {
    let mut counts = vec![0; BINS];
    for value in values {
        let bin = edges.partition_point(|edge| edge <= value).clamp(1, BINS) - 1;
        counts[bin] += 1;
    }
    counts
}

/// Receiver operating characteristics of the image score, and per-region overlap of the maps.
pub(super) fn curves(run: &Run<'_>, palette: &Palette) -> Result<Markup, PlotError> {
    let operating = |name: &String| {
        let mut scores = Scores::default();
        for image in run.evaluation.images.iter().filter(|image| image.product == *name) {
            scores.add(image.score, image.defect.is_some());
        }
        let ranking = scores.rank()?;
        Some(thinned(ranking.receiver_operating_characteristic(), CURVE_POINTS))
    };
    let overlap = |name: &String| run.evaluation.overlap_curves.get(name).cloned();
    let roc = Axes {
        size: SQUARE,
        x: 0.0..1.0,
        y: 0.0..1.02,
        x_label: "false-positive rate (good parts)",
        y_label: "true-positive rate (defective parts)",
        y_format: plot::number,
    };
    let pro = Axes {
        x: 0.0..FPR_MAX,
        x_label: "false-positive rate (normal pixels)",
        y_label: "mean overlap of defect regions",
        ..roc.clone()
    };
    let mut groups = Vec::new();
    for names in palette.known().chunks(GROUP) {
        groups.push(html! {
            (legend(palette, names))
            div.plots {
                figure {
                    figcaption { "ROC of the image score" }
                    (curve_plot(&roc, palette, names, operating, true,
                        "No product here has both good and defective test parts, so there is no ROC curve.")?)
                }
                figure {
                    figcaption { "PRO of the anomaly map" }
                    (curve_plot(&pro, palette, names, overlap, false,
                        "No product here has drawn masks of its defects (ground_truth/DEFECT/STEM_mask.png), so there is no PRO curve.")?)
                }
            }
        });
    }
    Ok(html! { @for group in groups { (group) } })
}

fn curve_plot(
    axes: &Axes,
    palette: &Palette,
    names: &[String],
    curve: impl Fn(&String) -> Option<Vec<(f64, f64)>>,
    has_chance: bool,
    why_empty: &'static str,
) -> Result<Markup, PlotError> {
    let curves: Vec<_> =
        names.iter().filter_map(|name| Some((palette.colour(name), curve(name)?))).collect();
    if curves.is_empty() {
        return Ok(empty(why_empty));
    }
    let text = plot::svg(axes, |canvas| {
        if has_chance {
            plot::diagonal(canvas)?;
        }
        for (colour, curve) in curves {
            plot::line(canvas, curve, colour, 1.0)?;
        }
        Ok(())
    })?;
    Ok(html! { (PreEscaped(text)) })
}

/// The embeddings of all parts on the plane in which they vary most.
pub(super) fn embedding(run: &Run<'_>, palette: &Palette) -> Result<Markup, PlotError> {
    let Some(plane) = Plane::of(&run.evaluation.embeddings) else {
        return Ok(empty(
            "Fewer than two parts, or all parts have the same embedding: there is nothing to lay out.",
        ));
    };
    let images = &run.evaluation.images;
    let places: Vec<(f64, f64)> =
        run.evaluation.embeddings.iter().map(|point| plane.project(point)).collect();
    let prototypes: Vec<(&str, (f64, f64))> = run
        .classes
        .iter()
        .map(|class| (class.name.as_str(), plane.project(&class.prototype.direction)))
        .collect();
    let every = |count: usize, most: usize| count.div_ceil(most).max(1);
    let all = || places.iter().chain(prototypes.iter().map(|(_, place)| place));
    let axes = Axes {
        size: (560, 440),
        x: plot::range(all().map(|place| place.0)),
        y: plot::range(all().map(|place| place.1)),
        x_label: "first principal component",
        y_label: "second principal component",
        y_format: plot::number,
    };
    let mut groups = Vec::new();
    for names in palette.names().chunks(GROUP) {
        let (own, others): (Vec<usize>, Vec<usize>) =
            (0..images.len()).partition(|&at| names.contains(&images[at].product));
        let text = plot::svg(&axes, |canvas| {
            let step = every(others.len(), BACKGROUND_DOTS_MAX);
            plot::dots(canvas, others.iter().step_by(step).map(|&at| places[at]), GREY, 0.25)?;
            let shown: Vec<usize> =
                own.iter().step_by(every(own.len(), DOTS_MAX)).copied().collect();
            for name in names {
                let (good, defective): (Vec<usize>, Vec<usize>) = shown
                    .iter()
                    .filter(|&&at| images[at].product == *name)
                    .partition(|&&at| images[at].defect.is_none());
                let colour = palette.colour(name);
                plot::dots(canvas, good.iter().map(|&at| places[at]), colour, 0.6)?;
                plot::crosses(canvas, defective.iter().map(|&at| places[at]), colour)?;
            }
            for (name, place) in &prototypes {
                if names.iter().any(|own| own == name) {
                    plot::flag(canvas, *place, palette.number(name), palette.colour(name))?;
                }
            }
            Ok(())
        })?;
        groups.push(html! {
            (legend(palette, names))
            figure.wide { (PreEscaped(text)) }
        });
    }
    Ok(html! {
        @for group in groups { (group) }
        p.note {
            "Dots are good parts, crosses defective ones, rings with a number the prototypes. The plane holds "
            (format!("{:.0} %", plane.explained * 100.0)) " of the variance: what overlaps here may still lie apart."
            @if images.len() > DOTS_MAX { " Not every part is drawn." }
        }
    })
}

/// A quantity of the log: its title, its unit and where its value is.
type Series = (&'static str, &'static str, fn(&LogRow) -> f64);

/// How the losses fell, step by step.
pub(super) fn losses(run: &Run<'_>) -> Result<Markup, PlotError> {
    let Some(log) = run.log.filter(|log| log.rows.len() > 1) else {
        return Ok(empty(
            "The training log was not found beside the model (MODEL.log.jsonl, which training writes beside its checkpoint).",
        ));
    };
    let number = |key: &str| run.recipe.get(key).and_then(serde_json::Value::as_f64);
    let decay = number("decay_at").zip(number("iterations")).map(|(share, steps)| share * steps);
    let series: [Series; 6] = [
        ("Reconstruction", "loss", |row| row.report.reconstruction),
        ("Local contrastive", "loss", |row| row.report.local),
        ("Global contrastive", "loss", |row| row.report.global),
        ("Gradient norm before clipping", "norm", |row| row.report.gradient_norm),
        ("Speed", "images / s", |row| row.images_per_second),
        ("Waiting for batches", "share of the time, %", |row| row.waiting_share * 100.0),
    ];
    let mut figures = Vec::new();
    for (title, unit, of) in series {
        figures.push(html! {
            figure { figcaption { (title) } (loss_plot(log, decay, unit, of)?) }
        });
    }
    Ok(html! {
        p.note {
            "From the log beside " code { (log.beside) } ", " (log.rows.len()) " steps. Faint: every step; strong: smoothed. The scale is "
            "logarithmic where values span more than a factor of ten."
        }
        div.plots { @for figure in figures { (figure) } }
    })
}

fn loss_plot(
    log: &TrainingLog,
    decay: Option<f64>,
    unit: &'static str,
    of: fn(&LogRow) -> f64,
) -> Result<Markup, PlotError> {
    let raw: Vec<(f64, f64)> = log
        .rows
        .iter()
        .map(|row| (row.step as f64, of(row)))
        .filter(|(_, value)| value.is_finite())
        .collect();
    let highest = raw.iter().map(|point| point.1).fold(0.0, f64::max);
    if highest <= 0.0 {
        return Ok(empty("Zero at every step."));
    }
    let lowest =
        raw.iter().map(|point| point.1).filter(|value| *value > 0.0).fold(highest, f64::min);
    let is_log = highest > 10.0 * lowest;
    let scaled = |value: f64| if is_log { value.max(lowest).log10() } else { value };
    let smooth = smoothed(&raw);
    let every = raw.len().div_ceil(CURVE_POINTS * 2).max(1);
    let steps = raw.last().map_or(1.0, |point| point.0);
    let axes = Axes {
        size: SMALL,
        x: 0.0..steps,
        y: plot::range(raw.iter().map(|point| scaled(point.1))),
        x_label: "step",
        y_label: unit,
        y_format: if is_log { |value| plot::rough(10_f64.powf(value)) } else { plot::number },
    };
    let drawn = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        points.iter().step_by(every).map(|&(step, value)| (step, scaled(value))).collect()
    };
    let colour = RGBColor(0, 114, 178);
    let text = plot::svg(&axes, |canvas| {
        plot::line(canvas, drawn(&raw), colour, 0.3)?;
        plot::line(canvas, drawn(&smooth), colour, 1.0)?;
        match decay.filter(|at| *at > 0.0 && *at < steps) {
            Some(at) => plot::upright(canvas, at, "rate / 10"),
            None => Ok(()),
        }
    })?;
    Ok(html! { (PreEscaped(text)) })
}

/// An exponential mean over about a fiftieth of the run.
fn smoothed(raw: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let weight = (50.0 / raw.len().max(1) as f64).min(1.0);
    let mut mean = None;
    raw.iter()
        .map(|&(step, value)| {
            let last = mean.unwrap_or(value);
            let next = last + weight * (value - last);
            mean = Some(next);
            (step, next)
        })
        .collect()
}

/// A product's number, in its colour, and its name.
pub(super) fn tag(palette: &Palette, product: &str) -> Markup {
    html! {
        span.tag {
            i.number style=(palette.css(product)) { (palette.number(product)) }
            (product)
        }
    }
}

fn legend(palette: &Palette, names: &[String]) -> Markup {
    html! { p.legend { @for name in names { (tag(palette, name)) } } }
}

/// Why there is nothing to see.
pub(super) fn empty(why: &str) -> Markup {
    html! { p.empty { (why) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_one_bar() {
        let edges: Vec<f64> = (0..=BINS).map(|i| i as f64).collect();
        let found = counts(&edges, &[0.0, 0.5, 1.0, BINS as f64, -1.0]);
        assert_eq!((found[0], found[1], found[BINS - 1]), (3, 1, 1));
        assert_eq!(found.iter().sum::<usize>(), 5);
    }

    #[test]
    fn a_smoothed_line_follows_a_step_and_keeps_a_level() {
        let raw: Vec<(f64, f64)> =
            (0..1000_u16).map(|i| (f64::from(i), if i < 500 { 1.0 } else { 2.0 })).collect();
        let smooth = smoothed(&raw);
        assert!((smooth[499].1 - 1.0).abs() < 1e-9 && (smooth[999].1 - 2.0).abs() < 1e-3);
        assert!(smooth[505].1 > 1.1 && smooth[505].1 < 1.9);
    }
}
