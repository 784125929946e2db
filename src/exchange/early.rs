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

    /// The client reset its connection: nobody waits for a response any more.
    pub fn is_reset(&self) -> bool {
        matches!(self, NextReceive::Arrived(Err(_)))
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
