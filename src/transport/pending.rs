//! A send that was handed to the kernel ahead of the moment in which its result is needed.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::stream::{Send, Stream};

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

/// Whether a send that failed may have been told of a reset. The kernel tells of one once, and who sends on behind a
/// part that was taken keeps it to itself.
pub fn may_tell_of_a_reset(fault: &io::Error) -> bool {
    fault.kind() != io::ErrorKind::BrokenPipe
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
