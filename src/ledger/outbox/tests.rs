//! The outbox against what a list of rows would give, with crashes of whoever sends; what is held back; gaps.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::ledger::{
    DropReason, Unjudged,
    book::{Batch, Book, Event, Retention, tests::record},
};

const PAUSED: Unjudged = Unjudged::Dropped(DropReason::Paused);

fn seconds(after: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(after)
}

fn begin(path: &Path, history: History) -> (Book, usize) {
    let (mut book, _) = Book::open(path, seconds(1)).unwrap();
    let (lane, _) = book.open_lane("top", 2, seconds(1)).unwrap();
    let batch = Batch { begins_outbox: Some(history), ..Batch::default() };
    book.commit(&batch, seconds(1)).unwrap();
    (book, lane)
}

fn judge(book: &mut Book, lane: usize, numbers: std::ops::RangeInclusive<u64>) {
    let judged = numbers.map(|number| (lane, record(number, seconds(number)))).collect();
    book.commit(&Batch { judged, ..Batch::default() }, seconds(1)).unwrap();
}

fn drop_run(book: &mut Book, lane: usize, numbers: std::ops::RangeInclusive<u64>) {
    let unjudged = vec![(lane, numbers, PAUSED)];
    book.commit(&Batch { unjudged, ..Batch::default() }, seconds(1)).unwrap();
}

/// First and last of each row that is given, a word for its kind before it.
fn given(outbox: &mut Outbox) -> Vec<String> {
    let items = outbox.next(100).unwrap();
    items
        .iter()
        .map(|item| match &item.row {
            Row::Verdict(row) => format!("verdict {}", row.number),
            Row::Unjudged(row) => format!("run {} {}", row.first, row.last),
            Row::Part(row) => format!("part {} {}", row.first, row.last),
            Row::Gap(row) => format!("gap {} {}", row.first, row.last),
            Row::Event(row) => format!("event {}", row.kind),
        })
        .collect()
}

fn acknowledge(outbox: &mut Outbox, to: u64) {
    let (camera, epoch) = ("top".into(), outbox.read.lanes.keys().next().unwrap().1);
    outbox.acknowledge(&Mark::Frames { camera, epoch, to });
}

#[test]
fn a_run_is_given_when_it_cannot_grow_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut book, lane) = begin(&path, History::New);
    let mut outbox = Outbox::new(path, false);
    judge(&mut book, lane, 1..=2);
    drop_run(&mut book, lane, 3..=4);
    assert_eq!(given(&mut outbox), ["verdict 1", "verdict 2"]);
    drop_run(&mut book, lane, 5..=9);
    assert_eq!(given(&mut outbox), Vec::<String>::new());
    judge(&mut book, lane, 10..=10);
    assert_eq!(given(&mut outbox), ["run 3 9", "verdict 10"]);
    // What was not acknowledged comes again, and the last run with the numbering's end.
    drop_run(&mut book, lane, 11..=12);
    acknowledge(&mut outbox, 9);
    outbox.rewind();
    assert_eq!(given(&mut outbox), ["verdict 10"]);
    assert_eq!(outbox.backlog().unwrap(), Backlog { frames: 1, oldest: Some(seconds(10)) });
    book.close_lanes(&[12], seconds(1)).unwrap();
    assert_eq!(given(&mut outbox), ["run 11 12"]);
}

#[test]
fn what_went_before_it_was_sent_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut book, lane) = begin(&path, History::New);
    let mut outbox = Outbox::new(path, true);
    judge(&mut book, lane, 1..=20);
    assert_eq!(given(&mut outbox).len(), 20);
    acknowledge(&mut outbox, 3);
    outbox.rewind();
    let event = |kind| Event::ours(seconds(1), kind, "line", String::new());
    let events = vec![event("one"), event("two")];
    book.commit(&Batch { events, ..Batch::default() }, seconds(1)).unwrap();
    // Everything older than ten seconds goes.
    let retention = Retention { age_max: Duration::from_secs(10), bytes_max: u64::MAX };
    while book.forget(&retention, seconds(18)).unwrap() {}
    let after: Vec<_> = (8..=20).map(|number| format!("verdict {number}")).collect();
    let mut told = given(&mut outbox);
    assert_eq!(told.remove(0), "gap 4 7");
    assert_eq!(told, after);
    // Events as well, as soon as a later one shows it.
    book.commit(&Batch { events: vec![event("three")], ..Batch::default() }, seconds(18)).unwrap();
    assert_eq!(given(&mut outbox), ["gap 1 2", "event three"]);
}

#[test]
fn sending_begins_with_the_process_or_with_all_that_is_kept() {
    for (history, expected) in
        [(History::New, vec!["verdict 1"]), (History::All, vec!["verdict 1", "verdict 2"])]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let (mut book, _) = Book::open(&path, seconds(1)).unwrap();
        let (lane, _) = book.open_lane("top", 2, seconds(1)).unwrap();
        judge(&mut book, lane, 1..=2);
        book.close_lanes(&[2], seconds(1)).unwrap();
        drop(book);
        let mut outbox = Outbox::new(path.clone(), false);
        assert_eq!(given(&mut outbox), Vec::<String>::new(), "nothing was begun");
        let (mut book, lane) = begin(&path, history);
        judge(&mut book, lane, 1..=1);
        // An old numbering comes before a new one.
        assert_eq!(given(&mut outbox), expected);
    }
}

