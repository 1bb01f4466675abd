//! From what was typed to the settings, which need no further checks.
//!
//! Pure. Owns the bounds of every value, and the line that tells one which is beyond them. After this the rest of the
//! program holds rates, sizes and policies, not strings and numbers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
    path::Path,
    str::FromStr,
    time::Duration,
};

use bundle::calibration::RejectRate;

use super::{
    ConfigError, keys, plc,
    raw::{
        Raw, RawArchive, RawArea, RawCamera, RawEngine, RawHttp, RawJudge, RawLedger, RawModel,
        RawMqtt, RawPart, RawRecipe, RawShift, RawTrigger,
    },
    settings::{
        ArchiveSettings, CameraSettings, EngineSettings, Format, HttpSettings, JudgeSettings, Kept,
        LedgerSettings, ModelSettings, MqttSettings, MqttTls, RecipeSettings, Scaling, Settings,
    },
    shown,
};
use crate::{
    archive::Caps,
    camera::{
        Policy, Rule, View,
        view::{Area, Turn},
    },
    channel::Overflow,
    engine::{Arithmetic, OnnxOptions, Provider, Wish},
    judge::{DriftOptions, PartRule, Unrated},
    ledger::{Retention, outbox::History},
    mqtt::{self, Level},
    production::shift::Starts,
};

/// A bound against a typing error: 1024 frames of 256 x 256 are 200 MB.
const QUEUE_LEN_MAX: i64 = 1024;
/// A century: whoever wants rows for ever says how many days that is.
const KEEP_DAYS_MAX: i64 = 36_500;
/// 16 TB, more than any edge device has.
const SIZE_MAX_MB_MAX: i64 = 16_000_000;
/// A part a year on the fastest line.
const PASSES_EVERY_MAX: i64 = 1_000_000_000;
/// The list of them takes 20 MB of memory; at 100 kB each they are 10 GB.
const ARCHIVE_FRAMES_MAX: usize = 100_000;
/// Beyond this a batch waits longer than it saves.
const BATCH_MAX: i64 = 32;
/// A part that has waited for a second has left.
const BATCH_WAIT_MS_MAX: i64 = 1000;
const DEVICE_MAX: i64 = 15;
/// Less does not hold a network; more than a terabyte is a slip.
const GPU_MEMORY_MB_MIN: i64 = 64;
const GPU_MEMORY_MB_MAX: i64 = 1 << 20;
/// A week: a line that trusts its engine for longer has no golden frames to speak of.
const GOLDEN_EVERY_MINS_MAX: i64 = 7 * 24 * 60;
/// A gap of more frames is no gap between two parts.
const GAP_FRAMES_MAX: i64 = 1_000;
/// A whole frame of 4096 x 4096.
const DEFECT_AREA_MAX_PX: i64 = 1 << 24;
/// Frames of a part: more are a video.
const PART_FRAMES_MAX: i64 = 1_000;
/// A minute: a part that takes longer is not on a line.
const PART_WITHIN_MS_MAX: i64 = 60_000;
/// Fewer than a hundred say little, and a hundred thousand are an hour.
const DRIFT_REFERENCE_FRAMES: (i64, i64) = (100, 100_000);
/// More than a panel shows of a line.
const PICTURES_PER_SECOND_MAX: i64 = 30;
/// More threads than any edge device has cores.
const THREADS_MAX: i64 = 256;

/// Below the least the client library refuses; the most is what the protocol has room for.
const KEEP_ALIVE_SECS: (i64, i64) = (5, 65_535);
/// The least holds the shortest form of a message, the most is a picture's size, and there are none.
const PACKET_BYTES: (i64, i64) = (1_024, 1 << 20);

/// Each has a thread and a queue.
const CAMERAS_MAX: usize = 64;
/// More are no list to choose from.
const RECIPES_MAX: usize = 64;
/// It stands in every verdict line and in a thread's name.
const NAME_CHARS_MAX: usize = 64;
/// The longest name that DNS has.
const HOST_CHARS_MAX: usize = 253;
/// What marks a value as kept elsewhere, which `cli::cameras` and `camera::serial` look up.
const KEPT_ELSEWHERE: [&str; 3] = ["env:", "credential:", "serial:"];

