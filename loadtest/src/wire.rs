//! HTTP/1.1 as both ends of a load test need it: heads and content taken from a connection's buffer,
//! chunked content written.
//!
//! Owns: the buffer of what has arrived and not been used. Never: tolerance; what is not exactly as
//! RFC 9112 says is a fault to report. Tested below over in-memory pipes, byte by byte and whole.

use std::io::{self, Write as _};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest head, and longest line inside chunked content.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Room for one read.
const READ_BYTES: usize = 64 * 1024;

/// What can be wrong with what arrives.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the connection failed: {0}")]
    Connection(#[from] io::Error),
    #[error("the connection ended inside a message")]
    Ended,
    #[error("the head is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error("chunked content is not as RFC 9112 §7.1 says")]
    Chunk,
    #[error("the connection was kept with {0} bytes beyond the end of the message")]
    Surplus(usize),
}

/// How the end of content is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
}

/// One side of a connection, read through a buffer.
#[derive(Debug)]
pub struct Incoming<S> {
    stream: S,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been used.
    used: usize,
}

impl<S: AsyncRead + Unpin> Incoming<S> {
    pub fn new(stream: S) -> Incoming<S> {
        Incoming { stream, buffer: Vec::new(), used: 0 }
    }

    /// Bytes that have arrived and have not been used.
    pub fn waiting(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// Marks `count` of the waiting bytes as used.
    pub fn consume(&mut self, count: usize) {
        self.used += count;
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        }
    }

    /// Waits until more bytes have arrived; `false` at the end of the connection.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn more(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.reserve(READ_BYTES);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    /// Waits for a whole head and returns its size; `None` when the connection ends before its first
    /// byte.
    ///
    /// # Errors
    /// When the connection fails or ends inside the head, or when the head is too long.
    pub async fn head(&mut self) -> Result<Option<usize>, Fault> {
        loop {
            if let Some(end) = find(self.waiting(), b"\r\n\r\n") {
                return Ok(Some(end));
            }
            if self.waiting().len() > HEAD_BYTES_MAX {
                return Err(Fault::HeadTooLong);
            }
            if !self.more().await? {
                return if self.waiting().is_empty() { Ok(None) } else { Err(Fault::Ended) };
            }
        }
    }

    /// Takes a message's whole content and hands it to `sink` piece by piece.
    ///
    /// # Errors
    /// When the connection fails or ends inside the content, or when its framing is wrong.
    pub async fn content(
        &mut self,
        framing: Framing,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), Fault> {
        match framing {
            Framing::Length(size) => self.exactly(size, &mut sink).await,
            Framing::Chunked => loop {
                let size = self.chunk_size().await?;
                if size == 0 {
                    while self.line().await? > 2 {}
                    return Ok(());
                }
                self.exactly(size, &mut sink).await?;
                self.line_end().await?;
            },
        }
    }

    async fn exactly(&mut self, mut size: u64, sink: &mut impl FnMut(&[u8])) -> Result<(), Fault> {
        while size > 0 {
            let waiting = self.waiting();
            let count = waiting.len().min(usize::try_from(size).unwrap_or(usize::MAX));
            sink(&waiting[..count]);
            self.consume(count);
            size -= count as u64;
            if size > 0 && !self.more().await? {
                return Err(Fault::Ended);
            }
        }
        Ok(())
    }

    async fn chunk_size(&mut self) -> Result<u64, Fault> {
        let end = self.whole_line().await?;
        let digits = str::from_utf8(&self.waiting()[..end - 2]).map_err(|_| Fault::Chunk)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Fault::Chunk);
        }
        let size = u64::from_str_radix(digits, 16).map_err(|_| Fault::Chunk)?;
        self.consume(end);
        Ok(size)
    }

    async fn line_end(&mut self) -> Result<(), Fault> {
        match self.line().await? {
            2 => Ok(()),
            _ => Err(Fault::Chunk),
        }
    }

    /// Uses up one line and returns its size with its line end.
    async fn line(&mut self) -> Result<usize, Fault> {
        let size = self.whole_line().await?;
        self.consume(size);
        Ok(size)
    }

    /// Waits for one line and returns its size with its line end.
    async fn whole_line(&mut self) -> Result<usize, Fault> {
        loop {
            if let Some(end) = find(self.waiting(), b"\r\n") {
                return Ok(end);
            }
            if self.waiting().len() > HEAD_BYTES_MAX {
                return Err(Fault::Chunk);
            }
            if !self.more().await? {
                return Err(Fault::Ended);
            }
        }
    }
}

