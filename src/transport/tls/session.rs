//! One end of a TLS connection without its socket: received bytes in, data out; data in, records out.
//!
//! rustls carries out the handshake, and all of TLS 1.2; the records of a connection of TLS 1.3 are taken over from it
//! when its handshake is done ([`Session::take_over`]). They are opened where they lie in the received buffer; of a
//! record that has come in part only that part is kept. What a peer may send that is no data is limited: key updates,
//! warnings, empty records. Must never hold a buffer while nothing is under way. Tested in `tests/session.rs`.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, InvalidMessage, ProtocolVersion, ServerConfig};

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
    /// Of TLS 1.3, behind the handshake.
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
    /// Records that carry no data and must be sent: of the handshake, tickets, alerts.
    control: Vec<u8>,
    is_closed: bool,
    /// Whether what comes behind the handshake waits for [`Session::take_over`].
    pub pauses: bool,
    /// Whether data begins in small records, which is its sender's doing.
    pub wants_small_records: bool,
}

/// The work of one turn besides opening what has come.
enum Work<'a> {
    Open,
    /// Data to be sealed behind `out`; how much of it was.
    Seal(&'a [u8], &'a mut Vec<u8>, usize),
    /// The end of this side's data is to be sealed behind the bytes.
    Close(&'a mut Vec<u8>),
    #[cfg(test)]
    UpdateKeys,
}

