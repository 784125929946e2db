//! Every refusal with a raw head, and valid heads, whole, at every split, byte by byte and with
//! trailing data.

mod alike;
mod limits;
mod responses;

use crate::http::fields::FieldId;
use crate::http::head::ContentLength;
use crate::http1::head::*;

const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 16 * 1024,
    field_line_bytes: 16 * 1024,
    head_bytes: 64 * 1024,
    field_count: 128,
};

const SMALL: HeadLimits =
    HeadLimits { request_line_bytes: 32, field_line_bytes: 24, head_bytes: 96, field_count: 3 };

fn is_partial<T>(parsed: &Parsed<T>) -> bool {
    matches!(parsed, Parsed::Partial)
}

/// The refusal of a whole head, which neither a cut nor trailing data may turn into an acceptance.
fn refusal_of(head: &[u8], limits: &HeadLimits, mode: Mode) -> Option<Refusal> {
    let mut fields = Fields::new();
    let refusal = parse_request(head, limits, mode, &mut fields).err();
    if refusal.is_some() {
        for end in 0..head.len() {
            let cut = parse_request(&head[..end], limits, mode, &mut fields);
            let passed = cut.is_ok_and(|parsed| !is_partial(&parsed));
            assert!(!passed, "{:?} passes when cut at {end}", String::from_utf8_lossy(head));
        }
        let mut longer = head.to_vec();
        longer.extend_from_slice(b"GET / HTTP/1.1\r\nHost: next\r\n\r\n");
        let mut fields = Fields::new();
        assert_eq!(parse_request(&longer, limits, mode, &mut fields).err(), refusal);
    }
    refusal
}

fn strict(head: impl AsRef<[u8]>) -> Option<Refusal> {
    refusal_of(head.as_ref(), &LIMITS, Mode::Strict)
}

/// Parses a head that must pass and hands it to `check`; also cut everywhere and with trailing data.
fn passes<R>(head: &[u8], mode: Mode, check: impl Fn(&RequestHead<'_, '_>) -> R) -> R {
    let mut fields = Fields::new();
    for end in 0..head.len() {
        let cut = parse_request(&head[..end], &LIMITS, mode, &mut fields);
        assert!(cut.is_ok_and(|parsed| is_partial(&parsed)), "cut at {end}");
    }
    let mut scan = HeadScan::default();
    for end in 0..=head.len() {
        let worth = scan.worth_parsing(&head[..end], &LIMITS);
        assert_eq!(worth, end == head.len(), "scan of {end} bytes");
    }
    let mut longer = head.to_vec();
    longer.extend_from_slice(b"\r\n\r\n\0trailing");
    let mut fields = Fields::new();
    let Ok(Parsed::Complete(parsed)) = parse_request(&longer, &LIMITS, mode, &mut fields) else {
        panic!("refused with trailing data: {:?}", String::from_utf8_lossy(head));
    };
    assert_eq!(parsed.raw, head);
    let mut fields = Fields::new();
    match parse_request(head, &LIMITS, mode, &mut fields) {
        Ok(Parsed::Complete(parsed)) => check(&parsed),
        Ok(Parsed::Partial) => panic!("partial: {:?}", String::from_utf8_lossy(head)),
        Err(refusal) => panic!("{refusal:?}: {:?}", String::from_utf8_lossy(head)),
    }
}

