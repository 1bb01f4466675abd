//! A running line's HTTP under bytes, requests and clients of every kind: it refuses, lets go, and still answers.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{FRAGMENTS, runner, value};
use crate::{
    access::{self, Client},
    service::{Running, line},
    support::{Scratch, stdout},
};

/// Connections that are served at a time.
const PLACES: usize = 160;
/// What a storm may leave behind: buffers that the allocator keeps, frames on their way.
const RESIDENT_MORE_BYTES: u64 = 96 << 20;
/// Longer than the minute for which a connection may live.
const PATIENCE: Duration = Duration::from_secs(90);

fn connect(running: &Running) -> TcpStream {
    let stream = TcpStream::connect(&running.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends as much as is taken, says that this is all, and reads to the end: whole answers, or nothing.
fn sent(running: &Running, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(running);
    // A server that has refused takes no more.
    let _refused = stream.write_all(bytes);
    let _gone = stream.shutdown(Shutdown::Write);
    answer(stream)
}

/// All that comes until the server lets go, which it must.
fn answer(mut stream: TcpStream) -> Vec<u8> {
    let began = Instant::now();
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    assert!(began.elapsed() < PATIENCE, "the connection is held");
    answer
}

/// The status of the first answer.
fn status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    text.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

fn is_refusal_or_nothing(answer: &[u8]) -> bool {
    answer.is_empty()
        || status(answer).is_some_and(|status| (400..500).contains(&status) || status == 505)
}

fn descriptors(running: &Running) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", running.child.id())).unwrap().count()
}

fn resident_bytes(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// What holds after every storm, as soon as its connections are let go.
struct Calm {
    descriptors: usize,
    resident_bytes: u64,
}

impl Calm {
    fn of(running: &Running) -> Self {
        Self { descriptors: descriptors(running), resident_bytes: resident_bytes(running) }
    }

    fn check(&self, running: &Running, storm: &str) {
        assert_eq!(running.get("/healthz"), (200, "ok\n".into()), "{storm}");
        assert_eq!(running.get("/readyz"), (200, "running\n".into()), "{storm}");
        let began = Instant::now();
        // The camera and the ledger may have opened one or the other.
        while descriptors(running) > self.descriptors + 8 {
            assert!(began.elapsed() < PATIENCE, "{storm}: connections are left behind");
            std::thread::sleep(Duration::from_millis(50));
        }
        let resident = resident_bytes(running);
        assert!(resident < self.resident_bytes + RESIDENT_MORE_BYTES, "{storm}: {resident} bytes");
    }
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn storms_of_clients_are_weathered() {
    let scratch = Scratch::new();
    line(&scratch);
    let running = Running::start(&scratch, &[]);
    while running.get("/readyz").0 != 200 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let calm = Calm::of(&running);

    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(prop::sample::select(&FRAGMENTS[..]), 0..20)
            .prop_map(|fragments| fragments.concat().into_bytes()),
    ];
    runner(150)
        .run(&bytes, |bytes| {
            prop_assert!(is_refusal_or_nothing(&sent(&running, &bytes)), "{:?}", bytes);
            Ok(())
        })
        .unwrap();
    calm.check(&running, "any bytes");

    malformed(&running);
    calm.check(&running, "malformed requests");

    // Slow bodies: more than there are places; each is let go with a 408 and not held for a minute.
    let head = format!(
        "POST /api/v1/mode HTTP/1.1\r\nHost: {}\r\n{JSON}Content-Length: 100\r\n\r\n{{",
        running.address
    );
    let slow = clients(&running, PLACES + 16, head.as_bytes());
    assert_eq!(running.get("/healthz").0, 200);
    let told: Vec<_> = slow.into_iter().map(|stream| status(&answer(stream))).collect();
    assert!(told.iter().all(|status| *status == Some(408)), "{told:?}");
    calm.check(&running, "slow bodies");

    // Idle ones, that say nothing at all or are kept alive after an answer.
    let idle = clients(&running, 2 * PLACES, b"");
    assert_eq!(running.get("/healthz").0, 200);
    drop(idle);
    let kept = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", running.address);
    let idle = clients(&running, PLACES, kept.as_bytes());
    assert_eq!(running.get("/healthz").0, 200);
    drop(idle);
    calm.check(&running, "idle connections");

    // Thousands of requests in a row, whose answers nobody reads.
    let pipelined =
        format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", running.address).repeat(4_000);
    let deaf: Vec<_> = (0..PLACES / 2)
        .map(|_| {
            let mut stream = connect(&running);
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            // It takes no more than it answers.
            let _full = stream.write_all(pipelined.as_bytes());
            stream
        })
        .collect();
    assert_eq!(running.get("/healthz").0, 200);
    let resident = resident_bytes(&running);
    assert!(resident < calm.resident_bytes + RESIDENT_MORE_BYTES, "pipelined: {resident} bytes");
    drop(deaf);
    calm.check(&running, "pipelined requests");

    // Half-closed and at once gone, by the hundred.
    for _ in 0..300 {
        drop(sent(&running, kept.as_bytes()));
        drop(connect(&running));
    }
    calm.check(&running, "hundreds of clients");
    running.stop();
}

/// So many clients that have sent that much.
fn clients(running: &Running, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    (0..count)
        .map(|_| {
            let mut stream = connect(running);
            stream.write_all(bytes).unwrap();
            stream
        })
        .collect()
}

fn malformed(running: &Running) {
    let host = format!("Host: {}\r\n", running.address);
    let get = |more: &str| format!("GET /metrics HTTP/1.1\r\n{host}{more}\r\n");
    let post = |more: &str| format!("POST /api/v1/mode HTTP/1.1\r\n{host}{JSON}{more}");
    let check = |request: &str, expected: &[u16]| {
        let answer = sent(running, request.as_bytes());
        let status = status(&answer);
        let shown: String = request.chars().take(200).collect();
        assert!(
            answer.is_empty() || status.is_some_and(|status| expected.contains(&status)),
            "{shown}: {status:?}"
        );
    };
    check(&get(&format!("X: {}\r\n", "x".repeat(20_000))), &[431]);
    check(&get(&format!("X: {}\r\n", "x".repeat(2 << 20))), &[431]);
    check(&get(&"X: y\r\n".repeat(200)), &[431]);
    check(&format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(1 << 20)), &[414, 431]);
    check(&get("X\r\n"), &[400]);
    check(&get("X: a\0b\r\n"), &[400]);
    check(&get(&format!("Host: {}\r\n", running.address)), &[421]);
    check("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1@evil.example\r\n\r\n", &[400, 421]);
    check("GET /metrics HTTP/1.1\r\nHost: evil.example@127.0.0.1\r\n\r\n", &[400, 421]);
    check("GET /metrics HTTP/9.9\r\nHost: localhost\r\n\r\n", &[400, 505]);
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400, 505]);
    check(&post("Content-Length: 18446744073709551615\r\n\r\n{}"), &[400, 413, 431]);
    check(&post("Content-Length: 1000000000000\r\n\r\n{}"), &[400, 413]);
    check(&post("Content-Length: -1\r\n\r\n{}"), &[400]);
    check(&post("Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}"), &[400]);
    check(&post("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"), &[400, 408]);
    check(&post("Transfer-Encoding: chunked\r\n\r\nzz\r\n"), &[400, 408]);
    let chunks = "1000\r\n".to_owned() + &"x".repeat(0x1000) + "\r\n";
    check(&post(&format!("Transfer-Encoding: chunked\r\n\r\n{}", chunks.repeat(64))), &[413]);
    let deep = "[".repeat(10_000);
    check(&post(&format!("Content-Length: 10000\r\n\r\n{deep}")), &[400, 422]);
    // What is right stays right: the names that loopback has, with and without a port.
    for host in ["localhost", "localhost:1", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:9640"] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(running.raw(request.as_bytes()).0, 200, "{host}");
    }
}

