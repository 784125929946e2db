//! Every edit, read again by the decoder.

use super::*;
use crate::http::edits::{ForwardedFor, Replaced, Wire};
use crate::http::fields::Fields;
use crate::http::head::{HeadLimits, Method, Mode};
use crate::http2::head;
use crate::http2::hpack::block::{Block, Limits};
use crate::http2::hpack::decoder::Decoder;

const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 1024,
    field_line_bytes: 1024,
    head_bytes: 4096,
    field_count: 32,
};

const LIST: Limits = Limits { list_bytes: 4096, field_count: 32, list_bytes_max: 65_536 };

/// A response of these lines, with its edits, as the client reads it; and whether each line may be indexed.
fn written(
    lines: &[(&str, &str)],
    ends: bool,
    method: Method,
    edits: &ResponseEdits<'_>,
) -> (String, Vec<bool>) {
    let encoder = Encoder::default();
    let mut coded = Vec::new();
    for (name, value) in lines {
        encoder.field(name.as_bytes(), value.as_bytes(), Indexing::Allowed, &mut coded);
    }
    let mut received = Block::default();
    Decoder::default().decode(&coded, true, &LIST, &mut received).expect("a valid block");
    let mut fields = Fields::new();
    let head = head::response(&received, ends, &LIMITS, method, &mut fields).expect("valid");
    let mut out = Vec::new();
    response(&head, edits, &encoder, &mut out);
    let mut block = Block::default();
    Decoder::default().decode(&out, true, &LIST, &mut block).expect("a valid block");
    let may_index = block.lines().iter().map(|line| !line.is_never_indexed()).collect();
    (String::from_utf8(block.field_lines().to_vec()).expect("text"), may_index)
}

