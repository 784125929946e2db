//! The header that a connection to a target begins with.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::tlvs::{
    ALPN, AUTHORITY, CLIENT_CERT_CONN, CLIENT_CERT_SESS, CLIENT_SSL, SSL, SSL_CIPHER, SSL_CN,
    SSL_VERSION,
};
use super::{Announced, AnnouncedTls, V2_SIGNATURE, Version};

const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
/// LOCAL, with no addresses behind it.
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
/// Version 2, PROXY.
const V2_PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Longest text of a field that is sent.
const TEXT_BYTES_MAX: usize = 256;
/// Names of cipher suites are IANA's in limpet, and OpenSSL's in headers: with TLS 1.3 they are the same.
const CIPHERS: [(&str, &str); 6] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
];

/// The header of limpet's own connections, which are no client's: UNKNOWN or LOCAL.
pub fn own(version: Version) -> &'static [u8] {
    match version {
        Version::V1 => V1_UNKNOWN,
        Version::V2 => V2_LOCAL,
    }
}

/// The header of a client's connection; limpet's own where the client has no address.
pub fn header(version: Version, announced: &Announced<'_>) -> Vec<u8> {
    let Some((source, destination)) = announced.source.zip(announced.destination) else {
        return own(version).to_vec();
    };
    let (source, destination) = of_one_family(source, destination);
    match version {
        Version::V1 => v1(source, destination),
        Version::V2 => v2(source, destination, announced.tls.as_ref()),
    }
}

/// The addresses in one family, which is that of IPv6 where they differ.
fn of_one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let [source, destination] = [source, destination]
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let in_v6 =
        |address: SocketAddr| SocketAddr::new(octets_v6(address.ip()).into(), address.port());
    (in_v6(source), in_v6(destination))
}

fn octets_v6(ip: IpAddr) -> [u8; 16] {
    let ip: Ipv6Addr = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    ip.octets()
}

fn v1(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

fn v2(source: SocketAddr, destination: SocketAddr, tls: Option<&AnnouncedTls<'_>>) -> Vec<u8> {
    let mut block = Vec::with_capacity(256);
    let family = if source.is_ipv4() { TCP4 } else { TCP6 };
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(ip) => block.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => block.extend_from_slice(&ip.octets()),
        }
    }
    for address in [source, destination] {
        block.extend_from_slice(&address.port().to_be_bytes());
    }
    if let Some(tls) = tls {
        fields(tls, &mut block);
    }
    let length = u16::try_from(block.len()).unwrap_or_default();
    let mut header = V2_SIGNATURE.to_vec();
    header.extend_from_slice(&[V2_PROXY, family]);
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(&block);
    header
}

/// What there is to say of the client's TLS.
fn fields(tls: &AnnouncedTls<'_>, out: &mut Vec<u8>) {
    push(ALPN, tls.alpn, out);
    push(AUTHORITY, tls.server_name.as_bytes(), out);
    let presented = match tls.client {
        Some(_) => CLIENT_CERT_CONN | CLIENT_CERT_SESS,
        None => 0,
    };
    // Zero stands for a certificate that was verified, so that there must be one.
    let verify = u32::from(tls.client.is_none());
    let mut ssl = vec![CLIENT_SSL | presented];
    ssl.extend_from_slice(&verify.to_be_bytes());
    push(SSL_VERSION, tls.version.as_bytes(), &mut ssl);
    push(SSL_CN, tls.client.unwrap_or_default().as_bytes(), &mut ssl);
    push(SSL_CIPHER, cipher(tls.cipher).as_bytes(), &mut ssl);
    push_whole(SSL, &ssl, out);
}

/// Appends a field, unless it is empty or longer than receivers take.
fn push(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    if (1..=TEXT_BYTES_MAX).contains(&value.len()) {
        push_whole(kind, value, out);
    }
}

fn push_whole(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(value.len()).unwrap_or_default().to_be_bytes();
    out.push(kind);
    out.extend_from_slice(&length);
    out.extend_from_slice(value);
}

