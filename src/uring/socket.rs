//! A connected socket and its hot operations, the same on both engines.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, SockAddr, Type};
use tokio::io::unix::AsyncFd;

use super::engine::{self, Engine};
use super::ring::{self, RingConnect, RingRecv, RingRecvProvided, RingSend};
#[cfg(test)]
use super::simulated;
use super::{buffers, options, provided, pulse, ready as epoll};

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
}

pub(super) enum Handle {
    Ring(socket2::Socket),
    /// Boxed: a sleeping connection on io_uring need not hold its room.
    Ready(Box<AsyncFd<socket2::Socket>>),
    #[cfg(test)]
    Simulated(simulated::End),
}

impl Socket {
    /// One end of a simulated connection.
    #[cfg(test)]
    pub(super) fn simulated(end: simulated::End) -> Socket {
        Socket(Rc::new(Inner { handle: Handle::Simulated(end), is_shut: Cell::new(false) }))
    }

    #[cfg(test)]
    pub(super) fn simulated_end(&self) -> Option<&simulated::End> {
        match &self.0.handle {
            Handle::Simulated(end) => Some(end),
            Handle::Ring(_) | Handle::Ready(_) => None,
        }
    }

    /// Takes over a socket for the engine of this thread.
    pub(super) fn adopt(socket: socket2::Socket) -> io::Result<Socket> {
        let handle = match engine::current() {
            Engine::IoUring | Engine::TokioUring => Handle::Ring(socket),
            #[cfg(test)]
            Engine::Simulated => return Err(io::ErrorKind::Unsupported.into()),
            Engine::Epoll => {
                socket.set_nonblocking(true)?;
                // SAFETY: a socket2::Socket owns its descriptor and keeps it open, the same one,
                // for as long as the AsyncFd owns the socket.
                let registered = unsafe { AsyncFd::register(socket) };
                let registered = registered.map_err(io::Error::from);
                Handle::Ready(Box::new(registered.inspect_err(pulse::note_refusal)?))
            }
        };
        Ok(Socket(Rc::new(Inner { handle, is_shut: Cell::new(false) })))
    }

    pub(super) fn raw(&self) -> &socket2::Socket {
        match &self.0.handle {
            Handle::Ring(socket) => socket,
            Handle::Ready(socket) => socket.get_ref(),
            #[cfg(test)]
            Handle::Simulated(_) => panic!("a simulated socket has no descriptor"),
        }
    }

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

    /// Ends both directions with a reset, at once: the peer cannot take what it has for the whole, what was not sent
    /// yet is discarded, and every operation in flight completes. A Unix socket, which knows no reset, is shut down.
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
            // Nothing is to be ended in an orderly way any more: where there is a reset, closing sends it.
            let _ = self.raw().set_linger(Some(Duration::ZERO));
            self.shutdown(Shutdown::Both);
        }
        // A shut-down would find no connection; one that had come first would have told the peer of a clean end.
        self.0.is_shut.set(true);
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
    /// Whether the kernel goes on with it while nobody polls it.
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

/// Connects a new socket.
#[must_use = "an operation in flight must be awaited"]
pub struct Connect {
    socket: Socket,
    op: ConnectOp,
    done: bool,
}

enum ConnectOp {
    Ring(RingConnect),
    Ready,
    Failed(Option<io::Error>),
    #[cfg(test)]
    Simulated(simulated::Connecting),
}

/// Starts to connect to a TCP address or Unix socket. `timeout` bounds what cannot be shut down from
/// outside: a Unix socket whose backlog is full.
///
/// # Errors
/// When no socket can be made (descriptors, memory).
pub fn connect(address: &ConnectAddress<'_>, timeout: Duration) -> io::Result<Connect> {
    #[cfg(test)]
    if let (Engine::Simulated, ConnectAddress::Tcp(address)) = (engine::current(), address) {
        let (socket, connecting) = simulated::connect(*address)?;
        return Ok(Connect { socket, op: ConnectOp::Simulated(connecting), done: false });
    }
    let (domain, name) = match address {
        ConnectAddress::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        ConnectAddress::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let raw = socket2::Socket::new(domain, Type::STREAM, None)?;
    match address {
        ConnectAddress::Tcp(_) => raw.set_tcp_nodelay(true)?,
        ConnectAddress::Unix(_) => raw.set_write_timeout(Some(timeout))?,
    }
    let socket = Socket::adopt(raw)?;
    let op = match &socket.0.handle {
        Handle::Ring(_) => ConnectOp::Ring(ring::connect(socket.clone(), name)),
        Handle::Ready(raw) => match epoll::start_connect(raw.get_ref(), &name) {
            Ok(()) => ConnectOp::Ready,
            Err(error) => ConnectOp::Failed(Some(error)),
        },
        #[cfg(test)]
        Handle::Simulated(_) => ConnectOp::Failed(None),
    };
    Ok(Connect { socket, op, done: false })
}

/// Where to connect to.
#[derive(Debug, Clone, Copy)]
pub enum ConnectAddress<'a> {
    Tcp(SocketAddr),
    Unix(&'a Path),
}

impl Connect {
    /// The socket that connects; shutting it down makes the connect fail soon.
    pub fn socket(&self) -> Socket {
        self.socket.clone()
    }
}

impl Future for Connect {
    type Output = io::Result<Socket>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let result = match &mut this.op {
            ConnectOp::Ring(op) => ready!(Pin::new(op).poll(cx)),
            #[cfg(test)]
            ConnectOp::Simulated(op) => ready!(Pin::new(op).poll(cx)),
            ConnectOp::Ready => {
                ready!(epoll::poll_connect(&this.socket, cx)).map(|()| this.socket.clone())
            }
            ConnectOp::Failed(error) => {
                Err(error.take().unwrap_or(io::ErrorKind::NotConnected.into()))
            }
        };
        this.done = true;
        Poll::Ready(result)
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        if !self.done {
            self.socket.shutdown(Shutdown::Both);
        }
    }
}
