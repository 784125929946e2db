//! Why a handshake failed: a closed set, with a code for the log and the numbers.

use std::fmt;

use super::line::TooLong;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// Why there is no TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFault {
    /// The peer did not go on in time.
    Timeout,
    /// This side had no time for it within half a minute.
    Busy,
    /// It was closed, silent for long, because others needed its place.
    Crowded,
    /// The peer closed or reset the connection.
    Gone,
    /// The first bytes are no TLS.
    NotTls,
    /// The first bytes are a request without TLS; it was answered with 400.
    PlainHttp,
    /// The bytes are no valid handshake.
    Malformed,
    /// No version, cipher suite, group or signature that both sides allow.
    NothingShared,
    /// No protocol that both sides speak (RFC 7301 §3.2).
    NoProtocol,
    /// No certificate for the name that the client asks for.
    UnknownName,
    /// A client certificate is required, and none came.
    NoCertificate,
    /// The peer's certificate was refused.
    Certificate(CertificateFault),
    /// The peer has refused, for this reason.
    Alert(AlertDescription),
    /// This side's configuration cannot be used.
    Unusable,
}

/// Why the peer's certificate was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    Malformed,
    Expired,
    NotYetValid,
    Revoked,
    /// No authority that is trusted has signed it.
    UnknownIssuer,
    /// It is for another name.
    WrongName,
    /// Its purpose is another one.
    WrongPurpose,
    BadSignature,
    /// The list of revoked certificates is missing or out of date.
    RevocationUnknown,
    Other,
}

impl HandshakeFault {
    /// The word of the log and the numbers.
    pub fn code(self) -> &'static str {
        match self {
            HandshakeFault::Timeout => "handshake_timeout",
            HandshakeFault::Busy => "no_time_for_handshake",
            HandshakeFault::Crowded => "too_many_handshakes",
            HandshakeFault::Gone => "closed_in_handshake",
            HandshakeFault::NotTls => "no_tls",
            HandshakeFault::PlainHttp => "plain_http",
            HandshakeFault::Malformed => "malformed_handshake",
            HandshakeFault::NothingShared => "nothing_shared",
            HandshakeFault::NoProtocol => "no_protocol",
            HandshakeFault::UnknownName => "unknown_name",
            HandshakeFault::NoCertificate => "no_certificate",
            HandshakeFault::Certificate(fault) => fault.code(),
            HandshakeFault::Alert(_) => "alert_received",
            HandshakeFault::Unusable => "unusable_configuration",
        }
    }
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            HandshakeFault::Timeout => "the peer did not go on in time",
            HandshakeFault::Busy => "there was no time for it within half a minute",
            HandshakeFault::Crowded => "the peer was silent, and others needed the place",
            HandshakeFault::Gone => "the peer closed the connection",
            HandshakeFault::NotTls => "the first bytes are no TLS",
            HandshakeFault::PlainHttp => "a request came without TLS, and was answered with 400",
            HandshakeFault::Malformed => "the peer's bytes are no valid handshake",
            HandshakeFault::NothingShared => {
                "no version, cipher suite, group or signature that both sides allow"
            }
            HandshakeFault::NoProtocol => "no protocol that both sides speak (ALPN)",
            HandshakeFault::UnknownName => "no certificate for this server name",
            HandshakeFault::NoCertificate => "a client certificate is required",
            HandshakeFault::Certificate(fault) => return write!(out, "{}", fault.text()),
            HandshakeFault::Alert(alert) => return write!(out, "the peer refuses: {alert:?}"),
            HandshakeFault::Unusable => "the configuration cannot be used",
        };
        out.write_str(text)
    }
}

impl CertificateFault {
    fn text(self) -> &'static str {
        match self {
            CertificateFault::Malformed => "the peer's certificate cannot be read",
            CertificateFault::Expired => "the peer's certificate has expired",
            CertificateFault::NotYetValid => "the peer's certificate is not valid yet",
            CertificateFault::Revoked => "the peer's certificate is revoked",
            CertificateFault::UnknownIssuer => {
                "no trusted authority has signed the peer's certificate"
            }
            CertificateFault::WrongName => "the peer's certificate is for another name",
            CertificateFault::WrongPurpose => "the peer's certificate is for another purpose",
            CertificateFault::BadSignature => "the peer's certificate has a wrong signature",
            CertificateFault::RevocationUnknown => {
                "whether the peer's certificate is revoked is not known"
            }
            CertificateFault::Other => "the peer's certificate is refused",
        }
    }

    fn code(self) -> &'static str {
        match self {
            CertificateFault::Malformed => "certificate_malformed",
            CertificateFault::Expired => "certificate_expired",
            CertificateFault::NotYetValid => "certificate_not_yet_valid",
            CertificateFault::Revoked => "certificate_revoked",
            CertificateFault::UnknownIssuer => "certificate_unknown_issuer",
            CertificateFault::WrongName => "certificate_wrong_name",
            CertificateFault::WrongPurpose => "certificate_wrong_purpose",
            CertificateFault::BadSignature => "certificate_bad_signature",
            CertificateFault::RevocationUnknown => "certificate_revocation_unknown",
            CertificateFault::Other => "certificate_refused",
        }
    }
}

impl From<TooLong> for HandshakeFault {
    fn from(_: TooLong) -> HandshakeFault {
        HandshakeFault::Busy
    }
}

impl From<&Error> for HandshakeFault {
    fn from(error: &Error) -> HandshakeFault {
        match error {
            Error::AlertReceived(alert) => HandshakeFault::Alert(*alert),
            Error::NoCertificatesPresented => HandshakeFault::NoCertificate,
            Error::InvalidCertificate(error) => HandshakeFault::Certificate(error.into()),
            Error::InvalidCertRevocationList(_) => {
                HandshakeFault::Certificate(CertificateFault::RevocationUnknown)
            }
            Error::PeerIncompatible(_) => HandshakeFault::NothingShared,
            Error::NoApplicationProtocol => HandshakeFault::NoProtocol,
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => HandshakeFault::NotTls,
            Error::InvalidMessage(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerMisbehaved(_)
            | Error::PeerSentOversizedRecord
            | Error::DecryptError => HandshakeFault::Malformed,
            // rustls may name further faults later; those that it names today are of this side.
            _ => HandshakeFault::Unusable,
        }
    }
}

impl From<&CertificateError> for CertificateFault {
    fn from(error: &CertificateError) -> CertificateFault {
        match error {
            CertificateError::BadEncoding
            | CertificateError::UnhandledCriticalExtension
            | CertificateError::InvalidOcspResponse => CertificateFault::Malformed,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                CertificateFault::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                CertificateFault::NotYetValid
            }
            CertificateError::Revoked => CertificateFault::Revoked,
            CertificateError::UnknownIssuer => CertificateFault::UnknownIssuer,
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => {
                CertificateFault::RevocationUnknown
            }
            CertificateError::BadSignature => CertificateFault::BadSignature,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                CertificateFault::WrongName
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                CertificateFault::WrongPurpose
            }
            _ => CertificateFault::Other,
        }
    }
}
