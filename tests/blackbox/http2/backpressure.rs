//! Whoever takes nothing stops whoever sends, whichever versions the two speak: no more is on its way than windows and
//! buffers hold, other streams go on meanwhile, and everything arrives once it is taken.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::http::{Method, Request, Response};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::{app, clear};
use crate::support::http2::{Http2, answer, play, runtime, send_some};
use crate::support::{Client, Limpet, Target, config, poll};

/// Content is this, over and over: its length is a prime, so that bytes in a wrong place are noticed.
static BLOCK: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..65_521).map(next).collect()
});
const BLOCKS: usize = 256;
const LENGTH: usize = BLOCKS * 65_521;
/// Of the sockets that the tests set up.
const BUFFER: usize = 64 << 10;
/// The largest window of a stream, what the other side's window and limpet's own buffers hold, and the kernel's.
const WINDOW_BYTES: usize = 2 << 20;
/// What the kernel may hold of a connection to a target, whose buffers it chooses.
const KERNEL_BYTES: usize = 6 << 20;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Version {
    Http1,
    Http2,
}

/// Who asks whom. Two of HTTP/1.1 are those of `framing::streaming`.
const PAIRS: [(Version, Version); 3] = [
    (Version::Http2, Version::Http1),
    (Version::Http1, Version::Http2),
    (Version::Http2, Version::Http2),
];

/// Content on its way, seen by the test.
#[derive(Default)]
struct Flow {
    /// Bytes that the sender could send.
    sent: AtomicUsize,
    /// The target takes content.
    is_open: AtomicBool,
}

impl Flow {
    fn note(&self, bytes: usize) {
        self.sent.fetch_add(bytes, Ordering::SeqCst);
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    /// What could be sent, once nothing more can be.
    #[track_caller]
    fn stalled(&self) -> usize {
        let (mut last, mut since) = (0, Instant::now());
        let found = poll(|| {
            let now = self.sent.load(Ordering::SeqCst);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            (last > 0 && since.elapsed() > Duration::from_millis(500)).then_some(last)
        });
        found.unwrap_or_else(|| panic!("it does not stop: {last} bytes"))
    }
}

/// Content that has arrived.
#[derive(Default)]
struct Arrived(usize);

impl Arrived {
    #[track_caller]
    fn take(&mut self, mut bytes: &[u8]) {
        assert!(!bytes.is_empty(), "it ends after {} bytes", self.0);
        while !bytes.is_empty() {
            let expected = &BLOCK[self.0 % BLOCK.len()..];
            let (now, later) = bytes.split_at(bytes.len().min(expected.len()));
            assert!(now == &expected[..now.len()], "other bytes behind {}", self.0);
            (bytes, self.0) = (later, self.0 + now.len());
        }
        assert!(self.0 <= LENGTH, "too many");
    }

    fn is_whole(&self) -> bool {
        self.0 == LENGTH
    }
}

async fn send_all(stream: &mut SendStream<Bytes>, flow: &Flow) -> Result<(), h2::Error> {
    for _ in 0..BLOCKS {
        let mut left = BLOCK.clone();
        while !left.is_empty() {
            let piece = left.split_to(left.len().min(16 << 10));
            let length = piece.len();
            send_some(stream, piece, false).await?;
            flow.note(length);
        }
    }
    stream.send_data(Bytes::new(), true)
}

async fn receive_all(body: &mut RecvStream) -> Result<(), h2::Error> {
    let mut arrived = Arrived::default();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        if !data.is_empty() {
            arrived.take(&data);
        }
    }
    assert!(arrived.is_whole());
    Ok(())
}

/// A target of HTTP/1.1: of `/download` it sends everything, of `/upload` it takes nothing until it may.
fn first(flow: &Arc<Flow>) -> Target {
    let flow = Arc::clone(flow);
    Target::scripted(move |connection| {
        connection.set_send_buffer(BUFFER)?;
        while let Some(request) = connection.next_head()? {
            let length = if request.target == "/download" { LENGTH } else { 0 };
            if request.target == "/upload" {
                poll(|| flow.is_open.load(Ordering::SeqCst).then_some(()));
                let mut arrived = Arrived::default();
                while !arrived.is_whole() {
                    arrived.take(&connection.read_some()?);
                }
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            connection.send(head.as_bytes())?;
            for _ in 0..length / BLOCK.len() {
                connection.send(&BLOCK)?;
                flow.note(BLOCK.len());
            }
        }
        Ok(())
    })
}

/// The same of HTTP/2.
fn second(flow: &Arc<Flow>) -> (Runtime, SocketAddr) {
    let (flow, runtime) = (Arc::clone(flow), runtime());
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, Arc::clone(&flow)));
        }
    });
    (runtime, address)
}

async fn serve(socket: TcpStream, flow: Arc<Flow>) {
    socket.set_nodelay(true).unwrap();
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(respond_to(request, respond, Arc::clone(&flow)));
    }
}

