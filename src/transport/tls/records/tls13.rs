//! What is of TLS 1.3 alone: the form of its records (RFC 8446 §5.2), tickets and new keys (§4.6).

use rustls::client::ClientConnectionData;
use rustls::crypto::cipher::make_tls13_aad;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, HandshakeType, InvalidMessage,
    PeerMisbehaved, SupportedCipherSuite,
};

use super::fault::Fault;
use super::keys::{Keys, TAG};
use super::limits::{Left, RECORD_DATA_MAX, count};

/// The longest sealed content of a record, with its type, padding and tag (§5.2).
const SEALED_MAX: usize = RECORD_DATA_MAX + 256;
/// Bodies of KeyUpdate (§4.6.3).
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;

/// What rustls keeps of a connection: the secrets that follow, and where tickets go.
pub(super) enum Kernel {
    Server(KernelConnection<ServerConnectionData>),
    Client(KernelConnection<ClientConnectionData>),
}

impl Kernel {
    pub(super) fn suite(&self) -> SupportedCipherSuite {
        match self {
            Kernel::Server(kernel) => kernel.negotiated_cipher_suite(),
            Kernel::Client(kernel) => kernel.negotiated_cipher_suite(),
        }
    }

    /// Judges one whole message; `is_last` = no byte of the record is behind it. Returns the peer's next keys, if it has
    /// changed them, and whether it asks for new ones of this side.
    pub(super) fn message(
        &mut self,
        kind: HandshakeType,
        body: &[u8],
        is_last: bool,
        left: &mut Left,
    ) -> Result<Option<(Keys, bool)>, Fault> {
        match (kind, self) {
            (HandshakeType::KeyUpdate, kernel) => {
                // §5.1: no message goes on behind a change of keys.
                if !is_last {
                    return Err(Fault::unexpected(PeerMisbehaved::KeyEpochWithPendingFragment));
                }
                count(&mut left.updates, PeerMisbehaved::TooManyKeyUpdateRequests)?;
                let is_requested = is_requested(body)?;
                let next = kernel.next_to_receive().map_err(Fault::internal)?;
                Ok(Some((Keys::new(next), is_requested)))
            }
            (HandshakeType::NewSessionTicket, Kernel::Client(kernel)) => {
                count(&mut left.tickets, PeerMisbehaved::TooManyEmptyFragments)?;
                kernel
                    .handle_new_session_ticket(body)
                    .map_err(|error| Fault(error, Some(AlertDescription::DecodeError)))?;
                Ok(None)
            }
            // Nobody has offered to authenticate behind the handshake (§4.6.2), and nobody may begin another.
            (other, _) => Err(Fault::unexpected(Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::NewSessionTicket, HandshakeType::KeyUpdate],
                got_type: other,
            })),
        }
    }

    fn next_to_receive(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Kernel::Server(kernel) => kernel.update_rx_secret(),
            Kernel::Client(kernel) => kernel.update_rx_secret(),
        }
    }

    pub(super) fn next_to_send(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Kernel::Server(kernel) => kernel.update_tx_secret(),
            Kernel::Client(kernel) => kernel.update_tx_secret(),
        }
    }
}

/// Judges the type of a record by its head. Returns how long its sealed content may be.
pub(super) fn judge(kind: ContentType) -> Result<usize, Fault> {
    // Every record is sealed by now, and their legacy version counts for nothing (§5.1, §5.2).
    match kind {
        ContentType::ApplicationData => Ok(SEALED_MAX),
        other => Err(Fault::inappropriate(other)),
    }
}

/// Opens the sealed content of a record, in place. Returns its type and content.
pub(super) fn open<'b>(
    keys: &mut Keys,
    sealed: &'b mut [u8],
) -> Result<(ContentType, &'b [u8]), Fault> {
    let nonce = keys.nonce().ok_or_else(Fault::forged)?;
    let inner = keys.open(nonce, make_tls13_aad(sealed.len()), sealed)?;
    if inner.len() > RECORD_DATA_MAX + 1 {
        return Err(Fault::overflow());
    }
    // The type stands before the padding (§5.4).
    match inner.iter().rposition(|byte| *byte != 0).and_then(|at| inner.split_at_checked(at)) {
        Some((content, &[kind, ..])) => Ok((ContentType::from(kind), content)),
        _ => Err(Fault::unexpected(PeerMisbehaved::IllegalTlsInnerPlaintext)),
    }
}

/// Seals content of any type as one record behind the bytes of `out`.
pub(super) fn seal(
    keys: &mut Keys,
    kind: ContentType,
    content: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let head = make_tls13_aad(content.len() + 1 + TAG);
    out.extend_from_slice(&head);
    keys.seal(head, (content, &[kind.into()]), out)
}

/// The message that the next record has another key; `asks` = the peer is to change its own as well.
pub(super) fn key_update(asks: bool) -> [u8; 5] {
    let request = if asks { UPDATE_REQUESTED } else { UPDATE_NOT_REQUESTED };
    [HandshakeType::KeyUpdate.into(), 0, 0, 1, request]
}

/// Whether the peer asks for new keys, too.
fn is_requested(body: &[u8]) -> Result<bool, Fault> {
    match *body {
        [UPDATE_NOT_REQUESTED] => Ok(false),
        [UPDATE_REQUESTED] => Ok(true),
        [_] => {
            let alert = Some(AlertDescription::IllegalParameter);
            Err(Fault(InvalidMessage::InvalidKeyUpdate.into(), alert))
        }
        _ => Err(Fault::undecodable(InvalidMessage::InvalidKeyUpdate)),
    }
}
