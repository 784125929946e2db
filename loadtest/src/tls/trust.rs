//! Which server is believed: the one that presents the certificate that is expected.
//!
//! Owns: that comparison, and how many signatures are verified. Never: the verification of a chain, which is no part
//! of what is measured. Tested in `tests.rs`.
//!
//! A client's verification of a signature takes about as long as the server's making of it; so all clients of a
//! thread verify the first one and each 64th from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Of so many signatures one is verified.
const SIGNATURES: u32 = 64;

#[derive(Debug)]
pub(super) struct Trust {
    expected: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
    seen: AtomicU32,
}

impl Trust {
    pub(super) fn new(expected: CertificateDer<'static>, provider: Arc<CryptoProvider>) -> Trust {
        Trust { expected, provider, seen: AtomicU32::new(0) }
    }

    fn is_verified(&self) -> bool {
        self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(SIGNATURES)
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *end_entity == self.expected {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.is_verified() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.is_verified() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
