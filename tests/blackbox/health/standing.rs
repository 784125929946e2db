//! Who is used before anything is known about it, and when too few are healthy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{checked, serving, switch, switched};
use crate::support::config::Section;
use crate::support::target::echo_response;
use crate::support::{Limpet, Target, config, group, pause, poll};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Four targets, the first of which are healthy, and their switches.
fn four(
    healthy: usize,
    settings: impl FnOnce(Section) -> Section,
) -> (Limpet, Vec<Target>, Vec<Arc<AtomicBool>>) {
    let switches: Vec<_> = (0..NAMES.len()).map(|index| switch(index < healthy)).collect();
    let targets: Vec<Target> =
        NAMES.iter().zip(&switches).map(|(name, is_up)| switched(name, is_up)).collect();
    let mut app = settings(checked());
    for (name, target) in NAMES.iter().zip(&targets) {
        app = app.target(name, target);
    }
    (config().with_admin().group(app).start(), targets, switches)
}

#[test]
fn a_group_fails_open_when_fewer_are_healthy_than_its_count() {
    let (limpet, _targets, switches) = four(2, |app| app.set("fail_open.count", 2));
    assert_eq!(serving(&limpet), ["a", "b"], "as many as it asks for");
    let failing = || limpet.admin().get("/v1/groups/app")["failing_open"].clone();
    assert_eq!(failing(), false);
    switches[1].store(false, Ordering::SeqCst);
    poll(|| (serving(&limpet) == NAMES).then_some(())).expect("one is fewer");
    assert_eq!(failing(), true);
    limpet.admin().event("warning", "app fails open");
    switches[3].store(true, Ordering::SeqCst);
    poll(|| (serving(&limpet) == ["a", "d"]).then_some(())).expect("two again");
    assert_eq!(failing(), false);
}

#[test]
fn a_group_fails_open_when_fewer_are_healthy_than_its_percentage() {
    let percent = |app: Section| app.set("fail_open.count", 0).set("fail_open.percent", 50);
    let (limpet, _targets, switches) = four(2, percent);
    assert_eq!(serving(&limpet), ["a", "b"], "half of them");
    switches[0].store(false, Ordering::SeqCst);
    poll(|| (serving(&limpet) == NAMES).then_some(())).expect("a quarter of them");
    switches[0].store(true, Ordering::SeqCst);
    poll(|| (serving(&limpet) == ["a", "b"]).then_some(())).expect("half of them again");
}

/// An echo target whose checks at `/up` hang until it is told to answer.
fn hesitant(name: &'static str, release: &Arc<AtomicBool>) -> Target {
    let release = Arc::clone(release);
    Target::answering(move |request| {
        while request.target == "/up" && !release.load(Ordering::SeqCst) {
            pause(std::time::Duration::from_millis(3));
        }
        echo_response(name, request, "")
    })
}

#[test]
fn a_target_that_a_reload_adds_gets_nothing_before_its_first_check_has_passed() {
    let (yes, release) = (switch(true), switch(false));
    let (a, b) = (switched("a", &yes), hesitant("b", &release));
    let patient =
        || checked().set("health_check.interval", "10s").set("health_check.timeout", "9s");
    let with = |app: Section| config().with_admin().process("shards", 2).group(app);
    let limpet = with(patient().target("a", &a)).start();
    limpet.write_config(&with(patient().target("a", &a).target("b", &b)).text());
    limpet.signal(libc::SIGHUP);
    b.wait_for_requests(1);
    let shown = limpet.admin().target("app", "b");
    assert_eq!(
        (&shown["health"], &shown["reason"]),
        (&"initial".into(), &"waits for its first check".into())
    );
    for _ in 0..4 {
        assert_eq!(serving(&limpet), ["a"]);
    }
    assert_eq!(b.request_count(), 1, "nothing but the check");
    release.store(true, Ordering::SeqCst);
    poll(|| (serving(&limpet) == ["a", "b"]).then_some(())).expect("it is used");
}

#[test]
fn checks_that_are_switched_on_move_nobody_until_they_fail() {
    let (yes, release) = (switch(true), switch(false));
    let (a, b) = (switched("a", &yes), hesitant("b", &release));
    let app = group("app").sticky().target("a", &a).target("b", &b);
    let limpet = config().with_admin().process("shards", 2).group(app).start();
    let sessions: Vec<(String, String)> = (0..12)
        .map(|_| {
            let response = limpet.get("/first");
            (response.target(), response.set_cookie("limpet_app").unwrap().pair())
        })
        .collect();
    let all_stay = || {
        sessions
            .iter()
            .all(|(home, cookie)| limpet.client().get_cookie("/", cookie).target() == *home)
    };
    let switch_on = r#"{"set":{"health_check.type":"http","health_check.path":"/up",
        "health_check.interval":"2s","health_check.timeout":"2s","health_check.fall":1}}"#;
    limpet.admin().change("PATCH", "/v1/groups/app", &switch_on.replace('\n', ""));
    // At once, and while the check of `b` hangs that may fail for all it knows.
    let checks =
        |target: &Target| target.requests().iter().filter(|one| one.target == "/up").count();
    assert!(all_stay());
    poll(|| (checks(&b) > 0).then_some(())).expect("it is checked");
    assert!(all_stay());
    assert_eq!(serving(&limpet), ["a", "b"], "new visitors as well");
    release.store(true, Ordering::SeqCst);
    let is_checked = || limpet.admin().target("app", "b")["last_check"]["passed"] == true;
    poll(|| is_checked().then_some(())).expect("a check passes");
    assert!(all_stay());
    assert_eq!(limpet.admin().target("app", "b")["health"], "healthy");
    // From now on a check that fails moves its sessions.
    release.store(false, Ordering::SeqCst);
    limpet.admin().until_health("app", "b", "unhealthy");
    poll(|| (!all_stay()).then_some(())).expect("they move");
}

#[test]
fn a_target_on_a_unix_socket_is_watched_while_it_runs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("b.sock");
    let (a, mut b) = (Target::echo("a"), Target::echo_unix("b", &path));
    let limpet = config().with_admin().group(checked().target("a", &a).target("b", &b)).start();
    assert_eq!(serving(&limpet), ["a", "b"]);
    let error = |b: serde_json::Value| b["last_check"]["error"].clone();
    b.down();
    let shown = limpet.admin().until_health("app", "b", "unhealthy");
    assert_eq!(error(shown), "connection refused");
    poll(|| (serving(&limpet) == ["a"]).then_some(())).expect("it is left");
    std::fs::remove_file(&path).unwrap();
    let is_gone = || error(limpet.admin().target("app", "b")) == "there is no such socket";
    poll(|| is_gone().then_some(())).expect("the reason follows");
    b.up();
    limpet.admin().until_health("app", "b", "healthy");
    poll(|| (serving(&limpet) == ["a", "b"]).then_some(())).expect("it is used again");
}
