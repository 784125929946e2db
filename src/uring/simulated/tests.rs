//! The simulated kernel behaves as the real one, as far as an exchange can tell.

use std::cell::RefCell;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Answer, Fault, Knobs, Left, Stage, listen, pair, run, spawn, wait};
use crate::uring::{ConnectAddress, Presence, Socket, connect};

#[test]
fn a_reset_behind_the_end_of_the_other_or_behind_unread_bytes_is_found_by_who_asks() {
    for (unread, ends) in [(0, false), (0, true), (9, false), (9, true)] {
        let ((), left) = run(1, Knobs::default(), async move {
            let (near, far) = pair();
            let _ = far.send(vec![1; unread], 0, true).await;
            if ends {
                far.shutdown(Shutdown::Write);
            }
            wait(Duration::from_millis(1)).await;
            let before = if ends { Presence::Ended } else { Presence::There };
            assert_eq!((near.presence(), near.is_reset()), (before, false));
            far.abort();
            wait(Duration::from_millis(1)).await;
            assert_eq!((near.presence(), near.is_reset()), (Presence::Reset, true));
            assert_eq!((far.presence(), far.is_reset()), (Presence::Reset, false));
            if ends {
                // Whoever receives finds what came before it, as a kernel has it.
                assert_eq!(receive_all(near).await, (vec![1; unread], true));
            }
        });
        clean(&left);
    }
}

#[test]
fn an_end_of_both_sides_is_no_reset() {
    let ((), left) = run(1, Knobs::default(), async move {
        let (near, far) = pair();
        far.shutdown(Shutdown::Write);
        near.shutdown(Shutdown::Write);
        wait(Duration::from_millis(1)).await;
        assert!(!near.is_reset() && !far.is_reset());
    });
    clean(&left);
}

const TARGET: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

fn unkind() -> Knobs {
    Knobs {
        late: 500,
        late_us: 2000,
        short_receive: 500,
        short_send: 500,
        no_buffer: 500,
        no_socket: 0,
        reset_destroys: 500,
        latency_us: 3000,
        room_bytes: 3000,
        target_room_bytes: 3000,
    }
}

async fn receive_all(socket: Socket) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    loop {
        let (result, buffer) = socket.recv(Vec::with_capacity(700)).await;
        match result {
            Ok(0) => return (all, true),
            Ok(_) => all.extend(buffer),
            Err(_) => return (all, false),
        }
    }
}

fn clean(left: &Left) {
    assert_eq!((left.operations, left.ends), (0, 0), "{left:?}");
    assert!(left.broken.is_empty(), "{:?}", left.broken);
}

