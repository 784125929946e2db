use crate::group::state::*;

fn address(port: u16) -> Address {
    Address::Tcp(([127, 0, 0, 1], port).into())
}

#[test]
fn a_target_keeps_its_state_while_anyone_holds_it() {
    let registry = Registry::new();
    let first = registry.target("app", "a", &address(1), Health::Healthy);
    first.set_health(Health::Unhealthy);
    let again = registry.target("app", "a", &address(1), Health::Healthy);
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(again.health(), Health::Unhealthy);
    let elsewhere = registry.target("other", "a", &address(1), Health::Healthy);
    assert!(!Arc::ptr_eq(&first, &elsewhere));
}

#[test]
fn a_target_that_moves_to_another_address_starts_anew() {
    let registry = Registry::new();
    let here = registry.target("app", "a", &address(1), Health::Healthy);
    let there = registry.target("app", "a", &address(2), Health::Initial);
    assert_ne!(here.slot, there.slot);
    assert_eq!(there.health(), Health::Initial);
}

#[test]
fn slots_are_dense_and_reused_only_when_the_last_holder_has_gone() {
    let registry = Registry::new();
    let a = registry.target("app", "a", &address(1), Health::Healthy);
    let b = registry.target("app", "b", &address(2), Health::Healthy);
    assert_eq!((a.slot, b.slot), (0, 1));
    let held = Arc::clone(&a);
    drop(a);
    assert_eq!(registry.target("app", "c", &address(3), Health::Healthy).slot, 2);
    drop(held);
    assert_eq!(registry.target("app", "d", &address(4), Health::Healthy).slot, 0);
    assert_eq!(b.slot, 1);
}

#[test]
fn series_go_on_by_name_and_nobody_inherits_them() {
    let registry = Registry::new();
    registry.decide_shard_count(|| 1);
    registry.decide_shard_count(|| 7);
    let a = registry.target("app", "a", &address(1), Health::Healthy);
    a.series.of(0).unwrap().requests[2].add(3);
    assert!(a.series.of(1).is_none(), "the first answer holds");
    let slot = a.slot;
    let again = registry.target("app", "a", &address(1), Health::Healthy);
    assert_eq!(again.series.sum(|block| &block.requests[2]), 3);
    drop((a, again));
    let other = registry.target("app", "b", &address(2), Health::Healthy);
    assert_eq!((other.slot, other.series.blocks().count()), (slot, 0));
    let rule = registry.rule("web", "shop");
    rule.of(0).unwrap().requests.add(1);
    assert!(Arc::ptr_eq(&rule, &registry.rule("web", "shop")));
    assert!(!Arc::ptr_eq(&rule, &registry.rule("edge", "shop")));
    let listener = registry.listener("web");
    assert!(Arc::ptr_eq(&listener, &registry.listener("web")));
}

#[test]
fn names_that_nobody_holds_any_more_take_no_room() {
    let registry = Registry::new();
    for name in 0..10_000 {
        drop(registry.group(&name.to_string()));
    }
    let groups = registry.groups.lock().unwrap();
    assert!(groups.capacity() < 100, "{}", groups.capacity());
}

#[test]
fn group_state_outlives_a_snapshot_but_not_its_last_holder() {
    let registry = Registry::new();
    let state = registry.group("app");
    state.next_turn();
    assert_eq!(registry.group("app").next_turn(), 1);
    drop(state);
    assert_eq!(registry.group("app").next_turn(), 0);
}

#[test]
fn places_are_limited_and_zero_means_no_limit() {
    let state = TargetState::detached(0);
    assert!(state.try_acquire(2));
    assert!(state.try_acquire(2));
    assert!(!state.try_acquire(2));
    assert!(!state.has_place(2));
    assert!(state.try_acquire(0));
    assert_eq!((state.in_flight(), state.requests()), (3, 3));
    for _ in 0..3 {
        state.release();
    }
    assert_eq!((state.in_flight(), state.requests()), (0, 3));
    assert!(state.has_place(2));
}

#[test]
fn a_tunnel_counts_until_it_is_dropped() {
    let state = TargetState::detached(0);
    assert!(state.try_acquire(0) && state.try_acquire(0));
    let tunnel = state.open_tunnel();
    assert_eq!((state.tunnels(), state.requests_in_flight(), state.in_flight()), (1, 1, 2));
    drop(tunnel);
    assert_eq!((state.tunnels(), state.requests_in_flight()), (0, 2));
}

