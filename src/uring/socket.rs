//! A connected socket. Its receives, sends and connects stand in `receive`, `send` and `connect`.

use std::cell::Cell;
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use super::driver::flowing::FlowKey;
use super::engine::{self, Engine};
#[cfg(test)]
use super::simulated;
use super::{options, registration};

pub use std::net::Shutdown;

/// A socket of this shard. Clones are the same socket; it is closed when the last one and the last
/// operation on it are gone.
#[derive(Clone)]
pub struct Socket(pub(super) Rc<Inner>);

/// Whether a peer is still at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    There,
    /// It has sent all it will: it closed, or half-closed and still reads.
    Ended,
    /// Nothing that is sent reaches it any more.
    Reset,
}

pub(super) struct Inner {
    pub(super) handle: Handle,
    /// Both directions have been shut down already; saves repeating the call.
    is_shut: Cell<bool>,
    /// Small receives since the last one of content; counted up to `receive::CALM`.
    pub(super) calm: Cell<u8>,
    /// The receive that goes on, if there is one.
    pub(super) flow: Cell<Option<FlowKey>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Handle::Ring(socket) = &mut self.handle {
            // SAFETY: taken once, here in `drop`, and not used again.
            let socket = unsafe { ManuallyDrop::take(socket) };
            match self.flow.take() {
                Some(flow) => flow.leave(socket),
                None => drop(socket),
            }
        }
    }
}

pub(super) enum Handle {
    Ring(ManuallyDrop<socket2::Socket>),
    /// Boxed: a sleeping connection on io_uring need not hold room for it.
    Ready(Box<AsyncFd<socket2::Socket>>),
    #[cfg(test)]
    Simulated(simulated::End),
}

impl Socket {
    /// One end of a simulated connection.
    #[cfg(test)]
    pub(super) fn simulated(end: simulated::End) -> Socket {
        Socket(Rc::new(Inner {
            handle: Handle::Simulated(end),
            is_shut: Cell::new(false),
            calm: Cell::new(0),
            flow: Cell::new(None),
        }))
    }

    #[cfg(test)]
    pub fn simulated_end(&self) -> Option<&simulated::End> {
        match &self.0.handle {
            Handle::Simulated(end) => Some(end),
            Handle::Ring(_) | Handle::Ready(_) => None,
        }
    }

    /// Takes over a socket for the engine of this thread.
    pub(super) fn adopt(socket: socket2::Socket) -> io::Result<Socket> {
        let handle = match engine::current() {
            Engine::IoUring | Engine::TokioUring => Handle::Ring(ManuallyDrop::new(socket)),
            #[cfg(test)]
            Engine::Simulated => return Err(io::ErrorKind::Unsupported.into()),
            Engine::Epoll => Handle::Ready(Box::new(registration::register(socket)?)),
        };
        Ok(Socket(Rc::new(Inner {
            handle,
            is_shut: Cell::new(false),
            calm: Cell::new(0),
            flow: Cell::new(None),
        })))
    }

    pub(super) fn raw(&self) -> &socket2::Socket {
        match &self.0.handle {
            Handle::Ring(socket) => socket,
            Handle::Ready(socket) => socket.get_ref(),
            #[cfg(test)]
            Handle::Simulated(_) => panic!("a simulated socket has no descriptor"),
        }
    }

    /// The address of this end; `None` on Unix sockets.
    pub fn local_address(&self) -> Option<SocketAddr> {
        #[cfg(test)]
        if let Handle::Simulated(_) = &self.0.handle {
            return None;
        }
        self.raw().local_addr().ok()?.as_socket()
    }

    /// Bytes in the send queue that the peer has not acknowledged (`SIOCOUTQ`).
    pub fn queued_bytes(&self) -> Option<u32> {
        #[cfg(test)]
        if let Handle::Simulated(end) = &self.0.handle {
            return Some(end.queued_bytes());
        }
        options::queued_bytes(self.raw())
    }

    /// Whether bytes, or the end of the stream, are there to be received; takes nothing.
    pub fn is_readable(&self) -> bool {
        #[cfg(test)]
        if let Handle::Simulated(end) = &self.0.handle {
            return end.is_readable();
        }
        if self.0.flow.get().is_some_and(FlowKey::has_arrived) {
            return true;
        }
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        match self.raw().recv_with_flags(&mut byte, flags) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Whether the peer is still there; takes nothing, and looks past bytes that are unread.
    pub fn presence(&self) -> Presence {
        #[cfg(test)]
        if let Handle::Simulated(end) = &self.0.handle {
            return end.presence();
        }
        let events = options::hang_up(self.raw());
        if events & (libc::POLLHUP | libc::POLLERR) != 0 {
            Presence::Reset
        } else if events & libc::POLLRDHUP != 0 {
            Presence::Ended
        } else {
            Presence::There
        }
    }

    /// Whether the peer has reset the connection, or it has failed; takes nothing, and looks past bytes that are unread.
    /// Both sides may have ended it in an orderly way meanwhile, which a hang-up alone does not tell from a reset.
    pub fn is_reset(&self) -> bool {
        #[cfg(test)]
        if let Handle::Simulated(end) = &self.0.handle {
            return end.is_reset();
        }
        // The kernel tells of a reset once, and a receive that goes on may have been told.
        self.0.flow.get().is_some_and(FlowKey::has_failed)
            || options::hang_up(self.raw()) & libc::POLLERR != 0
    }

    /// Whether this side has shut down both directions.
    pub(super) fn is_shut(&self) -> bool {
        self.0.is_shut.get()
    }

    /// Ends one or both directions; operations in flight on them complete.
    pub fn shutdown(&self, how: Shutdown) {
        if self.is_shut() {
            return;
        }
        if how == Shutdown::Both {
            self.0.is_shut.set(true);
        }
        #[cfg(test)]
        if let Handle::Simulated(end) = &self.0.handle {
            return end.shutdown(how);
        }
        // A peer that is gone already needs no shutting down.
        let _ = self.raw().shutdown(how);
    }

    /// Ends both directions with a reset, at once: the peer cannot take what it has for the whole, unsent bytes are
    /// discarded, and every operation in flight completes. A Unix socket has no reset and is shut down.
    pub fn abort(&self) {
        if self.is_shut() {
            return;
        }
        #[cfg(test)]
        if let Handle::Simulated(end) = &self.0.handle {
            self.0.is_shut.set(true);
            return end.abort();
        }
        if options::disconnect(self.raw()).is_err() {
            // No orderly end is wanted any more: closing the socket sends a reset where there is one.
            let _ = self.raw().set_linger(Some(Duration::ZERO));
            self.shutdown(Shutdown::Both);
        }
        // The connection is dissolved, so a shut-down would find none; done first, it would have told the peer of a
        // clean end.
        self.0.is_shut.set(true);
    }
}
