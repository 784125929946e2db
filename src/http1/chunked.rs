//! Chunked transfer coding, RFC 9112 §7.1: a decoder that compacts in place, and canonical encoding.
use super::refusal::ChunkFault;

/// What one call to [`Decoder::decode_in_place`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of content now at the front of the buffer.
    pub content: usize,
    /// Bytes of input used; what follows belongs to the next message (only possible when `end`).
    pub consumed: usize,
    /// The last chunk and the trailer section have been read whole.
    pub end: bool,
}

/// State across buffers. Limits: chunk extensions of a chunk ≤ 256 bytes (and 16 KiB a message), trailer section ≤ 16 KiB,
/// 64 trailer fields. Trailer lines are judged like head fields; framing and routing fields among them refuse.
#[derive(Debug, Default)]
pub struct Decoder {}

impl Decoder {
    pub fn decode_in_place(&mut self, _buf: &mut [u8]) -> Result<Decoded, ChunkFault> {
        todo!()
    }
    /// Validated trailer field lines, each with its CRLF, without the final empty line.
    pub fn trailers(&self) -> &[u8] {
        todo!()
    }
}

/// Most bytes [`write_size`] writes.
pub const SIZE_LINE_BYTES_MAX: usize = 18;
/// Writes the canonical size line (lower-case hex, CRLF) of a chunk right-aligned at the end of `room` and returns its length.
pub fn write_size(_length: usize, _room: &mut [u8; SIZE_LINE_BYTES_MAX]) -> usize {
    todo!()
}
/// Appends the last chunk, the trailer lines and the empty line.
pub fn write_end(_trailers: &[u8], _out: &mut Vec<u8>) {
    todo!()
}
