//! Teachers by name: a hub on this machine, with the paths and headers of the real one, serves, redirects, cuts,
//! lies and stalls; nothing but whole files ever has a name in the cache.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use network::Backbone;
use trainer::teacher::{
    Teacher,
    cache::sha256_of,
    hub::{Fault, Hub, HubError, Limits, Settings},
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CARD: &str = "---\nlicense: bsd-3-clause\ntags:\n- timm\n---\n# Model card\n";
const CARD_ETAG: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// What the hub does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// Every body ends after so many bytes; the rest may be asked for, or not.
    Cuts {
        after: usize,
        ranges: bool,
    },
    /// Other bytes than the checksum says, of the same length.
    OtherBytes,
    /// The first requests are answered with a status, the others well.
    Status {
        code: u16,
        requests: usize,
    },
    /// Takes the request and never answers.
    Stalls,
    StallsInTheBody,
    NoChecksum,
    /// A length that no teacher has.
    Huge,
    /// More than it promised.
    TooLong,
    /// No model card.
    NoCard,
}

/// Every request is answered with this status.
fn always(code: u16) -> Wrong {
    Wrong::Status { code, requests: usize::MAX }
}

/// A hub: its address, and what it was asked, as `METHOD path range`.
struct LocalHub {
    endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl LocalHub {
    /// Serves `model` as the file of every repository until the test ends.
    fn start(model: &[u8], wrong: Wrong) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let model = Arc::new(model.to_vec());
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (model, log) = (Arc::clone(&model), Arc::clone(&log));
                std::thread::spawn(move || answer(&stream.unwrap(), &model, wrong, &log));
            }
        });
        Self { endpoint, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(stream: &TcpStream, model: &[u8], wrong: Wrong, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let request = lines.next()?;
    let headers: BTreeMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_lowercase(), value.to_owned()))
        })
        .collect();
    let mut words = request.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let range = headers.get("range").cloned().unwrap_or_default();
    let token = headers.get("authorization").cloned().unwrap_or_default();
    let count = {
        let mut log = log.lock().unwrap();
        log.push(format!("{method} {path} {range}{token}").trim().to_owned());
        log.len()
    };
    let say = |status: &str, headers: &[String], body: &[u8], length: usize| {
        let mut stream = stream;
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
        );
        // The client may have gone, which is what some of these tests are about.
        drop(stream.write_all(head.as_bytes()));
        if method == "GET" {
            drop(stream.write_all(body));
        }
        drop(stream.flush());
    };
    if let Wrong::Status { code: status, requests } = wrong
        && count <= requests
    {
        say(&format!("{status} No"), &[], b"no", 2);
        return None;
    }
    if wrong == Wrong::Stalls {
        std::thread::sleep(Duration::from_mins(1));
        return None;
    }
    let commit = format!("x-repo-commit: {COMMIT}");
    if path.ends_with("/README.md") {
        let status = if wrong == Wrong::NoCard { "404 Not Found" } else { "200 OK" };
        let etag = format!("etag: \"{CARD_ETAG}\"");
        say(status, &[commit, etag], CARD.as_bytes(), CARD.len());
        return None;
    }
    if path.starts_with("/timm/") {
        // The real one redirects to a store on another host, which knows the bytes and nothing else.
        let port = stream.local_addr().unwrap().port();
        let length = if wrong == Wrong::Huge { 1 << 40 } else { model.len() };
        let mut headers = vec![
            commit,
            format!("x-linked-size: {length}"),
            format!("location: http://localhost:{port}/store/blob"),
            "etag: \"a-redirects-own\"".into(),
        ];
        if wrong != Wrong::NoChecksum {
            headers.push(format!("x-linked-etag: \"{}\"", sha256_of_bytes(model)));
        }
        say("302 Found", &headers, b"", 0);
        return None;
    }
    let whole = if wrong == Wrong::OtherBytes {
        model.iter().map(|byte| !byte).collect()
    } else if wrong == Wrong::TooLong {
        [model, b"more"].concat()
    } else {
        model.to_vec()
    };
    let has_ranges = !matches!(wrong, Wrong::Cuts { ranges: false, .. });
    let from = range.strip_prefix("bytes=").filter(|_| has_ranges);
    let from = from.map_or(0, |from| from.trim_end_matches('-').parse().unwrap());
    let rest = &whole[from..];
    let sent = if let Wrong::Cuts { after, .. } = wrong {
        &rest[..after.min(rest.len())]
    } else if wrong == Wrong::StallsInTheBody {
        &rest[..rest.len() / 2]
    } else {
        rest
    };
    if from > 0 {
        let last = whole.len() - 1;
        let range = format!("content-range: bytes {from}-{last}/{}", whole.len());
        say("206 Partial Content", &[range], sent, rest.len());
    } else {
        say("200 OK", &[], sent, rest.len());
    }
    if wrong == Wrong::StallsInTheBody {
        std::thread::sleep(Duration::from_mins(1));
    }
    None
}

