//! The simulated kernel keeps to what the real one does, as far as an exchange can tell.

use std::cell::RefCell;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Answer, Knobs, Left, listen, pair, run, spawn, wait};
use crate::uring::{ConnectAddress, Socket, connect};

const TARGET: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

fn unkind() -> Knobs {
    Knobs {
        late: 500,
        late_us: 2000,
        short_receive: 500,
        short_send: 500,
        reset_destroys: 500,
        latency_us: 3000,
        room_bytes: 3000,
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
                let _ = near.send(vec![3; 20_000], 0, true).await;
            });
            wait(Duration::from_secs(600)).await;
            receive_all(far).await;
            super::now_us()
        })
    };
    let ((first, left), (second, again)) = (once(7), once(7));
    assert_eq!((first, left.happened), (second, again.happened));
    assert_ne!(once(8).1.happened, again.happened);
    assert!(began.elapsed() < Duration::from_secs(60), "ten minutes were waited for");
}
