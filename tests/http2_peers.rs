//! The machine of HTTP/2 with the `h2` crate at the other end of a pipe, on either side: requests side by side, content
//! and trailers both ways, windows that fill up, resets, drains.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Request, Response};
use bytes::Bytes;
use limpet::http2::flow::Pool;
use limpet::http2::frame::Side;
use limpet::http2::frame::error_code::ErrorCode;
use limpet::http2::hpack::encoder::{Encoder, Indexing, RequestPseudo};
use limpet::http2::hpack::spare;
use limpet::http2::machine::events::{Cause, Event, Key, ResetBy};
use limpet::http2::machine::{Machine, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::LocalSet;

const TRAILERS: &[u8] = b"x-sum: 1\r\n";

/// A stream of limpet's: what it has received, and what it is to send.
struct Stream {
    key: Key,
    received: Vec<u8>,
    has_end: bool,
    trailers: String,
    to_send: VecDeque<u8>,
    /// All of it, for another attempt.
    whole: Vec<u8>,
    /// Nothing is added to `to_send` any more.
    is_complete: bool,
    has_sent_end: bool,
}

impl Stream {
    fn new(key: Key, to_send: Vec<u8>, is_complete: bool) -> Stream {
        Stream {
            key,
            received: Vec::new(),
            has_end: false,
            trailers: String::new(),
            to_send: to_send.clone().into(),
            whole: to_send,
            is_complete,
            has_sent_end: false,
        }
    }
}

/// A machine and those who use it. A server echoes content, and trailers behind it; a client sends what waits.
struct End {
    machine: Machine,
    pool: Pool,
    is_server: bool,
    /// Content of requests to come.
    waiting: VecDeque<Vec<u8>>,
    streams: BTreeMap<u32, Stream>,
    /// Those that are finished, whole.
    done: BTreeMap<u32, Stream>,
    resets: Vec<ResetBy>,
}

impl End {
    fn new(options: Options, waiting: Vec<Vec<u8>>) -> Rc<RefCell<End>> {
        Rc::new(RefCell::new(End {
            machine: Machine::new(options, 0),
            pool: Pool::new(1 << 26),
            is_server: options.side == Side::Server,
            waiting: waiting.into(),
            streams: BTreeMap::new(),
            done: BTreeMap::new(),
            resets: Vec::new(),
        }))
    }

    /// Returns how many bytes were taken.
    fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut input = bytes;
        while let Some(event) = self.machine.receive(&mut input, 0) {
            self.see(event);
        }
        bytes.len() - input.len()
    }

    fn see(&mut self, event: Event<'_>) {
        let is_server = self.is_server;
        match event {
            Event::Head { stream, block, ends } => {
                spare::give_back(block);
                if is_server {
                    let fields = |encoder: &Encoder, out: &mut Vec<u8>| {
                        encoder.field(b"server", b"limpet", Indexing::Allowed, out);
                    };
                    self.machine.respond_with(stream, 200, false, fields).expect("open");
                    self.streams.insert(stream.id(), Stream::new(stream, Vec::new(), ends));
                }
                self.stream(stream).has_end = ends;
            }
            Event::Content { stream, bytes, ends } => {
                self.machine.take(stream, bytes.len());
                let state = self.stream(stream);
                state.received.extend_from_slice(bytes);
                state.has_end = ends;
                if is_server {
                    state.to_send.extend(bytes);
                    state.is_complete = ends;
                }
            }
            Event::Trailers { stream, block } => {
                let state = self.stream(stream);
                state.trailers = String::from_utf8_lossy(block.field_lines()).into_owned();
                (state.has_end, state.is_complete) = (true, true);
                spare::give_back(block);
            }
            Event::Reset { stream, by } => {
                self.machine.finish(stream);
                let state = self.streams.remove(&stream.id()).expect("a stream");
                // What was asked before the server had said how many streams it takes is asked again.
                match by.is_unprocessed() {
                    true => self.waiting.push_back(state.whole),
                    false => self.resets.push(by),
                }
            }
            Event::Settings | Event::Goaway { code: ErrorCode::NoError } => {}
            other => panic!("{other:?}"),
        }
    }

    fn stream(&mut self, key: Key) -> &mut Stream {
        self.streams.get_mut(&key.id()).expect("a stream")
    }

    fn open_waiting(&mut self) {
        let mut block = Vec::new();
        let (authority, path) = (b"shop.example.com", b"/");
        let pseudo = RequestPseudo {
            method: b"POST",
            scheme: b"http",
            authority,
            path: [path, b"", b""],
            protocol: None,
        };
        Encoder::default().request(&pseudo, &mut block);
        while let Some(content) = self.waiting.front() {
            let Ok(key) = self.machine.request(&block, false, 0) else { return };
            self.streams.insert(key.id(), Stream::new(key, content.clone(), true));
            self.waiting.pop_front();
        }
    }

    fn send(&mut self) {
        self.open_waiting();
        while self.machine.next_turn().is_some() {}
        for stream in self.streams.values_mut().filter(|stream| !stream.has_sent_end) {
            let has_trailers = !self.is_server || !stream.trailers.is_empty();
            let ends = stream.is_complete && !has_trailers;
            let bytes = stream.to_send.make_contiguous();
            let sent = self.machine.send(stream.key, bytes, ends).expect("open");
            let is_sent = sent == bytes.len() && stream.is_complete;
            stream.to_send.drain(..sent);
            if is_sent && has_trailers {
                self.machine.send_trailers(stream.key, TRAILERS).expect("open");
            }
            stream.has_sent_end = is_sent;
        }
        let is_done = |stream: &Stream| stream.has_end && stream.has_sent_end;
        let done = self.streams.extract_if(.., |_, stream| is_done(stream));
        for (id, stream) in done.collect::<Vec<(u32, Stream)>>() {
            self.machine.finish(stream.key);
            self.done.insert(id, stream);
        }
    }
}

