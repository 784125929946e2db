//! A target that speaks HTTP/2: the `h2` crate on a runtime of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::http2::{content, runtime, send, send_some};
use super::tls;

/// A request as it has come.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub scheme: String,
    pub authority: String,
    /// With the query.
    pub path: String,
    pub fields: HeaderMap,
    pub content: Vec<u8>,
    pub trailers: HeaderMap,
    /// That of an extended CONNECT.
    pub protocol: String,
    /// The number of its connection.
    pub connection: usize,
}

impl Seen {
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What becomes of a request.
#[expect(clippy::large_enum_variant, reason = "one of them lives for a moment")]
pub enum Then {
    /// A head, content, and trailers.
    Answer(Response<()>, Vec<u8>, HeaderMap),
    /// Never an answer.
    Nothing,
    Reset(Reason),
    /// The head of a response, half of its content, and a reset.
    Half,
}

/// A response with this content.
pub fn answer(status: u16, content: impl Into<Vec<u8>>) -> Then {
    let head = Response::builder().status(status).body(()).unwrap();
    Then::Answer(head, content.into(), HeaderMap::new())
}

type Answers = dyn Fn(&Seen) -> Then + Send + Sync;

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    resets: Mutex<Vec<Reason>>,
    connections: AtomicUsize,
}

/// The target; it ends with this.
pub struct Http2Target {
    address: SocketAddr,
    state: Arc<State>,
    _runtime: Runtime,
}

/// How a target serves.
#[derive(Clone)]
pub struct Http2Options {
    /// Requests after which a connection is told goodbye.
    pub requests: usize,
    /// Most streams of a connection at a time.
    pub streams: u32,
    /// Under TLS, these protocols are offered.
    pub alpn: Option<&'static [u8]>,
    /// It says that it opens tunnels. One that is answered with a success sends back what comes, in capitals.
    pub tunnels: bool,
    /// Calls of `/mirror/{anything}` are answered while they come, by their own content, and end well.
    pub mirrors: bool,
}

impl Default for Http2Options {
    fn default() -> Http2Options {
        let (requests, streams, alpn) = (usize::MAX, 100, None);
        Http2Options { requests, streams, alpn, tunnels: true, mirrors: false }
    }
}

impl Http2Target {
    /// A target in clear that answers by `answers`.
    pub fn start(answers: impl Fn(&Seen) -> Then + Send + Sync + 'static) -> Http2Target {
        Http2Target::start_with(Http2Options::default(), answers)
    }

    pub fn start_with(
        options: Http2Options,
        answers: impl Fn(&Seen) -> Then + Send + Sync + 'static,
    ) -> Http2Target {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let (shared, answers) = (Arc::clone(&state), Arc::new(answers) as Arc<Answers>);
        let acceptor = options.alpn.map(|alpn| {
            let mut config = tls::identity().server();
            config.alpn_protocols = vec![alpn.to_vec()];
            TlsAcceptor::from(Arc::new(config))
        });
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                let (state, answers) = (Arc::clone(&shared), Arc::clone(&answers));
                let (options, acceptor) = (options.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(socket, (number, options), (state, answers)).await,
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(socket).await else { return };
                            serve(stream, (number, options), (state, answers)).await;
                        }
                    }
                });
            }
        });
        Http2Target { address, state, _runtime: runtime }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How streams were reset that never had an answer.
    pub fn resets(&self) -> Vec<Reason> {
        self.state.resets.lock().unwrap().clone()
    }

    pub fn last_request(&self) -> Seen {
        self.requests().pop().expect("a request")
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    (number, options): (usize, Http2Options),
    (state, answers): (Arc<State>, Arc<Answers>),
) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(options.streams);
    if options.tunnels {
        builder.enable_connect_protocol();
    }
    let Ok(mut connection) = builder.handshake(stream).await else { return };
    let mut count = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        count += 1;
        if count == options.requests {
            connection.graceful_shutdown();
        }
        let (state, answers) = (Arc::clone(&state), Arc::clone(&answers));
        let is_mirrored = options.mirrors && request.uri().path().starts_with("/mirror/");
        tokio::spawn(async move {
            // A client that is gone needs no answer.
            let _ = match is_mirrored {
                true => mirror(request.into_body(), respond).await,
                false => respond_to((request, respond), number, (&state, &*answers)).await,
            };
        });
    }
}

/// Answers a call by its own content, piece by piece.
async fn mirror(mut body: RecvStream, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let head = Response::builder().header("content-type", "application/grpc");
    let mut stream = respond.send_response(head.body(()).unwrap(), false)?;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        stream.send_data(data, false)?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    stream.send_trailers(trailers)
}

async fn respond_to(
    (request, mut respond): (Request<RecvStream>, SendResponse<Bytes>),
    connection: usize,
    (state, answers): (&State, &Answers),
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let protocol = head.extensions.get::<Protocol>().map(|protocol| protocol.as_str().to_owned());
    let (received, trailers) = match protocol {
        Some(_) => Default::default(),
        None => content(&mut body).await?,
    };
    let seen = Seen {
        method: head.method.to_string(),
        scheme: head.uri.scheme_str().unwrap_or_default().to_owned(),
        authority: head.uri.authority().map(ToString::to_string).unwrap_or_default(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        fields: head.headers,
        content: received,
        trailers: trailers.unwrap_or_default(),
        protocol: protocol.clone().unwrap_or_default(),
        connection,
    };
    state.seen.lock().unwrap().push(seen.clone());
    match answers(&seen) {
        Then::Answer(response, ..) if protocol.is_some() && response.status().is_success() => {
            let mut stream = respond.send_response(response, false)?;
            while let Some(bytes) = body.data().await {
                let bytes = bytes?;
                body.flow_control().release_capacity(bytes.len())?;
                send_some(&mut stream, bytes.to_ascii_uppercase().into(), false).await?;
            }
            stream.send_data(Bytes::new(), true)?;
        }
        Then::Answer(response, content, trailers) => {
            let ends = content.is_empty() && trailers.is_empty();
            let stream = respond.send_response(response, ends)?;
            if !ends {
                let trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
                send(stream, content.into(), trailers).await?;
            }
        }
        Then::Nothing => {
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await?;
            state.resets.lock().unwrap().push(reason);
        }
        Then::Reset(reason) => respond.send_reset(reason),
        Then::Half => {
            let response = Response::builder().header("content-length", "10").body(()).unwrap();
            let mut stream: SendStream<Bytes> = respond.send_response(response, false)?;
            stream.send_data(Bytes::from_static(b"12345"), false)?;
            // The reset must not overtake the half.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
    }
    Ok(())
}
