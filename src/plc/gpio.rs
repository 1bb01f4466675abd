//! Lines of the board: results out, parts and the belt's encoder in.
//!
//! Owns the kernel's GPIO character device, behind [`Lines`] and [`Inputs`], which tests replace. A line is named as the
//! board names it, or by its offset. Outputs are requested inactive; when the process ends, however it ends, the
//! kernel lets them go to what the board's wiring makes of them: `docs/plc.md` says how to wire them.
//! Knows nothing of what levels mean.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::Release},
    },
    time::Duration,
};

use gpiocdev::{
    Request,
    chip::Chip,
    line::{EdgeDetection, EdgeKind, EventClock, Offset, Value, Values},
};
use tokio::sync::mpsc;

use super::post::Levels;
use crate::{clock::Clock, fault::Class};

/// Edges that may wait; a part's sensor gives a few a second.
const EDGES_MAX: usize = 256;
/// How often the thread sees whether anybody still listens.
const LOOK_UP_EVERY: Duration = Duration::from_millis(200);
/// Edges that the kernel keeps while the thread sleeps.
const KERNEL_EDGES: u32 = 4_096;

/// A line's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// The last part passed.
    Ok,
    /// The pusher strikes.
    Reject,
    /// A part is being inspected.
    Busy,
    /// Parts may come.
    Ready,
    /// A part has come.
    Trigger,
    /// The belt's encoder, channel A.
    EncoderA,
    /// Channel B; without it only forwards is known.
    EncoderB,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Reject,
        Self::Busy,
        Self::Ready,
        Self::Trigger,
        Self::EncoderA,
        Self::EncoderB,
    ];

    /// The word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Reject => "reject",
            Self::Busy => "busy",
            Self::Ready => "ready",
            Self::Trigger => "trigger",
            Self::EncoderA => "encoder_a",
            Self::EncoderB => "encoder_b",
        }
    }

    /// Whether Sightline drives it.
    pub const fn is_output(self) -> bool {
        matches!(self, Self::Ok | Self::Reject | Self::Busy | Self::Ready)
    }
}

/// Which lines there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineOptions {
    /// The chip's device.
    pub chip: PathBuf,
    /// Each task's line, by its name or offset.
    pub lines: BTreeMap<Task, String>,
    /// Tasks whose line is active when it is low.
    pub active_low: Vec<Task>,
    /// How long an input must stand before it counts.
    pub debounce: Duration,
}

/// Where levels go.
pub trait Lines: Send {
    /// Sets all outputs.
    fn set(&mut self, levels: Levels) -> Result<(), LineError>;
}

/// A part has come.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// When, on the station's clock.
    pub at: Duration,
    /// Where the belt was.
    pub position: i64,
}

/// What lines tell.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Parts; `None` where no line announces them.
    pub edges: Option<mpsc::Receiver<Edge>>,
    /// The belt's position, where an encoder tells it.
    pub belt: Option<Arc<AtomicI64>>,
    /// Set when more came than was told.
    pub is_lost: Arc<AtomicBool>,
}

/// Why a line cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The chip.
    #[error("{chip}: {cause}; is it there, and may this process use it (group gpio)?")]
    Chip {
        /// Its device.
        chip: String,
        /// The kernel's words.
        cause: String,
    },
    /// No line of that name.
    #[error("{chip} has no line \"{name}\": gpioinfo lists them")]
    Unknown {
        /// The chip's device.
        chip: String,
        /// What was looked for.
        name: String,
    },
    /// The kernel refuses.
    #[error("the lines are refused: {0}; does another program hold one of them?")]
    Refused(String),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

impl LineError {
    /// Whose fault it is. A board that is not up yet, or a program that still holds a line, may be mended by the next start.
    pub const fn class(&self) -> Class {
        match self {
            Self::Chip { .. } | Self::Refused(_) => Class::Machine,
            Self::Unknown { .. } => Class::Configuration,
            Self::Thread(_) => Class::Bug,
        }
    }
}

