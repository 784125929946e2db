//! The limits on a head, and that a head that is refused already is not awaited further.

use crate::http1::head::tests::*;

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
fn a_method_that_nobody_implements_is_too_long_and_not_the_target() {
    use Refusal::*;
    let roomy = HeadLimits { request_line_bytes: 256, ..SMALL };
    let method = |bytes: usize| format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(bytes));
    let cases: &[(String, Option<Refusal>)] = &[
        (method(64), None),
        (method(65), Some(MethodTooLong)),
        (method(300), Some(MethodTooLong)),
        ("M".repeat(300), Some(MethodTooLong)),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(300)), Some(RequestLineTooLong)),
        (format!("GET / HTTP/1.1{}", "x".repeat(300)), Some(BadRequestLine)),
        (format!("{} /", "<".repeat(300)), Some(BadMethod)),
    ];
    for (head, expected) in cases {
        assert_eq!(refusal_of(head.as_bytes(), &roomy, Mode::Strict), *expected, "{head:?}");
    }
}

#[test]
fn a_limit_that_is_passed_refuses_without_waiting_for_more() {
    let cases: [(String, Refusal); 5] = [
        (format!("GET /{}", "x".repeat(28)), Refusal::RequestLineTooLong),
        ("x".repeat(33), Refusal::MethodTooLong),
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
