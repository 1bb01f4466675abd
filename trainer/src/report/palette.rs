//! Which colour and number a product has, the same in every table and plot.
//!
//! Pure. Six colours of Okabe and Ito (2008), which the colour-blind tell apart, and two between them. Beyond eight
//! products the colours repeat: a plot then shows eight at most, and numbers tell the rest.

use std::collections::BTreeMap;

use plotters::style::RGBColor;

use crate::evaluate::Report;

/// Products in one plot, each with a colour of its own.
pub(super) const GROUP: usize = 8;

const COLOURS: [RGBColor; GROUP] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(150, 60, 90),
    RGBColor(140, 140, 0),
];

/// Products in the order of the report: those that the model knows, then the others.
#[derive(Clone, Debug)]
pub(super) struct Palette {
    names: Vec<String>,
    indices: BTreeMap<String, usize>,
    known: usize,
}

impl Palette {
    pub(super) fn of(report: &Report) -> Self {
        let names: Vec<String> =
            report.products.keys().chain(report.foreign.keys()).cloned().collect();
        let indices = names.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect();
        Self { names, indices, known: report.products.len() }
    }

    /// Those that the model knows.
    pub(super) fn known(&self) -> &[String] {
        &self.names[..self.known]
    }

    /// All of them.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// From 0.
    pub(super) fn index(&self, product: &str) -> usize {
        self.indices.get(product).copied().unwrap_or(0)
    }

    /// From 1, as it is printed.
    pub(super) fn number(&self, product: &str) -> usize {
        self.index(product) + 1
    }

    pub(super) fn colour(&self, product: &str) -> RGBColor {
        COLOURS[self.index(product) % GROUP]
    }

    /// The style of a number on the product's colour.
    pub(super) fn css(&self, product: &str) -> String {
        let colour = self.colour(product);
        let hex = |RGBColor(red, green, blue)| format!("#{red:02x}{green:02x}{blue:02x}");
        format!("--c:{};--i:{}", hex(colour), hex(readable_on(colour)))
    }
}

/// Black on what is light, white on what is dark.
pub(super) fn readable_on(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    // Rec. 601 luma, of 255,000.
    let luma = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    if luma > 130_000 { RGBColor(0, 0, 0) } else { RGBColor(255, 255, 255) }
}
