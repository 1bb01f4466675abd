//! Reading a ledger: does it hold together, what is in it, how the parts went.
//!
//! Owns every query that only reads, beside a running writer or without one. Verifies by counting, not by trust: what the
//! writer keeps in `settled_to` must follow from the rows.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, OpenFlags, Row, params};
use serde::Serialize;

use super::{
    LedgerError,
    book::{Doing as _, check_version, micros},
    evidence::{KeptRow, Kind},
};
use crate::frame::{CameraId, FrameId};

/// Rows that are read at a time.
const PAGE_ROWS: i64 = 1_000;

/// A ledger opened for reading.
#[derive(Debug)]
pub struct Audit {
    connection: Connection,
}

/// One numbering, as its rows say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Whose.
    pub camera: String,
    /// Which.
    pub epoch: u64,
    /// The last number that must have a disposition.
    pub settled_to: u64,
    /// Numbers up to this one have been forgotten.
    pub forgotten_to: u64,
    /// Whether its process goes on, or ended without closing it.
    pub is_open: bool,
    /// Rows up to `settled_to` with a verdict.
    pub verdicts: u64,
    /// Frames in runs without verdict.
    pub unjudged: u64,
    /// Runs that overlap a verdict or one another.
    pub overlaps: u64,
}

impl Lane {
    /// Whether each number has exactly one disposition.
    pub fn is_whole(&self) -> bool {
        self.overlaps == 0 && self.forgotten_to + self.verdicts + self.unjudged == self.settled_to
    }
}

/// Which rows are wanted; all where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this camera.
    pub camera: Option<String>,
    /// Captured at this time or later.
    pub since: Option<SystemTime>,
    /// Captured before this time.
    pub until: Option<SystemTime>,
}

/// A frame, or a run of frames without verdict. Absence is `null`.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// The camera.
    pub camera: String,
    /// Its numbering.
    pub epoch: i64,
    /// The frame's number; of a run the first.
    pub frame: i64,
    /// The last of a run.
    pub last: i64,
    /// When it was captured, of a run when it was recorded: RFC 3339.
    pub time: String,
    /// `judged`, `dropped`, `faulted` or `unrecorded`.
    pub disposition: String,
    /// The verdict's word.
    pub decision: Option<String>,
    /// The nearest product.
    pub product: Option<String>,
    /// The distance from it.
    pub distance: Option<f64>,
    /// The largest distance that is accepted.
    pub radius: Option<f64>,
    /// The score.
    pub score: Option<f64>,
    /// Its p-value.
    pub p_value: Option<f64>,
    /// The score above which the product fails.
    pub threshold: Option<f64>,
    /// The operator's rate.
    pub reject_rate: Option<f64>,
    /// The calibration was too small for the rate.
    pub unrated: Option<bool>,
    /// From capture to verdict.
    pub latency_ms: Option<f64>,
    /// The inference alone.
    pub inference_ms: Option<f64>,
    /// The model's name.
    pub model: Option<String>,
    /// Its version.
    pub model_version: Option<String>,
    /// SHA-256 of its file.
    pub model_sha256: Option<String>,
    /// The file that the frame was read from.
    pub file: Option<String>,
    /// Why nobody judged it.
    pub reason: Option<String>,
}

/// A part of several frames, or a run of parts that were dropped whole. Absence is `null`.
#[derive(Clone, Debug, Serialize)]
pub struct ExportedPart {
    /// The camera.
    pub camera: String,
    /// Its numbering.
    pub epoch: i64,
    /// The part's place in it.
    pub part: i64,
    /// How many parts the row is about.
    pub parts: i64,
    /// The first of its frames.
    pub first_frame: i64,
    /// The last of them.
    pub last_frame: i64,
    /// When it was told: RFC 3339.
    pub time: String,
    /// The verdict's word.
    pub decision: String,
    /// The product.
    pub product: Option<String>,
    /// Frames that passed.
    pub passed: i64,
    /// Frames that failed.
    pub failed: i64,
    /// Frames of no known product.
    pub unknown: i64,
    /// Frames that something failed for.
    pub faulted: i64,
    /// Frames that were dropped or never came.
    pub missing: i64,
    /// The share of good parts that is refused at most.
    pub reject_rate_bound: Option<f64>,
    /// A frame's rate is not promised.
    pub unrated: bool,
    /// The model's name.
    pub model: String,
    /// Its version.
    pub model_version: String,
    /// SHA-256 of its file.
    pub model_sha256: String,
    /// Why it is no plain pass or fail.
    pub reason: Option<String>,
}

