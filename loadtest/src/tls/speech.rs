//! How clients speak TLS: version, whom they believe, and whether they resume.
//!
//! Owns: the one configuration that many connections share. Tested in `tests.rs` and by `tests/load.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, Tls12Resumption};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, crypto::CryptoProvider};
use serde::{Deserialize, Serialize};

use super::tickets::Tickets;
use super::trust::Trust;

/// What is offered, as ALPN names it.
const HTTP_1: &[u8] = b"http/1.1";
pub const HTTP_2: &[u8] = b"h2";

/// A version of TLS.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Deserialize,
    Serialize,
    clap::ValueEnum,
)]
pub enum Version {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    #[value(name = "1.2")]
    V1_2,
    /// RFC 8446.
    #[default]
    #[serde(rename = "1.3")]
    #[value(name = "1.3")]
    V1_3,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no certificate in {}: {error}", path.display())]
    Certificate {
        path: PathBuf,
        #[source]
        error: rustls::pki_types::pem::Error,
    },
    #[error("{0} is no name that a server can have")]
    Name(String),
    #[error("this TLS cannot be spoken: {0}")]
    Configuration(#[from] rustls::Error),
}

/// How clients speak.
#[derive(Debug, Clone)]
pub struct Speech {
    expected: CertificateDer<'static>,
    pub name: ServerName<'static>,
    version: Version,
    resumes: bool,
    http2: bool,
}

impl Speech {
    /// To a server that has the first certificate of a file (PEM), under a name, or an address and a port.
    ///
    /// # Errors
    /// When there is no certificate in the file, or the name is none.
    pub fn new(
        certificate: &Path,
        host: &str,
        version: Version,
        resumes: bool,
    ) -> Result<Speech, Error> {
        let expected = CertificateDer::from_pem_file(certificate)
            .map_err(|error| Error::Certificate { path: certificate.to_path_buf(), error })?;
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
            .map_err(|_| Error::Name(host.to_owned()))?;
        Ok(Speech { expected, name, version, resumes, http2: false })
    }

    /// HTTP/2 is offered alone, if so, or else HTTP/1.1.
    pub fn over_http2(self, http2: bool) -> Speech {
        Speech { http2, ..self }
    }

    /// The configuration of some connections, which share their tickets where they resume.
    ///
    /// # Errors
    /// When rustls refuses it.
    pub fn configuration(&self) -> Result<Arc<ClientConfig>, Error> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![
                cipher_suite::TLS13_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            ],
            // The second is never chosen: a server of TLS 1.2 presents a key on P-256 only to who knows that group
            // (RFC 8422 §5.1).
            kx_groups: vec![kx_group::X25519, kx_group::SECP256R1],
            ..aws_lc_rs::default_provider()
        });
        let version = match self.version {
            Version::V1_2 => &TLS12,
            Version::V1_3 => &TLS13,
        };
        let trust = Trust::new(self.expected.clone(), Arc::clone(&provider));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trust))
            .with_no_client_auth();
        config.alpn_protocols = vec![if self.http2 { HTTP_2.to_vec() } else { HTTP_1.to_vec() }];
        config.resumption = match self.resumes {
            true => Resumption::store(Arc::new(Tickets::default()))
                .tls12_resumption(Tls12Resumption::SessionIdOrTickets),
            false => Resumption::disabled(),
        };
        Ok(Arc::new(config))
    }
}
