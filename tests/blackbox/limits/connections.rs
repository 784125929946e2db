//! How many requests a connection carries, and how many connections there are.

use super::with;
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
fn connections_over_the_process_limit_wait_or_are_turned_away_and_the_others_go_on() {
    let target = Target::echo("a");
    let limpet = config().process("connections", 2).serving(&target).start();
    let (mut one, mut two) = (limpet.client(), limpet.client());
    assert_eq!((one.get("/").status, two.get("/").status), (200, 200));
    let mut third = Client::try_connect(limpet.address());
    if let Some(third) = &mut third {
        third.send("GET /third HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    }
    for _ in 0..3 {
        assert_eq!((one.get("/").status, two.get("/").status), (200, 200));
    }
    assert!(target.requests().iter().all(|request| request.target != "/third"));
    drop(one);
    assert!(admitted(&limpet), "the place of a closed connection is free again");
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
