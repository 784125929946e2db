//! One end of a TLS connection without its socket: received bytes in, data out; data in, records out.
//!
//! ```text
//!   handshake (rustls) ─▶ done: what comes is kept ─▶ Session::take_over ─▶ records
//! ```
//! rustls carries out the handshake, and sees no byte behind it. Records are opened where they lie in the received
//! buffer; of a record that has come in part only that part is kept. What a peer may send that is no data is limited.
//! Must never hold a buffer while nothing is under way. Tested in `tests/session.rs`.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error, InvalidMessage, ServerConfig};

pub use super::records::RECORD_DATA_MAX;
use super::records::{Opened, Records};
use crate::uring::buffers;

/// Room for a record's head, nonce, type and tag in every version.
pub const RECORD_OVERHEAD: usize = 64;
const RECORD_HEAD: usize = 5;
/// Kept bytes of records that are not whole, and of handshake messages that are not.
const KEPT_MAX: usize = 96 * 1024;

enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
    /// Behind the handshake.
    Records(Box<Records>),
    /// Records could not be taken over, or the session is elsewhere.
    Broken,
}

/// One end of a TLS connection.
pub struct Session {
    side: Side,
    /// Bytes that came and that no whole record or handshake message is made of yet.
    kept: Vec<u8>,
    /// Data that was opened and not taken yet, from `data_at` on.
    data: Vec<u8>,
    data_at: usize,
    /// Records that carry no data and must be sent: of the handshake, alerts.
    control: Vec<u8>,
    is_closed: bool,
    /// Whether data begins in small records, which is its sender's doing.
    pub wants_small_records: bool,
}

impl Session {
    /// # Errors
    /// When the configuration cannot be used.
    pub fn server(config: Arc<ServerConfig>) -> Result<Session, Error> {
        let side = UnbufferedServerConnection::new(config)?;
        Ok(Session::new(Side::Server(Box::new(side))))
    }