#[test]
fn a_response_is_passed_on_without_the_fields_of_a_connection() {
    let lines = [
        (":status", "200"),
        ("connection", "x-a"),
        ("keep-alive", "5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("content-type", "text/html"),
        ("X-Powered-By", "PHP"),
    ];
    let lines = &lines[..6];
    let (text, _) = written(lines, false, Method::Get, &ResponseEdits::default());
    assert_eq!(text, "content-type: text/html\r\n");
}

#[test]
fn the_length_is_passed_on_where_it_says_the_truth() {
    let length = |status: &str, length: &str, ends: bool, method: Method| {
        let lines = [(":status", status), ("content-length", length)];
        written(&lines, ends, method, &ResponseEdits::default()).0
    };
    assert_eq!(length("200", "007", false, Method::Get), "content-length: 7\r\n");
    assert_eq!(length("200", "0", true, Method::Get), "content-length: 0\r\n");
    assert_eq!(length("200", "7", true, Method::Head), "content-length: 7\r\n");
    assert_eq!(length("304", "7", true, Method::Get), "content-length: 7\r\n");
    assert_eq!(length("204", "0", true, Method::Get), "");
    assert_eq!(length("103", "0", false, Method::Get), "");
}

#[test]
fn edits_are_applied_on_the_way() {
    let edits = ResponseEdits {
        set_cookies: &[b"a=b; Path=/", b"c=d"],
        session_field: Replaced { at: 1, value: b"sealed" },
        protect_cookie: true,
        via: Some(b"limpet"),
        date: Some(b"now"),
    };
    let lines = [(":status", "200"), ("server", "x"), ("x-session", "open")];
    let (text, may_index) = written(&lines, true, Method::Get, &edits);
    assert_eq!(
        text,
        "server: x\r\nx-session: sealed\r\ncache-control: private\r\ndate: now\r\n\
         set-cookie: a=b; Path=/\r\nset-cookie: c=d\r\nvia: 2 limpet\r\n"
    );
    // What identifies a user goes into nobody's table.
    assert_eq!(may_index, [true, false, true, true, false, false, true]);
    // What the target has said stays.
    let lines = [(":status", "200"), ("date", "then"), ("cache-control", "no-store")];
    let edits =
        ResponseEdits { session_field: Replaced::NONE, set_cookies: &[], via: None, ..edits };
    let (text, _) = written(&lines, true, Method::Get, &edits);
    assert_eq!(text, "date: then\r\ncache-control: no-store\r\n");
    // Interim heads get nothing of ours but Via.
    let edits = ResponseEdits { set_cookies: &[b"a=b"], via: Some(b"limpet"), ..edits };
    let (text, _) = written(&[(":status", "103"), ("link", "x")], false, Method::Get, &edits);
    assert_eq!(text, "link: x\r\nvia: 2 limpet\r\n");
}

/// The field lines of a block, each with whether it may be indexed.
fn lines_of(coded: &[u8]) -> Vec<(String, bool)> {
    let mut block = Block::default();
    Decoder::default().decode(coded, true, &LIST, &mut block).expect("a valid block");
    let text = |line: &_| {
        let (name, value) = block.parts(line);
        format!("{}: {}", name.escape_ascii(), value.escape_ascii())
    };
    block.lines().iter().map(|line| (text(line), !line.is_never_indexed())).collect()
}

#[test]
fn nothing_of_a_request_enters_a_table_that_others_could_ask() {
    let encoder = Encoder::default();
    let mut received = Vec::new();
    let pseudo = RequestPseudo {
        method: b"GET",
        scheme: b"https",
        authority: b"shop.example",
        path: [b"/secret", b"", b""],
        protocol: None,
    };
    encoder.request(&pseudo, &mut received);
    for (name, value) in [("x-token", "open sesame"), ("te", "trailers"), ("cookie", "a=1")] {
        encoder.field(name.as_bytes(), value.as_bytes(), Indexing::Allowed, &mut received);
    }
    let (mut block, mut fields) = (Block::default(), Fields::new());
    Decoder::default().decode(&received, true, &LIST, &mut block).expect("a valid block");
    let head = head::request(&block, true, &LIMITS, Mode::Strict, &mut fields).expect("valid").head;
    let edits = RequestEdits {
        wire: Wire::Http2OverTls,
        forwarded_for: ForwardedFor::Remove,
        forwarded_for_entries: 1,
        peer: b"192.0.2.7",
        peer_trusted: false,
        scheme: b"https",
        front_scheme: b"https",
        front_port: b"",
        keep_real_ip: false,
        real_ip: None,
        forwarded: false,
        via: None,
        request_id: None,
        path: None,
        host: None,
        strip_cookies: &[],
        session_field: Replaced::NONE,
        websocket_key: None,
        upgrade: None,
        max_forwards: None,
    };
    let mut coded = Vec::new();
    request(&head, &edits, (b"https", None), &mut coded);
    let lines = lines_of(&coded);
    assert_eq!(
        lines,
        [
            ("x-token: open sesame".into(), false),
            ("te: trailers".into(), true),
            ("x-forwarded-proto: https".into(), false),
            ("x-forwarded-host: shop.example".into(), false),
            ("cookie: a=1".into(), false)
        ]
    );
    // Literals never indexed, behind GET and https of the static table: the authority, the path.
    assert_eq!(coded[..3], [0x82, 0x87, 0x11]);
    let path = 3 + 1 + usize::from(coded[3] & 0x7f);
    assert_eq!(coded[path], 0x14);
    // Read again by the same decoder, the block is what it was: its table is still empty.
    let mut decoder = Decoder::default();
    for _ in 0..2 {
        let mut block = Block::default();
        decoder.decode(&coded, true, &LIST, &mut block).expect("a valid block");
        assert_eq!(block.pseudo(head::Pseudo::Path), Some(&b"/secret"[..]));
    }
    let newest = [0x80 | 62];
    assert!(decoder.decode(&newest, true, &LIST, &mut Block::default()).is_err());
}

#[test]
fn a_field_that_may_not_be_indexed_goes_on_so() {
    let encoder = Encoder::default();
    let mut coded = Vec::new();
    encoder.field(b":status", b"200", Indexing::Allowed, &mut coded);
    for (name, indexing) in [("x-open", Indexing::Allowed), ("x-token", Indexing::Never)] {
        encoder.field(name.as_bytes(), b"1", indexing, &mut coded);
    }
    encoder.field(b"set-cookie", b"a=b", Indexing::Allowed, &mut coded);
    let mut received = Block::default();
    Decoder::default().decode(&coded, true, &LIST, &mut received).expect("a valid block");
    let mut fields = Fields::new();
    let head = head::response(&received, true, &LIMITS, Method::Get, &mut fields).expect("valid");
    let mut out = Vec::new();
    response(&head, &ResponseEdits::default(), &encoder, &mut out);
    let may_index: Vec<bool> = lines_of(&out).into_iter().map(|(_, may)| may).collect();
    assert_eq!(may_index, [true, false, false], "nor does what identifies a user");
}
