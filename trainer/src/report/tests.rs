//! The page as a browser reads it.

use std::collections::BTreeMap;

use bundle::{
    calibration::{Calibration, RejectRate},
    geometry::{Map, RgbImage, Size},
    prototype::Prototype,
    schema::Class,
};
use scraper::{Html, Selector};

use super::{
    About, Gallery, Run, TrainingLog, gallery::choose, gather::Exhibit, html, palette::Palette,
    pictures::pictures,
};
use crate::{
    evaluate::{Evaluation, ImageScore, Report, Standards},
    run::LogRow,
    training::StepReport,
};

/// A file name that is a piece of HTML, an attribute's end and an entity.
const NASTY: &str = "<b>&\"'<script>alert(1)</script>";

/// What a made-up test set has.
#[derive(Clone, Copy)]
struct Made {
    products: &'static [&'static str],
    foreign: &'static [&'static str],
    good: u8,
    defective: u8,
    calibration: u16,
    has_masks: bool,
    has_log: bool,
}

const WHOLE: Made = Made {
    products: &["cap", NASTY],
    foreign: &["mug"],
    good: 6,
    defective: 6,
    calibration: 120,
    has_masks: true,
    has_log: true,
};

fn class(index: usize, name: &str, calibration: u16) -> Class {
    let mut direction = vec![0.0; 80];
    direction[index] = 1.0;
    let scores = (0..calibration).map(|i| f32::from(i) / 200.0).collect();
    let distances = (0..calibration).map(|i| f32::from(i) / 1000.0).collect();
    Class {
        name: name.into(),
        prototype: Prototype { direction },
        calibration: (calibration > 0).then(|| Calibration::new(scores, distances, "").unwrap()),
    }
}

/// The page about a test set that is made up; all but the numbers and pixels is the real way.
fn page(made: Made) -> String {
    let classes: Vec<Class> = made
        .products
        .iter()
        .enumerate()
        .map(|(index, name)| class(index, name, made.calibration))
        .collect();
    let standards = Standards::new(&classes, RejectRate::new(0.02).unwrap());
    let (mut images, mut embeddings) = (Vec::new(), Vec::new());
    for (index, product) in made.products.iter().chain(made.foreign).enumerate() {
        for i in 0..made.good + made.defective {
            let is_defective = i >= made.good;
            let score = f32::from(i) * 0.07;
            let mut embedding = vec![0.01 * f32::from(i % 3); 80];
            embedding[index] = 1.0;
            let judgement = standards.judge(score, &embedding);
            images.push(ImageScore {
                path: format!("parts/{product}/test/{i}.png").into(),
                product: (*product).into(),
                defect: is_defective.then(|| "<i>dent</i>".into()),
                score,
                recognised: judgement.nearest,
                decision: judgement.decision,
            });
            embeddings.push(embedding);
        }
    }
    let mut report = Report::of(&images, &standards.names());
    report.add_standards(&standards, RejectRate::new(0.02).unwrap());
    let curve = || vec![(0.0, 0.0), (0.1, 0.8), (0.3, 1.0)];
    let overlap_curves: BTreeMap<_, _> = made
        .products
        .iter()
        .filter(|_| made.has_masks)
        .map(|name| ((*name).to_owned(), curve()))
        .collect();
    let evaluation = Evaluation { report, images, embeddings, standards, overlap_curves };
    let palette = Palette::of(&evaluation.report);
    let gallery = Gallery { products: exhibits(&evaluation, &palette, made.has_masks) };
    let rows = (1..=100_u32).map(|step| LogRow {
        step: u64::from(step),
        report: StepReport {
            reconstruction: 3.0 / f64::from(step),
            local: 0.5,
            global: 0.0,
            global_pull: 0.0,
            gradient_norm: 1.0,
        },
        images_per_second: 8.0,
        waiting_share: 0.1,
    });
    let log = TrainingLog { beside: format!("{NASTY}.safetensors"), rows: rows.collect() };
    let about = About {
        model: NASTY.into(),
        model_file: "models/line.onnx".into(),
        data: NASTY.into(),
        when: "2026-01-01T00:00:00Z".into(),
        input: Size { width: 32, height: 32 },
    };
    let recipe = serde_json::json!({"iterations": 100, "decay_at": 0.8, "name": NASTY});
    let run = Run {
        about: &about,
        classes: &classes,
        evaluation: &evaluation,
        gallery: &gallery,
        log: made.has_log.then_some(&log),
        recipe: &recipe,
    };
    html(&run).unwrap()
}

fn exhibits(
    evaluation: &Evaluation,
    palette: &Palette,
    has_masks: bool,
) -> Vec<Vec<(super::gallery::Row, Vec<Exhibit>)>> {
    let size = Size { width: 32, height: 32 };
    let frame = RgbImage { size, pixels: vec![120; 32 * 32 * 3] };
    let map = Map { size, values: vec![0.1; 32 * 32] };
    let mask = vec![true; 32 * 32];
    let shown = |image| Exhibit {
        image,
        pictures: pictures(&frame, &map, has_masks.then_some(&mask), 1.0).unwrap(),
    };
    choose(&evaluation.images, palette.names(), palette.known().len())
        .into_iter()
        .map(|rows| {
            rows.into_iter()
                .map(|(row, images)| (row, images.into_iter().map(shown).collect()))
                .collect()
        })
        .collect()
}

