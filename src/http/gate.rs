//! The gate: by which name the station may be called, who comes in, and who is in.
//!
//! Owns the users, their sessions and attempts while the station runs, behind one lock that is held for a look only; a
//! password is compared outside it. Knows headers and no routes.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, header, uri::Authority};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::rustls::ServerConfig;

use crate::{
    access::{
        Who,
        attempts::{Attempts, Bursts},
        password::Password,
        secret,
        session::{Key, Session, Sessions},
        users::{User, Users},
    },
    clock::Clock,
};

/// Log-ins whose password is being compared or waits for it: one at a time is, so that the engine keeps its cores.
const LOGINS_MAX: usize = 4;
/// The session's cookie. A browser takes this prefix only from this very host, over TLS, for all paths.
const COOKIE_TLS: &str = "__Host-sightline";
/// The same where there is no TLS.
const COOKIE_PLAIN: &str = "sightline";

/// How bytes come here.
#[derive(Clone, Debug)]
pub enum Way {
    /// As they are, from this machine.
    Plain,
    /// As they are, from a proxy that does TLS for us: a client's address is not known.
    Proxy,
    /// Through our own TLS.
    Tls(Arc<ServerConfig>),
}

/// The gate of a station.
pub struct Gate {
    hosts: Vec<String>,
    clock: Arc<dyn Clock>,
    within: Mutex<Within>,
    logins: Semaphore,
}

struct Within {
    way: Way,
    /// `None`: whoever reaches the loopback address sits at the machine.
    users: Option<Users>,
    sessions: Sessions,
    attempts: Attempts,
    refused: Bursts,
}

/// How somebody has shown who he is.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// There are no users.
    Local,
    /// A machine's token, as it is kept.
    Token([u8; 32]),
    /// A session, with the token that its page shows.
    Session(Key, String),
}

impl Gate {
    /// A gate for the names `hosts`, beside loopback and the address itself, in lower case.
    pub fn new(hosts: Vec<String>, way: Way, users: Option<Users>, clock: Arc<dyn Clock>) -> Self {
        let within = Within {
            way,
            users,
            sessions: Sessions::default(),
            attempts: Attempts::default(),
            refused: Bursts::default(),
        };
        let within = Mutex::new(within);
        Self { hosts, clock, within, logins: Semaphore::new(LOGINS_MAX) }
    }

    /// Takes what files say now. Whether there are users, and whether there is TLS, stays as it was at the start.
    pub fn renew(&self, users: Option<Users>, tls: Option<Arc<ServerConfig>>) {
        let mut within = self.within();
        if let (Some(now), Some(users)) = (&mut within.users, users) {
            *now = users.clone();
            within.sessions.keep(&users);
        }
        if let (Way::Tls(now), Some(tls)) = (&mut within.way, tls) {
            *now = tls;
        }
    }

