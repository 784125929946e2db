//! A listening socket of one shard.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockAddr;
use tokio::io::unix::AsyncFdReadyGuard;

use super::ring::{self, RingAccept};
use super::socket::{Handle, Shutdown, Socket};

/// A bound, listening socket adopted by this shard's engine.
#[derive(Clone)]
pub struct Listening(Socket);

/// A connection that was just accepted.
pub struct Accepted {
    pub socket: Socket,
    pub peer: SockAddr,
}

impl Listening {
    /// Takes over a socket that listens already.
    ///
    /// # Errors
    /// When the engine cannot register it.
    pub fn adopt(socket: socket2::Socket) -> io::Result<Listening> {
        Socket::adopt(socket).map(Listening)
    }

    /// The socket itself, for its options.
    pub fn raw(&self) -> &socket2::Socket {
        self.0.raw()
    }

    /// Starts to accept one connection.
    pub fn accept(&self) -> Accept {
        let op = match &self.0.0.handle {
            Handle::Ring(_) => AcceptOp::Ring(ring::accept(&self.0)),
            Handle::Ready(_) => AcceptOp::Ready,
        };
        Accept { listener: self.0.clone(), op, done: false }
    }

    /// Accepts one connection that is waiting already, `None` when there is none.
    pub fn accept_waiting(&self) -> io::Result<Option<Accepted>> {
        let raw = self.0.raw();
        raw.set_nonblocking(true)?;
        let result = raw.accept();
        if matches!(self.0.0.handle, Handle::Ring(_)) {
            raw.set_nonblocking(false)?;
        }
        match result {
            Ok((socket, peer)) => Ok(Some(Accepted { socket: Socket::adopt(socket)?, peer })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends listening; accepts in flight fail and must still be awaited.
    pub fn close(&self) {
        self.0.shutdown(Shutdown::Both);
    }
}

/// Accepts one connection.
#[must_use = "an operation in flight must be awaited"]
pub struct Accept {
    listener: Socket,
    op: AcceptOp,
    done: bool,
}

enum AcceptOp {
    Ring(RingAccept),
    Ready,
}

impl Future for Accept {
    type Output = io::Result<Accepted>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let result = match &mut this.op {
            AcceptOp::Ring(op) => ready!(Pin::new(op).poll(cx)),
            AcceptOp::Ready => ready!(poll_accept(&this.listener, cx)),
        };
        this.done = true;
        let (socket, peer) = result?;
        Poll::Ready(Ok(Accepted { socket: Socket::adopt(socket)?, peer }))
    }
}

impl Drop for Accept {
    fn drop(&mut self) {
        if !self.done {
            self.listener.shutdown(Shutdown::Both);
        }
    }
}

fn poll_accept(
    listener: &Socket,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(socket2::Socket, SockAddr)>> {
    let is_closed = listener.is_shut();
    let Handle::Ready(listener) = &listener.0.handle else {
        return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
    };
    loop {
        let mut guard: AsyncFdReadyGuard<'_, _> = ready!(listener.poll_read_ready(cx))?;
        // A closed Unix listener is ready for ever and has nobody to accept.
        if is_closed {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        if let Ok(result) = guard.try_io(|listener| listener.get_ref().accept()) {
            return Poll::Ready(result);
        }
    }
}
