//! Fetches a file from the Hugging Face hub into its cache, whole or not at all.
//!
//! Owns the protocol: `HEAD` and `GET` of `/{repository}/resolve/{revision}/{file}`, redirects, `X-Repo-Commit`, the `ETag` of
//! a large file that is its SHA-256, ranges to go on after a cut; and the bounds on waiting and trying again.
//! What is in the cache is used without a request. Knows no teacher and no command line.

use std::{
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use indicatif::ProgressBar;
use ureq::{
    Agent, Body,
    config::RedirectAuthHeaders,
    http::{HeaderMap, Response, StatusCode},
    tls::{RootCerts, TlsConfig},
};

use super::cache::{self, Cache, Cached};

/// A file of a repository of the hub, at its branch `main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Owner and name, `timm/resnet18.tv_in1k`.
    pub repository: &'static str,
    /// `model.safetensors`.
    pub name: &'static str,
    /// No file that is longer is taken.
    pub bytes_max: u64,
    /// How its bytes are checked.
    pub check: Check,
}

/// How the bytes of a fetched file are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// By the SHA-256 that the hub states; where it states none, the file is refused.
    Sha256,
    /// By its length alone.
    Length,
}

/// Where the hub and its cache are: the environment variables that the hub's own clients know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `HF_ENDPOINT`, `https://huggingface.co` by default; a mirror otherwise.
    pub endpoint: String,
    /// `HF_HUB_CACHE`, else `$HF_HOME/hub`, else `huggingface/hub` of the user's cache.
    pub cache: PathBuf,
    /// `HF_HUB_OFFLINE`: no request leaves this machine.
    pub offline: bool,
    /// `HF_TOKEN`, for a mirror or repository that asks who one is.
    pub token: Option<String>,
}

impl Settings {
    /// As these environment variables say. Without any folder that could hold a cache, the working directory does.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name| set(name).map(|value| value.to_string_lossy().trim().to_owned());
        let folder = |name| set(name).map(PathBuf::from);
        let home = || {
            folder("HF_HOME")
                .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
                .or_else(|| folder("HOME").map(|home| home.join(".cache/huggingface")))
                .unwrap_or_else(|| PathBuf::from("huggingface"))
        };
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: folder("HF_HUB_CACHE").unwrap_or_else(|| home().join("hub")),
            offline: text("HF_HUB_OFFLINE").is_some_and(|value| {
                ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
            }),
            token: text("HF_TOKEN"),
        }
    }
}

/// Bounds on waiting and trying again.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a name, a connection, an answer, and each piece of a body.
    pub wait: Duration,
    /// Tries in a row that bring nothing new.
    pub tries: u32,
    /// Before the second of them; doubled before each that follows.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wait: Duration::from_secs(20), tries: 4, pause: Duration::from_millis(500) }
    }
}

/// Tries altogether, also where each brings a little: a line that is cut so often is none.
const TRIES_MAX: u32 = 200;
/// Redirects within the hub before it says what a file is.
const REDIRECTS_MAX: u32 = 5;

