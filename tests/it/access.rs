//! Who comes in: real sockets, real TLS, users written by the command, and what the audit trail says about it.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::{Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

use crate::{
    service::Running,
    support::{Scratch, json_lines, stderr, stdout},
};

const PATIENCE: Duration = Duration::from_mins(1);
const JSON: &str = "Content-Type: application/json\r\n";

/// A line with a ledger, and these keys of `[http]` beside the address.
pub fn line(scratch: &Scratch, http: &str) {
    scratch.write(
        "line.toml",
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n[output]\nformat = \"json\"\n\
             [ledger]\npath = \"ledger.db\"\n[http]\n{http}\n\
             [[camera]]\nname = \"top\"\npreset = \"test\"\n\
             parameters = {{ pattern = \"ball\", caps = \"video/x-raw,width=64,height=64,framerate=30/1\" }}\n"
        ),
    );
}

/// Runs the command with that on its standard input.
fn typed(scratch: &Scratch, arguments: &[&str], input: &str) -> Output {
    let mut child = scratch
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who refuses before it reads is gone by then.
    let _gone = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Adds a user whose password is his name, three times.
pub fn user(scratch: &Scratch, name: &str, role: &str) {
    let arguments = ["user", "add", name, "--role", role, "--file", "users.toml"];
    let added = typed(scratch, &arguments, &format!("{}\n", name.repeat(3)));
    assert!(added.status.success(), "{}", stderr(&added));
}

/// Adds a machine, and gives its token.
pub fn token(scratch: &Scratch, name: &str, role: &str) -> String {
    let added = scratch.run(&["user", "token", name, "--role", role, "--file", "users.toml"]);
    assert!(added.status.success(), "{}", stderr(&added));
    stdout(&added).trim().to_owned()
}

/// A certificate for this machine and its key, valid until that year; as PEM.
fn pair(until: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".into(), "127.0.0.1".into()];
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn write_private(scratch: &Scratch, name: &str, text: &str) {
    scratch.write(name, text);
    mode(scratch, name, 0o600);
}

fn mode(scratch: &Scratch, name: &str, mode: u32) {
    std::fs::set_permissions(scratch.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let status = text.split(' ').nth(1).map_or(0, |status| status.parse().unwrap_or(0));
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// `name=value` of the cookie that was set; its letters are as they were, for it is hexadecimal.
    fn cookie(&self) -> String {
        let set = self.header("set-cookie").unwrap_or_else(|| panic!("{self:?}"));
        set.split(';').next().unwrap().replace("__host-", "__Host-")
    }
}

/// Somebody at a station, who trusts its certificate.
pub struct Client {
    address: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Client {
    pub fn plain(running: &Running) -> Self {
        Self { address: running.address.clone(), tls: None }
    }

    fn trusting(running: &Running, certificate: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { address: running.address.clone(), tls: Some(Arc::new(config)) }
    }

    fn connect(&self) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost").unwrap();
        let config = Arc::clone(self.tls.as_ref().unwrap());
        let connection = ClientConnection::new(config, name).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(stream)
    }

    /// All that is answered to these bytes.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut answer = Vec::new();
        if self.tls.is_some() {
            let mut stream = self.connect().unwrap();
            assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            stream.write_all(bytes).unwrap();
            let _closed = stream.read_to_end(&mut answer);
        } else {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(bytes).unwrap();
            let _reset = stream.read_to_end(&mut answer);
        }
        Answer::of(&answer)
    }

    pub fn ask(&self, first: &str, headers: &str, body: &str) -> Answer {
        let (host, length) = (&self.address, body.len());
        self.raw(
            format!(
                "{first} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
            )
            .as_bytes(),
        )
    }

    pub fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask(&format!("GET {path}"), headers, "")
    }

    pub fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        self.ask(&format!("POST {path}"), &format!("{JSON}{headers}"), body)
    }

    pub fn login(&self, name: &str, password: &str) -> Answer {
        let body = serde_json::json!({ "name": name, "password": password });
        self.post("/api/v1/login", "", &body.to_string())
    }

    /// The headers of somebody who has logged in: his cookie, and both with what his page shows.
    pub fn session(&self, name: &str) -> (String, String) {
        let answer = self.login(name, &name.repeat(3));
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = format!("Cookie: {}\r\n", answer.cookie());
        let csrf = answer.json()["csrf"].as_str().unwrap().to_owned();
        (cookie.clone(), format!("{cookie}X-Sightline-Csrf: {csrf}\r\n"))
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The audit trail so far.
fn events(scratch: &Scratch) -> String {
    stdout(&scratch.run(&["ledger", "events", "ledger.db"]))
}

fn hang_up(running: &Running) {
    let id = running.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
}

fn ready(client: &Client) {
    until("it becomes ready", || client.get("/readyz", "").status == 200);
}

const PAUSE: &str = "{\"mode\":\"pause\"}";
const RUN: &str = "{\"mode\":\"run\"}";

/// What nobody is told about himself.
fn nobody() -> serde_json::Value {
    serde_json::json!({ "name": null, "role": null, "has_login": true, "csrf": null })
}

fn nobody_sees_anything(client: &Client) {
    // Nobody sees more than whether it lives.
    assert_eq!(client.get("/healthz", "").status, 200);
    for path in ["/metrics", "/api/v1/state", "/api/v1/calibration"] {
        let answer = client.get(path, "");
        assert_eq!((answer.status, &*answer.body), (401, "log in first\n"), "{path}");
    }
    assert_eq!(client.get("/api/v1/me", "").json(), nobody());
    for (path, body) in
        [("/api/v1/mode", PAUSE), ("/api/v1/golden", "{}"), ("/api/v1/reload", "{}")]
    {
        assert_eq!(client.post(path, "", body).status, 401, "{path}");
    }

    // Every answer, a refusal too, says what a browser may do with it.
    for answer in [client.get("/healthz", ""), client.get("/metrics", ""), client.get("/no", "")] {
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("strict-transport-security", "max-age=2592000"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
    }
}

/// Files change under a running station; whoever trusts its new certificate.
fn renewed(scratch: &Scratch, running: &Running, client: &Client) -> Client {
    // Somebody is taken out, and the certificate is another: a hang-up is enough, and the line goes on.
    let (stays, _) = client.session("ada");
    let (goes, _) = client.session("eva");
    let removed = scratch.run(&["user", "remove", "eva", "--file", "users.toml"]);
    assert!(removed.status.success(), "{}", stderr(&removed));
    // Half of a new pair is none, and keeps nobody in.
    let (newer, newer_key) = pair(2998);
    scratch.write("certificate.pem", &newer);
    hang_up(running);
    until("whoever was taken out is out", || client.get("/metrics", &goes).status == 401);
    until("the refusal is told", || events(scratch).contains("the key is not that of"));
    assert_eq!(client.get("/metrics", &stays).status, 200);
    write_private(scratch, "key.pem", &newer_key);
    hang_up(running);
    until("the new certificate is shown", || Client::trusting(running, &newer).connect().is_ok());
    assert!(client.connect().is_err(), "the old one is shown still");
    let client = Client::trusting(running, &newer);
    assert_eq!(client.get("/metrics", &goes).status, 401);
    assert_eq!(client.login("eva", "evaevaeva").status, 401);
    assert_eq!(client.get("/metrics", &stays).status, 200);
    // A file that is wrong lets nobody out, nor in.
    mode(scratch, "users.toml", 0o644);
    hang_up(running);
    until("the refusal is told", || events(scratch).contains("chmod 600"));
    assert_eq!(client.get("/metrics", &stays).status, 200);
    assert_eq!(client.get("/metrics", "").status, 401);
    client
}

#[test]
fn people_and_machines_come_in_over_tls_and_do_what_their_role_may() {
    let scratch = Scratch::new();
    let (certificate, key) = pair(2999);
    scratch.write("certificate.pem", &certificate);
    write_private(&scratch, "key.pem", &key);
    for (name, role) in [("vic", "viewer"), ("eva", "operator"), ("ada", "engineer")] {
        user(&scratch, name, role);
    }
    let scraper = token(&scratch, "scraper", "viewer");
    let script = token(&scratch, "script", "engineer");
    let http = "listen = \"127.0.0.1:0\"\nusers = \"users.toml\"\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"";
    line(&scratch, http);
    let checked = stdout(&scratch.run(&["check", "line.toml"]));
    assert!(checked.contains("ok      access: 3 user(s), 2 token(s), TLS"), "{checked}");
    let running = Running::start(&scratch, &[]);
    let mut client = Client::trusting(&running, &certificate);
    ready(&client);

    nobody_sees_anything(&client);

    // Machines, by their tokens; a browser's rules are not theirs.
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(client.get("/metrics", &bearer(&scraper)).status, 200);
    assert_eq!(client.post("/api/v1/mode", &bearer(&scraper), PAUSE).status, 403);
    assert_eq!(client.post("/api/v1/mode", &bearer(&script), PAUSE).status, 200);
    assert_eq!(client.post("/api/v1/mode", &bearer(&script), RUN).status, 200);
    for forged in ["0".repeat(64), String::new(), format!("{scraper}0"), scraper.to_uppercase()] {
        assert_eq!(client.get("/metrics", &bearer(&forged)).status, 401, "{forged}");
    }

    // People, by their passwords.
    for (name, password) in [
        ("eva", "evaevaev"),
        ("eva", ""),
        ("nobody", "nobody nobody"),
        ("", ""),
        ("EVA", "evaevaeva"),
    ] {
        let answer = client.login(name, password);
        assert_eq!((answer.status, &*answer.body), (401, "wrong name or password\n"), "{name}");
        assert_eq!(answer.header("set-cookie"), None);
        // The fifth would have everybody wait.
        client.session("vic");
    }
    let answer = client.login("eva", "evaevaeva");
    let set = answer.header("set-cookie").unwrap();
    assert!(set.starts_with("__host-sightline="), "{set}");
    assert!(set.ends_with("; path=/; httponly; samesite=strict; secure"), "{set}");
    assert_eq!(answer.json()["role"], "operator");
    let (cookie, page) = client.session("eva");
    let me = client.get("/api/v1/me", &cookie).json();
    assert_eq!((&me["name"], &me["role"]), (&"eva".into(), &"operator".into()));
    assert!(page.contains(me["csrf"].as_str().unwrap()));
    assert_eq!(client.get("/metrics", &cookie).status, 200);

    // What changes something wants the page's token, beside the cookie; a role is a role.
    assert_eq!(client.post("/api/v1/mode", &cookie, PAUSE).status, 403);
    let (_, others) = client.session("vic");
    let token_line = |page: &str| page.split_inclusive("\r\n").nth(1).unwrap().to_owned();
    let mixed = format!("{cookie}{}", token_line(&others));
    assert_eq!(client.post("/api/v1/mode", &mixed, PAUSE).status, 403);
    let twice = format!("{page}{}", token_line(&page));
    assert_eq!(client.post("/api/v1/mode", &twice, PAUSE).status, 403);
    for foreign in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        let answer = client.post("/api/v1/mode", &format!("{page}{foreign}"), PAUSE);
        assert_eq!(answer.status, 403, "{foreign}");
        let answer =
            client.post("/api/v1/login", foreign, "{\"name\":\"eva\",\"password\":\"evaevaeva\"}");
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{foreign}");
    }
    assert_eq!(client.get("/readyz", "").body, "running\n");
    let own =
        format!("{page}Origin: https://{}\r\nSec-Fetch-Site: same-origin\r\n", running.address);
    assert_eq!(client.post("/api/v1/mode", &own, PAUSE).status, 200);
    assert_eq!(client.post("/api/v1/mode", &page, RUN).status, 200);
    let refused = client.post("/api/v1/reload", &page, "{}");
    assert_eq!((refused.status, &*refused.body), (403, "that takes the role engineer\n"));
    let (_, engineer) = client.session("ada");
    assert_eq!(client.post("/api/v1/calibration/cancel", &engineer, "{}").status, 409);

    // A cookie holds until it is given back.
    assert_eq!(client.post("/api/v1/logout", &cookie, "{}").status, 403);
    let gone = client.post("/api/v1/logout", &page, "{}");
    assert_eq!((gone.status, gone.json()), (200, nobody()));
    assert!(gone.header("set-cookie").unwrap().ends_with("; max-age=0"));
    assert_eq!(client.get("/metrics", &cookie).status, 401);
    assert_eq!(client.get("/api/v1/me", &cookie).json(), nobody());

    client = renewed(&scratch, &running, &client);
    // Who speaks no TLS gets nothing.
    let plain = Client::plain(&running).get("/healthz", "");
    assert!(!plain.body.contains("ok") && plain.status != 200, "{plain:?}");
    assert_eq!(client.get("/readyz", "").body, "running\n");
    running.stop();
    let events = events(&scratch);
    let events: Vec<_> = events.lines().collect();
    let told = |words: &[&str]| {
        events.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    };
    assert!(told(&["login", "eva", "as operator from 127.0.0.1"]) >= 3, "{events:#?}");
    assert!(told(&["login", "ada", "as engineer from 127.0.0.1"]) >= 2, "{events:#?}");
    assert_eq!(told(&["logout", "eva"]), 1, "{events:#?}");
    assert_eq!(told(&["mode", "eva", "run to pause"]), 1, "{events:#?}");
    assert_eq!(told(&["mode", "script", "run to pause"]), 1, "{events:#?}");
    // Eleven refusals in some seconds are one event or, on a slow machine, some.
    let refused = told(&["login-refused"]) + told(&["token-refused"]);
    assert!((1..=5).contains(&refused), "{events:#?}");
    // What was typed in the place of a name may be a password.
    assert_eq!(told(&["nobody"]) + told(&["EVA"]), 0, "{events:#?}");
}

#[test]
fn whoever_guesses_waits_and_the_others_do_not() {
    let scratch = Scratch::new();
    let (certificate, key) = pair(2999);
    scratch.write("certificate.pem", &certificate);
    write_private(&scratch, "key.pem", &key);
    user(&scratch, "eva", "operator");
    user(&scratch, "ada", "engineer");
    let scraper = token(&scratch, "scraper", "viewer");
    line(
        &scratch,
        "listen = \"127.0.0.1:0\"\nusers = \"users.toml\"\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"",
    );
    let running = Running::start(&scratch, &[]);
    let client = Client::trusting(&running, &certificate);
    ready(&client);
    let mut waits = 0;
    for guess in 0..20 {
        let answer = client.login("eva", &format!("guess number {guess}"));
        match answer.status {
            401 => {}
            429 => {
                let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=61).contains(&seconds), "{answer:?}");
                waits += 1;
            }
            other => panic!("{other}: {answer:?}"),
        }
    }
    // On a slow machine a second has passed here and there.
    assert!(waits >= 5, "{waits}");
    // Who comes from there waits as well, whatever his name; who has a token goes on.
    assert_eq!(client.login("ada", "adaadaada").status, 429);
    // Many at once are no more than one after another, and the line judges meanwhile.
    let before = judged(&client, &scraper);
    std::thread::scope(|scope| {
        let tries: Vec<_> = (0..24)
            .map(|index| {
                let client = &client;
                scope.spawn(move || client.login(&format!("user{index}"), "a wrong one").status)
            })
            .collect();
        let answers: Vec<u16> = tries.into_iter().map(|tried| tried.join().unwrap()).collect();
        assert!(answers.iter().all(|status| [401, 429, 503].contains(status)), "{answers:?}");
        let compared = answers.iter().filter(|&&status| status == 401).count();
        // Every try makes the next wait for longer; on a slow machine some seconds pass.
        assert!(compared <= 3, "{answers:?}");
    });
    until("frames are judged", || judged(&client, &scraper) > before + 10);
    running.stop();
    let events = events(&scratch);
    let refused = events.lines().filter(|line| line.contains("login-refused")).count();
    assert!((1..=5).contains(&refused), "{events}");
}

