//! A connection to a target, and its waiting receive, which notices what happens while it is idle.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::tls::target::ConnectionId;
use crate::transport::stream::{self, RecvAny, Stream};

/// A connection that belongs to its holder alone: an exchange, or the pool.
///
/// Its receive is always in flight. While the connection is idle in the pool it notices a close or
/// stray bytes, and makes the connection useless; in an exchange it becomes the receive of the
/// response, which therefore was submitted before the request was.
pub struct TargetConnection {
    pub stream: Stream,
    pub receive: RecvAny,
    /// In this very turn `receive` was polled and is pending, so that it will wake the task that polled it.
    pub is_awaited: bool,
    /// What both ends have proven.
    pub id: ConnectionId,
}

impl TargetConnection {
    pub fn new(stream: Stream, id: ConnectionId) -> TargetConnection {
        let receive = stream.recv_any();
        TargetConnection { stream, receive, is_awaited: false, id }
    }

    /// Makes the connection ready for another request; its receive must have completed.
    #[inline(always)]
    pub fn renew(&mut self) {
        self.receive.again();
    }

    /// Whether nothing has arrived since it was put into the pool. A pooled connection with a close, an error or bytes
    /// waiting is never used again (RFC 9112 §9.2). Bytes of this very turn are seen only with `surely`, which asks the
    /// kernel: for requests that could not be sent again. Under TLS they may be tickets or new keys, which are waited
    /// for, since they are there, and disturb nothing.
    #[inline]
    pub fn poll_quiet(&mut self, surely: bool, cx: &mut Context<'_>) -> Poll<bool> {
        self.is_awaited = Pin::new(&mut self.receive).poll(cx).is_pending();
        match self.is_awaited {
            true => self.stream.poll_quiet(surely),
            false => Poll::Ready(false),
        }
    }

    /// Closes it. A receive that is in flight is ended and awaited in the background.
    pub fn close(self) {
        self.stream.end();
        if self.receive.is_over() {
            return;
        }
        stream::forget(self.receive);
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
