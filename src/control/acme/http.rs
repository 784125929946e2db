//! Requests to an authority: HTTPS over a connection of its own each, with limits on time and size.
//!
//! An order takes about fifteen requests, weeks apart, so nothing is pooled. Remembers how long the authority wants to
//! be left alone. Tested against pebble.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::store;

/// Longest time of one request, with its connection.
const REQUEST: Duration = Duration::from_secs(30);
/// Longest content of a response.
const CONTENT_BYTES_MAX: usize = 1 << 20;
const HTTPS_PORT: u16 = 443;
const NAME: &str = concat!("limpet/", env!("CARGO_PKG_VERSION"), " instant-acme");

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("{0} is no URL of an authority")]
    Url(Uri),
    #[error("{authority} cannot be reached: {cause}")]
    Connect { authority: String, cause: io::Error },
    #[error("{authority} did not answer: {cause}")]
    Exchange { authority: String, cause: hyper::Error },
    #[error("{authority} did not answer within {} s", REQUEST.as_secs())]
    Timeout { authority: String },
    #[error("the content of {authority}'s answer cannot be read: {cause}")]
    Content { authority: String, cause: Box<dyn std::error::Error + Send + Sync> },
}

/// A client of authorities.
#[derive(Clone)]
pub struct Client {
    tls: TlsConnector,
    /// The last Retry-After of a refusal, in seconds; negative = none.
    retry_after: Arc<AtomicI64>,
}

impl Client {
    /// Verifies authorities by the certificates in this file; `None` = as the system does. Reads files.
    ///
    /// # Errors
    /// A sentence.
    pub fn new(authority_file: Option<&Path>) -> Result<Client, String> {
        let roots = match authority_file {
            Some(path) => from_file(path)?,
            None => from_system()?,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Client { tls: Arc::new(config).into(), retry_after: Arc::new(AtomicI64::new(-1)) })
    }

    /// How long the authority has asked to be left alone since the last call, in seconds.
    pub fn take_retry_after(&self) -> Option<i64> {
        Some(self.retry_after.swap(-1, Ordering::Relaxed)).filter(|seconds| *seconds >= 0)
    }

    async fn exchange(
        self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, RequestError> {
        let uri = request.uri().clone();
        let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
            return Err(RequestError::Url(uri));
        };
        let host_field = HeaderValue::from_str(authority.as_str());
        let host_field = host_field.map_err(|_| RequestError::Url(uri.clone()))?;
        let port = authority.port_u16().unwrap_or(HTTPS_PORT);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned());
        let name = name.map_err(|_| RequestError::Url(uri.clone()))?;
        let authority = authority.to_string();
        let unreachable = |cause| RequestError::Connect { authority: authority.clone(), cause };
        let stream = TcpStream::connect((bare, port)).await.map_err(unreachable)?;
        let stream = self.tls.connect(name, stream).await.map_err(unreachable)?;
        let unanswered = |cause| RequestError::Exchange { authority: authority.clone(), cause };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(unanswered)?;
        // RFC 8555 §6.1: who speaks, and with which library.
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(NAME));
        request.headers_mut().insert(HOST, host_field);
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        *request.uri_mut() = target.parse().map_err(|_| RequestError::Url(uri.clone()))?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(unanswered)?;
        let (parts, content) = response.into_parts();
        let content = Limited::new(content, CONTENT_BYTES_MAX).collect().await;
        connection.abort();
        let content = content.map_err(|cause| RequestError::Content { authority, cause })?;
        if parts.status.is_client_error() || parts.status.is_server_error() {
            let seconds = parts.headers.get(RETRY_AFTER).and_then(retry_after);
            self.retry_after.store(seconds.unwrap_or(-1), Ordering::Relaxed);
        }
        Ok(Response::from_parts(parts, Full::new(content.to_bytes())))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let exchange = self.clone().exchange(request);
        Box::pin(async move {
            match tokio::time::timeout(REQUEST, exchange).await {
                Ok(Ok(response)) => Ok(response.into()),
                Ok(Err(error)) => Err(Error::Other(Box::new(error))),
                Err(_) => Err(Error::Other(Box::new(RequestError::Timeout { authority }))),
            }
        })
    }
}

fn from_file(path: &Path) -> Result<RootCertStore, String> {
    let shown = path.display();
    let pem = store::read(path).map_err(|error| error.to_string())?;
    let pem = pem.ok_or_else(|| format!("{shown}: does not exist"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("{shown}: is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("{shown}: {error}"))?;
    }
    if roots.is_empty() { Err(format!("{shown}: has no certificate")) } else { Ok(roots) }
}

fn from_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("the system has no certificates of authorities (ca-certificates); \
                    authority_file names some"
            .into());
    }
    Ok(roots)
}

/// Seconds of a Retry-After (RFC 9110 §10.2.3).
fn retry_after(value: &HeaderValue) -> Option<i64> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(i64::from(seconds));
    }
    let wait = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now());
    Some(wait.map_or(0, |wait| i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use crate::control::acme::http::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |text: &str| retry_after(&HeaderValue::from_str(text).unwrap());
        assert_eq!(read(" 120 "), Some(120));
        assert_eq!(read("Fri, 31 Dec 1999 23:59:59 GMT"), Some(0));
        let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
        assert!(read(&httpdate::fmt_http_date(in_an_hour)).unwrap() > 3500);
        for bad in ["", "-1", "soon", "99999999999999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_file_of_authorities_that_holds_none_is_named() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ca.pem");
        let fault = |path: &Path| Client::new(Some(path)).err().unwrap();
        assert!(fault(&path).contains("does not exist"));
        std::fs::write(&path, "nothing").unwrap();
        assert!(fault(&path).ends_with("ca.pem: has no certificate"));
    }
}
