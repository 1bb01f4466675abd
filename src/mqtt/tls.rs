//! TLS to a broker: from certificates and a key to what the client speaks.
//!
//! Owns what is wrong with them. Bytes come in; whose files they are is the command line's.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Why they cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Nothing that vouches for anybody.
    #[error("it holds no certificate in PEM that could vouch for a broker")]
    NoRoot,
    /// Nothing to show.
    #[error("it holds no certificate in PEM")]
    NoCertificate,
    /// Nothing to prove it by.
    #[error("it holds no private key in PEM without a password")]
    NoKey,
    /// What the library does not take; a key of another certificate, mostly.
    #[error("certificate and key cannot be used together: {0}")]
    Unfit(rustls::Error),
}

/// Who vouches for the broker, and what this station shows, as PEM.
pub fn config(ca: &[u8], identity: Option<(&[u8], &[u8])>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    // A system's bundle may hold some that this library does not know.
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(ca).filter_map(Result::ok));
    if roots.is_empty() {
        return Err(TlsError::NoRoot);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unfit)?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
                .collect::<Result<_, _>>()
                .map_err(|_no_pem| TlsError::NoCertificate)?;
            if chain.is_empty() {
                return Err(TlsError::NoCertificate);
            }
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_no_pem| TlsError::NoKey)?;
            builder.with_client_auth_cert(chain, key).map_err(TlsError::Unfit)?
        }
    };
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn what_is_no_pair_is_told() {
        let pair = || {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["line-1".into()]).unwrap();
            (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
        };
        let ((certificate, key), (_, other)) = (pair(), pair());
        let check = |ca: &str, shown: &str, key: &str, expected: &str| {
            let identity = Some((shown.as_bytes(), key.as_bytes()));
            let error = config(ca.as_bytes(), identity).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        assert!(config(certificate.as_bytes(), None).is_ok());
        let identity = Some((certificate.as_bytes(), key.as_bytes()));
        assert!(config(certificate.as_bytes(), identity).is_ok());
        check("x", &certificate, &key, "vouch");
        check(&certificate, &key, &key, "no certificate");
        check(&certificate, &certificate, "x", "no private key");
        check(&certificate, &certificate, &other, "together");
    }
}
