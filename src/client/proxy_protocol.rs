//! The PROXY header at the start of a client's connection, in which a balancer in front of limpet names the client.
//!
//! The listener's settings alone decide: where headers are taken, they are taken from the peers that it names, every
//! connection must begin with one of the accepted version, and one that does not is closed at once. A client is never
//! trusted because a header names it: trust depends on the socket's peer. Must never wait longer than for a head. Tested
//! by the black-box suite.

use super::connection::Connection;
use super::first_bytes;
use crate::proxy_protocol::read::{self, Decoded, decode};
use crate::snapshot::Listener;
use crate::uring::buffers;

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its first bytes are no header that is taken.
    Header(read::Fault),
    /// Headers of its peer are not taken.
    Stranger,
    /// The header did not come whole within the time for a head.
    Late,
    /// The connection ended inside it.
    Closed,
}

impl Fault {
    /// The word for the log and the counters.
    pub fn code(self) -> &'static str {
        match self {
            Fault::Header(read::Fault::Missing) => "proxy_header_missing",
            Fault::Header(read::Fault::TooLong) => "proxy_header_too_long",
            Fault::Header(read::Fault::Malformed) => "proxy_header_malformed",
            Fault::Header(read::Fault::Checksum) => "proxy_header_checksum",
            Fault::Stranger => "proxy_header_not_trusted",
            Fault::Late => "proxy_header_timeout",
            Fault::Closed => "proxy_header_short",
        }
    }
}

/// Receives the header, within the time for a head, and makes the client that it names the connection's peer. Returns
/// the bytes received beyond it; `None` when the connection must be closed: at once, before a byte is read, where its
/// peer is none whose headers are taken.
pub async fn receive(connection: &Connection, listener: &Listener) -> Option<Vec<u8>> {
    if !listener.proxy_senders.hold(connection.caller.peer().ip) {
        complain(connection, listener, Fault::Stranger);
        return None;
    }
    let mut bytes = Vec::new();
    match receive_header(connection, listener, &mut bytes).await {
        Ok(consumed) => {
            bytes.drain(..consumed.min(bytes.len()));
            if bytes.is_empty() {
                buffers::give_back(std::mem::take(&mut bytes));
            }
            Some(bytes)
        }
        Err(fault) => {
            // A connection that ends before its first byte is a balancer's health check, or limpet is stopping.
            if fault != Fault::Closed || !bytes.is_empty() {
                complain(connection, listener, fault);
            }
            buffers::give_back(bytes);
            None
        }
    }
}

/// Receives into `bytes` until the header in it is whole, and takes over what it says. Returns its length, in bytes.
async fn receive_header(
    connection: &Connection,
    listener: &Listener,
    bytes: &mut Vec<u8>,
) -> Result<usize, Fault> {
    let local = &connection.clients.local;
    let deadline = first_bytes::deadline(connection, listener);
    loop {
        let (count, expired) = first_bytes::receive(connection, deadline, bytes).await;
        if expired && !local.stop.has_begun() && !connection.alarm.is_evicted() {
            return Err(Fault::Late);
        }
        if count == 0 {
            return Err(Fault::Closed);
        }
        let decoded = decode(bytes, listener.proxy_protocol).map_err(Fault::Header)?;
        if let Decoded::Complete { consumed, announced } = decoded {
            connection.caller.announce(&announced);
            return Ok(consumed);
        }
    }
}

fn complain(connection: &Connection, listener: &Listener, fault: Fault) {
    let clients = &connection.clients;
    clients.local.counters.count_code(fault.code());
    if clients.warnings.may(clients.local.clock.now_ms()) {
        tracing::warn!(
            listener = %listener.name,
            peer = %connection.caller.peer().text(),
            fault = fault.code(),
            "a connection without a PROXY header that may be taken was closed"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_word_of_its_own() {
        let faults = [
            (Fault::Header(read::Fault::Missing), "proxy_header_missing"),
            (Fault::Header(read::Fault::TooLong), "proxy_header_too_long"),
            (Fault::Header(read::Fault::Malformed), "proxy_header_malformed"),
            (Fault::Header(read::Fault::Checksum), "proxy_header_checksum"),
            (Fault::Stranger, "proxy_header_not_trusted"),
            (Fault::Late, "proxy_header_timeout"),
            (Fault::Closed, "proxy_header_short"),
        ];
        for (fault, word) in faults {
            assert_eq!(fault.code(), word);
        }
    }
}
