//! Connections over real sockets, on every engine: the `h2` crate asks, a small server of HTTP/1.1 answers.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use axum::http::{HeaderMap, HeaderValue, Method, Request as Message, Version};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};

use super::*;
use crate::client::clients::Clients;
use crate::client::clients::tests::{clients, snapshot_for};
use crate::client::connection::Arrival;
use crate::exchange::caller::{Origin, Peer, PortText};
use crate::http1::chunked::Decoder;
use crate::shard::TICK;
use crate::transport::spawn;
use crate::transport::stream::Stream;
use crate::uring::{Engine, Listening, pause, probe, run};

const PATIENCE: Duration = Duration::from_secs(20);

/// One request as a target reads it: its head, its content, its trailer lines.
struct Read {
    head: String,
    content: Vec<u8>,
    trailers: String,
}

/// Reads a request; `None` at the end of the connection.
fn read(socket: &mut TcpStream, rest: &mut Vec<u8>) -> Option<Read> {
    let mut more = |rest: &mut Vec<u8>| {
        let mut buffer = [0; 65_536];
        let count = socket.read(&mut buffer).ok().filter(|count| *count > 0)?;
        rest.extend_from_slice(&buffer[..count]);
        Some(())
    };
    let end = loop {
        match rest.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(at) => break at + 4,
            None => more(rest)?,
        }
    };
    let head = String::from_utf8(rest.drain(..end).collect()).unwrap();
    let lower = head.to_ascii_lowercase();
    let mut read = Read { head, content: Vec::new(), trailers: String::new() };
    if lower.contains("transfer-encoding: chunked") {
        let mut decoder = Decoder::default();
        loop {
            let decoded = decoder.decode_in_place(rest).unwrap();
            read.content.extend_from_slice(&rest[..decoded.content]);
            rest.drain(..decoded.consumed);
            if decoded.end {
                read.trailers = String::from_utf8(decoder.trailers().to_vec()).unwrap();
                return Some(read);
            }
            more(rest)?;
        }
    }
    let length = lower.split("content-length: ").nth(1);
    let length = length.map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    while rest.len() < length {
        more(rest)?;
    }
    read.content = rest.drain(..length).collect();
    Some(read)
}

/// Answers with what was asked, by the path.
fn answer_to(read: &Read) -> Option<Vec<u8>> {
    let path = read.head.split(' ').nth(1).unwrap();
    let with_length = |content: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
        [head.as_bytes(), content].concat()
    };
    Some(match path {
        "/never" => return None,
        "/none" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".to_vec(),
        "/cut" => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec(),
        "/trailers" => format!(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\nX-Back: {}\r\n\r\n",
            read.trailers.trim()
        )
        .into_bytes(),
        "/mirror" => with_length(&read.content),
        _ => with_length(read.head.as_bytes()),
    })
}

/// A target; it ends with its process.
fn target() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            thread::spawn(move || {
                let mut rest = Vec::new();
                while let Some(read) = read(&mut socket, &mut rest) {
                    let is_last = read.head.contains(" /cut ");
                    if let Some(answer) = answer_to(&read)
                        && (socket.write_all(&answer).is_err() || is_last)
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Has `client` talk to a shard of each engine whose listener has these settings.
fn play<F>(settings: &str, client: impl Fn(SocketAddr) -> F + Send + Sync + 'static)
where
    F: Future<Output = ()>,
{
    let (target, client) = (target().to_string(), Arc::new(client));
    let engines = [Engine::Epoll, Engine::IoUring, Engine::TokioUring];
    for engine in engines.into_iter().filter(|engine| probe(*engine).is_ok()) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (client, is_over) = (Arc::clone(&client), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        let asking = thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
            // Whatever becomes of the client, its shard ends.
            let _over = Over(over);
            let asked = async { tokio::time::timeout(PATIENCE, client(address)).await };
            runtime.block_on(asked).expect("in time");
        });
        let settings = format!("http2 = true\n{settings}");
        let snapshot = snapshot_for(&target, &[("web", &settings)]);
        run(engine, 256, serve_all(listener, snapshot, is_over)).unwrap();
        asking.join().unwrap();
    }
}

/// Says when it is dropped that the client is over.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Serves every connection until the client is over and its connections are.
async fn serve_all(
    listener: TcpListener,
    snapshot: Arc<crate::snapshot::Snapshot>,
    is_over: Arc<AtomicBool>,
) {
    let (_published, clients) = clients(snapshot);
    let listening = Listening::adopt(listener.into()).unwrap();
    let open = Rc::new(Cell::new(0));
    let mut next_tick_ms = 0;
    // Workers that nobody needs end as well.
    while !is_over.load(Ordering::Acquire) || open.get() > 0 || workers::idle_count() > 0 {
        while let Some(accepted) = listening.accept().unwrap() {
            open.set(open.get() + 1);
            let (clients, open) = (Rc::clone(&clients), Rc::clone(&open));
            spawn(async move {
                serve_one(&clients, Stream::plain(accepted.socket)).await;
                open.set(open.get() - 1);
            });
        }
        pause(Duration::from_millis(1)).await;
        let local = &clients.local;
        local.clock.read_us();
        if local.clock.now_ms() >= next_tick_ms {
            local.clock.tick();
            local.alarms.scan(local.clock.now_ms());
            next_tick_ms = local.clock.deadline(TICK);
        }
    }
    let windows = clients.lines.windows.borrow().free();
    assert_eq!(windows, 64 << 20, "what windows have drawn goes back with their connections");
    clients.stop_idle();
}

async fn serve_one(clients: &Rc<Clients>, client: Stream) {
    let origin = Origin { listener_name: "web".into(), port: 80, port_text: PortText::new() };
    let received = client.recv_any().await.unwrap();
    let arrival = Arrival { client, origin: Rc::new(origin), peer: Peer::new(None) };
    let connection = Rc::new(Connection::new(Rc::clone(clients), arrival));
    assert!(matches!(serve(connection, received).await, Next::Close));
}

async fn connect(
    address: SocketAddr,
) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (send, connection) =
        builder.initial_connection_window_size(1 << 20).handshake(socket).await.unwrap();
    (send, tokio::spawn(connection))
}

async fn begin(
    send: &SendRequest<Bytes>,
    (method, path): (Method, &str),
    ends: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    let message = Message::builder().method(method).version(Version::HTTP_2);
    let message = message.uri(format!("http://web.test{path}")).body(()).unwrap();
    send.clone().ready().await.unwrap().send_request(message, ends).unwrap()
}

/// Status, fields, content and trailers of a response.
type Answer = (u16, HeaderMap, Vec<u8>, Option<HeaderMap>);

async fn answer(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut content = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        content.extend_from_slice(&data);
    }
    Ok((head.status.as_u16(), head.headers, content, body.trailers().await?))
}

