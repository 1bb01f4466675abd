//! From what was typed of the PLC to settings: addresses, deadlines, lines.
//!
//! Pure. Owns the bounds of these values. What must hold between `[plc]` and the cameras is `cli::plc`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use super::{
    ConfigError,
    raw::{RawCameraPlc, RawPlc},
    resolve::{quoted, value, within},
    settings::{CameraPlc, EncoderFrom, PlcSettings},
};
use crate::plc::{
    Modbus, Net, Options, Role,
    gpio::{LineOptions, Task},
    map::WordOrder,
    pairing::{self, Frames},
    post::Safe,
    pusher::{self, Place, Width},
};

/// Less is a network's own jitter; more lets a line run on without its PLC.
const WATCHDOG_MS: (i64, i64) = (50, 60_000);
const VERDICT_WITHIN_MS: (i64, i64) = (10, 60_000);
const POLL_MS: (i64, i64) = (5, 1_000);
/// A part is at the pusher within ten minutes, or on another line.
const REJECT_AFTER_MS_MAX: i64 = 600_000;
const REJECT_AFTER_COUNTS_MAX: i64 = 1_000_000_000;
const PULSE_MS_MAX: i64 = 5_000;
const FRAME_MS_MAX: i64 = 10_000;
const DEBOUNCE_MS_MAX: i64 = 100;
const ALLOWED_MAX: usize = 64;

pub(super) fn plc(raw: &RawPlc) -> Result<Option<PlcSettings>, ConfigError> {
    let (least, most) = WATCHDOG_MS;
    let watchdog = millis("plc.watchdog_ms", raw.watchdog_ms.unwrap_or(1_000), least, most)?;
    let (least, most) = VERDICT_WITHIN_MS;
    let verdict_within =
        millis("plc.verdict_within_ms", raw.verdict_within_ms.unwrap_or(500), least, most)?;
    let pulse = millis("plc.reject_pulse_ms", raw.reject_pulse_ms.unwrap_or(50), 1, PULSE_MS_MAX)?;
    let safe = match raw.safe.as_deref() {
        None | Some("reject") => Safe::Reject,
        Some("stop") => Safe::Stop,
        Some(other) => {
            return Err(value("plc.safe", &quoted(other), "expected \"reject\" or \"stop\""));
        }
    };
    let encoder = match raw.encoder.as_deref() {
        None => None,
        Some("modbus16") => Some(EncoderFrom::Registers(Width::Bits16)),
        Some("modbus32") => Some(EncoderFrom::Registers(Width::Bits32)),
        Some("lines") => Some(EncoderFrom::Lines),
        Some(other) => {
            let expected = "expected \"modbus16\", \"modbus32\" or \"lines\"";
            return Err(value("plc.encoder", &quoted(other), expected));
        }
    };
    let lines = lines(raw)?;
    let has_reject = lines.as_ref().is_some_and(|it| it.lines.contains_key(&Task::Reject));
    let pusher = match raw.reject_after.as_deref() {
        Some(text) => Some(pusher::Rule { place: place(text)?, pulse, is_held: !has_reject }),
        None => None,
    };
    let modbus = modbus(raw)?;
    if modbus.is_none() && lines.is_none() {
        return Ok(None);
    }
    let trusts_degraded = raw.trust_degraded.unwrap_or(false);
    let options = Options { modbus, watchdog, trusts_degraded, lines };
    Ok(Some(PlcSettings { options, verdict_within, safe, pusher, encoder }))
}

fn modbus(raw: &RawPlc) -> Result<Option<Modbus>, ConfigError> {
    let unit = within("plc.unit", raw.unit.unwrap_or(1), 1, 247)?;
    let (least, most) = POLL_MS;
    let every = millis("plc.poll_ms", raw.poll_ms.unwrap_or(20), least, most)?;
    let from = within("plc.registers_from", raw.registers_from.unwrap_or(0), 0, 65_500)?;
    let order = match raw.word_order.as_deref() {
        None | Some("big") => WordOrder::Big,
        Some("little") => WordOrder::Little,
        Some(other) => {
            let expected = "expected \"big\" (the high word first) or \"little\"";
            return Err(value("plc.word_order", &quoted(other), expected));
        }
    };
    let is_server = match raw.modbus.as_deref() {
        None | Some("server") => true,
        Some("client") => false,
        Some(other) => {
            let expected = "expected \"server\" (the PLC asks) or \"client\" (the PLC is asked)";
            return Err(value("plc.modbus", &quoted(other), expected));
        }
    };
    let allow = allow(&raw.allow)?;
    let Some(text) = &raw.address else { return Ok(None) };
    let expected = "it must be an address with a port, such as 127.0.0.1:1502 or 192.168.0.5:502";
    let address: SocketAddr =
        text.parse().map_err(|_no_address| value("plc.address", &quoted(text), expected))?;
    if is_server && !address.ip().to_canonical().is_loopback() && allow.is_empty() {
        let expected = "Modbus knows no passwords: an address that others reach takes plc.allow, \
                        such as [\"192.168.0.10\"]";
        return Err(value("plc.address", &quoted(text), expected));
    }
    let role = if is_server {
        Role::Server { listen: address, allow }
    } else {
        let address_from = u16::try_from(from).unwrap_or_default();
        Role::Client { connect: address, address: address_from, every }
    };
    Ok(Some(Modbus { role, unit: u8::try_from(unit).unwrap_or(1), order }))
}

