//! A configuration on trial goes back unless it is confirmed, and at once when it does harm.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::load::{Load, unix_ms};
use crate::support::{Config, Limpet, Target, config, group, listener, poll};

/// A trial is looked at four times a second; and a loaded machine may be late.
const LOOK_MS: u64 = 250;
const LATE_MS: u64 = 1500;

fn over(target: &Target) -> Config {
    config().with_admin().process("shards", 2).group(group("app").target("one", target))
}

/// Applies a whole configuration on trial.
#[track_caller]
fn apply(limpet: &Limpet, config: &Config, confirm: &str, keep: &str) -> Value {
    let text = limpet.text_of(&config.text());
    let body = json!({ "text": text, "confirm": confirm, "keep": keep }).to_string();
    limpet.admin().change("POST", "/v1/config/apply", &body)
}

fn pending(limpet: &Limpet) -> Value {
    limpet.admin().get("/v1/status")["config"]["pending"].clone()
}

#[test]
fn what_nobody_confirms_goes_back_when_its_time_is_over() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let limpet = over(&a).start();
    let mut client = limpet.client();
    assert_eq!(client.get("/").target(), "a");
    let file = limpet.file_text();
    let applied_unix_ms = unix_ms();
    apply(&limpet, &over(&b), "2s", "file");
    assert_eq!(client.get("/").target(), "b", "from the next request on");
    let remaining = pending(&limpet)["remaining"].as_f64().unwrap();
    assert!((0.0..=2.0).contains(&remaining), "{remaining}");
    // Meanwhile there is no other change.
    let (status, text) = limpet.admin().patch("/v1/groups/app", r#"{"set":{"slow_start":"5s"}}"#);
    assert_eq!(status, 409, "{text}");
    let back = poll(|| (client.get("/").target() == "a").then(unix_ms)).expect("it goes back");
    let took_ms = back - applied_unix_ms;
    assert!((2000..=2000 + LOOK_MS + LATE_MS).contains(&took_ms), "{took_ms} ms");
    limpet.admin().event("reload", "nobody confirmed it in time");
    assert!(pending(&limpet).is_null());
    assert_eq!(limpet.file_text(), file, "only what is confirmed goes into the file");
}

#[test]
fn a_jump_of_gateway_errors_takes_it_back_at_once() {
    let (a, dead) = (Target::echo("a"), Target::refusing("dead"));
    let limpet = over(&a).start();
    let load = Load::start(&limpet, 16, Duration::from_millis(10));
    load.more(200);
    let applied_unix_ms = unix_ms();
    apply(&limpet, &over(&dead), "1h", "overlay");
    let event = limpet.admin().event("reload", "requests were gateway errors");
    let back_unix_ms = event["unix_ms"].as_u64().unwrap();
    load.more(200);
    let asked = load.finish();
    let failed: Vec<_> = asked.iter().filter(|one| one.has_failed()).collect();
    let took_ms = back_unix_ms - applied_unix_ms;
    println!(
        "taken back {took_ms} ms after it was applied, {} of {} requests failed",
        failed.len(),
        asked.len()
    );
    assert!(took_ms <= 2 * LOOK_MS + LATE_MS, "{took_ms} ms");
    assert!(failed.len() >= 5 && failed.iter().all(|one| one.status == 502), "{failed:?}");
    let outside: Vec<_> = failed
        .iter()
        .filter(|one| {
            one.sent_unix_ms + one.took_ms < applied_unix_ms
                || one.sent_unix_ms > back_unix_ms + LOOK_MS
        })
        .collect();
    assert!(outside.is_empty(), "{applied_unix_ms}..{back_unix_ms}: {outside:?}");
    assert!(pending(&limpet).is_null());
}

#[test]
fn a_rule_that_answers_503_on_purpose_is_no_error() {
    let a = Target::echo("a");
    let limpet = over(&a).start();
    let load = Load::start(&limpet, 8, Duration::from_millis(10));
    load.more(100);
    let away = listener("web").set("respond.status", 503).set("respond.body", "back soon");
    let applied_unix_ms = unix_ms();
    apply(&limpet, &over(&a).listener(away), "1h", "overlay");
    load.until(applied_unix_ms + 4 * LOOK_MS);
    load.more(50);
    assert!(!pending(&limpet).is_null(), "it was taken back");
    let asked = load.finish();
    let since = asked.iter().filter(|one| one.sent_unix_ms > applied_unix_ms + LOOK_MS);
    let statuses: Vec<u16> = since.map(|one| one.status).collect();
    assert!(statuses.len() >= 50 && statuses.iter().all(|status| *status == 503), "{statuses:?}");
}

#[test]
fn what_is_confirmed_stays_and_only_then_goes_into_the_file() {
    let (a, b, c) = (Target::echo("a"), Target::echo("b"), Target::echo("c"));
    let limpet = over(&a).start();
    let before = limpet.file_text();
    apply(&limpet, &over(&b), "1s", "file");
    assert_eq!(limpet.file_text(), before);
    limpet.admin().change("POST", "/v1/config/confirm", "{}");
    let confirmed_unix_ms = unix_ms();
    let after = limpet.text_of(&over(&b).text());
    assert_eq!(limpet.file_text(), after);
    // In the overlay, the file stays what it is.
    apply(&limpet, &over(&c), "1s", "overlay");
    limpet.admin().change("POST", "/v1/config/confirm", "{}");
    let is_past = || (unix_ms() > confirmed_unix_ms + 1000 + 2 * LOOK_MS).then_some(());
    poll(is_past).expect("the time passes");
    assert_eq!(limpet.get("/").target(), "c");
    assert_eq!(limpet.file_text(), after);
    let (status, text) = limpet.admin().post("/v1/config/confirm", "{}");
    assert_eq!(status, 409, "nothing waits: {text}");
}

#[test]
fn what_is_rolled_back_goes_at_once() {
    let (a, b) = (Target::echo("a"), Target::echo("b"));
    let limpet = over(&a).start();
    apply(&limpet, &over(&b), "1h", "overlay");
    let mut client = limpet.client();
    assert_eq!(client.get("/").target(), "b");
    limpet.admin().change("POST", "/v1/config/rollback", "{}");
    assert_eq!(client.get("/").target(), "a");
}
