use super::super::state::Health::{self, *};
use super::super::target_group::tests::{group, parts};
use crate::group::balance::*;

const HASH: fn() -> Algorithm = || Algorithm::Hash(HashOn::Source);

fn algorithms() -> [Algorithm; 4] {
    [Algorithm::RoundRobin, Algorithm::LeastOutstandingRequests, Algorithm::WeightedRandom, HASH()]
}

fn draw(n: u64) -> Draw {
    Draw { random: [mix(n), mix(n ^ 0xABCD_EF01)], hash: Some(mix(n.wrapping_add(77))) }
}

fn counts(group: &TargetGroup, picks: u64, excluded: &[u32]) -> Vec<u64> {
    let mut counts = vec![0; group.targets.len()];
    for n in 0..picks {
        counts[group.pick(&draw(n), excluded).expect("a target")] += 1;
    }
    counts
}

fn limited(algorithm: Algorithm, of: &[(u32, Health)], limit: u32) -> TargetGroup {
    let mut parts = parts(algorithm, of);
    parts.options.connection_limit = limit;
    TargetGroup::new(parts).expect("valid")
}

fn fill(group: &TargetGroup, index: TargetIndex) {
    while group.targets[index].state.try_acquire(group.options.connection_limit) {}
}

#[test]
fn round_robin_gives_exact_turns() {
    let group = group(Algorithm::RoundRobin, &[(3, Healthy), (1, Healthy)]);
    let picks: Vec<_> = (0..8).map(|n| group.pick(&draw(n), &[]).expect("a target")).collect();
    assert_eq!(picks, [0, 0, 1, 0, 0, 0, 1, 0]);
}

#[test]
fn turns_go_on_from_snapshot_to_snapshot() {
    let first = group(Algorithm::RoundRobin, &[(1, Healthy), (1, Healthy)]);
    assert_eq!(first.pick(&draw(0), &[]), Some(0));
    let mut next = parts(Algorithm::RoundRobin, &[(1, Healthy), (1, Healthy)]);
    next.state = first.state;
    let next = TargetGroup::new(next).expect("valid");
    assert_eq!(next.pick(&draw(0), &[]), Some(1));
}

#[test]
fn every_algorithm_follows_weights_and_leaves_out_weight_zero() {
    let of = [(1, Healthy), (3, Healthy), (0, Healthy), (4, Unhealthy)];
    for algorithm in algorithms() {
        let counts = counts(&group(algorithm.clone(), &of), 8_000, &[]);
        assert!(counts[0].abs_diff(2_000) < 200, "{algorithm:?}: {counts:?}");
        assert_eq!(counts[2..], [0, 0], "{algorithm:?}");
    }
}

#[test]
fn every_algorithm_passes_over_excluded_and_full_targets() {
    for algorithm in algorithms() {
        let group = limited(algorithm.clone(), &[(1, Healthy); 4], 2);
        fill(&group, 2);
        let counts = counts(&group, 4_000, &[100]);
        assert_eq!((counts[0], counts[2]), (0, 0), "{algorithm:?}");
        assert!(counts[1] > 1_000 && counts[3] > 1_000, "{algorithm:?}: {counts:?}");
    }
}

#[test]
fn among_many_the_last_one_with_a_place_is_found() {
    for algorithm in algorithms() {
        let group = limited(algorithm.clone(), &[(1, Healthy); 50], 1);
        (0..50).filter(|index| *index != 33).for_each(|index| fill(&group, index));
        assert_eq!(group.pick(&draw(1), &[]), Some(33), "{algorithm:?}");
        assert_eq!(group.pick_with_place(&draw(1), &[]), Some(33), "{algorithm:?}");
        assert_eq!(group.pick_with_place(&draw(1), &[133]), None, "{algorithm:?}");
    }
}

