//! Rows of each kind, into the file.
//!
//! Owns the statements that write them, and which column has what. Knows neither batches nor what must be true of all
//! rows together: that is the book's.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc, time::SystemTime};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Event, Lane, micros, whole_micros};
use crate::{
    frame::FrameId,
    judge::part::Counts,
    ledger::{
        Unjudged,
        evidence::{Evidence, Missing, State},
        outbox::History,
        triggers::{Ended, TriggerRow},
    },
    record::{ModelLabel, PartRecord, Record},
};

pub(super) fn insert_run(
    connection: &Connection,
    lane: i64,
    run: &RangeInclusive<u64>,
    what: Unjudged,
    now: SystemTime,
) -> rusqlite::Result<()> {
    let insert = "INSERT INTO unjudged (lane, first, last, disposition, reason, time_us)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(insert)?.execute(params![
        lane,
        run.start().cast_signed(),
        run.end().cast_signed(),
        what.name(),
        what.reason(),
        micros(now)
    ])?;
    Ok(())
}

pub(super) fn insert_lane(
    connection: &Connection,
    camera: &str,
    epoch: u64,
    reserved_to: u64,
    forgotten_to: u64,
    now: SystemTime,
) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO lane (camera, epoch, opened_us, reserved_to, settled_to, forgotten_to)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        params![
            camera,
            epoch.cast_signed(),
            micros(now),
            reserved_to.cast_signed(),
            forgotten_to.cast_signed()
        ],
    )?;
    Ok(connection.last_insert_rowid())
}

pub(super) fn insert_event(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    let insert =
        "INSERT INTO event (time_us, kind, who, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
    let Event { time, kind, who, subject, detail } = event;
    connection.prepare_cached(insert)?.execute(params![
        micros(*time),
        kind,
        who,
        subject,
        detail
    ])?;
    Ok(())
}

/// Each refused frame of that numbering gets its evidence.
pub(super) fn archive(connection: &Connection, lane: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE lane SET archived = 1 WHERE id = ?1", [lane])?;
    Ok(())
}

/// A part that a PLC announced. Of a camera that this file does not know there is nothing to say.
pub(super) fn put_trigger(
    connection: &Connection,
    lanes: &[Lane],
    row: &TriggerRow,
) -> rusqlite::Result<()> {
    let (camera, epoch) = match row {
        TriggerRow::Ended(ended) => (&ended.camera, ended.epoch),
        TriggerRow::Acknowledged { camera, epoch, .. } => (camera, *epoch),
    };
    let lane = lanes.iter().find(|lane| lane.epoch == epoch && *lane.camera == *camera.0);
    let Some(Lane { row: lane, .. }) = lane else { return Ok(()) };
    match row {
        TriggerRow::Ended(ended) => {
            let Ended { trigger, part, hint, after_frame, frame, .. } = &**ended;
            let insert = "INSERT OR IGNORE INTO trigger_part
                (lane, number, part, hint, after_frame, frame, time_us, result, why, ended_us)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
            connection.prepare_cached(insert)?.execute(params![
                lane,
                trigger.cast_signed(),
                part,
                hint,
                after_frame.cast_signed(),
                frame.map(u64::cast_signed),
                micros(ended.time),
                ended.result,
                ended.why,
                micros(ended.ended)
            ])?;
        }
        TriggerRow::Acknowledged { trigger, time, .. } => {
            let update =
                "UPDATE trigger_part SET acknowledged_us = ?3 WHERE lane = ?1 AND number = ?2";
            let values = params![lane, trigger.cast_signed(), micros(*time)];
            connection.prepare_cached(update)?.execute(values)?;
        }
    }
    Ok(())
}

