//! `targets`, `weight`, `enable`, `disable`, `add` and `remove`.
//!
//! Tested by `tests/ctl` and below.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::answers::{Check, Drain, Group, Groups, Target};
use super::arguments::{Change, Kept, TargetName};
use super::client::Ask;
use super::failure::Failure;
use super::session::{Session, body, group_path};
use super::table::{Cell, Style, Table, Tone};
use super::words::{UNKNOWN, ago, count, known, left, milliseconds, rate, span};
use crate::control::change::Keep;
use crate::control::events::unix_ms;

pub(super) fn targets(session: &Session, group: Option<&str>) -> Result<ExitCode, Failure> {
    let show = |groups: &[&Group]| table(groups, session.style, unix_ms());
    match group {
        Some(group) => {
            let ask = Ask::get(group_path(group, &[]));
            session.show(ask, |group: &Group| show(&[group]))
        }
        None => session.show(Ask::get("/v1/groups"), |answer: &Groups| {
            show(&answer.groups.iter().collect::<Vec<_>>())
        }),
    }
}

fn table(groups: &[&Group], style: Style, now_ms: u64) -> String {
    let table = rows(groups, Address::Column, now_ms);
    match table.is_narrow() {
        true => table.show(style, NOBODY),
        false => rows(groups, Address::Below, now_ms).show(style, NOBODY),
    }
}

const NOBODY: &str = "no targets";

/// Where the address of a target is shown that is not its id: a long one leaves no room for numbers beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Address {
    Column,
    Below,
}

fn rows(groups: &[&Group], place: Address, now_ms: u64) -> Table {
    let mut table = Table::new(&[
        "GROUP",
        "TARGET",
        if place == Address::Column { "ADDRESS" } else { "" },
        ">WEIGHT",
        "HEALTH",
        "FOR",
        ">REQ/s",
        ">IN FLIGHT",
        ">FAILURES",
        ">SESSIONS",
    ]);
    for group in groups {
        for target in &group.targets {
            let tone = Tone::of_health(standing(target));
            let failures = if target.failures_recently > 0 { Tone::Bad } else { Tone::Plain };
            table.row([
                (&group.name).into(),
                (&target.id).into(),
                if place == Address::Column { &target.address } else { "" }.into(),
                target.weight.to_string().into(),
                Cell::toned(standing(target), tone),
                since(target, now_ms).into(),
                known(target.requests_per_second.map(rate)).into(),
                known(target.in_flight).into(),
                Cell::toned(known(target.failures), failures),
                known(target.sessions).into(),
            ]);
            if place == Address::Below && target.address != target.id {
                table.below(&target.address, Tone::Plain);
            }
            // A note about failed requests never has the colour of a healthy target.
            table.below(&note(target, now_ms), if failures == Tone::Bad { failures } else { tone });
        }
    }
    table
}

/// Its health, or "ejected", whatever its checks say.
fn standing(target: &Target) -> &str {
    if target.ejected_until_unix_ms.is_some() { "ejected" } else { &target.health }
}

/// How long the target has had its health; a target that was never checked has no time.
fn since(target: &Target, now_ms: u64) -> String {
    let known_ms = target.since_unix_ms.filter(|at| *at > 0);
    known_ms.map_or_else(|| UNKNOWN.to_owned(), |at| span(now_ms.saturating_sub(at) / 1_000))
}

/// The weight that counts now, if it differs from the configured one.
fn weight_now(target: &Target) -> Option<String> {
    // Weights are small whole numbers, which a float holds exactly.
    let now = target.effective_weight.filter(|now| (now - target.weight as f64).abs() > 0.05)?;
    Some(format!("its weight counts {now:.1} now"))
}

/// "200 in 0.8 ms, 3s ago"; "timed out, 3s ago"
fn check(check: &Check, now_ms: u64) -> String {
    let what = match (&check.error, check.status) {
        (Some(error), _) => error.clone(),
        (None, Some(status)) => status.to_string(),
        (None, None) if check.passed => "connected".to_owned(),
        (None, None) => "failed".to_owned(),
    };
    let took = check.latency_us.filter(|_| check.error.is_none());
    let took = took.map_or(String::new(), |us| format!(" in {} ms", milliseconds(us)));
    format!("{what}{took}, {}", ago(check.unix_ms, now_ms))
}

