//! Whether a peer is still there, asked of the kernel.

use crate::uring::Presence;
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
