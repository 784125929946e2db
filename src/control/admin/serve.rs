//! The sockets of the admin API: opened before anything runs, served until the end.
//!
//! Limits bound what a client can use: connections for each socket (so that the Unix socket stays available when the
//! address is flooded), size and duration of a request's head, and how long a response may not be taken. Never waits
//! for a single client. Tested by `tests/admin` over real sockets.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use super::actor::Peer;
use super::handshake::{Handshakes, Shaken};
use super::problem::{Cause, Problem};
use crate::control::config::file::Admin;
use crate::control::config::unix_mode;
use crate::control::runtime::Control;
use crate::listener::{self, SocketFile};

/// Connections of one socket at a time.
const CONNECTIONS_MAX: usize = 256;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;
/// The time for a request's head, and for the silence before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take no byte of a response.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Pause after a failed accept, which is mostly a shortage of descriptors and passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The time for requests in flight when the API ends.
const GRACE: Duration = Duration::from_secs(2);

/// Why the admin API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("admin.address = \"{0}\" is not loopback: it needs admin.token, or admin.tls.role")]
    NoToken(SocketAddr),
    #[error("admin.address = \"{0}\" is not loopback: it needs [admin.tls]")]
    NoTls(SocketAddr),
    #[error("the admin API cannot listen on {address}: {cause}")]
    Address { address: SocketAddr, cause: io::Error },
    #[error("the admin API cannot listen on unix:{}: another process listens there", .0.display())]
    SocketInUse(PathBuf),
    #[error("the admin API cannot listen on unix:{}: {cause}", path.display())]
    Socket { path: PathBuf, cause: io::Error },
    #[error("admin.socket_mode {0}")]
    Mode(String),
}

/// Open sockets, not yet served.
#[derive(Debug)]
pub struct Sockets {
    tcp: Option<std::net::TcpListener>,
    has_tls: bool,
    unix: Option<(std::os::unix::net::UnixListener, SocketFile)>,
}

impl Sockets {
    /// Opens the sockets that the file names, if any.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn open(admin: &Admin) -> Result<Sockets, BindError> {
        let tcp = admin.address.map(|address| open_tcp(address, admin)).transpose()?;
        let unix = match &admin.socket {
            Some(path) => Some(open_unix(path, &admin.socket_mode)?),
            None => None,
        };
        Ok(Sockets { tcp, has_tls: admin.tls.is_some(), unix })
    }

    /// The actual TCP address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }

    /// Serves until `end` is ready, then lets requests in flight finish for a moment. `control` is asked at every
    /// handshake what is presented.
    ///
    /// # Errors
    /// A socket cannot be registered with the runtime.
    pub async fn serve(
        self,
        router: Router,
        control: Arc<Control>,
        end: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let connections = GracefulShutdown::new();
        let tls = self.has_tls.then(|| Arc::new(Handshakes::new(control)));
        let tcp = self.tcp.map(TcpListener::from_std).transpose()?;
        let (unix, file) = self.unix.unzip();
        let unix = unix.map(UnixListener::from_std).transpose()?;
        tokio::select! {
            () = accept_tcp(tcp, tls, &router, &connections) => {}
            () = accept_unix(unix, &router, &connections) => {}
            () = end => {}
        }
        drop(file);
        // Connections that are not finished by then are cut off with the runtime.
        let _ = tokio::time::timeout(GRACE, connections.shutdown()).await;
        Ok(())
    }
}

fn open_tcp(address: SocketAddr, admin: &Admin) -> Result<std::net::TcpListener, BindError> {
    // The file's validation has these rules too; no other caller may open a door either.
    if !address.ip().to_canonical().is_loopback() {
        let has_roles = admin.tls.as_ref().is_some_and(|tls| !tls.roles.is_empty());
        if admin.token.is_none() && !has_roles {
            return Err(BindError::NoToken(address));
        }
        if admin.tls.is_none() {
            return Err(BindError::NoTls(address));
        }
    }
    let open = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|cause| BindError::Address { address, cause })
}

fn open_unix(
    path: &Path,
    mode: &str,
) -> Result<(std::os::unix::net::UnixListener, SocketFile), BindError> {
    let mode = unix_mode(mode).map_err(BindError::Mode)?;
    let open = || -> io::Result<_> {
        let (socket, file) = listener::bind_unix(path, mode, BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok((socket.into(), file))
    };
    match open() {
        Ok(opened) => Ok(opened),
        Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => {
            Err(BindError::SocketInUse(path.to_owned()))
        }
        Err(cause) => Err(BindError::Socket { path: path.to_owned(), cause }),
    }
}

/// Never ends; without a listener it only waits. `tls` is absent where the address is plain.
async fn accept_tcp(
    listener: Option<TcpListener>,
    tls: Option<Arc<Handshakes>>,
    router: &Router,
    connections: &GracefulShutdown,
) {
    let Some(listener) = listener else { return std::future::pending().await };
    let refusal = Router::new().fallback(refuse_plain);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, address)) => {
                // Without the option the socket works as well, only slower.
                let _ = stream.set_nodelay(true);
                let (router, refusal) = (router.clone(), refusal.clone());
                let (watcher, tls) = (connections.watcher(), tls.clone());
                tokio::spawn(async move {
                    let plain = Peer::Tcp(address);
                    match tls {
                        None => serve(stream, plain, router, watcher).await,
                        Some(tls) => match tls.shake(stream, address.ip()).await {
                            Some(Shaken::Tls(stream, secured)) => {
                                let peer = Peer::Tls(address, Arc::new(secured));
                                serve(*stream, peer, router, watcher).await;
                            }
                            Some(Shaken::Plain(stream)) => {
                                serve(stream, plain, refusal, watcher).await;
                            }
                            None => {}
                        },
                    }
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// The answer to every request without TLS where there is TLS. Nothing of it is looked at.
async fn refuse_plain() -> Response {
    let detail = "this port speaks HTTPS, and the request came without TLS: use https://";
    let mut response = Problem::new(Cause::BadRequest, detail).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn accept_unix(
    listener: Option<UnixListener>,
    router: &Router,
    connections: &GracefulShutdown,
) {
    let Some(listener) = listener else { return std::future::pending().await };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (peer, router) = (unix_peer(&stream), router.clone());
                let watcher = connections.watcher();
                tokio::spawn(async move {
                    serve(stream, peer, router, watcher).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

fn unix_peer(stream: &UnixStream) -> Peer {
    let credentials = stream.peer_cred().ok();
    Peer::Unix {
        uid: credentials.map(|credentials| credentials.uid()),
        pid: credentials.and_then(|credentials| credentials.pid()),
    }
}

/// Serves one connection to its end.
async fn serve<T: AsyncRead + AsyncWrite + Send + 'static>(
    stream: T,
    peer: Peer,
    router: Router,
    watcher: Watcher,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(SEND_TIMEOUT));
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    // How the connection ends does not matter here.
    let _ = watcher.watch(connection).await;
}
