//! Client certificates (mutual TLS): who is asked for one, which are accepted, and what a request is told about it.
//!
//! Chains are verified by webpki; here are the rules on top: how deep a chain may be, whose subject, which fingerprint.
//! Reads no file. Tested beside it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::certificate::pem_fault;
use super::x509::{FINGERPRINT_SIZE, Facts, NotX509, escaped, fingerprint, hex};

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMode {
    Off,
    /// A client without one passes; one that is not accepted does not.
    Optional,
    Required,
}

/// What an expired list of revoked certificates is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CrlExpired {
    Accept,
    Refuse,
}

/// Whom a listener, or a profile of it, accepts.
#[derive(Debug, Clone)]
pub struct ClientAuth {
    pub mode: ClientMode,
    pub authorities: Vec<CertificateDer<'static>>,
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    pub crl_expired: CrlExpired,
    /// Most certificates between the client's and an authority.
    pub verify_depth: usize,
    /// In the form of RFC 4514; with `fingerprints` a list of those who are accepted. Both empty = all.
    pub subjects: Vec<String>,
    pub fingerprints: Vec<[u8; FINGERPRINT_SIZE]>,
}

impl ClientAuth {
    /// Nobody is asked.
    pub fn off() -> ClientAuth {
        ClientAuth {
            mode: ClientMode::Off,
            authorities: Vec::new(),
            crls: Vec::new(),
            crl_expired: CrlExpired::Accept,
            verify_depth: 0,
            subjects: Vec::new(),
            fingerprints: Vec::new(),
        }
    }
}

/// Stands for all settings of a client authentication; equal where they are.
///
/// The contents of revocation lists are not part of it: a new list does not send away who is connected.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAuthId([u8; 16]);

