//! Files that nobody meant to be read: models and calibration files, damaged, forged and made up.
//!
//! Each is refused, or what is accepted satisfies every invariant; reading takes a bounded multiple of the file's memory.

#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    clippy::panic,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "tests"
)]

mod peak;

use std::{collections::BTreeMap, path::Path, sync::OnceLock};

use bundle::{
    calibration::Calibration,
    calibration_file::{CalibrationFile, CalibrationFileError, FORMAT},
    model_file::{self, ModelFileError},
    schema::{Class, Document},
};
use proptest::prelude::*;

/// Memory for a byte of the file, and for no file at all. The most comes from a recipe of nothing but tiny values, which
/// is kept as JSON: 32 bytes for each, in a list that doubles.
const BYTES_PER_BYTE: usize = 48;
const BYTES_AT_LEAST: usize = 1 << 16;

/// The model that is shipped.
fn real() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| std::fs::read("../models/demo.onnx").unwrap())
}

/// Its document, whose golden frames are left out but for one, and whose calibrations are cut short.
fn document() -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut document = model_file::read_bytes(real()).unwrap().document;
        document.golden.truncate(1);
        document.classes.truncate(3);
        for class in &mut document.classes {
            class.calibration = Some(calibration(12));
        }
        document
    })
}

fn calibration(len: u16) -> Calibration {
    let scores: Vec<f32> = (0..len).map(|index| f32::from(index) / 16.0).collect();
    Calibration::new(scores.clone(), scores, "line").unwrap()
}

/// IR version, an empty graph, and then what is given.
fn onnx(more: &[u8]) -> Vec<u8> {
    [&[0x08, 8, 0x3a, 0], more].concat()
}

/// The small document in a model file of its own.
fn small() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| model_file::with_document(&onnx(&[]), document()).unwrap())
}

/// Reads within the memory that the file's length allows.
fn within_memory<T>(bytes: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
    let (done, peak) = peak::during(|| read(bytes));
    let allowed = BYTES_PER_BYTE * bytes.len() + BYTES_AT_LEAST;
    assert!(peak <= allowed, "{} bytes took {peak} of memory, allowed are {allowed}", bytes.len());
    done
}

/// A model is refused, or all of it is sound.
fn refused_or_sound(bytes: &[u8]) -> Result<(), ModelFileError> {
    let file = within_memory(bytes, model_file::read_bytes)?;
    let Document { geometry, classes, golden, tolerance, .. } = &file.document;
    geometry.validate().unwrap();
    assert!(geometry.input.width <= 32_768 && geometry.input.height <= 32_768);
    assert!((1..=64).contains(&geometry.input_count()));
    for tolerance in [tolerance.score, tolerance.embedding, tolerance.map] {
        assert!(tolerance.is_finite() && tolerance >= 0.0, "{tolerance}");
    }
    let mut names: Vec<_> = classes.iter().map(|class| &class.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), classes.len());
    for Class { name, prototype, calibration } in classes {
        assert!(!name.is_empty() && !name.chars().any(char::is_control), "{name:?}");
        let square: f32 = prototype.direction.iter().map(|value| value * value).sum();
        assert!((square - 1.0).abs() < 1e-3, "{square}");
        assert!(calibration.as_ref().is_none_or(is_sound));
    }
    for golden in golden {
        assert_eq!(golden.map.len(), 256);
        let mut answers = golden.map.iter().chain(&golden.embedding).chain([&golden.score]);
        assert!(answers.all(|value| value.is_finite()));
        // A picture that is none is an error, and none takes more than the largest.
        if let (Ok(image), peak) = peak::during(|| golden.decode()) {
            assert_eq!(
                image.pixels.len(),
                image.size.width as usize * image.size.height as usize * 3
            );
            assert!(peak < 256 << 20, "{peak}");
        }
    }
    Ok(())
}

fn is_sound(calibration: &Calibration) -> bool {
    let ascending = |values: &[f32]| {
        values.iter().all(|value| value.is_finite()) && values.is_sorted_by(|a, b| a <= b)
    };
    calibration.count() > 0
        && calibration.scores().len() == calibration.distances().len()
        && ascending(calibration.scores())
        && ascending(calibration.distances())
}

/// What happens to a file.
#[derive(Clone, Debug)]
enum Damage {
    Bit(usize, u8),
    CutOff(usize),
    Removed(usize, usize),
    Twice(usize, usize),
    Other(usize, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<usize>;
    prop_oneof![
        4 => (at(), 0_u8..8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        1 => at().prop_map(Damage::CutOff),
        1 => (at(), 1_usize..200).prop_map(|(at, len)| Damage::Removed(at, len)),
        1 => (at(), 1_usize..200).prop_map(|(at, len)| Damage::Twice(at, len)),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, with)| Damage::Other(at, with)),
    ]
}