/// Requests the lines: the outputs, inactive, and the inputs with a thread that reads them.
pub fn open(
    options: &LineOptions,
    clock: &dyn Clock,
) -> Result<(Box<dyn Lines>, Inputs), LineError> {
    let chip = Chip::from_path(&options.chip).map_err(|error| LineError::Chip {
        chip: options.chip.display().to_string(),
        cause: error.to_string(),
    })?;
    let mut offsets = BTreeMap::new();
    for (task, name) in &options.lines {
        offsets.insert(*task, offset(&chip, options, name)?);
    }
    let outputs = offsets.iter().filter(|(task, _)| task.is_output());
    let outputs: BTreeMap<Task, Offset> = outputs.map(|(task, offset)| (*task, *offset)).collect();
    let inputs: BTreeMap<Task, Offset> =
        offsets.into_iter().filter(|(task, _)| !task.is_output()).collect();
    let request = (!outputs.is_empty()).then(|| request(options, &outputs)).transpose()?;
    let inputs = read(options, &inputs, clock)?;
    Ok((Box::new(Board { request, outputs }), inputs))
}

fn offset(chip: &Chip, options: &LineOptions, name: &str) -> Result<Offset, LineError> {
    let found = name.parse().ok().and_then(|offset| chip.line_info(offset).ok());
    let found = found.or_else(|| chip.find_line_info(name));
    found.map(|info| info.offset).ok_or_else(|| LineError::Unknown {
        chip: options.chip.display().to_string(),
        name: name.to_owned(),
    })
}

fn refused(error: impl fmt::Display) -> LineError {
    LineError::Refused(error.to_string())
}

fn request(options: &LineOptions, outputs: &BTreeMap<Task, Offset>) -> Result<Request, LineError> {
    let mut builder = Request::builder();
    builder.on_chip(&options.chip).with_consumer("sightline");
    for (task, offset) in outputs {
        builder.with_line(*offset).as_output(Value::Inactive);
        if options.active_low.contains(task) {
            builder.as_active_low();
        } else {
            builder.as_active_high();
        }
    }
    builder.request().map_err(refused)
}

/// The board's outputs; the request holds them for as long as it lives.
struct Board {
    request: Option<Request>,
    outputs: BTreeMap<Task, Offset>,
}

impl Lines for Board {
    fn set(&mut self, levels: Levels) -> Result<(), LineError> {
        let Some(request) = &self.request else { return Ok(()) };
        let mut values = Values::default();
        for (task, offset) in &self.outputs {
            values.set(*offset, Value::from(level(*task, levels)));
        }
        request.set_values(&values).map_err(refused)
    }
}

fn level(task: Task, levels: Levels) -> bool {
    match task {
        Task::Ok => levels.ok,
        Task::Reject => levels.reject,
        Task::Busy => levels.busy,
        Task::Ready => levels.ready,
        Task::Trigger | Task::EncoderA | Task::EncoderB => false,
    }
}

/// Starts the thread that reads the inputs.
fn read(
    options: &LineOptions,
    inputs: &BTreeMap<Task, Offset>,
    clock: &dyn Clock,
) -> Result<Inputs, LineError> {
    let (send, edges) = mpsc::channel(EDGES_MAX);
    let belt = inputs.contains_key(&Task::EncoderA).then(Arc::default);
    if inputs.is_empty() {
        return Ok(Inputs::default());
    }
    let mut builder = Request::builder();
    builder.on_chip(&options.chip).with_consumer("sightline");
    builder.with_kernel_event_buffer_size(KERNEL_EDGES);
    for (task, offset) in inputs {
        let is_counted = *task != Task::Trigger;
        let detection =
            if is_counted { EdgeDetection::BothEdges } else { EdgeDetection::RisingEdge };
        builder.with_line(*offset).as_input().with_edge_detection(detection);
        builder.with_event_clock(EventClock::Monotonic);
        if options.active_low.contains(task) {
            builder.as_active_low();
        } else {
            builder.as_active_high();
        }
        if !is_counted && !options.debounce.is_zero() {
            builder.with_debounce_period(options.debounce);
        }
    }
    let request = builder.request().map_err(refused)?;
    let of = |task| inputs.get(&task).copied();
    let is_active = |offset: Option<Offset>| {
        offset.is_some_and(|offset| request.value(offset).is_ok_and(|value| value == Value::Active))
    };
    let quadrature = Quadrature::new(
        is_active(of(Task::EncoderA)),
        of(Task::EncoderB).map(|b| is_active(Some(b))),
    );
    let is_lost: Arc<AtomicBool> = Arc::default();
    let reader = Reader {
        trigger: of(Task::Trigger),
        encoder_a: of(Task::EncoderA),
        encoder_b: of(Task::EncoderB),
        request,
        quadrature,
        belt: belt.clone(),
        send,
        zero: Zero { station: clock.monotonic(), machine: machine_monotonic() },
        seen: BTreeMap::new(),
        is_lost: Arc::clone(&is_lost),
    };
    let thread = std::thread::Builder::new().name("gpio".into());
    thread.spawn(move || reader.run()).map_err(LineError::Thread)?;
    Ok(Inputs { edges: Some(edges), belt, is_lost })
}

