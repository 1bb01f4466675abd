//! Every key of the configuration file, stated once.
//!
//! The strict reader, the example file and `docs/configuration.md` are all read off this table.
//! Pure. A key that is not here does not exist.

/// A key of the configuration file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its table: `model`, or `camera` for every `[[camera]]`.
    pub table: &'static str,
    /// Its name in that table.
    pub name: &'static str,
    /// An example value, in TOML; the default where there is one.
    pub value: &'static str,
    /// Whether it may be left out, and what holds then.
    pub default: Default,
    /// What it means, a sentence per line.
    pub meaning: &'static str,
}

/// What holds when a key is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// The value in the table.
    Value,
    /// The key must be there.
    Required,
    /// Something that is no value; said in words.
    Words(&'static str),
}

impl Key {
    /// The example as a value, whose kind the key takes.
    pub(super) fn example(&self) -> Option<toml::Value> {
        let table: toml::Table = format!("example = {}", self.value).parse().ok()?;
        table.get("example").cloned()
    }
}

/// The tables, in the order of the example file.
pub(super) const TABLES: [(&str, &str); 7] = [
    ("model", "What is looked for."),
    ("engine", "Where the network runs."),
    ("judge", "When a part is refused."),
    ("output", "What is printed."),
    ("ledger", "Where it is written down what became of every frame."),
    ("http", "Where metrics, health and state are served."),
    (
        "camera",
        "Where frames come from. One [[camera]] table per camera, at most 64; the name tells them apart.",
    ),
];

