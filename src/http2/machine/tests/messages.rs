//! Fields, lengths and field blocks, through the machine's bytes and the judgement of heads (RFC 9113 §8, RFC 7541).

use ErrorCode::*;

use super::clauses::Then::*;
use super::clauses::{run, table};
use super::wire::*;
use super::*;
use crate::http2::frame::{Kind, flags};

/// A request of these fields behind the usual pseudo-fields, without content.
fn with(lines: &[(&str, &str)]) -> Vec<u8> {
    headers(1, &[get_block(), block(lines)].concat(), true)
}

/// The same with content to come.
fn with_content(lines: &[(&str, &str)]) -> Vec<u8> {
    headers(1, &[post_block(), block(lines)].concat(), false)
}

#[test]
fn section_8_1_and_8_2_fields() {
    let without = |index: usize| {
        let mut pseudo =
            vec![(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
        pseudo.remove(index);
        headers(1, &block(&pseudo), true)
    };
    let path = |path: &str| {
        headers(1, &[&[0x82, 0x86, 0x01, 1, b'a'], &block(&[(":path", path)])[..]].concat(), true)
    };
    let mut rows = vec![
        (
            "8.1 a second head",
            vec![with_content(&[]), headers(1, &get_block(), false)],
            Reset(ProtocolError),
        ),
        ("8.1 pseudo-fields in trailers", vec![with_content(&[]), get(1)], Reset(ProtocolError)),
        (
            "8.1 trailers",
            vec![with_content(&[]), headers(1, &block(&[("x-a", "b")]), true)],
            Status("200"),
        ),
        ("8.2.1 upper case", vec![with(&[("X-A", "b")])], Reset(ProtocolError)),
        ("8.2.2 connection", vec![with(&[("connection", "close")])], Reset(ProtocolError)),
        ("8.2.2 te", vec![with(&[("te", "gzip")])], Reset(ProtocolError)),
        ("8.2.2 te: trailers", vec![with(&[("te", "trailers")])], Status("200")),
        ("8.3 unknown", vec![with(&[(":x", "y")])], Reset(ProtocolError)),
        ("8.3 of a response", vec![with(&[(":status", "200")])], Reset(ProtocolError)),
        (
            "8.3 late",
            vec![headers(1, &[block(&[("x-a", "b")]), get_block()].concat(), true)],
            Reset(ProtocolError),
        ),
        ("8.3 repeated", vec![with(&[(":method", "GET")])], Reset(ProtocolError)),
        ("8.3.1 path empty", vec![path("")], Reset(ProtocolError)),
        ("8.3.1 path with a fragment", vec![path("/#a")], Reset(ProtocolError)),
        (
            "8.5 plain CONNECT",
            vec![headers(1, &block(&[(":method", "CONNECT"), (":authority", "a:1")]), true)],
            Status("405"),
        ),
        (
            "8.4 PUSH_PROMISE",
            vec![get(1), frame(Kind::PushPromise, flags::END_HEADERS, 1, &[0, 0, 0, 2])],
            Goaway(ProtocolError),
        ),
    ];
    rows.extend(
        (0..3).map(|missing| ("8.3.1 missing", vec![without(missing)], Reset(ProtocolError))),
    );
    table(&rows);
}

#[test]
fn section_8_1_1_the_length_of_content() {
    let named = |length| with_content(&[("content-length", length)]);
    table(&[
        ("8.1.1 shorter", vec![named("4"), data(1, b"abc", true)], Reset(ProtocolError)),
        ("8.1.1 longer", vec![named("2"), data(1, b"abc", false)], Reset(ProtocolError)),
        (
            "8.1.1 of several",
            vec![named("4"), data(1, b"ab", false), data(1, b"c", true)],
            Reset(ProtocolError),
        ),
        (
            "8.1.1 exact",
            vec![named("4"), data(1, b"ab", false), data(1, b"cd", true)],
            Status("200"),
        ),
        (
            "8.1.1 and an empty end",
            vec![named("2"), data(1, b"ab", false), data(1, b"", true)],
            Status("200"),
        ),
        ("8.1.1 without content", vec![with(&[("content-length", "1")])], Reset(ProtocolError)),
        (
            "8.1.1 shorter, with trailers",
            vec![named("4"), data(1, b"abc", false), headers(1, &[], true)],
            Reset(ProtocolError),
        ),
        (
            "8.1.1 exact, with trailers",
            vec![named("4"), data(1, b"abcd", false), headers(1, &[], true)],
            Status("200"),
        ),
    ]);
}

#[test]
fn rfc_7541_blocks_that_cannot_be_decoded() {
    let faulty = |bytes: &[u8]| vec![headers(1, &[&get_block()[..], bytes].concat(), true)];
    table(&[
        ("2.3.3 index beyond the tables", faulty(&[0xff, 0x10]), Goaway(CompressionError)),
        ("4.2 size update at the end", faulty(&[0x20]), Goaway(CompressionError)),
        (
            "5.2 padding of more than seven bits",
            faulty(&[0x00, 0x81, 0xff, 0x00]),
            Goaway(CompressionError),
        ),
        ("5.2 padding of zeros", faulty(&[0x00, 0x81, 0x18, 0x00]), Goaway(CompressionError)),
        ("5.2 EOS", faulty(&[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00]), Goaway(CompressionError)),
        ("6.1 index 0", faulty(&[0x80]), Goaway(CompressionError)),
        (
            "6.3 size update beyond the limit",
            vec![headers(1, &[0x3f, 0xe2, 0x1f], true)],
            Goaway(CompressionError),
        ),
    ]);
}

#[test]
fn the_table_of_hpack_sees_every_block() {
    // A field that is indexed in the block of a refused, a closed and a reset stream is there for the next one.
    let indexed = |stream, name: &str, ends| {
        let mut block = get_block();
        block.extend_from_slice(&[0x40, name.len() as u8]);
        block.extend_from_slice(name.as_bytes());
        block.extend_from_slice(&[1, b'v']);
        headers(stream, &block, ends)
    };
    let mut options = Options::server();
    options.own.max_concurrent_streams = 1;
    let mut probe = Probe::greeted(options);
    probe.feed(&[post(1), indexed(3, "x-refused", true)].concat());
    let key = probe.key(1);
    probe.machine.reset(key, Cause::Internal, 0);
    let trailer = [&[0x40, 6][..], b"x-late", &[1, b'v']].concat();
    probe.feed(&headers(1, &trailer, true));
    probe.finish(1);
    probe.events();
    probe.feed(&headers(5, &[&get_block()[..], &[0xbe, 0xbf]].concat(), true));
    let Seen::Head { lines, .. } = &probe.events()[0] else { panic!("a head") };
    assert!(lines.ends_with("x-late: v\r\nx-refused: v\r\n\r\n"), "{lines}");
}

#[test]
fn a_head_that_is_too_large_is_answered_and_the_connection_goes_on() {
    let value = "x".repeat(120);
    let many: Vec<(&str, &str)> = (0..200).map(|_| ("x-a", "b")).collect();
    run("128 fields", &[with(&many)], &Status("431"));
    // 256 KiB decoded are the end, and 64 KiB coded as well.
    let mut reference = vec![0x40, 3, b'x', b'-', b'b', 0x7f, 0xd1, 0x0e];
    reference.extend_from_slice(&[b'y'; 2_000]);
    let first = headers(1, &[&get_block()[..], &reference].concat(), true);
    for (count, then) in [(40, Status("431")), (140, Goaway(EnhanceYourCalm))] {
        let again = [&get_block()[..], &vec![0xbe; count]].concat();
        let mut probe = Probe::server();
        serve(&mut probe, &first);
        probe.frames();
        serve(&mut probe, &headers(3, &again, true));
        let found = probe.frames();
        match then {
            Status(_) => assert!(lines(&found[0]).starts_with(":status: 431"), "{found:?}"),
            _ => assert_eq!(found[0].code(), EnhanceYourCalm),
        }
    }
    let part = |kind, flags| frame(kind, flags, 1, &block(&[("x-c", &*value); 120]));
    let mut long = vec![part(Kind::Headers, flags::END_STREAM)];
    long.extend((0..5).map(|_| part(Kind::Continuation, 0)));
    run("64 KiB coded", &long, &Goaway(EnhanceYourCalm));
}

#[test]
fn extended_connect_opens_a_tunnel() {
    let connect = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "a"),
    ];
    let mut probe = Probe::server();
    serve(&mut probe, &headers(1, &block(&connect), false));
    let key = probe.key(1);
    probe.machine.respond_with(key, 200, false, |_, _| {}).expect("a stream that is open");
    assert_eq!(probe.machine.send(key, b"to the client", false), Ok(13));
    serve(&mut probe, &data(1, b"to the server", false));
    let found = probe.frames();
    assert!(found[0].is(Kind::Headers, 1) && !found[0].ends());
    assert_eq!(found[1].payload, b"to the client");
    let content = Seen::Content { id: 1, bytes: b"to the server".to_vec(), ends: false };
    assert_eq!(probe.events().last(), Some(&content));
    let mut other = connect;
    other[1].1 = "h3";
    run("RFC 8441 §4 another protocol", &[headers(1, &block(&other), false)], &Status("501"));
}

