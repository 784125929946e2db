//! In which order a tunnel's end delivers early and later bytes, and how it ends.

use std::future::poll_fn;
use std::time::Duration;

use super::*;
use crate::exchange::tunnel::Side as _;
use crate::uring::simulated::{self, Knobs};
use crate::uring::{Presence, Shutdown, Socket};

fn play(main: impl AsyncFnOnce(Stream, &Socket)) {
    simulated::run(0, Knobs::default(), async {
        let (near, far) = simulated::pair();
        main(Stream::plain(near), &far).await;
    });
}

async fn receive(reader: &mut PlainReader, is_bulk: bool) -> io::Result<Vec<u8>> {
    poll_fn(|cx| reader.poll_receive(is_bulk, cx)).await
}

async fn says(far: &Socket, text: &str) {
    far.send(text.into(), 0, true).await.0.unwrap();
    simulated::wait(Duration::from_millis(1)).await;
}

#[test]
fn what_came_before_the_tunnel_comes_first() {
    play(async |stream, far| {
        let first = First::InFlight(stream.recv_any());
        says(far, "second").await;
        let (mut reader, _) = Plain::new(stream, b"first".to_vec(), first).split();
        assert_eq!(receive(&mut reader, false).await.unwrap(), b"first");
        assert_eq!(receive(&mut reader, true).await.unwrap(), b"second");
        says(far, "third").await;
        assert_eq!(receive(&mut reader, true).await.unwrap(), b"third");
    });
}

#[test]
fn what_the_receive_before_the_tunnel_has_brought_is_given_once() {
    play(async |stream, far| {
        let first = First::Arrived(Ok(b"arrived".to_vec()));
        let (mut reader, _) = Plain::new(stream, Vec::new(), first).split();
        assert_eq!(receive(&mut reader, false).await.unwrap(), b"arrived");
        says(far, "then").await;
        assert_eq!(receive(&mut reader, false).await.unwrap(), b"then");
    });
    play(async |stream, _| {
        let first = First::Arrived(Err(io::ErrorKind::ConnectionReset.into()));
        let (mut reader, _) = Plain::new(stream, Vec::new(), first).split();
        assert!(receive(&mut reader, false).await.is_err());
    });
}

#[test]
fn the_end_of_the_stream_is_no_bytes_and_a_reset_an_error() {
    for is_bulk in [false, true] {
        play(async |stream, far| {
            let (mut reader, _) = Plain::new(stream, Vec::new(), First::None).split();
            far.shutdown(Shutdown::Write);
            assert_eq!(receive(&mut reader, is_bulk).await.unwrap(), b"");
        });
        play(async |stream, far| {
            let (mut reader, _) = Plain::new(stream, Vec::new(), First::None).split();
            far.abort();
            assert!(receive(&mut reader, is_bulk).await.is_err());
        });
    }
}

#[test]
fn a_receive_that_is_made_to_end_ends_as_at_the_end_of_the_stream() {
    play(async |stream, _far| {
        let (mut reader, _) = Plain::new(stream, Vec::new(), First::None).split();
        let is_waiting = poll_fn(|cx| Poll::Ready(reader.poll_receive(false, cx).is_pending()));
        assert!(is_waiting.await);
        reader.end_receiving();
        assert_eq!(receive(&mut reader, false).await.unwrap(), b"");
    });
}

#[test]
fn a_writer_tells_of_an_end_or_of_a_failure() {
    for (ends, presence) in [(true, Presence::Ended), (false, Presence::Reset)] {
        play(async |stream, far| {
            let (_reader, writer) = Plain::new(stream, Vec::new(), First::None).split();
            if ends {
                writer.end_sending();
            } else {
                writer.abort();
            }
            simulated::wait(Duration::from_millis(1)).await;
            assert_eq!(far.presence(), presence);
        });
    }
}
