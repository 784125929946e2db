//! Fields that tell the target about the client, and whose word about it is taken.

use super::{trusting, with};

const CAME: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Host: shop.test\r\nForwarded: for=192.0.2.1;proto=https\r\n";

#[test]
fn the_head_that_a_target_gets_is_exactly_this() {
    let (limpet, target) = with(&[("forwarded.request_id", "".into())]);
    limpet.client().send("GET /x HTTP/1.1\r\nUser-Agent: t\r\nHost: Limpet.Test:8080\r\nConnection: close\r\n\r\n").response();
    let port = limpet.address().port();
    let request = target.last_request();
    let mut lines: Vec<String> =
        request.fields.0.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(request.head.lines().next(), Some("GET /x HTTP/1.1"));
    assert_eq!(lines[0], "Host: Limpet.Test:8080", "Host goes first (RFC 9110 §7.2)");
    lines.sort_by_key(|line| line.to_ascii_lowercase());
    let mut expected = vec![
        "Host: Limpet.Test:8080".to_owned(),
        "User-Agent: t".to_owned(),
        "X-Forwarded-For: 127.0.0.1".to_owned(),
        "X-Forwarded-Host: Limpet.Test:8080".to_owned(),
        format!("X-Forwarded-Port: {port}"),
        "X-Forwarded-Proto: http".to_owned(),
        "X-Real-IP: 127.0.0.1".to_owned(),
    ];
    expected.sort_by_key(|line| line.to_ascii_lowercase());
    let lower = |lines: &[String]| lines.iter().map(|l| l.to_ascii_lowercase()).collect::<Vec<_>>();
    assert_eq!(lower(&lines), lower(&expected));
}

#[test]
fn append_adds_the_clients_address_to_what_came() {
    let (limpet, _target) = with(&[]);
    let echo = limpet
        .client()
        .get_with("/", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2, 192.0.2.3\r\n")
        .echo();
    let entries = echo.fields.all("x-forwarded-for").join(", ");
    assert_eq!(entries, "192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1");
}

#[test]
fn preserve_replace_and_remove_do_what_they_say() {
    for (mode, expected) in
        [("preserve", Some("192.0.2.1")), ("replace", Some("127.0.0.1")), ("remove", None)]
    {
        let (limpet, _target) = with(&[("forwarded.x_forwarded_for", mode.into())]);
        let echo = limpet.client().get_with("/", "X-Forwarded-For: 192.0.2.1\r\n").echo();
        assert_eq!(echo.fields.one("x-forwarded-for"), expected, "{mode}");
    }
}

#[test]
fn the_nearest_forwarded_for_entries_are_kept() {
    let (limpet, _target) = with(&[("forwarded.entries", 3.into())]);
    let echo =
        limpet.client().get_with("/", "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3\r\n").echo();
    assert_eq!(echo.fields.one("x-forwarded-for"), Some("2.2.2.2, 3.3.3.3, 127.0.0.1"));
}

#[test]
fn what_a_stranger_says_about_scheme_port_and_host_is_replaced() {
    let (limpet, _target) = with(&[]);
    let port = limpet.address().port().to_string();
    let echo = limpet.client().get_with("/", CAME).echo();
    assert_eq!(echo.fields.one("x-forwarded-proto"), Some("http"));
    assert_eq!(echo.fields.one("x-forwarded-port"), Some(&*port));
    assert_eq!(echo.fields.one("x-forwarded-host"), Some("limpet.test"));
    assert!(!echo.fields.all("forwarded").join(",").contains("https"));
}

#[test]
fn what_a_trusted_proxy_says_is_kept() {
    let (limpet, _target) = with(&[trusting()]);
    let echo = limpet.client().get_with("/", CAME).echo();
    assert_eq!(echo.fields.one("x-forwarded-for"), Some("192.0.2.1, 127.0.0.1"));
    assert_eq!(echo.fields.one("x-forwarded-proto"), Some("https"));
    assert_eq!(echo.fields.one("x-forwarded-port"), Some("443"));
    assert_eq!(echo.fields.one("x-forwarded-host"), Some("shop.test"));
}

#[test]
fn the_clients_address_is_taken_from_trusted_hops_right_to_left() {
    let (limpet, _target) = with(&[trusting()]);
    // 127.0.0.9 is a trusted hop, 192.0.2.7 is the first that is not; 10.9.9.9 is what it claimed.
    limpet.client().get_with("/", "X-Forwarded-For: 10.9.9.9, 192.0.2.7, 127.0.0.9\r\n");
    assert!(limpet.record(1).client() == "192.0.2.7", "{}", limpet.record(1).line);
}

#[test]
fn forwarded_and_via_are_sent_where_the_file_asks_for_them() {
    let (limpet, _target) = with(&[]);
    let echo = limpet.get("/").echo();
    assert!(!echo.fields.has("forwarded") && !echo.fields.has("via"));
    let (limpet, _target) =
        with(&[("forwarded.forwarded", true.into()), ("forwarded.via", "edge".into())]);
    let response = limpet.get("/");
    let echo = response.echo();
    let forwarded = echo.fields.one("forwarded").expect("Forwarded").to_ascii_lowercase();
    assert!(forwarded.contains("for=127.0.0.1") && forwarded.contains("proto=http"), "{forwarded}");
    assert_eq!(echo.fields.one("via"), Some("1.1 edge"));
    assert_eq!(response.field("via"), Some("1.1 edge"));
}

#[test]
fn via_is_appended_to_what_came() {
    let (limpet, _target) = with(&[("forwarded.via", "edge".into())]);
    let echo = limpet.client().get_with("/", "Via: 1.0 other\r\n").echo();
    assert_eq!(echo.fields.all("via").join(", "), "1.0 other, 1.1 edge");
}

#[test]
fn a_trace_context_passes_through() {
    let (limpet, _target) = with(&[]);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let lines = format!("traceparent: {parent}\r\ntracestate: a=b\r\n");
    let echo = limpet.client().get_with("/", &lines).echo();
    assert_eq!(echo.fields.one("traceparent"), Some(parent));
    assert_eq!(echo.fields.one("tracestate"), Some("a=b"));
}

#[test]
fn a_proxy_protocol_header_names_the_client() {
    for (version, header) in [
        ("v1", &b"PROXY TCP4 192.0.2.33 198.51.100.1 4444 80\r\n"[..]),
        ("any", b"PROXY TCP4 192.0.2.33 198.51.100.1 4444 80\r\n"),
        ("v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x21\xc6\x33\x64\x01\x11\x5c\0\x50"),
    ] {
        let (limpet, _target) =
            with(&[("proxy_protocol", version.into()), ("proxy_protocol_from", "any".into())]);
        let mut client = limpet.client();
        let echo = client.send(header).get("/").echo();
        assert_eq!(echo.fields.one("x-forwarded-for"), Some("192.0.2.33"), "{version}");
        assert_eq!(client.get("/").echo().fields.one("x-forwarded-for"), Some("192.0.2.33"));
        assert_eq!(limpet.record(1).client(), "192.0.2.33");
    }
}

#[test]
fn a_connection_without_the_proxy_protocol_header_is_closed() {
    let (limpet, target) =
        with(&[("proxy_protocol", "v2".into()), ("proxy_protocol_from", "any".into())]);
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    let _ = client.read_rest();
    assert_eq!(target.request_count(), 0);
}
