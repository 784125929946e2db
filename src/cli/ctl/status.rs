//! `status`, `metrics`, `log-level` and `explain`: questions about the whole process.
//!
//! Tested by `tests/ctl`.

use std::process::ExitCode;

use serde_json::json;

use super::answers::{Connections, Level, Pending, Status};
use super::arguments::ExplainOptions;
use super::client::Ask;
use super::failure::Failure;
use super::session::{Session, print};
use super::table::{Style, Tone, labelled};
use super::words::{self, ago, count, plain, span};
use crate::control::events::unix_ms;
use crate::control::explain::{Explanation, Question};

pub(super) fn status(session: &Session) -> Result<ExitCode, Failure> {
    session.show(Ask::get("/v1/status"), |status| page(status, session.style, unix_ms()))
}

fn page(status: &Status, style: Style, now_ms: u64) -> String {
    let config = &status.config;
    let demo = if status.demo { ", the demo" } else { "" };
    let mut lines = vec![
        (
            "limpet",
            format!(
                "{}, pid {}{demo}, up {}",
                status.version,
                status.pid,
                span(status.uptime_s.max(0.0) as u64)
            ),
        ),
        ("engine", format!("{}, {}", status.engine, count(status.shards, "shard"))),
        (
            "configuration",
            format!(
                "version {}, {}, loaded {}",
                config.version,
                config.path.as_deref().unwrap_or("not from a file"),
                ago(config.loaded_unix_ms, now_ms)
            ),
        ),
    ];
    if config.overlay_edits > 0 {
        let edits = count(config.overlay_edits, "change");
        lines.push(("", format!("{edits} not in the file: limpet ctl overlay")));
    }
    if config.file_differs {
        lines.push(("", "the file on disk is another than the one loaded: limpet ctl diff".into()));
    }
    if let Some(why) = config.file_obstacle.as_ref().filter(|_| config.path.is_some()) {
        lines.push(("", format!("changes cannot be kept in the file: {why}")));
    }
    for listener in &status.listeners {
        let versions = listener.http_versions.join(", ");
        lines.push(("listener", format!("{} on {}, {versions}", listener.name, listener.address)));
    }
    let connections = &status.connections;
    lines.push((
        "connections",
        format!(
            "{} open, {} accepted, {} refused; to targets {} open",
            connections.open,
            connections.accepted,
            connections.refused,
            status.target_connections.open
        ),
    ));
    lines.extend(of_http2(connections, &status.target_connections));
    lines.push(("memory", status.memory_bytes.map_or(words::UNKNOWN.into(), words::size)));
    lines.extend(unchecked(status));
    lines.push(("log", log(status)));
    let mut out = labelled(&lines);
    if let Some(pending) = &config.pending {
        out.push_str(&format!("{}\n", style.paint(&waits(pending), Tone::Careful)));
    }
    for warning in &status.warnings {
        let line = format!("warning: {}", plain(warning));
        out.push_str(&format!("{}\n", style.paint(&line, Tone::Careful)));
    }
    out
}

/// The connections that speak HTTP/2, where there are any.
fn of_http2(clients: &Connections, targets: &Connections) -> Option<(&'static str, String)> {
    let (clients, targets) = (&clients.http2, &targets.http2);
    let open = format!(
        "{} open, {}; to targets {} open, {}",
        clients.open,
        count(clients.streams, "stream"),
        targets.open,
        count(targets.streams, "stream")
    );
    (clients.open + targets.open > 0).then_some(("of HTTP/2", open))
}

fn log(status: &Status) -> String {
    let log = &status.log;
    format!(
        "level {}; access log {} written, {} dropped, {} failed",
        log.level,
        count(log.lines_written, "line"),
        log.lines_dropped,
        log.lines_failed
    )
}

/// The number of unchecked groups, which is no warning: it may be intended.
fn unchecked(status: &Status) -> Option<(&'static str, String)> {
    let groups = count(status.unchecked_count, "target group");
    let line = ("unchecked", format!("targets of {groups}: limpet ctl targets"));
    (status.unchecked_count > 0).then_some(line)
}

fn waits(pending: &Pending) -> String {
    let Pending { change, summary, actor, remaining } = pending;
    let (left, summary) = (words::left(*remaining), summary.join("; "));
    plain(&format!(
        "change {change} by {actor} goes back in {left} unless confirmed (limpet ctl confirm): {summary}"
    ))
}

pub(super) fn metrics(session: &Session) -> Result<ExitCode, Failure> {
    let answer = session.client.send(Ask::get("/metrics"))?;
    print(&answer.text);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn log_level(session: &Session, level: Option<&str>) -> Result<ExitCode, Failure> {
    let ask = match level {
        Some(level) => Ask::put("/v1/log-level", json!({ "level": level })),
        None => Ask::get("/v1/log-level"),
    };
    session.show(ask, |answer: &Level| format!("{}\n", plain(&answer.level)))
}

pub(super) fn explain(session: &Session, options: &ExplainOptions) -> Result<ExitCode, Failure> {
    let question = Question {
        request: options.request.clone(),
        headers: options.headers.clone(),
        listener: options.listener.clone(),
        source: options.source,
        sni: options.sni.clone(),
        client_certificate: options.client_certificate,
    };
    let ask = Ask::post("/v1/explain", json!(question));
    session.show(ask, |explanation: &Explanation| {
        explanation.to_string().lines().map(|line| format!("{}\n", plain(line))).collect()
    })
}

#[cfg(test)]
mod tests {
    use crate::cli::ctl::status::*;

    const PLAIN: Style = Style { colours: false };

    #[test]
    fn a_quiet_process_has_a_quiet_page() {
        let text = page(&Status::default(), PLAIN, 0);
        assert!(!text.contains("not in the file") && !text.contains("warning"), "{text}");
    }

    #[test]
    fn what_wants_attention_stands_in_the_page() {
        let status: Status = serde_json::from_value(json!({
            "config": {
                "version": 3, "path": "/etc/limpet.toml", "loaded_unix_ms": 1_000,
                "overlay_edits": 1, "file_differs": true, "file_obstacle": "it is read-only (mode 0444)",
                "pending": {"change": 4, "summary": ["a", "b"], "actor": "ctl root", "remaining": 41.2},
            },
            "warnings": ["one\x1b[2J"],
        }))
        .unwrap();
        let text = page(&status, PLAIN, 61_000);
        for line in [
            "configuration  version 3, /etc/limpet.toml, loaded 1m ago",
            "               1 change not in the file: limpet ctl overlay",
            "               changes cannot be kept in the file: it is read-only (mode 0444)",
            "change 4 by ctl root goes back in 42s unless confirmed (limpet ctl confirm): a; b",
            "warning: one [2J",
        ] {
            assert!(text.lines().any(|had| had == line), "no {line:?} in\n{text}");
        }
    }
}
