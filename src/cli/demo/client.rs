//! The small HTTP client of the walk-through: connections that it opens and keeps by name, and a
//! cookie jar like a browser's.
//!
//! Owns: what one visitor sends and remembers. Never: knowledge of the balancer; it sees what any
//! client would see. Every wait has a deadline. Tested by the walk-through's own tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderValue, SET_COOKIE};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::control::config::units::show_duration;

/// Longest wait for a connection or for a whole response.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Most bytes of a response that are read.
const CONTENT_BYTES_MAX: usize = 1024 * 1024;

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no connection to {address}: {cause}")]
    Connect { address: SocketAddr, cause: std::io::Error },
    #[error("no TLS with {address}: {cause}")]
    Handshake { address: SocketAddr, cause: std::io::Error },
    #[error("no answer within {}", show_duration(WAIT_MAX))]
    Late,
    #[error("the exchange failed: {0}")]
    Exchange(#[from] hyper::Error),
    #[error("the content failed: {0}")]
    Content(Box<dyn std::error::Error + Send + Sync>),
    #[error("the request could not be written: {0}")]
    Request(#[from] hyper::http::Error),
}

/// The cookies of one visitor, by name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Jar {
    cookies: BTreeMap<String, String>,
}

impl Jar {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.cookies.keys().map(String::as_str)
    }

    /// The value of the `Cookie` field; `None` when the jar is empty.
    fn field_value(&self) -> Option<String> {
        let pairs: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Keeps what a response sets (RFC 6265 §5.3, as far as one host and one path need it).
    fn keep(&mut self, fields: &HeaderMap) {
        let lines = fields.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
        for line in lines {
            let mut parts = line.split(';');
            let Some((name, value)) = parts.next().and_then(|pair| pair.trim().split_once('='))
            else {
                continue;
            };
            if parts.any(|part| part.trim().eq_ignore_ascii_case("max-age=0")) {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// The instance's `X-Instance`; empty when there is none.
    pub instance: String,
    pub body: String,
}

/// Where the balancer is, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Place {
    address: SocketAddr,
    /// `None` = in clear.
    tls: Option<Arc<ClientConfig>>,
}

impl Place {
    pub fn plain(address: SocketAddr) -> Place {
        Place { address, tls: None }
    }

    /// With TLS by this configuration, which says whom to trust.
    pub fn secure(address: SocketAddr, tls: Arc<ClientConfig>) -> Place {
        Place { address, tls: Some(tls) }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let address = self.address;
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|cause| ClientError::Connect { address, cause })?;
        let Some(tls) = &self.tls else { return speak(stream).await };
        let name = ServerName::from(address.ip());
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        speak(stream.map_err(|cause| ClientError::Handshake { address, cause })?).await
    }
}

async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // An error of the connection reaches the request that waits on it.
    tokio::spawn(connection);
    Ok(sender)
}

/// One connection to the balancer, kept until it is dropped.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Connection {
    /// # Errors
    /// When the connection is refused or does not come about in time.
    pub async fn open(place: &Place) -> Result<Connection, ClientError> {
        let sender = timeout(WAIT_MAX, place.connect()).await.map_err(|_| ClientError::Late)??;
        Ok(Connection { sender, address: place.address })
    }

    /// Visits the page.
    ///
    /// # Errors
    /// When no whole response comes on this very connection.
    pub async fn visit(&mut self, jar: &mut Jar) -> Result<Response, ClientError> {
        self.send(Method::GET, "/", jar, "").await
    }

    /// Sends the form that creates a session. `name` needs no percent-encoding.
    ///
    /// # Errors
    /// As [`Connection::visit`].
    pub async fn log_in(&mut self, name: &str, jar: &mut Jar) -> Result<Response, ClientError> {
        self.send(Method::POST, "/session", jar, &format!("name={name}")).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        jar: &mut Jar,
        form: &str,
    ) -> Result<Response, ClientError> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(cookies) = jar.field_value() {
            request = request.header(COOKIE, cookies);
        }
        if !form.is_empty() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(form.as_bytes())))?;
        let response = self.ask(request).await?;
        jar.keep(response.headers());
        let instance = response.headers().get("x-instance").and_then(|value| value.to_str().ok());
        let instance = instance.unwrap_or_default().to_owned();
        let status = response.status().as_u16();
        let body = String::from_utf8_lossy(response.body()).into_owned();
        Ok(Response { status, instance, body })
    }

    /// The whole response to a request, whose Host is the balancer.
    ///
    /// # Errors
    /// As [`Connection::visit`].
    pub async fn ask(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<hyper::Response<Bytes>, ClientError> {
        let host =
            HeaderValue::try_from(self.address.to_string()).map_err(hyper::http::Error::from)?;
        request.headers_mut().insert(HOST, host);
        let response = timeout(WAIT_MAX, self.exchange(request));
        response.await.map_err(|_| ClientError::Late)?
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<hyper::Response<Bytes>, ClientError> {
        self.sender.ready().await?;
        let (head, content) = self.sender.send_request(request).await?.into_parts();
        let content = Limited::new(content, CONTENT_BYTES_MAX).collect().await;
        Ok(hyper::Response::from_parts(head, content.map_err(ClientError::Content)?.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::demo::client::*;

    fn set(lines: &[&'static str]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(SET_COOKIE, hyper::header::HeaderValue::from_static(line));
        }
        fields
    }

    #[test]
    fn the_jar_keeps_replaces_sends_and_forgets_cookies() {
        let mut jar = Jar::default();
        assert_eq!(jar.field_value(), None);
        jar.keep(&set(&["b=2; Path=/; HttpOnly", "a=1=1", "nonsense"]));
        assert_eq!(jar.field_value().as_deref(), Some("a=1=1; b=2"));
        jar.keep(&set(&["a=3; Max-Age=60", "b=; path=/; max-age=0"]));
        assert_eq!(jar.field_value().as_deref(), Some("a=3"));
        assert_eq!(jar.names().collect::<Vec<_>>(), ["a"]);
    }
}
