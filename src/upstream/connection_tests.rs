//! Whether a connection that was put away may be used again.

use std::future::poll_fn;
use std::time::Duration;

use super::*;
use crate::uring::simulated::{self, Knobs};
use crate::uring::{Presence, Shutdown, Socket};

fn play(main: impl AsyncFnOnce(TargetConnection, Socket)) {
    simulated::run(0, Knobs::default(), async {
        let (near, far) = simulated::pair();
        main(TargetConnection::new(Stream::plain(near), ConnectionId::PLAIN), far).await;
    });
}

async fn is_quiet(connection: &mut TargetConnection, surely: bool) -> bool {
    poll_fn(|cx| connection.poll_quiet(surely, cx)).await
}

#[test]
fn a_connection_on_which_nothing_has_happened_is_quiet_as_often_as_it_is_asked() {
    play(async |mut connection, _far| {
        for surely in [false, true, false] {
            assert!(is_quiet(&mut connection, surely).await);
            assert!(connection.is_awaited);
        }
        connection.close();
    });
}

#[test]
fn one_that_was_closed_or_reset_or_sent_stray_bytes_is_not() {
    for happens in 0..3 {
        play(async |mut connection, far| {
            match happens {
                0 => far.shutdown(Shutdown::Both),
                1 => far.abort(),
                _ => far.send(b"stray".to_vec(), 0, true).await.0.map(drop).unwrap(),
            }
            simulated::wait(Duration::from_millis(5)).await;
            assert!(!is_quiet(&mut connection, false).await, "{happens}");
            assert!(!connection.is_awaited);
            connection.close();
        });
    }
}

#[test]
fn a_connection_that_is_closed_ends_cleanly_and_awaits_its_receive() {
    let ((), left) = simulated::run(0, Knobs::default(), async {
        let (near, far) = simulated::pair();
        TargetConnection::new(Stream::plain(near), ConnectionId::PLAIN).close();
        simulated::wait(Duration::from_millis(5)).await;
        assert_eq!(far.presence(), Presence::Ended);
    });
    assert_eq!((left.operations, left.broken.len()), (0, 0), "{left:?}");
}