/// Position behind the first `needle` in `haystack`.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle).map(|at| at + needle.len())
}

/// Appends `content` as one chunk; as the last chunk and the end of the message when it is empty.
pub fn write_chunk(content: &[u8], out: &mut Vec<u8>) {
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{:x}\r\n", content.len());
    out.extend_from_slice(content);
    out.extend_from_slice(b"\r\n");
}

/// The value of the first field with that name, as text.
pub fn field<'v>(fields: &[httparse::Header<'v>], name: &str) -> Option<&'v str> {
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
    str::from_utf8(field.value).ok()
}

/// How a message with these fields is framed; `None` when it has neither a length nor chunks.
pub fn framing(fields: &[httparse::Header<'_>]) -> Option<Framing> {
    if field(fields, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    {
        return Some(Framing::Chunked);
    }
    field(fields, "content-length")?.parse().ok().map(Framing::Length)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Reads a head and content that arrive in pieces of `piece` bytes; returns the content and what
    /// is left.
    fn read(message: &[u8], piece: usize, framing: Framing) -> Result<(Vec<u8>, Vec<u8>), Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut far, near) = tokio::io::duplex(piece);
            let message = message.to_vec();
            let writer = tokio::spawn(async move { far.write_all(&message).await });
            let mut incoming = Incoming::new(near);
            let head = incoming.head().await?.ok_or(Fault::Ended)?;
            incoming.consume(head);
            let mut content = Vec::new();
            incoming.content(framing, |bytes| content.extend_from_slice(bytes)).await?;
            writer.abort();
            Ok((content, incoming.waiting().to_vec()))
        })
    }

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";

    #[test]
    fn content_with_a_length_ends_there_however_it_arrives() {
        let message = [HEAD, b"0123456789".as_slice()].concat();
        for piece in 1..=message.len() {
            let (content, rest) = read(&message, piece, Framing::Length(10)).unwrap();
            assert_eq!((content.as_slice(), rest.len()), (b"0123456789".as_slice(), 0));
        }
        let (content, rest) = read(&message, 1024, Framing::Length(4)).unwrap();
        assert_eq!((content.as_slice(), rest.as_slice()), (&b"0123"[..], &b"456789"[..]));
    }

    #[test]
    fn chunks_and_trailers_are_taken_however_they_arrive() {
        let mut message = HEAD.to_vec();
        write_chunk(b"hello ", &mut message);
        write_chunk(&[b'x'; 20], &mut message);
        message.extend_from_slice(b"0\r\nTrailer: value\r\n\r\n");
        for piece in 1..=message.len() {
            let (content, rest) = read(&message, piece, Framing::Chunked).unwrap();
            assert_eq!((content.len(), rest.len()), (26, 0), "pieces of {piece}");
        }
    }

    #[test]
    fn wrong_chunks_and_early_ends_are_faults() {
        for wrong in ["\r\n", "+1\r\nx\r\n", "0x1\r\nx\r\n", "1\r\nxy\r\n", "1;e\r\nx\r\n", "g\r\n"]
        {
            let message = [HEAD, wrong.as_bytes()].concat();
            assert!(
                matches!(read(&message, 1024, Framing::Chunked), Err(Fault::Chunk)),
                "{wrong:?}"
            );
        }
        let message = [HEAD, b"5\r\nhel".as_slice()].concat();
        assert!(matches!(read(&message, 1024, Framing::Chunked), Err(Fault::Ended)));
        assert!(matches!(read(HEAD, 1024, Framing::Length(1)), Err(Fault::Ended)));
        assert!(matches!(read(b"HTTP/1.1", 1024, Framing::Length(0)), Err(Fault::Ended)));
    }

    #[test]
    fn framing_is_read_from_the_fields() {
        let fields =
            |name, value: &'static str| [httparse::Header { name, value: value.as_bytes() }];
        assert_eq!(framing(&fields("content-length", "12")), Some(Framing::Length(12)));
        assert_eq!(framing(&fields("Transfer-Encoding", "Chunked")), Some(Framing::Chunked));
        assert_eq!(framing(&fields("content-length", "x")), None);
        assert_eq!(framing(&[]), None);
    }
}
