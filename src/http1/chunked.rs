//! Chunked transfer coding, RFC 9112 §7.1: a decoder that compacts in place, and canonical encoding.
//!
//! Chunk lines are never passed through: the decoder returns content alone, and the encoder writes new lines without
//! extensions. A line ends with CRLF and nothing else, a size is hex digits and nothing else; white space may follow a
//! size before an extension, and in responses also without one. Never buffers content. Tested whole, byte by byte, at
//! every split, with trailing data, and by the fuzz target `chunked`.

mod extension;
mod trailers;

use crate::http::refusal::ChunkFault;
use extension::Extension;
use trailers::Trailers;

/// The result of one call to [`Decoder::decode_in_place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of content now at the front of the buffer.
    pub content: usize,
    /// Bytes of input used; the bytes behind them belong to the next message (only possible when `end`).
    pub consumed: usize,
    /// The last chunk and the trailer section have been read whole.
    pub end: bool,
}

/// Most hex digits of a chunk size: those of 64 bits, leading zeros included.
const SIZE_DIGITS_MAX: u8 = 16;

/// ```text
/// Size ─digit─▶ Size ─[space]─;─▶ Extension ─CR─▶ SizeLf ─LF─▶ Content ─▶ ContentCr ─▶ ContentLf ─▶ Size
///        └──CR, in responses [space] CR───────────▲ └─LF, size 0─▶ Trailers ─empty line─▶ End
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Size,
    /// White space behind a size.
    Space,
    Extension,
    SizeLf,
    Content,
    ContentCr,
    ContentLf,
    Trailers,
    End,
}

/// State across buffers. Limits: chunk extensions of a chunk ≤ 256 bytes (and 16 KiB a message), trailer section ≤ 16
/// KiB, 64 trailer fields. Trailer lines are judged like head fields; framing and routing fields among them are
/// refused.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// The size while it is read, then how many bytes of the chunk are still to come.
    size: u64,
    size_digits: u8,
    takes_padding: bool,
    extension: Extension,
    trailers: Trailers,
}

impl Decoder {
    /// For content from a target: old servers pad the line of a size with spaces. A request gets no such leniency,
    /// because its target may read it differently; a response reaches the client framed anew.
    pub fn of_response() -> Decoder {
        Decoder { takes_padding: true, ..Decoder::default() }
    }

    /// Reads the next bytes of the message and moves the content among them to the front of `buf`. All bytes are
    /// consumed unless the message ends within. After an error neither the decoder nor the content of `buf` may be used
    /// any more.
    pub fn decode_in_place(&mut self, buf: &mut [u8]) -> Result<Decoded, ChunkFault> {
        let mut read = 0_usize;
        let mut content = 0_usize;
        while self.state != State::End && read < buf.len() {
            match self.state {
                State::Content => {
                    let run = self.content_run(buf.len().saturating_sub(read));
                    let run_end = read.saturating_add(run);
                    if content != read {
                        buf.copy_within(read..run_end, content);
                    }
                    content = content.saturating_add(run);
                    read = run_end;
                    if self.size == 0 && buf.get(read..).unwrap_or_default().starts_with(b"\r\n") {
                        read = read.saturating_add(2);
                        self.state = State::Size;
                    }
                }
                State::Trailers => {
                    let input = buf.get(read..).unwrap_or_default();
                    let (used, end) = self.trailers.take_in(input)?;
                    read = read.saturating_add(used);
                    if end {
                        self.state = State::End;
                    }
                }
                _ => {
                    let Some(input @ [byte, ..]) = buf.get(read..) else { break };
                    let begins = (self.state, self.size_digits) == (State::Size, 0);
                    if let Some((size, used)) = begins.then(|| size_line(input)).flatten() {
                        self.size = size;
                        self.state = after_size(size);
                        read = read.saturating_add(used);
                        continue;
                    }
                    self.frame_byte(*byte)?;
                    read = read.saturating_add(1);
                }
            }
        }
        Ok(Decoded { content, consumed: read, end: self.state == State::End })
    }

    /// How many of `available` bytes are content of this chunk; subtracts them from its size.
    #[inline]
    fn content_run(&mut self, available: usize) -> usize {
        let run = usize::try_from(self.size).unwrap_or(usize::MAX).min(available);
        self.size = self.size.saturating_sub(run as u64);
        if self.size == 0 {
            self.state = State::ContentCr;
        }
        run
    }

