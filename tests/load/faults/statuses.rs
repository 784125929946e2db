//! A target that answers, but late or with errors.

use super::{
    ERRORS, NAMES, PACE, PUBLISHED_MS, SICK, SLOW, SLOW_WORK, Stage, USERS, WORK,
    assert_each_user_moved_once_at_most, checked, ejecting, failures, tell, users_of_the_sick,
};
use crate::support::load::unix_ms;

#[test]
fn a_slow_target_keeps_its_users_and_slows_nobody_elses() {
    // Slow, but not too slow for its checks.
    let patient = |app| ejecting(checked(app)).set("health_check.interval", "2s");
    let stage = Stage::new(|app| patient(app).set("health_check.timeout", "2s"));
    let load = stage.load();
    let slow_unix_ms = unix_ms();
    stage.set(SLOW);
    load.more(40 * USERS);
    let asked = load.finish();
    tell("slow", &asked);
    assert_eq!(failures(&asked).len(), 0);
    assert_each_user_moved_once_at_most(&asked);
    assert_eq!(users_of_the_sick(&asked).len(), USERS / NAMES.len());
    let median_ms = |is_sick: bool| {
        let since = asked.iter().filter(|one| one.sent_unix_ms > slow_unix_ms);
        let of = since.filter(|one| (one.target == NAMES[SICK]) == is_sick);
        let mut took: Vec<u64> = of.map(|one| one.took_ms).collect();
        took.sort_unstable();
        took[took.len() / 2]
    };
    let slow_ms = SLOW_WORK.as_millis() as u64;
    assert!(median_ms(true) >= slow_ms && median_ms(false) < slow_ms / 2, "{}", median_ms(false));
}

#[test]
fn errors_of_the_application_pass_and_eject_nobody() {
    let stage = Stage::new(|app| checked(ejecting(app)));
    let load = stage.load();
    stage.set(500);
    let before_unix_ms = unix_ms();
    load.more(20 * USERS);
    let asked = load.finish();
    tell("500", &asked);
    let failed = failures(&asked);
    assert!(failed.iter().all(|one| one.status == 500 && one.target == NAMES[SICK]), "{failed:?}");
    // Whatever its users asked since is an error, and is theirs alone.
    let of_the_sick = asked.iter().filter(|one| one.target == NAMES[SICK]);
    let asked_since = of_the_sick.filter(|one| one.sent_unix_ms >= before_unix_ms).count();
    assert!(failed.len() >= asked_since && failed.len() <= asked_since + USERS / NAMES.len());
    let shown = stage.limpet.admin().target("app", NAMES[SICK]);
    assert_eq!(
        (&shown["health"], shown["ejected_until_unix_ms"].is_null()),
        (&"healthy".into(), true)
    );
    assert_each_user_moved_once_at_most(&asked);
}

#[test]
fn a_target_that_says_503_is_ejected_after_as_many_as_the_settings_say() {
    let stage = Stage::new(ejecting);
    let load = stage.load();
    stage.set(503);
    let ejected = stage.limpet.admin().event("ejection", "b is ejected");
    load.more(20 * USERS);
    let asked = load.finish();
    tell("503", &asked);
    let failed = failures(&asked);
    assert!(failed.iter().all(|one| one.status == 503 && one.target == NAMES[SICK]), "{failed:?}");
    // The errors that eject, and what its users could ask until that was published.
    let users = users_of_the_sick(&asked).len();
    let each = 1 + PUBLISHED_MS as usize / (PACE + WORK).as_millis() as usize;
    assert!((ERRORS..=ERRORS + users * each).contains(&failed.len()), "{}", failed.len());
    let out_unix_ms = ejected["unix_ms"].as_u64().unwrap() + PUBLISHED_MS;
    let late: Vec<_> = failed.iter().filter(|one| one.sent_unix_ms > out_unix_ms).collect();
    assert!(late.is_empty(), "sent when it was out at {out_unix_ms}: {late:?}");
    assert_each_user_moved_once_at_most(&asked);
}
