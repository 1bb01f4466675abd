//! The ledger as an outbox: what nobody has acknowledged yet, read on from a cursor.
//!
//! Owns the order in which rows are given (those of a camera by numbering and number, a part after its frames), what is
//! final enough to be given, and how the cursor gets back into the file: [`Sent`] is a slot that the writer empties at
//! every commit, so that whoever sends waits for no disk, and a move that a crash loses means duplicates, never losses.
//! Only reads. Knows no broker.
//!
//! Invariants: a row is given only when it cannot change any more; rows that went before they were sent are given as a
//! gap with its bounds, once.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row as SqlRow, params};

use super::{
    LedgerError,
    book::{Doing as _, check_version},
};

/// A writer's transaction may hold a reader up while it begins a new file.
const BUSY_WITHIN: Duration = Duration::from_secs(2);

/// Where sending begins in a ledger of which nothing was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// With what this process captures.
    New,
    /// With the oldest row that is still kept.
    All,
}

/// Frames and parts of one numbering up to which something was done.
type Reached = [u64; 2];

/// How far what is in the file was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// For each camera and epoch.
    pub lanes: BTreeMap<(Arc<str>, u64), Reached>,
    /// For each file, by when sending from it began: events up to this one. A damaged ledger is replaced by a file that
    /// counts its events anew.
    pub events: BTreeMap<i64, i64>,
}

impl Marks {
    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.events.is_empty()
    }

    /// Takes another's where they are further.
    pub fn merge(&mut self, other: Self) {
        for (lane, [frames, parts]) in other.lanes {
            let reached = self.lanes.entry(lane).or_default();
            *reached = [reached[0].max(frames), reached[1].max(parts)];
        }
        for (file, to) in other.events {
            self.reach_event(file, to);
        }
    }

    fn reach_event(&mut self, file: i64, to: i64) {
        let reached = self.events.entry(file).or_default();
        *reached = (*reached).max(to);
    }

    /// Everything up to there is done.
    pub fn reach(&mut self, mark: &Mark) {
        match mark {
            Mark::Frames { camera, epoch, to } => {
                let reached = self.lanes.entry((Arc::clone(camera), *epoch)).or_default();
                reached[0] = reached[0].max(*to);
            }
            Mark::Parts { camera, epoch, to } => {
                let reached = self.lanes.entry((Arc::clone(camera), *epoch)).or_default();
                reached[1] = reached[1].max(*to);
            }
            Mark::Event { file, to } => self.reach_event(*file, *to),
        }
    }
}

/// What is done when a row has been acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Frames of this numbering up to this number.
    Frames {
        /// Whose.
        camera: Arc<str>,
        /// Which numbering.
        epoch: u64,
        /// The last number.
        to: u64,
    },
    /// Parts that begin at this number or before.
    Parts {
        /// Whose.
        camera: Arc<str>,
        /// Which numbering.
        epoch: u64,
        /// The first frame of the last one.
        to: u64,
    },
    /// Events up to this one.
    Event {
        /// Which file's, by when sending from it began.
        file: i64,
        /// The last number.
        to: i64,
    },
}

/// The slot between whoever sends and the writer.
#[derive(Default)]
pub struct Sent {
    marks: Mutex<Marks>,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Sent {
    /// What was acknowledged; the next commit takes it along.
    pub fn put(&self, marks: Marks) {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).merge(marks);
    }

    /// Calls `wake` after every commit with rows that may be sent; it may not wait. The first one is taken.
    pub fn on_rows(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _first = self.wake.set(Box::new(wake));
    }

    pub(super) fn take(&self) -> Marks {
        std::mem::take(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("marks", &self.marks).finish_non_exhaustive()
    }
}

/// One thing to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is.
    pub row: Row,
    /// What is done with it.
    pub mark: Mark,
}

/// A row of the ledger, or the lack of some.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A frame with its verdict, `fault` among them.
    Verdict(Box<VerdictRow>),
    /// A run of frames without one.
    Unjudged(UnjudgedRow),
    /// A part of several frames.
    Part(Box<PartRow>),
    /// Frames whose rows were gone before they were sent.
    Gap(GapRow),
    /// What happened beside the frames.
    Event(EventRow),
}