#[test]
fn the_last_one_can_be_taken_out_of_a_running_line() {
    let scratch = Scratch::new();
    user(&scratch, "ada", "engineer");
    line(&scratch, "listen = \"127.0.0.1:0\"\nusers = \"users.toml\"");
    let running = Running::start(&scratch, &[]);
    let client = Client::plain(&running);
    ready(&client);
    let (session, _) = client.session("ada");
    assert_eq!(client.get("/metrics", &session).status, 200);
    let removed = scratch.run(&["user", "remove", "ada", "--file", "users.toml"]);
    assert!(stderr(&removed).contains("nobody is left"), "{}", stderr(&removed));
    hang_up(&running);
    until("she is out", || client.get("/metrics", &session).status == 401);
    assert_eq!(client.login("ada", "adaadaada").status, 401);
    assert_eq!(client.get("/readyz", "").status, 200);
    user(&scratch, "eva", "viewer");
    hang_up(&running);
    until("another comes in", || client.login("eva", "evaevaeva").status == 200);
    running.stop();
}

/// Frames that were judged so far.
fn judged(client: &Client, token: &str) -> u64 {
    let answer = client.get("/metrics", &format!("Authorization: Bearer {token}\r\n"));
    let name = "sightline_frames_judged_total{camera=\"top\"} ";
    let value = answer.body.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
}

