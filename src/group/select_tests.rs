#[path = "select_tests/cookies.rs"]
mod cookies;
#[path = "select_tests/full.rs"]
mod full;
#[path = "select_tests/room.rs"]
mod room;
#[path = "select_tests/session_field.rs"]
mod session_field;

use super::super::on_full::{self, Full};
use super::super::rendezvous::mix;
use super::super::state::GroupState;
use super::super::state::Health::{self, *};
use super::super::target_group::tests::{options as group_options, targets};
use super::super::target_group::{GroupParts, HashOn, OnFull};
use crate::group::select::*;
use crate::http::fields::FieldId;
use crate::stickiness::cookie::Scope;
use crate::stickiness::keyring::KeyRing;
use crate::stickiness::options::{Failback, StickinessKind, StickinessOptions};
use crate::stickiness::stable_key::stable_key;
use crate::stickiness::verdict::tests::{NOW_S, app_options, options, read, ring, sticky};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

/// One scripted world: groups, a forward action, and perhaps a sticky rule.
struct World {
    groups: Vec<Arc<TargetGroup>>,
    forward: Forward,
    rule: Option<Stickiness>,
}

struct Plan<'a> {
    name: &'a str,
    healths: &'a [Health],
    /// Targets that are ejected as well.
    ejected: &'a [TargetIndex],
    sticky: Option<StickinessOptions>,
    limit: u32,
    on_full: OnFull,
}

const PLAN: Plan<'static> = Plan {
    name: "app",
    healths: &[Healthy; 3],
    ejected: &[],
    sticky: None,
    limit: 0,
    on_full: OnFull::Queue,
};

fn group(plan: Plan<'_>, first_slot: u32) -> Arc<TargetGroup> {
    let mut options = group_options();
    options.connection_limit = plan.limit;
    options.on_full = plan.on_full;
    let mut targets = targets(&plan.healths.iter().map(|health| (1, *health)).collect::<Vec<_>>());
    for (index, target) in targets.iter_mut().enumerate() {
        let state = crate::group::state::TargetState::detached(target.state.slot + first_slot);
        state.set_health(target.state.health());
        state.set_ejected(plan.ejected.contains(&index));
        target.state = state;
    }
    let scope = Scope::Group(plan.name.into());
    let parts = GroupParts {
        name: plan.name.into(),
        algorithm: Algorithm::RoundRobin,
        options,
        stickiness: plan.sticky.map(|options| Stickiness::new(options, scope, ring()).expect("ok")),
        targets,
        state: GroupState::new(),
    };
    Arc::new(TargetGroup::new(parts).expect("valid"))
}

fn forward(groups: &[(GroupIndex, u32)]) -> Forward {
    Forward { groups: groups.to_vec(), sticky: false, rewrite_path: None, rewrite_host: None }
}

fn one(plan: Plan<'_>) -> World {
    World { groups: vec![group(plan, 0)], forward: forward(&[(0, 1)]), rule: None }
}

/// Two groups, "blue" and "green", 3 to 1, under a sticky rule; slots 100… and 200….
fn two(blue: &[Health], green: &[Health], rule: Option<StickinessOptions>) -> World {
    let scope = Scope::Rule("deploy".into());
    World {
        groups: vec![
            group(Plan { name: "blue", healths: blue, ..PLAN }, 0),
            group(Plan { name: "green", healths: green, ..PLAN }, 100),
        ],
        forward: forward(&[(0, 3), (1, 1)]),
        rule: rule.map(|options| Stickiness::new(options, scope, ring()).expect("valid")),
    }
}

/// One client: the cookie that it sends, and the connection's memory.
#[derive(Clone, Default)]
struct Client {
    /// The memory of the client's shard; without one every cookie is opened anew.
    opened: Option<Rc<Memo>>,
    cookies: String,
    /// The value of the session field.
    session: String,
    pinned: Vec<Pinned>,
    source: Option<IpAddr>,
    is_shared: bool,
    excluded: Vec<u32>,
    later_s: u64,
    seed: u64,
}