pub(super) fn settings(raw: Raw, folder: &Path) -> Result<Settings, ConfigError> {
    let mut cameras: Vec<CameraSettings> = Vec::new();
    let model = model(&raw.model, folder);
    let engine = engine(raw.engine, folder)?;
    let judge = judge(&raw.judge)?;
    let format = format(raw.output.format.as_deref())?;
    let ledger = ledger(raw.ledger, folder)?;
    let archive = archive(raw.archive, folder)?;
    let http = http(raw.http, folder)?;
    let mqtt = mqtt(raw.mqtt, folder)?;
    let plc = plc::plc(&raw.plc)?;
    let shift = shift(raw.shift)?;
    let recipes = recipes(raw.recipe, folder)?;
    for (index, camera) in raw.camera.into_iter().enumerate() {
        let camera = self::camera(camera, index, folder, &recipes)?;
        if cameras.iter().any(|other| other.name == camera.name) {
            let expected = "another camera has that name";
            return Err(value(format!("camera[{index}].name"), &quoted(&camera.name), expected));
        }
        cameras.push(camera);
    }
    if cameras.len() > CAMERAS_MAX {
        let (given, expected) = (format!("{} tables", cameras.len()), "it may be 64 at most");
        return Err(value("camera", &given, expected));
    }
    if cameras.is_empty() {
        let meaning = "at least one [[camera]] table with a name and a preset";
        return Err(ConfigError::Missing { path: "camera".into(), meaning });
    }
    Ok(Settings {
        model,
        engine,
        judge,
        format,
        ledger,
        archive,
        http,
        mqtt,
        plc,
        shift,
        recipes,
        cameras,
    })
}

fn model(raw: &RawModel, folder: &Path) -> ModelSettings {
    ModelSettings {
        path: folder.join(raw.path.as_deref().unwrap_or("models/demo.onnx")),
        calibration: raw.calibration.as_deref().map(|path| folder.join(path)),
    }
}

fn engine(raw: RawEngine, folder: &Path) -> Result<EngineSettings, ConfigError> {
    let providers: Vec<Provider> =
        list("engine.providers", raw.providers, || vec![Provider::Cpu], "cpu")?;
    let arithmetics: Vec<Arithmetic> =
        list("engine.precisions", raw.precisions, || Arithmetic::ALL.to_vec(), "fp32")?;
    let whole =
        |name, value: Option<i64>, default, max| within(name, value.unwrap_or(default), 0, max);
    let threads = raw.threads.map(|n| within("engine.threads", n, 1, THREADS_MAX)).transpose()?;
    let batch_max = within("engine.batch_max", raw.batch_max.unwrap_or(1), 1, BATCH_MAX)?;
    let batch_wait = whole("engine.batch_wait_ms", raw.batch_wait_ms, 0, BATCH_WAIT_MS_MAX)?;
    let device = whole("engine.device", raw.device, 0, DEVICE_MAX)?;
    let gpu_memory = "engine.gpu_memory_max_mb";
    let gpu_memory_max_mb = raw
        .gpu_memory_max_mb
        .map(|megabytes| within(gpu_memory, megabytes, GPU_MEMORY_MB_MIN, GPU_MEMORY_MB_MAX))
        .transpose()?;
    let golden = "engine.golden_every_mins";
    let golden_every_mins =
        within(golden, raw.golden_every_mins.unwrap_or(60), 1, GOLDEN_EVERY_MINS_MAX)?;
    Ok(EngineSettings {
        library: raw.library.map(|path| folder.join(path)),
        wish: Wish { providers, fall_back: raw.fall_back.unwrap_or(false), arithmetics },
        onnx: OnnxOptions {
            threads,
            batch_max,
            device: i32::try_from(device).unwrap_or_default(),
            gpu_memory_max: gpu_memory_max_mb.map(|megabytes| megabytes << 20),
        },
        cache: raw.cache.map(|path| folder.join(path)),
        batch_wait: Duration::from_millis(batch_wait as u64),
        golden_every: Duration::from_mins(golden_every_mins as u64),
    })
}

