//! The same operations on tokio's readiness, where io_uring is refused.

use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

use socket2::SockAddr;
use tokio::io::unix::AsyncFd;

use super::buffers;
use super::socket::{Handle, Socket};

fn asynchronous(socket: &Socket) -> Option<&AsyncFd<socket2::Socket>> {
    match &socket.0.handle {
        Handle::Ready(socket) => Some(socket),
        Handle::Ring(_) => None,
        #[cfg(test)]
        Handle::Simulated(_) => None,
    }
}

/// One receive into `buffer`'s spare capacity, once the socket is readable.
pub(super) fn poll_recv(
    socket: &Socket,
    buffer: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let Some(socket) = asynchronous(socket) else {
        return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
    };
    loop {
        let mut guard = ready!(socket.poll_read_ready(cx))?;
        let spare: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
        let room = spare.len().saturating_sub(buffers::TAIL_BYTES);
        let spare = spare.get_mut(..room).unwrap_or_default();
        match guard.try_io(|socket| socket.get_ref().recv(spare)) {
            Ok(Ok(count)) => {
                if count > 0 && count < room {
                    // Nothing is left: epoll reports more bytes, or an end, with an edge of its own (epoll(7)).
                    guard.clear_ready();
                }
                // SAFETY: recv(2) wrote `count` bytes into the spare capacity.
                unsafe { buffer.set_len((buffer.len() + count).min(buffer.capacity())) };
                return Poll::Ready(Ok(count));
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Poll::Ready(Err(error)),
            Err(_would_block) => {}
        }
    }
}

/// As [`poll_recv`], taking a small buffer only when the socket is readable.
pub(super) fn poll_recv_any(socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
    if let Some(asynchronous) = asynchronous(socket) {
        ready!(asynchronous.poll_read_ready(cx))?.retain_ready();
    }
    let mut buffer = buffers::small();
    match poll_recv(socket, &mut buffer, cx) {
        Poll::Ready(Ok(_)) => Poll::Ready(Ok(buffer)),
        Poll::Ready(Err(error)) => {
            buffers::give_back(buffer);
            Poll::Ready(Err(error))
        }
        Poll::Pending => {
            buffers::give_back(buffer);
            Poll::Pending
        }
    }
}

/// A send that was tried at once and waits for room when there was none.
pub(super) struct ReadySend {
    buffer: Vec<u8>,
    from: usize,
    sent: usize,
    whole: bool,
    ended: Option<io::Result<()>>,
}

impl ReadySend {
    pub(super) fn start(
        socket: &socket2::Socket,
        buffer: Vec<u8>,
        from: usize,
        whole: bool,
    ) -> Self {
        let mut send = ReadySend { buffer, from, sent: 0, whole, ended: None };
        if let Err(error) = send.attempt(socket)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            send.ended = Some(Err(error));
        }
        send
    }

    /// Sends as much as the socket takes; `WouldBlock` when some is left.
    fn attempt(&mut self, socket: &socket2::Socket) -> io::Result<()> {
        loop {
            let rest = self.buffer.get(self.from + self.sent..).unwrap_or_default();
            if rest.is_empty() || (self.sent > 0 && !self.whole) {
                self.ended = Some(Ok(()));
                return Ok(());
            }
            match socket.send_with_flags(rest, libc::MSG_NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn poll(
        &mut self,
        socket: &Socket,
        cx: &mut Context<'_>,
    ) -> Poll<(io::Result<usize>, Vec<u8>)> {
        while self.ended.is_none() {
            let Some(asynchronous) = asynchronous(socket) else { break };
            match ready!(asynchronous.poll_write_ready(cx)) {
                Ok(mut guard) => {
                    let attempt = guard.try_io(|socket| self.attempt(socket.get_ref()));
                    if let Ok(Err(error)) = attempt {
                        self.ended = Some(Err(error));
                    }
                }
                Err(error) => self.ended = Some(Err(error)),
            }
        }
        let result = self.ended.take().unwrap_or(Ok(())).map(|()| self.sent);
        Poll::Ready((result, std::mem::take(&mut self.buffer)))
    }
}

/// Begins a non-blocking connect.
pub(super) fn start_connect(socket: &socket2::Socket, address: &SockAddr) -> io::Result<()> {
    match socket.connect(address) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        result => result,
    }
}

/// Ends a non-blocking connect: a writable socket has an outcome, and `SO_ERROR` says which.
pub(super) fn poll_connect(socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let Some(asynchronous) = asynchronous(socket) else {
        return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
    };
    ready!(asynchronous.poll_write_ready(cx))?.retain_ready();
    Poll::Ready(match asynchronous.get_ref().take_error() {
        Ok(None) => asynchronous.get_ref().peer_addr().map(|_| ()),
        Ok(Some(error)) | Err(error) => Err(error),
    })
}
