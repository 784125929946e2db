//! Every clause of RFC 9113 that a peer can break or use, through the machine's bytes: the cases of h2spec and ours.

use super::wire::*;
use super::*;
use crate::http2::frame::{Kind, flags};
use crate::http2::settings::id;

/// What a server is to do with the bytes behind the greeting.
#[derive(Debug)]
pub(super) enum Then {
    /// The connection ends with this code.
    Goaway(ErrorCode),
    /// Stream 1 is reset with this code, and the connection goes on.
    Reset(ErrorCode),
    /// Stream 1 is answered with this status, and the connection goes on.
    Status(&'static str),
    /// Nothing is sent, and the connection goes on.
    Nothing,
}

use ErrorCode::*;
use Then::*;

pub(super) fn run(section: &str, bytes: &[Vec<u8>], then: &Then) {
    for split in [usize::MAX, 1] {
        let mut probe = Probe::server();
        for part in bytes.concat().chunks(split.min(1 << 20)) {
            serve(&mut probe, part);
        }
        let found = probe.frames();
        let goaways: Vec<ErrorCode> = found
            .iter()
            .filter(|frame| frame.header.kind == Kind::Goaway)
            .map(Sent::code)
            .collect();
        match then {
            Goaway(code) => {
                assert_eq!(goaways, [*code], "{section}: {found:?}");
                assert!(probe.machine.is_over());
                continue;
            }
            Reset(code) => {
                let resets = found.iter().filter(|frame| frame.is(Kind::RstStream, 1));
                let resets: Vec<ErrorCode> = resets.map(Sent::code).collect();
                assert_eq!(resets, [*code], "{section}: {found:?}");
            }
            Status(status) => {
                let head = found.iter().find(|frame| frame.is(Kind::Headers, 1));
                let head = head.unwrap_or_else(|| panic!("{section}: {found:?}"));
                let lines = lines(head);
                assert!(lines.starts_with(&format!(":status: {status}\r\n")), "{section}: {lines}");
            }
            Nothing => assert_eq!(found, [], "{section}"),
        }
        assert_eq!(goaways, [], "{section}: {found:?}");
        serve(&mut probe, &ping(*b"together"));
        let is_answered = probe.frames().iter().any(|frame| frame.header.kind == Kind::Ping);
        assert!(is_answered, "{section}: the connection does not go on");
    }
}

pub(super) fn table(rows: &[(&str, Vec<Vec<u8>>, Then)]) {
    for (section, bytes, then) in rows {
        run(section, bytes, then);
    }
}

fn unended(stream: u32) -> Vec<u8> {
    frame(Kind::Headers, flags::END_STREAM, stream, &get_block()[..3])
}

fn continuation(stream: u32, is_last: bool) -> Vec<u8> {
    let flags = if is_last { flags::END_HEADERS } else { 0 };
    frame(Kind::Continuation, flags, stream, &get_block()[3..])
}

#[test]
fn section_3_4_the_preface() {
    for wrong in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r ", b"X"] {
        for split in [100, 1] {
            let mut probe = Probe::new(Options::server());
            wrong.chunks(split).for_each(|part| probe.feed(part));
            assert_eq!(probe.fault().map(Fault::word), Some("preface"));
            let last = probe.frames().pop().expect("a frame");
            assert_eq!((last.header.kind, last.code()), (Kind::Goaway, ProtocolError));
        }
    }
    let mut probe = Probe::new(Options::server());
    probe.feed(&[&crate::http2::frame::PREFACE[..], &ping(*b"12345678")].concat());
    assert_eq!(probe.fault().map(Fault::word), Some("settings_missing"));
    // Both sides begin with SETTINGS.
    let frames = Probe::new(Options::server()).frames();
    assert!(frames.len() == 1 && frames[0].is(Kind::Settings, 0));
    let mut probe = Probe::new(Options::client());
    probe.transmit();
    assert!(probe.out.starts_with(crate::http2::frame::PREFACE));
    let frames = probe.frames();
    assert!(frames.len() == 1 && frames[0].is(Kind::Settings, 0));
    assert!(frames[0].payload.chunks(6).any(|setting| setting == [0, 2, 0, 0, 0, 0]));
}