/// Words of a closed set, each at most once and at least one of them.
fn list<T: FromStr<Err = String> + PartialEq>(
    name: &str,
    words: Option<Vec<String>>,
    default: impl FnOnce() -> Vec<T>,
    example: &str,
) -> Result<Vec<T>, ConfigError> {
    let Some(words) = words else { return Ok(default()) };
    let mut values = Vec::new();
    for word in words {
        let parsed =
            word.parse().map_err(|expected: String| value(name, &quoted(&word), expected))?;
        if values.contains(&parsed) {
            return Err(value(name, &quoted(&word), "it is listed twice"));
        }
        values.push(parsed);
    }
    if values.is_empty() {
        let expected = format!("at least one is needed, such as \"{example}\"");
        return Err(value(name, "[]", expected));
    }
    Ok(values)
}

fn judge(raw: &RawJudge) -> Result<JudgeSettings, ConfigError> {
    let (least, most) = DRIFT_REFERENCE_FRAMES;
    let reference = "judge.drift_reference_frames";
    let reference_frames =
        within(reference, raw.drift_reference_frames.unwrap_or(300), least, most)?;
    let drift = raw.drift.unwrap_or(true).then_some(DriftOptions { reference_frames });
    Ok(JudgeSettings {
        reject_rate: reject_rate("judge.false_reject_rate", raw.false_reject_rate.unwrap_or(0.01))?,
        rates: rates("judge.rates", &raw.rates)?,
        unrated: match raw.allow_unrated {
            Some(true) => Unrated::Allowed,
            Some(false) | None => Unrated::Refused,
        },
        drift,
    })
}

fn ledger(raw: RawLedger, folder: &Path) -> Result<LedgerSettings, ConfigError> {
    let days = within("ledger.keep_days", raw.keep_days.unwrap_or(90), 1, KEEP_DAYS_MAX)?;
    let megabytes =
        within("ledger.size_max_mb", raw.size_max_mb.unwrap_or(4096), 1, SIZE_MAX_MB_MAX)?;
    Ok(LedgerSettings {
        path: raw.path.map(|path| folder.join(path)),
        retention: Retention {
            age_max: Duration::from_hours(24 * days as u64),
            bytes_max: megabytes as u64 * 1_000_000,
        },
    })
}

fn archive(raw: RawArchive, folder: &Path) -> Result<ArchiveSettings, ConfigError> {
    let whole = |name: &str, given: Option<i64>, default, least, most| {
        within(&format!("archive.{name}"), given.unwrap_or(default), least, most)
    };
    let days = whole("keep_days", raw.keep_days, 90, 1, KEEP_DAYS_MAX)?;
    let megabytes = whole("size_max_mb", raw.size_max_mb, 10_000, 1, SIZE_MAX_MB_MAX)?;
    let free = whole("free_min_mb", raw.free_min_mb, 1_000, 0, SIZE_MAX_MB_MAX)?;
    let passes = whole("passes_every", raw.passes_every, 1_000, 0, PASSES_EVERY_MAX)?;
    let quality = whole("jpeg_quality", raw.jpeg_quality, 92, 1, 100)?;
    Ok(ArchiveSettings {
        path: raw.path.map(|path| folder.join(path)),
        passes_every: passes as u64,
        caps: Caps {
            bytes_max: megabytes as u64 * 1_000_000,
            frames_max: ARCHIVE_FRAMES_MAX,
            age_max: Duration::from_hours(24 * days as u64),
            free_min_bytes: free as u64 * 1_000_000,
        },
        jpeg_quality: u8::try_from(quality).unwrap_or(100),
    })
}

fn pictures_per_second(given: Option<i64>) -> Result<NonZeroU8, ConfigError> {
    let given = within("http.pictures_per_second", given.unwrap_or(5), 1, PICTURES_PER_SECOND_MAX)?;
    // Within its bounds it is neither zero nor too large.
    Ok(u8::try_from(given).ok().and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN))
}

