//! Requests whose content is not what they say: the client is told, and no target ever has one of them whole.

use super::{app, clear};
use crate::support::http2::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, block, frame};
use crate::support::http2_frames::{Frames, WINDOW_UPDATE, post, request};
use crate::support::http2_target::{Http2Target, answer};
use crate::support::{Config, Limpet, Target, config, poll};

fn data(bytes: &[u8], ends: bool) -> Vec<u8> {
    frame(DATA, if ends { END_STREAM } else { 0 }, 1, bytes)
}

fn trailers(fields: &[(&str, &str)], ends: bool) -> Vec<u8> {
    let end = if ends { END_STREAM } else { 0 };
    frame(HEADERS, END_HEADERS | end, 1, &block(fields))
}

/// More bytes come behind as many as were named. A target of HTTP/1.1 has all that was named before.
const BEHIND: &str = "more, behind all of it";
const BEHIND_NOTHING: &str = "more than nothing";

/// What is wrong, the length that is named, and the frames behind the head.
type Case = (&'static str, Option<&'static str>, Vec<Vec<u8>>);

fn cases() -> Vec<Case> {
    let behind = |fields: &[(&str, &str)]| vec![data(b"abc", false), trailers(fields, true)];
    vec![
        ("fewer bytes", Some("5"), vec![data(b"abc", true)]),
        ("none", Some("5"), vec![data(b"", true)]),
        (
            "fewer, in parts",
            Some("5"),
            vec![data(b"ab", false), data(b"c", false), data(b"", true)],
        ),
        ("fewer, and trailers", Some("5"), behind(&[("x-sum", "1")])),
        ("more bytes", Some("5"), vec![data(b"abcdef", true)]),
        ("more, in parts", Some("5"), vec![data(b"abc", false), data(b"def", true)]),
        ("more, without an end", Some("5"), vec![data(b"abcdef", false)]),
        (BEHIND, Some("5"), vec![data(b"abcde", false), data(b"f", true)]),
        (BEHIND_NOTHING, Some("0"), vec![data(b"a", true)]),
        ("a pseudo-field in trailers", None, behind(&[(":path", "/other")])),
        ("an unknown one", None, behind(&[(":x", "1")])),
        ("upper case in trailers", None, behind(&[("X-Sum", "1")])),
        ("a connection's field in trailers", None, behind(&[("connection", "close")])),
        ("a line end in trailers", None, behind(&[("x-sum", "1\r\nX-More: 2")])),
        ("framing in trailers", None, behind(&[("transfer-encoding", "chunked")])),
        (
            "trailers that end nothing",
            None,
            vec![data(b"abc", false), trailers(&[("x", "1")], false)],
        ),
        ("a reset", None, vec![data(b"abc", false), frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())]),
    ]
}

/// Sends the case on a connection of its own, at once or after the head has reached the target, and lets the connection
/// go on.
fn play(limpet: &Limpet, (what, length, frames): &Case, wait: Option<&dyn Fn() -> bool>) {
    let mut client = Frames::begin(limpet.client(), &[]);
    let named = length.map(|length| ("content-length", length));
    let fields: Vec<(&str, &str)> = post("/bad").into_iter().chain(named).collect();
    let head = request(1, &fields, false);
    let mut come = Vec::new();
    match wait {
        None => {
            client.send([head, frames.concat()].concat());
        }
        Some(has_begun) => {
            client.send(head);
            poll(|| has_begun().then_some(())).expect("the head at the target");
            for frame in frames {
                client.send(frame);
                come.extend(client.round_trip());
            }
        }
    }
    client.get(3, "/good");
    let (mut is_refused, mut is_served) = (*what == "a reset", false);
    let mut come =
        come.into_iter().filter(|frame| frame.stream != 0 && frame.kind != WINDOW_UPDATE);
    while !(is_refused && is_served) {
        let frame = come.next().unwrap_or_else(|| client.next_of_streams());
        match (frame.kind, frame.stream) {
            (HEADERS, 1) => assert_eq!(frame.status(), 400, "{what}"),
            (RST_STREAM, 1) => is_refused = true,
            (HEADERS, 3) => assert_eq!(frame.status(), 200, "{what}"),
            (DATA, 1 | 3) => {}
            _ => panic!("{what}: {frame:?}"),
        }
        is_served |= frame.stream == 3 && frame.ends();
    }
}

fn to(address: &str, version: &str) -> Config {
    let app = app().set("protocol_version", version).target_at("a", address, "");
    config().listener(clear("web")).group(app)
}

#[test]
fn a_target_of_http_1_has_no_such_request_whole() {
    for case in cases() {
        let target = Target::fixed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let limpet = to(&target.address(), "http1").start();
        play(&limpet, &case, None);
        let has_begun = || target.received().iter().any(|bytes| bytes.contains("POST /bad"));
        if !matches!(case.0, BEHIND | BEHIND_NOTHING) {
            play(&limpet, &case, Some(&has_begun));
        }
        for request in target.requests() {
            assert_eq!(request.target, "/good", "{}", case.0);
        }
        // Neither has what a lenient one would take for its end.
        for received in target.received() {
            let Some(at) = received.find("POST /bad") else { continue };
            let content = received[at..].split_once("\r\n\r\n").expect("a whole head").1;
            assert!(!content.contains("0\r\n\r\n") && !content.contains("X-More"), "{received}");
        }
    }
}

#[test]
fn a_target_of_http_2_has_no_such_request_whole() {
    for case in cases() {
        let target = Http2Target::start(|_| answer(200, "ok"));
        let limpet = to(&target.address(), "http2").start();
        play(&limpet, &case, None);
        let connections = target.connections();
        let has_begun = || target.connections() >= connections.max(1);
        play(&limpet, &case, Some(&has_begun));
        let paths: Vec<String> = target.requests().into_iter().map(|seen| seen.path).collect();
        assert_eq!(paths, ["/good", "/good"], "{}", case.0);
    }
}
