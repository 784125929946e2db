use crate::proxy_protocol::tlvs::*;

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a length").to_be_bytes();
    [&[kind][..], &length, value].concat()
}

/// An SSL field of a client that has set these bits and passed the verification, with more fields in it.
fn ssl(client: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    tlv(SSL, &[&[client, 0, 0, 0, 0][..], &fields.concat()].concat())
}

#[track_caller]
fn tls(fields: &[Vec<u8>]) -> Option<AnnouncedTls<'static>> {
    read(fields.concat().leak()).expect("well-formed fields").tls
}

#[test]
fn the_client_and_its_tls_are_read_out_of_the_fields_in_any_order() {
    let of_ssl = [tlv(SSL_VERSION, b"TLSv1.3"), tlv(SSL_CIPHER, b"TLS_AES_128_GCM_SHA256")];
    let fields = [
        tlv(0x04, &[0; 40]),
        tlv(AUTHORITY, b"shop.test"),
        ssl(CLIENT_SSL, &of_ssl),
        tlv(ALPN, b"http/1.1"),
        tlv(0xea, b"\x01vpce-1"),
    ];
    let expected = AnnouncedTls {
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        server_name: "shop.test",
        alpn: b"http/1.1",
        client: None,
    };
    assert_eq!(tls(&fields), Some(expected));
    let backwards: Vec<_> = fields.into_iter().rev().collect();
    assert_eq!(tls(&backwards), Some(expected));
}

#[test]
fn a_name_counts_of_a_client_that_came_by_tls_only() {
    let authority = tlv(AUTHORITY, b"shop.test");
    assert_eq!(tls(&[]), None);
    assert_eq!(tls(std::slice::from_ref(&authority)), None);
    assert_eq!(tls(&[authority.clone(), ssl(0, &[tlv(SSL_VERSION, b"TLSv1.3")])]), None);
    let named = tls(&[authority, ssl(CLIENT_SSL, &[])]).expect("TLS");
    assert_eq!((named.server_name, named.version), ("shop.test", ""));
}

#[test]
fn a_certificate_counts_where_it_was_presented_and_verified() {
    let name = tlv(SSL_CN, b"till-7");
    for (client, verify, expected) in [
        (CLIENT_SSL, [0; 4], None),
        (CLIENT_SSL | CLIENT_CERT_CONN, [0; 4], Some("till-7")),
        (CLIENT_SSL | CLIENT_CERT_SESS, [0; 4], Some("till-7")),
        (CLIENT_SSL | CLIENT_CERT_CONN | CLIENT_CERT_SESS, [0; 4], Some("till-7")),
        (CLIENT_SSL | CLIENT_CERT_CONN, [0, 0, 0, 18], None),
    ] {
        let value = [&[client][..], &verify, &name].concat();
        let tls = tls(&[tlv(SSL, &value)]).expect("TLS");
        assert_eq!(tls.client, expected, "{client:x} {verify:?}");
    }
    let nameless = tls(&[ssl(CLIENT_SSL | CLIENT_CERT_CONN, &[])]).expect("TLS");
    assert_eq!(nameless.client, Some(""));
}

#[test]
fn of_several_fields_of_one_kind_the_first_counts() {
    let fields = [
        tlv(AUTHORITY, b"first.test"),
        ssl(CLIENT_SSL, &[tlv(SSL_VERSION, b"TLSv1.2"), tlv(SSL_VERSION, b"TLSv1.3")]),
        tlv(AUTHORITY, b"second.test"),
        ssl(0, &[]),
        tlv(ALPN, b"h2"),
        tlv(ALPN, b"http/1.1"),
    ];
    let tls = tls(&fields).expect("TLS");
    assert_eq!((tls.server_name, tls.version, tls.alpn), ("first.test", "TLSv1.2", &b"h2"[..]));
    // In clear first, in clear for good.
    assert_eq!(super::read(&[ssl(0, &[]), ssl(1, &[])].concat()).map(|read| read.tls), Ok(None));
    let sums = [tlv(CRC32C, &[1, 2, 3, 4]), tlv(CRC32C, &[5, 6, 7, 8])].concat();
    assert_eq!(read(&sums).map(|read| read.checksum), Ok(Some((0x0102_0304, 3))));
}

#[test]
fn a_field_that_exceeds_its_header_is_refused_wherever_it_is_cut() {
    let inner = [tlv(SSL_VERSION, b"TLSv1.3"), tlv(SSL_CIPHER, b"x")].concat();
    let (authority, outer) =
        (tlv(AUTHORITY, b"shop.test"), ssl(CLIENT_SSL, std::slice::from_ref(&inner)));
    let fields = [authority.clone(), outer].concat();
    let whole = [0, authority.len(), fields.len()];
    for end in 0..=fields.len() {
        assert_eq!(read(&fields[..end]).is_ok(), whole.contains(&end), "{end}");
    }
    // The fields of SSL, cut within a field around them that is whole.
    let whole = [0, tlv(SSL_VERSION, b"TLSv1.3").len(), inner.len()];
    for end in 0..=inner.len() {
        let cut = ssl(CLIENT_SSL, &[inner[..end].to_vec()]);
        assert_eq!(read(&cut).is_ok(), whole.contains(&end), "{end}");
    }
    for end in 0..5 {
        assert_eq!(read(&tlv(SSL, &[1, 0, 0, 0, 0][..end])), Err(Misshapen), "{end}");
    }
    for end in [0, 3, 5] {
        assert_eq!(read(&tlv(CRC32C, &[0; 5][..end])), Err(Misshapen), "{end}");
    }
}

#[test]
fn contents_that_are_no_such_text_are_refused() {
    for (kind, value) in [
        (AUTHORITY, &b"shop\xff.test"[..]),
        (AUTHORITY, b"shop\r\n.test"),
        (AUTHORITY, b"shop.test\0"),
        (AUTHORITY, &[b'a'; 256]),
        (ALPN, &[b'a'; 256]),
    ] {
        assert_eq!(read(&tlv(kind, value)), Err(Misshapen), "{}", value.escape_ascii());
    }
    for (kind, value) in [
        (SSL_VERSION, &b"TLS\n"[..]),
        (SSL_VERSION, &[b'1'; 65]),
        (SSL_CIPHER, b"\xfe"),
        (SSL_CIPHER, &[b'1'; 65]),
        (SSL_CN, b"\x1b[1m"),
        (SSL_CN, &[b'1'; 257]),
    ] {
        let field = ssl(CLIENT_SSL, &[tlv(kind, value)]);
        assert_eq!(read(&field), Err(Misshapen), "{}", value.escape_ascii());
    }
}

#[test]
fn any_bytes_are_read_or_refused() {
    proptest::proptest!(|(bytes: Vec<u8>, inner: Vec<u8>)| {
        let _ = read(&bytes);
        let _ = read(&ssl(CLIENT_SSL, &[inner]));
    });
}