    fn within(&self) -> MutexGuard<'_, Within> {
        self.within.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        match &self.within().way {
            Way::Tls(config) => Some(Arc::clone(config)),
            Way::Plain | Way::Proxy => None,
        }
    }

    /// Whether an address says who it is; that of a proxy, or of this machine, does not.
    pub(super) fn knows_addresses(&self) -> bool {
        self.tls().is_some()
    }

    pub(super) fn has_users(&self) -> bool {
        self.within().users.is_some()
    }

    /// Whether a `Host` names this station: loopback, the address that was called, or a name of the configuration.
    pub(super) fn is_called(&self, host: &str, called: IpAddr) -> bool {
        let authority = host.parse::<Authority>().ok().filter(|_| !host.contains('@'));
        authority.is_some_and(|authority| {
            let name = authority.host().to_ascii_lowercase();
            let ip = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
            let is_here = |ip: IpAddr| ip.is_loopback() || ip == called.to_canonical();
            name == "localhost" || ip.is_some_and(is_here) || self.hosts.contains(&name)
        })
    }

    /// Whether a page of that origin is this station's own.
    pub(super) fn is_own_page(&self, origin: &str, host: &str) -> bool {
        let schemes: &[&str] = match &self.within().way {
            Way::Plain => &["http"],
            // It may speak TLS to the outside, or be tried out without.
            Way::Proxy => &["http", "https"],
            Way::Tls(_) => &["https"],
        };
        origin
            .split_once("://")
            .is_some_and(|(scheme, name)| name == host && schemes.contains(&scheme))
    }

    /// Who shows that cookie or token; `Ok(None)` shows nothing that holds, an error a token that does not exist.
    pub(super) fn who(&self, headers: &HeaderMap) -> Result<Option<(Who, Proof)>, NoSuchToken> {
        let now = self.clock.monotonic();
        let mut within = self.within();
        let Within { users: Some(users), sessions, way, .. } = &mut *within else {
            return Ok(Some((Who::local(), Proof::Local)));
        };
        if headers.contains_key(header::AUTHORIZATION) {
            let value = only(headers, &header::AUTHORIZATION);
            let token = value.and_then(|value| value.strip_prefix("Bearer "));
            let sha256 = secret::sha256(token.ok_or(NoSuchToken)?);
            let who = users.machine(&sha256).ok_or(NoSuchToken)?;
            return Ok(Some((who, Proof::Token(sha256))));
        }
        let names: &[&str] = match way {
            Way::Plain => &[COOKIE_PLAIN],
            Way::Proxy => &[COOKIE_TLS, COOKIE_PLAIN],
            Way::Tls(_) => &[COOKIE_TLS],
        };
        let Some(cookie) = names.iter().find_map(|name| cookie(headers, name)) else {
            return Ok(None);
        };
        let key = secret::sha256(cookie);
        let session = sessions.seen(&key, now);
        Ok(session.map(|Session { user, csrf, .. }| {
            let who = Who { name: user.name.clone(), role: user.role };
            (who, Proof::Session(key, csrf.clone()))
        }))
    }

    /// Whether what somebody has shown still holds.
    pub(super) fn still_holds(&self, proof: &Proof) -> bool {
        let now = self.clock.monotonic();
        let within = self.within();
        match (proof, &within.users) {
            (Proof::Local, _) => true,
            (Proof::Session(key, _), _) => within.sessions.is_open(key, now),
            (Proof::Token(sha256), Some(users)) => users.machine(sha256).is_some(),
            (Proof::Token(_), None) => false,
        }
    }

    /// Whether that is the token of the session's page.
    pub(super) fn is_its_page(&self, key: &Key, shown: &str) -> bool {
        self.within().sessions.is_its_page(key, shown)
    }

    /// A place for comparing a password; `None` when too many log in at once.
    pub(super) fn login_place(&self) -> Option<SemaphorePermit<'_>> {
        self.logins.try_acquire().ok()
    }

    /// Begins a log-in: who it would be, or nobody; an error says how long to wait.
    pub(super) fn begin(&self, address: IpAddr, name: &str) -> Result<Trying, Duration> {
        let now = self.clock.monotonic();
        let address = self.knows_addresses().then_some(address);
        let mut within = self.within();
        within.attempts.begin(address, name, now)?;
        let user = within.users.as_ref().and_then(|users| users.user(name)).cloned();
        Ok(Trying { user, address })
    }

    /// Opens a session for whoever gave the right password: its cookie and its page's token.
    ///
    /// `None` when he was taken out, or became another, while his password was compared.
    pub(super) fn open(&self, user: User, address: Option<IpAddr>) -> io::Result<Option<Opened>> {
        let (cookie, csrf) = (secret::fresh()?, secret::fresh()?);
        let now = self.clock.monotonic();
        let mut within = self.within();
        if within.users.as_ref().and_then(|users| users.user(&user.name)) != Some(&user) {
            return Ok(None);
        }
        within.attempts.succeeded(address, &user.name, now);
        within.sessions.open(user, &cookie, csrf.clone(), now);
        Ok(Some(Opened { cookie, csrf }))
    }

    /// Ends a session.
    pub(super) fn close(&self, key: &Key) {
        self.within().sessions.close(key);
    }

    /// The header that gives a browser its cookie, or takes it away.
    pub(super) fn set_cookie(&self, value: Option<&str>, origin: Option<&str>) -> String {
        let is_secure = match &self.within().way {
            Way::Plain => false,
            Way::Proxy => origin.is_some_and(|origin| origin.starts_with("https://")),
            Way::Tls(_) => true,
        };
        let (name, secure) = if is_secure { (COOKIE_TLS, "; Secure") } else { (COOKIE_PLAIN, "") };
        let age = if value.is_none() { "; Max-Age=0" } else { "" };
        let value = value.unwrap_or_default();
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}")
    }

    /// Whether a refusal is the first of a burst, which is told in the audit trail.
    pub(super) fn is_first_of_burst(&self, kind: &'static str, address: IpAddr) -> bool {
        let now = self.clock.monotonic();
        self.within().refused.is_first(kind, address, now)
    }

    /// Bursts that are over: their kind, from where, and how many came after the first.
    pub(super) fn ended_bursts(&self) -> Vec<(&'static str, IpAddr, u32)> {
        let now = self.clock.monotonic();
        self.within().refused.ended(now)
    }
}

