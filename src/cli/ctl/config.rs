//! `reload`, `diff`, `apply`, `confirm`, `rollback`, `undo`, `history` and `overlay`.
//!
//! Tested by `tests/ctl`.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::answers::{Applied, Config, Differences, History, HistoryEntry};
use super::arguments::{Change, Condition, OverlayCommand};
use super::client::Ask;
use super::failure::{DIFFERS, Failure};
use super::session::{Session, body, said};
use super::table::{Style, Table};
use super::words::{UNKNOWN, ago, known, plain};
use crate::control::events::unix_ms;

/// The text of a file named on the command line.
fn text_of(file: Option<&Path>) -> Result<Option<String>, Failure> {
    let Some(path) = file else { return Ok(None) };
    let read = match path.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => std::fs::read_to_string(path),
    };
    read.map(Some)
        .map_err(|error| Failure::Usage(format!("{}: cannot be read: {error}", path.display())))
}

pub(super) fn reload(session: &Session, condition: &Condition) -> Result<ExitCode, Failure> {
    session.change(Ask::post("/v1/config/reload", json!({})).if_version(condition.if_version))
}

pub(super) fn diff(session: &Session, file: Option<&Path>) -> Result<ExitCode, Failure> {
    let ask = match text_of(file)? {
        Some(text) => Ask::post("/v1/config/diff", json!({ "text": text })),
        None => Ask::get("/v1/config/diff"),
    };
    session.show_and_exit(ask, |answer: &Differences| {
        let differences = &answer.differences;
        if differences.is_empty() {
            return ("nothing differs\n".to_owned(), ExitCode::SUCCESS);
        }
        let line = |text: &str, needs_restart: bool| {
            let restart = if needs_restart { " (after a restart)" } else { "" };
            format!("{}{restart}\n", plain(text))
        };
        let lines = differences.iter().map(|one| line(&one.text, one.needs_restart)).collect();
        (lines, ExitCode::from(DIFFERS))
    })
}

pub(super) fn apply(
    session: &Session,
    file: Option<&Path>,
    confirm: Option<&str>,
    change: &Change,
) -> Result<ExitCode, Failure> {
    let keep = change.kept.keep();
    let body = body(keep, json!({ "text": text_of(file)?, "confirm": confirm }));
    let ask = Ask::post("/v1/config/apply", body).if_version(change.condition.if_version);
    session.show(ask, |applied: &Applied| {
        // A whole file comes with notes about where it is kept; only single edits can be an overlay.
        let mut out = said(applied, None);
        if let Some(confirm) = confirm.filter(|_| !applied.summary.is_empty()) {
            out.push_str(&format!(
                "goes back by itself after {confirm} unless confirmed: limpet ctl confirm\n"
            ));
        }
        out
    })
}

pub(super) fn confirm(session: &Session) -> Result<ExitCode, Failure> {
    session.change(Ask::post("/v1/config/confirm", json!({})))
}

pub(super) fn rollback(session: &Session) -> Result<ExitCode, Failure> {
    session.change(Ask::post("/v1/config/rollback", json!({})))
}

pub(super) fn undo(
    session: &Session,
    change: u64,
    condition: &Condition,
) -> Result<ExitCode, Failure> {
    let ask = Ask::post("/v1/config/undo", json!({ "change": change }));
    session.change(ask.if_version(condition.if_version))
}

pub(super) fn history(session: &Session) -> Result<ExitCode, Failure> {
    session.show(Ask::get("/v1/config/history"), |answer: &History| {
        entries(&answer.entries, session.style, unix_ms())
    })
}

fn entries(entries: &[HistoryEntry], style: Style, now_ms: u64) -> String {
    let mut table =
        Table::new(&[">CHANGE", ">VERSION", "WHEN", "WHO", "WHAT", "KEPT", "UNDO", "SUMMARY"]);
    for entry in entries {
        table.row([
            entry.change.to_string().into(),
            known(entry.version).into(),
            ago(entry.unix_ms, now_ms).into(),
            (&entry.actor).into(),
            (&entry.what).into(),
            entry.keep.as_deref().unwrap_or(UNKNOWN).into(),
            if entry.can_undo { "yes" } else { "no" }.into(),
            entry.summary.join("; ").into(),
        ]);
    }
    table.show(style, "no changes")
}

pub(super) fn overlay(
    session: &Session,
    what: OverlayCommand,
    condition: &Condition,
) -> Result<ExitCode, Failure> {
    let if_version = condition.if_version;
    match what {
        OverlayCommand::Show => session.show(Ask::get("/v1/config"), |answer: &Config| {
            let now_ms = unix_ms();
            let mut table = Table::new(&[">CHANGE", "WHEN", "WHO", "SUMMARY"]);
            for entry in &answer.overlay {
                table.row([
                    entry.change.to_string().into(),
                    ago(entry.unix_ms, now_ms).into(),
                    (&entry.actor).into(),
                    entry.summary.join("; ").into(),
                ]);
            }
            table.show(session.style, "no changes beside the file")
        }),
        OverlayCommand::Write => {
            let ask = Ask::post("/v1/config/overlay/write", json!({}));
            session.change(ask.if_version(if_version))
        }
        OverlayCommand::Discard => {
            session.change(Ask::delete("/v1/config/overlay").if_version(if_version))
        }
    }
}
