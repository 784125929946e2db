//! `targets`, `weight`, `enable`, `disable`, `add` and `remove`.
//!
//! Tested by `tests/ctl`.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::answers::{Check, Drain, Group, Groups, Target};
use super::arguments::{Change, Kept, TargetName};
use super::client::Ask;
use super::failure::Failure;
use super::session::{Session, body, group_path};
use super::table::{Cell, Style, Table, Tone};
use super::words::{UNKNOWN, ago, count, known, left, milliseconds, rate};
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
    let mut table = Table::new(&[
        "GROUP",
        "TARGET",
        "ADDRESS",
        ">WEIGHT",
        "HEALTH",
        "SINCE",
        ">REQUESTS/s",
        ">IN FLIGHT",
        ">TUNNELS",
        ">WAITING",
        ">SESSIONS",
        "LAST CHECK",
        "NOTE",
    ]);
    for group in groups {
        for target in &group.targets {
            table.row([
                (&group.name).into(),
                (&target.id).into(),
                (&target.address).into(),
                weight_of(target).into(),
                Cell::toned(&target.health, Tone::of_health(&target.health)),
                since(target, now_ms).into(),
                known(target.requests_per_second.map(rate)).into(),
                known(target.in_flight).into(),
                known(target.tunnels).into(),
                known(target.waiting).into(),
                known(target.sessions).into(),
                target.last_check.as_ref().map_or(UNKNOWN.into(), |at| check(at, now_ms)).into(),
                note(target, now_ms).into(),
            ]);
        }
    }
    table.show(style, "no targets")
}

/// Since when the target has its health; a target that was never looked at has no time.
fn since(target: &Target, now_ms: u64) -> String {
    let known_ms = target.since_unix_ms.filter(|at| *at > 0);
    known_ms.map_or_else(|| UNKNOWN.to_owned(), |at| ago(at, now_ms))
}

/// The weight as it is set, and as it counts now where that is another.
fn weight_of(target: &Target) -> String {
    let set = target.weight;
    match target.effective_weight {
        // Weights are small whole numbers, which a float holds exactly.
        Some(now) if (now - set as f64).abs() > 0.05 => format!("{set} (now {now:.1})"),
        _ => set.to_string(),
    }
}

/// "200 in 0.8 ms, 3 s ago"; "timed out, 3 s ago"
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

/// What makes a target other than an ordinary one.
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
    }
    if target.configured_state == "removed" {
        notes.push("removed".to_owned());
    }
    // A drain tells why by itself.
    if !target.reason.is_empty() && target.health != "healthy" && target.drain.is_none() {
        notes.push(target.reason.clone());
    }
    notes.join("; ")
}

/// "drains: 287 s left, 3 in flight, 1 tunnel, about 12 sessions"
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
    use super::*;

    fn target(value: Value) -> Target {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn notes_tell_what_is_not_ordinary() {
        let cases = [
            (json!({"health": "healthy", "reason": "checks passed"}), ""),
            (json!({"health": "unhealthy", "reason": "3 checks failed"}), "3 checks failed"),
            (
                json!({"ejected_until_unix_ms": 31_000, "health": "unhealthy"}),
                "ejected, back in 30 s",
            ),
            (json!({"slow_start_remaining_s": 4.2, "health": "healthy"}), "slow start, 5 s left"),
            (
                json!({"configured_state": "removed", "health": "draining", "drain": {
                    "remaining_s": 286.5, "in_flight": 3, "tunnels": 1, "sessions": 12,
                }}),
                "drains: 4 min left, 3 in flight, 1 tunnel, about 12 sessions; removed",
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
    fn the_last_check_is_told_with_its_age() {
        let cases = [
            (
                json!({"unix_ms": 1_000, "passed": true, "status": 200, "latency_us": 800}),
                "200 in 0.80 ms, 3 s ago",
            ),
            (
                json!({"unix_ms": 4_000, "passed": true, "latency_us": 90}),
                "connected in 0.09 ms, now",
            ),
            (
                json!({"unix_ms": 1_000, "passed": false, "error": "timed out", "latency_us": 5}),
                "timed out, 3 s ago",
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
            weight_of(&target(json!({"weight": 10, "effective_weight": effective})))
        };
        assert_eq!(text(json!(10.0)), "10");
        assert_eq!(text(json!(2.5)), "10 (now 2.5)");
        assert_eq!(text(json!(null)), "10");
    }
}
