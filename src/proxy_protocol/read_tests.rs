use crate::proxy_protocol::read::*;

const ALL: [ProxyProtocol; 3] = [ProxyProtocol::V1, ProxyProtocol::V2, ProxyProtocol::Any];

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut header = V2_SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(block.len()).expect("a length").to_be_bytes());
    header.extend(block);
    header
}

fn tcp4_block(more: &[u8]) -> Vec<u8> {
    [&[192, 0, 2, 33, 198, 51, 100, 1, 0x11, 0x5c, 0, 80], more].concat()
}

fn tcp6_block() -> Vec<u8> {
    let mut block = Ipv6Addr::from_str("2001:db8::33").expect("IPv6").octets().to_vec();
    block.extend(Ipv6Addr::LOCALHOST.octets());
    block.extend([0xff, 0xff, 0, 80]);
    block
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a length").to_be_bytes();
    [&[kind][..], &length, value].concat()
}

/// A field of so many bytes that nobody reads.
fn cloud(bytes: usize) -> Vec<u8> {
    tlv(0xea, &vec![b' '; bytes - 3])
}

/// Every valid header, and the client in it.
fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let v1 = |line: &str| [line.as_bytes(), b"\r\n"].concat();
    let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535";
    let ssl = [0x20, 0, 5, 1, 0, 0, 0, 0];
    vec![
        (v1("PROXY TCP4 192.0.2.33 198.51.100.1 4444 80"), Some("192.0.2.33:4444")),
        (v1("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0"), Some("255.255.255.255:65535")),
        (v1("PROXY TCP6 2001:db8::33 ::1 4444 80"), Some("[2001:db8::33]:4444")),
        (v1("PROXY TCP6 ::ffff:192.0.2.33 ::1 1 2"), Some("[::ffff:192.0.2.33]:1")),
        (v1("PROXY UNKNOWN"), None),
        (v1("PROXY UNKNOWN what\rever\nthis is"), None),
        (v1(longest), None),
        (v2(0x21, 0x11, &tcp4_block(b"")), Some("192.0.2.33:4444")),
        (v2(0x21, 0x11, &tcp4_block(&ssl)), Some("192.0.2.33:4444")),
        (v2(0x21, 0x11, &tcp4_block(&cloud(540 - 28))), Some("192.0.2.33:4444")),
        (v2(0x21, 0x21, &tcp6_block()), Some("[2001:db8::33]:65535")),
        (v2(0x21, 0x00, b""), None),
        (v2(0x21, 0x00, b"ignored"), None),
        (v2(0x21, 0x12, &tcp4_block(b"")), None),
        (v2(0x21, 0x22, &tcp6_block()), None),
        (v2(0x21, 0x31, &[0; 216]), None),
        (v2(0x21, 0x32, &[0; 216]), None),
        (v2(0x20, 0x00, b""), None),
        (v2(0x20, 0x11, &tcp4_block(b"")), None),
        // The addresses of LOCAL are ignored, the family included.
        (v2(0x20, 0xff, b"x"), None),
    ]
}

/// The version of a header.
fn version_of(header: &[u8]) -> ProxyProtocol {
    if header.starts_with(V1_PREFIX) { ProxyProtocol::V1 } else { ProxyProtocol::V2 }
}

/// The length of a whole header, and the client in it.
fn taken(bytes: &[u8], accepted: ProxyProtocol) -> Option<(usize, Option<SocketAddr>)> {
    match decode(bytes, accepted) {
        Ok(Decoded::Complete { consumed, announced }) => Some((consumed, announced.source)),
        Ok(Decoded::Partial) | Err(_) => None,
    }
}

