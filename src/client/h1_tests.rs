//! The fate of a connection after each request, and of one on which nothing comes.

use std::cell::RefCell;
use std::net::SocketAddr;

use super::*;
use crate::client::clients::tests::{clients, snapshot};
use crate::client::connection::Arrival;
use crate::exchange::caller::{Origin, Peer, PortText};
use crate::shard::TICK;
use crate::uring::simulated::{self, Answer, Knobs};
use crate::uring::{Shutdown, Socket, spawn};

/// Answers `/ping` by itself; everything else goes to a target.
const RULE: &str = "[[listener.rule]]\npriority = 1\nwhen.path = [\"/ping\"]\n\
                    respond = { body = \"pong\" }";
const PING: &str = "GET /ping HTTP/1.1\r\nHost: h\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A connection that is being served, and its client's end.
struct World {
    clients: Rc<Clients>,
    client: Socket,
    next: Rc<RefCell<Option<Next>>>,
}

/// Runs `main` on a connection that has received `received`.
fn play(settings: &str, received: &str, main: impl AsyncFnOnce(&World)) {
    simulated::run(0, Knobs::default(), async {
        let (_, clients) = clients(snapshot(&[("web", &format!("{settings}\n{RULE}"))]));
        let (near, client) = simulated::pair();
        let next = Rc::new(RefCell::default());
        let (ended, connection) = (Rc::clone(&next), connection(&clients, near));
        let received = received.as_bytes().to_vec();
        spawn(async move { *ended.borrow_mut() = Some(serve(connection, received).await) });
        main(&World { clients, client, next }).await;
    });
}

fn connection(clients: &Rc<Clients>, near: Socket) -> Rc<Connection> {
    let origin = Origin { listener_name: "web".into(), port: 80, port_text: PortText::new() };
    let client = Stream::plain(near);
    let arrival = Arrival { client, origin: Rc::new(origin), peer: Peer::new(None) };
    Rc::new(Connection::new(Rc::clone(clients), arrival))
}

impl World {
    /// Lets this time pass, tick by tick.
    async fn pass(&self, time: Duration) {
        let local = &self.clients.local;
        let until_ms = local.clock.deadline(time);
        while local.clock.now_ms() < until_ms {
            simulated::wait(TICK).await;
            local.clock.tick();
            local.alarms.scan(local.clock.now_ms());
        }
    }

    async fn says(&self, text: &str) {
        self.client.send(text.into(), 0, true).await.0.unwrap();
    }

    /// Everything that has arrived at the client, and whether its end has.
    async fn arrived(&self) -> (String, bool) {
        simulated::wait(Duration::from_millis(1)).await;
        let (mut all, mut is_end) = (Vec::new(), false);
        while self.client.is_readable() && !is_end {
            let (result, buffer) = self.client.recv(Vec::with_capacity(4096)).await;
            match result {
                Ok(0) | Err(_) => is_end = true,
                Ok(_) => all.extend_from_slice(&buffer),
            }
        }
        (String::from_utf8(all).unwrap(), is_end)
    }

    fn is_closed(&self) -> bool {
        matches!(*self.next.borrow(), Some(Next::Close))
    }
}

/// Answers every connection's first request with `response`; `ends`: then ends the connection.
fn target(response: &'static str, ends: bool) {
    let address: SocketAddr = ([127, 0, 0, 1], 9).into();
    simulated::listen(
        address,
        || Answer::Accepted { after_us: 0 },
        move |far| {
            spawn(async move {
                let (received, _) = far.recv(Vec::with_capacity(4096)).await;
                received.unwrap();
                far.send(response.into(), 0, true).await.0.unwrap();
                if ends {
                    return far.shutdown(Shutdown::Write);
                }
                // Waits until limpet has let go.
                let _ = far.recv(Vec::with_capacity(16)).await;
            });
        },
    );
}

#[test]
fn requests_that_come_together_are_answered_in_their_order() {
    let missing = "OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n";
    play("", &format!("{PING}{missing}{PING}"), async |world| {
        let (text, is_end) = world.arrived().await;
        let statuses: Vec<&str> =
            text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
        assert_eq!(statuses, ["200", "204", "200"], "{text:?}");
        assert!(!is_end);
    });
}

#[test]
fn a_connection_on_which_nothing_comes_goes_back_to_sleep_after_a_second() {
    play("timeouts.keep_alive = \"60s\"", PING, async |world| {
        world.pass(Duration::from_millis(900)).await;
        assert!(world.next.borrow().is_none());
        world.says(PING).await;
        world.pass(Duration::from_millis(900)).await;
        assert!(world.next.borrow().is_none(), "it was not silent for so long");
        world.pass(Duration::from_millis(300)).await;
        let Some(Next::Wait { receive, idle_deadline }) = world.next.take() else {
            panic!("it does not sleep")
        };
        let left_ms = idle_deadline - world.clients.local.clock.now_ms();
        assert!((57_000..60_000).contains(&left_ms), "{left_ms} ms are left");
        assert_eq!(world.clients.local.counters.snapshot().requests(), 2);
        world.says("GET").await;
        assert_eq!(receive.await.unwrap(), b"GET", "what comes next wakes it");
    });
}

