//! Who is let in, and how it is told when nobody is: the line goes on, and one sentence says what to mend.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rumqttc::{TlsConfiguration, Transport, v5::MqttOptions};

use super::{Broker, Consumer, line, line_to, run_until, until};
use crate::{service::Running, support::Scratch};

/// An authority, a broker's pair and a station's, as files in the folder.
fn certificates(scratch: &Scratch) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate whose issuer has its own name for one that vouches for itself.
    params.distinguished_name.push(DnType::CommonName, "authority");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    scratch.write("ca.pem", ca.pem());
    for (name, host) in [
        ("broker", "127.0.0.1"),
        ("other", "broker.plant.example"),
        ("expired", "127.0.0.1"),
        ("station", "line-1"),
        ("consumer", "consumer"),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        if name == "expired" {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let certificate = params.signed_by(&key, &ca).unwrap();
        scratch.write(&format!("{name}.pem"), certificate.pem());
        secret(scratch, &format!("{name}-key.pem"), &key.serialize_pem());
    }
}

fn secret(scratch: &Scratch, name: &str, text: &str) {
    scratch.write(name, text);
    std::fs::set_permissions(scratch.path(name), Permissions::from_mode(0o600)).unwrap();
}

/// What the page and people are told of the broker.
fn trouble(running: &Running) -> String {
    let state: serde_json::Value = serde_json::from_str(&running.get("/api/v1/state").1).unwrap();
    state["broker"]["trouble"].as_str().unwrap_or_default().to_owned()
}

/// The line goes on, and says what is wrong.
fn check_refused(scratch: &Scratch, expected: &str) {
    let running = Running::start(scratch, &[]);
    running.until(expected, |running| trouble(running).contains(expected));
    running.until("there is an alarm", |running| {
        running.get("/api/v1/state").1.contains("\"id\":\"broker\"")
    });
    let judged =
        |running: &Running| running.metric("sightline_frames_judged_total{camera=\"top\"}");
    let before = judged(&running);
    running.until("the line goes on", |running| judged(running) > before + 20);
    running.stop();
}

#[test]
fn tls_with_a_client_certificate_and_a_refusal_without() {
    let scratch = Scratch::new();
    certificates(&scratch);
    let path = |name: &str| scratch.path(name).display().to_string();
    let listener = format!(
        "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
        path("ca.pem"),
        path("broker.pem"),
        path("broker-key.pem")
    );
    let mut broker = Broker::new(&scratch, &listener);
    broker.start();
    let url = format!("broker = \"mqtts://127.0.0.1:{}\"", broker.port);
    let pair = "certificate = \"station.pem\"\nkey = \"station-key.pem\"";
    line(&scratch, 10, &format!("{url}\nca_certificate = \"ca.pem\"\n{pair}"), "");
    let checked = scratch.run(&["check", "line.toml"]);
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(told.contains("ok      mqtt: mqtts://127.0.0.1:"), "{told}");
    let mut options = MqttOptions::new("consumer", "127.0.0.1", broker.port);
    let read = |name: &str| std::fs::read(scratch.path(name)).unwrap();
    let (ca, shown, key) = (read("ca.pem"), read("consumer.pem"), read("consumer-key.pem"));
    let config = sightline::mqtt::tls::config(&ca, Some((&shown, &key))).unwrap();
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    let consumer = Consumer::with(options);
    run_until(&scratch, "the verdicts arrive", || consumer.count("verdict") >= 20);
    // Nothing to show, and nobody who vouches.
    line(&scratch, -1, &format!("{url}\nca_certificate = \"ca.pem\""), "");
    check_refused(&scratch, "correct mqtt.certificate and mqtt.key and restart");
    line(&scratch, -1, &format!("{url}\nca_certificate = \"station.pem\"\n{pair}"), "");
    check_refused(&scratch, "nobody in mqtt.ca_certificate vouches for the broker's certificate");
    // A key that everybody may read is refused before anything begins.
    std::fs::set_permissions(scratch.path("station-key.pem"), Permissions::from_mode(0o644))
        .unwrap();
    line(&scratch, 10, &format!("{url}\nca_certificate = \"ca.pem\"\n{pair}"), "");
    let refused = scratch.run(&["run", "line.toml"]);
    assert_eq!(refused.status.code(), Some(3));
}

