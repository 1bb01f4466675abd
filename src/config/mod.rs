//! The configuration: what was typed, resolved once into [`Settings`] that need no further checks.
//!
//! Owns TOML: no other module knows it. `keys` states every key once, `raw` reads strictly,
//! `resolve` gives the values their types (`settings`), `example` writes the documentation from `keys`.
//! Reads no file and no environment: text and the folder that relative paths start at come in.

mod example;
mod keys;
mod plc;
mod raw;
mod resolve;
mod settings;
mod suggest;

use std::path::Path;

use crate::fault::plain;

pub use self::{
    example::{example_file, reference_page},
    settings::{
        ArchiveSettings, CameraPlc, CameraSettings, EncoderFrom, EngineSettings, Format,
        HttpSettings, JudgeSettings, Kept, LedgerSettings, ModelSettings, MqttSettings, MqttTls,
        PlcSettings, RecipeSettings, Scaling, Settings,
    },
};

/// The configuration of the demo line, which `run` without an argument plays.
const DEMO: &str = include_str!("demo.toml");

/// A configuration of 64 cameras has some 50 kB; what is larger is another file.
pub const BYTES_MAX: u64 = 1 << 20;

/// What of a key or a value is repeated in a message.
const SHOWN_CHARS_MAX: usize = 120;

/// Reads a configuration file's text; relative paths in it start at `folder`.
pub fn read(text: &str, folder: &Path) -> Result<Settings, ConfigError> {
    resolve::settings(raw::parse(text)?, folder)
}

/// The demo line, whose model and clip lie in `folder`'s `models`.
pub fn demo(folder: &Path) -> Result<Settings, ConfigError> {
    read(DEMO, folder)
}

/// Why a configuration cannot be used. Each is one line that names the key and the remedy.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML.
    #[error("line {line}: {message}")]
    Syntax {
        /// Line of the file, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that does not exist.
    #[error("unknown key \"{path}\": {hint}")]
    UnknownKey {
        /// The key's path.
        path: String,
        /// The nearest known key, or all of them.
        hint: String,
    },
    /// A key that must be there.
    #[error("\"{path}\" is missing: {meaning}")]
    Missing {
        /// The key's path.
        path: String,
        /// What the key means.
        meaning: &'static str,
    },
    /// A value that the key does not take.
    #[error("\"{path}\" is {value}, but {expected}")]
    Value {
        /// The key's path.
        path: String,
        /// What was given.
        value: String,
        /// What it takes.
        expected: String,
    },
}