    /// # Errors
    /// When the configuration cannot be used.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Session, Error> {
        let side = UnbufferedClientConnection::new(config, name)?;
        Ok(Session::new(Side::Client(Box::new(side))))
    }

    fn new(side: Side) -> Session {
        Session {
            side,
            kept: Vec::new(),
            data: Vec::new(),
            data_at: 0,
            control: Vec::new(),
            is_closed: false,
            wants_small_records: false,
        }
    }

    /// Takes the session away; what stays in its place is of no use.
    pub fn take(&mut self) -> Session {
        std::mem::replace(self, Session::new(Side::Broken))
    }

    /// What rustls knows of the connection; nothing once the records were taken over.
    pub fn state(&self) -> Option<&CommonState> {
        self.side.state()
    }

    pub fn is_handshaking(&self) -> bool {
        self.state().is_some_and(CommonState::is_handshaking)
    }

    /// Takes the records over from rustls, once the handshake is done. What has come behind it is opened by
    /// [`Self::go_on`].
    ///
    /// # Errors
    /// When the handshake is not done, or the configuration does not hand out secrets; the session is of no further
    /// use.
    pub fn take_over(&mut self) -> Result<(), Error> {
        self.side = Side::Records(match std::mem::replace(&mut self.side, Side::Broken) {
            Side::Server(side) => Box::new(Records::of_server(*side)?),
            Side::Client(side) => Box::new(Records::of_client(*side)?),
            Side::Records(records) => records,
            Side::Broken => return Err(Error::HandshakeNotComplete),
        });
        Ok(())
    }

    /// Opens what has come behind the handshake before its records were taken over.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn go_on(&mut self) -> Result<(), Error> {
        self.open_kept(None)
    }

    /// The records that were taken over.
    #[cfg(test)]
    pub fn records(&mut self) -> Option<&mut Records> {
        match &mut self.side {
            Side::Records(records) => Some(records),
            Side::Server(_) | Side::Client(_) | Side::Broken => None,
        }
    }

    /// Gives back what a busy connection needs and one at rest does not, until the next record.
    pub fn rest(&mut self) {
        if let Side::Records(records) = &mut self.side {
            records.rest();
        }
    }

    /// Whether the peer has said that it sends no more data.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub fn has_data(&self) -> bool {
        self.data_at < self.data.len()
    }

    /// Records to be sent that carry no data, once.
    pub fn take_control(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.control)
    }

    pub fn has_control(&self) -> bool {
        !self.control.is_empty()
    }

    /// How many bytes the record lacks that has come in part; 0 when none has, or its length is not known.
    pub fn missing_bytes(&self) -> usize {
        missing(&self.kept)
    }

    /// Whether a record has come in part.
    pub fn has_part(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Begins the handshake of a client, whose hello is then to be sent.
    ///
    /// # Errors
    /// When rustls refuses to begin.
    pub fn begin(&mut self) -> Result<(), Error> {
        self.shake_kept()
    }

    /// Opens the records in `bytes`, which are overwritten. Data goes to the spare room of `into`, leaving
    /// [`buffers::TAIL_BYTES`], and what has no room there is kept; without `into` all of it is. A vector without
    /// capacity becomes a small buffer when data comes.
    ///
    /// # Errors
    /// What is wrong with the bytes, or what the peer found wrong. An alert that tells the peer is among the control
    /// records then; the session is of no further use.
    pub fn open(&mut self, bytes: &mut [u8], into: Option<&mut Vec<u8>>) -> Result<(), Error> {
        match self.side {
            Side::Records(_) => self.open_records(bytes, into),
            Side::Server(_) | Side::Client(_) => self.shake(bytes),
            Side::Broken => Err(Error::HandshakeNotComplete),
        }
    }

    /// Goes on with the handshake, and keeps what comes behind it.
    fn shake(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() && self.is_handshaking() {
            let wanted = match missing(&self.kept) {
                // rustls sees no byte behind the last record of a handshake.
                0 => first_record(bytes),
                missing => missing,
            };
            let (part, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.keep(part)?;
            bytes = rest;
            self.shake_kept()?;
        }
        self.keep(bytes)
    }

    fn open_records(
        &mut self,
        mut bytes: &mut [u8],
        mut into: Option<&mut Vec<u8>>,
    ) -> Result<(), Error> {
        while !bytes.is_empty() && !self.kept.is_empty() {
            // Without a byte that is missing, what is kept has waited for the records.
            let wanted = missing(&self.kept).min(bytes.len());
            let (part, rest) = bytes.split_at_mut(wanted);
            self.keep(part)?;
            bytes = rest;
            self.open_kept(into.as_deref_mut())?;
        }
        let opened = self.open_whole(bytes, into)?;
        self.keep(bytes.get(opened..).unwrap_or_default())
    }

    /// Moves data that was kept to the spare room of `into`, as [`Self::open`] does. Returns how much.
    pub fn take_data(&mut self, into: &mut Vec<u8>) -> usize {
        let kept = self.data.get(self.data_at..).unwrap_or_default();
        let count = put(kept, into);
        self.data_at += count;
        if !self.has_data() {
            buffers::give_back(std::mem::take(&mut self.data));
            self.data_at = 0;
        }
        count
    }

    /// Seals as much of `data` as fits into the capacity of `out`, behind its bytes. Returns how much of it.
    ///
    /// # Errors
    /// When records were not taken over, or their key must not be used any more: the end is behind the bytes of `out`
    /// then.
    pub fn seal(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let Side::Records(records) = &mut self.side else {
            return Err(Error::HandshakeNotComplete);
        };
        let mut sealed = 0;
        while sealed < data.len() {
            let room = out.capacity().saturating_sub(out.len() + RECORD_OVERHEAD);
            let length = room.min(RECORD_DATA_MAX).min(data.len() - sealed);
            // The last bytes of a buffer are not worth a record of their own.
            if length == 0 || length < RECORD_OVERHEAD && length < data.len() - sealed {
                break;
            }
            records.seal(data.get(sealed..sealed + length).unwrap_or_default(), out)?;
            sealed += length;
        }
        Ok(sealed)
    }

    /// Seals the end of this side's data (`close_notify`) behind the bytes of `out`.
    ///
    /// # Errors
    /// When records were not taken over, or their key must not be used any more.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.side {
            Side::Records(records) => records.close(out),
            Side::Server(_) | Side::Client(_) | Side::Broken => Err(Error::HandshakeNotComplete),
        }
    }

    /// Has this side's keys changed before its next data, and asks the peer to change its own. Does nothing in TLS 1.2.
    #[cfg(test)]
    pub fn update_keys(&mut self) {
        if let Side::Records(records) = &mut self.side {
            drop(records.update_keys(&mut self.control));
        }
    }

    /// Goes on with the handshake by what is kept, until rustls waits for more bytes.
    fn shake_kept(&mut self) -> Result<(), Error> {
        let mut kept = std::mem::take(&mut self.kept);
        let mut opened = 0;
        let shaken = loop {
            let rest = kept.get_mut(opened..).unwrap_or_default();
            let (done, step) = self.side.step(rest, &mut self.control);
            opened += done;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Waits) => break Ok(opened),
                Err(error) => {
                    self.side.last_words(&mut self.control);
                    break Err(error);
                }
            }
        };
        self.keep_rest(kept, shaken)
    }

    fn open_kept(&mut self, into: Option<&mut Vec<u8>>) -> Result<(), Error> {
        let mut kept = std::mem::take(&mut self.kept);
        let opened = self.open_whole(&mut kept, into);
        self.keep_rest(kept, opened)
    }

    /// Keeps what is behind the bytes that are done with; nothing behind a fault.
    fn keep_rest(&mut self, mut kept: Vec<u8>, done: Result<usize, Error>) -> Result<(), Error> {
        let result = done.map(|done| drop(kept.drain(..done.min(kept.len()))));
        if kept.is_empty() || result.is_err() {
            buffers::give_back(kept);
        } else {
            self.kept = kept;
        }
        result
    }

    /// Opens whole records. Returns how many of `bytes` are done with.
    fn open_whole(
        &mut self,
        bytes: &mut [u8],
        mut into: Option<&mut Vec<u8>>,
    ) -> Result<usize, Error> {
        let Session { side: Side::Records(records), data, control, is_closed, .. } = self else {
            return Err(Error::HandshakeNotComplete);
        };
        let mut done = 0;
        while done < bytes.len() && !*is_closed {
            let rest = bytes.get_mut(done..).unwrap_or_default();
            match records.open(rest, control)? {
                Opened::Part => return Ok(done),
                Opened::Data(record, opened) => {
                    done += record;
                    deliver(opened, into.as_deref_mut(), data);
                }
                Opened::Closed => *is_closed = true,
            }
        }
        // What follows the end counts for nothing (RFC 8446 §6.1).
        Ok(bytes.len())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let length = self.kept.len() + bytes.len();
        if length > KEPT_MAX {
            return Err(InvalidMessage::HandshakePayloadTooLarge.into());
        }
        let head = if self.kept.is_empty() { bytes } else { &self.kept };
        let whole = head.len() + missing(head);
        extend_pooled(&mut self.kept, bytes, length.max(whole).min(KEPT_MAX));
        Ok(())
    }
}

