//! A listening socket of one shard.
//!
//! It never blocks, and no accept is ever in flight: an acceptor waits until a connection is there, reserves a place
//! for it, and only then accepts it. Connections for which there is no place stay in the kernel's backlog.

use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockAddr;

use super::ring::{self, RingReadable};
use super::socket::{Handle, Shutdown, Socket};

/// A bound, listening socket adopted by this shard's engine.
#[derive(Clone)]
pub struct Listening(Socket);

/// A connection that was just accepted.
pub struct Accepted {
    pub socket: Socket,
    pub peer: SockAddr,
    /// The socket's own.
    pub descriptor: RawFd,
}

impl Listening {
    /// Takes over a socket that listens already.
    ///
    /// # Errors
    /// When the engine cannot register it.
    pub fn adopt(socket: socket2::Socket) -> io::Result<Listening> {
        // Set once and never changed: shards that share a Unix socket share this flag.
        socket.set_nonblocking(true)?;
        Socket::adopt(socket).map(Listening)
    }

    /// The socket itself, for its options.
    pub fn raw(&self) -> &socket2::Socket {
        self.0.raw()
    }

    /// Waits until a connection is there. Where shards share the socket, another may take it first.
    pub fn readable(&self) -> Readable {
        let op = match &self.0.0.handle {
            Handle::Ring(_) => ReadableOp::Ring(ring::readable(&self.0)),
            Handle::Ready(_) => ReadableOp::Ready,
            #[cfg(test)]
            Handle::Simulated(_) => panic!("simulated listeners are told who comes"),
        };
        Readable { listener: self.0.clone(), op, done: false }
    }

    /// Whether a connection is there; takes nothing, and costs less than an accept that finds none.
    ///
    /// # Errors
    /// `EINVAL` when the listener has been closed.
    pub fn is_readable(&self) -> io::Result<bool> {
        is_readable(self.raw())
    }

    /// Accepts one connection that is waiting already, `None` when there is none.
    ///
    /// # Errors
    /// The error of accept(2), or the engine cannot register the connection.
    pub fn accept(&self) -> io::Result<Option<Accepted>> {
        match self.raw().accept() {
            Ok((socket, peer)) => {
                let descriptor = socket.as_raw_fd();
                Ok(Some(Accepted { socket: Socket::adopt(socket)?, peer, descriptor }))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends listening; a task that waits for a connection gets an error, and its wait must still be awaited.
    pub fn close(&self) {
        self.0.shutdown(Shutdown::Both);
    }
}

fn is_readable(listener: &socket2::Socket) -> io::Result<bool> {
    let mut asked = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: poll reads and writes one pollfd, which outlives the call.
    match unsafe { libc::poll(&raw mut asked, 1, 0) } {
        0 => Ok(false),
        1 => readiness(u32::from(asked.revents.cast_unsigned())).map(|()| true),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The meaning of poll(2)'s events. A closed listener is readable for ever and has no connection to accept.
fn readiness(events: u32) -> io::Result<()> {
    let closed = (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL).cast_unsigned();
    if events & u32::from(closed) == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EINVAL))
    }
}

/// Waits for a connection. Output: `EINVAL` when the listener was closed.
#[must_use = "an operation in flight must be awaited"]
pub struct Readable {
    listener: Socket,
    op: ReadableOp,
    done: bool,
}

enum ReadableOp {
    Ring(RingReadable),
    Ready,
}

impl Future for Readable {
    type Output = io::Result<()>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let result = match &mut this.op {
            ReadableOp::Ring(op) => ready!(Pin::new(op).poll(cx)).and_then(readiness),
            ReadableOp::Ready => ready!(poll_readable(&this.listener, cx)),
        };
        this.done = true;
        Poll::Ready(result)
    }
}

impl Drop for Readable {
    fn drop(&mut self) {
        if !self.done {
            self.listener.shutdown(Shutdown::Both);
        }
    }
}

/// tokio may remember a readiness that belonged to a connection accepted since, so the kernel is asked again.
fn poll_readable(listener: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let Handle::Ready(listener) = &listener.0.handle else {
        return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
    };
    loop {
        let mut guard = ready!(listener.poll_read_ready(cx))?;
        match is_readable(listener.get_ref()) {
            Ok(false) => guard.clear_ready(),
            result => return Poll::Ready(result.map(drop)),
        }
    }
}
