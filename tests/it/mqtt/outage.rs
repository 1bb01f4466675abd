//! Hours without a broker, restarts of either side and `kill -9` lose nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use super::{Broker, Consumer, PATIENCE, ledger, line_to, run_until, signal, until, verdicts};
use crate::{service::Running, support::Scratch};

/// Verdicts that are made while there is no broker; `make soak` makes 10,000.
fn outage() -> usize {
    std::env::var("SIGHTLINE_OUTAGE_VERDICTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2_000)
}

fn start(scratch: &Scratch) -> Child {
    scratch
        .command(&["run", "line.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What came is what the ledger has, in order for each camera; how many came twice.
fn check_whole(scratch: &Scratch, consumer: &Consumer) -> usize {
    let rows = ledger(scratch);
    let mut last: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut seen: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
    let mut twice = 0;
    for got in consumer.got() {
        let what = got.what().to_owned();
        if !["verdict", "unjudged"].contains(&&*what) {
            continue;
        }
        let body = got.json();
        let id = body["id"].as_str().unwrap().to_owned();
        if let Some(before) = seen.get(&(what.clone(), id.clone())) {
            // The same again, and nothing else: removable by its identifier.
            assert_eq!(*before, got.payload, "{id}");
            twice += 1;
            continue;
        }
        let number = body["frame"].as_u64().or(body["first_frame"].as_u64()).unwrap();
        let at = (body["epoch"].as_u64().unwrap(), number);
        let camera = body["camera"].as_str().unwrap().to_owned();
        let before = last.insert(camera, at).unwrap_or_default();
        assert!(before < at, "{id} came after {before:?}");
        match &*what {
            "verdict" => assert_eq!(body["decision"], rows.verdicts[&id].as_str()),
            _ => assert_eq!(body["last_frame"].as_u64(), Some(rows.runs[&id])),
        }
        seen.insert((what, id), got.payload);
    }
    let came: BTreeSet<_> = seen.keys().cloned().collect();
    let verdicts = rows.verdicts.into_keys().map(|id| ("verdict".to_owned(), id));
    let runs = rows.runs.into_keys().map(|id| ("unjudged".to_owned(), id));
    assert_eq!(came, verdicts.chain(runs).collect());
    twice
}

/// Verdicts and runs that came, each once, looked at one after the other.
#[derive(Default)]
struct Arrived {
    looked: usize,
    ids: BTreeSet<(String, String)>,
}

impl Arrived {
    /// How many have come by now.
    fn among(&mut self, consumer: &Consumer) -> usize {
        let more: Vec<_> = consumer.got.lock().unwrap()[self.looked..].to_vec();
        self.looked += more.len();
        let rows = more.iter().filter(|got| ["verdict", "unjudged"].contains(&got.what()));
        self.ids.extend(
            rows.map(|got| (got.what().to_owned(), got.json()["id"].as_str().unwrap().to_owned())),
        );
        self.ids.len()
    }
}

#[test]
fn verdicts_of_an_outage_arrive_each_and_in_order_though_the_inspector_is_killed_in_between() {
    let scratch = Scratch::new();
    let mut broker = Broker::open(&scratch);
    let consumer = Consumer::of(&broker);
    line_to(&scratch, -1, &broker, "");
    // Some arrive; then the broker goes, with messages on their way.
    let mut first = start(&scratch);
    until("verdicts arrive", || consumer.count("verdict") > 50);
    broker.stop();
    let before = verdicts(&scratch);
    until("half are made without a broker", || verdicts(&scratch) >= before + outage() / 2);
    first.kill().unwrap();
    first.wait().unwrap();
    let mut second = start(&scratch);
    until("the rest is made", || verdicts(&scratch) >= before + outage());
    broker.start();
    until("all of that arrives", || consumer.count("verdict") > before + outage());
    // And the broker once more, while it is being told.
    broker.stop();
    broker.start();
    signal(&second, "-TERM");
    assert!(second.wait().unwrap().success());
    // What the drain had no time for comes with the starts that follow, each of which judges one more of each camera.
    line_to(&scratch, 1, &broker, "");
    let mut arrived = Arrived::default();
    let began = Instant::now();
    let many = loop {
        assert!(began.elapsed() < PATIENCE, "everything has arrived");
        assert!(scratch.run(&["run", "line.toml"]).status.success());
        let rows = ledger(&scratch);
        let many = rows.verdicts.len() + rows.runs.len();
        // The broker has it; the consumer has it a moment later.
        let moment = Instant::now();
        while arrived.among(&consumer) < many && moment.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(50));
        }
        if arrived.among(&consumer) >= many {
            break many;
        }
    };
    let twice = check_whole(&scratch, &consumer);
    eprintln!("{many} rows, {twice} came twice");
    assert!(many > outage());
    let telling = consumer.bodies("event");
    assert!(telling.iter().any(|body| body["kind"] == "recovered"), "{telling:?}");
}

#[test]
fn a_broker_that_stands_still_never_holds_the_line() {
    let scratch = Scratch::new();
    let broker = Broker::open(&scratch);
    line_to(&scratch, -1, &broker, "keep_alive_secs = 5");
    let running = Running::start(&scratch, &[]);
    running.until("the broker is told", |running| {
        running.metric("sightline_mqtt_acknowledged_total") > 20
    });
    broker.signal("-STOP");
    let captured =
        |running: &Running| running.metric("sightline_frames_judged_total{camera=\"top\"}");
    let before = captured(&running);
    running.until("it goes on", |running| captured(running) > before + 500);
    running.until("people are told", |running| {
        running.get("/api/v1/state").1.contains("\"id\":\"broker\"")
    });
    let state: serde_json::Value = serde_json::from_str(&running.get("/api/v1/state").1).unwrap();
    assert_eq!(state["state"], "degraded");
    assert_eq!(state["broker"]["is_connected"], false);
    assert!(state["broker"]["backlog_frames"].as_u64().unwrap() > 500, "{state}");
    assert!(running.metric("sightline_mqtt_oldest_unsent_seconds") >= 0);
    broker.signal("-CONT");
    running.until("it recovers", |running| {
        running.metric("sightline_mqtt_connected") == 1
            && !running.get("/api/v1/state").1.contains("\"id\":\"broker\"")
    });
    running.stop();
}

#[test]
fn a_ledger_that_cannot_be_read_is_told_and_stops_no_line() {
    let scratch = Scratch::new();
    let broker = Broker::open(&scratch);
    line_to(&scratch, -1, &broker, "");
    let running = Running::start(&scratch, &[]);
    let acknowledged = |running: &Running| running.metric("sightline_mqtt_acknowledged_total");
    running.until("the broker is told", |running| acknowledged(running) > 20);
    // Whoever writes it has it open; whoever opens it anew finds a folder.
    std::fs::rename(scratch.path("ledger.db"), scratch.path("away.db")).unwrap();
    std::fs::create_dir(scratch.path("ledger.db")).unwrap();
    running.until("people are told", |running| {
        let state = running.get("/api/v1/state").1;
        state.contains("\"id\":\"broker\"") && state.contains("the ledger cannot be read")
    });
    let judged =
        |running: &Running| running.metric("sightline_frames_judged_total{camera=\"top\"}");
    let before = judged(&running);
    running.until("the line goes on", |running| judged(running) > before + 20);
    std::fs::remove_dir(scratch.path("ledger.db")).unwrap();
    std::fs::rename(scratch.path("away.db"), scratch.path("ledger.db")).unwrap();
    let before = acknowledged(&running);
    running.until("it goes on", |running| {
        acknowledged(running) > before + 20
            && !running.get("/api/v1/state").1.contains("\"id\":\"broker\"")
    });
    running.stop();
}

#[test]
fn what_was_no_longer_kept_is_told_with_its_bounds() {
    let scratch = Scratch::new();
    let mut broker = Broker::new(&scratch, "allow_anonymous true");
    line_to(&scratch, 40, &broker, "history = \"all\"");
    let output = scratch.run(&["run", "line.toml"]);
    assert!(output.status.success());
    // A month later: the oldest rows are gone, as retention takes them.
    let connection = rusqlite::Connection::open(scratch.path("ledger.db")).unwrap();
    connection
        .execute_batch(
            "DELETE FROM verdict WHERE number <= 30 AND lane = (SELECT id FROM lane WHERE camera = 'top');
             UPDATE lane SET forgotten_to = 30 WHERE camera = 'top';",
        )
        .unwrap();
    drop(connection);
    broker.start();
    let consumer = Consumer::of(&broker);
    line_to(&scratch, 3, &broker, "history = \"all\"");
    // The account reconciles: the other camera's forty, ten of this one's, and three of each.
    run_until(&scratch, "the gap is told, and all the rest", || {
        !consumer.bodies("gap").is_empty() && consumer.count("verdict") >= 40 + 10 + 6
    });
    let gap = consumer.last("gap").unwrap();
    assert_eq!(
        (&gap["camera"], &gap["first"], &gap["last"]),
        (&"top".into(), &1.into(), &30.into())
    );
    let connection = rusqlite::Connection::open(scratch.path("ledger.db")).unwrap();
    let noted = "SELECT detail FROM event WHERE kind = 'outbox-gap'";
    let noted: String = connection.query_row(noted, [], |row| row.get(0)).unwrap();
    assert!(noted.starts_with("frames 1 to 30 of epoch"), "{noted}");
}

#[test]
fn sending_begins_where_it_was_asked_to() {
    let scratch = Scratch::new();
    let broker = Broker::open(&scratch);
    let consumer = Consumer::of(&broker);
    // A ledger of a time without a broker.
    line_to(&scratch, 20, &broker, "");
    let with = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    let without: String = with
        .lines()
        .filter(|line| {
            !line.starts_with("[mqtt]")
                && !["site", "device", "broker"].iter().any(|key| line.starts_with(key))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    scratch.write("line.toml", without);
    assert!(scratch.run(&["run", "line.toml"]).status.success());
    let old: BTreeSet<_> = ledger(&scratch).verdicts.into_keys().collect();
    line_to(&scratch, 5, &broker, "");
    let came = || -> BTreeSet<String> {
        let id = |body: serde_json::Value| body["id"].as_str().unwrap().to_owned();
        consumer.bodies("verdict").into_iter().map(id).collect()
    };
    run_until(&scratch, "the new ones arrive", || came().difference(&old).count() >= 10);
    // A camera's verdicts come in order: older ones would have come before them.
    assert_eq!(old.len(), 40);
    assert!(came().is_disjoint(&old));
}