/// A file that could not be had.
#[derive(Debug, thiserror::Error)]
pub struct HubError {
    file: RemoteFile,
    endpoint: String,
    cache: PathBuf,
    /// What went wrong; part of the message, and so no source of it.
    pub fault: Box<Fault>,
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, endpoint, cache, fault } = self;
        let cache = cache.display();
        let RemoteFile { repository, name, .. } = file;
        // Without this machine's network: a file from elsewhere, or another machine's cache.
        let bring = format!(
            "bring {name} of {endpoint}/{repository} from another machine and give its path to --teacher, or copy the \
             folder {} of that machine's cache into {cache}",
            cache::folder_name(*file)
        );
        write!(f, "fetch {name} of {repository} from {endpoint}: {fault}; ")?;
        match &**fault {
            Fault::Offline => write!(f, "unset HF_HUB_OFFLINE, or {bring}"),
            Fault::Unreachable(_) | Fault::Answer(_) => {
                write!(f, "look at the network and HF_ENDPOINT, or {bring}")
            }
            Fault::Missing => write!(f, "look at HF_ENDPOINT, or {bring}"),
            Fault::Denied(_) => write!(f, "set HF_TOKEN to a token that may read it, or {bring}"),
            Fault::Checksum { .. } => write!(f, "nothing was kept: try again, or {bring}"),
            Fault::Busy => write!(f, "wait for it to end, then try again"),
            Fault::Cache { .. } => {
                write!(f, "set HF_HUB_CACHE to a folder that can be written and has room")
            }
            Fault::Damaged { path, .. } => write!(f, "remove {} and try again", path.display()),
        }
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Requests are forbidden.
    #[error("it is not in the cache, and HF_HUB_OFFLINE is set")]
    Offline,
    /// No connection, a time-out, a cut or an overloaded server, in every try.
    #[error("{0}")]
    Unreachable(String),
    /// An answer that is none of a hub's.
    #[error("{0}")]
    Answer(String),
    /// Status 404.
    #[error("there is no such file (status 404)")]
    Missing,
    /// Status 401 or 403.
    #[error("reading it is not allowed (status {0})")]
    Denied(u16),
    /// What came is not what was promised.
    #[error("what came has the SHA-256 {found}, and not the {promised} that was promised")]
    Checksum {
        /// By the hub.
        promised: String,
        /// Of the bytes that came.
        found: String,
    },
    /// Another program fetches the same file.
    #[error("another program is fetching it")]
    Busy,
    /// The cache cannot be written or read.
    #[error("the cache {path}: {cause}")]
    Cache {
        /// Its folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A cached file that is not what its name says.
    #[error("the cached {path} has the SHA-256 {found}, and not the one of its name")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Of its bytes.
        found: String,
    },
}

/// A file that is there and was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where, and of which commit.
    pub cached: Cached,
    /// Of its bytes.
    pub sha256: String,
}

/// A client of one hub with one cache.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    limits: Limits,
    cache: Cache,
    agent: Agent,
}

/// What the hub says of a file before it sends it.
struct Promise {
    commit: String,
    etag: String,
    bytes: u64,
}

/// Whether another try may help.
enum Failure {
    Passing(String),
    Lasting(Fault),
}