/// The damage is done behind `from`.
fn damaged(bytes: &[u8], from: usize, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        let place = |at: usize| from + at % (bytes.len() - from).max(1);
        let end = |at: usize, len: usize| (place(at) + len).min(bytes.len());
        match damage {
            _ if bytes.len() <= from => break,
            Damage::Bit(at, bit) => {
                let at = place(*at);
                bytes[at] ^= 1 << bit;
            }
            Damage::CutOff(at) => bytes.truncate(place(*at)),
            Damage::Removed(at, len) => drop(bytes.drain(place(*at)..end(*at, *len))),
            Damage::Twice(at, len) => {
                let (start, end) = (place(*at), end(*at, *len));
                let part = bytes[start..end].to_vec();
                bytes.splice(end..end, part);
            }
            Damage::Other(at, with) => {
                let (start, end) = (place(*at), end(*at, with.len()));
                bytes.splice(start..end, with.iter().copied());
            }
        }
    }
    bytes
}

/// Numbers that a parser, a cast or a sum may trip over.
const NUMBERS: [&str; 20] = [
    "1e999",
    "-1e999",
    "1e39",
    "-1e39",
    "3.4e38",
    "1e-999",
    "-0",
    "-1",
    "0",
    "1",
    "4294967295",
    "4294967296",
    "2147483648",
    "18446744073709551616",
    "1e308",
    "NaN",
    "Infinity",
    "null",
    "true",
    "[]",
];