impl Client {
    fn ask<T>(&mut self, with: impl FnOnce(&Ask<'_>) -> T) -> T {
        self.seed += 1;
        let random = |n: u64| mix(self.seed * 10 + n);
        let field = Field::new(b"Cookie", self.cookies.as_bytes(), FieldId::Cookie);
        let session = Field::new(b"session", self.session.as_bytes(), FieldId::Other);
        let fields = [field, session];
        let cookies = usize::from(!self.cookies.is_empty());
        let sessions = usize::from(!self.session.is_empty());
        with(&Ask {
            now_s: NOW_S + self.later_s,
            random: Random {
                session: &|| u128::from(random(1)),
                group: random(2),
                target: [random(3), random(4)],
            },
            opened: self.opened.as_deref(),
            fields: &fields[1 - cookies..1 + sessions],
            source: self.source,
            query: None,
            pinned: &self.pinned,
            is_shared: self.is_shared,
            excluded: &self.excluded,
        })
    }

    fn select(&mut self, world: &World) -> Result<Choice, Unplaced> {
        self.ask(|ask| select(&world.groups, &world.forward, world.rule.as_ref(), ask))
    }

    fn choose(&mut self, world: &World) -> Choice {
        self.select(world).expect("a target")
    }

    /// Sends a request, and remembers connection and cookie as a browser would.
    fn visit(&mut self, world: &World) -> Choice {
        let choice = self.choose(world);
        if let Some(outcome) = choice.sticky {
            self.remember(world, &outcome);
            if let CookieAction::Set(assignment) = outcome.answer(AppCookieEvent::None) {
                self.take(world, &assignment);
            }
        }
        choice
    }

    /// Remembers what its connection would.
    fn remember(&mut self, world: &World, outcome: &StickyOutcome) {
        if outcome.is_pinned {
            let (sticky, now_s) = (scope_of(world), NOW_S + self.later_s);
            let pinned = Pinned::new(sticky, self.source, &outcome.assignment, now_s);
            self.pinned.retain(|other| !other.is_of_the_same(&pinned));
            self.pinned.push(pinned);
        }
    }

    fn take(&mut self, world: &World, assignment: &Assignment) {
        let sticky = scope_of(world);
        let mut out = Vec::new();
        let now_s = NOW_S + self.later_s;
        assert!(sticky.write_set_cookie(&assignment.seen(now_s), true, [8; 12], &mut out));
        let pair = out.split(|byte| *byte == b';').next().expect("a pair");
        self.cookies = String::from_utf8(pair.to_vec()).expect("text");
    }

    fn on_full(&mut self, world: &World, choice: &Choice) -> Full {
        self.ask(|ask| on_full::on_full(&world.groups, choice, ask))
    }
}

fn scope_of(world: &World) -> &Stickiness {
    let own = world.groups.first().and_then(|group| group.stickiness.as_ref());
    world.rule.as_ref().or(own).expect("a sticky scope")
}

fn outcome(choice: &Choice) -> StickyOutcome {
    choice.sticky.expect("sticky")
}

fn with_health(plan: Plan<'_>, healths: &[Health]) -> World {
    one(Plan { healths, ..plan })
}

fn sticky_plan() -> Plan<'static> {
    Plan { sticky: Some(options()), ..PLAN }
}

#[test]
fn a_plain_group_takes_turns_and_reads_no_cookie() {
    let world = one(PLAN);
    let mut client = Client { cookies: "limpet_app=x".into(), ..Client::default() };
    let picks: Vec<_> = (0..4).map(|_| client.choose(&world)).collect();
    assert!(picks.iter().all(|choice| choice.sticky.is_none()));
    assert_eq!(picks.iter().map(|choice| choice.target).collect::<Vec<_>>(), [0, 1, 2, 0]);
}

