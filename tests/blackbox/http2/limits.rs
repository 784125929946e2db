//! Heads that limpet does not take or does not serve: a status, nothing at the target, and the connection goes on.

use super::clear;
use crate::support::http2::{END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, block, frame};
use crate::support::http2_frames::{CONTINUATION, Frames, get, post, request};
use crate::support::{Limpet, Target, config, tls};

/// Begins a connection, sends a request on stream 1 and a good one behind it, which is answered; returns the status of
/// the first.
#[track_caller]
fn status(limpet: &Limpet, request: impl AsRef<[u8]>) -> u16 {
    let mut client = Frames::begin(limpet.client(), &[]);
    client.send(request);
    let head = client.next_of_streams();
    assert!(head.is(HEADERS, 1), "{head:?}");
    let mut ends = head.ends();
    while !ends {
        let frame = client.next_of_streams();
        assert_eq!(frame.stream, 1, "{frame:?}");
        ends = frame.ends();
    }
    // What was refused before its end is reset behind the response.
    client.get(3, "/good");
    loop {
        let frame = client.next_of_streams();
        match (frame.kind, frame.stream) {
            (RST_STREAM, 1) => {}
            (HEADERS, 3) => break assert_eq!(frame.status(), 200, "behind it"),
            _ => panic!("{frame:?}"),
        }
    }
    head.status()
}

fn start(settings: &[(&str, &str)]) -> (Limpet, Target) {
    let target = Target::fixed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let web = settings.iter().fold(clear("web"), |web, (key, value)| web.set(key, *value));
    let limpet = config().listener(web).serving(&target).start();
    (limpet, target)
}

/// The target has had the good requests alone.
#[track_caller]
fn assert_only_good(target: &Target) {
    let paths: Vec<String> = target.requests().into_iter().map(|seen| seen.target).collect();
    assert!(paths.iter().all(|path| path == "/good"), "{paths:?}");
}

/// GET with a block behind its pseudo-fields, as coded.
fn get_with(more: &[u8]) -> Vec<u8> {
    let mut rest = [&block(&get("/"))[..], more].concat();
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let later = rest.split_off(rest.len().min(16_384));
        let (kind, end) = if frames.is_empty() { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
        let end = if later.is_empty() { end | END_HEADERS } else { end };
        frames.extend(frame(kind, end, 1, &rest));
        rest = later;
    }
    frames
}

/// A field of so many bytes that the peer is to remember, and then so many times.
fn remembered(length: usize, count: usize) -> Vec<u8> {
    // A literal that is added to the table (RFC 7541 §6.2.1), and the newest entry of that (§6.1).
    let mut fields = block(&[("x", &"y".repeat(length))]);
    fields[0] = 0x40;
    fields.resize(fields.len() + count - 1, 0x80 | 62);
    fields
}

#[test]
fn a_plain_connect_is_a_405_and_an_unknown_protocol_a_501() {
    let (limpet, target) = start(&[]);
    let connect = [(":method", "CONNECT"), (":authority", "other.test:443")];
    let protocol = |name: &'static str| {
        let parts = [(":scheme", "http"), (":path", "/"), (":authority", tls::NAME)];
        [&[(":method", "CONNECT"), (":protocol", name)][..], &parts].concat()
    };
    for ends in [false, true] {
        assert_eq!(status(&limpet, request(1, &connect, ends)), 405, "{ends}");
    }
    for name in ["connect-udp", "connect-ip", "WebSocket2", "x"] {
        assert_eq!(status(&limpet, request(1, &protocol(name), false)), 501, "{name}");
    }
    assert_only_good(&target);
}

#[test]
fn a_path_over_the_limit_of_request_lines_is_a_414() {
    let (limpet, target) = start(&[("limits.request_line", "1KiB")]);
    let path = |length: usize| format!("/{}", "x".repeat(length - "GET / HTTP/1.1".len()));
    assert_eq!(status(&limpet, request(1, &get(&path(1024)), true)), 200);
    assert_eq!(target.request_count(), 2);
    let before = target.request_count();
    for length in [1025, 10_000] {
        assert_eq!(status(&limpet, request(1, &get(&path(length)), true)), 414, "{length}");
    }
    // Only the good ones behind them.
    assert_eq!(target.request_count(), before + 2);
}

