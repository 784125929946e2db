//! Passive ejection: a target that fails live requests is kept out for a while, without any check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{server, serving, switch};
use crate::support::config::Section;
use crate::support::target::echo_response;
use crate::support::{Limpet, Target, config, group, poll};

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nX-Target: b\r\nContent-Length: 0\r\n\r\n";

/// The group `app`, where three gateway errors in a row eject for as long.
fn ejecting(time: &str) -> Section {
    group("app")
        .set("ejection.errors", 3)
        .set("ejection.time", time)
        .set("ejection.time_max", time)
        .set("retries.count", 0)
}

/// Asks until only `a` serves.
#[track_caller]
fn until_alone(limpet: &Limpet) {
    let is_alone = || (0..12).all(|_| limpet.get("/").status == 200);
    poll(|| is_alone().then_some(())).expect("the failing target is ejected");
    assert_eq!(serving(limpet), ["a"]);
}

#[test]
fn a_target_that_answers_with_gateway_errors_is_ejected_and_tried_again_later() {
    let (good, bad) = (Target::echo("a"), Target::fixed(BUSY));
    let app = ejecting("2s").target("a", &good).target("b", &bad);
    let limpet = config().group(app).start();
    until_alone(&limpet);
    let before = bad.request_count();
    poll(|| {
        limpet.get("/");
        (bad.request_count() > before).then_some(())
    })
    .expect("it is tried again");
}

#[test]
fn a_target_that_refuses_or_says_nonsense_is_ejected() {
    let refusing = Target::refusing("b");
    let nonsense = Target::fixed("SSH-2.0-OpenSSH_9.6\r\n");
    let hasty = Target::scripted(|connection| connection.next_request().map(drop));
    for bad in [&refusing, &nonsense, &hasty] {
        let good = Target::echo("a");
        let app = ejecting("1h").target("a", &good).target("b", bad);
        until_alone(&config().group(app).start());
    }
}

