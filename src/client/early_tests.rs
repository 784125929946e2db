//! What a receive that was submitted early tells, and what it leaves.

use std::time::Duration;

use crate::client::early::*;
use crate::uring::simulated::{self, Knobs};
use crate::uring::{Shutdown, Socket};

fn play<F: Future<Output = ()>>(main: impl FnOnce(Stream, Socket) -> F) {
    simulated::run(0, Knobs::default(), async move {
        let (near, far) = simulated::pair();
        main(Stream::plain(near), far).await;
    });
}

async fn poll(next: &mut NextReceive) -> bool {
    simulated::wait(Duration::from_millis(10)).await;
    poll_fn(|cx| Poll::Ready(next.poll_arrived(cx))).await
}

#[test]
fn bytes_that_arrive_early_are_taken_once() {
    play(|client, far| async move {
        let mut next = NextReceive::None;
        next.begin(&client);
        assert!(!poll(&mut next).await && !next.is_none());
        let (sent, _) = far.send(b"GET".to_vec(), 0, true).await;
        assert_eq!(sent.unwrap(), 3);
        assert!(poll(&mut next).await);
        assert_eq!(next.client(), Presence::There);
        assert_eq!(next.take_arrived().unwrap(), b"GET");
        assert!(next.is_none());
        assert_eq!(next.take_arrived().unwrap(), b"", "nothing is taken twice");
    });
}

#[test]
fn a_client_that_ends_is_told_from_one_that_resets() {
    play(|client, far| async move {
        let mut next = NextReceive::None;
        next.begin(&client);
        far.shutdown(Shutdown::Write);
        assert!(poll(&mut next).await);
        assert_eq!(next.client(), Presence::Ended);
    });
    play(|client, far| async move {
        let mut next = NextReceive::None;
        next.begin(&client);
        far.abort();
        assert!(poll(&mut next).await);
        assert_eq!(next.client(), Presence::Reset);
        assert!(next.take_arrived().is_err());
    });
}

#[test]
fn what_was_waited_for_in_vain_is_finished_and_its_bytes_are_those_that_came() {
    play(|client, far| async move {
        let mut late = NextReceive::Late(client.recv(Vec::with_capacity(64)));
        assert!(!poll(&mut late).await);
        assert_eq!(late.client(), Presence::There);
        let _ = far.send(b"late".to_vec(), 0, true).await;
        assert_eq!(late.finish().await.unwrap(), b"late");
    });
    play(|client, far| async move {
        // Bytes that stood in the buffer before do not belong to it.
        let mut buffer = Vec::with_capacity(64);
        buffer.extend_from_slice(b"before");
        let mut late = NextReceive::Late(client.recv(buffer));
        far.shutdown(Shutdown::Both);
        assert_eq!(late.finish().await.unwrap(), b"");
    });
}

#[test]
fn where_nothing_was_handed_over_nothing_is_waited_for() {
    play(|_client, _far| async move {
        let mut next = NextReceive::None;
        assert!(poll(&mut next).await);
        assert_eq!(next.client(), Presence::There);
        assert_eq!(next.finish().await.unwrap(), b"");
    });
}
