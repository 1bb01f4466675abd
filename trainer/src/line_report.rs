//! How an inspected line compares with what was rendered: defects found, good parts refused, products confused.
//!
//! Owns the counting rules. A part is judged by its first frame at rest, because calibration saw each part once;
//! later frames of the same part are no independent trials and are counted apart.

use std::{collections::BTreeMap, fmt};

use anyhow::bail;
use synth::line::{FrameTruth, State};

use crate::{metrics::binomial::share_in_words, verdicts::VerdictLine};

/// Upper bounds of the area bins, as shares of the frame; a bin is named after the size it is centred on.
const BINS: [(&str, f64); 4] = [("0.1 %", 0.0018), ("0.3 %", 0.0055), ("1 %", 0.018), ("3 %", 1.0)];
/// From here on defects must be found.
const LARGE: f64 = 0.01;

/// Parts of one product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProductCounts {
    /// Good parts.
    pub good: usize,
    /// Good parts that were refused.
    pub good_refused: usize,
    /// Parts that were taken for another product.
    pub confused: usize,
}

/// Counts of something found among something there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Refused.
    pub refused: usize,
    /// All.
    pub all: usize,
}

/// A line's report.
#[derive(Clone, Debug, Default)]
pub struct LineReport {
    products: BTreeMap<String, ProductCounts>,
    /// By area bin.
    bins: [Found; BINS.len()],
    large: Found,
    /// By kind of defect, over [`LARGE`].
    kinds: BTreeMap<String, Found>,
    /// All frames at rest of good parts.
    good_frames: Found,
    /// Decisions on frames without a part at rest.
    other_frames: BTreeMap<String, usize>,
}

impl LineReport {
    /// Compares verdicts with the truth; every frame must have its verdict.
    pub fn of(lines: &[VerdictLine], truth: &[FrameTruth]) -> anyhow::Result<Self> {
        let by_frame: BTreeMap<u64, &VerdictLine> =
            lines.iter().map(|line| (line.frame, line)).collect();
        if by_frame.len() != truth.len() {
            bail!(
                "{} verdicts for {} frames; play the line under `every`",
                by_frame.len(),
                truth.len()
            );
        }
        let mut report = Self::default();
        let mut last_part = None;
        for frame in truth {
            let Some(line) = by_frame.get(&frame.frame) else {
                bail!("frame {} has no verdict line", frame.frame);
            };
            let (State::Rest, Some(product)) = (frame.state, frame.product) else {
                *report.other_frames.entry(line.decision.clone()).or_default() += 1;
                continue;
            };
            let is_first = last_part != frame.part;
            last_part = frame.part;
            report.count(frame, product.name(), line, is_first);
        }
        Ok(report)
    }

    fn count(&mut self, frame: &FrameTruth, product: &str, line: &VerdictLine, is_first: bool) {
        let refused = usize::from(line.decision != "pass");
        if frame.defect.is_none() {
            self.good_frames.all += 1;
            self.good_frames.refused += refused;
        }
        if !is_first {
            return;
        }
        let counts = self.products.entry(product.to_owned()).or_default();
        let is_recognised = line.decision == "pass" || line.decision == "fail";
        counts.confused += usize::from(is_recognised && line.product.as_deref() != Some(product));
        let Some(defect) = frame.defect else {
            counts.good += 1;
            counts.good_refused += refused;
            return;
        };
        let mut groups = Vec::new();
        let bin = BINS.iter().position(|(_, upper)| frame.area_fraction < *upper);
        groups.extend(bin.map(|bin| &mut self.bins[bin]));
        if frame.area_fraction >= LARGE {
            groups.push(&mut self.large);
            groups.push(self.kinds.entry(format!("{product} {}", defect.name())).or_default());
        }
        for group in groups {
            group.all += 1;
            group.refused += refused;
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&share_in_words(self.refused, self.all))
    }
}

impl fmt::Display for LineReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "defective parts refused, by area of the frame")?;
        for ((name, _), found) in BINS.iter().zip(self.bins) {
            writeln!(f, "  {name:6} {found}")?;
        }
        writeln!(f, "  >= 1 % {}", self.large)?;
        for (kind, found) in self.kinds.iter().filter(|(_, found)| found.refused < found.all) {
            writeln!(f, "    missed: {kind}  {} of {}", found.all - found.refused, found.all)?;
        }
        writeln!(f, "good parts refused, parts confused with another product")?;
        let mut all = Found::default();
        for (name, counts) in &self.products {
            let found = Found { refused: counts.good_refused, all: counts.good };
            all = Found { refused: all.refused + found.refused, all: all.all + found.all };
            writeln!(f, "  {name:16} {found}  confused {}", counts.confused)?;
        }
        let confused: usize = self.products.values().map(|counts| counts.confused).sum();
        writeln!(f, "  {:16} {all}  confused {confused}", "all")?;
        writeln!(f, "  every frame at rest of a good part: {}", self.good_frames)?;
        write!(f, "frames without a part at rest:")?;
        for (decision, count) in &self.other_frames {
            write!(f, "  {decision} {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use synth::{defect::Defect, product::Product};

    use super::*;

    #[test]
    fn a_part_counts_by_its_first_frame_at_rest() {
        // Frames of one part each, two of them at rest; decision and product of both.
        let mut lines = Vec::new();
        let mut truth = Vec::new();
        let mut part = |defect: Option<(Defect, f64)>, verdicts: [(&str, &str); 2]| {
            let number = truth.len() as u64 / 3 + 1;
            for (index, (decision, product)) in
                std::iter::once(("fail", "gear")).chain(verdicts).enumerate()
            {
                let frame = truth.len() as u64 + 1;
                let is_rest = index > 0;
                truth.push(FrameTruth {
                    frame,
                    state: if is_rest { State::Rest } else { State::Moving },
                    part: is_rest.then_some(number),
                    product: is_rest.then_some(Product::Cap),
                    defect: defect.filter(|_| is_rest).map(|(kind, _)| kind),
                    area_fraction: defect.filter(|_| is_rest).map_or(0.0, |(_, area)| area),
                });
                lines.push(VerdictLine {
                    frame,
                    origin: None,
                    decision: decision.into(),
                    product: Some(product.into()),
                    score: None,
                });
            }
        };
        part(None, [("pass", "cap"), ("fail", "cap")]);
        part(None, [("unknown-product", "gear"), ("pass", "cap")]);
        part(None, [("pass", "gear"), ("pass", "cap")]);
        part(Some((Defect::Stain, 0.03)), [("fail", "cap"), ("pass", "cap")]);
        part(Some((Defect::Stain, 0.012)), [("pass", "cap"), ("fail", "cap")]);
        part(Some((Defect::Scratch, 0.001)), [("unknown-product", "gear"), ("pass", "cap")]);
        let report = LineReport::of(&lines, &truth).unwrap();
        let counts = ProductCounts { good: 3, good_refused: 1, confused: 1 };
        assert_eq!(report.products, BTreeMap::from([("cap".to_owned(), counts)]));
        let found = |refused, all| Found { refused, all };
        assert_eq!(report.bins, [found(1, 1), found(0, 0), found(0, 1), found(1, 1)]);
        assert_eq!(report.large, found(1, 2));
        assert_eq!(report.good_frames, found(2, 6));
        assert_eq!(report.other_frames, BTreeMap::from([("fail".to_owned(), 6)]));
        assert!(report.to_string().contains("missed: cap stain  1 of 2"), "{report}");
        assert!(LineReport::of(&lines[1..], &truth).is_err());
    }
}
