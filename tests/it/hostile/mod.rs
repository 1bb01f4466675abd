//! Input that means harm, or that a hand slipped over: configuration, launch templates, evidence, labels, HTTP.
//!
//! Each property says what must hold for whatever comes in (docs/testing.md). Model and calibration files have theirs in
//! `bundle/tests/hostile.rs`, the ledger in `src/ledger/book/tests.rs`.

mod configuration;
mod evidence;
mod http;
mod labels;
mod launch;

use proptest::{prelude::*, test_runner::TestRunner};

/// Words and characters that end, open, escape, overflow or are taken for something else.
const FRAGMENTS: [&str; 64] = [
    "!",
    " ! ",
    "fakesink",
    "name=evil",
    " ! fakesink name=evil ! ",
    "\"",
    "'",
    "\\",
    "\\\"",
    "\\\\",
    "\\'",
    " ",
    "  ",
    ";",
    ":",
    "=",
    ",",
    ".",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "{location}",
    "{caps}",
    "#",
    "%s",
    "$HOME",
    "~",
    "`",
    "&",
    "|",
    "<",
    ">",
    "*",
    "/",
    "../",
    "//",
    "://",
    "@",
    "NULL",
    "\"NULL\"",
    "ANY",
    "0",
    "-1",
    "4294967296",
    "1e999",
    "nan",
    "true",
    "ü",
    "漢字",
    "\u{202e}",
    "\u{a0}",
    "\u{feff}",
    "\n",
    "\r",
    "\t",
    "\0",
    "\u{1b}[2J",
    "\u{7f}",
    "x",
    "video/x-raw",
    "memory:NVMM",
];

/// A value of a few fragments.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::collection::vec(prop::sample::select(&FRAGMENTS[..]), 0..6)
            .prop_map(|fragments| fragments.concat()),
        1 => any::<String>(),
        1 => prop::sample::select(&FRAGMENTS[..]).prop_map(|fragment| fragment.repeat(5_000)),
    ]
}

/// A message for a person: one line, of a length that can be read.
fn is_one_line(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control) && text.chars().count() < 2_500
}

/// Where a property needs something that is there first; what it finds is written down as an example by hand.
fn runner(cases: u32) -> TestRunner {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    TestRunner::new(config)
}
