//! A verdict in words, for people who never heard of p-values.
//!
//! Owns the sentences. Pure. None promises more than the conformal p-value does: among exchangeable good parts at most the
//! share `p` ranks as high (Vovk, Gammerman and Shafer 2005, proposition 2.8).

use crate::verdict::{Decision, Verdict};

/// From this share on it is counted in tenths: "1 good part in 2" says less than "5 in 10".
const TENTHS_FROM: f64 = 0.2;

/// The decision, and how unusual the part looks among good ones.
pub fn words(verdict: &Verdict) -> String {
    let rank = || {
        let rank = verdict.p_value.map_or_else(
            || "nobody measured good parts to compare it with".into(),
            |p_value| rank(p_value, verdict.calibrated_on),
        );
        let unrated = if verdict.unrated {
            "; too few good parts were measured to promise the rate that is wanted"
        } else {
            ""
        };
        format!("{rank}{unrated}")
    };
    match (verdict.decision, &verdict.reason, &verdict.recognition) {
        (Decision::Pass(_), ..) => format!("Good: {}", rank()),
        (Decision::Fail, ..) => format!("Refused: {}", rank()),
        (Decision::Fault, Some(reason), _) => format!("Not judged: {reason}"),
        (Decision::Fault, None, _) => "Not judged".into(),
        // A recognised product that may not come by here.
        (Decision::UnknownProduct, Some(reason), _) => format!("Wrong product: {reason}"),
        (Decision::UnknownProduct, None, Some(nearest)) if nearest.radius.is_some() => format!(
            "No known product: it resembles {} most, but less than a good one does",
            nearest.product
        ),
        (Decision::UnknownProduct, None, Some(nearest)) => {
            let product = &nearest.product;
            format!(
                "Cannot tell: it resembles {product} most, for which no good parts were measured yet"
            )
        }
        (Decision::UnknownProduct, None, None) => "No known product: the model knows none".into(),
    }
}

