//! Configuration files: typed in haste, generated, damaged, or another file altogether.

use std::{collections::BTreeSet, fmt::Write as _, path::Path, time::Duration};

use proptest::{prelude::*, sample::Index};
use sightline::{
    channel::Overflow,
    config::{self, ConfigError, Format, Scaling, Settings, example_file},
};

use super::{FRAGMENTS, is_one_line, value};
use crate::{
    peak,
    support::{Scratch, stderr},
};

/// Memory for a byte of the text, and for none: the parser keeps some 50 bytes for each of its tokens.
const BYTES_PER_BYTE: usize = 160;
const BYTES_AT_LEAST: usize = 1 << 17;

/// The one table that the example has commented out.
const RECIPE: &str = "[[recipe]]";

/// How a table begins: some may be there several times.
fn head(table: &str) -> String {
    if SEVERAL.contains(&table) { format!("[[{table}]]") } else { format!("[{table}]") }
}

const SEVERAL: [&str; 2] = ["camera", "recipe"];

/// Every key of the example, with the table that it stands in and the example's value.
fn keys() -> Vec<(String, String, String)> {
    let (mut table, mut keys) = (String::new(), Vec::new());
    for line in example_file().lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        if line.starts_with('[') || bare == RECIPE {
            bare.trim_matches(['[', ']']).clone_into(&mut table);
        } else if let Some((name, value)) = bare.split_once(" = ")
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            keys.push((table.clone(), name.to_owned(), value.to_owned()));
        }
    }
    assert!(keys.len() > 20, "the example's form has changed: {keys:?}");
    keys
}

/// The example with every key in force.
fn example() -> String {
    let keys = keys();
    let is_key =
        |line: &str| keys.iter().any(|(_, name, value)| line == format!("{name} = {value}"));
    example_file()
        .lines()
        .map(|line| {
            let bare = line.strip_prefix("# ");
            bare.filter(|bare| is_key(bare) || *bare == RECIPE).unwrap_or(line)
        })
        .fold(String::new(), |text, line| text + line + "\n")
}

fn read(text: &str) -> Result<Settings, ConfigError> {
    let (read, peak) = peak::during(|| config::read(text, Path::new("/line")));
    let allowed = BYTES_PER_BYTE * text.len() + BYTES_AT_LEAST;
    assert!(peak <= allowed, "{} bytes took {peak} of memory, allowed are {allowed}", text.len());
    read
}

/// Refused in one line that names a place and a remedy, or settings within every documented bound.
fn refused_or_within_bounds(text: &str) {
    match read(text) {
        Ok(settings) => within_bounds(&settings),
        Err(error) => {
            let line = error.to_string();
            assert!(is_one_line(&line), "{line:?}");
            match error {
                ConfigError::Syntax { line, message } => assert!(line > 0 && !message.is_empty()),
                ConfigError::UnknownKey { path, hint } => {
                    assert!(!path.is_empty() || text.contains("\"\""), "{line}");
                    assert!(
                        hint.starts_with("did you mean ") || hint.starts_with("known are "),
                        "{line}"
                    );
                }
                ConfigError::Missing { path, meaning } => {
                    assert!(!path.is_empty() && !meaning.is_empty());
                }
                ConfigError::Value { path, expected, .. } => {
                    assert!(!path.is_empty() && !expected.is_empty(), "{line}");
                }
            }
        }
    }
}