#[test]
fn bytes_arrive_whole_in_order_and_with_their_end() {
    for seed in 0..100 {
        let sent: Vec<u8> = (0..50_000_u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let (received, left) = run(seed, unkind(), async move {
            let (near, far) = pair();
            spawn(async move {
                let (count, _) = near.send(sent, 0, true).await;
                assert_eq!(count.expect("sent"), 50_000);
                near.shutdown(Shutdown::Write);
            });
            receive_all(far).await
        });
        assert_eq!(received, (expected, true));
        clean(&left);
    }
}

#[test]
fn an_abort_is_no_clean_end_whatever_follows() {
    for seed in 0..100 {
        let ((_, is_clean), left) = run(seed, unkind(), async {
            let (near, far) = pair();
            spawn(async move {
                let _ = near.send(vec![1; 100], 0, true).await;
                near.abort();
                near.shutdown(Shutdown::Both);
            });
            receive_all(far).await
        });
        assert!(!is_clean, "seed {seed}");
        clean(&left);
    }
}

#[test]
fn closing_with_unread_bytes_is_a_reset() {
    let ((_, is_clean), _) = run(1, Knobs::default(), async {
        let (near, far) = pair();
        let _ = far.send(vec![1; 100], 0, true).await;
        wait(Duration::from_millis(1)).await;
        drop(near);
        receive_all(far).await
    });
    assert!(!is_clean);
}

#[test]
fn a_shut_down_ends_what_is_in_flight() {
    let (_, left) = run(1, Knobs { room_bytes: 10, ..Knobs::default() }, async {
        let (near, _far) = pair();
        let (receive, send) = (near.recv_any(), near.send(vec![0; 100], 0, true));
        near.shutdown(Shutdown::Both);
        assert_eq!(receive.await.expect("an end"), b"");
        // The peer's side may have taken some of it.
        assert!(send.await.0.unwrap_or(0) < 100);
    });
    clean(&left);
}

#[test]
fn a_connect_is_accepted_refused_or_ended_by_shutting_down() {
    let (_, left) = run(1, Knobs::default(), async {
        let taken = Rc::new(RefCell::new(None));
        let far = Rc::clone(&taken);
        listen(
            TARGET,
            || Answer::Accepted { after_us: 10 },
            move |socket| {
                *far.borrow_mut() = Some(socket);
            },
        );
        let to = ConnectAddress::Tcp(TARGET);
        let socket = connect(&to, Duration::ZERO).expect("made").await.expect("connected");
        let _ = socket.send(b"hello".to_vec(), 0, true).await;
        let far = taken.take().expect("accepted");
        assert_eq!(far.recv_any().await.expect("received"), b"hello");
        listen(TARGET, || Answer::Refused { after_us: 10 }, |_| ());
        assert!(connect(&to, Duration::ZERO).expect("made").await.is_err());
        listen(TARGET, || Answer::Silence, |_| ());
        let silent = connect(&to, Duration::ZERO).expect("made");
        silent.socket().shutdown(Shutdown::Both);
        assert!(silent.await.is_err());
    });
    clean(&left);
}

#[test]
fn time_is_virtual_and_a_seed_repeats_itself() {
    let began = Instant::now();
    let once = |seed| {
        run(seed, unkind(), async {
            let (near, far) = pair();
            spawn(async move {
                let _ = far.send(vec![3; 20_000], 0, true).await;
            });
            wait(Duration::from_secs(600)).await;
            receive_all(near).await;
            super::now_us()
        })
    };
    let ((first, left), (second, again)) = (once(7), once(7));
    assert_eq!((first, &left.faults), (second, &again.faults));
    assert_ne!(once(8).1.faults, again.faults);
    assert!(began.elapsed() < Duration::from_secs(60), "ten minutes were waited for");
}

#[test]
fn a_reset_is_told_once_to_who_sends_or_to_who_receives_and_the_other_finds_an_end() {
    for sends_first in [true, false] {
        let (told, left) = run(1, Knobs::default(), async move {
            let (near, far) = pair();
            far.abort();
            wait(Duration::from_millis(1)).await;
            let mut told = Vec::new();
            for sends in [sends_first, !sends_first] {
                let result = if sends {
                    near.send(vec![1], 0, true).await.0
                } else {
                    near.recv(Vec::with_capacity(100)).await.0
                };
                told.push((sends, result.map_err(|error| error.raw_os_error())));
            }
            told
        });
        let second = if sends_first { (false, Ok(0)) } else { (true, Err(Some(libc::EPIPE))) };
        assert_eq!(told, [(sends_first, Err(Some(libc::ECONNRESET))), second]);
        clean(&left);
    }
}

#[test]
fn who_half_closes_still_receives_and_may_send_nothing_more() {
    let ((sent, received), left) = run(1, unkind(), async {
        let (near, far) = pair();
        near.shutdown(Shutdown::Write);
        spawn(async move {
            let (asked, is_clean) = receive_all(far.clone()).await;
            assert_eq!((asked.len(), is_clean), (0, true));
            let _ = far.send(vec![2; 5000], 0, true).await;
            far.shutdown(Shutdown::Write);
        });
        let sent = near.send(vec![1], 0, true).await.0;
        (sent.map_err(|error| error.raw_os_error()), receive_all(near).await)
    });
    assert_eq!(sent, Err(Some(libc::EPIPE)));
    assert_eq!((received.0.len(), received.1), (5000, true));
    clean(&left);
}

#[test]
fn a_close_ends_behind_what_was_sent_before_it() {
    for seed in 0..50 {
        let ((received, is_clean), left) = run(seed, unkind(), async {
            let (near, far) = pair();
            spawn(async move {
                let _ = near.send(vec![1; 20_000], 0, true).await;
                drop(near);
            });
            receive_all(far).await
        });
        assert_eq!((received.len(), is_clean), (20_000, true), "seed {seed}");
        clean(&left);
    }
}

#[test]
fn who_sends_to_one_that_has_closed_is_told_by_a_reset() {
    let (told, left) = run(1, Knobs::default(), async {
        let (near, far) = pair();
        drop(far);
        wait(Duration::from_millis(1)).await;
        // The first send is taken: the peer's answer to it says that the connection is gone.
        let first = near.send(vec![1; 10], 0, true).await.0;
        wait(Duration::from_millis(1)).await;
        let second = near.send(vec![1; 10], 0, true).await.0;
        [first, second].map(|result| result.map_err(|error| error.kind()))
    });
    assert_eq!(told[0], Ok(10));
    assert!(told[1].is_err(), "{told:?}");
    clean(&left);
}

#[test]
fn a_send_is_short_unless_it_is_to_be_whole() {
    let knobs = Knobs { short_send: 1000, ..Knobs::default() };
    let (counts, left) = run(1, knobs, async {
        let (near, _far) = pair();
        let part = near.send(vec![1; 1000], 0, false).await.0;
        let whole = near.send(vec![1; 1000], 0, true).await.0;
        (part.unwrap_or(0), whole.unwrap_or(0))
    });
    assert!((1..1000).contains(&counts.0), "{counts:?}");
    assert_eq!(counts.1, 1000);
    clean(&left);
}

#[test]
fn who_finds_no_buffer_receives_into_his_own() {
    let knobs = Knobs { no_buffer: 1000, ..Knobs::default() };
    let (received, left) = run(1, knobs, async {
        let (near, far) = pair();
        let _ = far.send(b"hello".to_vec(), 0, true).await;
        near.recv_any().await
    });
    assert_eq!(received.expect("received"), b"hello");
    assert_eq!(left.faults.get(&(Fault::NoBuffer, Stage::Idle)), Some(&1), "{:?}", left.faults);
    clean(&left);
}

#[test]
fn a_connect_without_a_descriptor_fails_at_once() {
    let knobs = Knobs { no_socket: 1000, ..Knobs::default() };
    let (result, left) =
        run(1, knobs, async { connect(&ConnectAddress::Tcp(TARGET), Duration::ZERO).map(|_| ()) });
    let code = result.expect_err("no socket").raw_os_error();
    assert!(matches!(code, Some(libc::EMFILE | libc::ENOBUFS)), "{code:?}");
    clean(&left);
}
