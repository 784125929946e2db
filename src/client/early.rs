//! Operations that were handed to the kernel ahead of the moment in which their result is needed.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::exchange::client::Presence;
use crate::transport::pace::Drain;
use crate::transport::pending::PendingSend;
use crate::transport::stream::{Recv, RecvAny, Stream};

/// The receive of the client's next request, submitted together with the request before it went out.
#[derive(Default)]
pub enum NextReceive {
    #[default]
    None,
    InFlight(RecvAny),
    /// One that was waited for in vain. It is not made to end, because a socket that receives no more resets
    /// who goes on to send; what it brings is of no use.
    Late(Recv),
    Arrived(io::Result<Vec<u8>>),
}

impl NextReceive {
    #[inline]
    pub fn start(client: &Stream) -> NextReceive {
        NextReceive::InFlight(client.recv_any())
    }

    pub fn is_none(&self) -> bool {
        matches!(self, NextReceive::None)
    }

    /// Completes it when its bytes are there. `true` when nothing more is to be waited for.
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

    /// What the receive tells of the client, as far as it has completed.
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

    /// Awaits what is in flight and takes the result; an empty buffer is the end of the stream.
    pub async fn finish(&mut self) -> io::Result<Vec<u8>> {
        poll_fn(|cx| if self.poll_arrived(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        self.take_arrived()
    }

    /// What has arrived; an empty buffer is the end of the stream.
    pub fn take_arrived(&mut self) -> io::Result<Vec<u8>> {
        match std::mem::take(self) {
            NextReceive::Arrived(result) => result,
            NextReceive::None | NextReceive::InFlight(_) | NextReceive::Late(_) => Ok(Vec::new()),
        }
    }
}

/// What goes on at the client's side of an exchange while it goes on, and from one to the next.
#[derive(Default)]
pub struct Ahead {
    /// The last bytes of a response, on their way.
    pub last: PendingSend,
    /// The receive of the next request, when it was submitted already.
    pub next: NextReceive,
    /// The pace at which the client takes a response that is waited for.
    pub drain: Drain,
}

#[cfg(test)]
#[path = "early_tests.rs"]
mod tests;