async fn respond_to(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    flow: Arc<Flow>,
) -> Result<(), h2::Error> {
    let head = Response::new(());
    match request.uri().path() {
        "/download" => send_all(&mut respond.send_response(head, false)?, &flow).await,
        "/upload" => {
            while !flow.is_open.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            receive_all(&mut request.into_body()).await?;
            respond.send_response(head, true).map(drop)
        }
        _ => respond.send_response(head, true).map(drop),
    }
}

/// Runs `test` with a limpet in front of a target of this version.
fn with(target: Version, test: impl FnOnce(&Limpet, &Flow)) {
    let flow = Arc::new(Flow::default());
    let web = clear("web").set("socket.send_buffer", "64KiB");
    let start = |address: &str, version: &str| {
        let app = app().set("protocol_version", version).target_at("a", address, "");
        config().listener(web).group(app).start()
    };
    match target {
        Version::Http1 => {
            let target = first(&flow);
            test(&start(&target.address(), "http1"), &flow);
        }
        Version::Http2 => {
            let (_runtime, address) = second(&flow);
            test(&start(&address.to_string(), "http2"), &flow);
        }
    }
}

/// A client of HTTP/1.1 whose socket holds little.
fn client(limpet: &Limpet) -> Client {
    let client = limpet.client();
    client.wire.set_send_buffer(BUFFER).unwrap();
    client
}

#[test]
fn a_client_that_takes_nothing_stops_the_target() {
    for (client_speaks, target_speaks) in PAIRS {
        let assert_little = |sent: usize| {
            let what = format!("{client_speaks:?} of {target_speaks:?}: {sent} bytes");
            assert!(sent < WINDOW_BYTES, "{what}");
        };
        with(target_speaks, |limpet, flow| match client_speaks {
            Version::Http1 => {
                let mut client = client(limpet);
                client.send("GET /download HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
                assert_little(flow.stalled());
                assert_eq!(limpet.get("/small").status, 200);
                let mut head = client.response_head();
                client.wire.read_response_content(&mut head).unwrap();
                let mut arrived = Arrived::default();
                arrived.take(&head.content);
                assert!(arrived.is_whole());
            }
            Version::Http2 => play(async {
                let client = Http2::connect(limpet.address()).await;
                let (response, _) = client.begin(Method::GET, "/download", &[], true).await;
                let mut body = response.await.unwrap().into_body();
                assert_little(flow.stalled());
                assert_eq!(client.get("/small", &[]).await.status, 200);
                receive_all(&mut body).await.unwrap();
            }),
        });
    }
}

#[test]
fn a_target_that_takes_nothing_stops_the_client() {
    for (client_speaks, target_speaks) in PAIRS {
        let assert_little = |sent: usize| {
            let most = match target_speaks {
                Version::Http1 => WINDOW_BYTES + KERNEL_BYTES,
                Version::Http2 => WINDOW_BYTES,
            };
            assert!(sent < most, "{client_speaks:?} to {target_speaks:?}: {sent} bytes");
        };
        with(target_speaks, |limpet, flow| match client_speaks {
            Version::Http1 => std::thread::scope(|threads| {
                let mut client = client(limpet);
                let mut wire = client.wire.writer().unwrap();
                let sending = threads.spawn(move || {
                    let head = "POST /upload HTTP/1.1\r\nHost: limpet.test\r\nContent-Length:";
                    wire.send(format!("{head} {LENGTH}\r\n\r\n").as_bytes())?;
                    (0..BLOCKS).try_for_each(|_| {
                        wire.send(&BLOCK)?;
                        flow.note(BLOCK.len());
                        Ok::<(), std::io::Error>(())
                    })
                });
                assert_little(flow.stalled());
                assert_eq!(limpet.get("/small").status, 200);
                flow.open();
                assert_eq!(client.response().status, 200);
                sending.join().unwrap().unwrap();
            }),
            Version::Http2 => play(async {
                let client = Http2::connect(limpet.address()).await;
                let length = LENGTH.to_string();
                let fields = [("content-length", &*length)];
                let (response, mut stream) =
                    client.begin(Method::POST, "/upload", &fields, false).await;
                let sending = async { send_all(&mut stream, flow).await.unwrap() };
                let looking = async {
                    let sent = wait_until_stalled(flow).await;
                    assert_little(sent);
                    assert_eq!(client.get("/small", &[]).await.status, 200);
                    flow.open();
                    assert_eq!(answer(response).await.unwrap().status, 200);
                };
                tokio::join!(sending, looking);
            }),
        });
    }
}

/// As [`Flow::stalled`], while whoever sends is polled by the same task.
async fn wait_until_stalled(flow: &Flow) -> usize {
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = flow.sent.load(Ordering::SeqCst);
        if now > 0 && now == last {
            return now;
        }
        last = now;
    }
}
