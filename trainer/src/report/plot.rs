//! Plots as inline SVG: axes, lines, bars and markers in the page's own colours.
//!
//! Owns size, margins and the ink. Pure: numbers in, text out. `plotters` draws; the page's style sheet gives ink and
//! grid the colours of light or dark, which is why both have a colour here that nothing else has.

use std::ops::Range;

use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::{Shift, types::RangedCoordf64},
    drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _},
    element::{Circle, Cross, EmptyElement, PathElement, Rectangle, Text},
    prelude::Cartesian2d,
    series::LineSeries,
    style::{
        Color as _, FontDesc, FontFamily, FontStyle, IntoFont as _, RGBColor, ShapeStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};
use plotters_svg::SVGBackend;

use super::palette::readable_on;

/// A plot that could not be drawn.
pub type PlotError = DrawingAreaErrorKind<std::io::Error>;

/// Text and axes; see `style.css`.
const INK: RGBColor = RGBColor(34, 34, 34);
/// Lines behind the data; see `style.css`.
const GRID: RGBColor = RGBColor(221, 221, 221);
/// What is there for comparison; readable on light and dark.
pub(super) const GREY: RGBColor = RGBColor(138, 138, 138);

/// `plotters` places at whole pixels: everything is drawn larger than it is shown, so that curves stay smooth.
const SCALE: u32 = 2;
const FONT_PX: u32 = 13 * SCALE;
/// `plotters`' SVG divides the size of a font by this.
const FONT_RATIO: f64 = 1.24;

/// What is drawn on.
pub(super) type Canvas<'a> =
    ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The frame of a plot.
#[derive(Clone, Debug)]
pub(super) struct Axes {
    /// As shown, in pixels.
    pub(super) size: (u32, u32),
    pub(super) x: Range<f64>,
    pub(super) y: Range<f64>,
    /// What is on the axis, with its unit.
    pub(super) x_label: &'static str,
    pub(super) y_label: &'static str,
    /// How a number on the vertical axis is written.
    pub(super) y_format: fn(f64) -> String,
}

/// Draws a plot; `what` it is goes to those who cannot see it.
pub(super) fn svg(
    axes: &Axes,
    draw: impl FnOnce(&mut Canvas<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let mut text = String::new();
    {
        let (width, height) = axes.size;
        let root: DrawingArea<SVGBackend<'_>, Shift> =
            SVGBackend::with_string(&mut text, (width * SCALE, height * SCALE)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8 * SCALE)
            .margin_right(16 * SCALE)
            .x_label_area_size(40 * SCALE)
            .y_label_area_size(58 * SCALE)
            .build_cartesian_2d(wide(&axes.x), wide(&axes.y))?;
        chart
            .configure_mesh()
            .label_style(font().into_font().color(&INK))
            .axis_desc_style(font().into_font().color(&INK))
            .axis_style(ShapeStyle::from(GRID).stroke_width(SCALE))
            .bold_line_style(ShapeStyle::from(GRID).stroke_width(SCALE / 2))
            .max_light_lines(0)
            .x_labels(5)
            .y_labels(5)
            .x_label_formatter(&|value| number(*value))
            .y_label_formatter(&|value| (axes.y_format)(*value))
            .x_desc(axes.x_label)
            .y_desc(axes.y_label)
            .draw()?;
        draw(&mut chart)?;
        root.present()?;
    }
    Ok(text)
}

/// A curve.
pub(super) fn line(
    canvas: &mut Canvas<'_>,
    points: impl IntoIterator<Item = (f64, f64)>,
    colour: RGBColor,
    opacity: f64,
) -> Result<(), PlotError> {
    let style = ShapeStyle { color: colour.mix(opacity), filled: false, stroke_width: 2 * SCALE };
    canvas.draw_series(LineSeries::new(points, style))?;
    Ok(())
}

/// A line from edge to edge at a place of the horizontal axis, with its name at the top.
pub(super) fn upright(
    canvas: &mut Canvas<'_>,
    x: f64,
    name: &'static str,
) -> Result<(), PlotError> {
    let (across, down) = (canvas.x_range(), canvas.y_range());
    let style = ShapeStyle { color: INK.to_rgba(), filled: false, stroke_width: SCALE };
    let path = PathElement::new(vec![(x, down.start), (x, down.end)], style);
    canvas.draw_series([path])?;
    // On the side that has more room.
    let is_left = x > f64::midpoint(across.start, across.end);
    let gap = (across.end - across.start) * 0.015;
    let (at, side) = if is_left { (x - gap, HPos::Right) } else { (x + gap, HPos::Left) };
    let style = font().into_font().color(&INK).pos(Pos::new(side, VPos::Top));
    canvas.draw_series([Text::new(name, (at, down.end), style)])?;
    Ok(())
}

/// The diagonal of chance.
pub(super) fn diagonal(canvas: &mut Canvas<'_>) -> Result<(), PlotError> {
    let style = ShapeStyle { color: GREY.mix(0.6), filled: false, stroke_width: SCALE };
    canvas.draw_series([PathElement::new(vec![(0.0, 0.0), (1.0, 1.0)], style)])?;
    Ok(())
}

/// Bars of equal width that stand side by side.
pub(super) fn bars(
    canvas: &mut Canvas<'_>,
    edges: &[f64],
    heights: &[usize],
    colour: RGBColor,
) -> Result<(), PlotError> {
    let bar = |(pair, &height): (&[f64], &usize), style: ShapeStyle| {
        Rectangle::new([(pair[0], 0.0), (pair[1], height as f64)], style)
    };
    let outline = ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: SCALE };
    let full = || edges.windows(2).zip(heights).filter(|(_, height)| **height > 0);
    canvas.draw_series(full().map(|one| bar(one, colour.mix(0.55).filled())))?;
    canvas.draw_series(full().map(|one| bar(one, outline)))?;
    Ok(())
}

