//! From a configuration's `[mqtt]` to what the thread takes: certificates, password, the station's name.
//!
//! Owns where they are read. Everything that is wrong is told with the key, the file and the remedy.

use std::{path::Path, sync::Arc};

use super::access::kept_text;
use crate::{
    config::{Kept, MqttSettings, MqttTls},
    fault::{Class, Fault},
    mqtt::{
        Identity, Level, MqttOptions, Transport,
        tls::{self, TlsError},
    },
};

/// A system's bundle has some 220 kB.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// A password is a line.
const PASSWORD_BYTES_MAX: u64 = 4 << 10;
/// Where Debian, and most others, keep whom the system trusts.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What everybody may do.
const BY_ALL: u32 = 0o007;

/// The broker, as people know it.
pub(super) fn address(settings: &MqttSettings) -> String {
    let scheme = if settings.tls.is_some() { "mqtts" } else { "mqtt" };
    format!("{scheme}://{}:{}", settings.host, settings.port)
}

/// What the thread takes.
pub(super) fn options(settings: &MqttSettings) -> Result<MqttOptions, Fault> {
    let transport = match &settings.tls {
        None => Transport::Plain,
        Some(tls) => Transport::Tls(client(tls)?),
    };
    let login = match &settings.user {
        None => None,
        Some((user, None)) => Some((user.clone(), String::new())),
        Some((user, Some(kept))) => {
            let text = secret("mqtt.password", kept, PASSWORD_BYTES_MAX)?;
            Some((user.clone(), text.trim_end_matches(['\r', '\n']).to_owned()))
        }
    };
    Ok(MqttOptions {
        host: settings.host.clone(),
        port: settings.port,
        transport,
        login,
        format: settings.format,
        identity: identity(settings)?,
        prefix: settings.prefix.clone(),
        keep_alive: settings.keep_alive,
        has_events: settings.has_events,
        packet_bytes_max: settings.packet_bytes_max,
        sparkplug_host: settings.sparkplug_host.clone(),
    })
}

/// What `check` says.
pub(super) fn checked(settings: &MqttSettings, has_ledger: bool) -> Result<String, Fault> {
    let options = options(settings)?;
    if !has_ledger {
        return Err(without_ledger());
    }
    let how = match (&settings.tls, &settings.user) {
        (Some(MqttTls { identity: Some(_), .. }), _) => "TLS with a client certificate",
        (Some(_), _) => "TLS",
        (None, _) => "without TLS",
    };
    Ok(format!(
        "{}, {how}, as {}; whether it answers is not tried",
        address(settings),
        options.identity
    ))
}

/// A queue that a crash empties is none.
pub(super) fn without_ledger() -> Fault {
    let line = "mqtt.broker is there, but no ledger that keeps what the broker has not acknowledged: set ledger.path as well";
    Fault::new(Class::Configuration, line)
}

fn identity(settings: &MqttSettings) -> Result<Identity, Fault> {
    let site = settings.site.clone();
    if let Some(device) = &settings.device {
        return Ok(Identity { site, device: device.clone() });
    }
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy().into_owned();
    let device = Level::new(&name).map_err(|expected| {
        let line = format!(
            "mqtt.device: the machine's host name is \"{name}\", but {expected}: set mqtt.device"
        );
        Fault::new(Class::Configuration, line)
    })?;
    Ok(Identity { site, device })
}

fn client(settings: &MqttTls) -> Result<Arc<rustls::ClientConfig>, Fault> {
    let system = Kept::File(Path::new(SYSTEM_CA).into());
    let ca = settings.ca.as_ref().unwrap_or(&system);
    let roots = kept_text("mqtt.ca_certificate", ca, PEM_BYTES_MAX, |_| Ok(()))?;
    let identity = match &settings.identity {
        None => None,
        Some((certificate, key)) => {
            let shown = kept_text("mqtt.certificate", certificate, PEM_BYTES_MAX, |_| Ok(()))?;
            Some((shown, secret("mqtt.key", key, PEM_BYTES_MAX)?))
        }
    };
    let pair = identity.as_ref().map(|(shown, key)| (shown.as_bytes(), key.as_bytes()));
    tls::config(roots.as_bytes(), pair).map_err(|error| {
        let name = match &error {
            TlsError::NoRoot => "mqtt.ca_certificate",
            TlsError::NoCertificate => "mqtt.certificate",
            TlsError::NoKey | TlsError::Unfit(_) => "mqtt.key",
        };
        Fault::new(Class::Configuration, format!("{name}: {error}"))
    })
}

/// What everybody could read is none.
fn secret(name: &str, kept: &Kept, bytes_max: u64) -> Result<String, Fault> {
    kept_text(name, kept, bytes_max, |of| {
        use std::os::unix::fs::MetadataExt as _;
        let remedy = "everybody may read or write it; chmod 600 keeps them out";
        if of.mode() & BY_ALL == 0 { Ok(()) } else { Err(remedy) }
    })
}
