//! The state of the station, in the words that people, systemd and metrics get.
//!
//! Owns one function from a condition and an event to the next condition, which is pure, and the board on which the
//! station's threads post events. Knows nothing of what is done about a state.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use crate::{
    alarm::{self, Acknowledged, Standing},
    clock::{Clock, SystemClock},
    frame::CameraId,
    judge::drift::Figure,
};

/// What people want the station to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Judge.
    #[default]
    Run,
    /// Keep the cameras, judge nothing: the line stands still.
    Pause,
    /// As `pause`, because somebody works at the station.
    Maintenance,
}

impl Mode {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Run, Self::Pause, Self::Maintenance];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Pause => "pause",
            Self::Maintenance => "maintenance",
        }
    }
}

/// What is wrong and may become right again by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// This camera gives no frames.
    Camera(CameraId),
    /// The engine fails frame after frame.
    Engine,
    /// The engine's golden frames no longer agree: it must not be trusted.
    Golden,
    /// Another provider than the first one runs the network.
    Provider,
    /// The ledger's file takes no rows.
    Ledger,
    /// The archive's disk takes no pictures.
    Archive,
    /// The broker is not told: it is gone, or refuses this station. Results wait in the ledger.
    Broker,
    /// The PLC gives no sign of life, or does not take its results.
    Plc,
    /// What passes at this camera is no longer as it was: an alarm, and no doubt about verdicts.
    Drift {
        /// Where.
        camera: CameraId,
        /// Which of its products.
        product: Arc<str>,
        /// What of it.
        figure: Figure,
    },
}

impl Trouble {
    /// Whether a verdict may be worth less for it, or be lost. A broker is told what the ledger keeps anyhow.
    pub const fn is_about_verdicts(&self) -> bool {
        match self {
            Self::Broker => false,
            Self::Camera(_)
            | Self::Engine
            | Self::Golden
            | Self::Provider
            | Self::Ledger
            | Self::Archive
            | Self::Plc
            | Self::Drift { .. } => true,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Camera(id) => write!(f, "camera {id} gives no frames"),
            Self::Engine => f.write_str("the engine fails"),
            Self::Golden => f.write_str("the golden frames no longer agree"),
            Self::Provider => f.write_str("the engine fell back to another provider"),
            Self::Ledger => f.write_str("the ledger cannot be written"),
            Self::Archive => f.write_str("the archive takes no pictures"),
            Self::Broker => f.write_str("the broker is not told"),
            Self::Plc => f.write_str("the PLC, or a line to it, does not answer"),
            Self::Drift { camera, product, figure } => {
                write!(f, "drift at camera {camera}: {figure} of {product}")
            }
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An engine is being built before the station is ready; how far, for people.
    Building(String),
    /// The engine is verified and the cameras play.
    Ready,
    /// Somebody wants another mode.
    Mode(Mode),
    /// Something goes wrong.
    Begins(Trouble),
    /// It is right again.
    Ends(Trouble),
    /// Somebody has seen the alarm of that name.
    Acknowledged {
        /// The alarm.
        id: String,
        /// Who.
        who: String,
    },
    /// The station drains.
    Stopping,
}

/// The state, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Loading and verifying.
    Starting,
    /// Building an engine for this GPU, which takes minutes.
    Building,
    /// Every camera and everything else does what it should.
    Running,
    /// Parts are judged, but something is wrong.
    Degraded,
    /// Nothing can be judged.
    Fault,
    /// Nothing is judged, as somebody wants it.
    Paused,
    /// Nothing is judged, because somebody works at the station.
    Maintenance,
    /// Draining.
    Stopping,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Building,
        Self::Running,
        Self::Degraded,
        Self::Fault,
        Self::Paused,
        Self::Maintenance,
        Self::Stopping,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Building => "building",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Fault => "fault",
            Self::Paused => "paused",
            Self::Maintenance => "maintenance",
            Self::Stopping => "stopping",
        }
    }

    /// Whether parts are judged.
    pub const fn is_judging(self) -> bool {
        matches!(self, Self::Running | Self::Degraded)
    }
}

