//! The boundary as its users see it, over real sockets: each rule on every engine.

mod behind;
mod buffers_kept;
mod dropped;
mod ended;
mod flows;
mod presence;
mod tasks;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::buffers::{self, SMALL_BYTES, TAIL_BYTES};
use super::operation::{Completion, Operation};
use super::socket::Inner;
use super::{
    ConnectAddress, Engine, Listening, RecvAny, Shutdown, Socket, connect, driver, probe, provided,
    ring, run, sleep, spawn, tokio_ring, trim, yield_now,
};

/// No test takes that long; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// The buffers of both sockets of a pair.
const BUFFER_BYTES: usize = 128 * 1024;
/// More than both sockets' buffers hold, so that a send cannot end while its peer does not read.
const LARGE_BYTES: usize = 4 * 1024 * 1024;
/// More than the ring provides in one turn.
const MANY: usize = provided::ENTRIES as usize + 200;

/// Runs `test` on every engine of this machine.
fn on_each_engine<F: Future<Output = ()>>(test: impl Fn() -> F) {
    on_epoll(&test);
    on_io_uring(test);
}

/// The engines of this machine.
fn engines() -> Vec<Engine> {
    let all = [Engine::Epoll, Engine::IoUring, Engine::TokioUring];
    all.into_iter().filter(|&engine| probe(engine).is_ok()).collect()
}

fn on_epoll<F: Future<Output = ()>>(test: impl Fn() -> F) {
    run(Engine::Epoll, 64, in_time(test())).expect("epoll");
}

fn on_io_uring<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for engine in [Engine::IoUring, Engine::TokioUring] {
        match probe(engine) {
            // A small ring: more completions than fit in it must do no harm.
            Ok(()) => run(engine, 64, in_time(test())).expect("a ring"),
            Err(refused) => println!("not tested on {}: {refused}", engine.name()),
        }
    }
}

async fn in_time<F: Future>(test: F) -> F::Output {
    tokio::select! {
        output = test => output,
        () = sleep(Instant::now() + PATIENCE) => panic!("the test hangs"),
    }
}

/// Polls `condition` until it holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE / 2;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Instant::now() + Duration::from_millis(2)).await;
    }
}

/// Polls once; an operation that is not ready is left in flight.
fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Awaits all, so that none is looked at before every one of them has been.
async fn all<F: Future + Unpin>(futures: Vec<F>) -> Vec<F::Output> {
    let mut outputs = Vec::new();
    for future in futures {
        outputs.push(future.await);
    }
    outputs
}

/// A connection over TCP: the socket under test and its peer.
fn pair() -> (Socket, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
    let near = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    let (far, _) = listener.accept().expect("accept");
    far.set_read_timeout(Some(PATIENCE)).expect("timeout");
    // The kernel never raises a size that was set; else it would take much more for a slow reader.
    socket2::SockRef::from(&far).set_recv_buffer_size(BUFFER_BYTES).expect("buffer");
    let near = socket2::Socket::from(near);
    near.set_send_buffer_size(BUFFER_BYTES).expect("buffer");
    (Socket::adopt(near).expect("adopt"), far)
}

/// Connections of one descriptor each, for tests that need many.
fn unix_pairs(count: usize) -> (Vec<Socket>, Vec<UnixStream>) {
    assert!(super::raise_descriptor_limit() > 2 * count as u64, "too few descriptors");
    let pairs = (0..count).map(|_| UnixStream::pair().expect("pair"));
    pairs.map(|(near, far)| (Socket::adopt(near.into()).expect("adopt"), far)).unzip()
}

fn listening() -> (Listening, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
    let address = listener.local_addr().expect("address");
    (Listening::adopt(listener.into()).expect("adopt"), address)
}

