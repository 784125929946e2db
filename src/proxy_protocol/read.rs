//! The header at the start of a connection's bytes.
//!
//! A header that names no TCP client (LOCAL, UNKNOWN, Unix sockets, datagrams) leaves the real peer in place. Fields
//! behind the addresses must fit, and their checksum must be right; those of LOCAL are skipped like its addresses, as the
//! protocol says. Must never guess at bytes that are no header, or take a byte beyond the header for its own. Tested
//! whole, byte by byte, at every split and with bytes behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::checksum::crc32c;
use super::tlvs::{self, Misshapen};
use super::{Announced, AnnouncedTls, ProxyProtocol, V1_PREFIX, V2_FIXED_BYTES, V2_SIGNATURE};

/// The longest line of version 1, with its CRLF.
const V1_BYTES_MAX: usize = 107;
/// The longest header of version 2 that is taken. Most senders keep to 536 bytes, so that a header fits
/// in any first segment; names of certificates and clouds can make it several times as long.
const V2_BYTES_MAX: usize = 4096;
/// The decoded start of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// More bytes are needed.
    Partial,
    Complete {
        /// Length of the header, in bytes.
        consumed: usize,
        announced: Announced<'a>,
    },
}

/// Why bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No header of an accepted version.
    Missing,
    /// A header longer than its version, or limpet, allows.
    TooLong,
    /// It begins like a header but is malformed.
    Malformed,
    /// Its checksum is that of other bytes.
    Checksum,
}

/// Reads the header at the start of `bytes`, in an `accepted` version. Pure: call it again from the start when more
/// bytes have come.
///
/// # Errors
/// As soon as no further byte could complete a valid header.
pub fn decode(bytes: &[u8], accepted: ProxyProtocol) -> Result<Decoded<'_>, Fault> {
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
fn decode_v1(bytes: &[u8]) -> Result<Decoded<'_>, Fault> {
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
fn v1_announced(line: &[u8]) -> Option<Announced<'_>> {
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
    let destination_ip = read_ip(words.next()?)?;
    let source = SocketAddr::new(source_ip, v1_port(words.next()?)?);
    let destination = SocketAddr::new(destination_ip, v1_port(words.next()?)?);
    let [source, destination] = [source, destination].map(Some);
    words.next().is_none().then_some(Announced { source, destination, tls: None })
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
fn decode_v2(bytes: &[u8]) -> Result<Decoded<'_>, Fault> {
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
    if !is_proxied {
        return Ok(Decoded::Complete { consumed, announced: Announced::default() });
    }
    let (addresses, rest) = block.split_at_checked(family.address_bytes()).unwrap_or_default();
    let announced = Announced { tls: tls(bytes, (family, rest))?, ..family.announced(addresses) };
    Ok(Decoded::Complete { consumed, announced })
}

/// The client's TLS according to the fields, which are the last of the header's bytes.
fn tls<'a>(
    bytes: &[u8],
    (family, fields): (Family, &'a [u8]),
) -> Result<Option<AnnouncedTls<'a>>, Fault> {
    let before = V2_FIXED_BYTES + family.address_bytes();
    let read = match (tlvs::read(fields), family) {
        (Ok(read), _) => read,
        // Whatever stands behind a family of which nothing is known is to be skipped.
        (Err(Misshapen), Family::Other(0)) => return Ok(None),
        (Err(Misshapen), _) => return Err(Fault::Malformed),
    };
    if let Some((sum, at)) = read.checksum {
        let header = bytes.iter().take(before + fields.len()).enumerate();
        // It is that of the header with zeros in its own place.
        let own = before + at..before + at + size_of::<u32>();
        let zeroed = header.map(|(at, byte)| if own.contains(&at) { &0 } else { byte });
        if crc32c(zeroed) != sum {
            return Err(Fault::Checksum);
        }
    }
    Ok(read.tls)
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
    fn announced(self, addresses: &[u8]) -> Announced<'static> {
        let read = || match self {
            Family::Tcp4 => read_addresses::<4>(addresses),
            Family::Tcp6 => read_addresses::<16>(addresses),
            Family::Other(_) => None,
        };
        let (source, destination) = read().unzip();
        Announced { source, destination, tls: None }
    }
}

fn read_addresses<const N: usize>(addresses: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = addresses.split_first_chunk::<N>()?;
    let (destination, ports) = rest.split_first_chunk::<N>()?;
    let [from, from_low, to, to_low] = *ports.first_chunk()?;
    let source = SocketAddr::new((*source).into(), u16::from_be_bytes([from, from_low]));
    let destination = SocketAddr::new((*destination).into(), u16::from_be_bytes([to, to_low]));
    Some((source, destination))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