/// Everything that the state follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// How many cameras there are.
    pub cameras: usize,
    /// What is being built, and how far that is; empty where nothing is.
    pub building: String,
    /// The engine is verified and the cameras play.
    pub is_ready: bool,
    /// The station drains.
    pub is_stopping: bool,
    /// What people want.
    pub mode: Mode,
    /// What is wrong now, and since when.
    pub troubles: BTreeMap<Trouble, Standing>,
}

impl Condition {
    /// A station with so many cameras that is starting.
    pub fn starting(cameras: usize) -> Self {
        Self { cameras, ..Self::default() }
    }

    /// The condition after an event, which happened at that time.
    #[must_use]
    pub fn next(mut self, event: Event, at: SystemTime) -> Self {
        match event {
            Event::Building(how_far) => self.building = how_far,
            Event::Ready => self.is_ready = true,
            Event::Mode(mode) => self.mode = mode,
            Event::Begins(trouble) => {
                self.troubles.entry(trouble).or_insert_with(|| Standing::since(at));
            }
            Event::Ends(trouble) => {
                self.troubles.remove(&trouble);
            }
            Event::Acknowledged { id, who } => {
                let mut standings = self.troubles.iter_mut();
                if let Some((_, standing)) = standings.find(|(trouble, _)| alarm::id(trouble) == id)
                {
                    standing.acknowledged.get_or_insert(Acknowledged { who, time: at });
                }
            }
            Event::Stopping => self.is_stopping = true,
        }
        self
    }

    /// The state that this amounts to.
    pub fn state(&self) -> State {
        let lost = self.troubles.keys().filter(|t| matches!(t, Trouble::Camera(_))).count();
        match self.mode {
            _ if self.is_stopping => State::Stopping,
            _ if !self.is_ready && !self.building.is_empty() => State::Building,
            _ if !self.is_ready => State::Starting,
            Mode::Pause => State::Paused,
            Mode::Maintenance => State::Maintenance,
            Mode::Run if self.troubles.contains_key(&Trouble::Engine) => State::Fault,
            Mode::Run if self.troubles.contains_key(&Trouble::Golden) => State::Fault,
            Mode::Run if lost > 0 && lost == self.cameras => State::Fault,
            Mode::Run if self.troubles.is_empty() => State::Running,
            Mode::Run => State::Degraded,
        }
    }

