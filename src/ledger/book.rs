//! The ledger's file: SQLite, one writer, any number of readers.
//!
//! Owns the file, its lock, its schema and what a crash left open. A commit is one transaction with `synchronous=FULL`:
//! after it returns, its rows survive a power cut. Knows no thread and no clock: the writer says when.
//! Invariant: at every commit each number up to `settled_to` has exactly one row, and none above it but islands.

mod rows;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};

use super::{
    FaultReason, Unjudged,
    evidence::{Evidence, Missing},
    outbox::{History, Marks},
    past::{FALSE_REJECT, MARKS_MAX},
    settled::Settled,
    triggers::TriggerRow,
};
use crate::{
    fault::why_unwritable,
    record::{PartRecord, Record},
};

/// "Sght": tells a ledger from any other SQLite file.
const APPLICATION_ID: i32 = 0x5367_6874;
/// The schema, one script a version: a file of version n gets those after n.
const MIGRATIONS: [&str; VERSION as usize] = [
    include_str!("schema.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
];
/// The version of today's schema.
const VERSION: u32 = 5;
/// A reader's transaction may hold a writer up for as long as it takes to list what it reads.
const BUSY_WITHIN: Duration = Duration::from_secs(5);
/// Rows that one commit forgets at most, so that verdicts do not wait for the broom.
const FORGET_ROWS: i64 = 2_000;
/// Where the file is too big, rows that are this much younger than the oldest one wait for the next sweep: those of a
/// busy camera may be older by then.
const FORGET_US: i64 = 3_600_000_000;

/// Something that happened beside the frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: SystemTime,
    /// What kind of thing, a word.
    pub kind: &'static str,
    /// Who did it: `sightline` itself, or a person.
    pub who: String,
    /// What it happened to: a camera, a model.
    pub subject: String,
    /// A sentence, or the old and the new value.
    pub detail: String,
}

impl Event {
    /// One of our own doing.
    pub fn ours(time: SystemTime, kind: &'static str, subject: &str, detail: String) -> Self {
        Self { time, kind, who: "sightline".into(), subject: subject.into(), detail }
    }
}

/// Rows for one commit. Lanes are the indices that [`Book::open_lane`] gave.
#[derive(Debug, Default)]
pub struct Batch {
    /// Frames with a verdict.
    pub judged: Vec<(usize, Box<Record>)>,
    /// Runs of frames without.
    pub unjudged: Vec<(usize, RangeInclusive<u64>, Unjudged)>,
    /// Parts of several frames.
    pub parts: Vec<(usize, Box<PartRecord>)>,
    /// What happened beside.
    pub events: Vec<Event>,
    /// What became of frames' pictures.
    pub evidence: Vec<Evidence>,
    /// Parts that a PLC announced.
    pub triggers: Vec<TriggerRow>,
    /// From now on each refused frame of these lanes gets its evidence.
    pub begins_archive: bool,
    /// From now on it is kept how far the rows were sent.
    pub begins_outbox: Option<History>,
    /// How far they were.
    pub sent: Marks,
    /// Up to which number each lane may give them from now on.
    pub reserved_to: BTreeMap<usize, u64>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Self { evidence, triggers, begins_archive, .. } = self;
        let Self { begins_outbox, sent, reserved_to, .. } = self;
        let is_without_evidence = evidence.is_empty() && !begins_archive && triggers.is_empty();
        let is_unsent = begins_outbox.is_none() && sent.is_empty();
        !self.has_news() && is_without_evidence && is_unsent && reserved_to.is_empty()
    }

    /// Whether there is something that an outbox sends.
    pub fn has_news(&self) -> bool {
        let Self { judged, unjudged, parts, events, .. } = self;
        !(judged.is_empty() && unjudged.is_empty() && parts.is_empty() && events.is_empty())
    }

    /// Adds a run of frames without verdict, to the one that it prolongs where that is among the last.
    pub fn add_run(&mut self, lane: usize, run: RangeInclusive<u64>, what: Unjudged) {
        // Other lanes and reasons may lie between; further back a run is another anyway.
        let recent = self.unjudged.iter_mut().rev().take(8);
        for (other, before, same) in recent {
            if (*other, *same) == (lane, what) && before.end() + 1 == *run.start() {
                *before = *before.start()..=*run.end();
                return;
            }
        }
        self.unjudged.push((lane, run, what));
    }
}