fn http(raw: RawHttp, folder: &Path) -> Result<Option<HttpSettings>, ConfigError> {
    let kept = |text: String| kept(&text, folder);
    let pictures_per_second = pictures_per_second(raw.pictures_per_second)?;
    let Some(text) = raw.listen else {
        let has_more = raw.users.is_some() || raw.certificate.is_some() || raw.key.is_some();
        let has_more = has_more || raw.plain == Some(true) || !raw.hosts.is_empty();
        return if has_more { Err(missing("http", "listen")) } else { Ok(None) };
    };
    let expected = "it must be an address with a port, such as 127.0.0.1:9640 or [::1]:9640";
    let listen: SocketAddr =
        text.parse().map_err(|_no_address| value("http.listen", &quoted(&text), expected))?;
    let users = raw.users.map(kept);
    let tls = match (raw.certificate, raw.key) {
        (Some(certificate), Some(key)) => Some((kept(certificate), kept(key))),
        (None, None) => None,
        (Some(_), None) => return Err(missing("http", "key")),
        (None, Some(_)) => return Err(missing("http", "certificate")),
    };
    let is_behind_proxy = raw.plain.unwrap_or(false);
    if is_behind_proxy && tls.is_some() {
        let expected = "http.certificate and http.key say the contrary: leave one or the other out";
        return Err(value("http.plain", "true", expected));
    }
    let hosts: Vec<_> = raw.hosts.iter().map(|text| host(text)).collect::<Result<_, _>>()?;
    let is_reached =
        !listen.ip().to_canonical().is_loopback() || !hosts.is_empty() || is_behind_proxy;
    if is_reached && users.is_none() {
        let expected = "others reach it by its address, http.hosts or http.plain, which takes http.users: \
                        write the file with sightline user add NAME --role engineer --file users.toml";
        return Err(value("http.listen", &quoted(&text), expected));
    }
    if !listen.ip().to_canonical().is_loopback() && tls.is_none() && !is_behind_proxy {
        let expected = "an address that others reach takes http.certificate and http.key (docs/access.md), \
                        or http.plain = true behind a proxy that does TLS; only 127.0.0.1 and [::1] take neither";
        return Err(value("http.listen", &quoted(&text), expected));
    }
    Ok(Some(HttpSettings { listen, users, tls, is_behind_proxy, hosts, pictures_per_second }))
}

fn missing(table: &str, name: &str) -> ConfigError {
    let meaning = keys::find(table, name).map_or("", |key| key.meaning);
    // A refusal is one line.
    let meaning = meaning.lines().next().unwrap_or_default();
    ConfigError::Missing { path: format!("{table}.{name}"), meaning }
}

/// Where something is kept, as it was typed.
fn kept(text: &str, folder: &Path) -> Kept {
    match text.strip_prefix("credential:") {
        Some(name) => Kept::Credential(name.into()),
        None => Kept::File(folder.join(text)),
    }
}

fn mqtt(raw: RawMqtt, folder: &Path) -> Result<Option<MqttSettings>, ConfigError> {
    let level = |name: &str, text: &str| {
        Level::new(text).map_err(|expected| value(format!("mqtt.{name}"), &quoted(text), expected))
    };
    let site = level("site", raw.site.as_deref().unwrap_or("plant"))?;
    let device = raw.device.as_deref().map(|text| level("device", text)).transpose()?;
    let sparkplug_host =
        raw.sparkplug_host.as_deref().map(|text| level("sparkplug_host", text)).transpose()?;
    let prefix = raw.prefix.unwrap_or_else(|| "sightline".into());
    if prefix.split('/').any(|text| Level::new(text).is_err()) || prefix.len() > NAME_CHARS_MAX {
        let expected = "it is one or more levels parted by /, each without +, # and control characters, at most 64 characters";
        return Err(value("mqtt.prefix", &quoted(&prefix), expected));
    }
    let format = match raw.format.as_deref() {
        None | Some("json") => mqtt::Format::Json,
        Some("sparkplug") => mqtt::Format::Sparkplug,
        Some(other) => {
            let expected = "expected \"json\" or \"sparkplug\"";
            return Err(value("mqtt.format", &quoted(other), expected));
        }
    };
    let history = match raw.history.as_deref() {
        None | Some("new") => History::New,
        Some("all") => History::All,
        Some(other) => {
            return Err(value("mqtt.history", &quoted(other), "expected \"new\" or \"all\""));
        }
    };
    let (least, most) = KEEP_ALIVE_SECS;
    let keep_alive = raw.keep_alive_secs.unwrap_or(30);
    let keep_alive = within("mqtt.keep_alive_secs", keep_alive, least, most)?;
    let (least, most) = PACKET_BYTES;
    let packet_bytes_max = raw.packet_bytes_max.unwrap_or(65_536);
    let packet_bytes_max = within("mqtt.packet_bytes_max", packet_bytes_max, least, most)?;
    let Some(text) = raw.broker else {
        let has_more = [&raw.user, &raw.password, &raw.ca_certificate, &raw.certificate, &raw.key];
        let has_more = has_more.into_iter().any(Option::is_some) || device.is_some();
        return if has_more { Err(missing("mqtt", "broker")) } else { Ok(None) };
    };
    let (host, port, is_tls) = broker(&text)?;
    let identity = match (raw.certificate, raw.key) {
        (Some(certificate), Some(key)) => Some((kept(&certificate, folder), kept(&key, folder))),
        (None, None) => None,
        (Some(_), None) => return Err(missing("mqtt", "key")),
        (None, Some(_)) => return Err(missing("mqtt", "certificate")),
    };
    let ca = raw.ca_certificate.map(|text| kept(&text, folder));
    if !is_tls && (ca.is_some() || identity.is_some()) {
        let expected = "mqtt.ca_certificate, mqtt.certificate and mqtt.key want mqtts://";
        return Err(value("mqtt.broker", &quoted(&text), expected));
    }
    let password = raw.password.map(|text| kept(&text, folder));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_near =
        host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback());
    let is_allowed = raw.allow_plain_password.unwrap_or(false);
    if password.is_some() && !is_tls && !is_near && !is_allowed {
        let expected = "the password would be readable on the way: use mqtts://, or set mqtt.allow_plain_password = true";
        return Err(value("mqtt.broker", &quoted(&text), expected));
    }
    let user = match (raw.user, password) {
        (Some(user), password) => Some((user, password)),
        (None, None) => None,
        (None, Some(_)) => return Err(missing("mqtt", "user")),
    };
    Ok(Some(MqttSettings {
        host,
        port,
        tls: is_tls.then_some(MqttTls { ca, identity }),
        format,
        site,
        device,
        prefix,
        user,
        keep_alive: Duration::from_secs(keep_alive as u64),
        history,
        has_events: raw.events.unwrap_or(true),
        packet_bytes_max,
        sparkplug_host,
    }))
}

