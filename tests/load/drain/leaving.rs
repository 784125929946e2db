//! Targets that are removed, disabled and put back.

use super::{LATE_MS, LOOK_MS, drain, session_on, shown, sticky, visited};
use crate::support::load::unix_ms;
use crate::support::{Limpet, Target, poll};

fn pair(delay: &str) -> (Limpet, [Target; 2]) {
    let targets = [Target::echo("a"), Target::echo("b")];
    let named = [("a", &targets[0]), ("b", &targets[1])];
    let limpet = sticky(&named, |app| app.set("deregistration_delay", delay));
    (limpet, targets)
}

#[test]
fn a_target_that_is_removed_drains_first_and_is_then_gone() {
    let (limpet, _targets) = pair("2s");
    let admin = limpet.admin();
    let (_, cookie) = session_on(&limpet, "a");
    let removed_unix_ms = unix_ms();
    admin.change("DELETE", "/v1/groups/app/targets/a", "");
    let target = admin.target("app", "a");
    assert_eq!(
        (&target["configured_state"], &target["health"]),
        (&"removed".into(), &"draining".into()),
        "{target}"
    );
    assert_eq!(visited(&limpet), ["b"]);
    let mut served = 0;
    let moved = poll(|| {
        let response = limpet.client().get_cookie("/", &cookie);
        served += usize::from(response.target() == "a");
        (response.target() != "a").then(unix_ms)
    });
    let took_ms = moved.expect("it is moved") - removed_unix_ms;
    assert!((2000..=2000 + LOOK_MS + LATE_MS).contains(&took_ms), "{took_ms} ms");
    assert!(served > 10, "{served}");
    let is_gone = || (admin.ask("GET", "/v1/groups/app/targets/a", "", "").0 == 404).then_some(());
    poll(is_gone).expect("it is gone");
}

#[test]
fn a_target_that_is_removed_can_be_drained_by_other_rules_and_put_back() {
    let (limpet, targets) = pair("5m");
    let admin = limpet.admin();
    let (_, cookie) = session_on(&limpet, "a");
    admin.change("DELETE", "/v1/groups/app/targets/a", "");
    // Its session holds it for as long as the test needs.
    drain(&limpet, "a", r#"{"until":"sessions","deadline":"5m"}"#);
    let drain = shown(&limpet, "a");
    assert_eq!((&drain["until"], &drain["sessions"]), (&"sessions".into(), &1.into()), "{drain}");
    let settings = format!(r#"{{"settings":{{"id":"a","address":"{}"}}}}"#, targets[0].address());
    admin.change("POST", "/v1/groups/app/targets", &settings);
    let target = admin.until_health("app", "a", "unchecked");
    assert_eq!(
        (&target["configured_state"], target["drain"].is_null()),
        (&"in_service".into(), true)
    );
    assert_eq!(limpet.client().get_cookie("/", &cookie).target(), "a");
    assert_eq!(visited(&limpet), ["a", "b"]);
}

#[test]
fn enabling_puts_a_draining_target_back_and_its_sessions_never_left() {
    let (limpet, _targets) = pair("5m");
    let (_, cookie) = session_on(&limpet, "a");
    drain(&limpet, "a", "{}");
    assert_eq!(visited(&limpet), ["b"]);
    assert_eq!(limpet.client().get_cookie("/", &cookie).target(), "a");
    limpet.admin().change("POST", "/v1/groups/app/targets/a/enable", "{}");
    let target = limpet.admin().until_health("app", "a", "unchecked");
    assert!(target["drain"].is_null(), "{target}");
    assert_eq!(visited(&limpet), ["a", "b"]);
    assert_eq!(limpet.client().get_cookie("/", &cookie).target(), "a");
}

#[test]
fn disabling_ends_the_service_at_once_and_enabling_begins_it_again() {
    let (limpet, _targets) = pair("5m");
    let admin = limpet.admin();
    let (mut client, cookie) = session_on(&limpet, "a");
    admin.change("POST", "/v1/groups/app/targets/a/disable", "{}");
    // With the answer it is done: the very next request goes elsewhere.
    assert_eq!(client.get_cookie("/", &cookie).target(), "b");
    assert_eq!(admin.target("app", "a")["health"], "unused");
    assert_eq!(visited(&limpet), ["b"]);
    admin.change("POST", "/v1/groups/app/targets/a/enable", "{}");
    assert_eq!(visited(&limpet), ["a", "b"]);
}