/// A part that a PLC announced. Absence is `null`.
#[derive(Clone, Debug, Serialize)]
pub struct ExportedTrigger {
    /// The camera.
    pub camera: String,
    /// Its numbering.
    pub epoch: i64,
    /// The trigger's running number in it.
    pub trigger: i64,
    /// The PLC's number of the part.
    pub part: i64,
    /// Its code of the expected product; 0 for none.
    pub hint: i64,
    /// The frame that shows the part.
    pub frame: Option<i64>,
    /// When it came: RFC 3339.
    pub time: String,
    /// What it ended with.
    pub result: String,
    /// Why.
    pub why: String,
    /// When it ended.
    pub ended: String,
    /// When the PLC had the result.
    pub acknowledged: Option<String>,
}

/// How the parts of one camera and product went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames by the decision's word.
    pub decisions: BTreeMap<String, u64>,
}

/// What became of the frames of one camera.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By product; `None` is what had no product.
    pub products: BTreeMap<Option<String>, Tally>,
    /// Frames without verdict, by disposition and reason.
    pub unjudged: BTreeMap<(String, String), u64>,
    /// Parts of several frames by the decision's word; empty where each frame is a part.
    pub parts: BTreeMap<String, u64>,
}

impl Audit {
    /// Opens an existing ledger beside whoever writes it.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).doing("open")?;
        connection.busy_timeout(Duration::from_secs(5)).doing("open")?;
        check_version(&connection)?;
        Ok(Self { connection })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What SQLite itself finds wrong with the file; empty when nothing is.
    pub fn damage(&self) -> Result<Vec<String>, LedgerError> {
        let found = self.strings("PRAGMA integrity_check(20)")?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    /// Every numbering, counted.
    pub fn lanes(&self) -> Result<Vec<Lane>, LedgerError> {
        let query = "
            SELECT camera, epoch, settled_to, forgotten_to, closed_to IS NULL,
                (SELECT count(*) FROM verdict v WHERE v.lane = l.id AND v.number <= l.settled_to),
                (SELECT coalesce(sum(last - first + 1), 0) FROM unjudged u
                    WHERE u.lane = l.id AND u.first <= l.settled_to),
                (SELECT count(*) FROM unjudged u WHERE u.lane = l.id AND (
                    EXISTS (SELECT 1 FROM verdict v
                        WHERE v.lane = l.id AND v.number BETWEEN u.first AND u.last)
                    OR EXISTS (SELECT 1 FROM unjudged o
                        WHERE o.lane = l.id AND o.first > u.first AND o.first <= u.last)))
            FROM lane l ORDER BY opened_us, id";
        let number = |row: &Row<'_>, index| row.get::<_, i64>(index).map(i64::cast_unsigned);
        let lane = |row: &Row<'_>| -> rusqlite::Result<Lane> {
            Ok(Lane {
                camera: row.get(0)?,
                epoch: number(row, 1)?,
                settled_to: number(row, 2)?,
                forgotten_to: number(row, 3)?,
                is_open: row.get(4)?,
                verdicts: number(row, 5)?,
                unjudged: number(row, 6)?,
                overlaps: number(row, 7)?,
            })
        };
        let mut statement = self.connection.prepare(query).doing("read")?;
        let lanes = statement.query_map([], lane).and_then(Iterator::collect).doing("read")?;
        Ok(lanes)
    }