/// The remarks about a target that is not in its ordinary state.
fn note(target: &Target, now_ms: u64) -> String {
    let mut notes = Vec::new();
    if let Some(drain) = &target.drain {
        notes.push(countdown(drain));
    }
    if let Some(until_ms) = target.ejected_until_unix_ms {
        // Milliseconds of a wait fit a float.
        let left = left(until_ms.saturating_sub(now_ms) as f64 / 1_000.0);
        notes.push(format!("ejected, back in {left}"));
    }
    if let Some(seconds) = target.slow_start_remaining_s {
        notes.push(format!("slow start, {} left", left(seconds)));
        notes.extend(weight_now(target));
    }
    let tunnels = target.tunnels.filter(|open| *open > 0 && target.drain.is_none());
    notes.extend(tunnels.map(|open| count(open, "tunnel")));
    notes.extend(target.waiting.filter(|queue| *queue > 0).map(|queue| format!("{queue} waiting")));
    if target.failures_recently > 0 {
        notes.push(format!("{} in the last 2m", count(target.failures_recently, "failure")));
    }
    if target.configured_state == "removed" {
        notes.push("removed".to_owned());
    }
    // A drain has its own reason, and an unchecked target has none.
    let is_ordinary = matches!(&*target.health, "healthy" | "unchecked");
    if !target.reason.is_empty() && !is_ordinary && target.drain.is_none() {
        notes.push(target.reason.clone());
    }
    if let Some(last) = target.last_check.as_ref().filter(|last| !last.passed) {
        notes.push(format!("last check: {}", check(last, now_ms)));
    }
    notes.join("; ")
}

/// "drains: 4m47s left, 3 in flight, 1 tunnel, about 12 sessions"
pub(super) fn countdown(drain: &Drain) -> String {
    if drain.finished {
        return "drained".to_owned();
    }
    let mut parts = vec![match drain.remaining_s {
        Some(seconds) => format!("{} left", left(seconds)),
        None => "no deadline".to_owned(),
    }];
    parts.push(format!("{} in flight", known(drain.in_flight)));
    parts.extend(drain.tunnels.map(|tunnels| count(tunnels, "tunnel")));
    parts.extend(drain.sessions.map(|number| format!("about {}", count(number, "session"))));
    format!("drains: {}", parts.join(", "))
}

pub(super) fn path_of(target: &TargetName) -> String {
    group_path(&target.group, &["targets", &target.target])
}

pub(super) fn weight(
    session: &Session,
    target: &TargetName,
    weight: u32,
    change: &Change,
) -> Result<ExitCode, Failure> {
    let body = body(change.kept.keep(), json!({ "set": { "weight": weight } }));
    session.edit(Ask::patch(path_of(target), body), change)
}

pub(super) fn enable(
    session: &Session,
    target: &TargetName,
    kept: &Kept,
) -> Result<ExitCode, Failure> {
    switch(session, target, "enable", kept)
}

pub(super) fn disable(
    session: &Session,
    target: &TargetName,
    kept: &Kept,
) -> Result<ExitCode, Failure> {
    switch(session, target, "disable", kept)
}

fn switch(
    session: &Session,
    target: &TargetName,
    verb: &str,
    kept: &Kept,
) -> Result<ExitCode, Failure> {
    let path = format!("{}/{verb}", path_of(target));
    session.keep(Ask::post(path, body(kept.keep(), Value::Null)), kept)
}

/// A target to register.
pub(super) struct New<'a> {
    pub group: &'a str,
    pub address: &'a str,
    pub id: Option<&'a str>,
    pub weight: Option<u32>,
}

pub(super) fn add(session: &Session, new: &New<'_>, change: &Change) -> Result<ExitCode, Failure> {
    let mut settings = Map::new();
    settings.insert("address".to_owned(), json!(new.address));
    settings.extend(new.id.map(|id| ("id".to_owned(), json!(id))));
    settings.extend(new.weight.map(|weight| ("weight".to_owned(), json!(weight))));
    let body = body(change.kept.keep(), json!({ "settings": settings }));
    session.edit(Ask::post(group_path(new.group, &["targets"]), body), change)
}

pub(super) fn remove(
    session: &Session,
    target: &TargetName,
    change: &Change,
) -> Result<ExitCode, Failure> {
    let keep = match change.kept.keep() {
        Keep::Overlay => "overlay",
        Keep::File => "file",
    };
    session.edit(Ask::delete(format!("{}?keep={keep}", path_of(target))), change)
}

#[cfg(test)]
mod tests {
    use crate::cli::ctl::targets::*;

