//! Content on its way through an exchange: in owned pieces, which only who puts bytes on a wire frames.

/// Room at the front of every piece's buffer for what stands before it on a wire: the size line of a chunk.
pub const ROOM: usize = 18;

/// One piece of content: `buffer[from..]`. What is before it may be written over.
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
    /// The message says that this is all.
    Last,
    /// Its sender has ended the stream, which is all that tells.
    ByClose,
}

/// A piece that has come.
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
    /// Whether no more is to come.
    pub fn is_whole(&self) -> bool {
        self.end.is_some()
    }
}

/// Why content that is sent is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFault {
    Gone,
    /// The peer has reset the connection, of which the system tells once: a receive finds an end now.
    Reset,
    /// It took nothing for too long, or less than it must, and was given up.
    Timeout,
}
