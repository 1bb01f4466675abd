//! The thread `plc`: what happens and time go into the posts, and what follows goes out.
//!
//! Owns the rhythm in which deadlines are looked at, who is told of what (ledger, board, counters, lines), and the end:
//! nothing is trusted any more, and the lines are safe. Decides nothing: that is `post`.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicI64, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use crossbeam_channel::Receiver;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    Exchange, Handed, Options, Role, Way,
    bursts::Bursts,
    counters::{Counters, count},
    gpio::{Edge, Inputs, Lines},
    handshake::{End, Part, Why},
    lock,
    map::{self, Written},
    modbus_client, modbus_server,
    post::{Fact, Levels, Post},
};
use crate::{
    clock::Clock,
    fault::{Class, Fault},
    frame::CameraId,
    inspected::{Inspected, Onlooker},
    ledger::{
        Account,
        book::Event,
        triggers::{Ended, TriggerRow},
        writer::{Notes, TriggerRows},
    },
    record::Record,
    state::{self, Board, Trouble},
};

/// How often deadlines, the board and the lines are looked at where nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The same while a part is on its way to a place that an encoder on lines tells.
const LOOK_AT_BELT_EVERY: Duration = Duration::from_millis(1);
/// The engine's thread comes round twice a second, and a frame takes less than the rest.
const BEAT_WITHIN: Duration = Duration::from_secs(10);

/// What the thread works with.
pub struct Means {
    /// The accounts of the exchange's cameras, in its order.
    pub accounts: Vec<Arc<Account>>,
    /// How the station is.
    pub board: Arc<Board>,
    /// The way into the ledger for what happens; `None` without one.
    pub notes: Option<Notes>,
    /// The way into the ledger for parts.
    pub rows: Option<TriggerRows>,
    /// The cameras' own clock.
    pub clock: Arc<dyn Clock>,
    /// The socket at which a PLC that asks is served; `None` where it is asked, or where there are lines alone.
    pub listener: Option<TcpListener>,
}

/// A camera's parts.
pub(super) struct Lane {
    camera: CameraId,
    account: Arc<Account>,
    post: Arc<Mutex<Post>>,
}

/// What the thread's tasks share; none of them holds a lock while it waits.
pub(super) struct Desk {
    pub(super) lanes: Vec<Lane>,
    pub(super) options: Options,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Arc<dyn Clock>,
    written: Mutex<Written>,
    order: map::WordOrder,
    verdicts: Receiver<Handed>,
    refused: Arc<AtomicU64>,
    wake: Arc<Notify>,
    board: Arc<Board>,
    notes: Option<Notes>,
    rows: Option<TriggerRows>,
    bursts: Mutex<Bursts>,
    is_troubled: Mutex<bool>,
    /// Lines that announce parts have failed.
    is_blind: AtomicBool,
    /// Lines that show results could not be set.
    is_mute: AtomicBool,
    started: Duration,
}

/// What lines tell beside parts.
#[derive(Default)]
struct Told {
    belt: Option<Arc<AtomicI64>>,
    is_lost: Arc<AtomicBool>,
}

impl Told {
    fn into(&self, post: &mut Post, now: Duration) {
        if let Some(belt) = &self.belt {
            post.belt(belt.load(Acquire), now);
        }
        // After the belt: whoever sees it where it cannot be sees why.
        if self.is_lost.swap(false, AcqRel) {
            post.edges_lost(now);
        }
    }
}

/// The engine's end of the thread `plc`.
pub struct Plc {
    ways: BTreeMap<CameraId, Way>,
    stop: Option<oneshot::Sender<()>>,
    /// Disconnected when the thread ends.
    ended: Receiver<std::convert::Infallible>,
    thread: JoinHandle<()>,
    /// Where Modbus is served.
    pub address: Option<SocketAddr>,
}