    fn target(value: Value) -> Target {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn notes_tell_what_is_not_ordinary() {
        let cases = [
            (json!({"health": "healthy", "reason": "checks passed"}), ""),
            (json!({"health": "unchecked", "reason": "not checked"}), ""),
            (
                json!({"health": "unchecked", "reason": "not checked", "failures_recently": 2}),
                "2 failures in the last 2m",
            ),
            (json!({"health": "unhealthy", "reason": "3 checks failed"}), "3 checks failed"),
            (
                json!({"ejected_until_unix_ms": 31_000, "health": "unhealthy"}),
                "ejected, back in 30s",
            ),
            (json!({"slow_start_remaining_s": 4.2, "health": "healthy"}), "slow start, 5s left"),
            (
                json!({"configured_state": "removed", "health": "draining", "drain": {
                    "remaining_s": 286.5, "in_flight": 3, "tunnels": 1, "sessions": 12,
                }}),
                "drains: 4m47s left, 3 in flight, 1 tunnel, about 12 sessions; removed",
            ),
            (
                json!({"drain": {"remaining_s": null, "in_flight": 0, "tunnels": 0, "sessions": null}}),
                "drains: no deadline, 0 in flight, 0 tunnels",
            ),
            (json!({"drain": {"finished": true}}), "drained"),
        ];
        for (value, expected) in cases {
            assert_eq!(note(&target(value.clone()), 1_000), expected, "{value}");
        }
    }

    #[test]
    fn a_target_that_nobody_checks_is_grey_and_its_failures_are_not() {
        let shown = |failures_recently: u64| {
            let group: Group = serde_json::from_value(json!({"name": "app", "targets": [
                {"id": "a", "address": "10.0.0.1:80", "health": "unchecked", "failures": 3,
                 "failures_recently": failures_recently},
            ]}))
            .unwrap();
            table(&[&group], Style { colours: true }, 0)
        };
        assert!(shown(0).contains("\x1b[90munchecked\x1b[0m"), "{}", shown(0));
        assert!(!shown(0).contains("\x1b[3"), "no other colour: {}", shown(0));
        let failing = shown(2);
        assert!(failing.contains("\x1b[31m  2 failures in the last 2m\x1b[0m"), "{failing}");
    }

    #[test]
    fn the_last_check_is_told_with_its_age() {
        let cases = [
            (
                json!({"unix_ms": 1_000, "passed": true, "status": 200, "latency_us": 800}),
                "200 in 0.80 ms, 3s ago",
            ),
            (
                json!({"unix_ms": 4_000, "passed": true, "latency_us": 90}),
                "connected in 0.09 ms, now",
            ),
            (
                json!({"unix_ms": 1_000, "passed": false, "error": "timed out", "latency_us": 5}),
                "timed out, 3s ago",
            ),
        ];
        for (value, expected) in cases {
            let read: Check = serde_json::from_value(value).unwrap();
            assert_eq!(check(&read, 4_000), expected);
        }
    }

    #[test]
    fn a_weight_that_counts_otherwise_is_told() {
        let text = |effective: Value| {
            weight_now(&target(json!({"weight": 10, "effective_weight": effective})))
        };
        assert_eq!(text(json!(10.0)), None);
        assert_eq!(text(json!(2.5)).as_deref(), Some("its weight counts 2.5 now"));
        assert_eq!(text(json!(null)), None);
    }

    #[test]
    fn the_table_fits_on_a_screen_and_has_failures() {
        let wide = |address: &str| {
            let group: Group = serde_json::from_value(json!({"name": "checkout", "targets": [
                {"id": "web-1", "address": address, "weight": 100, "health": "unhealthy", "in_flight": 12345,
                 "requests_per_second": 12345.6, "failures": 1234567, "failures_recently": 42, "sessions": 123456,
                 "since_unix_ms": 1, "tunnels": 3, "waiting": 7, "reason": "3 checks failed: connection refused",
                 "last_check": {"unix_ms": 1, "passed": false, "error": "connection refused"}},
            ]}))
            .unwrap();
            table(&[&group], Style { colours: false }, 119_000)
        };
        for address in ["10.0.0.1:80", "192.168.100.100:18080", "[2001:db8:1:2:3:4:5:6]:8080"] {
            let shown = wide(address);
            assert!(shown.lines().all(|line| line.chars().count() < 100), "{shown}");
            assert!(shown.contains("FAILURES") && shown.contains("1234567"), "{shown}");
            assert!(shown.contains("42 failures in the last 2m"), "{shown}");
            assert!(shown.contains(address), "{shown}");
        }
    }
}
