//! The ledger's file against a map of numbers, with a crash anywhere; damage, strangers, age.

use proptest::prelude::*;

use super::*;
use crate::{
    frame::{CameraId, FrameId, Stamp},
    judge::part::{PartRule, Parts},
    ledger::{
        DropReason,
        audit::{Audit, Wanted},
        evidence::{Bound, Kind, Resolution, State},
    },
    record::{ModelLabel, Origin},
    verdict::{Decision, Verdict},
};

const EVER: SystemTime = UNIX_EPOCH;

fn seconds(after: u64) -> SystemTime {
    EVER + Duration::from_secs(after)
}

pub(in crate::ledger) fn record(number: u64, time: SystemTime) -> Box<Record> {
    Box::new(Record {
        origin: Origin {
            camera: "top".into(),
            epoch: 0,
            frame: number,
            file: None,
            plc_part: None,
            time,
            pts: None,
            latency: Duration::from_millis(12),
            inference: Some(Duration::from_millis(10)),
        },
        model: Arc::new(ModelLabel {
            name: "tiny".into(),
            version: "1".into(),
            sha256: "0".repeat(64),
        }),
        verdict: Verdict::fault(0.01, "decode"),
    })
}

/// What the rows say became of each number of the last numbering.
fn dispositions(path: &Path) -> BTreeMap<u64, String> {
    let audit = Audit::open(path).unwrap();
    assert_eq!(audit.damage().unwrap(), Vec::<String>::new());
    for lane in audit.lanes().unwrap() {
        assert!(lane.is_whole(), "{lane:?}");
    }
    let last = audit.lanes().unwrap().last().unwrap().epoch;
    let mut found = BTreeMap::new();
    audit
        .export(&Wanted::default(), |row| {
            if row.epoch.cast_unsigned() == last {
                for number in row.frame..=row.last {
                    let what = row.reason.clone().unwrap_or_default();
                    let what = format!("{} {what}", row.disposition);
                    assert_eq!(found.insert(number.cast_unsigned(), what), None, "{number}");
                }
            }
            Ok::<_, LedgerError>(())
        })
        .unwrap();
    found
}

