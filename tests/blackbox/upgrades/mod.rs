//! Upgrades: a 101 that the client asked for makes a tunnel in both directions. RFC 9110 §7.8.

mod content;
mod cut_off;

use std::time::{Duration, Instant};

use crate::support::{Client, Limpet, Target, config, group};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: limpet.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Accepts every upgrade and sends back what comes, until the client has finished; then a farewell.
fn echo() -> Target {
    Target::scripted(|connection| {
        while let Some(request) = connection.next_request()? {
            if !request.fields.has("upgrade") {
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")?;
                continue;
            }
            connection.send(SWITCH)?;
            loop {
                let bytes = connection.read_some()?;
                if bytes.is_empty() {
                    connection.send(b"farewell")?;
                    return Ok(());
                }
                connection.send(&bytes)?;
            }
        }
        Ok(())
    })
}

fn start(target: &Target, settings: &[(&str, toml::Value)]) -> Limpet {
    let app = settings.iter().fold(group("app"), |app, (key, value)| app.set(key, value.clone()));
    config().group(app.target("a", target)).start()
}

#[track_caller]
fn upgrade(limpet: &Limpet) -> Client {
    let mut client = limpet.client();
    let response = client.send(ASK).response();
    assert_eq!(response.status, 101, "{}", response.head);
    client
}

#[test]
fn an_upgrade_becomes_a_tunnel() {
    let target = echo();
    let limpet = start(&target, &[]);
    let mut client = limpet.client();
    let response = client.send(ASK).response();
    assert_eq!(response.status, 101);
    assert!(response.field("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")));
    assert!(response.field("connection").is_some_and(|v| v.eq_ignore_ascii_case("upgrade")));
    assert_eq!(response.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let seen = target.last_request();
    assert_eq!(seen.fields.one("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert!(seen.fields.one("connection").is_some_and(|v| v.eq_ignore_ascii_case("upgrade")));
    for round in 0..10_u8 {
        // Bytes that would be a request, a chunk and a control are only bytes here.
        let bytes = [b"GET / HTTP/1.1\r\n\r\n0\r\n\r\n\0\x01\xff".as_slice(), &[round]].concat();
        client.send(&bytes);
        assert_eq!(client.wire.read_exactly(bytes.len()).unwrap(), bytes);
    }
}

#[test]
fn much_passes_both_ways_through_a_tunnel() {
    let target = echo();
    let limpet = start(&target, &[]);
    let mut client = upgrade(&limpet);
    let mut writer = client.wire.writer().unwrap();
    let piece: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
    let expected = piece.clone();
    let sending = std::thread::spawn(move || (0..128).try_for_each(|_| writer.send(&piece)));
    for _ in 0..128 {
        assert_eq!(client.wire.read_exactly(expected.len()).unwrap(), expected);
    }
    sending.join().unwrap().unwrap();
}

#[test]
fn the_clients_end_reaches_the_target_and_its_answer_still_comes_back() {
    let target = echo();
    let limpet = start(&target, &[]);
    let mut client = upgrade(&limpet);
    client.send("last words");
    client.wire.finish().unwrap();
    assert_eq!(client.wire.read_to_end().unwrap(), b"last wordsfarewell");
    target.wait_until_idle();
}

#[test]
fn the_targets_end_reaches_the_client_and_its_answer_still_comes_through() {
    let (report, received) = std::sync::mpsc::channel();
    let target = Target::scripted(move |connection| {
        connection.next_request()?;
        connection.send(SWITCH)?;
        connection.finish()?;
        report.send(connection.read_to_end()?).expect("the test listens");
        Ok(())
    });
    let limpet = start(&target, &[]);
    let mut client = upgrade(&limpet);
    assert_eq!(client.wire.read_to_end().unwrap(), b"");
    client.send("still here");
    client.wire.finish().unwrap();
    assert_eq!(received.recv_timeout(Duration::from_secs(10)).unwrap(), b"still here");
}

#[test]
fn bytes_of_the_target_behind_its_101_are_the_tunnels_first() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(&[SWITCH, b"hello at once"].concat())?;
        connection.read_to_end().map(drop)
    });
    let limpet = start(&target, &[]);
    let mut client = upgrade(&limpet);
    assert_eq!(client.wire.read_exactly(13).unwrap(), b"hello at once");
}

