//! Requests over HTTP/2, one stream at a time or many, to targets that speak either version. The `h2` crate asks and
//! answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::http::{HeaderMap, Method, Request, Response};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use super::{LARGE_BYTES, Limpet, NAME, counts, on_each_ring, one_at_a_time, trust};

/// Requests of the same kind on one connection.
#[derive(Debug, Clone, Copy)]
struct Kind {
    path: &'static str,
    content: &'static str,
    /// At a time.
    streams: usize,
    /// How often so many are asked: before, and while it is counted.
    rounds: (usize, usize),
    is_encrypted: bool,
}

const ONE: Kind =
    Kind { path: "/cart", content: "", streams: 1, rounds: (500, 1_000), is_encrypted: false };
const MANY: Kind = Kind { streams: 32, rounds: (100, 150), ..ONE };
const LARGE: Kind = Kind { path: "/large", streams: 4, rounds: (50, 100), ..ONE };

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Reads content to its end, and opens the window again for it.
async fn read(mut content: RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = content.data().await {
        let piece = piece.expect("content");
        content.flow_control().release_capacity(piece.len()).expect("a window");
        bytes.extend_from_slice(&piece);
    }
    bytes
}

/// A target that answers every request with its name, or with it many times.
pub fn target(name: &'static str) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
    let address = listener.local_addr().expect("address");
    listener.set_nonblocking(true).expect("nonblocking");
    std::thread::spawn(move || {
        let local = LocalSet::new();
        local.spawn_local(async move {
            let listener = TcpListener::from_std(listener).expect("listen");
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).expect("nodelay");
                tokio::task::spawn_local(serve(socket, name));
            }
        });
        runtime().block_on(local);
    });
    address
}

async fn serve(socket: TcpStream, name: &'static str) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::task::spawn_local(async move {
            let is_large = request.uri().path().ends_with("/large");
            read(request.into_body()).await;
            let content = name.repeat(if is_large { LARGE_BYTES } else { 1 });
            // Whoever has reset it waits for none.
            if let Ok(mut send) = respond.send_response(Response::new(()), false) {
                let _ = send.send_data(content.into(), true);
            }
        });
    }
}

/// A connection of the test's own.
struct User {
    runtime: Runtime,
    local: LocalSet,
    send: SendRequest<Bytes>,
}

impl User {
    fn connect(limpet: &Limpet, is_encrypted: bool) -> User {
        let (runtime, local) = (runtime(), LocalSet::new());
        let address = if is_encrypted { limpet.secure } else { limpet.address };
        let config = is_encrypted.then(|| {
            let mut config = trust(limpet, &rustls::version::TLS13);
            config.alpn_protocols = vec![b"h2".to_vec()];
            config
        });
        let send = local.block_on(&runtime, async move {
            let socket = TcpStream::connect(address).await.expect("connect");
            socket.set_nodelay(true).expect("nodelay");
            match config {
                None => handshake(socket).await,
                Some(config) => handshake(encrypt(socket, config).await).await,
            }
        });
        User { runtime, local, send }
    }

    /// Asks on so many streams at once: the fields and the content of each response.
    fn ask(&mut self, kind: Kind, cookie: Option<&str>) -> Vec<(HeaderMap, Vec<u8>)> {
        let User { runtime, local, send } = self;
        local.block_on(runtime, async {
            let mut asked = Vec::with_capacity(kind.streams);
            for _ in 0..kind.streams {
                let method = if kind.content.is_empty() { Method::GET } else { Method::POST };
                let mut request = Request::builder()
                    .method(method)
                    .uri(format!("http://{NAME}{}", kind.path))
                    .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
                if let Some(cookie) = cookie {
                    request = request.header("cookie", cookie);
                }
                if !kind.content.is_empty() {
                    request = request.header("content-length", kind.content.len());
                }
                let mut ready = send.clone().ready().await.expect("a connection");
                let (response, mut content) = ready
                    .send_request(request.body(()).expect("a request"), kind.content.is_empty())
                    .expect("a stream");
                if !kind.content.is_empty() {
                    content.send_data(kind.content.into(), true).expect("content");
                }
                asked.push(response);
            }
            let mut responses = Vec::with_capacity(kind.streams);
            for response in asked {
                let (head, content) = response.await.expect("a response").into_parts();
                assert_eq!(head.status, 200);
                responses.push((head.headers, read(content).await));
            }
            responses
        })
    }
}

async fn encrypt(
    socket: TcpStream,
    config: ClientConfig,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let name = NAME.try_into().expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("a handshake")
}

async fn handshake(socket: impl AsyncRead + AsyncWrite + Unpin + 'static) -> SendRequest<Bytes> {
    // Responses are read one after the other: none may shut the window of the one before it.
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 20).initial_window_size(1 << 18);
    let (send, connection) = builder.handshake(socket).await.expect("a handshake");
    tokio::task::spawn_local(async move {
        // What has ended it, a response tells.
        let _ = connection.await;
    });
    send
}

/// Asserts that a shard serves sticky requests of one kind without its allocator.
fn serves_without_allocating(engine: &str, kind: Kind) {
    let _one_at_a_time = one_at_a_time();
    let limpet = Limpet::start(engine);
    let mut user = User::connect(&limpet, kind.is_encrypted);
    let first = user.ask(Kind { streams: 1, ..kind }, None);
    let [(fields, home)] = &first[..] else { panic!("{} responses", first.len()) };
    let cookie = fields["set-cookie"].to_str().expect("a cookie in ASCII");
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let mut round = || {
        for (fields, content) in user.ask(kind, Some(&cookie)) {
            assert_eq!(content, *home, "the session's own target answers");
            assert!(!fields.contains_key("set-cookie"), "what is valid is not issued anew");
        }
    };
    let mut asked = counts(limpet.shard, kind.rounds, &mut round);
    asked.requests *= kind.streams as u64;
    drop(user);
    asked.assert_none(&format!("{engine} {kind:?}"));
    assert_eq!(limpet.finish(), 1 + asked.requests, "every request has its line");
}

fn everywhere(kinds: &[Kind]) {
    for kind in kinds {
        on_each_ring(|engine| serves_without_allocating(engine, *kind));
        serves_without_allocating("epoll", *kind);
    }
}

#[test]
fn streams_to_targets_of_http_1_allocate_nothing() {
    everywhere(&[ONE, MANY, LARGE, Kind { content: "item=17&n=02", ..MANY }]);
}

#[test]
fn streams_to_targets_of_http_2_allocate_nothing() {
    let to = |path: &'static str, kind: Kind| Kind { path, ..kind };
    let (small, large) = ("/multiplexed/cart", "/multiplexed/large");
    let posts = Kind { content: "item=17&n=02", ..MANY };
    everywhere(&[to(small, ONE), to(small, MANY), to(large, LARGE), to(small, posts)]);
}

#[test]
fn streams_over_tls_allocate_nothing() {
    let over_tls = |kind: Kind| Kind { is_encrypted: true, ..kind };
    everywhere(&[over_tls(ONE), over_tls(MANY), over_tls(LARGE)]);
}
