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
pub(super) const TABLES: [(&str, &str); 12] = [
    ("model", "What is looked for."),
    ("engine", "Where the network runs."),
    ("judge", "When a part is refused."),
    ("output", "What is printed."),
    ("ledger", "Where it is written down what became of every frame."),
    ("archive", "Which frames' pictures are kept (docs/archive.md)."),
    ("http", "Where metrics, health and state are served."),
    (
        "mqtt",
        "Which broker is told of every frame (docs/mqtt.md). It wants a ledger, which keeps what the broker has not acknowledged.",
    ),
    (
        "plc",
        "The PLC that announces parts and takes their results (docs/plc.md). It is no safety PLC's business.",
    ),
    ("shift", "From when on parts are counted."),
    (
        "recipe",
        "What an operator may choose for a camera while the line runs (docs/judge.md). One [[recipe]] table each, at most 64.\n\
         A key that is left out is the camera's own, or [judge]'s.",
    ),
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
            "looked for beside the executable, in a checkout's .deps/onnxruntime, on the system's library path, among the machine's Python packages, in /usr/lib/sightline",
        ),
        meaning: "ONNX Runtime's shared library, version 1.17 or later, or the folder that holds it.",
    },
    Key {
        table: "engine",
        name: "providers",
        value: "[\"cpu\"]",
        default: Default::Value,
        meaning: "Execution providers in the order of preference: \"tensorrt\", \"cuda\", \"cpu\".\n\
                  The first runs the network, those behind it take the operations that it does not know.\n\
                  One that is not there is an error; nothing outside the list is ever used.",
    },
    Key {
        table: "engine",
        name: "fall_back",
        value: "false",
        default: Default::Value,
        meaning: "Where the first provider is not there, or its golden frames disagree, go on with the next ones.\n\
                  The state is then degraded, for another provider may be too slow for the line.",
    },
    Key {
        table: "engine",
        name: "precisions",
        value: "[\"int8\", \"fp16\", \"fp32\"]",
        default: Default::Value,
        meaning: "What TensorRT may compute in, in the order of preference. The first whose golden frames agree is used.\n\
                  A model file on int8 is computed in int8, or in fp32 but for what it quantised; any other in fp16 or fp32.",
    },
    Key {
        table: "engine",
        name: "cache",
        value: "\"/var/cache/sightline\"",
        default: Default::Words(
            "the service manager's cache folder, or ~/.cache/sightline where there is none",
        ),
        meaning: "The folder of the engines that TensorRT builds, which takes minutes. Each is used again only for the\n\
                  model, libraries, GPU and settings that it was built for; the 8 that were used last are kept.",
    },
    Key {
        table: "engine",
        name: "device",
        value: "0",
        default: Default::Value,
        meaning: "The GPU, counted from 0.",
    },
    Key {
        table: "engine",
        name: "gpu_memory_max_mb",
        value: "2048",
        default: Default::Words("as much as it wants"),
        meaning: "What ONNX Runtime may hold of the GPU's memory.",
    },
    Key {
        table: "engine",
        name: "batch_max",
        value: "1",
        default: Default::Value,
        meaning: "The most frames, of all cameras together, that are run through the network at once.\n\
                  A GPU judges four in little more time than one; a processor gains nothing.",
    },
    Key {
        table: "engine",
        name: "batch_wait_ms",
        value: "0",
        default: Default::Value,
        meaning: "How long a frame may wait for others to fill its batch. With 0 only frames that wait already share one.",
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
        table: "judge",
        name: "drift",
        value: "true",
        default: Default::Value,
        meaning: "Watch whether scores, brightness and focus of passed frames stay as they were (docs/judge.md): an alarm, never a verdict.",
    },
    Key {
        table: "judge",
        name: "drift_reference_frames",
        value: "300",
        default: Default::Value,
        meaning: "From so many passed frames of a product the brightness and focus to be kept are learnt, after every start, where the calibration does not tell them.",
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
        table: "archive",
        name: "path",
        value: "\"/var/lib/sightline/archive\"",
        default: Default::Words(
            "the folder archive in the service's state directory under systemd; else no pictures are kept",
        ),
        meaning: "The folder of pictures of what was refused, of no known product, and of some that passed. It wants a ledger.\n\
                  A second sightline needs a folder of its own.",
    },
    Key {
        table: "archive",
        name: "passes_every",
        value: "1000",
        default: Default::Value,
        meaning: "Of the frames that passed one of so many is kept, each product of each camera counted for itself; 0 keeps none.",
    },
    Key {
        table: "archive",
        name: "size_max_mb",
        value: "10000",
        default: Default::Value,
        meaning: "When the folder would hold more, the oldest that passed go, then those of no known product, then those refused.",
    },
    Key {
        table: "archive",
        name: "keep_days",
        value: "90",
        default: Default::Value,
        meaning: "Pictures older than this are removed.",
    },
    Key {
        table: "archive",
        name: "free_min_mb",
        value: "1000",
        default: Default::Value,
        meaning: "So much of the file system is left to others: where less is free, pictures go in the same order.",
    },
    Key {
        table: "archive",
        name: "jpeg_quality",
        value: "92",
        default: Default::Value,
        meaning: "Of the kept frames, from 1 to 100.",
    },
    Key {
        table: "http",
        name: "listen",
        value: "\"127.0.0.1:9640\"",
        default: Default::Words("no HTTP"),
        meaning: "Address and port for /metrics, /healthz, /readyz and /api/v1 (docs/http.md); port 0 lets the system choose.\n\
                  An address that others reach takes users, and a certificate or plain (docs/access.md).",
    },
    Key {
        table: "http",
        name: "users",
        value: "\"users.toml\"",
        default: Default::Words("whoever reaches the loopback address may do everything"),
        meaning: "Who may come in, and as what: a file that sightline user writes, readable by its owner alone;\n\
                  or \"credential:NAME\" for one of systemd's credentials.",
    },
    Key {
        table: "http",
        name: "certificate",
        value: "\"certificate.pem\"",
        default: Default::Words("no TLS"),
        meaning: "The certificate that TLS shows, with those that vouch for it behind it, as PEM; or \"credential:NAME\".",
    },
    Key {
        table: "http",
        name: "key",
        value: "\"key.pem\"",
        default: Default::Words("no TLS"),
        meaning: "The certificate's private key, as PEM without a password, not readable by others; or \"credential:NAME\".",
    },
    Key {
        table: "http",
        name: "plain",
        value: "false",
        default: Default::Value,
        meaning: "Others may reach it without TLS, for a proxy in front does that.",
    },
    Key {
        table: "http",
        name: "hosts",
        value: "[\"line1.plant.example\"]",
        default: Default::Words("localhost and the addresses alone"),
        meaning: "Further names and addresses by which it may be called; a request by another is refused.",
    },
    Key {
        table: "http",
        name: "pictures_per_second",
        value: "5",
        default: Default::Value,
        meaning: "Pictures of each camera that the page shows, at most 30; none is made while nobody looks.",
    },
    Key {
        table: "mqtt",
        name: "broker",
        value: "\"mqtts://broker.plant.example\"",
        default: Default::Words("no MQTT"),
        meaning: "The broker: mqtt:// or mqtts:// (with TLS), a name or an address, and a port where it is not 1883 or 8883. It must know MQTT 5.",
    },
    Key {
        table: "mqtt",
        name: "format",
        value: "\"json\"",
        default: Default::Value,
        meaning: "\"json\": plain JSON topics; \"sparkplug\": Sparkplug B, where the site is the group, the device the node, and each camera a device.",
    },
    Key {
        table: "mqtt",
        name: "site",
        value: "\"plant\"",
        default: Default::Value,
        meaning: "The site in every topic and message: text without +, #, / and control characters, at most 64 characters.",
    },
    Key {
        table: "mqtt",
        name: "device",
        value: "\"line-1\"",
        default: Default::Words("the machine's host name"),
        meaning: "The name of this station, which no other on the broker may have; of the same characters.",
    },
    Key {
        table: "mqtt",
        name: "prefix",
        value: "\"sightline\"",
        default: Default::Value,
        meaning: "What the topics of \"json\" begin with; levels are parted by /.",
    },
    Key {
        table: "mqtt",
        name: "user",
        value: "\"line-1\"",
        default: Default::Words("no user"),
        meaning: "The user name that the broker knows.",
    },
    Key {
        table: "mqtt",
        name: "password",
        value: "\"mqtt-password\"",
        default: Default::Words("no password"),
        meaning: "The file that holds the password, not readable by others; or \"credential:NAME\" for one of systemd's credentials.",
    },
    Key {
        table: "mqtt",
        name: "allow_plain_password",
        value: "false",
        default: Default::Value,
        meaning: "Send the password without TLS to a broker on another machine, where everybody on the way can read it.",
    },
    Key {
        table: "mqtt",
        name: "ca_certificate",
        value: "\"ca.pem\"",
        default: Default::Words("the system's, /etc/ssl/certs/ca-certificates.crt"),
        meaning: "The certificates that vouch for the broker, as PEM; or \"credential:NAME\".",
    },
    Key {
        table: "mqtt",
        name: "certificate",
        value: "\"station.pem\"",
        default: Default::Words("no client certificate"),
        meaning: "The certificate that this station shows to the broker, as PEM; or \"credential:NAME\".",
    },
    Key {
        table: "mqtt",
        name: "key",
        value: "\"station-key.pem\"",
        default: Default::Words("no client certificate"),
        meaning: "Its private key, as PEM without a password, not readable by others; or \"credential:NAME\".",
    },
    Key {
        table: "mqtt",
        name: "keep_alive_secs",
        value: "30",
        default: Default::Value,
        meaning: "How long the connection may be silent before the broker says that this station is gone.",
    },
    Key {
        table: "mqtt",
        name: "history",
        value: "\"new\"",
        default: Default::Value,
        meaning: "Where sending begins in a ledger of which nothing was sent before: \"new\" with this start, \"all\" with the oldest row.\n\
                  After that it goes on where it stopped, whatever broker is named.",
    },
    Key {
        table: "mqtt",
        name: "events",
        value: "true",
        default: Default::Value,
        meaning: "Send what happened beside the frames as well: starts, losses, what people did, with their names.",
    },
    Key {
        table: "mqtt",
        name: "packet_bytes_max",
        value: "65536",
        default: Default::Value,
        meaning: "No message is larger; where the broker takes less, that holds. Longer texts in a message are cut off, and it says so.",
    },
    Key {
        table: "mqtt",
        name: "sparkplug_host",
        value: "\"scada\"",
        default: Default::Words("nobody is waited for"),
        meaning: "The Sparkplug host application without which nothing is sent: what happens meanwhile waits in the ledger.",
    },
    Key {
        table: "plc",
        name: "modbus",
        value: "\"server\"",
        default: Default::Value,
        meaning: "Who asks: with \"server\" the PLC does, with \"client\" it is asked.",
    },
    Key {
        table: "plc",
        name: "address",
        value: "\"127.0.0.1:1502\"",
        default: Default::Words("no Modbus"),
        meaning: "Where Modbus TCP is served, or where the PLC is. Modbus knows no passwords: an address that others reach takes allow.",
    },
    Key {
        table: "plc",
        name: "allow",
        value: "[\"192.168.0.10\", \"192.168.1.0/24\"]",
        default: Default::Words("this machine alone"),
        meaning: "Addresses and networks that may come in beside this machine itself.",
    },
    Key {
        table: "plc",
        name: "unit",
        value: "1",
        default: Default::Value,
        meaning: "The unit identifier, from 1 to 247.",
    },
    Key {
        table: "plc",
        name: "word_order",
        value: "\"big\"",
        default: Default::Value,
        meaning: "How a value of 32 bits lies in two registers: \"big\" has the high word first, \"little\" the low one.",
    },
    Key {
        table: "plc",
        name: "registers_from",
        value: "0",
        default: Default::Value,
        meaning: "Where the first camera's block of registers begins in a PLC that is asked.",
    },
    Key {
        table: "plc",
        name: "poll_ms",
        value: "20",
        default: Default::Value,
        meaning: "How often a PLC that is asked is asked.",
    },
    Key {
        table: "plc",
        name: "watchdog_ms",
        value: "1000",
        default: Default::Value,
        meaning: "A PLC that gives no sign of life for so long, or does not acknowledge a result, is lost: nothing passes until it is back.",
    },
    Key {
        table: "plc",
        name: "verdict_within_ms",
        value: "500",
        default: Default::Value,
        meaning: "A part without a verdict so long after its trigger is late, and refused, whatever its verdict will be.",
    },
    Key {
        table: "plc",
        name: "trust_degraded",
        value: "false",
        default: Default::Value,
        meaning: "Parts may pass while the station is degraded; else only while it is running, or degraded by nothing but the broker.",
    },
    Key {
        table: "plc",
        name: "safe",
        value: "\"reject\"",
        default: Default::Value,
        meaning: "What the outputs do where nothing may be relied on: \"reject\" strikes every part, \"stop\" takes ready away and strikes none.",
    },
    Key {
        table: "plc",
        name: "reject_after",
        value: "\"600 ms\"",
        default: Default::Words("Sightline strikes no parts: the PLC does"),
        meaning: "When a part is at the pusher, from its trigger on: \"600 ms\", or \"1200 counts\" of the encoder.",
    },
    Key {
        table: "plc",
        name: "reject_pulse_ms",
        value: "50",
        default: Default::Value,
        meaning: "For how long the pusher strikes.",
    },
    Key {
        table: "plc",
        name: "encoder",
        value: "\"modbus32\"",
        default: Default::Words("no encoder"),
        meaning: "Who tells where the belt is: \"modbus16\" or \"modbus32\", a register that the PLC writes and that wraps, or \"lines\".",
    },
    Key {
        table: "plc",
        name: "gpio_chip",
        value: "\"/dev/gpiochip0\"",
        default: Default::Value,
        meaning: "The chip that has the lines.",
    },
    Key {
        table: "plc",
        name: "gpio_lines",
        value: "{ ok = \"PQ.05\", reject = \"PQ.06\", busy = \"PN.01\", ready = \"PAC.06\", trigger = \"PR.04\" }",
        default: Default::Words("no lines"),
        meaning: "Lines of the board by their names or offsets: ok, reject, busy and ready go out, trigger, encoder_a and encoder_b come in.",
    },
    Key {
        table: "plc",
        name: "gpio_active_low",
        value: "[\"reject\"]",
        default: Default::Words("every line is active when it is high"),
        meaning: "Lines that are active when they are low. When the process is dead its lines are let go: wire them so that this is the safe level.",
    },
    Key {
        table: "plc",
        name: "gpio_debounce_ms",
        value: "2",
        default: Default::Value,
        meaning: "How long the trigger's line must stand before it counts.",
    },
    Key {
        table: "shift",
        name: "starts",
        value: "[\"00:00\"]",
        default: Default::Value,
        meaning: "When shifts begin, in the machine's own time zone: yield and rejects are counted from there on.\n\
                  A time that is skipped when clocks are put forward comes as much later on that day, one that comes twice counts once.",
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
        name: "region",
        value: "{ x = 0.25, y = 0.0, width = 0.5, height = 1.0 }",
        default: Default::Words("the whole picture"),
        meaning: "The part of the picture that is looked at, in fractions of its sides, after it was turned:\n\
                  it is the same part whatever format the camera sends. What is outside is judged by nobody.",
    },
    Key {
        table: "camera",
        name: "rotate",
        value: "0",
        default: Default::Value,
        meaning: "Degrees by which the picture is turned clockwise: 0, 90, 180 or 270.",
    },
    Key {
        table: "camera",
        name: "trigger",
        value: "{ region = { x = 0.2, y = 0.0, width = 0.6, height = 1.0 }, contrast = 16.0, presence = 0.1, gap_frames = 2, longest_secs = 5.0 }",
        default: Default::Words("every frame is judged"),
        meaning: "Judges one frame of each part that passes the region, the one with the part nearest to its middle (docs/cameras.md).\n\
                  A part is there while the share `presence` of the region is more than `contrast` of 255 grey levels from the empty belt,\n\
                  until `gap_frames` frames show none; one that stays for `longest_secs` is told. `region` is in fractions of what is looked at.\n\
                  {} stands for the values above with the whole region.",
    },
    Key {
        table: "camera",
        name: "plc",
        value: "{ frames = \"first\", delay_ms = 0, frame_within_ms = 100, products = { cap = 1, gear = 2 } }",
        default: Default::Words("its parts are not the PLC's"),
        meaning: "Its parts are announced by the PLC (docs/plc.md). With \"first\" a part's is the first frame from `delay_ms` after its trigger on,\n\
                  if it comes within `frame_within_ms`; every other frame is dropped. With \"each\" the same signal triggers the camera: a part's frame\n\
                  comes `delay_ms` after its trigger, so much earlier or later. `products` are the codes by which the PLC announces a product.",
    },
    Key {
        table: "camera",
        name: "ignore",
        value: "[{ x = 0.0, y = 0.9, width = 1.0, height = 0.1 }]",
        default: Default::Words("nothing is ignored"),
        meaning: "Rectangles of the frame whose anomalies do not count, in fractions of its sides from the upper left corner (docs/judge.md).",
    },
    Key {
        table: "camera",
        name: "ignore_mask",
        value: "\"top-mask.png\"",
        default: Default::Words("nothing is ignored"),
        meaning: "A picture in black and white that is laid over the frame, whatever its size: white is ignored as well.",
    },
    Key {
        table: "camera",
        name: "defect_area_min_px",
        value: "1",
        default: Default::Value,
        meaning: "A defect counts from this area on, in pixels of the model's input (docs/judge.md).",
    },
    Key {
        table: "camera",
        name: "part",
        value: "{ frames = 3, fails = 2, within_ms = 400 }",
        default: Default::Words("each frame is a part"),
        meaning: "A part is seen in so many frames, and is refused when so many of them are; it gets a line of its own (docs/verdict-lines.md).\n\
                  Its frames come within that time of its first; the pause before the next part is longer.",
    },
    Key {
        table: "camera",
        name: "recipe",
        value: "\"caps\"",
        default: Default::Words("the camera's own keys and [judge]'s"),
        meaning: "The recipe that holds until somebody chooses another, by its name. What was chosen holds after a restart\n\
                  where there is a ledger's folder to keep it in.",
    },
    Key {
        table: "camera",
        name: "recipes",
        value: "[\"caps\"]",
        default: Default::Words("all of them"),
        meaning: "The recipes that may be chosen for this camera.",
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
    Key {
        table: "recipe",
        name: "name",
        value: "\"caps\"",
        default: Default::Required,
        meaning: "Names the recipe for whoever chooses it: letters, digits, - and _, at most 64.",
    },
];

