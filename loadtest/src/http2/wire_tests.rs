//! Frames read whole, byte by byte and cut at every place; and what is wrong with some.

use super::super::encoder::Keep;
use super::super::frame::code;
use super::*;

/// What a wire says about bytes that come in pieces, in words; and what it answers.
fn tell(terms: Terms, pieces: &[&[u8]]) -> Result<(String, Vec<u8>), Wrong> {
    let (mut wire, mut told, mut out) = (Wire::new(terms), String::new(), Vec::new());
    let mut content = Vec::new();
    for mut piece in pieces.iter().copied() {
        while let Some(event) = wire.next(&mut piece, &mut out)? {
            match event {
                Event::Head { stream, ends } => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    told += &format!("{stream}{}:", if ends { "!" } else { "" });
                    for (name, value) in wire.fields.iter() {
                        told += &format!(" {}={}", text(name), text(value));
                    }
                    told += ";";
                }
                Event::Data { stream, bytes, ends } => {
                    content.extend_from_slice(bytes);
                    if ends {
                        told += &format!("{stream}: {} bytes!;", content.len());
                        content.clear();
                    }
                }
                other => told += &format!("{other:?};"),
            }
        }
        assert!(piece.is_empty());
    }
    Ok((told, out))
}

/// Tells it whole, then byte by byte, then cut in two at every place: always the same.
fn all_ways(terms: Terms, bytes: &[u8]) -> Result<(String, Vec<u8>), Wrong> {
    let whole = tell(terms, &[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(tell(terms, &single), whole);
    for cut in 0..bytes.len() {
        assert_eq!(tell(terms, &[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
    }
    whole
}

fn settings() -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_settings(&[], &mut out);
    out
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    for (name, value) in fields {
        encoder.field(name.as_bytes(), value.as_bytes(), Keep::No, &mut out);
    }
    out
}

#[test]
fn a_conversation_is_read_however_it_comes() {
    let mut bytes = PREFACE.to_vec();
    frame::write_settings(&[(setting::INITIAL_WINDOW_SIZE, 70_000)], &mut bytes);
    let head = block(&[(":method", "POST"), ("cookie", "a=b")]);
    frame::write(kind::HEADERS, 0, 1, &head[..3], &mut bytes);
    frame::write(kind::CONTINUATION, flag::END_HEADERS, 1, &head[3..], &mut bytes);
    frame::write(kind::PING, 0, 0, b"12345678", &mut bytes);
    frame::write(kind::DATA, flag::PADDED, 1, &[2, b'a', b'b', b'c', 0, 0], &mut bytes);
    frame::write(99, 0, 1, b"unknown", &mut bytes);
    frame::write(kind::DATA, flag::END_STREAM, 1, b"", &mut bytes);
    let padded = [&[1, 0, 0, 0, 0, 9][..], &head, &[0]].concat();
    let flags = flag::PADDED | flag::PRIORITY | flag::END_HEADERS | flag::END_STREAM;
    frame::write(kind::HEADERS, flags, 3, &padded, &mut bytes);
    frame::write_window(1, 5, &mut bytes);
    frame::write_reset(3, code::CANCEL, &mut bytes);
    frame::write_away(3, code::NO_ERROR, &mut bytes);
    let (told, out) = all_ways(Terms::SERVER, &bytes).unwrap();
    assert_eq!(
        told,
        "Settings { delta: 4465 };1: :method=POST cookie=a=b;1: 3 bytes!;3!: :method=POST cookie=a=b;\
         Window { stream: 1, by: 5 };Reset { stream: 3, code: 8 };Away { last: 3, code: 0 };"
    );
    let mut owed = Vec::new();
    frame::write(kind::SETTINGS, flag::ACK, 0, &[], &mut owed);
    frame::write(kind::PING, flag::ACK, 0, b"12345678", &mut owed);
    assert_eq!(out, owed);
}

#[test]
fn what_is_not_http_2_is_refused() {
    type Write = fn(&mut Vec<u8>);
    let table: [(Write, u32); 16] = [
        (|out| frame::write_window(0, 0, out), code::PROTOCOL_ERROR),
        (|out| frame::write_window(0, frame::WINDOW_MAX, out), code::FLOW_CONTROL_ERROR),
        (|out| frame::write(kind::DATA, 0, 0, b"x", out), code::PROTOCOL_ERROR),
        (|out| frame::write(kind::DATA, flag::PADDED, 1, &[1], out), code::PROTOCOL_ERROR),
        (|out| frame::write(kind::HEADERS, flag::END_HEADERS, 0, &[], out), code::PROTOCOL_ERROR),
        (
            |out| frame::write(kind::HEADERS, flag::END_HEADERS, 1, &[0x80], out),
            code::COMPRESSION_ERROR,
        ),
        (|out| frame::write(kind::CONTINUATION, 0, 1, &[], out), code::PROTOCOL_ERROR),
        (
            |out| {
                frame::write(kind::HEADERS, 0, 1, &[], out);
                frame::write(kind::PING, 0, 0, &[0; 8], out);
            },
            code::PROTOCOL_ERROR,
        ),
        (
            |out| {
                frame::write(kind::HEADERS, 0, 1, &[], out);
                frame::write(kind::CONTINUATION, flag::END_HEADERS, 3, &[], out);
            },
            code::PROTOCOL_ERROR,
        ),
        (|out| frame::write(kind::PUSH_PROMISE, 0, 1, &[0; 4], out), code::PROTOCOL_ERROR),
        (|out| frame::write(kind::PING, 0, 0, &[0; 7], out), code::FRAME_SIZE_ERROR),
        (|out| frame::write(kind::RST_STREAM, 0, 1, &[0; 5], out), code::FRAME_SIZE_ERROR),
        (|out| frame::write(kind::SETTINGS, flag::ACK, 0, &[0; 6], out), code::FRAME_SIZE_ERROR),
        (|out| frame::write_settings(&[(setting::ENABLE_PUSH, 1)], out), code::PROTOCOL_ERROR),
        (|out| frame::write(kind::SETTINGS, 0, 0, &[0; 5], out), code::FRAME_SIZE_ERROR),
        (|out| frame::write(kind::DATA, 0, 1, &[0; 16_385], out), code::FRAME_SIZE_ERROR),
    ];
    for (number, (write, expected)) in table.into_iter().enumerate() {
        let mut bytes = settings();
        write(&mut bytes);
        let wrong = tell(Terms::CLIENT, &[&bytes]).unwrap_err();
        assert_eq!(wrong.code, expected, "{number}: {wrong}");
    }
    assert!(tell(Terms::CLIENT, &[b"HTTP/1.1 400 Bad Request\r\n\r\n"]).is_err());
    assert!(tell(Terms::SERVER, &[b"GET / HTTP/1.1\r\n"]).is_err());
}

#[test]
fn the_connections_credit_is_given_back_and_not_overdrawn() {
    let terms = Terms { window: frame::WINDOW, ..Terms::CLIENT };
    let mut bytes = settings();
    for _ in 0..3 {
        frame::write(kind::DATA, 0, 1, &[0; 16_000], &mut bytes);
    }
    let (_, out) = all_ways_of_few(terms, &bytes);
    let mut owed = Vec::new();
    frame::write(kind::SETTINGS, flag::ACK, 0, &[], &mut owed);
    frame::write_window(0, 48_000, &mut owed);
    assert_eq!(out, owed);
}

/// As [`all_ways`], for bytes that are too many for every place.
fn all_ways_of_few(terms: Terms, bytes: &[u8]) -> (String, Vec<u8>) {
    let whole = tell(terms, &[bytes]).unwrap();
    for size in [1, 7, 9, 1000, 16_009] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        assert_eq!(tell(terms, &pieces).unwrap(), whole, "pieces of {size}");
    }
    whole
}