/// What a turn may change of a session besides rustls' state.
struct Sinks<'s, 'w> {
    into: Option<&'w mut Vec<u8>>,
    data: &'s mut Vec<u8>,
    control: &'s mut Vec<u8>,
    is_closed: &'s mut bool,
    work: Work<'w>,
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
            pauses: false,
            wants_small_records: false,
        }
    }

    /// Takes the session away; what stays in its place is of no use.
    pub fn take(&mut self) -> Session {
        std::mem::replace(self, Session::new(Side::Broken))
    }

    /// What rustls knows of the connection; nothing once its records were taken over.
    pub fn state(&self) -> Option<&CommonState> {
        match &self.side {
            Side::Server(side) => Some(side),
            Side::Client(side) => Some(side),
            Side::Records(_) | Side::Broken => None,
        }
    }

    pub fn is_handshaking(&self) -> bool {
        self.state().is_some_and(CommonState::is_handshaking)
    }

    /// Takes the records of a connection of TLS 1.3 over from rustls, once its handshake is done, which costs less
    /// memory and less of each record. A connection of TLS 1.2 stays as it is; so does one that did not pause, and of
    /// which rustls has opened a record whose message is not whole. What has waited is opened by [`Self::go_on`].
    ///
    /// # Errors
    /// When the configuration does not hand out secrets; the session is of no further use.
    pub fn take_over(&mut self) -> Result<(), Error> {
        let is_ready = |state: &CommonState| {
            !state.is_handshaking()
                && !state.wants_write()
                && state.protocol_version() == Some(ProtocolVersion::TLSv1_3)
        };
        // A record that is kept whole, and did not wait, is one that rustls holds on to.
        let has_opened = !self.pauses && !self.kept.is_empty() && missing(&self.kept) == 0;
        self.pauses = false;
        if self.is_closed || has_opened || !self.state().is_some_and(is_ready) {
            return Ok(());
        }
        self.side = Side::Records(match std::mem::replace(&mut self.side, Side::Broken) {
            Side::Server(side) => Box::new(Records::of_server(*side)?),
            Side::Client(side) => Box::new(Records::of_client(*side)?),
            Side::Records(records) => records,
            Side::Broken => return Err(Error::HandshakeNotComplete),
        });
        Ok(())
    }

    /// Opens what has waited behind the handshake.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn go_on(&mut self) -> Result<(), Error> {
        self.turn_kept(None, Work::Open).map(drop)
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
        self.turn_kept(None, Work::Open).map(drop)
    }

    /// Opens the records in `bytes`, which are overwritten. Data goes to the spare room of `into`, leaving
    /// [`buffers::TAIL_BYTES`], and what has no room there is kept; without `into` all of it is. A vector without
    /// capacity becomes a small buffer when data comes.
    ///
    /// # Errors
    /// What is wrong with the bytes, or what the peer found wrong. An alert that tells the peer is among the control
    /// records then; the session is of no further use.
    pub fn open(
        &mut self,
        mut bytes: &mut [u8],
        mut into: Option<&mut Vec<u8>>,
    ) -> Result<(), Error> {
        while !bytes.is_empty() && (self.is_handshaking() || !self.kept.is_empty() && !self.pauses)
        {
            let wanted = match missing(&self.kept) {
                // rustls sees no byte behind the last record of a handshake.
                0 if self.is_handshaking() => first_record(bytes),
                0 => bytes.len(),
                missing => missing,
            };
            let (part, rest) = bytes.split_at_mut(wanted.min(bytes.len()));
            self.keep(part)?;
            bytes = rest;
            self.turn_kept(into.as_deref_mut(), Work::Open)?;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if self.pauses {
            return self.keep(bytes);
        }
        let (opened, _) = self.turn(bytes, into, Work::Open)?;
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
    /// When the keys must not be used any more, or what came with the handshake's last bytes is wrong.
    pub fn seal(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        match self.turn_kept(None, Work::Seal(data, out, 0))? {
            Work::Seal(_, _, sealed) => Ok(sealed),
            _ => Ok(0),
        }
    }

    /// Seals the end of this side's data (`close_notify`) behind the bytes of `out`.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.turn_kept(None, Work::Close(out)).map(drop)
    }

    /// Has this side's keys changed before its next data, and asks the peer to change its own. Does nothing where
    /// that cannot be: in TLS 1.2, and behind the end.
    #[cfg(test)]
    pub fn update_keys(&mut self) {
        drop(self.turn_kept(None, Work::UpdateKeys));
    }

    fn turn_kept<'a>(
        &mut self,
        into: Option<&'a mut Vec<u8>>,
        work: Work<'a>,
    ) -> Result<Work<'a>, Error> {
        let mut kept = std::mem::take(&mut self.kept);
        let turned = self.turn(&mut kept, into, work);
        let result = turned.map(|(opened, work)| {
            kept.drain(..opened.min(kept.len()));
            work
        });
        if kept.is_empty() || result.is_err() {
            buffers::give_back(kept);
        } else {
            self.kept = kept;
        }
        result
    }

    /// Goes on until rustls waits for more bytes. Returns how many of `bytes` it is done with.
    fn turn<'a>(
        &mut self,
        bytes: &mut [u8],
        into: Option<&'a mut Vec<u8>>,
        work: Work<'a>,
    ) -> Result<(usize, Work<'a>), Error> {
        let Session { side, data, control, is_closed, .. } = self;
        let mut sinks = Sinks { into, data, control, is_closed, work };
        let mut opened = 0;
        loop {
            let rest = bytes.get_mut(opened..).unwrap_or_default();
            let (done, step) = match side {
                Side::Records(records) => {
                    let opened = sinks.records(records, rest)?;
                    return Ok((opened, sinks.work));
                }
                Side::Server(side) => sinks.settle(side.process_tls_records(rest)),
                Side::Client(side) => sinks.settle(side.process_tls_records(rest)),
                Side::Broken => return Err(Error::HandshakeNotComplete),
            };
            opened += done;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Waits) => return Ok((opened, sinks.work)),
                Err(error) => {
                    last_words(side, &mut sinks);
                    return Err(error);
                }
            }
        }
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

/// Takes the alert that rustls has for the peer after a fault.
fn last_words(side: &mut Side, sinks: &mut Sinks<'_, '_>) {
    // The faulty bytes are not looked at again: rustls hands out what it wants to send before it opens anything.
    loop {
        let (wants, step) = match side {
            Side::Server(side) if side.wants_write() => {
                (true, sinks.settle(side.process_tls_records(&mut [])).1)
            }
            Side::Client(side) if side.wants_write() => {
                (true, sinks.settle(side.process_tls_records(&mut [])).1)
            }
            _ => (false, Ok(Step::Waits)),
        };
        if !wants || !matches!(step, Ok(Step::Again)) {
            return;
        }
    }
}

enum Step {
    Again,
    Waits,
}

impl Sinks<'_, '_> {
    /// Opens whole records, then does the turn's work. Returns how many received bytes it is done with.
    fn records(&mut self, records: &mut Records, bytes: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        while done < bytes.len() && !*self.is_closed {
            let rest = bytes.get_mut(done..).unwrap_or_default();
            match records.open(rest, self.control)? {
                Opened::Part => break,
                Opened::Data(record, data) => {
                    done += record;
                    self.deliver(data);
                }
                Opened::Closed => *self.is_closed = true,
            }
        }
        // What follows the end counts for nothing (RFC 8446 §6.1).
        if *self.is_closed {
            done = bytes.len();
        }
        match &mut self.work {
            Work::Open => Ok(()),
            #[cfg(test)]
            Work::UpdateKeys => records.update_keys(self.control),
            Work::Seal(data, out, sealed) => {
                seal(data, out, sealed, |part, out| records.seal(part, out))
            }
            Work::Close(out) => records.close(out),
        }?;
        Ok(done)
    }