enum Step {
    Again,
    Waits,
}

impl Side {
    /// One step of the handshake. Returns how many of `bytes` it is done with.
    fn step(&mut self, bytes: &mut [u8], control: &mut Vec<u8>) -> (usize, Result<Step, Error>) {
        match self {
            Side::Server(side) => step(side.process_tls_records(bytes), control),
            Side::Client(side) => step(side.process_tls_records(bytes), control),
            Side::Records(_) | Side::Broken => (0, Err(Error::HandshakeNotComplete)),
        }
    }

    fn state(&self) -> Option<&CommonState> {
        match self {
            Side::Server(side) => Some(side),
            Side::Client(side) => Some(side),
            Side::Records(_) | Side::Broken => None,
        }
    }

    /// Takes the alert that rustls has for the peer after a fault.
    fn last_words(&mut self, control: &mut Vec<u8>) {
        // The faulty bytes are not looked at again: rustls hands out what it wants to send before it opens anything.
        while self.state().is_some_and(CommonState::wants_write)
            && matches!(self.step(&mut [], control), (_, Ok(Step::Again)))
        {}
    }
}

/// Does what one state of rustls asks for. Returns how many received bytes it is done with.
fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    control: &mut Vec<u8>,
) -> (usize, Result<Step, Error>)
where
    D: 'static,
{
    let step = status.state.map(|state| match state {
        ConnectionState::EncodeTlsData(mut encode) => {
            append(control, |room| match encode.encode(room) {
                Ok(count) => Appended::Bytes(count),
                Err(EncodeError::InsufficientSize(size)) => Appended::Needs(size.required_size),
                Err(EncodeError::AlreadyEncoded) => Appended::Bytes(0),
            });
            Step::Again
        }
        ConnectionState::TransmitTlsData(transmit) => {
            // They are in `control`, which is sent in order.
            transmit.done();
            Step::Again
        }
        // Neither data nor an end comes before the handshake is done, and no configuration accepts early data.
        _ => Step::Waits,
    });
    (status.discard, step)
}

