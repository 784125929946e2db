//! Every rule on heads and trailers of HTTP/2, with the reason for which limpet refuses a message.

use super::*;
use crate::http2::hpack::block::Limits;
use crate::http2::hpack::decoder::Decoder;

const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 1024,
    field_line_bytes: 1024,
    head_bytes: 4096,
    field_count: 32,
};

const LIST: Limits = Limits { list_bytes: 4096, field_count: 32, list_bytes_max: 65_536 };

type Lines<'l> = &'l [(&'l str, &'l str)];

/// A block of these lines, as they are, each a literal.
fn block_of(lines: Lines<'_>) -> Block {
    let mut coded = Vec::new();
    for (name, value) in lines {
        coded.push(0);
        for text in [name, value] {
            match text.len().checked_sub(127) {
                None => coded.push(text.len() as u8),
                Some(rest) => {
                    coded.extend_from_slice(&[127, rest as u8 | 0x80, (rest >> 7) as u8]);
                }
            }
            coded.extend_from_slice(text.as_bytes());
        }
    }
    let mut block = Block::default();
    Decoder::default().decode(&coded, true, &LIST, &mut block).expect("a valid block");
    block
}

const GET: Lines<'_> =
    &[(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/x?y=z")];

fn requested(lines: Lines<'_>, end_stream: bool) -> Result<ContentLength, Refusal> {
    let block = block_of(lines);
    let mut fields = Fields::new();
    request(&block, end_stream, &LIMITS, Mode::Strict, &mut fields)
        .map(|request| request.head.content)
}

fn with<'l>(start: Lines<'l>, more: Lines<'l>) -> Vec<(&'l str, &'l str)> {
    [start, more].concat()
}

#[test]
fn a_request_is_read() {
    let lines = with(
        GET,
        &[
            ("accept", "*/*"),
            ("te", "trailers"),
            ("cookie", "a=1"),
            ("content_length", "9"),
            ("cookie", "b=2"),
        ],
    );
    let block = block_of(&lines);
    let mut fields = Fields::new();
    let Request { head, protocol } =
        request(&block, true, &LIMITS, Mode::Strict, &mut fields).expect("a valid request");
    assert_eq!((head.method, head.method_name), (Method::Get, &b"GET"[..]));
    assert_eq!((head.host, head.target.path), (&b"a.example"[..], &b"/x"[..]));
    assert_eq!(head.target.query, Some(&b"y=z"[..]));
    assert_eq!((head.version, head.content), (Version::Http2, ContentLength::None));
    assert!(head.persistent && head.te_trailers && !head.upgrade && !head.expect_continue);
    assert_eq!((protocol, head.raw), (None, block.raw()));
    let told: Vec<_> =
        head.fields.iter().map(|field| (field.name, field.value, field.drop)).collect();
    let expected: [(&[u8], &[u8], bool); 4] = [
        (b"accept", b"*/*", false),
        (b"te", b"trailers", true),
        (b"content_length", b"9", true),
        (b"cookie", b"a=1; b=2", false),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_malformed_request_is_refused_for_its_first_fault() {
    use Refusal::*;
    let long = "x".repeat(1100);
    let long_path = format!("/{}", "x".repeat(1100));
    let rows: &[(Lines<'_>, Refusal)] = &[
        // RFC 9113 §8.2.1
        (&[("Accept", "*/*")], BadFieldName),
        (&[("acCept", "*/*")], BadFieldName),
        (&[("", "x")], BadFieldName),
        (&[("a b", "x")], BadFieldName),
        (&[("a:", "x")], BadFieldName),
        (&[("a\0", "x")], BadFieldName),
        (&[("a\r\nb", "x")], BadFieldName),
        (&[("caf\u{e9}", "x")], BadFieldName),
        (&[("a", "x\0y")], BadFieldValue),
        (&[("a", "x\ry")], BadFieldValue),
        (&[("a", "x\ny")], BadFieldValue),
        (&[("a", "x\r\nb: y")], BadFieldValue),
        (&[("a", "x\u{7f}")], BadFieldValue),
        (&[("a", " x")], BadFieldValue),
        (&[("a", "x ")], BadFieldValue),
        (&[("a", "\tx")], BadFieldValue),
        (&[("a", "x\t")], BadFieldValue),
        (&[("a", " ")], BadFieldValue),
        (&[("cookie", "a=1"), ("cookie", "b=2 ")], BadFieldValue),
        (&[("cookie", "a=1"), ("Cookie", "b=2")], BadFieldName),
        // RFC 9113 §8.2.2
        (&[("connection", "keep-alive")], ConnectionField),
        (&[("connection", "")], ConnectionField),
        (&[("keep-alive", "timeout=5")], ConnectionField),
        (&[("proxy-connection", "keep-alive")], ConnectionField),
        (&[("transfer-encoding", "chunked")], ConnectionField),
        (&[("transfer-encoding", "")], ConnectionField),
        (&[("upgrade", "websocket")], ConnectionField),
        (&[("te", "gzip")], TeNotTrailers),
        (&[("te", "trailers, gzip")], TeNotTrailers),
        (&[("te", "")], TeNotTrailers),
        // RFC 9113 §8.3
        (&[(":path", "/")], PseudoFieldRepeated),
        (&[(":method", "GET")], PseudoFieldRepeated),
        (&[(":authority", "a.example")], PseudoFieldRepeated),
        (&[("accept", "*/*"), (":protocol", "websocket")], PseudoFieldLate),
        (&[("cookie", "a=1"), (":path", "/")], PseudoFieldLate),
        (&[(":status", "200")], PseudoFieldUnknown),
        (&[(":unknown", "x")], PseudoFieldUnknown),
        (&[(":Path", "/")], PseudoFieldUnknown),
        (&[(":", "/")], PseudoFieldUnknown),
        (&[(":protocol", "websocket")], PseudoFieldUnknown),
        // The rules of every version.
        (&[("host", "b.example")], AuthorityMismatch),
        (&[("host", "a.example"), ("host", "a.example")], HostRepeated),
        (&[("content-length", "1"), ("content-length", "1")], ContentLengthRepeated),
        (&[("content-length", "1, 1")], ContentLengthList),
        (&[("content-length", "x")], ContentLengthInvalid),
        (&[("content-length", "18446744073709551616")], ContentLengthOverflow),
        (&[("expect", "x")], ExpectationUnknown),
        (&[("a", &long)], FieldLineTooLong),
        (&[("cookie", &long[..550]), ("cookie", &long[..550])], FieldLineTooLong),
    ];
    for (more, refusal) in rows {
        assert_eq!(requested(&with(GET, more), false), Err(*refusal), "{more:.80?}");
    }
    let pseudo = |method, scheme, authority, path| {
        requested(
            &[(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)],
            true,
        )
    };
    assert_eq!(pseudo("GET", "https", "a", "/"), Ok(ContentLength::None));
    assert_eq!(pseudo("OPTIONS", "https", "a", "*"), Ok(ContentLength::None));
    for (method, scheme, authority, path, refusal) in [
        ("", "https", "a", "/", BadMethod),
        ("G T", "https", "a", "/", BadMethod),
        ("GET\r\n", "https", "a", "/", BadMethod),
        ("TRACE", "https", "a", "/", MethodNotAllowed),
        ("GET", "ftp", "a", "/", BadRequestTargetForm),
        ("GET", "", "a", "/", BadRequestTargetForm),
        ("GET", "https", "", "/", HostInvalid),
        ("GET", "https", "u@a", "/", UserInfo),
        ("GET", "https", "a b", "/", HostInvalid),
        ("GET", "https", "a\r\nb: c", "/", HostInvalid),
        ("GET", "https", "a", "", BadRequestTargetForm),
        ("GET", "https", "a", "x", BadRequestTargetForm),
        ("GET", "https", "a", "*", BadRequestTargetForm),
        ("GET", "https", "a", "http://a/", BadRequestTargetForm),
        ("GET", "https", "a", "/x#y", BadRequestTarget),
        ("GET", "https", "a", "/x y", BadRequestTarget),
        ("GET", "https", "a", "/x\t", BadRequestTarget),
        ("GET", "https", "a", "/\r\nx: y", BadRequestTarget),
        ("GET", "https", "a", "/caf\u{e9}", BadRequestTarget),
        ("GET", "https", "a", &long_path, RequestLineTooLong),
    ] {
        assert_eq!(pseudo(method, scheme, authority, path), Err(refusal), "{path:.80?}");
    }
}

#[test]
fn pseudo_fields_that_a_request_needs_are_there() {
    for missing in [":method", ":scheme", ":path"] {
        let lines: Vec<_> = GET.iter().copied().filter(|line| line.0 != missing).collect();
        assert_eq!(requested(&lines, true), Err(Refusal::PseudoFieldMissing), "{missing}");
    }
    let lines: Vec<_> = GET.iter().copied().filter(|line| line.0 != ":authority").collect();
    assert_eq!(requested(&lines, true), Err(Refusal::HostMissing));
    assert_eq!(requested(&with(&lines, &[("host", "a")]), true), Ok(ContentLength::None));
}

#[test]
fn the_length_of_a_request_agrees_with_the_end_of_its_stream() {
    use ContentLength::{Exact, None, Unknown};
    let length = |value: &'static str, end_stream| {
        requested(&with(GET, &[("content-length", value)]), end_stream)
    };
    assert_eq!(requested(GET, true), Ok(None));
    assert_eq!(requested(GET, false), Ok(Unknown));
    assert_eq!(length("0", true), Ok(Exact(0)));
    assert_eq!(length("0", false), Ok(Exact(0)));
    assert_eq!(length("7", false), Ok(Exact(7)));
    assert_eq!(length("7", true), Err(Refusal::ContentLengthMismatch));
}

#[test]
fn connect_opens_a_tunnel_for_websocket_only() {
    let connect = |lines: Lines<'_>| {
        let block = block_of(&with(&[(":method", "CONNECT")], lines));
        let mut fields = Fields::new();
        request(&block, false, &LIMITS, Mode::Strict, &mut fields).map(|request| {
            assert_eq!(request.head.content, ContentLength::None);
            request.protocol.map(<[u8]>::to_vec)
        })
    };
    let (authority, scheme, path) = ((":authority", "a:443"), (":scheme", "https"), (":path", "/"));
    let protocol = (":protocol", "websocket");
    assert_eq!(connect(&[authority, scheme, path, protocol]), Ok(Some(b"websocket".to_vec())));
    assert_eq!(connect(&[authority]), Err(Refusal::MethodNotAllowed));
    assert_eq!(connect(&[]), Err(Refusal::PseudoFieldMissing));
    assert_eq!(connect(&[authority, scheme, path]), Err(Refusal::PseudoFieldUnknown));
    assert_eq!(connect(&[authority, path]), Err(Refusal::PseudoFieldUnknown));
    assert_eq!(connect(&[authority, protocol]), Err(Refusal::PseudoFieldMissing));
    assert_eq!(connect(&[authority, scheme, protocol]), Err(Refusal::PseudoFieldMissing));
    let other = (":protocol", "connect-udp");
    assert_eq!(connect(&[authority, scheme, path, other]), Err(Refusal::ProtocolUnknown));
    let length = ("content-length", "1");
    let tunnel = connect(&[authority, scheme, path, protocol, length]);
    assert_eq!(tunnel, Err(Refusal::ContentLengthMismatch));
}

#[test]
fn a_head_beyond_the_limits_is_told_apart_by_what_is_too_much() {
    let value = "x".repeat(900);
    let large = vec![("a", &*value); 5];
    assert_eq!(requested(&with(GET, &large), true), Err(Refusal::HeadTooLong));
    let many = vec![("a", ""); 33];
    assert_eq!(requested(&with(GET, &many), true), Err(Refusal::TooManyFields));
    assert_eq!(requested(&with(GET, &many[..32]), true), Ok(ContentLength::None));
    let crumbs = vec![("cookie", "a=b"); 40];
    assert_eq!(requested(&with(GET, &crumbs), true), Ok(ContentLength::None));
}

fn answered(
    lines: Lines<'_>,
    end_stream: bool,
    method: Method,
) -> Result<(u16, ContentLength, Vec<String>), ResponseFault> {
    let block = block_of(lines);
    let mut fields = Fields::new();
    response(&block, end_stream, &LIMITS, method, &mut fields).map(|head| {
        assert_eq!((head.version, head.raw, head.reason), (Version::Http2, block.raw(), &b""[..]));
        let dropped = head.fields.iter().filter(|field| field.drop);
        let names = dropped.map(|field| String::from_utf8_lossy(field.name).into_owned());
        (head.status, head.content, names.collect())
    })
}

#[test]
fn a_malformed_response_is_refused_for_its_first_fault() {
    use ResponseFault::*;
    let long = "x".repeat(1100);
    let rows: &[(Lines<'_>, ResponseFault)] = &[
        (&[], PseudoField),
        (&[("a", "b")], PseudoField),
        (&[("a", "b"), (":status", "200")], PseudoField),
        (&[(":status", "200"), (":status", "200")], PseudoField),
        (&[(":status", "200"), (":path", "/")], PseudoField),
        (&[(":status", "200"), (":x", "/")], PseudoField),
        (&[(":status", "")], BadStatus),
        (&[(":status", "20")], BadStatus),
        (&[(":status", "2000")], BadStatus),
        (&[(":status", "099")], BadStatus),
        (&[(":status", "600")], BadStatus),
        (&[(":status", "2x0")], BadStatus),
        (&[(":status", "+20")], BadStatus),
        (&[(":status", "101")], SwitchingProtocols),
        (&[(":status", "200"), ("Date", "x")], BadFieldName),
        (&[(":status", "200"), ("date", "x\r\ny")], BadFieldValue),
        (&[(":status", "200"), ("date", "x ")], BadFieldValue),
        (&[(":status", "200"), ("a", &long)], FieldLineTooLong),
        (&[(":status", "200"), ("content-length", "x")], ContentLengthInvalid),
        (&[(":status", "200"), ("content-length", "1,1")], ContentLengthInvalid),
        (&[(":status", "200"), ("content-length", "18446744073709551616")], ContentLengthOverflow),
        (
            &[(":status", "200"), ("content-length", "1"), ("content-length", "1")],
            ContentLengthRepeated,
        ),
    ];
    for (lines, fault) in rows {
        assert_eq!(answered(lines, false, Method::Get), Err(*fault), "{lines:.80?}");
    }
    let many = vec![("a", ""); 33];
    let found = answered(&with(&[(":status", "200")], &many), true, Method::Get);
    assert_eq!(found, Err(TooManyFields));
    let value = "x".repeat(900);
    let large = vec![("a", &*value); 5];
    let found = answered(&with(&[(":status", "200")], &large), true, Method::Get);
    assert_eq!(found, Err(HeadTooLong));
}

#[test]
fn fields_of_a_connection_are_not_forwarded_from_a_response() {
    let lines = &[
        (":status", "200"),
        ("connection", "x-a"),
        ("keep-alive", "timeout=1"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("x-a", "b"),
        ("date", "now"),
    ];
    let (_, content, dropped) = answered(lines, false, Method::Get).expect("a valid response");
    assert_eq!(content, ContentLength::Unknown);
    let named =
        ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "x-a"];
    assert_eq!(dropped, named);
}

#[test]
fn the_length_of_a_response_agrees_with_the_end_of_its_stream() {
    use ContentLength::{Exact, None, Unknown};
    use ResponseFault::{ContentLengthMismatch, InterimEndsStream};
    let content = |status: &'static str, length: Option<&'static str>, end_stream, method| {
        let mut lines = vec![(":status", status)];
        lines.extend(length.map(|length| ("content-length", length)));
        answered(&lines, end_stream, method).map(|(_, content, _)| content)
    };
    for (status, length, end_stream, method, expected) in [
        ("200", Option::None, true, Method::Get, Ok(Exact(0))),
        ("200", Option::None, false, Method::Get, Ok(Unknown)),
        ("200", Some("0"), true, Method::Get, Ok(Exact(0))),
        ("200", Some("5"), false, Method::Get, Ok(Exact(5))),
        ("200", Some("5"), true, Method::Get, Err(ContentLengthMismatch)),
        ("200", Some("5"), true, Method::Head, Ok(None)),
        ("304", Some("5"), true, Method::Get, Ok(None)),
        ("204", Option::None, true, Method::Get, Ok(None)),
        ("103", Option::None, false, Method::Get, Ok(None)),
        ("100", Option::None, true, Method::Get, Err(InterimEndsStream)),
        ("103", Option::None, true, Method::Head, Err(InterimEndsStream)),
    ] {
        let found = content(status, length, end_stream, method);
        assert_eq!(found, expected, "{status} {length:?} {end_stream} {method:?}");
    }
}

#[test]
fn trailers_are_fields_that_may_come_late() {
    use ChunkFault::*;
    let judged =
        |lines: Lines<'_>, end_stream| trailers(&block_of(lines), end_stream).map(<[u8]>::to_vec);
    let status: Lines<'_> = &[("grpc-status", "0"), ("grpc-message", "")];
    assert_eq!(judged(status, true), Ok(b"grpc-status: 0\r\ngrpc-message: \r\n".to_vec()));
    assert_eq!(judged(&[], true), Ok(Vec::new()));
    assert_eq!(judged(status, false), Err(TrailerInvalid));
    for (lines, fault) in [
        (&[(":status", "200")], TrailerInvalid),
        (&[(":path", "/")], TrailerInvalid),
        (&[(":x", "/")], TrailerInvalid),
        (&[("X-A", "b")], TrailerInvalid),
        (&[("x-a", "b\n")], TrailerInvalid),
        (&[("content-length", "1")], TrailerForbidden),
        (&[("transfer-encoding", "chunked")], TrailerForbidden),
        (&[("connection", "close")], TrailerForbidden),
        (&[("host", "a")], TrailerForbidden),
        (&[("cookie", "a=b")], TrailerForbidden),
        (&[("x_forwarded_for", "a")], TrailerForbidden),
        (&[("content-type", "text/html")], TrailerForbidden),
    ] {
        assert_eq!(judged(lines, true), Err(fault), "{lines:?}");
    }
    assert_eq!(judged(&vec![("a", ""); 33], true), Err(TooManyTrailers));
    let value = "x".repeat(900);
    assert_eq!(judged(&[("a", &*value); 5], true), Err(TrailersTooLong));
}

#[test]
fn the_limits_of_now_hold_also_where_a_connection_began_with_larger_ones() {
    let field = ("x-a", "0123456789");
    let block = block_of(&with(GET, &[field, field]));
    let judged = |limits: HeadLimits| {
        request(&block, true, &limits, Mode::Strict, &mut Fields::new()).map(drop)
    };
    let exact = HeadLimits { head_bytes: block.list_bytes(), field_count: 2, ..LIMITS };
    assert_eq!(judged(exact), Ok(()));
    let shorter = HeadLimits { head_bytes: block.list_bytes() - 1, ..exact };
    assert_eq!(judged(shorter), Err(Refusal::HeadTooLong));
    assert_eq!(judged(HeadLimits { field_count: 1, ..exact }), Err(Refusal::TooManyFields));

    let block = block_of(&[(":status", "200"), field, field]);
    let judged = |limits: HeadLimits| {
        response(&block, true, &limits, Method::Get, &mut Fields::new()).map(drop)
    };
    let exact = HeadLimits { head_bytes: block.list_bytes(), field_count: 2, ..LIMITS };
    assert_eq!(judged(exact), Ok(()));
    let shorter = HeadLimits { head_bytes: block.list_bytes() - 1, ..exact };
    assert_eq!(judged(shorter), Err(ResponseFault::HeadTooLong));
    assert_eq!(judged(HeadLimits { field_count: 1, ..exact }), Err(ResponseFault::TooManyFields));
}
