//! Operations that were handed to the kernel ahead of the moment in which their result is needed.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::stream::Stream;
use crate::uring::{RecvAny, Send};

/// The receive of the client's next request, submitted together with the request before it went out.
#[derive(Default)]
pub enum NextReceive {
    #[default]
    None,
    InFlight(RecvAny),
    Arrived(io::Result<Vec<u8>>),
}

/// Whether a client is still at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    There,
    /// It has sent all it will: it closed, or half-closed and still reads.
    Ended,
    Reset,
}

impl NextReceive {
    pub fn start(client: &Stream) -> NextReceive {
        NextReceive::InFlight(client.recv_any())
    }

    pub fn is_none(&self) -> bool {
        matches!(self, NextReceive::None)
    }

    /// Completes it when its bytes are there. `true` when nothing more is to be waited for.
    pub fn poll_arrived(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            NextReceive::InFlight(receive) => match Pin::new(receive).poll(cx) {
                Poll::Ready(result) => {
                    *self = NextReceive::Arrived(result);
                    true
                }
                Poll::Pending => false,
            },
            NextReceive::None | NextReceive::Arrived(_) => true,
        }
    }

    /// What the receive tells of the client, as far as it has completed.
    pub fn client(&self) -> Client {
        match self {
            NextReceive::Arrived(Err(_)) => Client::Reset,
            NextReceive::Arrived(Ok(bytes)) if bytes.is_empty() => Client::Ended,
            NextReceive::Arrived(Ok(_)) | NextReceive::InFlight(_) | NextReceive::None => {
                Client::There
            }
        }
    }

    /// Awaits what is in flight and takes the result; an empty buffer is the end of the stream.
    pub async fn finish(&mut self) -> io::Result<Vec<u8>> {
        poll_fn(|cx| if self.poll_arrived(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        match std::mem::take(self) {
            NextReceive::Arrived(result) => result,
            NextReceive::None | NextReceive::InFlight(_) => Ok(Vec::new()),
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
    pub fn start(stream: &Stream, bytes: Vec<u8>) -> PendingSend {
        let length = bytes.len();
        PendingSend::InFlight { send: stream.send(bytes, 0, true), length }
    }

    /// Drives it where the engine does not do so by itself.
    pub fn poll_if_needed(&mut self, cx: &mut Context<'_>) {
        if let PendingSend::InFlight { send, .. } = self
            && !send.runs_by_itself()
        {
            let _ = self.poll_done(cx);
        }
    }

    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let PendingSend::InFlight { send, length } = self {
            let Poll::Ready((result, buffer)) = Pin::new(send).poll(cx) else {
                return Poll::Pending;
            };
            let result = result.and_then(|sent| {
                if sent == *length { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
            });
            *self = PendingSend::Done(result, buffer);
        }
        Poll::Ready(())
    }

    /// Awaits it and gives its result and buffer.
    pub async fn finish(&mut self) -> (io::Result<()>, Vec<u8>) {
        poll_fn(|cx| self.poll_done(cx)).await;
        match std::mem::take(self) {
            PendingSend::Done(result, buffer) => (result, buffer),
            PendingSend::None | PendingSend::InFlight { .. } => (Ok(()), Vec::new()),
        }
    }
}

impl Future for PendingSend {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_done(cx)
    }
}

/// What came of watching the client while the target was waited for.
pub enum Watched<T> {
    Output(T),
    ClientGone,
}

/// Awaits a receive from the target, and with it looks after what else is in flight: the request's
/// send, and the client's next receive, which tells when the client goes away. The receive is always
/// awaited to its end. Output: the receive's, and whether the client had reset.
pub struct Watch<'a, F, E, R> {
    pub receive: F,
    pub sending: &'a mut PendingSend,
    pub next: &'a mut NextReceive,
    /// Called whenever the client is seen to have ended its side.
    pub client_ended: E,
    /// Called when the client has reset; must make the receive end soon.
    pub client_reset: R,
}

impl<F: Unpin, E, R> Unpin for Watch<'_, F, E, R> {}

impl<F: Future + Unpin, E: Fn(), R: Fn()> Future for Watch<'_, F, E, R> {
    type Output = (F::Output, bool);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.sending.poll_if_needed(cx);
        let has_arrived = this.next.poll_arrived(cx);
        let client = if has_arrived { this.next.client() } else { Client::There };
        if let Poll::Ready(output) = Pin::new(&mut this.receive).poll(cx) {
            return Poll::Ready((output, client == Client::Reset));
        }
        match client {
            Client::There => {}
            Client::Ended => (this.client_ended)(),
            Client::Reset => (this.client_reset)(),
        }
        Poll::Pending
    }
}