/// The broker's name, its port, and whether TLS is spoken.
fn broker(text: &str) -> Result<(String, u16, bool), ConfigError> {
    let expected = "it must be like mqtt://broker.plant.example, mqtts://192.168.1.5:8883 or mqtt://[::1]:1883; \
                    user and password have keys of their own";
    let wrong = || value("mqtt.broker", &quoted(text), expected);
    let (rest, is_tls) = match (text.strip_prefix("mqtt://"), text.strip_prefix("mqtts://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return Err(wrong()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of a bare IPv6 address part no port.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
        None if is_tls => 8883,
        None => 1883,
    };
    let host = self::host(host).map_err(|_other_key| wrong())?;
    if is_tls && host.starts_with('[') {
        let expected =
            "a bare IPv6 address cannot be checked against a certificate here: name the broker";
        return Err(value("mqtt.broker", &quoted(text), expected));
    }
    Ok((host, port, is_tls))
}

/// A name as a `Host` header has it, without the port.
fn host(text: &str) -> Result<String, ConfigError> {
    let name = text.to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_name = (1..=HOST_CHARS_MAX).contains(&name.len()) && name.chars().all(plain);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is_v6 = bare.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6());
    match (is_name, is_v6) {
        (true, _) => Ok(name),
        (false, true) => Ok(format!("[{bare}]")),
        (false, false) => {
            let expected =
                "each is a name or an address without scheme and port, such as line1.plant.example";
            Err(value("http.hosts", &quoted(text), expected))
        }
    }
}

fn shift(raw: RawShift) -> Result<Starts, ConfigError> {
    let Some(words) = raw.starts else { return Ok(Starts::default()) };
    let given = format!("{words:?}");
    Starts::new(&words).map_err(|expected| value("shift.starts", &given, expected))
}

fn recipes(raw: Vec<RawRecipe>, folder: &Path) -> Result<Vec<RecipeSettings>, ConfigError> {
    if raw.len() > RECIPES_MAX {
        let given = format!("{} tables", raw.len());
        return Err(value("recipe", &given, "it may be 64 at most"));
    }
    let mut recipes: Vec<RecipeSettings> = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let recipe = recipe(raw, index, folder)?;
        if recipes.iter().any(|other| other.name == recipe.name) {
            let expected = "another recipe has that name";
            return Err(value(format!("recipe[{index}].name"), &quoted(&recipe.name), expected));
        }
        recipes.push(recipe);
    }
    Ok(recipes)
}

