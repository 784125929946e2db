//! Receives that go on by themselves, where the engine has them; on the others the same is received one by one.

use std::io::Write as _;

use crate::uring::receive;
use crate::uring::tests::*;

/// A connection after enough small receives that one goes on by itself, on an engine that has those.
async fn calm_pair() -> (Socket, TcpStream) {
    let (socket, mut peer) = pair();
    for _ in 0..receive::CALM {
        peer.write_all(b"small").expect("write");
        assert_eq!(socket.recv_any().await.expect("receive"), b"small");
    }
    (socket, peer)
}

fn goes_on(socket: &Socket) -> bool {
    socket.0.flow.get().is_some()
}

async fn until_readable(socket: &Socket) {
    until("nothing arrives", || socket.is_readable()).await;
}

#[test]
fn a_calm_connection_is_received_from_by_one_operation() {
    on_each_engine(|| async {
        let (socket, mut peer) = calm_pair().await;
        let mut receive = socket.recv_any();
        assert_eq!(goes_on(&socket), crate::uring::engine::current() == Engine::IoUring);
        for round in 0..100_u8 {
            peer.write_all(&[round; 9]).expect("write");
            assert_eq!((&mut receive).await.expect("receive"), [round; 9]);
            receive = socket.recv_any();
            assert!(is_pending(&mut receive));
        }
        socket.shutdown(Shutdown::Both);
        assert_eq!(receive.await.expect("the end"), b"");
        until_closed(socket).await;
    });
}

