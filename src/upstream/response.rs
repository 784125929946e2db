//! A response of HTTP/1 as it arrives: heads, then content by its framing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::connection::TargetConnection;
use crate::exchange::content::{Along, End, Piece, ROOM, Received};
use crate::exchange::target::{ReceiveFault, Receiving};
use crate::http::fields::Fields;
use crate::http::head::{HeadLimits, Method, ResponseHead};
use crate::http::refusal::{ChunkFault, ResponseFault};
use crate::http1::head::{self, Parsed};
use crate::http1::rest::Rest;
use crate::transport::stream::Recv;
use crate::uring::buffers;

/// A buffer with less room than this is changed for a larger one before more of a head is received.
const ROOM_BYTES_MIN: usize = 512;

/// One response.
pub struct Response {
    pub(super) connection: TargetConnection,
    /// Bytes that have arrived; the first `used` of them are used up.
    bytes: Vec<u8>,
    used: usize,
    receive: Receive,
    rest: Rest,
    /// The content has ended.
    is_over: bool,
    /// Whether the connection may be used again, as far as the response tells.
    may_keep: bool,
    /// How long the target keeps it, from its Keep-Alive field.
    idle_s: Option<u32>,
}

/// The receive that is in flight.
enum Receive {
    /// The receive of the connection itself.
    Waiting,
    None,
    Further(Recv),
}

impl Response {
    pub(super) fn new(connection: TargetConnection) -> Response {
        Response {
            connection,
            bytes: Vec::new(),
            used: 0,
            receive: Receive::Waiting,
            rest: Rest::None,
            is_over: false,
            may_keep: false,
            idle_s: None,
        }
    }

    /// Makes the connection ready for another request, if it can take one.
    #[inline(always)]
    pub(super) fn renew(&mut self) -> Option<Kept> {
        buffers::give_back(std::mem::take(&mut self.bytes));
        if !(self.is_over && self.may_keep) {
            return None;
        }
        self.used = 0;
        self.receive = Receive::Waiting;
        self.rest = Rest::None;
        self.is_over = false;
        self.may_keep = false;
        self.connection.renew();
        Some(Kept { idle_s: self.idle_s.take() })
    }

    /// Ends the connection.
    pub(super) fn close(mut self) {
        buffers::give_back(std::mem::take(&mut self.bytes));
        self.connection.close();
    }

    /// Takes the bytes that are not used up: those of a tunnel, once its head has been used.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..self.used.min(bytes.len()));
        self.used = 0;
        bytes
    }

    /// The buffer for more of a head, with the bytes of the head so far in front.
    fn take_with_room(&mut self) -> Vec<u8> {
        let mut bytes = self.take_bytes();
        if bytes.capacity() - bytes.len() < ROOM_BYTES_MIN {
            let mut larger = buffers::large();
            if larger.capacity() < bytes.len() + 8 * ROOM_BYTES_MIN {
                larger = Vec::with_capacity(bytes.capacity() * 2);
            }
            larger.extend_from_slice(&bytes);
            buffers::give_back(std::mem::replace(&mut bytes, larger));
        }
        bytes
    }

    /// Handles the result of a receive for a head.
    fn more_head(&mut self, result: io::Result<usize>) -> Result<(), ReceiveFault> {
        self.receive = Receive::None;
        match result {
            Ok(count) if count > 0 => Ok(()),
            Ok(_) => Err(ReceiveFault::Closed),
            Err(error) => Err(cut(&error)),
        }
    }

    /// Handles the result of a receive for content, which lies behind [`ROOM`] bytes of `buffer`.
    fn more_content(
        &mut self,
        result: io::Result<usize>,
        mut buffer: Vec<u8>,
    ) -> Result<Received, ReceiveFault> {
        let count = match result {
            Ok(count) if count > 0 => count,
            Ok(_) if self.rest.ends_by_close() => {
                self.is_over = true;
                let piece = Piece { buffer, from: ROOM };
                return Ok(Received { piece, end: End::ByClose });
            }
            Ok(_) => return Err(ReceiveFault::Closed),
            Err(error) => return Err(cut(&error)),
        };
        let input = buffer.get_mut(ROOM..).unwrap_or_default();
        let taken = self.rest.take(input).map_err(ReceiveFault::Invalid)?;
        self.may_keep &= !taken.end || taken.used == count;
        self.is_over = taken.end;
        buffer.truncate(ROOM + taken.content);
        let end = if self.is_over { End::Last } else { End::No };
        Ok(Received { piece: Piece { buffer, from: ROOM }, end })
    }
}