/// Puts data into the spare room of `into`, and what has none behind `data`.
fn deliver(mut opened: &[u8], into: Option<&mut Vec<u8>>, data: &mut Vec<u8>) {
    if data.is_empty()
        && let Some(into) = into
    {
        let count = put(opened, into);
        opened = opened.get(count..).unwrap_or_default();
    }
    if !opened.is_empty() {
        let length = data.len() + opened.len();
        extend_pooled(data, opened, length);
    }
}

enum Appended {
    Bytes(usize),
    Needs(usize),
}

fn append(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Appended) {
    let at = out.len();
    loop {
        match encode(out.get_mut(at..).unwrap_or_default()) {
            Appended::Needs(size) if at + size > out.len() => out.resize(at + size, 0),
            Appended::Bytes(count) => return out.truncate(at + count),
            Appended::Needs(_) => return out.truncate(at),
        }
    }
}

/// Appends as much of `bytes` as `into` has room for. Returns how much.
fn put(bytes: &[u8], into: &mut Vec<u8>) -> usize {
    if into.capacity() == 0 && !bytes.is_empty() {
        *into = buffers::small();
    }
    let room = (into.capacity() - into.len()).saturating_sub(buffers::TAIL_BYTES);
    let part = bytes.get(..room).unwrap_or(bytes);
    into.extend_from_slice(part);
    part.len()
}

/// Appends `bytes`; a buffer that is too small makes place for one of the pool with room for `capacity` bytes.
fn extend_pooled(buffer: &mut Vec<u8>, bytes: &[u8], capacity: usize) {
    if bytes.is_empty() {
        return;
    }
    if buffer.capacity() < capacity {
        let mut larger =
            if capacity <= buffers::SMALL_BYTES { buffers::small() } else { buffers::large() };
        larger.reserve(capacity);
        larger.extend_from_slice(buffer);
        buffers::give_back(std::mem::replace(buffer, larger));
    }
    buffer.extend_from_slice(bytes);
}

/// The length of the record at the beginning of `bytes`, as far as it is known.
fn first_record(bytes: &[u8]) -> usize {
    bytes.len().min(RECORD_HEAD) + missing(bytes.get(..RECORD_HEAD).unwrap_or(bytes))
}

/// How many bytes the record at the beginning of `bytes` lacks; 0 when it is whole.
fn missing(bytes: &[u8]) -> usize {
    match bytes {
        &[_, _, _, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([high, low]));
            (RECORD_HEAD + length).saturating_sub(bytes.len())
        }
        [] => 0,
        short => RECORD_HEAD - short.len(),
    }
}