#[test]
fn disabled_stickiness_is_none() {
    let off = StickinessOptions { enabled: false, ..options() };
    let world = one(Plan { sticky: Some(off), ..PLAN });
    assert_eq!(Client::default().choose(&world).sticky, None);
}

#[test]
fn draining_serves_the_bound_and_nobody_else() {
    let world = one(sticky_plan());
    let mut client = Client::default();
    let first = client.visit(&world);
    let healths: Vec<Health> =
        (0..3).map(|index| if index == first.target { Draining } else { Healthy }).collect();
    let draining = with_health(sticky_plan(), &healths);
    let stays = client.visit(&draining);
    assert_eq!((stays.target, outcome(&stays).reason), (first.target, Reason::Draining));
    assert_eq!(outcome(&stays).issue, Issue::Never);
    for seed in 0..20 {
        let mut stranger = Client { seed: seed * 7, ..Client::default() };
        assert_ne!(stranger.visit(&draining).target, first.target);
    }
    // A client without cookies is led by its connection alone, which may last for hours.
    let pinned = client.pinned.clone();
    let mut without = Client { pinned: pinned.clone(), ..Client::default() };
    assert_eq!(without.choose(&world).target, first.target);
    assert_ne!(without.choose(&draining).target, first.target);
    // Where nobody else is, it stays.
    let all = with_health(sticky_plan(), &[Draining; 3]);
    assert_eq!(Client { pinned, ..Client::default() }.choose(&all).target, first.target);
}

#[test]
fn fail_over_is_deterministic_issued_once_and_follows_failback() {
    for (failback, returns) in [(Failback::Never, false), (Failback::Healthy, true)] {
        let plan = || Plan { sticky: Some(StickinessOptions { failback, ..options() }), ..PLAN };
        let world = one(plan());
        let mut client = Client::default();
        let first = client.visit(&world).target;
        let sick: Vec<Health> =
            (0..3).map(|index| if index == first { Unhealthy } else { Healthy }).collect();
        let (shard, node) = (with_health(plan(), &sick), with_health(plan(), &sick));
        let mut parallel = Client { seed: 1_000, ..client.clone() };
        let moved = client.visit(&shard);
        assert_eq!(parallel.visit(&node).target, moved.target);
        let fail_over = outcome(&moved);
        assert_eq!((fail_over.reason, fail_over.issue), (Reason::Unhealthy, Issue::Now));
        let settled = outcome(&client.visit(&shard));
        assert_eq!((settled.reason, settled.issue), (Reason::Valid, Issue::Never));
        let healed = client.visit(&world);
        assert_eq!(outcome(&healed).reason, Reason::Valid);
        assert_eq!(healed.target == first, returns, "{failback:?}");
        assert_eq!(outcome(&healed).issue == Issue::Now, returns, "{failback:?}");
    }
}

#[test]
fn a_removed_target_fails_over() {
    let world = one(sticky_plan());
    let mut client = Client::default();
    while client.visit(&world).target != 2 {
        client = Client { seed: client.seed, ..Client::default() };
    }
    let smaller = one(Plan { healths: &[Healthy; 2], ..sticky_plan() });
    let moved = client.visit(&smaller);
    assert_eq!((outcome(&moved).reason, outcome(&moved).issue), (Reason::Removed, Issue::Now));
}

#[test]
fn a_retry_leaves_the_tried_targets_out() {
    let plain = one(PLAN);
    let mut client = Client { excluded: vec![100, 102], ..Client::default() };
    assert_eq!(client.choose(&plain).target, 1);
    client.excluded.push(101);
    assert_eq!(client.select(&plain), Err(Unplaced::NoTarget));

    let world = one(sticky_plan());
    let mut user = Client::default();
    let first = user.visit(&world);
    user.excluded = vec![100 + first.target as u32];
    let retried = user.clone().choose(&world);
    assert_ne!(retried.target, first.target);
    let fail_over = outcome(&retried);
    assert_eq!((fail_over.reason, fail_over.issue), (Reason::Unhealthy, Issue::Now));
    assert_eq!(user.choose(&world).target, retried.target, "parallel requests agree");
}

