//! What a new process wants to know of those before it: the shift's counts and which rejects were marked as false.
//!
//! Only reads. There is no index on time, for it would cost every verdict a page of writing; within a numbering times
//! rise with the numbers, so the first row of a shift is found by bisection, and only the shift's own rows are read.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    LedgerError,
    audit::Audit,
    book::{Doing as _, micros},
};
use crate::{
    frame::{CameraId, FrameId},
    production::{Line, Reject},
    summary::Counts,
};

/// The kind of event that marks a reject as a good part, or takes that back.
pub const FALSE_REJECT: &str = "false-reject";
/// Events of marks that are kept and read: more than anybody gives between two calibrations.
pub const MARKS_MAX: u32 = 20_000;

impl Audit {
    /// Verdicts on frames that were captured from `since` on, but for those of the numberings `except`.
    pub fn counts_since(
        &self,
        since: SystemTime,
        except: &[(CameraId, u64)],
    ) -> Result<BTreeMap<Line, Counts>, LedgerError> {
        let since = micros(since);
        let mut counts: BTreeMap<Line, Counts> = BTreeMap::new();
        let mut lanes =
            self.connection().prepare("SELECT id, camera, epoch FROM lane").doing("read")?;
        let lane = |row: &Row<'_>| -> rusqlite::Result<(i64, Arc<str>, i64)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        };
        let lanes: Vec<_> = lanes.query_map([], lane).and_then(Iterator::collect).doing("read")?;
        let query = "
            SELECT v.decision, CASE WHEN v.decision IN ('pass', 'fail') THEN p.name END, count(*)
            FROM verdict v LEFT JOIN product p ON p.id = v.product
            WHERE v.lane = ?1 AND v.number >= ?2 AND v.time_us >= ?3
            GROUP BY v.decision, v.product";
        let mut statement = self.connection().prepare(query).doing("read")?;
        for (id, camera, epoch) in lanes {
            let is_ours = |(other, number): &(CameraId, u64)| {
                *other.0 == *camera && *number == epoch.cast_unsigned()
            };
            if except.iter().any(is_ours) {
                continue;
            }
            let Some(first) = self.first_since(id, since)? else { continue };
            let mut rows = statement.query(params![id, first, since]).doing("read")?;
            while let Some(row) = rows.next().doing("read")? {
                let (decision, product, count): (String, Option<Arc<str>>, i64) =
                    row.try_into().doing("read")?;
                let counts = counts.entry((Arc::clone(&camera), product)).or_default();
                let count = count.cast_unsigned();
                match decision.as_str() {
                    "pass" => counts.pass += count,
                    "fail" => counts.fail += count,
                    "unknown-product" => counts.unknown_product += count,
                    // The schema knows no fifth.
                    _ => counts.fault += count,
                }
            }
        }
        Ok(counts)
    }

