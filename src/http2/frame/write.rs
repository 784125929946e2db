//! Frames to bytes, appended to a buffer. Nothing is padded, and neither PRIORITY nor PUSH_PROMISE is ever sent.
//!
//! Tested by reading what was written.

use super::error_code::ErrorCode;
use super::{HEADER_BYTES, Header, Kind, flags};

/// Appends the header of a DATA frame, whose content of `length` bytes follows.
#[inline]
pub fn data_header(stream: u32, length: u32, end_stream: bool, out: &mut Vec<u8>) {
    let flags = if end_stream { flags::END_STREAM } else { 0 };
    header(length, Kind::Data, flags, stream, out);
}

/// Leaves room for the header of a HEADERS frame, whose field block the caller appends; returns where it begins, for
/// [`end_headers`].
#[inline]
pub fn begin_headers(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    start
}

/// Ends the HEADERS frame that begins at `start` and whose field block is the rest of `out`. A block longer than
/// `frame_bytes_max` goes on in CONTINUATION frames.
#[inline]
pub fn end_headers(
    (start, frame_bytes_max): (usize, u32),
    stream: u32,
    end_stream: bool,
    out: &mut Vec<u8>,
) {
    let length = out.len().saturating_sub(start.saturating_add(HEADER_BYTES));
    let end_stream = if end_stream { flags::END_STREAM } else { 0 };
    let (length, end_headers) = match u32::try_from(length) {
        Ok(length) if length <= frame_bytes_max => (length, flags::END_HEADERS),
        _ => {
            continuations(start, frame_bytes_max as usize, stream, out);
            (frame_bytes_max, 0)
        }
    };
    let header = Header { length, kind: Kind::Headers, flags: end_stream | end_headers, stream };
    if let Some(place) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *place = header.bytes();
    }
}

/// Puts the header of a CONTINUATION frame in front of every piece of the block but the first.
#[cold]
fn continuations(start: usize, piece_bytes: usize, stream: u32, out: &mut Vec<u8>) {
    let first_end = start.saturating_add(HEADER_BYTES).saturating_add(piece_bytes);
    let rest = out.split_off(first_end.min(out.len()));
    let mut pieces = rest.chunks(piece_bytes.max(1)).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { flags::END_HEADERS } else { 0 };
        header(piece.len() as u32, Kind::Continuation, flags, stream, out);
        out.extend_from_slice(piece);
    }
}

pub fn rst_stream(stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    header(4, Kind::RstStream, 0, stream, out);
    out.extend_from_slice(&code.number().to_be_bytes());
}

