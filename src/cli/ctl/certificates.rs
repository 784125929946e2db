//! `certificates`: what TLS listeners, the admin API and target groups present, and until when.
//!
//! Tested by `tests/ctl`.

use std::process::ExitCode;

use super::answers::{Certificate, CertificateOrder, Certificates};
use super::client::Ask;
use super::failure::Failure;
use super::session::Session;
use super::table::{Cell, Style, Table, Tone};
use super::words::{UNKNOWN, ago, plain};
use crate::control::events::unix_ms;

/// Names that are shown of one certificate; more are counted.
const NAMES_MAX: usize = 3;
const DAY_S: i64 = 86_400;
/// Fewer days than this are shown as a warning.
const DAYS_FEW: i64 = 30;

pub(super) fn certificates(session: &Session) -> Result<ExitCode, Failure> {
    session.show(Ask::get("/v1/certificates"), |answer: &Certificates| {
        page(answer, session.style, unix_ms())
    })
}

fn page(answer: &Certificates, style: Style, now_ms: u64) -> String {
    let now = i64::try_from(now_ms / 1_000).unwrap_or(i64::MAX);
    let mut table = Table::new(&["PRESENTED BY", "NAMES", "ISSUER", "ENDS", "FROM", "CHAIN"]);
    for certificate in &answer.certificates {
        table.row([
            presenter(certificate).into(),
            names(&certificate.names).into(),
            (&certificate.issuer).into(),
            end(certificate, now),
            (&certificate.source).into(),
            (&certificate.chain).into(),
        ]);
    }
    let mut out =
        table.show(style, "no certificates: no listener, target group or admin API has any");
    for order in &answer.orders {
        if let Some((line, tone)) = ordered(order, now) {
            out.push_str(&format!("{}\n", style.paint(&line, tone)));
        }
    }
    if let Some(fault) = &answer.last_reading.fault {
        let when = ago(answer.last_reading.unix_ms, now_ms);
        for line in fault.lines() {
            let line = format!("bad as read {when}: {}", plain(line));
            out.push_str(&format!("{}\n", style.paint(&line, Tone::Bad)));
        }
    }
    for note in &answer.notes {
        let line = format!("note: {}", plain(note));
        out.push_str(&format!("{}\n", style.paint(&line, Tone::Careful)));
    }
    out
}

fn presenter(certificate: &Certificate) -> String {
    match (&certificate.listener, &certificate.target_group) {
        (Some(listener), _) => listener.clone(),
        (None, Some(group)) => format!("group {group}"),
        (None, None) => "(admin)".to_owned(),
    }
}

/// What an authority has not issued, or not renewed.
fn ordered(order: &CertificateOrder, now: i64) -> Option<(String, Tone)> {
    let who = names(&order.names);
    let when = match order.next_unix_s.map(|at| at.saturating_sub(now)) {
        Some(left) if left > 0 => format!("ordered again in {}", span(left)),
        Some(_) | None => "ordered now".to_owned(),
    };
    match (&order.fault, order.obtained) {
        (Some(fault), obtained) => {
            let (failures, fault) = (order.failures, plain(fault));
            let line = format!("{who}: not issued, {failures} failed: {fault}; {when}");
            Some((line, if obtained { Tone::Careful } else { Tone::Bad }))
        }
        (None, false) => Some((format!("{who}: not issued yet; {when}"), Tone::Careful)),
        (None, true) => None,
    }
}

/// "63d", "5h", "12m"
fn span(seconds: i64) -> String {
    match (seconds / DAY_S, seconds / 3_600) {
        (0, 0) => format!("{}m", seconds / 60),
        (0, hours) => format!("{hours}h"),
        (days, _) => format!("{days}d"),
    }
}

fn names(names: &[String]) -> String {
    let shown = names.get(..NAMES_MAX).unwrap_or(names).join(" ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 if names.is_empty() => UNKNOWN.to_owned(),
        0 => shown,
        more => format!("{shown} +{more}"),
    }
}

/// "in 63d", "in 5h", "expired 2d ago"
fn end(certificate: &Certificate, now: i64) -> Cell {
    let left = certificate.not_after_unix_s.saturating_sub(now);
    match certificate.state.as_str() {
        "expired" => Cell::toned(format!("expired {} ago", span(left.saturating_neg())), Tone::Bad),
        "not_yet_valid" => Cell::toned("not yet valid", Tone::Bad),
        _ if left < DAYS_FEW * DAY_S => Cell::toned(format!("in {}", span(left)), Tone::Careful),
        _ => format!("in {}", span(left)).into(),
    }
}