/// A listener whose backlog is full: connecting to it takes as long as nothing is accepted.
fn full_listener() -> (socket2::Socket, SocketAddr, Vec<socket2::Socket>) {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let listener = listener.expect("socket");
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bind");
    listener.listen(0).expect("listen");
    let address = listener.local_addr().expect("address");
    let fill = |_| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("socket");
        socket.set_nonblocking(true).expect("nonblocking");
        // All of them are in progress; the first few become connections that are never accepted.
        socket.connect(&address).expect_err("in progress");
        socket
    };
    let filling = (0..4).map(fill).collect();
    (listener, address.as_socket().expect("TCP"), filling)
}

/// One read by a peer; the ring of this thread may interrupt it.
fn read(peer: &mut TcpStream) -> io::Result<usize> {
    loop {
        match peer.read(&mut [0; 8]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// Reads to the end in small pieces, slowly at first, on a thread of its own.
fn slow_reader(mut peer: TcpStream) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut read = Vec::new();
        let mut piece = [0; 16 * 1024];
        loop {
            if read.len() < 20 * piece.len() {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            match peer.read(&mut piece).expect("read") {
                0 => return read,
                count => read.extend_from_slice(&piece[..count]),
            }
        }
    })
}

/// Polls until the socket is closed: no clone and no operation holds it.
async fn until_closed(socket: Socket) {
    let weak: Weak<Inner> = Rc::downgrade(&socket.0);
    drop(socket);
    until("an operation still holds its socket", || weak.strong_count() == 0).await;
}

// ---- receive ----

#[test]
fn a_receive_appends_to_the_callers_buffer() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        let mut buffer = Vec::with_capacity(64);
        buffer.extend_from_slice(b"abc");
        let address = buffer.as_ptr();
        peer.write_all(b"def").expect("write");
        let (result, buffer) = socket.recv(buffer).await;
        assert_eq!((result.expect("receive"), &buffer[..]), (3, &b"abcdef"[..]));
        assert_eq!(buffer.as_ptr(), address, "the buffer must not move");
        drop(peer);
        let (result, buffer) = socket.recv(buffer).await;
        assert_eq!((result.expect("the end"), &buffer[..]), (0, &b"abcdef"[..]));
    });
}

#[test]
fn a_receive_waits_for_bytes_that_come_later() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        let mut receive = socket.recv(Vec::with_capacity(64));
        let mut any = pair();
        let mut receive_any = any.0.recv_any();
        assert!(is_pending(&mut receive) && is_pending(&mut receive_any));
        yield_now().await;
        peer.write_all(b"late").expect("write");
        any.1.write_all(b"later").expect("write");
        assert_eq!(receive.await.1, b"late");
        assert_eq!(receive_any.await.expect("receive"), b"later");
    });
}

#[test]
fn a_receive_leaves_the_tail_of_its_buffer_free() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        peer.write_all(&pattern(2 * SMALL_BYTES)).expect("write");
        let (result, buffer) = socket.recv(Vec::with_capacity(64)).await;
        assert_eq!(result.expect("receive"), 64 - TAIL_BYTES);
        let more = socket.recv_any().await.expect("receive");
        assert_eq!((more.len(), more.capacity()), (SMALL_BYTES - TAIL_BYTES, SMALL_BYTES));
        let (result, rest) = socket.recv(Vec::with_capacity(2 * SMALL_BYTES)).await;
        result.expect("receive");
        assert_eq!([buffer, more, rest].concat(), pattern(2 * SMALL_BYTES));
    });
}

#[test]
fn the_end_of_the_stream_is_an_empty_receive() {
    on_each_engine(|| async {
        let (socket, peer) = pair();
        peer.shutdown(Shutdown::Write).expect("shutdown");
        assert_eq!(socket.recv_any().await.expect("receive"), b"");
        let (result, buffer) = socket.recv(buffers::small()).await;
        assert_eq!((result.expect("receive"), buffer.len()), (0, 0));
    });
}

#[test]
fn a_receive_that_is_over_ends_whoever_asks_again() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        peer.write_all(b"hello").expect("write");
        let mut receive = socket.recv_any();
        assert_eq!((&mut receive).await.expect("receive"), b"hello");
        assert!(receive.is_over());
        assert!(receive.await.is_err(), "neither an end of the stream nor a wait for nothing");
    });
}

