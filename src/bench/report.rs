//! What a bench says: rows of a figure with its unit, and how they look.
//!
//! Pure.

use std::fmt;

use serde::Serialize;

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// On what.
    pub machine: Machine,
    /// In the order in which they were measured.
    pub sections: Vec<Section>,
}

/// What was measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's or the board's name.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Runnable threads over the last minute, before the bench began: others' work spoils the figures.
    pub load_before: Option<f64>,
    /// The model's name and version.
    pub model: String,
    /// Width and height of its input.
    pub input: String,
    /// ONNX Runtime's version.
    pub onnxruntime: String,
    /// Its threads; `None` for one per core.
    pub threads: Option<usize>,
}

/// One part of the bench.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// Its name on the command line.
    pub name: &'static str,
    /// What was done, in a sentence.
    pub method: String,
    /// What came out.
    pub rows: Vec<Row>,
    /// Why something is missing.
    pub notes: Vec<String>,
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it is.
    pub what: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// The lowest and the highest of several measurements, or the bounds of an interval.
    pub range: Option<[f64; 2]>,
    /// What it should be.
    pub target: Option<Target>,
}

/// A bound that a figure should keep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
}

impl Row {
    /// A figure without range and target.
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, range: None, target: None }
    }

    /// With the lowest and the highest of `values`.
    #[must_use]
    pub fn among(self, values: &[f64]) -> Self {
        let low = values.iter().copied().min_by(f64::total_cmp);
        let high = values.iter().copied().max_by(f64::total_cmp);
        Self { range: low.zip(high).map(|(low, high)| [low, high]), ..self }
    }

    /// With the bounds of an interval around it.
    #[must_use]
    pub fn within(self, half: f64) -> Self {
        Self { range: Some([self.value - half, self.value + half]), ..self }
    }

    /// With what it should be.
    #[must_use]
    pub fn target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    fn cells(&self) -> [String; 4] {
        let range = self
            .range
            .map_or(String::new(), |[low, high]| format!("{} to {}", figure(low), figure(high)));
        let target = self.target.map_or(String::new(), |target| target.told(self.value));
        [self.what.clone(), format!("{} {}", figure(self.value), self.unit), range, target]
    }
}

impl Target {
    /// Whether a figure keeps it; one that is no number does not.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn told(self, value: f64) -> String {
        let (words, bound) = match self {
            Self::AtLeast(bound) => ("at least", bound),
            Self::AtMost(bound) => ("at most", bound),
        };
        let outcome = if self.is_met(value) { "met" } else { "missed" };
        format!("{words} {bound}: {outcome}")
    }
}

/// Three digits that say something.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, load_before, model, input, onnxruntime, threads } = self;
        write!(f, "{processor}, {cores} cores")?;
        if let Some(load) = load_before {
            write!(f, ", load {load} before the bench")?;
        }
        write!(f, "; model {model}, {input}; ONNX Runtime {onnxruntime}, ")?;
        match threads {
            Some(1) => f.write_str("1 thread"),
            Some(threads) => write!(f, "{threads} threads"),
            None => f.write_str("one thread per core"),
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.method)?;
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let width =
            |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let [what, value, range] = [width(0), width(1), width(2)];
        for [a, b, c, d] in &rows {
            let line = format!("  {a:what$}  {b:>value$}  {c:range$}  {d}");
            writeln!(f, "{}", line.trim_end())?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        Ok(())
    }
}

impl Section {
    /// As a table of Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("{}\n\n| what | figure | range | target |\n", self.method);
        text.push_str("| --- | ---: | --- | --- |\n");
        for [what, value, range, target] in self.rows.iter().map(Row::cells) {
            text.extend(["| ", &what, " | ", &value, " | ", &range, " | ", &target, " |\n"]);
        }
        for note in &self.notes {
            text.extend(["\n", note, "\n"]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_its_target_is_met() {
        let row = |value: f64| Row::new("ratio", value, "x").target(Target::AtLeast(0.95)).cells();
        assert_eq!(row(0.97)[3], "at least 0.95: met");
        assert_eq!(row(0.949)[3], "at least 0.95: missed");
        assert!(!Target::AtMost(1.0).is_met(f64::NAN));
    }

    #[test]
    fn a_section_is_a_table_for_people_and_for_markdown() {
        let section = Section {
            name: "own",
            method: "Ten frames.".into(),
            rows: vec![
                Row::new("p50", 0.1234, "ms").among(&[0.1, 12.34]),
                Row::new("the longest", 123.4, "ms"),
            ],
            notes: Vec::new(),
        };
        let expected =
            "own: Ten frames.\n  p50          0.123 ms  0.100 to 12.3\n  the longest    123 ms\n";
        assert_eq!(section.to_string(), expected);
        assert!(section.markdown().ends_with("| the longest | 123 ms |  |  |\n"));
    }
}
