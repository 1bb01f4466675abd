//! Sparkplug B, decoded by a package that never saw this code.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use rumqttc::v5::mqttbytes::QoS;
use serde_json::{Value, json};

use super::{Broker, Consumer, Got, ledger, line_to, run_until, until, verdicts};
use crate::{service::Running, support::Scratch};

/// The package's reading of messages, in their order.
fn decoded(got: &[Got]) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new("python3")
        .arg(root.join("tests/it/mqtt/decode.py"))
        .env("PYTHONPATH", root.join(".deps/python"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text: String = got
        .iter()
        .map(|got| {
            let hex: String = got.payload.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{} {hex}\n", got.topic)
        })
        .collect();
    let mut stdin = child.stdin.take().unwrap();
    // It answers while it is told: somebody has to write meanwhile.
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success(), "pysparkplug refuses what was sent");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Those on Sparkplug's topics but for what hosts say.
fn spoken(consumer: &Consumer) -> Vec<Got> {
    let is_ours = |got: &Got| got.topic.starts_with("spBv1.0/plant/") && !got.topic.contains("CMD");
    consumer.got().into_iter().filter(is_ours).collect()
}

fn named(consumer: &Consumer, kind: &str) -> usize {
    spoken(consumer).iter().filter(|got| got.topic.contains(&format!("/{kind}/"))).count()
}

/// `seq` counts a session's messages from its birth on, and nothing is said that a birth did not introduce.
fn check_sessions(messages: &[Value]) {
    let mut next: Option<u64> = None;
    let mut birth = Value::Null;
    let mut known: BTreeSet<String> = BTreeSet::new();
    for message in messages {
        let kind = message["type"].as_str().unwrap();
        assert_eq!(message["unnamed"], 0);
        if kind == "NDEATH" {
            // It is that of the birth before.
            assert_eq!(message["bd_seq"], birth["bd_seq"], "{message}");
            assert!(message["seq"].is_null());
            next = None;
            continue;
        }
        if kind == "NBIRTH" {
            assert_eq!(message["seq"], 0);
            known.clear();
            birth = message.clone();
            next = Some(0);
        }
        let seq = message["seq"].as_u64().unwrap();
        assert_eq!(Some(seq), next, "{message}");
        next = Some((seq + 1) % 256);
        for (name, metric) in message["metrics"].as_object().unwrap() {
            let of = format!("{} {name} {}", message["device"], metric["type"]);
            if kind.ends_with("BIRTH") {
                known.insert(of);
            } else {
                assert!(known.contains(&of), "{of} was never introduced");
            }
        }
    }
}

fn host(online: bool, timestamp: u64) -> Vec<u8> {
    json!({ "online": online, "timestamp": timestamp }).to_string().into_bytes()
}

#[test]
fn births_data_history_rebirth_and_death_are_those_of_sparkplug() {
    let scratch = Scratch::new();
    let mut broker = Broker::new(&scratch, "allow_anonymous true");
    // What is judged before the broker is there is history.
    line_to(&scratch, 20, &broker, "format = \"sparkplug\"\nhistory = \"all\"");
    assert!(scratch.run(&["run", "line.toml"]).status.success());
    broker.start();
    let consumer = Consumer::of(&broker);
    line_to(&scratch, -1, &broker, "format = \"sparkplug\"\nhistory = \"all\"");
    let mut running = Running::start(&scratch, &[]);
    running.until("it is connected", |running| running.metric("sightline_mqtt_connected") == 1);
    // However many were judged before: those come first, and as history.
    let before = verdicts(&scratch);
    until("three hundred more come", || named(&consumer, "DDATA") > before + 300);
    // A host asks for all births again: `Node Control/Rebirth` is true, as pysparkplug's messages are.
    let rebirth = [
        0x08, 0x01, 0x12, 0x18, 0x0a, 0x14, b'N', b'o', b'd', b'e', b' ', b'C', b'o', b'n', b't',
        b'r', b'o', b'l', b'/', b'R', b'e', b'b', b'i', b'r', b't', b'h', 0x70, 0x01,
    ];
    assert_eq!(rebirth[5] as usize, "Node Control/Rebirth".len());
    let ncmd = "spBv1.0/plant/NCMD/line-1";
    for nonsense in [&b"\xff\xff"[..], b"", &rebirth[..10]] {
        consumer.client.publish(ncmd, QoS::AtLeastOnce, false, nonsense.to_vec()).unwrap();
    }
    assert_eq!(named(&consumer, "NBIRTH"), 1);
    consumer.client.publish(ncmd, QoS::AtLeastOnce, false, rebirth.to_vec()).unwrap();
    until("it is born again", || named(&consumer, "NBIRTH") == 2);
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    until("its death is told", || named(&consumer, "NDEATH") == 1);
    // Sessions are counted on from the second of the start: what lived for less than one would share it.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    line_to(&scratch, 5, &broker, "format = \"sparkplug\"\nhistory = \"all\"");
    run_until(&scratch, "it has told all and left", || {
        named(&consumer, "NDEATH") >= 2 && named(&consumer, "DDATA") >= verdicts(&scratch)
    });
    let got = spoken(&consumer);
    // Births once, as the specification wants; data until it is acknowledged, as an outbox does.
    for got in &got {
        let is_birth = got.topic.contains("BIRTH");
        assert_eq!(got.qos == QoS::AtMostOnce, is_birth, "{}", got.topic);
        assert!(!got.retain);
    }
    let messages = decoded(&got);
    check_sessions(&messages);
    let births: Vec<_> = messages.iter().filter(|message| message["type"] == "NBIRTH").collect();
    assert_eq!(births[0]["bd_seq"], births[1]["bd_seq"], "a rebirth is of the same session");
    assert_ne!(births[1]["bd_seq"], births[2]["bd_seq"]);
    assert_eq!(births[0]["metrics"]["Node Control/Rebirth"]["type"], "BOOLEAN");
    assert_eq!(births[0]["metrics"]["bdSeq"]["type"], "INT64");
    check_rows(&scratch, &messages);
}

/// Each verdict came, with the time of its capture, and as history where it was older than the session.
fn check_rows(scratch: &Scratch, messages: &[Value]) {
    let rows = ledger(scratch);
    let mut came = BTreeSet::new();
    let mut history = [0, 0];
    for message in messages.iter().filter(|message| message["type"] == "DDATA") {
        let metrics = &message["metrics"];
        let Some(id) = metrics["id"]["value"].as_str() else { continue };
        assert!(id.starts_with(message["device"].as_str().unwrap()));
        assert_eq!(metrics["decision"]["value"], rows.verdicts[id].as_str());
        let times: BTreeSet<u64> = metrics
            .as_object()
            .unwrap()
            .values()
            .map(|metric| metric["time_ms"].as_u64().unwrap())
            .collect();
        assert_eq!(times.len(), 1, "one frame has one time: {message}");
        history[usize::from(metrics["id"]["is_historical"] == true)] += 1;
        came.insert(id.to_owned());
    }
    assert_eq!(came, rows.verdicts.into_keys().collect());
    // The forty of the first run, and some that were judged before the connection came about; most are of now.
    assert!(history[1] >= 40 && history[0] > 100, "{history:?}");
}

#[test]
fn a_host_that_does_not_listen_is_waited_for() {
    let scratch = Scratch::new();
    let broker = Broker::open(&scratch);
    let consumer = Consumer::of(&broker);
    let state = |online: bool, timestamp: u64| {
        let topic = "spBv1.0/STATE/scada";
        consumer.client.publish(topic, QoS::AtLeastOnce, true, host(online, timestamp)).unwrap();
    };
    state(false, 1);
    line_to(&scratch, -1, &broker, "format = \"sparkplug\"\nsparkplug_host = \"scada\"");
    let running = Running::start(&scratch, &[]);
    running.until("it is connected", |running| running.metric("sightline_mqtt_connected") == 1);
    running.until("verdicts wait", |running| running.metric("sightline_mqtt_backlog_frames") > 50);
    assert_eq!(spoken(&consumer).len(), 0);
    state(true, 2);
    until("they come", || named(&consumer, "DDATA") > 50);
    state(false, 3);
    until("the session ends", || named(&consumer, "NDEATH") == 1);
    state(true, 4);
    until("another begins", || named(&consumer, "NBIRTH") == 2);
    running.stop();
    check_sessions(&decoded(&spoken(&consumer)));
}
