//! Targets at their limit: what happens to bound requests, and where the others go.

use crate::group::select::tests::*;

/// A world whose chosen target is full, and a client that is bound to it.
fn full(on_full: OnFull, places_elsewhere: bool) -> (World, Client, Choice) {
    let world = one(Plan { limit: 1, on_full, ..sticky_plan() });
    let mut client = Client::default();
    let bound = client.visit(&world).target;
    for (index, target) in world.groups[0].targets.iter().enumerate() {
        if index == bound || !places_elsewhere {
            assert!(target.state.try_acquire(1));
        }
    }
    let choice = client.choose(&world);
    assert_eq!((choice.target, outcome(&choice).reason), (bound, Reason::Valid));
    (world, client, choice)
}

#[test]
fn row_full_queue_waits_and_reject_rejects() {
    let (world, mut client, choice) = full(OnFull::Queue, true);
    let Full::Wait(waits) = client.on_full(&world, &choice) else { panic!("it waits") };
    assert_eq!((waits.target, outcome(&waits).reason), (choice.target, Reason::Full));
    let (world, mut client, choice) = full(OnFull::Reject, true);
    let Full::Reject(refused) = client.on_full(&world, &choice) else { panic!("it is refused") };
    assert_eq!(outcome(&refused).reason, Reason::Full);
}

#[test]
fn row_full_spill_serves_elsewhere_once_and_keeps_the_cookie() {
    let (world, mut client, choice) = full(OnFull::Spill, true);
    client.later_s = 500;
    let Full::Serve(spilled) = client.on_full(&world, &choice) else { panic!("it is served") };
    assert_ne!(spilled.target, choice.target);
    let once = outcome(&spilled);
    assert_eq!((once.reason, once.bound), (Reason::Full, false));
    assert_eq!(once.assignment, outcome(&choice).assignment);
    assert_eq!(once.count_at(once.assignment.target, CookieAction::Nothing), Count::Nothing);
    assert_eq!(once.answer(AppCookieEvent::None), CookieAction::Nothing);
    assert_eq!(once.answer(AppCookieEvent::Set), CookieAction::Nothing);
}

#[test]
fn row_full_restick_moves_the_session() {
    let (world, mut client, choice) = full(OnFull::Restick, true);
    let Full::Serve(moved) = client.on_full(&world, &choice) else { panic!("it is served") };
    assert_ne!(moved.target, choice.target);
    let sticky = outcome(&moved);
    assert_eq!((sticky.reason, sticky.issue), (Reason::Full, Issue::Now));
    assert_eq!((sticky.is_known, sticky.left), (true, Some((0, choice.target))));
    let key = world.groups[0].targets[moved.target].key;
    assert_eq!((sticky.assignment.target, sticky.assignment.home), (key, key));
    assert_eq!(sticky.assignment.session, outcome(&choice).assignment.session);
}

#[test]
fn row_full_waits_when_nobody_has_a_place() {
    for on_full in [OnFull::Spill, OnFull::Restick] {
        let (world, mut client, choice) = full(on_full, false);
        let Full::Wait(waits) = client.on_full(&world, &choice) else { panic!("it waits") };
        assert_eq!((waits.target, outcome(&waits).reason), (choice.target, Reason::Full));
        assert_eq!(outcome(&waits).assignment, outcome(&choice).assignment);
    }
}

#[test]
fn an_unbound_request_goes_where_there_is_a_place() {
    for on_full in [OnFull::Queue, OnFull::Spill, OnFull::Restick, OnFull::Reject] {
        let world = one(Plan { limit: 1, on_full, ..sticky_plan() });
        let states: Vec<_> = world.groups[0].targets.iter().map(|target| &target.state).collect();
        let mut client = Client::default();
        let choice = client.choose(&world);
        assert!(states[choice.target].try_acquire(1), "another request was faster");
        let Full::Serve(other) = client.on_full(&world, &choice) else { panic!("it is served") };
        assert_ne!(other.target, choice.target);
        let sticky = outcome(&other);
        let key = world.groups[0].targets[other.target].key;
        assert_eq!((sticky.reason, sticky.assignment.home), (Reason::New, key));
        assert!(sticky.is_pinned);
        assert_eq!(sticky.assignment.target, key);
        for state in &states {
            state.try_acquire(1);
        }
        match (client.on_full(&world, &choice), on_full) {
            (Full::Reject(_), OnFull::Reject) => {}
            (Full::Wait(waits), OnFull::Queue | OnFull::Spill | OnFull::Restick) => {
                assert_eq!(waits, choice);
            }
            (other, _) => panic!("{on_full:?}: {other:?}"),
        }
    }
}