#[derive(Clone, Debug)]
enum Action {
    /// So many numbers are given.
    Capture(u64),
    /// One of those in flight, by its place, comes to this end.
    End(usize, u8),
    Commit,
    /// The process is killed; what the file system has of the log ends so many bytes before its end,
    /// but never before the end of the commit before.
    Crash(u16),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        3 => (1_u64..4).prop_map(Action::Capture),
        6 => (0_usize..8, 0_u8..4).prop_map(|(place, end)| Action::End(place, end)),
        3 => Just(Action::Commit),
        1 => (0_u16..20_000).prop_map(Action::Crash),
    ];
    prop::collection::vec(action, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Against a map of numbers, with a crash anywhere, in the middle of a commit too.
    #[test]
    fn after_a_crash_every_number_has_one_end(actions in actions()) {
        let folder = tempfile::tempdir().unwrap();
        let mut generation = 0;
        let path = |generation: u32| folder.path().join(format!("{generation}.db"));
        let (mut book, _) = Book::open(&path(generation), seconds(1)).unwrap();
        let (mut lane, _) = book.open_lane("top", 2, seconds(1)).unwrap();
        // What is in the file for certain, what the last commit added, what waits for the next.
        let mut before: BTreeMap<u64, String> = BTreeMap::new();
        let mut last: BTreeMap<u64, String> = BTreeMap::new();
        let mut waiting: BTreeMap<u64, String> = BTreeMap::new();
        let (mut given, mut reserved, mut flying) = (0, [2, 2], Vec::new());
        let mut log_len = [0, 0];
        let mut batch = Batch::default();
        let wal = |generation| with_suffix(&path(generation), "-wal");
        let len = |generation| std::fs::metadata(wal(generation)).map_or(0, |file| file.len());
        log_len = [len(generation), log_len[0].max(len(generation))];
        for action in actions {
            match action {
                Action::Capture(more) => {
                    for _ in 0..more.min(reserved[1] - given) {
                        given += 1;
                        flying.push(given);
                    }
                }
                Action::End(place, end) => {
                    if flying.is_empty() { continue }
                    let number = flying.remove(place % flying.len());
                    let what = match end {
                        0 => Unjudged::Dropped(DropReason::QueueFull),
                        1 => Unjudged::Faulted(FaultReason::Abandoned),
                        _ => {
                            batch.judged.push((lane, record(number, seconds(2))));
                            waiting.insert(number, "judged decode".into());
                            continue;
                        }
                    };
                    batch.add_run(lane, number..=number, what);
                    waiting.insert(number, format!("{} {}", what.name(), what.reason()));
                }
                Action::Commit => {
                    reserved = [reserved[1], given + 4];
                    batch.reserved_to.insert(lane, given + 4);
                    log_len[0] = len(generation);
                    book.commit(&batch, seconds(3)).unwrap();
                    log_len[1] = len(generation);
                    batch = Batch::default();
                    before.append(&mut last);
                    last.append(&mut waiting);
                    let found = dispositions(&path(generation));
                    let expected: BTreeMap<_, _> = before.iter().chain(&last).map(|(n, what)| (*n, what.clone())).collect();
                    prop_assert_eq!(found, expected);
                }
                Action::Crash(cut) => {
                    let next = generation + 1;
                    std::fs::copy(path(generation), path(next)).unwrap();
                    std::fs::copy(wal(generation), wal(next)).unwrap();
                    let whole = len(generation);
                    let kept = whole.saturating_sub(u64::from(cut)).max(log_len[0].min(whole));
                    std::fs::OpenOptions::new().write(true).open(wal(next)).unwrap().set_len(kept).unwrap();
                    generation = next;
                    let (reopened, found) = Book::open(&path(generation), seconds(4)).unwrap();
                    prop_assert_eq!(found.moved_aside, None);
                    let rows = dispositions(&path(generation));
                    // The last commit is there whole or not at all.
                    let is_there = kept == whole || last.keys().any(|number| rows.get(number) == last.get(number));
                    let mut expected = before.clone();
                    if is_there { expected.extend(last.clone()) }
                    let crash = rows.iter().filter(|(_, what)| *what == "faulted crash");
                    for (number, _) in crash.clone() {
                        prop_assert!(!expected.contains_key(number), "{} has two ends", number);
                    }
                    let mut without = rows.clone();
                    without.retain(|_, what| what != "faulted crash");
                    prop_assert_eq!(without, expected);
                    // Every number that was given is there. A commit that is cut off never returned, and what
                    // it reserved was not given.
                    let certain = if kept == whole { given } else { given.min(reserved[0]) };
                    prop_assert!(
                        (1..=certain).all(|number| rows.contains_key(&number)),
                        "{} of {:?}",
                        certain,
                        rows
                    );
                    let most = *rows.keys().max().unwrap_or(&0);
                    prop_assert!(most <= reserved[1]);
                    book = reopened;
                    (lane, _) = book.open_lane("top", 2, seconds(5)).unwrap();
                    (given, reserved) = (0, [2, 2]);
                    (before, last, waiting) = Default::default();
                    flying.clear();
                    batch = Batch::default();
                    log_len = [len(generation); 2];
                }
            }
        }
    }
}

#[test]
fn an_epoch_is_above_all_that_the_camera_ever_had() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let epoch = |now: u64| {
        let (mut book, _) = Book::open(&path, seconds(now)).unwrap();
        let (_, epoch) = book.open_lane("top", 2, seconds(now)).unwrap();
        book.close_lanes(&[0], EVER).unwrap();
        epoch
    };
    assert_eq!(epoch(1_000), 1_000);
    // The clock went back by an hour, and stands still.
    assert_eq!([epoch(400), epoch(400)], [1_001, 1_002]);
    assert_eq!(epoch(5_000), 5_000);
}

#[test]
fn a_closed_ledger_has_nothing_to_recover() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut book, _) = Book::open(&path, seconds(1)).unwrap();
    let (lane, _) = book.open_lane("top", 10, seconds(1)).unwrap();
    let mut batch = Batch::default();
    batch.judged.push((lane, record(1, seconds(1))));
    book.commit(&batch, seconds(1)).unwrap();
    assert!(matches!(Book::open(&path, seconds(2)), Err(LedgerError::InUse)));
    book.close_lanes(&[1], EVER).unwrap();
    drop(book);
    let (_book, found) = Book::open(&path, seconds(2)).unwrap();
    assert_eq!(found, Found::default());
}

