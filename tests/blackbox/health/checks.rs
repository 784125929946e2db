//! Active checks: what they ask, and that routing follows what they find.

use std::sync::atomic::Ordering;

use super::{checked, serving, switch, switched};
use crate::support::{Target, config, group, poll};

#[test]
fn a_check_asks_what_the_file_says() {
    let target = Target::echo("a");
    let limpet = config()
        .group(
            group("app")
                .set("health_check.type", "http")
                .set("health_check.path", "/up?deep=1")
                .set("health_check.method", "OPTIONS")
                .set("health_check.host", "shop.example")
                .target("a", &target),
        )
        .start();
    assert_eq!(target.request_count(), 1, "checked once before anything is accepted");
    let check = target.last_request();
    assert_eq!((&*check.method, &*check.target), ("OPTIONS", "/up?deep=1"));
    assert_eq!(check.fields.all("user-agent"), ["limpet-health-check"]);
    assert_eq!(check.fields.all("host"), ["shop.example"]);
    assert_eq!(check.fields.all("connection"), ["close"]);
    assert_eq!(limpet.get("/").status, 200);
}

#[test]
fn nothing_is_accepted_before_every_target_was_checked_and_none_that_failed_is_used() {
    let (up, down) = (switch(true), switch(false));
    let targets = [switched("a", &up), switched("b", &down), Target::refusing("c")];
    let app = checked().set("retries.count", 0);
    let app = app.target("a", &targets[0]).target("b", &targets[1]).target("c", &targets[2]);
    let limpet = config().group(app).start();
    assert_eq!(serving(&limpet), ["a"]);
}

#[test]
fn a_target_that_turns_unhealthy_is_left_and_used_again_when_it_recovers() {
    let (a, b) = (switch(true), switch(true));
    let targets = [switched("a", &a), switched("b", &b)];
    let app = checked().target("a", &targets[0]).target("b", &targets[1]);
    let limpet = config().group(app).start();
    assert_eq!(serving(&limpet), ["a", "b"]);
    b.store(false, Ordering::SeqCst);
    poll(|| (serving(&limpet) == ["a"]).then_some(())).expect("it is left");
    b.store(true, Ordering::SeqCst);
    poll(|| (serving(&limpet) == ["a", "b"]).then_some(())).expect("it is used again");
}

#[test]
fn sessions_leave_an_unhealthy_target_and_no_other() {
    let (a, b) = (switch(true), switch(true));
    let targets = [switched("a", &a), switched("b", &b)];
    let app = checked().sticky().target("a", &targets[0]).target("b", &targets[1]);
    let limpet = config().process("shards", 2).group(app).start();
    let sessions: Vec<_> = (0..12)
        .map(|_| {
            let response = limpet.get("/first");
            let cookie = response.set_cookie("limpet_app").expect("a cookie").pair();
            (response.target(), cookie)
        })
        .collect();
    let at = |cookie: &str| limpet.client().get_cookie("/", cookie).target();
    b.store(false, Ordering::SeqCst);
    let all_moved = || sessions.iter().all(|(_, cookie)| at(cookie) == "a");
    poll(|| all_moved().then_some(())).expect("its sessions move");
    for (home, cookie) in sessions.iter().filter(|(home, _)| home == "a") {
        assert_eq!(at(cookie), *home);
    }
}

#[test]
fn a_group_with_nobody_healthy_uses_everybody_unless_told_otherwise() {
    let down = switch(false);
    let targets = [switched("a", &down), switched("b", &down)];
    let app = || checked().target("a", &targets[0]).target("b", &targets[1]);
    let open = config().group(app()).start();
    assert_eq!(serving(&open), ["a", "b"]);
    let closed = config().group(app().set("fail_open.count", 0)).start();
    assert_eq!(closed.get("/").status, 503);
    down.store(true, Ordering::SeqCst);
    poll(|| (closed.get("/").status == 200).then_some(())).expect("they recover");
}

#[test]
fn tcp_checks_and_unix_sockets() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let on_socket = Target::echo_unix("a", &directory.path().join("app.sock"));
    let down = Target::refusing("b");
    for kind in ["tcp", "http"] {
        let app = group("app").set("health_check.type", kind).set("retries.count", 0);
        let limpet = config().group(app.target("a", &on_socket).target("b", &down)).start();
        assert_eq!(serving(&limpet), ["a"], "{kind}");
    }
}

#[test]
fn a_status_or_a_text_that_is_not_expected_fails() {
    let found = Target::fixed("HTTP/1.1 302 Found\r\nX-Target: a\r\nContent-Length: 0\r\n\r\n");
    let sorry =
        Target::fixed("HTTP/1.1 200 OK\r\nX-Target: b\r\nContent-Length: 5\r\n\r\nsorry");
    let ready =
        Target::fixed("HTTP/1.1 299 Fine\r\nX-Target: c\r\nContent-Length: 5\r\n\r\nready");
    let expect = toml::Value::Array(vec!["200-299".into()]);
    let app = checked().set("health_check.expect", expect).set("health_check.body", "ready");
    let app = app.target("a", &found).target("b", &sorry).target("c", &ready);
    assert_eq!(serving(&config().group(app).start()), ["c"]);
}
