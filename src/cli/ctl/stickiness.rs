//! `stickiness`: shows and changes a group's Stickiness attribute.
//!
//! Tested by `tests/ctl`.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::answers::{Group, SessionMatch};
use super::arguments::{Change, StickinessCommand};
use super::client::Ask;
use super::failure::Failure;
use super::session::{Session, body, group_path, print};
use super::table::{Style, Tone, labelled};
use super::values::{self, Setting};
use super::words::plain;

pub(super) fn stickiness(
    session: &Session,
    command: &StickinessCommand,
) -> Result<ExitCode, Failure> {
    match command {
        StickinessCommand::Get { group } => get(session, group),
        StickinessCommand::Set { group, settings, change } => set(session, group, settings, change),
        StickinessCommand::On { group, change } => switch(session, group, true, change),
        StickinessCommand::Off { group, change } => switch(session, group, false, change),
        StickinessCommand::Flush { group, change } => {
            let path = group_path(group, &["stickiness", "flush"]);
            session.edit(Ask::post(path, body(change.kept.keep(), Value::Null)), change)
        }
    }
}

/// The attribute, with the lifetimes of the application's sessions.
fn get(session: &Session, group: &str) -> Result<ExitCode, Failure> {
    let answer = session.client.send(Ask::get(group_path(group, &["stickiness"])))?;
    let attribute: Map<String, Value> = answer.read()?;
    let lines = values::flat(&attribute);
    let lines: Vec<(&str, String)> =
        lines.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    session.print_answer(&answer, &labelled(&lines));
    if !session.json {
        let whole: Group = session.client.send(Ask::get(group_path(group, &[])))?.read()?;
        print(&warnings(group, &whole.session_matches, session.style));
    }
    Ok(ExitCode::SUCCESS)
}

/// Both figures, and the command that makes them match.
fn warnings(group: &str, matches: &[SessionMatch], style: Style) -> String {
    let mut out = String::new();
    for found in matches {
        let line = format!("warning: {}", plain(&found.text));
        out.push_str(&format!("{}\n", style.paint(&line, Tone::Careful)));
        let Some(suggestion) = &found.suggestion else { continue };
        let settings: Vec<String> = suggestion
            .iter()
            .map(|(key, value)| format!("{key}={}", values::show(value)))
            .collect();
        if !settings.is_empty() {
            let settings = plain(&settings.join(" "));
            out.push_str(&format!("  limpet ctl set {group} {settings}\n"));
        }
    }
    out
}

fn set(
    session: &Session,
    group: &str,
    settings: &[Setting],
    change: &Change,
) -> Result<ExitCode, Failure> {
    let set = values::object(settings).map_err(Failure::Usage)?;
    patch(session, group, json!(set), change)
}

fn switch(
    session: &Session,
    group: &str,
    enabled: bool,
    change: &Change,
) -> Result<ExitCode, Failure> {
    patch(session, group, json!({ "enabled": enabled }), change)
}

fn patch(session: &Session, group: &str, set: Value, change: &Change) -> Result<ExitCode, Failure> {
    let path = group_path(group, &["stickiness"]);
    session.edit(Ask::patch(path, body(change.kept.keep(), json!({ "set": set }))), change)
}
