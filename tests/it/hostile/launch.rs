//! Launch templates: whatever a parameter's value is, GStreamer's own parser makes the template's elements of it, and
//! the property has the value; or the value is refused.

use std::collections::BTreeMap;

use bundle::geometry::Size;
use gstreamer::{self as gst, prelude::*};
use proptest::prelude::*;
use sightline::{
    camera::{CameraOptions, Platform, Preset, PresetError, View},
    channel::Overflow,
};

use super::{FRAGMENTS, is_one_line, runner, value};
use crate::{presets, support};

const INPUT: Size = Size { width: 64, height: 48 };

type Values<'a> = [(&'a str, &'a str)];

/// The pipeline of a preset with these parameters as GStreamer's parser builds it.
fn parsed(preset: &Preset, values: &Values<'_>) -> Result<gst::Bin, String> {
    let parameters: BTreeMap<String, String> =
        values.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let filled = |filled: Result<String, PresetError>| filled.map_err(|error| error.to_string());
    let preset = preset.with(&parameters).map_err(|error| error.to_string())?;
    let line = format!(
        "{} ! identity ! {} ! fakesink",
        filled(preset.source())?,
        filled(preset.tail(Some(INPUT)))?
    );
    assert!(!line.contains('\0'));
    gst::parse::launch_full(&line, None, gst::ParseFlags::FATAL_ERRORS)
        .map(|element| element.downcast::<gst::Bin>().unwrap())
        .map_err(|error| format!("parser: {error}"))
}

/// The kinds of its elements.
fn elements(pipeline: &gst::Bin) -> Vec<String> {
    let iterator = pipeline.iterate_elements().into_iter().map(Result::unwrap);
    let mut kinds: Vec<_> = iterator
        // A bin's children are its own affair, and none comes from the line.
        .map(|element| element.factory().unwrap().name().to_string())
        .collect();
    kinds.sort();
    kinds
}

fn property(pipeline: &gst::Bin, kind: &str, name: &str) -> Option<String> {
    let mut elements = pipeline.iterate_elements().into_iter().map(Result::unwrap);
    let element = elements.find(|element| element.factory().unwrap().name() == kind).unwrap();
    element.property(name)
}

fn find(name: &str) -> Preset {
    Preset::find(name, Platform::Any).unwrap()
}

/// Every parameter of every preset whose element is here, with a value that it takes.
const PARAMETERS: [(&str, &Values<'_>); 6] = [
    ("files", &[("location", "belt.webm")]),
    ("usb", &[("device", "/dev/video0"), ("caps", "image/jpeg,framerate=30/1")]),
    (
        "rtsp",
        &[
            ("location", "rtsp://192.0.2.1/stream"),
            ("user", "operator"),
            ("password", "word"),
            ("protocols", "tcp"),
            ("latency", "200"),
        ],
    ),
    ("test", &[("pattern", "ball"), ("frames", "3"), ("caps", "video/x-raw,width=64,height=64")]),
    ("csi", &[("sensor", "0"), ("caps", "video/x-raw(memory:NVMM),width=1920")]),
    (
        "gige",
        &[
            ("camera", "Basler-1"),
            ("exposure", "-1"),
            ("gain", "1.5"),
            ("caps", "video/x-bayer,framerate=20/1"),
        ],
    ),
];

/// Those that are texts to their element, which must have them as they are.
const TEXTS: [(&str, &str, &str, &str); 4] = [
    ("files", "location", "filesrc", "location"),
    ("usb", "device", "v4l2src", "device"),
    ("rtsp", "user", "rtspsrc", "user-id"),
    ("rtsp", "password", "rtspsrc", "user-pw"),
];

/// A preset's parameters with some of the values replaced.
fn replaced<'a>(benign: &'a Values<'a>, given: &[(&str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    benign
        .iter()
        .map(|&(name, value)| {
            let given = given.iter().find(|(other, _)| *other == name);
            (name, given.map_or(value, |(_, value)| *value))
        })
        .collect()
}

/// The template's elements and the given texts, or one line that refuses.
fn check(preset: &str, benign: &Values<'_>, given: &[(&str, &str)]) {
    let own = find(preset);
    let expected = elements(&parsed(&own, benign).unwrap());
    match parsed(&own, &replaced(benign, given)) {
        Ok(pipeline) => {
            assert_eq!(elements(&pipeline), expected, "{preset} {given:?}");
            for &(name, value) in given {
                let text = TEXTS.iter().find(|text| (text.0, text.1) == (preset, name));
                if let Some(&(.., kind, property)) = text {
                    let found = self::property(&pipeline, kind, property);
                    assert_eq!(found.as_deref(), Some(value), "{preset} {given:?}");
                }
            }
        }
        Err(told) => {
            let has_control = given.iter().any(|(_, value)| value.chars().any(char::is_control));
            let is_text = |name: &str| TEXTS.iter().any(|text| (text.0, text.1) == (preset, name));
            let is_text = given.iter().all(|(name, _)| is_text(name));
            // GStreamer refuses what is no number, no caps, no such word. A text is refused for control characters alone.
            assert!(has_control || !is_text, "{preset} {given:?}: {told}");
            if has_control {
                assert!(is_one_line(&told), "{told:?}");
                assert!(told.contains("may have no control characters"), "{told}");
            }
        }
    }
}