#[test]
fn a_client_that_wants_its_connection_closed_has_it_closed_behind_the_answer() {
    let closes = "GET /ping HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for (received, ends) in [(PING, false), (closes, true)] {
        play("", received, async |world| {
            let (text, is_end) = world.arrived().await;
            assert!(text.ends_with("pong"));
            assert_eq!((is_end, text.contains("Connection: close")), (ends, ends));
            world.client.shutdown(Shutdown::Write);
            world.pass(Duration::from_millis(100)).await;
            assert!(world.is_closed());
        });
    }
}

#[test]
fn a_connection_ends_behind_the_last_request_that_it_may_have() {
    let settings = "limits.requests_per_connection = 2";
    play(settings, &format!("{PING}{PING}{PING}"), async |world| {
        let (text, is_end) = world.arrived().await;
        assert_eq!(text.matches("pong").count(), 2, "{text:?}");
        assert!(is_end && text.matches("Connection: close").count() == 1);
    });
}

#[test]
fn a_head_that_is_not_whole_in_time_is_refused_and_one_that_has_not_begun_is_not_spoken_of() {
    for (received, status) in [("GET / HTTP/1.1\r\n", Some("408")), ("\r\n", None)] {
        play("timeouts.head = \"2s\"", received, async |world| {
            world.pass(Duration::from_millis(1900)).await;
            assert!(!world.client.is_readable());
            world.pass(Duration::from_millis(200)).await;
            let (text, is_end) = world.arrived().await;
            assert!(is_end, "{received:?}");
            assert_eq!(text.get(9..12), status, "{text:?}");
            world.client.shutdown(Shutdown::Both);
            world.pass(Duration::from_millis(100)).await;
            assert!(world.is_closed());
            let counted = world.clients.local.counters.snapshot().requests();
            assert_eq!(counted, u64::from(status.is_some()));
        });
    }
}

#[test]
fn a_client_that_ends_inside_a_head_is_recorded_and_one_that_ends_before_is_not() {
    for (received, counted) in [("GET / HT", 1), ("\r\n", 0)] {
        play("", received, async |world| {
            world.client.shutdown(Shutdown::Write);
            world.pass(Duration::from_millis(100)).await;
            assert!(world.is_closed());
            assert_eq!(world.arrived().await.0, "");
            assert_eq!(world.clients.local.counters.snapshot().requests(), counted);
        });
    }
}

#[test]
fn a_head_that_is_refused_is_the_last_thing_that_is_read() {
    play("", &format!("GET / HTTP/1.1\r\n\r\n{PING}"), async |world| {
        let (text, is_end) = world.arrived().await;
        assert!(text.starts_with("HTTP/1.1 400 ") && is_end, "{text:?}");
        assert!(!text.contains("pong"));
    });
}

#[test]
fn a_response_of_a_target_reaches_the_client_and_the_connection_goes_on() {
    play("", "", async |world| {
        target("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false);
        world.says(&format!("{GET}{PING}")).await;
        world.pass(Duration::from_millis(200)).await;
        let (text, is_end) = world.arrived().await;
        assert!(text.contains("\r\n\r\nhelloHTTP/1.1 200 OK\r\n"), "{text:?}");
        assert!(text.ends_with("pong") && !is_end);
    });
}

#[test]
fn a_response_that_is_cut_short_shows_its_client_a_failure() {
    play("", GET, async |world| {
        target("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", true);
        world.pass(Duration::from_millis(200)).await;
        assert_eq!(world.client.presence(), crate::uring::Presence::Reset);
        assert!(world.is_closed());
    });
}

#[test]
fn a_target_that_cannot_be_reached_is_told_of_and_the_connection_goes_on() {
    play("", &format!("{GET}{PING}"), async |world| {
        world.pass(Duration::from_millis(200)).await;
        let (text, is_end) = world.arrived().await;
        assert!(text.starts_with("HTTP/1.1 502 ") && text.ends_with("pong"), "{text:?}");
        assert!(!is_end);
    });
}

#[test]
fn a_connection_too_many_is_told_so_before_anything_is_read() {
    simulated::run(0, Knobs::default(), async {
        let (_, clients) = clients(snapshot(&[("web", "")]));
        let (near, client) = simulated::pair();
        let connection = connection(&clients, near);
        spawn(async move { refuse(&connection).await });
        let world = World { clients, client, next: Rc::default() };
        let (text, is_end) = world.arrived().await;
        assert!(text.starts_with("HTTP/1.1 429 ") && is_end, "{text:?}");
        assert!(text.contains("Connection: close\r\n"));
    });
}
