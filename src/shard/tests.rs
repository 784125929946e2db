//! Shards that serve a protocol other than HTTP: a shard does not know what it serves.

use std::cell::Cell;
use std::future::Future;
use std::io::Read as _;
use std::net::TcpStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::start;
use crate::shard::TICK;
use crate::shard::admission::Admission;
use crate::shard::admitted::{Admitted, Served};
use crate::shard::local::{Shard, Shared};
use crate::shard::reclaim::hear_wishes;
use crate::shard::serve::{Accepted, Serve};
use crate::shard::server::Server;
use crate::snapshot::Bind;
use crate::time::alarms::{Alarm, Waits};
use crate::time::clock::NEVER;
use crate::uring::simulated::{self, Knobs};
use crate::uring::spawn;

/// Greets each client with the listener's name, and waits until the client has gone.
#[derive(Default)]
struct Greeter {
    /// Things with a descriptor that are kept for later.
    kept: Cell<usize>,
}

impl Serve for Greeter {
    type Origin = String;
    type Connection = Pin<Box<dyn Future<Output = ()>>>;

    fn origin(listener: &Arc<str>, _bound: &Bind) -> String {
        listener.to_string()
    }

    fn begin(self: &Rc<Self>, accepted: Accepted<String>) -> Option<Self::Connection> {
        if *accepted.origin == "nobody" {
            return None;
        }
        Some(Box::pin(async move {
            let greeting = format!("{}\n", accepted.origin).into_bytes();
            let _ = accepted.socket.send(greeting, 0, true).await;
            let _ = accepted.socket.recv(vec![0; 16]).await;
        }))
    }

    fn refuse(self: &Rc<Self>, accepted: Accepted<String>) -> impl Future<Output = ()> + 'static {
        let refusal = b"too many\n".to_vec();
        async move {
            let _ = accepted.socket.send(refusal, 0, true).await;
        }
    }

    fn counts_peers(&self, origin: &String) -> bool {
        origin != "shared"
    }

    fn tick(&self) {}

    fn stop_idle(&self) {}

    fn close_kept(&self) -> bool {
        let kept = self.kept.get();
        self.kept.set(kept.saturating_sub(1));
        kept > 0
    }

    fn end(&self) {}
}