impl Hub {
    /// A client; nothing is asked yet.
    pub fn new(settings: Settings, limits: Limits) -> Self {
        // The machine's own roots: a plant's proxy has a certificate of its own.
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let wait = Some(limits.wait);
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("sightline-train/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(wait)
            .timeout_connect(wait)
            .timeout_recv_response(wait)
            .timeout_per_read(wait)
            .build()
            .new_agent();
        let cache = Cache::new(settings.cache.clone());
        Self { settings, limits, cache, agent }
    }

    /// The page of a file's repository.
    pub fn page(&self, file: RemoteFile) -> String {
        format!("{}/{}", self.settings.endpoint, file.repository)
    }

    /// The file if it is in the cache, checked against its name; no request.
    pub fn cached(&self, file: RemoteFile) -> Result<Option<Fetched>, HubError> {
        let Some(cached) = self.cache.find(file) else { return Ok(None) };
        let sha256 =
            cache::sha256_of(&cached.path).map_err(|cause| self.cache_fault(file, cause))?;
        match cache::promised_sha256(&cached.path) {
            Some(promised) if promised != sha256 => {
                let path = std::fs::canonicalize(&cached.path).unwrap_or(cached.path);
                Err(self.error(file, Fault::Damaged { path, found: sha256 }))
            }
            Some(_) | None => Ok(Some(Fetched { cached, sha256 })),
        }
    }

    /// The file from the cache, or from the hub by way of the cache.
    pub fn fetch(&self, file: RemoteFile, bar: &ProgressBar) -> Result<Fetched, HubError> {
        if let Some(found) = self.cached(file)? {
            return Ok(found);
        }
        self.bring(file, "main", bar)
    }

    /// The file at a commit that was fetched before: what lies beside another file.
    pub fn fetch_at(&self, file: RemoteFile, commit: &str) -> Result<Fetched, HubError> {
        self.bring(file, commit, &ProgressBar::hidden())
    }

    fn bring(&self, file: RemoteFile, at: &str, bar: &ProgressBar) -> Result<Fetched, HubError> {
        if self.settings.offline {
            return Err(self.error(file, Fault::Offline));
        }
        let promise = self.promise(file, at, bar).map_err(|fault| self.error(file, fault))?;
        let lock = self.cache.try_lock(file, &promise.etag);
        let Some(_lock) = lock.map_err(|cause| self.cache_fault(file, cause))? else {
            return Err(self.error(file, Fault::Busy));
        };
        if !self.cache.has_blob(file, &promise.etag) {
            self.blob(file, &promise, bar).map_err(|fault| self.error(file, fault))?;
        }
        let published = self.cache.publish(file, &promise.etag, &promise.commit);
        published.map_err(|cause| self.cache_fault(file, cause))?;
        self.cached(file)?.ok_or_else(|| {
            self.cache_fault(file, io::Error::new(io::ErrorKind::NotFound, "the file vanished"))
        })
    }

    fn error(&self, file: RemoteFile, fault: Fault) -> HubError {
        let Settings { endpoint, cache, .. } = &self.settings;
        HubError { file, endpoint: endpoint.clone(), cache: cache.clone(), fault: Box::new(fault) }
    }

    fn cache_fault(&self, file: RemoteFile, cause: io::Error) -> HubError {
        self.error(file, self.of_cache(cause))
    }

    fn of_cache(&self, cause: io::Error) -> Fault {
        Fault::Cache { path: self.cache.root().to_owned(), cause }
    }

    fn url(&self, file: RemoteFile, at: &str) -> String {
        format!("{}/resolve/{at}/{}", self.page(file), file.name)
    }

    /// Asks what the file is, several times where an answer fails to come.
    fn promise(&self, file: RemoteFile, at: &str, bar: &ProgressBar) -> Result<Promise, Fault> {
        let mut tries = Tries::new(self.limits, bar);
        loop {
            match self.ask(file, at) {
                Ok(promise) => return Ok(promise),
                Err(Failure::Lasting(fault)) => return Err(fault),
                Err(Failure::Passing(cause)) => tries.again(&cause)?,
            }
        }
    }

    fn ask(&self, file: RemoteFile, at: &str) -> Result<Promise, Failure> {
        let mut url = self.url(file, at);
        // The first answer that says a thing counts: behind the hub's redirect is a store that does not know commits.
        let (mut commit, mut etag, mut bytes) = (None, None, None);
        for _ in 0..=REDIRECTS_MAX {
            let mut request = self.agent.head(&url);
            if let Some(token) = &self.settings.token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.config().max_redirects(0).build().call().map_err(passing)?;
            let headers = response.headers();
            commit = commit.or_else(|| header(headers, "x-repo-commit").map(str::to_owned));
            etag = etag.or_else(|| header(headers, "x-linked-etag").map(bare));
            bytes = bytes.or_else(|| header(headers, "x-linked-size")?.parse().ok());
            // A path of the same hub: a repository that was renamed, or a small file's place.
            let inner = header(headers, "location").filter(|to| to.starts_with('/'));
            match (response.status().is_redirection(), inner) {
                (true, Some(path)) => url = format!("{}{path}", origin(&self.settings.endpoint)),
                (is_redirection, _) => {
                    if !is_redirection {
                        refuse(response.status())?;
                        etag = etag.or_else(|| header(headers, "etag").map(bare));
                        bytes = bytes.or_else(|| header(headers, "content-length")?.parse().ok());
                    }
                    return promised(file, at, commit, etag, bytes).map_err(Failure::Lasting);
                }
            }
        }
        Err(Failure::Lasting(Fault::Answer(format!("more than {REDIRECTS_MAX} redirects"))))
    }

    /// Brings a blob into the cache: what came earlier is gone on with, and nothing has the blob's name before its
    /// checksum was found right.
    fn blob(&self, file: RemoteFile, promise: &Promise, bar: &ProgressBar) -> Result<(), Fault> {
        let of_cache = |cause| self.of_cache(cause);
        let (mut partial, path) =
            self.cache.open_incomplete(file, &promise.etag).map_err(of_cache)?;
        let length = || std::fs::metadata(&path).map(|found| found.len());
        let mut is_continued = length().map_err(of_cache)? > 0;
        loop {
            self.download(file, promise, &mut partial, bar)?;
            partial.sync_all().map_err(of_cache)?;
            let Check::Sha256 = file.check else { break };
            let found = cache::sha256_of(&path).map_err(of_cache)?;
            if found == promise.etag {
                break;
            }
            partial.set_len(0).map_err(of_cache)?;
            if is_continued {
                // What lay there from an earlier run may be what is wrong: once more, all of it.
                is_continued = false;
                continue;
            }
            std::fs::remove_file(&path).map_err(of_cache)?;
            return Err(Fault::Checksum { promised: promise.etag.clone(), found });
        }
        self.cache.complete(file, &promise.etag).map_err(of_cache)
    }

    /// Fills `partial` up to the promised length.
    fn download(
        &self,
        file: RemoteFile,
        promise: &Promise,
        partial: &mut File,
        bar: &ProgressBar,
    ) -> Result<(), Fault> {
        bar.set_length(promise.bytes);
        let mut tries = Tries::new(self.limits, bar);
        let mut furthest = 0;
        loop {
            let result = self.go_on(file, promise, partial, bar);
            let have = partial.metadata().map_err(|cause| self.of_cache(cause))?.len();
            match result {
                Ok(()) => return Ok(()),
                Err(Failure::Lasting(fault)) => return Err(fault),
                Err(Failure::Passing(cause)) => {
                    if have > furthest {
                        tries.renew();
                    }
                    furthest = furthest.max(have);
                    tries.again(&format!("{cause}, {have} of {} bytes", promise.bytes))?;
                }
            }
        }
    }

    fn go_on(
        &self,
        file: RemoteFile,
        promise: &Promise,
        partial: &mut File,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let of_cache = |cause| Failure::Lasting(self.of_cache(cause));
        let mut have = partial.seek(SeekFrom::End(0)).map_err(of_cache)?;
        if have > promise.bytes {
            have = restart(partial).map_err(of_cache)?;
        }
        bar.set_position(have);
        bar.reset_eta();
        if have == promise.bytes {
            return Ok(());
        }
        let response = self.get(file, &promise.commit, have)?;
        // A server without ranges sends all of it again.
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT
            && header(response.headers(), "content-range")
                .is_some_and(|range| range.starts_with(&format!("bytes {have}-")));
        if !goes_on && have > 0 {
            have = restart(partial).map_err(of_cache)?;
            bar.set_position(0);
        }
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(Failure::Passing("the server could not go on".into()));
        }
        refuse(response.status())?;
        // One more than promised shows what is too long.
        let mut body = response.into_body().into_reader().take(promise.bytes - have + 1);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = body
                .read(&mut buffer)
                .map_err(|cause| Failure::Passing(format!("the transfer failed: {cause}")))?;
            if count == 0 {
                break;
            }
            partial.write_all(&buffer[..count]).map_err(of_cache)?;
            have += count as u64;
            bar.set_position(have.min(promise.bytes));
        }
        match have.cmp(&promise.bytes) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(Failure::Passing("the transfer was cut".into())),
            std::cmp::Ordering::Greater => {
                restart(partial).map_err(of_cache)?;
                let cause = "more bytes came than were promised";
                Err(Failure::Lasting(Fault::Answer(cause.into())))
            }
        }
    }

    fn get(&self, file: RemoteFile, commit: &str, from: u64) -> Result<Response<Body>, Failure> {
        let mut request = self.agent.get(self.url(file, commit));
        if let Some(token) = &self.settings.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.call().map_err(passing)
    }
}

