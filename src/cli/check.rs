//! `limpet check`: judges a file and prints what it declares. Starts nothing, writes nothing. Tested by
//! `tests/config_commands.rs`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::CONFIG_REFUSED;
use super::start::StartError;
use crate::control::certificates::now_s;
use crate::control::config::file::{
    self, AlgorithmName, File, Forward, StickinessType, TargetState,
};
use crate::control::config::{self, notes};
use crate::control::keys;
use crate::control::runtime::Control;
use crate::stickiness::keyring::KeyRing;
use crate::stickiness::options::NewSessions;

/// Prints the summary of a file, or all its mistakes to standard error.
pub fn run(path: &Path) -> ExitCode {
    match load(path) {
        Ok((file, control, _)) => {
            let certificates = control.certificates();
            let invalid = certificates.invalid(now_s());
            if !invalid.is_empty() {
                eprintln!("{}", invalid.join("\n"));
                return ExitCode::from(CONFIG_REFUSED);
            }
            // The write fails only when the reader has closed the pipe.
            let _ = io::stdout().write_all(summary(path, &file).as_bytes());
            for note in notes(&file).iter().chain(certificates.notes()) {
                eprintln!("note: {note}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    }
}

/// Loads and compiles a file to inspect it; nothing is kept on disk.
pub(super) fn load(path: &Path) -> Result<(Arc<File>, Control, Arc<KeyRing>), StartError> {
    let parsed = config::load(path)?;
    let file = Arc::clone(&parsed.file);
    let ring = keys::for_inspection(&file)?;
    let control = Control::new(parsed, None, Arc::clone(&ring))?;
    Ok((file, control, ring))
}

fn summary(path: &Path, file: &File) -> String {
    let mut out = format!("{}: right\n", path.display());
    let width = names(file).map(str::len).max().unwrap_or_default();
    for listener in &file.listeners {
        let _ =
            writeln!(out, "listener      {:width$}  {}", listener.name, listener_line(listener));
    }
    for group in &file.target_groups {
        let _ = writeln!(out, "target group  {:width$}  {}", group.name, group_line(group));
    }
    out
}

fn names(file: &File) -> impl Iterator<Item = &str> {
    let groups = file.target_groups.iter().map(|group| group.name.as_str());
    file.listeners.iter().map(|listener| listener.name.as_str()).chain(groups)
}

fn listener_line(listener: &file::Listener) -> String {
    let rules = count(listener.rules.len(), "rule");
    let default = match (&listener.forward, &listener.redirect, &listener.respond) {
        (Some(Forward::One(group)), ..) => format!("forward to {group}"),
        (Some(Forward::Weighted(weighted)), ..) => {
            let names: Vec<_> = weighted.groups.iter().map(|one| one.group.as_str()).collect();
            format!("forward to {}", names.join(", "))
        }
        (_, Some(redirect), _) => format!("redirect to {}", redirect.to),
        (.., Some(respond)) => format!("respond {}", respond.status),
        (None, None, None) => "nothing".to_owned(),
    };
    let tls = if listener.tls.is_some() { " over TLS" } else { "" };
    format!("{}{tls}, {rules}, otherwise {default}", listener.address)
}

fn group_line(group: &file::TargetGroup) -> String {
    let algorithm = match group.algorithm {
        AlgorithmName::RoundRobin => "round_robin",
        AlgorithmName::LeastOutstandingRequests => "least_outstanding_requests",
        AlgorithmName::WeightedRandom => "weighted_random",
        AlgorithmName::Hash => "hash",
    };
    let draining =
        group.targets.iter().filter(|target| target.state == TargetState::Draining).count();
    let tls = if group.tls().is_some() { " over TLS" } else { "" };
    let mut line = format!("{algorithm}, {}{tls}", count(group.targets.len(), "target"));
    if draining > 0 {
        let _ = write!(line, " ({draining} draining)");
    }
    let stickiness = &group.stickiness;
    if stickiness.enabled {
        let kind = stickiness.kind;
        let named = match kind {
            StickinessType::LbCookie => None,
            StickinessType::AppCookie => stickiness.app_cookie.as_deref(),
            StickinessType::AppHeader => stickiness.app_header.as_deref(),
        };
        let kind = [Some(kind.code()), named].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let (idle, most) = (
            config::units::show_duration(stickiness.duration),
            config::units::show_duration(stickiness.max_age),
        );
        let _ = match stickiness.kind {
            StickinessType::AppHeader => write!(line, ", sticky by {kind} for {most} at most"),
            StickinessType::LbCookie | StickinessType::AppCookie => {
                write!(line, ", sticky by {kind} for {idle} without a request, {most} at most")
            }
        };
        if stickiness.new_sessions == NewSessions::LeastSessions {
            line.push_str(", new users by least_sessions");
        }
    } else {
        line.push_str(", not sticky");
    }
    line
}

fn count(number: usize, of: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {of}{plural}")
}
