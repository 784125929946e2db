//! Fields that are not forwarded, and those that a connection option cannot remove.

use super::with;
use crate::support::Target;

#[test]
fn connection_and_what_it_names_are_not_forwarded() {
    let (limpet, target) = with(&[]);
    let lines = "Connection: keep-alive, X-One,x-two , \r\nConnection: X-Three\r\nX-One: 1\r\nX-TWO: 2\r\nX-Three: 3\r\nX-Four: 4\r\n";
    let echo = limpet.client().get_with("/", lines).echo();
    for name in ["connection", "x-one", "x-two", "x-three"] {
        assert!(!echo.fields.has(name), "{name}");
    }
    assert_eq!(echo.fields.one("x-four"), Some("4"));
    assert_eq!(target.request_count(), 1);
}

#[test]
fn fields_of_one_connection_are_not_forwarded() {
    let (limpet, _target) = with(&[]);
    let lines = "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\nX-Kept: 1\r\n";
    let echo = limpet.client().get_with("/", lines).echo();
    for name in ["keep-alive", "proxy-connection", "te", "upgrade"] {
        assert!(!echo.fields.has(name), "{name}");
    }
    assert_eq!(echo.fields.one("x-kept"), Some("1"));
}

#[test]
fn te_trailers_is_forwarded() {
    let (limpet, _target) = with(&[]);
    let echo = limpet.client().get_with("/", "TE: trailers\r\nConnection: TE\r\n").echo();
    assert_eq!(echo.fields.one("te"), Some("trailers"));
    let echo = limpet.client().get_with("/", "TE: gzip, trailers\r\nConnection: TE\r\n").echo();
    assert!(matches!(echo.fields.one("te"), None | Some("trailers")), "{:?}", echo.fields);
}

#[test]
fn an_h2c_upgrade_is_never_forwarded() {
    let (limpet, _target) = with(&[]);
    let lines = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
    let echo = limpet.client().get_with("/", lines).echo();
    for name in ["upgrade", "http2-settings"] {
        assert!(!echo.fields.has(name), "{name}");
    }
    assert!(!echo.fields.all("connection").iter().any(|value| value.contains("pgrade")));
}

#[test]
fn a_connection_option_never_removes_what_limpet_sets() {
    let (limpet, _target) = with(&[("forwarded.forwarded", true.into())]);
    let lines = "Connection: Host, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Port, X-Forwarded-Host, Forwarded, X-Request-Id, Cookie, Authorization\r\nCookie: a=b\r\nAuthorization: Basic eA==\r\n";
    let echo = limpet.client().get_with("/", lines).echo();
    for name in [
        "host",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-host",
        "forwarded",
        "x-request-id",
        "cookie",
        "authorization",
    ] {
        assert!(echo.fields.one(name).is_some(), "{name} was removed");
    }
}

#[test]
fn end_to_end_fields_pass_in_order_and_byte_for_byte() {
    let (limpet, _target) = with(&[]);
    let lines = "User-Agent: t/1\r\nX-A: 1\r\nAccept: */*\r\nX-A:   two  words\t\r\nx-CaSe: ~!@#$%^&*()_+`-={}|[]\\:\";'<>?,./\r\nX-Empty:\r\nX-Latin: caf\u{e9}\r\n";
    let request: Vec<u8> = format!("GET / HTTP/1.1\r\nHost: limpet.test\r\n{lines}\r\n")
        .chars()
        .map(|c| c as u8)
        .collect();
    let echo = limpet.client().send(request).response().echo();
    let sent = ["User-Agent", "X-A", "Accept", "X-A", "x-CaSe", "X-Empty", "X-Latin"];
    let passed: Vec<&str> =
        echo.fields.0.iter().map(|(n, _)| n.as_str()).filter(|n| sent.contains(n)).collect();
    assert_eq!(passed, sent);
    assert_eq!(echo.fields.all("x-a"), ["1", "two  words"]);
    assert_eq!(echo.fields.one("x-case"), Some("~!@#$%^&*()_+`-={}|[]\\:\";'<>?,./"));
    assert_eq!(echo.fields.one("x-latin"), Some("caf\u{e9}"));
}

#[test]
fn the_targets_connection_fields_do_not_reach_the_client() {
    let target = Target::fixed(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nX-End: 1\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
    );
    let limpet = crate::support::config().serving(&target).start();
    let mut client = limpet.client();
    let response = client.get("/");
    for name in ["x-hop", "keep-alive", "upgrade"] {
        assert!(!response.fields.has(name), "{name}: {}", response.head);
    }
    assert_eq!(response.field("x-end"), Some("1"));
    client.assert_usable();
}
