//! One side's byte stream, plain or under TLS, and the operations that an exchange needs of it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
#[cfg(test)]
use std::rc::Rc;
use std::task::{Context, Poll};

use super::tls::session::Session as TlsSession;
use super::tls::stream::{self as tls, TlsStream};
#[cfg(test)]
use crate::simulation::records::{self, Manner, Session};
pub use crate::uring::Presence;
use crate::uring::{self, Shutdown, Socket, buffers, spawn};

/// A client's or a target's byte stream. Clones are the same stream.
#[derive(Clone)]
pub struct Stream(Kind);

/// The layer that carries its bytes.
#[derive(Clone)]
enum Kind {
    /// The socket itself.
    Plain(Socket),
    Tls(TlsStream),
    #[cfg(test)]
    Records(Rc<Session>),
}

/// A receive into a buffer of the caller's. Output: bytes received (0 = end of stream), the buffer.
#[must_use = "an operation in flight must be awaited"]
pub enum Recv {
    Plain(uring::Recv),
    Tls(tls::Recv),
    #[cfg(test)]
    Records(Box<records::Recv>),
}

/// A receive into a buffer found when bytes arrive. Output: the bytes; empty = end of stream.
#[must_use = "an operation in flight must be awaited"]
pub enum RecvAny {
    Plain(uring::RecvAny),
    Tls(tls::RecvAny),
    #[cfg(test)]
    Records(Box<records::RecvAny>),
}

/// A send. Output: bytes taken, the buffer.
#[must_use = "an operation in flight must be awaited"]
pub enum Send {
    Plain(uring::Send),
    Tls(tls::Send),
    #[cfg(test)]
    Records(Box<records::Send>),
}

impl Stream {
    pub fn plain(socket: Socket) -> Stream {
        Stream(Kind::Plain(socket))
    }

    /// A stream under TLS, whose handshake is done.
    pub fn tls(socket: Socket, session: TlsSession) -> Stream {
        Stream(Kind::Tls(TlsStream::new(socket, session)))
    }

    /// A stream under TLS that changes its keys after each of the pauses.
    #[cfg(test)]
    pub fn tls_chatting(
        socket: Socket,
        session: TlsSession,
        pauses: Vec<std::time::Duration>,
    ) -> Stream {
        let stream = TlsStream::new(socket, session);
        stream.chat(pauses);
        Stream(Kind::Tls(stream))
    }

    /// Data in records, as in an encrypted stream.
    #[cfg(test)]
    pub fn records(socket: Socket, manner: Manner) -> Stream {
        Stream(Kind::Records(Session::new(socket, manner)))
    }

    /// A stream to a target, over a connected socket.
    pub fn to_target(socket: Socket) -> Stream {
        #[cfg(test)]
        if records::are_spoken_to_targets() {
            return records::stream(socket, Manner::Terse);
        }
        Stream::plain(socket)
    }

    /// The socket, where it carries the bytes by itself.
    pub fn as_plain(&self) -> Option<&Socket> {
        match &self.0 {
            Kind::Plain(socket) => Some(socket),
            Kind::Tls(_) => None,
            #[cfg(test)]
            Kind::Records(_) => None,
        }
    }

    /// Gives back what only a busy stream needs. The stream may be used on at any time.
    pub fn rest(&self) {
        if let Kind::Tls(stream) = &self.0 {
            stream.rest();
        }
    }

