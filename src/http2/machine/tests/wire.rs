//! The test as a peer: frames to bytes, and what a machine has sent back to frames.

use crate::http2::frame::error_code::ErrorCode;
use crate::http2::frame::{HEADER_BYTES, Header, Kind, PREFACE, flags};
use crate::http2::hpack::block::{Block, Limits};
use crate::http2::hpack::decoder::Decoder;

/// A frame with any payload.
pub fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header { length: payload.len() as u32, kind, flags, stream };
    [&header.bytes()[..], payload].concat()
}

/// A client's preface, its SETTINGS and its ack.
pub fn greeting(values: &[(u16, u32)]) -> Vec<u8> {
    [&PREFACE[..], &settings(values), &settings_ack()].concat()
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let pairs = values.iter().flat_map(|(id, value)| {
        let (id, value) = (id.to_be_bytes(), value.to_be_bytes());
        id.into_iter().chain(value)
    });
    frame(Kind::Settings, 0, 0, &pairs.collect::<Vec<u8>>())
}

pub fn settings_ack() -> Vec<u8> {
    frame(Kind::Settings, flags::ACK, 0, &[])
}

pub fn ping(data: [u8; 8]) -> Vec<u8> {
    frame(Kind::Ping, 0, 0, &data)
}

pub fn ping_ack(data: [u8; 8]) -> Vec<u8> {
    frame(Kind::Ping, flags::ACK, 0, &data)
}

pub fn data(stream: u32, content: &[u8], ends: bool) -> Vec<u8> {
    frame(Kind::Data, if ends { flags::END_STREAM } else { 0 }, stream, content)
}

/// DATA with so much padding.
pub fn padded(stream: u32, content: &[u8], padding: u8) -> Vec<u8> {
    let payload = [&[padding], content, &vec![0; usize::from(padding)]].concat();
    frame(Kind::Data, flags::PADDED, stream, &payload)
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(Kind::WindowUpdate, 0, stream, &increment.to_be_bytes())
}

pub fn rst_stream(stream: u32, code: ErrorCode) -> Vec<u8> {
    frame(Kind::RstStream, 0, stream, &code.number().to_be_bytes())
}

pub fn goaway(last: u32, code: ErrorCode) -> Vec<u8> {
    frame(Kind::Goaway, 0, 0, &[last.to_be_bytes(), code.number().to_be_bytes()].concat())
}

pub fn headers(stream: u32, block: &[u8], ends: bool) -> Vec<u8> {
    let end_stream = if ends { flags::END_STREAM } else { 0 };
    frame(Kind::Headers, flags::END_HEADERS | end_stream, stream, block)
}

/// Literal fields without indexing.
pub fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in lines {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "one byte tells the length");
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// GET http://a/ in five bytes and a name.
pub fn get_block() -> Vec<u8> {
    vec![0x82, 0x86, 0x84, 0x01, 1, b'a']
}

/// POST http://a/.
pub fn post_block() -> Vec<u8> {
    vec![0x83, 0x86, 0x84, 0x01, 1, b'a']
}

pub fn get(stream: u32) -> Vec<u8> {
    headers(stream, &get_block(), true)
}

/// A request whose content is to come.
pub fn post(stream: u32) -> Vec<u8> {
    headers(stream, &post_block(), false)
}

/// A frame that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub header: Header,
    pub payload: Vec<u8>,
}

impl Sent {
    pub fn code(&self) -> ErrorCode {
        let at = if self.header.kind == Kind::Goaway { 4 } else { 0 };
        let number = self.payload[at..at + 4].try_into().expect("four bytes");
        ErrorCode::of(u32::from_be_bytes(number))
    }

    pub fn number(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().expect("four bytes"))
    }

    pub fn is(&self, kind: Kind, stream: u32) -> bool {
        (self.header.kind, self.header.stream) == (kind, stream)
    }

    pub fn ends(&self) -> bool {
        self.header.has(flags::END_STREAM)
    }
}

/// The frames in what was sent.
pub fn sent(bytes: &[u8]) -> Vec<Sent> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let Some((head, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::read(head);
        let (payload, after) = after.split_at(header.length as usize);
        frames.push(Sent { header, payload: payload.to_vec() });
        rest = after;
    }
    assert!(rest.is_empty(), "{rest:?}");
    frames
}

/// The lines of a head that was sent in one frame.
pub fn lines(frame: &Sent) -> String {
    let limits = Limits { list_bytes: 1 << 20, field_count: 256, list_bytes_max: 1 << 20 };
    let (mut decoder, mut block) = (Decoder::default(), Block::default());
    decoder.decode(&frame.payload, true, &limits, &mut block).expect("a valid block");
    String::from_utf8_lossy(block.raw()).into_owned()
}