#[test]
fn bytes_that_the_client_sends_before_the_101_are_the_tunnels_first() {
    let target = echo();
    let limpet = start(&target, &[]);
    let mut client = limpet.client();
    client.send(format!("{ASK}hello at once"));
    assert_eq!(client.response().status, 101);
    assert_eq!(client.wire.read_exactly(13).unwrap(), b"hello at once");
}

#[test]
fn bytes_that_the_client_sends_behind_a_declined_upgrade_are_the_next_request() {
    let target = Target::echo("a");
    let limpet = start(&target, &[]);
    let mut client = limpet.client();
    client.send(format!("{ASK}GET /next HTTP/1.1\r\nHost: limpet.test\r\n\r\n"));
    assert_eq!(client.response().echo().path, "/chat");
    assert_eq!(client.response().echo().path, "/next");
}

#[test]
fn a_declined_upgrade_is_an_ordinary_response() {
    let target = Target::fixed("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let limpet = start(&target, &[]);
    let mut client = limpet.client();
    for _ in 0..2 {
        let response = client.send(ASK).response();
        assert_eq!((response.status, &*response.text()), (403, "no"));
    }
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn upgrades_that_the_group_does_not_allow_are_not_forwarded() {
    let target = echo();
    let limpet = start(&target, &[("upgrades", false.into())]);
    let response = limpet.client().send(ASK).response();
    assert_eq!((response.status, &*response.text()), (200, "plain"));
    assert!(!target.last_request().fields.has("upgrade"));
}

#[test]
fn an_upgrade_to_what_was_not_asked_for_is_a_502() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
        )?;
        connection.read_until_closed().map(drop)
    });
    let limpet = start(&target, &[]);
    assert_eq!(limpet.client().send(ASK).response().status, 502);
    target.wait_until_idle();
}

/// A target that switches to `granted`, whatever it is asked for.
fn granting(granted: &'static str) -> Target {
    Target::scripted(move |connection| {
        connection.next_request()?;
        connection.send(
            format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{granted}\r\n")
                .as_bytes(),
        )?;
        let bytes = connection.read_some()?;
        connection.send(&bytes)?;
        connection.read_until_closed().map(drop)
    })
}

fn asking(lines: &str) -> String {
    format!("GET /chat HTTP/1.1\r\nHost: limpet.test\r\nConnection: Upgrade\r\n{lines}\r\n")
}

#[test]
fn the_target_chooses_from_all_protocols_that_the_client_lists() {
    let long: String = (0..5).map(|n| format!("a-protocol-{n}/2026, ")).collect();
    let many: String = (0..50).map(|n| format!(", a-protocol-{n}/2026")).collect();
    for (lines, granted) in [
        ("Upgrade: websocket, foo/1\r\n".to_owned(), "Upgrade: websocket\r\n"),
        ("Upgrade: websocket, foo/1\r\n".to_owned(), "Upgrade: FOO/1\r\n"),
        ("Upgrade: foo/1\r\nX: 1\r\nUpgrade: websocket\r\n".to_owned(), "Upgrade: websocket\r\n"),
        ("Upgrade: h2c, websocket\r\n".to_owned(), "Upgrade: websocket\r\n"),
        ("Upgrade: tls/1.3, foo/1\r\n".to_owned(), "Upgrade: TLS/1.3, foo/1\r\n"),
        (format!("Upgrade: {long}websocket\r\n"), "Upgrade: websocket\r\n"),
        (format!("Upgrade: websocket{many}\r\n"), "Upgrade: websocket\r\n"),
    ] {
        let target = granting(granted);
        let limpet = start(&target, &[]);
        let mut client = limpet.client();
        let response = client.send(asking(&lines)).response();
        assert_eq!(response.status, 101, "{lines}");
        let named = granted.trim_end().trim_start_matches("Upgrade: ");
        assert_eq!(response.field("upgrade"), Some(named), "{lines}");
        client.send("hello");
        assert_eq!(client.wire.read_exactly(5).unwrap(), b"hello", "{lines}");
    }
}