/// Appends SETTINGS of these identifiers and values.
pub fn settings(values: &[(u16, u32)], out: &mut Vec<u8>) {
    header(values.len().saturating_mul(6) as u32, Kind::Settings, 0, 0, out);
    for (identifier, value) in values {
        out.extend_from_slice(&identifier.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub fn settings_ack(out: &mut Vec<u8>) {
    header(0, Kind::Settings, flags::ACK, 0, out);
}

pub fn ping(is_ack: bool, data: [u8; 8], out: &mut Vec<u8>) {
    header(8, Kind::Ping, if is_ack { flags::ACK } else { 0 }, 0, out);
    out.extend_from_slice(&data);
}

/// Appends GOAWAY; `reason` is for people who read the peer's log, a short word.
pub fn goaway(last_stream: u32, code: ErrorCode, reason: &str, out: &mut Vec<u8>) {
    header(reason.len().saturating_add(8) as u32, Kind::Goaway, 0, 0, out);
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&code.number().to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Appends WINDOW_UPDATE; stream 0 is the connection. `increment` is not 0 and fits 31 bits.
pub fn window_update(stream: u32, increment: u32, out: &mut Vec<u8>) {
    header(4, Kind::WindowUpdate, 0, stream, out);
    out.extend_from_slice(&increment.to_be_bytes());
}

#[inline]
fn header(length: u32, kind: Kind, flags: u8, stream: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&Header { length, kind, flags, stream }.bytes());
}

#[cfg(test)]
mod tests {
    use crate::http2::frame::write::*;
    use crate::http2::frame::{Frame, MAX_31, Side, parse};

    /// The frames in `bytes`, each as its header, and as its payload split.
    fn frames(bytes: &[u8]) -> Vec<(Header, Frame<'_>)> {
        let mut frames = Vec::new();
        let mut rest = bytes;
        while let Some((head, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let header = Header::read(head);
            let (payload, after) = after.split_at(header.length as usize);
            frames.push((header, parse(header, payload, Side::Server).expect("a valid frame")));
            rest = after;
        }
        assert!(rest.is_empty());
        frames
    }

    fn only(write: impl FnOnce(&mut Vec<u8>)) -> (Header, Vec<u8>) {
        let mut out = Vec::new();
        write(&mut out);
        let header = Header::read(out.first_chunk().expect("a header"));
        assert_eq!(out.len(), HEADER_BYTES + header.length as usize);
        (header, out)
    }

    #[test]
    fn what_is_written_is_read() {
        let (header, bytes) = only(|out| rst_stream(7, ErrorCode::Cancel, out));
        assert_eq!((header.stream, frames(&bytes)[0].1), (7, Frame::RstStream { code: 8 }));
        let (_, bytes) = only(|out| settings(&[(3, 128), (4, 65_536)], out));
        assert_eq!(frames(&bytes)[0].1, Frame::Settings(&[0, 3, 0, 0, 0, 128, 0, 4, 0, 1, 0, 0]));
        let (_, bytes) = only(settings_ack);
        assert_eq!(frames(&bytes)[0].1, Frame::SettingsAck);
        for is_ack in [false, true] {
            let (_, bytes) = only(|out| ping(is_ack, *b"01234567", out));
            assert_eq!(frames(&bytes)[0].1, Frame::Ping { is_ack, data: *b"01234567" });
        }
        let (_, bytes) = only(|out| goaway(MAX_31, ErrorCode::NoError, "drain", out));
        let expected = Frame::Goaway { last_stream: MAX_31, code: 0, debug: b"drain" };
        assert_eq!(frames(&bytes)[0].1, expected);
        let (header, bytes) = only(|out| window_update(0, MAX_31, out));
        assert_eq!(
            (header.stream, frames(&bytes)[0].1),
            (0, Frame::WindowUpdate { increment: MAX_31 })
        );
        let (_, bytes) = only(|out| {
            data_header(1, 3, true, out);
            out.extend_from_slice(b"abc");
        });
        let expected = Frame::Data { content: b"abc", flow_bytes: 3, end_stream: true };
        assert_eq!(frames(&bytes)[0].1, expected);
    }

    #[test]
    fn a_field_block_of_any_length_is_split_at_the_peers_limit() {
        for length in [0, 1, 9, 10, 11, 20, 21, 105] {
            for is_end in [false, true] {
                let block: Vec<u8> = (0..length).collect();
                let mut out = b"before".to_vec();
                let start = begin_headers(&mut out);
                out.extend_from_slice(&block);
                end_headers((start, 10), 5, is_end, &mut out);
                assert_eq!(&out[..6], b"before");
                let frames = frames(&out[6..]);
                let mut joined = Vec::new();
                for (at, (header, frame)) in frames.iter().enumerate() {
                    assert!(header.length <= 10 && header.stream == 5);
                    let ends = at + 1 == frames.len();
                    match *frame {
                        Frame::Headers { fragment, end_stream, end_headers, depends_on } => {
                            assert_eq!((at, end_stream, end_headers), (0, is_end, ends));
                            assert_eq!(depends_on, None);
                            joined.extend_from_slice(fragment);
                        }
                        Frame::Continuation { fragment, end_headers } => {
                            assert!(at > 0 && end_headers == ends && !fragment.is_empty());
                            joined.extend_from_slice(fragment);
                        }
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(joined, block);
            }
        }
    }
}
