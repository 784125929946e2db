//! Sockets in the epoll instance of this thread, and whether it still takes any. Tested by the black-box suite.

use std::cell::Cell;
use std::io;

use tokio::io::unix::AsyncFd;

thread_local! {
    /// Why a socket could not be added to the epoll instance of this thread.
    static REFUSAL: Cell<Option<i32>> = const { Cell::new(None) };
}

/// Registers a socket with epoll for as long as it is open.
pub(super) fn register(socket: socket2::Socket) -> io::Result<AsyncFd<socket2::Socket>> {
    socket.set_nonblocking(true)?;
    // SAFETY: a socket2::Socket owns its descriptor and keeps it open, the same one, for as long as the AsyncFd
    // owns the socket.
    let registered = unsafe { AsyncFd::register(socket) };
    registered.map_err(io::Error::from).inspect_err(note_refusal)
}

/// Notes that a socket could not be added, unless the cause is a passing shortage.
fn note_refusal(error: &io::Error) {
    if !is_shortage(error) {
        REFUSAL.set(error.raw_os_error());
    }
}

/// Returns an error when a socket was refused since the last call.
pub(super) fn look_at_refusals() -> io::Result<()> {
    match REFUSAL.take() {
        Some(code) => {
            let error = io::Error::from_raw_os_error(code);
            Err(io::Error::new(error.kind(), format!("its epoll takes no sockets: {error}")))
        }
        None => Ok(()),
    }
}

/// A refusal that passes when memory, or a place among the user's watches, becomes free.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOSPC))
}