/// What a recipe may have instead of its camera, or instead of `[judge]`: stated there, once.
pub(super) const IN_RECIPES: [(&str, &str); 7] = [
    ("judge", "false_reject_rate"),
    ("judge", "rates"),
    ("camera", "products"),
    ("camera", "ignore"),
    ("camera", "ignore_mask"),
    ("camera", "defect_area_min_px"),
    ("camera", "part"),
];

/// Every key, those that a recipe shares with other tables among them.
pub(super) fn all() -> impl Iterator<Item = Key> {
    let shared = KEYS.iter().filter(|key| IN_RECIPES.contains(&(key.table, key.name)));
    let shared = shared.map(|key| {
        let words = if key.table == "judge" { "[judge]'s" } else { "the camera's own" };
        Key { table: "recipe", default: Default::Words(words), ..*key }
    });
    KEYS.iter().copied().chain(shared)
}

/// The keys of a table.
pub(super) fn of(table: &str) -> impl Iterator<Item = Key> {
    all().filter(move |key| key.table == table)
}

/// The key of that table and name.
pub(super) fn find(table: &str, name: &str) -> Option<Key> {
    of(table).find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_belongs_to_a_table_and_appears_once() {
        let keys: Vec<Key> = all().collect();
        for (index, key) in keys.iter().enumerate() {
            assert!(TABLES.iter().any(|(table, _)| *table == key.table), "{key:?}");
            assert!(key.example().is_some(), "{key:?}: its example is no TOML");
            assert!(
                !keys[..index].iter().any(|k| (k.table, k.name) == (key.table, key.name)),
                "{key:?} appears twice"
            );
        }
        assert_eq!(of("recipe").count(), 1 + IN_RECIPES.len());
    }
}