/// Starts the thread: from now on the PLC is served, and everything is safe until the station runs.
pub fn start(
    exchange: Exchange,
    means: Means,
    lines: Option<(Box<dyn Lines>, Inputs)>,
) -> io::Result<Plc> {
    let ways = exchange.lanes.iter().filter_map(|(id, _)| Some((id.clone(), exchange.way(id)?)));
    let ways = ways.collect();
    let Exchange { options, lanes, verdicts, refused, wake, counters } = exchange;
    let Means { accounts, board, notes, rows, clock, listener } = means;
    let lanes: Vec<Lane> = std::iter::zip(lanes, accounts)
        .map(|((camera, post), account)| Lane { camera, account, post })
        .collect();
    if let Some(listener) = &listener {
        listener.set_nonblocking(true)?;
    }
    let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let order = options.modbus.as_ref().map_or(map::WordOrder::Big, |modbus| modbus.order);
    let has_encoder = lanes.iter().any(|lane| lock(&lane.post).has_encoder());
    let desk = Desk {
        written: Mutex::new(Written::new(order, lanes.len(), has_encoder)),
        order,
        started: clock.monotonic(),
        lanes,
        options,
        counters,
        clock,
        verdicts: verdicts.1,
        refused,
        wake,
        board,
        notes,
        rows,
        bursts: Mutex::default(),
        is_troubled: Mutex::default(),
        is_blind: AtomicBool::new(false),
        is_mute: AtomicBool::new(false),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel();
    let (alive, ended) = crossbeam_channel::bounded(0);
    let thread = std::thread::Builder::new().name("plc".into()).spawn(move || {
        runtime.block_on(serve(Arc::new(desk), listener, lines, stopped));
        drop(alive);
    })?;
    Ok(Plc { ways, stop: Some(stop), ended, thread, address })
}

async fn serve(
    desk: Arc<Desk>,
    listener: Option<TcpListener>,
    lines: Option<(Box<dyn Lines>, Inputs)>,
    stopped: oneshot::Receiver<()>,
) {
    let speaking = async {
        match (listener, desk.options.modbus.as_ref().map(|modbus| &modbus.role)) {
            (Some(listener), _) => modbus_server::serve(&desk, listener).await,
            (None, Some(Role::Client { connect, address, every })) => {
                modbus_client::poll(&desk, *connect, *address, *every).await;
            }
            (None, Some(Role::Server { .. }) | None) => std::future::pending().await,
        }
    };
    let (mut outputs, inputs) = lines.unzip();
    tokio::select! {
        () = speaking => {}
        () = desk.attend(&mut outputs, inputs) => {}
        _ = stopped => {}
    }
    desk.end(&mut outputs);
}

impl Desk {
    /// Looks at everything again and again.
    async fn attend(&self, lines: &mut Option<Box<dyn Lines>>, inputs: Option<Inputs>) {
        let inputs = inputs.unwrap_or_default();
        let Inputs { mut edges, belt, .. } = inputs;
        let told = Told { belt, is_lost: inputs.is_lost };
        let mut before = None;
        loop {
            let now = self.round(&told);
            self.set(lines, &mut before, now);
            let look = if told.belt.is_some() && self.is_struck_soon() {
                LOOK_AT_BELT_EVERY
            } else {
                LOOK_EVERY
            };
            let dues = self.lanes.iter().filter_map(|lane| lock(&lane.post).next_due());
            // Something may be due that waits for something else: that is no reason to spin.
            let due = dues.min().map_or(look, |due| due.saturating_sub(now));
            let due = due.clamp(LOOK_AT_BELT_EVERY, look);
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(due) => {}
                edge = next(&mut edges) => match (edge, self.lanes.first()) {
                    (Some(edge), Some(lane)) => lock(&lane.post).edge(edge.position, edge.at),
                    (Some(_), None) => {}
                    (None, _) => {
                        edges = None;
                        self.is_blind.store(true, Relaxed);
                        self.tell("lines-lost", "gpio", "nothing is seen on them any more".into());
                    }
                },
            }
        }
    }

    /// Whether a part waits for its place.
    fn is_struck_soon(&self) -> bool {
        self.lanes.first().is_some_and(|lane| lock(&lane.post).strikes_soon())
    }

    /// What came since, and what time has done; what is told of it.
    fn round(&self, inputs: &Told) -> Duration {
        let condition = self.board.condition();
        let mut without_plc = condition.clone();
        without_plc.troubles.remove(&Trouble::Plc);
        let is_beating = self.board.since_beat(self.clock.monotonic()) < BEAT_WITHIN;
        let is_trusted = is_beating
            && !self.is_blind.load(Relaxed)
            && !self.is_mute.load(Relaxed)
            && match without_plc.state() {
                state::State::Running => true,
                state::State::Degraded => self.options.trusts_degraded || without_plc.is_reliable(),
                state::State::Starting
                | state::State::Building
                | state::State::Fault
                | state::State::Paused
                | state::State::Maintenance
                | state::State::Stopping => false,
            };
        let refused = self.refused.swap(0, Relaxed);
        if refused > 0 {
            self.counters.verdicts_lost.fetch_add(refused, Relaxed);
            self.tell("verdicts-lost", "plc", format!("{refused} found no room on their way"));
        }
        // Bounded: more cannot wait.
        for Handed { lane, frame, judged } in self.verdicts.try_iter().take(super::VERDICTS_MAX) {
            if let Some(lane) = self.lanes.get(lane) {
                let mut post = lock(&lane.post);
                post.verdict(frame, judged, self.clock.monotonic());
            }
        }
        let mut are_connected = true;
        for (index, lane) in self.lanes.iter().enumerate() {
            let (now, facts, lost) = {
                let mut post = lock(&lane.post);
                let now = self.clock.monotonic();
                if index == 0 {
                    inputs.into(&mut post, now);
                }
                post.trust(is_trusted, now);
                post.drive(now);
                are_connected &= post.is_connected();
                let (facts, lost) = post.take_facts();
                (now, facts, lost)
            };
            for fact in facts {
                self.take(lane, &fact, now);
            }
            if lost > 0 {
                self.tell(
                    "plc-untold",
                    &lane.camera.0,
                    format!("{lost} more than there is room for"),
                );
            }
        }
        self.weigh(are_connected);
        let now = self.clock.monotonic();
        for (kind, subject, text) in lock(&self.bursts).over(now) {
            self.note(kind, &subject, text);
        }
        now
    }

    /// Whether the PLC is missed, and what the metrics show of the first camera.
    fn weigh(&self, are_connected: bool) {
        let counters = &self.counters;
        counters.is_connected.store(are_connected, Relaxed);
        if let Some(lane) = self.lanes.first() {
            let status = lock(&lane.post).status(self.clock.monotonic(), state::State::Running);
            let outputs = status.outputs;
            counters.is_ready.store(outputs.ready, Relaxed);
            counters.is_busy.store(outputs.busy, Relaxed);
            counters.is_valid.store(outputs.shown.is_some(), Relaxed);
            counters.is_safe.store(outputs.safe, Relaxed);
        }
        let since_start = self.clock.monotonic().saturating_sub(self.started);
        let are_bad = self.is_blind.load(Relaxed) || self.is_mute.load(Relaxed);
        let is_missed = are_bad || !are_connected && since_start > self.options.watchdog;
        let was_missed = std::mem::replace(&mut *lock(&self.is_troubled), is_missed);
        match (was_missed, is_missed) {
            (false, true) => drop(self.board.post(state::Event::Begins(Trouble::Plc))),
            (true, false) => drop(self.board.post(state::Event::Ends(Trouble::Plc))),
            (false, false) | (true, true) => {}
        }
    }

    fn set(&self, lines: &mut Option<Box<dyn Lines>>, before: &mut Option<Levels>, now: Duration) {
        let (Some(lines), Some(lane)) = (lines, self.lanes.first()) else { return };
        let levels = lock(&lane.post).levels(now);
        if *before != Some(levels)
            && let Err(error) = lines.set(levels)
        {
            // Tried again at the next look, with nothing trusted until then: nobody knows what they show.
            *before = None;
            self.is_mute.store(true, Relaxed);
            lock(&lane.post).not_shown();
            return self.tell("lines-refused", "gpio", error.to_string());
        }
        *before = Some(levels);
        self.is_mute.store(false, Relaxed);
        lock(&lane.post).shown(self.clock.monotonic());
    }

    /// The station ends: nothing may pass any more.
    fn end(&self, lines: &mut Option<Box<dyn Lines>>) {
        self.round(&Told::default());
        for lane in &self.lanes {
            let (now, facts) = {
                let mut post = lock(&lane.post);
                let now = self.clock.monotonic();
                post.trust(false, now);
                (now, post.take_facts().0)
            };
            for fact in facts {
                self.take(lane, &fact, now);
            }
        }
        self.set(lines, &mut None, self.clock.monotonic());
        for (kind, subject, text) in lock(&self.bursts).over(Duration::MAX) {
            self.note(kind, &subject, text);
        }
    }

    fn take(&self, lane: &Lane, fact: &Fact, now: Duration) {
        let counters = &self.counters;
        let camera = &*lane.camera.0;
        match fact {
            Fact::Triggered(_) => count(&counters.triggers),
            Fact::Ended(part, end, frame) => self.ended(lane, part, end, *frame, now),
            Fact::Acknowledged(part) => {
                count(&counters.acknowledged);
                let (camera, epoch) = (lane.camera.clone(), lane.account.epoch());
                let time = self.clock.wall();
                self.put(TriggerRow::Acknowledged { camera, epoch, trigger: part.trigger, time });
            }
            Fact::Withdrawn(part) => {
                count(&counters.withdrawn);
                self.tell("result-withdrawn", camera, format!("part {}", part.number));
            }
            Fact::Struck(_) => count(&counters.struck),
            Fact::PulseMissed(trigger) => {
                count(&counters.pulses_missed);
                let text = format!("trigger {trigger}: it was not struck in its place");
                self.tell("pulse-missed", camera, text);
            }
            Fact::VerdictLate { frame, number } => {
                self.tell("verdict-late", camera, format!("frame {frame} of part {number}"));
            }
            Fact::Connected => self.tell("plc-back", camera, "it speaks".into()),
            Fact::Lost(why) => {
                count(&counters.losses);
                let text = format!("{why}: {} ms", self.options.watchdog.as_millis());
                self.tell("plc-lost", camera, text);
            }
            Fact::Skipped(triggers) => {
                let text = format!("{triggers} triggers were never seen: the count jumped");
                self.tell("triggers-skipped", camera, text);
            }
            Fact::Changed => {
                self.tell("plc-changed", camera, "another connection gives the commands".into());
            }
            Fact::EdgesLost => {
                let text = "parts came, or the belt moved, unseen: open parts are refused";
                self.tell("edges-lost", camera, text.into());
            }
            Fact::EncoderJumped(counts) => {
                let text = format!("by {counts} counts at once: open parts are refused");
                self.tell("encoder-jumped", camera, text);
            }
        }
    }

    fn ended(&self, lane: &Lane, part: &Part, end: &End, frame: Option<u64>, now: Duration) {
        if let Some(counter) = self.counters.results.get(usize::from(end.outcome.code()) - 1) {
            count(counter);
        }
        let kind = match end.why {
            Why::Verdict => None,
            Why::NoFrame | Why::Crowded | Why::TooMany | Why::Undated => {
                count(&self.counters.missed);
                Some("trigger-missed")
            }
            Why::Deadline => Some("result-late"),
            Why::State | Why::Plc | Why::FrameLost | Why::OtherProduct | Why::UnknownHint => {
                Some("part-refused")
            }
        };
        if let Some(kind) = kind {
            let text = format!("part {}: {}", part.number, end.why.name());
            self.tell(kind, &lane.camera.0, text);
        }
        self.put_ended(lane, part, end, frame, now);
    }

    fn put_ended(&self, lane: &Lane, part: &Part, end: &End, frame: Option<u64>, now: Duration) {
        let wall = self.clock.wall();
        let came = wall.checked_sub(now.saturating_sub(part.at)).unwrap_or(SystemTime::UNIX_EPOCH);
        self.put(TriggerRow::Ended(Box::new(Ended {
            camera: lane.camera.clone(),
            epoch: lane.account.epoch(),
            trigger: part.trigger,
            part: part.number,
            hint: part.hint,
            after_frame: lane.account.balance().captured,
            frame: frame.or(end.frame),
            time: came,
            result: end.outcome.name(),
            why: end.why.name(),
            ended: wall,
        })));
    }

    fn put(&self, row: TriggerRow) {
        if let Some(rows) = &self.rows
            && !rows.put(row)
        {
            self.tell("parts-unrecorded", "ledger", "its queue is full".into());
        }
    }

    /// Tells it in log and ledger, at once or with what else is like it.
    pub(super) fn tell(&self, kind: &'static str, subject: &str, text: String) {
        let now = self.clock.monotonic();
        let text = lock(&self.bursts).add(kind, subject, text, now);
        if let Some(text) = text {
            self.note(kind, subject, text);
        }
    }

    fn note(&self, kind: &'static str, subject: &str, text: String) {
        tracing::warn!(subject, "{kind}: {text}");
        if let Some(notes) = &self.notes {
            notes.note(Event::ours(self.clock.wall(), kind, subject, text));
        }
    }

    /// The PLC writes registers.
    pub(super) fn write(&self, address: u16, words: &[u16]) -> Result<(), map::Refused> {
        let (camera, commands) = lock(&self.written).write(address, words)?;
        if let Some(commands) = commands {
            self.command(camera, commands, None);
        }
        Ok(())
    }

    /// Another one gives commands from now on.
    pub(super) fn resync(&self) {
        lock(&self.written).forget();
        for lane in &self.lanes {
            let mut post = lock(&lane.post);
            post.resync(self.clock.monotonic());
        }
        self.wake.notify_one();
    }

    /// That is what the PLC says, having been asked at that time where it does not say it by itself.
    pub(super) fn command(&self, camera: usize, commands: map::Commands, asked: Option<Duration>) {
        if let Some(lane) = self.lanes.get(camera) {
            let mut post = lock(&lane.post);
            // Under the lock: no frame that comes later has been let go before.
            post.command(commands, asked, self.clock.monotonic());
        }
        self.wake.notify_one();
    }

    /// Somebody reads registers. What is struck is known only to the one who gives the commands: a panel strikes nothing.
    pub(super) fn read(
        &self,
        address: u16,
        words: u16,
        is_commander: bool,
    ) -> Result<Vec<u16>, map::Refused> {
        let words = lock(&self.written).read(address, words, |camera| self.status(camera))?;
        for camera in (0..self.lanes.len()).filter(|_| is_commander) {
            let flags = camera * usize::from(map::BLOCK) + usize::from(map::FLAGS_AT);
            let place = flags.checked_sub(usize::from(address));
            if let Some(flags) = place.and_then(|place| words.get(place)) {
                self.was_read(camera, *flags);
            }
        }
        Ok(words)
    }

    /// What the PLC reads of a camera.
    pub(super) fn status(&self, camera: usize) -> [u16; map::STATUS_WORDS as usize] {
        let Some(lane) = self.lanes.get(camera) else { return [0; map::STATUS_WORDS as usize] };
        let state = self.board.condition().state();
        let mut post = lock(&lane.post);
        let now = self.clock.monotonic();
        // A deadline that has passed is seen by whoever reads.
        post.advance(now);
        map::encode(&post.status(now, state), self.order)
    }

    /// The PLC has those flags.
    pub(super) fn was_read(&self, camera: usize, flags: u16) {
        if let Some(lane) = self.lanes.get(camera).filter(|_| map::strikes(flags)) {
            let mut post = lock(&lane.post);
            post.was_read(self.clock.monotonic());
        }
    }

    /// The bits of the flags of a camera, which somebody reads.
    pub(super) fn bits(
        &self,
        address: u16,
        bits: u16,
        is_commander: bool,
    ) -> Result<Vec<bool>, map::Refused> {
        let (camera, first) = (usize::from(address / map::BLOCK), address % map::BLOCK);
        let end = u32::from(first) + u32::from(bits);
        if camera >= self.lanes.len() || bits == 0 || end > u16::BITS {
            return Err(map::Refused::Address);
        }
        let flags = self.status(camera)[usize::from(map::FLAGS_AT - map::STATUS_AT)];
        // A bit that was not asked for was not read.
        let asked = (u32::from(first)..end).fold(0, |asked, bit| asked | 1 << bit);
        if is_commander {
            self.was_read(camera, flags & asked);
        }
        Ok((u32::from(first)..end).map(|bit| flags >> bit & 1 == 1).collect())
    }
}

/// The next edge, `None` when there will be no more; for ever where there are no lines.
async fn next(edges: &mut Option<mpsc::Receiver<Edge>>) -> Option<Edge> {
    match edges {
        Some(edges) => edges.recv().await,
        None => std::future::pending().await,
    }
}

impl Onlooker for Plc {
    fn wants(&mut self, record: &Record) -> bool {
        let camera = CameraId(Arc::clone(&record.origin.camera));
        if let Some(way) = self.ways.get(&camera) {
            way.judged(record.origin.frame, &record.verdict);
        }
        // It looks at verdicts, not at pictures.
        false
    }

    fn show(&mut self, _inspected: &Arc<Inspected>) {}

    fn is_lost(&self) -> bool {
        self.thread.is_finished()
    }

    fn close(mut self: Box<Self>, within: Duration) -> Result<(), Fault> {
        if let Some(stop) = self.stop.take() {
            // An error means that the thread has ended before.
            let _ended = stop.send(());
        }
        if self.ended.recv_timeout(within) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            return Err(Fault::new(Class::Output, "not drained within its time: plc"));
        }
        if self.thread.join().is_err() {
            return Err(Fault::new(Class::Bug, "the thread plc panicked; please report it"));
        }
        Ok(())
    }
}