#[test]
fn section_4_frames() {
    let unknown = |stream| frame(Kind::Unknown(0x16), 0xff, stream, b"whatever");
    let mut reserved = ping(*b"reserved");
    reserved[5] |= 0x80;
    let large = |kind, stream| frame(kind, 0, stream, &[0; 16_385]);
    table(&[
        ("4.1 unknown type", vec![unknown(0), unknown(1), unknown(99)], Nothing),
        (
            "4.1 undefined flags",
            vec![headers(1, &get_block(), true), {
                let mut bytes = get(3);
                bytes[4] |= 0xd2;
                bytes
            }],
            Status("200"),
        ),
        ("4.1 reserved bit", vec![reserved, get(1)], Status("200")),
        ("4.2 DATA of 2^14", vec![post(1), data(1, &[0; 16_384], true)], Status("200")),
        ("4.2 larger DATA", vec![post(1), large(Kind::Data, 1)], Goaway(FrameSizeError)),
        ("4.2 larger HEADERS", vec![large(Kind::Headers, 1)], Goaway(FrameSizeError)),
        ("4.2 larger SETTINGS", vec![large(Kind::Settings, 0)], Goaway(FrameSizeError)),
        ("4.3 invalid block", vec![headers(1, &[0x40], true)], Goaway(CompressionError)),
        (
            "4.3 PRIORITY in a block",
            vec![unended(1), frame(Kind::Priority, 0, 1, &[0; 5])],
            Goaway(ProtocolError),
        ),
        ("4.3 HEADERS in a block", vec![unended(1), get(3)], Goaway(ProtocolError)),
        ("5.5 unknown frame in a block", vec![unended(1), unknown(1)], Goaway(ProtocolError)),
    ]);
}

#[test]
fn section_5_1_idle_streams() {
    table(&[
        ("5.1 DATA", vec![data(1, b"x", true)], Goaway(ProtocolError)),
        ("5.1 RST_STREAM", vec![rst_stream(1, Cancel)], Goaway(ProtocolError)),
        ("5.1 WINDOW_UPDATE", vec![window_update(1, 100)], Goaway(ProtocolError)),
        ("5.1 CONTINUATION", vec![continuation(1, true)], Goaway(ProtocolError)),
        ("5.1 PRIORITY", vec![frame(Kind::Priority, 0, 1, &[0, 0, 0, 3, 7])], Nothing),
        ("5.1 DATA on an even one", vec![get(1), data(2, b"x", true)], Goaway(ProtocolError)),
        (
            "5.1 WINDOW_UPDATE on an even one",
            vec![get(1), window_update(2, 1)],
            Goaway(ProtocolError),
        ),
    ]);
}

#[test]
fn section_5_1_half_closed_streams() {
    // The response is not sent before its request is finished.
    for (section, then, code) in
        [("5.1 DATA", data(1, b"x", true), StreamClosed), ("5.1 HEADERS", get(1), StreamClosed)]
    {
        let mut probe = Probe::server();
        probe.feed(&[get(1), then].concat());
        let found = probe.frames();
        assert!(found[0].is(Kind::RstStream, 1) && found[0].code() == code, "{section}");
        let reset = Seen::Reset { id: 1, by: ResetBy::Fault(FrameFault::StreamHalfClosed) };
        assert_eq!(probe.events()[1..], [reset], "{section}");
        // It is reset once, and what still comes is ignored.
        probe.feed(&[data(1, b"x", true), get(1), window_update(1, 1)].concat());
        assert_eq!((probe.events(), probe.frames()), (vec![], vec![]), "{section}");
    }
    let mut probe = Probe::server();
    probe.feed(&[get(1), continuation(1, true)].concat());
    assert_eq!(probe.fault().map(Fault::code), Some(ProtocolError));
    // What may come on them.
    let mut probe = Probe::server();
    probe.feed(&[get(1), window_update(1, 9), frame(Kind::Priority, 0, 1, &[0; 5])].concat());
    probe.feed(&rst_stream(1, Cancel));
    assert_eq!(probe.events()[1..], [Seen::Reset { id: 1, by: ResetBy::Peer(Cancel) }]);
}