#[test]
fn a_field_line_over_its_limit_is_a_431() {
    let (limpet, target) = start(&[("limits.field_line", "1KiB")]);
    let with = |name: &str, length: usize| {
        let value = "y".repeat(length - name.len() - ": ".len());
        request(1, &[&get("/good")[..], &[(name, &*value)]].concat(), true)
    };
    for name in ["x", "cookie", "user-agent"] {
        assert_eq!(status(&limpet, with(name, 1024)), 200, "{name}");
        assert_eq!(status(&limpet, with(name, 1025)), 431, "{name}");
        assert_eq!(status(&limpet, with(name, 12_000)), 431, "{name}");
    }
    assert_eq!(target.request_count(), 12);
    assert_only_good(&target);
}

#[test]
fn the_limit_of_field_lines_holds_for_joined_crumbs() {
    let (limpet, target) = start(&[("limits.field_line", "1KiB")]);
    let crumb = ("cookie", &*format!("a={}", "b".repeat(98)));
    let crumbs =
        |count: usize| request(1, &[&get("/good")[..], &vec![crumb; count]].concat(), true);
    assert_eq!(status(&limpet, crumbs(9)), 200);
    assert_eq!(status(&limpet, crumbs(11)), 431);
    assert_eq!(target.request_count(), 3);
}

#[test]
fn a_head_over_the_default_limits_is_a_431_and_the_table_of_the_connection_goes_on() {
    let (limpet, target) = start(&[]);
    // 64 KiB, where each field counts 32 bytes more (RFC 9113 §6.5.2).
    assert_eq!(status(&limpet, get_with(&remembered(3_000, 21))), 200);
    assert_eq!(status(&limpet, get_with(&remembered(3_000, 23))), 431);
    assert_eq!(status(&limpet, get_with(&remembered(3_000, 80))), 431);
    // 128 fields.
    assert_eq!(status(&limpet, get_with(&remembered(1, 120))), 200);
    assert_eq!(status(&limpet, get_with(&remembered(1, 129))), 431);
    assert_eq!(status(&limpet, get_with(&remembered(1, 3_000))), 431);
    assert_eq!(target.request_count(), 8);
    // What a refused head has put into the table stands there.
    let mut client = Frames::begin(limpet.client(), &[]);
    client.send(get_with(&remembered(50, 1_000)));
    assert_eq!(client.response(1).0, 431);
    let again = [&block(&get("/again"))[..], &[0x80 | 62]].concat();
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, &again));
    assert_eq!(client.response(3).0, 200);
    assert_eq!(target.last_request().fields.one("x"), Some(&*"y".repeat(50)));
}

#[test]
fn a_head_that_is_sent_in_parts_is_one() {
    let (limpet, target) = start(&[]);
    let long: Vec<(String, String)> =
        (0..4).map(|at| (format!("x-{at}"), "y".repeat(12_000))).collect();
    let fields: Vec<(&str, &str)> = long.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(status(&limpet, get_with(&block(&fields))), 200);
    let seen = &target.requests()[0];
    for (name, value) in fields {
        assert_eq!(seen.fields.one(name), Some(value));
    }
}

#[test]
fn a_head_that_would_grow_without_end_ends_the_connection() {
    let (limpet, target) = start(&[]);
    let mut client = Frames::begin(limpet.client(), &[]);
    client.send(get_with(&remembered(3_000, 100)));
    let goodbye = client.next_of_streams();
    assert_eq!(goodbye.kind, GOAWAY, "{goodbye:?}");
    // ENHANCE_YOUR_CALM.
    assert_eq!((goodbye.goodbye().1, &goodbye.payload[8..]), (11, &b"hpack_too_large"[..]));
    client.client.assert_closed();
    assert_eq!(target.request_count(), 0);
}

#[test]
fn announced_content_over_its_limit_is_a_413_before_anything_is_forwarded() {
    let (limpet, target) = start(&[("limits.content", "1KiB")]);
    let with =
        |length: &str| request(1, &[&post("/")[..], &[("content-length", length)]].concat(), false);
    assert_eq!(status(&limpet, with("1025")), 413);
    assert_eq!(status(&limpet, with("99999999999")), 413);
    assert_only_good(&target);
}
