//! The judge's promises, over evidence and calibrations that nobody thought of.

use bundle::{
    calibration::{Calibration, RejectRate},
    prototype::Prototype,
    schema::Class,
};
use proptest::prelude::*;
use sightline::{
    judge::{Evidence, Judge, Recipe, RecipeError, Unrated},
    verdict::Decision,
};

fn class(name: &str, direction: [f32; 2], scores: Vec<f32>) -> Class {
    let distances =
        (0..scores.len()).map(|index| index as f32 / scores.len() as f32 * 0.1).collect();
    Class {
        name: name.into(),
        prototype: Prototype { direction: direction.to_vec() },
        calibration: Some(Calibration::new(scores, distances, "test").unwrap()),
    }
}

fn reject(rate: f64) -> RejectRate {
    RejectRate::new(rate).unwrap()
}

fn evidence(score: f32) -> Evidence {
    Evidence { score, embedding: vec![1.0, 0.0] }
}

proptest! {
    #[test]
    fn any_evidence_yields_a_verdict_and_what_is_no_number_yields_a_fault(
        score in any::<f32>(),
        embedding in prop_oneof![
            prop::collection::vec(any::<f32>(), 0..4),
            (0.0_f32..7.0).prop_map(|angle| vec![angle.cos(), angle.sin()]),
            // The product with a prototype is infinite, and the distance with it.
            Just(vec![f32::MAX; 2]),
        ],
        scores in prop::collection::vec(0.0_f32..1.0, 1..50),
    ) {
        let classes = [class("cap", [1.0, 0.0], scores)];
        let judge = Judge::new(&classes, &Recipe::of(reject(0.1), Unrated::Allowed)).unwrap();
        let square: f32 = embedding.iter().map(|value| value * value).sum();
        let is_sound = score.is_finite() && (square - 1.0).abs() < 0.05 && embedding.len() == 2;
        let verdict = judge.decide(&Evidence { score, embedding });
        prop_assert_eq!(verdict.decision == Decision::Fault, !is_sound);
        prop_assert_eq!(verdict.reason.is_some(), verdict.decision == Decision::Fault);
    }

    #[test]
    fn a_higher_score_never_turns_a_refusal_into_a_pass(
        scores in prop::collection::vec(0.0_f32..1.0, 1..200),
        rate in 0.01_f64..0.5,
        low in 0.0_f32..1.2,
        more in 0.0_f32..1.0,
    ) {
        let classes = [class("cap", [1.0, 0.0], scores)];
        let judge = Judge::new(&classes, &Recipe::of(reject(rate), Unrated::Allowed)).unwrap();
        let [lower, higher] = [low, low + more].map(|score| judge.decide(&evidence(score)));
        prop_assert!(lower.decision.is_pass() || !higher.decision.is_pass());
        prop_assert!(lower.p_value >= higher.p_value);
    }

    #[test]
    fn the_threshold_and_the_p_value_say_the_same(
        scores in prop::collection::vec(0.0_f32..1.0, 19..200),
        score in 0.0_f32..1.2,
    ) {
        let classes = [class("cap", [1.0, 0.0], scores)];
        let judge = Judge::new(&classes, &Recipe::of(reject(0.1), Unrated::Refused)).unwrap();
        let verdict = judge.decide(&evidence(score));
        let p = verdict.p_value.unwrap();
        let at_threshold = judge.decide(&evidence(verdict.threshold.unwrap()));
        prop_assert!(at_threshold.decision.is_pass());
        let is_fail = verdict.decision == Decision::Fail;
        prop_assert_eq!(is_fail, p < at_threshold.p_value.unwrap(), "p {}", p);
        prop_assert!(!is_fail || p <= 0.1, "p {}", p);
    }
}

