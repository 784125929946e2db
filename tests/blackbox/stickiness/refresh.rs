//! The cookie is sent again only when more than a tenth of the idle duration has passed.

use std::time::{Duration, Instant};

use super::{COOKIE, first_visit, sticky_group, targets, visit};
use crate::support::{config, poll};

#[test]
fn a_visit_after_a_tenth_of_the_duration_refreshes_the_cookie() {
    let targets = targets::<2>();
    let group = sticky_group(&targets).set("stickiness.duration", "20s");
    let limpet = config().group(group).start();
    let started = Instant::now();
    let (home, cookie) = first_visit(&limpet);
    assert!(visit(&limpet, &cookie).set_cookie(COOKIE).is_none(), "refreshed at once");
    let refreshed = poll(|| visit(&limpet, &cookie).set_cookie(COOKIE)).expect("a refresh");
    assert!(started.elapsed() >= Duration::from_millis(900), "refreshed before it was due");
    assert_ne!(refreshed.value, cookie.value);
    assert_eq!(visit(&limpet, &refreshed).target(), home);
    assert!(visit(&limpet, &refreshed).set_cookie(COOKIE).is_none(), "refreshed twice");
}

#[test]
fn visits_keep_a_session_alive_past_its_idle_duration() {
    let targets = targets::<3>();
    let group = sticky_group(&targets).set("stickiness.duration", "2s");
    let limpet = config().group(group).start();
    let started = Instant::now();
    let (home, mut cookie) = first_visit(&limpet);
    poll(|| {
        let response = visit(&limpet, &cookie);
        assert_eq!(response.target(), home, "the session was lost after {:?}", started.elapsed());
        cookie = response.set_cookie(COOKIE).unwrap_or(cookie.clone());
        (started.elapsed() > Duration::from_secs(4)).then_some(())
    })
    .expect("visits for four seconds");
}