impl ClientAuthId {
    pub fn of(auth: &ClientAuth) -> ClientAuthId {
        let mut context = Context::new(&SHA256);
        let mut part = |tag: u8, bytes: &[u8]| {
            context.update(&[tag]);
            context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(bytes);
        };
        part(
            0,
            match auth.mode {
                ClientMode::Off => b"off",
                ClientMode::Optional => b"optional",
                ClientMode::Required => b"required",
            },
        );
        // Who asks for no certificate has no other setting.
        if auth.mode != ClientMode::Off {
            auth.authorities.iter().for_each(|der| part(1, der));
            part(2, &[u8::from(!auth.crls.is_empty())]);
            part(3, &[u8::from(auth.crl_expired == CrlExpired::Refuse)]);
            part(4, auth.verify_depth.to_string().as_bytes());
            auth.subjects.iter().for_each(|subject| part(5, subject.as_bytes()));
            auth.fingerprints.iter().for_each(|fingerprint| part(6, fingerprint));
        }
        let digest = context.finish();
        let mut bytes = [0; 16];
        for (byte, of_digest) in bytes.iter_mut().zip(digest.as_ref()) {
            *byte = *of_digest;
        }
        ClientAuthId(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ClientAuthId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

/// Why client certificates cannot be verified as the settings want.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientAuthFault {
    #[error("has no certificate of an authority; PEM is needed, at least one certificate")]
    NoAuthority,
    #[error("is not PEM: {0}; a certificate begins with \"-----BEGIN CERTIFICATE-----\"")]
    NotPem(&'static str),
    #[error("certificate {position} {fault}")]
    Authority { position: usize, fault: String },
    #[error("is no list of revoked certificates: {0}; RFC 5280's CRL is needed, in PEM or DER")]
    Crl(String),
}

/// The certificates of authorities in PEM.
///
/// # Errors
/// There is none, or one that cannot be an authority.
pub fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ClientAuthFault> {
    let mut all: Vec<CertificateDer<'static>> = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|error| ClientAuthFault::NotPem(pem_fault(&error)))?;
        let position = all.len() + 1;
        if let Err(error) = webpki::anchor_from_trusted_cert(&der) {
            let fault = format!("is no certificate of an authority: {error}");
            return Err(ClientAuthFault::Authority { position, fault });
        }
        all.push(der);
    }
    if all.is_empty() { Err(ClientAuthFault::NoAuthority) } else { Ok(all) }
}

/// The lists of revoked certificates in a file of PEM or DER.
///
/// # Errors
/// There is none, or one that cannot be read.
pub fn crls(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, ClientAuthFault> {
    let mut all = Vec::new();
    if bytes.first() == Some(&0x30) {
        all.push(CertificateRevocationListDer::from(bytes.to_vec()));
    } else {
        for der in CertificateRevocationListDer::pem_slice_iter(bytes) {
            all.push(der.map_err(|error| ClientAuthFault::Crl(pem_fault(&error).to_owned()))?);
        }
    }
    if all.is_empty() {
        return Err(ClientAuthFault::Crl("the file has none".into()));
    }
    for der in &all {
        if let Err(error) = webpki::BorrowedCertRevocationList::from_der(der) {
            return Err(ClientAuthFault::Crl(error.to_string()));
        }
    }
    Ok(all)
}

/// What verifies the certificates of clients; `None` where nobody is asked.
///
/// # Errors
/// See [`ClientAuthFault`].
pub fn verifier(
    auth: &ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, ClientAuthFault> {
    if auth.mode == ClientMode::Off {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for (index, der) in auth.authorities.iter().enumerate() {
        roots.add(der.clone()).map_err(|error| ClientAuthFault::Authority {
            position: index + 1,
            fault: error.to_string(),
        })?;
    }
    let roots = Arc::new(roots);
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
            .with_crls(auth.crls.iter().cloned())
            // An authority that publishes no list has revoked nobody.
            .allow_unknown_revocation_status();
    if auth.crl_expired == CrlExpired::Refuse {
        builder = builder.enforce_revocation_expiration();
    }
    if auth.mode == ClientMode::Optional {
        builder = builder.allow_unauthenticated();
    }
    let chains = builder.build().map_err(|error| match error {
        VerifierBuilderError::InvalidCrl(error) => ClientAuthFault::Crl(format!("{error:?}")),
        _ => ClientAuthFault::NoAuthority,
    })?;
    Ok(Some(Arc::new(Verifier {
        chains,
        roots,
        provider: Arc::clone(provider),
        verify_depth: auth.verify_depth,
        subjects: auth.subjects.clone(),
        fingerprints: auth.fingerprints.clone(),
    })))
}

/// webpki's judgement of a chain, and the rules of the listener.
#[derive(Debug)]
struct Verifier {
    chains: Arc<dyn ClientCertVerifier>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    verify_depth: usize,
    subjects: Vec<String>,
    fingerprints: Vec<[u8; FINGERPRINT_SIZE]>,
}

impl Verifier {
    /// Whether the client is one of those who are listed.
    fn is_listed(&self, certificate: &CertificateDer<'_>) -> bool {
        if self.subjects.is_empty() && self.fingerprints.is_empty() {
            return true;
        }
        self.fingerprints.contains(&fingerprint(certificate))
            || Facts::read(certificate).is_ok_and(|facts| self.subjects.contains(&facts.subject))
    }

    /// Whether a chain leads to an authority that is not longer than allowed. What a client sends along and does not
    /// need is not counted.
    fn is_shallow(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        if intermediates.len() <= self.verify_depth {
            return true;
        }
        let Ok(client) = EndEntityCert::try_from(certificate) else { return false };
        let is_shallow = |path: &VerifiedPath<'_>| {
            if path.intermediate_certificates().count() <= self.verify_depth {
                Ok(())
            } else {
                Err(webpki::Error::MaximumPathDepthExceeded)
            }
        };
        let verified = client.verify_for_usage(
            self.provider.signature_verification_algorithms.all,
            &self.roots.roots,
            intermediates,
            now,
            KeyUsage::client_auth(),
            None,
            Some(&is_shallow),
        );
        verified.is_ok()
    }
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chains.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chains.verify_client_cert(end_entity, intermediates, now)?;
        if !self.is_shallow(end_entity, intermediates, now) {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        }
        if !self.is_listed(end_entity) {
            let refused = CertificateError::ApplicationVerificationFailure;
            return Err(Error::InvalidCertificate(refused));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// What requests may be told about a client's certificate, once it is verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientCertificate {
    pub subject: String,
    pub issuer: String,
    pub common_name: String,
    /// The alternative names, separated by commas.
    pub alt_names: String,
    /// In hexadecimal, as the fingerprint is.
    pub serial: String,
    pub fingerprint: String,
    /// The form of the field Client-Cert (RFC 9440 §2.1): a byte sequence of RFC 9651.
    pub field: String,
}

impl ClientCertificate {
    /// A certificate of which nothing but its common name is known.
    pub fn named(common_name: &str) -> ClientCertificate {
        let subject = match common_name {
            "" => String::new(),
            name => format!("CN={}", escaped(name)),
        };
        let common_name = common_name.to_owned();
        ClientCertificate { subject, common_name, ..ClientCertificate::default() }
    }

    /// # Errors
    /// webpki accepts a few certificates that cannot be read here.
    pub fn of(der: &CertificateDer<'_>) -> Result<ClientCertificate, NotX509> {
        let facts = Facts::read(der)?;
        let names: Vec<String> = facts.names.iter().map(ToString::to_string).collect();
        Ok(ClientCertificate {
            subject: facts.subject,
            issuer: facts.issuer,
            common_name: facts.common_name,
            alt_names: names.join(","),
            serial: facts.serial,
            fingerprint: hex(&facts.fingerprint),
            field: format!(":{}:", STANDARD.encode(der)),
        })
    }
}