#[test]
fn section_5_1_closed_streams() {
    table(&[
        ("5.1 DATA after both ended", vec![get(1), data(1, b"x", true)], Goaway(StreamClosed)),
        ("5.1 HEADERS after both ended", vec![get(1), get(1)], Goaway(StreamClosed)),
        (
            "5.1 CONTINUATION after both ended",
            vec![get(1), continuation(1, true)],
            Goaway(ProtocolError),
        ),
        ("5.1 WINDOW_UPDATE after both ended", vec![get(1), window_update(1, 1)], Status("200")),
        ("5.1 RST_STREAM after both ended", vec![get(1), rst_stream(1, Cancel)], Status("200")),
        (
            "5.1 DATA after RST_STREAM",
            vec![post(1), rst_stream(1, Cancel), data(1, b"x", true)],
            Reset(StreamClosed),
        ),
        (
            "5.1 HEADERS after RST_STREAM",
            vec![post(1), rst_stream(1, Cancel), get(1)],
            Reset(StreamClosed),
        ),
        (
            "5.1 CONTINUATION after RST_STREAM",
            vec![post(1), rst_stream(1, Cancel), continuation(1, true)],
            Goaway(ProtocolError),
        ),
        ("5.1 DATA on a skipped one", vec![get(5), data(3, b"x", true)], Goaway(StreamClosed)),
    ]);
    // Before the exchange has noticed, it is the same.
    let mut probe = Probe::server();
    probe.feed(&[post(1), rst_stream(1, Cancel), data(1, b"x", true), get(1)].concat());
    let codes: Vec<ErrorCode> = probe.frames().iter().map(Sent::code).collect();
    assert_eq!(codes, [StreamClosed, StreamClosed]);
    let mut probe = Probe::server();
    probe.feed(&get(1));
    assert_eq!(probe.answer(1, b"x"), Ok(true));
    probe.feed(&data(1, b"x", true));
    assert_eq!(probe.fault().map(Fault::code), Some(StreamClosed));
}

#[test]
fn section_5_1_what_comes_late_after_a_reset_of_ours_is_ignored() {
    for is_finished in [false, true] {
        let mut probe = Probe::server();
        probe.feed(&post(1));
        let key = probe.key(1);
        probe.machine.reset(key, Cause::Internal, 0);
        if is_finished {
            probe.finish(1);
        }
        let late = [
            data(1, &[0; 10_000], false),
            padded(1, b"x", 200),
            window_update(1, 5),
            headers(1, &block(&[("x-a", "b")]), true),
            rst_stream(1, Cancel),
        ];
        probe.feed(&late.concat());
        let found = probe.frames();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].is(Kind::RstStream, 1) && found[0].code() == InternalError);
        assert!(probe.events().len() == 1 && !probe.machine.is_over());
    }
}

#[test]
fn section_5_1_1_stream_ids() {
    table(&[
        ("5.1.1 an even one", vec![get(2)], Goaway(ProtocolError)),
        ("5.1.1 a lower one", vec![get(5), get(3)], Goaway(ProtocolError)),
        ("5.1.1 stream 0", vec![get(0)], Goaway(ProtocolError)),
    ]);
}

#[test]
fn section_5_1_2_more_streams_than_there_may_be() {
    let mut options = Options::server();
    options.own.max_concurrent_streams = 3;
    let mut probe = Probe::greeted(options);
    let all: Vec<u8> = (0..5).flat_map(|at| post(at * 2 + 1)).collect();
    probe.feed(&all);
    let refused: Vec<(u32, ErrorCode)> =
        probe.frames().iter().map(|frame| (frame.header.stream, frame.code())).collect();
    assert_eq!(refused, [(7, RefusedStream), (9, RefusedStream)]);
    assert_eq!((probe.events().len(), probe.machine.counts().endings.streams_refused), (3, 2));
    // What was sent on them is ignored, and a place counts until its exchange has ended.
    probe.feed(&[data(7, b"x", true), rst_stream(1, Cancel), get(11)].concat());
    assert_eq!(probe.frames()[0].header.stream, 11);
    probe.finish(1);
    probe.feed(&get(13));
    assert_eq!(probe.frames(), []);
    assert!(matches!(probe.events()[..], [Seen::Reset { .. }, Seen::Head { id: 13, .. }]));
}

#[test]
fn section_5_3_priorities() {
    let on_itself = frame(Kind::Priority, 0, 1, &[0, 0, 0, 1, 7]);
    let priority = flags::PRIORITY | flags::END_HEADERS | flags::END_STREAM;
    let depending =
        |on| frame(Kind::Headers, priority, 1, &[&[0, 0, 0, on, 7], &get_block()[..]].concat());
    table(&[
        ("5.3.1 HEADERS", vec![depending(1)], Reset(ProtocolError)),
        ("5.3.1 HEADERS on another", vec![depending(3)], Status("200")),
        ("5.3.1 PRIORITY", vec![post(1), on_itself.clone()], Reset(ProtocolError)),
        ("5.3.1 PRIORITY, idle", vec![on_itself], Goaway(ProtocolError)),
    ]);
}