async fn get(send: &SendRequest<Bytes>, path: &str) -> Answer {
    answer(begin(send, (Method::GET, path), true).await.0).await.unwrap()
}

async fn send_content(mut stream: SendStream<Bytes>, mut content: Bytes) {
    while !content.is_empty() {
        stream.reserve_capacity(content.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return;
        };
        let now = content.split_to(room.min(content.len()));
        if stream.send_data(now, content.is_empty()).is_err() {
            return;
        }
    }
}

#[test]
fn streams_are_served_side_by_side_and_each_has_its_own_answer() {
    play("", async |address| {
        let (send, connection) = connect(address).await;
        let mut responses = Vec::new();
        for number in 0..100 {
            let path = format!("/{number}?x=y");
            responses.push(begin(&send, (Method::GET, &path), true).await.0);
        }
        for (number, response) in responses.into_iter().enumerate() {
            let (status, _, content, _) = answer(response).await.unwrap();
            let seen = String::from_utf8(content).unwrap();
            assert_eq!(status, 200);
            assert!(seen.starts_with(&format!("GET /{number}?x=y HTTP/1.1\r\n")), "{seen}");
            assert!(seen.contains("\r\nHost: web.test\r\n"), "{seen}");
        }
        drop(send);
        connection.await.unwrap().unwrap();
    });
}

#[test]
fn content_goes_both_ways_unchanged() {
    play("", async |address| {
        let (send, _connection) = connect(address).await;
        for length in [1, 16_384, 65_536, 1_000_000] {
            let content: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            let (response, stream) = begin(&send, (Method::POST, "/mirror"), false).await;
            let sent = tokio::spawn(send_content(stream, content.clone().into()));
            let (status, _, back, _) = answer(response).await.unwrap();
            sent.await.unwrap();
            assert!((status, back) == (200, content), "{length}");
        }
    });
}

#[test]
fn trailers_and_messages_without_content_keep_their_meaning() {
    play("", async |address| {
        let (send, _connection) = connect(address).await;
        let (response, mut stream) = begin(&send, (Method::POST, "/trailers"), false).await;
        stream.send_data(Bytes::from_static(b"content"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("42"));
        stream.send_trailers(trailers).unwrap();
        let (_, fields, content, trailers) = answer(response).await.unwrap();
        assert_eq!(content, b"abc");
        assert_eq!(trailers.unwrap().get("x-back").unwrap(), "x-sum: 42");
        assert!(fields.get("transfer-encoding").is_none());
        let (status, _, content, _) = get(&send, "/none").await;
        assert_eq!((status, content.len()), (204, 0));
        let response = begin(&send, (Method::HEAD, "/head"), true).await.0;
        let (_, fields, content, _) = answer(response).await.unwrap();
        assert_eq!((&fields["content-length"], content.len()), (&HeaderValue::from(7), 0));
    });
}

#[test]
fn a_stream_that_fails_or_is_reset_leaves_the_others_alone() {
    play("limits.content = \"10B\"", async |address| {
        let (send, _connection) = connect(address).await;
        let cut = begin(&send, (Method::GET, "/cut"), true).await.0;
        let error = answer(cut).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{error}");
        let (never, mut stream) = begin(&send, (Method::GET, "/never"), true).await;
        assert_eq!(get(&send, "/1").await.0, 200);
        stream.send_reset(Reason::CANCEL);
        drop(never);
        let (response, stream) = begin(&send, (Method::POST, "/mirror"), false).await;
        let sent = tokio::spawn(send_content(stream, vec![b'x'; 11].into()));
        assert_eq!(answer(response).await.unwrap().0, 413);
        sent.await.unwrap();
        assert_eq!(get(&send, "/2").await.0, 200);
    });
}

#[test]
fn a_connection_without_streams_is_told_goodbye() {
    play("timeouts.keep_alive = \"1s\"", async |address| {
        let (send, connection) = connect(address).await;
        assert_eq!(get(&send, "/").await.0, 200);
        connection.await.unwrap().expect("a clean end");
    });
}