fn recipe(raw: RawRecipe, index: usize, folder: &Path) -> Result<RecipeSettings, ConfigError> {
    let path = |key: &str| format!("recipe[{index}].{key}");
    Ok(RecipeSettings {
        name: name(&path("name"), "recipe", raw.name)?,
        reject_rate: raw
            .false_reject_rate
            .map(|rate| reject_rate(&path("false_reject_rate"), rate))
            .transpose()?,
        rates: raw.rates.map(|given| rates(&path("rates"), &given)).transpose()?,
        products: products(&path("products"), raw.products)?,
        ignore: raw.ignore.map(|given| areas(&path("ignore"), given)).transpose()?,
        ignore_mask: raw.ignore_mask.map(|mask| folder.join(mask)),
        defect_area_min_px: raw
            .defect_area_min_px
            .map(|area| within(&path("defect_area_min_px"), area, 1, DEFECT_AREA_MAX_PX))
            .transpose()?,
        part: raw.part.map(|part| self::part(&path("part"), &part)).transpose()?,
    })
}

/// The recipes that may be chosen for a camera, and the one that holds at first.
fn offered(
    path: impl Fn(&str) -> String,
    first: Option<String>,
    offered: Option<Vec<String>>,
    known: &[RecipeSettings],
) -> Result<(Option<String>, Vec<String>), ConfigError> {
    let all = || known.iter().map(|recipe| recipe.name.clone());
    let check = |key: &str, name: &String| {
        if all().any(|other| other == *name) {
            return Ok(());
        }
        let names: Vec<_> = all().collect();
        let expected = if names.is_empty() {
            "there is no [[recipe]] table".into()
        } else {
            format!("there is no such recipe: known are {}", names.join(", "))
        };
        Err(value(path(key), &quoted(name), expected))
    };
    first.iter().try_for_each(|name| check("recipe", name))?;
    let offered = match offered {
        None => all().collect(),
        Some(names) => {
            for (index, name) in names.iter().enumerate() {
                check("recipes", name)?;
                if names[..index].contains(name) {
                    return Err(value(path("recipes"), &quoted(name), "it is listed twice"));
                }
            }
            names
        }
    };
    if let Some(name) = first.iter().find(|name| !offered.contains(name)) {
        let expected = "it is not among the camera's recipes";
        return Err(value(path("recipe"), &quoted(name), expected));
    }
    Ok((first, offered))
}

/// Rates of single products, which `path` names.
fn rates(
    path: &str,
    given: &BTreeMap<String, f64>,
) -> Result<BTreeMap<String, RejectRate>, ConfigError> {
    let rate = |(product, rate): (&String, &f64)| {
        Ok((product.clone(), reject_rate(&format!("{path}.{product}"), *rate)?))
    };
    given.iter().map(rate).collect()
}

/// The products that may come.
fn products(
    path: &str,
    given: Option<Vec<String>>,
) -> Result<Option<BTreeSet<String>>, ConfigError> {
    if given.as_ref().is_some_and(Vec::is_empty) {
        let expected = "at least one product is needed; left out, all may come";
        return Err(value(path, "[]", expected));
    }
    Ok(given.map(|products| products.into_iter().collect()))
}

fn areas(path: &str, given: Vec<RawArea>) -> Result<Vec<Area>, ConfigError> {
    (0..).zip(given).map(|(place, raw)| area(&format!("{path}[{place}]"), raw)).collect()
}

/// A name for people, for verdict lines and for addresses.
fn name(path: &str, table: &str, given: Option<String>) -> Result<String, ConfigError> {
    let name = required(path, table, "name", given)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
        let expected = "it may have letters, digits, - and _ only, at most 64";
        return Err(value(path, &quoted(&name), expected));
    }
    Ok(name)
}

fn required(
    path: &str,
    table: &str,
    name: &str,
    given: Option<String>,
) -> Result<String, ConfigError> {
    let meaning = keys::find(table, name).map_or("", |key| key.meaning);
    given.ok_or_else(|| ConfigError::Missing { path: path.into(), meaning })
}

/// A false-reject rate, which `path` names.
fn reject_rate(path: &str, rate: f64) -> Result<RejectRate, ConfigError> {
    // The bundle's own message would not name the key.
    RejectRate::new(rate).map_err(|_not_a_rate| {
        value(path, &rate.to_string(), "it must be at least 0.000001 and less than 1")
    })
}

