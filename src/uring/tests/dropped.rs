//! Operations that are dropped in flight: the data that they hold, and when it is freed.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use io_uring::{opcode, types};

use crate::uring::tests::*;

#[test]
fn an_operation_dropped_in_flight_shuts_its_socket_down_and_lets_it_go() {
    on_each_engine(|| async {
        for kind in 0..3 {
            let (socket, mut peer) = pair();
            match kind {
                0 => {
                    let mut receive = socket.recv(buffers::small());
                    assert!(is_pending(&mut receive));
                    sleep(Instant::now() + Duration::from_millis(2)).await;
                }
                1 => {
                    let mut receive = socket.recv_any();
                    assert!(is_pending(&mut receive));
                    sleep(Instant::now() + Duration::from_millis(2)).await;
                }
                _ => {
                    let mut send = socket.send(pattern(LARGE_BYTES), 0, true);
                    assert!(is_pending(&mut send));
                    sleep(Instant::now() + Duration::from_millis(2)).await;
                }
            }
            until_closed(socket).await;
            let mut read = Vec::new();
            // The end comes behind the bytes that were sent before it.
            let _ = peer.read_to_end(&mut read);
            assert!(read.len() < LARGE_BYTES, "kind {kind}");
            assert_eq!(read.is_empty(), kind != 2);
        }
    });
}

#[test]
fn an_operation_dropped_before_it_was_polled_ends_too() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        drop(socket.recv_any());
        until_closed(socket).await;
        assert_eq!(read(&mut peer).expect("the end"), 0);
    });
}

#[test]
fn a_connect_dropped_in_flight_lets_its_socket_go() {
    on_each_engine(|| async {
        let (_listener, address, _filling) = full_listener();
        let mut connecting =
            connect(&ConnectAddress::Tcp(address), PATIENCE).expect("start to connect");
        sleep(Instant::now() + Duration::from_millis(20)).await;
        assert!(is_pending(&mut connecting));
        let socket = connecting.socket();
        drop(connecting);
        until_closed(socket).await;
    });
}

#[test]
fn a_wait_for_connections_dropped_in_flight_keeps_no_listener_open() {
    on_each_engine(|| async {
        let (listening, address) = listening();
        let waits: Vec<_> = (0..3).map(|_| listening.readable()).collect();
        let mut clients: Vec<_> =
            (0..2).map(|_| TcpStream::connect(address).expect("connect")).collect();
        sleep(Instant::now() + Duration::from_millis(10)).await;
        drop(waits);
        drop(listening);
        for client in &mut clients {
            client.set_read_timeout(Some(PATIENCE / 2)).expect("timeout");
            yield_now().await;
            sleep(Instant::now() + Duration::from_millis(10)).await;
            match read(client) {
                Ok(count) => assert_eq!(count, 0),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
            }
        }
    });
}

#[test]
fn a_run_ends_with_operations_in_flight() {
    let peers: Rc<Cell<Vec<TcpStream>>> = Rc::default();
    let weak: Rc<Cell<Vec<Weak<Inner>>>> = Rc::default();
    let test = || async {
        let (listening, address) = listening();
        let readable = listening.readable();
        let mut client = TcpStream::connect(address).expect("connect");
        client.write_all(b"never looked at").expect("write");
        let (receiving, a) = pair();
        let (receiving_any, b) = pair();
        let (sending, c) = pair();
        let held = [&receiving, &receiving_any, &sending].map(|socket| Rc::downgrade(&socket.0));
        weak.set(held.to_vec());
        let (_listener, full, _filling) = full_listener();
        let connecting = connect(&ConnectAddress::Tcp(full), PATIENCE).expect("start to connect");
        // In tasks that outlive the main future, polled once.
        spawn(async move { drop(receiving.recv(buffers::small()).await) });
        spawn(async move { drop(receiving_any.recv_any().await) });
        let large = pattern(LARGE_BYTES);
        spawn(async move { drop(sending.send(large, 0, true).await) });
        spawn(async move { drop(connecting.await) });
        // And in a task that never polls its operation.
        spawn(async move {
            let _readable = readable;
            std::future::pending::<()>().await;
        });
        sleep(Instant::now() + Duration::from_millis(20)).await;
        // Bytes that come at the very end.
        for mut peer in [&a, &b] {
            peer.write_all(&pattern(3000)).expect("write");
        }
        for peer in [&a, &b, &c, &client] {
            peer.set_read_timeout(Some(PATIENCE)).expect("timeout");
        }
        peers.set(vec![a, b, c, client]);
    };
    for engine in engines() {
        let began = Instant::now();
        run(engine, 64, in_time(test())).expect("run");
        assert!(began.elapsed() < PATIENCE / 2, "{engine:?} ended late");
        assert!(weak.take().iter().all(|socket| socket.strong_count() == 0), "{engine:?}");
        for mut peer in peers.take() {
            let mut read = Vec::new();
            // An end or a reset, but not a connection that stays open.
            if let Err(error) = peer.read_to_end(&mut read) {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{engine:?}");
            }
        }
    }
}