/// Counts tries, and waits between them.
struct Tries<'b> {
    limits: Limits,
    in_a_row: u32,
    all: u32,
    bar: &'b ProgressBar,
}

impl<'b> Tries<'b> {
    fn new(limits: Limits, bar: &'b ProgressBar) -> Self {
        Self { limits, in_a_row: 0, all: 0, bar }
    }

    /// The last try brought something.
    fn renew(&mut self) {
        self.in_a_row = 0;
    }

    /// Waits for the next try, or says that there is none.
    fn again(&mut self, cause: &str) -> Result<(), Fault> {
        self.in_a_row += 1;
        self.all += 1;
        if self.in_a_row >= self.limits.tries || self.all >= TRIES_MAX {
            return Err(Fault::Unreachable(format!("{cause} (after {} tries)", self.all)));
        }
        self.bar.set_message(format!("{cause}; again"));
        std::thread::sleep(self.limits.pause * 2_u32.pow(self.in_a_row - 1));
        Ok(())
    }
}

/// Whatever stands in the way of a connection may pass.
#[expect(clippy::needless_pass_by_value, reason = "the form that map_err asks for")]
fn passing(error: ureq::Error) -> Failure {
    Failure::Passing(format!("no answer: {error}"))
}

/// Sorts the statuses that are no success.
fn refuse(status: StatusCode) -> Result<(), Failure> {
    let code = status.as_u16();
    match code {
        200..=299 => Ok(()),
        401 | 403 => Err(Failure::Lasting(Fault::Denied(code))),
        404 => Err(Failure::Lasting(Fault::Missing)),
        408 | 429 | 500..=599 => Err(Failure::Passing(format!("the server answers {status}"))),
        _ => Err(Failure::Lasting(Fault::Answer(format!("the server answers {status}")))),
    }
}

