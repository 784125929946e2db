//! `new_sessions = "least_sessions"`: after a scale-out new users go to the new targets until all have as many, and
//! nobody is moved.

use super::{COOKIE, issued, name, sticky, sticky_group, targets, visit};
use crate::support::config::Config;
use crate::support::{Cookie, Limpet, Target, config, poll};

/// Users who come before their cookies come back.
const BURST: usize = 100;
const USERS: usize = 1_000;

/// A user: who serves it, and its cookie.
type User = (String, Cookie);

fn seeking(targets: &[Target]) -> Config {
    config()
        .process("shards", 2)
        .with_admin()
        .group(sticky_group(targets).set("stickiness.new_sessions", "least_sessions"))
}

/// So many new users, spread over the nodes in bursts; after each burst all of it comes back to every node.
fn new_users(nodes: &[Limpet], count: usize) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    while users.len() < count {
        let burst: Vec<User> = (0..BURST)
            .map(|number| {
                let response = nodes[number % nodes.len()].get("/first");
                (response.target(), issued(&response))
            })
            .collect();
        come_back(nodes, &burst);
        users.extend(burst);
    }
    users
}

/// Every user is served where it lives, by every node.
fn come_back(nodes: &[Limpet], users: &[User]) {
    for node in nodes {
        let mut client = node.client();
        for (home, cookie) in users {
            let response = client.get_cookie("/visit", &cookie.pair());
            let is_moved = response.set_cookie(COOKIE).is_some();
            assert_eq!((response.target().as_str(), is_moved), (home.as_str(), false));
        }
    }
}

/// How many users live at each of four targets.
fn at_each(users: &[User]) -> [usize; 4] {
    std::array::from_fn(|at| users.iter().filter(|(home, _)| home == name(at)).count())
}

/// What is said of a request that brings no cookie.
fn explained(limpet: &Limpet) -> String {
    limpet.admin().post("/v1/explain", r#"{"request": "GET /"}"#).1
}

#[track_caller]
fn assert_level(counts: &[usize; 4]) {
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    println!("users at each target: {counts:?}");
    assert!(*most * 10 <= *least * 11, "not within 10 % of each other: {counts:?}");
}

#[test]
fn after_a_scale_out_new_users_fill_the_new_targets_and_nobody_is_moved() {
    let all = targets::<4>();
    let nodes = [seeking(&all[..2]).start()];
    let admin = nodes[0].admin();
    let mut users = new_users(&nodes, USERS);
    for (at, target) in all.iter().enumerate().skip(2) {
        let body = format!(
            r#"{{"settings": {{"id": "{}", "address": "{}"}}}}"#,
            name(at),
            target.address()
        );
        admin.change("POST", "/v1/groups/app/targets", &body);
    }
    users.extend(new_users(&nodes, USERS));
    assert_level(&at_each(&users));
    come_back(&nodes, &users);
    let counted = admin.get("/v1/groups/app");
    let sessions: u64 = counted["sessions"].as_u64().expect("a number");
    assert_eq!(sessions, 2 * USERS as u64);
}

#[test]
fn after_a_scale_out_two_nodes_with_one_key_ring_fill_the_new_targets() {
    let all = targets::<4>();
    let nodes = [seeking(&all[..2]).start(), seeking(&all[..2]).start()];
    let mut users = new_users(&nodes, USERS);
    for node in &nodes {
        node.write_config(&seeking(&all).text());
        node.signal(libc::SIGHUP);
        let targets = || node.admin().get("/v1/groups/app")["targets"].as_array().map(Vec::len);
        poll(|| (targets() == Some(4)).then_some(())).expect("the file is loaded");
    }
    users.extend(new_users(&nodes, USERS));
    assert_level(&at_each(&users));
}

#[test]
fn explain_says_how_many_live_where() {
    let targets = targets::<2>();
    let limpet = seeking(&targets).start();
    let users: Vec<User> = new_users(std::slice::from_ref(&limpet), BURST);
    let [a, b, ..] = at_each(&users);
    let mut loads = [(a, "a"), (b, "b")];
    loads.sort_unstable();
    let [(fewer, least), (more, most)] = loads;
    let expected = format!("least_sessions, by weight: {least} {fewer}, {most} {more}");
    poll(|| explained(&limpet).contains(&expected).then_some(()))
        .unwrap_or_else(|| panic!("{expected}: {}", explained(&limpet)));
}

#[test]
fn it_is_switched_on_while_users_live_there() {
    let targets = targets::<2>();
    let limpet = sticky(&targets).with_admin().start();
    let at_a: Vec<Cookie> = (0..20).map(|_| super::bound_to(&limpet, "a")).collect();
    at_a.iter().for_each(|cookie| assert_eq!(visit(&limpet, cookie).target(), "a"));
    let body = r#"{"set": {"new_sessions": "least_sessions"}}"#;
    limpet.admin().change("PATCH", "/v1/groups/app/stickiness", body);
    // What lives there is known with the next count, four times a second.
    let is_counted = || explained(&limpet).contains("by weight: b 0, a 20").then_some(());
    poll(is_counted).expect("it is published");
    for _ in 0..20 {
        assert_eq!(limpet.get("/first").target(), "b");
    }
}
