//! Passive ejection: a target that fails live requests is kept out for a while, without any check.

use super::{server, serving};
use crate::support::config::Section;
use crate::support::{Limpet, Target, config, group, poll};

const BUSY: &str =
    "HTTP/1.1 503 Service Unavailable\r\nX-Target: b\r\nContent-Length: 0\r\n\r\n";

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

#[test]
fn the_only_target_of_a_group_stays() {
    let bad = Target::fixed(BUSY);
    let limpet = config().group(ejecting("1h").target("b", &bad)).start();
    let mut client = limpet.client();
    for _ in 0..40 {
        assert_eq!(server(&client.get("/")), "b", "the target's own 503");
    }
}
