//! The application's session cookie and the stickiness beside it: a mismatch is said once.

use super::sticky_group;
use crate::support::limpet::poll;
use crate::support::{Limpet, Target, config, group};

/// The hints of the group, once there are some.
fn hints(limpet: &Limpet) -> serde_json::Value {
    let hints = || {
        limpet.get("/");
        let group: serde_json::Value = limpet.admin().get("/v1/groups/app");
        let found = group["session_matches"].clone();
        found.as_array().is_some_and(|found| !found.is_empty()).then_some(found)
    };
    poll(hints).expect("a hint")
}

fn setting(cookie: &'static str, id: &'static str) -> Target {
    Target::echo_with(id, move |_| format!("Set-Cookie: {cookie}\r\n"))
}

#[test]
fn sessions_in_a_group_that_keeps_nobody_are_told_before_users_lose_them() {
    let targets = [setting("PHPSESSID=x; Path=/", "a"), setting("PHPSESSID=x; Path=/", "b")];
    let group = group("app").target("a", &targets[0]).target("b", &targets[1]);
    let group = group.set("stickiness.duration", "600s");
    let limpet = config().with_admin().group(group).start();
    let hints = hints(&limpet);
    let hint = &hints[0];
    assert_eq!((&hint["kind"], &hint["session"]), (&"not_sticky".into(), &"24m".into()), "{hint}");
    let text = hint["text"].as_str().expect("a text");
    assert!(text.contains("PHPSESSID") && text.contains("PHP's default"), "{text}");
    assert_eq!(hint["suggestion"]["stickiness.enabled"], true, "{hint}");
    assert_eq!(hint["suggestion"]["stickiness.duration"], "24m", "{hint}");
    // What it suggests is what makes it go away.
    let set = serde_json::json!({ "set": hint["suggestion"] }).to_string();
    let (status, said) = limpet.admin().ask("PATCH", "/v1/groups/app", "", &set);
    assert_eq!(status, 200, "{said}");
    let gone = || {
        let group: serde_json::Value = limpet.admin().get("/v1/groups/app");
        group["session_matches"].as_array().is_some_and(Vec::is_empty).then_some(())
    };
    assert!(poll(gone).is_some());
}

#[test]
fn a_session_cookie_without_max_age_lives_as_long_as_its_framework_keeps_it() {
    let targets = [setting("JSESSIONID=x; HttpOnly", "a")];
    let group = sticky_group(&targets).set("stickiness.duration", "600s");
    let limpet = config().with_admin().group(group).start();
    let hint = hints(&limpet)[0].clone();
    assert_eq!((&hint["kind"], &hint["session"]), (&"ends_before".into(), &"30m".into()), "{hint}");
    let said = || limpet.stderr().contains("Tomcat's default").then_some(());
    assert!(poll(said).is_some(), "{}", limpet.stderr());
}

#[test]
fn a_session_that_outlives_its_stickiness_is_warned_of_once_with_both_figures() {
    let targets =
        [Target::echo_with("a", |_| "Set-Cookie: PHPSESSID=x; Max-Age=7200\r\n".to_owned())];
    let group = sticky_group(&targets).set("stickiness.duration", "600s");
    let limpet = config().group(group).start();
    let warning = || {
        assert_eq!(limpet.get("/").status, 200);
        limpet.stderr().lines().find(|line| line.contains("PHPSESSID")).map(str::to_owned)
    };
    let warning = poll(warning).expect("a warning");
    assert!(warning.contains("lives 2h") && warning.contains("after 10m"), "{warning}");
    assert!(warning.contains("duration"), "the setting to change: {warning}");
    assert_eq!(limpet.stderr().matches("PHPSESSID").count(), 1);
}