    /// Gives each row that is wanted to `each`, by numbering and number, until it fails.
    pub fn export<E: From<LedgerError>>(
        &self,
        wanted: &Wanted,
        each: impl FnMut(Exported) -> Result<(), E>,
    ) -> Result<(), E> {
        let last = "max(coalesce((SELECT max(number) FROM verdict WHERE lane = l.id), 0),
                        coalesce((SELECT max(first) FROM unjudged WHERE lane = l.id), 0))";
        let query = "
            SELECT l.camera, l.epoch, v.number, v.number, v.time_us, 'judged', v.decision, p.name, v.distance, v.radius,
                v.score, v.p_value, v.threshold, v.reject_rate, v.unrated, v.latency_us, v.inference_us,
                m.name, m.version, m.sha256, v.file, v.reason
            FROM verdict v JOIN lane l ON l.id = v.lane JOIN model m ON m.id = v.model
                LEFT JOIN product p ON p.id = v.product
            WHERE v.lane = ?1 AND v.number > ?2 AND v.number <= ?3 AND v.time_us >= ?4 AND v.time_us < ?5
            UNION ALL
            SELECT l.camera, l.epoch, u.first, u.last, u.time_us, u.disposition, NULL, NULL, NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, u.reason
            FROM unjudged u JOIN lane l ON l.id = u.lane
            WHERE u.lane = ?1 AND u.first > ?2 AND u.first <= ?3 AND u.time_us >= ?4 AND u.time_us < ?5
            ORDER BY 3 LIMIT ?6";
        let row = |row: &Row<'_>| exported(row).map(|exported| (exported.frame, exported));
        self.pages(wanted, (last, query), row, each)
    }

    /// Gives each part that is wanted to `each`, by numbering and frames, until it fails.
    pub fn parts<E: From<LedgerError>>(
        &self,
        wanted: &Wanted,
        each: impl FnMut(ExportedPart) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.knows_parts()? {
            return Ok(());
        }
        let query = "
            SELECT l.camera, l.epoch, t.part, t.parts, t.first, t.last, t.time_us, t.decision, p.name,
                t.passed, t.failed, t.unknown, t.faulted, t.missing, t.reject_rate_bound, t.unrated,
                m.name, m.version, m.sha256, t.reason
            FROM part t JOIN lane l ON l.id = t.lane JOIN model m ON m.id = t.model
                LEFT JOIN product p ON p.id = t.product
            WHERE t.lane = ?1 AND t.first > ?2 AND t.first <= ?3 AND t.time_us >= ?4 AND t.time_us < ?5
            ORDER BY t.first LIMIT ?6";
        let last = "(SELECT max(first) FROM part WHERE lane = l.id)";
        let row = |row: &Row<'_>| exported_part(row).map(|part| (part.first_frame, part));
        self.pages(wanted, (last, query), row, each)
    }

    /// Gives each part that a PLC announced and that is wanted to `each`, by numbering and trigger, until it fails.
    pub fn triggers<E: From<LedgerError>>(
        &self,
        wanted: &Wanted,
        each: impl FnMut(ExportedTrigger) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.knows("trigger_part")? {
            return Ok(());
        }
        let query = "
            SELECT l.camera, l.epoch, t.number, t.part, t.hint, t.frame, t.time_us, t.result, t.why, t.ended_us,
                t.acknowledged_us
            FROM trigger_part t JOIN lane l ON l.id = t.lane
            WHERE t.lane = ?1 AND t.number > ?2 AND t.number <= ?3 AND t.time_us >= ?4 AND t.time_us < ?5
            ORDER BY t.number LIMIT ?6";
        let last = "(SELECT max(number) FROM trigger_part WHERE lane = l.id)";
        let row = |row: &Row<'_>| exported_trigger(row).map(|trigger| (trigger.trigger, trigger));
        self.pages(wanted, (last, query), row, each)
    }

    /// Gives each row that is wanted to `each`, by numbering and key: `row` says which that is, `last` the largest of a
    /// numbering `l`, and the query takes numbering, keys (above the one, up to the other), times and the page's length.
    ///
    /// Between two pages no statement is open: whoever takes the rows may stop for hours, and while anybody reads, the
    /// writer's log cannot begin anew and grows. What is written meanwhile is not waited for.
    fn pages<T, E: From<LedgerError>>(
        &self,
        wanted: &Wanted,
        (last, query): (&str, &str),
        row: impl Fn(&Row<'_>) -> rusqlite::Result<(i64, T)>,
        mut each: impl FnMut(T) -> Result<(), E>,
    ) -> Result<(), E> {
        let [camera, since, until] = wanted.bounds();
        let lanes = format!(
            "SELECT l.id, coalesce({last}, 0) FROM lane l WHERE ?1 IS NULL OR l.camera = ?1 ORDER BY l.opened_us, l.id"
        );
        let mut lanes = self.connection.prepare(&lanes).doing("read")?;
        let lane = |row: &Row<'_>| <(i64, i64)>::try_from(row);
        let lanes: Vec<_> =
            lanes.query_map([camera], lane).and_then(Iterator::collect).doing("read")?;
        let mut statement = self.connection.prepare(query).doing("read")?;
        for (lane, last) in lanes {
            let mut after = i64::MIN;
            while after < last {
                let values = params![lane, after, last, since, until, PAGE_ROWS];
                let page: Vec<(i64, T)> =
                    statement.query_map(values, &row).and_then(Iterator::collect).doing("read")?;
                let Some((key, _)) = page.last() else { break };
                after = *key;
                page.into_iter().try_for_each(|(_, row)| each(row))?;
            }
        }
        Ok(())
    }

    /// A file of the first version, which nobody has written since, has no table for them.
    fn knows_parts(&self) -> Result<bool, LedgerError> {
        self.knows("part")
    }

    fn knows(&self, table: &str) -> Result<bool, LedgerError> {
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
        Ok(self.strings(tables)?.iter().any(|name| name == table))
    }

    /// Gives each frame whose pictures are kept to `each`, the oldest first, until it fails.
    pub fn kept<E: From<LedgerError>>(
        &self,
        wanted: &Wanted,
        each: impl FnMut(KeptRow) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.knows("evidence")? {
            return Ok(());
        }
        let query = "
            SELECT l.camera, l.epoch, e.number, e.time_us, e.decision, e.bytes
            FROM evidence e JOIN lane l ON l.id = e.lane
            WHERE e.state = 'kept' AND (?1 IS NULL OR l.camera = ?1) AND e.time_us >= ?2 AND e.time_us < ?3
            ORDER BY e.time_us, e.lane, e.number";
        let mut statement = self.connection.prepare(query).doing("read")?;
        // All at once, for there is no index to go on by: an archive holds no more than fit into its own memory.
        let bounds = rusqlite::params_from_iter(wanted.bounds());
        let rows: Vec<_> =
            statement.query_map(bounds, kept).and_then(Iterator::collect).doing("read")?;
        rows.into_iter().try_for_each(each)
    }

    /// How many frames' pictures came to which state, for which reason.
    pub fn evidence(&self) -> Result<BTreeMap<(String, String), u64>, LedgerError> {
        if !self.knows("evidence")? {
            return Ok(BTreeMap::new());
        }
        let query = "SELECT state, coalesce(reason, ''), count(*) FROM evidence GROUP BY 1, 2";
        let mut statement = self.connection.prepare(query).doing("read")?;
        let total = |row: &Row<'_>| -> rusqlite::Result<_> {
            Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)?.cast_unsigned()))
        };
        let totals = statement.query_map([], total).and_then(Iterator::collect);
        totals.doing("read")
    }

    /// Refused frames of numberings that have ended and were archived, of whose pictures nothing is said: there must
    /// be none.
    pub fn refused_without_evidence(&self) -> Result<u64, LedgerError> {
        if !self.knows("evidence")? {
            return Ok(0);
        }
        let query = "
            SELECT count(*) FROM verdict v JOIN lane l ON l.id = v.lane
            WHERE v.decision IN ('fail', 'unknown-product') AND l.archived AND l.closed_to IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM evidence e WHERE e.lane = v.lane AND e.number = v.number)";
        let count: i64 = self.connection.query_row(query, [], |row| row.get(0)).doing("read")?;
        Ok(count.cast_unsigned())
    }

    /// What became of the frames, by camera.
    pub fn stats(&self, wanted: &Wanted) -> Result<BTreeMap<String, Stats>, LedgerError> {
        let mut stats: BTreeMap<String, Stats> = BTreeMap::new();
        let verdicts = "
            SELECT l.camera, p.name, v.decision, count(*)
            FROM verdict v JOIN lane l ON l.id = v.lane LEFT JOIN product p ON p.id = v.product
            WHERE (?1 IS NULL OR l.camera = ?1) AND v.time_us >= ?2 AND v.time_us < ?3
            GROUP BY 1, 2, 3";
        let mut statement = self.connection.prepare(verdicts).doing("read")?;
        let mut rows =
            statement.query(rusqlite::params_from_iter(wanted.bounds())).doing("read")?;
        while let Some(row) = rows.next().doing("read")? {
            let (camera, product, decision, count): (_, _, _, i64) =
                row.try_into().doing("read")?;
            let tally = stats.entry(camera).or_default().products.entry(product).or_default();
            tally.decisions.insert(decision, count.cast_unsigned());
        }
        let unjudged = "
            SELECT l.camera, u.disposition, u.reason, sum(u.last - u.first + 1)
            FROM unjudged u JOIN lane l ON l.id = u.lane
            WHERE (?1 IS NULL OR l.camera = ?1) AND u.time_us >= ?2 AND u.time_us < ?3
            GROUP BY 1, 2, 3";
        let mut statement = self.connection.prepare(unjudged).doing("read")?;
        let mut rows =
            statement.query(rusqlite::params_from_iter(wanted.bounds())).doing("read")?;
        while let Some(row) = rows.next().doing("read")? {
            let (camera, disposition, reason, count): (String, String, String, i64) =
                row.try_into().doing("read")?;
            let stats = stats.entry(camera).or_default();
            stats.unjudged.insert((disposition, reason), count.cast_unsigned());
        }
        self.parts(wanted, |part| {
            let stats = stats.entry(part.camera).or_default();
            *stats.parts.entry(part.decision).or_default() += part.parts.cast_unsigned();
            Ok::<_, LedgerError>(())
        })?;
        Ok(stats)
    }

    /// The last events, the newest first: time, kind, who, subject, detail.
    pub fn events(&self, most: u32) -> Result<Vec<[String; 5]>, LedgerError> {
        let query =
            "SELECT time_us, kind, who, subject, detail FROM event ORDER BY id DESC LIMIT ?1";
        let mut statement = self.connection.prepare(query).doing("read")?;
        let event = |row: &Row<'_>| {
            Ok([time(row.get(0)?), row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
        };
        let events = statement.query_map([most], event).and_then(Iterator::collect);
        events.doing("read")
    }

    fn strings(&self, query: &str) -> Result<Vec<String>, LedgerError> {
        let mut statement = self.connection.prepare(query).doing("read")?;
        let rows = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect);
        rows.doing("read")
    }
}