#[test]
fn a_number_with_two_ends_keeps_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut book, _) = Book::open(&path, seconds(1)).unwrap();
    let (lane, _) = book.open_lane("top", 10, seconds(1)).unwrap();
    let mut batch = Batch::default();
    batch.judged.push((lane, record(1, seconds(1))));
    batch.add_run(lane, 1..=1, Unjudged::Dropped(DropReason::QueueFull));
    book.commit(&batch, seconds(1)).unwrap();
    assert_eq!(dispositions(&path), [(1, "judged decode".into())].into());
}

#[test]
fn a_damaged_file_is_moved_aside_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    std::fs::write(&path, b"no database at all, but long enough to be looked at".repeat(50))
        .unwrap();
    let (mut book, found) = Book::open(&path, seconds(1)).unwrap();
    let aside = found.moved_aside.unwrap();
    assert!(std::fs::read(&aside).unwrap().starts_with(b"no database"));
    let (lane, _) = book.open_lane("top", 10, seconds(1)).unwrap();
    let mut batch = Batch::default();
    batch.judged.push((lane, record(1, seconds(1))));
    batch.judged.push((lane, record(3, seconds(1))));
    book.commit(&batch, seconds(1)).unwrap();
    // While it runs: what was settled is forgotten, an island is recorded as lost, the rest goes on.
    let second = book.replace_damaged(seconds(1)).unwrap();
    assert_ne!(second, aside);
    let mut batch = Batch::default();
    batch.judged.push((lane, record(2, seconds(1))));
    book.commit(&batch, seconds(1)).unwrap();
    let unrecorded = format!("unrecorded {}", Unjudged::Unrecorded.reason());
    assert_eq!(dispositions(&path), [(2, "judged decode".into()), (3, unrecorded)].into());
    assert_eq!(book.settled_to(lane), 3);
}

#[test]
fn what_is_no_ledger_or_a_later_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(Book::open(&path, seconds(1)), Err(LedgerError::Foreign)));
    let path = folder.path().join("later.db");
    drop(Book::open(&path, seconds(1)).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Book::open(&path, seconds(1)).unwrap_err().to_string();
    assert_eq!(error, "it has version 99, this sightline knows up to 5: use the newer sightline");
}

#[test]
fn old_rows_go_and_the_account_still_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut book, _) = Book::open(&path, seconds(1)).unwrap();
    let (lane, _) = book.open_lane("top", 100, seconds(1)).unwrap();
    let mut batch = Batch::default();
    for number in 1..=5 {
        batch.judged.push((lane, record(number, seconds(10 * number))));
    }
    batch.add_run(lane, 6..=8, Unjudged::Dropped(DropReason::QueueFull));
    book.commit(&batch, seconds(60)).unwrap();
    let keep =
        |age_secs, bytes_max| Retention { age_max: Duration::from_secs(age_secs), bytes_max };
    assert!(!book.forget(&keep(60, u64::MAX), seconds(60)).unwrap());
    // Older than the 30th second: the first two.
    assert!(book.forget(&keep(30, u64::MAX), seconds(60)).unwrap());
    assert_eq!(dispositions(&path).keys().copied().collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8]);
    // Too big: all but the run that may still grow.
    assert!(book.forget(&keep(1_000, 0), seconds(60)).unwrap());
    assert_eq!(dispositions(&path).keys().copied().collect::<Vec<_>>(), [6, 7, 8]);
    book.close_lanes(&[8], EVER).unwrap();
    assert!(book.forget(&keep(1_000, 0), seconds(60)).unwrap());
    assert!(!book.forget(&keep(1_000, 0), seconds(60)).unwrap());
    assert!(dispositions(&path).is_empty());
}