#[test]
fn responses_in_between_begin_the_count_anew() {
    let good = Target::echo("a");
    // Two errors, then one good response, and so on.
    let count = std::sync::atomic::AtomicUsize::new(0);
    let moody = Target::answering(move |_| {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if count % 3 < 2 {
            return BUSY.into();
        }
        b"HTTP/1.1 200 OK\r\nX-Target: b\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let app = ejecting("1h").target("a", &good).target("b", &moody);
    let limpet = config().group(app).start();
    let mut client = limpet.client();
    for _ in 0..60 {
        client.get("/");
    }
    assert_eq!(moody.request_count(), 30);
}

#[test]
fn errors_of_the_application_eject_nobody() {
    let error = "HTTP/1.1 500 Internal Server Error\r\nX-Target: b\r\nContent-Length: 0\r\n\r\n";
    let (good, bad) = (Target::echo("a"), Target::fixed(error));
    let app = ejecting("1h").target("a", &good).target("b", &bad);
    let limpet = config().group(app).start();
    let mut client = limpet.client();
    for _ in 0..60 {
        client.get("/");
    }
    assert_eq!(bad.request_count(), 30);
}

/// A target that fails what is not a check while its switch is off.
fn moody(id: &'static str, works: &Arc<AtomicBool>) -> Target {
    let works = Arc::clone(works);
    Target::answering(move |request| {
        if request.target != "/up" && !works.load(Ordering::SeqCst) {
            return BUSY.into();
        }
        echo_response(id, request, "")
    })
}

/// Its checks are so far apart that each target has one only, besides those that errors cause.
fn seldom_checked() -> Section {
    ejecting("1h")
        .set("retries.count", 1)
        .set("health_check.type", "http")
        .set("health_check.path", "/up")
        .set("health_check.interval", "5m")
}

#[test]
fn a_request_whose_target_dies_is_served_by_one_that_is_ejected_rather_than_by_nobody() {
    let works = switch(true);
    let (mut a, b) = (Target::echo("a"), moody("b", &works));
    let app = seldom_checked().sticky().target("a", &a).target("b", &b);
    let limpet = config().group(app).start();
    let at_a = poll(|| {
        let response = limpet.get("/");
        (response.target() == "a").then(|| response.set_cookie("limpet_app").expect("a cookie"))
    });
    let at_a = at_a.expect("a session at a").pair();
    works.store(false, Ordering::SeqCst);
    until_alone(&limpet);
    works.store(true, Ordering::SeqCst);
    a.down();
    let mut client = limpet.client();
    let answer = client.get_cookie("/", &at_a);
    assert_eq!(server(&answer), "b", "{}", answer.status);
    for _ in 0..200 {
        assert_eq!(limpet.get("/").status, 200);
    }
}

#[test]
fn a_request_whose_target_dies_is_served_by_one_that_is_ejected_though_the_check_of_that_failed() {
    for stickiness in [false, true] {
        let (mut a, mut b) = (Target::echo("a"), Target::echo("b"));
        let app = seldom_checked().set("stickiness.enabled", stickiness);
        let limpet = config().with_admin().group(app.target("a", &a).target("b", &b)).start();
        let admin = limpet.admin();
        a.down();
        poll(|| {
            assert_eq!(limpet.get("/").status, 200);
            let target = admin.target("app", "a");
            let is_out = !target["ejected_until_unix_ms"].is_null();
            (is_out && target["last_check"]["passed"] == false).then_some(())
        })
        .expect("a is ejected, and its check has failed");
        let cookie = limpet.get("/").set_cookie("limpet_app").map(|cookie| cookie.pair());
        a.up();
        b.down();
        for _ in 0..200 {
            let mut client = limpet.client();
            let response = match &cookie {
                Some(at_b) => client.get_cookie("/", at_b),
                None => client.get("/"),
            };
            assert_eq!(server(&response), "a", "{}", response.status);
        }
    }
}

#[test]
fn targets_that_die_and_come_back_in_turns_cost_nobody_a_response() {
    let (mut a, mut b) = (Target::echo("a"), Target::echo("b"));
    let app = seldom_checked().target("a", &a).target("b", &b);
    let limpet = config().with_admin().group(app).start();
    let admin = limpet.admin();
    for turn in 0..4 {
        let (dies, id) = if turn % 2 == 0 { (&mut a, "a") } else { (&mut b, "b") };
        dies.down();
        poll(|| {
            assert_eq!(limpet.get("/").status, 200, "while {id} is gone, turn {turn}");
            let target = admin.target("app", id);
            // The check that its errors asked for is over, and cannot pass when the target is back.
            let is_out = !target["ejected_until_unix_ms"].is_null();
            (is_out && target["last_check"]["passed"] == false).then_some(())
        })
        .unwrap_or_else(|| panic!("{id} is ejected, turn {turn}: {}", admin.target("app", id)));
        dies.up();
    }
}

#[test]
fn a_request_that_its_target_dies_of_is_served_by_one_that_is_ejected() {
    let works = switch(false);
    let a = moody("a", &works);
    let mut b = Target::scripted(|connection| {
        while let Some(request) = connection.next_request()? {
            if request.target == "/last" {
                return connection.read_until_closed().map(drop);
            }
            connection.send(&echo_response("b", &request, ""))?;
        }
        Ok(())
    });
    let app = seldom_checked().target("a", &a).target("b", &b);
    let limpet = config().group(app).start();
    let mut client = limpet.client();
    poll(|| (0..12).all(|_| client.get("/").status == 200).then_some(())).expect("a is ejected");
    works.store(true, Ordering::SeqCst);
    // On a connection that was kept, so that a fresh one is tried first.
    client.send("GET /last HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    poll(|| (b.last_request().target == "/last").then_some(())).expect("it is at b");
    b.down();
    let response = client.response();
    assert_eq!(server(&response), "a", "{}", response.status);
}

#[test]
fn a_stale_connection_leads_to_nobody_who_is_ejected() {
    let works = switch(false);
    let stale = Target::scripted(|connection| {
        let Some(request) = connection.next_request()? else { return Ok(()) };
        connection.send(&echo_response("a", &request, ""))?;
        if request.target == "/up" {
            return Ok(());
        }
        connection.next_request().map(drop)
    });
    let b = moody("b", &works);
    let app = seldom_checked().target("a", &stale).target("b", &b);
    let limpet = config().group(app).start();
    let mut client = limpet.client();
    poll(|| (0..12).all(|_| client.get("/").status == 200).then_some(())).expect("b is ejected");
    let before = b.requests().iter().filter(|request| request.target != "/up").count();
    for _ in 0..20 {
        assert_eq!(server(&client.get("/")), "a");
    }
    let after = b.requests().iter().filter(|request| request.target != "/up").count();
    assert_eq!(after, before);
}

#[test]
fn checks_that_pass_end_an_ejection() {
    let works = switch(false);
    let (a, b) = (Target::echo("a"), moody("b", &works));
    let app = ejecting("1h").target("a", &a).target("b", &b);
    let app = app.set("health_check.type", "http").set("health_check.path", "/up");
    let app = app.set("health_check.interval", "500ms").set("health_check.timeout", "500ms");
    let limpet = config().with_admin().group(app).start();
    let mut client = limpet.client();
    let admin = limpet.admin();
    poll(|| {
        client.get("/");
        (!admin.target("app", "b")["ejected_until_unix_ms"].is_null()).then_some(())
    })
    .expect("an ejection");
    works.store(true, Ordering::SeqCst);
    poll(|| (serving(&limpet) == ["a", "b"]).then_some(())).expect("it is back");
    admin.event("ejection", "b is back: its ejection was ended by checks that passed");
}

#[test]
fn the_only_target_of_a_group_stays() {
    let bad = Target::fixed(BUSY);
    let limpet = config().group(ejecting("1h").target("b", &bad)).start();
    let mut client = limpet.client();
    for _ in 0..40 {
        assert_eq!(server(&client.get("/")), "b", "the target's own 503");
    }
}