/// The same moment on both clocks, which run alike from different beginnings.
#[derive(Clone, Copy, Debug)]
struct Zero {
    station: Duration,
    machine: Duration,
}

impl Zero {
    fn on_station(self, machine: Duration) -> Duration {
        (self.station + machine).saturating_sub(self.machine)
    }
}

struct Reader {
    request: Request,
    trigger: Option<Offset>,
    encoder_a: Option<Offset>,
    encoder_b: Option<Offset>,
    quadrature: Quadrature,
    belt: Option<Arc<AtomicI64>>,
    send: mpsc::Sender<Edge>,
    zero: Zero,
    /// The running number of each line's last edge.
    seen: BTreeMap<Offset, u32>,
    is_lost: Arc<AtomicBool>,
}

impl Reader {
    /// Until nobody listens.
    fn run(mut self) {
        while !self.send.is_closed() {
            match self.request.wait_edge_event(LOOK_UP_EVERY) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(_again) if is_interrupted() => continue,
                Err(error) => return tracing::error!("gpio: {error}"),
            }
            match self.request.read_edge_event() {
                Ok(event) => {
                    let at = Duration::from_nanos(event.timestamp_ns);
                    if is_gap(self.seen.insert(event.offset, event.line_seqno), event.line_seqno) {
                        self.lost("the kernel kept no more of a line's edges");
                    }
                    self.edge(event.offset, event.kind, at);
                }
                Err(_again) if is_interrupted() => {}
                Err(error) => return tracing::error!("gpio: {error}"),
            }
        }
    }

    /// Told before anything that follows from it.
    fn lost(&mut self, why: &str) {
        tracing::error!("gpio: {why}");
        self.is_lost.store(true, Release);
        // Where the belt was before says nothing of where it is.
        self.quadrature.position += super::pusher::LEAP;
    }

    fn edge(&mut self, offset: Offset, kind: EdgeKind, kernel: Duration) {
        let is_active = kind == EdgeKind::Rising;
        if Some(offset) == self.encoder_a {
            self.quadrature.a(is_active);
        } else if Some(offset) == self.encoder_b {
            self.quadrature.b(is_active);
        }
        let position = self.quadrature.position;
        if let Some(belt) = &self.belt {
            belt.store(position, Release);
        }
        if Some(offset) == self.trigger && is_active {
            let at = self.zero.on_station(kernel);
            if self.send.try_send(Edge { at, position }).is_err() {
                self.lost("a part's edge found no room");
            }
        }
    }
}

/// Whether edges are missing between two numbers of one line; numbers begin at 1.
fn is_gap(before: Option<u32>, number: u32) -> bool {
    before.map_or(number > 1, |before| before.wrapping_add(1) != number)
}

/// Asked right after the call that failed: the crate's own error does not say it.
fn is_interrupted() -> bool {
    std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
}

fn machine_monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Counts an encoder's edges: with both channels by their order, with one alone each rising edge forwards.
#[derive(Clone, Copy, Debug)]
struct Quadrature {
    a: bool,
    b: Option<bool>,
    position: i64,
}

impl Quadrature {
    fn new(a: bool, b: Option<bool>) -> Self {
        Self { a, b, position: 0 }
    }