#[test]
fn a_reset_is_an_error() {
    on_each_engine(|| async {
        for provided in [true, false] {
            let (socket, peer) = pair();
            let raw = socket2::SockRef::from(&peer);
            raw.set_linger(Some(Duration::ZERO)).expect("linger");
            drop(peer);
            let result = match provided {
                true => socket.recv_any().await.map(drop),
                false => socket.recv(buffers::small()).await.0.map(drop),
            };
            assert_eq!(result.expect_err("reset").kind(), io::ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn more_arrivals_in_one_turn_than_buffers_all_get_theirs() {
    on_each_engine(|| async {
        let (sockets, mut peers) = unix_pairs(MANY);
        for round in 0..3_u8 {
            let receives: Vec<RecvAny> = sockets.iter().map(Socket::recv_any).collect();
            for (at, peer) in peers.iter_mut().enumerate() {
                peer.write_all(&[round, at as u8, (at >> 8) as u8]).expect("write");
            }
            // Every arrival comes before the first is looked at.
            sleep(Instant::now() + Duration::from_millis(30)).await;
            for (at, bytes) in all(receives).await.into_iter().enumerate() {
                let bytes = bytes.expect("receive");
                assert_eq!(bytes, [round, at as u8, (at >> 8) as u8]);
                buffers::give_back(bytes);
            }
        }
    });
}

/// How many of the ring's own receives get a buffer when all have bytes waiting.
async fn provided_at_once(sockets: &[Socket], peers: &mut [UnixStream]) -> usize {
    for peer in peers.iter_mut() {
        peer.write_all(b"x").expect("write");
    }
    let receives: Vec<_> = sockets.iter().map(ring::recv_provided).collect();
    sleep(Instant::now() + Duration::from_millis(30)).await;
    let mut served = 0;
    for (result, socket) in all(receives).await.into_iter().zip(sockets) {
        match result {
            Ok(bytes) => {
                assert_eq!(bytes, b"x");
                served += 1;
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
                assert_eq!(socket.recv(buffers::small()).await.1, b"x");
            }
        }
    }
    served
}

#[test]
fn the_ring_of_provided_buffers_never_shrinks() {
    on_io_uring(|| async {
        assert!(provided::is_available(), "this kernel takes no provided buffers");
        let entries = usize::from(provided::ENTRIES);
        let (sockets, mut peers) = unix_pairs(MANY);
        assert_eq!(provided_at_once(&sockets, &mut peers).await, entries);
        // One by one, more than twice around; a taken buffer need not come back for that.
        let mut kept = Vec::new();
        for at in 0..2 * entries + 7 {
            peers[at % MANY].write_all(b"y").expect("write");
            kept.push(sockets[at % MANY].recv_any().await.expect("receive"));
        }
        assert!(kept.iter().all(|bytes| bytes == b"y"));
        // Streams that end and operations that are dropped lose no buffer either.
        let (ending, ended) = unix_pairs(40);
        let receives: Vec<_> = ending.iter().map(Socket::recv_any).collect();
        drop(ended);
        assert!(all(receives).await.into_iter().all(|end| end.is_ok_and(|end| end.is_empty())));
        let (dropping, mut full) = unix_pairs(40);
        let receives: Vec<_> = dropping.iter().map(Socket::recv_any).collect();
        full.iter_mut().take(20).for_each(|peer| peer.write_all(b"z").expect("write"));
        sleep(Instant::now() + Duration::from_millis(30)).await;
        drop(receives);
        for socket in dropping {
            until_closed(socket).await;
        }
        assert_eq!(provided_at_once(&sockets, &mut peers).await, entries);
    });
}

// ---- send ----

#[test]
fn a_whole_send_ends_when_a_slow_reader_has_it_all() {
    on_each_engine(|| async {
        let (socket, peer) = pair();
        let reader = slow_reader(peer);
        let (result, buffer) = socket.send(pattern(LARGE_BYTES), 1000, true).await;
        assert_eq!(result.expect("send"), LARGE_BYTES - 1000);
        assert_eq!(buffer, pattern(LARGE_BYTES), "the buffer comes back as it was");
        drop(socket);
        assert_eq!(reader.join().expect("reader"), pattern(LARGE_BYTES)[1000..]);
    });
}

#[test]
fn a_partial_send_ends_with_what_the_peer_takes() {
    on_each_engine(|| async {
        let (socket, peer) = pair();
        let (result, mut buffer) = socket.send(pattern(LARGE_BYTES), 0, false).await;
        let mut sent = result.expect("send");
        assert!(sent > 0 && sent < LARGE_BYTES, "{sent}");
        let reader = slow_reader(peer);
        while sent < LARGE_BYTES {
            let (result, back) = socket.send(buffer, sent, false).await;
            let count = result.expect("send");
            assert!(count > 0);
            sent += count;
            buffer = back;
        }
        drop(socket);
        assert_eq!(reader.join().expect("reader"), pattern(LARGE_BYTES));
    });
}

#[test]
fn a_send_goes_out_though_nobody_polls_it() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        let send = socket.send(b"hot".to_vec(), 0, true);
        sleep(Instant::now() + Duration::from_millis(5)).await;
        let mut read = [0; 3];
        peer.read_exact(&mut read).expect("read");
        assert_eq!(&read, b"hot");
        assert_eq!(send.await.0.expect("send"), 3);
    });
}

#[test]
fn a_send_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
    on_each_engine(|| async {
        for whole in [true, false] {
            let (socket, peer) = pair();
            drop(peer);
            let mut results = Vec::new();
            // The first may still be taken; the reset that it causes ends the others.
            while results.len() < 100 && !matches!(results.last(), Some(Err(_))) {
                results.push(socket.send(b"x".to_vec(), 0, whole).await.0);
                sleep(Instant::now() + Duration::from_millis(1)).await;
            }
            let kind = results.pop().expect("a result").expect_err("an error").kind();
            assert!(
                matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset),
                "{kind}"
            );
        }
    });
}