/// What somebody typed, as it may stand in a line.
fn shown(text: &str) -> String {
    plain(text, SHOWN_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        match read(text, Path::new("/line")) {
            Ok(settings) => assert_eq!(expected, "ok", "{text} gave {settings:?}"),
            Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
        }
    }

    const RECIPE: &str = "[[recipe]]\nname = \"caps\"\n";
    const CAMERA: &str = "[[camera]]\nname = \"top\"\npreset = \"test\"\n";

    #[test]
    fn a_mistake_is_told_with_the_keys_path_and_the_remedy() {
        check(CAMERA, "ok");
        check("", "\"camera\" is missing: at least one [[camera]] table with a name and a preset");
        check(
            "[judge]\nfales_reject_rate = 0.1",
            "unknown key \"judge.fales_reject_rate\": did you mean \"false_reject_rate\"?",
        );
        check("[jugde]\n", "unknown key \"jugde\": did you mean \"judge\"?");
        check("providers = [\"cpu\"]", "unknown key \"providers\": did you mean engine.providers?");
        check(
            &format!("{CAMERA}[[camera]]\nname = \"side\"\npreest = \"test\"\n"),
            "unknown key \"camera[1].preest\": did you mean \"preset\"?",
        );
        check(
            "[[camera]]\nname = \"top\"\n",
            "\"camera[0].preset\" is missing: The pipeline: a preset's name (test, files, rtsp, usb, csi, gige) or a path to a preset of one's own.",
        );
        check(
            &format!("{CAMERA}{CAMERA}"),
            "\"camera[1].name\" is \"top\", but another camera has that name",
        );
        check(
            &format!("[judge]\nfalse_reject_rate = 1.5\n{CAMERA}"),
            "\"judge.false_reject_rate\" is 1.5, but it must be at least 0.000001 and less than 1",
        );
        check(
            &format!("{CAMERA}overflow = \"newest\"\n"),
            "\"camera[0].overflow\" is \"newest\", but expected \"latest\" or \"every\"",
        );
        check(
            &format!("{CAMERA}queue_len = 0\n"),
            "\"camera[0].queue_len\" is 0, but it must be from 1 to 1024",
        );
        check(
            &format!("[[recipe]]\nname = \"caps\"\nqueue_len = 3\n{CAMERA}"),
            "unknown key \"recipe[0].queue_len\": known are name, false_reject_rate, rates, products, ignore, ignore_mask, defect_area_min_px, part",
        );
        check(
            &format!("[recipe]\nname = \"caps\"\n{CAMERA}"),
            "\"recipe\" is { name = \"caps\" }, but a line may have several: write [[recipe]], not [recipe]",
        );
        check(
            &format!("{RECIPE}{RECIPE}{CAMERA}"),
            "\"recipe[1].name\" is \"caps\", but another recipe has that name",
        );
        check(
            &format!("{RECIPE}{CAMERA}recipe = \"gears\"\n"),
            "\"camera[0].recipe\" is \"gears\", but there is no such recipe: known are caps",
        );
        check(
            &format!("{CAMERA}recipes = [\"caps\"]\n"),
            "\"camera[0].recipes\" is \"caps\", but there is no [[recipe]] table",
        );
        check(
            &format!("{RECIPE}{CAMERA}recipe = \"caps\"\nrecipes = []\n"),
            "\"camera[0].recipe\" is \"caps\", but it is not among the camera's recipes",
        );
        check(
            &format!("{RECIPE}false_reject_rate = 2\n{CAMERA}"),
            "\"recipe[0].false_reject_rate\" is 2, but it must be at least 0.000001 and less than 1",
        );
        for starts in ["[\"25:00\"]", "[\"6:00\"]", "[\"06:00 \"]", "[]", "[\"06:00\", \"06:00\"]"]
        {
            let refused =
                read(&format!("[shift]\nstarts = {starts}\n{CAMERA}"), Path::new("/line"));
            assert!(
                refused.unwrap_err().to_string().starts_with("\"shift.starts\" is "),
                "{starts}"
            );
        }
        check(
            &format!("[engine]\nproviders = [\"gpu\"]\n{CAMERA}"),
            "\"engine.providers\" is \"gpu\", but expected \"cpu\", \"cuda\" or \"tensorrt\"",
        );
    }

    #[test]
    fn a_wrong_kind_is_told_with_its_key_and_an_example() {
        check(
            "[judge]\nfalse_reject_rate = \"1 %\"\n",
            "\"judge.false_reject_rate\" is \"1 %\", but it takes a number, such as 0.01",
        );
        check(
            "[judge]\nrates = { cap = true }\n",
            "\"judge.rates\" is { cap = true }, but it takes a table, such as { cap = 0.001, gear = 0.02 }",
        );
        check(
            "[camera]\nname = \"top\"\n",
            "\"camera\" is { name = \"top\" }, but a line may have several: write [[camera]], not [camera]",
        );
        check(
            "camera = [1]\n",
            "\"camera[0]\" is 1, but each camera is a table of its own: [[camera]]",
        );
        check("judge = 1\n", "\"judge\" is 1, but it is a table: write [judge]");
        check(&format!("[judge]\nfalse_reject_rate = 0.5\n{CAMERA}stall_after_secs = 5\n"), "ok");
    }

    #[test]
    fn what_was_typed_cannot_break_the_line_that_refuses_it() {
        let cut = "x".repeat(SHOWN_CHARS_MAX);
        check(
            &format!("\"{}\" = 1", "x".repeat(1_000)),
            &format!(
                "unknown key \"{cut}…\": known are model, engine, judge, output, ledger, archive, http, mqtt, plc, shift, recipe, camera"
            ),
        );
        check(
            "\"a\\nb\\u001b\" = 1",
            "unknown key \"a b\\u{1b}\": known are model, engine, judge, output, ledger, archive, http, mqtt, plc, shift, recipe, camera",
        );
        check(
            "[[camera]]\nname = \"a\\nb\"\npreset = \"test\"\n",
            "\"camera[0].name\" is \"a b\", but it may have letters, digits, - and _ only, at most 64",
        );
    }

    #[test]
    fn a_camera_that_is_kept_elsewhere_is_no_path() {
        let location = |value: &str| {
            let text = format!("{CAMERA}parameters = {{ location = \"{value}\" }}\n");
            read(&text, Path::new("/line")).unwrap().cameras[0].parameters["location"].clone()
        };
        assert_eq!(location("parts"), "/line/parts");
        for kept in ["rtsp://camera/1", "env:CAMERA", "credential:camera", "serial:7"] {
            assert_eq!(location(kept), kept);
        }
    }

    #[test]
    fn relative_paths_start_at_the_files_folder() {
        let settings = read(CAMERA, Path::new("/line")).unwrap();
        assert_eq!(settings.model.path, Path::new("/line/models/demo.onnx"));
    }

    #[test]
    fn the_demo_line_is_a_valid_configuration() {
        let settings = demo(Path::new(".")).unwrap();
        assert_eq!(settings.cameras.len(), 1);
    }
}