#[test]
fn sessions_are_known_from_the_first_cookie_that_comes_back() {
    let (state, life) = (TargetState::detached(0), Life { tag: 1, duration_s: 60 });
    let count = |state: &TargetState| state.sessions().map(|one| one.estimate(1000, &[life]));
    state.forget_session(1, life);
    assert_eq!(count(&state), None);
    state.note_session(1, life, 1000);
    assert_eq!(count(&state), Some(1));
    state.forget_session(1, life);
    assert_eq!(count(&state), Some(0));
}

#[test]
fn health_survives_its_bits() {
    for health in
        [Health::Initial, Health::Healthy, Health::Unhealthy, Health::Draining, Health::Unused]
    {
        assert_eq!(Health::from_bits(health as u8), health);
        assert_eq!(Health::from_bits(health as u8 | EJECTED | RETURNED), health);
    }
}

#[test]
fn an_ejected_target_is_unhealthy_until_it_returns_to_what_checks_say() {
    let state = TargetState::detached(0);
    for (by_checks, while_ejected) in [
        (Health::Initial, Health::Unhealthy),
        (Health::Healthy, Health::Unhealthy),
        (Health::Unhealthy, Health::Unhealthy),
        (Health::Draining, Health::Draining),
        (Health::Unused, Health::Unused),
    ] {
        state.set_ejected(true);
        state.set_health(by_checks);
        assert!(state.is_ejected());
        assert_eq!((state.health(), state.health_by_checks()), (while_ejected, by_checks));
        state.set_ejected(false);
        assert_eq!((state.health(), state.is_ejected()), (by_checks, false));
    }
}

#[test]
fn no_check_brings_a_target_back_that_drains() {
    let state = TargetState::detached(0);
    assert!(state.set_health_by_check(Health::Unhealthy));
    assert_eq!(state.health(), Health::Unhealthy);
    state.set_health(Health::Draining);
    assert!(state.set_health_by_check(Health::Healthy));
    assert_eq!(state.health(), Health::Draining);
    state.set_health(Health::Unused);
    assert!(!state.set_health_by_check(Health::Healthy));
    assert_eq!((state.health(), state.checked_health()), (Health::Unused, None));
}

#[test]
fn what_checks_say_is_known_of_a_target_that_drains() {
    let state = TargetState::detached(0);
    for known in [Health::Initial, Health::Healthy, Health::Unhealthy] {
        state.set_health(known);
        state.set_ejected(true);
        state.set_health(Health::Draining);
        state.set_health(Health::Draining);
        assert_eq!((state.health(), state.checked_health()), (Health::Draining, Some(known)));
        for found in [Health::Healthy, Health::Unhealthy] {
            assert!(state.set_health_by_check(found));
            assert_eq!((state.health(), state.checked_health()), (Health::Draining, Some(found)));
            assert!(state.is_ejected());
        }
        state.set_ejected(false);
    }
}

#[test]
fn a_target_that_has_returned_is_an_ordinary_one_from_its_first_check_on() {
    let state = TargetState::detached(0);
    state.set_health(Health::Draining);
    state.set_returned();
    assert_eq!((state.health(), state.has_returned()), (Health::Initial, true));
    state.set_health_by_check(Health::Unhealthy);
    assert_eq!((state.health(), state.has_returned()), (Health::Unhealthy, false));
    state.set_returned();
    state.set_health(Health::Draining);
    assert_eq!((state.health(), state.has_returned()), (Health::Draining, false));
}

#[test]
fn errors_in_a_row_end_with_any_other_response() {
    let state = TargetState::detached(0);
    for count in 1..=3 {
        state.note_outcome(true);
        assert_eq!(state.errors_in_a_row(), count);
    }
    state.note_outcome(false);
    assert_eq!(state.errors_in_a_row(), 0);
}

#[test]
fn a_share_is_never_nothing_and_never_more_than_all() {
    let state = TargetState::detached(0);
    for (set, got) in [(0, 1), (1, 1), (35, 35), (100, 100), (255, 100)] {
        state.set_share_percent(set);
        assert_eq!(state.share_percent(), got);
    }
}
