//! Cookies of one group: how long they count, when they are issued anew, and other cookies that identify a user.

use crate::group::select::tests::*;

#[test]
fn a_user_stays_from_the_first_visit_on() {
    let world = one(sticky_plan());
    let mut client = Client::default();
    let first = client.visit(&world);
    let new = outcome(&first);
    assert_eq!((new.reason, new.issue, new.bound), (Reason::New, Issue::Now, false));
    for later_s in [0, 50, 100] {
        let mut elsewhere =
            Client { cookies: client.cookies.clone(), later_s, ..Client::default() };
        let again = elsewhere.visit(&world);
        assert_eq!(again.target, first.target);
        let valid = outcome(&again);
        assert_eq!((valid.reason, valid.issue, valid.bound), (Reason::Valid, Issue::Never, true));
        assert_eq!(valid.answer(AppCookieEvent::None), CookieAction::Nothing);
    }
}

#[test]
fn a_cookie_is_refreshed_when_a_tenth_of_the_idle_duration_has_passed() {
    let world = one(sticky_plan());
    let mut client = Client::default();
    let first = client.visit(&world);
    client.later_s = 101;
    let again = outcome(&client.visit(&world));
    assert_eq!((again.reason, again.issue), (Reason::Valid, Issue::Now));
    assert_eq!(again.assignment, outcome(&first).assignment, "issued and session stay");
    client.later_s = 1_100;
    assert_eq!(
        outcome(&client.visit(&world)).reason,
        Reason::Valid,
        "idle counts from the refresh"
    );
}