#[test]
fn section_5_4_errors_of_the_connection() {
    let mut probe = Probe::server();
    probe.feed(&[post(1), get(3), frame(Kind::Ping, 0, 0, &[0; 6])].concat());
    let found = probe.frames();
    let last = found.last().expect("GOAWAY");
    // The last stream that was opened, and the word of the fault.
    assert_eq!((last.number(), last.code()), (3, FrameSizeError));
    assert_eq!(last.payload[8..], *b"frame_length");
    // Nothing is read or written any more, and the streams are left to their owner.
    probe.events();
    probe.feed(&[ping(*b"12345678"), get(5)].concat());
    assert_eq!((probe.events(), probe.frames(), probe.rest.len()), (vec![], vec![], 0));
    assert_eq!(probe.machine.keys().count(), 2);
    assert_eq!(probe.answer(1, b"x"), Err(Closed));
    probe.finish(1);
    probe.finish(3);
    assert_eq!((probe.machine.keys().count(), probe.frames()), (0, vec![]));
}

#[test]
fn section_6_1_data() {
    let padded_wrongly = frame(Kind::Data, flags::PADDED, 1, &[5, 0, 0, 0, 0]);
    table(&[
        ("6.1 stream 0", vec![data(0, b"x", true)], Goaway(ProtocolError)),
        ("6.1 padding", vec![post(1), padded_wrongly], Goaway(ProtocolError)),
        ("6.1 padded", vec![post(1), padded(1, b"x", 3), data(1, b"", true)], Status("200")),
    ]);
}

#[test]
fn section_6_2_headers_and_6_10_continuation() {
    let whole = flags::END_HEADERS | flags::END_STREAM;
    let padded = |padding: u8, rest: &[u8]| {
        let payload = [&[padding], rest].concat();
        frame(Kind::Headers, whole | flags::PADDED, 1, &payload)
    };
    let ok = padded(2, &[&get_block()[..], &[0, 0]].concat());
    let empty = frame(Kind::Continuation, 0, 1, &[]);
    table(&[
        ("6.2 stream 0", vec![headers(0, &get_block(), true)], Goaway(ProtocolError)),
        ("6.2 padding", vec![padded(3, &[0, 0])], Goaway(ProtocolError)),
        ("6.2 padded", vec![ok], Status("200")),
        ("6.2 DATA in a block", vec![unended(1), data(1, b"x", true)], Goaway(ProtocolError)),
        ("6.10 in parts", vec![unended(1), continuation(1, true)], Status("200")),
        (
            "6.10 in many parts",
            vec![
                unended(1),
                frame(Kind::Continuation, 0, 1, &get_block()[3..4]),
                frame(Kind::Continuation, 0, 1, &get_block()[4..5]),
                frame(Kind::Continuation, flags::END_HEADERS, 1, &get_block()[5..]),
            ],
            Status("200"),
        ),
        ("6.10 another stream's", vec![unended(1), continuation(3, true)], Goaway(ProtocolError)),
        ("6.10 stream 0", vec![unended(1), continuation(0, true)], Goaway(ProtocolError)),
        ("6.10 after END_HEADERS", vec![post(1), continuation(1, true)], Goaway(ProtocolError)),
        (
            "6.10 after DATA",
            vec![post(1), data(1, b"x", false), continuation(1, true)],
            Goaway(ProtocolError),
        ),
        ("6.10 empty", vec![unended(1), empty], Goaway(EnhanceYourCalm)),
    ]);
}

