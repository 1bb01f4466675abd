//! How well clusters and classes agree, whatever the clusters are called.
//!
//! Pure. Rosenberg and Hirschberg, "V-Measure", EMNLP 2007, with equal weights, as scikit-learn computes it.

use std::collections::BTreeMap;

/// Agreement of clusters with classes, each number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct VMeasure {
    /// 1 when each cluster holds one class only.
    pub homogeneity: f64,
    /// 1 when each class lies in one cluster.
    pub completeness: f64,
    /// Their harmonic mean.
    pub v: f64,
}

/// Of things with a class and a cluster each.
pub fn v_measure(classes: &[usize], clusters: &[usize]) -> VMeasure {
    let pairs = || classes.iter().copied().zip(clusters.iter().copied());
    let joint = entropy(pairs());
    let (of_classes, of_clusters) =
        (entropy(pairs().map(|(class, _)| class)), entropy(pairs().map(|(_, cluster)| cluster)));
    // H(class | cluster) = H(class, cluster) - H(cluster).
    let share = |of_one: f64, of_other: f64| {
        if of_one > 0.0 { (1.0 - (joint - of_other) / of_one).clamp(0.0, 1.0) } else { 1.0 }
    };
    let homogeneity = share(of_classes, of_clusters);
    let completeness = share(of_clusters, of_classes);
    let sum = homogeneity + completeness;
    let v = if sum > 0.0 { 2.0 * homogeneity * completeness / sum } else { 0.0 };
    VMeasure { homogeneity, completeness, v }
}

/// In nats.
fn entropy<T: Ord>(labels: impl Iterator<Item = T>) -> f64 {
    let mut counts: BTreeMap<T, u32> = BTreeMap::new();
    for label in labels {
        *counts.entry(label).or_default() += 1;
    }
    let all: f64 = counts.values().map(|&count| f64::from(count)).sum();
    counts.values().map(|&count| f64::from(count) / all).map(|share| -share * share.ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_by_hand() {
        let check = |classes: &[usize], clusters: &[usize], expected: [f64; 3]| {
            let VMeasure { homogeneity, completeness, v } = v_measure(classes, clusters);
            for (found, expected) in [homogeneity, completeness, v].into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{classes:?} {clusters:?} {found}");
            }
        };
        check(&[0, 0, 1, 1], &[7, 7, 3, 3], [1.0, 1.0, 1.0]);
        check(&[0, 0, 1, 1], &[0, 1, 2, 3], [1.0, 0.5, 2.0 / 3.0]);
        check(&[0, 0, 1, 1], &[0, 0, 0, 0], [0.0, 1.0, 0.0]);
        check(&[0, 0, 1, 1], &[0, 1, 0, 1], [0.0, 0.0, 0.0]);
        check(&[0, 0], &[0, 0], [1.0, 1.0, 1.0]);
    }
}