/// The task of a connection, until it is over or its peer has closed it.
async fn drive(end: Rc<RefCell<End>>, mut pipe: DuplexStream) {
    let (mut input, mut out, mut part) = (Vec::new(), Vec::new(), vec![0; 10_000]);
    loop {
        let (is_over, has_more) = {
            let end = &mut *end.borrow_mut();
            end.send();
            end.machine.transmit(&mut out, &mut end.pool);
            (end.machine.is_over(), end.machine.next_turn().is_some())
        };
        if pipe.write_all(&out).await.is_err() || is_over {
            return;
        }
        out.clear();
        if has_more {
            continue;
        }
        match pipe.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(count) => input.extend_from_slice(&part[..count]),
        }
        let taken = end.borrow_mut().receive(&input);
        input.drain(..taken);
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let within = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    let result = LocalSet::new().block_on(&runtime.expect("a runtime"), within);
    result.expect("it does not hang");
}

/// Contents of many sizes; those of a few windows among them.
fn contents(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|at| vec![at as u8; at * at * 37 % 300_001]).collect()
}

async fn send_all(mut stream: h2::SendStream<Bytes>, content: &[u8]) {
    for part in content.chunks(20_000) {
        stream.reserve_capacity(part.len());
        let mut rest = part;
        while !rest.is_empty() {
            let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
            let count = capacity.expect("open").expect("capacity").min(rest.len());
            let (now, later) = rest.split_at(count);
            stream.send_data(Bytes::copy_from_slice(now), false).expect("open");
            rest = later;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    stream.send_trailers(trailers).expect("open");
}

async fn receive_all(stream: &mut h2::RecvStream) -> (Vec<u8>, bool) {
    let mut received = Vec::new();
    while let Some(part) = stream.data().await {
        let part = part.expect("content");
        received.extend_from_slice(&part);
        stream.flow_control().release_capacity(part.len()).expect("held");
    }
    let trailers = stream.trailers().await.expect("trailers");
    (received, trailers.is_some_and(|trailers| trailers["x-sum"] == "1"))
}

fn post() -> Request<()> {
    Request::post("http://shop.example.com/").body(()).expect("a request")
}

#[test]
fn a_foreign_client_is_served() {
    run(async {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let end = End::new(Options::server(), Vec::new());
        let server = tokio::task::spawn_local(drive(end.clone(), ours));
        let (client, connection) = h2::client::handshake(theirs).await.expect("a handshake");
        let connection = tokio::task::spawn_local(connection);
        let requests: Vec<_> = contents(120)
            .into_iter()
            .map(|content| {
                let client = client.clone();
                tokio::task::spawn_local(async move {
                    let mut client = client.ready().await.expect("ready");
                    let (response, stream) = client.send_request(post(), false).expect("sent");
                    let (response, ()) = tokio::join!(response, send_all(stream, &content));
                    let response = response.expect("a response");
                    assert_eq!(
                        (response.status().as_u16(), &response.headers()["server"]),
                        (200, &HeaderValue::from_static("limpet"))
                    );
                    let received = receive_all(&mut response.into_body()).await;
                    assert!(received == (content, true));
                })
            })
            .collect();
        for request in requests {
            request.await.expect("answered");
        }
        drop(client);
        connection.await.expect("no panic").expect("a connection without a fault");
        server.await.expect("no panic");
        let end = end.borrow();
        assert_eq!((end.done.len(), end.streams.len(), end.machine.stream_count()), (120, 0, 0));
    });
}

#[test]
fn a_foreign_server_is_asked() {
    run(async {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let end = End::new(Options::client(), contents(120));
        let client = tokio::task::spawn_local(drive(end.clone(), ours));
        let mut server = h2::server::Builder::new()
            .max_concurrent_streams(20)
            .initial_window_size(30_000)
            .handshake::<_, Bytes>(theirs)
            .await
            .expect("a handshake");
        let mut answers = Vec::new();
        while answers.len() < 120 {
            let Some(accepted) = server.accept().await else { break };
            let (request, mut respond) = accepted.expect("a request");
            answers.push(tokio::task::spawn_local(async move {
                assert_eq!(request.uri(), "http://shop.example.com/");
                let (content, has_trailers) = receive_all(&mut request.into_body()).await;
                assert!(has_trailers);
                let interim = Response::builder().status(103).body(()).expect("a response");
                respond.send_informational(interim).expect("open");
                let stream = respond.send_response(Response::new(()), false).expect("open");
                send_all(stream, &content).await;
            }));
        }
        let closed = tokio::task::spawn_local(async move {
            std::future::poll_fn(|cx| server.poll_closed(cx)).await.expect("no fault");
        });
        for answer in answers {
            answer.await.expect("no panic");
        }
        while end.borrow().done.len() < 120 {
            tokio::task::yield_now().await;
        }
        client.abort();
        let _ = client.await;
        closed.await.expect("no panic");
        let end = end.borrow();
        assert!(end.done.len() == 120 && end.resets.is_empty());
        for stream in end.done.values() {
            assert!(stream.received == stream.whole);
            assert_eq!(stream.trailers.as_bytes(), TRAILERS);
        }
    });
}

#[test]
fn resets_go_both_ways_and_a_drain_lets_requests_end() {
    run(async {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let end = End::new(Options::server(), Vec::new());
        let server = tokio::task::spawn_local(drive(end.clone(), ours));
        let (client, connection) = h2::client::handshake(theirs).await.expect("a handshake");
        let connection = tokio::task::spawn_local(connection);
        let mut client = client.ready().await.expect("ready");
        // Reset by the client.
        let (response, mut stream) = client.send_request(post(), false).expect("sent");
        response.await.expect("a response");
        stream.send_reset(h2::Reason::CANCEL);
        while end.borrow().resets.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(end.borrow().resets, [ResetBy::Peer(ErrorCode::Cancel)]);
        // Reset by the server, which notices it with the next bytes that come.
        let (response, mut cut) = client.send_request(post(), false).expect("sent");
        let mut body = response.await.expect("a response").into_body();
        {
            let end = &mut *end.borrow_mut();
            let stream = end.streams.pop_first().expect("a stream").1;
            end.machine.reset(stream.key, Cause::Refused, 0);
            end.machine.finish(stream.key);
        }
        cut.send_data(Bytes::from_static(b"x"), false).expect("open");
        let fault = body.data().await.expect("a fault").expect_err("a reset");
        assert_eq!(fault.reason(), Some(h2::Reason::REFUSED_STREAM));
        // A request that is on its way is answered behind GOAWAY.
        let (response, stream) = client.send_request(post(), false).expect("sent");
        let response = response.await.expect("a response");
        end.borrow_mut().machine.drain(0);
        let mut body = response.into_body();
        let ((), (received, _)) =
            tokio::join!(send_all(stream, b"the last"), receive_all(&mut body));
        assert_eq!(received, b"the last");
        server.await.expect("no panic");
        connection.await.expect("no panic").expect("a drain is no fault");
        let end = end.borrow();
        assert_eq!((end.machine.stream_count(), end.machine.counts().endings.goaways_sent), (0, 2));
    });
}
