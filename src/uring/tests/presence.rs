//! Whether a peer is still there, asked of the kernel.

use crate::uring::Presence;
use crate::uring::receive;
use crate::uring::tests::*;

fn reset(peer: TcpStream) {
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
}

#[test]
fn a_peer_that_has_ended_or_reset_its_stream_is_told_also_behind_unread_bytes() {
    on_each_engine(|| async {
        for unread in [&b""[..], b"unread"] {
            let (socket, mut peer) = pair();
            peer.write_all(unread).expect("some bytes");
            assert_eq!(socket.presence(), Presence::There);
            peer.shutdown(Shutdown::Write).expect("a half-close");
            until("its end comes", || socket.presence() == Presence::Ended).await;
            reset(peer);
            until("its reset comes", || socket.presence() == Presence::Reset).await;
        }
    });
}

#[test]
fn an_end_of_either_side_or_of_both_is_no_reset_and_a_reset_is_found_behind_unread_bytes() {
    on_each_engine(|| async {
        for (unread, peer_ends) in [(&b""[..], false), (b"unread", false), (b"unread", true)] {
            let (socket, mut peer) = pair();
            peer.write_all(unread).expect("some bytes");
            assert!(!socket.is_reset());
            if peer_ends {
                peer.shutdown(Shutdown::Write).expect("a half-close");
                until("its end comes", || socket.presence() == Presence::Ended).await;
                assert!(!socket.is_reset());
            }
            reset(peer);
            until("its reset comes", || socket.is_reset()).await;
        }
        let (socket, mut peer) = pair();
        peer.write_all(b"unread").expect("some bytes");
        peer.shutdown(Shutdown::Write).expect("a half-close");
        socket.shutdown(Shutdown::Write);
        until("both have ended", || socket.presence() == Presence::Reset).await;
        assert!(!socket.is_reset());
        assert_eq!(socket.recv_any().await.expect("what was said before"), b"unread");
    });
}

#[test]
fn a_reset_is_found_that_a_receive_which_goes_on_was_told_of() {
    on_each_engine(|| async {
        let (socket, mut peer) = pair();
        for _ in 0..receive::CALM + 1 {
            peer.write_all(b"small").expect("write");
            assert_eq!(socket.recv_any().await.expect("receive"), b"small");
        }
        assert!(!socket.is_reset());
        reset(peer);
        until("its reset comes", || socket.is_reset()).await;
        assert!(socket.recv_any().await.is_err());
    });
}

#[test]
fn a_peer_on_a_unix_socket_that_has_ended_or_closed_is_told() {
    on_each_engine(|| async {
        let (sockets, peers) = unix_pairs(1);
        let (socket, peer) = (&sockets[0], &peers[0]);
        assert_eq!(socket.presence(), Presence::There);
        peer.shutdown(Shutdown::Write).expect("a half-close");
        assert_eq!(socket.presence(), Presence::Ended);
        drop(peers);
        assert_eq!(socket.presence(), Presence::Reset);
    });
}
