//! Bytes and ends that come right behind bytes just received.

use super::*;

#[test]
fn an_end_or_a_reset_right_behind_the_last_bytes_is_seen_by_the_next_receive() {
    on_each_engine(|| async {
        for is_reset in [false, true] {
            for unix in [false, true] {
                let (socket, mut peer) = pair();
                let (mut sockets, mut peers) = unix_pairs(1);
                let (socket, first, peer): (Socket, _, Box<dyn std::any::Any>) = if unix {
                    let (socket, mut peer) = (sockets.remove(0), peers.remove(0));
                    peer.write_all(b"last").expect("write");
                    (socket, b"last", Box::new(peer))
                } else {
                    peer.write_all(b"last").expect("write");
                    let raw = socket2::SockRef::from(&peer);
                    raw.set_linger(is_reset.then_some(Duration::ZERO)).expect("linger");
                    (socket, b"last", Box::new(peer))
                };
                if is_reset {
                    // The bytes that have come are read first.
                    assert_eq!(socket.recv_any().await.expect("receive"), first);
                    drop(peer);
                    let ended = socket.recv_any().await;
                    assert!(ended.is_err() || ended.is_ok_and(|bytes| unix && bytes.is_empty()));
                } else {
                    drop(peer);
                    assert_eq!(socket.recv_any().await.expect("receive"), first);
                    assert_eq!(socket.recv_any().await.expect("an end"), b"");
                }
            }
        }
    });
}

#[test]
fn what_comes_piece_by_piece_is_received_piece_by_piece() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        for at in 0..20_u8 {
            let is_early = at % 2 == 0;
            if is_early {
                peer.write_all(&[at; 7]).expect("write");
            }
            let mut receive = socket.recv_any();
            if !is_early {
                assert!(is_pending(&mut receive));
                yield_now().await;
                peer.write_all(&[at; 7]).expect("write");
            }
            assert_eq!(receive.await.expect("receive"), [at; 7]);
        }
    });
}