fn sha256_of_bytes(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    sha256_of(file.path()).unwrap()
}

const LIMITS: Limits =
    Limits { wait: Duration::from_millis(500), tries: 3, pause: Duration::from_millis(5) };

fn settings(endpoint: &str, cache: &Path) -> Settings {
    Settings { endpoint: endpoint.into(), cache: cache.into(), offline: false, token: None }
}

/// What stands for a teacher's file where only its bytes matter.
fn model() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn fetch(settings: Settings) -> Result<Teacher, HubError> {
    Teacher::published(Backbone::ResNet18, &Hub::new(settings, LIMITS), &ProgressBar::hidden())
}

/// Every file of the cache that another client would take for whole.
fn whole_files(cache: &Path) -> Vec<PathBuf> {
    let mut folders = vec![cache.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if ![".incomplete", ".lock"].iter().any(|end| name.ends_with(end)) {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn a_published_teacher_is_fetched_once_and_lies_where_others_find_it() {
    let cache = tempfile::tempdir().unwrap();
    let hub = LocalHub::start(&model(), Wrong::Nothing);
    let first = fetch(settings(&hub.endpoint, cache.path())).unwrap();
    assert!(std::fs::read(&first.path).unwrap() == model());
    let place = format!("models--timm--resnet18.tv_in1k/snapshots/{COMMIT}/model.safetensors");
    assert_eq!(first.path, cache.path().join(place));
    assert_eq!(first.provenance.origin, "timm/resnet18.tv_in1k");
    assert_eq!(first.provenance.commit.as_deref(), Some(COMMIT));
    assert_eq!(first.provenance.licence.as_deref(), Some("bsd-3-clause"));
    assert_eq!(first.provenance.sha256, sha256_of_bytes(&model()));
    let reference = cache.path().join("models--timm--resnet18.tv_in1k/refs/main");
    assert_eq!(std::fs::read_to_string(reference).unwrap(), COMMIT);
    let asked = hub.asked();
    // From the cache, with a hub or without, and with the licence.
    assert_eq!(fetch(settings(&hub.endpoint, cache.path())).unwrap(), first);
    let nowhere = Settings { offline: true, ..settings("http://127.0.0.1:9", cache.path()) };
    assert_eq!(fetch(nowhere).unwrap(), first);
    assert_eq!(hub.asked(), asked, "a cached teacher was asked for");
}

#[test]
fn a_token_goes_to_the_hub_and_not_to_its_store() {
    let cache = tempfile::tempdir().unwrap();
    let hub = LocalHub::start(&model(), Wrong::Nothing);
    let settings =
        Settings { token: Some("hf_secret".into()), ..settings(&hub.endpoint, cache.path()) };
    fetch(settings).unwrap();
    for asked in hub.asked() {
        assert_eq!(asked.contains("/timm/"), asked.ends_with("Bearer hf_secret"), "{asked}");
    }
}

/// 1.2 MB in pieces of half a megabyte: two continuations.
const PIECES: Wrong = Wrong::Cuts { after: 500_000, ranges: true };

#[test]
fn a_transfer_that_is_cut_goes_on_where_it_was() {
    for wrong in [PIECES, Wrong::Status { code: 503, requests: 2 }, Wrong::NoCard] {
        let cache = tempfile::tempdir().unwrap();
        let hub = LocalHub::start(&model(), wrong);
        let teacher = fetch(settings(&hub.endpoint, cache.path())).unwrap();
        assert!(std::fs::read(&teacher.path).unwrap() == model(), "{wrong:?}");
        let is_range = |asked: &&String| asked.starts_with("GET /store/blob bytes=");
        let ranges = hub.asked().iter().filter(is_range).count();
        assert_eq!(ranges, if wrong == PIECES { 2 } else { 0 }, "{wrong:?}");
        assert_eq!(teacher.provenance.licence.is_none(), wrong == Wrong::NoCard, "{wrong:?}");
    }
}

#[test]
fn a_later_run_goes_on_with_what_an_earlier_one_left() {
    let cache = tempfile::tempdir().unwrap();
    let blobs = cache.path().join("models--timm--resnet18.tv_in1k/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let partial = blobs.join(format!("{}.incomplete", sha256_of_bytes(&model())));
    // Good bytes, bytes of something else, and more than there can be.
    for left in [model()[..700_000].to_vec(), vec![7; 700_000], vec![7; 2_000_000]] {
        std::fs::write(&partial, left).unwrap();
        let hub = LocalHub::start(&model(), Wrong::Nothing);
        let teacher = fetch(settings(&hub.endpoint, cache.path())).unwrap();
        assert!(std::fs::read(&teacher.path).unwrap() == model());
        std::fs::remove_dir_all(cache.path().join("models--timm--resnet18.tv_in1k/snapshots"))
            .unwrap();
        std::fs::remove_file(blobs.join(sha256_of_bytes(&model()))).unwrap();
    }
}

#[test]
fn what_goes_wrong_is_told_and_leaves_nothing_that_could_pass_for_whole() {
    let check = |wrong: Wrong, words: &[&str], fits: fn(&Fault) -> bool| {
        let cache = tempfile::tempdir().unwrap();
        let hub = LocalHub::start(&model(), wrong);
        let started = Instant::now();
        let error = fetch(settings(&hub.endpoint, cache.path())).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(15), "{wrong:?} waits too long");
        let told = error.to_string();
        assert!(fits(&error.fault), "{wrong:?}: {told}");
        for word in words.iter().chain(&["timm/resnet18.tv_in1k", &hub.endpoint]) {
            assert!(told.contains(word), "{wrong:?}: `{word}` is not in: {told}");
        }
        assert!(!told.contains('\n'), "{told}");
        assert_eq!(whole_files(cache.path()), Vec::<PathBuf>::new(), "{wrong:?}");
        hub.asked().len()
    };
    let unreachable: fn(&Fault) -> bool = |fault| matches!(fault, Fault::Unreachable(_));
    let answer: fn(&Fault) -> bool = |fault| matches!(fault, Fault::Answer(_));
    let asked = check(Wrong::OtherBytes, &["SHA-256", "nothing was kept"], |fault| {
        matches!(fault, Fault::Checksum { .. })
    });
    // One question, one redirect, one transfer: wrong bytes are not asked for again.
    assert_eq!(asked, 3);
    check(always(404), &["404", "HF_ENDPOINT", "--teacher"], |fault| {
        matches!(fault, Fault::Missing)
    });
    check(always(401), &["401", "HF_TOKEN"], |fault| matches!(fault, Fault::Denied(401)));
    check(always(403), &["403", "HF_TOKEN"], |fault| matches!(fault, Fault::Denied(403)));
    check(always(418), &["418"], answer);
    let tried = check(always(500), &["500", "3 tries", "--teacher"], unreachable);
    assert_eq!(tried, 3);
    check(Wrong::Stalls, &["timeout", "3 tries"], unreachable);
    check(Wrong::StallsInTheBody, &["of 1200000 bytes", "tries"], unreachable);
    check(Wrong::Cuts { after: 0, ranges: true }, &["0 of 1200000 bytes", "3 tries"], unreachable);
    check(Wrong::Cuts { after: 500_000, ranges: false }, &["500000 of 1200000 bytes"], unreachable);
    check(Wrong::NoChecksum, &["no SHA-256"], answer);
    check(Wrong::Huge, &["1099511627776 bytes"], answer);
}

#[test]
fn bytes_behind_the_promised_ones_are_not_taken() {
    let cache = tempfile::tempdir().unwrap();
    let hub = LocalHub::start(&model(), Wrong::TooLong);
    let told = fetch(settings(&hub.endpoint, cache.path())).unwrap_err().to_string();
    assert!(told.contains("more bytes"), "{told}");
    assert_eq!(whole_files(cache.path()), Vec::<PathBuf>::new());
}

#[test]
fn without_a_network_the_message_says_which_file_to_put_where() {
    let cache = tempfile::tempdir().unwrap();
    let hub = LocalHub::start(&model(), Wrong::Nothing);
    let offline = Settings { offline: true, ..settings(&hub.endpoint, cache.path()) };
    let error = fetch(offline).unwrap_err();
    assert!(matches!(*error.fault, Fault::Offline));
    assert_eq!(hub.asked(), Vec::<String>::new());
    // Nothing listens on the port of "discard".
    let unreachable = fetch(settings("http://127.0.0.1:9", cache.path())).unwrap_err();
    for error in [error, unreachable] {
        let told = error.to_string();
        let cache = cache.path().display().to_string();
        for word in ["model.safetensors", "--teacher", "models--timm--resnet18.tv_in1k", &cache] {
            assert!(told.contains(word), "{told}");
        }
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let hub = LocalHub::start(&model(), Wrong::Nothing);
    let error = fetch(settings(&hub.endpoint, &file.join("cache"))).unwrap_err();
    assert!(matches!(*error.fault, Fault::Cache { .. }), "{error}");
    assert!(error.to_string().contains("HF_HUB_CACHE"), "{error}");
}

#[test]
fn a_cached_file_that_was_changed_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let hub = LocalHub::start(&model(), Wrong::Nothing);
    let teacher = fetch(settings(&hub.endpoint, cache.path())).unwrap();
    std::fs::write(&teacher.path, &model()[..1000]).unwrap();
    let error = fetch(settings(&hub.endpoint, cache.path())).unwrap_err();
    assert!(matches!(*error.fault, Fault::Damaged { .. }), "{error}");
    let blob = std::fs::canonicalize(&teacher.path).unwrap();
    assert!(error.to_string().contains(&format!("remove {}", blob.display())), "{error}");
    // And that remedy helps.
    std::fs::remove_file(blob).unwrap();
    fetch(settings(&hub.endpoint, cache.path())).unwrap();
}

#[test]
fn two_at_once_do_not_write_into_one_file() {
    let cache = tempfile::tempdir().unwrap();
    let locks = cache.path().join(".locks/models--timm--resnet18.tv_in1k");
    std::fs::create_dir_all(&locks).unwrap();
    let lock =
        std::fs::File::create(locks.join(format!("{}.lock", sha256_of_bytes(&model())))).unwrap();
    lock.lock().unwrap();
    let hub = LocalHub::start(&model(), Wrong::Nothing);
    let error = fetch(settings(&hub.endpoint, cache.path())).unwrap_err();
    assert!(matches!(*error.fault, Fault::Busy), "{error}");
    drop(lock);
    fetch(settings(&hub.endpoint, cache.path())).unwrap();
}