/// A frame with its verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct VerdictRow {
    /// Whose.
    pub camera: Arc<str>,
    /// Which numbering.
    pub epoch: u64,
    /// The number.
    pub number: u64,
    /// When it was captured.
    pub time: SystemTime,
    /// The decision's word.
    pub decision: String,
    /// The nearest product.
    pub product: Option<String>,
    /// The distance from it.
    pub distance: Option<f64>,
    /// The largest distance that is accepted.
    pub radius: Option<f64>,
    /// The maximum of the anomaly map.
    pub score: Option<f64>,
    /// Its p-value.
    pub p_value: Option<f64>,
    /// The score above which the product fails.
    pub threshold: Option<f64>,
    /// The operator's rate.
    pub reject_rate: f64,
    /// The calibration was too small for the rate.
    pub unrated: bool,
    /// What judged.
    pub model: ModelRow,
    /// From capture to verdict, in microseconds.
    pub latency_us: u64,
    /// The inference alone.
    pub inference_us: Option<u64>,
    /// The file that it was read from.
    pub file: Option<String>,
    /// Why nobody judged it, or that the product is not expected.
    pub reason: Option<String>,
}

/// A model file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelRow {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A run of frames without verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnjudgedRow {
    /// Whose.
    pub camera: Arc<str>,
    /// Which numbering.
    pub epoch: u64,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
    /// `dropped`, `faulted` or `unrecorded`.
    pub disposition: String,
    /// Why.
    pub reason: String,
    /// When it was recorded.
    pub time: SystemTime,
}

/// A part of several frames, or a run of parts that were dropped whole.
#[derive(Clone, Debug, PartialEq)]
pub struct PartRow {
    /// Whose.
    pub camera: Arc<str>,
    /// Which numbering.
    pub epoch: u64,
    /// Its place in the numbering.
    pub part: u64,
    /// How many parts this is about.
    pub parts: u64,
    /// The first of its frames.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// When it was told.
    pub time: SystemTime,
    /// The decision's word.
    pub decision: String,
    /// The product.
    pub product: Option<String>,
    /// What judged.
    pub model: ModelRow,
    /// Frames that passed, failed, were of no known product, faulted, missing.
    pub counts: [u32; 5],
    /// The share of good parts that is refused at most.
    pub reject_rate_bound: Option<f64>,
    /// A frame's rate is not promised.
    pub unrated: bool,
    /// Why it is no plain pass or fail.
    pub reason: Option<String>,
}

/// Frames, or events, whose rows were gone before they were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRow {
    /// Whose numbering; `None` for events.
    pub lane: Option<(Arc<str>, u64)>,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

/// What happened beside the frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its number in this file.
    pub id: i64,
    /// When.
    pub time: SystemTime,
    /// What kind of thing.
    pub kind: String,
    /// Who did it.
    pub who: String,
    /// What it happened to.
    pub subject: String,
    /// A sentence.
    pub detail: String,
}

/// What waits to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Frames with a disposition that is not acknowledged.
    pub frames: u64,
    /// When the oldest of those with a row was captured.
    pub oldest: Option<SystemTime>,
}

/// Reads on.
#[derive(Debug)]
pub struct Outbox {
    path: PathBuf,
    open: Option<Open>,
    /// Up to where was read; what the file says where nothing is noted.
    read: Marks,
    /// Up to where was acknowledged, likewise.
    acknowledged: Marks,
    has_events: bool,
}

/// The open file.
#[derive(Debug)]
struct Open {
    connection: Connection,
    /// Device and inode: a damaged ledger is replaced under its name.
    which: [u64; 2],
    /// When sending from it began, in microseconds.
    begun_us: i64,
}

struct Lane {
    row: i64,
    camera: Arc<str>,
    epoch: u64,
    settled_to: u64,
    forgotten_to: u64,
    is_closed: bool,
    reached: Reached,
}

impl Outbox {
    /// Of the ledger at `path`, which somebody writes; with its events or without.
    pub fn new(path: PathBuf, has_events: bool) -> Self {
        let (read, acknowledged) = Default::default();
        Self { path, open: None, read, acknowledged, has_events }
    }

    /// Everything up to there is acknowledged.
    pub fn acknowledge(&mut self, mark: &Mark) {
        self.acknowledged.reach(mark);
    }

    /// Reads anew from what is acknowledged: what was read and not acknowledged comes again.
    pub fn rewind(&mut self) {
        self.read = self.acknowledged.clone();
    }

