//! A request as the targets of its group understand it: its head, and the content that came along. Tested with
//! the leases.

use std::ops::Range;

use crate::exchange::content::Along;
use crate::exchange::target;
use crate::exchange::websocket::{Key, Proof};
use crate::http::edits::RequestEdits;
use crate::http::head::{ContentLength, RequestHead, WEBSOCKET};
use crate::http1;
use crate::http1::frame;
use crate::http2;
use crate::uring::buffers;

/// How the content behind a head is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// HTTP/1.1, by its length.
    #[default]
    Length,
    Chunked,
    /// Not yet: that depends on the windows of the connection.
    Http2,
}

/// What a request on HTTP/2 asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asks {
    #[default]
    Response,
    /// A tunnel of WebSocket, whose client waits for this proof, if it is one of HTTP/1.1.
    Tunnel(Option<Proof>),
}

/// A request that can be sent, and sent once more, to any target of its group.
#[derive(Debug, Default)]
pub struct Draft {
    /// The head, on HTTP/2 as a field block, and the content behind it; empty while they are being sent.
    pub bytes: Vec<u8>,
    head_bytes: usize,
    pub framing: Framing,
    /// Where behind the head the content itself is, in chunked framing; else it is all that is there.
    chunk: Range<usize>,
    /// The content ends with it.
    has_end: bool,
    /// The trailer lines behind it.
    trailers: Vec<u8>,
    /// On HTTP/2, written with each head.
    asks: Asks,
}

impl Draft {
    /// The field block, the content, and the trailer lines behind that.
    pub fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        let (head, rest) = self.bytes.split_at_checked(self.head_bytes).unwrap_or_default();
        let content = match self.framing {
            Framing::Chunked => rest.get(self.chunk.clone()).unwrap_or_default(),
            Framing::Length | Framing::Http2 => rest,
        };
        (head, content, &self.trailers)
    }

    /// What a request on HTTP/2 asks for.
    pub fn asks(&self) -> Asks {
        self.asks
    }

    /// Takes over the content of a draft before, framed as the new head says.
    #[cold]
    fn take_content(&mut self, before: Draft) {
        if before.framing == self.framing {
            let rest = before.bytes.get(before.head_bytes..).unwrap_or_default();
            self.bytes.extend_from_slice(rest);
            self.chunk = before.chunk;
            self.has_end = before.has_end;
            self.trailers = before.trailers;
        } else {
            let (_, bytes, trailers) = before.parts();
            let end = before.has_end.then_some(trailers);
            target::Draft::append(self, Along { bytes, end });
        }
        buffers::give_back(before.bytes);
    }

    #[inline(always)]
    fn begin(&mut self, head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>) {
        self.bytes = buffers::small();
        match edits.wire.scheme() {
            None => {
                http1::rewrite::request(head, edits, &mut self.bytes);
                self.framing = match head.content {
                    ContentLength::Unknown => Framing::Chunked,
                    ContentLength::None | ContentLength::Exact(_) => Framing::Length,
                };
            }
            Some(scheme) => self.code(head, edits, scheme),
        }
        self.head_bytes = self.bytes.len();
    }

    #[inline(never)]
    fn code(&mut self, head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>, scheme: &[u8]) {
        let is_tunnel = edits.upgrade.is_some();
        self.framing = Framing::Http2;
        self.asks = match is_tunnel {
            true => Asks::Tunnel(Key::of(head).map(|key| key.proof())),
            false => Asks::Response,
        };
        let protocol = is_tunnel.then_some(WEBSOCKET);
        http2::rewrite::request(head, edits, (scheme, protocol), &mut self.bytes);
    }

    /// Writes content as a chunk.
    #[inline(never)]
    fn append_chunk(&mut self, along: Along<'_>) {
        let at = self.bytes.len();
        frame::append_chunk(along.bytes, along.end, &mut self.bytes);
        let framed = self.bytes.get(at..).unwrap_or_default();
        let size_line = match along.bytes.is_empty() {
            true => 0,
            false => memchr::memchr(b'\n', framed).map_or(0, |end| end + 1),
        };
        let start = at - self.head_bytes + size_line;
        self.chunk = start..start + along.bytes.len();
    }
}

impl target::Draft for Draft {
    #[inline(always)]
    fn write(&mut self, head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>) {
        let before = (self.head_bytes > 0).then(|| std::mem::take(self));
        self.begin(head, edits);
        if let Some(before) = before {
            self.take_content(before);
        }
    }

    #[inline(always)]
    fn append(&mut self, along: Along<'_>) {
        self.has_end = along.is_whole();
        if let Some(trailers @ [_, ..]) = along.end {
            self.trailers.extend_from_slice(trailers);
        }
        match self.framing {
            Framing::Chunked => self.append_chunk(along),
            Framing::Length | Framing::Http2 => self.bytes.extend_from_slice(along.bytes),
        }
    }

    #[inline(always)]
    fn clear(&mut self) {
        buffers::give_back(std::mem::take(&mut self.bytes));
        self.head_bytes = 0;
        self.chunk = 0..0;
        self.has_end = false;
        self.trailers.clear();
    }
}