/// The text with its `index`-th number, from 0 and round again, replaced.
fn with_number(json: &str, index: usize, number: &str) -> String {
    let mut places = Vec::new();
    let (mut in_text, mut before) = (false, ' ');
    for (at, c) in json.char_indices() {
        // No text in the document has a quote in it.
        in_text ^= c == '"';
        if !in_text && (c.is_ascii_digit() || c == '-') && "[,:".contains(before) {
            places.push(at);
        }
        before = c;
    }
    let start = places[index % places.len()];
    let end = start + json[start..].find([',', ']', '}']).unwrap();
    format!("{}{number}{}", &json[..start], &json[end..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_shipped_model_damaged_anywhere_is_refused_or_sound(damages in prop::collection::vec(damage(), 1..4)) {
        let _refused = refused_or_sound(&damaged(real(), 0, &damages));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn metadata_damaged_anywhere_is_refused_or_sound(damages in prop::collection::vec(damage(), 1..4)) {
        let _refused = refused_or_sound(&damaged(small(), 0, &damages));
    }

    #[test]
    fn metadata_with_another_number_is_refused_or_sound(
        changes in prop::collection::vec((any::<usize>(), prop::sample::select(&NUMBERS[..])), 1..4),
    ) {
        let mut json = document().to_json().unwrap();
        for (index, number) in changes {
            json = with_number(&json, index, number);
        }
        let _refused = refused_or_sound(&model_of(&json));
    }

    #[test]
    fn fields_of_any_kind_and_length_are_refused_or_sound(
        fields in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..20),
        rest in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = onnx(&[]);
        for (key, content) in fields {
            bytes.extend([key, content.len() as u8]);
            bytes.extend(content);
        }
        bytes.extend(rest);
        prop_assert!(refused_or_sound(&bytes).is_err());
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A model file with this text for its document.
fn model_of(json: &str) -> Vec<u8> {
    let field = |number: u8, content: &[u8]| {
        [&[number << 3 | 2][..], &varint(content.len() as u64), content].concat()
    };
    let entry = [field(1, b"sightline.bundle"), field(2, json.as_bytes())].concat();
    onnx(&field(14, &entry))
}

#[test]
fn bombs_are_refused_within_bounded_memory() {
    let check = |bytes: &[u8], expected: &str| {
        let error = refused_or_sound(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    };
    // Lengths that no file has.
    for length in [1 << 31, u64::from(u32::MAX), 1 << 62, 1 << 63, u64::MAX] {
        check(&onnx(&[&[0x72][..], &varint(length)].concat()), "ends too early");
    }
    check(
        &onnx(&[0x72, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        "not an ONNX model",
    );
    // A field in every two bytes, at the top and in an entry.
    // The walk over them takes no memory at all.
    let many = [0x08, 0].repeat(1 << 20);
    let entry = [&[0x72][..], &varint(many.len() as u64), &many].concat();
    for bytes in [onnx(&many), onnx(&entry)] {
        check(&bytes, "without Sightline's metadata");
        let (_refused, peak) = peak::during(|| drop(model_file::read_bytes(&bytes)));
        assert!(peak < 1_000, "{peak}");
    }
    // JSON: deep, long, and with as many values as there are bytes.
    check(&model_of(&"[".repeat(1 << 20)), "cannot be read");
    check(&model_of(&"{\"format\":".repeat(1 << 18)), "cannot be read");
    let recipe = |value: &str| {
        let json = document().to_json().unwrap();
        let (before, after) = json.split_once("\"recipe\":").unwrap();
        let after = &after[after.find(",\"created\"").unwrap()..];
        model_of(&format!("{before}\"recipe\":{value}{after}"))
    };
    refused_or_sound(&recipe("{}")).unwrap();
    refused_or_sound(&recipe(&format!("[{}0]", "[],".repeat(1 << 18)))).unwrap();
    refused_or_sound(&recipe(&format!("[{}0]", "0,".repeat(1 << 19)))).unwrap();
    refused_or_sound(&recipe(&format!("\"{}\"", "x".repeat(1 << 20)))).unwrap();
    check(&recipe(&"[".repeat(1 << 20)), "cannot be read");
    check(&recipe(&format!("{}{}", "[".repeat(200), "]".repeat(200))), "cannot be read");
}

const SHA256: &str = "aa";

fn site(classes: &[&str]) -> CalibrationFile {
    let classes = classes.iter().map(|name| ((*name).into(), calibration(9))).collect();
    CalibrationFile { format: FORMAT, classes, ..CalibrationFile::of_model(SHA256.into()) }
}

fn parse(bytes: &[u8]) -> Result<CalibrationFile, CalibrationFileError> {
    within_memory(bytes, |bytes| CalibrationFile::parse(Path::new("site.json"), bytes))
}

/// A calibration file is refused, or sound and laid over the classes as a whole.
fn refused_or_applied(bytes: &[u8]) {
    let Ok(file) = parse(bytes) else { return };
    assert_eq!(file.format, FORMAT);
    assert!(file.classes.values().all(is_sound));
    let before = &document().classes;
    let mut after = before.clone();
    if file.apply(SHA256, &mut after).is_err() {
        assert_eq!(after, *before);
        let is_others = file.model_sha256 != SHA256;
        let is_known = |name: &String| before.iter().any(|class| class.name == *name);
        assert!(is_others || !file.classes.keys().all(is_known));
        return;
    }
    assert_eq!(file.model_sha256, SHA256);
    for (before, after) in before.iter().zip(&after) {
        let expected = file.classes.get(&before.name).or(before.calibration.as_ref());
        assert_eq!(after.calibration.as_ref(), expected);
    }
}

#[test]
fn a_calibration_file_that_is_cut_off_anywhere_is_refused() {
    let names: Vec<_> = document().classes.iter().map(|class| class.name.as_str()).collect();
    let whole = serde_json::to_vec(&site(&names)).unwrap();
    assert_eq!(parse(&whole).unwrap(), site(&names));
    for len in 0..whole.len() {
        assert!(
            parse(&whole[..len]).is_err(),
            "of {} bytes the first {len} are taken",
            whole.len()
        );
    }
}

#[test]
fn a_calibration_file_of_another_model_or_version_is_refused() {
    let name = document().classes[0].name.as_str();
    let file = site(&[name]);
    let mut classes = document().classes.clone();
    for other in ["", "ab", "AA", "aa "] {
        let error = file.apply(other, &mut classes).unwrap_err();
        assert!(matches!(error, CalibrationFileError::OtherModel { .. }), "{error}");
    }
    assert_eq!(classes, document().classes);
    let newer = CalibrationFile { format: FORMAT + 1, ..file };
    let error = parse(&serde_json::to_vec(&newer).unwrap()).unwrap_err();
    assert!(matches!(error, CalibrationFileError::Version { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_calibration_file_survives(
        classes in prop::collection::btree_map(
            any::<String>(),
            prop::collection::vec((any::<f32>(), any::<f32>()), 1..30).prop_map(|pairs| {
                let (scores, distances) = pairs.into_iter().unzip();
                Calibration::new(scores, distances, "a \"line\"\n")
            }),
            0..4,
        ),
        model_sha256 in any::<String>(),
    ) {
        let classes: Result<BTreeMap<_, _>, _> =
            classes.into_iter().map(|(name, made)| made.map(|made| (name, made))).collect();
        let file = CalibrationFile { classes: classes.unwrap(), ..CalibrationFile::of_model(model_sha256) };
        prop_assert_eq!(parse(&serde_json::to_vec(&file).unwrap()).unwrap(), file);
    }

    #[test]
    fn a_calibration_file_damaged_anywhere_is_refused_or_sound(
        damages in prop::collection::vec(damage(), 1..4),
        changes in prop::collection::vec((any::<usize>(), prop::sample::select(&NUMBERS[..])), 0..3),
        unknown in any::<bool>(),
    ) {
        let known = document().classes[0].name.as_str();
        let names = if unknown { vec![known, "zz"] } else { vec![known] };
        let mut json = serde_json::to_string(&site(&names)).unwrap();
        for (index, number) in changes {
            json = with_number(&json, index, number);
        }
        refused_or_applied(json.as_bytes());
        refused_or_applied(&damaged(json.as_bytes(), 0, &damages));
    }

    #[test]
    fn no_bytes_are_a_calibration_file(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(&bytes).is_err());
    }
}