/// One world after another, as reloads, checks and operators make them: the same cookie at a shard whose memory lasts
/// through all of them, and at one that remembers nothing.
#[test]
fn a_remembered_cookie_is_judged_like_one_that_is_opened_anew() {
    let flushed = StickinessOptions { generation: 6, ..options() };
    let shorter = StickinessOptions { duration: Duration::from_secs(49), ..options() };
    let younger = StickinessOptions { max_age: Duration::from_secs(49), ..options() };
    let first = one(sticky_plan());
    Client::default().visit(&first);
    let mut visitor = Client::default();
    // Not the first target, so that the group without its home still has another.
    let home = visitor.visit(&first).target;
    let of_target = |health: Health| {
        let mut healths = [Healthy; 3];
        healths[home] = health;
        one(Plan { healths: &healths, ..sticky_plan() })
    };
    let worlds = [
        first,
        of_target(Draining),
        of_target(Unhealthy),
        one(Plan { healths: &[Healthy; 3][..home], ..sticky_plan() }),
        one(Plan { sticky: Some(flushed), ..sticky_plan() }),
        one(Plan { sticky: Some(shorter), ..sticky_plan() }),
        one(Plan { sticky: Some(younger), ..sticky_plan() }),
        one(Plan { sticky: Some(app_options()), ..sticky_plan() }),
        one(Plan { name: "other", ..sticky_plan() }),
        two(&[Healthy; 3], &[Healthy; 3], Some(options())),
        one(PLAN),
        one(sticky_plan()),
    ];
    let memo = Rc::new(Memo::default());
    let mut reasons = HashSet::new();
    for round in 0..2 {
        for (number, world) in worlds.iter().enumerate() {
            for later_s in [0, 49, 50, 100, 101, 1_000, 1_001, 10_000, 10_001] {
                let forgetful = Client { later_s, opened: None, ..visitor.clone() };
                let remembering = Client { opened: Some(Rc::clone(&memo)), ..forgetful.clone() };
                let [anew, remembered] = [forgetful, remembering].map(|mut client| {
                    client.select(world).map(|choice| {
                        // The target of a new session depends on the turn.
                        let is_bound = choice.sticky.is_some_and(|sticky| sticky.bound);
                        let outcome =
                            choice.sticky.filter(|_| is_bound).map(|s| (choice.target, s));
                        (outcome, choice.sticky.map(|s| (s.reason, s.issue, s.bound)))
                    })
                });
                assert_eq!(remembered, anew, "world {number}, {later_s} s later, round {round}");
                if let Ok((_, Some((reason, ..)))) = anew {
                    reasons.insert(reason.code());
                }
            }
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_unstable();
    let wanted = [
        "draining",
        "expired_age",
        "expired_idle",
        "flushed",
        "new",
        "removed",
        "unhealthy",
        "valid",
    ];
    assert_eq!(reasons, wanted);
}

#[test]
fn every_dead_cookie_is_balanced_anew_with_its_reason() {
    let world = one(sticky_plan());
    let mut client = Client::default();
    client.visit(&world);
    let flushing = StickinessOptions { generation: 6, ..options() };
    let flushed = one(Plan { sticky: Some(flushing), ..PLAN });
    let garbage = "limpet_app=garbage".to_owned();
    let cases = [
        (&world, client.cookies.clone(), 1_001, Reason::ExpiredIdle),
        (&world, client.cookies.clone(), 10_001, Reason::ExpiredAge),
        (&world, garbage, 0, Reason::Invalid),
        (&flushed, client.cookies.clone(), 0, Reason::Flushed),
    ];
    for (world, cookies, later_s, reason) in cases {
        let mut client = Client { cookies, later_s, seed: 99, ..Client::default() };
        let fresh = outcome(&client.visit(world));
        assert_eq!((fresh.reason, fresh.issue, fresh.bound), (reason, Issue::Now, false));
        assert_eq!(fresh.assignment.issued_s, NOW_S + later_s);
        assert_eq!(outcome(&client.visit(world)).reason, Reason::Valid);
    }
}

#[test]
fn a_first_visit_of_several_requests_is_coherent() {
    let world = one(sticky_plan());
    let mut client = Client::default();
    let first = client.choose(&world);
    client.remember(&world, &outcome(&first));
    for _ in 0..5 {
        let next = client.choose(&world);
        assert_eq!(next.target, first.target);
        let next = outcome(&next);
        assert_eq!((next.reason, next.issue), (Reason::New, Issue::Now));
        assert_eq!(next.assignment, outcome(&first).assignment, "one session");
    }
    client.cookies = "limpet_app=garbage".into();
    let spoiled = client.choose(&world);
    assert_eq!((spoiled.target, outcome(&spoiled).reason), (first.target, Reason::Invalid));
}

#[test]
fn a_first_visit_that_fails_over_has_its_home_where_it_is_served() {
    let failback = Failback::Healthy;
    let world = one(Plan { sticky: Some(StickinessOptions { failback, ..options() }), ..PLAN });
    let mut client = Client::default();
    let first = client.choose(&world);
    client.remember(&world, &outcome(&first));
    // Another request of the connection finds that the target fails it.
    client.excluded = vec![world.groups[0].targets[first.target].state.slot];
    let next = client.choose(&world);
    assert_ne!(next.target, first.target);
    let assignment = outcome(&next).assignment;
    assert_eq!(assignment.home, assignment.target);
    assert_eq!(assignment.session, outcome(&first).assignment.session);
}

#[test]
fn first_visits_agree_by_client_address() {
    let world = one(sticky_plan());
    let mut connection = Client::default();
    let mut first_of = |last: u8| {
        connection.source = Some([192, 0, 2, last].into());
        connection.cookies.clear();
        let choice = connection.visit(&world);
        (choice.target, outcome(&choice).assignment.session)
    };
    let first: Vec<_> = (0..3).map(&mut first_of).collect();
    assert_eq!(first.iter().map(|(target, _)| target).collect::<HashSet<_>>().len(), 3);
    assert_eq!((0..3).map(&mut first_of).collect::<Vec<_>>(), first);
}

#[test]
fn users_of_one_address_behind_a_proxy_share_a_target_and_no_session() {
    let world = one(sticky_plan());
    let mut connection = Client { is_shared: true, ..Client::default() };
    let mut sessions = HashSet::new();
    let mut targets = HashSet::new();
    for _ in 0..5 {
        connection.cookies.clear();
        let choice = connection.visit(&world);
        targets.insert(choice.target);
        sessions.insert(outcome(&choice).assignment.session);
    }
    assert_eq!((targets.len(), sessions.len()), (1, 5));
}

#[test]
fn what_a_connection_remembers_counts_in_its_scope_and_while_it_lives() {
    let world = one(sticky_plan());
    let mut client = Client::default();
    let first = client.choose(&world);
    client.remember(&world, &outcome(&first));
    let other = one(Plan { name: "other", ..sticky_plan() });
    let elsewhere = outcome(&client.choose(&other));
    assert_ne!(elsewhere.assignment.session, outcome(&first).assignment.session);
    let flushed =
        one(Plan { sticky: Some(StickinessOptions { generation: 6, ..options() }), ..PLAN });
    assert!(!outcome(&client.choose(&flushed)).bound);
    client.later_s = 1_001;
    assert!(!outcome(&client.choose(&world)).bound);
    client.later_s = 0;
    let sick: Vec<Health> =
        (0..3).map(|index| if index == first.target { Unhealthy } else { Healthy }).collect();
    let moved = client.choose(&with_health(sticky_plan(), &sick));
    assert_ne!(moved.target, first.target);
    assert_eq!(
        outcome(&moved).assignment.session,
        outcome(&first).assignment.session,
        "the session fails over"
    );
}

#[test]
fn a_refresh_never_lowers_the_generation() {
    let ahead =
        one(Plan { sticky: Some(StickinessOptions { generation: 6, ..options() }), ..PLAN });
    let mut client = Client::default();
    client.visit(&ahead);
    client.later_s = 500;
    let behind = outcome(&client.visit(&one(sticky_plan())));
    assert_eq!((behind.issue, behind.assignment.generation), (Issue::Now, 6));
}

#[test]
fn stickiness_by_application_cookie_begins_and_ends_with_it() {
    let world = one(Plan { sticky: Some(app_options()), ..PLAN });
    let mut client = Client::default();
    let first = client.choose(&world);
    let waiting = outcome(&first);
    assert_eq!((waiting.reason, waiting.issue), (Reason::New, Issue::WithAppCookie));
    assert!(!waiting.is_pinned);
    assert_eq!(waiting.answer(AppCookieEvent::None), CookieAction::Nothing);
    assert_eq!(waiting.answer(AppCookieEvent::Set), CookieAction::Set(waiting.assignment));
    assert_eq!(waiting.answer(AppCookieEvent::Deleted), CookieAction::Delete);
    assert_ne!(client.choose(&world).target, first.target, "balanced until it begins");

    client.take(&world, &waiting.assignment);
    let ours = client.cookies.clone();
    client.cookies = format!("{ours}; SID=1");
    for _ in 0..4 {
        let bound = client.choose(&world);
        assert_eq!((bound.target, outcome(&bound).reason), (first.target, Reason::Valid));
        let bound = outcome(&bound);
        assert_eq!(bound.answer(AppCookieEvent::None), CookieAction::Nothing);
        assert_eq!(bound.answer(AppCookieEvent::Set), CookieAction::Set(waiting.assignment));
        assert_eq!(bound.answer(AppCookieEvent::Deleted), CookieAction::Delete);
    }
    client.later_s = 500;
    assert_eq!(outcome(&client.choose(&world)).issue, Issue::Now);
    client.later_s = 5_000;
    let expired = outcome(&client.choose(&world));
    assert_eq!((expired.reason, expired.issue), (Reason::ExpiredIdle, Issue::WithAppCookie));
    client.later_s = 0;
    client.cookies = ours;
    let alone = outcome(&client.choose(&world));
    assert_eq!((alone.reason, alone.bound), (Reason::New, false));
}