// ---- shut down ----

#[test]
fn a_connection_is_made_accepted_and_used() {
    on_each_engine(|| async {
        let (listening, address) = listening();
        let readable = listening.readable();
        let near = connect(&ConnectAddress::Tcp(address), PATIENCE).expect("start").await;
        let near = near.expect("connect");
        readable.await.expect("a connection");
        let far = listening.accept().expect("accept").expect("a connection");
        let near_address = near.raw().local_addr().expect("address");
        assert_eq!(far.peer.as_socket(), near_address.as_socket());
        let receive = near.recv_any();
        far.socket.send(b"hello".to_vec(), 0, true).await.0.expect("send");
        assert_eq!(receive.await.expect("receive"), b"hello");
        assert!(near.raw().tcp_nodelay().expect("nodelay"));
    });
}

#[test]
fn a_refused_connect_says_so() {
    on_each_engine(|| async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        let address = listener.local_addr().expect("address");
        drop(listener);
        let result = connect(&ConnectAddress::Tcp(address), PATIENCE).expect("start").await;
        let error = result.err().expect("refused");
        assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
    });
}

#[test]
fn a_unix_socket_is_connected_to_and_used() {
    on_each_engine(|| async {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("socket");
        let unix = UnixListener::bind(&path).expect("listen");
        let listening = Listening::adopt(unix.into()).expect("adopt");
        let near = connect(&ConnectAddress::Unix(&path), PATIENCE).expect("start").await;
        let near = near.expect("connect");
        listening.readable().await.expect("a connection");
        let far = listening.accept().expect("accept").expect("a connection");
        assert!(far.peer.as_socket().is_none());
        near.send(b"ping".to_vec(), 0, true).await.0.expect("send");
        assert_eq!(far.socket.recv_any().await.expect("receive"), b"ping");
        drop(near);
        assert_eq!(far.socket.recv_any().await.expect("the end"), b"");

        let missing = folder.path().join("missing");
        let result = connect(&ConnectAddress::Unix(&missing), PATIENCE).expect("start").await;
        assert_eq!(result.err().expect("missing").raw_os_error(), Some(libc::ENOENT));
    });
}

