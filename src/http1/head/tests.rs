//! Every refusal with a raw head, and what passes, whole, at every split, byte by byte and with
//! trailing data.

use super::*;
use crate::http1::fields::FieldId;

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
    use RequestFraming::*;
    use Version::*;
    let cases: &[(&str, Version, RequestFraming, bool)] = &[
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
        ("DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n", Http11, Length(7), true),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n", Http11, Chunked, true),
    ];
    for (head, version, framing, persistent) in cases {
        passes(head.as_bytes(), Mode::Strict, |head| {
            assert_eq!(
                (head.version, head.framing, head.persistent),
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
        [("GET", Method::Get), ("get", Method::Other), ("PROPFIND", Method::Other)]
    {
        passes(format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), Mode::Strict, |head| {
            assert_eq!((head.method, head.method_name), (method, name.as_bytes()));
        });
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
        assert_eq!(head.framing, RequestFraming::None);
    });
}

#[test]
fn an_upgrade_needs_both_fields_and_is_never_h2c() {
    let cases: &[(&str, Option<&str>)] = &[
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", Some("websocket")),
        ("Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n", Some("websocket")),
        ("Upgrade: websocket\r\n", None),
        ("Connection: upgrade\r\n", None),
        ("Connection: upgrade\r\nUpgrade:\r\n", None),
        ("Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n", None),
        ("Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", None),
        ("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", None),
        ("Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: a\r\nUpgrade: websocket\r\n", None),
    ];
    for (lines, expected) in cases {
        passes(&with_fields(lines), Mode::Strict, |head| {
            assert_eq!(head.upgrade, expected.map(str::as_bytes), "{lines:?}");
        });
    }
    let old = b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    passes(old, Mode::Strict, |head| assert_eq!(head.upgrade, None));
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

#[test]
fn limits_hold_to_the_byte_whether_the_head_is_whole_or_not() {
    use Refusal::*;
    let line = |bytes: usize| format!("GET /{} HTTP/1.1", "x".repeat(bytes - 14));
    let field = |bytes: usize| format!("X: {}", "y".repeat(bytes - 3));
    let cases: &[(String, Option<Refusal>)] = &[
        (format!("{}\r\nHost: a\r\n\r\n", line(32)), None),
        (format!("{}\r\nHost: a\r\n\r\n", line(33)), Some(RequestLineTooLong)),
        (format!("{}\r\nHost: a\r\n{}\r\n\r\n", line(20), field(24)), None),
        (format!("{}\r\nHost: a\r\n{}\r\n\r\n", line(20), field(25)), Some(FieldLineTooLong)),
        (format!("{}\r\nHost: a\r\nA: 1\r\nB: 1\r\n\r\n", line(20)), None),
        (format!("{}\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\n\r\n", line(20)), Some(TooManyFields)),
        (format!("{}\r\nHost: abcdefgh\r\n{}\r\n{}\r\n\r\n", line(24), field(24), field(24)), None),
        (
            format!("{}\r\nHost: abcdefghi\r\n{}\r\n{}\r\n\r\n", line(24), field(24), field(24)),
            Some(HeadTooLong),
        ),
    ];
    for (head, expected) in cases {
        assert_eq!(refusal_of(head.as_bytes(), &SMALL, Mode::Strict), *expected, "{head:?}");
    }
    assert_eq!(cases[6].0.len(), SMALL.head_bytes);
}

#[test]
fn a_limit_that_is_passed_refuses_without_waiting_for_more() {
    let cases: [(String, Refusal); 5] = [
        (format!("GET /{}", "x".repeat(28)), Refusal::RequestLineTooLong),
        ("x".repeat(33), Refusal::RequestLineTooLong),
        (format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(22)), Refusal::FieldLineTooLong),
        (format!("GET / HTTP/1.1\r\n{}", "y".repeat(25)), Refusal::FieldLineTooLong),
        ("GET / HTTP/1.1\r\nA: 1\r\nB: 1\r\nC: 1\r\nD".to_owned(), Refusal::TooManyFields),
    ];
    for (start, expected) in &cases {
        let mut fields = Fields::new();
        let mut scan = HeadScan::default();
        let mut at = 0;
        while !scan.worth_parsing(&start.as_bytes()[..at], &SMALL) {
            let cut = parse_request(&start.as_bytes()[..at], &SMALL, Mode::Strict, &mut fields);
            assert!(cut.is_ok_and(|parsed| is_partial(&parsed)), "{start:?} at {at}");
            at += 1;
        }
        assert_eq!(at, start.len(), "{start:?}");
        let found = parse_request(start.as_bytes(), &SMALL, Mode::Strict, &mut fields).err();
        assert_eq!(found, Some(*expected), "{start:?}");
    }
}

#[test]
fn a_bare_line_end_or_a_nul_is_refused_as_soon_as_it_is_seen() {
    let cases: &[(&str, Refusal)] = &[
        ("GET / HTTP/1.1\n", Refusal::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\n", Refusal::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\rX", Refusal::BareCr),
        ("GET / HTTP/1.1\r\nHost: a\r\n\rX", Refusal::BareCr),
        ("GET / HTTP/1.1\r\nHost: a\0", Refusal::BadFieldValue),
        ("\u{16}\u{3}\u{1}\0", Refusal::BadMethod),
    ];
    for (start, expected) in cases {
        let mut fields = Fields::new();
        let mut scan = HeadScan::default();
        let last = start.len() - 1;
        for end in 0..=last {
            assert!(!scan.worth_parsing(&start.as_bytes()[..end], &LIMITS), "{start:?} at {end}");
        }
        assert!(scan.worth_parsing(start.as_bytes(), &LIMITS), "{start:?}");
        let found = parse_request(start.as_bytes(), &LIMITS, Mode::Strict, &mut fields).err();
        assert_eq!(found, Some(*expected), "{start:?}");
    }
}

#[test]
fn a_scan_starts_over_when_the_buffer_was_cut() {
    let mut scan = HeadScan::default();
    assert!(!scan.worth_parsing(b"GET / HTTP/1.1\r\nHost: a", &LIMITS));
    assert!(!scan.worth_parsing(b"GET / HT", &LIMITS));
    assert!(scan.worth_parsing(b"GET / HTTP/1.1\r\n\r\nGET", &LIMITS));
}

#[test]
fn empty_lines_before_a_request_are_few_and_crlf() {
    for (text, count) in [
        ("", 0),
        ("\r", 0),
        ("\n\n", 0),
        ("GET", 0),
        ("\r\nGET", 2),
        ("\r\n\r\n", 4),
        ("\r\n\n", 2),
        ("\r\n\r\n\r\n\r\n\r\n", 8),
    ] {
        assert_eq!(skip_empty_lines(text.as_bytes()), count, "{text:?}");
    }
    let mut fields = Fields::new();
    let half = parse_request(b"\r", &LIMITS, Mode::Strict, &mut fields);
    assert!(half.is_ok_and(|parsed| is_partial(&parsed)));
}

#[test]
fn a_field_count_beyond_the_storage_is_the_storage() {
    let limits = HeadLimits { field_count: usize::MAX, ..LIMITS };
    let head =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: 1\r\n".repeat(count - 1));
    assert_eq!(refusal_of(head(FIELD_COUNT_MAX).as_bytes(), &limits, Mode::Strict), None);
    let over = refusal_of(head(FIELD_COUNT_MAX + 1).as_bytes(), &limits, Mode::Strict);
    assert_eq!(over, Some(Refusal::TooManyFields));
}

/// Parses a response whole, cut everywhere and with trailing data.
fn response<R>(
    head: &[u8],
    method: Method,
    check: impl Fn(&ResponseHead<'_, '_>) -> R,
) -> Result<R, ResponseFault> {
    let mut longer = head.to_vec();
    longer.extend_from_slice(b"\0\r\ncontent");
    let mut fields = Fields::new();
    let whole = match parse_response(&longer, &LIMITS, method, &mut fields) {
        Ok(Parsed::Complete(parsed)) => {
            assert_eq!(parsed.raw, head);
            true
        }
        _ => false,
    };
    let mut fields = Fields::new();
    for end in 0..head.len() {
        let cut = parse_response(&head[..end], &LIMITS, method, &mut fields);
        let partial = cut.as_ref().is_ok_and(is_partial);
        assert!(if whole { partial } else { partial || cut.is_err() }, "cut at {end}");
    }
    match parse_response(head, &LIMITS, method, &mut fields)? {
        Parsed::Complete(parsed) => Ok(check(&parsed)),
        Parsed::Partial => panic!("partial: {:?}", String::from_utf8_lossy(head)),
    }
}

#[test]
fn invalid_responses_are_faults() {
    use ResponseFault::*;
    let cases: &[(&str, ResponseFault)] = &[
        ("HTP/1.1 200 OK\r\n\r\n", BadStatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", BadStatusLine),
        ("ICY 200 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.1\t200 OK\r\n\r\n", BadStatusLine),
        ("HTTP/11.1 200 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.7\t200 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", BadStatus),
        ("HTTP/1.1 20 OK\r\n\r\n", BadStatus),
        ("HTTP/1.1 2000 OK\r\n\r\n", BadStatus),
        ("HTTP/1.1 099 OK\r\n\r\n", BadStatus),
        ("HTTP/1.1 600 OK\r\n\r\n", BadStatus),
        ("HTTP/1.7 2x0 OK\r\n\r\n", BadStatus),
        ("HTTP/2.0 200 OK\r\n\r\n", VersionNotSupported),
        ("HTTP/0.9 200 OK\r\n\r\n", VersionNotSupported),
        ("HTTP/1.1 200 OK\n\r\n", BareLf),
        ("HTTP/1.1 200 OK\rX\r\n\r\n", BareCr),
        ("HTTP/1.1 200 OK\r\nX: 1\nY: 2\r\n\r\n", BareLf),
        ("HTTP/1.1 200 OK\r\nX: 1\rY\r\n\r\n", BareCr),
        ("HTTP/1.1 200 OK\r\nX: 1\0\r\n\r\n", BadFieldValue),
        ("HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n", ObsFold),
        ("HTTP/1.1 200 OK\r\nX : 1\r\n\r\n", SpaceBeforeColon),
        ("HTTP/1.1 200 OK\r\nX\r\n\r\n", BadFieldName),
        ("HTTP/1.1 200 OK\r\n: 1\r\n\r\n", BadFieldName),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            ContentLengthRepeated,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", ContentLengthInvalid),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", ContentLengthOverflow),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            ContentLengthAndTransferEncoding,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", TransferEncodingInvalid),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncodingInHttp10),
    ];
    for (head, expected) in cases {
        let found = response(head.as_bytes(), Method::Get, |_| ());
        assert_eq!(found, Err(*expected), "{head:?}");
    }
}

#[test]
fn responses_are_read_with_framing_and_persistence() {
    use ResponseFraming::*;
    let cases: &[(&str, Method, u16, &str, ResponseFraming, bool)] = &[
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Get, 200, "OK", Length(5), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Head, 200, "OK", None, true),
        ("HTTP/1.1 200 OK\r\n\r\n", Method::Get, 200, "OK", UntilClose, false),
        (
            "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n",
            Method::Get,
            200,
            "",
            Chunked,
            true,
        ),
        ("HTTP/1.1 204\r\n\r\n", Method::Get, 204, "", None, true),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            Method::Get,
            304,
            "Not Modified",
            None,
            true,
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", Method::Post, 100, "Continue", None, true),
        ("HTTP/1.3 200 OK\r\nContent-Length: 0\r\n\r\n", Method::Get, 200, "OK", Length(0), true),
        ("HTTP/1.3 599\r\nContent-Length: 0\r\n\r\n", Method::Get, 599, "", Length(0), true),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Method::Get, 200, "OK", Length(0), false),
        (
            "HTTP/1.0 200  OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
            Method::Get,
            200,
            " OK",
            Length(0),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            Method::Get,
            200,
            "OK",
            Length(0),
            false,
        ),
    ];
    for (head, method, status, reason, framing, persistent) in cases {
        let found = response(head.as_bytes(), *method, |parsed| {
            assert_eq!(parsed.reason, reason.as_bytes(), "{head:?}");
            (parsed.status, parsed.framing, parsed.persistent)
        });
        assert_eq!(found, Ok((*status, *framing, *persistent)), "{head:?}");
    }
    let latin =
        response(b"HTTP/1.1 200 Tr\xe8s bien\r\n\r\n", Method::Get, |head| head.reason.to_vec());
    assert_eq!(latin, Ok(b"Tr\xe8s bien".to_vec()));
}

