//! Every rule that a frame by itself can break, with the error that the RFC names.

use super::*;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::frame::fault::Scope;

/// A clause, a frame that breaks it (type, flags, stream, payload), and the error that the RFC names.
type Broken<'r> = (&'r str, Kind, u8, u32, &'r [u8], Scope, ErrorCode);

/// A frame (type, flags, stream, payload) and its parts.
type Split<'r> = (Kind, u8, u32, &'r [u8], Result<Frame<'r>, FrameFault>);

/// A frame of this type with these flags on this stream.
fn parsed<'p>(
    kind: Kind,
    flags: u8,
    stream: u32,
    payload: &'p [u8],
) -> Result<Frame<'p>, FrameFault> {
    let header = Header { length: payload.len() as u32, kind, flags, stream };
    assert_eq!(Header::read(&header.bytes()), header);
    parse(header, payload, Side::Server)
}

#[test]
fn every_clause_of_section_6_has_its_error() {
    use ErrorCode::{FrameSizeError, ProtocolError};
    use Kind::*;
    use Scope::{Connection, Stream};
    let (padded, priority) = (flags::PADDED, flags::PRIORITY);
    #[rustfmt::skip]
    let rows: &[Broken<'_>] = &[
        ("6.1 on stream 0", Data, 0, 0, b"x", Connection, ProtocolError),
        ("6.1 padding as long as the payload", Data, padded, 1, &[2, 0], Connection, ProtocolError),
        ("6.1 padding longer than the payload", Data, padded, 1, &[255, 0], Connection, ProtocolError),
        ("6.1 no room for the padding's length", Data, padded, 1, &[], Connection, FrameSizeError),
        ("6.2 on stream 0", Headers, 0, 0, b"x", Connection, ProtocolError),
        ("6.2 padding longer than the payload", Headers, padded, 1, &[2, 0], Connection, ProtocolError),
        ("6.2 padding that reaches into the priority", Headers, padded | priority, 1, &[1, 0, 0, 0, 0, 0], Connection, ProtocolError),
        ("6.2 no room for the padding's length", Headers, padded, 1, &[], Connection, FrameSizeError),
        ("6.2 no room for the priority", Headers, priority, 1, &[0, 0, 0, 0], Connection, FrameSizeError),
        ("6.2 no room for the priority behind a padding", Headers, padded | priority, 1, &[0, 0, 0, 0], Connection, FrameSizeError),
        ("6.3 on stream 0", Priority, 0, 0, &[0; 5], Connection, ProtocolError),
        ("6.3 four bytes", Priority, 0, 1, &[0; 4], Stream, FrameSizeError),
        ("6.3 six bytes", Priority, 0, 1, &[0; 6], Stream, FrameSizeError),
        ("RFC 7540 5.3.1 on itself", Priority, 0, 1, &[0, 0, 0, 1, 0], Stream, ProtocolError),
        ("RFC 7540 5.3.1 on itself, exclusively", Priority, 0, 1, &[0x80, 0, 0, 1, 0], Stream, ProtocolError),
        ("6.4 on stream 0", RstStream, 0, 0, &[0; 4], Connection, ProtocolError),
        ("6.4 three bytes", RstStream, 0, 1, &[0; 3], Connection, FrameSizeError),
        ("6.4 five bytes", RstStream, 0, 1, &[0; 5], Connection, FrameSizeError),
        ("6.5 on a stream", Settings, 0, 1, &[], Connection, ProtocolError),
        ("6.5 acknowledgement on a stream", Settings, flags::ACK, 1, &[], Connection, ProtocolError),
        ("6.5 acknowledgement of something", Settings, flags::ACK, 0, &[0; 6], Connection, FrameSizeError),
        ("6.5 five bytes", Settings, 0, 0, &[0; 5], Connection, FrameSizeError),
        ("6.5 seven bytes", Settings, 0, 0, &[0; 7], Connection, FrameSizeError),
        ("6.6 on a stream", PushPromise, 4, 1, &[0, 0, 0, 2], Connection, ProtocolError),
        ("6.6 on stream 0", PushPromise, 4, 0, &[0, 0, 0, 2], Connection, ProtocolError),
        ("6.7 on a stream", Ping, 0, 1, &[0; 8], Connection, ProtocolError),
        ("6.7 seven bytes", Ping, 0, 0, &[0; 7], Connection, FrameSizeError),
        ("6.7 nine bytes", Ping, flags::ACK, 0, &[0; 9], Connection, FrameSizeError),
        ("6.8 on a stream", Goaway, 0, 1, &[0; 8], Connection, ProtocolError),
        ("6.8 seven bytes", Goaway, 0, 0, &[0; 7], Connection, FrameSizeError),
        ("6.9 nothing for the connection", WindowUpdate, 0, 0, &[0; 4], Connection, ProtocolError),
        ("6.9 nothing for a stream", WindowUpdate, 0, 1, &[0; 4], Stream, ProtocolError),
        ("6.9 nothing but the reserved bit", WindowUpdate, 0, 1, &[0x80, 0, 0, 0], Stream, ProtocolError),
        ("6.9 three bytes", WindowUpdate, 0, 1, &[0; 3], Connection, FrameSizeError),
        ("6.9 five bytes", WindowUpdate, 0, 0, &[0; 5], Connection, FrameSizeError),
        ("6.10 on stream 0", Continuation, 0, 0, b"x", Connection, ProtocolError),
        ("RFC 9218 7.1 on a stream", PriorityUpdate, 0, 1, &[0, 0, 0, 1], Connection, ProtocolError),
        ("RFC 9218 7.1 three bytes", PriorityUpdate, 0, 0, &[0; 3], Connection, FrameSizeError),
        ("RFC 9218 7.1 for stream 0", PriorityUpdate, 0, 0, &[0x80, 0, 0, 0], Connection, ProtocolError),
    ];
    for (clause, kind, flags, stream, payload, scope, code) in rows {
        let fault = parsed(*kind, *flags, *stream, payload).expect_err(clause);
        assert_eq!((fault.scope(), fault.code()), (*scope, *code), "{clause}: {fault:?}");
    }
}