impl Wanted {
    fn bounds(&self) -> [rusqlite::types::Value; 3] {
        let Self { camera, since, until } = self;
        [
            camera.clone().into(),
            since.map_or(i64::MIN, micros).into(),
            until.map_or(i64::MAX, micros).into(),
        ]
    }
}

fn exported_trigger(row: &Row<'_>) -> rusqlite::Result<ExportedTrigger> {
    Ok(ExportedTrigger {
        camera: row.get(0)?,
        epoch: row.get(1)?,
        trigger: row.get(2)?,
        part: row.get(3)?,
        hint: row.get(4)?,
        frame: row.get(5)?,
        time: time(row.get(6)?),
        result: row.get(7)?,
        why: row.get(8)?,
        ended: time(row.get(9)?),
        acknowledged: row.get::<_, Option<i64>>(10)?.map(time),
    })
}

fn kept(row: &Row<'_>) -> rusqlite::Result<KeptRow> {
    let id = FrameId {
        camera: CameraId(row.get::<_, String>(0)?.into()),
        epoch: row.get::<_, i64>(1)?.cast_unsigned(),
        number: row.get::<_, i64>(2)?.cast_unsigned(),
    };
    let micros = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
    Ok(KeptRow {
        id,
        time: UNIX_EPOCH + Duration::from_micros(micros),
        // The table allows no other word.
        kind: Kind::named(&row.get::<_, String>(4)?).unwrap_or(Kind::Fail),
        bytes: row.get::<_, Option<i64>>(5)?.unwrap_or(0).cast_unsigned(),
    })
}