fn with_fields(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

#[test]
fn request_lines_are_exact() {
    use Refusal::*;
    let cases: &[(&str, Refusal)] = &[
        ("GET  / HTTP/1.1", BadRequestLine),
        ("GET /  HTTP/1.1", BadRequestLine),
        ("GET / HTTP/1.1 ", BadRequestLine),
        ("GET /a b HTTP/1.1", BadRequestLine),
        ("GET / HTTP/1.1 HTTP/1.1", BadRequestLine),
        ("GET /", BadRequestLine),
        ("GET / ", BadRequestLine),
        ("GET", BadRequestLine),
        ("GET / http/1.1", BadRequestLine),
        ("GET / HTTP/1.", BadRequestLine),
        ("GET / HTTP/11", BadRequestLine),
        ("GET / HTTP/01.1", BadRequestLine),
        ("GET / HTTP/1.10", BadRequestLine),
        ("GET / ICE/1.0", BadRequestLine),
        ("GET\t/ HTTP/1.1", BadMethod),
        (" GET / HTTP/1.1", BadMethod),
        ("G@T / HTTP/1.1", BadMethod),
        ("GET: / HTTP/1.1", BadMethod),
        ("GET /\t HTTP/1.1", BadRequestTarget),
        ("GET /\u{1} HTTP/1.1", BadRequestTarget),
        ("GET /\0 HTTP/1.1", BadRequestTarget),
        ("GET /\u{7f} HTTP/1.1", BadRequestTarget),
        ("GET /a#b HTTP/1.1", BadRequestTarget),
        ("GET /caf\u{e9} HTTP/1.1", BadRequestTarget),
        ("GET / HTTP/2.0", VersionNotSupported),
        ("PRI * HTTP/2.0", VersionNotSupported),
        ("GET / HTTP/0.9", VersionNotSupported),
        ("GET / HTTP/3.0", VersionNotSupported),
        ("CONNECT a:443 HTTP/1.1", MethodNotAllowed),
        ("CONNECT / HTTP/1.1", MethodNotAllowed),
        ("TRACE / HTTP/1.1", MethodNotAllowed),
        ("GET * HTTP/1.1", BadRequestTargetForm),
        ("OPTIONS *x HTTP/1.1", BadRequestTargetForm),
        ("GET a HTTP/1.1", BadRequestTargetForm),
        ("GET a:80 HTTP/1.1", BadRequestTargetForm),
        ("GET ?q HTTP/1.1", BadRequestTargetForm),
        ("GET ftp://a/ HTTP/1.1", BadRequestTargetForm),
        ("GET http:/a/ HTTP/1.1", BadRequestTargetForm),
        ("GET http:// HTTP/1.1", HostInvalid),
        ("GET http:///x HTTP/1.1", HostInvalid),
        ("GET http://u@a/ HTTP/1.1", UserInfo),
        ("GET http://u:p@a/ HTTP/1.1", UserInfo),
        ("GET http://b/ HTTP/1.1", AuthorityMismatch),
        ("GET http://a:81/ HTTP/1.1", AuthorityMismatch),
        ("GET https://a:80/ HTTP/1.1", AuthorityMismatch),
    ];
    for (line, expected) in cases {
        let head = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(strict(&head), Some(*expected), "{line:?}");
    }
    assert_eq!(strict(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"), Some(BadRequestTarget));
}

#[test]
fn line_ends_are_crlf_and_nothing_else() {
    use Refusal::*;
    let cases: &[(&str, Refusal)] = &[
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BareLf),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        ("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", BareCr),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", BareLf),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", BareCr),
        ("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", BareCr),
        ("GET /\n HTTP/1.1\r\nHost: a\r\n\r\n", BareLf),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", BareLf),
        ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", BareCr),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n", BareCr),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2\r\n\r\n", BareLf),
        ("GET / HTTP/1.1\r\nHost: a\r\nX:\n\r\n", BareLf),
        ("GET / HTTP/1.1\r\nHost: a\r\nX:\r \r\n\r\n", BareCr),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", BareLf),
        ("GET / HTTP/1.1\r\nHost: a\n\n", BareLf),
        ("GET / HTTP/1.1\r\nHost: a\r\n\rX", BareCr),
        ("GET / HTTP/1.1\n\n", BareLf),
    ];
    for (head, expected) in cases {
        assert_eq!(strict(head), Some(*expected), "{head:?}");
    }
}

#[test]
fn field_lines_are_exact() {
    use Refusal::*;
    let cases: &[(&str, Refusal)] = &[
        ("X: 1\r\n folded\r\n", ObsFold),
        ("X: 1\r\n\tfolded\r\n", ObsFold),
        (" X: 1\r\n", ObsFold),
        ("X : 1\r\n", SpaceBeforeColon),
        ("X\t: 1\r\n", SpaceBeforeColon),
        ("Transfer-Encoding : chunked\r\n", SpaceBeforeColon),
        (": 1\r\n", BadFieldName),
        ("X\r\n", BadFieldName),
        ("X Y: 1\r\n", BadFieldName),
        ("X@: 1\r\n", BadFieldName),
        ("X\u{1}: 1\r\n", BadFieldName),
        ("\u{1}X: 1\r\n", BadFieldName),
        ("\u{a0}X: 1\r\n", BadFieldName),
        ("X\0: 1\r\n", BadFieldName),
        ("Tran\u{17f}fer-Encoding: chunked\r\n", BadFieldName),
        ("(X): 1\r\n", BadFieldName),
        ("X: a\0b\r\n", BadFieldValue),
        ("X: a\u{1}b\r\n", BadFieldValue),
        ("X: a\u{7f}b\r\n", BadFieldValue),
        ("X: \u{b}\r\n", BadFieldValue),
        ("X:\u{8}\r\n", BadFieldValue),
    ];
    for (lines, expected) in cases {
        assert_eq!(strict(with_fields(lines)), Some(*expected), "{lines:?}");
    }
    let first = "GET / HTTP/1.1\r\n Host: a\r\n\r\n";
    assert_eq!(strict(first), Some(ObsFold), "white space behind the start line");
}

