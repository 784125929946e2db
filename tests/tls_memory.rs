//! An idle TLS client costs little memory: no buffer of limpet's, and no more of rustls' than its keys and states.
//!
//! Of what is measured here (1.7 KiB on io_uring, 0.9 in TLS 1.2) the records that were taken over from rustls hold the
//! most: both directions' secrets, and in TLS 1.3 what rustls derives the next ones from. Keys that are expanded would
//! be 1.3 KiB more.
//!
//! Counts what all of the process holds by `malloc`, rustls' and the cryptography's own included, for many clients
//! that have made a handshake and one request each, and wait. The clients keep nothing but their sockets.
#![allow(unsafe_code, reason = "mallinfo2 is a call without a safe interface")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use limpet::transport::stream::Stream;
use limpet::transport::tls::handshake::{Chosen, Computes, Terms, accept};
use limpet::transport::tls::places::{Limits, Places};
use limpet::uring::{self, Engine, Listening, buffers};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::ClientHello;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion,
};

const NAME: &str = "shop.example";
const PATIENCE: Duration = Duration::from_secs(30);
/// Clients until everything is there that they share.
const WARM_UP: usize = 40;
const MEASURED: usize = 200;
const IDLE_BYTES_MAX: usize = 2_200;

fn configurations(
    version: &'static SupportedProtocolVersion,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("an authority");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a key");
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.enable_secret_extraction = true;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = rustls::client::Resumption::disabled();
    (Arc::new(server), Arc::new(client))
}

/// Bytes that are allocated in all arenas, and by mappings of their own.
fn allocated() -> usize {
    // SAFETY: mallinfo2(3) takes nothing, and only reads the allocator's numbers.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// Makes one client after another, each when it is asked for; they keep their sockets only.
fn clients(address: SocketAddr, config: &Arc<ClientConfig>, asked: &Receiver<()>) {
    let mut sockets = Vec::with_capacity(WARM_UP + MEASURED);
    while asked.recv().is_ok() {
        let socket = TcpStream::connect(address).expect("connect");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // The request follows the last record of the handshake at once.
        socket.set_nodelay(true).expect("no delay");
        let name = NAME.try_into().expect("a name");
        let session = ClientConnection::new(Arc::clone(config), name).expect("a client");
        let mut stream = rustls::StreamOwned::new(session, socket);
        stream.write_all(&[b'a'; 300]).expect("send");
        stream.read_exact(&mut [0; 300]).expect("an answer");
        sockets.push(stream.sock);
    }
}

async fn served(listening: &Listening, config: &Arc<ServerConfig>, ask: &Sender<()>) -> Stream {
    ask.send(()).expect("a client");
    let socket = loop {
        if let Some(accepted) = listening.accept().expect("accept") {
            break accepted.socket;
        }
        uring::pause(Duration::from_millis(1)).await;
    };
    let config = Arc::clone(config);
    let places = Places::default();
    let limits = Limits { count: 1, per_second: 0 };
    let place = places.place(&socket, limits).await.expect("a place");
    let (stream, _) = accept(
        &Stream::plain(socket),
        Vec::new(),
        async |_: &ClientHello<'_>| Ok(Chosen { config, signs: Computes::Here }),
        Terms { place: &place, time: PATIENCE, small_records: false },
    )
    .await
    .expect("a handshake");
    let mut received = 0;
    while received < 300 {
        let bytes = stream.recv_any().await.expect("data");
        received += bytes.len();
        buffers::give_back(bytes);
    }
    let (sent, buffer) = stream.send(vec![b'b'; 300], 0, true).await;
    assert_eq!(sent.expect("send"), 300);
    drop(buffer);
    stream
}

async fn measure(listener: TcpListener, version: &'static SupportedProtocolVersion) -> usize {
    let (server, client) = configurations(version);
    let address = listener.local_addr().expect("an address");
    let listening = Listening::adopt(listener.into()).expect("adopt");
    let (ask, asked) = channel();
    let clients = thread::spawn(move || clients(address, &client, &asked));
    let mut idle = Vec::with_capacity(WARM_UP + MEASURED);
    let mut before = 0;
    for count in 0..WARM_UP + MEASURED {
        if count == WARM_UP {
            before = allocated();
        }
        let stream = served(&listening, &server, &ask).await;
        let receive = stream.recv_any();
        stream.rest();
        idle.push((stream, receive));
    }
    // The last client's own session is gone when it is asked for another, or has ended.
    drop(ask);
    while !clients.is_finished() {
        uring::pause(Duration::from_millis(1)).await;
    }
    let held = allocated().saturating_sub(before);
    for (stream, receive) in idle {
        stream.end();
        drop(receive.await);
    }
    held / MEASURED
}

#[test]
fn an_idle_tls_client_holds_no_buffer_and_little_else() {
    for (engine, version) in [
        (Engine::IoUring, &TLS13),
        (Engine::IoUring, &TLS12),
        (Engine::Epoll, &TLS13),
        (Engine::Epoll, &TLS12),
    ] {
        if uring::probe(engine).is_err() {
            continue;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        listener.set_nonblocking(true).expect("not blocking");
        let bytes = uring::run(engine, 64, measure(listener, version)).expect("an engine");
        let what = format!("{}, {:?}: {bytes} bytes", engine.name(), version.version);
        println!("{what}");
        assert!(bytes <= IDLE_BYTES_MAX, "{what}");
    }
}
