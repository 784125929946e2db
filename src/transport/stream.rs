//! One side's byte stream: a plain socket, and what an exchange asks of it.

pub use crate::uring::{Presence, Recv, RecvAny};
use crate::uring::{Send, Shutdown, Socket, buffers, spawn};

/// A client's or a target's byte stream. Clones are the same stream.
#[derive(Clone)]
pub struct Stream {
    socket: Socket,
}

impl Stream {
    pub fn plain(socket: Socket) -> Stream {
        Stream { socket }
    }

    /// The scheme this stream gives its requests (`X-Forwarded-Proto`, `Secure` cookies).
    pub fn is_encrypted(&self) -> bool {
        false
    }

    /// Receives into the spare capacity of `buffer`.
    pub fn recv(&self, buffer: Vec<u8>) -> Recv {
        self.socket.recv(buffer)
    }

    /// Receives into a small buffer that is found only when bytes are there.
    pub fn recv_any(&self) -> RecvAny {
        self.socket.recv_any()
    }

    /// Sends `buffer[from..]`; with `whole`, completes only when all of it was taken.
    pub fn send(&self, buffer: Vec<u8>, from: usize, whole: bool) -> Send {
        self.socket.send(buffer, from, whole)
    }

    /// Bytes that were sent and that the peer has not acknowledged, where the system tells.
    pub fn queued_bytes(&self) -> Option<u32> {
        self.socket.queued_bytes()
    }

    /// Whether the peer has ended the stream or sent bytes that nobody has received; asks the kernel.
    pub fn is_readable(&self) -> bool {
        self.socket.is_readable()
    }

    /// Whether the peer is still there; asks the kernel, also while bytes of it are unread.
    pub fn presence(&self) -> Presence {
        self.socket.presence()
    }

    /// Ends receiving: a receive in flight completes as at the end of the stream.
    pub fn end_receiving(&self) {
        self.socket.shutdown(Shutdown::Read);
    }

    /// Tells the peer that nothing more comes.
    pub fn end_sending(&self) {
        self.socket.shutdown(Shutdown::Write);
    }

    /// Ends both directions as if all had been said; every operation in flight completes.
    pub fn end(&self) {
        self.socket.shutdown(Shutdown::Both);
    }

    /// Ends both directions such that the peer sees a failure, not a clean end, also when they are ended again
    /// afterwards; every operation in flight completes.
    pub fn abort(&self) {
        self.socket.abort();
    }
}

/// Awaits a receive that nobody needs any more, in the background.
pub fn forget(receive: RecvAny) {
    spawn(async move {
        if let Ok(bytes) = receive.await {
            buffers::give_back(bytes);
        }
    });
}