#[test]
fn responses_tell_of_their_connection_and_cache() {
    let head = b"HTTP/1.1 101 x\r\nConnection: upgrade, x-a\r\nUpgrade: websocket\r\nX-A: 1\r\n\
                 Keep-Alive: max=5, Timeout=17\r\ncache-control: no-store\r\n\r\n";
    let found = response(head, Method::Get, |head| {
        let dropped = head.fields.iter().filter(|field| field.drop).count();
        (head.upgrade.map(<[u8]>::to_vec), head.keep_alive_s, head.has_cache_control, dropped)
    });
    assert_eq!(found, Ok((Some(b"websocket".to_vec()), Some(17), true, 4)));
    let plain = response(
        b"HTTP/1.1 101 x\r\nUpgrade: a\r\nKeep-Alive: timeout=x\r\n\r\n",
        Method::Get,
        |head| (head.upgrade.is_some(), head.keep_alive_s, head.has_cache_control),
    );
    assert_eq!(plain, Ok((false, None, false)));
}

#[test]
fn a_response_head_beyond_its_limits_is_a_fault_before_its_end() {
    let cases: [(String, ResponseFault); 4] = [
        (format!("HTTP/1.1 200 {}", "x".repeat(20)), ResponseFault::FieldLineTooLong),
        (format!("HTTP/1.1 200\r\nX: {}", "x".repeat(22)), ResponseFault::FieldLineTooLong),
        ("HTTP/1.1 200\r\nA:1\r\nB:1\r\nC:1\r\nD".to_owned(), ResponseFault::TooManyFields),
        (
            format!("HTTP/1.1 200 {0}\r\nX: {0}\r\nX: {0}\r\nX: {0}", "x".repeat(19)),
            ResponseFault::HeadTooLong,
        ),
    ];
    for (start, expected) in &cases {
        let mut fields = Fields::new();
        let found = parse_response(start.as_bytes(), &SMALL, Method::Get, &mut fields).err();
        assert_eq!(found, Some(*expected), "{start:?}");
    }
}
