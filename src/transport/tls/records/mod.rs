//! The records of a connection behind its handshake: received ones are opened where they lie, and data is sealed from
//! its sender's buffer straight into the one that is sent.
//!
//! rustls makes the secrets of both directions; in TLS 1.3 it derives those that follow (RFC 8446 §7.2) and keeps
//! tickets. Everything else that may come in a record is judged here: alerts, messages of a handshake, and how much of
//! it may come without data. What differs by version is in `tls13` and `tls12`. The keys of a connection that is at
//! rest are not held expanded. Tested in `tests/records`.

mod fault;
mod keys;
mod limits;
mod tls12;
mod tls13;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::{
    AlertDescription, ContentType, Error, ExtractedSecrets, HandshakeType, InvalidMessage,
    PeerMisbehaved, SupportedCipherSuite,
};

use fault::Fault;
use keys::Keys;
pub use limits::RECORD_DATA_MAX;
use limits::{Left, MESSAGE_MAX, count};
use tls12::{FATAL, WARNING};
use tls13::Kernel;

const HEAD: usize = 5;

/// What a version has besides the keys of both directions.
enum Version {
    Tls13(Box<Kernel>),
    Tls12(tls12::Peer),
}

/// Both directions of one end of a connection whose handshake is done.
pub struct Records {
    version: Version,
    receive: Keys,
    send: Keys,
    /// How many records one key may seal.
    limit: u64,
    /// The beginning of a message behind the handshake that goes on in the next record.
    message: Vec<u8>,
    /// Whether the peer has asked for new keys, which come before the next data.
    owes_update: bool,
    left: Left,
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

impl Records {
    /// # Errors
    /// When the configuration does not hand out secrets, or the handshake is not done.
    pub fn of_server(side: UnbufferedServerConnection) -> Result<Records, Error> {
        let (secrets, kernel) = side.dangerous_into_kernel_connection()?;
        Ok(Records::new(Kernel::Server(kernel), secrets))
    }

    /// # Errors
    /// As [`Self::of_server`].
    pub fn of_client(side: UnbufferedClientConnection) -> Result<Records, Error> {
        let (secrets, kernel) = side.dangerous_into_kernel_connection()?;
        Ok(Records::new(Kernel::Client(kernel), secrets))
    }

    fn new(kernel: Kernel, secrets: ExtractedSecrets) -> Records {
        let (version, common) = match kernel.suite() {
            SupportedCipherSuite::Tls13(suite) => (Version::Tls13(Box::new(kernel)), &suite.common),
            // Nothing follows from its handshake: rustls is done.
            SupportedCipherSuite::Tls12(suite) => {
                (Version::Tls12(tls12::Peer::of(&kernel)), &suite.common)
            }
        };
        Records {
            version,
            receive: Keys::new(secrets.rx),
            send: Keys::new(secrets.tx),
            limit: common.confidentiality_limit,
            message: Vec::new(),
            owes_update: false,
            left: Left::ALL,
        }
    }

