use crate::group::target_group::*;

pub(crate) fn options() -> GroupOptions {
    GroupOptions {
        connect_timeout: Duration::from_secs(3),
        handshake_timeout: Duration::ZERO,
        response_timeout: Duration::from_secs(60),
        response_renewed_by_102: false,
        pool_idle_timeout: Duration::from_secs(4),
        pool_idle_per_shard: 256,
        connections_max: 8,
        streams_per_connection: 100,
        wire: Wire::Http1,
        content_idle_timeout: Duration::from_secs(30),
        stream_idle_timeout: Duration::from_secs(3600),
        tunnel_idle_timeout: Duration::from_secs(3_600),
        connection_limit: 0,
        queue_size: 16,
        queue_timeout: Duration::from_secs(1),
        on_full: OnFull::Queue,
        retries: 1,
        retry_budget_percent: 20,
        retry_budget_minimum: 3,
        retried_statuses: 0,
        response_head_bytes: 65_536,
        allow_upgrades: true,
        is_checked: true,
        fail_open: FailOpen { count: 1, percent: 0 },
        session_cookies: Box::default(),
    }
}

/// Targets `t0`, `t1`, … with weight and health; slots are `100 + index`.
pub(crate) fn targets(of: &[(u32, Health)]) -> Vec<Target> {
    of.iter()
        .enumerate()
        .map(|(index, (weight, health))| {
            let state = TargetState::detached(100 + index as u32);
            state.set_health(*health);
            let address = Address::Tcp(([127, 0, 0, 1], 9_000 + index as u16).into());
            Target::new(format!("t{index}").into(), address, *weight, state)
        })
        .collect()
}

pub(crate) fn parts(algorithm: Algorithm, of: &[(u32, Health)]) -> GroupParts {
    GroupParts {
        name: "app".into(),
        algorithm,
        options: options(),
        stickiness: None,
        targets: targets(of),
        state: GroupState::new(),
    }
}

pub(crate) fn group(algorithm: Algorithm, of: &[(u32, Health)]) -> TargetGroup {
    TargetGroup::new(parts(algorithm, of)).expect("valid")
}

fn eligible(of: &[(u32, Health)]) -> Vec<TargetIndex> {
    group(Algorithm::RoundRobin, of).eligible().map(|(index, _)| index).collect()
}

#[test]
fn only_healthy_targets_with_a_weight_take_new_requests() {
    use Health::*;
    assert_eq!(
        eligible(&[(1, Healthy), (1, Initial), (1, Unhealthy), (1, Draining), (1, Unused)]),
        [0]
    );
    assert_eq!(eligible(&[(0, Healthy), (2, Healthy)]), [1]);
    assert!(
        eligible(&[(0, Healthy), (1, Unhealthy)]).is_empty(),
        "one is healthy, so it is not open"
    );
    assert!(eligible(&[]).is_empty());
}

#[test]
fn when_none_is_healthy_all_but_draining_and_unused_are_used() {
    use Health::*;
    let of = [(1, Unhealthy), (1, Initial), (1, Draining), (1, Unused), (0, Unhealthy)];
    assert_eq!(eligible(&of), [0, 1]);
    let group = group(Algorithm::RoundRobin, &of);
    let standings: Vec<_> = (0..6).map(|index| group.standing(index)).collect();
    let open = Standing::Usable { healthy: false };
    use Standing::{Draining as D, Gone};
    assert_eq!(standings, [open, open, D, Gone, open, Gone]);
}

/// The standings of `t0`, … with these healths, and whether the group fails open.
fn standings_of(healths: &[Health], count: u32, percent: u32) -> (Vec<Standing>, bool) {
    let of: Vec<_> = healths.iter().map(|health| (1, *health)).collect();
    let mut parts = parts(Algorithm::RoundRobin, &of);
    parts.options.fail_open = FailOpen { count, percent };
    let group = TargetGroup::new(parts).expect("valid");
    ((0..of.len()).map(|index| group.standing(index)).collect(), group.fails_open())
}

#[test]
fn a_group_fails_open_below_its_count_or_its_share_of_healthy_targets() {
    use Health::*;
    let healths = [Healthy, Healthy, Unhealthy, Initial, Draining];
    for (count, percent, opens) in [
        (0, 0, false),
        (1, 0, false),
        (2, 0, false),
        (3, 0, true),
        // Two of four in service; a draining target is not in service.
        (0, 50, false),
        (0, 51, true),
        (3, 50, true),
    ] {
        let (standings, fails_open) = standings_of(&healths, count, percent);
        assert_eq!(fails_open, opens, "{count} {percent}");
        let sure = Standing::Usable { healthy: true };
        let other = if opens { Standing::Usable { healthy: false } } else { Standing::Unhealthy };
        assert_eq!(standings, [sure, sure, other, other, Standing::Draining], "{count} {percent}");
    }
}

#[test]
fn a_target_that_comes_back_keeps_what_is_bound_to_it_until_its_first_check_decides() {
    let parts = parts(Algorithm::RoundRobin, &[(1, Health::Healthy), (1, Health::Draining)]);
    let state = Arc::clone(&parts.targets[1].state);
    state.set_returned();
    let group = TargetGroup::new(parts).expect("valid");
    assert_eq!((group.standing(1), group.eligible().count()), (Standing::Draining, 1));
}