/// What opening found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Numbers that were open at a crash, closed as faulted.
    pub crashed: Vec<Crashed>,
    /// Where a file that was no ledger any more lies now.
    pub moved_aside: Option<PathBuf>,
}

/// Frames that a crash left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crashed {
    /// Whose.
    pub camera: String,
    /// Which numbering.
    pub epoch: u64,
    /// Numbers that may have been given, and have no other end.
    pub numbers: RangeInclusive<u64>,
}

/// How long rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Rows older than this go.
    pub age_max: Duration,
    /// Above this size the oldest rows go.
    pub bytes_max: u64,
}

/// The open file.
#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    /// `None` from when a damaged file was let go of until another one is open in its place.
    connection: Option<Connection>,
    /// Where that one lies, as soon as it is out of the way.
    aside: Option<PathBuf>,
    /// Held for as long as the file is written.
    _lock: File,
    lanes: Vec<Lane>,
    /// Each refused frame of these lanes gets its evidence.
    is_archived: bool,
    /// It is kept how far the rows were sent.
    is_outbox: bool,
    products: BTreeMap<Arc<str>, i64>,
    models: BTreeMap<String, i64>,
}

/// A numbering that this process opened.
#[derive(Clone, Debug)]
struct Lane {
    row: i64,
    camera: String,
    epoch: u64,
    reserved_to: u64,
    settled: Settled,
    /// Frames, and parts, up to these numbers were sent.
    sent_to: [u64; 2],
    /// The last run of unjudged frames, which the next may prolong.
    last_run: Option<(RangeInclusive<u64>, Unjudged)>,
}

impl Book {
    /// Opens the file, or makes it; closes what a crash left open. A damaged file is moved aside, never deleted.
    pub fn open(path: &Path, now: SystemTime) -> Result<(Self, Found), LedgerError> {
        let lock = lock(path)?;
        let mut found = Found::default();
        let opened = match Self::connect(path, now) {
            Err(error) if error.is_damage() => {
                found.moved_aside = Some(move_aside(path, now)?);
                Self::connect(path, now)
            }
            opened => opened,
        };
        let (connection, crashed) = opened?;
        found.crashed = crashed;
        let book = Self {
            path: path.into(),
            connection: Some(connection),
            aside: None,
            _lock: lock,
            lanes: Vec::new(),
            is_archived: false,
            is_outbox: false,
            products: BTreeMap::new(),
            models: BTreeMap::new(),
        };
        Ok((book, found))
    }

    fn connect(path: &Path, now: SystemTime) -> Result<(Connection, Vec<Crashed>), LedgerError> {
        let mut connection = Connection::open(path).doing("open")?;
        prepare(&mut connection)?;
        let crashed = close_open_lanes(&mut connection, now).doing("recover")?;
        Ok((connection, crashed))
    }

    /// Begins a numbering of that camera; its epoch is above all that the camera ever had.
    pub fn open_lane(
        &mut self,
        camera: &str,
        reserved_to: u64,
        now: SystemTime,
    ) -> Result<(usize, u64), LedgerError> {
        let connection = self.connection.as_ref().ok_or(LedgerError::Replacing)?;
        let last: Option<i64> = connection
            .query_one("SELECT max(epoch) FROM lane WHERE camera = ?1", [camera], |row| row.get(0))
            .doing("read")?;
        let last = last.map_or(0, i64::cast_unsigned);
        // Seconds since 1970 where the clock agrees: then an epoch is not given again even by a new file.
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let epoch = seconds.max(last + 1);
        let row =
            rows::insert_lane(connection, camera, epoch, reserved_to, 0, now).doing("write")?;
        self.lanes.push(Lane {
            row,
            camera: camera.into(),
            epoch,
            reserved_to,
            settled: Settled::default(),
            sent_to: [0; 2],
            last_run: None,
        });
        Ok((self.lanes.len() - 1, epoch))
    }

    /// Every number of this lane up to this one has a disposition in the file.
    pub fn settled_to(&self, lane: usize) -> u64 {
        self.lanes.get(lane).map_or(0, |lane| lane.settled.to())
    }