#[test]
fn every_algorithm_takes_one_that_is_ejected_when_there_is_nobody_else() {
    for algorithm in algorithms() {
        let parts = parts(algorithm.clone(), &[(1, Healthy); 3]);
        parts.targets[0].state.set_ejected(true);
        parts.targets[1].state.set_ejected(true);
        let group = TargetGroup::new(parts).expect("valid");
        for n in 0..50 {
            assert_eq!(group.pick(&draw(n), &[]), Some(2), "{algorithm:?}");
            assert!(matches!(group.pick(&draw(n), &[102]), Some(0 | 1)), "{algorithm:?}");
            assert_eq!(group.pick(&draw(n), &[102, 100]), Some(1), "{algorithm:?}");
            assert_eq!(group.pick(&draw(n), &[102, 100, 101]), None, "{algorithm:?}");
            let session = u128::from(n);
            assert_eq!(group.fail_over(session, &[102]), None);
            assert_eq!(group.fail_over_to_spare(session, &[102, 100]), Some(1));
        }
    }
}

#[test]
fn when_all_are_full_one_is_still_chosen_and_never_an_excluded_one() {
    for algorithm in algorithms() {
        let group = limited(algorithm.clone(), &[(1, Healthy); 3], 1);
        (0..3).for_each(|index| fill(&group, index));
        for n in 0..100 {
            assert!(matches!(group.pick(&draw(n), &[100, 102]), Some(1)), "{algorithm:?}");
        }
        assert_eq!(group.pick(&draw(1), &[100, 101, 102]), None, "{algorithm:?}");
    }
}

#[test]
fn nobody_is_picked_from_nobody() {
    for algorithm in algorithms() {
        assert_eq!(group(algorithm.clone(), &[]).pick(&draw(1), &[]), None);
        assert_eq!(group(algorithm.clone(), &[(0, Healthy)]).pick(&draw(1), &[]), None);
        assert_eq!(group(algorithm, &[(1, Draining)]).pick(&draw(1), &[]), None);
    }
}

#[test]
fn when_none_is_healthy_all_are_used() {
    for algorithm in algorithms() {
        let counts = counts(&group(algorithm, &[(1, Unhealthy), (1, Initial)]), 1_000, &[]);
        assert!(counts[0] > 300 && counts[1] > 300, "{counts:?}");
    }
}

#[test]
fn least_outstanding_requests_prefers_the_less_busy_per_weight() {
    let group = group(Algorithm::LeastOutstandingRequests, &[(1, Healthy), (4, Healthy)]);
    for _ in 0..3 {
        group.targets[0].state.try_acquire(0);
    }
    for _ in 0..8 {
        group.targets[1].state.try_acquire(0);
    }
    // 3 per weight against 2 per weight: whenever both are drawn the second wins.
    let counts = counts(&group, 4_000, &[]);
    assert!(counts[1] > 3_700, "{counts:?}");
    for _ in 0..8 {
        group.targets[1].state.try_acquire(0);
    }
    let turned = self::counts(&group, 4_000, &[]);
    assert!(turned[0] > counts[0] * 2, "{turned:?}");
}

#[test]
fn the_same_hash_goes_to_the_same_target_and_health_moves_only_its_own() {
    let of = [(1, Healthy); 5];
    let all = group(HASH(), &of);
    let mut sick = of;
    sick[3].1 = Unhealthy;
    let sick = group(HASH(), &sick);
    let mut moved_to = [0; 5];
    for n in 0..2_000 {
        let before = all.pick(&draw(n), &[]).expect("a target");
        assert_eq!(all.pick(&draw(n), &[]), Some(before));
        let after = sick.pick(&draw(n), &[]).expect("a target");
        if before == 3 {
            moved_to[after] += 1;
        } else {
            assert_eq!(after, before);
        }
    }
    assert_eq!(moved_to[3], 0);
    assert!(moved_to.iter().filter(|count| **count > 40).count() == 4, "{moved_to:?}");
}