#[test]
fn frames_are_split() {
    use Kind::*;
    let headers = |fragment, depends_on| {
        Ok(Frame::Headers { fragment, end_stream: false, end_headers: false, depends_on })
    };
    #[rustfmt::skip]
    let rows: &[Split<'_>] = &[
        (Data, 0, 1, b"abc", Ok(Frame::Data { content: b"abc", flow_bytes: 3, end_stream: false })),
        (Data, flags::END_STREAM, 1, b"", Ok(Frame::Data { content: b"", flow_bytes: 0, end_stream: true })),
        (Data, flags::PADDED, 1, b"\x02abc\0\0", Ok(Frame::Data { content: b"abc", flow_bytes: 6, end_stream: false })),
        (Data, flags::PADDED, 1, b"\x02\0\0", Ok(Frame::Data { content: b"", flow_bytes: 3, end_stream: false })),
        (Data, flags::PADDED, 1, b"\0", Ok(Frame::Data { content: b"", flow_bytes: 1, end_stream: false })),
        (Headers, 0, 1, b"ab", headers(b"ab", None)),
        (Headers, flags::PADDED, 1, b"\x01ab\0", headers(b"ab", None)),
        (Headers, flags::PRIORITY, 1, b"\x80\0\0\x03\x10ab", headers(b"ab", Some(3))),
        (Headers, flags::PRIORITY, 3, b"\0\0\0\x03\x10", headers(b"", Some(3))),
        (Headers, flags::PRIORITY | flags::PADDED, 1, b"\x01\0\0\0\x03\x10ab\0", headers(b"ab", Some(3))),
        (Headers, flags::END_HEADERS | flags::END_STREAM, 1, b"",
            Ok(Frame::Headers { fragment: b"", end_stream: true, end_headers: true, depends_on: None })),
        (Priority, 0xff, 1, &[0, 0, 0, 3, 1], Ok(Frame::Priority)),
        (RstStream, 0xff, 1, &[0, 0, 0, 8], Ok(Frame::RstStream { code: 8 })),
        (Settings, 0xfe, 0, &[0, 1, 0, 0, 0, 0], Ok(Frame::Settings(&[0, 1, 0, 0, 0, 0]))),
        (Settings, 0, 0, &[], Ok(Frame::Settings(&[]))),
        (Settings, flags::ACK, 0, &[], Ok(Frame::SettingsAck)),
        (Ping, 0, 0, b"01234567", Ok(Frame::Ping { is_ack: false, data: *b"01234567" })),
        (Goaway, 0, 0, b"\x80\0\0\x05\0\0\0\x0bwhy", Ok(Frame::Goaway { last_stream: 5, code: 11, debug: b"why" })),
        (WindowUpdate, 0, 0, &[0xff; 4], Ok(Frame::WindowUpdate { increment: MAX_31 })),
        (Continuation, flags::END_HEADERS, 1, b"a", Ok(Frame::Continuation { fragment: b"a", end_headers: true })),
        (PriorityUpdate, 0, 0, b"\x80\0\0\x05u=1", Ok(Frame::PriorityUpdate { stream: 5, value: b"u=1" })),
        (Unknown(0x0a), 0xff, 7, b"any", Ok(Frame::Unknown)),
        (Unknown(0xff), 0, 0, b"", Ok(Frame::Unknown)),
    ];
    for (kind, flags, stream, payload, expected) in rows {
        assert_eq!(parsed(*kind, *flags, *stream, payload), *expected, "{kind:?} {payload:?}");
    }
}

#[test]
fn a_server_sends_no_priority_update() {
    let header = Header { length: 4, kind: Kind::PriorityUpdate, flags: 0, stream: 0 };
    let fault = parse(header, &[0, 0, 0, 1], Side::Client).expect_err("from a server");
    assert_eq!((fault.scope(), fault.code()), (Scope::Connection, ErrorCode::ProtocolError));
}

#[test]
fn a_payload_has_at_most_the_length_that_was_announced() {
    for kind in (0..=255).map(Kind::of) {
        assert_eq!(Kind::of(kind.code()), kind);
        let header = |length| Header { length, kind, flags: 0, stream: 1 };
        assert_eq!(header(16_384).fits(16_384), Ok(()));
        let fault = header(16_385).fits(16_384).expect_err("too long");
        assert_eq!((fault.scope(), fault.code()), (Scope::Connection, ErrorCode::FrameSizeError));
    }
}

#[test]
fn the_reserved_bit_of_a_stream_is_ignored() {
    let header = Header::read(&[0, 1, 2, 0, 0, 0x80, 0, 0, 3]);
    assert_eq!((header.length, header.stream), (258, 3));
    assert_eq!(Header::read(&[0xff; 9]).length, 0x00ff_ffff);
}