    /// Writes a batch, whole or not at all. A number that has a disposition already keeps it, and is told in the log.
    pub fn commit(&mut self, batch: &Batch, now: SystemTime) -> Result<(), LedgerError> {
        // Copies, put back in place of the old ones when the file has taken the rows.
        let mut lanes = self.lanes.clone();
        let mut ids = (self.products.clone(), self.models.clone());
        let connection = self.connection.as_mut().ok_or(LedgerError::Replacing)?;
        let transaction = connection.transaction().doing("write")?;
        write(&transaction, batch, &mut lanes, &mut ids, now).doing("write")?;
        transaction.commit().doing("write")?;
        self.is_archived |= batch.begins_archive;
        self.is_outbox |= batch.begins_outbox.is_some();
        self.lanes = lanes;
        (self.products, self.models) = ids;
        Ok(())
    }

    /// Ends every lane that is whole up to the last number that it gave; `captured` has one number a lane.
    pub fn close_lanes(&mut self, captured: &[u64], now: SystemTime) -> Result<(), LedgerError> {
        let connection = self.connection.as_mut().ok_or(LedgerError::Replacing)?;
        let transaction = connection.transaction().doing("write")?;
        for (lane, captured) in std::iter::zip(&self.lanes, captured) {
            if lane.settled.to() == *captured {
                let close = "UPDATE lane SET closed_to = ?2, reserved_to = ?2 WHERE id = ?1";
                transaction
                    .execute(close, params![lane.row, captured.cast_signed()])
                    .doing("write")?;
                rows::miss(&transaction, lane.row, Missing::Unrecorded, now).doing("write")?;
            }
        }
        transaction.commit().doing("write")?;
        // What is left in the write-ahead log would be read at the next start; a reader may still need it.
        let _busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()));
        Ok(())
    }

    /// Forgets rows that are too old or too many, some at a time; whether there was anything to forget.
    pub fn forget(&mut self, retention: &Retention, now: SystemTime) -> Result<bool, LedgerError> {
        let too_old = now.checked_sub(retention.age_max).map_or(0, micros);
        let connection = self.connection.as_mut().ok_or(LedgerError::Replacing)?;
        let is_too_big = bytes(connection).doing("read")? > retention.bytes_max;
        let transaction = connection.transaction().doing("write")?;
        let forgotten = forget(&transaction, too_old, is_too_big).doing("write")?;
        transaction.commit().doing("write")?;
        if forgotten {
            connection
                .execute_batch(&format!("PRAGMA incremental_vacuum({FORGET_ROWS})"))
                .doing("write")?;
        }
        Ok(forgotten)
    }

    /// Goes on with a new file after the old one turned out to be damaged, which is moved aside. Where that fails no file
    /// is open, and this goes on with what is left to do when it is called again.
    ///
    /// What this process settled in the old one counts as forgotten in the new.
    pub fn replace_damaged(&mut self, now: SystemTime) -> Result<PathBuf, LedgerError> {
        // The old file is let go of before it is moved.
        drop(self.connection.take());
        let aside = match self.aside.take() {
            Some(aside) => aside,
            None => move_aside(&self.path, now)?,
        };
        match self.begin_anew(now) {
            Ok((connection, lanes)) => {
                self.connection = Some(connection);
                self.lanes = lanes;
                (self.products, self.models) = Default::default();
                Ok(aside)
            }
            Err(error) => {
                // A new file that is damaged as well goes the same way.
                self.aside = (!error.is_damage()).then_some(aside);
                Err(error)
            }
        }
    }

    /// A new file with our numberings in it, whole or not at all.
    fn begin_anew(&self, now: SystemTime) -> Result<(Connection, Vec<Lane>), LedgerError> {
        let (mut connection, _) = Self::connect(&self.path, now)?;
        let mut lanes = self.lanes.clone();
        let transaction = connection.transaction().doing("write")?;
        if self.is_outbox {
            // The new file's events are all to be sent.
            rows::begin_outbox(&transaction, History::All, &[], now).doing("write")?;
        }
        for lane in &mut lanes {
            let forgotten = lane.settled.to();
            let Lane { camera, epoch, reserved_to, sent_to, .. } = &*lane;
            let row = rows::insert_lane(&transaction, camera, *epoch, *reserved_to, forgotten, now)
                .doing("write")?;
            rows::mark_sent(&transaction, camera, *epoch, *sent_to).doing("write")?;
            lane.row = row;
            lane.last_run = None;
            if self.is_archived {
                rows::archive(&transaction, lane.row).doing("write")?;
            }
            // Above it the new file says that their rows are lost.
            let islands = std::mem::replace(&mut lane.settled, Settled::up_to(forgotten)).runs();
            for run in islands.into_iter().filter(|run| *run.start() > forgotten) {
                lane.settle(&transaction, &run, Unjudged::Unrecorded, now).doing("write")?;
            }
        }
        transaction.commit().doing("write")?;
        Ok((connection, lanes))
    }
}