fn cipher(iana: &str) -> &str {
    CIPHERS.iter().find(|(name, _)| *name == iana).map_or(iana, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_protocol::ProxyProtocol;
    use crate::proxy_protocol::read::{Decoded, decode};

    const TLS: AnnouncedTls<'_> = AnnouncedTls {
        version: "TLSv1.2",
        cipher: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        server_name: "shop.test",
        alpn: b"http/1.1",
        client: Some("till-7"),
    };

    fn announced<'a>(from: &str, to: &str, tls: Option<AnnouncedTls<'a>>) -> Announced<'a> {
        Announced { source: from.parse().ok(), destination: to.parse().ok(), tls }
    }

    #[test]
    fn a_header_of_version_1_is_a_line() {
        for (from, to, line) in [
            ("192.0.2.33:4444", "198.51.100.1:80", "TCP4 192.0.2.33 198.51.100.1 4444 80"),
            ("[2001:db8::1]:1", "[::1]:65535", "TCP6 2001:db8::1 ::1 1 65535"),
            ("[::ffff:192.0.2.33]:1", "198.51.100.1:80", "TCP4 192.0.2.33 198.51.100.1 1 80"),
            ("192.0.2.33:1", "[::1]:80", "TCP6 ::ffff:192.0.2.33 ::1 1 80"),
        ] {
            let header = header(Version::V1, &announced(from, to, Some(TLS)));
            assert_eq!(String::from_utf8(header), Ok(format!("PROXY {line}\r\n")));
        }
        assert_eq!(header(Version::V1, &announced("", "", None)), b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn a_header_of_version_2_has_the_bytes_of_the_protocol() {
        let of = |tls| header(Version::V2, &announced("192.0.2.33:4444", "198.51.100.1:443", tls));
        let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11";
        let addresses = b"\xc0\0\x02\x21\xc6\x33\x64\x01\x11\x5c\x01\xbb";
        assert_eq!(of(None), [&start[..], b"\0\x0c", addresses].concat());
        let ssl = b"\x20\0\x36\x07\0\0\0\0\x21\0\x07TLSv1.2\x22\0\x06till-7\x23\0\x1bECDHE-RSA-AES128-GCM-SHA256";
        let fields = [&b"\x01\0\x08http/1.1\x02\0\x09shop.test"[..], ssl].concat();
        let length = u16::try_from(12 + fields.len()).unwrap().to_be_bytes();
        assert_eq!(of(Some(TLS)), [&start[..], &length, addresses, &fields].concat());
        assert_eq!(own(Version::V2), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let nameless = AnnouncedTls { client: Some(""), ..TLS };
        let bare = AnnouncedTls { version: "TLSv1.3", ..AnnouncedTls::default() };
        for tls in [None, Some(bare), Some(nameless), Some(TLS)] {
            for (from, to) in
                [("192.0.2.33:4444", "198.51.100.1:80"), ("[2001:db8::1]:1", "[::1]:65535")]
            {
                let expected = announced(from, to, tls);
                let written = header(Version::V2, &expected);
                let read = decode(&written, ProxyProtocol::V2);
                let cipher = tls.map(|tls| super::cipher(tls.cipher)).unwrap_or_default();
                let tls = tls.map(|tls| AnnouncedTls { cipher, ..tls });
                let announced = Announced { tls, ..expected };
                assert_eq!(read, Ok(Decoded::Complete { consumed: written.len(), announced }));
            }
        }
        for (version, accepted) in
            [(Version::V1, ProxyProtocol::V1), (Version::V2, ProxyProtocol::V2)]
        {
            let (bytes, announced) = (own(version), Announced::default());
            let read = decode(bytes, accepted);
            assert_eq!(read, Ok(Decoded::Complete { consumed: bytes.len(), announced }));
        }
    }

    #[test]
    fn a_text_that_receivers_would_not_take_is_left_out() {
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        let tls = AnnouncedTls { client: Some(&long), ..TLS };
        let written = header(Version::V2, &announced("192.0.2.33:1", "192.0.2.1:2", Some(tls)));
        let Ok(Decoded::Complete { announced, .. }) = decode(&written, ProxyProtocol::V2) else {
            panic!("it is no header");
        };
        assert_eq!(announced.tls.and_then(|tls| tls.client), Some(""));
    }
}
