//! From a configuration's `[http]` to the gate: the users file, the certificate and its key.
//!
//! Owns whose files these may be. Everything that is wrong is told with the key, the file and the remedy.

use std::{
    fs::{File, Metadata},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use super::{cameras, print};
use crate::{
    access::users::{self, Users},
    clock::Clock,
    config::{HttpSettings, Kept},
    fault::{Class, Fault, one_line},
    http::{Gate, Way, tls::Tls},
};

/// A chain of certificates has some kilobytes, a key less.
const PEM_BYTES_MAX: u64 = 256 << 10;
/// What others than the owner may do.
const BY_OTHERS: u32 = 0o077;
/// What everybody may do; a group may hold the keys of a machine.
const BY_ALL: u32 = 0o007;

/// The gate of a station that begins.
pub(super) fn gate(settings: &HttpSettings, clock: &Arc<dyn Clock>) -> Result<Arc<Gate>, Fault> {
    let (users, tls) = read(settings)?;
    if let Some(trouble) = tls.as_ref().and_then(|tls| tls.dates(clock.wall())) {
        // A line must not stand still because a certificate ran out overnight, or the clock is not set yet.
        print::note(&format!("http.certificate: {trouble}; browsers will warn"));
    }
    let way = match tls {
        Some(tls) => Way::Tls(tls.config),
        None if settings.is_behind_proxy => Way::Proxy,
        None => Way::Plain,
    };
    Ok(Arc::new(Gate::new(settings.hosts.clone(), way, users, Arc::clone(clock))))
}

/// Takes what the files say now. Users first: a certificate that is being exchanged must keep nobody in. Of what is wrong,
/// everything stays as it was.
pub(super) fn renew(settings: &HttpSettings, gate: &Gate) -> Result<(), Fault> {
    let kept = [settings.users.as_ref(), settings.tls.as_ref().map(|(certificate, _)| certificate)];
    if kept.into_iter().flatten().any(|kept| matches!(kept, Kept::Credential(_))) {
        // The copy that systemd gave at the start never changes.
        print::note(
            "what systemd keeps of users and certificates is read at the start only: restart the service",
        );
    }
    let who = settings.users.as_ref().map(users).transpose();
    let who = who.map(|users| gate.renew(users, None));
    let how = settings.tls.as_ref().map(|(certificate, key)| tls(certificate, key)).transpose();
    let how = how.map(|tls| gate.renew(None, tls.map(|tls| tls.config)));
    who.and(how)
}

/// What `check` says.
pub(super) fn checked(settings: &HttpSettings, now: SystemTime) -> Result<String, Fault> {
    let (users, tls) = read(settings)?;
    if let Some(trouble) = tls.as_ref().and_then(|tls| tls.dates(now)) {
        return Err(Fault::new(Class::Configuration, format!("http.certificate: {trouble}")));
    }
    let who = match &users {
        Some(users) => {
            format!("{} user(s), {} token(s)", users.users().len(), users.tokens().len())
        }
        None => "whoever reaches the loopback address".into(),
    };
    let how = match (&tls, settings.is_behind_proxy) {
        (Some(_), _) => "TLS",
        (None, true) => "behind a proxy that does TLS",
        (None, false) => "without TLS",
    };
    Ok(format!("{who}, {how}, at {}", settings.listen))
}

fn read(settings: &HttpSettings) -> Result<(Option<Users>, Option<Tls>), Fault> {
    let found = settings.users.as_ref().map(users).transpose()?;
    // A line that begins needs somebody who may; one that runs lets the last one be taken out.
    if let (Some(kept), Some(true)) = (&settings.users, found.as_ref().map(Users::is_empty)) {
        let remedy =
            "nobody is in it; sightline user add NAME --role engineer --file FILE adds the first";
        return Err(wrong("http.users", kept, remedy));
    }
    let tls = settings.tls.as_ref().map(|(certificate, key)| tls(certificate, key)).transpose()?;
    Ok((found, tls))
}

fn users(kept: &Kept) -> Result<Users, Fault> {
    let text = kept_text("http.users", kept, users::BYTES_MAX, |of| {
        if of.uid() != rustix::process::geteuid().as_raw() {
            return Err("it is another's; it must belong to whoever runs sightline");
        }
        let remedy = "others may read or write it; chmod 600 keeps them out";
        if of.mode() & BY_OTHERS == 0 { Ok(()) } else { Err(remedy) }
    })?;
    Users::parse(&text).map_err(|error| wrong("http.users", kept, &one_line(&error)))
}

fn tls(certificate: &Kept, key: &Kept) -> Result<Tls, Fault> {
    let shown = kept_text("http.certificate", certificate, PEM_BYTES_MAX, |_| Ok(()))?;
    let hidden = kept_text("http.key", key, PEM_BYTES_MAX, |of| {
        let remedy = "everybody may read or write it; chmod 600 keeps them out";
        if of.mode() & BY_ALL == 0 { Ok(()) } else { Err(remedy) }
    })?;
    Tls::new(shown.as_bytes(), hidden.as_bytes()).map_err(|error| {
        let (name, kept) = match error {
            crate::http::tls::TlsError::NoCertificate => ("http.certificate", certificate),
            crate::http::tls::TlsError::NoKey
            | crate::http::tls::TlsError::Mismatch
            | crate::http::tls::TlsError::Unfit(_) => ("http.key", key),
        };
        wrong(name, kept, &one_line(&error))
    })
}

/// A kept text; `may` looks at whose file it is, before anything of it is read. What systemd keeps is its own affair.
pub(super) fn kept_text(
    name: &str,
    kept: &Kept,
    bytes_max: u64,
    may: impl FnOnce(&Metadata) -> Result<(), &'static str>,
) -> Result<String, Fault> {
    let path = match kept {
        Kept::Credential(credential) => {
            return cameras::credential(credential).map_err(|why| wrong(name, kept, &why));
        }
        Kept::File(path) => path,
    };
    let unreadable =
        |error: std::io::Error| wrong(name, kept, &format!("it cannot be read: {error}"));
    // What is looked at is what is read: a file that is exchanged meanwhile is another.
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(wrong(name, kept, "it is no file"));
    }
    may(&metadata).map_err(|why| wrong(name, kept, why))?;
    let mut text = String::new();
    file.take(bytes_max + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > bytes_max {
        return Err(wrong(name, kept, "it is too large, so it is another kind of file"));
    }
    Ok(text)
}

fn wrong(name: &str, kept: &Kept, why: &str) -> Fault {
    let place = match kept {
        Kept::File(path) => shown(path),
        Kept::Credential(credential) => format!("credential:{credential}"),
    };
    Fault::new(Class::Configuration, format!("{name} {place}: {why}"))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
