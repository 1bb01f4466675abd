//! The figures of a measured test set: per product, averaged, and what a line would do at its false-reject rate.
//!
//! Pure. Owns the table's form and which average is which: metrics are averaged over products, as the field does;
//! refusals and recognition are counted over parts, because that is what a line sees.

use std::{collections::BTreeMap, fmt};

use bundle::calibration::{Limits, RejectRate};
use serde::Serialize;

use super::{Decision, ImageScore, Standards};
use crate::metrics::{F1Max, Ranking, Scores, VMeasure, binomial::share_in_words};

/// How products were recognised, in parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recognition {
    /// Taken for what they are.
    pub correct: usize,
    /// Taken for no known product.
    pub unknown: usize,
    /// Taken for another product.
    pub wrong: usize,
}

impl Recognition {
    /// All parts.
    pub fn count(&self) -> usize {
        self.correct + self.unknown + self.wrong
    }

    fn add(&mut self, image: &ImageScore) {
        match image.decision {
            Decision::UnknownProduct => self.unknown += 1,
            Decision::Pass | Decision::Fail => {
                let is_own = image.recognised.as_ref() == Some(&image.product);
                if is_own { self.correct += 1 } else { self.wrong += 1 }
            }
        }
    }
}

/// The metrics of a product's anomaly maps, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PixelMetrics {
    /// Area under the receiver operating characteristic.
    pub auroc: f64,
    /// Average precision.
    pub average_precision: f64,
    /// Largest F1.
    pub f1_max: f64,
    /// Area under the per-region overlap to a false-positive rate of 0.3.
    pub aupro: f64,
}

impl PixelMetrics {
    /// Of ranked pixels.
    pub fn of(ranking: &Ranking) -> Self {
        Self {
            auroc: ranking.auroc(),
            average_precision: ranking.average_precision(),
            f1_max: ranking.f1_max().f1,
            aupro: ranking.aupro(),
        }
    }
}

/// Results of one product that the model knows. Metrics are 0 to 1, `None` where the test set cannot tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProductResult {
    /// Good test parts.
    pub good: usize,
    /// Defective test parts.
    pub defective: usize,
    /// AUROC of the image score.
    pub image_auroc: Option<f64>,
    /// Average precision of the image score.
    pub image_average_precision: Option<f64>,
    /// Largest F1 of the image score.
    pub image_f1_max: Option<f64>,
    /// Of the maps, where masks are there.
    pub pixel: Option<PixelMetrics>,
    /// What its limits state; `None` without a calibration, and where the inspector judged.
    pub stated: Option<Stated>,
    /// Good parts that were refused, for their score or as unknown.
    pub false_rejects: usize,
    /// Defective parts that passed.
    pub escapes: usize,
    /// How its good parts were recognised.
    pub recognition_of_good: Recognition,
    /// How its defective parts were recognised.
    pub recognition_of_defective: Recognition,
    /// Share of the parts whose nearest prototype is their own, whatever its distance.
    pub recognised: Option<f64>,
}

impl ProductResult {
    fn of(images: &[&ImageScore]) -> Self {
        let mut result = Self::default();
        let mut scores = Scores::default();
        let (mut known, mut own) = (0_usize, 0_usize);
        for image in images {
            let refused = image.decision != Decision::Pass;
            scores.add(image.score, image.defect.is_some());
            known += usize::from(image.recognised.is_some());
            own += usize::from(image.recognised.as_ref() == Some(&image.product));
            if image.defect.is_none() {
                result.good += 1;
                result.false_rejects += usize::from(refused);
                result.recognition_of_good.add(image);
            } else {
                result.defective += 1;
                result.escapes += usize::from(!refused);
                result.recognition_of_defective.add(image);
            }
        }
        if let Some(ranking) = scores.rank() {
            let F1Max { f1, .. } = ranking.f1_max();
            result.image_auroc = Some(ranking.auroc());
            result.image_average_precision = Some(ranking.average_precision());
            result.image_f1_max = Some(f1);
        }
        result.recognised = (known > 0).then(|| own as f64 / known as f64);
        result
    }
}

/// What the limits of a product state: the largest shares of its good parts that they refuse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stated {
    /// For their score or as unknown.
    pub refused: f64,
    /// As unknown.
    pub unknown: f64,
}

/// Parts of a product that the model does not know: all of them are there to be refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// Parts, good and defective.
    pub parts: usize,
    /// Refused as unknown.
    pub unknown: usize,
    /// Taken for a known product and refused for their score.
    pub failed: usize,
    /// Taken for a known product and accepted.
    pub passed: usize,
}

/// Results of all products.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Products that the model knows, by name.
    pub products: BTreeMap<String, ProductResult>,
    /// Products that it does not know, by name.
    pub foreign: BTreeMap<String, Foreign>,
    /// The false-reject rate that the decisions were made at; `None` where the inspector made them.
    pub rate: Option<f64>,
    /// Products whose calibration cannot support that rate.
    pub unrated: Vec<String>,
    /// Agreement of clustered embeddings with the products.
    pub v_measure: Option<VMeasure>,
}

