//! `app_header`: a sealed session id leads as a cookie does, by the same table.

use crate::group::select::tests::*;
use crate::stickiness::options::OnLost;

fn by_field(on_lost: OnLost) -> StickinessOptions {
    let kind = StickinessKind::AppHeader { name: "Session".into(), on_lost };
    StickinessOptions { kind, ..options() }
}

fn plan(on_lost: OnLost) -> Plan<'static> {
    Plan { sticky: Some(by_field(on_lost)), ..PLAN }
}

/// The session id that the target which served `choice` hands out, sealed.
fn hand_out(client: &mut Client, world: &World, choice: &Choice) {
    let sticky = scope_of(world);
    let field = sticky.session_field().expect("a field");
    let seen = outcome(choice).assignment.seen(NOW_S);
    let mut out = Vec::new();
    assert!(sticky.write_sealed(field, b"abc", (&seen, [5; 12]), &mut out));
    client.session = String::from_utf8(out).expect("text");
}

fn begin(world: &World) -> (Client, Choice) {
    let mut client = Client::default();
    let first = client.visit(world);
    hand_out(&mut client, world, &first);
    (client, first)
}

fn of_target(index: TargetIndex, health: Health, on_lost: OnLost) -> World {
    let healths: Vec<Health> =
        (0..3).map(|at| if at == index { health } else { Healthy }).collect();
    with_health(plan(on_lost), &healths)
}

fn lost(client: &mut Client, world: &World) -> LostSession {
    match client.select(world) {
        Err(Unplaced::Lost(lost)) => lost,
        other => panic!("it is served: {other:?}"),
    }
}

#[test]
fn a_session_begins_with_its_response_and_nothing_is_pinned_before() {
    let world = one(plan(OnLost::Balance));
    let mut client = Client::default();
    let visits: Vec<Choice> = (0..3).map(|_| client.visit(&world)).collect();
    let targets: HashSet<_> = visits.iter().map(|choice| choice.target).collect();
    assert_eq!(targets.len(), 3, "sessions that begin on one connection are spread");
    let new = outcome(&visits[0]);
    assert_eq!((new.reason, new.issue, new.bound), (Reason::New, Issue::WithSessionId, false));
    assert!(!new.is_pinned);
}

#[test]
fn a_session_stays_wherever_its_requests_come_from() {
    let world = one(plan(OnLost::Balance));
    let (client, first) = begin(&world);
    for later_s in [0, 100, 5_000] {
        let opened = Some(Rc::new(Memo::default()));
        let mut elsewhere =
            Client { session: client.session.clone(), later_s, opened, ..Client::default() };
        for _ in 0..3 {
            let again = elsewhere.visit(&world);
            let valid = outcome(&again);
            assert_eq!(
                (again.target, valid.reason, valid.bound),
                (first.target, Reason::Valid, true)
            );
            assert_eq!(valid.answer(AppCookieEvent::None), CookieAction::Nothing);
        }
    }
}

#[test]
fn idleness_does_not_end_it_and_age_does() {
    let options = by_field(OnLost::Balance);
    let (idle_s, most_s) = (options.duration.as_secs(), options.max_age.as_secs());
    let world = one(plan(OnLost::Balance));
    let (mut client, first) = begin(&world);
    assert!(idle_s < most_s);
    client.later_s = idle_s + 1;
    assert_eq!(client.visit(&world).target, first.target);
    client.later_s = most_s + 1;
    assert_eq!(outcome(&client.visit(&world)).reason, Reason::ExpiredAge);
    let told = one(plan(OnLost::Answer(404)));
    let lost = lost(&mut client, &told);
    assert_eq!((lost.reason, lost.status, lost.group), (Reason::ExpiredAge, 404, Some(0)));
}

#[test]
fn a_flush_ends_it() {
    let world = one(plan(OnLost::Balance));
    let (mut client, _) = begin(&world);
    for (on_lost, status) in [(OnLost::Balance, None), (OnLost::Answer(410), Some(410))] {
        let generation = options().generation + 1;
        let sticky = Some(StickinessOptions { generation, ..by_field(on_lost) });
        let flushed = one(Plan { sticky, ..PLAN });
        match status {
            None => assert_eq!(outcome(&client.visit(&flushed)).reason, Reason::Flushed),
            Some(status) => assert_eq!(lost(&mut client, &flushed).status, status),
        }
    }
}

#[test]
fn a_draining_target_keeps_it() {
    for on_lost in [OnLost::Balance, OnLost::Answer(404)] {
        let world = one(plan(on_lost));
        let (mut client, first) = begin(&world);
        let stays = client.visit(&of_target(first.target, Draining, on_lost));
        assert_eq!((stays.target, outcome(&stays).reason), (first.target, Reason::Draining));
    }
}