#[test]
fn section_4_3_1_tables_are_as_large_as_both_sides_know() {
    // The client's table shrinks: the ack comes first, and the next block confirms it.
    let mut probe = Probe::server();
    let table = |bytes| (crate::http2::settings::id::HEADER_TABLE_SIZE, bytes);
    serve(&mut probe, &[settings(&[table(0), table(4_096)]), get(1), get(3)].concat());
    let found = probe.frames();
    let heads: Vec<&Sent> =
        found.iter().filter(|frame| frame.header.kind == Kind::Headers).collect();
    assert!(found[0].is(Kind::Settings, 0) && found[0].header.has(flags::ACK));
    assert_eq!((heads[0].payload[0], heads[1].payload[0]), (0x20, 0x88));

    // limpet's own is smaller than the default once the client has acknowledged it.
    let confirmed = [&[0x3f, 0x45], &get_block()[..]].concat();
    for (acknowledges, block, is_valid) in
        [(false, get_block(), true), (true, get_block(), false), (true, confirmed, true)]
    {
        let mut options = Options::server();
        options.own.header_table_bytes = 100;
        let mut probe = Probe::new(options);
        probe.feed(&[&crate::http2::frame::PREFACE[..], &settings(&[])].concat());
        if acknowledges {
            probe.feed(&settings_ack());
        }
        probe.feed(&headers(1, &block, true));
        let code = probe.fault().map(Fault::code);
        assert_eq!(code, (!is_valid).then_some(CompressionError));
    }
}