#[test]
fn a_broker_of_another_name_or_of_the_past_is_not_told() {
    for (name, expected) in [
        ("other", "the broker's certificate is of another name than mqtt.broker"),
        ("expired", "the broker's certificate is not valid today"),
    ] {
        let scratch = Scratch::new();
        certificates(&scratch);
        let path = |name: &str| scratch.path(name).display().to_string();
        let (certificate, key) = (path(&format!("{name}.pem")), path(&format!("{name}-key.pem")));
        let listener = format!("allow_anonymous true\ncertfile {certificate}\nkeyfile {key}");
        let mut broker = Broker::new(&scratch, &listener);
        broker.start();
        let url = format!("broker = \"mqtts://127.0.0.1:{}\"", broker.port);
        line(&scratch, -1, &format!("{url}\nca_certificate = \"ca.pem\""), "");
        check_refused(&scratch, expected);
    }
}

#[test]
fn a_wrong_password_is_told_and_a_right_one_lets_in() {
    let scratch = Scratch::new();
    let passwords = scratch.path("passwords");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-c", "-b"])
        .arg(&passwords)
        .args(["line-1", "right"])
        .status();
    assert!(made.unwrap().success());
    let listener = format!("allow_anonymous false\npassword_file {}", passwords.display());
    let mut broker = Broker::new(&scratch, &listener);
    broker.start();
    let login = format!(
        "broker = \"mqtt://127.0.0.1:{}\"\nuser = \"line-1\"\npassword = \"password\"",
        broker.port
    );
    secret(&scratch, "password", "wrong\n");
    line(&scratch, -1, &login, "");
    check_refused(&scratch, "correct mqtt.user, mqtt.password");
    secret(&scratch, "password", "right\n");
    line(&scratch, -1, &login, "");
    let running = Running::start(&scratch, &[]);
    running.until("the broker is told", |running| {
        running.metric("sightline_mqtt_acknowledged_total") > 20
    });
    running.stop();
}

#[test]
fn a_broker_of_small_packets_gets_short_messages_or_is_told_to_take_larger_ones() {
    let scratch = Scratch::new();
    let mut broker = Broker::new(&scratch, "allow_anonymous true\nmax_packet_size 1100");
    broker.start();
    let consumer = Consumer::of(&broker);
    // An event whose detail is longer than that: a reason in the audit trail.
    line_to(&scratch, 3, &broker, "history = \"all\"");
    assert!(scratch.run(&["run", "line.toml"]).status.success());
    let connection = rusqlite::Connection::open(scratch.path("ledger.db")).unwrap();
    let long = "x".repeat(3_000);
    connection
        .execute(
            "INSERT INTO event (time_us, kind, who, subject, detail) VALUES (1, 'long', 'ann', 'line', ?1)",
            [&long],
        )
        .unwrap();
    drop(connection);
    run_until(&scratch, "the long event and all verdicts arrive", || {
        consumer.count("verdict") >= 12
            && consumer.bodies("event").iter().any(|body| body["kind"] == "long")
    });
    let events = consumer.bodies("event");
    let long = events.iter().find(|body| body["kind"] == "long").unwrap();
    assert_eq!(
        (&long["shortened"], long["detail"].as_str().unwrap().chars().count()),
        (&true.into(), 65)
    );
    drop(consumer);
    // One that holds no verdict at all: no loop, and nothing is lost.
    drop(broker);
    let mut broker = Broker::new(&scratch, "allow_anonymous true\nmax_packet_size 300");
    broker.start();
    line_to(&scratch, -1, &broker, "");
    let running = Running::start(&scratch, &[]);
    running
        .until("it is told", |running| trouble(running).contains("raise its maximum packet size"));
    let (began, connections) = (Instant::now(), running.metric("sightline_mqtt_connections_total"));
    std::thread::sleep(Duration::from_secs(3));
    let more = running.metric("sightline_mqtt_connections_total") - connections;
    // A loop would connect many times a second.
    assert!(more <= 1 + began.elapsed().as_secs() as i64, "{more} in {:?}", began.elapsed());
    running.stop();
}