#[test]
fn values_may_hold_tabs_and_obs_text() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: \t a\tb \xe9\xff\t \r\nEmpty:\r\nBlank:  \r\n\r\n";
    passes(head, Mode::Strict, |head| {
        let values: Vec<&[u8]> = head.fields.iter().map(|field| field.value).collect();
        assert_eq!(values, [&b"a"[..], b"a\tb \xe9\xff", b"", b""]);
    });
}

#[test]
fn host_is_one_and_valid() {
    use Refusal::*;
    let cases: &[(&str, Refusal)] = &[
        ("GET / HTTP/1.1\r\n\r\n", HostMissing),
        ("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", HostMissing),
        ("GET / HTTP/1.2\r\n\r\n", HostMissing),
        ("GET http://a/ HTTP/1.1\r\n\r\n", HostMissing),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", HostRepeated),
        ("GET / HTTP/1.0\r\nHost: a\r\nhOST: b\r\n\r\n", HostRepeated),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", HostInvalid),
        ("GET / HTTP/1.0\r\nHost: \r\n\r\n", HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", HostInvalid),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", HostInvalid),
    ];
    for (head, expected) in cases {
        assert_eq!(strict(head), Some(*expected), "{head:?}");
    }
    passes(b"GET / HTTP/1.0\r\n\r\n", Mode::Strict, |head| assert_eq!(head.host, b""));
}

#[test]
fn framing_is_refused_through_the_head_too() {
    use Refusal::*;
    let cases: &[(&str, Refusal)] = &[
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", ContentLengthAndTransferEncoding),
        ("Transfer-Encoding: x\r\nContent-Length: x\r\n", ContentLengthAndTransferEncoding),
        ("Content-Length: 1\r\ncontent-length: 1\r\n", ContentLengthRepeated),
        ("Content-Length: 1, 1\r\n", ContentLengthList),
        ("Content-Length: +1\r\n", ContentLengthInvalid),
        ("Content-Length:\r\n", ContentLengthInvalid),
        ("Content-Length: 18446744073709551616\r\n", ContentLengthOverflow),
        ("Transfer-Encoding:\r\n", TransferEncodingEmpty),
        ("Transfer-Encoding: chunked;a\r\n", TransferEncodingInvalid),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ChunkedRepeated),
        ("Transfer-Encoding: chunked, gzip\r\n", ChunkedNotFinal),
        ("Transfer-Encoding: gzip\r\n", TransferCodingUnknown),
    ];
    for mode in [Mode::Strict, Mode::Defensive, Mode::Monitor] {
        for (lines, expected) in cases {
            let found = refusal_of(&with_fields(lines), &LIMITS, mode);
            assert_eq!(found, Some(*expected), "{lines:?} {mode:?}");
        }
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(strict(old), Some(TransferEncodingInHttp10));
}

#[test]
fn framing_and_persistence_of_what_passes() {
    use crate::http::head::Version::*;
    use ContentLength::*;
    let cases: &[(&str, Version, ContentLength, bool)] = &[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Http11, None, true),
        ("GET / HTTP/1.9\r\nHost: a\r\n\r\n", Http11, None, true),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", Http10, None, false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Http10, None, true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", Http10, None, false),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: y,CLOSE\r\n\r\n",
            Http11,
            None,
            false,
        ),
        ("DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n", Http11, Exact(7), true),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n", Http11, Unknown, true),
    ];
    for (head, version, framing, persistent) in cases {
        passes(head.as_bytes(), Mode::Strict, |head| {
            assert_eq!(
                (head.version, head.content, head.persistent),
                (*version, *framing, *persistent)
            );
        });
    }
}

