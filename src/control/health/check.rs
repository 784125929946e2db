//! One check of one target, with a request or a connection of its own, never one of the data plane's.
//!
//! A target under TLS must prove to a check what it must prove to traffic. Reports the result in words for people. Every check is bounded by one timeout and by 64 KiB of content; it follows
//! no redirect and keeps no connection. Decides nothing about health. Tested below against small servers.

use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::grpc::GrpcAsk;
use super::response::{Reader, Unread};
use crate::control::config::units::show_duration;
use crate::group::address::Address;
use crate::proxy_protocol::{Version, write};
use crate::tls::target::TlsPeer;
use crate::transport::tls::fault::HandshakeFault;

/// Most bytes of a response's content that are examined.
const CONTENT_BYTES_MAX: usize = 64 * 1024;

pub(super) const USER_AGENT: &str = "limpet-health-check";

/// The settings of a group's checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub kind: Kind,
    /// For the whole check.
    pub timeout: Duration,
    /// Replaces the target's own port.
    pub port: Option<u16>,
    /// Each check begins with a PROXY header, which says that it is limpet's own connection.
    pub header: Option<Version>,
    /// Requests go in HTTP/2.
    pub is_http2: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Passes when a connection is made.
    Tcp,
    Http(HttpAsk),
    Grpc(GrpcAsk),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAsk {
    pub method: String,
    /// In the form in which it is sent.
    pub path: String,
    /// "" = the address.
    pub host: String,
    pub expect: Vec<RangeInclusive<u16>>,
    /// "" = not checked.
    pub body: String,
    /// The longest response head of the group.
    pub head_bytes: usize,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub verdict: Verdict,
    /// The status of the response, if one came.
    pub status: Option<u16>,
    pub latency: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// Why, in words.
    Failed(String),
    /// limpet itself could not check, which says nothing about the target.
    NotAsked(String),
}

/// Where a target is, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub address: Address,
    /// `None` = in clear.
    pub tls: Option<TlsPeer>,
}

/// Makes checks.
pub trait Probe: Send + Sync + 'static {
    /// One check of the target at `endpoint`.
    fn check(&self, ask: Arc<Ask>, endpoint: Endpoint) -> impl Future<Output = Outcome> + Send;
}

/// Makes checks over the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prober;

impl Probe for Prober {
    async fn check(&self, ask: Arc<Ask>, endpoint: Endpoint) -> Outcome {
        let began = Instant::now();
        let (status, verdict) = ask.run(&endpoint, began + ask.timeout).await;
        Outcome { verdict, status, latency: began.elapsed() }
    }
}

impl Ask {
    async fn run(&self, endpoint: &Endpoint, deadline: Instant) -> (Option<u16>, Verdict) {
        let tls = endpoint.tls.as_ref();
        let late = |what: &str| (None, Verdict::Failed(self.late(what)));
        match &endpoint.address {
            Address::Tcp(address) => {
                let mut address = *address;
                address.set_port(self.port.unwrap_or(address.port()));
                match timeout_at(deadline, TcpStream::connect(address)).await {
                    Err(_) => late("connection"),
                    Ok(Err(error)) => (None, connect_error(&error)),
                    Ok(Ok(stream)) => {
                        self.secured((stream, tls), &address.to_string(), deadline).await
                    }
                }
            }
            Address::Unix(path) => match timeout_at(deadline, UnixStream::connect(path)).await {
                Err(_) => late("connection"),
                Ok(Err(error)) => (None, connect_error(&error)),
                Ok(Ok(stream)) => self.secured((stream, tls), "localhost", deadline).await,
            },
        }
    }

    fn late(&self, what: &str) -> String {
        format!("no {what} within {}", show_duration(self.timeout))
    }

    /// Goes on once there is a connection, with the header that the group's targets expect and the handshake of a target
    /// under TLS.
    async fn secured<S>(
        &self,
        (mut stream, tls): (S, Option<&TlsPeer>),
        name: &str,
        deadline: Instant,
    ) -> (Option<u16>, Verdict)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if let Some(version) = self.header {
            match timeout_at(deadline, stream.write_all(write::own(version))).await {
                Err(_) => return (None, Verdict::Failed(self.late("connection"))),
                Ok(Err(error)) => return (None, connect_error(&error)),
                Ok(Ok(())) => {}
            }
        }
        let Some(tls) = tls else { return self.over((stream, "http"), name, deadline).await };
        let host = match &self.kind {
            Kind::Http(ask) => ask.host.as_bytes(),
            Kind::Grpc(ask) => ask.host.as_bytes(),
            Kind::Tcp => b"",
        };
        let Some(peer) = tls.name(host) else {
            return self.over((stream, "http"), name, deadline).await;
        };
        let connector = TlsConnector::from(tls.tls().config_without_sessions());
        let shaking = connector.connect(peer.server_name.clone(), stream);
        match timeout_at(deadline, shaking).await {
            Err(_) => {
                let code = HandshakeFault::Timeout.code();
                (None, Verdict::Failed(format!("{} ({code})", self.late("TLS handshake"))))
            }
            Ok(Err(error)) => (None, Verdict::Failed(handshake_error(&error))),
            Ok(Ok(stream)) => {
                let alpn = stream.get_ref().1.alpn_protocol();
                if self.is_http2 && alpn != Some(b"h2") {
                    let code = HandshakeFault::NoProtocol.code();
                    return (None, Verdict::Failed(format!("it does not speak HTTP/2 ({code})")));
                }
                self.over((stream, "https"), name, deadline).await
            }
        }
    }

    /// The check itself, once bytes can be sent; `name` replaces a host that is not set.
    async fn over<S>(
        &self,
        (stream, scheme): (S, &str),
        name: &str,
        deadline: Instant,
    ) -> (Option<u16>, Verdict)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut status = None;
        let host_of = |host: &str| if host.is_empty() { name } else { host }.to_owned();
        let exchange = async {
            match &self.kind {
                Kind::Tcp => Ok(()),
                Kind::Grpc(ask) => {
                    let host = &host_of(&ask.host);
                    ask.exchange(stream, (scheme, host), (self.timeout, &mut status)).await
                }
                Kind::Http(ask) if self.is_http2 => {
                    ask.exchange_http2(stream, (scheme, &host_of(&ask.host)), &mut status).await
                }
                Kind::Http(ask) => ask.exchange(stream, &host_of(&ask.host), &mut status).await,
            }
        };
        let verdict = match timeout_at(deadline, exchange).await {
            Ok(Ok(())) => Verdict::Passed,
            Ok(Err(error)) => Verdict::Failed(error),
            Err(_) => {
                let within = show_duration(self.timeout);
                Verdict::Failed(match status {
                    None => format!("no response within {within}"),
                    Some(_) => format!("the response's content did not come within {within}"),
                })
            }
        };
        (status, verdict)
    }
}