#[test]
fn of_two_cameras_that_run_the_oldest_rows_go_whichever_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut book, _) = Book::open(&path, seconds(1)).unwrap();
    let (top, _) = book.open_lane("top", 100, seconds(1)).unwrap();
    let (side, _) = book.open_lane("side", 100, seconds(1)).unwrap();
    let hours = |hours: u64| seconds(3_600 * hours);
    let mut batch = Batch::default();
    for number in 1..=6 {
        // The camera that was opened first has the younger rows.
        batch.judged.push((top, record(number, hours(100 + 2 * number))));
        batch.judged.push((side, record(number, hours(99 + 2 * number))));
    }
    book.commit(&batch, hours(120)).unwrap();
    let forgotten = |book: &Book| -> Vec<i64> {
        let select = "SELECT forgotten_to FROM lane ORDER BY id";
        let mut rows = book.connection.as_ref().unwrap().prepare(select).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    // By age: older than hour 106 are two of the one and three of the other.
    let old = Retention { age_max: Duration::from_hours(14), bytes_max: u64::MAX };
    while book.forget(&old, hours(120)).unwrap() {}
    assert_eq!(forgotten(&book), [2, 3]);
    // By size: always the oldest there is, and the last row of each stays while it goes on.
    let big = Retention { age_max: Duration::MAX, bytes_max: 0 };
    let mut steps = Vec::new();
    while book.forget(&big, hours(120)).unwrap() {
        steps.push(forgotten(&book));
    }
    assert_eq!(steps, [[3, 3], [3, 4], [4, 4], [4, 5], [5, 5]]);
    for lane in Audit::open(&path).unwrap().lanes().unwrap() {
        assert!(lane.is_whole(), "{lane:?}");
    }
}

#[test]
fn a_damaged_file_that_cannot_be_replaced_at_once_is_replaced_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut book, _) = Book::open(&path, seconds(1)).unwrap();
    let (lane, epoch) = book.open_lane("top", 10, seconds(1)).unwrap();
    let batch =
        |number| Batch { judged: vec![(lane, record(number, seconds(1)))], ..Batch::default() };
    book.commit(&batch(1), seconds(1)).unwrap();
    let blocked = |book: &mut Book| {
        let error = book.replace_damaged(seconds(1)).unwrap_err();
        // Whoever commits hears that a replacement is due, again and again.
        assert!(book.commit(&batch(2), seconds(1)).unwrap_err().is_damage());
        error
    };
    // No name is left for the damaged file; then it has one, and no new file can be begun in its place.
    let names: Vec<_> = (0..100)
        .map(|again| if again == 0 { String::new() } else { format!("-{again}") })
        .map(|again| with_suffix(&path, &format!(".damaged-1970-01-01T000001Z{again}")))
        .collect();
    for name in &names {
        std::fs::write(name, "").unwrap();
    }
    assert!(matches!(blocked(&mut book), LedgerError::Aside));
    std::fs::remove_file(&names[7]).unwrap();
    let journal = with_suffix(&path, "-journal");
    std::fs::create_dir(&journal).unwrap();
    assert!(matches!(blocked(&mut book), LedgerError::Sqlite { .. }));
    assert!(matches!(blocked(&mut book), LedgerError::Sqlite { .. }));
    std::fs::remove_dir(&journal).unwrap();
    assert_eq!(book.replace_damaged(seconds(1)).unwrap(), names[7]);
    book.commit(&batch(2), seconds(1)).unwrap();
    assert_eq!(dispositions(&path), [(2, "judged decode".into())].into());
    // The damaged one lies whole where it was moved to, and was moved once.
    assert_eq!(Audit::open(&names[7]).unwrap().lanes().unwrap()[0].epoch, epoch);
    assert!(
        names
            .iter()
            .filter(|name| **name != names[7])
            .all(|name| { std::fs::metadata(name).unwrap().len() == 0 })
    );
}

