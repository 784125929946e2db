//! What is of TLS 1.2 alone: the form of its records (RFC 5246 §6.2, with RFC 5288 and RFC 7905), warnings, and the wish
//! for another handshake, which is refused (§7.2.2).
//!
//! ```text
//!   AES-GCM:  type │ 3 3 │ length │ 8 bytes of the nonce │ sealed content │ tag
//!   ChaCha20: type │ 3 3 │ length │ sealed content │ tag
//! ```

use rustls::crypto::cipher::{NONCE_LEN, make_tls12_aad};
use rustls::{
    AlertDescription, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved,
    ProtocolVersion,
};

use super::fault::Fault;
use super::keys::{Keys, TAG};
use super::limits::{RECORD_DATA_MAX, count};
use super::tls13::Kernel;

/// Levels of alerts (§7.2).
pub(super) const WARNING: u8 = 1;
pub(super) const FATAL: u8 = 2;
const VERSION: [u8; 2] = [3, 3];
/// The longest sealed content of a record (RFC 5246 §6.2.3).
const SEALED_MAX: usize = RECORD_DATA_MAX + 2048;
/// The part of a nonce that both sides know by the handshake, where the other is in the record (RFC 5288 §3).
const SALT: usize = 4;
const EXPLICIT: usize = NONCE_LEN - SALT;
/// How many warnings and wishes for a handshake a peer has, as rustls counts them: they are never forgotten.
const WARNINGS_MAX: u8 = 4;
const HANDSHAKES_MAX: u8 = 1;

/// What the peer may still say besides data.
pub(super) struct Peer {
    /// The message by which it asks for another handshake: HelloRequest, or ClientHello.
    asks_by: HandshakeType,
    warnings: u8,
    handshakes: u8,
}

impl Peer {
    pub(super) fn of(kernel: &Kernel) -> Peer {
        let asks_by = match kernel {
            Kernel::Server(_) => HandshakeType::ClientHello,
            Kernel::Client(_) => HandshakeType::HelloRequest,
        };
        Peer { asks_by, warnings: WARNINGS_MAX, handshakes: HANDSHAKES_MAX }
    }

    /// Judges an alert. Returns whether it is the end, which it may be at each level (RFC 5246 §7.2).
    pub(super) fn alert(
        &mut self,
        level: u8,
        description: AlertDescription,
    ) -> Result<bool, Fault> {
        match (level, description) {
            (WARNING | FATAL, AlertDescription::CloseNotify) => Ok(true),
            (WARNING, _) => {
                count(&mut self.warnings, PeerMisbehaved::TooManyWarningAlertsReceived)?;
                Ok(false)
            }
            (FATAL, _) => Err(Fault(Error::AlertReceived(description), None)),
            _ => {
                let alert = Some(AlertDescription::IllegalParameter);
                Err(Fault(Error::AlertReceived(description), alert))
            }
        }
    }

    /// Judges one whole message, which is to be refused by a warning unless there is a fault.
    pub(super) fn message(&mut self, kind: HandshakeType, body: &[u8]) -> Result<(), Fault> {
        if kind != self.asks_by {
            return Err(Fault::inappropriate(ContentType::Handshake));
        }
        if kind == HandshakeType::HelloRequest && !body.is_empty() {
            return Err(Fault::undecodable(InvalidMessage::TrailingData("HelloRequest")));
        }
        count(&mut self.handshakes, PeerMisbehaved::TooManyRenegotiationRequests)
    }
}

/// Judges the type and the version of a record, as far as its head has come. Returns how long its sealed content may
/// be.
pub(super) fn judge(kind: ContentType, version: Option<&[u8]>) -> Result<usize, Fault> {
    match kind {
        ContentType::ApplicationData | ContentType::Alert | ContentType::Handshake => {}
        other => return Err(Fault::inappropriate(other)),
    }
    if version.is_some_and(|version| version != VERSION) {
        let alert = Some(AlertDescription::ProtocolVersion);
        return Err(Fault(InvalidMessage::UnknownProtocolVersion.into(), alert));
    }
    Ok(SEALED_MAX)
}

/// Opens the sealed content of a record, in place.
pub(super) fn open<'b>(
    keys: &mut Keys,
    kind: ContentType,
    sealed: &'b mut [u8],
) -> Result<&'b [u8], Fault> {
    let mut nonce = keys.nonce().ok_or_else(Fault::forged)?;
    let explicit = if keys.is_gcm() { EXPLICIT } else { 0 };
    let Some((explicit, sealed)) = sealed.split_at_mut_checked(explicit) else {
        return Err(Fault::forged());
    };
    for (byte, explicit) in nonce.iter_mut().skip(SALT).zip(explicit) {
        *byte = *explicit;
    }
    let length = sealed.len().checked_sub(TAG).ok_or_else(Fault::forged)?;
    let aad = make_tls12_aad(keys.sequence, kind, ProtocolVersion::TLSv1_2, length);
    let content = keys.open(nonce, aad, sealed)?;
    if content.len() > RECORD_DATA_MAX {
        return Err(Fault::overflow());
    }
    Ok(content)
}

/// Seals content of any type as one record behind the bytes of `out`.
pub(super) fn seal(
    keys: &mut Keys,
    kind: ContentType,
    content: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let nonce = keys.nonce().ok_or(Error::EncryptError)?;
    let explicit = match keys.is_gcm() {
        true => nonce.get(SALT..).unwrap_or_default(),
        false => &[],
    };
    let aad = make_tls12_aad(keys.sequence, kind, ProtocolVersion::TLSv1_2, content.len());
    let [.., high, low] = (explicit.len() + content.len() + TAG).to_be_bytes();
    let [major, minor] = VERSION;
    out.extend_from_slice(&[kind.into(), major, minor, high, low]);
    out.extend_from_slice(explicit);
    keys.seal(aad, (content, &[]), out)
}
