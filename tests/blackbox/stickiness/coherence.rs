//! All requests of a user agree: on one connection before there is a cookie, across shards, across
//! nodes that share nothing but the keys.

use std::collections::HashSet;

use super::{first_visit, issued, sticky, sticky_group, targets, visit};
use crate::support::{Client, config, listener};

/// A first visit of a user behind a proxy: the target and the cookie.
fn visit_of(proxy: &mut Client, user: &str) -> (String, String) {
    let response = proxy.get_with("/", &format!("X-Forwarded-For: {user}\r\n"));
    (response.target(), issued(&response).pair())
}

#[test]
fn requests_without_a_cookie_on_one_connection_get_the_same_target() {
    let targets = targets::<4>();
    let limpet = sticky(&targets).start();
    for _ in 0..4 {
        let mut client = limpet.client();
        client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n".repeat(8));
        let seen: HashSet<String> = (0..8).map(|_| client.response().target()).collect();
        assert_eq!(seen.len(), 1, "{seen:?}");
    }
}

#[test]
fn first_visits_on_different_connections_are_still_balanced() {
    let targets = targets::<4>();
    let limpet = sticky(&targets).start();
    let seen: HashSet<String> = (0..8).map(|_| first_visit(&limpet).0).collect();
    assert_eq!(seen.len(), 4);
}

#[test]
fn every_shard_honours_the_cookie_of_every_other() {
    let targets = targets::<4>();
    let limpet = sticky(&targets).process("shards", 4).start();
    for _ in 0..4 {
        let (home, cookie) = first_visit(&limpet);
        // The kernel spreads connections by their port, so forty meet every shard but by a miracle,
        // and a miracle can only let the test pass.
        for _ in 0..40 {
            assert_eq!(visit(&limpet, &cookie).target(), home);
        }
    }
}

#[test]
fn a_node_with_the_same_keys_honours_the_cookie_of_another() {
    let targets = targets::<4>();
    let (one, two) = (sticky(&targets).start(), sticky(&targets).start());
    for _ in 0..8 {
        let (home, cookie) = first_visit(&one);
        assert_eq!(visit(&two, &cookie).target(), home);
        assert!(visit(&two, &cookie).set_cookie(super::COOKIE).is_none());
    }
    assert_eq!(two.record(1).reason(), "valid");
}

#[test]
fn users_who_share_a_proxys_connection_are_balanced_each() {
    let targets = targets::<4>();
    let web = listener("web").set("trusted_proxies", vec!["127.0.0.0/8"]);
    let limpet = config().listener(web).group(sticky_group(&targets)).start();
    let mut proxy = limpet.client();
    let mut counts = [0; 4];
    for user in 0..40 {
        let (target, _) = visit_of(&mut proxy, &format!("192.0.2.{user}"));
        counts[super::position(&target)] += 1;
    }
    assert_eq!(counts, [10; 4]);
}

#[test]
fn first_visits_of_one_user_on_a_shared_connection_agree() {
    let targets = targets::<4>();
    let web = listener("web").set("trusted_proxies", vec!["127.0.0.0/8"]);
    let limpet = config().listener(web).group(sticky_group(&targets)).start();
    let mut proxy = limpet.client();
    let users = ["192.0.2.1", "192.0.2.2", "2001:db8::3"];
    let first: Vec<_> = users.iter().map(|user| visit_of(&mut proxy, user).0).collect();
    for _ in 0..3 {
        let again: Vec<_> = users.iter().map(|user| visit_of(&mut proxy, user).0).collect();
        assert_eq!(again, first);
    }
}
