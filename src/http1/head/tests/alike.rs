//! A request is judged alike in the form of HTTP/1.1 and in that of HTTP/2 (pseudo-fields, names in lower case).

use crate::http::fields::Field;
use crate::http::head::{RequestHead, RequestTarget};
use crate::http::judge::{Asked, Judged, Target, request};
use crate::http::notes::{self, Notes};
use crate::http1::head::tests::*;
use crate::http2;
use crate::http2::hpack::block::{Block, Limits};
use crate::http2::hpack::decoder::Decoder;
use crate::http2::hpack::encoder::{Encoder, Indexing, RequestPseudo};

/// A request, independent of its version.
#[derive(Clone, Copy)]
struct Row<'r> {
    method: &'r str,
    authority: &'r str,
    path: &'r str,
    /// In lower case, as HTTP/2 has them.
    fields: &'r [(&'r str, &'r str)],
}

/// The result: the judgement, and the names of the fields that are dropped.
type Outcome = Result<(String, Vec<String>), Refusal>;

fn dropped(fields: &[Field<'_>]) -> Vec<String> {
    let names = fields.iter().filter(|field| field.drop).map(|field| field.name);
    names.map(|name| String::from_utf8_lossy(name).to_lowercase()).collect()
}

/// The meaning of a head, without its form.
fn told<'b>(head: &RequestHead<'_, 'b>) -> Judged<'b> {
    Judged {
        method: head.method,
        target: RequestTarget { authority: None, ..head.target },
        host: head.host,
        content: head.content,
        expect_continue: head.expect_continue,
        te_trailers: head.te_trailers,
        anomaly: head.anomaly,
    }
}

/// In the form of HTTP/1.1: a request line, Host, names in another case.
fn as_http1(row: &Row<'_>, mode: Mode) -> Outcome {
    let mut text = format!("{} {} HTTP/1.1\r\nHOST: {}\r\n", row.method, row.path, row.authority);
    for (name, value) in row.fields {
        text.push_str(&format!("{}: {value}\r\n", name.to_uppercase()));
    }
    text.push_str("\r\n");
    let mut fields = Fields::new();
    match parse_request(text.as_bytes(), &LIMITS, mode, &mut fields)? {
        Parsed::Partial => panic!("{text:?} is not whole"),
        Parsed::Complete(head) => Ok((format!("{:?}", told(&head)), dropped(head.fields))),
    }
}

/// In the form of HTTP/2: coded, decoded and judged. END_STREAM stands where no length is named.
fn as_http2(row: &Row<'_>, mode: Mode) -> Outcome {
    let encoder = Encoder::default();
    let mut coded = Vec::new();
    let pseudo = RequestPseudo {
        method: row.method.as_bytes(),
        scheme: b"http",
        authority: row.authority.as_bytes(),
        path: [row.path.as_bytes(), b"", b""],
        protocol: None,
    };
    encoder.request(&pseudo, &mut coded);
    for (name, value) in row.fields {
        encoder.field(name.as_bytes(), value.as_bytes(), Indexing::Allowed, &mut coded);
    }
    let limits = Limits { list_bytes: 1 << 16, field_count: 128, list_bytes_max: 1 << 18 };
    let mut block = Block::default();
    Decoder::default().decode(&coded, true, &limits, &mut block).expect("a valid block");
    let ends = row.fields.iter().all(|(name, _)| *name != "content-length");
    let mut fields = Fields::new();
    let head = http2::head::request(&block, ends, &LIMITS, mode, &mut fields)?.head;
    Ok((format!("{:?}", told(&head)), dropped(head.fields)))
}

#[test]
fn a_request_is_judged_alike_in_either_form() {
    use Refusal::*;
    let row = Row { method: "POST", authority: "shop.example:8080", path: "/a?b=c", fields: &[] };
    let with = |fields| Row { fields, ..row };
    let long = "x".repeat(17 * 1024);
    let long_line = [("x", &*long)];
    let long_method = "M".repeat(65);
    let rows: &[(Row<'_>, Option<Refusal>)] = &[
        (row, None),
        (Row { method: "OPTIONS", path: "*", ..row }, None),
        (Row { path: "/%7e/?", ..row }, None),
        (Row { authority: "[2001:db8::1]:443", ..row }, None),
        (Row { method: "PROPFIND", ..row }, None),
        (Row { method: "TRACE", ..row }, Some(MethodNotAllowed)),
        (Row { method: &long_method, ..row }, Some(MethodTooLong)),
        (Row { path: "*", ..row }, Some(BadRequestTargetForm)),
        (Row { path: "a", ..row }, Some(BadRequestTargetForm)),
        (Row { path: "/a#b", ..row }, Some(BadRequestTarget)),
        (Row { path: "/caf\u{e9}", ..row }, Some(BadRequestTarget)),
        (Row { path: "/\u{1}", ..row }, Some(BadRequestTarget)),
        (Row { path: "/\u{7f}", ..row }, Some(BadRequestTarget)),
        (Row { authority: "", ..row }, Some(HostInvalid)),
        (Row { authority: "a,b", ..row }, Some(HostInvalid)),
        (Row { authority: "a:99999", ..row }, Some(HostInvalid)),
        (with(&[("content-length", "5")]), None),
        (with(&[("content-length", "05"), ("expect", "100-continue")]), None),
        (with(&[("content-length", "0"), ("expect", "100-continue")]), None),
        (with(&[("expect", "100-Continue")]), None),
        (with(&[("expect", "x")]), Some(ExpectationUnknown)),
        (with(&[("content-length", "5"), ("content-length", "5")]), Some(ContentLengthRepeated)),
        (with(&[("content-length", "5, 5")]), Some(ContentLengthList)),
        (with(&[("content-length", "+5")]), Some(ContentLengthInvalid)),
        (with(&[("content-length", "18446744073709551616")]), Some(ContentLengthOverflow)),
        (with(&[("te", "trailers")]), None),
        (with(&[("te", "Trailers"), ("cookie", "a=b")]), None),
        (with(&[("x_forwarded_for", "1.2.3.4"), ("content_length", "9"), ("x_y", "z")]), None),
        (with(&long_line), Some(FieldLineTooLong)),
    ];
    for (row, refusal) in rows {
        for mode in [Mode::Strict, Mode::Defensive, Mode::Monitor] {
            let told = format!("{} {} {:?} {mode:?}", row.method, row.path, row.fields.first());
            let found = as_http2(row, mode);
            assert_eq!(as_http1(row, mode), found, "{told:.200}");
            if mode == Mode::Strict {
                assert_eq!(found.err(), *refusal, "{told:.200}");
            }
        }
    }
}

/// The judgement of pseudo-fields with these lines behind them.
fn judged(
    target: Target<'_>,
    lines: &[(&'static str, &'static str)],
) -> Result<(String, String), Refusal> {
    let mut fields = Fields::new();
    let mut notes = Notes::default();
    for (name, value) in lines {
        let line = (name.as_bytes(), value.as_bytes(), name.len() + value.len() + 2);
        notes::push(line, &LIMITS, &mut fields, |id, value| notes.note(id, value))?;
    }
    let version = Version::Http2;
    let asked = Asked { version, method: b"GET", target, extended_connect: false };
    let content = || Ok(ContentLength::None);
    let judged = request(asked, &notes, content, Mode::Strict, &mut fields)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(judged.host), text(judged.target.path)))
}

