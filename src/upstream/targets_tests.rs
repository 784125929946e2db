//! Which kept connections are used, how long they are kept, and the outcomes of a connect.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use super::connection::TargetConnection;
use super::*;
use crate::exchange::content::Along;
use crate::exchange::doubles::{Shard, file, play, play_on};
use crate::exchange::target::{
    Connecting as _, Draft as _, Lease as _, Receiving as _, Sending as _,
};
use crate::http::head::{HeadLimits, Method};
use crate::tls::target::ConnectionId;
use crate::transport::stream::Stream;
use crate::uring::simulated::{self, Answer, Knobs};
use crate::uring::{Shutdown, Socket};

/// Makes room, and counts how often it was asked to.
struct Makes {
    is_short: bool,
    asked: Cell<usize>,
}

impl Room for Makes {
    fn is_shortage(&self, _: &std::io::Error) -> bool {
        self.is_short
    }
    fn descriptor(&self) -> Pin<Box<dyn Future<Output = bool> + '_>> {
        self.asked.set(self.asked.get() + 1);
        Box::pin(async { true })
    }
}

/// Runs `main` with the targets of a shard.
fn with(group: &str, main: impl AsyncFnOnce(&Shard, &Targets<'_>)) {
    play(&file("", group, 1), async |shard| {
        let (pool, room) =
            (RefCell::new(Pool::new()), Makes { is_short: false, asked: Cell::new(0) });
        let sessions = RefCell::default();
        let targets = Targets {
            local: &shard.local,
            pool: &pool,
            sessions: &sessions,
            lines: &Lines::default(),
            room: &room,
        };
        main(shard, &targets).await;
        pool.borrow_mut().drain_all(Lease::close);
    });
}

/// A lease on which a request was answered with these fields, and the target's end of it.
async fn answered(fields: &str) -> (Lease, Socket) {
    let (near, far) = simulated::pair();
    let mut lease = Lease::new(TargetConnection::new(Stream::plain(near), ConnectionId::PLAIN));
    let mut draft = Draft::default();
    draft.append(Along { bytes: b"GET", end: None });
    lease.request(&mut draft, true);
    poll_fn(|cx| lease.parts().0.poll_sent(cx, None)).await.unwrap();
    let text = format!("HTTP/1.1 204 N\r\n{fields}\r\n");
    far.send(text.into_bytes(), 0, true).await.0.unwrap();
    let response = lease.parts().1;
    poll_fn(|cx| response.poll_head(cx)).await.unwrap();
    let limits = HeadLimits {
        request_line_bytes: 8192,
        field_line_bytes: 8192,
        head_bytes: 8192,
        field_count: 100,
    };
    assert_eq!(response.head(Method::Get, &limits, |head| head.status), Ok(Some(204)));
    response.along().unwrap();
    (lease, far)
}

/// Its only target, in clear.
fn to(shard: &Shard) -> Destination<'_> {
    Destination { target: shard.target(0), way: None }
}

/// Ends a connection that was made.
fn close<S>(connected: Connected<Leased<Lease, S>>) {
    match connected {
        Connected::Ready(Leased::Own(lease)) => lease.close(),
        Connected::Ready(Leased::Stream(_)) => panic!("a stream"),
        Connected::Shakes => panic!("a handshake in clear"),
    }
}

async fn lease(targets: &Targets<'_>, shard: &Shard) -> bool {
    let leased = targets.lease(to(shard), false).await;
    leased.map(|lease| targets.close(lease)).is_some()
}

fn counted(shard: &Shard, counter: Counter) -> u64 {
    shard.local.counters.snapshot().get(counter)
}

#[test]
fn a_lease_that_went_well_serves_another_request() {
    with("", async |shard, targets| {
        assert!(!lease(targets, shard).await);
        let (first, _far) = answered("").await;
        targets.give_back(Leased::Own(first), shard.target(0), &shard.group().options);
        assert!(lease(targets, shard).await);
        assert!(!lease(targets, shard).await, "it is out");
    });
}