fn within_bounds(settings: &Settings) {
    let Settings { engine, judge, ledger, http, cameras, recipes, .. } = settings;
    let known = |name: &String| recipes.iter().any(|recipe| recipe.name == *name);
    assert!(recipes.len() <= 64);
    let onnx = &engine.onnx;
    assert!((1..=3).contains(&engine.wish.providers.len()));
    assert!((1..=3).contains(&engine.wish.arithmetics.len()));
    assert!((1..=32).contains(&onnx.batch_max) && (0..=15).contains(&onnx.device));
    assert!(engine.batch_wait <= Duration::from_secs(1));
    assert!(onnx.gpu_memory_max.is_none_or(|bytes| (64 << 20..=1 << 40).contains(&bytes)));
    assert!(onnx.threads.is_none_or(|threads| (1..=256).contains(&threads)));
    assert!((60..=7 * 24 * 3600).contains(&engine.golden_every.as_secs()));
    for rate in judge.rates.values().chain([&judge.reject_rate]) {
        assert!(rate.get() >= 1e-6 && rate.get() < 1.0);
    }
    let days = ledger.retention.age_max.as_secs() / 86_400;
    assert!((1..=36_500).contains(&days));
    assert!((1_000_000..=16_000_000_000_000).contains(&ledger.retention.bytes_max));
    assert!(http.as_ref().is_none_or(|http| {
        let is_far = !http.listen.ip().is_loopback() || !http.hosts.is_empty();
        !is_far
            || http.users.is_some()
                && (http.tls.is_some() || http.is_behind_proxy || http.listen.ip().is_loopback())
    }));
    assert!((1..=64).contains(&cameras.len()));
    let names: BTreeSet<_> = cameras.iter().map(|camera| &camera.name).collect();
    assert_eq!(names.len(), cameras.len());
    for camera in cameras {
        assert!(camera.recipes.iter().all(known));
        assert!(camera.recipe.iter().all(|name| camera.recipes.contains(name)));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!((1..=64).contains(&camera.name.len()) && camera.name.chars().all(plain));
        assert!((1..=1024).contains(&camera.queue_len));
        assert!(camera.products.as_ref().is_none_or(|products| !products.is_empty()));
        assert!((1..=1 << 24).contains(&camera.defect_area_min_px));
        assert!(camera.part.is_none_or(|part| {
            (1..=1000).contains(&part.frames) && (1..=part.frames).contains(&part.fails)
        }));
        let policy = camera.reconnect;
        let waits = [policy.stall_after, policy.frozen_after, policy.first_wait, policy.wait_max];
        for wait in waits.into_iter().chain(policy.give_up_after) {
            assert!(
                wait >= Duration::from_millis(100) && wait <= Duration::from_hours(24),
                "{wait:?}"
            );
        }
    }
}

/// What may stand to the right of a key.
fn toml_value() -> impl Strategy<Value = String> {
    let number = prop::sample::select(vec![
        "0",
        "-0",
        "1",
        "-1",
        "2",
        "0.5",
        "nan",
        "-nan",
        "inf",
        "-inf",
        "1e308",
        "1e309",
        "1e-308",
        "4294967296",
        "-4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "0x7fffffffffffffff",
        "1_000",
        "1e1000000000",
    ])
    .prop_map(str::to_owned);
    let text = value().prop_map(|text| toml::Value::String(text).to_string());
    let leaf = prop_oneof![
        3 => number,
        3 => text,
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| toml::Value::Float(number).to_string()),
        1 => prop::sample::select(vec!["true", "false", "2026-01-01", "07:32:00", "\"\"", "[]", "{}", "", "="])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{{ location = {a}, cap = {b} }}")),
        ]
    })
}

/// What a camera is given: flags are overflow every, scaling exact, realtime, loop.
#[derive(Clone, Debug)]
struct Given {
    name: String,
    flags: [bool; 4],
    queue_len: usize,
    products: BTreeSet<String>,
    waits_secs: [f64; 5],
    pattern: String,
}

fn given() -> impl Strategy<Value = Given> {
    let secs = || (1_u32..=864_000).prop_map(|tenths| f64::from(tenths) / 10.0);
    (
        "[A-Za-z0-9_-]{1,64}",
        any::<[bool; 4]>(),
        1_usize..=1024,
        prop::collection::btree_set("\\PC{1,8}", 1..4),
        [secs(), secs(), secs(), secs(), secs()],
        value(),
    )
        .prop_map(|(name, flags, queue_len, products, waits_secs, pattern)| Given {
            name,
            flags,
            queue_len,
            products,
            waits_secs,
            pattern,
        })
}

