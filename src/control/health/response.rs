//! The response of a target to a check: read by the parser and the rules for the responses of traffic, so that a check
//! never passes where all traffic fails.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::exchange::failure::Failure;
use crate::exchange::interim::Interims;
use crate::http::fields::{FIELD_COUNT_MAX, Fields};
use crate::http::head::{HeadLimits, Method};
use crate::http1::head::{self, Parsed};
use crate::http1::rest::Rest;

/// How much is received at a time, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// Why a response could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The connection ended before it was whole.
    Closed(Part),
    Failed(io::Error, Part),
    /// For the reason that traffic would have failed.
    Invalid(Failure),
}

/// The part of a response at which it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Head { any_byte: bool },
    Content,
}

impl Unread {
    /// The failure that a client's request would have had.
    pub(super) fn failure(&self) -> Failure {
        match *self {
            Unread::Closed(part) => closed(part),
            // The end of a TLS connection that nobody has announced.
            Unread::Failed(ref error, part) if error.kind() == io::ErrorKind::UnexpectedEof => {
                closed(part)
            }
            Unread::Failed(_, Part::Head { any_byte }) => Failure::TargetReset { any_byte },
            Unread::Failed(_, Part::Content) => Failure::TargetContentReset,
            Unread::Invalid(failure) => failure,
        }
    }
}

fn closed(part: Part) -> Failure {
    match part {
        Part::Head { any_byte } => Failure::TargetClosed { any_byte },
        Part::Content => Failure::TargetContentShort,
    }
}

/// Reads one response from a stream.
pub(super) struct Reader<S> {
    stream: S,
    method: Method,
    limits: HeadLimits,
    /// Received bytes that are not used yet.
    bytes: Vec<u8>,
    rest: Rest,
    /// Whether the content has ended.
    is_over: bool,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// `head_bytes`: the group's longest response head.
    pub(super) fn new(stream: S, method: &str, head_bytes: usize) -> Reader<S> {
        let limits = HeadLimits {
            request_line_bytes: head_bytes,
            field_line_bytes: head_bytes,
            head_bytes,
            field_count: FIELD_COUNT_MAX,
        };
        let method = Method::of(method.as_bytes());
        Reader { stream, method, limits, bytes: Vec::new(), rest: Rest::None, is_over: true }
    }

    /// Whether content has come that was not read yet.
    pub(super) fn has_bytes(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Receives more; 0 at the end of the stream.
    async fn receive(&mut self) -> io::Result<usize> {
        self.bytes.reserve(PIECE_BYTES);
        self.stream.read_buf(&mut self.bytes).await
    }

    /// The final status, once the whole head is there.
    pub(super) async fn head(&mut self) -> Result<u16, Unread> {
        let mut interims = Interims::default();
        let began = tokio::time::Instant::now();
        let mut any_byte = false;
        loop {
            if let Some((status, head_bytes)) = self.parse()? {
                self.bytes.drain(..head_bytes);
                match status {
                    101 => return Err(Unread::Invalid(Failure::UnaskedUpgrade)),
                    200.. => return Ok(status),
                    _ => {}
                }
                let now_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                interims
                    .count(head_bytes, self.limits.head_bytes, now_ms)
                    .map_err(Unread::Invalid)?;
                continue;
            }
            any_byte |= !self.bytes.is_empty();
            match self.receive().await {
                Ok(0) => return Err(Unread::Closed(Part::Head { any_byte })),
                Ok(_) => {}
                Err(error) => return Err(Unread::Failed(error, Part::Head { any_byte })),
            }
        }
    }

    /// Status and length of the received head; `None` while it is not whole.
    fn parse(&mut self) -> Result<Option<(u16, usize)>, Unread> {
        let mut fields = Fields::new();
        let parsed = head::parse_response(&self.bytes, &self.limits, self.method, &mut fields);
        match parsed.map_err(|fault| Unread::Invalid(Failure::ResponseInvalid(fault)))? {
            Parsed::Partial => Ok(None),
            Parsed::Complete((head, on_wire)) => {
                self.rest = Rest::of(on_wire.framing);
                self.is_over = self.rest.is_none();
                Ok(Some((head.status, head.raw.len())))
            }
        }
    }

    /// The next piece of content, beginning with the bytes that came with the head; `None` at its end.
    pub(super) async fn content(&mut self) -> Result<Option<Vec<u8>>, Unread> {
        if self.is_over {
            return Ok(None);
        }
        if self.bytes.is_empty() {
            match self.receive().await {
                Ok(0) if self.rest.ends_by_close() => {
                    self.is_over = true;
                    return Ok(None);
                }
                Ok(0) => return Err(Unread::Closed(Part::Content)),
                Ok(_) => {}
                Err(error) => return Err(Unread::Failed(error, Part::Content)),
            }
        }
        self.take().map(Some)
    }

    /// The content among the received bytes.
    fn take(&mut self) -> Result<Vec<u8>, Unread> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let taken = self
            .rest
            .take(&mut bytes)
            .map_err(|fault| Unread::Invalid(Failure::TargetContentInvalid(fault)))?;
        bytes.truncate(taken.content);
        self.is_over = taken.end;
        Ok(bytes)
    }
}
