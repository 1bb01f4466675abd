//! Whether one way to train is better than another: paired differences of AUROC with bootstrap intervals.
//!
//! Pure. Both ways are measured on the same images, each in several runs (seeds) that belong together in pairs. A
//! replicate draws runs and, within each product, good and defective images anew, the same for both ways, so that what
//! they have in common cancels out (Efron and Tibshirani, An Introduction to the Bootstrap, 1993; percentile interval).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::{evaluate::ImageScore, metrics::Scores};

/// Replicates of the bootstrap: the ends of an interval at 95 % then rest on fifty each.
const REPLICATES: usize = 2000;

/// Runs that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// Each run of one way has its partner.
    #[error("{one} runs against {other}: name as many of each, in the order of their seeds")]
    Unpaired {
        /// Runs of the first way.
        one: usize,
        /// Runs of the other.
        other: usize,
    },
    /// Other images.
    #[error(
        "run {run} was measured on other images than the first one; measure all on one data set"
    )]
    OtherImages {
        /// Counted from 1, those of the other way after those of the first.
        run: usize,
    },
    /// No AUROC.
    #[error("no product has good and defective images")]
    Nothing,
}

/// The image AUROC of two ways, 0 to 1, averaged over their runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Of the first way.
    pub one: f64,
    /// Of the other.
    pub other: f64,
    /// The first less the other.
    pub difference: f64,
    /// Lower end of its interval at 95 %.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Two ways, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Pairs of runs.
    pub runs: usize,
    /// Images of each run.
    pub images: usize,
    /// Of the mean over products.
    pub mean: Difference,
    /// Of each product.
    pub products: BTreeMap<String, Difference>,
}

/// The scores of one product's images: `[way][run][image]`, good ones and defective ones apart.
struct Product {
    good: [Vec<Vec<f32>>; 2],
    defective: [Vec<Vec<f32>>; 2],
}

/// Compares the runs of one way with those of another, in pairs; `seed` is the bootstrap's.
pub fn compare(
    one: &[Vec<ImageScore>],
    other: &[Vec<ImageScore>],
    seed: u64,
) -> Result<Comparison, CompareError> {
    if one.len() != other.len() || one.is_empty() {
        return Err(CompareError::Unpaired { one: one.len(), other: other.len() });
    }
    let products = products(one, other)?;
    let runs: Vec<usize> = (0..one.len()).collect();
    let measured: Vec<[f64; 2]> =
        products.values().map(|product| product.aurocs(&runs, &product.all())).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // By replicate, then by product.
    let replicates: Vec<Vec<f64>> = (0..REPLICATES)
        .map(|_| {
            let runs: Vec<usize> = runs.iter().map(|_| rng.random_range(0..one.len())).collect();
            products
                .values()
                .map(|product| {
                    let [a, b] = product.aurocs(&runs, &product.drawn(&mut rng));
                    a - b
                })
                .collect()
        })
        .collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let difference = |[one, other]: [f64; 2], mut replicates: Vec<f64>| {
        replicates.sort_by(f64::total_cmp);
        let tail = replicates.len() / 40;
        let (low, high) = (replicates[tail], replicates[replicates.len() - 1 - tail]);
        Difference { one, other, difference: one - other, low, high }
    };
    let of_way = |way: usize| mean(&measured.iter().map(|pair| pair[way]).collect::<Vec<_>>());
    let of_product = |index: usize| replicates.iter().map(|row| row[index]).collect::<Vec<_>>();
    Ok(Comparison {
        runs: one.len(),
        images: one[0].len(),
        mean: difference([of_way(0), of_way(1)], replicates.iter().map(|row| mean(row)).collect()),
        products: products
            .keys()
            .enumerate()
            .map(|(index, name)| (name.clone(), difference(measured[index], of_product(index))))
            .collect(),
    })
}

fn products(
    one: &[Vec<ImageScore>],
    other: &[Vec<ImageScore>],
) -> Result<BTreeMap<String, Product>, CompareError> {
    let key = |image: &ImageScore| (image.product.clone(), image.path.clone());
    let sorted: Vec<BTreeMap<(String, PathBuf), &ImageScore>> = one
        .iter()
        .chain(other)
        .map(|run| run.iter().map(|image| (key(image), image)).collect())
        .collect();
    if let Some(run) = sorted.iter().position(|run| !run.keys().eq(sorted[0].keys())) {
        return Err(CompareError::OtherImages { run: run + 1 });
    }
    let names: BTreeSet<String> = sorted[0].keys().map(|(product, _)| product.clone()).collect();
    let scores = |run: &BTreeMap<(String, PathBuf), &ImageScore>, name: &str, is_good: bool| {
        run.values()
            .filter(|image| image.product == name && image.defect.is_none() == is_good)
            .map(|image| image.score)
            .collect::<Vec<f32>>()
    };
    let (first, second) = sorted.split_at(one.len());
    let of = |name: &str, is_good: bool| {
        [first, second]
            .map(|runs| runs.iter().map(|run| scores(run, name, is_good)).collect::<Vec<_>>())
    };
    let products: BTreeMap<String, Product> = names
        .into_iter()
        .map(|name| (name.clone(), Product { good: of(&name, true), defective: of(&name, false) }))
        .filter(|(_, product)| {
            !product.good[0][0].is_empty() && !product.defective[0][0].is_empty()
        })
        .collect();
    if products.is_empty() { Err(CompareError::Nothing) } else { Ok(products) }
}