#[test]
fn the_authority_and_host_of_pseudo_fields_agree() {
    let parts = |scheme, authority| Target::Parts { scheme, authority, path: b"/x" };
    let passes = |host: &str| Ok((host.to_owned(), "/x".to_owned()));
    assert_eq!(judged(parts(b"http", Some(b"a")), &[]), passes("a"));
    assert_eq!(judged(parts(b"http", None), &[("host", "a")]), passes("a"));
    assert_eq!(judged(parts(b"http", None), &[]), Err(Refusal::HostMissing));
    assert_eq!(judged(parts(b"http", Some(b"A:80")), &[("host", "a")]), passes("A:80"));
    assert_eq!(judged(parts(b"https", Some(b"a:443")), &[("host", "a")]), passes("a:443"));
    for (scheme, authority, host, refusal) in [
        (&b"http"[..], &b"a"[..], "b", Refusal::AuthorityMismatch),
        (b"http", b"a:443", "a", Refusal::AuthorityMismatch),
        (b"https", b"a:80", "a", Refusal::AuthorityMismatch),
        (b"http", b"a", "", Refusal::HostInvalid),
        (b"http", b"u@a", "a", Refusal::UserInfo),
        (b"ftp", b"a", "a", Refusal::BadRequestTargetForm),
        (b"", b"a", "a", Refusal::BadRequestTargetForm),
    ] {
        assert_eq!(judged(parts(scheme, Some(authority)), &[("host", host)]), Err(refusal));
    }
    let twice = [("host", "a"), ("host", "a")];
    assert_eq!(judged(parts(b"http", Some(b"a")), &twice), Err(Refusal::HostRepeated));
}

#[test]
fn a_path_of_pseudo_fields_may_hold_nothing_that_a_request_line_could_not() {
    for path in [&b""[..], b" /", b"http://a/", b"a", b"/ b", b"/\r\nX: y", b"/\xff", b"/a#b"] {
        let target = Target::Parts { scheme: b"http", authority: Some(b"a"), path };
        assert!(judged(target, &[]).is_err(), "{path:?}");
    }
}

#[test]
fn connect_passes_only_with_a_protocol_in_it() {
    let target = Target::Parts { scheme: b"http", authority: Some(b"a"), path: b"/chat" };
    for (extended_connect, passes) in [(false, false), (true, true)] {
        let version = Version::Http2;
        let asked = Asked { version, method: b"CONNECT", target, extended_connect };
        let content = || Ok(ContentLength::None);
        let judged = request(asked, &Notes::default(), content, Mode::Strict, &mut Fields::new());
        assert_eq!(judged.is_ok(), passes);
    }
}
