//! Listening sockets: one for each shard and listener, and clear errors when one cannot be opened.
//!
//! TCP listeners use SO_REUSEPORT, so that the kernel spreads connections over the shards. The first socket of an
//! address is bound *without* it, which fails where another process listens already, and is opened for sharing only
//! then. A Unix socket is one socket that all shards accept from; its file is removed with its [`SocketFile`].

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

use crate::snapshot::{Bind, Listener, SocketOptions};

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("listener \"{listener}\" cannot listen on {address}: {cause}{remedy}")]
pub struct ListenError {
    pub listener: String,
    pub address: String,
    pub cause: io::Error,
    remedy: &'static str,
}

/// The sockets of one listener, one for each shard, and their actual address.
pub struct Opened {
    pub sockets: Vec<Socket>,
    pub bound: Bind,
    /// Set for a Unix socket.
    pub file: Option<SocketFile>,
}

/// The file of a Unix socket, removed on drop, when nothing listens there any more.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Device, inode and time of creation: an inode alone may be reused at once.
type Identity = (u64, u64, i64, i64);

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that another process has put there since is not ours; one that is gone already needs no removal.
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
}

/// Opens a listener for `shards` shards. With `shares_port`, a listener of this process that is about to end may still
/// have the port.
///
/// # Errors
/// Address in use, not permitted, not on this machine; each with a remedy.
pub fn open(listener: &Listener, shards: usize, shares_port: bool) -> Result<Opened, ListenError> {
    let result = match &listener.bind {
        Bind::Tcp(address) => open_tcp(*address, &listener.socket, shards, shares_port),
        Bind::Unix(path) => open_unix(path, &listener.socket, shards),
    };
    result.map_err(|cause| ListenError {
        listener: listener.name.to_string(),
        address: match &listener.bind {
            Bind::Tcp(address) => address.to_string(),
            Bind::Unix(path) => format!("unix:{}", path.display()),
        },
        remedy: remedy(&cause),
        cause,
    })
}

fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process listens there: stop it or choose another address"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need root or CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep), a Unix socket a writable directory"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

fn open_tcp(
    address: SocketAddr,
    options: &SocketOptions,
    shards: usize,
    shares_port: bool,
) -> io::Result<Opened> {
    let first = tcp_socket(address, options)?;
    first.set_reuse_port(shares_port)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    let bound = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..shards {
        let socket = tcp_socket(address, options)?;
        socket.set_reuse_port(true)?;
        socket.bind(&bound.into())?;
        sockets.push(socket);
    }
    for socket in &sockets {
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    }
    Ok(Opened { sockets, bound: Bind::Tcp(bound), file: None })
}

fn tcp_socket(address: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(options.ipv6_only)?;
    }
    inherited(&socket, options)?;
    if options.fast_open > 0 {
        crate::uring::set_fast_open(&socket, options.fast_open)?;
    }
    Ok(socket)
}

/// Changes the options of a socket that listens already. Two cannot be changed: `ipv6_only`, and buffer sizes that
/// would go back to the kernel's own.
///
/// # Errors
/// The error of setsockopt(2) or listen(2).
pub fn adjust(socket: &Socket, options: &SocketOptions) -> io::Result<()> {
    if socket.domain()? != Domain::UNIX {
        inherited(socket, options)?;
        crate::uring::set_fast_open(socket, options.fast_open)?;
    }
    // A second listen(2) changes the backlog and nothing else.
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))
}

/// Accepted connections inherit these from the listening socket.
fn inherited(socket: &Socket, options: &SocketOptions) -> io::Result<()> {
    socket.set_tcp_nodelay(options.nodelay)?;
    socket.set_keepalive(!options.keepalive.is_zero())?;
    if !options.keepalive.is_zero() {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(options.keepalive))?;
    }
    if options.send_buffer_bytes > 0 {
        socket.set_send_buffer_size(options.send_buffer_bytes)?;
    }
    if options.receive_buffer_bytes > 0 {
        socket.set_recv_buffer_size(options.receive_buffer_bytes)?;
    }
    crate::uring::set_defer_accept(socket, options.defer_accept)
}

fn open_unix(path: &Path, options: &SocketOptions, shards: usize) -> io::Result<Opened> {
    let (socket, file) = bind_unix(path, options.unix_mode, options.backlog)?;
    let mut sockets = Vec::with_capacity(shards);
    for _ in 1..shards {
        sockets.push(socket.try_clone()?);
    }
    sockets.push(socket);
    Ok(Opened { sockets, bound: Bind::Unix(path.to_owned()), file: Some(file) })
}

/// Listens on a Unix socket with these permission bits; a file left over from an earlier run is replaced.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] where a process listens, or the file is no socket.
pub fn bind_unix(path: &Path, mode: u32, backlog: u32) -> io::Result<(Socket, SocketFile)> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if let Err(error) = socket.bind(&address) {
        let is_left = error.kind() == io::ErrorKind::AddrInUse
            && std::fs::symlink_metadata(path)?.file_type().is_socket()
            && !is_alive(&address)?;
        if !is_left {
            return Err(error);
        }
        // A socket file without a listener is left over from an earlier run.
        std::fs::remove_file(path)?;
        socket.bind(&address)?;
    }
    // From here on any failure removes the file.
    let file = SocketFile::of(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok((socket, file))
}

fn is_alive(address: &SockAddr) -> io::Result<bool> {
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Any other error, such as a full backlog, means that a process listens.
    let refused =
        probe.connect(address).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    Ok(!refused)
}

#[cfg(test)]
mod tests {
    use crate::listener::*;

    #[test]
    fn the_file_of_a_unix_socket_goes_with_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (socket, file) = bind_unix(&path, 0o600, 8).unwrap();
        assert!(bind_unix(&path, 0o600, 8).is_err(), "somebody listens there");
        assert!(path.exists(), "a bind that fails leaves another's file");
        drop(socket);
        let (_socket, taken_over) = bind_unix(&path, 0o600, 8).unwrap();
        drop(file);
        assert!(path.exists(), "another's file is left");
        drop(taken_over);
        assert!(!path.exists());
    }

    #[test]
    fn a_bind_that_fails_half_way_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let file = {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
            SocketFile::of(&path).unwrap()
        };
        assert!(path.exists());
        drop(file);
        assert!(!path.exists());
    }
}