fn parsed(text: &str) -> Html {
    let document = Html::parse_document(text);
    assert!(document.errors.is_empty(), "{:?}", document.errors);
    document
}

fn texts(document: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    document.select(&selector).map(|element| element.text().collect()).collect()
}

#[test]
fn a_page_parses_and_names_stay_names() {
    let text = page(WHOLE);
    let document = parsed(&text);
    assert_eq!(texts(&document, "h1"), [NASTY]);
    assert!(texts(&document, "script, b > script, i i").is_empty());
    assert!(texts(&document, "title")[0].contains(NASTY));
    for table in ["#metrics", "#acceptance", "#confusion"] {
        let rows = texts(&document, &format!("{table} tbody th"));
        assert!(rows.iter().any(|row| row.contains("cap")), "{table}: {rows:?}");
        assert!(rows.iter().any(|row| row.contains(NASTY)), "{table}: {rows:?}");
    }
    assert!(texts(&document, "#unknown tbody th")[0].contains("mug"));
    assert!(texts(&document, "figcaption .kind").iter().any(|kind| kind.contains("<i>dent</i>")));
    assert_eq!(texts(&document, "#curves svg").len(), 2);
    assert_eq!(texts(&document, "#scores svg").len(), 2);
    // The global loss is off in that run.
    assert_eq!(texts(&document, "#training svg").len(), 5);
}

#[test]
fn a_page_refers_to_nothing_outside_of_itself() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = page(WHOLE);
    let document = parsed(&text);
    let any = Selector::parse("*").unwrap();
    let mut pictures = 0;
    for element in document.select(&any) {
        assert!(!["script", "link", "iframe", "object", "embed"].contains(&element.value().name()));
        for (name, value) in element.value().attrs() {
            match name {
                "src" => {
                    let bytes = value.strip_prefix("data:image/jpeg;base64,").unwrap();
                    let image = image::load_from_memory(&STANDARD.decode(bytes).unwrap()).unwrap();
                    assert_eq!((image.width(), image.height()), (32, 32));
                    pictures += 1;
                }
                "href" => {
                    let target = Selector::parse(value).unwrap();
                    assert!(document.select(&target).next().is_some(), "{value} leads nowhere");
                }
                // A name of the vocabulary, which nothing fetches.
                "xmlns" => {}
                _ => assert!(!value.contains("http") && !value.contains("url("), "{name}={value}"),
            }
        }
    }
    assert!(pictures >= 20, "{pictures}");
    let style = texts(&document, "style").concat();
    assert!(!style.contains("url(") && !style.contains("@import"));
}

#[test]
fn what_a_data_set_lacks_is_said_where_it_would_stand() {
    let check = |made: Made, section: &str, words: &[&str]| {
        let document = parsed(&page(made));
        let found = texts(&document, section).concat();
        for word in words {
            assert!(found.contains(word), "{section}: `{word}` is not in {found}");
        }
        assert!(!found.contains("NaN") && !found.contains("inf"), "{section}: {found}");
    };
    check(Made { has_masks: false, ..WHOLE }, "#curves", &["no PRO curve", "ground_truth"]);
    check(Made { has_masks: false, ..WHOLE }, "#gallery", &["not drawn"]);
    check(Made { has_log: false, ..WHOLE }, "#training", &["log was not found"]);
    let no_defects = Made { defective: 0, ..WHOLE };
    check(no_defects, ".verdict", &["no defective part", "refuses"]);
    check(no_defects, "#curves", &["no ROC curve"]);
    check(no_defects, "#scores", &["no defective part of this product"]);
    check(no_defects, "#gallery", &["no defective part of this product"]);
    check(no_defects, "#acceptance", &["no such test part"]);
    check(Made { good: 0, ..WHOLE }, "#scores", &["no good part of this product"]);
    let uncalibrated = Made { calibration: 0, ..WHOLE };
    check(uncalibrated, "#acceptance", &["does not hold for", "cap", "calibrate"]);
    check(uncalibrated, "#scores", &["no threshold"]);
    check(Made { calibration: 9, ..WHOLE }, ".verdict", &["For 2 of 2 products"]);
    check(Made { products: &["cap"], foreign: &[], ..WHOLE }, "#confusion", &["knows one product"]);
    check(Made { products: &[], ..WHOLE }, "#metrics", &["no test part of a product"]);
    let nothing = Made { good: 0, defective: 0, ..WHOLE };
    check(nothing, "#gallery", &["no part to show"]);
    check(nothing, "#embedding", &["nothing to lay out"]);
}

#[test]
fn sixty_products_stay_a_page() {
    let names: Vec<&'static str> =
        (0..60).map(|i| &*Box::leak(format!("product-{i:02}").into_boxed_str())).collect();
    let made = Made { products: names.leak(), good: 20, defective: 20, ..WHOLE };
    let text = page(made);
    let document = parsed(&text);
    assert_eq!(texts(&document, "#metrics tbody tr").len(), 60);
    // Eight products a plot.
    assert_eq!(texts(&document, "#curves svg").len(), 16);
    let open = texts(&document, "details.product[open]");
    assert!(open.is_empty(), "{} galleries are open", open.len());
    let pictures = Selector::parse("img").unwrap();
    assert!(document.select(&pictures).count() <= 800);
    assert!(text.len() < 10_000_000, "{} bytes", text.len());
}