#[test]
fn a_panic_goes_through_with_operations_in_flight() {
    for engine in engines() {
        let ended = std::panic::catch_unwind(|| {
            let _ = run(engine, 64, async {
                let (socket, _peer) = pair();
                spawn(async move { drop(socket.recv_any().await) });
                let (socket, _peer) = pair();
                let mut receive = socket.recv(buffers::small());
                assert!(is_pending(&mut receive));
                yield_now().await;
                std::panic::panic_any("on purpose");
            });
        });
        assert_eq!(ended.expect_err("a panic").downcast_ref(), Some(&"on purpose"));
        assert_eq!(run(engine, 64, async { 7 }).expect("run again"), 7);
    }
}

/// Data that an operation holds, and whether it was freed.
struct Watched {
    _buffer: Vec<u8>,
    _sockets: (UnixStream, UnixStream),
    freed: Arc<AtomicUsize>,
}

impl Operation for Watched {
    type Output = ();
    fn complete(self, _: Completion) {}
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.freed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A receive for which no bytes come.
fn watched(freed: &Arc<AtomicUsize>) -> ring::InFlight<Watched> {
    let (mut buffer, sockets) = (Vec::with_capacity(64), UnixStream::pair().expect("sockets"));
    let (socket, room) = (types::Fd(sockets.0.as_raw_fd()), buffer.spare_capacity_mut());
    let entry = opcode::Recv::new(socket, room.as_mut_ptr().cast(), room.len() as u32).build();
    let freed = Arc::clone(freed);
    ring::submit(Watched { _buffer: buffer, _sockets: sockets, freed }, entry)
}

/// Tells a run of one test that it is alone in its process, where it may replace descriptors.
const ALONE: &str = "LIMPET_TEST_ALONE";

#[test]
fn what_the_kernel_may_still_write_to_is_never_freed() {
    if std::env::var_os(ALONE).is_some() {
        return lose_operations();
    }
    if probe(Engine::IoUring).is_err() {
        println!("not tested: io_uring is refused here");
        return;
    }
    let name = "uring::tests::dropped::what_the_kernel_may_still_write_to_is_never_freed";
    let mut alone = std::process::Command::new(std::env::current_exe().expect("this program"));
    let ended = alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().expect("run");
    assert!(ended.status.success(), "{ended:?}");
}

/// Ends a run, and its thread, whose operations can neither be cancelled nor awaited.
fn lose_operations() {
    let freed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&freed);
    let thread = std::thread::spawn(move || {
        let outlives: Cell<Option<ring::InFlight<Watched>>> = Cell::default();
        let ended = run(Engine::IoUring, 64, async {
            drop(watched(&counted));
            let in_a_task = watched(&counted);
            spawn(in_a_task);
            outlives.set(Some(watched(&counted)));
            // The kernel has taken all of them.
            sleep(Instant::now() + Duration::from_millis(2)).await;
            let rings = tokio_ring::ring_descriptors();
            assert_eq!(rings.len(), 1);
            // The descriptor is replaced by one that is no ring and cannot be entered.
            let other = std::fs::File::open("/dev/null").expect("open");
            for ring in rings {
                // SAFETY: takes no pointers; the ring's owner closes what has its number now.
                assert_eq!(unsafe { libc::dup2(other.as_raw_fd(), ring) }, ring);
            }
            std::future::pending::<()>().await;
        });
        assert!(ended.is_err(), "{ended:?}");
        drop(outlives);
        // The thread can go on, and does not confuse a new operation with a lost one.
        let freed_before = counted.load(Ordering::Relaxed);
        let again = run(Engine::IoUring, 64, async {
            let dropped = watched(&counted);
            sleep(Instant::now() + Duration::from_millis(2)).await;
            drop(dropped);
        });
        assert!(again.is_ok(), "{again:?}");
        assert_eq!((freed_before, counted.load(Ordering::Relaxed)), (0, 1));
    });
    thread.join().expect("the thread");
    assert_eq!(freed.load(Ordering::Relaxed), 1);
}

#[test]
fn a_task_that_panics_while_it_is_dropped_keeps_no_other_from_its_end() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            std::panic::panic_any("on purpose");
        }
    }
    on_io_uring(|| async {
        let (socket, _peer) = pair();
        spawn(async move {
            let _panics = Panics;
            std::future::pending::<()>().await;
        });
        spawn(async move { drop(socket.recv(buffers::small()).await) });
        yield_now().await;
    });
}
