//! Receives, the same on every engine.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::apart::Apart;
use super::driver::flowing::is_of_the_connection;
use super::engine::{self, Engine};
use super::ring::{self, RingRecv, RingRecvProvided};
#[cfg(test)]
use super::simulated;
use super::socket::{Handle, Shutdown, Socket};
use super::{buffers, provided, ready as epoll};

/// How many small receives come one by one before a receive that goes on: that pays on a connection that is kept and
/// brings small messages, and costs on one that ends soon or brings content, for which it has to be ended.
pub(super) const CALM: u8 = 8;

impl Socket {
    /// Whether the socket has a receive that goes on; begins one when it is time.
    #[inline]
    fn flows(&self) -> bool {
        let inner = &*self.0;
        if inner.flow.get().is_some() {
            return true;
        }
        if inner.calm.get() < CALM {
            inner.calm.set(inner.calm.get() + 1);
            return false;
        }
        // Only limpet's own driver has receives that go on.
        if engine::current() != Engine::IoUring || !provided::is_available() || self.is_shut() {
            return false;
        }
        inner.flow.set(ring::begin_flow(self));
        inner.flow.get().is_some()
    }

    /// The next result of this socket's flow; when the flow ends, the socket has none any more.
    #[inline]
    fn poll_flow(&self, cx: &Context<'_>) -> Poll<FlowNext> {
        let next = match self.0.flow.get() {
            Some(flow) => ready!(flow.poll_next(cx)),
            None => Err(-libc::ECANCELED),
        };
        let end = match next {
            Ok(arrival) => return Poll::Ready(FlowNext::Result(ring::flowed(arrival))),
            Err(end) => end,
        };
        self.0.flow.set(None);
        self.0.calm.set(0);
        Poll::Ready(match end {
            0 => FlowNext::Result(Ok(Vec::new())),
            error if is_of_the_connection(error) => {
                FlowNext::Result(Err(io::Error::from_raw_os_error(-error)))
            }
            // The flow was stopped, or found no buffer.
            _ => FlowNext::Over,
        })
    }

    /// Receives into the spare capacity of `buffer`, behind its bytes.
    pub fn recv(&self, buffer: Vec<u8>) -> Recv {
        let op = match &self.0.handle {
            Handle::Ring(_) => {
                self.0.calm.set(0);
                match self.0.flow.get() {
                    None => RecvOp::Ring(ring::recv(self, buffer)),
                    Some(flow) => {
                        flow.stop();
                        RecvOp::Flow(Some(buffer))
                    }
                }
            }
            Handle::Ready(_) => RecvOp::Ready(Some(buffer)),
            #[cfg(test)]
            Handle::Simulated(end) => RecvOp::Simulated(simulated::recv(self, end, buffer)),
        };
        Recv { socket: self.clone(), op, done: false }
    }

    /// Puts bytes of a flow into `buffer`, as a receive would; bytes that do not fit come next.
    fn fill(&self, buffer: &mut Vec<u8>, mut bytes: Vec<u8>) -> usize {
        let spare = buffer.capacity().saturating_sub(buffer.len());
        let count = bytes.len().min(spare.saturating_sub(buffers::TAIL_BYTES));
        buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
        match self.0.flow.get() {
            Some(flow) if count < bytes.len() => {
                bytes.drain(..count);
                flow.put_back(bytes);
            }
            _ => buffers::give_back(bytes),
        }
        count
    }

    /// Receives into a small buffer that is found only when bytes are there.
    pub fn recv_any(&self) -> RecvAny {
        RecvAny { socket: self.clone(), op: Some(self.begin_any()) }
    }

    fn begin_any(&self) -> AnyOp {
        match &self.0.handle {
            Handle::Ring(_) if self.flows() => AnyOp::Flow,
            Handle::Ring(_) if provided::is_available() => {
                AnyOp::Provided(Apart::new(ring::recv_provided(self)))
            }
            Handle::Ring(_) => AnyOp::Own(Apart::new(Box::new(self.recv(buffers::small())))),
            Handle::Ready(_) => AnyOp::Ready,
            #[cfg(test)]
            Handle::Simulated(end) => AnyOp::Simulated(simulated::recv_found(self, end)),
        }
    }
}

