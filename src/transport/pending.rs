//! A send that was handed to the kernel ahead of the moment in which its result is needed.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::stream::{Send, Stream};
use crate::uring::put;

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
    /// Begins to send all of `bytes`, in the place of a send that is over.
    #[inline]
    pub fn begin(&mut self, stream: &Stream, bytes: Vec<u8>) {
        let length = bytes.len();
        let send = stream.send(bytes, 0, true);
        let is_none = |before: &PendingSend| matches!(before, PendingSend::None);
        put(self, PendingSend::InFlight { send, length }, is_none);
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
        if let PendingSend::InFlight { send, length } = self {
            let (result, buffer) = ready!(Pin::new(send).poll(cx));
            *self = PendingSend::Done(whole(result, *length), buffer);
        }
        Poll::Ready(())
    }
}

/// The result of a send of `length` bytes that takes all of them, or fails.
#[inline]
fn whole(sent: io::Result<usize>, length: usize) -> io::Result<()> {
    match sent {
        Ok(sent) if sent == length => Ok(()),
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) => Err(error),
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
            let (result, buffer) = ready!(Pin::new(send).poll(cx));
            let result = whole(result, *length);
            *self = PendingSend::None;
            return Poll::Ready((result, buffer));
        }
        Poll::Ready(match std::mem::take(&mut *self) {
            PendingSend::Done(result, buffer) => (result, buffer),
            PendingSend::None | PendingSend::InFlight { .. } => (Ok(()), Vec::new()),
        })
    }
}
