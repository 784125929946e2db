//! The PROXY protocol, versions 1 and 2 (haproxy.org, `proxy-protocol.txt`): headers of connections, from bytes and to
//! bytes.
//!
//! * `read`: a header at the start of bytes that have come; `write`: the header that a connection to a target begins
//!   with; `tlvs`: the fields behind the addresses; `checksum`: CRC32C.
//!
//! Pure: opens nothing, waits for nothing. Whose headers are taken is the listener's to say. Tested beside it.

mod checksum;
pub mod read;
mod tlvs;
pub mod write;

use std::net::SocketAddr;

pub const V1_PREFIX: &[u8] = b"PROXY ";
pub const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
pub const V2_FIXED_BYTES: usize = 16;

/// The versions of the headers that connections must begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    Off,
    V1,
    V2,
    Any,
}

/// The version of a header that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// The facts of a header about the client's own connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Announced<'a> {
    /// The client; `None` leaves the real peer in place.
    pub source: Option<SocketAddr>,
    /// Where the client connected to.
    pub destination: Option<SocketAddr>,
    /// The client's own TLS, where the sender says that it came by TLS.
    pub tls: Option<AnnouncedTls<'a>>,
}

/// The client's TLS with the sender of a header. Empty texts stand for "not said".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnnouncedTls<'a> {
    /// As OpenSSL names it: "TLSv1.3".
    pub version: &'a str,
    pub cipher: &'a str,
    /// The name that the client asked for.
    pub server_name: &'a str,
    pub alpn: &'a [u8],
    /// The common name of the client's certificate, where it has presented one that was verified.
    pub client: Option<&'a str>,
}