/// Dots.
pub(super) fn dots(
    canvas: &mut Canvas<'_>,
    points: impl IntoIterator<Item = (f64, f64)>,
    colour: RGBColor,
    opacity: f64,
) -> Result<(), PlotError> {
    let style = colour.mix(opacity).filled();
    canvas.draw_series(points.into_iter().map(|at| Circle::new(at, 3 * SCALE, style)))?;
    Ok(())
}

/// Crosses.
pub(super) fn crosses(
    canvas: &mut Canvas<'_>,
    points: impl IntoIterator<Item = (f64, f64)>,
    colour: RGBColor,
) -> Result<(), PlotError> {
    let style = ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: 3 };
    canvas.draw_series(points.into_iter().map(|at| Cross::new(at, 4 * SCALE, style)))?;
    Ok(())
}

/// A ring with a number beside it, so that what lies there stays visible.
pub(super) fn flag(
    canvas: &mut Canvas<'_>,
    at: (f64, f64),
    number: usize,
    colour: RGBColor,
) -> Result<(), PlotError> {
    const REACH: i32 = 13 * SCALE as i32;
    let ink = ShapeStyle { color: INK.to_rgba(), filled: false, stroke_width: SCALE };
    let style = FontDesc::new(FontFamily::SansSerif, font_px() * 0.85, FontStyle::Bold)
        .color(&readable_on(colour))
        .pos(Pos::new(HPos::Center, VPos::Center));
    let beside = (REACH, -REACH);
    canvas.draw_series([EmptyElement::at(at)
        + Circle::new((0, 0), 4 * SCALE, ink)
        + PathElement::new(vec![(4, -4), beside], ink)
        + Circle::new(beside, 8 * SCALE, colour.filled())
        + Text::new(number.to_string(), beside, style)])?;
    Ok(())
}

/// The range of some numbers with a little room; 0 to 1 when there are none.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> Range<f64> {
    let (low, high) = values
        .into_iter()
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let room = (high - low) * 0.04;
    low - room..high + room
}

/// With as many digits as say something.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size < 1e-9 {
        "0".into()
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else {
        let digits = if size >= 10.0 {
            1
        } else if size >= 0.1 {
            2
        } else {
            4
        };
        number_with(value, digits)
    }
}

/// With two digits, as a logarithmic axis needs them.
pub(super) fn rough(value: f64) -> String {
    if value >= 10.0 {
        return format!("{value:.0}");
    }
    // Digits behind the point up to the second that is not 0.
    let digits = (1..12).find(|&digits| value * 10_f64.powi(digits) >= 9.95).unwrap_or(12);
    number_with(value, digits.unsigned_abs() as usize)
}

/// Without zeros at the end.
fn number_with(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A range of no length has no axis.
fn wide(range: &Range<f64>) -> Range<f64> {
    const LEAST: f64 = 1e-9;
    if range.end - range.start > LEAST {
        range.clone()
    } else {
        let half = range.start.abs().max(1.0) * 0.5;
        range.start - half..range.start + half
    }
}

fn font_px() -> f64 {
    f64::from(FONT_PX) * FONT_RATIO
}

fn font() -> (&'static str, f64) {
    ("sans-serif", font_px())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, expected) in
            [(0.0, "0"), (0.5, "0.5"), (0.0312, "0.0312"), (12.0, "12"), (1500.0, "1500")]
        {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn numbers_of_a_logarithmic_axis_have_two_digits() {
        for (value, expected) in
            [(3.1623, "3.2"), (0.031_623, "0.032"), (1.0, "1"), (0.01, "0.01"), (31.6, "32")]
        {
            assert_eq!(rough(value), expected);
        }
    }

    #[test]
    fn whatever_the_numbers_there_is_a_plot() {
        let check = |values: &[f64]| {
            let axes = Axes {
                size: (300, 200),
                x: range(values.iter().copied()),
                y: range([]),
                x_label: "a & b",
                y_label: "y",
                y_format: number,
            };
            let text = svg(&axes, |canvas| upright(canvas, 0.5, "threshold")).unwrap();
            assert!(text.starts_with("<svg") && text.contains("a &amp; b"), "{text}");
        };
        check(&[]);
        check(&[3.0]);
        check(&[f64::NAN, f64::INFINITY]);
        check(&[-1e9, 1e9]);
    }
}