fn format(word: Option<&str>) -> Result<Format, ConfigError> {
    match word.unwrap_or("auto") {
        "auto" => Ok(Format::Auto),
        "json" => Ok(Format::Json),
        "text" => Ok(Format::Text),
        other => {
            Err(value("output.format", &quoted(other), "expected \"auto\", \"json\" or \"text\""))
        }
    }
}

fn camera(
    raw: RawCamera,
    index: usize,
    folder: &Path,
    known: &[RecipeSettings],
) -> Result<CameraSettings, ConfigError> {
    let path = |key: &str| format!("camera[{index}].{key}");
    let reconnect = policy(&raw, path)?;
    let name = name(&path("name"), "camera", raw.name)?;
    let preset = required(&path("preset"), "camera", "preset", raw.preset)?;
    // A preset of one's own is a path like any other in the file.
    let is_path = preset.contains('/') || Path::new(&preset).extension().is_some();
    let preset = if is_path { folder.join(&preset).display().to_string() } else { preset };
    let parameters = parameters(&path("parameters"), raw.parameters, folder)?;
    let products = products(&path("products"), raw.products)?;
    let (recipe, recipes) = offered(path, raw.recipe, raw.recipes, known)?;
    let overflow = match raw.overflow.as_deref().unwrap_or("latest") {
        "latest" => Overflow::Latest,
        "every" => Overflow::Every,
        other => {
            return Err(value(
                path("overflow"),
                &quoted(other),
                "expected \"latest\" or \"every\"",
            ));
        }
    };
    let scaling = match raw.scaling.as_deref().unwrap_or("pipeline") {
        "pipeline" => Scaling::Pipeline,
        "exact" => Scaling::Exact,
        other => {
            return Err(value(
                path("scaling"),
                &quoted(other),
                "expected \"pipeline\" or \"exact\"",
            ));
        }
    };
    let rotate = raw.rotate.unwrap_or(0);
    let turn = Turn::of_degrees(rotate).ok_or_else(|| {
        value(path("rotate"), &rotate.to_string(), "expected 0, 90, 180 or 270 degrees")
    })?;
    let region = raw.region.map(|region| area(&path("region"), region)).transpose()?;
    let trigger = raw.trigger.map(|trigger| rule(&path("trigger"), trigger)).transpose()?;
    let plc = raw.plc.map(|raw| plc::camera(&path("plc"), raw)).transpose()?;
    let area = raw.defect_area_min_px.unwrap_or(1);
    Ok(CameraSettings {
        view: View { turn, region },
        trigger,
        plc,
        name,
        preset,
        parameters,
        overflow,
        queue_len: within(&path("queue_len"), raw.queue_len.unwrap_or(2), 1, QUEUE_LEN_MAX)?,
        scaling,
        realtime: raw.realtime.unwrap_or(true),
        repeat: raw.r#loop.unwrap_or(false),
        products,
        recipe,
        recipes,
        ignore: areas(&path("ignore"), raw.ignore)?,
        ignore_mask: raw.ignore_mask.map(|mask| folder.join(mask)),
        defect_area_min_px: within(&path("defect_area_min_px"), area, 1, DEFECT_AREA_MAX_PX)?,
        part: raw.part.map(|part| self::part(&path("part"), &part)).transpose()?,
        reconnect,
    })
}

fn parameters(
    path: &str,
    raw: BTreeMap<String, toml::Value>,
    folder: &Path,
) -> Result<BTreeMap<String, String>, ConfigError> {
    raw.into_iter()
        .map(|(name, given)| {
            let text = match given {
                toml::Value::String(text) => in_folder(&name, text, folder),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Boolean(yes) => yes.to_string(),
                other @ (toml::Value::Array(_)
                | toml::Value::Table(_)
                | toml::Value::Datetime(_)) => {
                    let expected = "a parameter is a string, a number, true or false";
                    return Err(value(format!("{path}.{name}"), &other.to_string(), expected));
                }
            };
            Ok((name, text))
        })
        .collect()
}