#[track_caller]
fn announced(header: &[u8]) -> Announced<'_> {
    match decode(header, ProxyProtocol::Any) {
        Ok(Decoded::Complete { announced, .. }) => announced,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_port_that_the_client_connected_to_is_read() {
    for (header, port) in [
        (b"PROXY TCP4 192.0.2.33 198.51.100.1 4444 443\r\n".to_vec(), Some(443)),
        (b"PROXY TCP6 2001:db8::33 ::1 4444 8443\r\n".to_vec(), Some(8443)),
        (b"PROXY UNKNOWN 192.0.2.33 198.51.100.1 4444 443\r\n".to_vec(), None),
        (v2(0x21, 0x11, &tcp4_block(b"")), Some(80)),
        (v2(0x21, 0x21, &tcp6_block()), Some(80)),
        (v2(0x21, 0x31, &[1; 216]), None),
        (v2(0x20, 0x11, &tcp4_block(b"")), None),
    ] {
        let destination = announced(&header).destination;
        assert_eq!(destination.map(|at| at.port()), port, "{}", header.escape_ascii());
    }
}

#[test]
fn where_the_client_connected_to_is_read() {
    let v1 = b"PROXY TCP4 192.0.2.33 198.51.100.1 4444 443\r\n";
    let v2_tcp6 = v2(0x21, 0x21, &tcp6_block());
    for (header, expected) in [
        (&v1[..], "198.51.100.1:443"),
        (&v2(0x21, 0x11, &tcp4_block(b"")), "198.51.100.1:80"),
        (&v2_tcp6, "[::1]:80"),
    ] {
        let destination = announced(header).destination.map(|at| at.to_string());
        assert_eq!(destination.as_deref(), Some(expected), "{}", header.escape_ascii());
    }
}

#[test]
fn the_tlv_of_ssl_says_whether_the_client_came_encrypted() {
    let version = tlv(0x21, b"TLSv1.3");
    let encrypted = tlv(0x20, &[&[1, 0, 0, 0, 0][..], &version].concat());
    let with_certificate = tlv(0x20, &[7, 0, 0, 0, 0]);
    let plain = tlv(0x20, &[0, 0, 0, 0, 0]);
    let authority = tlv(0x02, b"shop.test");
    let cloud = cloud(3000);
    for (tlvs, expected) in [
        (vec![], false),
        (vec![&encrypted], true),
        (vec![&with_certificate], true),
        (vec![&plain], false),
        (vec![&authority, &encrypted], true),
        (vec![&cloud, &authority, &encrypted, &authority], true),
        (vec![&authority], false),
        // Inside another TLV's value it does not count.
        (vec![&tlv(0x05, &encrypted)], false),
    ] {
        let tlvs: Vec<u8> = tlvs.into_iter().flatten().copied().collect();
        for (family, addresses) in
            [(0x11, tcp4_block(b"")), (0x21, tcp6_block()), (0x31, vec![0; 216]), (0, vec![])]
        {
            let block = [&addresses, &tlvs[..]].concat();
            let header = v2(0x21, family, &block);
            assert_eq!(announced(&header).tls.is_some(), expected, "{}", header.escape_ascii());
            assert_eq!(announced(&v2(0x20, family, &block)), Announced::default());
        }
    }
}

#[test]
fn tlvs_that_do_not_fit_are_refused_where_the_addresses_before_them_are_known() {
    let encrypted = tlv(0x20, &[1, 0, 0, 0, 0]);
    for tlvs in [
        [&encrypted[..], b"\x02"].concat(),
        [&encrypted[..], b"\x02\xff"].concat(),
        [&b"\x02\xff\xff"[..], &encrypted].concat(),
        encrypted[..7].to_vec(),
        tlv(0x20, b""),
    ] {
        assert_faults(&v2(0x21, 0x11, &tcp4_block(&tlvs)), Fault::Malformed);
        assert_faults(&v2(0x21, 0x21, &[&tcp6_block(), &tlvs[..]].concat()), Fault::Malformed);
        assert_faults(&v2(0x21, 0x31, &[&[0; 216][..], &tlvs].concat()), Fault::Malformed);
        // Of an unknown family, and of LOCAL, everything is skipped.
        assert_eq!(announced(&v2(0x21, 0, &tlvs)), Announced::default());
        assert_eq!(announced(&v2(0x20, 0x11, &tcp4_block(&tlvs))), Announced::default());
    }
}

/// The header with its checksum set; `before` and `after` are TLVs around it.
fn with_checksum(before: &[u8], after: &[u8]) -> Vec<u8> {
    let tlvs = [before, &tlv(0x03, &[0; 4]), after].concat();
    let mut header = v2(0x21, 0x11, &tcp4_block(&tlvs));
    let sum = crc32c(&header).to_be_bytes();
    let at = V2_FIXED_BYTES + 12 + before.len() + 3;
    header[at..at + 4].copy_from_slice(&sum);
    header
}

#[test]
fn a_checksum_that_is_there_must_be_right() {
    let encrypted = tlv(0x20, &[1, 0, 0, 0, 0]);
    for (before, after) in [(&b""[..], &b""[..]), (&encrypted, b""), (&[], &encrypted)] {
        let header = with_checksum(before, after);
        assert_eq!(announced(&header).source, Some(([192, 0, 2, 33], 4444).into()));
        // What follows the header is none of its bytes.
        assert!(taken(&[&header[..], b"GET / "].concat(), ProxyProtocol::V2).is_some());
        let kind_of_checksum = V2_FIXED_BYTES + 12 + before.len();
        for at in (V2_FIXED_BYTES..header.len()).filter(|at| *at != kind_of_checksum) {
            for bit in 0..8 {
                let mut damaged = header.clone();
                damaged[at] ^= 1 << bit;
                let result = decode(&damaged, ProxyProtocol::V2);
                let is_seen = matches!(result, Err(Fault::Checksum | Fault::Malformed));
                assert!(is_seen, "bit {bit} of byte {at}: {result:?}");
            }
        }
    }
}

#[test]
fn a_header_is_taken_whole_and_nothing_beyond_it() {
    for (header, source) in good() {
        let source = source.map(|text| SocketAddr::from_str(text).expect("an address"));
        let expected = Some((header.len(), source));
        for accepted in [version_of(&header), ProxyProtocol::Any] {
            let name = header.escape_ascii();
            assert_eq!(taken(&header, accepted), expected, "{name}");
            for behind in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\r\n", b"\0", &header] {
                let with_more = [&header, behind].concat();
                assert_eq!(taken(&with_more, accepted), expected, "{name}");
            }
        }
    }
}