    /// One byte of chunk framing.
    fn frame_byte(&mut self, byte: u8) -> Result<(), ChunkFault> {
        self.state = match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if self.size_digits == SIZE_DIGITS_MAX {
                    return Err(ChunkFault::SizeOverflow);
                }
                self.size_digits = self.size_digits.saturating_add(1);
                self.size = (self.size << 4) | hex_value(byte);
                State::Size
            }
            (State::Size | State::Space, b'\n') => return Err(ChunkFault::BareLf),
            (State::Size, b'\r' | b';') if self.size_digits == 0 => {
                return Err(ChunkFault::SizeEmpty);
            }
            (State::Size, b'\r') => State::SizeLf,
            (State::Size, b' ' | b'\t') if self.size_digits > 0 => {
                self.extension.open()?;
                State::Space
            }
            (State::Space, b' ' | b'\t') => {
                self.extension.count()?;
                State::Space
            }
            (State::Space, b'\r') if self.takes_padding => State::SizeLf,
            (State::Size, b';') => {
                self.extension.open()?;
                State::Extension
            }
            (State::Space, b';') => {
                self.extension.count()?;
                State::Extension
            }
            (State::Size | State::Space, _) => return Err(ChunkFault::SizeInvalid),
            (State::Extension, b'\n') => return Err(ChunkFault::BareLf),
            (State::Extension, b'\r') => {
                self.extension.close()?;
                State::SizeLf
            }
            (State::Extension, byte) => {
                self.extension.take_in(byte)?;
                State::Extension
            }
            (State::SizeLf, b'\n') => {
                self.size_digits = 0;
                after_size(self.size)
            }
            (State::ContentCr, b'\r') => State::ContentLf,
            (State::ContentCr, b'\n') => return Err(ChunkFault::BareLf),
            (State::ContentCr, _) => return Err(ChunkFault::ContentOverrun),
            (State::ContentLf, b'\n') => State::Size,
            (State::SizeLf | State::ContentLf, _) => return Err(ChunkFault::BareCr),
            // Not framing: decode_in_place never brings these here.
            (state @ (State::Content | State::Trailers | State::End), _) => state,
        };
        Ok(())
    }

    /// Validated trailer field lines, each with its CRLF, without the final empty line.
    pub fn trailers(&self) -> &[u8] {
        self.trailers.lines()
    }
}

/// What comes behind the line of a chunk of this size.
fn after_size(size: u64) -> State {
    if size == 0 { State::Trailers } else { State::Content }
}

/// Most hex digits of a size that is read at once.
const SIZE_DIGITS_AT_ONCE: usize = 8;

/// The size in a line that is nothing but digits, with how many bytes the line has; `None` where it must be read byte by
/// byte: when it is not whole, has an extension, or is wrong.
#[inline]
fn size_line(input: &[u8]) -> Option<(u64, usize)> {
    let mut size = 0;
    for (at, byte) in input.iter().take(SIZE_DIGITS_AT_ONCE.saturating_add(1)).enumerate() {
        match byte {
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => size = (size << 4) | hex_value(*byte),
            b'\r' if at > 0 && input.get(at.saturating_add(1)) == Some(&b'\n') => {
                return Some((size, at.saturating_add(2)));
            }
            _ => return None,
        }
    }
    None
}

/// The value of a byte that is a hex digit.
fn hex_value(digit: u8) -> u64 {
    u64::from(match digit {
        b'0'..=b'9' => digit.wrapping_sub(b'0'),
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }) & 0xf
}

/// Most bytes [`write_size`] writes.
pub const SIZE_LINE_BYTES_MAX: usize = 18;

/// Writes the canonical size line (lower-case hex, CRLF) of a chunk at the end of `room` and returns its length.
pub fn write_size(length: usize, room: &mut [u8; SIZE_LINE_BYTES_MAX]) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = length;
    let mut written = 0_usize;
    for (place, byte) in room.iter_mut().rev().enumerate() {
        *byte = match place {
            0 => b'\n',
            1 => b'\r',
            _ if rest == 0 && place > 2 => break,
            _ => {
                #[expect(clippy::indexing_slicing, reason = "four bits, sixteen digits")]
                let digit = DIGITS[rest & 0xf];
                rest >>= 4;
                digit
            }
        };
        written = written.saturating_add(1);
    }
    written
}

/// Appends the last chunk, the trailer lines and the empty line.
pub fn write_end(trailers: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