/// When a camera counts as lost, and how it is tried again.
fn policy(raw: &RawCamera, path: impl Fn(&str) -> String) -> Result<Policy, ConfigError> {
    let usual = Policy::default();
    let seconds = |key: &str, given: Option<f64>, usual: Duration| match given {
        None => Ok(usual),
        Some(given) => seconds(&path(key), given),
    };
    Ok(Policy {
        stall_after: seconds("stall_after_secs", raw.stall_after_secs, usual.stall_after)?,
        frozen_after: seconds("frozen_after_secs", raw.frozen_after_secs, usual.frozen_after)?,
        first_wait: seconds("reconnect_first_secs", raw.reconnect_first_secs, usual.first_wait)?,
        wait_max: seconds("reconnect_max_secs", raw.reconnect_max_secs, usual.wait_max)?,
        healthy_after: usual.healthy_after,
        give_up_after: match raw.give_up_after_secs {
            Some(given) => Some(seconds("give_up_after_secs", Some(given), usual.wait_max)?),
            None => None,
        },
    })
}

fn area(path: &str, raw: RawArea) -> Result<Area, ConfigError> {
    let RawArea { x, y, width, height } = raw;
    Area::new(x, y, width, height).map_err(|expected| {
        let given = format!("{{ x = {x}, y = {y}, width = {width}, height = {height} }}");
        value(path, &given, expected)
    })
}

fn rule(path: &str, raw: RawTrigger) -> Result<Rule, ConfigError> {
    let usual = Rule::default();
    let path = |key: &str| format!("{path}.{key}");
    let number = |key: &str, given: Option<f64>, usual: f64, most: f64| {
        let given = given.unwrap_or(usual);
        let is_within = given > 0.0 && given <= most;
        let expected = || format!("it must be above 0 and at most {most}");
        if is_within { Ok(given) } else { Err(value(path(key), &given.to_string(), expected())) }
    };
    Ok(Rule {
        area: match raw.region {
            Some(region) => area(&path("region"), region)?,
            None => usual.area,
        },
        contrast: number("contrast", raw.contrast, usual.contrast, 255.0)?,
        presence: number("presence", raw.presence, usual.presence, 1.0)?,
        gap_frames: match raw.gap_frames {
            Some(given) => within(&path("gap_frames"), given, 1, GAP_FRAMES_MAX)?,
            None => usual.gap_frames,
        },
        longest: match raw.longest_secs {
            Some(given) => seconds(&path("longest_secs"), given)?,
            None => usual.longest,
        },
    })
}

fn part(path: &str, raw: &RawPart) -> Result<PartRule, ConfigError> {
    let number = |key: &str, given: i64, most: i64| {
        let number = within(&format!("{path}.{key}"), given, 1, most)?;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    };
    let frames = number("frames", raw.frames, PART_FRAMES_MAX)?;
    let fails = number("fails", raw.fails, i64::from(frames))?;
    let within_ms = number("within_ms", raw.within_ms, PART_WITHIN_MS_MAX)?;
    Ok(PartRule { frames, fails, within: Duration::from_millis(within_ms.into()) })
}

/// `location` is the one parameter that elements take for a path; an address stays as it is.
fn in_folder(parameter: &str, text: String, folder: &Path) -> String {
    let is_elsewhere =
        text.contains("://") || KEPT_ELSEWHERE.iter().any(|mark| text.starts_with(mark));
    if parameter == "location" && !is_elsewhere {
        folder.join(&text).display().to_string()
    } else {
        text
    }
}

pub(super) fn within(path: &str, given: i64, least: i64, most: i64) -> Result<usize, ConfigError> {
    usize::try_from(given).ok().filter(|_| (least..=most).contains(&given)).ok_or_else(|| {
        value(path, &given.to_string(), format!("it must be from {least} to {most}"))
    })
}

/// A duration that a person waits for: from a tenth of a second to a day.
fn seconds(path: &str, given: f64) -> Result<Duration, ConfigError> {
    let refused = || value(path, &given.to_string(), "it must be from 0.1 to 86400 seconds");
    if !(0.1..=86_400.0).contains(&given) {
        return Err(refused());
    }
    Duration::try_from_secs_f64(given).map_err(|_out_of_range| refused())
}

pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

pub(super) fn value(
    path: impl Into<String>,
    given: &str,
    expected: impl Into<String>,
) -> ConfigError {
    ConfigError::Value { path: shown(&path.into()), value: shown(given), expected: expected.into() }
}