#[test]
fn the_nearest_product_is_recognised_and_nothing_outside_its_radius_passes() {
    let scores: Vec<f32> = (0..99).map(|index| index as f32 / 100.0).collect();
    let classes = [class("cap", [1.0, 0.0], scores.clone()), class("gear", [0.0, 1.0], scores)];
    let judge = Judge::new(&classes, &Recipe::of(reject(0.02), Unrated::Refused)).unwrap();
    let decide =
        |embedding: [f32; 2]| judge.decide(&Evidence { score: 0.1, embedding: embedding.to_vec() });
    let product = |embedding| decide(embedding).recognition.unwrap().product.to_string();
    assert_eq!(product([1.0, 0.0]), "cap");
    assert_eq!(product([0.1, 0.995]), "gear");
    assert!(decide([1.0, 0.0]).decision.is_pass());
    assert_eq!(decide([0.8, 0.6]).decision, Decision::UnknownProduct);
    assert_eq!(product([0.8, 0.6]), "cap");
}

#[test]
fn a_product_without_calibration_never_passes() {
    let bare = Class { calibration: None, ..class("cap", [1.0, 0.0], vec![1.0]) };
    let refused =
        Judge::new(std::slice::from_ref(&bare), &Recipe::of(reject(0.01), Unrated::Refused))
            .unwrap_err();
    let RecipeError::ClassTooSmall(refused) = refused else { panic!("{refused}") };
    assert_eq!((refused.have, refused.need), (0, 199));
    let judge = Judge::new(&[bare], &Recipe::of(reject(0.01), Unrated::Allowed)).unwrap();
    let verdict = judge.decide(&evidence(0.0));
    assert_eq!(verdict.decision, Decision::UnknownProduct);
    assert!(verdict.unrated);
    assert_eq!((verdict.threshold, verdict.p_value), (None, None));
}

#[test]
fn a_calibration_too_small_for_the_rate_is_held_against_its_highest_score() {
    let classes = [class("cap", [1.0, 0.0], vec![0.1, 0.2, 0.3])];
    let refused = Judge::new(&classes, &Recipe::of(reject(0.01), Unrated::Refused)).unwrap_err();
    let RecipeError::ClassTooSmall(refused) = refused else { panic!("{refused}") };
    assert_eq!((refused.have, refused.need), (3, 199));
    let judge = Judge::new(&classes, &Recipe::of(reject(0.01), Unrated::Allowed)).unwrap();
    assert!(judge.decide(&evidence(0.3)).decision.is_pass());
    let verdict = judge.decide(&evidence(0.31));
    assert_eq!(verdict.decision, Decision::Fail);
    assert!(verdict.unrated);
    assert_eq!(judge.unrated_products().collect::<Vec<_>>(), ["cap"]);
}

#[test]
fn a_camera_holds_products_against_their_own_rates_and_takes_only_those_it_expects() {
    let scores = |len: u16| (0..len).map(|index| f32::from(index) / f32::from(len)).collect();
    let classes = [class("cap", [1.0, 0.0], scores(999)), class("gear", [0.0, 1.0], scores(20))];
    let recipe = Recipe {
        rates: [("cap".to_owned(), reject(0.2))].into(),
        expected: Some(["cap".to_owned()].into()),
        ..Recipe::of(reject(0.01), Unrated::Refused)
    };
    // Of gear, which may not come, no rate is promised, and none has to be supported.
    let judge = Judge::new(&classes, &recipe).unwrap();
    let decide = |embedding: [f32; 2], score| {
        judge.decide(&Evidence { score, embedding: embedding.to_vec() })
    };
    let verdict = decide([1.0, 0.0], 0.9);
    assert_eq!((verdict.decision, verdict.reject_rate), (Decision::Fail, 0.2));
    assert!(decide([1.0, 0.0], 0.5).decision.is_pass());
    let verdict = decide([0.0, 1.0], 0.1);
    assert_eq!(verdict.decision, Decision::UnknownProduct);
    assert_eq!(verdict.reason.unwrap(), "gear is not expected at this camera");
    assert_eq!(judge.unrated_products().count(), 0);
    let everything = Recipe { expected: None, ..recipe.clone() };
    assert!(matches!(Judge::new(&classes, &everything), Err(RecipeError::ClassTooSmall(_))));
    for misspelt in [
        Recipe { expected: Some(["cpa".to_owned()].into()), ..recipe.clone() },
        Recipe { rates: [("cpa".to_owned(), reject(0.2))].into(), ..recipe },
    ] {
        let error = Judge::new(&classes, &misspelt).unwrap_err().to_string();
        assert_eq!(error, "the model knows no product \"cpa\": it knows cap, gear");
    }
}