#[test]
fn targets_are_split_in_place() {
    type Split<'s> = (Option<&'s str>, &'s str, Option<&'s str>, &'s str);
    let cases: &[(&str, Split<'_>)] = &[
        ("GET / HTTP/1.1", (None, "/", None, "a")),
        ("GET //x HTTP/1.1", (None, "//x", None, "a")),
        ("GET /x? HTTP/1.1", (None, "/x", Some(""), "a")),
        ("GET /x?y=1?z|\"{} HTTP/1.1", (None, "/x", Some("y=1?z|\"{}"), "a")),
        ("OPTIONS * HTTP/1.1", (None, "*", None, "a")),
        ("GET http://a HTTP/1.1", (Some("a"), "/", None, "a")),
        ("GET HTTP://A:80/x?y HTTP/1.1", (Some("A:80"), "/x", Some("y"), "A:80")),
        ("GET https://a:443?y HTTP/1.1", (Some("a:443"), "/", Some("y"), "a:443")),
        ("OPTIONS http://a HTTP/1.1", (Some("a"), "*", None, "a")),
        ("OPTIONS http://a/ HTTP/1.1", (Some("a"), "/", None, "a")),
        ("GET http://a/b@c HTTP/1.1", (Some("a"), "/b@c", None, "a")),
    ];
    for (line, (authority, path, query, host)) in cases {
        let head = format!("{line}\r\nHost: a\r\n\r\n");
        passes(head.as_bytes(), Mode::Strict, |head| {
            assert_eq!(head.target.authority, authority.map(str::as_bytes), "{line}");
            assert_eq!(head.target.path, path.as_bytes(), "{line}");
            assert_eq!(head.target.query, query.map(str::as_bytes), "{line}");
            assert_eq!(head.host, host.as_bytes(), "{line}");
        });
    }
}

#[test]
fn methods_are_told_apart_by_case() {
    for (name, method) in
        [("GET", Method::Get), ("get", Method::Other), ("propfind", Method::Other)]
    {
        passes(format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), Mode::Strict, |head| {
            assert_eq!((head.method, head.method_name), (method, name.as_bytes()));
        });
    }
}

#[test]
fn methods_are_idempotent_as_the_registry_says() {
    let idempotent = "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY DELETE GET HEAD LABEL LINK MERGE \
                      MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PRI \
                      PROPFIND PROPPATCH PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK \
                      UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL";
    for name in idempotent.split_whitespace() {
        assert!(Method::of(name.as_bytes()).is_idempotent(), "{name}");
        let lower = name.to_ascii_lowercase();
        assert!(!Method::of(lower.as_bytes()).is_idempotent(), "{lower}");
    }
    for name in ["POST", "PATCH", "LOCK", "CONNECT", "*", "PURGE", "GETS", "PUTS", "MKCO"] {
        assert!(!Method::of(name.as_bytes()).is_idempotent(), "{name}");
    }
}

#[test]
fn expectations_other_than_100_continue_are_417() {
    for lines in [
        "Expect: x\r\n",
        "Expect:\r\n",
        "Expect: 100-continue, x\r\n",
        "Expect: 100-continue\r\nExpect: y\r\n",
    ] {
        assert_eq!(strict(with_fields(lines)), Some(Refusal::ExpectationUnknown), "{lines:?}");
    }
    let cases: &[(&str, bool)] = &[
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n", true),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
            true,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", false),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", false),
        ("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", false),
        ("POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n\r\n", false),
    ];
    for (head, expected) in cases {
        passes(head.as_bytes(), Mode::Strict, |parsed| {
            assert_eq!(parsed.expect_continue, *expected, "{head:?}");
            let field = parsed.fields.iter().find(|field| field.id == FieldId::Expect);
            assert_eq!(field.map(|field| field.drop), Some(!expected), "{head:?}");
        });
    }
}

fn dropped(lines: &str) -> Vec<String> {
    passes(&with_fields(lines), Mode::Strict, |head| {
        head.fields
            .iter()
            .filter(|field| field.drop)
            .map(|field| String::from_utf8_lossy(field.name).into_owned())
            .collect()
    })
}

#[test]
fn hop_by_hop_fields_are_dropped() {
    let lines = "Connection: a, b ,C\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: gzip\r\n\
                 Upgrade: websocket\r\nTrailer: x\r\nA: 1\r\nX: 1\r\nb: 1\r\nc: 1\r\na: 2\r\n";
    let expected =
        ["Connection", "Keep-Alive", "Proxy-Connection", "TE", "Upgrade", "A", "b", "c", "a"];
    assert_eq!(dropped(lines), expected);
}

