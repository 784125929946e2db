//! Headers of balancers in front.

use super::{tls, tlv, v2};
use crate::support::{Client, Limpet, Section, Target, config, group, listener, poll};

const V1: &[u8] = b"PROXY TCP4 192.0.2.33 198.51.100.1 4444 443\r\n";

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n";

/// An echo target behind a listener that takes headers of these peers.
fn taking(from: impl Into<toml::Value>) -> (Limpet, Target) {
    let web = listener("web").set("proxy_protocol", "any").set("proxy_protocol_from", from);
    start(web)
}

fn start(web: Section) -> (Limpet, Target) {
    let target = Target::echo("a");
    let limpet = config().listener(web).group(group("app").target("a", &target)).start();
    (limpet, target)
}

/// A connection that begins like this is closed, and told of; the first second of a shard is silent.
fn assert_refused(limpet: &Limpet, connect: impl Fn() -> Client, bytes: &[u8], fault: &str) {
    let is_told = poll(|| {
        let mut client = connect();
        client.send(bytes);
        client.assert_closed();
        limpet.stderr().contains(fault).then_some(())
    });
    assert!(is_told.is_some(), "{fault} is not told: {}", limpet.stderr());
}

#[test]
fn headers_of_the_peers_that_are_named_are_taken() {
    for from in [
        vec!["127.0.0.0/8"].into(),
        vec!["10.0.0.1", "127.0.0.1"].into(),
        vec!["any"].into(),
        toml::Value::from("any"),
        "127.0.0.1".into(),
    ] {
        let (limpet, _target) = taking(from.clone());
        for header in [V1.to_vec(), v2(b"")] {
            let echo = limpet.client().send(header).get("/").echo();
            assert_eq!(echo.fields.one("x-real-ip"), Some("192.0.2.33"), "{from}");
        }
    }
}

#[test]
fn a_peer_whose_headers_are_not_taken_is_closed_before_it_has_sent_a_byte() {
    let (limpet, target) = taking(vec!["192.0.2.0/24", "unix"]);
    limpet.client().assert_closed();
    // The client that its header names is one of the peers, and the peer itself is none.
    let request = [V1, GET].concat();
    assert_refused(&limpet, || limpet.client(), &request, "proxy_header_not_trusted");
    assert_eq!(target.connection_count(), 0);
}

#[test]
fn whoever_connects_to_a_unix_socket_is_named_by_a_word_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (taken, refused) = (folder.path().join("taken"), folder.path().join("refused"));
    let target = Target::echo("a");
    let mut all = config().group(group("app").target("a", &target));
    for (name, path, from) in [("taken", &taken, "unix"), ("refused", &refused, "127.0.0.1")] {
        let web = listener(name)
            .set("address", format!("unix:{}", path.display()))
            .set("proxy_protocol", "v1")
            .set("proxy_protocol_from", from);
        all = all.listener(web);
    }
    let limpet = all.start();
    let echo = Client::connect_unix(&taken).send(V1).get("/").echo();
    assert_eq!(echo.fields.one("x-real-ip"), Some("192.0.2.33"));
    assert_refused(&limpet, || Client::connect_unix(&refused), V1, "proxy_header_not_trusted");
}

#[test]
fn a_header_with_a_wrong_checksum_is_refused_with_a_reason() {
    let (limpet, target) = taking("any");
    // CRC32C of the header below with zeros in the place of the checksum.
    let sum = checksum(&v2(&tlv(0x03, &[0; 4])));
    let echo = limpet.client().send(v2(&tlv(0x03, &sum.to_be_bytes()))).get("/").echo();
    assert_eq!(echo.fields.one("x-real-ip"), Some("192.0.2.33"));
    let damaged = [v2(&tlv(0x03, &(sum ^ 1).to_be_bytes())), GET.to_vec()].concat();
    assert_refused(&limpet, || limpet.client(), &damaged, "proxy_header_checksum");
    assert_eq!(target.request_count(), 1);
}

/// CRC32C, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for bit in bytes.iter().flat_map(|byte| (0..8).map(move |bit| u32::from(byte >> bit & 1))) {
        sum = if (sum ^ bit) & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
    }
    !sum
}

#[test]
fn a_field_that_exceeds_its_header_is_refused_with_a_reason() {
    let (limpet, target) = taking("any");
    for fields in [&b"\x02"[..], b"\x02\0\x0ashop.test", b"\x20\0\x02\x01\0"] {
        let request = [&v2(fields)[..], GET].concat();
        assert_refused(&limpet, || limpet.client(), &request, "proxy_header_malformed");
    }
    assert_eq!(target.request_count(), 0);
}

#[test]
fn the_tls_that_a_header_tells_of_is_in_the_log() {
    let (limpet, _target) = taking("any");
    let shop = tls("shop.test", Some("till-7"));
    let clients = [
        (shop, Some(("shop.test", "CN=till-7"))),
        (tlv(0x02, b"shop.test"), None),
        (tls("shop.test", None), Some(("shop.test", ""))),
    ];
    for (at, (fields, expected)) in clients.into_iter().enumerate() {
        limpet.client().send(v2(&fields)).get("/");
        let record = limpet.record(at + 1);
        match expected {
            Some((name, subject)) => {
                assert_eq!(record.text("sni"), name);
                assert_eq!(record.text("tls_version"), "TLSv1.3");
                assert_eq!(record.text("tls_cipher"), "TLS_AES_128_GCM_SHA256");
                assert!(record.lacks("tls_resumed"), "nobody has said it");
                match subject {
                    "" => assert!(record.lacks("tls_client_subject")),
                    subject => assert_eq!(record.text("tls_client_subject"), subject),
                }
            }
            None => assert!(record.lacks("sni") && record.lacks("tls_version")),
        }
    }
}

#[test]
fn conditions_are_asked_of_the_tls_that_a_header_tells_of() {
    let web = listener("web")
        .set("proxy_protocol", "v2")
        .set("proxy_protocol_from", "any")
        .rule("priority = 1\nwhen.client_certificate = true\nrespond = { status = 201 }")
        .rule("priority = 2\nwhen.sni = [\"*.shop.test\"]\nrespond = { status = 202 }");
    let (limpet, _target) = start(web);
    let status = |fields: &[u8]| limpet.client().send(v2(fields)).get("/").status;
    assert_eq!(status(&tls("www.shop.test", None)), 202);
    assert_eq!(status(&tls("WWW.Shop.TEST", None)), 202);
    assert_eq!(status(&tls("other.test", None)), 200);
    assert_eq!(status(&tls("www.shop.test", Some("till-7"))), 201);
    assert_eq!(status(&tlv(0x02, b"www.shop.test")), 200, "not by TLS");
    assert_eq!(status(b""), 200);
}

#[test]
fn cookies_of_a_client_that_came_by_tls_are_secure() {
    let target = Target::echo("a");
    let web = listener("web").set("proxy_protocol", "v2").set("proxy_protocol_from", "any");
    let app = group("app").target("a", &target).sticky();
    let limpet = config().listener(web).group(app).start();
    let secure = |fields: &[u8]| {
        let response = limpet.client().send(v2(fields)).get("/");
        let cookie = response.set_cookie("limpet_app").expect("a cookie");
        cookie.attribute("secure").is_some()
    };
    assert!(secure(&tls("shop.test", None)));
    assert!(!secure(b""));
}
