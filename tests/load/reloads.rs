//! Reloads and edits while 256 connections and 20 tunnels are at work: nothing fails, nothing closes.

use std::sync::Arc;

use crate::support::{Config, Limpet, Target, config, group, listener, poll};
use crate::traffic::{Traffic, reloads, resident_kib, target};

const RELOADS: u32 = 200;
const EDITS: u32 = 50;

/// The configuration of one round: what differs does not touch where requests go.
fn round(a: &Target, b: &Target, number: u32) -> Config {
    let app = group("app")
        .target("a", a)
        .target_with("b", b, &format!("weight = {}", 1 + number % 3))
        .set("retries.count", i64::from(number % 4))
        .set("stickiness.enabled", number % 4 >= 2)
        .set("stickiness.duration", format!("{}m", 10 + number));
    let web = listener("web").set("forward", "app").set("timeouts.keep_alive", "60s");
    let config = config().process("shards", 2).listener(web).group(app);
    match number % 2 {
        0 => config,
        _ => config.listener(listener("now-and-then").set("respond.body", "here")),
    }
}

#[test]
fn two_hundred_reloads_and_fifty_edits_under_load_fail_nothing_and_close_nothing() {
    let (a, b) = (target("a"), target("b"));
    let with_admin = |number| round(&a, &b, number).with_admin();
    let limpet = Arc::new(with_admin(0).start());
    let traffic = Traffic::start(&limpet, Limpet::client);
    let mut resident = 0;
    for number in 1..=RELOADS {
        limpet.write_config(&with_admin(number).text());
        limpet.signal(libc::SIGHUP);
        let wanted = number as usize;
        assert!(
            poll(|| (reloads(&limpet) >= wanted).then_some(())).is_some(),
            "{}",
            limpet.stderr()
        );
        if number % (RELOADS / EDITS) == 0 {
            let enabled = number % 8 == 0;
            let (status, body) = limpet.admin().patch(
                "/v1/groups/app/stickiness",
                &format!("{{\"set\":{{\"enabled\":{enabled}}}}}"),
            );
            assert_eq!(status, 200, "{body}");
        }
        if number == RELOADS / 2 {
            resident = resident_kib(&limpet);
        }
    }
    let outcome = traffic.finish();
    let grown = resident_kib(&limpet).saturating_sub(resident);
    println!(
        "{} requests, {resident} KiB resident at half time, {grown} KiB more at the end",
        outcome.requests
    );
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert!(outcome.requests > 1000);
    assert!(grown < 4096, "{grown} KiB more after {RELOADS} reloads");
}
