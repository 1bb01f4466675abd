//! The thread `plc` with lines that the test holds: parts come by an edge, levels are seen as they are set.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use sightline::{
    clock::{Clock, SystemClock},
    frame::CameraId,
    inspected::Onlooker as _,
    judge::{Evidence, Judge, Recipe, Unrated},
    ledger::Account,
    plc::{
        Counters, Exchange, Means, Options, Plc, Way,
        gpio::{Edge, Inputs, LineError, Lines},
        handshake, pairing,
        post::{Levels, Rule, Safe},
        pusher,
    },
    state::{Board, Event, Mode},
    verdict::Verdict,
};
use tokio::sync::mpsc;

use crate::support;

/// Levels with when they were set.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(Instant, Levels)>>>, Arc<AtomicBool>);

impl Lines for Seen {
    fn set(&mut self, levels: Levels) -> Result<(), LineError> {
        if self.1.load(Relaxed) {
            return Err(LineError::Refused("the board is gone".into()));
        }
        self.0.lock().unwrap().push((Instant::now(), levels));
        Ok(())
    }
}

impl Seen {
    fn now(&self) -> Levels {
        self.0.lock().unwrap().last().map_or(Levels::default(), |(_, levels)| *levels)
    }

    fn until(&self, what: &str, is_so: impl Fn(Levels) -> bool) {
        let began = Instant::now();
        while !is_so(self.now()) {
            assert!(began.elapsed() < PATIENCE, "{what}: {:?}", self.now());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// How long each strike lasted, and when it began.
    fn strikes(&self, from: Instant) -> Vec<(Duration, Duration)> {
        let seen = self.0.lock().unwrap();
        let mut strikes = Vec::new();
        let mut began = None;
        for (at, levels) in seen.iter().filter(|(at, _)| *at >= from) {
            match (began, levels.reject) {
                (None, true) => began = Some(*at),
                (Some(start), false) => {
                    strikes.push((start.duration_since(from), at.duration_since(start)));
                    began = None;
                }
                _ => {}
            }
        }
        strikes
    }
}

const REJECT_AFTER: Duration = Duration::from_secs(9);
const PULSE: Duration = Duration::from_secs(6);
/// A machine that is busy takes its time; to the millisecond it is held by the posts' own tests.
const SLACK: Duration = Duration::from_secs(3);
/// Long enough for the slowest machine; a hang fails the test.
const PATIENCE: Duration = Duration::from_mins(1);

/// A verdict as the judge gives it on a part that passes, and one that faults.
fn verdicts() -> (Verdict, Verdict) {
    let document = support::document(99);
    let rate = bundle::calibration::RejectRate::new(0.02).unwrap();
    let judge = Judge::new(&document.classes, &Recipe::of(rate, Unrated::Refused)).unwrap();
    let embedding = document.classes[0].prototype.direction.clone();
    let passed = judge.decide(&Evidence { score: 0.0, embedding });
    assert!(passed.decision.is_pass(), "{passed:?}");
    (passed, Verdict::fault(0.02, "torn"))
}

/// The engine's thread comes round for as long as somebody has the board.
fn beat(board: &Arc<Board>, clock: &Arc<dyn Clock>) {
    let (board, clock) = (Arc::downgrade(board), Arc::clone(clock));
    std::thread::spawn(move || {
        while let Some(board) = board.upgrade() {
            board.beat(clock.monotonic());
            drop(board);
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

/// The thread with its means, where nothing runs yet.
struct Rig {
    clock: Arc<dyn Clock>,
    board: Arc<Board>,
    way: Way,
    counters: Arc<Counters>,
    seen: Seen,
    edges: mpsc::Sender<Edge>,
    belt: Arc<AtomicI64>,
    is_lost: Arc<AtomicBool>,
    plc: Plc,
}

impl Rig {
    fn start(place: pusher::Place) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let board = Arc::new(Board::timed(1, Arc::clone(&clock)));
        beat(&board, &clock);
        let camera = CameraId("top".into());
        let ms = Duration::from_millis;
        let frames = pairing::Frames::First;
        let rule = Rule {
            pairing: pairing::Rule { frames, delay: ms(0), within: ms(4_500) },
            handshake: handshake::Rule {
                verdict_within: ms(7_500),
                acknowledged_within: None,
                is_alone: true,
            },
            pusher: Some(pusher::Rule { place, pulse: PULSE, is_held: false }),
            safe: Safe::Reject,
            encoder: None,
            watchdog: None,
            products: BTreeMap::new(),
        };
        let options =
            Options { modbus: None, watchdog: ms(1_000), trusts_degraded: false, lines: None };
        let exchange = Exchange::new(options, vec![(camera.clone(), rule)]);
        let way = exchange.way(&camera).unwrap();
        let counters = Arc::clone(exchange.counters());
        let means = Means {
            accounts: vec![Arc::new(Account::unrecorded(camera, 1))],
            board: Arc::clone(&board),
            notes: None,
            rows: None,
            clock: Arc::clone(&clock),
            listener: None,
        };
        let seen = Seen::default();
        let (edges, inputs) = mpsc::channel(16);
        let (belt, is_lost) = (Arc::<AtomicI64>::default(), Arc::<AtomicBool>::default());
        let has_belt = matches!(place, pusher::Place::Counts(_));
        let inputs = Inputs {
            edges: Some(inputs),
            belt: has_belt.then(|| Arc::clone(&belt)),
            is_lost: Arc::clone(&is_lost),
        };
        let lines = (Box::new(seen.clone()) as Box<dyn Lines>, inputs);
        let plc = sightline::plc::start(exchange, means, Some(lines)).unwrap();
        Self { clock, board, way, counters, seen, edges, belt, is_lost, plc }
    }
}

#[test]
fn lines_show_what_becomes_of_parts_and_are_safe_before_and_after() {
    let Rig { clock, board, way, counters, seen, edges, plc, .. } =
        Rig::start(pusher::Place::After(REJECT_AFTER));
    // Nothing runs yet: everything would be struck.
    let unsafe_levels = Levels { reject: true, ..Levels::default() };
    seen.until("it is safe at first", |levels| levels == unsafe_levels);
    board.post(Event::Ready);
    seen.until("parts may come", |levels| levels == Levels { ready: true, ..Levels::default() });

    let (passed, fault) = verdicts();
    let part = |number: u64, verdict: &Verdict, way: &Way| {
        let from = Instant::now();
        edges.blocking_send(Edge { at: clock.monotonic(), position: 0 }).unwrap();
        seen.until("it is busy", |levels| levels.busy);
        way.frame(number, clock.monotonic());
        way.judged(number, verdict);
        seen.until("it has its end", |levels| !levels.busy);
        from
    };
    part(1, &passed, &way);
    assert!(seen.now().ok && !seen.now().reject, "{:?}", seen.now());
    let from = part(2, &fault, &way);
    assert!(!seen.now().ok, "{:?}", seen.now());
    seen.until("it is struck", |levels| levels.reject);
    seen.until("and no longer", |levels| !levels.reject);
    let strikes = seen.strikes(from);
    assert_eq!(strikes.len(), 1, "{strikes:?}");
    let (began, lasted) = strikes[0];
    let is_near = |time: Duration, expected: Duration| time.abs_diff(expected) <= SLACK;
    assert!(is_near(began, REJECT_AFTER) && is_near(lasted, PULSE), "{strikes:?}");
    // No frame at all: late or missed, and struck.
    edges.blocking_send(Edge { at: clock.monotonic(), position: 0 }).unwrap();
    seen.until("the part without a frame is struck", |levels| levels.reject);
    seen.until("and no longer", |levels| !levels.reject);

    // Somebody pauses the station.
    board.post(Event::Mode(Mode::Pause));
    seen.until("it is safe again", |levels| levels == unsafe_levels);
    board.post(Event::Mode(Mode::Run));
    seen.until("and back", |levels| levels.ready && !levels.reject);
    Box::new(plc).close(PATIENCE).unwrap();
    assert_eq!(seen.now(), unsafe_levels);
    let of = |counter: &AtomicU64| counter.load(Relaxed);
    assert_eq!((of(&counters.triggers), of(&counters.struck), of(&counters.missed)), (3, 2, 1));
}

#[test]
fn a_part_is_struck_by_the_belts_counts_and_nothing_passes_while_a_line_cannot_be_set() {
    let Rig { clock, board, way, counters, seen, edges, belt, is_lost, plc } =
        Rig::start(pusher::Place::Counts(500));
    let of = |counter: &AtomicU64| counter.load(Relaxed);
    board.post(Event::Ready);
    // What lay there before goes, and for as long as the belt takes for it.
    seen.until("parts may come", |levels| levels.ready && levels.reject);
    std::thread::sleep(2 * PULSE);
    assert!(seen.now().reject);
    let until_free = |from: i64| {
        belt.store(from, Relaxed);
        seen.until("the belt is known", |levels| levels.ready && !levels.reject);
    };
    until_free(500);

    let (_, fault) = verdicts();
    let part = |number: u64, position: i64| {
        edges.blocking_send(Edge { at: clock.monotonic(), position }).unwrap();
        seen.until("it is busy", |levels| levels.busy);
        way.frame(number, clock.monotonic());
        way.judged(number, &fault);
        seen.until("it has its end", |levels| !levels.busy);
    };
    part(1, 500);
    belt.store(999, Relaxed);
    // It stands still before the place, for longer than any pulse.
    std::thread::sleep(2 * PULSE);
    assert!(!seen.now().reject);
    belt.store(1_001, Relaxed);
    seen.until("it is struck", |levels| levels.reject);
    seen.until("and no longer", |levels| !levels.reject);
    assert_eq!((of(&counters.struck), of(&counters.pulses_missed)), (1, 0));

    // The board takes no levels: whatever is due is missed, and told; nothing is trusted until it does again.
    part(2, 1_001);
    seen.1.store(true, Relaxed);
    belt.store(1_502, Relaxed);
    let began = Instant::now();
    while of(&counters.pulses_missed) == 0 || board.condition().troubles.is_empty() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(of(&counters.struck), 1);
    seen.1.store(false, Relaxed);
    seen.until("all is struck", |levels| levels.reject);
    seen.until("parts may come again", |levels| levels.ready && levels.reject);
    until_free(2_003);
    assert!(board.condition().troubles.is_empty());

    // Edges were lost: so is whatever is open, and all that may lie there goes.
    edges.blocking_send(Edge { at: clock.monotonic(), position: 2_003 }).unwrap();
    seen.until("it is busy", |levels| levels.busy);
    is_lost.store(true, Relaxed);
    seen.until("all is struck once more", |levels| levels.reject && !levels.busy);
    assert_eq!(of(&counters.missed), 1);
    Box::new(plc).close(PATIENCE).unwrap();
}