    /// The first number of a numbering whose frame is of that time or later, where its clock never went back.
    fn first_since(&self, lane: i64, since: i64) -> Result<Option<i64>, LedgerError> {
        let bounds = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let query = "SELECT min(number), max(number) FROM verdict WHERE lane = ?1";
        let bounds: (Option<i64>, Option<i64>) =
            self.connection().query_row(query, [lane], bounds).doing("read")?;
        let (Some(mut low), Some(mut high)) = bounds else { return Ok(None) };
        let query = "SELECT number, time_us FROM verdict WHERE lane = ?1 AND number >= ?2 ORDER BY number LIMIT 1";
        let mut statement = self.connection().prepare(query).doing("read")?;
        let mut at = |number: i64| -> Result<(i64, i64), LedgerError> {
            let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            statement.query_row(params![lane, number], row).doing("read")
        };
        if at(high)?.1 < since {
            return Ok(None);
        }
        // The row at or behind `high` is late enough; those before `low` are not.
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, time) = at(middle)?;
            if time >= since {
                high = middle;
            } else {
                low = found + 1;
            }
        }
        Ok(Some(high))
    }

    /// The reject of that name; `None` where there is no such frame, or it was not refused.
    pub fn reject(&self, id: &FrameId) -> Result<Option<Reject>, LedgerError> {
        let query = "
            SELECT v.time_us, v.decision, v.reason, p.name
            FROM verdict v JOIN lane l ON l.id = v.lane LEFT JOIN product p ON p.id = v.product
            WHERE l.camera = ?1 AND l.epoch = ?2 AND v.number = ?3 AND v.decision IN ('fail', 'unknown-product')";
        let reject = |row: &Row<'_>| {
            let (decision, reason): (String, Option<String>) = (row.get(1)?, row.get(2)?);
            let product: Option<Arc<str>> = row.get(3)?;
            let is_products = decision == "fail" || reason.is_none();
            let product = product.filter(|_| is_products);
            Ok(Reject { time: moment(row.get(0)?), product })
        };
        let key = params![&*id.camera.0, id.epoch.cast_signed(), id.number.cast_signed()];
        self.connection().query_row(query, key, reject).optional().doing("read")
    }

    /// The rejects that are marked as good parts, by what the events say last of each.
    pub fn false_rejects(&self) -> Result<Vec<(FrameId, Reject)>, LedgerError> {
        let query = "
            SELECT subject, detail, time_us FROM event WHERE kind = ?1 ORDER BY id DESC LIMIT ?2";
        let mut statement = self.connection().prepare(query).doing("read")?;
        let event = |row: &Row<'_>| -> rusqlite::Result<(String, String, i64)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        };
        let events = statement.query_map(params![FALSE_REJECT, MARKS_MAX], event);
        let events: Vec<_> = events.and_then(Iterator::collect).doing("read")?;
        let mut last: BTreeMap<FrameId, Option<Reject>> = BTreeMap::new();
        for (subject, detail, time_us) in events {
            let (Some(id), Some((product, is_false))) = (frame_of(&subject), read_detail(&detail))
            else {
                continue;
            };
            let reject = Reject { time: moment(time_us), product: product.map(Into::into) };
            last.entry(id).or_insert_with(|| is_false.then_some(reject));
        }
        let marked = last.into_iter().filter_map(|(id, reject)| Some((id, reject?)));
        marked
            // The row says when the frame was captured, for as long as it is kept.
            .map(|(id, noted)| {
                let reject = self.reject(&id)?.unwrap_or(noted);
                Ok((id, reject))
            })
            .collect()
    }
}

/// The frame that is the subject of an event, as it shows itself.
fn frame_of(subject: &str) -> Option<FrameId> {
    // From the end: whatever a camera may be called.
    let mut parts = subject.rsplitn(3, '/');
    let number = parts.next()?.parse().ok()?;
    let epoch = parts.next()?.parse().ok()?;
    Some(FrameId { camera: CameraId(parts.next()?.into()), epoch, number })
}

/// What the event says: whose good part, and from what to what.
pub fn detail_of(product: Option<&str>, is_false: bool) -> String {
    let change = if is_false { "no to yes" } else { "yes to no" };
    match product {
        Some(product) => format!("good part of {product}: {change}"),
        None => format!("good part: {change}"),
    }
}

fn read_detail(detail: &str) -> Option<(Option<&str>, bool)> {
    let (what, change) = detail.rsplit_once(": ")?;
    let product = what.strip_prefix("good part of ");
    Some((product, change == "no to yes"))
}

