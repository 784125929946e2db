//! Connects, the same on every engine.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, SockAddr, Type};

#[cfg(test)]
use super::engine::{self, Engine};
use super::ready as epoll;
use super::ring::{self, RingConnect};
#[cfg(test)]
use super::simulated;
use super::socket::{Handle, Shutdown, Socket};

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

/// Starts to connect to a TCP address or Unix socket. `timeout` bounds the one wait that shutting down does not end:
/// for a Unix socket whose backlog is full.
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
