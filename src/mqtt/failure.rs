//! Why a connection ended or did not come about, in words with a remedy.
//!
//! Pure. Owns what of that a person has to mend, and how long one waits before the next attempt.

use std::{io, time::Duration};

use rumqttc::{
    TlsError,
    v5::{
        ConnectionError, StateError,
        mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode},
    },
};
use rustls::CertificateError;

use super::topic::Identity;
use crate::{backoff, fault::one_line};

/// The wait before the first new attempt.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// No wait is longer: so much later than the broker a station may come back.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// What a person has to mend is not tried more often.
const MENDING_WAIT: Duration = Duration::from_secs(15);

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In a line.
    pub why: String,
    /// Who mends it.
    pub kind: Kind,
}

/// Who mends a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Time may.
    Passing,
    /// The same; the broker just closed the connection, as one does that ends, or that has another of this name.
    Closed,
    /// A person has to.
    Mending,
}

impl Failure {
    /// What time may mend.
    pub fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: Kind::Passing }
    }

    fn closed(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: Kind::Closed }
    }

    /// What a person has to mend.
    pub fn mending(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: Kind::Mending }
    }

    /// Of a connection that the broker closed without a word, again and again soon after it came about. Brokers do that
    /// to the elder of two connections of one name, and not all say why.
    pub fn closed_again_and_again(identity: &Identity) -> Self {
        Self::mending(format!(
            "the broker closes the connection again and again, as it does where another station calls itself {identity}: give each a name of its own by mqtt.device; or it is a load balancer without a broker behind it"
        ))
    }

    /// Of what the client library says.
    pub fn of(error: &ConnectionError, identity: &Identity) -> Self {
        match error {
            ConnectionError::ConnectionRefused(code)
            | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => refused(*code),
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
                ended(*reason_code, identity)
            }
            ConnectionError::Timeout(_) => Self::passing("the broker does not answer"),
            ConnectionError::Tls(error) => {
                let refused = if let TlsError::Io(error) = error { of_rustls(error) } else { None };
                tls(refused, &one_line(error))
            }
            ConnectionError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                tls(of_rustls(error), &error.to_string())
            }
            ConnectionError::MqttState(StateError::ConnectionAborted) => {
                Self::closed("the broker closed the connection")
            }
            ConnectionError::MqttState(error) => {
                let text = one_line(error);
                // The broker's answer to a certificate comes after ours, with what is read first.
                if text.contains("received fatal alert") {
                    tls(None, &text)
                } else {
                    Self::closed(text)
                }
            }
            // Seen where something was being written when the broker closed.
            ConnectionError::Io(error) if is_closing(error.kind()) => {
                Self::closed(error.to_string())
            }
            ConnectionError::Io(_)
            | ConnectionError::NotConnAck(_)
            | ConnectionError::RequestsDone => Self::passing(one_line(error)),
        }
    }

    /// How long to wait after so many failures before this one; `jitter` is from 0 to 1, by chance.
    pub fn wait(&self, failures: u32, jitter: f64) -> Duration {
        let first = match self.kind {
            Kind::Mending => MENDING_WAIT,
            Kind::Passing | Kind::Closed => FIRST_WAIT,
        };
        backoff::wait(first, WAIT_MAX, failures, jitter)
    }
}

