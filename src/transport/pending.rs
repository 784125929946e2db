//! A send that was handed to the kernel ahead of the moment in which its result is needed.

use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

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

/// Puts a value in the place of one that nearly always holds nothing, as `is_none` tells; that one is then not searched
/// for what there may be to drop.
#[inline]
pub fn put<T>(place: &mut T, value: T, is_none: impl FnOnce(&T) -> bool) {
    let before = ManuallyDrop::new(std::mem::replace(place, value));
    if !is_none(&before) {
        drop(ManuallyDrop::into_inner(before));
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

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::put;

    #[test]
    fn what_stood_in_a_place_is_dropped_unless_it_is_none() {
        let value = Rc::new(());
        let mut place = None;
        put(&mut place, Some(Rc::clone(&value)), Option::is_none);
        assert_eq!(Rc::strong_count(&value), 2);
        put(&mut place, None, Option::is_none);
        assert_eq!(Rc::strong_count(&value), 1);
    }
}
