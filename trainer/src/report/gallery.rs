//! Which parts of a test set are worth looking at.
//!
//! Pure: measured images in, indices out. Owns the order of the gallery and its bounds.

use crate::evaluate::{Decision, ImageScore};

/// Parts that a whole report shows, but at least one in every row: each is some 35 kB, so about 10 MB.
const PARTS_MAX: usize = 300;
/// Parts on a line of a wide screen.
const LINE_MAX: usize = 4;

/// What a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    /// Defective parts with the lowest scores, those that passed first.
    Missed,
    /// Good parts with the highest scores, those that were refused first.
    Refused,
    /// Defective parts with the highest scores.
    Found,
    /// Parts of a product that the model does not know, those that were taken for a known one first.
    Foreign,
}

impl Row {
    /// Rows of a product that the model knows.
    const KNOWN: [Self; 3] = [Self::Missed, Self::Refused, Self::Found];

    /// Lines that it may fill: what went wrong deserves more room.
    const fn lines(self) -> usize {
        match self {
            Self::Missed | Self::Refused | Self::Foreign => 2,
            Self::Found => 1,
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Missed => "Defects with the lowest scores, escapes first",
            Self::Refused => "Good parts with the highest scores, false rejects first",
            Self::Found => "Defects with the highest scores",
            Self::Foreign => "Parts of this unknown product, those taken for a known one first",
        }
    }

    /// What stands where the row is empty.
    pub(super) fn why_empty(self) -> &'static str {
        match self {
            Self::Missed => "The test set has no defective part of this product.",
            Self::Refused => "The test set has no good part of this product.",
            Self::Found => "All defective parts are shown above, or none was found.",
            Self::Foreign => "The test set has no part of it.",
        }
    }
}

/// The rows of one product: indices of images.
pub(super) type Rows = Vec<(Row, Vec<usize>)>;

/// The rows of every product, in the order of `products`, of which the first `known` are the model's.
pub(super) fn choose(images: &[ImageScore], products: &[String], known: usize) -> Vec<Rows> {
    let lines: usize = Row::KNOWN.into_iter().map(Row::lines).sum();
    let line = (PARTS_MAX / (lines * products.len().max(1))).clamp(1, LINE_MAX);
    products
        .iter()
        .enumerate()
        .map(|(index, product)| {
            let own: Vec<usize> =
                (0..images.len()).filter(|&at| images[at].product == *product).collect();
            if index < known { of_known(images, &own, line) } else { of_foreign(images, own, line) }
        })
        .collect()
}

fn of_known(images: &[ImageScore], own: &[usize], line: usize) -> Rows {
    let is_defective = |at: &&usize| images[**at].defect.is_some();
    let mut defective: Vec<usize> = own.iter().filter(is_defective).copied().collect();
    let mut good: Vec<usize> = own.iter().filter(|at| !is_defective(at)).copied().collect();
    let is_refused = |at: usize| images[at].decision != Decision::Pass;
    let score = |at: usize| images[at].score;
    defective
        .sort_by(|&a, &b| is_refused(a).cmp(&is_refused(b)).then(score(a).total_cmp(&score(b))));
    good.sort_by(|&a, &b| is_refused(b).cmp(&is_refused(a)).then(score(b).total_cmp(&score(a))));
    let missed: Vec<usize> = defective.iter().take(line * Row::Missed.lines()).copied().collect();
    let found = defective
        .iter()
        .skip(missed.len())
        .rev()
        .filter(|&&at| images[at].decision == Decision::Fail)
        .take(line * Row::Found.lines())
        .copied()
        .collect();
    good.truncate(line * Row::Refused.lines());
    Row::KNOWN.into_iter().zip([missed, good, found]).collect()
}

fn of_foreign(images: &[ImageScore], mut own: Vec<usize>, line: usize) -> Rows {
    let worst_first = |at: usize| match images[at].decision {
        Decision::Pass => 0,
        Decision::Fail => 1,
        Decision::UnknownProduct => 2,
    };
    own.sort_by_key(|&at| worst_first(at));
    own.truncate(line * Row::Foreign.lines());
    vec![(Row::Foreign, own)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(product: &str, is_defective: bool, score: f32, decision: Decision) -> ImageScore {
        ImageScore {
            path: "x.png".into(),
            product: product.into(),
            defect: is_defective.then(|| "dent".into()),
            score,
            recognised: Some(product.into()),
            decision,
        }
    }

    #[test]
    fn what_went_wrong_comes_first() {
        let images = [
            image("cap", true, 0.1, Decision::Fail),
            image("cap", true, 0.5, Decision::Pass),
            image("cap", true, 0.9, Decision::Fail),
            image("cap", false, 0.3, Decision::Pass),
            image("cap", false, 0.2, Decision::UnknownProduct),
            image("mug", false, 0.2, Decision::UnknownProduct),
            image("mug", true, 0.1, Decision::Pass),
        ];
        let rows = choose(&images, &["cap".into(), "mug".into()], 1);
        assert_eq!(
            rows[0],
            [(Row::Missed, vec![1, 0, 2]), (Row::Refused, vec![4, 3]), (Row::Found, vec![])]
        );
        assert_eq!(rows[1], [(Row::Foreign, vec![6, 5])]);
    }

    #[test]
    fn the_gallery_is_bounded_whatever_the_number_of_products() {
        for count in [1_usize, 8, 60, 500] {
            let products: Vec<String> = (0..count).map(|index| format!("p{index}")).collect();
            let images: Vec<ImageScore> = products
                .iter()
                .flat_map(|product| {
                    (0..30_u8)
                        .map(move |i| image(product, i % 2 == 0, f32::from(i), Decision::Fail))
                })
                .collect();
            let rows = choose(&images, &products, count);
            let pictures: usize = rows.iter().flatten().map(|(_, row)| row.len()).sum();
            let most = PARTS_MAX.max(5 * count);
            assert!((3 * count..=most).contains(&pictures), "{count} products, {pictures}");
        }
    }
}