fn is_closing(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Of;
    [Of::BrokenPipe, Of::ConnectionReset, Of::ConnectionAborted, Of::UnexpectedEof].contains(&kind)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the protocol's list, of which few can be mended here"
)]
fn refused(code: ConnectReturnCode) -> Failure {
    use ConnectReturnCode as Code;
    let login = "the broker refuses this station: correct mqtt.user, mqtt.password or mqtt.certificate and restart, or let it in there";
    match code {
        Code::BadUserNamePassword
        | Code::NotAuthorized
        | Code::Banned
        | Code::BadAuthenticationMethod => Failure::mending(login),
        Code::UnsupportedProtocolVersion | Code::RefusedProtocolVersion => {
            Failure::mending("the broker does not know MQTT 5: it has to be a newer one")
        }
        Code::BadClientId | Code::ClientIdentifierNotValid => Failure::mending(
            "the broker takes no client identifier of this form: shorten mqtt.site or mqtt.device",
        ),
        other => Failure::passing(format!("the broker refuses the connection: {other:?}")),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the protocol's list, of which few can be mended here"
)]
fn ended(code: DisconnectReasonCode, identity: &Identity) -> Failure {
    use DisconnectReasonCode as Code;
    match code {
        Code::SessionTakenOver => Failure::mending(format!(
            "another station calls itself {identity} and took the connection over: give each a name of its own by mqtt.device"
        )),
        Code::NotAuthorized => Failure::mending(
            "the broker does not let this station publish: allow it there for its topics",
        ),
        Code::PacketTooLarge => Failure::passing(
            "the broker ended the connection because a message was too large: lower mqtt.packet_bytes_max",
        ),
        other => Failure::passing(format!("the broker ended the connection: {other:?}")),
    }
}

/// What the TLS library says, as it is carried.
fn of_rustls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn tls(refused: Option<&rustls::Error>, why: &str) -> Failure {
    let remedy = match refused {
        Some(rustls::Error::InvalidCertificate(kind)) => of_certificate(kind),
        _ if why.contains("fatal alert") => {
            "the broker does not take this station's certificate: correct mqtt.certificate and mqtt.key and restart"
        }
        _ => NO_TLS,
    };
    Failure::mending(format!("{remedy} ({why})"))
}

const NO_TLS: &str = "TLS does not come about: is mqtts the broker's way at that port";

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list, which may grow")]
const fn of_certificate(kind: &CertificateError) -> &'static str {
    use CertificateError as Of;
    match kind {
        Of::UnknownIssuer => "nobody in mqtt.ca_certificate vouches for the broker's certificate",
        Of::NotValidForName | Of::NotValidForNameContext { .. } => {
            "the broker's certificate is of another name than mqtt.broker"
        }
        Of::Expired
        | Of::ExpiredContext { .. }
        | Of::NotValidYet
        | Of::NotValidYetContext { .. } => {
            "the broker's certificate is not valid today: renew it, or correct the clock"
        }
        Of::Revoked => "the broker's certificate was revoked: it needs another",
        _ => "the broker's certificate cannot be used: it needs another",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::topic::Level;

    #[test]
    fn what_a_person_can_mend_is_told_with_the_remedy() {
        let level = |text: &str| Level::new(text).unwrap();
        let identity = Identity { site: level("plant"), device: level("line-1") };
        let check = |error: ConnectionError, wants_mending: bool, word: &str| {
            let failure = Failure::of(&error, &identity);
            assert_eq!(failure.kind == Kind::Mending, wants_mending, "{failure:?}");
            assert!(failure.why.contains(word), "{failure:?}");
        };
        let refused = ConnectionError::ConnectionRefused;
        check(refused(ConnectReturnCode::NotAuthorized), true, "mqtt.password");
        check(refused(ConnectReturnCode::ServerBusy), false, "ServerBusy");
        check(refused(ConnectReturnCode::UnsupportedProtocolVersion), true, "MQTT 5");
        let ended = |reason_code| {
            let state = StateError::ServerDisconnect { reason_code, reason_string: None };
            ConnectionError::MqttState(state)
        };
        check(ended(DisconnectReasonCode::SessionTakenOver), true, "plant/line-1");
        check(ended(DisconnectReasonCode::ServerShuttingDown), false, "ServerShuttingDown");
        let gone = io::Error::from(io::ErrorKind::ConnectionRefused);
        check(ConnectionError::Io(gone), false, "refused");
    }

    #[test]
    fn waits_grow_to_half_a_minute() {
        let waits: Vec<_> =
            (0..7).map(|failures| Failure::passing("").wait(failures, 0.5).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(Failure::mending("").wait(0, 0.5), MENDING_WAIT);
    }
}