impl HttpAsk {
    async fn exchange<S>(
        &self,
        mut stream: S,
        host: &str,
        status: &mut Option<u16>,
    ) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let request = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n",
            self.method, self.path
        );
        // A target may answer, and close, before it has read everything: its answer counts.
        let sent = stream.write_all(request.as_bytes()).await;
        let mut reader = Reader::new(stream, &self.method, self.head_bytes);
        let head = reader.head().await.map_err(|unread| unread_error(&unread, &sent))?;
        *status = Some(head);
        if !self.expect.iter().any(|range| range.contains(&head)) {
            return Err(format!("status {head}, expected {}", expected(&self.expect)));
        }
        self.judge(&mut reader).await.map_err(|fault| match fault {
            Some(unread) => unread_error(&unread, &Ok(())),
            None => self.not_found(),
        })
    }

    /// Searches for the text; `None` when it is not there. Without one, only the content that has come is read.
    async fn judge<S>(&self, reader: &mut Reader<S>) -> Result<(), Option<Unread>>
    where
        S: AsyncRead + Unpin,
    {
        if self.body.is_empty() && !reader.has_bytes() {
            return Ok(());
        }
        let mut search = Search::new(&self.body);
        while !search.is_over() {
            let Some(piece) = reader.content().await.map_err(Some)? else { break };
            search.add(&piece);
        }
        if search.has_found() { Ok(()) } else { Err(None) }
    }

    pub(super) fn not_found(&self) -> String {
        format!("the text {:?} is not in the first 64 KiB", self.body)
    }
}

/// The search for a text in the first bytes of content.
pub(super) struct Search<'t> {
    text: &'t [u8],
    content: Vec<u8>,
    has_found: bool,
    /// Some content has come.
    has_content: bool,
}

impl<'t> Search<'t> {
    pub(super) fn new(text: &'t str) -> Search<'t> {
        let text = text.as_bytes();
        Search { text, content: Vec::new(), has_found: text.is_empty(), has_content: false }
    }

    /// Looks at more content.
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.has_content = true;
        let room = CONTENT_BYTES_MAX - self.content.len();
        // The text may lie across the end of the earlier content.
        let from = self.content.len().saturating_sub(self.text.len());
        self.content.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        let looked_at = self.content.get(from..).unwrap_or_default();
        self.has_found |= memchr::memmem::find(looked_at, self.text).is_some();
    }

    /// Whether no more content needs to be looked at.
    pub(super) fn is_over(&self) -> bool {
        self.has_content && self.has_found || self.content.len() >= CONTENT_BYTES_MAX
    }

    pub(super) fn has_found(&self) -> bool {
        self.has_found
    }
}

pub(super) fn expected(ranges: &[RangeInclusive<u16>]) -> String {
    let one = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(" or ")
}

/// Why there is no connection.
fn connect_error(error: &io::Error) -> Verdict {
    let own = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL];
    if error.raw_os_error().is_some_and(|code| own.contains(&code)) {
        return Verdict::NotAsked(format!("limpet could not connect: {error}"));
    }
    Verdict::Failed(io_error(error))
}

/// Why there is no TLS connection, in the access log's word as well.
fn handshake_error(error: &io::Error) -> String {
    let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (text, fault) = match fault {
        Some(fault) => (fault.to_string(), HandshakeFault::from(fault)),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof => ("connection closed".into(), HandshakeFault::Gone),
            _ => (io_error(error), HandshakeFault::Gone),
        },
    };
    format!("TLS handshake failed: {text} ({})", fault.code())
}

fn io_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed without close_notify, which may have cut it".into(),
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset".into(),
        io::ErrorKind::ConnectionAborted => "connection aborted".into(),
        io::ErrorKind::TimedOut => "connection timed out".into(),
        io::ErrorKind::NotFound => "there is no such socket".into(),
        io::ErrorKind::PermissionDenied => "permission to connect denied".into(),
        io::ErrorKind::HostUnreachable => "no route to the host".into(),
        io::ErrorKind::NetworkUnreachable => "no route to the network".into(),
        _ => error.to_string(),
    }
}

/// Why there is no response, or only a part of it: in the access log's word, where a client's request would have failed
/// in the same way. `sent` is the result of sending the request.
fn unread_error(unread: &Unread, sent: &io::Result<()>) -> String {
    let text = match (unread, sent) {
        (Unread::Closed(_), Err(error)) | (Unread::Failed(error, _), _) => io_error(error),
        (Unread::Closed(_), Ok(())) => "closed without a whole response".into(),
        (Unread::Invalid(_), _) => "the response is not valid".into(),
    };
    format!("{text} ({})", unread.failure().code())
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