#[test]
fn a_connection_option_never_removes_what_limpet_relies_on() {
    let kept = "Cookie: a\r\nAuthorization: b\r\nX-Forwarded-For: c\r\nX-Forwarded-Proto: c\r\n\
                X-Forwarded-Anything: c\r\nForwarded: for=d\r\nTraceparent: e\r\nX-Request-Id: f\r\n\
                Content-Length: 0\r\nVia: 1.1 x\r\nX-Real-IP: g\r\nX-Amzn-Trace-Id: h\r\n";
    let names: Vec<&str> = kept.lines().filter_map(|line| line.split(':').next()).collect();
    let lines = format!("{kept}Connection: host, {}\r\n", names.join(", "));
    assert_eq!(dropped(&lines), ["Connection"]);
    let chunked = "Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n";
    assert_eq!(dropped(chunked), ["Connection"]);
}

#[test]
fn too_many_connection_options_are_refused() {
    let lines = |count: usize| format!("Connection: {}\r\n", vec!["x"; count].join(","));
    assert_eq!(strict(with_fields(&lines(32))), None);
    assert_eq!(strict(with_fields(&lines(33))), Some(Refusal::TooManyConnectionOptions));
}

#[test]
fn underscore_look_alikes_are_dropped_and_mean_nothing() {
    let lines = "Transfer_Encoding: chunked\r\nContent_Length: 5\r\nX_Forwarded_For: 1\r\nx-forwarded_proto: x\r\n\
                 Keep_Alive: x\r\nUser_Agent: x\r\nX_Other: y\r\n";
    let expected = [
        "Transfer_Encoding",
        "Content_Length",
        "X_Forwarded_For",
        "x-forwarded_proto",
        "Keep_Alive",
    ];
    assert_eq!(dropped(lines), expected);
    passes(&with_fields(lines), Mode::Strict, |head| {
        assert_eq!(head.content, ContentLength::None);
    });
}

#[test]
fn an_upgrade_needs_both_fields_and_is_never_http2() {
    let cases: &[(&str, &[&str])] = &[
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", &["websocket"]),
        ("Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n", &["websocket"]),
        (
            "Connection: upgrade\r\nUpgrade: websocket, foo/1,, bar\r\n",
            &["websocket", "foo/1", "bar"],
        ),
        ("Connection: upgrade\r\nUpgrade: a\r\nX: 1\r\nUpgrade: b, c\r\n", &["a", "b", "c"]),
        ("Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", &["websocket"]),
        ("Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: a, h2\r\n", &["a"]),
        ("Connection: upgrade\r\nUpgrade: h2c/1, a b, /1, a/, a/1/2, c\r\n", &["c"]),
        ("Upgrade: websocket\r\n", &[]),
        ("Connection: upgrade\r\n", &[]),
        ("Connection: upgrade\r\nUpgrade:\r\n", &[]),
        ("Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n", &[]),
    ];
    for (lines, expected) in cases {
        passes(&with_fields(lines), Mode::Strict, |head| {
            assert_eq!(head.upgrade, !expected.is_empty(), "{lines:?}");
            let expected: Vec<&[u8]> = expected.iter().map(|name| name.as_bytes()).collect();
            if head.upgrade {
                assert_eq!(head.protocols().collect::<Vec<_>>(), expected, "{lines:?}");
            }
        });
    }
    let old = b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    passes(old, Mode::Strict, |head| assert!(!head.upgrade));
}

#[test]
fn modes_relax_what_the_table_says_and_name_it() {
    let target = "GET /caf\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n";
    let authority = "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n";
    let expectation = "POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 1\r\n\r\n";
    let cases: &[(&str, Refusal, &str, bool)] = &[
        (target, Refusal::BadRequestTarget, "target_not_ascii", true),
        (authority, Refusal::AuthorityMismatch, "authority_mismatch", false),
        (expectation, Refusal::ExpectationUnknown, "expectation_unknown", false),
    ];
    for (head, refusal, class, defensive_too) in cases {
        assert_eq!(refusal_of(head.as_bytes(), &LIMITS, Mode::Strict), Some(*refusal));
        let defensive = refusal_of(head.as_bytes(), &LIMITS, Mode::Defensive);
        assert_eq!(defensive.is_none(), *defensive_too, "{class}");
        passes(head.as_bytes(), Mode::Monitor, |head| {
            assert_eq!(head.anomaly, Some(*class));
            assert!(!head.expect_continue);
            assert_eq!(head.host, head.target.authority.unwrap_or(b"a"));
        });
    }
    passes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Mode::Monitor, |head| {
        assert_eq!(head.anomaly, None);
    });
}