impl Given {
    fn typed(&self) -> String {
        let [every, exact, realtime, repeat] = self.flags;
        let quoted = |text: &String| toml::Value::String(text.clone()).to_string();
        let products: Vec<_> = self.products.iter().map(quoted).collect();
        let [stall, frozen, first, most, give_up] = self.waits_secs;
        format!(
            "[[camera]]\nname = \"{}\"\npreset = \"test\"\noverflow = \"{}\"\nscaling = \"{}\"\n\
             realtime = {realtime}\nloop = {repeat}\nqueue_len = {}\nproducts = [{}]\nparameters.pattern = {}\n\
             stall_after_secs = {stall}\nfrozen_after_secs = {frozen}\nreconnect_first_secs = {first}\n\
             reconnect_max_secs = {most}\ngive_up_after_secs = {give_up}\n",
            self.name,
            if every { "every" } else { "latest" },
            if exact { "exact" } else { "pipeline" },
            self.queue_len,
            products.join(", "),
            quoted(&self.pattern),
        )
    }

    fn check(&self, settings: &Settings) {
        let [every, exact, realtime, repeat] = self.flags;
        let camera = &settings.cameras[0];
        assert_eq!((&camera.name, &*camera.preset), (&self.name, "test"));
        assert_eq!(camera.overflow, if every { Overflow::Every } else { Overflow::Latest });
        assert_eq!(camera.scaling, if exact { Scaling::Exact } else { Scaling::Pipeline });
        assert_eq!((camera.realtime, camera.repeat), (realtime, repeat));
        assert_eq!(camera.queue_len, self.queue_len);
        assert_eq!(camera.products.as_ref(), Some(&self.products));
        assert_eq!(camera.parameters["pattern"], self.pattern);
        assert!((1..=1 << 24).contains(&camera.defect_area_min_px));
        assert!(camera.part.is_none_or(|part| {
            (1..=1000).contains(&part.frames) && (1..=part.frames).contains(&part.fails)
        }));
        let policy = camera.reconnect;
        let waits = [policy.stall_after, policy.frozen_after, policy.first_wait, policy.wait_max];
        let waits: Vec<_> = waits.into_iter().chain(policy.give_up_after).collect();
        assert_eq!(waits, self.waits_secs.map(Duration::from_secs_f64));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_example_damaged_anywhere_is_refused_or_within_bounds(
        changes in prop::collection::vec((any::<Index>(), 0_usize..40, prop::sample::select(&FRAGMENTS[..]), 0_u8..4), 1..6),
    ) {
        let mut bytes = example().into_bytes();
        for (at, len, fragment, what) in changes {
            let start = at.index(bytes.len().max(1));
            let end = (start + len).min(bytes.len());
            match what {
                0 => drop(bytes.splice(start..end, fragment.bytes())),
                1 => drop(bytes.drain(start..end)),
                2 => {
                    let part = bytes[start..end].to_vec();
                    drop(bytes.splice(end..end, part));
                }
                _ => if let Some(byte) = bytes.get_mut(start) { *byte ^= 1 << (len % 8); },
            }
        }
        refused_or_within_bounds(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_value_of_any_key_is_refused_or_within_bounds(
        given in prop::collection::vec((any::<Index>(), toml_value()), 1..4),
    ) {
        let keys = keys();
        let mut text = String::from("[[camera]]\nname = \"top\"\npreset = \"test\"\n");
        for (index, value) in given {
            let (table, name, _) = index.get(&keys);
            // A table that is there twice is refused as well.
            let head = if table == "camera" { String::new() } else { head(table) + "\n" };
            writeln!(text, "{head}{name} = {value}").unwrap();
        }
        refused_or_within_bounds(&text);
    }

    #[test]
    fn any_text_is_refused_or_within_bounds(text in any::<String>(), words in prop::collection::vec(value(), 0..20)) {
        refused_or_within_bounds(&text);
        refused_or_within_bounds(&words.join("\n"));
    }

    #[test]
    fn a_slip_in_a_key_is_refused_with_the_right_key(
        index in any::<Index>(), at in any::<Index>(), letter in "[a-z_]", slip in 0_u8..4,
    ) {
        let keys = keys();
        let (table, name, value) = index.get(&keys);
        let mut letters: Vec<char> = name.chars().collect();
        let at = at.index(letters.len());
        let letter = letter.chars().next().unwrap();
        match slip {
            0 => letters[at] = letter,
            1 => letters.insert(at, letter),
            2 => drop(letters.remove(at)),
            _ => letters.swap(at, (at + 1) % name.len()),
        }
        let slipped: String = letters.into_iter().collect();
        prop_assume!(!keys.iter().any(|(home, known, _)| home == table && *known == slipped));
        // The last letter and the first are no neighbours.
        prop_assume!(slip < 3 || at + 1 < name.len());
        // Nor is it told which of two keys was meant that are as near.
        let is_as_near = |known: &str| known != name && strsim::damerau_levenshtein(known, &slipped) == 1;
        prop_assume!(!keys.iter().any(|(home, known, _)| home == table && is_as_near(known)));
        let head = head(table);
        let error = read(&format!("{head}\n{slipped} = {value}\n")).unwrap_err();
        let path = if SEVERAL.contains(&&**table) { format!("{table}[0].{slipped}") } else { format!("{table}.{slipped}") };
        prop_assert_eq!(error, ConfigError::UnknownKey { path, hint: format!("did you mean \"{name}\"?") });
    }

    #[test]
    fn what_a_camera_is_given_is_what_it_gets(given in given()) {
        let settings = read(&given.typed()).unwrap();
        within_bounds(&settings);
        given.check(&settings);
    }

    #[test]
    fn what_a_line_is_given_is_what_it_gets(
        (threads, mins, days, megabytes, port) in (1_usize..=256, 1_u64..=10_080, 1_u64..=36_500, 1_u64..=16_000_000, any::<u16>()),
        (rate, unrated) in (1e-6_f64..0.999_999, any::<bool>()),
        rates in prop::collection::btree_map("\\PC{1,12}", 1e-6_f64..0.999_999, 0..4),
        format in 0_usize..3,
        path in "[^\0-\u{1f}\u{7f}-\u{9f}/][^\0-\u{1f}\u{7f}-\u{9f}]{0,20}",
    ) {
        let given = toml::Value::String(path.clone());
        let listed: Vec<_> = rates
            .iter()
            // JSON's quotes are TOML's, for a key.
            .map(|(name, rate)| format!("{} = {rate:?}", serde_json::Value::from(name.as_str())))
            .collect();
        let listed = format!("{{ {} }}", listed.join(", "));
        let text = format!(
            "[model]\npath = {given}\ncalibration = {given}\n\
             [engine]\nlibrary = {given}\nproviders = [\"cuda\", \"cpu\"]\nthreads = {threads}\ngolden_every_mins = {mins}\n\
             [judge]\nfalse_reject_rate = {rate:?}\nrates = {listed}\nallow_unrated = {unrated}\n\
             [output]\nformat = \"{}\"\n[ledger]\npath = {given}\nkeep_days = {days}\nsize_max_mb = {megabytes}\n\
             [http]\nlisten = \"127.0.0.1:{port}\"\n[[camera]]\nname = \"top\"\npreset = \"test\"\n",
            ["auto", "json", "text"][format],
        );
        let settings = read(&text).unwrap();
        within_bounds(&settings);
        let whole = Path::new("/line").join(&path);
        prop_assert_eq!(&settings.model.path, &whole);
        prop_assert_eq!(settings.model.calibration.as_ref(), Some(&whole));
        prop_assert_eq!(settings.engine.library.as_ref(), Some(&whole));
        prop_assert_eq!(settings.ledger.path.as_ref(), Some(&whole));
        prop_assert_eq!(settings.engine.onnx.threads, Some(threads));
        prop_assert_eq!(settings.engine.golden_every, Duration::from_mins(mins));
        prop_assert_eq!(settings.judge.reject_rate.get().to_bits(), rate.to_bits());
        let found: Vec<_> = settings.judge.rates.iter().map(|(name, rate)| (name, rate.get())).collect();
        let given: Vec<_> = rates.iter().map(|(name, rate)| (name, *rate)).collect();
        prop_assert_eq!(found, given);
        prop_assert_eq!(settings.format, [Format::Auto, Format::Json, Format::Text][format]);
        prop_assert_eq!(settings.ledger.retention.age_max, Duration::from_hours(24 * days));
        prop_assert_eq!(settings.ledger.retention.bytes_max, megabytes * 1_000_000);
        prop_assert_eq!(settings.http.unwrap().listen.port(), port);
    }
}

#[test]
fn texts_without_measure_are_refused_within_bounded_memory() {
    let many = |text: &str| text.repeat(200_000);
    let check = |text: &str| {
        refused_or_within_bounds(text);
        assert!(read(text).is_err());
    };
    check(&format!("a = {}", many("[")));
    check(&format!("a = {}", many("{a=")));
    check(&format!("{}a = 1", many("a.")));
    check(&format!("[{}a]", many("a.")));
    check(&format!("{} = 1", many("a")));
    check(&format!("[camera]\n{} = 1", many("a")));
    check(&format!("[judge]\n\"{}\" = 1", many("\\u0000")));
    check(&format!("[judge]\nfalse_reject_rate = 1{}", many("0")));
    check(&format!("[judge]\nfalse_reject_rate = \"{}\"", many("ü")));
    check(&format!("[engine]\nproviders = [{}\"cpu\"]", many("\"cpu\", ")));
    check(&format!("[[camera]]\nname = \"{}\"\npreset = \"test\"", many("a")));
    check(&many("[[camera]]\n"));
    check(&many("\n"));
    check(&many("a"));
    let cameras: String = (0..65)
        .map(|index| format!("[[camera]]\nname = \"c{index}\"\npreset = \"test\"\n"))
        .collect();
    let told = read(&cameras).unwrap_err().to_string();
    assert_eq!(told, "\"camera\" is 65 tables, but it may be 64 at most");
    // As an editor of another system saves it.
    let saved = "\u{feff}[[camera]]\r\nname = \"top\"\r\npreset = \"test\"\r\n";
    within_bounds(&read(saved).unwrap());
}

#[test]
fn what_is_no_configuration_is_refused_in_one_line_with_its_name() {
    let scratch = Scratch::new();
    scratch.write("binary.toml", [0xff, 0, 7]);
    scratch.write("control.toml", "\"\\u001b[2J\\n\" = 1\n");
    scratch.write("large.toml", "#".repeat(2 << 20));
    scratch.write(
        "nul.toml",
        "[model]\npath = \"a\\u0000b\"\n[[camera]]\nname = \"top\"\npreset = \"test\"\n",
    );
    std::fs::create_dir(scratch.path("folder.toml")).unwrap();
    for (file, code, word) in [
        ("binary.toml", 3, "UTF-8"),
        ("control.toml", 3, "known are"),
        ("large.toml", 3, "another kind of file"),
        ("/dev/zero", 3, "another kind of file"),
        ("folder.toml", 3, "cannot be read"),
        ("model.onnx", 3, "another kind of file"),
        ("nul.toml", 4, "cannot be read"),
    ] {
        let output = scratch.run(&["run", file]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{file}: {told}");
        assert!(is_one_line(told.trim_end_matches('\n')), "{file}: {told:?}");
        assert!(told.contains(word), "{file}: {told}");
        assert!(told.contains(file) || code != 3, "{file}: {told}");
    }
}