#[test]
fn the_target_sees_the_list_as_it_came_without_http_2() {
    let target = Target::echo("a");
    let limpet = start(&target, &[]);
    for (lines, expected) in [
        ("Upgrade: WebSocket, foo/1\r\n", Some("WebSocket, foo/1")),
        ("Upgrade: foo/1\r\nUpgrade: h2c,websocket\r\n", Some("foo/1, websocket")),
        ("Upgrade: h2c\r\n", None),
    ] {
        let echo = limpet.client().send(asking(lines)).response().echo();
        assert_eq!(echo.fields.one("upgrade"), expected, "{lines}");
    }
}

#[test]
fn a_protocol_that_is_not_in_the_list_is_a_502() {
    for granted in
        ["Upgrade: bar\r\n", "Upgrade: h2c\r\n", "Upgrade: foo/1, bar\r\n", "Upgrade:\r\n", ""]
    {
        let target = granting(granted);
        let limpet = start(&target, &[]);
        let lines = "Upgrade: websocket, h2c, foo/1\r\n";
        assert_eq!(limpet.client().send(asking(lines)).response().status, 502, "{granted}");
    }
}

#[test]
fn an_upgrade_field_without_its_connection_option_is_no_upgrade() {
    let target = echo();
    let limpet = start(&target, &[]);
    let response = limpet.client().get_with("/", "Upgrade: websocket\r\n");
    assert_eq!((response.status, &*response.text()), (200, "plain"));
}

#[test]
fn an_http_1_0_client_cannot_upgrade() {
    let target = echo();
    let limpet = start(&target, &[]);
    let mut client = limpet.client();
    client.send(ASK.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(client.response().text(), "plain");
}

#[test]
fn a_silent_tunnel_is_closed_after_its_idle_limit_and_a_busy_one_is_not() {
    let target = echo();
    let limpet = start(&target, &[("timeouts.tunnel_idle", "1s".into())]);
    let mut client = upgrade(&limpet);
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(2200) {
        client.send("x");
        assert_eq!(client.wire.read_exactly(1).unwrap(), b"x");
        crate::support::pause(Duration::from_millis(50));
    }
    let silent = Instant::now();
    let _ = client.read_rest();
    assert!(silent.elapsed() >= Duration::from_millis(800), "{:?}", silent.elapsed());
    target.wait_until_idle();
}

#[test]
fn a_tunnel_outlives_the_deadlines_of_requests() {
    let target = echo();
    let web = crate::support::listener("web")
        .set("timeouts.head", "200ms")
        .set("timeouts.keep_alive", "200ms")
        .set("timeouts.content_idle", "200ms");
    let app = group("app")
        .set("timeouts.response", "200ms")
        .set("timeouts.content_idle", "200ms")
        .set("timeouts.idle", "200ms");
    let limpet = config().listener(web).group(app.target("a", &target)).start();
    let mut client = upgrade(&limpet);
    // Silence past every one of those deadlines is what is tested here.
    crate::support::pause(Duration::from_millis(800));
    client.send("x");
    assert_eq!(client.wire.read_exactly(1).unwrap(), b"x");
}

#[test]
fn a_reset_on_one_side_of_a_tunnel_ends_the_other() {
    let target = echo();
    let limpet = start(&target, &[]);
    let client = upgrade(&limpet);
    client.wire.reset().unwrap();
    target.wait_until_idle();
}

#[test]
fn a_sticky_users_upgrade_is_bound_like_any_request() {
    let (a, b) = (echo(), echo());
    let app = group("app").sticky().target("a", &a).target("b", &b);
    let limpet = config().group(app).start();
    let first = limpet.get("/");
    let cookie = first.set_cookie("limpet_app").expect("the cookie").pair();
    let home = if a.request_count() == 1 { &a } else { &b };
    for count in 2..6 {
        let mut client = limpet.client();
        let ask = ASK.replace("\r\n\r\n", &format!("\r\nCookie: {cookie}\r\n\r\n"));
        assert_eq!(client.send(ask).response().status, 101);
        assert_eq!(home.request_count(), count);
    }
}

#[test]
fn a_new_users_upgrade_is_issued_the_cookie() {
    let target = echo();
    let limpet = config().group(group("app").sticky().target("a", &target)).start();
    let response = limpet.client().send(ASK).response();
    assert_eq!(response.status, 101);
    assert!(response.set_cookie("limpet_app").is_some(), "{}", response.head);
}
