//! A send that was handed to the kernel ahead of the moment in which its result is needed.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::stream::{Send, Stream};

/// A send whose completion need not wake the task: the kernel finishes it by itself, and the task looks at it when it
/// is woken for another reason.
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

    /// Drives the send on engines that do not do so by themselves.
    #[inline]
    pub fn poll_if_needed(&mut self, cx: &mut Context<'_>) {
        if let PendingSend::InFlight { send, .. } = self
            && !send.runs_by_itself()
        {
            let _ = self.poll_done(cx);
        }
    }

    /// Drives the send to its end and keeps its result.
    pub fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let PendingSend::InFlight { .. } = self {
            let (result, buffer) = std::task::ready!(Pin::new(&mut *self).poll(cx));
            *self = PendingSend::Done(result, buffer);
        }
        Poll::Ready(())
    }
}

/// Whether the fault of a send may report a reset. The kernel reports a reset once, but a send that goes on behind
/// bytes already taken withholds it and fails with `EPIPE`.
pub fn may_tell_of_a_reset(fault: &io::Error) -> bool {
    fault.kind() != io::ErrorKind::BrokenPipe
}

/// Drives the send to its end and takes its result and buffer.
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