    /// The address of this end; `None` on Unix sockets.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Plain(socket) => socket.local_address(),
            Kind::Tls(stream) => stream.socket().local_address(),
            #[cfg(test)]
            Kind::Records(session) => session.socket().local_address(),
        }
    }

    /// The socket below, for tests that do to it what no stream does.
    #[cfg(test)]
    pub fn socket(&self) -> &Socket {
        match &self.0 {
            Kind::Plain(socket) => socket,
            Kind::Tls(stream) => stream.socket(),
            Kind::Records(session) => session.socket(),
        }
    }

    /// The scheme this stream gives its requests (`X-Forwarded-Proto`, `Secure` cookies).
    pub fn is_encrypted(&self) -> bool {
        match &self.0 {
            Kind::Plain(_) => false,
            Kind::Tls(_) => true,
            #[cfg(test)]
            Kind::Records(_) => true,
        }
    }

    /// Receives into the spare capacity of `buffer`.
    #[inline]
    pub fn recv(&self, buffer: Vec<u8>) -> Recv {
        match &self.0 {
            Kind::Plain(socket) => Recv::Plain(socket.recv(buffer)),
            Kind::Tls(stream) => Recv::Tls(stream.recv(buffer)),
            #[cfg(test)]
            Kind::Records(session) => Recv::Records(session.recv(buffer)),
        }
    }

    /// Receives into a small buffer that is found only when bytes are there.
    #[inline]
    pub fn recv_any(&self) -> RecvAny {
        match &self.0 {
            Kind::Plain(socket) => RecvAny::Plain(socket.recv_any()),
            Kind::Tls(stream) => RecvAny::Tls(stream.recv_any()),
            #[cfg(test)]
            Kind::Records(session) => RecvAny::Records(session.recv_any()),
        }
    }

    /// Sends `buffer[from..]`; with `whole`, completes only when all of it was taken.
    #[inline]
    pub fn send(&self, buffer: Vec<u8>, from: usize, whole: bool) -> Send {
        match &self.0 {
            Kind::Plain(socket) => Send::Plain(socket.send(buffer, from, whole)),
            Kind::Tls(stream) => Send::Tls(stream.send(buffer, from, whole)),
            #[cfg(test)]
            Kind::Records(session) => Send::Records(session.send(buffer, from, whole)),
        }
    }

    /// Bytes that were sent and that the peer has not acknowledged, where the system tells.
    pub fn queued_bytes(&self) -> Option<u32> {
        match &self.0 {
            Kind::Plain(socket) => socket.queued_bytes(),
            Kind::Tls(stream) => stream.queued_bytes(),
            #[cfg(test)]
            Kind::Records(session) => session.queued_bytes(),
        }
    }

    /// Whether the peer has ended the stream or sent bytes that were not received yet; asks the kernel.
    #[cfg(test)]
    pub fn is_readable(&self) -> bool {
        match &self.0 {
            Kind::Plain(socket) => socket.is_readable(),
            Kind::Tls(stream) => stream.is_readable(),
            #[cfg(test)]
            Kind::Records(session) => session.is_readable(),
        }
    }

    /// Whether neither data nor an end has come, on a stream whose receive was polled in this very turn and is pending;
    /// asks the kernel with `surely`. Pending where bytes have come that may be records without data: the receive, which
    /// opens them, wakes the task.
    #[inline]
    pub fn poll_quiet(&self, surely: bool) -> Poll<bool> {
        match &self.0 {
            Kind::Plain(socket) => Poll::Ready(!(surely && socket.is_readable())),
            Kind::Tls(stream) => stream.poll_quiet(surely),
            #[cfg(test)]
            Kind::Records(session) => Poll::Ready(!(surely && session.is_readable())),
        }
    }

    /// Whether the peer is still there; asks the kernel, also while bytes of it are unread.
    pub fn presence(&self) -> Presence {
        match &self.0 {
            Kind::Plain(socket) => socket.presence(),
            Kind::Tls(stream) => stream.presence(),
            #[cfg(test)]
            Kind::Records(session) => session.presence(),
        }
    }

    /// Whether the peer has reset the connection; asks the kernel, also while bytes of it are unread. One that has only
    /// ended its side has not, whether this side has ended as well or goes on.
    pub fn is_reset(&self) -> bool {
        match &self.0 {
            Kind::Plain(socket) => socket.is_reset(),
            Kind::Tls(stream) => stream.is_reset(),
            #[cfg(test)]
            Kind::Records(session) => session.is_reset(),
        }
    }

    /// Ends receiving: a receive in flight completes as at the end of the stream.
    pub fn end_receiving(&self) {
        match &self.0 {
            Kind::Plain(socket) => socket.shutdown(Shutdown::Read),
            Kind::Tls(stream) => stream.end_receiving(),
            #[cfg(test)]
            Kind::Records(session) => session.end_receiving(),
        }
    }

    /// Tells the peer that nothing more comes.
    pub fn end_sending(&self) {
        match &self.0 {
            Kind::Plain(socket) => socket.shutdown(Shutdown::Write),
            Kind::Tls(stream) => stream.end_sending(),
            #[cfg(test)]
            Kind::Records(session) => session.end_sending(),
        }
    }

    /// Ends both directions as if everything had been sent; every operation in flight completes.
    pub fn end(&self) {
        match &self.0 {
            Kind::Plain(socket) => socket.shutdown(Shutdown::Both),
            Kind::Tls(stream) => stream.end(),
            #[cfg(test)]
            Kind::Records(session) => session.end(),
        }
    }

    /// Ends both directions such that the peer sees a failure, not a clean end, also when they are ended again
    /// afterwards; every operation in flight completes.
    pub fn abort(&self) {
        match &self.0 {
            Kind::Plain(socket) => socket.abort(),
            Kind::Tls(stream) => stream.abort(),
            #[cfg(test)]
            Kind::Records(session) => session.abort(),
        }
    }
}