/// A token that is nobody's, or no token.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoSuchToken;

/// Whose password is to be compared.
pub(super) struct Trying {
    user: Option<User>,
    address: Option<IpAddr>,
}

impl Trying {
    /// The name, where there is such a user: what is typed in its place may be a password.
    pub(super) fn name(&self) -> &str {
        self.user.as_ref().map_or("unknown", |user| &user.name)
    }

    /// What to compare with: it takes as long for nobody.
    pub(super) fn password(&self) -> Password {
        self.user.as_ref().map_or_else(Password::nobodys, |user| user.password.clone())
    }

    /// The user whose password it was.
    pub(super) fn known(self) -> Option<(User, Option<IpAddr>)> {
        Some((self.user?, self.address))
    }
}

/// A session that has begun.
pub(super) struct Opened {
    pub(super) cookie: String,
    pub(super) csrf: String,
}

/// A header's value, where it is there once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// A cookie's value, where it is there once.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = only(headers, &header::COOKIE)?
        .split(';')
        .filter_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use axum::http::HeaderValue;

    use super::*;
    use crate::{
        access::{Role, users::Token},
        clock::SystemClock,
    };

    const CALLED: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 8));

    fn gate(way: Way, users: Option<Users>) -> Gate {
        let hosts = vec!["line.plant.example".into(), "10.9.9.9".into()];
        Gate::new(hosts, way, users, Arc::new(SystemClock::start()))
    }

    fn users() -> Users {
        let mut users = Users::default();
        let password = Password::nobodys();
        users.add_user(User { name: "eva".into(), role: Role::Operator, password }).unwrap();
        let sha256 = secret::sha256("a token");
        users.add_token(Token { name: "scraper".into(), role: Role::Viewer, sha256 }).unwrap();
        users
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pair = |(name, value): &(HeaderName, &str)| {
            (name.clone(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn it_is_called_by_its_names_only() {
        let gate = gate(Way::Plain, None);
        let check = |host: &str, expected: bool| {
            assert_eq!(gate.is_called(host, CALLED), expected, "{host}");
        };
        for host in ["localhost", "LOCALHOST:9640", "127.0.0.1", "127.9.9.9:1", "[::1]:9640"] {
            check(host, true);
        }
        for host in ["10.0.0.8", "10.0.0.8:9640", "line.plant.example", "Line.Plant.Example:1"] {
            check(host, true);
        }
        check("10.9.9.9", true);
        for host in ["", "evil.example", "10.0.0.9", "line.plant.example.evil.example", "0.0.0.0"] {
            check(host, false);
        }
        for host in
            ["127.0.0.1@evil.example", "evil.example@localhost", "x@localhost", "a b", "::1"]
        {
            check(host, false);
        }
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 8).to_ipv6_mapped());
        assert!(gate.is_called("10.0.0.8", mapped));
        assert!(!gate.is_called("10.0.0.8", Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn a_page_is_ours_by_scheme_and_name() {
        let ours = |way: Way, origin: &str| gate(way, None).is_own_page(origin, "line:9640");
        assert!(ours(Way::Plain, "http://line:9640"));
        assert!(!ours(Way::Plain, "https://line:9640"));
        assert!(ours(Way::Proxy, "https://line:9640") && ours(Way::Proxy, "http://line:9640"));
        for origin in
            ["null", "", "http://line", "http://line:9640/", "http://evil", "ws://line:9640"]
        {
            assert!(!ours(Way::Proxy, origin), "{origin}");
        }
    }

    #[test]
    fn without_users_everybody_is_local_and_with_them_nobody() {
        let none = HeaderMap::new();
        let (who, _) = gate(Way::Plain, None).who(&none).unwrap().unwrap();
        assert_eq!(who, Who::local());
        assert!(gate(Way::Plain, Some(Users::default())).who(&none).unwrap().is_none());
        assert!(gate(Way::Plain, Some(users())).who(&none).unwrap().is_none());
    }

    #[test]
    fn a_token_comes_in_whole_once_and_as_a_bearer_only() {
        let gate = gate(Way::Plain, Some(users()));
        let who = |values: &[&str]| {
            let pairs: Vec<_> = values.iter().map(|v| (header::AUTHORIZATION, *v)).collect();
            gate.who(&headers(&pairs))
        };
        let (scraper, proof) = who(&["Bearer a token"]).unwrap().unwrap();
        assert_eq!((&*scraper.name, scraper.role), ("scraper", Role::Viewer));
        assert!(gate.still_holds(&proof));
        let forged: [&[&str]; 7] = [
            &["Bearer another"],
            &["Bearer "],
            &["a token"],
            &["Basic a token"],
            &["Bearer a token", "Bearer a token"],
            &["Bearer a token "],
            &[""],
        ];
        for values in forged {
            assert!(who(values).is_err(), "{values:?}");
        }
        let hash = format!("Bearer {}", bundle::fingerprint::hex(&secret::sha256("a token")));
        assert!(who(&[&hash]).is_err(), "what is kept opens nothing");
        gate.renew(Some(Users::default()), None);
        assert!(who(&["Bearer a token"]).is_err() && !gate.still_holds(&proof));
    }

    #[test]
    fn a_session_is_its_cookie_and_ends_with_its_user() {
        let gate = gate(Way::Plain, Some(users()));
        let trying = gate.begin(CALLED, "eva").unwrap();
        assert_eq!(trying.name(), "eva");
        let (eva, address) = trying.known().unwrap();
        assert_eq!(address, None, "without TLS of ours an address says nothing");
        let Opened { cookie, csrf } = gate.open(eva.clone(), address).unwrap().unwrap();
        let who = |value: &str| gate.who(&headers(&[(header::COOKIE, value)])).unwrap();
        let (found, proof) = who(&format!("a=b; sightline={cookie}; c=d")).unwrap();
        assert_eq!((&*found.name, found.role), ("eva", Role::Operator));
        assert!(matches!(&proof, Proof::Session(_, shown) if *shown == csrf));
        let key = bundle::fingerprint::hex(&secret::sha256(&cookie));
        for forged in [
            String::new(),
            "sightline=".into(),
            format!("sightline={}", "0".repeat(64)),
            format!("sightline={key}"),
            format!("__Host-sightline={cookie}"),
            format!("xsightline={cookie}"),
            format!("sightline={cookie}; sightline={cookie}"),
            format!("sightline=\"{cookie}\""),
        ] {
            assert!(who(&forged).is_none(), "{forged}");
        }
        gate.renew(Some(Users::default()), None);
        assert!(!gate.still_holds(&proof) && who(&format!("sightline={cookie}")).is_none());
        assert!(gate.open(eva, None).unwrap().is_none(), "he was taken out meanwhile");
        assert_eq!(gate.begin(CALLED, "eva").unwrap().name(), "unknown");
    }

    #[test]
    fn the_cookie_is_as_strict_as_the_way_allows() {
        let set = |way: Way, origin: Option<&str>| gate(way, None).set_cookie(Some("x"), origin);
        let strict = "Path=/; HttpOnly; SameSite=Strict";
        assert_eq!(set(Way::Plain, None), format!("sightline=x; {strict}"));
        let secure = format!("__Host-sightline=x; {strict}; Secure");
        assert_eq!(set(Way::Proxy, Some("https://line")), secure);
        assert_eq!(set(Way::Proxy, Some("http://line")), format!("sightline=x; {strict}"));
        let gone = gate(Way::Plain, None).set_cookie(None, None);
        assert_eq!(gone, format!("sightline=; {strict}; Max-Age=0"));
    }
}
