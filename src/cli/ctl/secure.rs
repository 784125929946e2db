//! TLS to the admin API: whom `limpet ctl` trusts, what it shows, and what a failed handshake means to its user.
//!
//! Files are read once, and never quoted. Tested by `tests/ctl`.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, InvalidMessage, PeerIncompatible,
    RootCertStore,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::certificate::private_key;
use crate::tls::client_auth;

/// A file, and the option or variable that names it.
pub(super) struct Named {
    pub path: PathBuf,
    pub by: &'static str,
}

/// The files that the user names.
pub(super) struct Files {
    pub ca: Option<Named>,
    pub cert: Option<Named>,
    pub key: Option<Named>,
}

/// How one server is asked over TLS.
pub(super) struct Secure {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    /// Whether a client certificate is shown.
    shows_certificate: bool,
    /// Whether the machine's own authorities are trusted.
    trusts_machine: bool,
}

impl Secure {
    /// # Errors
    /// A file, or the name, cannot be used.
    pub(super) fn new(files: &Files, name: &str) -> Result<Secure, String> {
        let roots = roots(files.ca.as_ref())?;
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("{name:?} is no name that a certificate could have"))?;
        let fault = |error: rustls::Error| format!("TLS cannot be used: {error}");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(fault)?
            .with_root_certificates(roots);
        let mut config = match certificate(files)? {
            Some((cert, chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => {
                        said(cert, "does not match: the private key belongs to another certificate")
                    }
                    error => said(cert, &format!("cannot be shown: {error}")),
                })?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Secure {
            config: Arc::new(config),
            name,
            shows_certificate: files.cert.is_some(),
            trusts_machine: files.ca.is_none(),
        })
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream).await
    }

    /// What an error of the connection means, where TLS is its cause.
    pub(super) fn cause(&self, error: &(dyn Error + 'static)) -> Option<String> {
        Some(match inside(error)? {
            rustls::Error::InvalidCertificate(fault) => self.of_certificate(fault),
            rustls::Error::AlertReceived(alert) => self.of_alert(*alert),
            rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => "it does not speak TLS; http:// does without".to_owned(),
            rustls::Error::PeerIncompatible(fault) => incompatible(fault),
            error => format!("the TLS handshake failed: {error}"),
        })
    }

    /// Why the server's certificate is refused.
    fn of_certificate(&self, fault: &CertificateError) -> String {
        let name = self.name.to_str();
        match fault {
            CertificateError::UnknownIssuer => {
                let trusted = match self.trusts_machine {
                    true => "this machine trusts",
                    false => "--ca (LIMPET_CA) names",
                };
                format!(
                    "its certificate is of no authority that {trusted}; --ca FILE names those that \
                     are to be trusted"
                )
            }
            CertificateError::NotValidForName => {
                format!(
                    "its certificate is not for {name}; --server-name NAME says which name it has"
                )
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let presented = match presented.as_slice() {
                    [] => "no name".to_owned(),
                    names => names.join(", "),
                };
                format!(
                    "its certificate is not for {name}, but for {presented}; --server-name NAME \
                     says which name it has"
                )
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet, or this machine's clock is wrong".to_owned()
            }
            fault => format!("its certificate is refused: {fault}"),
        }
    }

    /// Why the server has refused.
    fn of_alert(&self, alert: AlertDescription) -> String {
        match alert {
            AlertDescription::CertificateRequired => {
                "it asks for a client certificate; --cert FILE and --key FILE show one".to_owned()
            }
            // RFC 8446 §4.4.2.4: before TLS 1.3 there was no alert of its own for a missing certificate.
            AlertDescription::HandshakeFailure if !self.shows_certificate => {
                "it refuses the handshake; it may ask for a client certificate: --cert FILE and \
                 --key FILE show one"
                    .to_owned()
            }
            AlertDescription::UnknownCA => {
                "it refuses the client certificate, which is of no authority that it trusts"
                    .to_owned()
            }
            AlertDescription::CertificateExpired => {
                "it refuses the client certificate, which has expired".to_owned()
            }
            AlertDescription::CertificateRevoked => {
                "it refuses the client certificate, which is revoked".to_owned()
            }
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
                if self.shows_certificate =>
            {
                "it refuses the client certificate".to_owned()
            }
            AlertDescription::UnrecognisedName => format!(
                "it has no certificate for {}; --server-name NAME says which name it has",
                self.name.to_str()
            ),
            alert => format!("it refuses the TLS handshake: {alert:?}"),
        }
    }
}

fn incompatible(fault: &PeerIncompatible) -> String {
    format!("it offers no version, cipher suite or group of TLS that is safe today: {fault:?}")
}

/// What TLS says inside of another error. An [`io::Error`] does not name what it carries as its source.
fn inside<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}

fn said(file: &Named, what: &str) -> String {
    format!("{} {}: {what}", file.by, file.path.display())
}

fn read(file: &Named) -> Result<Vec<u8>, String> {
    std::fs::read(&file.path).map_err(|error| said(file, &format!("cannot be read: {error}")))
}

fn roots(ca: Option<&Named>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(file) => {
            let authorities = client_auth::authorities(&read(file)?);
            for der in authorities.map_err(|fault| said(file, &fault.to_string()))? {
                roots.add(der).map_err(|fault| said(file, &fault.to_string()))?;
            }
        }
        None => {
            // Of a machine's many authorities some may be unreadable.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("this machine has no list of authorities; --ca FILE names some".into());
            }
        }
    }
    Ok(roots)
}

type Shown<'f> = (&'f Named, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn certificate(files: &Files) -> Result<Option<Shown<'_>>, String> {
    let Some(cert) = &files.cert else {
        return match &files.key {
            Some(key) => Err(said(key, "is a key without its certificate; --cert FILE names it")),
            None => Ok(None),
        };
    };
    let pem = read(cert)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| said(cert, "has no certificate; PEM is needed"))?;
    let (named, key) = match &files.key {
        Some(key) => (key, read(key)?),
        None => (cert, pem),
    };
    let key = private_key(&key).map_err(|fault| said(named, &fault.to_string()))?;
    Ok(Some((cert, chain, key)))
}
