//! Connecting to a target's address, and the closed set of reasons for which that fails.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

pub use crate::uring::Socket;
use crate::uring::{self, ConnectAddress, Shutdown};

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFault {
    /// Nothing listens there.
    Refused,
    Timeout,
    /// This process is out of descriptors, ports or memory.
    NoSocket,
    /// No route, no permission, a reset during the handshake.
    Failed,
}

/// Where to connect to.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    Tcp(SocketAddr),
    Unix(&'a Path),
}

/// A connection that is being made.
pub struct Connect(uring::Connect);

/// Starts to connect. `timeout` bounds the one wait that aborting does not end: for a Unix socket whose backlog is
/// full.
///
/// # Errors
/// When no socket can be made (descriptors, memory).
pub fn connect(place: Place<'_>, timeout: Duration) -> io::Result<Connect> {
    let address = match place {
        Place::Tcp(address) => ConnectAddress::Tcp(address),
        Place::Unix(path) => ConnectAddress::Unix(path),
    };
    uring::connect(&address, timeout).map(Connect)
}

impl Connect {
    /// # Errors
    /// Why there will be no connection.
    pub fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<Result<Socket, ConnectFault>> {
        let connected = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(connected.map_err(|error| fault(&error)))
    }

    /// Makes the connect fail soon, and everything that is in flight on its socket.
    pub fn abort(&self) {
        self.0.socket().shutdown(Shutdown::Both);
    }
}

/// Sends the first bytes of a connection.
///
/// # Errors
/// The peer takes them no more.
pub async fn send_first(socket: &Socket, mut bytes: Vec<u8>) -> Result<(), ConnectFault> {
    let mut from = 0;
    while from < bytes.len() {
        let (sent, back) = socket.send(bytes, from, true).await;
        bytes = back;
        match sent {
            Ok(0) | Err(_) => return Err(ConnectFault::Failed),
            Ok(count) => from += count,
        }
    }
    Ok(())
}

fn fault(error: &io::Error) -> ConnectFault {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED | libc::ENOENT) => ConnectFault::Refused,
        Some(libc::ETIMEDOUT | libc::EAGAIN) => ConnectFault::Timeout,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EADDRNOTAVAIL) => {
            ConnectFault::NoSocket
        }
        _ => ConnectFault::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_system_is_one_of_four() {
        let of = |code| fault(&io::Error::from_raw_os_error(code));
        assert_eq!(of(libc::ECONNREFUSED), ConnectFault::Refused);
        assert_eq!(of(libc::ENOENT), ConnectFault::Refused);
        assert_eq!(of(libc::ETIMEDOUT), ConnectFault::Timeout);
        assert_eq!(of(libc::EAGAIN), ConnectFault::Timeout);
        assert_eq!(of(libc::EADDRNOTAVAIL), ConnectFault::NoSocket);
        assert_eq!(of(libc::EMFILE), ConnectFault::NoSocket);
        assert_eq!(of(libc::EHOSTUNREACH), ConnectFault::Failed);
        assert_eq!(of(libc::EACCES), ConnectFault::Failed);
    }
}