/// How a stream was cut. One under TLS that ends without its `close_notify` has ended, but nobody has said that this
/// was all (RFC 8446 §6.1), so that content which ends with it is not whole (RFC 9112 §9.8).
fn cut(error: &io::Error) -> ReceiveFault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ReceiveFault::Closed,
        _ => ReceiveFault::Reset,
    }
}

/// A connection that another request may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// For how long the target promises to keep it.
    pub idle_s: Option<u32>,
}

impl Receiving for Response {
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReceiveFault>> {
        if let Receive::Waiting = self.receive {
            if std::mem::take(&mut self.connection.is_awaited) {
                // It was polled in this very turn and was pending.
                return Poll::Pending;
            }
            let result = ready!(Pin::new(&mut self.connection.receive).poll(cx));
            let result = result.map(|bytes| {
                self.bytes = bytes;
                self.bytes.len()
            });
            return Poll::Ready(self.more_head(result));
        }
        loop {
            match &mut self.receive {
                Receive::Further(receive) => {
                    let (result, buffer) = ready!(Pin::new(receive).poll(cx));
                    self.bytes = buffer;
                    return Poll::Ready(self.more_head(result));
                }
                Receive::Waiting | Receive::None => {
                    let buffer = self.take_with_room();
                    self.receive = Receive::Further(self.connection.stream.recv(buffer));
                }
            }
        }
    }

    fn head<T>(
        &mut self,
        method: Method,
        limits: &HeadLimits,
        look: impl FnOnce(&ResponseHead<'_, '_>) -> T,
    ) -> Result<Option<T>, ResponseFault> {
        let mut fields = Fields::new();
        let bytes = self.bytes.get(self.used..).unwrap_or_default();
        let (head, on_wire) = match head::parse_response(bytes, limits, method, &mut fields)? {
            Parsed::Partial => return Ok(None),
            Parsed::Complete(response) => response,
        };
        if head.status >= 200 {
            self.may_keep = on_wire.persistent;
            self.idle_s = on_wire.keep_alive_s;
            self.rest = Rest::of(on_wire.framing);
        }
        let used = head.raw.len();
        let seen = look(&head);
        drop(fields);
        self.used += used;
        Ok(Some(seen))
    }

    fn is_empty(&self) -> bool {
        self.used >= self.bytes.len()
    }

    #[inline(always)]
    fn along(&mut self) -> Result<Along<'_>, ChunkFault> {
        let bytes = self.bytes.get_mut(self.used..).unwrap_or_default();
        let count = bytes.len();
        let taken = self.rest.take(bytes)?;
        self.is_over = taken.end;
        self.may_keep &= !taken.end || taken.used == count;
        let bytes = self.bytes.get(self.used..).and_then(|bytes| bytes.get(..taken.content));
        self.used = self.bytes.len();
        let end = self.is_over.then(|| self.rest.trailers());
        Ok(Along { bytes: bytes.unwrap_or_default(), end })
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, ReceiveFault>> {
        loop {
            if let Receive::Further(receive) = &mut self.receive {
                let (result, buffer) = ready!(Pin::new(receive).poll(cx));
                self.receive = Receive::None;
                return Poll::Ready(self.more_content(result, buffer));
            }
            buffers::give_back(std::mem::take(&mut self.bytes));
            let mut buffer = buffers::large();
            buffer.resize(ROOM, 0);
            self.receive = Receive::Further(self.connection.stream.recv(buffer));
        }
    }

    fn trailers(&self) -> &[u8] {
        self.rest.trailers()
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