#[test]
fn whoever_reads_slowly_does_not_keep_the_log_from_being_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut book, _) = Book::open(&path, seconds(1)).unwrap();
    let lanes = ["top", "side"].map(|name| book.open_lane(name, 9_000, seconds(1)).unwrap().0);
    let frames = 2_500;
    let mut batch = Batch::default();
    for lane in lanes {
        for number in 1..=frames {
            match number % 10 {
                0 => batch.add_run(lane, number..=number, Unjudged::Dropped(DropReason::QueueFull)),
                _ => batch.judged.push((lane, record(number, seconds(number)))),
            }
        }
    }
    book.commit(&batch, seconds(2)).unwrap();
    let (mut seen, mut next) = (Vec::new(), frames);
    let export = |wanted: &Wanted, each: &mut dyn FnMut(String, u64)| {
        let audit = Audit::open(&path).unwrap();
        let exported = audit.export(wanted, |row| {
            each(row.camera, row.frame.cast_unsigned());
            Ok::<_, LedgerError>(())
        });
        exported.unwrap();
    };
    export(&Wanted::default(), &mut |camera, number| {
        if number.is_multiple_of(1_200) {
            // In the middle of it: more is written, and the log begins anew.
            next += 1;
            for lane in lanes {
                batch = Batch::default();
                batch.judged.push((lane, record(next, seconds(next))));
                book.commit(&batch, seconds(2)).unwrap();
            }
            let empty = "PRAGMA wal_checkpoint(TRUNCATE)";
            let is_busy: bool =
                book.connection.as_ref().unwrap().query_row(empty, [], |row| row.get(0)).unwrap();
            assert!(!is_busy, "somebody reads");
        }
        seen.push((camera, number));
    });
    let mut expected = Vec::new();
    for camera in ["top", "side"] {
        expected.extend((1..=frames).map(|number| (camera.to_owned(), number)));
    }
    assert_eq!(seen, expected);
    let wanted = Wanted {
        camera: Some("side".into()),
        since: Some(seconds(1_995)),
        until: Some(seconds(2_002)),
    };
    let mut some = Vec::new();
    export(&wanted, &mut |camera, number| some.push((camera, number)));
    // Runs are of the time they were recorded at.
    let expected: Vec<_> =
        [1_995, 1_996, 1_997, 1_998, 1_999, 2_001].map(|number| ("side".into(), number)).into();
    assert_eq!(some, expected);
}

#[test]
fn a_file_of_the_first_version_gets_what_came_later_and_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let first = Connection::open(&path).unwrap();
    first.execute_batch(MIGRATIONS[0]).unwrap();
    first.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    first.pragma_update(None, "user_version", 1).unwrap();
    let lane = "INSERT INTO lane (camera, epoch, opened_us, reserved_to, settled_to, closed_to)
                VALUES ('top', 5, 0, 0, 0, 0)";
    first.execute_batch(lane).unwrap();
    drop(first);
    // It can be read as it is, too.
    let mut parts_before = 0;
    let count = |_part| {
        parts_before += 1;
        Ok::<_, LedgerError>(())
    };
    Audit::open(&path).unwrap().parts(&Wanted::default(), count).unwrap();
    assert_eq!(parts_before, 0);
    let (mut book, found) = Book::open(&path, seconds(9)).unwrap();
    assert_eq!(found, Found::default());
    let (lane, epoch) = book.open_lane("top", 10, seconds(1)).unwrap();
    assert_eq!(epoch, 6);
    let mut batch = Batch::default();
    for number in 1..=3 {
        batch.judged.push((lane, record(number, seconds(number))));
    }
    batch.parts.push((lane, part()));
    // A bug of ours would be no reason to lose the batch.
    batch.parts.push((lane, part()));
    book.commit(&batch, seconds(4)).unwrap();
    let parts = |book: &Book| -> Vec<(i64, i64, String)> {
        let select = "SELECT first, last, decision FROM part";
        let mut rows = book.connection.as_ref().unwrap().prepare(select).unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(parts(&book), [(1, 3, "fault".into())]);
    // A part goes with the last of its frames.
    let keep = |secs| Retention { age_max: Duration::from_secs(secs), bytes_max: u64::MAX };
    book.close_lanes(&[3], EVER).unwrap();
    assert!(book.forget(&keep(1), seconds(3)).unwrap());
    assert_eq!(parts(&book).len(), 1);
    assert!(book.forget(&keep(1), seconds(30)).unwrap());
    assert_eq!(parts(&book), []);
}

fn part() -> Box<PartRecord> {
    let rule = PartRule { frames: 3, fails: 1, within: Duration::from_secs(1) };
    let mut parts = Parts::new(rule);
    let stamp = Stamp { monotonic: Duration::ZERO, wall: EVER, pts: None };
    // The first two were dropped.
    let part = parts.frame(3, &stamp, &Verdict::fault(0.01, "decode")).remove(0);
    let Record { model, .. } = *record(3, EVER);
    Box::new(PartRecord { camera: "top".into(), epoch: 0, time: EVER, model, part })
}

fn refused(number: u64, time: SystemTime) -> Box<Record> {
    let mut record = record(number, time);
    record.verdict.decision = Decision::Fail;
    record
}

fn evidence(epoch: u64, number: u64, state: State) -> Evidence {
    let id = FrameId { camera: CameraId("top".into()), epoch, number };
    Evidence { id, time: seconds(1), kind: Kind::Fail, state }
}

