//! Chunk framing that is refused. The head before it may be on its way already, so what counts is
//! that the target never gets a whole request and nothing that was hidden in the content.

use super::{Attack, Send, assert_all_right, outcomes, serving};
use crate::support::Target;

const BAD: &[u16] = &[400];

macro_rules! chunked {
    ($content:literal) => {
        concat!(
            "POST /attack HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n\r\n",
            $content
        )
        .as_bytes()
    };
}

const SIZES: &[Attack] = &[
    ("empty size", chunked!("\r\nhello\r\n0\r\n\r\n"), BAD),
    ("only an extension", chunked!(";x=1\r\nhello\r\n0\r\n\r\n"), BAD),
    ("negative size", chunked!("-5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("positive size", chunked!("+5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("prefixed size", chunked!("0x5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("underscore", chunked!("0_5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("space before", chunked!(" 5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("tab before", chunked!("\t5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("no hexadecimal digit", chunked!("g\r\nhello\r\n0\r\n\r\n"), BAD),
    ("a word behind", chunked!("5 5\r\nhello\r\n0\r\n\r\n"), BAD),
    ("NUL behind", chunked!("5\0\r\nhello\r\n0\r\n\r\n"), BAD),
    ("one past u64", chunked!("10000000000000000\r\nhello\r\n0\r\n\r\n"), BAD),
    ("wraps to five", chunked!("10000000000000005\r\nhello\r\n0\r\n\r\n"), BAD),
    ("far past u64", chunked!("ffffffffffffffffffffffff\r\nhello\r\n0\r\n\r\n"), BAD),
];

const LINE_ENDS: &[Attack] = &[
    ("bare LF behind the size", chunked!("5\nhello\r\n0\r\n\r\n"), BAD),
    ("bare CR behind the size", chunked!("5\rhello\r\n0\r\n\r\n"), BAD),
    ("CR CR LF behind the size", chunked!("5\r\r\nhello\r\n0\r\n\r\n"), BAD),
    ("bare LF in an extension", chunked!("5;x\nhello\r\n0\r\n\r\n"), BAD),
    ("bare CR in an extension", chunked!("5;x\ry\r\nhello\r\n0\r\n\r\n"), BAD),
    ("NUL in an extension", chunked!("5;x\0\r\nhello\r\n0\r\n\r\n"), BAD),
    ("bare LF behind the content", chunked!("5\r\nhello\n0\r\n\r\n"), BAD),
    ("nothing behind the content", chunked!("5\r\nhello0\r\n\r\n"), BAD),
    ("content longer than said", chunked!("4\r\nhello\r\n0\r\n\r\n"), BAD),
    ("two line ends behind the content", chunked!("5\r\nhello\r\n\r\n0\r\n\r\n"), BAD),
    ("bare LF behind the last chunk", chunked!("5\r\nhello\r\n0\n\r\n"), BAD),
    ("bare LF at the very end", chunked!("5\r\nhello\r\n0\r\n\n"), BAD),
    ("bare LF in a trailer line", chunked!("0\r\nX-Y: z\n\r\n"), BAD),
];

const TRAILERS: &[Attack] = &[
    ("a length", chunked!("0\r\nContent-Length: 5\r\n\r\n"), BAD),
    ("a coding", chunked!("0\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD),
    ("a host", chunked!("0\r\nHost: evil.test\r\n\r\n"), BAD),
    ("space before the colon", chunked!("0\r\nX-Y : z\r\n\r\n"), BAD),
    ("folded", chunked!("0\r\nX-Y: a\r\n b\r\n\r\n"), BAD),
    ("no colon", chunked!("0\r\ngarbage\r\n\r\n"), BAD),
    ("no name", chunked!("0\r\n: z\r\n\r\n"), BAD),
    ("NUL in a value", chunked!("0\r\nX-Y: a\0b\r\n\r\n"), BAD),
    ("bare CR in a value", chunked!("0\r\nX-Y: a\rb\r\n\r\n"), BAD),
    ("a request line", chunked!("0\r\nGET /smuggled HTTP/1.1\r\nX: y\r\n\r\n"), BAD),
];

#[track_caller]
fn assert_refused(attacks: &[Attack], send: Send) {
    let (mut limpet, target) = serving();
    assert_all_right(&outcomes(&limpet, attacks, send));
    assert_eq!(limpet.get("/probe").status, 200);
    limpet.stop();
    assert_only_the_probe_is_whole(&target);
}

#[track_caller]
fn assert_only_the_probe_is_whole(target: &Target) {
    target.wait_until_idle();
    let whole: Vec<String> = target.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(whole, ["/probe"]);
    for bytes in target.received() {
        assert!(!bytes.contains("/smuggled"), "hidden bytes reached the target: {bytes:?}");
    }
}

#[test]
fn bad_chunk_sizes_are_refused() {
    assert_refused(SIZES, Send::Whole);
}

#[test]
fn bad_chunk_sizes_that_drip_in_are_refused() {
    assert_refused(SIZES, Send::ByteByByte);
}

#[test]
fn bad_line_ends_in_chunk_framing_are_refused() {
    assert_refused(LINE_ENDS, Send::Whole);
}

#[test]
fn bad_line_ends_in_chunk_framing_that_drip_in_are_refused() {
    assert_refused(LINE_ENDS, Send::ByteByByte);
}

#[test]
fn trailers_that_frame_or_route_are_refused() {
    assert_refused(TRAILERS, Send::Whole);
}

#[test]
fn trailers_that_frame_or_route_and_drip_in_are_refused() {
    assert_refused(TRAILERS, Send::ByteByByte);
}

#[test]
fn chunk_extensions_over_a_small_limit_are_refused() {
    let (mut limpet, target) = serving();
    for size in [300, 5_000, 100_000] {
        let extension = "x".repeat(size);
        let mut client = limpet.client();
        client.send(format!(
            "POST /attack HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n\r\n5;{extension}\r\nhello\r\n0\r\n\r\n"
        ));
        assert_eq!(client.response().status, 400, "{size}");
        client.assert_closed();
    }
    assert_eq!(limpet.get("/probe").status, 200);
    limpet.stop();
    assert_only_the_probe_is_whole(&target);
}

#[test]
fn an_endless_trailer_section_is_refused() {
    let (mut limpet, target) = serving();
    let lines = "X-Y: z\r\n".repeat(10_000);
    let mut client = limpet.client();
    client.send(format!(
        "POST /attack HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{lines}\r\n"
    ));
    assert!(matches!(client.response().status, 400 | 431));
    client.assert_closed();
    assert_eq!(limpet.get("/probe").status, 200);
    limpet.stop();
    assert_only_the_probe_is_whole(&target);
}
