//! The content of an upload: read to its end, counted, and forgotten.
//!
//! Owns: where the content ends (RFC 9112 §6.3, §7.1). Never: its bytes, so that an upload of any size
//! takes no memory. Tested below: whole, byte by byte, and with bytes of the next request behind it.

use httparse::Status;

use super::request::Refusal;
use crate::wire::Framing;

/// Longest line that gives a chunk's size, and longest trailer section.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Most fields of a trailer section.
const TRAILER_COUNT_MAX: usize = 64;

/// How far into a request's content the reader is.
#[derive(Debug)]
pub struct Content {
    place: Place,
    /// Bytes of content that have arrived, chunk framing not counted.
    pub received: u64,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The rest of content with a length.
    Length(u64),
    /// The line with a chunk's size.
    Size,
    /// The rest of a chunk.
    Chunk(u64),
    /// The line end behind a chunk.
    LineEnd,
    /// The trailer section.
    Trailers,
}

impl Content {
    pub fn new(framing: Framing) -> Content {
        let place = match framing {
            Framing::Length(size) => Place::Length(size),
            Framing::Chunked => Place::Size,
        };
        Content { place, received: 0 }
    }

    /// Takes what belongs to the content from the beginning of `bytes`; returns how many bytes that was,
    /// and whether the content ended with them. What was not taken is to be given again, with more
    /// behind it.
    ///
    /// # Errors
    /// When the chunks are not as they should be.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(usize, bool), Refusal> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match self.place {
                Place::Length(left) => {
                    let (count, left) = self.skip(rest, left);
                    self.place = Place::Length(left);
                    return Ok((used + count, left == 0));
                }
                Place::Chunk(left) => {
                    let (count, left) = self.skip(rest, left);
                    used += count;
                    if left > 0 {
                        self.place = Place::Chunk(left);
                        return Ok((used, false));
                    }
                    self.place = Place::LineEnd;
                }
                Place::LineEnd if rest.starts_with(b"\r\n") => {
                    used += 2;
                    self.place = Place::Size;
                }
                Place::LineEnd if b"\r\n".starts_with(rest) => return Ok((used, false)),
                Place::LineEnd => return Err(Refusal::Chunk),
                // A size has a digit; the parser takes a line without one for zero.
                Place::Size if rest.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) => {
                    return Err(Refusal::Chunk);
                }
                Place::Size => match httparse::parse_chunk_size(rest) {
                    Ok(Status::Complete((count, size))) => {
                        used += count;
                        self.place = if size == 0 { Place::Trailers } else { Place::Chunk(size) };
                    }
                    Ok(Status::Partial) if rest.len() <= LINE_BYTES_MAX => {
                        return Ok((used, false));
                    }
                    _ => return Err(Refusal::Chunk),
                },
                Place::Trailers => {
                    let mut fields = [httparse::EMPTY_HEADER; TRAILER_COUNT_MAX];
                    return match httparse::parse_headers(rest, &mut fields) {
                        Ok(Status::Complete((count, _))) => Ok((used + count, true)),
                        Ok(Status::Partial) if rest.len() <= LINE_BYTES_MAX => Ok((used, false)),
                        _ => Err(Refusal::Chunk),
                    };
                }
            }
        }
    }

    /// Counts what of `bytes` belongs to the `left` bytes that are still to come; returns that, and how
    /// many are left then.
    fn skip(&mut self, bytes: &[u8], left: u64) -> (usize, u64) {
        let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        self.received += count as u64;
        (count, left - count as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `message` in pieces of `piece` bytes; returns the bytes counted and what was not taken, or
    /// `None` when the content has not ended.
    fn read(
        message: &[u8],
        piece: usize,
        framing: Framing,
    ) -> Result<Option<(u64, Vec<u8>)>, Refusal> {
        let mut content = Content::new(framing);
        let (mut held, mut pieces) = (Vec::new(), message.chunks(piece));
        while let Some(more) = pieces.next() {
            held.extend_from_slice(more);
            let (used, ended) = content.take(&held)?;
            held.drain(..used);
            if ended {
                held.extend(pieces.flatten());
                return Ok(Some((content.received, held)));
            }
        }
        Ok(None)
    }

    #[test]
    fn content_ends_where_its_framing_says_however_it_arrives() {
        let chunked = b"6\r\nhello \r\n14;a=\"b\"\r\nxxxxxxxxxxxxxxxxxxxx\r\n0\r\nA: b\r\n\r\n";
        let table = [
            (Framing::Length(10), b"0123456789".as_slice(), 10),
            (Framing::Chunked, chunked.as_slice(), 26),
            (Framing::Chunked, b"0\r\n\r\n".as_slice(), 0),
        ];
        for (framing, message, expected) in table {
            for rest in [b"".as_slice(), b"GET / HTTP/1.1\r\n"] {
                let all = [message, rest].concat();
                for piece in 1..=all.len() {
                    let (received, left) = read(&all, piece, framing).unwrap().unwrap();
                    assert_eq!((received, left.as_slice()), (expected, rest), "{piece}");
                }
            }
            for end in 1..message.len() {
                assert_eq!(read(&message[..end], end, framing), Ok(None), "{end} bytes");
            }
        }
    }

    #[test]
    fn wrong_chunks_are_refused_however_they_arrive() {
        let long = "1;".to_owned() + &"a".repeat(LINE_BYTES_MAX);
        for wrong in ["\r\n", "+1\r\nx\r\n", "0x1\r\nx\r\n", "1\r\nxy\r\n", "g\r\n", &long] {
            for piece in [1, wrong.len()] {
                let read = read(wrong.as_bytes(), piece, Framing::Chunked);
                assert_eq!(read, Err(Refusal::Chunk), "{wrong:.20} by {piece}");
            }
        }
    }
}