/// Bytes of the file that hold something.
fn bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| -> rusqlite::Result<i64> {
        connection.pragma_query_value(None, name, |row| row.get(0))
    };
    let used = pragma("page_count")? - pragma("freelist_count")?;
    Ok((used * pragma("page_size")?).cast_unsigned())
}

impl Lane {
    /// Adds a run of frames without verdict; `false` when one of them has an end already.
    fn settle(
        &mut self,
        connection: &Connection,
        run: &RangeInclusive<u64>,
        what: Unjudged,
        now: SystemTime,
    ) -> rusqlite::Result<bool> {
        if !self.settled.add(run) {
            return Ok(false);
        }
        let prolonged = self
            .last_run
            .as_ref()
            .filter(|(last, same)| *same == what && last.end() + 1 == *run.start())
            .map(|(last, _)| *last.start()..=*run.end());
        if let Some(longer) = prolonged {
            connection
                .prepare_cached("UPDATE unjudged SET last = ?3 WHERE lane = ?1 AND first = ?2")?
                .execute(params![
                    self.row,
                    longer.start().cast_signed(),
                    longer.end().cast_signed()
                ])?;
            self.last_run = Some((longer, what));
            return Ok(true);
        }
        rows::insert_run(connection, self.row, run, what, now)?;
        self.last_run = Some((run.clone(), what));
        Ok(true)
    }
}

type Ids = (BTreeMap<Arc<str>, i64>, BTreeMap<String, i64>);

fn write(
    connection: &Transaction<'_>,
    batch: &Batch,
    lanes: &mut [Lane],
    (products, models): &mut Ids,
    now: SystemTime,
) -> rusqlite::Result<()> {
    for (index, record) in &batch.judged {
        let Some(lane) = lanes.get_mut(*index) else { continue };
        let number = record.origin.frame;
        if !lane.settled.add(&(number..=number)) {
            twice(lane, &(number..=number));
            continue;
        }
        let product = match &record.verdict.recognition {
            Some(recognition) => {
                Some(rows::product_id(connection, products, &recognition.product)?)
            }
            None => None,
        };
        let model = rows::model_id(connection, models, &record.model)?;
        rows::insert_verdict(connection, lane.row, record, product, model)?;
    }
    for (index, run, what) in &batch.unjudged {
        let Some(lane) = lanes.get_mut(*index) else { continue };
        if !lane.settle(connection, run, *what, now)? {
            twice(lane, run);
        }
    }
    for (index, record) in &batch.parts {
        let Some(lane) = lanes.get(*index) else { continue };
        let product = match &record.part.product {
            Some(product) => Some(rows::product_id(connection, products, product)?),
            None => None,
        };
        let model = rows::model_id(connection, models, &record.model)?;
        rows::insert_part(connection, lane.row, record, product, model)?;
    }
    for event in &batch.events {
        rows::insert_event(connection, event)?;
    }
    if batch.begins_archive {
        lanes.iter().try_for_each(|lane| rows::archive(connection, lane.row))?;
    }
    if let Some(history) = batch.begins_outbox {
        let ours: Vec<i64> = lanes.iter().map(|lane| lane.row).collect();
        rows::begin_outbox(connection, history, &ours, now)?;
    }
    for ((camera, epoch), sent_to) in &batch.sent.lanes {
        rows::mark_sent(connection, camera, *epoch, *sent_to)?;
        let ours = lanes.iter_mut().find(|lane| lane.epoch == *epoch && *lane.camera == **camera);
        if let Some(lane) = ours {
            let [frames, parts] = lane.sent_to;
            lane.sent_to = [frames.max(sent_to[0]), parts.max(sent_to[1])];
        }
    }
    for (file, to) in &batch.sent.events {
        rows::mark_events_sent(connection, *file, *to)?;
    }
    for evidence in &batch.evidence {
        rows::put_evidence(connection, lanes, evidence, now)?;
    }
    for row in &batch.triggers {
        rows::put_trigger(connection, lanes, row)?;
    }
    for (index, reserved_to) in &batch.reserved_to {
        let Some(lane) = lanes.get_mut(*index) else { continue };
        lane.reserved_to = lane.reserved_to.max(*reserved_to);
    }
    let update = "UPDATE lane SET reserved_to = ?2, settled_to = ?3
                  WHERE id = ?1 AND (reserved_to <> ?2 OR settled_to <> ?3)";
    for lane in &*lanes {
        let (reserved, settled) = (lane.reserved_to, lane.settled.to());
        connection.prepare_cached(update)?.execute(params![
            lane.row,
            reserved.max(settled).cast_signed(),
            settled.cast_signed()
        ])?;
    }
    Ok(())
}