    fn a(&mut self, is_active: bool) {
        let was_active = std::mem::replace(&mut self.a, is_active);
        if was_active == is_active {
            return;
        }
        self.position += match self.b {
            None => i64::from(is_active),
            Some(b) if is_active == b => -1,
            Some(_) => 1,
        };
    }

    fn b(&mut self, is_active: bool) {
        if self.b == Some(is_active) || self.b.is_none() {
            return;
        }
        self.b = Some(is_active);
        self.position += if is_active == self.a { 1 } else { -1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn an_encoder_is_counted_forwards_and_back() {
        let mut both = Quadrature::new(false, Some(false));
        let mut play = |steps: &str| {
            for step in steps.chars() {
                match step {
                    'A' | 'a' => both.a(step == 'A'),
                    _ => both.b(step == 'B'),
                }
            }
            both.position
        };
        assert_eq!(play("ABabAB"), 6);
        // The same edge twice is none.
        assert_eq!(play("BB"), 6);
        assert_eq!(play("ba"), 4);
        assert_eq!(play("Aa"), 4);
        let mut one = Quadrature::new(false, None);
        for _ in 0..3 {
            one.a(true);
            one.a(false);
            one.b(true);
        }
        assert_eq!(one.position, 3);
    }

    #[test]
    fn edges_that_the_kernel_did_not_keep_are_seen_by_their_numbers() {
        let numbers = [(None, 1), (Some(1), 2), (Some(u32::MAX), 0)];
        assert!(numbers.iter().all(|(before, number)| !is_gap(*before, *number)));
        let gaps = [(None, 2), (Some(1), 3), (Some(5), 5), (Some(5), 1)];
        assert!(gaps.iter().all(|(before, number)| is_gap(*before, *number)));
    }

    #[test]
    fn a_moment_of_the_kernels_clock_is_one_of_the_stations() {
        let ms = Duration::from_millis;
        let zero = Zero { station: ms(50), machine: ms(7_000) };
        assert_eq!([7_000, 7_030, 6_990].map(|at| zero.on_station(ms(at))), [50, 80, 40].map(ms));
        // Before the station's clock began.
        assert_eq!(zero.on_station(ms(10)), ms(0));
    }

    #[test]
    fn a_chip_that_is_not_there_is_told_with_a_remedy() {
        let options = LineOptions {
            chip: "/dev/gpiochip-of-no-board".into(),
            lines: BTreeMap::from([(Task::Ok, "PQ.05".into())]),
            active_low: Vec::new(),
            debounce: Duration::ZERO,
        };
        let error = open(&options, &SystemClock::start()).err().unwrap();
        // Tried again: what a board brings up late, or another program still holds, is no mistake of the file.
        assert_eq!(error.class(), Class::Machine);
        assert_eq!(LineError::Refused("busy".into()).class(), Class::Machine);
        let error = error.to_string();
        assert!(error.contains("gpiochip-of-no-board") && error.contains("group gpio"), "{error}");
    }

    /// Two lines of the board, joined by a wire: `SIGHTLINE_GPIO="/dev/gpiochip0 PQ.05 PQ.06"`.
    #[test]
    #[ignore = "needs the board: two joined lines, named by SIGHTLINE_GPIO"]
    fn a_level_goes_out_by_one_line_and_comes_in_by_another() {
        let named = std::env::var("SIGHTLINE_GPIO").unwrap();
        let [chip, out, into] = named.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let options = LineOptions {
            chip: chip.into(),
            lines: BTreeMap::from([(Task::Reject, out.into()), (Task::Trigger, into.into())]),
            active_low: Vec::new(),
            debounce: Duration::ZERO,
        };
        let clock = SystemClock::start();
        let (mut lines, inputs) = open(&options, &clock).unwrap();
        let before = clock.monotonic();
        lines.set(Levels { reject: true, ..Levels::default() }).unwrap();
        let edge = inputs.edges.unwrap().blocking_recv().unwrap();
        let after = edge.at.checked_sub(before).unwrap();
        assert!(after < Duration::from_millis(100), "{edge:?}");
        lines.set(Levels::default()).unwrap();
    }
}