#[test]
fn section_6_3_to_6_5_priority_rst_stream_settings() {
    table(&[
        ("6.3 stream 0", vec![frame(Kind::Priority, 0, 0, &[0; 5])], Goaway(ProtocolError)),
        ("6.3 length", vec![post(1), frame(Kind::Priority, 0, 1, &[0; 4])], Reset(FrameSizeError)),
        ("6.4 stream 0", vec![rst_stream(0, Cancel)], Goaway(ProtocolError)),
        (
            "6.4 length",
            vec![post(1), frame(Kind::RstStream, 0, 1, &[0; 3])],
            Goaway(FrameSizeError),
        ),
        (
            "6.5 ack with payload",
            vec![frame(Kind::Settings, flags::ACK, 0, &[0])],
            Goaway(FrameSizeError),
        ),
        ("6.5 on a stream", vec![frame(Kind::Settings, 0, 1, &[])], Goaway(ProtocolError)),
        ("6.5 length", vec![frame(Kind::Settings, 0, 0, &[0; 3])], Goaway(FrameSizeError)),
        ("6.5.2 ENABLE_PUSH", vec![settings(&[(id::ENABLE_PUSH, 2)])], Goaway(ProtocolError)),
        (
            "6.5.2 INITIAL_WINDOW_SIZE",
            vec![settings(&[(id::INITIAL_WINDOW_SIZE, 1 << 31)])],
            Goaway(FlowControlError),
        ),
        (
            "6.5.2 MAX_FRAME_SIZE below",
            vec![settings(&[(id::MAX_FRAME_SIZE, 16_383)])],
            Goaway(ProtocolError),
        ),
        (
            "6.5.2 MAX_FRAME_SIZE above",
            vec![settings(&[(id::MAX_FRAME_SIZE, 1 << 24)])],
            Goaway(ProtocolError),
        ),
    ]);
    // 6.5.3: each is acknowledged, at once.
    let mut probe = Probe::server();
    probe.feed(&[settings(&[(99, 1)]), settings(&[])].concat());
    let found = probe.frames();
    assert_eq!(found.len(), 2);
    assert!(
        found.iter().all(|frame| frame.is(Kind::Settings, 0) && frame.header.flags == flags::ACK)
    );
}

#[test]
fn section_6_7_to_6_9_ping_goaway_window_update() {
    table(&[
        ("6.7 on a stream", vec![frame(Kind::Ping, 0, 1, &[0; 8])], Goaway(ProtocolError)),
        ("6.7 length", vec![frame(Kind::Ping, 0, 0, &[0; 6])], Goaway(FrameSizeError)),
        ("6.7 an ack", vec![ping_ack(*b"12345678")], Nothing),
        ("6.8 on a stream", vec![frame(Kind::Goaway, 0, 1, &[0; 8])], Goaway(ProtocolError)),
        ("6.8 length", vec![frame(Kind::Goaway, 0, 0, &[0; 7])], Goaway(FrameSizeError)),
        ("6.9 length", vec![frame(Kind::WindowUpdate, 0, 0, &[0; 3])], Goaway(FrameSizeError)),
        ("6.9 nothing, connection", vec![window_update(0, 0)], Goaway(ProtocolError)),
        ("6.9 nothing, stream", vec![post(1), window_update(1, 0)], Reset(ProtocolError)),
        (
            "6.9.1 too large, connection",
            vec![window_update(0, 0x7fff_ffff)],
            Goaway(FlowControlError),
        ),
        (
            "6.9.1 too large, stream",
            vec![post(1), window_update(1, 0x7fff_ffff)],
            Reset(FlowControlError),
        ),
        (
            "6.9.2 too large by SETTINGS",
            vec![
                post(1),
                window_update(1, 0x7fff_0000),
                settings(&[(id::INITIAL_WINDOW_SIZE, 0x7fff_ffff)]),
            ],
            Goaway(FlowControlError),
        ),
    ]);
    let mut probe = Probe::server();
    probe.feed(&[ping(*b"12345678"), ping(*b"87654321")].concat());
    let found = probe.frames();
    let payloads: Vec<&[u8]> = found.iter().map(|frame| &frame.payload[..]).collect();
    assert_eq!(payloads, [b"12345678", b"87654321"]);
    assert!(found.iter().all(|frame| frame.header.flags == flags::ACK));
}

#[test]
fn section_7_codes_that_nobody_knows() {
    let mut unknown = rst_stream(1, Cancel);
    unknown[9..].copy_from_slice(&0xff_u32.to_be_bytes());
    let mut probe = Probe::server();
    probe.feed(&[post(1), unknown].concat());
    assert_eq!(probe.events()[1..], [Seen::Reset { id: 1, by: ResetBy::Peer(InternalError) }]);
    let mut unknown = goaway(0, NoError);
    unknown[13..].copy_from_slice(&0xff_u32.to_be_bytes());
    let mut probe = Probe::server();
    probe.feed(&unknown);
    assert_eq!(probe.events(), [Seen::Goaway { code: InternalError }]);
    assert!(probe.machine.is_over());
}
