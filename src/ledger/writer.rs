//! The thread `ledger`: takes what accounts tell, commits it in batches, keeps numbers reserved ahead.
//!
//! Owns the queue and its bound, the rhythm of commits, and what happens while the disk does not take any: entries wait,
//! then only their numbers are kept, and as soon as the disk takes rows again the gap is recorded. Nobody waits for it.
//!
//! Each commit reserves numbers for [`AHEAD`]: after `kill -9` the range that recovery closes as faulted holds those, and
//! what was on its way at the last commit: no more than half a second of frames, or [`AHEAD_MIN`] where frames are few. A
//! disk that takes longer than that for two commits leaves numbers unreserved for a while: their verdicts wait before
//! they leave ([`Reserving`](super::Reserving)), the line does not.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::{
    Account, LedgerError, Unjudged,
    account::{Journal, Shared},
    book::{Batch, Book, Event, Found, Retention},
    evidence::Evidence,
    outbox::{History, Sent},
    triggers::TriggerRow,
};
use crate::{
    clock::{Clock, Epoch, LEAP_BELIEVED_AFTER},
    fault::one_line,
    frame::CameraId,
    record::{PartRecord, Record},
};

/// Four minutes of a 30 fps camera while the disk is full; a record is some 300 bytes.
const QUEUE_LEN: usize = 8_192;
/// Rows of one commit.
const BATCH_ROWS: usize = 2_048;
/// How long a row waits for others to be committed with: each commit costs the disk a sync and some pages.
pub const COMMIT_EVERY: Duration = Duration::from_millis(120);
/// For how long numbers are reserved ahead of those that were given.
pub const AHEAD: Duration = Duration::from_millis(300);
/// The least that is reserved ahead: a camera with a frame a second must not wait for the disk each time.
pub const AHEAD_MIN: u64 = 2;
/// What a new numbering begins with, while its rate is not known: the first commit must come before they are given.
const AHEAD_FIRST: u64 = 5;
/// For so long at least a rate is measured before it is believed.
const RATE_OVER_MIN: Duration = Duration::from_millis(200);
/// How often a disk that takes nothing is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// How often the thread looks up while nothing comes.
const LOOK_UP_EVERY: Duration = Duration::from_secs(1);
/// How often rows are looked at for their age.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// Who may wait to hear that rows are in the file.
const TOLD_MAX: usize = 4;
/// Over this long the rate of a camera is measured.
const RATE_OVER: Duration = Duration::from_millis(500);

/// What the ledger is to do.
#[derive(Clone, Debug)]
pub struct LedgerOptions {
    /// The file.
    pub path: PathBuf,
    /// How long rows are kept.
    pub retention: Retention,
}

/// What accounts and the station tell the thread.
#[derive(Debug)]
pub(super) enum Entry {
    Judged(usize, Box<Record>),
    Unjudged(usize, u64, Unjudged),
    Part(usize, Box<PartRecord>),
    Reserve,
    Event(Event),
    Evidence(Box<Evidence>),
    Trigger(TriggerRow),
    /// From now on each refused frame gets its evidence.
    Archive,
    /// From now on it is kept how far the rows were sent.
    Outbox(History),
    /// To say when everything before it is in the file.
    Tell(Sender<()>),
    Close,
}

/// The open ledger and its thread.
#[derive(Debug)]
pub struct Ledger {
    entries: Sender<Entry>,
    health: Arc<Health>,
    sent: Arc<Sent>,
    epoch: Epoch,
    closing: Closing,
}

/// The thread that writes what is left.
#[derive(Debug)]
pub struct Closing {
    /// Never gets an item: disconnected when the thread ends.
    ended: Receiver<std::convert::Infallible>,
    thread: JoinHandle<()>,
    health: Arc<Health>,
    is_asked_for: Arc<AtomicBool>,
}

/// The way into the ledger for what happens beside the frames; cheap to clone.
#[derive(Clone, Debug)]
pub struct Notes(Sender<Entry>);