#[test]
fn what_changes_something_needs_this_host_this_origin_and_json() {
    let scratch = Scratch::new();
    line(&scratch);
    let running = Running::start(&scratch, &[]);
    let own = running.address.clone();
    let host = prop_oneof![
        3 => Just(own.clone()),
        1 => prop::sample::select(vec!["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "10.0.0.8", ""])
            .prop_map(str::to_owned),
        1 => value().prop_map(|value| value.replace(char::is_control, "x")),
    ];
    let origin = prop_oneof![
        2 => Just(None),
        2 => Just(Some(format!("http://{own}"))),
        2 => prop::sample::select(vec!["null", "http://evil.example", "http://127.0.0.1", "https://localhost", ""])
            .prop_map(|origin| Some(origin.to_owned())),
    ];
    let kind = prop::sample::select(vec![
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("text/plain"),
        Some("text/plain; application/json"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        None,
    ]);
    let method = prop::sample::select(vec!["POST", "PUT", "GET", "HEAD", "OPTIONS", "DELETE"]);
    runner(200)
        .run(&(host, origin, kind, method), |(host, origin, kind, method)| {
            let body = "{\"mode\":\"pause\"}";
            let origin_line = origin.as_ref().map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
            let kind_line = kind.map_or(String::new(), |kind| format!("Content-Type: {kind}\r\n"));
            let request = format!(
                "{method} /api/v1/mode HTTP/1.1\r\nHost: {host}\r\n{origin_line}{kind_line}Content-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            );
            let is_json = kind.is_some_and(|kind| kind.starts_with("application/json"));
            let is_ours = origin.is_none_or(|origin| origin == format!("http://{own}"));
            let may = host == own && is_ours && is_json && method == "POST";
            let answer = sent(&running, request.as_bytes());
            let status = status(&answer).unwrap_or(0);
            prop_assert_eq!(status == 200, may, "{} {}", request, status);
            if host == own && !may {
                let is_safe = ["GET", "HEAD", "OPTIONS"].contains(&method);
                let expected = if !is_ours && !is_safe { 403 } else if method == "POST" { 415 } else { 405 };
                prop_assert_eq!(status, expected, "{}", request);
            }
            let mode = running.get("/readyz").1;
            prop_assert_eq!(mode == "paused\n", may, "{} {}", request, mode);
            if may {
                running.mode("run");
            }
            Ok(())
        })
        .unwrap();
    running.stop();
}

#[test]
fn a_head_that_dribbles_is_told_so_and_who_says_nothing_is_let_go() {
    let scratch = Scratch::new();
    line(&scratch);
    let running = Running::start(&scratch, &[]);
    let speak = |words: &'static [u8], more: usize| {
        let mut stream = TcpStream::connect(&running.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(words).unwrap();
        let mut dribbling = stream.try_clone().unwrap();
        let dribble = std::thread::spawn(move || {
            for _ in 0..more {
                std::thread::sleep(Duration::from_millis(500));
                if dribbling.write_all(b"x").is_err() {
                    break;
                }
            }
        });
        let mut answer = Vec::new();
        // It may be reset behind the answer.
        let _reset = stream.read_to_end(&mut answer);
        dribble.join().unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let dribbled = speak(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ", 40);
    assert!(dribbled.starts_with("HTTP/1.1 408 "), "{dribbled}");
    assert_eq!(speak(b"", 0), "");
    let body = b"POST /api/v1/mode HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{";
    assert!(speak(body, 40).starts_with("HTTP/1.1 408 "));
    running.stop();
}

/// A line whose users are a viewer and an engineer, with a token of the latter.
fn guarded(scratch: &Scratch) -> String {
    access::user(scratch, "vic", "viewer");
    access::user(scratch, "ada", "engineer");
    let token = access::token(scratch, "script", "engineer");
    access::line(scratch, "listen = \"127.0.0.1:0\"\nusers = \"users.toml\"");
    token
}

/// Every route that is there, with its method: the station tells them itself.
fn routes(client: &Client, bearer: &str) -> Vec<(String, String)> {
    let answer = client.ask("GET /api/v1/openapi.json", bearer, "");
    let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{camera}", "top")
            .replace("{epoch}", "1")
            .replace("{frame}", "1")
            .replace("{file}", "frame.jpg")
            .replace("{id}", "1");
        for method in methods.as_object().unwrap().keys() {
            routes.push((method.to_uppercase(), path.clone()));
        }
    }
    assert!(routes.len() > 25, "{routes:?}");
    routes
}

/// Those for everybody.
const OPEN: [&str; 5] = ["/healthz", "/readyz", "/api/v1/me", "/api/v1/login", "/api/v1/logout"];

#[test]
fn nothing_of_the_file_system_leaves_by_any_route() {
    let scratch = Scratch::new();
    let token = guarded(&scratch);
    scratch.write("secret.txt", "hunter2");
    let running = Running::start(&scratch, &[]);
    let client = Client::plain(&running);
    running.until("it is ready", |it| it.get("/readyz").0 == 200);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let kept = std::fs::read_to_string(scratch.path("users.toml")).unwrap();
    let here = scratch.path("");
    let here = here.to_str().unwrap();
    let check = |first: &str, headers: &str, body: &str, expected: &[u16]| {
        let answer = client.ask(first, &format!("{JSON}{headers}"), body);
        assert!(expected.contains(&answer.status), "{first}: {answer:?}");
        for leaked in ["hunter2", "root:x:0", "argon2id", "[[user]]", "PRIVATE KEY", here] {
            assert!(!answer.body.contains(leaked), "{first} {headers} tells {leaked}: {answer:?}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
    };
    let ways = [
        "/..",
        "/../",
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/..\\..\\etc\\passwd",
        "/%00",
        "/secret.txt%00.png",
        "/..;/users.toml",
        "/%c0%ae%c0%ae/users.toml",
        "/.%2e/users.toml",
        "/users.toml",
        "/./users.toml",
    ];
    for (method, route) in routes(&client, &bearer) {
        for way in ways {
            check(&format!("{method} {route}{way}"), &bearer, "{}", &[400, 404, 405]);
        }
    }
    for path in [
        "/users.toml",
        "/ledger.db",
        "/model.onnx",
        "/line.toml",
        "/.git/config",
        "/proc/self/environ",
    ] {
        check(&format!("GET {path}"), &bearer, "", &[404]);
    }
    for path in [
        "../secret",
        "..%2fsecret.txt",
        "1%2f..%2f..%2fusers.toml",
        "-1",
        "18446744073709551616",
        "%00",
    ] {
        check(&format!("GET /api/v1/calibration/pictures/1/{path}"), &bearer, "", &[400, 404]);
    }
    // Names that are paths are no names.
    for name in
        ["../../etc/passwd", "/etc/passwd", "secret.txt", "top/../../users.toml", "top\u{0}"]
    {
        let body = serde_json::json!({ "camera": name, "product": name }).to_string();
        check("POST /api/v1/calibration", &bearer, &body, &[422]);
        let body = serde_json::json!({ "name": name, "password": name }).to_string();
        check("POST /api/v1/login", "", &body, &[401, 429]);
    }
    // A proxy's forms of a request, and other protocols' methods.
    for first in [
        "GET file:///etc/passwd",
        "GET http://localhost/../etc/passwd",
        "CONNECT localhost:22",
        "TRACE /metrics",
        "PROPFIND /",
    ] {
        let answer = client.ask(first, &bearer, "");
        assert!([400, 404, 405, 421].contains(&answer.status), "{first}: {answer:?}");
        assert!(!answer.body.contains("root:x:0") && !answer.body.contains(&token), "{answer:?}");
    }
    assert_eq!(std::fs::read_to_string(scratch.path("users.toml")).unwrap(), kept);
    running.stop();
}

#[test]
fn no_header_is_injected_and_nobody_comes_in_by_a_trick() {
    let scratch = Scratch::new();
    let token = guarded(&scratch);
    let running = Running::start(&scratch, &[]);
    let client = Client::plain(&running);
    running.until("it is ready", |it| it.get("/readyz").0 == 200);
    // Nobody is let in without showing who he is: any route, any method.
    let good = format!("Authorization: Bearer {token}\r\n");
    let guarded = routes(&client, &good);
    for (method, route) in guarded.iter().filter(|(_, route)| !OPEN.contains(&&**route)) {
        for headers in [
            "",
            "Cookie: sightline=\r\n",
            "Cookie: sightline=; __Host-sightline=\r\n",
            "Authorization: Basic YWRhOmFkYWFkYQ==\r\n",
            "Authorization: Bearer null\r\n",
            "X-Forwarded-For: 127.0.0.1\r\n",
            "X-Real-IP: 127.0.0.1\r\n",
            "X-Remote-User: ada\r\n",
            "Forwarded: for=127.0.0.1\r\n",
            "X-HTTP-Method-Override: GET\r\n",
            "X-Original-URL: /healthz\r\n",
        ] {
            let answer =
                client.ask(&format!("{method} {route}"), &format!("{JSON}{headers}"), "{}");
            assert_eq!(answer.status, 401, "{method} {route} {headers}: {answer:?}");
        }
    }
    assert_eq!(client.get("/metrics", &good).status, 200);
    // Nor by showing it twice, broken, or in other words.
    let (cookie, page) = client.session("ada");
    let value = cookie.trim().strip_prefix("Cookie: sightline=").unwrap();
    for (headers, expected) in [
        (format!("{good}{good}"), 401),
        (format!("authorization: bearer {token}\r\n"), 401),
        (format!("Authorization: Bearer  {token}\r\n"), 401),
        (format!("Authorization:\r\n Bearer {token}\r\n"), 400),
        (format!("{cookie}{cookie}"), 401),
        (format!("Cookie: sightline={value}; sightline={value}\r\n"), 401),
        (format!("Cookie: sightline={}\r\n", &value[1..]), 401),
        (format!("Cookie: sightline={}\r\n", value.to_uppercase()), 401),
        (format!("Cookie: SIGHTLINE={value}\r\n"), 401),
        (format!("Cookie: sightline=%{value}\r\n"), 401),
        (format!("{cookie}Authorization: Bearer forged\r\n"), 401),
        (format!("{cookie}Host: {}\r\n", running.address), 421),
        (format!("{cookie}X: a\rb\r\n"), 400),
        (format!("{cookie}X : a\r\n"), 400),
        (cookie.clone(), 200),
    ] {
        // A value of digits alone is its own upper case.
        if expected == 401 && headers == cookie {
            continue;
        }
        let answer = client.get("/metrics", &headers);
        assert_eq!(answer.status, expected, "{headers}: {answer:?}");
    }
    // What comes in goes out in no header, and in no line of its own.
    let injected = "x\r\nSet-Cookie: sightline=evil\r\n\r\nHTTP/1.1 200 OK";
    for answer in [
        client.login(injected, injected),
        client.post("/api/v1/mode", &page, &serde_json::json!({ "mode": injected }).to_string()),
        client.get(&format!("/api/v1/{}", "%0d%0aSet-Cookie:%20sightline=evil"), &cookie),
        client.get("/api/v1/calibration/pictures/1/1%0d%0aSet-Cookie:evil", &cookie),
    ] {
        assert!([400, 401, 404, 422].contains(&answer.status), "{answer:?}");
        assert!(answer.header("set-cookie").is_none(), "{answer:?}");
    }
    // A request that hides another is refused as a whole.
    let smuggled = format!(
        "POST /api/v1/mode HTTP/1.1\r\nHost: {0}\r\n{JSON}{page}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\nPOST /api/v1/reload HTTP/1.1\r\nHost: {0}\r\n{JSON}{page}Content-Length: 2\r\n\r\n{{}}",
        running.address
    );
    let answer = client.raw(smuggled.as_bytes());
    assert!([0, 400, 422].contains(&answer.status), "{answer:?}");
    // One after another on one connection, each is looked at by itself.
    let get =
        |more: &str| format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n{more}\r\n", running.address);
    let both = format!("{}{}", get(&cookie), get("Connection: close\r\n"));
    let answer = client.raw(both.as_bytes());
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("HTTP/1.1 401"), "the second comes in by the first's cookie");
    // A body that is too large, and one that does not come, with and without a right to it.
    let large = format!("{{\"name\":\"ada\",\"password\":\"{}\"}}", "x".repeat(20_000));
    assert_eq!(client.post("/api/v1/login", "", &large).status, 413);
    assert_eq!(client.post("/api/v1/mode", "", &large).status, 401);
    assert_eq!(client.post("/api/v1/mode", &page, &large).status, 413);
    assert_eq!(running.get("/readyz"), (200, "running\n".into()));
    running.stop();
    // In the audit trail everything is one line each.
    let events = stdout(&scratch.run(&["ledger", "events", "ledger.db"]));
    assert!(!events.contains("evil"), "{events}");
}

#[test]
fn with_three_hundred_clients_at_once_the_line_judges_and_a_good_one_is_answered() {
    let scratch = Scratch::new();
    let token = guarded(&scratch);
    let running = Running::start(&scratch, &[]);
    let client = Client::plain(&running);
    running.until("it is ready", |it| it.get("/readyz").0 == 200);
    let calm = Calm::of(&running);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let judged = || {
        let answer = client.get("/metrics", &bearer);
        let name = "sightline_frames_judged_total{camera=\"top\"} ";
        let value = answer.body.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_else(|| panic!("{answer:?}")).parse::<u64>().unwrap()
    };
    let before = judged();
    // A third dribbles a head, a third a body, a third says nothing.
    let host = &running.address;
    let head = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nX: ");
    let body = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: {host}\r\n{JSON}Content-Length: 90\r\n\r\n{{"
    );
    let storm: Vec<_> = [head.as_bytes(), body.as_bytes(), b""]
        .into_iter()
        .flat_map(|bytes| clients(&running, 100, bytes))
        .collect();
    assert!(judged() >= before);
    let meanwhile = judged();
    running.until("frames are judged meanwhile", |_| judged() > meanwhile + 10);
    drop(storm);
    calm.check(&running, "three hundred clients");
    running.stop();
}
