//! The records of TLS 1.3 behind a handshake (RFC 8446 §5): received ones are opened where they lie, and data is sealed
//! from its sender's buffer straight into the one that is sent.
//!
//! rustls makes the secrets of both directions, derives those that follow (§7.2) and keeps tickets. Everything else
//! that may come in a record is judged here: alerts (§6), tickets and new keys (§4.6), and how much of it may come
//! without data. The keys of a connection that is at rest are not held expanded. Tested in `tests/records.rs`.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::crypto::cipher::{self, AeadKey, Iv, make_tls13_aad};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets,
    HandshakeType, InvalidMessage, PeerMisbehaved, SupportedCipherSuite,
};

/// The longest data of one record (RFC 8446 §5.1).
pub const RECORD_DATA_MAX: usize = 16_384;
const HEAD: usize = 5;
const TAG: usize = 16;
/// The longest sealed content of a record, with its type, padding and tag (§5.2).
const SEALED_MAX: usize = RECORD_DATA_MAX + 256;
/// The longest message behind a handshake: a ticket with its extensions.
const MESSAGE_MAX: usize = 1 << 16;
/// How many records without data may come in a row: empty ones, tickets, and requests for new keys, of each so many.
const WITHOUT_DATA_MAX: u8 = 32;
/// Alerts (§6).
const CLOSE_NOTIFY: [u8; 2] = [1, 0];
const FATAL: u8 = 2;
/// Bodies of KeyUpdate (§4.6.3).
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;

/// What rustls keeps of a connection: the secrets that follow, and where tickets go.
enum Kernel {
    Server(KernelConnection<ServerConnectionData>),
    Client(KernelConnection<ClientConnectionData>),
}

/// One direction's key and the number of its next record.
struct Keys {
    secrets: ConnectionTrafficSecrets,
    sequence: u64,
    /// Expanded while the connection is busy.
    expanded: Option<LessSafeKey>,
}

/// Both directions of one end of a connection whose handshake is done.
pub struct Records {
    kernel: Kernel,
    receive: Keys,
    send: Keys,
    /// How many records one key may seal.
    limit: u64,
    /// The beginning of a message behind the handshake that goes on in the next record.
    message: Vec<u8>,
    /// Whether the peer has asked for new keys, which come before the next data.
    owes_update: bool,
    empty: u8,
    tickets: u8,
    updates: u8,
}

/// What the record at the beginning of some bytes was.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'b> {
    /// It has not come whole.
    Part,
    /// It had so many bytes, and this data.
    Data(usize, &'b [u8]),
    /// It was the end of the peer's data.
    Closed,
}

/// Whether anything counts behind a record without data.
enum After {
    Goes,
    Ends,
}

/// What was wrong with a record, and what the peer is told; nothing where it has said so itself.
struct Fault(Error, Option<AlertDescription>);

impl Fault {
    fn unexpected(error: impl Into<Error>) -> Fault {
        Fault(error.into(), Some(AlertDescription::UnexpectedMessage))
    }

    fn undecodable(error: InvalidMessage) -> Fault {
        Fault(error.into(), Some(AlertDescription::DecodeError))
    }
}

impl Records {
    /// # Errors
    /// When the configuration does not hand out secrets, or the handshake is not done.
    pub fn of_server(side: UnbufferedServerConnection) -> Result<Records, Error> {
        let (secrets, kernel) = side.dangerous_into_kernel_connection()?;
        let suite = kernel.negotiated_cipher_suite();
        Ok(Records::new(Kernel::Server(kernel), secrets, suite))
    }

    /// # Errors
    /// As [`Self::of_server`].
    pub fn of_client(side: UnbufferedClientConnection) -> Result<Records, Error> {
        let (secrets, kernel) = side.dangerous_into_kernel_connection()?;
        let suite = kernel.negotiated_cipher_suite();
        Ok(Records::new(Kernel::Client(kernel), secrets, suite))
    }

