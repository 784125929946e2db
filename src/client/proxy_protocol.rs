//! The PROXY protocol, versions 1 and 2: the first bytes of a connection, in which a balancer in front
//! of limpet names the client (haproxy.org, `proxy-protocol.txt`).
//!
//! The listener's setting alone decides: where it is on, every connection must begin with a header of the accepted
//! version, and one that does not is closed at once. A header that names no TCP client (LOCAL, UNKNOWN, Unix sockets,
//! datagrams) leaves the real peer in place. Of the TLVs, which may follow the addresses, only SSL is read; the others
//! are skipped. A client is never trusted because a header names it: trust depends on the socket's peer. Must never
//! wait longer than for a head, guess at bytes that are no header, or take a byte beyond the header for its own.
//! [`decode`] is tested whole, byte by byte, at every split and with bytes behind it; [`receive`] by the black-box
//! suite.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::connection::Connection;
use crate::exchange::caller::Announced;
use crate::snapshot::{Listener, ProxyProtocol};
use crate::time::alarms::Waits;
use crate::time::clock::Millis;
use crate::time::stop::LAST_REQUEST;
use crate::uring::buffers;

const V1_PREFIX: &[u8] = b"PROXY ";
/// The longest line of version 1, with its CRLF.
const V1_BYTES_MAX: usize = 107;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED_BYTES: usize = 16;
/// The longest header of version 2 that is taken. Most senders keep to 536 bytes, so that a header fits
/// in any first segment; names of certificates and clouds can make it several times as long.
const V2_BYTES_MAX: usize = 4096;
/// The TLV about the encryption of the client's own connection (PP2_TYPE_SSL).
const TLV_SSL: u8 = 0x20;
/// The bit of the TLV's first byte that says that the client's connection was encrypted (PP2_CLIENT_SSL).
const CLIENT_SSL: u8 = 0x01;

/// The decoded start of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// More bytes are needed.
    Partial,
    Complete {
        /// Length of the header, in bytes.
        consumed: usize,
        announced: Announced,
    },
}

/// Why a connection's first bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No header of an accepted version.
    Missing,
    /// A header longer than its version, or limpet, allows.
    TooLong,
    /// It begins like a header but is malformed.
    Malformed,
    /// It did not come whole within the time for a head.
    Late,
    /// The connection ended inside it.
    Closed,
}

impl Fault {
    /// The word for the log and the counters.
    pub fn code(self) -> &'static str {
        match self {
            Fault::Missing => "proxy_header_missing",
            Fault::TooLong => "proxy_header_too_long",
            Fault::Malformed => "proxy_header_malformed",
            Fault::Late => "proxy_header_timeout",
            Fault::Closed => "proxy_header_short",
        }
    }
}

/// Reads the header at the start of `bytes`, in an `accepted` version. Pure: call it again from the start when more
/// bytes have come.
///
/// # Errors
/// As soon as no further byte could complete a valid header.
pub fn decode(bytes: &[u8], accepted: ProxyProtocol) -> Result<Decoded, Fault> {
    let takes_v1 = matches!(accepted, ProxyProtocol::V1 | ProxyProtocol::Any);
    let takes_v2 = matches!(accepted, ProxyProtocol::V2 | ProxyProtocol::Any);
    if bytes.is_empty() {
        Ok(Decoded::Partial)
    } else if takes_v1 && begins_as(bytes, V1_PREFIX) {
        decode_v1(bytes)
    } else if takes_v2 && begins_as(bytes, V2_SIGNATURE) {
        decode_v2(bytes)
    } else {
        Err(Fault::Missing)
    }
}