const FILE: &str = "
    process = { shards = 1, engine = \"epoll\", connections_per_client = 1 }
    access_log = { output = \"off\" }
    [[listener]]
    name = \"own\"
    address = \"127.0.0.1:0\"
    forward = \"app\"
    [[listener]]
    name = \"shared\"
    address = \"127.0.0.2:0\"
    forward = \"app\"
    [[listener]]
    name = \"nobody\"
    address = \"127.0.0.3:0\"
    forward = \"app\"
    [[target_group]]
    name = \"app\"
    target = [{ address = \"127.0.0.1:9\" }]";

const PATIENCE: Duration = Duration::from_secs(60);

fn serve() -> Server {
    let start = start::from_text(FILE, "test.toml").unwrap();
    let snapshot = start.control.published().load_full();
    Server::start(&snapshot, &start.process, |_| Greeter::default()).unwrap()
}

/// Connects to a listener and returns its greeting.
fn connect(server: &Server, listener: &str) -> (TcpStream, String) {
    let addresses = server.handle().addresses();
    let (_, bound) = addresses.iter().find(|(name, _)| **name == *listener).unwrap();
    let Bind::Tcp(address) = bound else { panic!("{bound:?}") };
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut greeting = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|count| count > 0) && byte != *b"\n" {
        greeting.extend(byte);
    }
    (stream, String::from_utf8(greeting).unwrap())
}

#[test]
fn a_shard_counts_and_refuses_connections_of_whatever_it_serves() {
    let server = serve();
    let (first, greeting) = connect(&server, "own");
    assert_eq!(greeting, "own");
    assert_eq!(connect(&server, "own").1, "too many");
    drop(first);
    let deadline = Instant::now() + PATIENCE;
    while connect(&server, "own").1 != "own" {
        assert!(Instant::now() < deadline, "the place of a connection that has ended is not free");
    }
    assert!(server.shutdown(PATIENCE).is_finished);
}

#[test]
fn where_peers_are_not_the_clients_their_connections_are_not_counted() {
    let server = serve();
    let all = [0; 3].map(|_| connect(&server, "shared"));
    assert!(all.iter().all(|(_, greeting)| greeting == "shared"), "{all:?}");
    drop(all);
    assert!(server.shutdown(PATIENCE).is_finished);
}

#[test]
fn a_connection_that_nobody_serves_is_closed_and_leaves_nothing_behind() {
    let server = serve();
    for _ in 0..3 {
        assert_eq!(connect(&server, "nobody").1, "");
    }
    let stopped = server.handle();
    assert!(server.shutdown(PATIENCE).is_finished);
    assert_eq!(stopped.connections(), 0);
}

/// Shards of one process with so many places, all at work.
fn shards(count: usize, places: usize) -> Vec<(Rc<Shard>, Rc<Greeter>)> {
    let shared = Shared { admission: Arc::new(Admission::new(places, 0)), stop: Arc::default() };
    let shard = |index| {
        let shard = Shard::new(index, &shared, Arc::default());
        let serves = Rc::new(Greeter::default());
        spawn(hear_wishes(Rc::clone(&shard), Rc::clone(&serves)));
        let ticking = (Rc::clone(&shard), Rc::clone(&serves));
        spawn(async move {
            loop {
                simulated::wait(TICK).await;
                ticking.0.tick(&*ticking.1);
            }
        });
        (shard, serves)
    };
    (0..count).map(shard).collect()
}

/// A connection that ends when it is evicted.
fn hold(shard: &Rc<Shard>) -> Rc<Alarm> {
    let alarm = Rc::new(shard.time.alarms.alarm());
    let own = Rc::clone(&alarm);
    let admitted = Admitted::new(shard, shard.admission.reserve().unwrap());
    let ended = std::future::poll_fn(move |cx| {
        if own.poll_fired(cx) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    spawn(Served::new(Box::pin(ended), admitted));
    alarm
}

fn idle(shard: &Rc<Shard>) -> Rc<Alarm> {
    let alarm = hold(shard);
    alarm.set_waiting(NEVER, Waits::Idle);
    alarm
}

fn play<F: Future>(main: impl FnOnce() -> F) {
    simulated::run(0, Knobs::default(), async move { main().await });
}

#[test]
fn a_place_comes_from_what_is_idle_on_another_shard_when_all_here_is_busy() {
    play(|| async {
        let shards = shards(2, 2);
        let [(here, _), (there, _)] = &shards[..] else { panic!("two") };
        let (busy, other) = (hold(here), idle(there));
        assert!(here.place().await.is_some());
        assert!(other.is_evicted() && !busy.is_evicted());
        assert_eq!((here.connections.get(), there.connections.get()), (1, 0));
    });
}

#[test]
fn what_is_idle_here_closes_before_what_is_idle_elsewhere() {
    play(|| async {
        let shards = shards(2, 4);
        let [(here, _), (there, _)] = &shards[..] else { panic!("two") };
        let (own, other) = (idle(here), idle(there));
        assert!(here.descriptor().await);
        assert!(own.is_evicted() && !other.is_evicted());
    });
}

#[test]
fn a_descriptor_comes_first_from_what_is_kept_for_later() {
    play(|| async {
        let shards = shards(1, 2);
        let (shard, serves) = &shards[0];
        serves.kept.set(1);
        let connection = idle(shard);
        assert!(shard.descriptor().await);
        assert!(serves.kept.get() == 0 && !connection.is_evicted());
        assert!(shard.descriptor().await);
        assert!(connection.is_evicted());
        assert!(!shard.descriptor().await, "nothing is left to close");
    });
}

#[test]
fn who_waits_for_a_place_gets_that_of_a_connection_that_falls_silent_later() {
    play(|| async {
        let shards = shards(1, 1);
        let shard = Rc::clone(&shards[0].0);
        let connection = hold(&shard);
        let silent = Rc::clone(&connection);
        spawn(async move {
            simulated::wait(Duration::from_secs(3)).await;
            assert!(!silent.is_evicted(), "it was at work");
            silent.set_waiting(NEVER, Waits::Idle);
        });
        assert!(shard.place().await.is_some());
        assert!(connection.is_evicted());
    });
}
