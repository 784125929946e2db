//! A target whose process is gone: its port refuses and its connections are closed.

use std::collections::HashSet;

use super::{
    NAMES, SICK, Stage, USERS, assert_each_user_moved_once_at_most, checked, ejecting, failures,
    tell, users_of_the_sick,
};
use crate::support::Target;
use crate::support::config::Section;
use crate::support::load::{Asked, unix_ms};

/// Kills under load, and asserts what holds whether or not anything watches the targets: a GET never fails,
/// and a POST only if the target had it in its hands; no POST is ever done twice.
fn killed(what: &str, settings: fn(Section) -> Section) -> (Stage, Vec<Asked>) {
    let mut stage = Stage::new(settings);
    let load = stage.load();
    let killing_unix_ms = unix_ms();
    stage.sick().down();
    let killed_unix_ms = unix_ms();
    load.more(20 * USERS);
    let asked = load.finish();
    tell(what, &asked);
    let affected = users_of_the_sick(&asked);
    assert_eq!(affected.len(), USERS / NAMES.len(), "round robin placed them");
    let failed = failures(&asked);
    for one in &failed {
        assert_eq!((one.method, one.status), ("POST", 502), "{one:?}");
        assert!(affected.contains(&one.client), "{one:?}");
        let ended_unix_ms = one.sent_unix_ms + one.took_ms;
        assert!(
            one.sent_unix_ms <= killed_unix_ms && ended_unix_ms >= killing_unix_ms,
            "only what was in flight when it died, at {killing_unix_ms}..{killed_unix_ms}: {one:?}"
        );
    }
    // Each user has one request in flight at most.
    assert!(failed.len() <= affected.len(), "{failed:?}");
    let posts = |target: &Target| -> Vec<String> {
        let all = target.requests().into_iter().filter(|request| request.method == "POST");
        all.map(|request| request.target).collect()
    };
    let answered: HashSet<&str> =
        asked.iter().filter(|one| !one.has_failed()).map(|one| one.path.as_str()).collect();
    let left = posts(&stage.targets[SICK]).into_iter().filter(|post| !answered.contains(&**post));
    let left: HashSet<String> = left.collect();
    assert!(left.iter().all(|post| failed.iter().any(|one| one.path == *post)), "{left:?}");
    let done: Vec<String> = stage.targets.iter().flat_map(posts).collect();
    let once: HashSet<&String> = done.iter().collect();
    assert_eq!(once.len(), done.len(), "a POST reached two targets");
    assert_each_user_moved_once_at_most(&asked);
    (stage, asked)
}

#[test]
fn only_posts_in_its_hands_fail_when_a_target_dies_unwatched() {
    killed("killed, unwatched", |app| app);
}

#[test]
fn only_posts_in_its_hands_fail_when_a_checked_target_dies() {
    let (stage, _) = killed("killed, checked", checked);
    let shown = stage.limpet.admin().until_health("app", NAMES[SICK], "unhealthy");
    assert_eq!(shown["last_check"]["error"], "connection refused");
}

#[test]
fn only_posts_in_its_hands_fail_when_a_target_dies_where_errors_eject() {
    let (stage, _) = killed("killed, ejecting", ejecting);
    stage.limpet.admin().event("ejection", "gateway errors in a row");
}
