//! From a configuration to the PLC: what `run` and `check` share.
//!
//! Owns what must hold between `[plc]`, the cameras and the model. Which exit code it is when the PLC's address cannot be
//! had says `listen`, and of a line the line's own error.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{cameras, listen, load, print};
use crate::{
    channel::Overflow,
    clock::Clock,
    config::{CameraPlc, CameraSettings, EncoderFrom, PlcSettings, Settings},
    fault::{Class, Fault},
    inspected::Onlooker,
    ledger::{Account, Ledger},
    plc::{
        self, Exchange, Means, Role,
        gpio::{self, Task},
        handshake, map,
        post::Rule,
        pusher::Place,
    },
    state::Board,
};

/// Between the last moment of a verdict and the pusher: a look of the thread, and a machine that is busy.
const PUSHER_AFTER: Duration = Duration::from_millis(50);

fn wrong(line: impl Into<String>) -> Fault {
    Fault::new(Class::Configuration, line.into())
}

/// What cameras, engine and the thread `plc` share; `None` where there is no PLC.
pub(super) fn exchange(
    settings: &Settings,
    model: &load::Model,
) -> Result<Option<Exchange>, Fault> {
    let cameras: Vec<(&CameraSettings, &CameraPlc)> =
        settings.cameras.iter().filter_map(|it| Some((it, it.plc.as_ref()?))).collect();
    let plc = match (&settings.plc, cameras.first()) {
        (None, None) => return Ok(None),
        (Some(plc), Some(_)) => plc,
        (None, Some((camera, _))) => {
            return Err(wrong(format!(
                "camera {}: plc is there, but [plc] has no address and no gpio_lines",
                camera.name
            )));
        }
        (Some(_), None) => {
            let line = "[plc] is there, but no camera's parts are the PLC's: give one plc = {}";
            return Err(wrong(line));
        }
    };
    together(plc, cameras.len())?;
    let known: BTreeSet<&str> =
        model.file.document.classes.iter().map(|class| class.name.as_str()).collect();
    let mut rules = Vec::new();
    for (camera, own) in cameras {
        alone(plc, camera, own, &known)?;
        rules.push((cameras::id(camera), rule(plc, own)));
    }
    Ok(Some(Exchange::new(plc.options.clone(), rules)))
}

/// What must hold of `[plc]` itself.
fn together(plc: &PlcSettings, cameras: usize) -> Result<(), Fault> {
    let PlcSettings { options, verdict_within, pusher, encoder, .. } = plc;
    let has = |task| options.lines.as_ref().is_some_and(|it| it.lines.contains_key(&task));
    if let Some(pusher) = pusher {
        match (pusher.place, encoder) {
            (Place::After(after), _) if after < *verdict_within + PUSHER_AFTER => {
                return Err(wrong(format!(
                    "plc.reject_after is {} ms, but a verdict may take plc.verdict_within_ms = {}: the part would have passed; it must be {} ms or more",
                    after.as_millis(),
                    verdict_within.as_millis(),
                    (*verdict_within + PUSHER_AFTER).as_millis()
                )));
            }
            (Place::Counts(_), None) => {
                return Err(wrong("plc.reject_after is in counts, but plc.encoder is not there"));
            }
            (Place::After(_) | Place::Counts(_), _) => {}
        }
    }
    match encoder {
        Some(EncoderFrom::Lines) if !has(Task::EncoderA) => {
            return Err(wrong("plc.encoder is \"lines\", but plc.gpio_lines has no encoder_a"));
        }
        Some(EncoderFrom::Registers(_)) if options.modbus.is_none() => {
            return Err(wrong("plc.encoder is a register, but plc.address is not there"));
        }
        Some(EncoderFrom::Lines | EncoderFrom::Registers(_)) | None => {}
    }
    if options.modbus.is_none() && !has(Task::Trigger) {
        let line =
            "plc.gpio_lines has no trigger, and plc.address is not there: nothing announces parts";
        return Err(wrong(line));
    }
    if options.modbus.is_some() && has(Task::Trigger) {
        let line = "plc.gpio_lines has a trigger, and plc.address is there: both would announce parts; leave one of them out";
        return Err(wrong(line));
    }
    if options.lines.is_some() && cameras > 1 {
        return Err(wrong(format!(
            "plc.gpio_lines serve one camera, but {cameras} have plc: give the others Modbus alone, in a process of their own"
        )));
    }
    if let Some(Role::Client { address, every, .. }) = options.modbus.as_ref().map(|it| &it.role) {
        if let Some(pusher) = pusher.filter(|it| it.is_held && it.pulse < *every * 2) {
            return Err(wrong(format!(
                "plc.reject_pulse_ms is {}, but the PLC is told of it every plc.poll_ms = {}: it must be twice as much or more",
                pusher.pulse.as_millis(),
                every.as_millis()
            )));
        }
        let end = usize::from(*address) + cameras * usize::from(map::BLOCK);
        if end > 1 << 16 {
            return Err(wrong(format!(
                "plc.registers_from is {address}, but {cameras} cameras take registers up to {}",
                end - 1
            )));
        }
    }
    Ok(())
}