fn exported(row: &Row<'_>) -> rusqlite::Result<Exported> {
    let millis = |index| -> rusqlite::Result<Option<f64>> {
        Ok(row.get::<_, Option<i64>>(index)?.map(|micros| micros as f64 / 1e3))
    };
    Ok(Exported {
        camera: row.get(0)?,
        epoch: row.get(1)?,
        frame: row.get(2)?,
        last: row.get(3)?,
        time: time(row.get(4)?),
        disposition: row.get(5)?,
        decision: row.get(6)?,
        product: row.get(7)?,
        distance: row.get(8)?,
        radius: row.get(9)?,
        score: row.get(10)?,
        p_value: row.get(11)?,
        threshold: row.get(12)?,
        reject_rate: row.get(13)?,
        unrated: row.get(14)?,
        latency_ms: millis(15)?,
        inference_ms: millis(16)?,
        model: row.get(17)?,
        model_version: row.get(18)?,
        model_sha256: row.get(19)?,
        file: row.get(20)?,
        reason: row.get(21)?,
    })
}

fn exported_part(row: &Row<'_>) -> rusqlite::Result<ExportedPart> {
    Ok(ExportedPart {
        camera: row.get(0)?,
        epoch: row.get(1)?,
        part: row.get(2)?,
        parts: row.get(3)?,
        first_frame: row.get(4)?,
        last_frame: row.get(5)?,
        time: time(row.get(6)?),
        decision: row.get(7)?,
        product: row.get(8)?,
        passed: row.get(9)?,
        failed: row.get(10)?,
        unknown: row.get(11)?,
        faulted: row.get(12)?,
        missing: row.get(13)?,
        reject_rate_bound: row.get(14)?,
        unrated: row.get(15)?,
        model: row.get(16)?,
        model_version: row.get(17)?,
        model_sha256: row.get(18)?,
        reason: row.get(19)?,
    })
}

fn time(micros: i64) -> String {
    let since = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    // Past the year 9999 there is no RFC 3339: only a file that was tampered with says so.
    UNIX_EPOCH
        .checked_add(since.min(Duration::from_secs(253_402_300_799)))
        .map_or_else(String::new, |time| humantime::format_rfc3339_micros(time).to_string())
}
