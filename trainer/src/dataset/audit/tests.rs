//! Findings on products and facts that no file stands behind.

use super::*;
use crate::dataset::{TestImage, survey::MaskFacts};

fn facts(pixels: &str) -> ImageFacts {
    ImageFacts {
        size: Size { width: 8, height: 8 },
        mode: "rgb 8".to_owned(),
        largest_16_bit: None,
        is_transparent: false,
        pixels_sha256: pixels.to_owned(),
    }
}

/// Fifty good parts, a good test part, a dent with its mask: nothing to say about them.
fn sound() -> (Dataset, Survey) {
    let good: Vec<PathBuf> = (0..100).map(|i| PathBuf::from(format!("train/{i:03}"))).collect();
    let image = |path: &str, defect: Option<&str>, mask: Option<&str>| TestImage {
        path: path.into(),
        defect: defect.map(str::to_owned),
        mask: mask.map(PathBuf::from),
    };
    let test =
        vec![image("test/good", None, None), image("test/dent", Some("dent"), Some("mask/dent"))];
    let mut survey = Survey::default();
    for path in good.iter().chain(test.iter().map(|image| &image.path)) {
        survey.images.insert(path.clone(), Ok(facts(&path.display().to_string())));
    }
    let mask = MaskFacts { size: Size { width: 8, height: 8 }, defective_px: 1 };
    survey.masks.insert("mask/dent".into(), Ok(mask));
    let cap = Product { name: "cap".to_owned(), good, test, ..Product::default() };
    (Dataset { roots: vec!["parts".into()], classes: vec![cap] }, survey)
}

/// What is told after a change to the sound set: words of the only finding.
fn check(change: impl FnOnce(&mut Product, &mut Survey), severity: Severity, words: &str) {
    let (mut data, mut survey) = sound();
    change(&mut data.classes[0], &mut survey);
    let audit = Audit::of(&data, &survey, 0.2);
    let found: Vec<&Finding> = audit.errors.iter().chain(&audit.warnings).collect();
    let [finding] = found.as_slice() else { panic!("`{words}`: {found:?}") };
    assert_eq!(finding.severity(), severity, "{finding}");
    assert_eq!(audit.usable, severity == Severity::Warning);
    assert!(finding.to_string().contains(words), "`{words}` is not in `{finding}`");
    assert!(audit.to_string().contains(words));
}

fn image<'a>(survey: &'a mut Survey, path: &str) -> &'a mut ImageFacts {
    survey.images.get_mut(Path::new(path)).unwrap().as_mut().unwrap()
}

fn mask(survey: &mut Survey) -> &mut MaskFacts {
    survey.masks.get_mut(Path::new("mask/dent")).unwrap().as_mut().unwrap()
}

#[test]
fn a_sound_set_is_counted_and_nothing_is_said() {
    let (data, survey) = sound();
    let audit = Audit::of(&data, &survey, 0.2);
    assert!(audit.usable && audit.errors.is_empty() && audit.warnings.is_empty(), "{audit}");
    let cap = &audit.products["cap"];
    assert_eq!((cap.train_good, cap.held_out, cap.test_good, cap.masks), (100, 20, 1, 1));
    assert_eq!(cap.least_reject_rate, Some(2.0 / 21.0));
    assert_eq!(cap.defects, BTreeMap::from([("dent".to_owned(), 1)]));
    assert_eq!((cap.sizes_px, cap.distinct_sizes), (Some([Size { width: 8, height: 8 }; 2]), 1));
    assert_eq!(cap.modes, BTreeMap::from([("rgb 8".to_owned(), 102)]));
}

#[test]
fn what_spoils_every_figure_is_an_error() {
    let error = Severity::Error;
    check(
        |_, survey| {
            survey.images.insert("train/003".into(), Err("is cut off".to_owned()));
        },
        error,
        "train/003 is cut off; replace",
    );
    check(
        |_, survey| {
            survey.masks.insert("mask/dent".into(), Err("is empty".to_owned()));
        },
        error,
        "mask/dent is empty",
    );
    check(
        |_, survey| image(survey, "test/good").pixels_sha256 = "train/007".to_owned(),
        error,
        "leak: train/007 to learn from and test/good to measure with",
    );
    // One error for each file, and one for the product.
    let (data, mut survey) = sound();
    for facts in survey.images.values_mut() {
        *facts = Err("is empty".to_owned());
    }
    let audit = Audit::of(&data, &survey, 0.2);
    assert!(audit.errors.contains(&Finding::NoGoodParts { product: "cap".to_owned() }));
    let told = audit.to_string();
    assert!(told.contains("... and 92 more of this kind"), "{told}");
}

#[test]
fn what_a_person_should_know_is_a_warning() {
    let warning = Severity::Warning;
    check(
        |_, survey| image(survey, "train/008").pixels_sha256 = "train/007".to_owned(),
        warning,
        "train/007, train/008 have the same pixels: one may be held out",
    );
    check(
        |_, survey| image(survey, "test/good").pixels_sha256 = "test/dent".to_owned(),
        warning,
        "test/dent, test/good have the same pixels and count",
    );
    check(
        |cap, _| cap.unclaimed_masks.push("mask/lost".into()),
        warning,
        "mask/lost belongs to no",
    );
    check(
        |cap, survey| {
            let path = PathBuf::from("test/bare");
            survey.images.insert(path.clone(), Ok(facts("bare")));
            cap.test.push(TestImage { path, defect: Some("dent".to_owned()), mask: None });
        },
        warning,
        "1 defective images without a mask",
    );
    check(|_, survey| mask(survey).size.width = 9, warning, "mask/dent is 9x8, its image 8x8");
    check(|_, survey| mask(survey).defective_px = 0, warning, "marks nothing");
    check(|_, survey| mask(survey).defective_px = 64, warning, "marks the whole image");
    check(
        |_, survey| image(survey, "train/008").largest_16_bit = Some(4095),
        warning,
        "1 images with 16 bits and no value above 4095",
    );
    check(|_, survey| image(survey, "train/008").is_transparent = true, warning, "transparent");
    check(|cap, _| cap.left_out.push("train/ng".into()), warning, "lists 1 defective");
    check(|cap, _| cap.good.truncate(50), warning, "has 10 parts held out");
}

#[test]
fn what_is_ordinary_is_not_told() {
    let (mut data, mut survey) = sound();
    // All 16 bits are used.
    image(&mut survey, "train/008").largest_16_bit = Some(TWELVE_BITS);
    // The same digest, another shape: other pixels.
    image(&mut survey, "train/009").pixels_sha256 = "train/010".to_owned();
    image(&mut survey, "train/009").size = Size { width: 4, height: 16 };
    // Nobody drew any mask.
    data.classes[0].test[1].mask = None;
    let audit = Audit::of(&data, &survey, 0.2);
    assert!(audit.warnings.is_empty(), "{audit}");
}