/// From now on it is kept how far the rows were sent; a file that keeps it already goes on where it stopped.
/// The numberings `ours` are this process's own, and always sent from their begin.
pub(super) fn begin_outbox(
    connection: &Connection,
    history: History,
    ours: &[i64],
    now: SystemTime,
) -> rusqlite::Result<()> {
    let last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'";
    // Marks outlive their neighbours: only behind the last hole is nothing missing.
    let whole = "SELECT coalesce(max(id) - 1, 0) FROM (
                     SELECT id FROM event e WHERE NOT EXISTS (SELECT 1 FROM event f WHERE f.id = e.id - 1)
                     UNION ALL SELECT seq + 1 FROM sqlite_sequence
                     WHERE name = 'event' AND NOT EXISTS (SELECT 1 FROM event f WHERE f.id = seq))";
    let event: i64 = match history {
        History::All => connection.query_row(whole, [], |row| row.get(0))?,
        History::New => connection.query_row(last, [], |row| row.get(0))?,
    };
    let begin = "INSERT OR IGNORE INTO outbox (id, begun_us, event) VALUES (1, ?1, ?2)";
    if connection.execute(begin, params![micros(now), event])? == 0 {
        return Ok(());
    }
    // What was forgotten before is no gap of what was to be sent.
    let skip = match history {
        History::All => "UPDATE lane SET sent_to = forgotten_to, parts_sent_to = forgotten_to",
        History::New => "UPDATE lane SET sent_to = settled_to, parts_sent_to = settled_to",
    };
    connection.execute(skip, [])?;
    let anew = "UPDATE lane SET sent_to = forgotten_to, parts_sent_to = forgotten_to WHERE id = ?1";
    ours.iter().try_for_each(|lane| connection.execute(anew, [lane]).map(drop))
}

/// Frames of a numbering up to the first of these numbers are acknowledged, and parts up to the second.
pub(super) fn mark_sent(
    connection: &Connection,
    camera: &str,
    epoch: u64,
    [frames, parts]: [u64; 2],
) -> rusqlite::Result<()> {
    let mark = "UPDATE lane SET sent_to = max(sent_to, ?3), parts_sent_to = max(parts_sent_to, ?4)
                WHERE camera = ?1 AND epoch = ?2";
    connection.prepare_cached(mark)?.execute(params![
        camera,
        epoch.cast_signed(),
        frames.cast_signed(),
        parts.cast_signed()
    ])?;
    Ok(())
}

/// Events up to this one are acknowledged, if they are those of this file, from which sending began then.
pub(super) fn mark_events_sent(
    connection: &Connection,
    begun_us: i64,
    event: i64,
) -> rusqlite::Result<()> {
    let mark = "UPDATE outbox SET event = max(event, ?2) WHERE begun_us = ?1";
    connection.prepare_cached(mark)?.execute([begun_us, event])?;
    Ok(())
}

pub(super) fn put_evidence(
    connection: &Connection,
    lanes: &[Lane],
    evidence: &Evidence,
    now: SystemTime,
) -> rusqlite::Result<()> {
    let Evidence { id, time, kind, state } = evidence;
    let ours = lanes.iter().find(|lane| lane.epoch == id.epoch && *lane.camera == *id.camera.0);
    let lane = match ours {
        Some(lane) => lane.row,
        None => lane_of_pictures(connection, id, *time)?,
    };
    let (bytes, resolution) = match state {
        State::Kept { bytes, resolution } => (Some(bytes.cast_signed()), Some(resolution.name())),
        State::Missing(_) | State::Removed(_) => (None, None),
    };
    let put = "INSERT OR REPLACE INTO evidence
                   (lane, number, time_us, decision, state, reason, resolution, bytes, changed_us)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(put)?.execute(params![
        lane,
        id.number.cast_signed(),
        micros(*time),
        kind.name(),
        state.name(),
        state.reason(),
        resolution,
        bytes,
        micros(now)
    ])?;
    if bytes.is_none() {
        // The frame itself may have been forgotten long before its pictures went, or was never known to this file.
        let forget = "DELETE FROM evidence WHERE lane = ?1 AND number = ?2
                      AND NOT EXISTS (SELECT 1 FROM verdict WHERE lane = ?1 AND number = ?2)";
        connection.prepare_cached(forget)?.execute(params![lane, id.number.cast_signed()])?;
    }
    Ok(())
}

/// The numbering that pictures of an earlier run are of. A ledger that began later gets it as one whose rows are no
/// longer kept.
fn lane_of_pictures(
    connection: &Connection,
    id: &FrameId,
    time: SystemTime,
) -> rusqlite::Result<i64> {
    let known = "SELECT id FROM lane WHERE camera = ?1 AND epoch = ?2";
    let known = connection
        .prepare_cached(known)?
        .query_row(params![&*id.camera.0, id.epoch.cast_signed()], |row| row.get(0))
        .optional()?;
    if let Some(lane) = known {
        return Ok(lane);
    }
    let number = id.number;
    let lane = insert_lane(connection, &id.camera.0, id.epoch, number, number, time)?;
    // It never had rows that could have been sent.
    connection.execute(
        "UPDATE lane SET closed_to = reserved_to, sent_to = reserved_to WHERE id = ?1",
        [lane],
    )?;
    Ok(lane)
}