    fn new(kernel: Kernel, secrets: ExtractedSecrets, suite: SupportedCipherSuite) -> Records {
        let limit = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
        };
        Records {
            kernel,
            receive: Keys::new(secrets.rx),
            send: Keys::new(secrets.tx),
            limit,
            message: Vec::new(),
            owes_update: false,
            empty: WITHOUT_DATA_MAX,
            tickets: WITHOUT_DATA_MAX,
            updates: WITHOUT_DATA_MAX,
        }
    }

    /// Opens the record at the beginning of `bytes`, in place. An alert that tells the peer of a fault is appended to
    /// `control`.
    ///
    /// # Errors
    /// What is wrong with the record, or what the peer found wrong; nothing may be opened behind it.
    pub fn open<'b>(
        &mut self,
        bytes: &'b mut [u8],
        control: &mut Vec<u8>,
    ) -> Result<Opened<'b>, Error> {
        self.opened(bytes).map_err(|Fault(error, alert)| {
            if let Some(alert) = alert {
                // Without a key nobody can be told.
                let _ = self.append(ContentType::Alert, &[FATAL, alert.into()], control);
            }
            error
        })
    }

    fn opened<'b>(&mut self, bytes: &'b mut [u8]) -> Result<Opened<'b>, Fault> {
        let Some(length) = sealed_length(bytes)? else { return Ok(Opened::Part) };
        let Some(sealed) = bytes.get_mut(HEAD..HEAD + length) else { return Ok(Opened::Part) };
        let (kind, content) = self.receive.open(sealed)?;
        if kind == ContentType::ApplicationData && !content.is_empty() && self.message.is_empty() {
            (self.empty, self.tickets, self.updates) =
                (WITHOUT_DATA_MAX, WITHOUT_DATA_MAX, WITHOUT_DATA_MAX);
            return Ok(Opened::Data(HEAD + length, content));
        }
        match self.without_data(kind, content)? {
            After::Goes => Ok(Opened::Data(HEAD + length, &[])),
            After::Ends => Ok(Opened::Closed),
        }
    }

    #[cold]
    fn without_data(&mut self, kind: ContentType, content: &[u8]) -> Result<After, Fault> {
        match kind {
            ContentType::Handshake => {
                self.handshake(content)?;
                return Ok(After::Goes);
            }
            // §5.1: nothing comes between the parts of a message.
            _ if !self.message.is_empty() => {
                let error = PeerMisbehaved::MessageInterleavedWithHandshakeMessage;
                return Err(Fault::unexpected(error));
            }
            ContentType::ApplicationData => {}
            ContentType::Alert => match *content {
                [_, description] => match AlertDescription::from(description) {
                    AlertDescription::CloseNotify => return Ok(After::Ends),
                    // It goes before `close_notify`, and says nothing more (§6.1).
                    AlertDescription::UserCanceled => {}
                    other => return Err(Fault(Error::AlertReceived(other), None)),
                },
                _ => return Err(Fault::undecodable(InvalidMessage::MissingData("Alert"))),
            },
            other => return Err(Fault::unexpected(inappropriate(other))),
        }
        count(&mut self.empty, PeerMisbehaved::TooManyEmptyFragments)?;
        Ok(After::Goes)
    }

    /// Judges the messages behind the handshake, which may be split over records.
    fn handshake(&mut self, content: &[u8]) -> Result<(), Fault> {
        if content.is_empty() {
            return Err(Fault::unexpected(InvalidMessage::InvalidEmptyPayload));
        }
        self.message.extend_from_slice(content);
        let message = std::mem::take(&mut self.message);
        let mut rest = message.as_slice();
        while let &[kind, a, b, c, ref behind @ ..] = rest {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if length > MESSAGE_MAX {
                return Err(Fault::undecodable(InvalidMessage::HandshakePayloadTooLarge));
            }
            let Some((body, next)) = behind.split_at_checked(length) else { break };
            self.message(HandshakeType::from(kind), body, next.is_empty())?;
            rest = next;
        }
        self.message = rest.to_vec();
        Ok(())
    }

    /// One whole message; `is_last` = no byte of the record is behind it.
    fn message(&mut self, kind: HandshakeType, body: &[u8], is_last: bool) -> Result<(), Fault> {
        match (kind, &mut self.kernel) {
            (HandshakeType::KeyUpdate, _) => self.update(body, is_last),
            (HandshakeType::NewSessionTicket, Kernel::Client(kernel)) => {
                count(&mut self.tickets, PeerMisbehaved::TooManyEmptyFragments)?;
                kernel
                    .handle_new_session_ticket(body)
                    .map_err(|error| Fault(error, Some(AlertDescription::DecodeError)))
            }
            // Nobody has offered to authenticate behind the handshake (§4.6.2), and nobody may begin another.
            (other, _) => Err(Fault::unexpected(Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::NewSessionTicket, HandshakeType::KeyUpdate],
                got_type: other,
            })),
        }
    }

    /// The peer seals with its next key from now on.
    fn update(&mut self, body: &[u8], is_last: bool) -> Result<(), Fault> {
        // §5.1: no message goes on behind a change of keys.
        if !is_last {
            return Err(Fault::unexpected(PeerMisbehaved::KeyEpochWithPendingFragment));
        }
        count(&mut self.updates, PeerMisbehaved::TooManyKeyUpdateRequests)?;
        match *body {
            [UPDATE_NOT_REQUESTED] => {}
            [UPDATE_REQUESTED] => self.owes_update = true,
            [_] => {
                let alert = Some(AlertDescription::IllegalParameter);
                return Err(Fault(InvalidMessage::InvalidKeyUpdate.into(), alert));
            }
            _ => return Err(Fault::undecodable(InvalidMessage::InvalidKeyUpdate)),
        }
        let next = match &mut self.kernel {
            Kernel::Server(kernel) => kernel.update_rx_secret(),
            Kernel::Client(kernel) => kernel.update_rx_secret(),
        };
        self.receive = Keys::new(next.map_err(internal)?);
        Ok(())
    }

    /// Seals data as one record behind the bytes of `out`, and before it what is owed: this side's next key, where the
    /// peer has asked for it or this one has sealed as much as it may.
    ///
    /// # Errors
    /// When there is no key to seal with, or the data is longer than [`RECORD_DATA_MAX`].
    pub fn seal(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        // The last record of a key says that the next one has another.
        if self.owes_update || self.send.sequence + 1 >= self.limit {
            self.change_keys(UPDATE_NOT_REQUESTED, out)?;
        }
        if data.len() > RECORD_DATA_MAX {
            return Err(Error::EncryptError);
        }
        self.append(ContentType::ApplicationData, data, out)
    }

    /// Seals the end of this side's data behind the bytes of `out`.
    ///
    /// # Errors
    /// When there is no key to seal with.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.append(ContentType::Alert, &CLOSE_NOTIFY, out)
    }

    /// Has this side's keys changed, and asks the peer to change its own.
    ///
    /// # Errors
    /// When there is no key to seal with.
    #[cfg(test)]
    pub fn update_keys(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.change_keys(UPDATE_REQUESTED, out)
    }

    #[cold]
    fn change_keys(&mut self, request: u8, out: &mut Vec<u8>) -> Result<(), Error> {
        let message = [HandshakeType::KeyUpdate.into(), 0, 0, 1, request];
        self.append(ContentType::Handshake, &message, out)?;
        self.owes_update = false;
        let next = match &mut self.kernel {
            Kernel::Server(kernel) => kernel.update_tx_secret(),
            Kernel::Client(kernel) => kernel.update_tx_secret(),
        };
        self.send = Keys::new(next?);
        Ok(())
    }

    /// Seals content of any type as one record behind the bytes of `out`.
    pub(super) fn append(
        &mut self,
        kind: ContentType,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let head = make_tls13_aad(content.len() + 1 + TAG);
        let before = out.len();
        out.extend_from_slice(&head);
        let at = out.len();
        out.resize(at + content.len() + 1 + TAG, 0);
        let (sealed, end) = out.split_at_mut(at + content.len());
        let sealed = sealed.get_mut(at..).unwrap_or_default();
        let result = self.send.seal(kind, content, (head, sealed, end));
        if result.is_err() {
            // Nobody is sent half a record.
            out.truncate(before);
        }
        result
    }

    /// Holds no expanded keys until the next record.
    pub fn rest(&mut self) {
        self.receive.expanded = None;
        self.send.expanded = None;
    }

    /// Has the key's last record to be sealed next.
    #[cfg(test)]
    pub fn exhaust(&mut self) {
        self.limit = self.send.sequence + 1;
    }
}

