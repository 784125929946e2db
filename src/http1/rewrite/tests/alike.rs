//! A request goes on alike, whichever version its target speaks: each writer is the measure of the other.

use super::*;
use crate::http2;
use crate::http2::hpack::block::{Block, Limits};
use crate::http2::hpack::decoder::Decoder;
use crate::http2::hpack::line::Pseudo;

type Lines = Vec<(String, String)>;

/// Names in lower case, sorted, without what tells of a connection; the lines of Cookie are one (RFC 9113 §8.2.3).
fn comparable(lines: impl Iterator<Item = (String, String)>) -> Lines {
    let mut cookies: Vec<String> = Vec::new();
    let mut others = Lines::new();
    for (name, value) in lines {
        let name = name.to_ascii_lowercase();
        match &*name {
            "connection" | "upgrade" | "transfer-encoding" | "sec-websocket-key" => {}
            "cookie" => cookies.push(value),
            _ => others.push((name, value)),
        }
    }
    if !cookies.is_empty() {
        others.push(("cookie".to_owned(), cookies.join("; ")));
    }
    others.sort();
    others
}

/// The request's first line and Host, and its other lines.
fn as_http1(head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>) -> (Vec<String>, Lines) {
    let mut out = Vec::new();
    request(head, edits, &mut out);
    let text = String::from_utf8(out).expect("text");
    let mut lines = text.strip_suffix("\r\n").expect("the end").split_terminator("\r\n");
    let first: Vec<&str> = lines.next().expect("a line").split(' ').collect();
    let mut fields = lines.map(|line| {
        let (name, value) = line.split_once(':').expect("a field");
        (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
    });
    let (name, host) = fields.next().expect("Host");
    assert_eq!(name, "Host");
    (vec![first[0].to_owned(), first[1].to_owned(), host], comparable(fields))
}

fn as_http2(
    head: &RequestHead<'_, '_>,
    edits: &RequestEdits<'_>,
    protocol: Option<&[u8]>,
) -> (Vec<String>, Lines) {
    let mut out = Vec::new();
    http2::rewrite::request(head, edits, (b"http", protocol), &mut out);
    let limits = Limits { list_bytes: 1 << 20, field_count: 200, list_bytes_max: 1 << 22 };
    let mut block = Block::default();
    Decoder::default().decode(&out, true, &limits, &mut block).expect("a valid block");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let pseudo = |pseudo| text(block.pseudo(pseudo).expect("a pseudo-field"));
    assert_eq!(pseudo(Pseudo::Scheme), "http");
    let lines = block.lines().iter().map(|line| {
        let (name, value) = block.parts(line);
        assert!(line.is_never_indexed() || name == b"te", "{name:?} may enter a table");
        (text(name), text(value))
    });
    let first = [Pseudo::Method, Pseudo::Path, Pseudo::Authority].map(pseudo).to_vec();
    (first, comparable(lines))
}

fn lines() -> impl Strategy<Value = Vec<String>> {
    let long = format!("X-Forwarded-For: {}\r\n", vec!["192.0.2.1"; 40].join(", "));
    let one = prop_oneof![
        9 => field_line(),
        1 => Just(long),
        1 => Just(format!("Cookie: a={}; limpet=1; b=2\r\n", "x".repeat(200))),
        1 => Just("X-Real-IP: 192.0.2.9\r\n".to_owned()),
        1 => Just("X-Forwarded-Proto: https\r\n".to_owned()),
        1 => Just("Max-Forwards: 3\r\n".to_owned()),
        1 => Just("Content-Type: a/b\r\n".to_owned()),
    ];
    prop::collection::vec(one, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_request_goes_on_alike_in_either_version(
        lines in lines(),
        framing in prop::sample::select(vec!["", "Content-Length: 07\r\n", "Transfer-Encoding:chunked\r\n"]),
        target in prop::sample::select(vec!["/", "/index.html", "/x?y", "/?", "http://b/z"]),
        forwarded_for in prop::sample::select(vec![
            ForwardedFor::Append, ForwardedFor::Preserve, ForwardedFor::Replace, ForwardedFor::Remove,
        ]),
        (entries, at) in (1_usize..40, 0_usize..12),
        flags in any::<[bool; 9]>(),
    ) {
        let head = format!("POST {target} HTTP/1.1\r\nHost: b\r\n{}{framing}\r\n", lines.concat());
        let mut fields = Fields::new();
        let parsed = parse_request(head.as_bytes(), &LIMITS, Mode::Strict, &mut fields);
        // Some of these lines are refused together.
        let Ok(Parsed::Complete(head)) = parsed else { return Ok(()) };
        let is_other = head.fields.get(at).is_some_and(|field| field.id == FieldId::Other);
        let edits = RequestEdits {
            forwarded_for,
            forwarded_for_entries: entries,
            peer: if flags[0] { b"2001:db8::7" } else { b"192.0.2.7" },
            peer_trusted: flags[1],
            keep_real_ip: flags[2],
            real_ip: flags[3].then_some(b"192.0.2.8"),
            forwarded: flags[4],
            via: flags[5].then_some(b"limpet"),
            request_id: flags[6].then_some((b"X-Request-Id", b"0123")),
            path: flags[7].then_some(b"/other"),
            host: flags[8].then_some(b"c:8080"),
            strip_cookies: &[b"limpet"],
            session_field: match is_other {
                true => Replaced { at, value: b"sealed" },
                false => Replaced::NONE,
            },
            max_forwards: flags[0].then_some(7),
            ..edits()
        };
        prop_assert_eq!(as_http2(&head, &edits, None), as_http1(&head, &edits));
    }
}

#[test]
fn a_tunnel_has_neither_the_key_of_a_handshake_nor_a_length() {
    let head = "GET /chat?x=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                Content-Length: 0\r\n\r\n";
    let mut fields = Fields::new();
    let parsed = parse_request(head.as_bytes(), &LIMITS, Mode::Strict, &mut fields);
    let Ok(Parsed::Complete(head)) = parsed else { panic!("it does not parse") };
    let edits = RequestEdits {
        upgrade: Some(b"websocket"),
        websocket_key: Some(b"another"),
        forwarded_for: ForwardedFor::Remove,
        ..edits()
    };
    let (first, lines) = as_http2(&head, &edits, Some(b"websocket"));
    assert_eq!(first, ["CONNECT", "/chat?x=1", "a"]);
    let names: Vec<&str> = lines.iter().map(|(name, _)| &**name).collect();
    let ours = ["x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];
    assert_eq!(names, [&["sec-websocket-version"][..], &ours].concat());
}