#[test]
fn a_connect_to_a_full_unix_socket_ends_in_its_time() {
    on_each_engine(|| async {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("socket");
        let raw = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let listener = raw.expect("socket");
        listener.bind(&socket2::SockAddr::unix(&path).expect("path")).expect("bind");
        listener.listen(0).expect("listen");
        let _first = UnixStream::connect(&path).expect("the one place");
        let timeout = Duration::from_millis(100);
        let result = connect(&ConnectAddress::Unix(&path), timeout).expect("start").await;
        assert_eq!(result.err().expect("full").kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_connection_is_seen_and_taken_without_waiting() {
    on_each_engine(|| async {
        let (listening, address) = listening();
        assert!(!listening.is_readable().expect("poll"));
        assert!(listening.accept().expect("accept").is_none());
        let mut client = TcpStream::connect(address).expect("connect");
        assert!(listening.is_readable().expect("poll"));
        let accepted = listening.accept().expect("accept").expect("a connection");
        assert_eq!(accepted.peer.as_socket(), client.local_addr().ok());
        client.write_all(b"x").expect("write");
        assert_eq!(accepted.socket.recv_any().await.expect("receive"), b"x");
        assert!(listening.accept().expect("accept").is_none());
        // It can still wait for the next, and a wait is over only when there is one.
        let mut readable = listening.readable();
        assert!(is_pending(&mut readable));
        sleep(Instant::now() + Duration::from_millis(2)).await;
        assert!(is_pending(&mut readable));
        let _next = TcpStream::connect(address).expect("connect");
        readable.await.expect("a connection");
        assert!(listening.accept().expect("accept").is_some());
    });
}

#[test]
fn a_connection_that_is_not_taken_stays_in_the_backlog() {
    on_each_engine(|| async {
        let (listening, address) = listening();
        let mut client = TcpStream::connect(address).expect("connect");
        client.write_all(b"patient").expect("write");
        for _ in 0..3 {
            listening.readable().await.expect("a connection");
            sleep(Instant::now() + Duration::from_millis(2)).await;
        }
        let accepted = listening.accept().expect("accept").expect("a connection");
        assert_eq!(accepted.socket.recv_any().await.expect("receive"), b"patient");
    });
}

/// Whether operations on a socket are blocking for all that share its description.
fn blocks(socket: &socket2::Socket) -> bool {
    !socket.nonblocking().expect("flags")
}

#[test]
fn a_listening_socket_that_shards_share_never_blocks() {
    for one in engines() {
        for other in engines() {
            let folder = tempfile::tempdir().expect("folder");
            let unix = UnixListener::bind(folder.path().join("socket")).expect("listen");
            let shared: socket2::Socket = unix.try_clone().expect("clone").into();
            let watched: socket2::Socket = unix.into();
            run(one, 64, async {
                let own = shared.try_clone().expect("clone");
                let listening = Listening::adopt(own).expect("adopt");
                assert!(listening.accept().expect("accept").is_none());
                assert!(!blocks(&watched), "{one:?}");
            })
            .expect("run");
            run(other, 64, async {
                let listening = Listening::adopt(shared).expect("adopt");
                assert!(listening.accept().expect("accept").is_none());
                assert!(!blocks(&watched), "{one:?} and {other:?}");
            })
            .expect("run");
        }
    }
}

#[test]
fn socket_options_are_taken_by_the_kernel() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("socket");
    super::set_defer_accept(&socket, Duration::from_millis(1)).expect("TCP_DEFER_ACCEPT");
    super::set_fast_open(&socket, 16).expect("TCP_FASTOPEN");
    let limit = super::raise_descriptor_limit();
    assert!(limit > 0);
    assert_eq!(super::raise_descriptor_limit(), limit, "raised once and for all");
}