#[test]
fn who_has_nobody_else_is_served_by_one_that_is_ejected() {
    let plain = one(Plan { ejected: &[2], ..PLAN });
    let mut client = Client { excluded: vec![100], ..Client::default() };
    assert_eq!(client.choose(&plain).target, 1, "others come first");
    client.excluded.push(101);
    assert_eq!(client.choose(&plain).target, 2);
    let failing = one(Plan { healths: &[Healthy, Unhealthy, Unhealthy], ejected: &[2], ..PLAN });
    client.excluded.clear();
    assert_eq!(client.choose(&failing).target, 0);
    client.excluded.push(100);
    assert_eq!(client.choose(&failing).target, 2, "though a check speaks against it");
    client.excluded.push(102);
    assert_eq!(
        client.select(&failing),
        Err(Unplaced::NoTarget),
        "the other is unhealthy without being ejected"
    );
}

#[test]
fn a_session_that_has_nobody_else_moves_to_one_that_is_ejected() {
    for (failback, home) in [(Failback::Never, "t1"), (Failback::Healthy, "t0")] {
        let sticky = Some(StickinessOptions { failback, ..options() });
        let plan = Plan { healths: &[Healthy; 2], ejected: &[1], sticky, ..PLAN };
        let world = one(plan);
        let mut user = Client::default();
        assert_eq!(user.visit(&world).target, 0);
        user.excluded = vec![100];
        let moved = user.choose(&world);
        let outcome = outcome(&moved);
        assert_eq!((moved.target, outcome.reason), (1, Reason::Unhealthy));
        assert_eq!((outcome.issue, outcome.assignment.home), (Issue::Now, stable_key(home)));
    }
}

#[test]
fn a_session_counts_once_its_cookie_has_come_back_and_where_it_lives() {
    let world = one(sticky_plan());
    let key = |choice: &Choice| world.groups[0].targets[choice.target].key;
    let set = |choice: &Choice| CookieAction::Set(outcome(choice).assignment);
    let mut user = Client::default();
    let first = user.visit(&world);
    assert_eq!(outcome(&first).count_at(key(&first), set(&first)), Count::Nothing, "it is new");
    let mut without = Client { pinned: user.pinned.clone(), ..Client::default() };
    let pinned = without.choose(&world);
    assert_eq!(outcome(&pinned).count_at(key(&pinned), set(&pinned)), Count::Nothing);

    let again = user.choose(&world);
    let (at, none) = (key(&again), CookieAction::Nothing);
    assert_eq!(outcome(&again).count_at(at, none), Count::Lives);
    assert_eq!(outcome(&again).count_at(at, CookieAction::Delete), Count::Ends);
    assert_eq!(outcome(&again).count_at(at + 1, none), Count::Nothing);
    assert_eq!(outcome(&again).left, None);

    user.excluded = vec![100 + first.target as u32];
    let moved = user.choose(&world);
    assert_eq!(outcome(&moved).count_at(key(&moved), set(&moved)), Count::Lives);
    assert_eq!(outcome(&moved).left, Some((0, first.target)));
}

#[test]
fn a_session_that_moves_to_another_group_leaves_its_target_in_the_first() {
    let world = two(&[Healthy], &[Healthy], Some(options()));
    let mut user = Client::default();
    let first = user.visit(&world);
    user.excluded = vec![100 + 100 * first.group as u32];
    let moved = user.choose(&world);
    assert_ne!(moved.group, first.group);
    assert_eq!(outcome(&moved).left, Some((first.group, first.target)));
}