#[test]
fn a_header_is_waited_for_byte_by_byte() {
    for (header, _) in good() {
        for accepted in [version_of(&header), ProxyProtocol::Any] {
            for length in 0..header.len() {
                let result = decode(&header[..length], accepted);
                assert_eq!(result, Ok(Decoded::Partial), "{length} of {}", header.escape_ascii());
            }
        }
    }
}

#[test]
fn a_version_that_is_not_accepted_is_no_header() {
    for (header, _) in good() {
        let other = match version_of(&header) {
            ProxyProtocol::V1 => ProxyProtocol::V2,
            _ => ProxyProtocol::V1,
        };
        assert_eq!(decode(&header[..1], other), Err(Fault::Missing));
        assert_eq!(decode(&header, other), Err(Fault::Missing));
        assert_eq!(decode(&header, ProxyProtocol::Off), Err(Fault::Missing));
    }
}

#[test]
fn bytes_that_are_no_header_are_refused_at_the_first_wrong_one() {
    for (bytes, wrong) in [
        (&b"GET / HTTP/1.1\r\n"[..], 0),
        (b" PROXY TCP4 ", 0),
        (b"proxy TCP4 ", 0),
        (b"PRI * HTTP/2.0\r\n\r\n", 2),
        (b"POST / HTTP/1.1\r\n", 1),
        (b"PROXYTCP4", 5),
        (b"PROXY\tTCP4", 5),
        (b"\r\n\r\nGET / HTTP/1.1\r\n", 4),
        (b"\r\n\r\n\0\r\nQUIT\r", 11),
        (b"\x16\x03\x01", 0),
    ] {
        for length in 0..=bytes.len() {
            let result = decode(&bytes[..length], ProxyProtocol::Any);
            let expected = if length <= wrong { Ok(Decoded::Partial) } else { Err(Fault::Missing) };
            assert_eq!(result, expected, "{length} of {}", bytes.escape_ascii());
        }
    }
}

#[test]
fn a_line_of_version_1_that_the_protocol_does_not_allow_is_refused() {
    for line in [
        "PROXY ",
        "PROXY TCP4",
        "PROXY TCP4 192.0.2.33",
        "PROXY TCP4 192.0.2.33 198.51.100.1",
        "PROXY TCP4 192.0.2.33 198.51.100.1 4444",
        "PROXY TCP4 192.0.2.33 198.51.100.1 4444 80 ",
        "PROXY TCP4 192.0.2.33 198.51.100.1 4444 80 x",
        "PROXY  TCP4 192.0.2.33 198.51.100.1 4444 80",
        "PROXY TCP4  192.0.2.33 198.51.100.1 4444 80",
        "PROXY TCP4 192.0.2.33\t198.51.100.1 4444 80",
        "PROXY TCP4 192.0.2.33 198.51.100.1 4444 80\r",
        "PROXY TCP4 192.0.2.33 198.51.100.1 4444 80\n",
        "PROXY TCP4 192.0.2.033 198.51.100.1 4444 80",
        "PROXY TCP4 192.0.2 198.51.100.1 4444 80",
        "PROXY TCP4 192.0.2.256 198.51.100.1 4444 80",
        "PROXY TCP4 192.0.2.33 198.51.100.x 4444 80",
        "PROXY TCP4 2001:db8::1 ::1 4444 80",
        "PROXY TCP6 192.0.2.33 198.51.100.1 4444 80",
        "PROXY TCP6 2001:db8::1%eth0 ::1 4444 80",
        "PROXY TCP6 [2001:db8::1] ::1 4444 80",
        "PROXY TCP4 192.0.2.33 198.51.100.1 65536 80",
        "PROXY TCP4 192.0.2.33 198.51.100.1 4444 65536",
        "PROXY TCP4 192.0.2.33 198.51.100.1 +444 80",
        "PROXY TCP4 192.0.2.33 198.51.100.1 -1 80",
        "PROXY TCP4 192.0.2.33 198.51.100.1 04444 80",
        "PROXY TCP4 192.0.2.33 198.51.100.1 00 80",
        "PROXY TCP4 192.0.2.33 198.51.100.1  80",
        "PROXY TCP4 192.0.2.33 198.51.100.1 4444 ",
        "PROXY UNKNOWNS 192.0.2.33 198.51.100.1 4444 80",
        "PROXY UDP4 192.0.2.33 198.51.100.1 4444 80",
        "PROXY tcp4 192.0.2.33 198.51.100.1 4444 80",
        "PROXY TCP4 192.0.2.\u{663}3 198.51.100.1 4444 80",
    ] {
        assert_faults(&[line.as_bytes(), b"\r\n"].concat(), Fault::Malformed);
    }
    assert_faults(b"PROXY TCP4 192.0.2.33 198.51.100.1 4444 \xff\r\n", Fault::Malformed);
}