/// A number got a second disposition: a bug of ours, told and not hidden, and the first one stands.
fn twice(lane: &Lane, run: &RangeInclusive<u64>) {
    let Lane { camera, epoch, .. } = lane;
    tracing::error!(%camera, epoch, ?run, "frames came to an end twice; please report it");
}

/// The version of a ledger; 0 for a file with nothing in it.
pub(super) fn check_version(connection: &Connection) -> Result<usize, LedgerError> {
    let number = |name: &str| -> rusqlite::Result<i32> {
        connection.pragma_query_value(None, name, |row| row.get(0))
    };
    let application = number("application_id").doing("open")?;
    let version = number("user_version").doing("open")?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .doing("open")?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(LedgerError::Foreign);
    }
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    let known = MIGRATIONS.len();
    if version > known { Err(LedgerError::Newer { version, known }) } else { Ok(version) }
}

/// Makes the file a ledger of today's version, or says why it is none.
fn prepare(connection: &mut Connection) -> Result<(), LedgerError> {
    connection.busy_timeout(BUSY_WITHIN).doing("open")?;
    let missing = MIGRATIONS.get(check_version(connection)?..).unwrap_or_default();
    // Rows go to the end, and few pages are read again: a cache of 512 kB instead of 2 MB
    // is full after some thousand frames, and a process's memory flat from then on.
    let settings =
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                    PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 16777216;
                    PRAGMA cache_size = -512;";
    connection.execute_batch(settings).doing("open")?;
    if missing.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction().doing("migrate")?;
    for script in missing {
        transaction.execute_batch(script).doing("migrate")?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).doing("migrate")?;
    transaction.pragma_update(None, "user_version", VERSION).doing("migrate")?;
    transaction.commit().doing("migrate")
}