#[test]
fn it_fails_over_to_the_same_target_everywhere_without_a_new_value() {
    let world = one(plan(OnLost::Balance));
    let (client, first) = begin(&world);
    let sick = of_target(first.target, Unhealthy, OnLost::Balance);
    let moved: HashSet<_> = (0..20)
        .map(|seed| {
            let choice = Client { seed: seed * 31, ..client.clone() }.visit(&sick);
            let outcome = outcome(&choice);
            assert_eq!((outcome.reason, outcome.issue), (Reason::Unhealthy, Issue::WithSessionId));
            choice.target
        })
        .collect();
    assert_eq!(moved.len(), 1);
    assert!(!moved.contains(&first.target));
    assert_eq!(client.clone().visit(&world).target, first.target, "its own target is back");
}

#[test]
fn a_session_whose_target_is_gone_is_told_so_where_the_group_says_so() {
    let on_lost = OnLost::Answer(404);
    let world = one(plan(on_lost));
    let (mut client, first) = begin(&world);
    let session = outcome(&first).assignment.session;
    let sick = lost(&mut client, &of_target(first.target, Unhealthy, on_lost));
    let left = Some((session, 0, first.target));
    assert_eq!((sick.reason, sick.status, sick.left), (Reason::Unhealthy, 404, left));
    let fewer = with_health(plan(on_lost), &[Healthy; 3][..first.target]);
    if first.target > 0 {
        let removed = lost(&mut client, &fewer);
        assert_eq!((removed.reason, removed.left), (Reason::Removed, None));
    }
    let nobody = lost(&mut client, &with_health(plan(on_lost), &[]));
    assert_eq!((nobody.reason, nobody.status), (Reason::Removed, 404));
    let slot = world.groups[0].targets[first.target].state.slot;
    let mut refused = Client { excluded: vec![slot], ..client };
    assert_eq!(
        lost(&mut refused, &world).reason,
        Reason::Unhealthy,
        "it refused this very request"
    );
}

#[test]
fn a_forged_or_foreign_seal_leads_nowhere() {
    let world = one(plan(OnLost::Answer(404)));
    let (client, _) = begin(&world);
    let other = one(Plan { name: "other", ..plan(OnLost::Balance) });
    assert_eq!(outcome(&client.clone().visit(&other)).reason, Reason::Invalid, "another group");
    let moved = client.session.replace("abc.", "abd.");
    assert_eq!(
        outcome(&Client { session: moved, ..client.clone() }.visit(&world)).reason,
        Reason::Invalid
    );
    let cut = client.session[..client.session.len() - 1].to_owned();
    assert_eq!(outcome(&Client { session: cut, ..client }.visit(&world)).reason, Reason::New);
}

#[test]
fn a_full_target_is_left_for_once_and_never_for_good() {
    for on_full in [OnFull::Spill, OnFull::Restick] {
        let world = one(Plan { limit: 1, on_full, ..plan(OnLost::Balance) });
        let (mut client, first) = begin(&world);
        assert!(world.groups[0].targets[first.target].state.try_acquire(1));
        let choice = client.choose(&world);
        let Full::Serve(spilled) = client.on_full(&world, &choice) else { panic!("it is served") };
        let spilled_to = outcome(&spilled);
        assert_ne!(spilled.target, first.target);
        assert_eq!((spilled_to.reason, spilled_to.issue), (Reason::Full, Issue::Never));
        assert_eq!((spilled_to.is_known, spilled_to.left), (false, None));
        world.groups[0].targets[first.target].state.release();
        assert_eq!(client.choose(&world).target, first.target);
    }
}

#[test]
fn a_rule_over_several_groups_keeps_group_and_target() {
    let options = by_field(OnLost::Balance);
    let world = two(&[Healthy; 2], &[Healthy; 2], Some(options.clone()));
    let mut seen = HashSet::new();
    for seed in 0..24 {
        let mut client = Client { seed: seed * 97, ..Client::default() };
        let first = client.visit(&world);
        hand_out(&mut client, &world, &first);
        for _ in 0..3 {
            assert_eq!(client.visit(&world).group, first.group);
        }
        seen.insert(first.group);
        let down = match first.group {
            0 => two(&[], &[Healthy; 2], Some(options.clone())),
            _ => two(&[Healthy; 2], &[], Some(options.clone())),
        };
        let escaped = client.visit(&down);
        assert_ne!(escaped.group, first.group);
        assert_eq!(outcome(&escaped).reason, Reason::Removed);
        let told = by_field(OnLost::Answer(404));
        let down = match first.group {
            0 => two(&[], &[Healthy; 2], Some(told)),
            _ => two(&[Healthy; 2], &[], Some(told)),
        };
        let lost = lost(&mut client, &down);
        assert_eq!((lost.group, lost.status), (None, 404));
    }
    assert_eq!(seen.len(), 2);
}