fn promised(
    file: RemoteFile,
    at: &str,
    commit: Option<String>,
    etag: Option<String>,
    bytes: Option<u64>,
) -> Result<Promise, Fault> {
    let no = |what: &str| Fault::Answer(format!("the server states no {what}"));
    let commit = commit
        .filter(|commit| cache::is_hex(commit, 40) && (at == "main" || at == *commit))
        .ok_or_else(|| no("commit"))?;
    let is_sha256 = |etag: &String| cache::is_hex(etag, 64);
    let etag = match file.check {
        Check::Sha256 => etag.filter(is_sha256).ok_or_else(|| no("SHA-256"))?,
        Check::Length => etag
            .filter(|etag| is_sha256(etag) || cache::is_hex(etag, 40))
            .ok_or_else(|| no("checksum"))?,
    };
    let bytes = bytes.ok_or_else(|| no("length"))?;
    if bytes > file.bytes_max {
        let most = file.bytes_max;
        return Err(Fault::Answer(format!("the file has {bytes} bytes, more than {most}")));
    }
    Ok(Promise { commit, etag, bytes })
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// An `ETag` without its quotes and its mark of weakness.
fn bare(etag: &str) -> String {
    etag.trim_start_matches("W/").trim_matches('"').to_owned()
}

/// Scheme and host of an endpoint, which may have a path.
fn origin(endpoint: &str) -> &str {
    let host = endpoint.find("://").map_or(0, |at| at + 3);
    endpoint[host..].find('/').map_or(endpoint, |path| &endpoint[..host + path])
}

fn restart(partial: &mut File) -> io::Result<u64> {
    partial.set_len(0)?;
    partial.seek(SeekFrom::Start(0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_cache_is_where_the_hubs_other_clients_have_theirs() {
        let check = |variables: &[(&str, &str)], cache: &str| {
            let variables: HashMap<&str, &str> = variables.iter().copied().collect();
            let settings =
                Settings::from_environment(|name| variables.get(name).map(OsString::from));
            assert_eq!(settings.cache, PathBuf::from(cache), "{variables:?}");
        };
        check(&[("HOME", "/h")], "/h/.cache/huggingface/hub");
        check(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub");
        check(&[("HOME", "/h"), ("HF_HOME", "/f")], "/f/hub");
        check(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")], "/c");
        check(&[("HOME", "/h"), ("HF_HOME", "")], "/h/.cache/huggingface/hub");
    }

    #[test]
    fn offline_is_said_in_the_hubs_words() {
        for (value, offline) in [("1", true), ("TRUE", true), ("0", false), ("", false)] {
            let settings = Settings::from_environment(|name| {
                (name == "HF_HUB_OFFLINE").then(|| OsString::from(value))
            });
            assert_eq!(settings.offline, offline, "{value}");
        }
    }

    #[test]
    fn a_redirect_within_the_hub_stays_at_its_host() {
        assert_eq!(origin("https://mirror:8443/hub/x"), "https://mirror:8443");
        assert_eq!(origin("https://mirror"), "https://mirror");
    }
}