impl Notes {
    /// Records something that happened; never waits. What finds the queue full is in the log alone.
    pub fn note(&self, event: Event) {
        if let Err(refused) = self.0.try_send(Entry::Event(event)) {
            tracing::warn!("the ledger takes no events: {:?}", refused.into_inner());
        }
    }
}

/// The way into the ledger for what became of pictures; cheap to clone.
#[derive(Clone, Debug)]
pub struct EvidenceRows(Sender<Entry>);

impl EvidenceRows {
    /// Records what became of a frame's pictures; never waits. `false` where the queue is full: a refused frame without
    /// row gets one at the end of the run, or at the next start.
    pub fn put(&self, evidence: Evidence) -> bool {
        self.0.try_send(Entry::Evidence(Box::new(evidence))).is_ok()
    }

    /// Waits until what was put before is in the file; `false` when it is not there in time.
    pub fn is_written(&self, within: Duration) -> bool {
        is_written(&self.0, within)
    }
}

/// The way into the ledger for parts that a PLC announced; cheap to clone.
#[derive(Clone, Debug)]
pub struct TriggerRows(Sender<Entry>);

impl TriggerRows {
    /// Records a part; never waits. `false` where the queue is full.
    pub fn put(&self, row: TriggerRow) -> bool {
        self.0.try_send(Entry::Trigger(row)).is_ok()
    }
}

/// The way into the ledger for whoever sends its rows; cheap to clone.
#[derive(Clone, Debug)]
pub struct OutboxRows(Sender<Entry>);

impl OutboxRows {
    /// Waits until what was put before is in the file; `false` when it is not there in time.
    pub fn is_written(&self, within: Duration) -> bool {
        is_written(&self.0, within)
    }
}

fn is_written(entries: &Sender<Entry>, within: Duration) -> bool {
    let (tell, told) = crossbeam_channel::bounded(1);
    entries.try_send(Entry::Tell(tell)).is_ok() && told.recv_timeout(within).is_ok()
}

/// Whether the file takes rows.
#[derive(Debug, Default)]
pub struct Health(Mutex<Option<String>>);

impl Health {
    /// Why the file takes no rows; `None` while it does.
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, trouble: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

impl Ledger {
    /// Opens the file, recovers what a crash left open, and begins a numbering of each camera.
    pub fn open(
        options: LedgerOptions,
        cameras: &[CameraId],
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Vec<Account>, Found), LedgerError> {
        let now = clock.wall();
        let epoch = Epoch::begin(&*clock);
        let (mut book, found) = Book::open(&options.path, now)?;
        let (entries, queue) = crossbeam_channel::bounded(QUEUE_LEN);
        let mut accounts = Vec::new();
        let mut lanes = Vec::new();
        for camera in cameras {
            let (lane, epoch) = book.open_lane(&camera.0, AHEAD_FIRST, now)?;
            let shared = Arc::new(Shared::default());
            // More are asked for with the first frame: before it nothing says how many.
            shared.reserve(AHEAD_FIRST, 2 * (AHEAD_FIRST - 1));
            lanes.push(Reservation::new(Arc::clone(&shared), clock.monotonic()));
            let journal = Journal { lane, entries: entries.clone(), shared };
            accounts.push(Account::recorded(camera.clone(), epoch, journal));
        }
        let health = Arc::new(Health::default());
        let sent = Arc::new(Sent::default());
        let is_asked_for = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            book,
            is_asked_for: Arc::clone(&is_asked_for),
            queue,
            lanes,
            health: Arc::clone(&health),
            sent: Arc::clone(&sent),
            retention: options.retention,
            last_forgotten: clock.monotonic(),
            epoch,
            has_leapt: false,
            clock,
            batch: Batch::default(),
            told: Vec::new(),
            trouble: None,
        };
        let (alive, ended) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || {
                let _witness = Witness(Arc::clone(&writer.health));
                writer.run();
                drop(alive);
            })
            .map_err(|cause| LedgerError::File { path: options.path, cause })?;
        let closing = Closing { ended, thread, health: Arc::clone(&health), is_asked_for };
        Ok((Self { entries, health, sent, epoch, closing }, accounts, found))
    }

    /// The way in for what happens beside the frames.
    pub fn notes(&self) -> Notes {
        Notes(self.entries.clone())
    }

    /// The way in for what becomes of pictures: from now on each refused frame gets its evidence.
    pub fn evidence(&self) -> EvidenceRows {
        // Before the first frame the queue is empty.
        let _taken = self.entries.try_send(Entry::Archive);
        EvidenceRows(self.entries.clone())
    }

    /// The way in for parts that a PLC announced.
    pub fn triggers(&self) -> TriggerRows {
        TriggerRows(self.entries.clone())
    }

    /// Where it is said how far the rows were sent: from now on that is kept in the file.
    pub fn outbox(&self, history: History) -> (OutboxRows, Arc<Sent>) {
        let _taken = self.entries.try_send(Entry::Outbox(history));
        (OutboxRows(self.entries.clone()), Arc::clone(&self.sent))
    }

    /// Since when civil time is held against monotonic time.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether the file takes rows.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Takes no more entries; writes what is there and closes the numberings.
    pub fn close(self) -> Closing {
        let Self { entries, closing, .. } = self;
        closing.is_asked_for.store(true, Release);
        // It wakes the thread. Full only while the disk takes nothing: then it comes round by itself.
        let _full = entries.try_send(Entry::Close);
        closing
    }
}