#[test]
fn bytes_come_in_order_whichever_receives_ask_for_them() {
    on_each_engine(|| async {
        let (socket, mut peer) = calm_pair().await;
        let sent = pattern(600_000);
        let bytes = sent.clone();
        let writer = std::thread::spawn(move || {
            for (number, piece) in bytes.chunks(1500).enumerate() {
                peer.write_all(piece).expect("write");
                if number % 16 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut received = Vec::new();
        let mut round = 0_usize;
        loop {
            round += 1;
            // Now and then into a buffer with less room than has arrived.
            let bytes = if round.is_multiple_of(7) {
                let (result, buffer) = socket.recv(Vec::with_capacity(16 + round % 900)).await;
                result.expect("receive");
                buffer
            } else {
                socket.recv_any().await.expect("receive")
            };
            if bytes.is_empty() {
                break;
            }
            received.extend_from_slice(&bytes);
            if round.is_multiple_of(31) {
                yield_now().await;
            }
        }
        writer.join().expect("the writer");
        assert!(
            received == sent,
            "{} of {} bytes, or in another order",
            received.len(),
            sent.len()
        );
    });
}

#[test]
fn a_content_receive_takes_what_came_before_it_and_goes_on_alone() {
    on_each_engine(|| async {
        let (socket, mut peer) = calm_pair().await;
        let mut receive = socket.recv_any();
        peer.write_all(b"head").expect("write");
        assert_eq!((&mut receive).await.expect("receive"), b"head");
        peer.write_all(b"content").expect("write");
        until_readable(&socket).await;
        let mut content = Vec::new();
        while content.len() < 7 {
            let (result, piece) = socket.recv(Vec::with_capacity(TAIL_BYTES + 3)).await;
            result.expect("receive");
            content.extend_from_slice(&piece);
        }
        assert_eq!(content, b"content");
        let mut waits = socket.recv(buffers::small());
        until("what takes content shares its bytes", || {
            assert!(is_pending(&mut waits));
            !goes_on(&socket)
        })
        .await;
        peer.write_all(b"more").expect("write");
        assert_eq!(waits.await.1, b"more");
    });
}

#[test]
fn who_sends_on_meets_its_window() {
    on_each_engine(|| async {
        let (socket, mut peer) = calm_pair().await;
        socket.raw().set_recv_buffer_size(BUFFER_BYTES).expect("buffer");
        socket2::SockRef::from(&peer).set_send_buffer_size(BUFFER_BYTES).expect("buffer");
        let mut receive = socket.recv_any();
        peer.write_all(b"head").expect("write");
        assert_eq!((&mut receive).await.expect("receive"), b"head");
        peer.set_nonblocking(true).expect("nonblocking");
        let bytes = pattern(64 * 1024 * 1024);
        let mut sent = 0;
        let mut quiet = 0;
        while quiet < 20 {
            match peer.write(&bytes[sent..]) {
                Ok(count) => {
                    sent += count;
                    quiet = 0;
                }
                Err(_) => {
                    quiet += 1;
                    sleep(Instant::now() + Duration::from_millis(10)).await;
                }
            }
        }
        // 2 MiB are lent to the kernel, and before Linux 6.9 it does not stop sooner.
        assert!(sent < 3 * 1024 * 1024, "{sent} bytes were taken from a peer that nobody asked");
        drop(peer);
        let mut received = 0;
        loop {
            let piece = socket.recv_any().await.expect("receive");
            if piece.is_empty() {
                break;
            }
            assert!(piece[..] == bytes[received..received + piece.len()], "in order");
            received += piece.len();
            buffers::give_back(piece);
        }
        assert_eq!(received, sent);
    });
}

#[test]
fn what_has_arrived_unasked_makes_a_socket_readable() {
    on_each_engine(|| async {
        let (socket, mut peer) = calm_pair().await;
        let mut receive = socket.recv_any();
        peer.write_all(b"one").expect("write");
        assert_eq!((&mut receive).await.expect("receive"), b"one");
        assert!(!socket.is_readable());
        peer.write_all(b"two").expect("write");
        until_readable(&socket).await;
        // Here the engine has taken it already.
        yield_now().await;
        yield_now().await;
        assert!(socket.is_readable());
        assert_eq!(socket.recv_any().await.expect("receive"), b"two");
        assert!(!socket.is_readable());
        drop(peer);
        until_readable(&socket).await;
        assert_eq!(socket.recv_any().await.expect("receive"), b"");
        assert_eq!(socket.recv_any().await.expect("again"), b"");
    });
}

#[test]
fn a_reset_ends_a_receive_that_goes_on() {
    on_each_engine(|| async {
        let (socket, peer) = calm_pair().await;
        let mut receive = socket.recv_any();
        assert!(is_pending(&mut receive));
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("linger");
        drop(peer);
        let error = receive.await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        until_closed(socket).await;
    });
}

#[test]
fn a_socket_that_is_let_go_is_closed_though_its_receive_went_on() {
    on_each_engine(|| async {
        let (socket, mut peer) = calm_pair().await;
        let mut receive = socket.recv_any();
        peer.write_all(b"last").expect("write");
        assert_eq!((&mut receive).await.expect("receive"), b"last");
        drop((receive, socket));
        peer.set_nonblocking(true).expect("nonblocking");
        until("no clean end", || matches!(peer.read(&mut [0; 8]), Ok(0))).await;
    });
}

#[test]
fn more_arrivals_than_buffers_all_come_where_receives_go_on() {
    on_each_engine(|| async {
        let (sockets, mut peers) = unix_pairs(MANY);
        for round in 0..5_u8 {
            let receives: Vec<_> = sockets.iter().map(Socket::recv_any).collect();
            yield_now().await;
            for peer in &mut peers {
                peer.write_all(&[round; 5]).expect("write");
            }
            for received in all(receives).await {
                let bytes = received.expect("receive");
                assert_eq!(bytes, [round; 5]);
                buffers::give_back(bytes);
            }
        }
    });
}

#[test]
fn a_run_ends_though_receives_go_on() {
    for engine in engines() {
        let ended = run(engine, 64, async {
            let (socket, peer) = calm_pair().await;
            spawn(async move { drop(socket.recv_any().await) });
            let (unasked, mut sends) = calm_pair().await;
            assert!(is_pending(&mut unasked.recv_any()));
            yield_now().await;
            let (asked, answers) = calm_pair().await;
            let mut receive = asked.recv_any();
            assert!(is_pending(&mut receive));
            let _ = sends.write_all(b"nobody takes this");
            yield_now().await;
            drop((asked, receive));
            [peer, sends, answers]
        });
        for mut peer in ended.expect("a run") {
            // Unread bytes turn an end into a reset.
            assert!(matches!(read(&mut peer), Ok(0) | Err(_)), "a socket is still open");
        }
    }
}

#[test]
fn what_is_left_of_those_who_sent_on_gives_every_buffer_back() {
    on_each_engine(|| async {
        for _ in 0..20 {
            let mut pairs = Vec::new();
            for _ in 0..8 {
                let (socket, mut peer) = calm_pair().await;
                let mut receive = socket.recv_any();
                peer.write_all(b"head").expect("write");
                assert_eq!((&mut receive).await.expect("receive"), b"head");
                peer.set_nonblocking(true).expect("nonblocking");
                let _ = peer.write(&pattern(200_000));
                yield_now().await;
                pairs.push((socket, peer));
            }
            yield_now().await;
        }
        // More slots than there are were used up and let go; one receive still finds its buffer.
        let (socket, mut peer) = pair();
        peer.write_all(b"x").expect("write");
        let found = socket.recv_any().await.expect("receive");
        assert_eq!((found.len(), found.capacity()), (1, SMALL_BYTES));
        if crate::uring::engine::current() == Engine::IoUring {
            let provided = ring::recv_provided(&socket);
            peer.write_all(b"y").expect("write");
            assert_eq!(provided.await.expect("a buffer of the ring"), b"y");
        }
    });
}
