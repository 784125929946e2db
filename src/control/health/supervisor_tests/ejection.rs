//! Targets that are kept out for a while for their gateway errors.

use crate::control::health::tests::*;

#[tokio::test(start_paused = true)]
async fn gateway_errors_in_a_row_eject_a_target_for_a_while() {
    let world = World::started(EJECTING, 3).await;
    world.errors(2, 4);
    sleep(1.0).await;
    assert_eq!(world.eligible(), "abc");
    world.errors(2, 1);
    let took = world.until_eligible("ac").await;
    assert!(took <= Duration::from_millis(100), "{took:?}");
    let note = world.note(2);
    assert_eq!(note.reason, "ejected for 30s: 5 gateway errors in a row");
    assert_eq!((note.ejections, note.ejected_until_unix_ms.is_some()), (1, true));
    assert_eq!(world.state(2).errors_in_a_row(), 0);
    let took = world.until_eligible("abc").await;
    assert!((29.9..30.2).contains(&took.as_secs_f64()), "{took:?}");
    assert_eq!(world.note(2).ejected_until_unix_ms, None);
    assert_eq!(world.note(2).reason, "not checked");
    // Ejected again, and therefore for twice as long.
    world.errors(2, 5);
    world.until_eligible("ac").await;
    let took = world.until_eligible("abc").await;
    assert!((59.9..60.2).contains(&took.as_secs_f64()), "{took:?}");
    assert_eq!(
        world.events(),
        [
            "b is ejected for 30s: 5 gateway errors in a row",
            "b is back: its ejection is over",
            "b is ejected for 1m: 5 gateway errors in a row",
            "b is back: its ejection is over"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_of_a_group_is_ejected_than_its_share() {
    let world = World::started(EJECTING, 3).await;
    for port in 1..=3 {
        world.errors(port, 5);
    }
    sleep(0.2).await;
    assert_eq!(world.eligible().len(), 2);
    // The other two go on failing, but not every turn is reported.
    for _ in 0..50 {
        (1..=3).for_each(|port| world.errors(port, 5));
        sleep(0.1).await;
    }
    assert_eq!(world.eligible().len(), 2);
    let events = world.events();
    assert_eq!(events.len(), 3, "{events:?}");
    let refused = events.iter().filter(|text| text.contains("stays in despite 5 gateway errors"));
    assert_eq!(refused.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_ejection_checks_the_target_at_once_and_a_failure_is_one_of_those_that_turn_it() {
    let world = World::started(&format!("{CHECKED}\n{EJECTING}"), 3).await;
    world.fail(&[2]);
    let began = Instant::now();
    world.errors(2, 5);
    sleep(0.2).await;
    assert!(world.asked_since(began).iter().any(|(_, port)| *port == 2), "at once");
    // Its ejection is enough: were it also unhealthy, it could not be used when the others fail.
    assert_eq!(world.state(2).health_by_checks(), Health::Healthy);
    assert!(world.state(2).is_ejected());
    // The ejection ends before the checks pass; then they decide.
    sleep(35.0).await;
    assert!(!world.state(2).is_ejected());
    assert_eq!(world.eligible(), "ac");
    assert_eq!(world.note(2).reason, "3 checks failed: connection refused");
    world.fail(&[]);
    world.until_eligible("abc").await;
    let events = world.events();
    assert_eq!(
        events[1..],
        [
            "b is ejected for 30s: 5 gateway errors in a row",
            "b is unhealthy: 3 checks failed: connection refused",
            "the ejection of b is over; it is unhealthy",
            "b is healthy: 2 checks passed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_one_too_many_to_be_ejected_turns_at_the_first_failure_after_gateway_errors() {
    let world = World::started(&format!("{CHECKED}\n{EJECTING}"), 3).await;
    world.errors(1, 5);
    world.until_eligible("bc").await;
    world.fail(&[2]);
    world.errors(2, 5);
    sleep(0.2).await;
    assert_eq!(world.state(2).health_by_checks(), Health::Unhealthy);
    assert_eq!(world.note(2).reason, "a check after gateway errors failed: connection refused");
    assert_eq!(world.eligible(), "c");
}

#[tokio::test(start_paused = true)]
async fn the_last_healthy_target_changes_places_with_one_that_is_ejected() {
    let world = World::started(&format!("{CHECKED}\n{EJECTING}"), 2).await;
    world.errors(1, 5);
    world.until_eligible("b").await;
    world.fail(&[2]);
    world.errors(2, 5);
    let took = world.until_eligible("a").await;
    assert!(took <= Duration::from_millis(100), "{took:?}");
    // Were it unhealthy by now, it would stay so for `rise` checks, even if all others fail.
    assert_eq!(world.state(2).health_by_checks(), Health::Healthy);
    assert!(world.state(2).is_ejected());
}

#[tokio::test(start_paused = true)]
async fn as_many_checks_that_pass_as_bring_a_target_back_end_its_ejection() {
    let settings = format!("{CHECKED}\n{EJECTING}\nejection.time = \"5m\"\nhealth_check.rise = 3");
    let world = World::started(&settings, 3).await;
    sleep(33.0).await;
    let began = Instant::now();
    world.errors(2, 5);
    world.until_eligible("ac").await;
    let took = world.until_eligible("abc").await;
    // Three checks of the interval; the one that the ejection requested does not count.
    assert!((20.0..31.0).contains(&took.as_secs_f64()), "{took:?}");
    let checks = world.asked_since(began).into_iter().filter(|(_, port)| *port == 2);
    assert_eq!(checks.count(), 4);
    let told = "b is back: its ejection was ended by checks that passed";
    assert_eq!(world.events().last().map(String::as_str), Some(told));
    assert_eq!(world.note(2).ejected_until_unix_ms, None);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_down_is_back_with_its_checks() {
    let settings = format!("{CHECKED}\n{EJECTING}\nejection.time = \"5m\"");
    let world = World::started(&settings, 3).await;
    world.fail(&[2]);
    world.errors(2, 5);
    world.until_eligible("ac").await;
    sleep(20.0).await;
    assert_eq!(world.state(2).health_by_checks(), Health::Unhealthy);
    world.fail(&[]);
    let took = world.until_eligible("abc").await;
    assert!(took < Duration::from_secs(21), "{took:?}");
    let events = world.events();
    assert_eq!(
        events[events.len() - 2..],
        [
            "b is healthy: 2 checks passed",
            "b is back: its ejection was ended by checks that passed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_ejected_is_let_in_when_nobody_else_is_healthy() {
    let slow = "health_check.interval = \"5m\"\nejection.time = \"5m\"";
    for also in ["", "\nfail_open.count = 0"] {
        let world = World::started(&format!("{CHECKED}\n{EJECTING}\n{slow}{also}"), 3).await;
        world.errors(1, 5);
        world.until_eligible("bc").await;
        world.fail(&[2, 3]);
        world.errors(2, 5);
        world.until_eligible("c").await;
        assert_eq!(world.group().spare().map(|(index, _)| index).collect::<Vec<_>>(), [0]);
        world.errors(3, 5);
        world.until_eligible("a").await;
        let told = "a is back: its ejection was ended because no other target is healthy";
        assert!(world.events().iter().any(|event| event == told), "{:?}", world.events());
    }
}

#[tokio::test(start_paused = true)]
async fn the_operator_ends_an_ejection() {
    let world = World::started(EJECTING, 2).await;
    world.errors(1, 5);
    world.until_eligible("b").await;
    assert!(!world.board.enable("app", "b"), "it is not ejected");
    assert!(world.board.enable("app", "a"));
    let took = world.until_eligible("ab").await;
    assert!(took <= Duration::from_millis(100), "{took:?}");
    assert_eq!(world.events()[1], "a is back: its ejection was ended by the operator");
}

#[tokio::test(start_paused = true)]
async fn an_ejection_outlives_an_edit_and_ends_when_ejection_is_switched_off() {
    let world = World::started(EJECTING, 2).await;
    world.errors(2, 5);
    world.until_eligible("a").await;
    world.set(json!({ "queue": 5 }));
    sleep(1.0).await;
    assert_eq!(world.eligible(), "a");
    world.set(json!({ "ejection.errors": 0 }));
    let took = world.until_eligible("ab").await;
    assert!(took <= Duration::from_millis(100), "{took:?}");
}
