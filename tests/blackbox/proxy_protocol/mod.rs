//! The PROXY protocol: whose headers are taken, what they say of a client, and what targets are told.

mod incoming;
mod outgoing;

/// A header of version 2 for TCP over IPv4 from 192.0.2.33:4444 to 198.51.100.1:443, with fields behind the addresses.
fn v2(fields: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend(u16::try_from(12 + fields.len()).unwrap().to_be_bytes());
    header.extend([192, 0, 2, 33, 198, 51, 100, 1, 0x11, 0x5c, 0x01, 0xbb]);
    header.extend(fields);
    header
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// The fields of a client that came by TLS 1.3, asked for this name and has proven this one.
fn tls(server_name: &str, certificate: Option<&str>) -> Vec<u8> {
    let mut ssl = vec![if certificate.is_some() { 7 } else { 1 }, 0, 0, 0, 0];
    ssl.extend(tlv(0x21, b"TLSv1.3"));
    ssl.extend(certificate.map(|name| tlv(0x22, name.as_bytes())).unwrap_or_default());
    ssl.extend(tlv(0x23, b"TLS_AES_128_GCM_SHA256"));
    [tlv(0x01, b"http/1.1"), tlv(0x02, server_name.as_bytes()), tlv(0x20, &ssl)].concat()
}
