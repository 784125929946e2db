//! Heads that are refused before a byte is forwarded.

use super::{Attack, Send, assert_all_right, assert_nothing_but_the_probe, outcomes, serving};

const BAD: &[u16] = &[400];
/// A coding that is not known is 501; one that cannot be understood as a coding is 400.
const CODING: &[u16] = &[400, 501];

/// A request with Host and the given lines; `\r\n\r\n` follows.
macro_rules! post {
    ($lines:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: limpet.test\r\n", $lines, "\r\n\r\n").as_bytes()
    };
    ($lines:literal, $content:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: limpet.test\r\n", $lines, "\r\n\r\n", $content).as_bytes()
    };
}

macro_rules! line {
    ($line:literal) => {
        concat!($line, "\r\nHost: limpet.test\r\n\r\n").as_bytes()
    };
}

macro_rules! hosts {
    ($lines:literal) => {
        concat!("GET / HTTP/1.1\r\n", $lines, "\r\n\r\n").as_bytes()
    };
}

const CONTENT_LENGTH: &[Attack] = &[
    (
        "length and coding",
        post!("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        BAD,
    ),
    (
        "coding and length",
        post!("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
        BAD,
    ),
    ("length zero and coding", post!("Content-Length: 0\r\nTransfer-Encoding: chunked"), BAD),
    (
        "length and unknown coding",
        post!("Content-Length: 5\r\nTransfer-Encoding: x", "hello"),
        CODING,
    ),
    ("two equal lengths", post!("Content-Length: 5\r\nContent-Length: 5", "hello"), BAD),
    ("two lengths", post!("Content-Length: 5\r\nContent-Length: 6", "hello"), BAD),
    ("two lengths, one empty", post!("Content-Length: 5\r\nContent-Length:", "hello"), BAD),
    ("two lengths in two cases", post!("Content-Length: 0\r\ncontent-LENGTH: 5", "hello"), BAD),
    ("an equal list", post!("Content-Length: 5, 5", "hello"), BAD),
    ("an equal list without space", post!("Content-Length: 5,5", "hello"), BAD),
    ("a list", post!("Content-Length: 5, 6", "hello"), BAD),
    ("a list with an empty member", post!("Content-Length: 5,", "hello"), BAD),
    ("an empty length", post!("Content-Length:"), BAD),
    ("a positive length", post!("Content-Length: +5", "hello"), BAD),
    ("a negative length", post!("Content-Length: -5", "hello"), BAD),
    ("minus zero", post!("Content-Length: -0"), BAD),
    ("a hexadecimal length", post!("Content-Length: 0x5", "hello"), BAD),
    ("a fraction", post!("Content-Length: 5.0", "hello"), BAD),
    ("an exponent", post!("Content-Length: 5e0", "hello"), BAD),
    ("an underscore", post!("Content-Length: 1_0", "hellohello"), BAD),
    ("two numbers", post!("Content-Length: 5 5", "hello"), BAD),
    ("a quoted length", post!("Content-Length: \"5\"", "hello"), BAD),
    ("a parameter", post!("Content-Length: 5;x=1", "hello"), BAD),
    ("one past u64", post!("Content-Length: 18446744073709551616"), BAD),
    ("wraps to five", post!("Content-Length: 18446744073709551621", "hello"), BAD),
    ("far past u64", post!("Content-Length: 99999999999999999999999999999999999"), BAD),
    ("vertical tab", post!("Content-Length: \x0b5", "hello"), BAD),
    ("form feed", post!("Content-Length: 5\x0c", "hello"), BAD),
];

const TRANSFER_CODING: &[Attack] = &[
    ("chunked twice in a list", post!("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"), BAD),
    (
        "chunked twice in lines",
        post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        BAD,
    ),
    (
        "chunked, then identity",
        post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n"),
        CODING,
    ),
    ("chunked not last", post!("Transfer-Encoding: chunked, gzip", "0\r\n\r\n"), CODING),
    ("gzip before chunked", post!("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), CODING),
    ("identity", post!("Transfer-Encoding: identity", "0\r\n\r\n"), CODING),
    ("an unknown coding", post!("Transfer-Encoding: cow", "0\r\n\r\n"), CODING),
    ("a longer word", post!("Transfer-Encoding: chunkedx", "0\r\n\r\n"), CODING),
    ("a word before", post!("Transfer-Encoding: xchunked", "0\r\n\r\n"), CODING),
    ("chunked with a parameter", post!("Transfer-Encoding: chunked;q=1", "0\r\n\r\n"), CODING),
    ("chunked in quotes", post!("Transfer-Encoding: \"chunked\"", "0\r\n\r\n"), CODING),
    ("an empty coding", post!("Transfer-Encoding:", "0\r\n\r\n"), CODING),
    ("an empty list member", post!("Transfer-Encoding: ,chunked", "0\r\n\r\n"), CODING),
    ("two words", post!("Transfer-Encoding: chunked identity", "0\r\n\r\n"), CODING),
    ("vertical tab before", post!("Transfer-Encoding: \x0bchunked", "0\r\n\r\n"), BAD),
    ("vertical tab after", post!("Transfer-Encoding: chunked\x0b", "0\r\n\r\n"), BAD),
    ("NUL after", post!("Transfer-Encoding: chunked\0", "0\r\n\r\n"), BAD),
    (
        "a coding in HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
];

const FIELD_LINES: &[Attack] = &[
    ("folded value", post!("X-Y: a\r\n b"), BAD),
    ("value folded with a tab", post!("X-Y: a\r\n\tb"), BAD),
    ("folded coding", post!("Transfer-Encoding:\r\n chunked", "0\r\n\r\n"), BAD),
    ("fold in place of the first field", b"GET / HTTP/1.1\r\n Host: limpet.test\r\n\r\n", BAD),
    ("space before the colon", post!("X-Y : z"), BAD),
    ("tab before the colon", post!("X-Y\t: z"), BAD),
    ("space before a length's colon", post!("Content-Length : 5", "hello"), BAD),
    ("space before a coding's colon", post!("Transfer-Encoding : chunked", "0\r\n\r\n"), BAD),
    ("space before the host's colon", b"GET / HTTP/1.1\r\nHost : limpet.test\r\n\r\n", BAD),
    ("no colon", post!("garbage"), BAD),
    ("no name", post!(": z"), BAD),
    ("a space in the name", post!("X Y: z"), BAD),
    ("a parenthesis in the name", post!("X(Y): z"), BAD),
    ("a quote in the name", post!("\"X\": z"), BAD),
    ("a slash in the name", post!("X/Y: z"), BAD),
    ("NUL in the name", post!("X\0Y: z"), BAD),
    ("DEL in the name", post!("X\x7fY: z"), BAD),
    (
        "a byte past ASCII in the name",
        b"GET / HTTP/1.1\r\nHost: limpet.test\r\nX\xe9: z\r\n\r\n",
        BAD,
    ),
    ("NUL in a value", post!("X-Y: a\0b"), BAD),
    ("a control in a value", post!("X-Y: a\x01b"), BAD),
    ("escape in a value", post!("X-Y: a\x1bb"), BAD),
    ("DEL in a value", post!("X-Y: a\x7fb"), BAD),
    ("bare CR in a value", post!("X-Y: a\rb"), BAD),
    ("bare CR before a field", post!("X-Y: a\rTransfer-Encoding: chunked", "0\r\n\r\n"), BAD),
    ("bare LF in a value", post!("X-Y: a\nb"), BAD),
    ("bare LF before a field", post!("X-Y: a\nTransfer-Encoding: chunked", "0\r\n\r\n"), BAD),
    ("CR CR LF", b"GET / HTTP/1.1\r\nHost: limpet.test\r\r\n\r\n", BAD),
    ("bare LF after the request line", b"GET / HTTP/1.1\nHost: limpet.test\r\n\r\n", BAD),
    ("bare LF after a field", b"GET / HTTP/1.1\r\nHost: limpet.test\nX-Y: z\r\n\r\n", BAD),
    ("bare LF as the empty line", b"GET / HTTP/1.1\r\nHost: limpet.test\r\n\n", BAD),
    ("bare LF everywhere", b"GET / HTTP/1.1\nHost: limpet.test\n\n", BAD),
    ("bare CR after the request line", b"GET / HTTP/1.1\rHost: limpet.test\r\n\r\n", BAD),
];

const REQUEST_LINE: &[Attack] = &[
    ("two spaces before the target", line!("GET  / HTTP/1.1"), BAD),
    ("two spaces before the version", line!("GET /  HTTP/1.1"), BAD),
    ("a tab between", line!("GET\t/ HTTP/1.1"), BAD),
    ("a space before the method", line!(" GET / HTTP/1.1"), BAD),
    ("a space after the version", line!("GET / HTTP/1.1 "), BAD),
    ("a space in the target", line!("GET /a b HTTP/1.1"), BAD),
    ("no method", line!("/ HTTP/1.1"), BAD),
    ("a method that is no token", line!("G<T / HTTP/1.1"), BAD),
    ("no slash", line!("GET x HTTP/1.1"), BAD),
    ("only a query", line!("GET ?x HTTP/1.1"), BAD),
    ("asterisk for GET", line!("GET * HTTP/1.1"), BAD),
    ("authority for GET", line!("GET limpet.test:80 HTTP/1.1"), BAD),
    ("absolute without authority", line!("GET http:///x HTTP/1.1"), BAD),
    ("absolute with another scheme", line!("GET ftp://limpet.test/ HTTP/1.1"), BAD),
    ("a control in the target", line!("GET /\x01 HTTP/1.1"), BAD),
    ("NUL in the target", line!("GET /\0 HTTP/1.1"), BAD),
    ("DEL in the target", line!("GET /\x7f HTTP/1.1"), BAD),
    ("bare CR in the target", line!("GET /\rx HTTP/1.1"), BAD),
    ("a fragment", line!("GET /x#y HTTP/1.1"), BAD),
    ("a byte past ASCII in the target", b"GET /\xe9 HTTP/1.1\r\nHost: limpet.test\r\n\r\n", BAD),
    ("user information", line!("GET http://evil@limpet.test/ HTTP/1.1"), BAD),
    ("bad percent-encoding", line!("GET /%zz HTTP/1.1"), BAD),
    ("cut percent-encoding", line!("GET /%2 HTTP/1.1"), BAD),
    ("encoded NUL", line!("GET /%00 HTTP/1.1"), BAD),
    ("above the root", line!("GET /../x HTTP/1.1"), BAD),
    ("above the root, encoded", line!("GET /a/%2e%2e/%2E%2e/x HTTP/1.1"), BAD),
    ("no version", b"GET /\r\n\r\n", BAD),
    ("half a version", line!("GET / HTTP/1"), BAD),
    ("lower-case version", line!("GET / http/1.1"), BAD),
    ("another protocol", line!("GET / ICAP/1.1"), BAD),
    ("a longer version", line!("GET / HTTP/1.10"), BAD),
    ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh\r\n\r\n", BAD),
    ("major version 2", line!("GET / HTTP/2.0"), &[505]),
    ("major version 3", line!("GET / HTTP/3.0"), &[505]),
    ("major version 0", line!("GET / HTTP/0.9"), &[505]),
    ("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400, 505]),
    ("TRACE", line!("TRACE / HTTP/1.1"), &[405]),
    ("CONNECT", line!("CONNECT limpet.test:443 HTTP/1.1"), &[405]),
];

const HOST: &[Attack] = &[
    ("no host", hosts!("X-Y: z"), BAD),
    ("two equal hosts", hosts!("Host: limpet.test\r\nHost: limpet.test"), BAD),
    ("two hosts", hosts!("Host: limpet.test\r\nHost: evil.test"), BAD),
    ("two hosts in two cases", hosts!("Host: limpet.test\r\nhOST: evil.test"), BAD),
    ("an empty host", hosts!("Host:"), BAD),
    ("a list", hosts!("Host: limpet.test, evil.test"), BAD),
    ("a space", hosts!("Host: limpet test"), BAD),
    ("a path", hosts!("Host: limpet.test/x"), BAD),
    ("user information", hosts!("Host: evil@limpet.test"), BAD),
    ("a scheme", hosts!("Host: http://limpet.test"), BAD),
    ("a query", hosts!("Host: limpet.test?x"), BAD),
    ("a fragment", hosts!("Host: limpet.test#x"), BAD),
    ("a port that is none", hosts!("Host: limpet.test:x"), BAD),
    ("a port past 65535", hosts!("Host: limpet.test:99999"), BAD),
    ("two ports", hosts!("Host: limpet.test:80:80"), BAD),
    ("an open bracket", hosts!("Host: [::1"), BAD),
    ("a word in brackets", hosts!("Host: [limpet]"), BAD),
    ("authority disagrees", b"GET http://evil.test/ HTTP/1.1\r\nHost: limpet.test\r\n\r\n", BAD),
    (
        "authority's port disagrees",
        b"GET http://limpet.test:81/ HTTP/1.1\r\nHost: limpet.test\r\n\r\n",
        BAD,
    ),
    ("authority without host", b"GET http://limpet.test/ HTTP/1.1\r\n\r\n", BAD),
];

macro_rules! refused {
    ($name:ident, $attacks:expr, $send:expr) => {
        #[test]
        fn $name() {
            let (limpet, target) = serving();
            let wrong = outcomes(&limpet, $attacks, $send);
            assert_all_right(&wrong);
            assert_nothing_but_the_probe(limpet, &target);
        }
    };
}

refused!(ambiguous_content_lengths_are_refused, CONTENT_LENGTH, Send::Whole);
refused!(ambiguous_transfer_codings_are_refused, TRANSFER_CODING, Send::Whole);
refused!(malformed_field_lines_are_refused, FIELD_LINES, Send::Whole);
refused!(malformed_request_lines_are_refused, REQUEST_LINE, Send::Whole);
refused!(missing_repeated_and_invalid_hosts_are_refused, HOST, Send::Whole);
refused!(ambiguous_content_lengths_that_drip_in_are_refused, CONTENT_LENGTH, Send::ByteByByte);
refused!(ambiguous_transfer_codings_that_drip_in_are_refused, TRANSFER_CODING, Send::ByteByByte);
refused!(malformed_field_lines_that_drip_in_are_refused, FIELD_LINES, Send::ByteByByte);
refused!(malformed_request_lines_that_drip_in_are_refused, REQUEST_LINE, Send::ByteByByte);
refused!(invalid_hosts_that_drip_in_are_refused, HOST, Send::ByteByByte);

#[test]
fn no_mode_relaxes_framing() {
    use crate::support::{Target, config, group, listener};
    for mode in ["defensive", "monitor"] {
        let target = Target::echo("a");
        let limpet = config()
            .group(group("app").target("a", &target))
            .listener(listener("web").set("mode", mode))
            .start();
        let mut wrong = outcomes(&limpet, CONTENT_LENGTH, Send::Whole);
        wrong.extend(outcomes(&limpet, TRANSFER_CODING, Send::Whole));
        assert_all_right(&wrong);
        assert_nothing_but_the_probe(limpet, &target);
    }
}

#[test]
fn a_refusal_of_a_method_names_the_allowed_ones() {
    let (limpet, _target) = serving();
    let answer = limpet.client().send(line!("TRACE / HTTP/1.1")).response();
    // RFC 9110 §15.5.6: a 405 carries Allow.
    assert_eq!(answer.status, 405);
    assert!(answer.fields.has("allow"), "{}", answer.head);
}

#[test]
fn a_refusal_is_small_framed_by_length_and_without_a_banner() {
    let (limpet, _target) = serving();
    let answer = limpet.client().send("GET / HTTP/1.1\r\n\r\n").response();
    assert_eq!(answer.status, 400);
    assert!(answer.fields.one("content-length").is_some(), "{}", answer.head);
    assert!(!answer.fields.has("server"), "{}", answer.head);
    assert!(!answer.head.to_ascii_lowercase().contains("limpet"), "{}", answer.head);
    assert!(answer.content.len() < 512);
}

#[test]
fn a_refusal_behind_a_good_request_leaves_the_good_one_its_response() {
    let (limpet, target) = serving();
    let mut client = limpet.client();
    client.send(
        "GET /good HTTP/1.1\r\nHost: limpet.test\r\n\r\nGET /bad HTTP/1.1\r\nHost : x\r\n\r\nGET /never HTTP/1.1\r\nHost: limpet.test\r\n\r\n",
    );
    assert_eq!(client.response().echo().path, "/good");
    assert_eq!(client.response().status, 400);
    client.assert_closed();
    assert_eq!(target.request_count(), 1);
}
