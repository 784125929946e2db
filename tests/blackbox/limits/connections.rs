//! How many requests a connection carries, and how many connections there are.

use super::with;
use crate::support::kernel::engines;
use crate::support::{Client, Limpet, Target, config, poll};

#[test]
fn a_connection_ends_after_its_number_of_requests() {
    let (limpet, _target) = with(&[("limits.requests_per_connection", 3.into())]);
    let mut client = limpet.client();
    for _ in 0..2 {
        assert_ne!(client.get("/").field("connection"), Some("close"));
    }
    assert_eq!(client.get("/").field("connection"), Some("close"));
    client.assert_closed();
}

#[test]
fn a_request_past_the_number_is_not_forwarded() {
    let (limpet, target) = with(&[("limits.requests_per_connection", 2.into())]);
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n".repeat(4));
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 200);
    client.assert_closed();
    assert_eq!(target.request_count(), 2);
}

#[test]
fn a_client_address_over_its_connections_gets_a_429() {
    let target = Target::echo("a");
    let limpet = config().process("connections_per_client", 2).serving(&target).start();
    let (mut one, mut two) = (limpet.client(), limpet.client());
    assert_eq!((one.get("/").status, two.get("/").status), (200, 200));
    let mut three = limpet.client();
    let refused = three.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n").response();
    assert_eq!(refused.status, 429);
    three.assert_closed();
    assert_eq!(target.request_count(), 2);
    drop(one);
    assert!(admitted(&limpet), "the place of a closed connection is free again");
    assert_eq!(two.get("/").status, 200);
}

/// Whether limpet comes to admit a further connection, as one that closed is noticed.
fn admitted(limpet: &Limpet) -> bool {
    poll(|| {
        let status = Client::try_connect(limpet.address())?.try_get()?;
        (status == 200).then_some(())
    })
    .is_some()
}

#[test]
fn a_connection_over_the_process_limit_waits_until_another_one_ends() {
    let target = Target::echo("a");
    let limpet = config().process("connections", 2).serving(&target).start();
    let (mut one, mut two) = (limpet.client(), limpet.client());
    // Both are in the middle of a request.
    for client in [&mut one, &mut two] {
        client.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 2\r\n\r\n1");
    }
    assert!(poll(|| (target.connection_count() == 2).then_some(())).is_some());
    let mut third = limpet.client();
    third.send("GET /third HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    assert_eq!(two.send("2").response().status, 200);
    drop(two);
    assert_eq!(third.response().status, 200);
    assert_eq!(target.requests().last().unwrap().target, "/third");
    assert_eq!(one.send("2").response().status, 200);
}

#[test]
fn the_connection_limit_holds_across_shards() {
    let target = Target::echo("a");
    let limpet =
        config().process("shards", 4).process("connections_per_client", 4).serving(&target).start();
    let mut clients: Vec<Client> =
        (0..12).filter_map(|_| Client::try_connect(limpet.address())).collect();
    let good = clients.iter_mut().filter_map(Client::try_get).filter(|&status| status == 200);
    assert_eq!(good.count(), 4);
}

#[test]
fn whoever_finds_the_process_full_waits_in_the_backlog_and_is_served() {
    for engine in engines() {
        let target = Target::echo("a");
        let limpet = config()
            .process("engine", *engine)
            .process("connections", 3)
            .process("shards", 2)
            .serving(&target)
            .start();
        let failed = std::thread::scope(|scope| {
            let visit = |_| scope.spawn(|| (0..20).map(|_| visit(&limpet)).collect::<Vec<_>>());
            let visitors: Vec<_> = (0..12).map(visit).collect();
            let visits = visitors.into_iter().flat_map(|one| one.join().unwrap());
            visits.filter_map(Result::err).collect::<Vec<_>>()
        });
        assert!(failed.is_empty(), "{engine}: {failed:#?}");
        assert_eq!(target.request_count(), 240, "{engine}");
    }
}

/// One request on a connection of its own, or why there was no answer.
fn visit(limpet: &Limpet) -> Result<(), String> {
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\nConnection: close\r\n\r\n");
    match client.wire.read_response("GET") {
        Ok(response) if response.status == 200 => Ok(()),
        Ok(response) => Err(response.head),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_listener_without_clients_keeps_no_place_from_the_others() {
    let target = Target::echo("a");
    let mut limpet = config().process("connections", 1).process("shards", 2);
    for name in ["one", "two", "three"] {
        limpet = limpet.listener(crate::support::listener(name));
    }
    let limpet = limpet.serving(&target).start();
    for name in ["one", "two", "three", "one"] {
        for _ in 0..5 {
            let mut client = limpet.client_of(name);
            assert_eq!(client.get("/").status, 200, "{name}");
        }
    }
}