#[test]
fn a_line_inspects_without_the_address_of_its_page() {
    let scratch = Scratch::new();
    user(&scratch, "ada", "engineer");
    // Of the range that is for documentation alone: no machine has it.
    line(&scratch, "listen = \"192.0.2.7:0\"\nusers = \"users.toml\"\nplain = true");
    let endless = std::fs::read_to_string(scratch.path("line.toml")).unwrap();
    scratch.write(
        "line.toml",
        endless.replace("pattern = \"ball\"", "pattern = \"ball\", frames = 3"),
    );
    let output = scratch.run(&["run", "line.toml"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json_lines(&output).len(), 3);
    assert!(stderr(&output).contains("does not have that address (yet)"), "{}", stderr(&output));
}

#[test]
fn what_is_wrong_with_access_is_told_before_anything_is_served() {
    let scratch = Scratch::new();
    let (certificate, key) = pair(2999);
    let (_, other_key) = pair(2999);
    let (expired, expired_key) = pair(2021);
    scratch.write("certificate.pem", &certificate);
    scratch.write("expired.pem", &expired);
    write_private(&scratch, "noise.pem", "noise");
    for (name, text) in
        [("key.pem", &key), ("other.pem", &other_key), ("expired.key", &expired_key)]
    {
        write_private(&scratch, name, text);
    }
    scratch.write("open.key", &key);
    mode(&scratch, "open.key", 0o644);
    user(&scratch, "eva", "operator");
    std::fs::copy(scratch.path("users.toml"), scratch.path("open.toml")).unwrap();
    mode(&scratch, "open.toml", 0o640);
    write_private(&scratch, "empty.toml", "");
    write_private(
        &scratch,
        "typed.toml",
        "[[user]]\nname = \"eva\"\nrole = \"operator\"\npassword = \"hunter2\"\n",
    );
    let check = |http: &str, expected: &str| {
        line(&scratch, http);
        let output = scratch.run(&["run", "line.toml"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{http}: {told}");
        assert!(told.contains(expected) && told.lines().count() == 1, "{http}: {told}");
        assert!(!told.contains("hunter2") && !told.contains("BEGIN"), "{told}");
    };
    let here = "listen = \"127.0.0.1:0\"\n";
    let far = "listen = \"0.0.0.0:0\"\n";
    let users = "users = \"users.toml\"\n";
    let tls = "certificate = \"certificate.pem\"\nkey = \"key.pem\"\n";
    check(far, "takes http.users: write the file with sightline user add");
    check(&format!("{far}{tls}"), "takes http.users");
    check(&format!("{far}{users}"), "takes http.certificate and http.key");
    check(&format!("{far}plain = true\n"), "takes http.users");
    check(&format!("{here}plain = true\n"), "takes http.users");
    check(&format!("{here}hosts = [\"line.example\"]\n"), "takes http.users");
    check(&format!("{here}{users}{tls}plain = true\n"), "say the contrary");
    check(&format!("{here}certificate = \"certificate.pem\"\n"), "\"http.key\" is missing");
    check(&format!("{here}key = \"key.pem\"\n"), "\"http.certificate\" is missing");
    check("listen = \"localhost:9640\"", "must be an address with a port");
    check(&format!("{here}{users}hosts = [\"http://a/b\"]\n"), "without scheme and port");
    check(&format!("{here}users = \"none.toml\"\n"), "none.toml: it cannot be read");
    check(&format!("{here}users = \"open.toml\"\n"), "others may read or write it; chmod 600");
    check(&format!("{here}users = \"empty.toml\"\n"), "nobody is in it");
    check(
        &format!("{here}users = \"typed.toml\"\n"),
        "\"user[0].password\": it is an argon2id hash",
    );
    check(&format!("{here}users = \".\"\n"), "it is no file");
    check(&format!("{here}users = \"credential:users\"\n"), "LoadCredential=users:/path");
    check(
        &format!("{here}users = \"credential:../users.toml\"\n"),
        "a credential has a name and no path",
    );
    let with = |certificate: &str, key: &str| {
        format!("{here}certificate = \"{certificate}\"\nkey = \"{key}\"\n")
    };
    check(&with("none.pem", "key.pem"), "none.pem: it cannot be read");
    check(&with("noise.pem", "key.pem"), "it holds no certificate in PEM");
    check(&with("certificate.pem", "noise.pem"), "it holds no private key in PEM");
    check(&with("certificate.pem", "other.pem"), "the key is not that of the certificate");
    check(&with("certificate.pem", "open.key"), "everybody may read or write it; chmod 600");
    // A certificate that ran out is a mistake, and no reason for a line to stand still.
    line(&scratch, &with("expired.pem", "expired.key"));
    let checked = scratch.run(&["check", "line.toml"]);
    assert_eq!(checked.status.code(), Some(3));
    let told = stdout(&checked);
    assert!(told.contains("it was valid until 2021-01-01T00:00:00Z: make a new one"), "{told}");
    let running = Running::start(&scratch, &[]);
    running.stop();
}

#[test]
fn the_users_file_is_its_owners_alone_and_keeps_no_password() {
    let scratch = Scratch::new();
    user(&scratch, "eva", "operator");
    let shown = token(&scratch, "scraper", "viewer");
    let text = std::fs::read_to_string(scratch.path("users.toml")).unwrap();
    assert!(!text.contains("evaevaeva") && !text.contains(&shown), "{text}");
    assert!(text.contains("password = \"$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
    let permissions = std::fs::metadata(scratch.path("users.toml")).unwrap().permissions();
    assert_eq!(permissions.mode() & 0o7777, 0o600);
    let listed = stdout(&scratch.run(&["user", "list", "--file", "users.toml"]));
    assert_eq!(listed, "user   operator  eva\ntoken  viewer    scraper\n");
    let file = ["--file", "users.toml"];
    let check = |arguments: &[&str], input: &str, code: i32, expected: &str| {
        let output = typed(&scratch, &[arguments, &file].concat(), input);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(expected), "{arguments:?}: {told}");
    };
    let add = |name| ["user", "add", name, "--role", "viewer"];
    check(&add("eva"), "long enough\n", 3, "eva is there already; sightline user remove");
    check(&add("scraper"), "long enough\n", 3, "scraper is there already");
    check(&add("e va"), "long enough\n", 3, "letters, digits");
    check(&add("local"), "long enough\n", 3, "is not local");
    check(&add("bob"), "short\n", 2, "at least 8 characters");
    check(&add("bob"), "", 2, "at least 8 characters");
    check(&add("bob"), &"x".repeat(5_000), 2, "at most 1024 bytes");
    check(&["user", "add", "bob", "--role", "admin"], "", 2, "expected \"viewer\"");
    check(&["user", "remove", "bob"], "", 3, "nobody of the name bob");
    assert_eq!(std::fs::read_to_string(scratch.path("users.toml")).unwrap(), text);
    let missing = scratch.run(&["user", "list", "--file", "none.toml"]);
    assert_eq!(missing.status.code(), Some(3), "{}", stderr(&missing));
    check(&["user", "remove", "eva"], "", 0, "");
    let left = std::fs::read_dir(scratch.path(".")).unwrap().count();
    assert_eq!(left, 2, "the model and the users file, and nothing half written");
}

#[test]
fn an_address_that_others_reach_takes_a_login_and_is_called_by_its_names() {
    // One of this machine that is no loopback: the route is asked for, nothing is sent.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe.connect("192.0.2.1:9").ok().and_then(|()| probe.local_addr().ok());
    let Some(own) = own.map(|own| own.ip()).filter(|own| !own.is_loopback()) else {
        // A machine without a network has no such address.
        return;
    };
    let scratch = Scratch::new();
    user(&scratch, "eva", "operator");
    line(
        &scratch,
        "listen = \"0.0.0.0:0\"\nusers = \"users.toml\"\nplain = true\nhosts = [\"line.plant.example\"]",
    );
    let mut running = Running::start(&scratch, &[]);
    let port = running.address.rsplit(':').next().unwrap().to_owned();
    let at = |host: IpAddr| SocketAddr::new(host, port.parse().unwrap()).to_string();
    running.address = at(own);
    let client = Client::plain(&running);
    ready(&client);
    let called = |host: &str| {
        client.raw(
            format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )
    };
    for host in [&*own.to_string(), "localhost", "line.plant.example", "LINE.plant.example:443"] {
        assert_eq!(called(host).status, 200, "{host}");
    }
    for host in ["evil.example", "0.0.0.0", "192.0.2.1", "xline.plant.example"] {
        assert_eq!(called(host).status, 421, "{host}");
    }
    // Nobody is local here, whatever way he takes.
    assert_eq!(client.get("/metrics", "").status, 401);
    running.address = at([127, 0, 0, 1].into());
    assert_eq!(Client::plain(&running).get("/metrics", "").status, 401);
    // The proxy says by the page's origin whether the browser speaks TLS.
    let body = "{\"name\":\"eva\",\"password\":\"evaevaeva\"}";
    let host = "Host: line.plant.example\r\n";
    let login = |origin: &str| {
        let (length, close) = (body.len(), "Connection: close\r\n");
        let head = format!(
            "POST /api/v1/login HTTP/1.1\r\n{host}{close}{JSON}{origin}Content-Length: {length}\r\n\r\n"
        );
        client.raw(format!("{head}{body}").as_bytes())
    };
    let outside = login("Origin: https://line.plant.example\r\n");
    let set = outside.header("set-cookie").unwrap();
    assert!(set.starts_with("__host-sightline=") && set.ends_with("; secure"), "{set}");
    let cookie = format!("Cookie: {}\r\n", outside.cookie());
    assert_eq!(client.get("/metrics", &cookie).status, 200);
    assert_eq!(outside.header("strict-transport-security"), None);
    let set = login("").header("set-cookie").unwrap().to_owned();
    assert!(set.starts_with("sightline=") && !set.contains("secure"), "{set}");
    running.stop();
}

#[test]
fn clients_that_shake_no_hands_are_let_go_of_and_one_address_has_its_share() {
    let scratch = Scratch::new();
    let (certificate, key) = pair(2999);
    scratch.write("certificate.pem", &certificate);
    write_private(&scratch, "key.pem", &key);
    line(
        &scratch,
        "listen = \"127.0.0.1:0\"\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"",
    );
    let running = Running::start(&scratch, &[]);
    let client = Client::trusting(&running, &certificate);
    ready(&client);
    // A record that announces more than comes, other protocols, noise, and nothing.
    let hello: &[u8] = b"\x16\x03\x01\x40\x00\x01";
    for bytes in [hello, b"SSH-2.0-x\r\n", b"GET / HTTP/1.1\r\n\r\n", &[0xff; 4096], b""] {
        let mut crowd: Vec<_> = (0..100)
            .map(|_| {
                let mut stream = TcpStream::connect(&running.address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                // Those beyond the share are closed at once.
                let _closed = stream.write_all(bytes);
                stream
            })
            .collect();
        for stream in &mut crowd {
            let mut answer = Vec::new();
            let began = Instant::now();
            let _reset = stream.read_to_end(&mut answer);
            assert!(began.elapsed() < PATIENCE, "it is held");
            // An alert at most.
            assert!(answer.len() < 64, "{answer:?}");
        }
        assert_eq!(client.get("/readyz", "").body, "running\n");
    }
    // Whoever holds the share of an address gets no more: what is beyond is closed without a word.
    let held: Vec<_> = (0..100).map(|_| TcpStream::connect(&running.address)).collect();
    assert!(client.connect().is_err());
    drop(held);
    until("it is served again", || client.connect().is_ok());
    assert_eq!(client.get("/readyz", "").body, "running\n");
    running.stop();
}