    /// The next rows, `rows_max` of each camera at most; none where everything was read.
    pub fn next(&mut self, rows_max: usize) -> Result<VecDeque<Item>, LedgerError> {
        let (mut read, has_events) = (self.read.clone(), self.has_events);
        let Some(Open { connection, begun_us, .. }) = self.open()? else {
            return Ok(VecDeque::new());
        };
        let file = *begun_us;
        // One view of the file for all of its tables.
        let view = connection.unchecked_transaction().doing("read")?;
        let mut items = VecDeque::new();
        let mut done: Vec<Arc<str>> = Vec::new();
        for lane in lanes(&view, &read).doing("read")? {
            // A camera's numberings one after the other.
            if done.contains(&lane.camera) {
                continue;
            }
            let before = items.len();
            frames(&view, &lane, rows_max, &mut items).doing("read")?;
            items.iter().skip(before).for_each(|item| read.reach(&item.mark));
            let key = (Arc::clone(&lane.camera), lane.epoch);
            let reached = read.lanes.get(&key).copied().unwrap_or(lane.reached);
            parts(&view, &lane, reached, rows_max, &mut items).doing("read")?;
            items.iter().skip(before).for_each(|item| read.reach(&item.mark));
            let is_whole = lane.is_closed && items.len() == before;
            if !is_whole {
                done.push(lane.camera);
            }
        }
        if has_events {
            let from = read.events.get(&file).copied();
            events(&view, file, from, rows_max, &mut items).doing("read")?;
            for item in &items {
                read.reach(&item.mark);
            }
        }
        drop(view);
        self.read = read;
        Ok(items)
    }

    /// What waits, by what is acknowledged.
    pub fn backlog(&mut self) -> Result<Backlog, LedgerError> {
        let acknowledged = self.acknowledged.clone();
        let Some(Open { connection, .. }) = self.open()? else { return Ok(Backlog::default()) };
        let view = connection.unchecked_transaction().doing("read")?;
        let mut backlog = Backlog::default();
        for lane in lanes(&view, &acknowledged).doing("read")? {
            let [to, _] = lane.reached;
            let (settled_to, held) = (lane.settled_to, held_back(&view, &lane).doing("read")?);
            backlog.frames += settled_to.saturating_sub(held).saturating_sub(to);
            let oldest =
                "SELECT time_us FROM verdict WHERE lane = ?1 AND number > ?2 AND number <= ?3
                          ORDER BY number LIMIT 1";
            let bounds = params![lane.row, to.cast_signed(), lane.settled_to.cast_signed()];
            let oldest: Option<i64> = view
                .prepare_cached(oldest)
                .and_then(|mut oldest| oldest.query_row(bounds, |row| row.get(0)).optional())
                .doing("read")?;
            let oldest = oldest.map(moment);
            backlog.oldest = backlog.oldest.into_iter().chain(oldest).min();
        }
        Ok(backlog)
    }

    /// The file; `None` until it is kept there how far it was sent.
    fn open(&mut self) -> Result<Option<&Open>, LedgerError> {
        let which = |path: &Path| std::fs::metadata(path).map(|of| [of.dev(), of.ino()]).ok();
        let now = which(&self.path);
        if self.open.as_ref().is_some_and(|open| Some(open.which) != now) {
            self.open = None;
        }
        if let (None, Some(which)) = (&self.open, now) {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&self.path, flags).doing("open")?;
            connection.busy_timeout(BUSY_WITHIN).doing("open")?;
            check_version(&connection)?;
            let begun: Option<i64> = connection
                .query_row("SELECT begun_us FROM outbox", [], |row| row.get(0))
                .optional()
                .doing("read")?;
            let Some(begun_us) = begun else { return Ok(None) };
            self.open = Some(Open { connection, which, begun_us });
        }
        Ok(self.open.as_ref())
    }
}

/// The numberings in which something may be left, by camera and epoch.
fn lanes(connection: &Connection, read: &Marks) -> rusqlite::Result<Vec<Lane>> {
    let query = "
        SELECT id, camera, epoch, settled_to, forgotten_to, closed_to IS NOT NULL, sent_to, parts_sent_to
        FROM lane l
        WHERE closed_to IS NULL OR sent_to < settled_to
            OR EXISTS (SELECT 1 FROM part p WHERE p.lane = l.id AND p.first > l.parts_sent_to)
        ORDER BY camera, epoch";
    let lane = |row: &SqlRow<'_>| -> rusqlite::Result<Lane> {
        let (camera, epoch): (Arc<str>, u64) = (row.get(1)?, number(row, 2)?);
        let file = [number(row, 6)?, number(row, 7)?];
        let key = (Arc::clone(&camera), epoch);
        let [frames, parts] = read.lanes.get(&key).copied().unwrap_or_default();
        Ok(Lane {
            row: row.get(0)?,
            camera,
            epoch,
            settled_to: number(row, 3)?,
            forgotten_to: number(row, 4)?,
            is_closed: row.get(5)?,
            reached: [frames.max(file[0]), parts.max(file[1])],
        })
    };
    connection.prepare_cached(query)?.query_map([], lane)?.collect()
}

