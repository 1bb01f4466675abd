//! TLS: from a certificate and its key to what the server speaks.
//!
//! Owns the protocol's settings and what is wrong with a pair. Bytes come in; whose files they are is `cli::access`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio_rustls::rustls::{
    self, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why a pair cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Nothing that begins with `-----BEGIN CERTIFICATE-----`, or what follows is none.
    #[error("it holds no certificate in PEM")]
    NoCertificate,
    /// Nothing that begins with `-----BEGIN PRIVATE KEY-----` or a sister of it.
    #[error("it holds no private key in PEM without a password")]
    NoKey,
    /// Both are good, and do not belong together.
    #[error("the key is not that of the certificate")]
    Mismatch,
    /// What the library does not take.
    #[error("they cannot be used: {0}")]
    Unfit(rustls::Error),
}

/// A pair that can be served.
#[derive(Clone, Debug)]
pub struct Tls {
    /// What the server speaks.
    pub config: Arc<ServerConfig>,
    /// From when the certificate is valid, and until when.
    pub valid: [SystemTime; 2],
}

impl Tls {
    /// The certificate, with those that vouch for it behind it, and its key, both as PEM.
    pub fn new(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|_no_pem| TlsError::NoCertificate)?;
        let valid = chain.first().and_then(validity).ok_or(TlsError::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_no_pem| TlsError::NoKey)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| {
                let is_mismatch = matches!(error, rustls::Error::InconsistentKeys(_));
                if is_mismatch { TlsError::Mismatch } else { TlsError::Unfit(error) }
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), valid })
    }

    /// What is wrong with its dates; browsers refuse it then, and the line goes on.
    pub fn dates(&self, now: SystemTime) -> Option<String> {
        let [from, until] = self.valid;
        if now < from {
            let day = humantime::format_rfc3339_seconds(from);
            return Some(format!("it is valid from {day} only: is the clock right?"));
        }
        let day = humantime::format_rfc3339_seconds(until);
        (now > until).then(|| format!("it was valid until {day}: make a new one"))
    }
}

fn validity(certificate: &CertificateDer<'_>) -> Option<[SystemTime; 2]> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    let time = |timestamp: i64| {
        let seconds = u64::try_from(timestamp).unwrap_or(0);
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    };
    Some([time(validity.not_before.timestamp())?, time(validity.not_after.timestamp())?])
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_pair_is_taken_with_its_dates() {
        let (certificate, key) = pair();
        let tls = Tls::new(certificate.as_bytes(), key.as_bytes()).unwrap();
        let at = |days: u64| UNIX_EPOCH + Duration::from_hours(24 * days);
        assert_eq!(tls.valid[0], at(18_262));
        assert_eq!(tls.dates(at(18_263)), None);
        assert_eq!(
            tls.dates(at(0)).unwrap(),
            "it is valid from 2020-01-01T00:00:00Z only: is the clock right?"
        );
        assert_eq!(
            tls.dates(at(20_000)).unwrap(),
            "it was valid until 2021-01-01T00:00:00Z: make a new one"
        );
        // Both in one file, as some make it.
        let both = format!("{key}{certificate}");
        assert!(Tls::new(both.as_bytes(), both.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_pair_is_told() {
        let ((certificate, key), (_, other)) = (pair(), pair());
        let check = |certificate: &str, key: &str, expected: &str| {
            let error = Tls::new(certificate.as_bytes(), key.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(&certificate, &other, "the key is not that of the certificate");
        let no_key = "it holds no private key in PEM without a password";
        for bad in ["", "x", &certificate, &key[..40], &key.replace("PRIVATE", "ENCRYPTED PRIVATE")]
        {
            check(&certificate, bad, no_key);
        }
        for bad in ["", "x", &key, &certificate[..90]] {
            check(bad, &key, "it holds no certificate in PEM");
        }
        let noise = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        check(noise, &key, "it holds no certificate in PEM");
    }
}
