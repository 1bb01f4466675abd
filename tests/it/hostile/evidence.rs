//! Models that were accepted, however odd, and evidence of any kind: nothing passes that should not.

use bundle::{
    calibration::{Calibration, RejectRate},
    prototype::Prototype,
    schema::Class,
};
use proptest::prelude::*;
use sightline::judge::{Evidence, Judge, Recipe, Unrated};

/// Any finite numbers make a calibration.
fn calibration() -> impl Strategy<Value = Option<Calibration>> {
    let number = || {
        prop_oneof![
            4 => 0.0_f32..2.0,
            1 => any::<f32>(),
            1 => prop::sample::select(vec![f32::MAX, f32::MIN, f32::MIN_POSITIVE, -0.0, 2.0]),
        ]
    };
    prop::option::weighted(
        0.9,
        prop::collection::vec((number(), number()), 1..300).prop_map(|pairs| {
            let (scores, distances) = pairs.into_iter().unzip();
            Calibration::new(scores, distances, "any").unwrap()
        }),
    )
}

/// Classes as a document allows them: directions of unit length, all in as many dimensions.
fn classes() -> impl Strategy<Value = Vec<Class>> {
    (1_usize..6, 0_usize..5).prop_flat_map(|(dimensions, count)| {
        let direction =
            prop::collection::vec(-1.0_f32..1.0, dimensions).prop_map(|mut direction| {
                let length = direction.iter().map(|value| value * value).sum::<f32>().sqrt();
                if length < 0.01 {
                    direction.fill(0.0);
                    direction[0] = 1.0;
                } else {
                    direction.iter_mut().for_each(|value| *value /= length);
                }
                direction
            });
        prop::collection::vec((direction, calibration()), count).prop_map(|classes| {
            let class = |(index, (direction, calibration)): (usize, (Vec<f32>, _))| Class {
                name: format!("class {index}"),
                prototype: Prototype { direction },
                calibration,
            };
            classes.into_iter().enumerate().map(class).collect()
        })
    })
}

fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -1.0_f32..2.0,
        1 => any::<f32>(),
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_passes_but_what_every_limit_allows(
        classes in classes(),
        rate in 1e-6_f64..0.999,
        allowed in any::<bool>(),
        score in number(),
        embedding in prop::collection::vec(number(), 0..7),
        // Now and then it is exactly a prototype, so that something passes at all.
        at in any::<prop::sample::Index>(),
        is_at in any::<bool>(),
    ) {
        let unrated = if allowed { Unrated::Allowed } else { Unrated::Refused };
        let recipe = Recipe::of(RejectRate::new(rate).unwrap(), unrated);
        let Ok(judge) = Judge::new(&classes, &recipe) else {
            prop_assert!(!allowed);
            return Ok(());
        };
        let embedding = if is_at && !classes.is_empty() {
            at.get(&classes).prototype.direction.clone()
        } else {
            embedding
        };
        let verdict = judge.decide(&Evidence { score, embedding: embedding.clone() });
        if !score.is_finite() || !embedding.iter().all(|value| value.is_finite()) {
            prop_assert!(!verdict.decision.is_pass());
        }
        if verdict.decision.is_pass() {
            let square: f32 = embedding.iter().map(|value| value * value).sum();
            prop_assert!((square - 1.0).abs() < 0.05, "{}", square);
            let nearest = verdict.recognition.unwrap();
            prop_assert!(nearest.distance.is_finite() && nearest.distance > -0.05, "{}", nearest.distance);
            prop_assert!(nearest.distance <= nearest.radius.unwrap());
            prop_assert!(score <= verdict.threshold.unwrap());
            prop_assert!(verdict.p_value.is_some_and(|p| p > 0.0 && p <= 1.0));
        }
    }
}
