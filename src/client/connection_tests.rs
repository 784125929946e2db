//! The listener that a connection remembers, and when it ends behind a request.

use crate::client::clients::tests::{clients, snapshot};
use crate::client::connection::*;
use crate::client::serving::Serving;
use crate::exchange::caller::PortText;
use crate::uring::simulated::{self, Knobs};
use std::time::Duration;

fn play(main: impl FnOnce()) {
    simulated::run(0, Knobs::default(), async move { main() });
}

fn arrival(listener: &str) -> Arrival {
    let origin = Origin { listener_name: listener.into(), port: 80, port_text: PortText::new() };
    let (near, _far) = simulated::pair();
    Arrival { client: Stream::plain(near), origin: Rc::new(origin), peer: Peer::new(None) }
}

/// A connection that has just begun.
fn begun(clients: &Rc<Clients>, listener: &str) -> Connection {
    let mut connection = Connection::new(Rc::clone(clients), arrival(listener));
    let (view, position) = connection.view().unwrap();
    connection.comes_by(&view.listeners[position], position);
    connection
}

/// The listeners of the snapshot that the connection sees, and the position of its own.
fn seen(connection: &Connection) -> Option<(Vec<String>, usize)> {
    let (view, position) = connection.view()?;
    Some((view.listeners.iter().map(|one| one.name.to_string()).collect(), position))
}

fn may_continue(connection: &Connection) -> bool {
    let (view, position) = connection.view().unwrap();
    connection.may_continue(view.listeners[position].requests_per_connection)
}

#[test]
fn a_connection_finds_its_listener_wherever_a_reload_has_put_it() {
    play(|| {
        let (published, clients) = clients(snapshot(&[("a", ""), ("b", "")]));
        let connection = begun(&clients, "b");
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(seen(&connection), Some((names(&["a", "b"]), 1)));
        published.store(snapshot(&[("b", ""), ("a", "")]));
        assert_eq!(seen(&connection), Some((names(&["b", "a"]), 0)));
        published.store(snapshot(&[("a", "")]));
        assert_eq!(seen(&connection), Some((names(&["b", "a"]), 0)), "the last that had it");
    });
}

#[test]
fn a_connection_of_a_listener_that_nobody_knows_is_not_served() {
    play(|| {
        let (_, clients) = clients(snapshot(&[("a", "")]));
        assert!(Serving::begin(&clients, arrival("b")).is_none());
        assert!(Serving::begin(&clients, arrival("a")).is_some());
        assert_eq!(clients.local.alarms.count(), 0, "alarms of connections that are gone");
    });
}

#[test]
fn a_connection_ends_behind_as_many_requests_as_its_listener_allows() {
    play(|| {
        let limits = "limits = { requests_per_connection = 2 }";
        let (_, clients) = clients(snapshot(&[("a", limits), ("b", "")]));
        let (limited, other) = (begun(&clients, "a"), begun(&clients, "b"));
        for (requests, expected) in [(1, true), (2, false), (3, false)] {
            limited.requests.set(requests);
            other.requests.set(requests);
            assert_eq!(may_continue(&limited), expected, "{requests} requests");
            assert!(may_continue(&other));
        }
    });
}

#[test]
fn a_connection_ends_behind_its_request_when_the_process_stops() {
    play(|| {
        let (_, clients) = clients(snapshot(&[("a", "")]));
        let connection = begun(&clients, "a");
        assert!(may_continue(&connection));
        clients.local.stop.begin();
        assert!(!may_continue(&connection));
    });
}

#[test]
fn a_connection_ends_behind_its_request_when_its_listener_is_gone() {
    play(|| {
        let (published, clients) = clients(snapshot(&[("a", ""), ("b", "")]));
        let (stays, goes) = (begun(&clients, "a"), begun(&clients, "b"));
        published.store(snapshot(&[("a", "")]));
        assert!(may_continue(&stays) && !may_continue(&goes));
    });
}

#[test]
fn connections_that_began_together_grow_old_within_a_tenth_of_the_age_and_not_together() {
    play(|| {
        let age = |age: &str| format!("timeouts = {{ connection_age = {age:?} }}");
        let (_, clients) = clients(snapshot(&[("a", &age("100s")), ("b", &age("0s"))]));
        let aged: Vec<Connection> = (0..200).map(|_| begun(&clients, "a")).collect();
        let ages: Vec<Millis> = aged.iter().map(|one| one.expires_ms - one.opened_ms).collect();
        assert!(ages.iter().all(|age| (90_000..110_000).contains(age)), "{ages:?}");
        let (least, most) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
        assert!(most - least > 10_000, "from {least} to {most}");
        assert_eq!(begun(&clients, "b").expires_ms, NEVER);
    });
}

#[test]
fn a_connection_that_is_too_old_ends_behind_its_request() {
    simulated::run(0, Knobs::default(), async {
        let old = "timeouts = { connection_age = \"1s\" }";
        let (_, clients) = clients(snapshot(&[("a", old)]));
        let connection = begun(&clients, "a");
        simulated::wait(Duration::from_millis(800)).await;
        clients.local.clock.tick();
        assert!(may_continue(&connection));
        simulated::wait(Duration::from_millis(400)).await;
        clients.local.clock.tick();
        assert!(!may_continue(&connection));
    });
}