impl Future for Recv {
    type Output = (io::Result<usize>, Vec<u8>);
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Recv::Plain(operation) => Pin::new(operation).poll(cx),
            Recv::Tls(operation) => Pin::new(operation).poll(cx),
            #[cfg(test)]
            Recv::Records(operation) => Pin::new(operation).poll(cx),
        }
    }
}

impl RecvAny {
    /// Whether the receive has completed.
    pub fn is_over(&self) -> bool {
        match self {
            RecvAny::Plain(operation) => operation.is_over(),
            RecvAny::Tls(operation) => operation.is_over(),
            #[cfg(test)]
            RecvAny::Records(operation) => operation.is_over(),
        }
    }

    /// Begins the next receive of the same stream, once this one has completed.
    #[inline]
    pub fn again(&mut self) {
        match self {
            RecvAny::Plain(operation) => operation.again(),
            RecvAny::Tls(operation) => operation.again(),
            #[cfg(test)]
            RecvAny::Records(operation) => operation.again(),
        }
    }
}

impl Future for RecvAny {
    type Output = io::Result<Vec<u8>>;
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            RecvAny::Plain(operation) => Pin::new(operation).poll(cx),
            RecvAny::Tls(operation) => Pin::new(operation).poll(cx),
            #[cfg(test)]
            RecvAny::Records(operation) => Pin::new(operation).poll(cx),
        }
    }
}

impl Send {
    /// Whether the send goes on without being polled.
    #[inline]
    pub fn runs_by_itself(&self) -> bool {
        match self {
            Send::Plain(operation) => operation.runs_by_itself(),
            Send::Tls(operation) => operation.runs_by_itself(),
            #[cfg(test)]
            Send::Records(_) => true,
        }
    }
}

impl Future for Send {
    type Output = (io::Result<usize>, Vec<u8>);
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Send::Plain(operation) => Pin::new(operation).poll(cx),
            Send::Tls(operation) => Pin::new(operation).poll(cx),
            #[cfg(test)]
            Send::Records(operation) => Pin::new(operation).poll(cx),
        }
    }
}

/// Awaits a receive whose result is no longer needed, in the background.
pub fn forget(receive: RecvAny) {
    spawn(async move {
        if let Ok(bytes) = receive.await {
            buffers::give_back(bytes);
        }
    });
}
