//! When the home target is gone: a new one that every request, shard and node agrees on without
//! talking, and the way back only where the file asks for it.

use super::{bound_to, first_visit, issued, name, position, sticky, sticky_group, targets, visit};
use crate::support::config;

#[test]
fn a_session_of_a_target_that_refuses_is_failed_over_and_renewed() {
    let mut targets = targets::<3>();
    let limpet = sticky(&targets).start();
    let (home, cookie) = first_visit(&limpet);
    targets[position(&home)].down();
    let response = visit(&limpet, &cookie);
    assert_eq!(response.status, 200);
    let refuge = response.target();
    assert_ne!(refuge, home);
    let renewed = issued(&response);
    assert_eq!(visit(&limpet, &renewed).target(), refuge);
}

#[test]
fn all_requests_with_one_cookie_fail_over_to_the_same_target() {
    let mut targets = targets::<5>();
    // Eight fail at once, more than the budget of retries is for: failed connects need none of it.
    let limpet = sticky(&targets).process("shards", 4).start();
    let (home, cookie) = first_visit(&limpet);
    targets[position(&home)].down();
    let address = limpet.address();
    let pair = cookie.pair();
    let visits: Vec<_> = (0..8)
        .map(|_| {
            let pair = pair.clone();
            std::thread::spawn(move || {
                crate::support::Client::connect(address).get_cookie("/", &pair).target()
            })
        })
        .collect();
    let refuges: Vec<String> = visits.into_iter().map(|visit| visit.join().unwrap()).collect();
    assert!(refuges.iter().all(|refuge| *refuge == refuges[0] && *refuge != home), "{refuges:?}");
}

#[test]
fn nodes_agree_on_the_fail_over_of_every_session() {
    let mut targets = targets::<5>();
    let (one, two) = (sticky(&targets).start(), sticky(&targets).process("shards", 2).start());
    let sessions: Vec<_> = (0..30).map(|_| first_visit(&one)).collect();
    targets[0].down();
    let mut refuges = std::collections::HashSet::new();
    for (home, cookie) in &sessions {
        let (at_one, at_two) = (visit(&one, cookie).target(), visit(&two, cookie).target());
        assert_eq!(at_one, at_two, "the nodes disagree about a session of {home}");
        if home == name(0) {
            refuges.insert(at_one);
        } else {
            assert_eq!(at_one, *home, "a session of another target moved");
        }
    }
    assert!(refuges.len() > 1, "all sessions of one target went to one other: {refuges:?}");
}

#[test]
fn nodes_agree_on_the_fail_over_from_a_removed_target() {
    let all = targets::<5>();
    let before = sticky(&all).start();
    let sessions: Vec<_> = (0..10).map(|_| bound_to(&before, "e")).collect();
    let (one, two) = (sticky(&all[..4]).start(), sticky(&all[..4]).start());
    for cookie in &sessions {
        assert_eq!(visit(&one, cookie).target(), visit(&two, cookie).target());
    }
}

#[test]
fn a_failed_over_session_stays_where_it_lives_now() {
    let mut targets = targets::<3>();
    let limpet = sticky(&targets).start();
    let (home, cookie) = first_visit(&limpet);
    targets[position(&home)].down();
    let response = visit(&limpet, &cookie);
    let renewed = issued(&response);
    targets[position(&home)].up();
    for _ in 0..4 {
        assert_eq!(visit(&limpet, &renewed).target(), response.target());
    }
}

#[test]
fn a_failed_over_session_goes_home_where_failback_says_so() {
    let mut targets = targets::<3>();
    let group = sticky_group(&targets).set("stickiness.failback", "healthy");
    let limpet = config().group(group).start();
    let (home, cookie) = first_visit(&limpet);
    targets[position(&home)].down();
    let response = visit(&limpet, &cookie);
    assert_ne!(response.target(), home);
    let renewed = issued(&response);
    targets[position(&home)].up();
    assert_eq!(visit(&limpet, &renewed).target(), home);
}

#[test]
fn a_session_of_a_group_with_no_target_left_is_an_honest_failure() {
    let mut targets = targets::<2>();
    let limpet = sticky(&targets).start();
    let (home, cookie) = first_visit(&limpet);
    targets.iter_mut().for_each(crate::support::Target::down);
    let response = visit(&limpet, &cookie);
    assert!(matches!(response.status, 502 | 503), "{}", response.head);
    targets.iter_mut().for_each(crate::support::Target::up);
    // The session was not lost by the failure.
    assert_eq!(visit(&limpet, &cookie).target(), home);
}