#[test]
fn another_group_comes_before_targets_that_are_ejected() {
    let world = |green: &[Health], rule| {
        let mut world = two(&[Healthy; 2], green, rule);
        world.groups[0] =
            group(Plan { name: "blue", healths: &[Healthy; 2], ejected: &[1], ..PLAN }, 0);
        world
    };
    for rule in [None, Some(options())] {
        let mut client = Client::default();
        while client.visit(&world(&[Healthy], rule.clone())).group != 0 {
            client = Client { seed: client.seed, ..Client::default() };
        }
        client.excluded = vec![100];
        for _ in 0..20 {
            assert_eq!(client.choose(&world(&[Healthy], rule.clone())).group, 1);
            let choice = client.choose(&world(&[Unhealthy, Draining], rule.clone()));
            // Green fails open with its first target; when that has been tried as well, only blue's is left.
            assert_eq!((choice.group, choice.target), (1, 0));
            let mut last = client.clone();
            last.excluded.push(200);
            let choice = last.choose(&world(&[Unhealthy, Draining], rule.clone()));
            assert_eq!((choice.group, choice.target), (0, 1));
        }
    }
}

#[test]
fn only_first_attempts_count_as_requests_of_the_budget() {
    let world = one(PLAN);
    let mut client = Client::default();
    for _ in 0..10 {
        client.choose(&world);
    }
    client.excluded = vec![100];
    client.choose(&world);
    let state = &world.groups[0].state;
    let held: Vec<_> = (0..10).filter_map(|_| state.start_retry(NOW_S, 20, 0)).collect();
    assert_eq!(held.len(), 2);
}

#[test]
fn a_group_without_targets_is_no_target() {
    assert_eq!(
        Client::default().select(&one(Plan { healths: &[], ..PLAN })),
        Err(Unplaced::NoTarget)
    );
    let drained = Plan { healths: &[Draining; 2], ..sticky_plan() };
    assert_eq!(Client::default().select(&one(drained)), Err(Unplaced::NoTarget));
    let world = World { groups: Vec::new(), forward: forward(&[(0, 1)]), rule: None };
    assert_eq!(Client::default().select(&world), Err(Unplaced::NoTarget));
    let world = World { forward: forward(&[]), ..one(PLAN) };
    assert_eq!(Client::default().select(&world), Err(Unplaced::NoTarget));
}

#[test]
fn groups_are_drawn_by_weight_and_one_without_targets_is_escaped() {
    let count = |world: &World| {
        let mut client = Client::default();
        (0..4_000).map(|_| client.choose(world).group).filter(|group| *group == 0).count()
    };
    let both = count(&two(&[Healthy], &[Healthy], None));
    assert!(both.abs_diff(3_000) < 150, "{both}");
    assert_eq!(count(&two(&[Draining], &[Healthy], None)), 0);
    assert_eq!(count(&two(&[Healthy], &[], None)), 4_000);
    let mut unweighted = two(&[Healthy], &[Healthy], None);
    unweighted.forward = forward(&[(0, 0), (1, 1)]);
    assert_eq!(count(&unweighted), 0);
    let mut client = Client { excluded: vec![100], ..Client::default() };
    let world = two(&[Healthy], &[Healthy], None);
    assert!((0..50).all(|_| client.choose(&world).group == 1), "a retry escapes too");
}

#[test]
fn a_sticky_rule_remembers_group_and_target() {
    let world = two(&[Healthy; 3], &[Healthy; 3], Some(options()));
    for seed in 0..40 {
        let mut client = Client { seed: seed * 100, ..Client::default() };
        let first = client.visit(&world);
        assert!(client.cookies.starts_with("limpet_deploy="), "{}", client.cookies);
        for _ in 0..5 {
            let again = client.visit(&world);
            assert_eq!((again.group, again.target), (first.group, first.target));
            assert_eq!(outcome(&again).reason, Reason::Valid);
        }
    }
}

