//! Where a responder listens.
//!
//! Owns: the notation of addresses, and making listeners. Tested below, and by `tests/respond.rs`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// An address of TCP or of the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What can be wrong with an address as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: 127.0.0.1:8080, [::1]:8080 or unix:/run/target.sock is")]
pub struct Wrong(String);

impl FromStr for Address {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Address, Wrong> {
        match text.strip_prefix("unix:") {
            Some("") => Err(Wrong(text.to_owned())),
            Some(path) => Ok(Address::Unix(path.into())),
            None => text.parse().map(Address::Tcp).map_err(|_| Wrong(text.to_owned())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(formatter),
            Address::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// Makes `count` listeners, one for each thread, and the address they have: another one than this
    /// where its port is 0. The kernel spreads TCP connections over them; those of the file system share
    /// one queue.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn listen(&self, count: usize) -> io::Result<(Vec<Socket>, Address)> {
        let mut listeners = Vec::new();
        match self {
            Address::Tcp(address) => {
                let mut address = *address;
                for _ in 0..count {
                    let listener = listen_tcp(address, count > 1)?;
                    address = listener.local_addr()?.as_socket().unwrap_or(address);
                    listeners.push(listener);
                }
                Ok((listeners, Address::Tcp(address)))
            }
            Address::Unix(path) => {
                remove_abandoned(path)?;
                let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                listener.bind(&SockAddr::unix(path)?)?;
                listener.listen(BACKLOG)?;
                for _ in 1..count {
                    listeners.push(listener.try_clone()?);
                }
                listeners.push(listener);
                Ok((listeners, self.clone()))
            }
        }
    }

    /// Takes a listener's name out of the file system.
    pub fn remove(&self) {
        if let Address::Unix(path) = self {
            // It may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Listens on a TCP address; with `shared`, beside others of this process. Accepted connections inherit
/// that small answers go out at once.
pub fn listen_tcp(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    listener.set_reuse_address(true)?;
    listener.set_reuse_port(shared)?;
    listener.set_tcp_nodelay(true)?;
    listener.bind(&address.into())?;
    listener.listen(BACKLOG)?;
    Ok(listener)
}

/// Removes a socket that nobody listens on any more: one that a killed process left behind.
fn remove_abandoned(path: &PathBuf) -> io::Result<()> {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refused = || {
        UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    if is_socket && refused() { std::fs::remove_file(path) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["127.0.0.1:80", "[::1]:8080", "unix:/run/a.sock", "unix:a"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "localhost:80", "127.0.0.1", "unix:", "/run/a.sock"] {
            assert_eq!(text.parse::<Address>(), Err(Wrong(text.to_owned())), "{text}");
        }
    }
}