/// Refused frames whose evidence has no row: that it is missing is one.
pub(super) fn miss(
    connection: &Connection,
    lane: i64,
    reason: Missing,
    now: SystemTime,
) -> rusqlite::Result<usize> {
    let missing =
        "INSERT OR IGNORE INTO evidence (lane, number, time_us, decision, state, reason, changed_us)
         SELECT v.lane, v.number, v.time_us, v.decision, 'missing', ?2, ?3
         FROM verdict v JOIN lane l ON l.id = v.lane
         WHERE v.lane = ?1 AND l.archived AND v.decision IN ('fail', 'unknown-product')";
    connection.prepare_cached(missing)?.execute(params![lane, reason.name(), micros(now)])
}

pub(super) fn insert_verdict(
    connection: &Connection,
    lane: i64,
    record: &Record,
    product: Option<i64>,
    model: i64,
) -> rusqlite::Result<()> {
    let Record { origin, verdict, .. } = record;
    let nearest = verdict.recognition.as_ref();
    let insert = "INSERT INTO verdict (lane, number, time_us, decision, model, product, distance, radius, score,
                      p_value, threshold, reject_rate, unrated, latency_us, inference_us, file, reason)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    connection.prepare_cached(insert)?.execute(params![
        lane,
        origin.frame.cast_signed(),
        micros(origin.time),
        verdict.decision.name(),
        model,
        product,
        nearest.map(|nearest| nearest.distance),
        nearest.and_then(|nearest| nearest.radius),
        verdict.score,
        verdict.p_value,
        verdict.threshold,
        verdict.reject_rate,
        verdict.unrated,
        whole_micros(origin.latency),
        origin.inference.map(whole_micros),
        origin.file.as_deref(),
        verdict.reason,
    ])?;
    Ok(())
}

pub(super) fn insert_part(
    connection: &Connection,
    lane: i64,
    record: &PartRecord,
    product: Option<i64>,
    model: i64,
) -> rusqlite::Result<()> {
    let part = &record.part;
    let Counts { passed, failed, unknown, faulted, missing } = part.counts;
    // A second row of the same frames would be a bug of ours: the first one stands, as it does for frames.
    let insert = "INSERT OR IGNORE INTO part (lane, first, last, part, parts, time_us, decision, product, model,
                      passed, failed, unknown, faulted, missing, reject_rate_bound, unrated, reason)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    connection.prepare_cached(insert)?.execute(params![
        lane,
        part.frames.start().cast_signed(),
        part.frames.end().cast_signed(),
        part.number.cast_signed(),
        part.parts.cast_signed(),
        micros(record.time),
        part.decision.name(),
        product,
        model,
        passed,
        failed,
        unknown,
        faulted,
        missing,
        part.reject_rate_bound,
        part.unrated,
        part.reason,
    ])?;
    Ok(())
}

pub(super) fn product_id(
    connection: &Connection,
    known: &mut BTreeMap<Arc<str>, i64>,
    name: &Arc<str>,
) -> rusqlite::Result<i64> {
    if let Some(id) = known.get(name) {
        return Ok(*id);
    }
    let insert =
        "INSERT INTO product (name) VALUES (?1) ON CONFLICT DO UPDATE SET name = name RETURNING id";
    let id = connection.query_row(insert, [&**name], |row| row.get(0))?;
    known.insert(Arc::clone(name), id);
    Ok(id)
}

pub(super) fn model_id(
    connection: &Connection,
    known: &mut BTreeMap<String, i64>,
    model: &ModelLabel,
) -> rusqlite::Result<i64> {
    let ModelLabel { name, version, sha256 } = model;
    let key = format!("{sha256} {name} {version}");
    if let Some(id) = known.get(&key) {
        return Ok(*id);
    }
    let insert = "INSERT INTO model (sha256, name, version) VALUES (?1, ?2, ?3)
                  ON CONFLICT DO UPDATE SET name = name RETURNING id";
    let id = connection.query_row(insert, params![sha256, name, version], |row| row.get(0))?;
    known.insert(key, id);
    Ok(id)
}