impl Report {
    /// From measured images; products not among `known` are foreign.
    pub fn of(images: &[ImageScore], known: &[String]) -> Self {
        let mut by_product: BTreeMap<&String, Vec<&ImageScore>> = BTreeMap::new();
        for image in images {
            by_product.entry(&image.product).or_default().push(image);
        }
        let mut report = Self::default();
        for (name, images) in by_product {
            if known.contains(name) {
                report.products.insert(name.clone(), ProductResult::of(&images));
            } else {
                let count = |decision| images.iter().filter(|i| i.decision == decision).count();
                let foreign = Foreign {
                    parts: images.len(),
                    unknown: count(Decision::UnknownProduct),
                    failed: count(Decision::Fail),
                    passed: count(Decision::Pass),
                };
                report.foreign.insert(name.clone(), foreign);
            }
        }
        report
    }

    /// Puts in what the judgements were made by.
    pub(crate) fn add_standards(&mut self, standards: &Standards, rate: RejectRate) {
        self.rate = Some(rate.get());
        self.unrated = standards.unrated().to_vec();
        for (name, result) in &mut self.products {
            result.stated = standards
                .limits(name)
                .map(|Limits { refused, unknown, .. }| Stated { refused, unknown });
        }
    }

    /// Puts in what was measured on maps.
    pub(super) fn add_pixels(&mut self, pixels: &BTreeMap<String, PixelMetrics>) {
        for (name, result) in &mut self.products {
            result.pixel = pixels.get(name).copied();
        }
    }