/// What must hold of a camera.
fn alone(
    plc: &PlcSettings,
    camera: &CameraSettings,
    own: &CameraPlc,
    known: &BTreeSet<&str>,
) -> Result<(), Fault> {
    let name = &camera.name;
    let other = [("trigger", camera.trigger.is_some()), ("part", camera.part.is_some())];
    if let Some((key, _)) = other.into_iter().find(|(_, is_there)| *is_there) {
        return Err(wrong(format!(
            "camera {name}: plc and {key} are there, but a part is the PLC's, with one frame: leave one of them out"
        )));
    }
    let latest = own.pairing.delay + own.pairing.within;
    if latest >= plc.verdict_within {
        return Err(wrong(format!(
            "camera {name}: a frame may come {} ms after its trigger, but plc.verdict_within_ms is {}: no verdict could be in time",
            latest.as_millis(),
            plc.verdict_within.as_millis()
        )));
    }
    if camera.overflow == Overflow::Every {
        return Err(wrong(format!(
            "camera {name}: plc and overflow = \"every\" are there, but frames that wait in front of the queue have lost their time, and whose they are is told by time: leave overflow out"
        )));
    }
    if let Some(Role::Client { every, .. }) = plc.options.modbus.as_ref().map(|it| &it.role)
        && *every >= own.pairing.within
    {
        return Err(wrong(format!(
            "camera {name}: plc.frame_within_ms is {}, but the PLC is asked every plc.poll_ms = {}: no trigger's time would be certain",
            own.pairing.within.as_millis(),
            every.as_millis()
        )));
    }
    if let Some(unknown) = own.products.values().find(|product| !known.contains(product.as_str())) {
        let known: Vec<_> = known.iter().copied().collect();
        return Err(wrong(format!(
            "camera {name}: plc.products has \"{unknown}\", which the model does not know: known are {}",
            known.join(", ")
        )));
    }
    Ok(())
}

fn rule(plc: &PlcSettings, own: &CameraPlc) -> Rule {
    let has_modbus = plc.options.modbus.is_some();
    let has_ok = plc.options.lines.as_ref().is_some_and(|it| it.lines.contains_key(&Task::Ok));
    let watchdog = has_modbus.then_some(plc.options.watchdog);
    Rule {
        pairing: own.pairing,
        handshake: handshake::Rule {
            verdict_within: plc.verdict_within,
            acknowledged_within: watchdog,
            is_alone: !has_modbus && has_ok,
        },
        pusher: plc.pusher,
        safe: plc.safe,
        encoder: match plc.encoder {
            Some(EncoderFrom::Registers(width)) => Some(width),
            Some(EncoderFrom::Lines) | None => None,
        },
        watchdog,
        products: own.products.clone(),
    }
}

/// Starts the thread `plc`, where there is a PLC; the engine's end of it.
pub(super) fn start(
    exchange: Option<Exchange>,
    settings: &Settings,
    accounts: &[Arc<Account>],
    ledger: Option<&Ledger>,
    board: &Arc<Board>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Box<dyn Onlooker>>, Fault> {
    let Some(exchange) = exchange else { return Ok(None) };
    let options = settings.plc.as_ref().map(|plc| &plc.options);
    let by_name: BTreeMap<_, _> =
        accounts.iter().map(|account| (account.camera().clone(), account)).collect();
    let with_plc = settings.cameras.iter().filter(|camera| camera.plc.is_some());
    let accounts = with_plc.filter_map(|camera| by_name.get(&cameras::id(camera)));
    let lines = options.and_then(|options| options.lines.as_ref());
    let lines = lines.map(|lines| gpio::open(lines, &**clock)).transpose();
    let lines =
        lines.map_err(|error| Fault::new(error.class(), format!("plc.gpio_lines: {error}")))?;
    let address = options.and_then(|options| options.modbus.as_ref()).map(|modbus| &modbus.role);
    let listener = match address {
        Some(Role::Server { listen: address, .. }) => {
            let at =
                listen::Served { key: "plc.address", what: "the PLC's server", address: *address };
            Some(listen::listen(&at, false)?)
        }
        Some(Role::Client { .. }) | None => None,
    };
    let means = Means {
        accounts: accounts.map(|account| Arc::clone(account)).collect(),
        board: Arc::clone(board),
        notes: ledger.map(Ledger::notes),
        rows: ledger.map(Ledger::triggers),
        clock: Arc::clone(clock),
        listener,
    };
    let plc = plc::start(exchange, means, lines).map_err(|error| {
        Fault::new(
            Class::Bug,
            format!("the thread plc cannot be started: {error}; please report it"),
        )
    })?;
    match (plc.address, address) {
        (Some(served), _) => print::note(&format!("the PLC is served at {served}")),
        (None, Some(Role::Client { connect, .. })) => {
            print::note(&format!("the PLC is asked at {connect}"));
        }
        (None, Some(Role::Server { .. }) | None) => print::note("the PLC has lines"),
    }
    Ok(Some(Box::new(plc)))
}

/// What `check` says of it.
pub(super) fn checked(settings: &Settings, model: &load::Model) -> Option<Result<String, Fault>> {
    let exchange = match exchange(settings, model) {
        Ok(None) => return None,
        Ok(Some(_)) => settings.plc.as_ref()?,
        Err(fault) => return Some(Err(fault)),
    };
    let millis = |time: Duration| time.as_millis();
    let how = match exchange.options.modbus.as_ref().map(|modbus| &modbus.role) {
        Some(Role::Server { listen, allow }) => {
            format!("it asks at {listen}, {} networks may", allow.len())
        }
        Some(Role::Client { connect, .. }) => format!("it is asked at {connect}"),
        None => "by lines alone".into(),
    };
    let cameras: Vec<_> = settings
        .cameras
        .iter()
        .filter(|camera| camera.plc.is_some())
        .zip(0_u32..)
        .map(|(camera, block)| {
            format!("{} from register {}", camera.name, block * u32::from(map::BLOCK))
        })
        .collect();
    Some(Ok(format!(
        "{how}; {}; a verdict within {} ms, a sign of life within {} ms",
        cameras.join(", "),
        millis(exchange.verdict_within),
        millis(exchange.options.watchdog)
    )))
}