/// Every key, in the order of the example file.
pub(super) const KEYS: &[Key] = &[
    Key {
        table: "model",
        name: "path",
        value: "\"models/demo.onnx\"",
        default: Default::Value,
        meaning: "The model file. Relative paths start at the folder of this file.",
    },
    Key {
        table: "model",
        name: "calibration",
        value: "\"models/demo.calibration.json\"",
        default: Default::Words(
            "the file beside the model that ends in .calibration.json instead of .onnx, if there is one",
        ),
        meaning: "The site's own calibration, which overrides the one in the model file.",
    },
    Key {
        table: "engine",
        name: "library",
        value: "\"/usr/lib/libonnxruntime.so\"",
        default: Default::Words(
            "looked for beside the executable, in .deps/onnxruntime, on the system's library path",
        ),
        meaning: "ONNX Runtime's shared library, version 1.17 or later, or the folder that holds it.",
    },
    Key {
        table: "engine",
        name: "providers",
        value: "[\"cpu\"]",
        default: Default::Value,
        meaning: "Execution providers in the order of preference: \"tensorrt\", \"cuda\", \"cpu\".\n\
                  One that is not there is an error; nothing outside the list is ever used.",
    },
    Key {
        table: "engine",
        name: "threads",
        value: "2",
        default: Default::Words("one per core"),
        meaning: "Threads within an operation of the network.",
    },
    Key {
        table: "engine",
        name: "golden_every_mins",
        value: "60",
        default: Default::Value,
        meaning: "How often the model's golden frames are run again, between frames.\n\
                  When they no longer agree nothing is judged: every verdict is a fault until they do.",
    },
    Key {
        table: "judge",
        name: "false_reject_rate",
        value: "0.01",
        default: Default::Value,
        meaning: "The share of good parts that may be refused, by radius and score together.\n\
                  Below 2 / (calibration frames + 1) the calibration cannot support it.",
    },
    Key {
        table: "judge",
        name: "rates",
        value: "{ cap = 0.001, gear = 0.02 }",
        default: Default::Words("false_reject_rate for every product"),
        meaning: "Rates of single products, by their names in the model.",
    },
    Key {
        table: "judge",
        name: "allow_unrated",
        value: "false",
        default: Default::Value,
        meaning: "Go on with a calibration that is too small for the rate.\n\
                  Every verdict that the rate does not hold for is then marked unrated.",
    },
    Key {
        table: "output",
        name: "format",
        value: "\"auto\"",
        default: Default::Value,
        meaning: "\"json\" (one line per frame, docs/verdict-lines.md), \"text\", or \"auto\": text on a terminal.",
    },
    Key {
        table: "ledger",
        name: "path",
        value: "\"/var/lib/sightline/ledger.db\"",
        default: Default::Words(
            "ledger.db in the service's state directory under systemd; else the account ends with the process",
        ),
        meaning: "The ledger's file, SQLite. A second sightline needs a ledger of its own.",
    },
    Key {
        table: "ledger",
        name: "keep_days",
        value: "90",
        default: Default::Value,
        meaning: "Rows older than this are removed.",
    },
    Key {
        table: "ledger",
        name: "size_max_mb",
        value: "4096",
        default: Default::Value,
        meaning: "When the file holds more than this, the oldest rows are removed.",
    },
    Key {
        table: "http",
        name: "listen",
        value: "\"127.0.0.1:9640\"",
        default: Default::Words("no HTTP"),
        meaning: "Address and port for /metrics, /healthz, /readyz and /api/v1 (docs/http.md); port 0 lets the system choose.\n\
                  A loopback address: there is no login yet.",
    },
    Key {
        table: "camera",
        name: "name",
        value: "\"top\"",
        default: Default::Required,
        meaning: "Names the camera in verdicts and logs: letters, digits, - and _, at most 64.",
    },
    Key {
        table: "camera",
        name: "preset",
        value: "\"files\"",
        default: Default::Required,
        meaning: "The pipeline: a preset's name (test, files, rtsp, usb, csi, gige) or a path to a preset of one's own.",
    },
    Key {
        table: "camera",
        name: "parameters",
        value: "{ location = \"parts/*.png\" }",
        default: Default::Words("what the preset says"),
        meaning: "The preset's parameters; the preset's file names and explains them.\n\
                  \"env:NAME\" is read from the environment, \"credential:NAME\" from systemd's credentials: for passwords.\n\
                  \"serial:NUMBER\" is the video device with that serial number.",
    },
    Key {
        table: "camera",
        name: "products",
        value: "[\"cap\", \"gear\"]",
        default: Default::Words("every product that the model knows"),
        meaning: "The products that may come by this camera, by their names in the model.\n\
                  Any other is told as unknown-product with that reason, and its calibration need not support a rate.",
    },
    Key {
        table: "camera",
        name: "overflow",
        value: "\"latest\"",
        default: Default::Value,
        meaning: "When the engine is slower than the camera: \"latest\" drops and counts the oldest frame,\n\
                  \"every\" drops nothing and holds the camera back; while it waits, so do the other cameras.",
    },
    Key {
        table: "camera",
        name: "queue_len",
        value: "2",
        default: Default::Value,
        meaning: "Frames that may wait for the engine, at least 1.",
    },
    Key {
        table: "camera",
        name: "scaling",
        value: "\"pipeline\"",
        default: Default::Value,
        meaning: "Who brings frames to the model's size: \"pipeline\" scales in GStreamer, where hardware helps;\n\
                  \"exact\" takes frames in the camera's own size and scales them by the trainer's own code.\n\
                  A model that crops, letterboxes or tiles is always fitted exactly.",
    },
    Key {
        table: "camera",
        name: "realtime",
        value: "true",
        default: Default::Value,
        meaning: "Files play at their own speed; false plays them as fast as they can be judged.",
    },
    Key {
        table: "camera",
        name: "loop",
        value: "false",
        default: Default::Value,
        meaning: "Files start again at their end.",
    },
    Key {
        table: "camera",
        name: "stall_after_secs",
        value: "10.0",
        default: Default::Value,
        meaning: "A live camera that gives no frame for so long is lost, and tried again.\n\
                  For a triggered camera: more than the longest pause between two parts.",
    },
    Key {
        table: "camera",
        name: "frozen_after_secs",
        value: "60.0",
        default: Default::Value,
        meaning: "A live camera whose picture does not change by a single value for so long is lost as well.",
    },
    Key {
        table: "camera",
        name: "reconnect_first_secs",
        value: "1.0",
        default: Default::Value,
        meaning: "How long after a loss a live camera is tried again; each further failure doubles it.\n\
                  It begins anew after a minute of frames.",
    },
    Key {
        table: "camera",
        name: "reconnect_max_secs",
        value: "30.0",
        default: Default::Value,
        meaning: "No wait is longer. A live camera is tried again for ever.",
    },
    Key {
        table: "camera",
        name: "give_up_after_secs",
        value: "900.0",
        default: Default::Words("never"),
        meaning: "When a live camera has given nothing for so long, the process drains and ends with exit code 6,\n\
                  for a service manager to restart it: the cure for a driver that is stuck.",
    },
];

/// The key of that table and name.
pub(super) fn find(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.table == table && key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_belongs_to_a_table_and_appears_once() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(TABLES.iter().any(|(table, _)| *table == key.table), "{key:?}");
            assert!(key.example().is_some(), "{key:?}: its example is no TOML");
            assert!(
                !KEYS[..index].iter().any(|k| (k.table, k.name) == (key.table, key.name)),
                "{key:?} appears twice"
            );
        }
    }
}
