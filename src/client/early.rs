//! Operations that are handed to the kernel before their result is needed.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::exchange::client::Presence;
use crate::transport::pace::Drain;
use crate::transport::pending::{PendingSend, put};
use crate::transport::stream::{Recv, RecvAny, Stream};

/// The receive of the client's next request, submitted before the current request went out.
#[derive(Default)]
pub enum NextReceive {
    #[default]
    None,
    InFlight(RecvAny),
    /// A receive that brought nothing in time. It is not made to end, because a socket that receives no more answers a
    /// client that goes on sending with a reset; its bytes are not used.
    Late(Recv),
    Arrived(io::Result<Vec<u8>>),
}

impl NextReceive {
    /// Begins to receive, in the place of a receive whose bytes were taken.
    #[inline]
    pub fn begin(&mut self, client: &Stream) {
        put(self, NextReceive::InFlight(client.recv_any()), NextReceive::is_none);
    }

    pub fn is_none(&self) -> bool {
        matches!(self, NextReceive::None)
    }

    /// Completes the receive when its bytes are there. `true` when there is nothing more to wait for.
    pub fn poll_arrived(&mut self, cx: &mut Context<'_>) -> bool {
        let polled = match self {
            NextReceive::InFlight(receive) => Pin::new(receive).poll(cx),
            NextReceive::Late(receive) => Pin::new(receive).poll(cx).map(|(result, mut buffer)| {
                let count = result?;
                if count == 0 {
                    buffer.clear();
                }
                Ok(buffer)
            }),
            NextReceive::None | NextReceive::Arrived(_) => return true,
        };
        match polled {
            Poll::Ready(result) => {
                *self = NextReceive::Arrived(result);
                true
            }
            Poll::Pending => false,
        }
    }

    /// Whether the client is still there, as far as a completed receive tells.
    pub fn client(&self) -> Presence {
        match self {
            NextReceive::Arrived(Err(_)) => Presence::Reset,
            NextReceive::Arrived(Ok(bytes)) if bytes.is_empty() => Presence::Ended,
            NextReceive::Arrived(Ok(_))
            | NextReceive::InFlight(_)
            | NextReceive::Late(_)
            | NextReceive::None => Presence::There,
        }
    }

    /// Awaits the receive in flight and takes its bytes; an empty buffer is the end of the stream.
    pub async fn finish(&mut self) -> io::Result<Vec<u8>> {
        poll_fn(|cx| if self.poll_arrived(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        self.take_arrived()
    }

    /// Takes the bytes that have arrived; an empty buffer is the end of the stream.
    pub fn take_arrived(&mut self) -> io::Result<Vec<u8>> {
        match std::mem::take(self) {
            NextReceive::Arrived(result) => result,
            NextReceive::None | NextReceive::InFlight(_) | NextReceive::Late(_) => Ok(Vec::new()),
        }
    }
}

/// The operations on the client's side during an exchange, and from one exchange to the next.
#[derive(Default)]
pub struct Ahead {
    /// The last bytes of a response, on their way.
    pub last: PendingSend,
    /// The receive of the next request, when it was submitted already.
    pub next: NextReceive,
    /// The pace at which the client takes the current response.
    pub drain: Drain,
}

#[cfg(test)]
#[path = "early_tests.rs"]
mod tests;