#[test]
fn who_is_ejected_is_spare_unless_a_check_speaks_against_it() {
    use Health::*;
    let of =
        [(1, Healthy), (1, Healthy), (1, Unhealthy), (1, Draining), (0, Healthy), (1, Initial)];
    let parts = parts(Algorithm::RoundRobin, &of);
    parts.targets[1..].iter().for_each(|target| target.state.set_ejected(true));
    let group = TargetGroup::new(parts).expect("valid");
    assert_eq!(group.spare().map(|(index, _)| index).collect::<Vec<_>>(), [1]);
    assert_eq!(group.eligible().map(|(index, _)| index).collect::<Vec<_>>(), [0]);
}

#[test]
fn who_is_ejected_and_unhealthy_is_for_requests_that_have_tried_everybody_else() {
    use Health::*;
    for (count, expected) in [(1, &[1, 3][..]), (0, &[])] {
        let of = [(1, Healthy), (1, Unhealthy), (1, Healthy), (1, Initial), (1, Unhealthy)];
        let mut parts = parts(Algorithm::RoundRobin, &of);
        parts.options.fail_open = FailOpen { count, percent: 0 };
        parts.targets[1..4].iter().for_each(|target| target.state.set_ejected(true));
        let slots: Vec<u32> = parts.targets.iter().map(|target| target.state.slot).collect();
        let group = TargetGroup::new(parts).expect("valid");
        assert_eq!(group.spare_besides(&[]), [2], "one that no check speaks against comes first");
        assert_eq!(group.spare_besides(&[slots[0]]), [2]);
        assert_eq!(group.spare_besides(&[slots[0], slots[2]]), expected);
    }
}

#[test]
fn a_group_that_never_fails_open_has_nobody_when_nobody_is_healthy() {
    let (standings, fails_open) = standings_of(&[Health::Unhealthy, Health::Initial], 0, 0);
    assert_eq!((standings, fails_open), (vec![Standing::Unhealthy; 2], false));
}

#[test]
fn a_group_without_anyone_to_use_besides_the_healthy_does_not_fail_open() {
    assert!(!standings_of(&[], 1, 100).1);
    assert!(!standings_of(&[Health::Draining], 1, 100).1);
    assert!(!standings_of(&[Health::Healthy], 5, 100).1);
}

#[test]
fn a_slow_start_diminishes_the_turns_of_a_target_but_moves_no_hash_and_no_session() {
    let hash = Algorithm::Hash(HashOn::Source);
    let before = group(hash.clone(), &[(2, Health::Healthy); 3]);
    let mut slow = parts(hash, &[(2, Health::Healthy); 3]);
    slow.targets[1].state.set_share_percent(25);
    for target in &mut slow.targets {
        let state = Arc::clone(&target.state);
        *target = Target::new(Arc::clone(&target.id), target.address.clone(), 2, state);
    }
    let after = TargetGroup::new(slow).expect("valid");
    let weights: Vec<_> = after.targets.iter().map(Target::effective_weight).collect();
    assert_eq!(weights, [2.0, 0.5, 2.0]);
    let turns = |of| after.turns.iter().filter(|index| **index == of).count();
    assert_eq!((turns(0), turns(1), turns(2)), (4, 1, 4));
    for n in 0..1_000u64 {
        let draw = super::super::balance::Draw { random: [n; 2], hash: Some(n * 7_919) };
        assert_eq!(before.pick(&draw, &[]), after.pick(&draw, &[]));
        let session = u128::from(n) << 64 | u128::from(n * 31);
        assert_eq!(before.fail_over(session, &[]), after.fail_over(session, &[]));
    }
}

#[test]
fn keys_are_the_same_on_all_nodes_and_in_all_versions() {
    assert_eq!(stable_key("a"), 0xca97_8112_ca1b_bdca);
    assert_eq!(stable_key("app"), stable_key("app"));
    let group = group(Algorithm::RoundRobin, &[(1, Health::Healthy), (1, Health::Healthy)]);
    assert_eq!(group.find(stable_key("t1")), Some(1));
    assert_eq!(group.find(stable_key("t2")), None);
    assert_eq!(group.key, stable_key("app"));
}

#[test]
fn two_targets_with_one_id_or_one_key_are_refused() {
    let mut twice = parts(Algorithm::RoundRobin, &[(1, Health::Healthy); 2]);
    twice.targets[1].id = "t0".into();
    twice.targets[1].key = twice.targets[0].key;
    let fault = TargetGroup::new(twice).expect_err("same id");
    assert_eq!(fault, GroupFault::DuplicateId { group: "app".into(), id: "t0".into() });

    let mut collision = parts(Algorithm::RoundRobin, &[(1, Health::Healthy); 2]);
    collision.targets[1].key = collision.targets[0].key;
    let fault = TargetGroup::new(collision).expect_err("same key");
    let (first, second) = ("t0".into(), "t1".into());
    assert_eq!(fault, GroupFault::KeyCollision { group: "app".into(), first, second });
}
