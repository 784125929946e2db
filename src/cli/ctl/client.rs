//! HTTP to the admin API, over a Unix socket, TCP or TLS: one connection per request.
//!
//! Owns the fields that every request carries. Every wait has a deadline and every answer a size limit. Never shows the
//! token. Tested by `tests/ctl`.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, IF_MATCH};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::failure::{Failure, Problem};
use super::place::{At, Place};
use super::secure::Secure;
use crate::control::config::units::show_duration;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a whole answer: a reload may have to check every new target first.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A field that a form of another site cannot send.
const REQUEST_FIELD: &str = "x-limpet-request";
/// The name of the user, for the audit log.
const ACTOR_FIELD: &str = "x-limpet-actor";

/// Sends requests to one admin API.
pub(super) struct Client {
    place: Place,
    /// What a place with TLS is asked with.
    secure: Option<Secure>,
    token: Option<HeaderValue>,
    actor: HeaderValue,
    runtime: tokio::runtime::Runtime,
}

impl fmt::Debug for Client {
    /// Without the token.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").field("place", &self.place).finish_non_exhaustive()
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Ask {
    method: Method,
    path: String,
    body: Option<Value>,
    /// The configuration version that the user saw.
    if_version: Option<u64>,
}

impl Ask {
    pub(super) fn get(path: impl Into<String>) -> Ask {
        Ask { method: Method::GET, path: path.into(), body: None, if_version: None }
    }

    pub(super) fn post(path: impl Into<String>, body: Value) -> Ask {
        Ask { method: Method::POST, body: Some(body), ..Ask::get(path) }
    }

    pub(super) fn patch(path: impl Into<String>, body: Value) -> Ask {
        Ask { method: Method::PATCH, body: Some(body), ..Ask::get(path) }
    }

    pub(super) fn put(path: impl Into<String>, body: Value) -> Ask {
        Ask { method: Method::PUT, body: Some(body), ..Ask::get(path) }
    }

    pub(super) fn delete(path: impl Into<String>) -> Ask {
        Ask { method: Method::DELETE, ..Ask::get(path) }
    }

    pub(super) fn if_version(self, if_version: Option<u64>) -> Ask {
        Ask { if_version, ..self }
    }
}

/// A successful answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub text: String,
}

impl Answer {
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.text).map_err(|error| {
            Failure::Other(format!(
                "the answer is not one that this version of limpet knows: {error}; \
                 --json shows it as it is"
            ))
        })
    }
}

impl Client {
    pub(super) fn new(
        place: Place,
        secure: Option<Secure>,
        token: Option<&str>,
        actor: &str,
    ) -> Result<Client, Failure> {
        let token = token
            .map(|token| {
                let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                    .map_err(|_| Failure::Usage("the token has characters of no token".into()))?;
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        let actor: String = actor.chars().filter(char::is_ascii_graphic).collect();
        let actor = HeaderValue::from_str(&format!("ctl {actor}"))
            .map_err(|error| Failure::Other(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Other(format!("cannot start: {error}")))?;
        Ok(Client { place, secure, token, actor, runtime })
    }

    /// Sends one request and waits for its answer.
    pub(super) fn send(&self, ask: Ask) -> Result<Answer, Failure> {
        self.runtime.block_on(async {
            let unreachable = |error: io::Error| self.unreachable(&error);
            match &self.place.at {
                At::Unix(path) => {
                    let stream = in_time(UnixStream::connect(path)).await.map_err(unreachable)?;
                    self.exchange(stream, ask, "localhost").await
                }
                At::Tcp(authority) | At::Tls { authority, .. } => {
                    let stream =
                        in_time(TcpStream::connect(authority)).await.map_err(unreachable)?;
                    match &self.secure {
                        None => self.exchange(stream, ask, authority).await,
                        Some(secure) => {
                            let secured = in_time(secure.connect(stream)).await;
                            let stream = secured.map_err(|error| self.failed(&error))?;
                            self.exchange(stream, ask, authority).await
                        }
                    }
                }
            }
        })
    }

    /// Waits between two requests.
    pub(super) fn pause(&self, pause: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(pause).await });
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let cause = match (error.kind(), &self.place.at) {
            (io::ErrorKind::NotFound, At::Unix(_)) => "there is no such socket".to_owned(),
            (io::ErrorKind::PermissionDenied, At::Unix(_)) => {
                "you may not; its permissions are admin.socket_mode".to_owned()
            }
            _ => error.to_string(),
        };
        Failure::Unreachable { place: self.place.clone(), cause }
    }

    async fn exchange<S>(&self, stream: S, ask: Ask, host: &str) -> Result<Answer, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let failed = |cause: String| Failure::Other(format!("{}: {cause}", self.place));
        let request = self.request(ask, host).map_err(|error| failed(error.to_string()))?;
        let whole = async {
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
            // An error of the connection also fails the request that waits on it.
            tokio::spawn(connection);
            let (head, content) = sender.send_request(request).await?.into_parts();
            let content = Limited::new(content, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok::<_, Box<dyn Error + Send + Sync>>((head.status.as_u16(), content))
        };
        let (status, content) = timeout(ANSWER_MAX, whole)
            .await
            .map_err(|_| failed(format!("no answer within {}", show_duration(ANSWER_MAX))))?
            .map_err(|error| self.failed(&*error))?;
        let text = String::from_utf8_lossy(&content).into_owned();
        match status {
            200..300 => Ok(Answer { text }),
            _ => Err(self.refusal(status, text)),
        }
    }

    /// The failure of a connection; what TLS has to say comes first.
    fn failed(&self, error: &(dyn Error + 'static)) -> Failure {
        let of_tls = self.secure.as_ref().and_then(|secure| secure.cause(error));
        let cause = of_tls.unwrap_or_else(|| format!("no answer that can be read: {error}"));
        Failure::Other(format!("{}: {cause}", self.place))
    }

    fn request(&self, ask: Ask, host: &str) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let Ask { method, path, body, if_version } = ask;
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header(HOST, host)
            .header(ACCEPT, "application/json, text/plain")
            .header(ACTOR_FIELD, &self.actor);
        if method != Method::GET {
            request = request.header(REQUEST_FIELD, "1");
        }
        if let (Some(token), At::Tcp(_) | At::Tls { .. }) = (&self.token, &self.place.at) {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(version) = if_version {
            request = request.header(IF_MATCH, format!("\"{version}\""));
        }
        let content = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(Full::new(content))
    }

    fn refusal(&self, status: u16, text: String) -> Failure {
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) if !problem.title.is_empty() => {
                Failure::Refused(Problem { status, raw: text, ..problem })
            }
            _ => Failure::Other(format!(
                "{} answers {status}, but not as limpet's admin API does",
                self.place
            )),
        }
    }
}

async fn in_time<S>(connecting: impl Future<Output = io::Result<S>>) -> io::Result<S> {
    let late = || format!("no connection within {}", show_duration(CONNECT_MAX));
    timeout(CONNECT_MAX, connecting)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, late())))
}