fn parameter() -> impl Strategy<Value = (&'static str, &'static Values<'static>, &'static str)> {
    let all: Vec<_> = PARAMETERS
        .iter()
        .flat_map(|&(preset, values)| values.iter().map(move |&(name, _)| (preset, values, name)))
        .collect();
    prop::sample::select(all)
}

#[test]
fn no_value_of_any_parameter_becomes_pipeline() {
    gst::init().unwrap();
    presets::register_stand_ins();
    // One runner instead of a proptest block: the stand-ins are there first.
    let mut runner = runner(600);
    runner
        .run(&(parameter(), value()), |((preset, benign, name), value)| {
            check(preset, benign, &[(name, &value)]);
            Ok(())
        })
        .unwrap();
    for (preset, benign) in PARAMETERS {
        for (name, _) in benign {
            for fragment in FRAGMENTS {
                check(preset, benign, &[(name, fragment)]);
            }
            for value in [
                "identity",
                "fakesink",
                "a. ! b.",
                "fakesink name=x",
                "bin.( fakesink )",
                "x !",
                "video/x-raw ! queue",
            ] {
                check(preset, benign, &[(name, value)]);
            }
        }
    }
}

#[test]
fn two_values_never_join_around_what_lies_between_them() {
    gst::init().unwrap();
    let (_, rtsp) = PARAMETERS[2];
    // Between quotes the first two would end each other's, and the third would be pipeline.
    for (user, password) in [
        ("\\", " ! fakesink name=evil ! "),
        ("a\\", "\\ ! fakesink "),
        ("\"", "\" ! fakesink "),
        ("'", "' ! fakesink "),
        ("\\\"", "\\\" ! fakesink \\"),
    ] {
        check("rtsp", rtsp, &[("user", user), ("password", password)]);
    }
    let mut runner = runner(400);
    runner
        .run(&(value(), value()), |(user, password)| {
            check("rtsp", rtsp, &[("user", &user), ("password", &password)]);
            Ok(())
        })
        .unwrap();
}

proptest! {
    #[test]
    fn a_preset_of_any_text_is_refused_in_one_line_or_filled(
        text in prop_oneof![any::<String>(), value()],
        launch in value(),
        name in "[a-z{}]{0,4}",
        given in value(),
    ) {
        let _refused = Preset::parse("own", &text).map_err(|error| drop(error.to_string()));
        let own = format!(
            "description = \"\"\nlive = false\nremedy = {launch}\nlaunch = {launch}\n[parameters.{name}]\nmeaning = \"\"\n",
            launch = toml::Value::String(launch),
            name = serde_json::Value::from(name.as_str()),
        );
        let preset = Preset::parse("own", &own).unwrap();
        let parameters = BTreeMap::from([(name, given)]);
        if let Ok(filled) = preset.with(&parameters) {
            drop((filled.source(), filled.remedy(), filled.stills(), filled.tail(None)));
        }
    }
}

fn options(preset: &str, parameters: &[(&str, &str)]) -> CameraOptions {
    CameraOptions {
        preset: find(preset),
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        scale_to: Some(INPUT),
        keep_full: false,
        overflow: Overflow::Latest,
        queue_len: 2,
        realtime: true,
        repeat: false,
        first_frame_within: CameraOptions::FIRST_FRAME_WITHIN,
        reconnect: None,
        view: View::default(),
        trigger: None,
        plc: None,
    }
}

#[test]
fn a_rate_is_one_that_its_clock_can_count() {
    let location = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
    let options = |rate: &str| options("files", &[("location", location), ("rate", rate)]);
    for rate in ["0", "-1", "1e-300", "0.0009", "1001", "1e300", "inf", "nan", "", "ten"] {
        let error = support::camera("top", &options(rate)).err().unwrap().to_string();
        assert!(error.contains("it must be a number from 0.001 to 1000"), "{rate}: {error}");
    }
    for rate in ["0.001", "10", "1000"] {
        support::camera("top", &options(rate)).unwrap();
    }
}

#[test]
fn a_number_or_a_word_is_taken_or_refused_and_never_left_at_its_default() {
    let location = ("location", "rtsp://192.0.2.1/stream");
    let told = |preset: &str, parameters: &[(&str, &str)]| {
        support::camera("top", &options(preset, parameters)).err().map(|error| error.to_string())
    };
    for (name, value) in [
        ("frames", "-5"),
        ("frames", "99999999999"),
        ("frames", "1.5"),
        ("frames", "many"),
        ("frames", ""),
        ("pattern", "bal"),
        ("pattern", "999"),
        ("caps", "video"),
        ("caps", "video/x-raw,width="),
        ("caps", ""),
    ] {
        let told = told("test", &[(name, value)]).unwrap_or_else(|| panic!("{name} = {value}"));
        assert!(is_one_line(&told), "{told:?}");
    }
    for (name, value) in [("latency", "-1"), ("latency", "99999999999"), ("protocols", "tpc")] {
        assert!(told("rtsp", &[location, (name, value)]).is_some(), "{name} = {value}");
    }
    for (name, value) in
        [("frames", "-1"), ("frames", "7"), ("pattern", "ball"), ("pattern", "checkers-8")]
    {
        assert_eq!(told("test", &[(name, value)]), None);
    }
    for (name, value) in
        [("latency", "0"), ("latency", "2000"), ("protocols", "udp+tcp"), ("protocols", "tcp")]
    {
        assert_eq!(told("rtsp", &[location, (name, value)]), None);
    }
}
