//! One check of one target: a request or a connection of its own, never one of the data plane's.
//!
//! Says what happened in words for people. Every check is bounded by one timeout and by 64 KiB of content; follows
//! no redirect, keeps no connection. Decides nothing about health. Tested below against small servers.

use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use crate::control::config::units::show_duration;
use crate::target::group::Address;

/// How much of a response's content is looked at.
const CONTENT_BYTES_MAX: usize = 64 * 1024;
/// The longest response head of a check.
const HEAD_BYTES_MAX: usize = 64 * 1024;

const USER_AGENT: &str = "limpet-health-check";

const CLOSED: &str = "closed without a whole response";
const INVALID: &str = "the response is not valid HTTP/1.1";

/// How targets of a group are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub kind: Kind,
    /// Of the whole check.
    pub timeout: Duration,
    /// Takes the place of the target's own port.
    pub port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A connection comes about.
    Tcp,
    Http(HttpAsk),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAsk {
    pub method: String,
    /// With its query, as it is sent.
    pub path: String,
    /// "" = the address.
    pub host: String,
    pub expect: Vec<RangeInclusive<u16>>,
    /// "" = not looked at.
    pub body: String,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub verdict: Verdict,
    /// Of the response, if one came.
    pub status: Option<u16>,
    pub latency: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// Why, in words.
    Failed(String),
    /// limpet itself could not ask, which says nothing about the target.
    NotAsked(String),
}

/// Whoever asks.
pub trait Probe: Send + Sync + 'static {
    /// One check of the target at `address`.
    fn check(&self, ask: Arc<Ask>, address: Address) -> impl Future<Output = Outcome> + Send;
}

/// Asks over the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prober;

impl Probe for Prober {
    async fn check(&self, ask: Arc<Ask>, address: Address) -> Outcome {
        let began = Instant::now();
        let (status, verdict) = ask.run(&address, began + ask.timeout).await;
        Outcome { verdict, status, latency: began.elapsed() }
    }
}

impl Ask {
    async fn run(&self, address: &Address, deadline: Instant) -> (Option<u16>, Verdict) {
        let late = |what: &str| {
            (None, Verdict::Failed(format!("no {what} within {}", show_duration(self.timeout))))
        };
        match address {
            Address::Tcp(address) => {
                let mut address = *address;
                address.set_port(self.port.unwrap_or(address.port()));
                match timeout_at(deadline, TcpStream::connect(address)).await {
                    Err(_) => late("connection"),
                    Ok(Err(error)) => (None, connect_error(&error)),
                    Ok(Ok(stream)) => self.over(stream, &address.to_string(), deadline).await,
                }
            }
            Address::Unix(path) => match timeout_at(deadline, UnixStream::connect(path)).await {
                Err(_) => late("connection"),
                Ok(Err(error)) => (None, connect_error(&error)),
                Ok(Ok(stream)) => self.over(stream, "localhost", deadline).await,
            },
        }
    }

    /// The check proper, once there is a connection; `name` stands in for a host that is not set.
    async fn over<S>(&self, stream: S, name: &str, deadline: Instant) -> (Option<u16>, Verdict)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let Kind::Http(ask) = &self.kind else { return (None, Verdict::Passed) };
        let mut status = None;
        let exchange = ask.exchange(stream, name, &mut status);
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
        stream: S,
        name: &str,
        status: &mut Option<u16>,
    ) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let host = if self.host.is_empty() { name } else { &self.host };
        let request = Request::builder()
            .method(self.method.as_str())
            .uri(self.path.as_str())
            .header(header::HOST, host)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| format!("the request cannot be made: {error}"))?;
        let handshake = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(|error| response_error(&error))?;
        let mut connection = pin!(connection);
        let mut answer = pin!(async {
            let response =
                sender.send_request(request).await.map_err(|error| response_error(&error))?;
            *status = Some(response.status().as_u16());
            self.judge(response).await
        });
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                result = &mut answer => return result,
                // Whatever ended it, the answer knows as well.
                _ = &mut connection, if is_open => is_open = false,
            }
        }
    }

    async fn judge(&self, response: Response<Incoming>) -> Result<(), String> {
        let status = response.status().as_u16();
        if !self.expect.iter().any(|range| range.contains(&status)) {
            return Err(format!("status {status}, expected {}", expected(&self.expect)));
        }
        if self.body.is_empty() {
            return Ok(());
        }
        let mut body = response.into_body();
        let mut content: Vec<u8> = Vec::new();
        while content.len() < CONTENT_BYTES_MAX {
            let Some(frame) = body.frame().await else { break };
            let frame = frame.map_err(|error| response_error(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            let room = CONTENT_BYTES_MAX - content.len();
            // The text may lie across the border of what came before.
            let from = content.len().saturating_sub(self.body.len());
            content.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
            let looked_at = content.get(from..).unwrap_or_default();
            if memchr::memmem::find(looked_at, self.body.as_bytes()).is_some() {
                return Ok(());
            }
        }
        Err(format!("the text {:?} is not in the first 64 KiB", self.body))
    }
}

fn expected(ranges: &[RangeInclusive<u16>]) -> String {
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

fn io_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset".into(),
        io::ErrorKind::ConnectionAborted => "connection aborted".into(),
        io::ErrorKind::TimedOut => "connection timed out".into(),
        io::ErrorKind::UnexpectedEof => CLOSED.into(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => INVALID.into(),
        io::ErrorKind::NotFound => "there is no such socket".into(),
        io::ErrorKind::PermissionDenied => "permission to connect denied".into(),
        io::ErrorKind::HostUnreachable => "no route to the host".into(),
        io::ErrorKind::NetworkUnreachable => "no route to the network".into(),
        _ => error.to_string(),
    }
}

/// Why there is no response, or not all of it.
fn response_error(error: &hyper::Error) -> String {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return io_error(cause);
        }
        source = cause.source();
    }
    if error.is_parse_too_large() {
        "the head of the response is longer than 64 KiB".into()
    } else if error.is_parse() {
        INVALID.into()
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        CLOSED.into()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
