//! A target that nobody checks is never called healthy, and what requests have found of it stands beside its word.

use serde_json::{Value, json};

use super::{server, serving};
use crate::support::{Limpet, Target, config, group, poll};

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nX-Target: b\r\nContent-Length: 0\r\n\r\n";

/// How the group `app` stands in the overview.
fn standing(limpet: &Limpet) -> Value {
    limpet.admin().get("/v1/overview")["groups"][0]["standing"].clone()
}

/// The lines in which `GET /` is explained.
fn explained(limpet: &Limpet) -> String {
    let (status, text) = limpet.admin().post("/v1/explain", r#"{"request":"GET /"}"#);
    assert_eq!(status, 200, "{text}");
    text
}

#[test]
fn a_target_that_nobody_checks_is_unchecked_beside_what_requests_have_found() {
    let (a, mut b) = (Target::echo("a"), Target::echo("b"));
    let limpet = config().with_admin().group(group("app").target("a", &a).target("b", &b)).start();
    let admin = limpet.admin();
    for id in ["a", "b"] {
        let target = admin.target("app", id);
        assert_eq!(
            (&target["health"], &target["reason"]),
            (&"unchecked".into(), &"not checked".into())
        );
    }
    let summary = &admin.get("/v1/groups/app")["health_summary"];
    assert_eq!((&summary["unchecked"], &summary["healthy"]), (&json!(2), &json!(0)));
    assert_eq!(standing(&limpet), json!({"unchecked": 2}));
    assert_eq!(admin.get("/v1/overview")["unchecked_count"], 1);
    assert_eq!(admin.get("/v1/status")["unchecked_count"], 1);
    let said = explained(&limpet);
    assert_eq!(said.matches("weight 1, unchecked)").count(), 2, "{said}");
    b.down();
    let failing = poll(|| {
        limpet.get("/");
        let target = admin.target("app", "b");
        (target["failures_recently"].as_u64() > Some(0)).then_some(target)
    });
    let failing = failing.expect("its failures are counted");
    assert_eq!(failing["health"], "unchecked", "{failing}");
    assert!(failing["failures"].as_u64() > Some(0), "{failing}");
    let said = explained(&limpet);
    assert!(said.contains("weight 1, unchecked, ") && said.contains(" failure"), "{said}");
}

#[test]
fn who_is_ejected_or_drains_is_called_so_although_nobody_checks() {
    let (a, b, c) = (Target::echo("a"), Target::fixed(BUSY), Target::echo("c"));
    let app = group("app").set("ejection.errors", 3).set("ejection.time", "10m");
    let app = app.set("ejection.time_max", "10m").set("retries.count", 0).sticky();
    let app = app.target("a", &a).target("b", &b).target("c", &c);
    let limpet = config().with_admin().group(app).start();
    let admin = limpet.admin();
    // A session holds the drain open.
    let cookie = poll(|| {
        let response = limpet.get("/");
        (server(&response) == "c").then(|| response.set_cookie("limpet_app").unwrap().pair())
    });
    let cookie = cookie.expect("it is served by c");
    limpet.client().get_cookie("/", &cookie);
    let is_ejected = || {
        limpet.get("/");
        let target = admin.target("app", "b");
        target["ejected_until_unix_ms"].is_u64().then_some(target)
    };
    let ejected = poll(is_ejected).expect("it is ejected");
    assert_eq!(ejected["health"], "unhealthy", "{ejected}");
    assert_eq!(standing(&limpet), json!({"ejected": 1, "unchecked": 2}));
    admin.change(
        "POST",
        "/v1/groups/app/targets/c/drain",
        r#"{"until":"sessions","deadline":"5m"}"#,
    );
    admin.until_health("app", "c", "draining");
    assert_eq!(admin.target("app", "a")["health"], "unchecked");
    assert_eq!(serving(&limpet), ["a"]);
    admin.change("POST", "/v1/groups/app/targets/c/enable", "{}");
    admin.until_health("app", "c", "unchecked");
    admin.change("POST", "/v1/groups/app/targets/b/enable", "{}");
    let is_back = || (admin.target("app", "b")["health"] == "unchecked").then_some(());
    poll(is_back).expect("its ejection ends");
}

#[test]
fn checks_that_are_switched_off_take_their_word_with_them() {
    let (a, mut b) = (Target::echo("a"), Target::echo("b"));
    let app = super::checked().target("a", &a).target("b", &b);
    let limpet = config().with_admin().group(app).start();
    let admin = limpet.admin();
    assert_eq!(admin.target("app", "a")["health"], "healthy");
    assert_eq!(admin.get("/v1/status")["unchecked_count"], 0);
    b.down();
    admin.until_health("app", "b", "unhealthy");
    let set = |kind: &str| {
        let set = json!({"set": {"health_check.type": kind}}).to_string();
        admin.change("PATCH", "/v1/groups/app", &set)
    };
    let applied = set("off");
    let said = applied["notes"].to_string();
    assert!(said.contains("says how it is checked and is not"), "{said}");
    for id in ["a", "b"] {
        admin.until_health("app", id, "unchecked");
        let is_told = || {
            let target = admin.target("app", id);
            (target["reason"] == "not checked" && target["last_check"].is_null()).then_some(())
        };
        poll(is_told).expect("what checks have found is forgotten");
    }
    b.up();
    set("http");
    for id in ["a", "b"] {
        admin.until_health("app", id, "healthy");
        let is_checked = || (admin.target("app", id)["last_check"]["passed"] == true).then_some(());
        poll(is_checked).expect("it is checked again");
        assert_ne!(admin.target("app", id)["reason"], "not checked");
    }
}
