//! Commands that look again and again: the countdown of a drain, and events.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::{Fake, assert_has, ctl, done, failed, limpet};

const TARGET: &str = "GET /v1/groups/app/targets/a";

/// A server where a drain begins, and the target is then seen so.
fn draining(looks: &[Value]) -> Fake {
    let fake = Fake::on_unix_socket();
    let applied = json!({"change": 1, "version": 2, "summary": ["a drains"], "notes": []});
    fake.answers("POST /v1/groups/app/targets/a/drain", 200, applied);
    for look in looks {
        fake.answers(TARGET, 200, look);
    }
    fake
}

fn look(remaining_s: f64, in_flight: u64, sessions: u64) -> Value {
    json!({"health": "draining", "configured_state": "draining", "drain": {
        "until": "sessions", "remaining_s": remaining_s, "in_flight": in_flight, "tunnels": 1,
        "sessions": sessions, "finished": false, "reason": format!("waits for {sessions} sessions"),
    }})
}

#[test]
fn the_countdown_is_one_line_per_change_until_the_target_has_drained() {
    let begins = json!({"health": "draining", "configured_state": "draining", "drain": null});
    let ended = json!({"health": "unused", "configured_state": "draining", "drain": null});
    let fake = draining(&[begins, look(60.0, 2, 3), look(59.5, 2, 3), look(59.0, 0, 1), ended]);
    let printed = done(&ctl(&fake, &["drain", "app", "a", "--until-sessions", "0", "--wait"]));
    let lines: Vec<&str> = printed.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "a drains: 1m left, 2 in flight, 1 tunnel, about 3 sessions; waits for 3 sessions",
            "a drains: 59s left, 0 in flight, 1 tunnel, about 1 session; waits for 1 sessions",
            "a: drained",
        ]
    );
}

#[test]
fn a_target_that_is_gone_has_drained() {
    let fake = draining(&[look(1.0, 1, 1)]);
    fake.answers(TARGET, 404, json!({"title": "There is no such target", "status": 404}));
    let printed = done(&ctl(&fake, &["drain", "app", "a", "--wait"]));
    assert_eq!(printed.lines().last(), Some("a: drained and removed"));
}

#[test]
fn a_drain_that_somebody_ends_is_exit_code_1() {
    let back = json!({"health": "healthy", "configured_state": "in_service", "drain": null});
    let fake = draining(&[look(60.0, 2, 3), back]);
    let said = failed(&ctl(&fake, &["drain", "app", "a", "--wait"]), 1);
    assert_has(&said, &["a no longer drains: it was put back into service"]);
}

#[test]
fn a_countdown_as_json_is_one_answer_per_line() {
    let fake = draining(&[look(2.0, 1, 1), json!({"drain": {"finished": true}})]);
    let printed = done(&ctl(&fake, &["drain", "app", "a", "--wait", "--json"]));
    let lines: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1], look(2.0, 1, 1));
}

fn event(number: u64, text: &str) -> Value {
    json!({"number": number, "unix_ms": 1_795_380_363_000_u64, "kind": "health", "group": "app",
        "target": "a", "text": text})
}

#[test]
fn events_are_a_table_or_follow_what_happens() {
    let fake = Fake::on_unix_socket();
    let first = json!({"events": [event(4, "is unhealthy"), event(5, "is healthy")]});
    fake.answers("GET /v1/events?after=0&count=2", 200, first);
    fake.answers("GET /v1/events?after=5&count=1000", 200, json!({"events": []}));
    let later = json!({"events": [event(6, "is ejected")]});
    fake.answers("GET /v1/events?after=5&count=1000", 200, later);
    fake.answers("GET /v1/events?after=6&count=1000", 200, json!({"events": []}));
    let table = done(&ctl(&fake, &["events", "-n", "2"]));
    assert_has(&table, &["WHEN ", "2026-11-22 20:46:03Z  health  app/a  is unhealthy\n"]);
    let mut child = limpet(&["ctl", "--admin", &fake.admin, "events", "--follow", "-n", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().take(3).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        lines,
        ["is unhealthy", "is healthy", "is ejected"]
            .map(|text| format!("2026-11-22 20:46:03Z health app/a: {text}"))
    );
}