    /// Opens the record at the beginning of `bytes`, in place. An alert that refuses something, or tells the peer of a
    /// fault, is appended to `control`.
    ///
    /// # Errors
    /// What is wrong with the record, or what the peer found wrong; nothing may be opened behind it.
    pub fn open<'b>(
        &mut self,
        bytes: &'b mut [u8],
        control: &mut Vec<u8>,
    ) -> Result<Opened<'b>, Error> {
        self.opened(bytes, control).map_err(|Fault(error, alert)| {
            if let Some(alert) = alert {
                // Without a key nobody can be told.
                let _ = self.tell(FATAL, alert, control);
            }
            error
        })
    }

    fn opened<'b>(
        &mut self,
        bytes: &'b mut [u8],
        control: &mut Vec<u8>,
    ) -> Result<Opened<'b>, Fault> {
        let Some((kind, length)) = self.head(bytes)? else { return Ok(Opened::Part) };
        let Some(sealed) = bytes.get_mut(HEAD..HEAD + length) else { return Ok(Opened::Part) };
        let (kind, content) = match self.version {
            Version::Tls13(_) => tls13::open(&mut self.receive, sealed)?,
            Version::Tls12(_) => (kind, tls12::open(&mut self.receive, kind, sealed)?),
        };
        if kind == ContentType::ApplicationData && !content.is_empty() && self.message.is_empty() {
            self.left = Left::ALL;
            return Ok(Opened::Data(HEAD + length, content));
        }
        match self.without_data(kind, content, control)? {
            After::Goes => Ok(Opened::Data(HEAD + length, &[])),
            After::Ends => Ok(Opened::Closed),
        }
    }

    /// The type of the record that begins, and the length of its sealed content; `None` = its head has not come whole.
    fn head(&self, bytes: &[u8]) -> Result<Option<(ContentType, usize)>, Fault> {
        let Some(&kind) = bytes.first() else { return Ok(None) };
        let kind = ContentType::from(kind);
        let max = match self.version {
            Version::Tls13(_) => tls13::judge(kind)?,
            Version::Tls12(_) => tls12::judge(kind, bytes.get(1..3))?,
        };
        let &[_, _, _, high, low, ..] = bytes else { return Ok(None) };
        match usize::from(u16::from_be_bytes([high, low])) {
            length if length > max => Err(Fault::overflow()),
            length => Ok(Some((kind, length))),
        }
    }

    #[cold]
    fn without_data(
        &mut self,
        kind: ContentType,
        content: &[u8],
        control: &mut Vec<u8>,
    ) -> Result<After, Fault> {
        match kind {
            ContentType::Handshake => {
                self.handshake(content, control)?;
                Ok(After::Goes)
            }
            // RFC 8446 §5.1: nothing comes between the parts of a message.
            _ if !self.message.is_empty() => {
                let error = PeerMisbehaved::MessageInterleavedWithHandshakeMessage;
                Err(Fault::unexpected(error))
            }
            ContentType::ApplicationData => self.nothing(),
            ContentType::Alert => self.alert(content),
            other => Err(Fault::inappropriate(other)),
        }
    }

    /// Counts a record that says nothing.
    fn nothing(&mut self) -> Result<After, Fault> {
        count(&mut self.left.empty, PeerMisbehaved::TooManyEmptyFragments)?;
        Ok(After::Goes)
    }

    fn alert(&mut self, content: &[u8]) -> Result<After, Fault> {
        let &[level, description] = content else {
            return Err(Fault::undecodable(InvalidMessage::MissingData("Alert")));
        };
        let description = AlertDescription::from(description);
        match (&mut self.version, description) {
            (Version::Tls12(peer), _) => match peer.alert(level, description)? {
                true => Ok(After::Ends),
                false => Ok(After::Goes),
            },
            // In TLS 1.3 the level says nothing (RFC 8446 §6).
            (Version::Tls13(_), AlertDescription::CloseNotify) => Ok(After::Ends),
            // It goes before `close_notify`, and says nothing more (§6.1).
            (Version::Tls13(_), AlertDescription::UserCanceled) => self.nothing(),
            (Version::Tls13(_), other) => Err(Fault(Error::AlertReceived(other), None)),
        }
    }

    /// Judges the messages behind the handshake, which may be split over records.
    fn handshake(&mut self, content: &[u8], control: &mut Vec<u8>) -> Result<(), Fault> {
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
            let kind = HandshakeType::from(kind);
            match &mut self.version {
                Version::Tls13(kernel) => {
                    let renewed = kernel.message(kind, body, next.is_empty(), &mut self.left)?;
                    if let Some((keys, is_requested)) = renewed {
                        self.receive = keys;
                        self.owes_update |= is_requested;
                    }
                }
                Version::Tls12(peer) => {
                    peer.message(kind, body)?;
                    self.tell(WARNING, AlertDescription::NoRenegotiation, control)
                        .map_err(Fault::internal)?;
                }
            }
            rest = next;
        }
        self.message = rest.to_vec();
        Ok(())
    }

    /// Seals data as one record behind the bytes of `out`, and before it what is owed: in TLS 1.3 this side's next key,
    /// where the peer has asked for it or this one has sealed as much as it may.
    ///
    /// # Errors
    /// When there is no key to seal with, or the data is longer than [`RECORD_DATA_MAX`]. In TLS 1.2 no key follows the
    /// one that has sealed as much as it may: its last record, behind the bytes of `out`, is an alert.
    pub fn seal(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        // The last record of a key says that the next one has another, or that there is none.
        if self.owes_update || self.send.sequence + 1 >= self.limit {
            self.leave_key(out)?;
        }
        if data.len() > RECORD_DATA_MAX {
            return Err(Error::EncryptError);
        }
        self.append(ContentType::ApplicationData, data, out)
    }

    #[cold]
    fn leave_key(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.version {
            Version::Tls13(_) => self.change_keys(false, out),
            Version::Tls12(_) => {
                // What is cut must not end cleanly.
                self.tell(FATAL, AlertDescription::InternalError, out)?;
                Err(Error::EncryptError)
            }
        }
    }

    /// Has this side's keys changed, and asks the peer to change its own. Does nothing in TLS 1.2.
    ///
    /// # Errors
    /// When there is no key to seal with.
    #[cfg(test)]
    pub fn update_keys(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.version {
            Version::Tls13(_) => self.change_keys(true, out),
            Version::Tls12(_) => Ok(()),
        }
    }

    fn change_keys(&mut self, asks: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        self.append(ContentType::Handshake, &tls13::key_update(asks), out)?;
        self.owes_update = false;
        if let Version::Tls13(kernel) = &mut self.version {
            self.send = Keys::new(kernel.next_to_send()?);
        }
        Ok(())
    }

    /// Seals the end of this side's data behind the bytes of `out`.
    ///
    /// # Errors
    /// When there is no key to seal with.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.tell(WARNING, AlertDescription::CloseNotify, out)
    }

    /// Seals an alert behind the bytes of `out`, unless the key has sealed as much as it may.
    fn tell(&mut self, level: u8, alert: AlertDescription, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.send.sequence >= self.limit {
            return Err(Error::EncryptError);
        }
        self.append(ContentType::Alert, &[level, alert.into()], out)
    }

    /// Seals content of any type as one record behind the bytes of `out`.
    pub(super) fn append(
        &mut self,
        kind: ContentType,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let before = out.len();
        let result = match self.version {
            Version::Tls13(_) => tls13::seal(&mut self.send, kind, content, out),
            Version::Tls12(_) => tls12::seal(&mut self.send, kind, content, out),
        };
        if result.is_err() {
            // Nobody is sent half a record.
            out.truncate(before);
        }
        result
    }

    /// Holds no expanded keys until the next record.
    pub fn rest(&mut self) {
        self.receive.rest();
        self.send.rest();
    }

    /// Has the key's last record to be sealed next.
    #[cfg(test)]
    pub fn exhaust(&mut self) {
        self.limit = self.send.sequence + 1;
    }
}