impl Closing {
    /// Disconnected as soon as everything is written.
    pub fn ended(&self) -> &Receiver<std::convert::Infallible> {
        &self.ended
    }

    /// Why the file takes no rows, where it does not.
    pub fn trouble(&self) -> Option<String> {
        self.health.trouble()
    }

    /// Waits for the thread; `false` when it panicked.
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

impl Shared {
    /// Numbers up to `to` may be given; from half of `ahead` before it on more are wanted.
    fn reserve(&self, to: u64, ahead: u64) {
        self.reserved_to.store(to, Release);
        self.more_from.store(to.saturating_sub(ahead / 2), Release);
        self.is_asked.swap(false, AcqRel);
    }
}

/// How far ahead of a camera numbers are reserved, by its own rate.
#[derive(Debug)]
struct Reservation {
    shared: Arc<Shared>,
    per_second: f64,
    /// When the rate was last measured, and the last number at that time.
    measured: (Duration, u64),
}

impl Reservation {
    fn new(shared: Arc<Shared>, now: Duration) -> Self {
        Self { shared, per_second: 0.0, measured: (now, 0) }
    }

    fn captured(&self) -> u64 {
        self.shared.captured.load(Acquire)
    }

    /// How many numbers are wanted ahead of the last one given.
    fn ahead(&mut self, now: Duration) -> u64 {
        let (at, number) = self.measured;
        let over = now.saturating_sub(at);
        let captured = self.captured();
        let rate = captured.saturating_sub(number) as f64 / over.max(RATE_OVER_MIN).as_secs_f64();
        if over >= RATE_OVER {
            self.per_second = rate;
            self.measured = (now, captured);
        } else {
            // A camera that has just begun; never less than before.
            self.per_second = self.per_second.max(rate);
        }
        ahead(self.per_second)
    }
}

/// Numbers given within [`AHEAD`] at that rate.
fn ahead(per_second: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a saturating cast of a small rate"
    )]
    let frames = (per_second * AHEAD.as_secs_f64()).ceil() as u64;
    frames.max(AHEAD_MIN)
}

struct Writer {
    book: Book,
    /// The end: nobody puts more into the queue.
    is_asked_for: Arc<AtomicBool>,
    queue: Receiver<Entry>,
    lanes: Vec<Reservation>,
    health: Arc<Health>,
    /// How far the rows were sent, and who wants to hear of new ones.
    sent: Arc<Sent>,
    clock: Arc<dyn Clock>,
    retention: Retention,
    last_forgotten: Duration,
    epoch: Epoch,
    /// Whether it was told that civil time has leapt ahead.
    has_leapt: bool,
    batch: Batch,
    /// Who wants to hear when the batch is in the file.
    told: Vec<Sender<()>>,
    trouble: Option<Trouble>,
}