#[test]
fn a_damaged_ledger_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut book, lane) = begin(&path, History::New);
    let mut outbox = Outbox::new(path, false);
    judge(&mut book, lane, 1..=5);
    assert_eq!(given(&mut outbox).len(), 5);
    let epoch = outbox.read.lanes.keys().next().unwrap().1;
    let lanes = [(("top".into(), epoch), [3, 0])].into();
    book.commit(
        &Batch { sent: Marks { lanes, ..Marks::default() }, ..Batch::default() },
        seconds(1),
    )
    .unwrap();
    acknowledge(&mut outbox, 3);
    outbox.rewind();
    book.replace_damaged(seconds(2)).unwrap();
    judge(&mut book, lane, 6..=6);
    // Four and five lie in the damaged file.
    assert_eq!(given(&mut outbox), ["gap 4 5", "verdict 6"]);
}

fn tell(book: &mut Book, kinds: &[&'static str]) {
    let event = |kind: &&'static str| Event::ours(seconds(1), kind, "line", String::new());
    let events = kinds.iter().map(event).collect();
    book.commit(&Batch { events, ..Batch::default() }, seconds(1)).unwrap();
}

#[test]
fn a_new_file_s_events_are_all_given_whatever_of_the_old_one_is_acknowledged_late() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut book, _) = begin(&path, History::New);
    let mut outbox = Outbox::new(path, true);
    tell(&mut book, &["one", "two", "three"]);
    let items = outbox.next(100).unwrap();
    let mark = |index: usize| -> &Mark { &items[index].mark };
    let put = |book: &mut Book, mark: &Mark| {
        let mut sent = Marks::default();
        sent.reach(mark);
        book.commit(&Batch { sent, ..Batch::default() }, seconds(1)).unwrap();
    };
    outbox.acknowledge(mark(0));
    put(&mut book, mark(0));
    book.replace_damaged(seconds(2)).unwrap();
    // These were on their way when the file was replaced.
    outbox.acknowledge(mark(2));
    put(&mut book, mark(2));
    outbox.rewind();
    tell(&mut book, &["four", "five"]);
    assert_eq!(given(&mut outbox), ["event four", "event five"]);
    // And those of the new file are marked in it.
    outbox.rewind();
    let items = outbox.next(100).unwrap();
    put(&mut book, &items[0].mark);
    let mut another = Outbox::new(folder.path().join("ledger.db"), true);
    assert_eq!(given(&mut another), ["event five"]);
}

#[test]
fn what_went_before_sending_began_is_no_gap() {
    for (gone, expected) in [
        ("id <= 2", vec!["event three", "event four"]),
        // A mark that was kept among them.
        ("id IN (1, 3)", vec!["event four"]),
        ("id <= 4", vec![]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let (mut book, _) = Book::open(&path, seconds(1)).unwrap();
        tell(&mut book, &["one", "two", "three", "four"]);
        let connection = Connection::open(&path).unwrap();
        connection.execute(&format!("DELETE FROM event WHERE {gone}"), []).unwrap();
        drop(connection);
        let begins_outbox = Some(History::All);
        book.commit(&Batch { begins_outbox, ..Batch::default() }, seconds(1)).unwrap();
        tell(&mut book, &["five"]);
        let expected: Vec<_> = expected.into_iter().chain(["event five"]).collect();
        assert_eq!(given(&mut Outbox::new(path, true)), expected, "{gone}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Rows of any kind, read in any portions, with senders that forget what was not acknowledged: each number comes,
    /// in order, and again only from where it was acknowledged.
    #[test]
    fn every_number_comes_in_order(steps in prop::collection::vec((0_u8..5, 1_u64..5), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let (mut book, lane) = begin(&path, History::New);
        let mut outbox = Outbox::new(path, false);
        let (mut last, mut came, mut acknowledged) = (0, 0, 0);
        for (step, many) in steps {
            match step {
                0 => {
                    judge(&mut book, lane, last + 1..=last + many);
                    last += many;
                }
                1 => {
                    drop_run(&mut book, lane, last + 1..=last + many);
                    last += many;
                }
                2 => for item in outbox.next(usize::try_from(many).unwrap()).unwrap() {
                    let Mark::Frames { to, .. } = &item.mark else { continue };
                    let first = match &item.row {
                        Row::Unjudged(row) => row.first,
                        Row::Verdict(_) | Row::Part(_) | Row::Gap(_) | Row::Event(_) => *to,
                    };
                    prop_assert_eq!(first, came + 1);
                    came = *to;
                },
                3 if came > acknowledged => {
                    acknowledge(&mut outbox, came);
                    acknowledged = came;
                }
                _ => {
                    outbox.rewind();
                    came = acknowledged;
                }
            }
        }
        book.close_lanes(&[last], seconds(1)).unwrap();
        while let Some(item) = outbox.next(3).unwrap().pop_back() {
            let Mark::Frames { to, .. } = item.mark else { continue };
            came = to;
        }
        prop_assert_eq!(came, last);
    }
}
