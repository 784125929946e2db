//! Users that are bound to a target that drains, at work all the time.

use super::{LATE_MS, LOOK_MS, PACE, drain, session_on, shown, sticky, visited};
use crate::support::load::{Asked, Load, unix_ms};
use crate::support::{Limpet, Target, poll};

const USERS: usize = 30;
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Starts the load on three targets, a third of the users on each.
fn at_work(delay: &str) -> (Limpet, Vec<Target>, Load) {
    let targets: Vec<Target> = NAMES.iter().map(|name| Target::echo(name)).collect();
    let named: Vec<(&str, &Target)> = NAMES.into_iter().zip(&targets).collect();
    let limpet = sticky(&named, |app| app.set("deregistration_delay", delay));
    let load = Load::start(&limpet, USERS, PACE);
    load.more(3 * USERS);
    (limpet, targets, load)
}

/// What the users of `a` saw: nothing but `a` until `end_unix_ms`, and one other target each soon after.
#[track_caller]
fn assert_bound_until(asked: &[Asked], end_unix_ms: u64) {
    let failed: Vec<_> = asked.iter().filter(|one| one.has_failed()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let mut moved = 0;
    for user in 0..USERS {
        let own = || asked.iter().filter(|one| one.client == user);
        let first = &own().next().expect("it asked").target;
        let mut elsewhere = own().filter(|one| one.target != *first).peekable();
        if first != "a" {
            assert!(elsewhere.next().is_none(), "{user} left {first}");
            continue;
        }
        moved += 1;
        let left = elsewhere.peek().unwrap_or_else(|| panic!("{user} was never moved"));
        let left_unix_ms = left.sent_unix_ms + left.took_ms;
        assert!(left_unix_ms >= end_unix_ms, "{user} was moved before {end_unix_ms}: {left:?}");
        let late_unix_ms = end_unix_ms + LOOK_MS + LATE_MS;
        assert!(
            left.sent_unix_ms <= late_unix_ms,
            "{user} was moved after {late_unix_ms}: {left:?}"
        );
        let at = left.target.clone();
        assert!(elsewhere.all(|one| one.target == at), "{user} was moved about");
    }
    assert_eq!(moved, USERS / NAMES.len());
}

#[test]
fn nobody_is_logged_out_before_the_deadline_and_all_move_at_it() {
    let (limpet, _targets, load) = at_work("5m");
    let asked_unix_ms = unix_ms();
    drain(&limpet, "a", r#"{"until":"sessions","deadline":"3s"}"#);
    let view = shown(&limpet, "a");
    assert_eq!((&view["until"], &view["finished"]), (&"sessions".into(), &false.into()));
    let remaining = view["remaining_s"].as_f64().unwrap();
    assert!((1.0..=3.0).contains(&remaining), "{view}");
    assert_eq!(visited(&limpet), ["b", "c"]);
    let finished = limpet.admin().until_health("app", "a", "unused");
    let reason = finished["drain"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("the deadline has come"), "{reason}");
    assert_eq!(finished["drain"]["finished"], true);
    load.more(3 * USERS);
    let asked = load.finish();
    println!("{} requests, none failed; {reason}", asked.len());
    assert_bound_until(&asked, asked_unix_ms + 3000);
}

#[test]
fn nobody_is_logged_out_before_the_deregistration_delay_is_over() {
    let (limpet, _targets, load) = at_work("2s");
    let asked_unix_ms = unix_ms();
    drain(&limpet, "a", r#"{"until":"delay"}"#);
    assert_eq!(visited(&limpet), ["b", "c"]);
    let finished = limpet.admin().until_health("app", "a", "unused");
    let reason = finished["drain"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("the deregistration delay is over"), "{reason}");
    load.more(3 * USERS);
    assert_bound_until(&load.finish(), asked_unix_ms + 2000);
}

#[test]
fn a_drain_until_no_session_is_left_ends_by_itself_when_its_users_have_gone() {
    let targets = NAMES.map(Target::echo);
    let named: Vec<(&str, &Target)> = NAMES.into_iter().zip(&targets).collect();
    let limpet = sticky(&named, |app| app.set("stickiness.duration", "1s"));
    let (mut client, mut cookie) = session_on(&limpet, "a");
    drain(&limpet, "a", r#"{"until":"sessions","sessions_at_most":0}"#);
    // As long as its user comes it goes on, well beyond the duration.
    let until_unix_ms = unix_ms() + 2500;
    while unix_ms() < until_unix_ms {
        let response = client.get_cookie("/", &cookie);
        assert_eq!(response.target(), "a");
        cookie = super::cookie(&response).unwrap_or(cookie);
        crate::support::pause(PACE);
    }
    let view = shown(&limpet, "a");
    assert_eq!(
        (&view["finished"], &view["remaining_s"]),
        (&false.into(), &serde_json::Value::Null)
    );
    assert_eq!(view["sessions"], 1, "{view}");
    let left_unix_ms = unix_ms();
    let ended = poll(|| Some(shown(&limpet, "a")).filter(|view| view["finished"] == true));
    let ended = ended.expect("it ends by itself");
    assert_eq!(ended["reason"], "it has 0 sessions");
    // The duration in whole seconds, a slice of one second, and the look.
    let took_ms = unix_ms() - left_unix_ms;
    assert!((500..=3000 + LOOK_MS + LATE_MS).contains(&took_ms), "{took_ms} ms");
    let response = client.get_cookie("/", &cookie);
    assert_ne!(response.target(), "a");
}