#[test]
fn a_request_without_what_is_hashed_is_balanced_in_turns() {
    let group = group(HASH(), &[(1, Healthy), (1, Healthy)]);
    let without = Draw { hash: None, ..draw(1) };
    let picks: Vec<_> = (0..4).map(|_| group.pick(&without, &[]).expect("a target")).collect();
    assert_eq!(picks, [0, 1, 0, 1]);
}

#[test]
fn fail_over_is_the_same_everywhere_and_ignores_limits() {
    let one = limited(Algorithm::RoundRobin, &[(1, Healthy); 5], 1);
    let other = group(Algorithm::WeightedRandom, &[(1, Healthy); 5]);
    (0..5).for_each(|index| fill(&one, index));
    for session in 0..200u64 {
        let session = u128::from(mix(session));
        let chosen = one.fail_over(session, &[]);
        assert_eq!(chosen, other.fail_over(session, &[]));
        let slot = 100 + chosen.expect("a target") as u32;
        assert_ne!(one.fail_over(session, &[slot]), chosen);
    }
    assert_eq!(one.fail_over(1, &[100, 101, 102, 103, 104]), None);
}

#[test]
fn what_is_hashed_is_found_in_the_request() {
    let field = |name, value, id| Field::new(name, value, id);
    let fields = [
        field(b"X-User", b"ann", FieldId::Other),
        field(b"cookie", b"a=1; user=ann", FieldId::Cookie),
        field(b"x-user", b"bob", FieldId::Other),
    ];
    let shown = Shown {
        fields: &fields,
        source: Some("::ffff:10.0.0.1".parse().expect("address")),
        query: Some(b"x=1&user=ann&user=bob"),
    };
    let ann = Some(hash_bytes(b"ann"));
    assert_eq!(request_hash(&HashOn::Header("x-user".into()), &shown), ann);
    assert_eq!(request_hash(&HashOn::Cookie("user".into()), &shown), ann);
    assert_eq!(request_hash(&HashOn::Query("user".into()), &shown), ann);
    assert_eq!(request_hash(&HashOn::Source, &shown), Some(hash_bytes(&[10, 0, 0, 1])));
    for on in [HashOn::Header("y".into()), HashOn::Cookie("y".into()), HashOn::Query("use".into())]
    {
        assert_eq!(request_hash(&on, &shown), None);
    }
    for query in ["user=%61nn", "%75ser=a%6En", "x&user=ann", "User=x&user=ann"] {
        let shown = Shown { query: Some(query.as_bytes()), ..shown };
        assert_eq!(request_hash(&HashOn::Query("user".into()), &shown), ann, "{query}");
    }
    let spaced = |query: &'static str| {
        let shown = Shown { query: Some(query.as_bytes()), ..shown };
        request_hash(&HashOn::Query("the user".into()), &shown)
    };
    assert_eq!(spaced("the+user=a+b"), Some(hash_bytes(b"a b")));
    assert_eq!(spaced("the%20user=a%20b"), Some(hash_bytes(b"a b")));
    for (value, pair) in [("a%20b", "u=a%20b"), ("a+b", "u=a+b"), ("%61%20b", "v=1; u=%61%20b")] {
        let fields = [
            field(b"X-User", value.as_bytes(), FieldId::Other),
            field(b"cookie", pair.as_bytes(), FieldId::Cookie),
        ];
        let shown = Shown { fields: &fields, source: None, query: None };
        for on in [HashOn::Header("X-User".into()), HashOn::Cookie("u".into())] {
            assert_eq!(request_hash(&on, &shown), Some(hash_bytes(b"a b")), "{value}");
        }
    }
    let nothing = Shown { fields: &[], source: None, query: None };
    assert_eq!(request_hash(&HashOn::Source, &nothing), None);
    assert_eq!(request_hash(&HashOn::Query("user".into()), &nothing), None);
    assert_eq!(hash_bytes(b"ann"), ANN, "the same in every version");
}
const ANN: u64 = 7995230380516241683;