impl Keys {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Keys {
        Keys { secrets, sequence, expanded: None }
    }

    fn parts(&self) -> Option<(&'static Algorithm, &AeadKey, &Iv)> {
        match &self.secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => Some((&AES_128_GCM, key, iv)),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => Some((&AES_256_GCM, key, iv)),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                Some((&CHACHA20_POLY1305, key, iv))
            }
            _ => None,
        }
    }

    /// The key, expanded, and the nonce of the next record (§5.3).
    fn ready(&mut self) -> Option<(&LessSafeKey, Nonce)> {
        let (algorithm, key, iv) = self.parts()?;
        let nonce = Nonce::assume_unique_for_key(cipher::Nonce::new(iv, self.sequence).0);
        if self.expanded.is_none() {
            let key = UnboundKey::new(algorithm, key.as_ref()).ok()?;
            self.expanded = Some(LessSafeKey::new(key));
        }
        Some((self.expanded.as_ref()?, nonce))
    }

    /// Opens the sealed content of a record, in place. Returns its type and content.
    fn open<'b>(&mut self, sealed: &'b mut [u8]) -> Result<(ContentType, &'b [u8]), Fault> {
        let aad = Aad::from(make_tls13_aad(sealed.len()));
        let forged = || Fault(Error::DecryptError, Some(AlertDescription::BadRecordMac));
        let (key, nonce) = self.ready().ok_or_else(forged)?;
        let inner = key.open_in_place(nonce, aad, sealed).map_err(|_| forged())?;
        self.sequence += 1;
        let inner: &[u8] = inner;
        if inner.len() > RECORD_DATA_MAX + 1 {
            return Err(overflow());
        }
        // The type stands before the padding (§5.4).
        match inner.iter().rposition(|byte| *byte != 0).and_then(|at| inner.split_at_checked(at)) {
            Some((content, &[kind, ..])) => Ok((ContentType::from(kind), content)),
            _ => Err(Fault::unexpected(PeerMisbehaved::IllegalTlsInnerPlaintext)),
        }
    }

    /// Seals content of a type: all but its type into a part of its length, type and tag into what is behind it.
    fn seal(
        &mut self,
        kind: ContentType,
        content: &[u8],
        (head, sealed, end): ([u8; HEAD], &mut [u8], &mut [u8]),
    ) -> Result<(), Error> {
        let (key, nonce) = self.ready().ok_or(Error::EncryptError)?;
        let aad = Aad::from(head);
        key.seal_out_of_place_scatter(nonce, aad, content, sealed, &[kind.into()], end)
            .map_err(|_| Error::EncryptError)?;
        self.sequence += 1;
        Ok(())
    }
}