/// Whether `bytes` is the beginning of `prefix`, or `prefix` the beginning of `bytes`.
fn begins_as(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.iter().zip(prefix).all(|(byte, expected)| byte == expected)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 4444 80\r\n`
fn decode_v1(bytes: &[u8]) -> Result<Decoded, Fault> {
    let within = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = memchr::memmem::find(within, b"\r\n") else {
        return if bytes.len() < V1_BYTES_MAX { Ok(Decoded::Partial) } else { Err(Fault::TooLong) };
    };
    let line = within.get(V1_PREFIX.len()..end).ok_or(Fault::Malformed)?;
    let announced = v1_announced(line).ok_or(Fault::Malformed)?;
    Ok(Decoded::Complete { consumed: end + 2, announced })
}

/// The announced client in the text behind `PROXY `; UNKNOWN announces none. `None` for text that the protocol does not
/// allow.
fn v1_announced(line: &[u8]) -> Option<Announced> {
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some(Announced::default());
    }
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let read_ip: fn(&str) -> Option<IpAddr> = match words.next()? {
        "TCP4" => |text| Ipv4Addr::from_str(text).ok().map(IpAddr::V4),
        "TCP6" => |text| Ipv6Addr::from_str(text).ok().map(IpAddr::V6),
        _ => return None,
    };
    let source_ip = read_ip(words.next()?)?;
    let _destination_ip = read_ip(words.next()?)?;
    let source_port = v1_port(words.next()?)?;
    let port = v1_port(words.next()?)?;
    let source = Some(SocketAddr::new(source_ip, source_port));
    words.next().is_none().then_some(Announced { source, port: Some(port), encrypted: false })
}

/// A port in decimal digits, without a sign or leading zeros.
fn v1_port(text: &str) -> Option<u16> {
    let is_canonical = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if is_canonical { text.parse().ok() } else { None }
}

/// ```text
///   signature 12 | version, command 1 | family, transport 1 | length 2 | addresses, then TLVs
/// ```
fn decode_v2(bytes: &[u8]) -> Result<Decoded, Fault> {
    // A fault is returned as soon as it is seen; the rest of the header need not come.
    let is_proxied = match bytes.get(12) {
        None => return Ok(Decoded::Partial),
        Some(0x20) => false,
        Some(0x21) => true,
        Some(_) => return Err(Fault::Malformed),
    };
    let family = match bytes.get(13) {
        None => return Ok(Decoded::Partial),
        Some(&family) => Family::of(family),
    };
    let Some(&[high, low]) = bytes.get(14..V2_FIXED_BYTES) else { return Ok(Decoded::Partial) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let consumed = V2_FIXED_BYTES + length;
    // LOCAL: the balancer speaks for itself, and any addresses are ignored.
    let family = if is_proxied { family.ok_or(Fault::Malformed)? } else { Family::Other(0) };
    if length < family.address_bytes() {
        return Err(Fault::Malformed);
    }
    if consumed > V2_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let Some(block) = bytes.get(V2_FIXED_BYTES..consumed) else { return Ok(Decoded::Partial) };
    let mut announced = family.announced(block);
    announced.encrypted =
        is_proxied && block.get(family.address_bytes()..).is_some_and(says_encrypted);
    Ok(Decoded::Complete { consumed, announced })
}

/// Whether the TLVs say that the client's connection was encrypted. A TLV that exceeds the header ends the search, but
/// not the connection: the header's own length is certain.
fn says_encrypted(mut tlvs: &[u8]) -> bool {
    while let Some((&[kind, high, low], rest)) = tlvs.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((value, following)) = rest.split_at_checked(length) else { return false };
        if kind == TLV_SSL && value.first().is_some_and(|client| client & CLIENT_SSL != 0) {
            return true;
        }
        tlvs = following;
    }
    false
}

/// The address family of a header of version 2.
#[derive(Clone, Copy)]
enum Family {
    Tcp4,
    Tcp6,
    /// A family that limpet's listeners cannot use; the length of its addresses, in bytes.
    Other(usize),
}

impl Family {
    /// `None` for a family that the protocol does not define.
    fn of(byte: u8) -> Option<Family> {
        match byte {
            0x00 => Some(Family::Other(0)),
            0x11 => Some(Family::Tcp4),
            0x12 => Some(Family::Other(12)),
            0x21 => Some(Family::Tcp6),
            0x22 => Some(Family::Other(36)),
            0x31 | 0x32 => Some(Family::Other(216)),
            _ => None,
        }
    }

    fn address_bytes(self) -> usize {
        match self {
            Family::Tcp4 => 12,
            Family::Tcp6 => 36,
            Family::Other(bytes) => bytes,
        }
    }

    /// Source address, destination address, source port, destination port.
    fn announced(self, block: &[u8]) -> Announced {
        let read = || {
            let (ip, ports) = match self {
                Family::Tcp4 => {
                    let (ip, rest) = block.split_first_chunk::<4>()?;
                    (IpAddr::from(*ip), rest.get(4..)?)
                }
                Family::Tcp6 => {
                    let (ip, rest) = block.split_first_chunk::<16>()?;
                    (IpAddr::from(*ip), rest.get(16..)?)
                }
                Family::Other(_) => return None,
            };
            let [from, from_low, to, to_low] = *ports.first_chunk()?;
            let source = SocketAddr::new(ip, u16::from_be_bytes([from, from_low]));
            Some((source, u16::from_be_bytes([to, to_low])))
        };
        let (source, port) = read().unzip();
        Announced { source, port, encrypted: false }
    }
}

/// Receives the header, within the time for a head, and makes the client that it names the connection's peer. Returns
/// the bytes received beyond it; `None` when the connection must be closed.
pub async fn receive(connection: &Connection, listener: &Listener) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    match receive_header(connection, listener, &mut bytes).await {
        Ok((consumed, announced)) => {
            connection.caller.announce(&announced);
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

/// Receives into `bytes` until the header in it is whole.
async fn receive_header(
    connection: &Connection,
    listener: &Listener,
    bytes: &mut Vec<u8>,
) -> Result<(usize, Announced), Fault> {
    let local = &connection.clients.local;
    let mut deadline = local.clock.deadline(listener.timeouts.head);
    if local.stop.has_begun() {
        deadline = deadline.min(local.clock.deadline(LAST_REQUEST));
    }
    loop {
        let (count, expired) = receive_more(connection, deadline, bytes).await;
        if expired && !local.stop.has_begun() && !connection.alarm.is_evicted() {
            return Err(Fault::Late);
        }
        if count == 0 {
            return Err(Fault::Closed);
        }
        if let Decoded::Complete { consumed, announced } = decode(bytes, listener.proxy_protocol)? {
            return Ok((consumed, announced));
        }
    }
}

/// One receive behind `bytes`. Returns how many bytes came, 0 at the end, and whether the time was up. A stop need not
/// wait for it, since no request has begun.
async fn receive_more(
    connection: &Connection,
    deadline: Millis,
    bytes: &mut Vec<u8>,
) -> (usize, bool) {
    let Connection { client, alarm, .. } = connection;
    if bytes.capacity() == 0 {
        let receive = client.recv_any();
        let (result, expired) =
            alarm.bound_waiting(deadline, Waits::Fresh, receive, || client.end()).await;
        *bytes = result.unwrap_or_default();
        return (bytes.len(), expired);
    }
    let receive = client.recv(std::mem::take(bytes));
    let ((result, received), expired) =
        alarm.bound_waiting(deadline, Waits::Fresh, receive, || client.end()).await;
    *bytes = received;
    (result.unwrap_or(0), expired)
}

fn complain(connection: &Connection, listener: &Listener, fault: Fault) {
    let clients = &connection.clients;
    clients.local.counters.count_code(fault.code());
    if clients.warnings.may(clients.local.clock.now_ms()) {
        tracing::warn!(
            listener = %listener.name,
            peer = %connection.caller.peer().text(),
            fault = fault.code(),
            "a connection without the PROXY header that proxy_protocol asks for was closed"
        );
    }
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