/// Rows of frames, in the order of their numbers.
fn frames(
    connection: &Connection,
    lane: &Lane,
    rows_max: usize,
    items: &mut VecDeque<Item>,
) -> rusqlite::Result<()> {
    let [mut to, _] = lane.reached;
    let mark = |to| Mark::Frames { camera: Arc::clone(&lane.camera), epoch: lane.epoch, to };
    let gap = |first, last| {
        let of = Some((Arc::clone(&lane.camera), lane.epoch));
        Item { row: Row::Gap(GapRow { lane: of, first, last }), mark: mark(last) }
    };
    if lane.forgotten_to > to {
        items.push_back(gap(to + 1, lane.forgotten_to));
        to = lane.forgotten_to;
    }
    if lane.settled_to <= to {
        return Ok(());
    }
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let bounds = params![lane.row, to.cast_signed(), lane.settled_to.cast_signed(), limit];
    let mut rows = runs(connection, lane, bounds)?;
    rows.extend(verdicts(connection, lane, bounds)?);
    rows.sort_by_key(|(first, ..)| *first);
    // Each statement gave as many as asked for: behind the last of these the other's may be missing.
    rows.truncate(rows_max);
    for (first, last, row) in rows {
        // Each number has a row: if one has not, that is said.
        if first > to + 1 {
            items.push_back(gap(to + 1, first - 1));
        }
        items.push_back(Item { row, mark: mark(last) });
        to = last;
    }
    Ok(())
}

type Numbered = (u64, u64, Row);

fn runs(
    connection: &Connection,
    lane: &Lane,
    bounds: &[&dyn rusqlite::ToSql],
) -> rusqlite::Result<Vec<Numbered>> {
    let query = "SELECT first, last, disposition, reason, time_us FROM unjudged
                 WHERE lane = ?1 AND first > ?2 AND first <= ?3 ORDER BY first LIMIT ?4";
    let run = |row: &SqlRow<'_>| -> rusqlite::Result<Numbered> {
        let (first, last) = (number(row, 0)?, number(row, 1)?);
        let run = UnjudgedRow {
            camera: Arc::clone(&lane.camera),
            epoch: lane.epoch,
            first,
            last,
            disposition: row.get(2)?,
            reason: row.get(3)?,
            time: moment(row.get(4)?),
        };
        Ok((first, last, Row::Unjudged(run)))
    };
    let mut statement = connection.prepare_cached(query)?;
    let mut runs = statement.query_map(bounds, run)?.collect::<rusqlite::Result<Vec<_>>>()?;
    // The run at the end of a numbering that goes on may still be prolonged.
    runs.retain(|(_, last, _)| lane.is_closed || *last < lane.settled_to);
    Ok(runs)
}

fn verdicts(
    connection: &Connection,
    lane: &Lane,
    bounds: &[&dyn rusqlite::ToSql],
) -> rusqlite::Result<Vec<Numbered>> {
    let query = "
        SELECT v.number, v.time_us, v.decision, p.name, v.distance, v.radius, v.score, v.p_value, v.threshold,
            v.reject_rate, v.unrated, m.name, m.version, m.sha256, v.latency_us, v.inference_us, v.file, v.reason
        FROM verdict v JOIN model m ON m.id = v.model LEFT JOIN product p ON p.id = v.product
        WHERE v.lane = ?1 AND v.number > ?2 AND v.number <= ?3 ORDER BY v.number LIMIT ?4";
    let verdict = |row: &SqlRow<'_>| -> rusqlite::Result<Numbered> {
        let at = number(row, 0)?;
        let verdict = VerdictRow {
            camera: Arc::clone(&lane.camera),
            epoch: lane.epoch,
            number: at,
            time: moment(row.get(1)?),
            decision: row.get(2)?,
            product: row.get(3)?,
            distance: row.get(4)?,
            radius: row.get(5)?,
            score: row.get(6)?,
            p_value: row.get(7)?,
            threshold: row.get(8)?,
            reject_rate: row.get(9)?,
            unrated: row.get(10)?,
            model: ModelRow { name: row.get(11)?, version: row.get(12)?, sha256: row.get(13)? },
            latency_us: number(row, 14)?,
            inference_us: row.get::<_, Option<i64>>(15)?.map(i64::cast_unsigned),
            file: row.get(16)?,
            reason: row.get(17)?,
        };
        Ok((at, at, Row::Verdict(Box::new(verdict))))
    };
    connection.prepare_cached(query)?.query_map(bounds, verdict)?.collect()
}