/// One result of a flow.
enum FlowNext {
    /// As a receive would; empty = end of stream.
    Result(io::Result<Vec<u8>>),
    /// The flow has ended; the stream goes on.
    Over,
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
    /// Behind a flow that is being ended; the buffer takes what the flow still brings, or a receive after it.
    Flow(Option<Vec<u8>>),
    Ready(Option<Vec<u8>>),
    #[cfg(test)]
    Simulated(simulated::Received),
}

impl Future for Recv {
    type Output = (io::Result<usize>, Vec<u8>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let RecvOp::Flow(buffer) = &mut this.op {
            let next = ready!(this.socket.poll_flow(cx));
            let mut buffer = buffer.take().unwrap_or_default();
            match next {
                FlowNext::Result(result) => {
                    this.done = true;
                    let count = result.map(|bytes| this.socket.fill(&mut buffer, bytes));
                    return Poll::Ready((count, buffer));
                }
                FlowNext::Over => this.op = RecvOp::Ring(ring::recv(&this.socket, buffer)),
            }
        }
        let output = match &mut this.op {
            RecvOp::Flow(_) => return Poll::Pending,
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

/// Receives into a buffer found when bytes arrive. Output: the bytes; empty = end of stream.
#[must_use = "an operation in flight must be awaited"]
pub struct RecvAny {
    socket: Socket,
    /// `None` once it has completed.
    op: Option<AnyOp>,
}

enum AnyOp {
    Provided(Apart<RingRecvProvided>),
    /// The next result of the socket's flow.
    Flow,
    #[cfg(test)]
    Simulated(simulated::Received),
    /// Boxed, because it is rare, and every sleeping connection holds this type.
    Own(Apart<Box<Recv>>),
    Ready,
}

impl RecvAny {
    /// Whether it has completed already.
    pub fn is_over(&self) -> bool {
        self.op.is_none()
    }

    /// Begins the next receive of the same socket, once this one has completed.
    #[inline]
    pub fn again(&mut self) {
        if self.op.is_none() {
            self.op = Some(self.socket.begin_any());
        }
    }
}

impl Future for RecvAny {
    type Output = io::Result<Vec<u8>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let output = match &mut this.op {
                Some(AnyOp::Flow) => match ready!(this.socket.poll_flow(cx)) {
                    FlowNext::Result(result) => result,
                    FlowNext::Over => {
                        this.op =
                            Some(AnyOp::Provided(Apart::new(ring::recv_provided(&this.socket))));
                        continue;
                    }
                },
                Some(AnyOp::Provided(op)) => match ready!(Pin::new(&mut **op).poll(cx)) {
                    // More bytes arrived in one turn than the ring has buffers: bring our own.
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                        let own = this.socket.recv(buffers::small());
                        this.op = Some(AnyOp::Own(Apart::new(Box::new(own))));
                        continue;
                    }
                    result => result,
                },
                #[cfg(test)]
                Some(AnyOp::Simulated(op)) => match ready!(Pin::new(op).poll(cx)) {
                    (Err(error), _) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                        let own = this.socket.recv(buffers::small());
                        this.op = Some(AnyOp::Own(Apart::new(Box::new(own))));
                        continue;
                    }
                    (result, buffer) => result.map(|_| buffer),
                },
                Some(AnyOp::Own(op)) => {
                    let (result, buffer) = ready!(Pin::new(&mut **op).poll(cx));
                    result.map(|_| buffer)
                }
                Some(AnyOp::Ready) => ready!(epoll::poll_recv_any(&this.socket, cx)),
                // Polled after completion, which is not the end of the stream: pending would never be woken.
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