fn allow(given: &[String]) -> Result<Vec<Net>, ConfigError> {
    if given.len() > ALLOWED_MAX {
        let expected = "it may have 64 entries at most";
        return Err(value("plc.allow", &format!("{} entries", given.len()), expected));
    }
    let net = |text: &String| {
        text.parse().map_err(|expected: &str| value("plc.allow", &quoted(text), expected))
    };
    given.iter().map(net).collect()
}

/// So many milliseconds or counts after the trigger.
fn place(text: &str) -> Result<Place, ConfigError> {
    let path = "plc.reject_after";
    let expected = "it must be such as \"600 ms\" or \"1200 counts\"";
    let wrong = || value(path, &quoted(text), expected);
    let (number, unit) = text.split_once(' ').ok_or_else(wrong)?;
    let number: i64 = number.parse().map_err(|_no_number| wrong())?;
    match unit {
        "ms" => Ok(Place::After(millis(path, number, 1, REJECT_AFTER_MS_MAX)?)),
        "counts" => {
            let counts = within(path, number, 1, REJECT_AFTER_COUNTS_MAX)?;
            Ok(Place::Counts(u32::try_from(counts).unwrap_or(u32::MAX)))
        }
        _ => Err(wrong()),
    }
}

fn lines(raw: &RawPlc) -> Result<Option<LineOptions>, ConfigError> {
    let task = |path: &str, name: &str| {
        let known = Task::ALL.map(Task::name);
        Task::ALL.into_iter().find(|task| task.name() == name).ok_or_else(|| {
            let expected = format!("known are {}", known.join(", "));
            value(path, &quoted(name), expected)
        })
    };
    let active_low: Vec<Task> = raw
        .gpio_active_low
        .iter()
        .map(|name| task("plc.gpio_active_low", name))
        .collect::<Result<_, _>>()?;
    let debounce =
        millis("plc.gpio_debounce_ms", raw.gpio_debounce_ms.unwrap_or(2), 0, DEBOUNCE_MS_MAX)?;
    let mut lines = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (name, line) in &raw.gpio_lines {
        if !names.insert(line) {
            let expected = "another task has that line";
            return Err(value(format!("plc.gpio_lines.{name}"), &quoted(line), expected));
        }
        lines.insert(task("plc.gpio_lines", name)?, line.clone());
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let chip = raw.gpio_chip.as_deref().unwrap_or("/dev/gpiochip0").into();
    Ok(Some(LineOptions { chip, lines, active_low, debounce }))
}

pub(super) fn camera(path: &str, raw: RawCameraPlc) -> Result<CameraPlc, ConfigError> {
    let frames = match raw.frames.as_deref() {
        None | Some("first") => Frames::First,
        Some("each") => Frames::Each,
        Some(other) => {
            let expected = "expected \"first\" or \"each\"";
            return Err(value(format!("{path}.frames"), &quoted(other), expected));
        }
    };
    let delay = millis(&format!("{path}.delay_ms"), raw.delay_ms.unwrap_or(0), 0, FRAME_MS_MAX)?;
    let frame_within = format!("{path}.frame_within_ms");
    let within = millis(&frame_within, raw.frame_within_ms.unwrap_or(100), 1, FRAME_MS_MAX)?;
    let mut products = BTreeMap::new();
    for (product, code) in raw.products {
        let path = format!("{path}.products.{product}");
        let checked = self::within(&path, code, 1, i64::from(u16::MAX))?;
        let code = u16::try_from(checked).unwrap_or(u16::MAX);
        if products.insert(code, product).is_some() {
            return Err(value(path, &code.to_string(), "another product has that code"));
        }
    }
    Ok(CameraPlc { pairing: pairing::Rule { frames, delay, within }, products })
}

fn millis(path: &str, given: i64, least: i64, most: i64) -> Result<Duration, ConfigError> {
    Ok(Duration::from_millis(within(path, given, least, most)? as u64))
}
