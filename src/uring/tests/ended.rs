//! Operations that are ended from this side: by shutting down, and by an abort.

use crate::uring::tests::*;

#[test]
fn shutting_down_ends_a_receive_in_flight() {
    on_each_engine(|| async {
        for how in [Shutdown::Read, Shutdown::Both] {
            let (socket, _peer) = pair();
            let mut receive = socket.recv(buffers::small());
            let (other, _other_peer) = pair();
            let mut receive_any = other.recv_any();
            assert!(is_pending(&mut receive) && is_pending(&mut receive_any));
            sleep(Instant::now() + Duration::from_millis(2)).await;
            socket.shutdown(how);
            other.shutdown(how);
            assert_eq!(receive.await.0.expect("the end"), 0);
            assert_eq!(receive_any.await.expect("the end"), b"");
        }
    });
}

#[test]
fn shutting_down_ends_a_send_in_flight() {
    on_each_engine(|| async {
        let (socket, _peer) = pair();
        // By itself the kernel would let the buffer grow with time.
        socket.raw().set_send_buffer_size(SMALL_BYTES).expect("a small buffer");
        let mut send = socket.send(pattern(LARGE_BYTES), 0, true);
        assert!(is_pending(&mut send));
        sleep(Instant::now() + Duration::from_millis(5)).await;
        assert!(is_pending(&mut send));
        socket.shutdown(Shutdown::Both);
        let (result, buffer) = send.await;
        assert!(!result.is_ok_and(|sent| sent == LARGE_BYTES));
        assert_eq!(buffer.len(), LARGE_BYTES);
    });
}

#[test]
fn shutting_down_one_direction_leaves_the_other() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        socket.shutdown(Shutdown::Write);
        assert_eq!(read(&mut peer).expect("the end"), 0);
        peer.write_all(b"still").expect("write");
        assert_eq!(socket.recv_any().await.expect("receive"), b"still");
    });
}

#[test]
fn closing_a_listener_ends_the_wait_for_its_connections() {
    on_each_engine(|| async {
        let folder = tempfile::tempdir().expect("folder");
        let unix = UnixListener::bind(folder.path().join("socket")).expect("listen");
        let unix = Listening::adopt(unix.into()).expect("adopt");
        for listening in [listening().0, unix] {
            let mut waits: Vec<_> = (0..4).map(|_| listening.readable()).collect();
            assert!(waits.iter_mut().all(is_pending));
            sleep(Instant::now() + Duration::from_millis(2)).await;
            listening.close();
            assert!(all(waits).await.iter().all(Result::is_err));
            // A Unix socket that is closed says for ever that it is readable.
            assert!(listening.readable().await.is_err());
            assert!(listening.is_readable().is_err());
        }
    });
}

#[test]
fn shutting_down_ends_a_connect_in_flight() {
    on_each_engine(|| async {
        let (_listener, address, _filling) = full_listener();
        let mut connecting =
            connect(&ConnectAddress::Tcp(address), PATIENCE).expect("start to connect");
        sleep(Instant::now() + Duration::from_millis(20)).await;
        assert!(is_pending(&mut connecting));
        connecting.socket().shutdown(Shutdown::Both);
        assert!(connecting.await.is_err());
    });
}

#[test]
fn an_abort_ends_a_receive_and_is_seen_as_a_reset() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        assert_eq!(socket.send(b"half".to_vec(), 0, true).await.0.expect("send"), 4);
        let mut receive = socket.recv_any();
        assert!(is_pending(&mut receive));
        sleep(Instant::now() + Duration::from_millis(2)).await;
        socket.abort();
        receive.await.expect_err("a clean end");
        assert_eq!(end_seen_by(&mut peer), io::ErrorKind::ConnectionReset);
        until_closed(socket).await;
    });
}

#[test]
fn an_abort_ends_a_send_in_flight() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        socket.raw().set_send_buffer_size(SMALL_BYTES).expect("a small buffer");
        let mut send = socket.send(pattern(LARGE_BYTES), 0, true);
        assert!(is_pending(&mut send));
        sleep(Instant::now() + Duration::from_millis(2)).await;
        socket.abort();
        assert!(send.await.0.map_or(true, |sent| sent < LARGE_BYTES));
        assert_eq!(end_seen_by(&mut peer), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn no_shutting_down_undoes_an_abort() {
    on_each_engine(|| async {
        for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
            let (socket, mut peer) = pair();
            let receive = socket.recv_any();
            socket.abort();
            socket.shutdown(how);
            socket.abort();
            // An operation that is dropped in flight shuts its socket down as well.
            drop(receive);
            drop(socket);
            assert_eq!(end_seen_by(&mut peer), io::ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn what_is_begun_after_an_abort_ends_at_once() {
    on_each_engine(|| async {
        let (socket, _peer) = pair();
        socket.abort();
        assert!(socket.recv_any().await.unwrap_or_default().is_empty());
        assert!(socket.recv(buffers::small()).await.0.map_or(true, |count| count == 0));
        socket.send(b"more".to_vec(), 0, true).await.0.expect_err("it was sent");
    });
}

#[test]
fn an_abort_of_a_unix_socket_ends_it() {
    on_each_engine(|| async {
        let (sockets, mut peers) = unix_pairs(1);
        let mut receive = sockets[0].recv_any();
        assert!(is_pending(&mut receive));
        sockets[0].abort();
        assert!(receive.await.unwrap_or_default().is_empty());
        assert_eq!(peers[0].read(&mut [0; 8]).expect("the end"), 0);
    });
}

/// How the connection ends for a peer that goes on reading; a clean end fails the test.
fn end_seen_by(peer: &mut TcpStream) -> io::ErrorKind {
    peer.read_to_end(&mut Vec::new()).expect_err("a clean end").kind()
}

// ---- connect and accept ----
