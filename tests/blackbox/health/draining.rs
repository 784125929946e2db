//! Targets that die while they drain: nobody waits for them.

use std::sync::atomic::Ordering;

use super::{checked, switch, switched};
use crate::support::config::Section;
use crate::support::target::echo_response;
use crate::support::{Limpet, Target, config, group, poll};

/// A session of the target with this name: the cookie to come back with.
fn session_at(limpet: &Limpet, name: &str) -> String {
    let found = (0..20).find_map(|_| {
        let response = limpet.get("/");
        let cookie = response.set_cookie("limpet_app").expect("a cookie");
        (response.target() == name).then(|| cookie.pair())
    });
    found.expect("somebody is sent there")
}

fn drain_until_no_session(limpet: &Limpet, target: &str) {
    let path = format!("/v1/groups/app/targets/{target}/drain");
    limpet.admin().change("POST", &path, r#"{"until": "sessions", "sessions_at_most": 0}"#);
}

fn sticky(app: Section, targets: [&Target; 2]) -> Limpet {
    let app = app.sticky().target("a", targets[0]).target("b", targets[1]);
    config().with_admin().group(app).start()
}

#[test]
fn the_drain_of_a_target_that_turns_unhealthy_is_over() {
    let (up, is_up) = (switch(true), switch(true));
    let (other, dying) = (switched("a", &up), switched("b", &is_up));
    let limpet = sticky(checked(), [&other, &dying]);
    let cookie = session_at(&limpet, "b");
    limpet.client().get_cookie("/", &cookie);
    drain_until_no_session(&limpet, "b");
    assert_eq!(limpet.client().get_cookie("/", &cookie).target(), "b", "it is bound");
    is_up.store(false, Ordering::SeqCst);
    let admin = limpet.admin();
    admin.until_health("app", "b", "unused");
    let drain = poll(|| {
        let drain = admin.target("app", "b")["drain"].clone();
        (drain["reason"] != "").then_some(drain)
    });
    let drain = drain.expect("a reason");
    assert_eq!(drain["finished"], true);
    assert_eq!(drain["reason"], "it is unhealthy, and its sessions have failed over");
    assert_eq!(limpet.client().get_cookie("/", &cookie).target(), "a");
    admin.event("drain", "the target has drained: it is unhealthy");
}

#[test]
fn a_target_that_was_removed_and_dies_is_not_waited_for() {
    let (up, is_up) = (switch(true), switch(true));
    let (other, dying) = (switched("a", &up), switched("b", &is_up));
    let limpet = sticky(checked().set("deregistration_delay", "1h"), [&other, &dying]);
    let cookie = session_at(&limpet, "b");
    let admin = limpet.admin();
    admin.change("DELETE", "/v1/groups/app/targets/b", "");
    assert_eq!(limpet.client().get_cookie("/", &cookie).target(), "b", "it drains");
    is_up.store(false, Ordering::SeqCst);
    poll(|| (limpet.client().get_cookie("/", &cookie).target() == "a").then_some(()))
        .expect("its sessions fail over");
    let is_gone = || admin.ask("GET", "/v1/groups/app/targets/b", "", "").0 == 404;
    poll(|| is_gone().then_some(())).expect("it is forgotten");
}

#[test]
fn without_checks_gateway_errors_in_a_row_end_a_drain() {
    let is_up = switch(true);
    let other = Target::echo("a");
    let dying = {
        let is_up = std::sync::Arc::clone(&is_up);
        Target::answering(move |request| match is_up.load(Ordering::SeqCst) {
            true => echo_response("b", request, ""),
            false => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec(),
        })
    };
    let limpet = sticky(group("app").set("ejection.errors", 3), [&other, &dying]);
    let cookie = session_at(&limpet, "b");
    limpet.client().get_cookie("/", &cookie);
    drain_until_no_session(&limpet, "b");
    is_up.store(false, Ordering::SeqCst);
    poll(|| (limpet.client().get_cookie("/", &cookie).status == 200).then_some(()))
        .expect("its sessions fail over");
    limpet.admin().until_health("app", "b", "unused");
}
