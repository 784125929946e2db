//! Every edit, read again by the decoder.

use super::*;
use crate::http::edits::Replaced;
use crate::http::fields::Fields;
use crate::http::head::{HeadLimits, Method};
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