#[test]
fn what_may_not_be_used_again_is_closed() {
    for (group, fields, stops) in [
        ("", "Connection: close\r\n", false),
        ("pool.idle_per_shard = 0", "", false),
        ("", "", true),
    ] {
        with(group, async |shard, targets| {
            if stops {
                shard.local.stop.begin();
            }
            let (first, far) = answered(fields).await;
            targets.give_back(Leased::Own(first), shard.target(0), &shard.group().options);
            assert!(targets.pool.borrow().is_empty());
            assert_eq!(counted(shard, Counter::TargetConnectionsClosed), 1);
            simulated::wait(Duration::from_millis(1)).await;
            assert_eq!(far.presence(), crate::uring::Presence::Ended);
        });
    }
}

#[test]
fn a_kept_connection_is_not_used_for_longer_than_either_side_says() {
    for (fields, last_ms) in [("", 3999), ("Keep-Alive: timeout=2\r\n", 1499)] {
        with("timeouts.idle = \"4s\"", async |shard, targets| {
            for (at_ms, is_used) in [(last_ms, true), (last_ms + 1, false)] {
                let began_ms = shard.local.clock.now_ms();
                let (first, _far) = answered(fields).await;
                targets.give_back(Leased::Own(first), shard.target(0), &shard.group().options);
                shard.at(began_ms + at_ms).await;
                assert_eq!(lease(targets, shard).await, is_used, "{fields:?} after {at_ms} ms");
                targets.pool.borrow_mut().drain_all(Lease::close);
            }
        });
    }
}

#[test]
fn connections_on_which_something_has_happened_are_closed_on_the_way_to_one_that_is_quiet() {
    with("", async |shard, targets| {
        let mut fars = Vec::new();
        for _ in 0..3 {
            let (first, far) = answered("").await;
            targets.give_back(Leased::Own(first), shard.target(0), &shard.group().options);
            fars.push(far);
        }
        fars[2].shutdown(Shutdown::Both);
        fars[1].abort();
        simulated::wait(Duration::from_millis(5)).await;
        assert!(lease(targets, shard).await);
        assert_eq!(counted(shard, Counter::TargetConnectionsClosedIdle), 2);
        assert!(targets.pool.borrow().is_empty());
    });
}

#[test]
fn a_connect_says_why_there_is_no_connection() {
    let address: SocketAddr = ([10, 0, 0, 1], 80).into();
    with("", async |shard, targets| {
        let connect = async || {
            let mut connecting = targets.connect(to(shard), &shard.group().options).await?;
            poll_fn(|cx| connecting.poll_connected(cx)).await.map(close)
        };
        assert_eq!(connect().await, Err(Failure::ConnectRefused));
        assert_eq!(counted(shard, Counter::TargetConnectionsOpened), 0);
        simulated::listen(address, || Answer::Accepted { after_us: 10 }, |_| {});
        assert_eq!(connect().await, Ok(()));
        assert_eq!(counted(shard, Counter::TargetConnectionsOpened), 1);
    });
}

#[test]
fn a_connect_that_is_aborted_fails_soon() {
    with("", async |shard, targets| {
        simulated::listen(([10, 0, 0, 1], 80).into(), || Answer::Silence, |_| {});
        let mut connecting = targets.connect(to(shard), &shard.group().options).await.unwrap();
        let is_pending = poll_fn(|cx| Poll::Ready(connecting.poll_connected(cx).is_pending()));
        assert!(is_pending.await);
        connecting.abort();
        let ended = poll_fn(|cx| connecting.poll_connected(cx)).await;
        assert_eq!(ended.map(close), Err(Failure::ConnectFailed));
    });
}

#[test]
fn who_finds_no_descriptor_waits_for_others_to_give_theirs_back_but_not_for_ever() {
    for (is_short, asked) in [(true, SHORTAGES_MAX), (false, 0)] {
        let knobs = Knobs { no_socket: 1000, ..Knobs::default() };
        play_on(knobs, &file("", "", 1), async |shard| {
            let pool = RefCell::new(Pool::new());
            let room = Makes { is_short, asked: Cell::new(0) };
            let sessions = RefCell::default();
            let targets = Targets {
                local: &shard.local,
                pool: &pool,
                sessions: &sessions,
                lines: &Lines::default(),
                room: &room,
            };
            let failed = targets.connect(to(shard), &shard.group().options).await.err();
            assert_eq!((failed, room.asked.get()), (Some(Failure::NoSocket), asked));
        });
    }
}