    /// Whether verdicts may be relied on: the station runs, or what is wrong with it is not about them.
    pub fn is_reliable(&self) -> bool {
        match self.state() {
            State::Running => true,
            State::Degraded => !self.troubles.keys().any(Trouble::is_about_verdicts),
            State::Starting
            | State::Building
            | State::Fault
            | State::Paused
            | State::Maintenance
            | State::Stopping => false,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.write_str(state.name())?;
        if state == State::Building {
            write!(f, " {}", self.building)?;
        }
        for (index, trouble) in self.troubles.keys().enumerate() {
            write!(f, "{} {trouble}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// Where the station's threads post what happened, and read how things stand.
pub struct Board {
    condition: Mutex<Condition>,
    /// Says when something happened.
    clock: Arc<dyn Clock>,
    /// The mode once more: the cameras' callbacks read it at every frame, and take no lock.
    mode: AtomicU8,
    /// When the engine's thread last came round, in milliseconds on the monotonic clock.
    engine_beat_millis: AtomicU64,
}

impl Board {
    /// For a station with so many cameras that is starting, by the machine's clock.
    pub fn new(cameras: usize) -> Self {
        Self::timed(cameras, Arc::new(SystemClock::start()))
    }

    /// The same, by the station's own clock.
    pub fn timed(cameras: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            condition: Mutex::new(Condition::starting(cameras)),
            clock,
            mode: AtomicU8::new(Mode::Run as u8),
            engine_beat_millis: AtomicU64::new(0),
        }
    }

    /// Posts an event; the conditions before and after.
    pub fn post(&self, event: Event) -> (Condition, Condition) {
        let at = self.clock.wall();
        let mut condition = self.condition.lock().unwrap_or_else(PoisonError::into_inner);
        let before = condition.clone();
        *condition = before.clone().next(event, at);
        self.mode.store(condition.mode as u8, Ordering::Release);
        (before, condition.clone())
    }

    /// How things stand.
    pub fn condition(&self) -> Condition {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What people want.
    pub fn mode(&self) -> Mode {
        let index = usize::from(self.mode.load(Ordering::Acquire));
        Mode::ALL.get(index).copied().unwrap_or_default()
    }

    /// The engine's thread comes round.
    pub fn beat(&self, now: Duration) {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.engine_beat_millis.store(millis, Ordering::Release);
    }

    /// How long ago it last did.
    pub fn since_beat(&self, now: Duration) -> Duration {
        let beat = Duration::from_millis(self.engine_beat_millis.load(Ordering::Acquire));
        now.saturating_sub(beat)
    }
}

// By hand: a clock says nothing.
impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("condition", &self.condition).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Event::{Begins, Ends, Mode as Wants, Ready, Stopping},
        *,
    };

    #[test]
    fn the_state_follows_from_what_happened() {
        let camera = |name: &str| Trouble::Camera(CameraId(name.into()));
        let check = |events: Vec<Event>, expected: &str| {
            let next = |condition: Condition, event| condition.next(event, SystemTime::UNIX_EPOCH);
            let condition = events.into_iter().fold(Condition::starting(2), next);
            assert_eq!(condition.to_string(), expected);
        };
        check(vec![], "starting");
        let building = || Event::Building("tensorrt in fp16, 5 s so far".into());
        check(vec![building()], "building tensorrt in fp16, 5 s so far");
        check(vec![building(), Event::Building(String::new())], "starting");
        check(vec![building(), Ready], "running");
        check(vec![Ready], "running");
        check(vec![Ready, Begins(camera("top"))], "degraded: camera top gives no frames");
        check(
            vec![Ready, Begins(camera("top")), Begins(camera("side"))],
            "fault: camera side gives no frames, camera top gives no frames",
        );
        check(vec![Ready, Begins(camera("top")), Ends(camera("top"))], "running");
        check(vec![Ready, Begins(Trouble::Ledger)], "degraded: the ledger cannot be written");
        let (camera, product) = (CameraId("top".into()), "cap".into());
        check(
            vec![Ready, Begins(Trouble::Drift { camera, product, figure: Figure::Focus })],
            "degraded: drift at camera top: focus of cap",
        );
        check(vec![Ready, Begins(Trouble::Engine)], "fault: the engine fails");
        check(vec![Ready, Wants(Mode::Pause)], "paused");
        check(
            vec![Ready, Wants(Mode::Maintenance), Begins(Trouble::Ledger)],
            "maintenance: the ledger cannot be written",
        );
        check(vec![Ready, Wants(Mode::Pause), Wants(Mode::Run)], "running");
        check(vec![Wants(Mode::Pause)], "starting");
        check(vec![Ready, Stopping], "stopping");
    }

    #[test]
    fn a_broker_that_is_gone_takes_no_verdict_its_worth() {
        let check = |events: Vec<Event>, expected: bool| {
            let next = |condition: Condition, event| condition.next(event, SystemTime::UNIX_EPOCH);
            let condition = events.into_iter().fold(Condition::starting(1), next);
            assert_eq!(condition.is_reliable(), expected, "{condition}");
        };
        let broker = || Begins(Trouble::Broker);
        check(vec![Ready], true);
        check(vec![Ready, broker()], true);
        check(vec![Ready, broker(), Begins(Trouble::Ledger)], false);
        check(vec![Ready, broker(), Begins(Trouble::Ledger), Ends(Trouble::Ledger)], true);
        check(vec![Ready, broker(), Begins(Trouble::Engine)], false);
        check(vec![Ready, Begins(Trouble::Provider)], false);
        check(vec![broker()], false);
        check(vec![Ready, broker(), Wants(Mode::Pause)], false);
        check(vec![Ready, broker(), Stopping], false);
    }

    #[test]
    fn the_board_tells_the_mode_without_its_lock() {
        let board = Board::new(1);
        let held = board.condition.lock().unwrap();
        assert_eq!(board.mode(), Mode::Run);
        drop(held);
        for mode in Mode::ALL {
            board.post(Event::Mode(mode));
            assert_eq!(board.mode(), mode);
        }
    }
}
