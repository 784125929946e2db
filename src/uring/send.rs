//! Sends, the same on every engine.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::ready as epoll;
use super::ring::{self, RingSend};
#[cfg(test)]
use super::simulated;
use super::socket::{Handle, Shutdown, Socket};

impl Socket {
    /// Sends `buffer[from..]`. With `whole`, completes when all of it was taken or an error ended it;
    /// without, as soon as some of it was.
    pub fn send(&self, buffer: Vec<u8>, from: usize, whole: bool) -> Send {
        let op = match &self.0.handle {
            Handle::Ring(_) => SendOp::Ring(ring::send(self, buffer, from, whole)),
            Handle::Ready(socket) => {
                SendOp::Ready(epoll::ReadySend::start(socket.get_ref(), buffer, from, whole))
            }
            #[cfg(test)]
            Handle::Simulated(end) => {
                SendOp::Simulated(simulated::send(self, end, buffer, from, whole))
            }
        };
        Send { socket: self.clone(), op, done: false }
    }
}

/// Sends a buffer. Output: bytes taken, the buffer.
#[must_use = "an operation in flight must be awaited"]
pub struct Send {
    socket: Socket,
    op: SendOp,
    done: bool,
}

enum SendOp {
    Ring(RingSend),
    Ready(epoll::ReadySend),
    #[cfg(test)]
    Simulated(simulated::Sent),
}

impl Send {
    /// Whether the send goes on in the kernel without being polled.
    pub fn runs_by_itself(&self) -> bool {
        !matches!(self.op, SendOp::Ready(_))
    }
}

impl Future for Send {
    type Output = (io::Result<usize>, Vec<u8>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let output = match &mut this.op {
            SendOp::Ring(op) => ready!(Pin::new(op).poll(cx)),
            #[cfg(test)]
            SendOp::Simulated(op) => ready!(Pin::new(op).poll(cx)),
            SendOp::Ready(op) => ready!(op.poll(&this.socket, cx)),
        };
        this.done = true;
        Poll::Ready(output)
    }
}

impl Drop for Send {
    fn drop(&mut self) {
        if !self.done {
            self.socket.shutdown(Shutdown::Both);
        }
    }
}
