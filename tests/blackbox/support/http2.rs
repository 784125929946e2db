//! A client that speaks HTTP/2: the `h2` crate over a blocking test's own runtime, and frames by hand.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Method, Request, Uri, Version};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::config::{Config, Section, config, listener};
use super::tls;

const PATIENCE: Duration = Duration::from_secs(20);

/// A listener in clear that takes HTTP/2.
pub fn clear(name: &str) -> Section {
    listener(name).set("http2", true)
}

/// A listener under TLS that offers both versions.
pub fn secure(name: &str) -> Section {
    listener(name).tls().set("tls.alpn", ["h2", "http/1.1"].map(toml::Value::from).to_vec())
}

/// A file with one of either.
pub fn both() -> Config {
    config().listener(clear("clear")).listener(secure("secure"))
}

/// One connection.
pub struct Http2 {
    pub send: SendRequest<Bytes>,
    /// Ends with the connection.
    pub connection: JoinHandle<Result<(), h2::Error>>,
    scheme: &'static str,
}

/// A response with its content.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: HeaderMap,
    pub content: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Runs clients; their connections go on while the test itself waits for something else.
pub fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().unwrap()
}

/// Runs a test's client; it must end within the patience of tests.
pub fn play<T>(client: impl Future<Output = T>) -> T {
    runtime().block_on(async { tokio::time::timeout(PATIENCE, client).await.expect("in time") })
}

/// A stream that is not read leaves room on the connection for others.
fn builder() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 20);
    builder
}

/// A socket that lets no small frame wait for the answer to another.
async fn connected(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

impl Http2 {
    /// Connects in clear, with prior knowledge.
    pub async fn connect(address: SocketAddr) -> Http2 {
        let socket = connected(address).await;
        let (send, connection) = builder().handshake(socket).await.unwrap();
        Http2 { send, connection: tokio::spawn(connection), scheme: "http" }
    }

    /// Connects under TLS, offering both versions.
    pub async fn connect_tls(address: SocketAddr) -> Http2 {
        Http2::connect_as(address, &tls::client(), tls::NAME).await.0
    }

    /// Connects under TLS as a client of this configuration, which names this server; also tells whether the handshake
    /// was a resumed one.
    pub async fn connect_as(
        address: SocketAddr,
        config: &ClientConfig,
        server_name: &'static str,
    ) -> (Http2, Option<HandshakeKind>) {
        let mut config = config.clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let socket = connected(address).await;
        let name = ServerName::try_from(server_name).unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let kind = stream.get_ref().1.handshake_kind();
        let (send, connection) = builder().handshake(stream).await.unwrap();
        (Http2 { send, connection: tokio::spawn(connection), scheme: "https" }, kind)
    }

    /// Begins a request.
    pub async fn begin(
        &self,
        method: Method,
        path: &str,
        fields: &[(&'static str, &str)],
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        self.begin_of((tls::NAME, path), method, fields, ends).await
    }

    /// Begins a request for a host and a path.
    async fn begin_of(
        &self,
        (host, path): (&str, &str),
        method: Method,
        fields: &[(&'static str, &str)],
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let uri = format!("{}://{host}{path}", self.scheme).parse::<Uri>().unwrap();
        let mut request = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut send = self.send.clone().ready().await.unwrap();
        send.send_request(request.body(()).unwrap(), ends).unwrap()
    }

    pub async fn get(&self, path: &str, fields: &[(&'static str, &str)]) -> Answer {
        let (response, _) = self.begin(Method::GET, path, fields, true).await;
        answer(response).await.unwrap()
    }

    /// The answer to a request for this host.
    pub async fn get_of(&self, host: &str, path: &str) -> Answer {
        let (response, _) = self.begin_of((host, path), Method::GET, &[], true).await;
        answer(response).await.unwrap()
    }

    pub async fn post(&self, path: &str, content: Vec<u8>) -> Answer {
        let (response, stream) = self.begin(Method::POST, path, &[], false).await;
        let sent = tokio::spawn(send(stream, content.into(), None));
        let answer = answer(response).await.unwrap();
        // An early response ends it.
        let _ = sent.await.unwrap();
        answer
    }
}

/// Sends content as the windows allow, and the end, with trailers where there are any.
pub async fn send(
    mut stream: SendStream<Bytes>,
    content: Bytes,
    trailers: Option<HeaderMap>,
) -> Result<(), h2::Error> {
    send_some(&mut stream, content, trailers.is_none()).await?;
    match trailers {
        Some(trailers) => stream.send_trailers(trailers),
        None => Ok(()),
    }
}

/// Sends content as the windows allow; `ends`: nothing comes behind it.
pub async fn send_some(
    stream: &mut SendStream<Bytes>,
    mut content: Bytes,
    ends: bool,
) -> Result<(), h2::Error> {
    while !content.is_empty() {
        stream.reserve_capacity(content.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(room) = room.transpose()? else { return Ok(()) };
        let now = content.split_to(room.min(content.len()));
        stream.send_data(now, content.is_empty() && ends)?;
    }
    Ok(())
}

/// Awaits a response with its content.
pub async fn answer(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let response = response.await?;
    let (status, fields) = (response.status().as_u16(), response.headers().clone());
    let (content, trailers) = content(&mut response.into_body()).await?;
    Ok(Answer { status, fields, content, trailers })
}

/// Receives content to its end, and the trailers.
pub async fn content(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut content = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        content.extend_from_slice(&data);
    }
    Ok((content, body.trailers().await?))
}

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const SETTINGS: u8 = 4;
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const GOAWAY: u8 = 7;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame by hand.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A field block of literals.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The length of a text (RFC 7541 §5.1).
fn length(length: usize, block: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(127) else {
        return block.push(length as u8);
    };
    block.push(127);
    while rest >= 128 {
        block.push(rest as u8 | 128);
        rest >>= 7;
    }
    block.push(rest as u8);
}