/// Which good and which defective images count, with repetitions.
type Draw = [Vec<usize>; 2];

impl Product {
    fn all(&self) -> Draw {
        [&self.good, &self.defective].map(|scores| (0..scores[0][0].len()).collect())
    }

    fn drawn(&self, rng: &mut ChaCha8Rng) -> Draw {
        self.all().map(|all| all.iter().map(|_| rng.random_range(0..all.len())).collect())
    }

    /// The mean AUROC over runs, of each way.
    fn aurocs(&self, runs: &[usize], [good, defective]: &Draw) -> [f64; 2] {
        [0, 1].map(|way| {
            let auroc = |&run: &usize| {
                let mut scores = Scores::default();
                for &image in good {
                    scores.add(self.good[way][run][image], false);
                }
                for &image in defective {
                    scores.add(self.defective[way][run][image], true);
                }
                // A score that is no number finds nothing.
                scores.rank().map_or(0.0, |ranking| ranking.auroc())
            };
            runs.iter().map(auroc).sum::<f64>() / runs.len() as f64
        })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.products.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        let width = width.max("product".len());
        writeln!(
            f,
            "image AUROC in per cent, {} pairs of runs, {} images; intervals at 95 %",
            self.runs, self.images
        )?;
        writeln!(f, "{:width$}  {:>6} {:>6}  {:>10}", "product", "one", "other", "difference")?;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, of: &Difference| {
            let [one, other, difference, low, high] =
                [of.one, of.other, of.difference, of.low, of.high].map(|share| share * 100.0);
            write!(
                f,
                "{name:width$}  {one:>6.2} {other:>6.2}  {difference:>+10.2} ({low:+.2} to {high:+.2})"
            )
        };
        for (name, difference) in &self.products {
            row(f, name, difference)?;
            writeln!(f)?;
        }
        row(f, "mean", &self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Decision;

    fn run(scores: impl Fn(usize, bool) -> f32) -> Vec<ImageScore> {
        let image = |index: usize| {
            let is_defective = index % 2 == 1;
            ImageScore {
                path: format!("{index}.png").into(),
                product: "cap".into(),
                defect: is_defective.then(|| "dent".into()),
                score: scores(index, is_defective),
                recognised: None,
                decision: Decision::Pass,
            }
        };
        (0..80).map(image).collect()
    }

    #[test]
    fn a_clear_difference_is_told_from_none() {
        let noise = |index: usize| f32::from(u16::try_from(index * 7919 % 101).unwrap()) / 101.0;
        let lift =
            |by: f32| move |index: usize, bad: bool| noise(index) + if bad { by } else { 0.0 };
        let good = [run(lift(0.9)), run(lift(0.8))];
        let poor = [run(lift(0.1)), run(lift(0.2))];
        let clear = compare(&good, &poor, 1).unwrap();
        assert!(clear.mean.low > 0.1 && clear.mean.low < clear.mean.difference, "{clear}");
        assert!(clear.mean.high > clear.mean.difference, "{clear}");
        assert_eq!(clear.products["cap"], clear.mean);
        let none = compare(&poor, &poor, 1).unwrap();
        assert!(none.mean.low <= 0.0 && none.mean.high >= 0.0 && none.mean.difference == 0.0);
        assert_eq!(compare(&good, &poor, 1), compare(&good, &poor, 1));
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let one = run(|_, _| 0.0);
        let runs = |count| vec![one.clone(); count];
        let error = |a: &[Vec<ImageScore>], b: &[Vec<ImageScore>]| compare(a, b, 1).unwrap_err();
        assert_eq!(error(&runs(2), &runs(1)), CompareError::Unpaired { one: 2, other: 1 });
        assert_eq!(error(&[], &[]), CompareError::Unpaired { one: 0, other: 0 });
        let shorter = one[1..].to_vec();
        assert_eq!(error(&runs(1), &[shorter]), CompareError::OtherImages { run: 2 });
        let good: Vec<ImageScore> = one.iter().filter(|i| i.defect.is_none()).cloned().collect();
        assert_eq!(
            error(std::slice::from_ref(&good), std::slice::from_ref(&good)),
            CompareError::Nothing
        );
    }
}