#[test]
fn a_sticky_rule_fails_over_within_the_group_before_it_escapes() {
    let world = two(&[Healthy; 3], &[Healthy; 3], Some(options()));
    let mut client = Client::default();
    while client.visit(&world).group != 1 {
        client = Client { seed: client.seed, ..Client::default() };
    }
    let bound = client.visit(&world).target;
    let sick: Vec<Health> =
        (0..3).map(|index| if index == bound { Unhealthy } else { Healthy }).collect();
    let partly = client.clone().visit(&two(&[Healthy; 3], &sick, Some(options())));
    assert_eq!((partly.group, outcome(&partly).reason), (1, Reason::Unhealthy));
    assert_ne!(partly.target, bound);

    let lost = two(&[Healthy; 3], &[Unused; 3], Some(options()));
    let mut parallel = Client { seed: 9_999, ..client.clone() };
    let escaped = client.visit(&lost);
    assert_eq!((escaped.group, outcome(&escaped).issue), (0, Issue::Now));
    assert_eq!(outcome(&escaped).reason, Reason::Removed);
    assert_eq!(outcome(&escaped).assignment.group, stable_key("blue"));
    assert_eq!(parallel.visit(&lost).target, escaped.target, "everyone agrees");
    let back = client.visit(&world);
    assert_eq!((back.group, back.target), (0, escaped.target), "it lives there now");

    let mut dropped = two(&[Healthy; 3], &[Healthy; 3], Some(options()));
    dropped.forward = forward(&[(1, 1)]);
    let moved = client.visit(&dropped);
    assert_eq!((moved.group, outcome(&moved).reason), (1, Reason::Removed));
    let nobody = two(&[Unused; 3], &[Unused; 3], Some(options()));
    assert_eq!(client.select(&nobody), Err(Unplaced::NoTarget));
}

#[test]
fn a_rules_cookie_and_a_groups_cookie_are_not_exchangeable() {
    let rule = two(&[Healthy; 3], &[Healthy; 3], Some(options()));
    let mut client = Client::default();
    client.visit(&rule);
    let group = one(sticky_plan());
    client.cookies = client.cookies.replace("limpet_deploy=", "limpet_app=");
    assert_eq!(outcome(&client.choose(&group)).reason, Reason::Invalid);
    client.cookies = client.cookies.replace("limpet_app=", "limpet_deploy=");
    assert_eq!(outcome(&client.choose(&rule)).reason, Reason::Valid);
}

#[test]
fn nodes_with_the_same_keys_agree_and_others_do_not() {
    let world = one(sticky_plan());
    let mut client = Client::default();
    let first = client.visit(&world);
    let peer = one(sticky_plan());
    assert_eq!(client.clone().choose(&peer).target, first.target);
    let strange = Arc::new(KeyRing::from_secrets(&[(1, [9; 32])]).expect("valid"));
    let scope = Scope::Group("app".into());
    let stranger = Stickiness::new(options(), scope, strange).expect("valid");
    let value = client.cookies.split_once('=').expect("a pair").1;
    assert_eq!(read(&stranger, value.as_bytes()), Reading::Invalid);
}

#[test]
fn hashing_looks_at_the_request() {
    let parts = GroupParts {
        name: "app".into(),
        algorithm: Algorithm::Hash(HashOn::Cookie("user".into())),
        options: group_options(),
        stickiness: None,
        targets: targets(&[(1, Healthy); 5]),
        state: GroupState::new(),
    };
    let group = Arc::new(TargetGroup::new(parts).expect("valid"));
    let world = World { groups: vec![group], forward: forward(&[(0, 1)]), rule: None };
    let mut used = std::collections::HashSet::new();
    for user in 0..30 {
        let mut client = Client { cookies: format!("user={user}"), ..Client::default() };
        let first = client.choose(&world).target;
        assert!((0..5).all(|_| client.choose(&world).target == first));
        used.insert(first);
    }
    assert_eq!(used.len(), 5);
}

#[test]
fn kinds_of_stickiness_are_told_apart() {
    assert_eq!(sticky(options()).options().kind, StickinessKind::LbCookie);
    assert!(sticky(app_options()).app_cookie().is_some());
}
