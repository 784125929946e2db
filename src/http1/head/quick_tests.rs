use super::super::*;
use crate::http1::fields::Field;

const LIMITS: HeadLimits =
    HeadLimits { request_line_bytes: 40, field_line_bytes: 40, head_bytes: 240, field_count: 7 };

const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "POST /a?b=c HTTP/1.1\r\nHost: example.com:80\r\nContent-Length: 10\r\n\r\n0123456789",
    "OPTIONS * HTTP/1.1\r\nhost:a\r\nAccept:\t*/* \t\r\nX: \r\nY:  \t \r\nZ:\r\n\r\n",
    "M-x http://a/b HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=\"d e\"\r\nTE: trailers\r\n\r\n",
    "PUT /0123456789012345678901234 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade, x-y\r\nUpgrade: websocket\r\nX-Y: 1\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent_Length: 1\r\nX-Forwarded_For: 1\r\nA: caf\u{e9}\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nB: 0123456789012345678901234567890123456\r\n\r\nGET / HTTP/1.1\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\n1: 2\r\n2: 3\r\n3: 4\r\n4: 5\r\n5: 6\r\n6: 7\r\n\r\n",
];

const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200\r\n\r\n",
    "HTTP/1.0 404 \r\nConnection: close\r\nKeep-Alive: timeout=5\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x00",
    "HTTP/1.1 599 caf\u{e9}\tand tea\r\nTransfer-Encoding: chunked\r\nDate: x\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nCache-Control: no-store\r\nSet-Cookie: a=b; Path=/\r\n\r\n",
];

/// Bytes that mean something somewhere in a head, and some that mean nothing.
const BYTES: &[u8] = b"\0\t\n\x0b\r\x1f !#,-.019:;?@AHGTaz_~\x7f\x80\xe9\xff";

/// The head with each byte taken out, doubled, and turned into each of [`BYTES`]; and each beginning of it.
fn each_change(head: &[u8], mut with: impl FnMut(&[u8])) {
    for at in 0..head.len() {
        with(&head[..at]);
        let (before, after) = head.split_at(at);
        with(&[before, &after[1..]].concat());
        with(&[before, &after[..1], after].concat());
        for byte in BYTES {
            with(&[before, &[*byte], &after[1..]].concat());
            with(&[before, &[*byte], after].concat());
        }
    }
    with(head);
}

/// Where each name and value stands.
fn places(buf: &[u8], fields: &Fields<'_>) -> Vec<(usize, usize, usize)> {
    let place = |field: &Field<'_>| {
        (offset_in(buf, field.name), offset_in(buf, field.value), field.value.len())
    };
    fields.iter().map(place).collect()
}

#[test]
fn requests_are_read_as_the_thorough_way_reads_them() {
    let mut quick_ones = 0;
    for head in REQUESTS {
        each_change(head.as_bytes(), |buf| {
            for mode in [Mode::Strict, Mode::Monitor] {
                let (mut quick, mut thorough) = (Fields::new(), Fields::new());
                let is_quick =
                    quick::request(buf, &LIMITS, &mut quick, &mut Collected::default()).is_some();
                let parsed = format!("{:?}", parse_request(buf, &LIMITS, mode, &mut quick));
                let expected = format!("{:?}", thorough_request(buf, &LIMITS, mode, &mut thorough));
                assert_eq!(parsed, expected, "{:?}", String::from_utf8_lossy(buf));
                if parsed.starts_with("Ok(Complete") {
                    let lossy = String::from_utf8_lossy(buf);
                    assert_eq!(places(buf, &quick), places(buf, &thorough), "{lossy:?}");
                    quick_ones += usize::from(is_quick);
                }
            }
        });
    }
    assert!(quick_ones > 10_000, "{quick_ones} were read the quick way");
}

#[test]
fn responses_are_read_as_the_thorough_way_reads_them() {
    let mut quick_ones = 0;
    for head in RESPONSES {
        each_change(head.as_bytes(), |buf| {
            let (mut quick, mut thorough) = (Fields::new(), Fields::new());
            let is_quick =
                quick::response(buf, &LIMITS, &mut quick, &mut Collected::default()).is_some();
            let method = Method::Get;
            let parsed = format!("{:?}", parse_response(buf, &LIMITS, method, &mut quick));
            let expected = format!("{:?}", thorough_response(buf, &LIMITS, method, &mut thorough));
            assert_eq!(parsed, expected, "{:?}", String::from_utf8_lossy(buf));
            if parsed.starts_with("Ok(Complete") {
                let lossy = String::from_utf8_lossy(buf);
                assert_eq!(places(buf, &quick), places(buf, &thorough), "{lossy:?}");
                quick_ones += usize::from(is_quick);
            }
        });
    }
    assert!(quick_ones > 5_000, "{quick_ones} were read the quick way");
}

/// What browsers, tools and targets write goes the quick way.
#[test]
fn usual_heads_go_the_quick_way() {
    let wide = HeadLimits {
        request_line_bytes: 8192,
        field_line_bytes: 8192,
        head_bytes: 65_536,
        field_count: 64,
    };
    for head in REQUESTS {
        let mut fields = Fields::new();
        let mut collected = Collected::default();
        let line = quick::request(head.as_bytes(), &wide, &mut fields, &mut collected);
        assert!(line.is_some(), "{head:?}");
    }
    for head in RESPONSES {
        let mut fields = Fields::new();
        let mut collected = Collected::default();
        let line = quick::response(head.as_bytes(), &wide, &mut fields, &mut collected);
        assert!(line.is_some(), "{head:?}");
    }
}
