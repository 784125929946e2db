//! One connection's TLS, without its socket: what came in, what goes out.
//!
//! Owns: records that have come in part. Never: a buffer of its own besides; what one turn needs is lent to it, so that
//! many thousands of connections take little memory. Tested in `tests.rs`.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, Error, HandshakeKind};

/// Data of one record at most (RFC 8446 §5.1), and room for what a record adds to it.
const RECORD_DATA_MAX: usize = 16 * 1024;
const RECORD_OVERHEAD: usize = 64;

/// One connection's TLS.
pub struct Session {
    side: UnbufferedClientConnection,
    /// What has come of a record that is not whole.
    rest: Vec<u8>,
    is_ended: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("rest", &self.rest.len()).finish_non_exhaustive()
    }
}

/// What is lent to a session for one turn; everything in them is gone by the next one.
#[derive(Debug, Default)]
pub struct Lent {
    /// Records as they came: they are opened in place.
    incoming: Vec<u8>,
    /// What was in them.
    pub data: Vec<u8>,
}

/// What is to be done once the handshake allows it.
struct Sealing<'a> {
    data: &'a [u8],
    is_done: bool,
}

impl Session {
    /// Begins a handshake: the hello goes behind what is in `out`.
    ///
    /// # Errors
    /// When rustls refuses to begin.
    pub fn begin(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        out: &mut Vec<u8>,
    ) -> Result<Session, Error> {
        let side = UnbufferedClientConnection::new(config, name)?;
        let mut session = Session { side, rest: Vec::new(), is_ended: false };
        session.turn(&mut [], &mut Vec::new(), out, None)?;
        Ok(session)
    }

    /// Takes in what has arrived. Data stands in `lent.data` then, and what has to be sent, behind what is in `out`.
    ///
    /// # Errors
    /// What is wrong with the bytes, or what the server found wrong.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        lent: &mut Lent,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        lent.data.clear();
        let mut incoming = match self.rest.is_empty() {
            true => std::mem::take(&mut lent.incoming),
            false => std::mem::take(&mut self.rest),
        };
        incoming.extend_from_slice(bytes);
        let used = self.turn(&mut incoming, &mut lent.data, out, None)?;
        if used < incoming.len() {
            incoming.drain(..used);
            self.rest = incoming;
        } else {
            incoming.clear();
            lent.incoming = incoming;
        }
        Ok(())
    }

    /// Seals data behind what is in `out`, when the handshake is done.
    ///
    /// # Errors
    /// When the keys must not be used any more.
    pub fn seal(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let sealing = Sealing { data, is_done: false };
        self.turn(&mut [], &mut Vec::new(), out, Some(sealing)).map(drop)
    }

    /// The handshake is not done.
    pub fn is_handshaking(&self) -> bool {
        self.side.is_handshaking()
    }

    /// The handshake resumed a session.
    pub fn is_resumed(&self) -> bool {
        self.side.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The server has agreed to that protocol (RFC 7301).
    pub fn speaks(&self, protocol: &[u8]) -> bool {
        self.side.alpn_protocol() == Some(protocol)
    }

    /// The server has said that nothing more comes (RFC 8446 §6.1).
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Goes on until more bytes are needed; how many of `bytes` were used.
    fn turn(
        &mut self,
        bytes: &mut [u8],
        data: &mut Vec<u8>,
        out: &mut Vec<u8>,
        mut sealing: Option<Sealing<'_>>,
    ) -> Result<usize, Error> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.side.process_tls_records(&mut bytes[used..]);
            used += discard;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        used += record.discard;
                        data.extend_from_slice(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut message) => {
                    append(out, 0, |room| match message.encode(room) {
                        Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
                        Err(EncodeError::AlreadyEncoded) => Err(None),
                        Ok(count) => Ok(count),
                    })?;
                }
                // It goes out with `out`.
                ConnectionState::TransmitTlsData(sent) => sent.done(),
                ConnectionState::PeerClosed => self.is_ended = true,
                ConnectionState::WriteTraffic(mut traffic) => {
                    let Some(sealing) = sealing.as_mut().filter(|sealing| !sealing.is_done) else {
                        return Ok(used);
                    };
                    let records = sealing.data.len().div_ceil(RECORD_DATA_MAX);
                    let room = sealing.data.len() + records * RECORD_OVERHEAD;
                    append(out, room, |room| match traffic.encrypt(sealing.data, room) {
                        Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
                        Err(EncryptError::EncryptExhausted) => Err(None),
                        Ok(count) => Ok(count),
                    })?;
                    sealing.is_done = true;
                }
                // BlockedHandshake, Closed; early data is never sent.
                _ => return Ok(used),
            }
        }
    }
}

/// Appends what `write` writes, for which it may say how much room it needs.
fn append(
    out: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), Error> {
    let start = out.len();
    loop {
        out.resize(start + room, 0);
        match write(&mut out[start..]) {
            Ok(count) => {
                out.truncate(start + count);
                return Ok(());
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                out.truncate(start);
                return Err(Error::EncryptError);
            }
        }
    }
}
