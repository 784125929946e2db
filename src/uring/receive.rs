//! Receives, the same on every engine.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::ring::{self, RingRecv, RingRecvProvided};
#[cfg(test)]
use super::simulated;
use super::socket::{Handle, Shutdown, Socket};
use super::{buffers, provided, ready as epoll};

impl Socket {
    /// Receives into the spare capacity of `buffer`, after what it holds.
    pub fn recv(&self, buffer: Vec<u8>) -> Recv {
        let op = match &self.0.handle {
            Handle::Ring(_) => RecvOp::Ring(ring::recv(self, buffer)),
            Handle::Ready(_) => RecvOp::Ready(Some(buffer)),
            #[cfg(test)]
            Handle::Simulated(end) => RecvOp::Simulated(simulated::recv(self, end, buffer)),
        };
        Recv { socket: self.clone(), op, done: false }
    }

    /// Receives into a small buffer that is found only when bytes are there.
    pub fn recv_any(&self) -> RecvAny {
        let op = match &self.0.handle {
            Handle::Ring(_) if provided::is_available() => {
                AnyOp::Provided(ring::recv_provided(self))
            }
            Handle::Ring(_) => AnyOp::Own(Box::new(self.recv(buffers::small()))),
            Handle::Ready(_) => AnyOp::Ready,
            #[cfg(test)]
            Handle::Simulated(end) => AnyOp::Simulated(simulated::recv_found(self, end)),
        };
        RecvAny { socket: self.clone(), op: Some(op) }
    }
}

/// Receives into a buffer of the caller's. Output: bytes received (0 = end of stream), the buffer.
#[must_use = "an operation in flight must be awaited"]
pub struct Recv {
    socket: Socket,
    op: RecvOp,
    done: bool,
}

enum RecvOp {
    Ring(RingRecv),
    Ready(Option<Vec<u8>>),
    #[cfg(test)]
    Simulated(simulated::Received),
}

impl Future for Recv {
    type Output = (io::Result<usize>, Vec<u8>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let output = match &mut this.op {
            RecvOp::Ring(op) => ready!(Pin::new(op).poll(cx)),
            #[cfg(test)]
            RecvOp::Simulated(op) => ready!(Pin::new(op).poll(cx)),
            RecvOp::Ready(buffer) => {
                let mut own = buffer.take().unwrap_or_default();
                match epoll::poll_recv(&this.socket, &mut own, cx) {
                    Poll::Ready(result) => (result, own),
                    Poll::Pending => {
                        *buffer = Some(own);
                        return Poll::Pending;
                    }
                }
            }
        };
        this.done = true;
        Poll::Ready(output)
    }
}

impl Drop for Recv {
    fn drop(&mut self) {
        if !self.done {
            self.socket.shutdown(Shutdown::Both);
        }
    }
}

/// Receives into a buffer found when bytes arrive. Output: what arrived; empty = end of stream.
#[must_use = "an operation in flight must be awaited"]
pub struct RecvAny {
    socket: Socket,
    /// `None` once it has completed.
    op: Option<AnyOp>,
}

enum AnyOp {
    Provided(RingRecvProvided),
    #[cfg(test)]
    Simulated(simulated::Received),
    /// Boxed, because it is rare, and every sleeping connection holds this type.
    Own(Box<Recv>),
    Ready,
}

impl RecvAny {
    /// Whether it has completed already.
    pub fn is_over(&self) -> bool {
        self.op.is_none()
    }
}

impl Future for RecvAny {
    type Output = io::Result<Vec<u8>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let output = match &mut this.op {
                Some(AnyOp::Provided(op)) => match ready!(Pin::new(op).poll(cx)) {
                    // More arrivals in one turn than the ring has buffers: bring our own.
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                        let own = this.socket.recv(buffers::small());
                        this.op = Some(AnyOp::Own(Box::new(own)));
                        continue;
                    }
                    result => result,
                },
                #[cfg(test)]
                Some(AnyOp::Simulated(op)) => match ready!(Pin::new(op).poll(cx)) {
                    (Err(error), _) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                        let own = this.socket.recv(buffers::small());
                        this.op = Some(AnyOp::Own(Box::new(own)));
                        continue;
                    }
                    (result, buffer) => result.map(|_| buffer),
                },
                Some(AnyOp::Own(op)) => {
                    let (result, buffer) = ready!(Pin::new(op).poll(cx));
                    result.map(|_| buffer)
                }
                Some(AnyOp::Ready) => ready!(epoll::poll_recv_any(&this.socket, cx)),
                // Its end is not that of the stream, and nothing comes any more that would wake who waits.
                None => return Poll::Ready(Err(io::ErrorKind::InvalidInput.into())),
            };
            this.op = None;
            return Poll::Ready(output);
        }
    }
}

impl Drop for RecvAny {
    fn drop(&mut self) {
        if self.op.is_some() {
            self.socket.shutdown(Shutdown::Both);
        }
    }
}