/// Frames of the run that may still be prolonged: it waits for its own end, and for nobody else.
fn held_back(connection: &Connection, lane: &Lane) -> rusqlite::Result<u64> {
    if lane.is_closed {
        return Ok(0);
    }
    let query = "SELECT first FROM unjudged WHERE lane = ?1 AND first <= ?2 AND last >= ?2";
    let bounds = params![lane.row, lane.settled_to.cast_signed()];
    let first = |row: &SqlRow<'_>| number(row, 0);
    let first = connection.prepare_cached(query)?.query_row(bounds, first).optional()?;
    Ok(first.map_or(0, |first| lane.settled_to.saturating_sub(first) + 1))
}

/// Parts whose frames were given; they are told in the order of their frames, some time after the last of them.
fn parts(
    connection: &Connection,
    lane: &Lane,
    [frames, from]: Reached,
    rows_max: usize,
    items: &mut VecDeque<Item>,
) -> rusqlite::Result<()> {
    let query = "
        SELECT t.part, t.parts, t.first, t.last, t.time_us, t.decision, p.name, m.name, m.version, m.sha256,
            t.passed, t.failed, t.unknown, t.faulted, t.missing, t.reject_rate_bound, t.unrated, t.reason
        FROM part t JOIN model m ON m.id = t.model LEFT JOIN product p ON p.id = t.product
        WHERE t.lane = ?1 AND t.first > ?2 ORDER BY t.first LIMIT ?3";
    let part = |row: &SqlRow<'_>| -> rusqlite::Result<PartRow> {
        Ok(PartRow {
            camera: Arc::clone(&lane.camera),
            epoch: lane.epoch,
            part: number(row, 0)?,
            parts: number(row, 1)?,
            first: number(row, 2)?,
            last: number(row, 3)?,
            time: moment(row.get(4)?),
            decision: row.get(5)?,
            product: row.get(6)?,
            model: ModelRow { name: row.get(7)?, version: row.get(8)?, sha256: row.get(9)? },
            counts: [row.get(10)?, row.get(11)?, row.get(12)?, row.get(13)?, row.get(14)?],
            reject_rate_bound: row.get(15)?,
            unrated: row.get(16)?,
            reason: row.get(17)?,
        })
    };
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let bounds = params![lane.row, from.cast_signed(), limit];
    for part in connection.prepare_cached(query)?.query_map(bounds, part)? {
        let part = part?;
        if part.last > frames {
            break;
        }
        let mark =
            Mark::Parts { camera: Arc::clone(&lane.camera), epoch: lane.epoch, to: part.first };
        items.push_back(Item { row: Row::Part(Box::new(part)), mark });
    }
    Ok(())
}

/// Those behind `from`, or behind what the file says.
fn events(
    connection: &Connection,
    file: i64,
    from: Option<i64>,
    rows_max: usize,
    items: &mut VecDeque<Item>,
) -> rusqlite::Result<()> {
    let noted = "SELECT event FROM outbox";
    let noted: i64 = connection.prepare_cached(noted)?.query_row([], |row| row.get(0))?;
    let mut to = from.map_or(noted, |from| from.max(noted));
    let query = "SELECT id, time_us, kind, who, subject, detail FROM event WHERE id > ?1
                 ORDER BY id LIMIT ?2";
    let event = |row: &SqlRow<'_>| -> rusqlite::Result<EventRow> {
        Ok(EventRow {
            id: row.get(0)?,
            time: moment(row.get(1)?),
            kind: row.get(2)?,
            who: row.get(3)?,
            subject: row.get(4)?,
            detail: row.get(5)?,
        })
    };
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    for event in connection.prepare_cached(query)?.query_map(params![to, limit], event)? {
        let event = event?;
        // Numbers are given without a hole: where there is one, rows have gone.
        if event.id > to + 1 {
            let (first, last) = ((to + 1).cast_unsigned(), (event.id - 1).cast_unsigned());
            let row = Row::Gap(GapRow { lane: None, first, last });
            items.push_back(Item { row, mark: Mark::Event { file, to: event.id - 1 } });
        }
        to = event.id;
        items.push_back(Item { mark: Mark::Event { file, to }, row: Row::Event(event) });
    }
    Ok(())
}

fn number(row: &SqlRow<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(i64::cast_unsigned)
}

fn moment(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros.max(0).cast_unsigned())
}

#[cfg(test)]
mod tests;