fn moment(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        ledger::book::{Batch, Book, Event, tests},
        record::Record,
        verdict::{Decision, Recognition, Verdict},
    };

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn record(number: u64, time: SystemTime, decision: Decision, product: &str) -> Box<Record> {
        let nearest = Recognition { product: product.into(), distance: 0.1, radius: Some(0.2) };
        let verdict = Verdict {
            decision,
            recognition: Some(nearest),
            score: Some(0.5),
            reason: None,
            ..Verdict::fault(0.01, "")
        };
        Box::new(Record { verdict, ..*tests::record(number, time) })
    }

    fn id(epoch: u64, number: u64) -> FrameId {
        FrameId { camera: CameraId("top".into()), epoch, number }
    }

    fn event(id: &FrameId, is_false: bool) -> Event {
        Event {
            time: at(9_000),
            kind: FALSE_REJECT,
            who: "ann".into(),
            subject: id.to_string(),
            detail: detail_of(Some("a: cap"), is_false),
        }
    }

    #[test]
    fn marks_are_what_the_events_say_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let (mut book, _) = Book::open(&path, at(1)).unwrap();
        let (lane, epoch) = book.open_lane("top", 10, at(1)).unwrap();
        let judged = |number, decision| (lane, record(number, at(number), decision, "a: cap"));
        let (kept, taken_back, gone) = (id(epoch, 1), id(epoch, 2), id(epoch + 9, 5));
        let stranger = Event { subject: "not/a/frame".into(), ..event(&kept, true) };
        let marks = [(&kept, true), (&taken_back, true), (&taken_back, false), (&gone, true)];
        let batch = Batch {
            judged: vec![judged(1, Decision::Fail), judged(2, Decision::UnknownProduct)],
            events: marks
                .map(|(id, is_false)| event(id, is_false))
                .into_iter()
                .chain([stranger])
                .collect(),
            ..Batch::default()
        };
        book.commit(&batch, at(9_000)).unwrap();
        let audit = Audit::open(&path).unwrap();
        let product: Option<Arc<str>> = Some("a: cap".into());
        // The row knows when it was captured; where it is gone, the event says when it was marked.
        let expected = [(kept.clone(), at(1)), (gone, at(9_000))]
            .map(|(id, time)| (id, Reject { time, product: product.clone() }));
        assert_eq!(audit.false_rejects().unwrap(), expected);
        assert_eq!(audit.reject(&kept).unwrap(), Some(expected[0].1.clone()));
        assert_eq!(audit.reject(&id(epoch, 3)).unwrap(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Numberings with gaps, as frames that were dropped leave them.
        #[test]
        fn a_shift_is_counted_as_by_looking_at_every_row(
            lanes in prop::collection::vec(prop::collection::vec((1_u64..4, 0_u64..3, 0_u8..3), 0..40), 1..4),
            since in 0_u64..130,
            ours in 0_usize..4,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ledger.db");
            let (mut book, _) = Book::open(&path, at(1)).unwrap();
            let mut expected: BTreeMap<Line, Counts> = BTreeMap::new();
            let mut except = Vec::new();
            let mut now = 0;
            for (index, frames) in lanes.iter().enumerate() {
                let (lane, epoch) = book.open_lane("top", 1_000, at(1)).unwrap();
                if index == ours {
                    except.push((CameraId("top".into()), epoch));
                }
                let (mut number, mut batch) = (0, Batch::default());
                for (step, seconds, what) in frames {
                    let dropped: RangeInclusive<u64> = number + 1..=number + step - 1;
                    if !dropped.is_empty() {
                        let why = crate::ledger::Unjudged::Unrecorded;
                        batch.add_run(lane, dropped, why);
                    }
                    number += step;
                    now += seconds;
                    let (decision, product) = match what {
                        0 => (Decision::Fail, Some("cap")),
                        1 => (Decision::Fail, Some("gear")),
                        _ => (Decision::UnknownProduct, None),
                    };
                    batch.judged.push((lane, record(number, at(now), decision, product.unwrap_or("cap"))));
                    if now >= since && index != ours {
                        let line = ("top".into(), product.map(Into::into));
                        let counts = expected.entry(line).or_default();
                        match what {
                            0 | 1 => counts.fail += 1,
                            _ => counts.unknown_product += 1,
                        }
                    }
                }
                book.commit(&batch, at(9_000)).unwrap();
            }
            let audit = Audit::open(&path).unwrap();
            prop_assert_eq!(audit.counts_since(at(since), &except).unwrap(), expected);
        }
    }
}