#[test]
fn two_stations_of_one_name_are_told() {
    let (one, other) = (Scratch::new(), Scratch::new());
    let broker = Broker::open(&one);
    for scratch in [&one, &other] {
        line_to(scratch, -1, &broker, "");
    }
    let first = Running::start(&one, &[]);
    first.until("it is connected", |running| running.metric("sightline_mqtt_connected") == 1);
    let second = Running::start(&other, &[]);
    second.until("it is connected", |running| running.metric("sightline_mqtt_connected") == 1);
    first.until("the name is told", |running| {
        trouble(running).contains("another station calls itself plant/line-1")
    });
    first.stop();
    second.stop();
}

#[test]
fn a_broker_tells_that_a_station_is_gone_and_how_it_was() {
    let scratch = Scratch::new();
    let broker = Broker::open(&scratch);
    let consumer = Consumer::of(&broker);
    line_to(&scratch, -1, &broker, "");
    let mut running = Running::start(&scratch, &[]);
    until("it is online", || consumer.last("status").is_some_and(|body| body["online"] == true));
    until("it runs", || consumer.last("state").is_some_and(|body| body["state"] == "running"));
    assert_eq!(running.mode("pause").0, 200);
    until("it is paused", || consumer.last("state").is_some_and(|body| body["state"] == "paused"));
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    until("it is gone", || consumer.last("status").is_some_and(|body| body["online"] == false));
    // Who comes later is told by the broker.
    let later = Consumer::with(MqttOptions::new("later", "127.0.0.1", broker.port));
    until("it is told", || later.last("state").is_some());
    let got = later.got();
    let status = got.iter().find(|got| got.what() == "status").unwrap();
    assert!(status.retain && status.topic == "sightline/plant/line-1/status", "{status:?}");
    assert_eq!(later.last("status").unwrap()["online"], false);
    assert_eq!(later.last("alarms").unwrap()["alarms"], serde_json::json!([]));
    // A stop in order says so by itself.
    let running = Running::start(&scratch, &[]);
    until("it is back", || later.last("status").is_some_and(|body| body["online"] == true));
    running.stop();
    until("it has left", || later.last("status").is_some_and(|body| body["online"] == false));
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused_in_a_line() {
    let scratch = Scratch::new();
    let check = |mqtt: &str, expected: &str| {
        line(&scratch, 3, mqtt, "");
        let output = scratch.run(&["run", "line.toml"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains(expected), "{told}");
    };
    check(
        "broker = \"127.0.0.1\"",
        "\"mqtt.broker\" is \"127.0.0.1\", but it must be like mqtt://",
    );
    check("broker = \"mqtt://ann:secret@broker\"", "user and password have keys of their own");
    check("user = \"ann\"", "\"mqtt.broker\" is missing");
    check("broker = \"mqtt://broker\"\nca_certificate = \"ca.pem\"", "want mqtts://");
    check(
        "broker = \"mqtt://broker\"\nuser = \"ann\"\npassword = \"password\"",
        "the password would be readable on the way",
    );
    check("broker = \"mqtt://broker\"\nprefix = \"a/#\"", "\"mqtt.prefix\" is \"a/#\"");
    check(
        "broker = \"mqtts://127.0.0.1\"\nca_certificate = \"nowhere.pem\"",
        "mqtt.ca_certificate",
    );
    check("broker = \"mqtt://broker\"\nformat = \"xml\"", "expected \"json\" or \"sparkplug\"");
}
