//! Content on its way through an exchange: in owned pieces, which only the writers of a wire frame.

/// Room at the front of every piece's buffer for its framing on a wire: the size line of a chunk.
pub const ROOM: usize = 18;

/// One piece of content: `buffer[from..]`. The bytes before it may be overwritten.
#[derive(Debug, Default)]
pub struct Piece {
    pub buffer: Vec<u8>,
    pub from: usize,
}

impl Piece {
    /// Bytes of content.
    pub fn len(&self) -> usize {
        self.buffer.len().saturating_sub(self.from)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether more content comes behind a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    No,
    /// The framing says that this was all.
    Last,
    /// Only the end of the sender's stream says so.
    ByClose,
}

/// A received piece.
#[derive(Debug)]
pub struct Received {
    pub piece: Piece,
    pub end: End,
}

impl Received {
    pub fn is_last(&self) -> bool {
        self.end != End::No
    }
}

/// Content that came along with its head.
#[derive(Debug, Clone, Copy, Default)]
pub struct Along<'a> {
    pub bytes: &'a [u8],
    /// Trailer lines behind it, where the content ends with it.
    pub end: Option<&'a [u8]>,
}

impl Along<'_> {
    /// Whether the content is complete.
    pub fn is_whole(&self) -> bool {
        self.end.is_some()
    }
}

/// Why sent content is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFault {
    Gone,
    /// The peer has reset the connection. The system reports that once: a receive now finds an end.
    Reset,
    /// The peer took nothing for too long, or less than it must, and was given up.
    Timeout,
}
