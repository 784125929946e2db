//! First visits that go where the fewest sessions live.

use crate::group::select::tests::*;
use crate::stickiness::options::NewSessions;

fn seeking(options: StickinessOptions) -> StickinessOptions {
    StickinessOptions { new_sessions: NewSessions::LeastSessions, ..options }
}

fn seeking_plan() -> Plan<'static> {
    Plan { sticky: Some(seeking(options())), ..PLAN }
}

/// Publishes how many sessions live at each target of a group.
fn publish(world: &World, group: GroupIndex, live: &[u64]) {
    for (target, live) in world.groups[group].targets.iter().zip(live) {
        target.state.newcomers().publish(None, NOW_S, || *live);
    }
}

fn loads(world: &World, group: GroupIndex) -> Vec<u64> {
    world.groups[group].targets.iter().map(|target| target.state.newcomers().load()).collect()
}

fn strangers() -> impl Iterator<Item = Client> {
    (0..).map(|seed| Client { seed: seed * 7, ..Client::default() })
}

#[test]
fn a_first_visit_goes_where_the_fewest_live_and_nobody_is_moved() {
    let app = StickinessOptions { cookie_name: Some("own".into()), ..app_options() };
    for options in [options(), app] {
        let world = one(Plan { sticky: Some(seeking(options)), ..PLAN });
        let mut user = Client::default();
        let first = user.visit(&world);
        let app_cookie = outcome(&first).answer(AppCookieEvent::Set);
        let CookieAction::Set(assignment) = app_cookie else { panic!("a session begins") };
        user.take(&world, &assignment);
        user.cookies.push_str("; SID=1");
        let live: Vec<u64> = (0..3).map(|at| if at == first.target { 90 } else { 40 }).collect();
        publish(&world, 0, &live);
        for mut stranger in strangers().take(80) {
            assert_ne!(stranger.choose(&world).target, first.target);
        }
        let loads = loads(&world, 0);
        assert!(loads.iter().all(|load| (75..=91).contains(load)), "{loads:?}");
        let back = user.choose(&world);
        assert_eq!((back.target, outcome(&back).reason), (first.target, Reason::Valid));
        assert_eq!(self::loads(&world, 0), loads, "who comes back is placed nowhere");
    }
}

#[test]
fn by_the_algorithm_nobody_is_counted() {
    let world = one(sticky_plan());
    publish(&world, 0, &[90, 0, 0]);
    let picked: Vec<_> = strangers().take(3).map(|mut one| one.visit(&world).target).collect();
    assert_eq!(picked, [0, 1, 2]);
    assert_eq!(loads(&world, 0), [90, 0, 0]);
}

#[test]
fn a_sticky_rule_draws_the_group_and_seeks_room_within_it() {
    let world = two(&[Healthy; 2], &[Healthy; 2], Some(seeking(options())));
    publish(&world, 0, &[500, 0]);
    publish(&world, 1, &[0, 500]);
    let mut groups = [0; 2];
    for mut stranger in strangers().take(400) {
        let choice = stranger.visit(&world);
        groups[choice.group] += 1;
        assert_eq!(choice.target, 1 - choice.group);
    }
    assert!((60..140).contains(&groups[1]), "three to one: {groups:?}");
}

#[test]
fn the_setting_of_a_group_says_nothing_about_a_rule() {
    let scope = Scope::Rule("deploy".into());
    let mut world = one(seeking_plan());
    world.rule = Some(Stickiness::new(options(), scope, ring()).expect("valid"));
    publish(&world, 0, &[90, 0, 0]);
    let picked: Vec<_> = strangers().take(3).map(|mut one| one.visit(&world).target).collect();
    assert_eq!(picked, [0, 1, 2]);
}

#[test]
fn a_retry_seeks_room_among_those_not_tried() {
    let world = one(seeking_plan());
    publish(&world, 0, &[0, 9, 5]);
    let mut client = Client { excluded: vec![100], ..Client::default() };
    assert_eq!(client.choose(&world).target, 2);
    client.excluded.push(102);
    assert_eq!(client.choose(&world).target, 1);
    client.excluded.push(101);
    assert_eq!(client.select(&world), Err(Unplaced::NoTarget));
}

#[test]
fn whoever_is_ejected_serves_for_want_of_others() {
    let world = one(Plan { ejected: &[2], ..seeking_plan() });
    let mut client = Client { excluded: vec![100, 101], ..Client::default() };
    assert_eq!(client.choose(&world).target, 2);
}

#[test]
fn a_session_that_begins_elsewhere_since_its_target_is_full_counts_there() {
    let world = one(Plan { limit: 1, ..seeking_plan() });
    publish(&world, 0, &[9, 0, 9]);
    let mut client = Client::default();
    let choice = client.choose(&world);
    assert_eq!((choice.target, loads(&world, 0)), (1, vec![9, 1, 9]));
    assert!(world.groups[0].targets[1].state.try_acquire(1));
    let Full::Serve(other) = client.on_full(&world, &choice) else { panic!("it is served") };
    let mut expected = vec![9, 0, 9];
    expected[other.target] = 10;
    assert_eq!(loads(&world, 0), expected);
    publish(&world, 0, &[9, 0, 9]);
    assert_eq!(loads(&world, 0), expected, "it is awaited there");
}
