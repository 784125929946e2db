//! Operations that were handed to the kernel ahead of the moment in which their result is needed.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::stream::Stream;
use crate::uring::{Presence, Recv, RecvAny, Send};

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

/// A send whose completion nobody needs to be woken for: the kernel finishes it by itself, and it is
/// looked at when something else has woken the task.
#[derive(Default)]
pub enum PendingSend {
    #[default]
    None,
    InFlight {
        send: Send,
        length: usize,
    },
    Done(io::Result<()>, Vec<u8>),
}

impl PendingSend {
    /// Starts to send all of `bytes`.
    #[inline]
    pub fn start(stream: &Stream, bytes: Vec<u8>) -> PendingSend {
        let length = bytes.len();
        PendingSend::InFlight { send: stream.send(bytes, 0, true), length }
    }

    /// Drives it where the engine does not do so by itself.
    #[inline]
    pub fn poll_if_needed(&mut self, cx: &mut Context<'_>) {
        if let PendingSend::InFlight { send, .. } = self
            && !send.runs_by_itself()
        {
            let _ = self.poll_done(cx);
        }
    }

    /// Drives it to its end and keeps what came of it.
    pub fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let PendingSend::InFlight { .. } = self {
            let (result, buffer) = std::task::ready!(Pin::new(&mut *self).poll(cx));
            *self = PendingSend::Done(result, buffer);
        }
        Poll::Ready(())
    }
}

/// Whether a send may have been told of a reset. The kernel tells of one once, and who sends on behind a part that was
/// taken keeps it to itself.
pub fn may_tell_of_a_reset(sent: &io::Result<()>) -> bool {
    sent.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe)
}

/// Drives it to its end and takes its result and buffer.
impl Future for PendingSend {
    type Output = (io::Result<()>, Vec<u8>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let PendingSend::InFlight { send, length } = &mut *self {
            let (result, buffer) = std::task::ready!(Pin::new(send).poll(cx));
            let result = match result {
                Ok(sent) if sent == *length => Ok(()),
                Ok(_) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) => Err(error),
            };
            *self = PendingSend::None;
            return Poll::Ready((result, buffer));
        }
        Poll::Ready(match std::mem::take(&mut *self) {
            PendingSend::Done(result, buffer) => (result, buffer),
            PendingSend::None | PendingSend::InFlight { .. } => (Ok(()), Vec::new()),
        })
    }
}

impl Ahead {
    /// Receives on from a client that has sent nothing beyond its request but `early`.
    #[inline]
    pub fn listen(&mut self, client: &Stream, early: &[u8]) {
        if early.is_empty() && self.next.is_none() {
            self.next = NextReceive::start(client);
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
}
