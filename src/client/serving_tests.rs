//! How long a connection sleeps, what ends its sleep, and its cost meanwhile.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::client::clients::tests::{clients, snapshot};
use crate::client::serving::*;
use crate::exchange::caller::{Origin, Peer, PortText};
use crate::shard::TICK;
use crate::shard::admitted::Served;
use crate::transport::stream::Stream;
use crate::uring::simulated::{self, Knobs};
use crate::uring::{Shutdown, Socket, spawn};

fn future_bytes<A, F>(_: impl FnOnce(Rc<Connection>, A) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn a_sleeping_connection_is_small() {
    let asleep = size_of::<Served<Serving>>() + size_of::<Connection>();
    let busy = future_bytes(h1::serve);
    println!("a connection's task: {asleep} bytes asleep, {busy} more while busy");
    assert!(asleep <= 192, "{asleep} bytes");
    assert!(busy <= 8192, "{busy} bytes");
}

/// A connection that has just begun, as its client and its shard see it.
struct Begun {
    clients: Rc<Clients>,
    client: Socket,
    is_over: Rc<Cell<bool>>,
}

impl Begun {
    fn at(clients: Rc<Clients>) -> Begun {
        let (near, client) = simulated::pair();
        let origin =
            Origin { listener_name: Arc::from("web"), port: 80, port_text: PortText::new() };
        let stream = Stream::plain(near);
        let arrival = Arrival { client: stream, origin: Rc::new(origin), peer: Peer::new(None) };
        let serving = Serving::begin(&clients, arrival).unwrap();
        let is_over = Rc::new(Cell::new(false));
        let over = Rc::clone(&is_over);
        spawn(async move {
            serving.await;
            over.set(true);
        });
        Begun { clients, client, is_over }
    }

    /// After how many milliseconds it is over, to a tick; `None` when it is not within a minute.
    async fn over_after_ms(&self) -> Option<u128> {
        let mut waited = Duration::ZERO;
        while !self.is_over.get() {
            if waited > Duration::from_secs(60) {
                return None;
            }
            simulated::wait(TICK).await;
            waited += TICK;
            self.clients.local.clock.tick();
            self.clients.local.alarms.scan(self.clients.local.clock.now_ms());
        }
        Some(waited.as_millis())
    }
}

/// Clients whose heads may take ten seconds.
fn patient(more: &str) -> Rc<Clients> {
    let settings = format!("timeouts = {{ head = \"10s\" }}\n{more}");
    clients(snapshot(&[("web", &settings)])).1
}

fn play<F: Future<Output = ()>>(main: impl FnOnce() -> F) {
    simulated::run(0, Knobs::default(), async move { main().await });
}

#[test]
fn a_client_that_says_nothing_has_as_long_as_for_a_head() {
    for setting in ["", "proxy_protocol = \"any\"\nproxy_protocol_from = \"any\""] {
        play(|| async {
            let over_ms = Begun::at(patient(setting)).over_after_ms().await;
            assert!(over_ms.is_some_and(|ms| (10_000..10_200).contains(&ms)), "{over_ms:?}");
        });
    }
}

#[test]
fn a_client_that_comes_while_the_process_stops_has_a_second() {
    for setting in ["", "proxy_protocol = \"any\"\nproxy_protocol_from = \"any\""] {
        play(|| async {
            let clients = patient(setting);
            clients.local.stop.begin();
            let over_ms = Begun::at(clients).over_after_ms().await;
            assert!(over_ms.is_some_and(|ms| (1000..1200).contains(&ms)), "{over_ms:?}");
        });
    }
}

#[test]
fn a_client_that_ends_its_connection_is_not_waited_for() {
    play(|| async {
        let begun = Begun::at(patient(""));
        begun.client.shutdown(Shutdown::Both);
        let over_ms = begun.over_after_ms().await;
        assert!(over_ms.is_some_and(|ms| ms < 200), "{over_ms:?}");
    });
}

#[test]
fn a_connection_that_others_need_the_room_of_ends_in_its_sleep() {
    play(|| async {
        let begun = Begun::at(patient(""));
        let alarms = &begun.clients.local.alarms;
        assert!(alarms.longest_waiting(1).is_empty(), "it has a second for its first request");
        simulated::wait(Duration::from_secs(2)).await;
        begun.clients.local.clock.tick();
        alarms.scan(begun.clients.local.clock.now_ms());
        let longest = alarms.longest_waiting(1);
        assert!(alarms.evict(longest.first().expect("it sleeps")));
        let over_ms = begun.over_after_ms().await;
        assert!(over_ms.is_some_and(|ms| ms < 200), "{over_ms:?}");
    });
}