/// Tells people when the thread ends by a panic: nobody waits for it before the end.
struct Witness(Arc<Health>);

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "the thread ledger panicked: nothing is recorded until sightline is started again; please report it";
            self.0.set(Some(why.into()));
        }
    }
}

/// The file takes nothing.
struct Trouble {
    since: std::time::SystemTime,
    why: String,
}

impl Writer {
    fn run(mut self) {
        let mut is_closing = false;
        loop {
            if self.trouble.is_some() {
                std::thread::sleep(RETRY_EVERY);
            }
            // Before the look: what was put before it is taken first.
            let is_asked_for = self.is_asked_for.load(Acquire);
            is_closing |= self.gather(is_closing);
            is_closing |= is_asked_for && self.queue.is_empty();
            let is_written = self.commit();
            if is_closing && is_written && self.batch.is_empty() && self.close() {
                return;
            }
            if is_written {
                self.forget();
            }
        }
    }

    /// Takes entries until it is time to commit; whether the ledger is to be closed.
    fn gather(&mut self, is_closing: bool) -> bool {
        if is_closing || self.trouble.is_some() {
            // What is there already, without waiting for more.
            while self.rows() < BATCH_ROWS {
                match self.queue.try_recv().ok().map(|entry| self.take(entry)) {
                    Some(Taken::Row | Taken::Urgent) => {}
                    Some(Taken::Close) => return true,
                    None => return false,
                }
            }
            return false;
        }
        let due = match self.queue.recv_timeout(LOOK_UP_EVERY) {
            Ok(entry) => match self.take(entry) {
                Taken::Row => self.clock.monotonic() + COMMIT_EVERY,
                Taken::Urgent => return false,
                Taken::Close => return true,
            },
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => return true,
        };
        while self.rows() < BATCH_ROWS {
            let left = due.saturating_sub(self.clock.monotonic());
            match self.queue.recv_timeout(left) {
                Ok(entry) => match self.take(entry) {
                    Taken::Row => {}
                    Taken::Urgent => return false,
                    Taken::Close => return true,
                },
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
        false
    }

    fn take(&mut self, entry: Entry) -> Taken {
        match entry {
            Entry::Judged(lane, record) => self.batch.judged.push((lane, record)),
            Entry::Unjudged(lane, number, what) => self.batch.add_run(lane, number..=number, what),
            Entry::Part(lane, part) => self.batch.parts.push((lane, part)),
            Entry::Event(event) => self.batch.events.push(event),
            Entry::Evidence(evidence) => self.batch.evidence.push(*evidence),
            Entry::Trigger(row) => self.batch.triggers.push(row),
            Entry::Archive => self.batch.begins_archive = true,
            Entry::Outbox(history) => self.batch.begins_outbox = Some(history),
            Entry::Tell(tell) => {
                // While the disk takes nothing they come again and again, and only the last still waits.
                self.told.truncate(TOLD_MAX - 1);
                self.told.insert(0, tell);
                return Taken::Urgent;
            }
            Entry::Reserve => return Taken::Urgent,
            Entry::Close => return Taken::Close,
        }
        Taken::Row
    }

    fn rows(&self) -> usize {
        let Batch { judged, unjudged, parts, events, evidence, triggers, .. } = &self.batch;
        let frames = judged.len() + unjudged.len() + evidence.len();
        frames + parts.len() + triggers.len() + events.len()
    }

    /// Writes the batch and reserves numbers; `false` when the file did not take it, which is kept then.
    fn commit(&mut self) -> bool {
        let now = self.clock.monotonic();
        let mut reserved = Vec::new();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            for run in lane.shared.take_missed() {
                self.batch.add_run(index, run, Unjudged::Unrecorded);
            }
            let ahead = lane.ahead(now);
            let to = lane.captured() + ahead;
            let to_now = lane.shared.reserved_to.load(Acquire);
            if to > to_now {
                self.batch.reserved_to.insert(index, to);
                reserved.push((index, to, ahead));
            } else {
                // Nothing to write for who asked: later he must be able to ask again.
                lane.shared.reserve(to_now, ahead);
            }
        }
        self.batch.sent.merge(self.sent.take());
        if self.batch.is_empty() {
            self.tell();
            return true;
        }
        let wall = self.clock.wall();
        let mut written = self.book.commit(&self.batch, wall);
        if written.as_ref().is_err_and(LedgerError::is_damage) {
            written = self.replace_damaged();
        }
        self.took(written, reserved, wall)
    }

    /// What follows from a commit that reserved `(lane, to, ahead)`; whether the file took it.
    fn took(
        &mut self,
        written: Result<(), LedgerError>,
        reserved: Vec<(usize, u64, u64)>,
        wall: std::time::SystemTime,
    ) -> bool {
        match written {
            Ok(()) => {
                if std::mem::take(&mut self.batch).has_news() {
                    self.sent.wake();
                }
                for (index, to, ahead) in reserved {
                    self.lanes[index].shared.reserve(to, ahead);
                }
                self.are_late(false);
                self.tell();
                self.recovered(wall);
                true
            }
            Err(error) => {
                self.are_late(true);
                self.failed(&error);
                false
            }
        }
    }

    /// Whether verdicts leave without waiting for their numbers to be reserved.
    fn are_late(&self, are_late: bool) {
        for lane in &self.lanes {
            lane.shared.is_late.store(are_late, Release);
        }
    }

    /// Everything that was taken is in the file.
    fn tell(&mut self) {
        for tell in self.told.drain(..) {
            // Whoever waited may have stopped to.
            let _gone = tell.try_send(());
        }
    }

    fn failed(&mut self, error: &LedgerError) {
        let why = one_line(error);
        self.health.set(Some(why.clone()));
        if self.trouble.is_none() {
            tracing::error!("the ledger cannot be written, inspection goes on: {why}");
        }
        let since = self.trouble.take().map_or_else(|| self.clock.wall(), |trouble| trouble.since);
        self.trouble = Some(Trouble { since, why });
    }

    fn recovered(&mut self, now: std::time::SystemTime) {
        let Some(Trouble { since, why }) = self.trouble.take() else { return };
        self.health.set(None);
        let since = humantime::format_rfc3339_millis(since);
        let detail = format!("not written since {since}: {why}");
        tracing::warn!("the ledger is written again; {detail}");
        self.batch.events.push(Event::ours(now, "ledger-gap", "ledger", detail));
    }

    /// Goes on in a new file, with the batch that the damaged one did not take.
    fn replace_damaged(&mut self) -> Result<(), LedgerError> {
        let now = self.clock.wall();
        let moved = self.book.replace_damaged(now)?;
        // The new file counts its events anew.
        self.batch.sent.events.clear();
        let detail = format!("the damaged file lies at {}", moved.display());
        tracing::error!("the ledger's file was damaged and a new one begun: {detail}");
        self.batch.events.push(Event::ours(now, "ledger-damaged", "ledger", detail));
        self.book.commit(&self.batch, now)
    }

    fn close(&mut self) -> bool {
        let captured: Vec<u64> = self.lanes.iter().map(Reservation::captured).collect();
        match self.book.close_lanes(&captured, self.clock.wall()) {
            Ok(()) => true,
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn forget(&mut self) {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.last_forgotten) < FORGET_EVERY {
            return;
        }
        let retention = self.retention();
        match self.book.forget(&retention, self.clock.wall()) {
            // More is left: again after the next commit.
            Ok(true) => {}
            Ok(false) => self.last_forgotten = now,
            // Where rows are only added, nobody else reads the pages of old ones.
            Err(error) if error.is_damage() => {
                self.last_forgotten = now;
                tracing::error!(
                    "the ledger is damaged where its old rows are: {}",
                    one_line(&error)
                );
                let written = self.replace_damaged();
                self.took(written, Vec::new(), self.clock.wall());
            }
            Err(error) => {
                self.last_forgotten = now;
                tracing::warn!("old rows of the ledger cannot be removed: {}", one_line(&error));
            }
        }
    }
}

/// What is too old, and what only seems so.
impl Writer {
    /// How long rows are kept: of any age while civil time does not say how old something is.
    fn retention(&mut self) -> Retention {
        let leap = self.epoch.leap(&*self.clock);
        if leap.is_some() != self.has_leapt {
            self.has_leapt = leap.is_some();
            self.tell_leap(leap);
        }
        let age_max = if self.has_leapt { Duration::MAX } else { self.retention.age_max };
        Retention { age_max, ..self.retention }
    }

    fn tell_leap(&mut self, leap: Option<Duration>) {
        let (kind, detail) = if let Some(leap) = leap {
            let days = leap.as_secs() / 86_400;
            let believed = LEAP_BELIEVED_AFTER.as_secs() / 86_400;
            let detail = format!(
                "it leapt ahead by {days} days since the start: rows and pictures go by size alone, not by age, \
                 until it comes back or has stood for {believed} days; if it is right now, start sightline again"
            );
            tracing::error!("the machine's clock: {detail}");
            ("clock-leapt", detail)
        } else {
            let detail = "it came back, or has stood for so long that it is right: what is too old goes again";
            tracing::warn!("the machine's clock: {detail}");
            ("clock-back", detail.to_owned())
        };
        self.batch.events.push(Event::ours(self.clock.wall(), kind, "clock", detail));
    }
}

/// What an entry asks for.
enum Taken {
    /// To be committed with others.
    Row,
    /// To commit now.
    Urgent,
    /// To commit and end.
    Close,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SystemClock,
        ledger::book::tests::record,
        sinks::{
            line::Line,
            stdout::{Handed, Stdout, Style, WhenFull},
        },
    };

    const MS: Duration = Duration::from_millis(1);

    /// A clock that is set: monotonic time, and how far civil time is ahead of it.
    struct Hands(Mutex<(Duration, Duration)>);

    impl Hands {
        /// So much time passes, and civil time is so far ahead then.
        fn set(&self, pass: Duration, ahead: Duration) {
            let mut hands = self.0.lock().unwrap();
            *hands = (hands.0 + pass, ahead);
        }
    }

    impl Clock for Hands {
        fn monotonic(&self) -> Duration {
            self.0.lock().unwrap().0
        }

        fn wall(&self) -> std::time::SystemTime {
            let (monotonic, ahead) = *self.0.lock().unwrap();
            std::time::UNIX_EPOCH + Duration::from_hours(1_000) + monotonic + ahead
        }
    }

    #[test]
    fn a_clock_that_leaps_ahead_makes_no_row_old_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let day = Duration::from_hours(24);
        let retention = Retention { age_max: 30 * day, bytes_max: u64::MAX };
        let options = LedgerOptions { path: path.clone(), retention };
        let hands = Arc::new(Hands(Mutex::default()));
        let clock: Arc<dyn Clock> = Arc::clone(&hands) as Arc<dyn Clock>;
        let top = CameraId("top".into());
        let (ledger, accounts, _) = Ledger::open(options, &[top], clock).unwrap();
        for number in 1..=3 {
            accounts[0].captured(number);
            accounts[0].judged(*record(number, hands.wall()), None);
        }
        let file = rusqlite::Connection::open(&path).unwrap();
        let count = |query: &str| -> i64 { file.query_row(query, [], |row| row.get(0)).unwrap() };
        let rows = "SELECT count(*) FROM verdict";
        let until = |query: &str, expected: i64| {
            let began = std::time::Instant::now();
            while count(query) != expected {
                assert!(began.elapsed() < Duration::from_mins(1), "{query}: {}", count(query));
                std::thread::sleep(20 * MS);
            }
        };
        until(rows, 3);
        hands.set(FORGET_EVERY, 3_650 * day);
        until("SELECT count(*) FROM event WHERE kind = 'clock-leapt'", 1);
        // The look after the one that told it.
        hands.set(FORGET_EVERY, 3_650 * day);
        std::thread::sleep(2 * LOOK_UP_EVERY);
        assert_eq!(count(rows), 3);
        hands.set(FORGET_EVERY, Duration::ZERO);
        until("SELECT count(*) FROM event WHERE kind = 'clock-back'", 1);
        assert_eq!(count(rows), 3);
        // Time that passes makes them old; the last one may still be followed by others.
        hands.set(31 * day, Duration::ZERO);
        until(rows, 1);
        drop(accounts);
        ledger.close().ended().recv().unwrap_err();
    }