    /// Does what one state of rustls asks for. Returns how many received bytes it is done with.
    fn settle<D>(&mut self, status: UnbufferedStatus<'_, '_, D>) -> (usize, Result<Step, Error>)
    where
        D: 'static,
    {
        let mut done = status.discard;
        let step = match status.state {
            Err(error) => Err(error),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    Some(Ok(record)) => {
                        done += record.discard;
                        self.deliver(record.payload);
                    }
                    Some(Err(error)) => break Err(error),
                    None => break Ok(Step::Again),
                }
            },
            Ok(ConnectionState::PeerClosed) => {
                *self.is_closed = true;
                Ok(Step::Again)
            }
            Ok(ConnectionState::EncodeTlsData(mut encode)) => {
                append(self.control, |room| match encode.encode(room) {
                    Ok(count) => Appended::Bytes(count),
                    Err(EncodeError::InsufficientSize(size)) => Appended::Needs(size.required_size),
                    Err(EncodeError::AlreadyEncoded) => Appended::Bytes(0),
                });
                Ok(Step::Again)
            }
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                // They are in `control`, which is sent in order.
                transmit.done();
                Ok(Step::Again)
            }
            #[cfg(test)]
            Ok(ConnectionState::WriteTraffic(traffic)) if matches!(self.work, Work::UpdateKeys) => {
                self.work = Work::Open;
                traffic.refresh_traffic_keys().map(|()| Step::Again)
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                self.write(&mut traffic).map(|()| Step::Waits)
            }
            // No configuration accepts early data; rustls may name further states later.
            Ok(_) => Ok(Step::Waits),
        };
        (done, step)
    }

    fn deliver(&mut self, mut payload: &[u8]) {
        if self.data.is_empty()
            && let Some(into) = self.into.as_deref_mut()
        {
            let count = put(payload, into);
            payload = payload.get(count..).unwrap_or_default();
        }
        if !payload.is_empty() {
            let length = self.data.len() + payload.len();
            extend_pooled(self.data, payload, length);
        }
    }

    fn write<D>(&mut self, traffic: &mut WriteTraffic<'_, D>) -> Result<(), Error> {
        match &mut self.work {
            Work::Open => Ok(()),
            #[cfg(test)]
            Work::UpdateKeys => Ok(()),
            Work::Seal(data, out, sealed) => seal(data, out, sealed, |part, out| {
                append_record(out, part.len(), |room| traffic.encrypt(part, room))
            }),
            Work::Close(out) => append_record(out, 0, |room| traffic.queue_close_notify(room)),
        }
    }
}

/// Seals as much of the data behind `sealed` as fits into the capacity of `out`, each part by `record`.
fn seal(
    data: &[u8],
    out: &mut Vec<u8>,
    sealed: &mut usize,
    mut record: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    while *sealed < data.len() {
        let room = out.capacity().saturating_sub(out.len() + RECORD_OVERHEAD);
        let length = room.min(RECORD_DATA_MAX).min(data.len() - *sealed);
        // The last bytes of a buffer are not worth a record of their own.
        if length == 0 || length < RECORD_OVERHEAD && length < data.len() - *sealed {
            break;
        }
        record(data.get(*sealed..*sealed + length).unwrap_or_default(), out)?;
        *sealed += length;
    }
    Ok(())
}

fn append_record(
    out: &mut Vec<u8>,
    length: usize,
    mut seal: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Error> {
    let mut result = Ok(());
    let at = out.len();
    out.resize(at + length + RECORD_OVERHEAD, 0);
    loop {
        let count = match seal(out.get_mut(at..).unwrap_or_default()) {
            Ok(count) => count,
            // An answer to a key update goes before the record.
            Err(EncryptError::InsufficientSize(size)) if at + size.required_size > out.len() => {
                out.resize(at + size.required_size, 0);
                continue;
            }
            Err(EncryptError::InsufficientSize(_) | EncryptError::EncryptExhausted) => {
                result = Err(Error::EncryptError);
                0
            }
        };
        out.truncate(at + count);
        return result;
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