#[test]
fn a_line_of_version_1_ends_within_107_bytes() {
    let line = |length: usize| {
        let mut line = b"PROXY UNKNOWN ".to_vec();
        line.resize(length - 2, b'x');
        [&line, &b"\r\n"[..]].concat()
    };
    assert_eq!(taken(&line(V1_BYTES_MAX), ProxyProtocol::V1), Some((V1_BYTES_MAX, None)));
    assert_faults(&line(V1_BYTES_MAX + 1), Fault::TooLong);
    assert_faults(&line(V1_BYTES_MAX + 1000), Fault::TooLong);
}

#[test]
fn a_header_of_version_2_that_the_protocol_does_not_allow_is_refused() {
    let block = tcp4_block(b"");
    for (command, family, block) in [
        (0x11, 0x11, &block[..]),
        (0x01, 0x11, &block),
        (0x31, 0x11, &block),
        (0x22, 0x11, &block),
        (0x2f, 0x11, &block),
        (0x21, 0x10, &block),
        (0x21, 0x01, &block),
        (0x21, 0x13, &block),
        (0x21, 0x41, &block),
        (0x21, 0xff, &block),
        (0x21, 0x11, &block[..11]),
        (0x21, 0x11, &[]),
        (0x21, 0x12, &block[..11]),
        (0x21, 0x21, &block),
        (0x21, 0x21, &[0; 35]),
        (0x21, 0x22, &[0; 35]),
        (0x21, 0x31, &[0; 215]),
        (0x21, 0x32, &[]),
    ] {
        assert_faults(&v2(command, family, block), Fault::Malformed);
    }
}

#[test]
fn a_header_of_version_2_that_is_too_long_is_refused_before_it_comes() {
    for command in [0x20, 0x21] {
        for length in [V2_BYTES_MAX - V2_FIXED_BYTES + 1, usize::from(u16::MAX)] {
            let header = v2(command, 0x11, &vec![0; length]);
            assert_faults(&header, Fault::TooLong);
            assert_eq!(decode(&header[..V2_FIXED_BYTES], ProxyProtocol::V2), Err(Fault::TooLong));
        }
    }
}

/// The bytes are refused with this fault, byte by byte: awaited up to some point and always refused after it.
#[track_caller]
fn assert_faults(bytes: &[u8], fault: Fault) {
    for accepted in [version_of(bytes), ProxyProtocol::Any] {
        let results: Vec<_> =
            (0..=bytes.len()).map(|end| decode(&bytes[..end], accepted)).collect();
        let waited = results.iter().take_while(|result| **result == Ok(Decoded::Partial)).count();
        let name = bytes.escape_ascii();
        assert!(waited < results.len(), "never refused: {name}");
        assert!(results[waited..].iter().all(|result| *result == Err(fault)), "{name}");
    }
}

#[test]
fn any_bytes_are_judged_without_harm() {
    proptest::proptest!(|(start in 0_usize..4, bytes: Vec<u8>)| {
        let starts = [&b""[..], V1_PREFIX, b"PROXY TCP4 ", V2_SIGNATURE];
        let bytes = [starts[start], &bytes].concat();
        for accepted in ALL {
            if let Ok(Decoded::Complete { consumed, .. }) = decode(&bytes, accepted) {
                assert!(consumed <= bytes.len());
            }
        }
    });
}