    /// Standard output whose reader counts what has come.
    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl Out {
        fn lines(&self) -> usize {
            String::from_utf8_lossy(&self.0.lock().unwrap()).lines().count()
        }
    }

    impl std::io::Write for Out {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_verdict_leaves_when_its_number_is_reserved_or_after_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let retention = Retention { age_max: Duration::MAX, bytes_max: u64::MAX };
        let options = LedgerOptions { path: path.clone(), retention };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let top = CameraId("top".into());
        let (ledger, accounts, _) = Ledger::open(options, &[top], Arc::clone(&clock)).unwrap();
        let account = &accounts[0];
        let out = Out::default();
        let sink = Stdout::start(out.clone(), Style::Json, None).unwrap();
        let hand = |number: u64| {
            account.captured(number);
            let record = record(number, clock.wall());
            let reserving = account.reserving(number);
            assert_eq!(sink.hand(Line::Frame(record), reserving, WhenFull::Wait), Handed::Queued);
        };
        let until = |lines: usize| {
            let began = std::time::Instant::now();
            while out.lines() < lines {
                assert!(began.elapsed() < Duration::from_mins(1), "{}", out.lines());
                std::thread::sleep(5 * MS);
            }
        };
        // Somebody holds the file: commits wait for him, and reserve nothing.
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let began = std::time::Instant::now();
        (1..=6).for_each(hand);
        until(5);
        std::thread::sleep(300 * MS);
        let lines = out.lines();
        // On a machine that stood still meanwhile the second is over.
        assert!(lines == 5 || began.elapsed() > 900 * MS, "{lines}");
        other.execute_batch("ROLLBACK").unwrap();
        until(6);
        // Nobody waits for a commit that takes ever longer, and one second is enough for all that it makes wait.
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let began = std::time::Instant::now();
        (10_000..10_003).for_each(hand);
        until(9);
        let took = began.elapsed();
        assert!(took > 900 * MS, "{took:?}");
        let never = account.reserving(u64::MAX).unwrap();
        assert!(never.is_over());
        // From the next commit on verdicts wait again.
        other.execute_batch("ROLLBACK").unwrap();
        let began = std::time::Instant::now();
        while never.is_over() {
            assert!(began.elapsed() < Duration::from_mins(1));
            std::thread::sleep(5 * MS);
        }
        sink.close().join().unwrap();
        drop(ledger.close());
    }

    #[test]
    fn a_cameras_rate_is_known_after_a_few_frames_and_not_taken_from_a_burst() {
        let shared = Arc::new(Shared::default());
        let mut lane = Reservation::new(Arc::clone(&shared), Duration::ZERO);
        let mut at = |frames: u64, ms: u32| {
            shared.captured.store(frames, Release);
            lane.ahead(ms * MS)
        };
        assert_eq!(at(1, 2), 2);
        assert_eq!(at(3, 100), 5);
        assert_eq!(at(6, 200), 9);
        assert_eq!(at(15, 500), 9);
        // Two frames at once are no camera with a thousand a second.
        assert_eq!(at(17, 502), 9);
        // It is paused.
        assert_eq!(at(17, 1_002), 2);
    }
}