/// How many good parts look as unusual; `calibrated_on` good parts were measured.
fn rank(p_value: f64, calibrated_on: Option<usize>) -> String {
    if let Some(count) = calibrated_on {
        // The inverse of (1 + #{as high}) / (n + 1).
        let as_high = p_value * (count as f64 + 1.0) - 1.0;
        if as_high < 0.5 {
            return format!("none of the {count} good parts that were measured looked as unusual");
        }
    }
    if p_value < TENTHS_FROM {
        let one_in = (1.0 / p_value.max(f64::MIN_POSITIVE)).round();
        return format!("1 good part in {one_in} looks as unusual as this");
    }
    let tenths = (p_value * 10.0).round();
    if tenths < 10.0 {
        format!("{tenths} good parts in 10 look at least as unusual")
    } else {
        "nearly all good parts look at least as unusual".into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{judge::Judge, verdict::Recognition};

    fn verdict(decision: Decision, p_value: Option<f64>, calibrated_on: Option<usize>) -> Verdict {
        let recognition =
            Some(Recognition { product: "cap".into(), distance: 0.1, radius: Some(0.5) });
        let fault = Verdict::fault(0.01, "");
        Verdict { decision, recognition, p_value, calibrated_on, reason: None, ..fault }
    }

    #[test]
    fn a_p_value_is_so_many_good_parts_in_so_many() {
        let check = |p_value, calibrated_on, expected: &str| {
            let verdict = verdict(Decision::Fail, Some(p_value), calibrated_on);
            assert_eq!(words(&verdict), format!("Refused: {expected}"));
        };
        check(0.004, None, "1 good part in 250 looks as unusual as this");
        check(2.0 / 500.0, Some(499), "1 good part in 250 looks as unusual as this");
        check(
            1.0 / 500.0,
            Some(499),
            "none of the 499 good parts that were measured looked as unusual",
        );
        check(1.0 / 7.0, Some(97), "1 good part in 7 looks as unusual as this");
        check(0.2, Some(99), "2 good parts in 10 look at least as unusual");
        check(0.5, None, "5 good parts in 10 look at least as unusual");
        check(0.97, Some(99), "nearly all good parts look at least as unusual");
        check(1.0, Some(0), "none of the 0 good parts that were measured looked as unusual");
    }

    #[test]
    fn every_other_decision_has_words_of_its_own() {
        let check = |verdict: Verdict, expected: &str| assert_eq!(words(&verdict), expected);
        let fail = verdict(Decision::Fail, Some(0.004), Some(499));
        check(
            Verdict { unrated: true, ..fail.clone() },
            "Refused: 1 good part in 250 looks as unusual as this; \
             too few good parts were measured to promise the rate that is wanted",
        );
        check(
            Verdict { p_value: None, ..fail },
            "Refused: nobody measured good parts to compare it with",
        );
        check(
            Verdict::fault(0.01, "cannot be decoded: torn"),
            "Not judged: cannot be decoded: torn",
        );
        check(Verdict { reason: None, ..Verdict::fault(0.01, "") }, "Not judged");
        let unknown = verdict(Decision::UnknownProduct, Some(0.5), Some(499));
        check(
            unknown.clone(),
            "No known product: it resembles cap most, but less than a good one does",
        );
        let not_here = Some("cap is not expected at this camera".to_owned());
        check(
            Verdict { reason: not_here, ..unknown.clone() },
            "Wrong product: cap is not expected at this camera",
        );
        let uncalibrated = Recognition { product: "cap".into(), distance: 0.1, radius: None };
        check(
            Verdict { recognition: Some(uncalibrated), ..unknown.clone() },
            "Cannot tell: it resembles cap most, for which no good parts were measured yet",
        );
        check(Verdict { recognition: None, ..unknown }, "No known product: the model knows none");
    }

    proptest! {
        /// Whatever the calibration: what is said is what was counted.
        #[test]
        fn words_agree_with_the_calibration_itself(
            scores in prop::collection::vec((0_u8..50).prop_map(f32::from), 1..400),
            score in (0_u8..60).prop_map(f32::from),
        ) {
            let as_high = scores.iter().filter(|&&other| other >= score).count();
            let count = scores.len();
            let distances = vec![0.0; count];
            let calibration = bundle::calibration::Calibration::new(scores, distances, "test").unwrap();
            let p_value = calibration.score_p_value(score);
            let said = rank(p_value, Some(calibration.count()));
            prop_assert_eq!(said.starts_with("none of the"), as_high == 0, "{} {}", said, as_high);
            prop_assert!(as_high > 0 || said.contains(&format!(" {count} ")), "{}", said);
            if let Some(one_in) = said.strip_prefix("1 good part in ") {
                let one_in: f64 = one_in.split(' ').next().unwrap().parse().unwrap();
                let exact = (count + 1) as f64 / (as_high + 1) as f64;
                prop_assert!((one_in - exact).abs() <= 0.5, "{} of {}", one_in, exact);
            }
        }
    }

    /// The judge gives what the words need.
    #[test]
    fn the_judge_says_how_many_good_parts_were_measured() {
        use bundle::{
            calibration::{Calibration, RejectRate},
            prototype::Prototype,
            schema::Class,
        };
        let values: Vec<f32> = (0..199_u8).map(|rank| f32::from(rank) / 199.0).collect();
        let class = Class {
            name: "cap".into(),
            prototype: Prototype { direction: vec![1.0, 0.0] },
            calibration: Some(Calibration::new(values.clone(), values, "test").unwrap()),
        };
        let rate = RejectRate::new(0.02).unwrap();
        let recipe = crate::judge::Recipe::of(rate, crate::judge::Unrated::Refused);
        let judge = Judge::new(&[class], &recipe).unwrap();
        let evidence = crate::judge::Evidence { score: 9.0, embedding: vec![1.0, 0.0] };
        let expected = "Refused: none of the 199 good parts that were measured looked as unusual";
        assert_eq!(words(&judge.decide(&evidence)), expected);
    }
}
