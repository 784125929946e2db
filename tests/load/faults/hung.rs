//! A target that accepts and never answers.

use std::collections::BTreeMap;

use super::{
    ERRORS, HUNG, NAMES, PUBLISHED_MS, SICK, Stage, assert_each_user_moved_once_at_most, checked,
    ejecting, failures, tell, users_of_the_sick,
};
use crate::support::load::{Asked, unix_ms};

/// Failures by user.
fn by_user(failed: &[&Asked]) -> BTreeMap<usize, usize> {
    let mut users = BTreeMap::new();
    for one in failed {
        *users.entry(one.client).or_default() += 1;
    }
    users
}

#[test]
fn each_user_of_a_hung_target_waits_once_until_checks_take_it_out() {
    // The second of two checks, 550 ms apart at most, has failed after 1.6 s, long before the first request is
    // given up; so each of its users has one request that hangs.
    let stage = Stage::new(|app| checked(app).set("timeouts.response", "4s"));
    let load = stage.load();
    stage.set(HUNG);
    let hung_unix_ms = unix_ms();
    let shown = stage.limpet.admin().until_health("app", NAMES[SICK], "unhealthy");
    assert_eq!(shown["last_check"]["error"], "no response within 500ms");
    let hung_ms = 4000;
    load.until(hung_unix_ms + hung_ms + 1000);
    let asked = load.finish();
    tell("hung, checked", &asked);
    let affected = users_of_the_sick(&asked);
    let failed = failures(&asked);
    assert!(
        failed.iter().all(|one| one.status == 504 && one.took_ms + 50 >= hung_ms),
        "{failed:?}"
    );
    let waited = by_user(&failed);
    assert!(waited.values().all(|count| *count == 1), "{waited:?}");
    assert!(waited.keys().eq(&affected), "{waited:?} are not {affected:?}");
    let out_unix_ms = shown["since_unix_ms"].as_u64().unwrap() + PUBLISHED_MS;
    let late: Vec<_> = failed.iter().filter(|one| one.sent_unix_ms > out_unix_ms).collect();
    assert!(late.is_empty(), "sent when it was out at {out_unix_ms}: {late:?}");
    assert_each_user_moved_once_at_most(&asked);
}

#[test]
fn a_hung_target_is_ejected_when_its_first_requests_are_given_up() {
    // Its users all hang for one response timeout, and the first errors among theirs eject. Who asks again
    // before that is published, a small part of a response timeout later, hangs once more.
    let stage = Stage::new(|app| ejecting(app).set("timeouts.response", "1s"));
    let load = stage.load();
    stage.set(HUNG);
    let ejected = stage.limpet.admin().event("ejection", "b is ejected");
    load.until(unix_ms() + 2000);
    let asked = load.finish();
    tell("hung, ejecting", &asked);
    let failed = failures(&asked);
    let affected = users_of_the_sick(&asked);
    assert!(failed.iter().all(|one| one.status == 504), "{failed:?}");
    assert!((ERRORS..=2 * affected.len()).contains(&failed.len()), "{}", failed.len());
    let waited = by_user(&failed);
    assert!(
        waited.iter().all(|(user, count)| *count <= 2 && affected.contains(user)),
        "{waited:?}"
    );
    let out_unix_ms = ejected["unix_ms"].as_u64().unwrap() + PUBLISHED_MS;
    let late: Vec<_> = failed.iter().filter(|one| one.sent_unix_ms > out_unix_ms).collect();
    assert!(late.is_empty(), "sent when it was out at {out_unix_ms}: {late:?}");
    assert_each_user_moved_once_at_most(&asked);
}