/// State and reason of each frame's pictures.
fn pictures(path: &Path) -> Vec<(i64, String)> {
    let connection = Connection::open(path).unwrap();
    let query =
        "SELECT number, state || coalesce(': ' || reason, '') FROM evidence ORDER BY lane, number";
    let mut statement = connection.prepare(query).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

const KEPT: State = State::Kept { bytes: 4096, resolution: Resolution::Full };

#[test]
fn each_refused_frame_of_an_archived_numbering_has_its_evidence_or_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    // As it ends: by closing, or by a crash.
    for (round, expected) in [(1, "missing: unrecorded"), (2, "missing: crash")] {
        let (mut book, _) = Book::open(&path, seconds(round)).unwrap();
        let (lane, epoch) = book.open_lane("top", 9, seconds(round)).unwrap();
        let mut batch = Batch { begins_archive: true, ..Batch::default() };
        for number in 1..=3 {
            batch.judged.push((lane, refused(number, seconds(1))));
        }
        batch.judged.push((lane, record(4, seconds(1))));
        batch.evidence.push(evidence(epoch, 1, KEPT));
        batch.evidence.push(evidence(epoch, 2, State::Missing(Missing::Busy)));
        book.commit(&batch, seconds(1)).unwrap();
        if round == 1 {
            book.close_lanes(&[4], seconds(1)).unwrap();
        }
        drop(book);
        if round == 1 {
            // A run without an archive owes no pictures.
            let (mut book, _) = Book::open(&path, seconds(round)).unwrap();
            let (lane, _) = book.open_lane("top", 9, seconds(round)).unwrap();
            let batch = Batch { judged: vec![(lane, refused(1, seconds(1)))], ..Batch::default() };
            book.commit(&batch, seconds(1)).unwrap();
            book.close_lanes(&[1], seconds(1)).unwrap();
        }
        drop(Book::open(&path, seconds(9)));
        let audit = Audit::open(&path).unwrap();
        assert_eq!(audit.refused_without_evidence().unwrap(), 0);
        let mut of_three = pictures(&path).into_iter().filter(|(number, _)| *number == 3);
        assert_eq!(of_three.next_back().unwrap().1, expected);
    }
    assert_eq!(pictures(&path).len(), 6);
    let audit = Audit::open(&path).unwrap();
    let mut kept = Vec::new();
    let each = |row: crate::ledger::evidence::KeptRow| {
        kept.push((row.id.number, row.bytes));
        Ok::<_, LedgerError>(())
    };
    audit.kept(&Wanted::default(), each).unwrap();
    assert_eq!(kept, [(1, 4096), (1, 4096)]);
}

#[test]
fn pictures_outlive_their_frames_row_and_what_is_said_of_them_goes_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut book, _) = Book::open(&path, seconds(1)).unwrap();
    let (lane, epoch) = book.open_lane("top", 9, seconds(1)).unwrap();
    let mut batch = Batch { begins_archive: true, ..Batch::default() };
    for number in 1..=3 {
        batch.judged.push((lane, refused(number, seconds(1))));
    }
    batch.evidence.push(evidence(epoch, 1, KEPT));
    batch.evidence.push(evidence(epoch, 2, State::Missing(Missing::Busy)));
    batch.evidence.push(evidence(epoch, 3, State::Removed(Bound::Size)));
    book.commit(&batch, seconds(1)).unwrap();
    book.close_lanes(&[3], seconds(1)).unwrap();
    let retention = Retention { age_max: Duration::from_secs(10), bytes_max: u64::MAX };
    assert!(book.forget(&retention, seconds(100)).unwrap());
    assert_eq!(pictures(&path), [(1, "kept".into())]);
    // Pictures of a numbering that this ledger never had are told as well.
    let gone = evidence(epoch, 1, State::Removed(Bound::Age));
    let strange = evidence(7, 5, KEPT);
    let batch = Batch { evidence: vec![gone, strange], ..Batch::default() };
    book.commit(&batch, seconds(100)).unwrap();
    assert_eq!(pictures(&path), [(5, "kept".into())]);
    let audit = Audit::open(&path).unwrap();
    for lane in audit.lanes().unwrap() {
        assert!(lane.is_whole(), "{lane:?}");
    }
}
