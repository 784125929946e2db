//! `groups`, `set` and `sessions`.
//!
//! Tested by `tests/ctl`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::answers::{Group, GroupSessions, Groups, Sessions};
use super::arguments::Change;
use super::client::Ask;
use super::failure::Failure;
use super::session::{Session, body, group_path, print};
use super::table::{Cell, Style, Table, Tone};
use super::values::{self, Setting};
use super::words::{UNKNOWN, count, known, milliseconds, plain, rate};
use crate::telemetry::reason::Reason;

pub(super) fn groups(session: &Session) -> Result<ExitCode, Failure> {
    session.show(Ask::get("/v1/groups"), |answer: &Groups| {
        let mut table = Table::new(&[
            "GROUP",
            "VERSION",
            "ALGORITHM",
            "STICKINESS",
            "HEALTHY",
            ">REQUESTS/s",
            ">ERRORS/s",
            ">P50 ms",
            ">P99 ms",
            ">IN FLIGHT",
            ">WAITING",
            ">SESSIONS",
        ]);
        for group in &answer.groups {
            let latency = group.latency_us.as_ref();
            let percentile = |us: Option<u64>| Cell::from(known(us.map(milliseconds)));
            table.row([
                (&group.name).into(),
                version(group).into(),
                (&group.algorithm).into(),
                sticky(group).into(),
                healthy(group),
                known(group.requests_per_second.map(rate)).into(),
                known(group.errors_per_second.map(rate)).into(),
                percentile(latency.and_then(|latency| latency.p50)),
                percentile(latency.and_then(|latency| latency.p99)),
                known(group.in_flight).into(),
                known(group.waiting).into(),
                known(group.sessions).into(),
            ]);
        }
        let mut out = table.show(session.style, "no target groups");
        for group in &answer.groups {
            out.push_str(&remarks(group, session.style));
        }
        out
    })
}

/// "http1", "http2 over TLS": how its targets are spoken to.
fn version(group: &Group) -> String {
    let attribute = |key: &str| group.attributes.get(key).map(values::show).unwrap_or_default();
    match attribute("protocol").as_str() {
        "https" => format!("{} over TLS", attribute("protocol_version")),
        _ => attribute("protocol_version"),
    }
}

/// "lb_cookie 1d", "app_header 7d", "off": how long a session is kept without a request, or at most.
fn sticky(group: &Group) -> String {
    let setting = |key: &str| group.stickiness.get(key).map(values::show).unwrap_or_default();
    match group.stickiness.get("enabled") {
        Some(Value::Bool(true)) if setting("type") == "app_header" => {
            format!("app_header {}", setting("max_age"))
        }
        Some(Value::Bool(true)) => format!("{} {}", setting("type"), setting("duration")),
        _ => "off".to_owned(),
    }
}

/// "2 of 3", with the health of the others; "3 unchecked" where targets are not checked.
fn healthy(group: &Group) -> Cell {
    let health = &group.health_summary;
    let others = [
        (health.unhealthy, "unhealthy"),
        (health.initial, "initial"),
        (health.draining, "draining"),
        (health.unused, "unused"),
    ];
    let ejected = group.targets.iter().filter(|one| one.ejected_until_unix_ms.is_some()).count();
    let serve = health.healthy + health.unchecked;
    let all = others.iter().map(|(number, _)| number).sum::<u64>() + serve;
    let mut text = match health.unchecked {
        0 => format!("{} of {all}", health.healthy),
        unchecked => format!("{unchecked} unchecked"),
    };
    for (number, word) in others.iter().filter(|(number, _)| *number > 0) {
        text.push_str(&format!(", {number} {word}"));
    }
    if ejected > 0 {
        text.push_str(&format!(", {ejected} ejected"));
    }
    let tone = match (health.unhealthy, serve) {
        (0, _) if ejected > 0 => Tone::Careful,
        (0, _) if health.unchecked > 0 => Tone::Grey,
        (0, _) => Tone::Plain,
        (_, 0) => Tone::Bad,
        (_, _) => Tone::Careful,
    };
    Cell::toned(text, tone)
}

/// What an operator should know about a group beyond its numbers.
fn remarks(group: &Group, style: Style) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        let text = format!("{}: {}", group.name, text);
        out.push_str(&format!("{}\n", style.paint(&plain(&text), Tone::Careful)));
    };
    if group.failing_open {
        line("nobody is healthy enough, so requests go to targets that are not");
    }
    let failures = group.targets.iter().map(|target| target.failures_recently).sum::<u64>();
    if group.health_summary.unchecked > 0 && failures > 0 {
        let failures = count(failures, "failure");
        line(&format!("{failures} in the last 2m, and nobody checks its targets"));
    }
    for found in &group.session_matches {
        line(&found.text);
    }
    out
}

pub(super) fn set(
    session: &Session,
    group: &str,
    settings: &[Setting],
    change: &Change,
) -> Result<ExitCode, Failure> {
    let set = values::object(settings).map_err(Failure::Usage)?;
    let body = body(change.kept.keep(), json!({ "set": set }));
    session.edit(Ask::patch(group_path(group, &[]), body), change)
}

pub(super) fn sessions(session: &Session, group: Option<&str>) -> Result<ExitCode, Failure> {
    let answer = session.client.send(Ask::get("/v1/sessions"))?;
    let Sessions { groups } = answer.read()?;
    if session.json {
        session.print_answer(&answer, "");
        return Ok(ExitCode::SUCCESS);
    }
    let names: Vec<&str> = groups.iter().map(|group| &*group.name).collect();
    if let Some(asked) = group.filter(|asked| !names.contains(asked)) {
        let names = names.join(", ");
        return Err(Failure::Other(format!(
            "there is no target group {asked:?}; there is {names}"
        )));
    }
    let shown: Vec<&GroupSessions> =
        groups.iter().filter(|one| group.is_none_or(|asked| *one.name == *asked)).collect();
    print(&format!("{}\n{}", live(&shown, session.style), verdicts(&shown, session.style)));
    Ok(ExitCode::SUCCESS)
}

fn live(groups: &[&GroupSessions], style: Style) -> String {
    let mut table = Table::new(&["GROUP", "TARGET", ">LIVE SESSIONS", ">ERROR ± %"]);
    for group in groups {
        let error = known(group.error_percent.map(|percent| format!("{percent:.1}")));
        let rows = group.targets.iter().map(|target| (&*target.id, target.sessions));
        for (target, sessions) in std::iter::once(("all", group.sessions)).chain(rows) {
            let error = if sessions.is_some() { error.as_str() } else { UNKNOWN };
            table.row([(&group.name).into(), target.into(), known(sessions).into(), error.into()]);
        }
    }
    table.show(style, "no target groups")
}

/// Requests by verdict, in the order of the documentation's table.
fn verdicts(groups: &[&GroupSessions], style: Style) -> String {
    let mut table = Table::new(&["GROUP", "VERDICT", ">REQUESTS"]);
    for group in groups {
        let counted = Reason::ALL.iter().filter_map(|reason| {
            let number = group.sticky.get(reason.code()).copied().filter(|number| *number > 0)?;
            Some((reason.code(), number))
        });
        for (verdict, requests) in counted {
            table.row([(&group.name).into(), verdict.into(), requests.to_string().into()]);
        }
    }
    table.show(style, "no request to a sticky group yet")
}