/// Closes the numberings that no process closed: what has no row is faulted by the crash.
fn close_open_lanes(
    connection: &mut Connection,
    now: SystemTime,
) -> rusqlite::Result<Vec<Crashed>> {
    let transaction = connection.transaction()?;
    let open: Vec<(i64, String, i64, i64, i64)> = transaction
        .prepare(
            "SELECT id, camera, epoch, reserved_to, settled_to FROM lane WHERE closed_to IS NULL",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
        .collect::<Result<_, _>>()?;
    let what = Unjudged::Faulted(FaultReason::Crash);
    let mut crashed = Vec::new();
    for (lane, camera, epoch, reserved_to, settled_to) in open {
        let reserved_to = reserved_to.cast_unsigned();
        for numbers in holes(&transaction, lane, settled_to.cast_unsigned(), reserved_to)? {
            rows::insert_run(&transaction, lane, &numbers, what, now)?;
            let detail = format!("frames {} to {}: crash", numbers.start(), numbers.end());
            rows::insert_event(&transaction, &Event::ours(now, "recovered", &camera, detail))?;
            crashed.push(Crashed { camera: camera.clone(), epoch: epoch.cast_unsigned(), numbers });
        }
        transaction.execute(
            "UPDATE lane SET closed_to = ?2, settled_to = ?2 WHERE id = ?1",
            params![lane, reserved_to.cast_signed()],
        )?;
        rows::miss(&transaction, lane, Missing::Crash, now)?;
    }
    transaction.commit()?;
    Ok(crashed)
}

fn holes(
    connection: &Connection,
    lane: i64,
    settled_to: u64,
    reserved_to: u64,
) -> rusqlite::Result<Vec<RangeInclusive<u64>>> {
    let above = "SELECT number, number FROM verdict WHERE lane = ?1 AND number > ?2
                 UNION ALL SELECT first, last FROM unjudged WHERE lane = ?1 AND first > ?2";
    let mut settled = Settled::up_to(settled_to);
    let mut statement = connection.prepare(above)?;
    let mut rows = statement.query(params![lane, settled_to.cast_signed()])?;
    while let Some(row) = rows.next()? {
        let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
        let run = first.cast_unsigned()..=last.cast_unsigned();
        if !settled.add(&run) {
            tracing::error!(lane, ?run, "the ledger has frames with two ends; please report it");
        }
    }
    Ok(settled.holes(reserved_to))
}

/// Rows of one numbering in their order: first and last number, and when.
const ROWS: &str = "SELECT number, number, time_us FROM verdict WHERE lane = ?1 AND number > ?2
     UNION ALL SELECT first, last, time_us FROM unjudged WHERE lane = ?1 AND first > ?2
     ORDER BY 1 LIMIT ?3";

/// A numbering some of whose rows may be forgotten.
struct Forgettable {
    lane: i64,
    forgotten_to: i64,
    settled_to: i64,
    is_closed: bool,
}

impl Forgettable {
    /// A run at the end of a numbering that goes on may still be prolonged.
    fn may_go(&self, last: i64) -> bool {
        self.is_closed || last < self.settled_to
    }
}

/// The numbering whose first row is the oldest of all that may go, and when that row was written. The rows of one
/// numbering are as old as their numbers say.
fn oldest(connection: &Connection) -> rusqlite::Result<Option<(i64, Forgettable)>> {
    let lanes = "SELECT id, forgotten_to, settled_to, closed_to IS NOT NULL FROM lane
                 WHERE forgotten_to < settled_to ORDER BY opened_us, id";
    let mut lanes = connection.prepare_cached(lanes)?;
    let mut lanes = lanes.query([])?;
    let mut first_row = connection.prepare_cached(ROWS)?;
    let mut oldest: Option<(i64, Forgettable)> = None;
    while let Some(row) = lanes.next()? {
        let (lane, forgotten_to, settled_to, is_closed) = row.try_into()?;
        let candidate = Forgettable { lane, forgotten_to, settled_to, is_closed };
        let first: Option<(i64, i64)> = first_row
            .query_row([lane, forgotten_to, 1], |row| Ok((row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((_, time_us)) = first.filter(|(last, _)| candidate.may_go(*last)) else {
            continue;
        };
        if oldest.as_ref().is_none_or(|(oldest_us, _)| time_us < *oldest_us) {
            oldest = Some((time_us, candidate));
        }
    }
    Ok(oldest)
}

/// Deletes the oldest rows that are older than `too_old_us`, or, where the file is too big, the oldest there are.
fn forget(connection: &Connection, too_old_us: i64, is_too_big: bool) -> rusqlite::Result<bool> {
    // Events are few; they go by age alone. Marks stay, for pictures may be kept for longer, and a good part among them
    // must not become a defect: as many as are read.
    let events = connection.execute(
        "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE time_us < ?1 AND kind <> ?3 LIMIT ?2)",
        params![too_old_us, FORGET_ROWS, FALSE_REJECT],
    )?;
    connection.execute(
        "DELETE FROM event WHERE kind = ?1 AND id <=
             (SELECT id FROM event WHERE kind = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        params![FALSE_REJECT, MARKS_MAX],
    )?;
    let Some((oldest_us, candidate)) = oldest(connection)? else { return Ok(events > 0) };
    let cutoff_us =
        if is_too_big { too_old_us.max(oldest_us.saturating_add(FORGET_US)) } else { too_old_us };
    let Forgettable { lane, forgotten_to, .. } = candidate;
    let mut to = forgotten_to;
    let mut statement = connection.prepare_cached(ROWS)?;
    let mut rows = statement.query(params![lane, forgotten_to, FORGET_ROWS])?;
    while let Some(row) = rows.next()? {
        let (last, time_us): (i64, i64) = (row.get(1)?, row.get(2)?);
        if time_us >= cutoff_us || !candidate.may_go(last) {
            break;
        }
        to = last;
    }
    if to == forgotten_to {
        return Ok(events > 0);
    }
    let up_to = params![lane, to];
    connection.execute("DELETE FROM verdict WHERE lane = ?1 AND number <= ?2", up_to)?;
    connection.execute("DELETE FROM unjudged WHERE lane = ?1 AND first <= ?2", up_to)?;
    connection.execute("DELETE FROM part WHERE lane = ?1 AND last <= ?2", up_to)?;
    connection.execute("DELETE FROM trigger_part WHERE lane = ?1 AND after_frame <= ?2", up_to)?;
    // Pictures outlive their frame's row, and what is said of them with them.
    let evidence = "DELETE FROM evidence WHERE lane = ?1 AND number <= ?2 AND state <> 'kept'";
    connection.execute(evidence, up_to)?;
    connection.execute("UPDATE lane SET forgotten_to = ?2 WHERE id = ?1", up_to)?;
    Ok(true)
}

fn lock(path: &Path) -> Result<File, LedgerError> {
    let beside = with_suffix(path, ".lock");
    let file = |cause: std::io::Error| LedgerError::File { path: beside.clone(), cause };
    // Never truncated: nothing is in it, and its lock goes with the process.
    let lock =
        File::options().create(true).truncate(false).write(true).open(&beside).map_err(file)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(LedgerError::InUse),
        Err(std::fs::TryLockError::Error(cause)) => Err(file(cause)),
    }
}

/// Renames the file and what SQLite keeps beside it; where they went.
fn move_aside(path: &Path, now: SystemTime) -> Result<PathBuf, LedgerError> {
    let stamp = humantime::format_rfc3339_seconds(now).to_string().replace(':', "");
    let aside = (0..100)
        .map(|again| match again {
            0 => with_suffix(path, &format!(".damaged-{stamp}")),
            more => with_suffix(path, &format!(".damaged-{stamp}-{more}")),
        })
        .find(|candidate| !candidate.exists())
        .ok_or(LedgerError::Aside)?;
    for suffix in ["", "-wal", "-shm"] {
        let from = with_suffix(path, suffix);
        if from.exists() {
            std::fs::rename(&from, with_suffix(&aside, suffix))
                .map_err(|cause| LedgerError::File { path: from, cause })?;
        }
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Microseconds since 1970; before it counts as 1970.
pub(super) fn micros(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, whole_micros)
}

fn whole_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process writes it.
    #[error("another sightline writes it: stop that one, or give this one a ledger of its own")]
    InUse,
    /// A SQLite file of something else.
    #[error("it is a database of another program: name another file")]
    Foreign,
    /// Made by a later version.
    #[error(
        "it has version {version}, this sightline knows up to {known}: use the newer sightline"
    )]
    Newer {
        /// The file's.
        version: usize,
        /// The latest one known.
        known: usize,
    },
    /// A file beside it.
    #[error("{} cannot be written: {}", path.display(), why_unwritable(cause))]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It was damaged too often within a second.
    #[error(
        "it is damaged, and so many damaged ones lie beside it that there is no name left: look at the disk"
    )]
    Aside,
    /// A damaged file is out of use, and no other is open in its place yet.
    #[error("the damaged file is not replaced yet")]
    Replacing,
    /// SQLite's answer.
    #[error("{doing}: {cause}")]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// SQLite's words.
        cause: rusqlite::Error,
    },
}

impl LedgerError {
    /// The file is no ledger any more, whatever is done: only another one helps.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Replacing => true,
            Self::Sqlite { cause, .. } => matches!(
                cause.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            Self::InUse | Self::Foreign | Self::Newer { .. } | Self::File { .. } | Self::Aside => {
                false
            }
        }
    }
}

/// Says what was tried when SQLite refused.
pub(super) trait Doing<T> {
    /// Adds it.
    fn doing(self, doing: &'static str) -> Result<T, LedgerError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, LedgerError> {
        self.map_err(|cause| LedgerError::Sqlite { doing, cause })
    }
}

#[cfg(test)]
pub(super) mod tests;