/// The length of the sealed content of the record that begins; `None` = its head has not come whole.
fn sealed_length(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let (kind, length) = match *bytes {
        [kind, _, _, high, low, ..] => (kind, Some(usize::from(u16::from_be_bytes([high, low])))),
        [kind, ..] => (kind, None),
        [] => return Ok(None),
    };
    // Every record is sealed by now, and their legacy version counts for nothing (§5.1, §5.2).
    let kind = ContentType::from(kind);
    if kind != ContentType::ApplicationData {
        return Err(Fault::unexpected(inappropriate(kind)));
    }
    match length {
        Some(length) if length > SEALED_MAX => Err(overflow()),
        Some(length) => Ok(Some(length)),
        None => Ok(None),
    }
}

fn overflow() -> Fault {
    Fault(Error::PeerSentOversizedRecord, Some(AlertDescription::RecordOverflow))
}

fn internal(error: Error) -> Fault {
    Fault(error, Some(AlertDescription::InternalError))
}

fn inappropriate(got_type: ContentType) -> Error {
    Error::InappropriateMessage { expect_types: vec![ContentType::ApplicationData], got_type }
}

/// Takes one of the allowed.
fn count(left: &mut u8, error: PeerMisbehaved) -> Result<(), Fault> {
    match left.checked_sub(1) {
        Some(fewer) => *left = fewer,
        None => return Err(Fault::unexpected(error)),
    }
    Ok(())
}