    /// The mean over the products that have a value.
    pub fn mean(&self, of: impl Fn(&ProductResult) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.products.values().filter_map(of).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Of the image AUROCs.
    pub fn mean_image_auroc(&self) -> Option<f64> {
        self.mean(|result| result.image_auroc)
    }

    /// Good parts that were refused, and all good parts.
    pub fn false_rejects(&self) -> (usize, usize) {
        self.sum(|result| (result.false_rejects, result.good))
    }

    /// Good parts that were taken for no known product, and all good parts.
    pub fn unknown_good(&self) -> (usize, usize) {
        self.sum(|result| (result.recognition_of_good.unknown, result.good))
    }

    /// The largest share of all good parts that the limits state; `None` where a product with good parts has none.
    pub fn stated(&self, of: impl Fn(Stated) -> f64) -> Option<f64> {
        let with_good = || self.products.values().filter(|result| result.good > 0);
        let parts: usize = with_good().map(|result| result.good).sum();
        let shares: Option<Vec<f64>> = with_good()
            .map(|result| result.stated.map(|stated| of(stated) * result.good as f64))
            .collect();
        (parts > 0).then_some(shares?.iter().sum::<f64>() / parts as f64)
    }

    /// Defective parts that passed, and all defective parts.
    pub fn escapes(&self) -> (usize, usize) {
        self.sum(|result| (result.escapes, result.defective))
    }

    /// How all parts of known products were recognised.
    pub fn recognition(&self) -> Recognition {
        let mut all = Recognition::default();
        for result in self.products.values() {
            for one in [result.recognition_of_good, result.recognition_of_defective] {
                all.correct += one.correct;
                all.unknown += one.unknown;
                all.wrong += one.wrong;
            }
        }
        all
    }

    fn sum(&self, of: impl Fn(&ProductResult) -> (usize, usize)) -> (usize, usize) {
        self.products.values().map(of).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }
}

/// A column of the table of metrics: its name and where its value is.
type Column = (&'static str, fn(&ProductResult) -> Option<f64>);

/// The metrics of the field, in the order of its papers.
pub const COLUMNS: [Column; 7] = [
    ("image AUROC", |result| result.image_auroc),
    ("AP", |result| result.image_average_precision),
    ("F1-max", |result| result.image_f1_max),
    ("pixel AUROC", |result| Some(result.pixel?.auroc)),
    ("AP", |result| Some(result.pixel?.average_precision)),
    ("F1-max", |result| Some(result.pixel?.f1_max)),
    ("AUPRO", |result| Some(result.pixel?.aupro)),
];

/// A metric from 0 to 1 in per cent.
pub fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.2}", share * 100.0))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.products.keys().chain(self.foreign.keys());
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0).max("product".len());
        write!(f, "{:width$}  {:>5} {:>9}", "product", "good", "defective")?;
        for (name, _) in COLUMNS {
            write!(f, " {:>w$}", name, w = name.len().max(6))?;
        }
        writeln!(f, " {:>10}", "recognised")?;
        let row = |f: &mut fmt::Formatter<'_>, values: Vec<Option<f64>>, recognised| {
            for ((name, _), value) in COLUMNS.iter().zip(values) {
                write!(f, " {:>w$}", percent(value), w = name.len().max(6))?;
            }
            writeln!(f, " {:>10}", percent(recognised))
        };
        for (name, result) in &self.products {
            write!(f, "{name:width$}  {:>5} {:>9}", result.good, result.defective)?;
            row(f, COLUMNS.iter().map(|(_, of)| of(result)).collect(), result.recognised)?;
        }
        write!(f, "{:width$}  {:>5} {:>9}", "mean", "", "")?;
        let means = COLUMNS.iter().map(|(_, of)| self.mean(of)).collect();
        row(f, means, self.mean(|result| result.recognised))?;
        writeln!(f)?;
        let words = |(events, trials)| share_in_words(events, trials);
        match self.rate {
            Some(rate) => writeln!(f, "at a false-reject rate of {} %", rate * 100.0)?,
            None => writeln!(f, "as the inspector decided")?,
        }
        let stated = |of: fn(Stated) -> f64| {
            self.stated(of)
                .map_or(String::new(), |share| format!(", stated at most {:.1} %", share * 100.0))
        };
        writeln!(
            f,
            "  good parts refused         {}{}",
            words(self.false_rejects()),
            stated(|s| s.refused)
        )?;
        writeln!(f, "  defective parts passed     {}", words(self.escapes()))?;
        let Recognition { correct, unknown, wrong } = self.recognition();
        let all = correct + unknown + wrong;
        writeln!(f, "  taken for another product  {}", words((wrong, all)))?;
        writeln!(f, "  taken for no product       {}", words((unknown, all)))?;
        write!(
            f,
            "  good ones among these      {}{}",
            words(self.unknown_good()),
            stated(|s| s.unknown)
        )?;
        if !self.unrated.is_empty() {
            let state = |name: &String| match self.products.get(name).and_then(|p| p.stated) {
                Some(stated) => format!("{name} ({:.1} %)", stated.refused * 100.0),
                None => name.clone(),
            };
            let names: Vec<String> = self.unrated.iter().map(state).collect();
            write!(
                f,
                "\n  too few calibration frames for that rate, and the least that theirs state: {}",
                names.join(", ")
            )?;
        }
        for (name, Foreign { parts, unknown, failed, passed }) in &self.foreign {
            write!(
                f,
                "\n  \"{name}\", which the model does not know: {unknown} of {parts} unknown, {failed} failed, {passed} passed"
            )?;
        }
        if let Some(measure) = self.v_measure {
            write!(f, "\nv-measure of the embedding {:.4}", measure.v)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn image(product: &str, defect: bool, score: f32, decision: Decision) -> ImageScore {
        ImageScore {
            path: PathBuf::new(),
            product: product.into(),
            defect: defect.then(|| "dent".into()),
            score,
            recognised: Some("cap".into()),
            decision,
        }
    }

    #[test]
    fn what_is_stated_is_weighed_by_good_parts() {
        let images = [
            image("cap", false, 0.1, Decision::Pass),
            image("gear", false, 0.5, Decision::UnknownProduct),
            image("gear", false, 0.5, Decision::Pass),
            image("bolt", true, 0.6, Decision::Fail),
        ];
        let mut report = Report::of(&images, &["cap".into(), "gear".into(), "bolt".into()]);
        assert_eq!(report.stated(|stated| stated.refused), None);
        for (name, refused) in [("cap", 0.3), ("gear", 0.06)] {
            let stated = Stated { refused, unknown: refused / 2.0 };
            report.products.get_mut(name).unwrap().stated = Some(stated);
        }
        report.unrated = vec!["cap".into()];
        // (1 * 0.3 + 2 * 0.06) / 3; bolt has no good part.
        assert!((report.stated(|stated| stated.refused).unwrap() - 0.14).abs() < 1e-12);
        assert_eq!(report.unknown_good(), (1, 3));
        let text = report.to_string();
        for words in ["stated at most 14.0 %", "stated at most 7.0 %", "cap (30.0 %)"] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn the_report_is_per_product() {
        // Across products the scores overlap; within each they do not.
        let images = [
            image("cap", false, 0.1, Decision::Pass),
            image("cap", true, 0.2, Decision::Pass),
            image("gear", false, 0.5, Decision::Fail),
            image("gear", true, 0.6, Decision::UnknownProduct),
            image("bolt", false, 0.6, Decision::Pass),
            image("bolt", true, 0.6, Decision::UnknownProduct),
        ];
        let report = Report::of(&images, &["cap".into(), "gear".into()]);
        assert_eq!(report.mean_image_auroc(), Some(1.0));
        assert_eq!(report.products["gear"].recognised, Some(0.0));
        assert_eq!((report.products["cap"].good, report.products["cap"].defective), (1, 1));
        assert_eq!((report.false_rejects(), report.escapes()), ((1, 2), (1, 2)));
        assert_eq!(report.recognition(), Recognition { correct: 2, unknown: 1, wrong: 1 });
        let foreign = Foreign { parts: 2, unknown: 1, failed: 0, passed: 1 };
        assert_eq!(report.foreign["bolt"], foreign);
        let text = report.to_string();
        for words in ["100.00", "\"bolt\"", "1 of 2 (50.0 %"] {
            assert!(text.contains(words), "{text}");
        }
    }
}
