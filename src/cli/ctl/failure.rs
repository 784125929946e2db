//! Why a command of `limpet ctl` failed: the words for people and the exit code for programs.
//!
//! Owns the exit codes. Never shows a token. Tested by `tests/ctl`.

use std::fmt::{self, Write as _};
use std::process::ExitCode;

use serde::Deserialize;

use super::place::Place;
use super::words::plain;
use crate::cli::CONFIG_REFUSED;

/// `diff` found differences.
pub(super) const DIFFERS: u8 = 4;
/// No server answers.
const UNREACHABLE: u8 = 3;
/// HTTP's Unprocessable Content (RFC 9110 §15.5.21): the configuration is refused.
const INVALID: u16 = 422;
const UNAUTHORIZED: u16 = 401;
const PRECONDITION_FAILED: u16 = 412;

/// Why there is no answer, or a refusal.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line, or a file named on it, is wrong.
    Usage(String),
    Unreachable {
        place: Place,
        cause: String,
    },
    Refused(Problem),
    /// A server answers, but not as the admin API does; or a wait ended in another way than it should.
    Other(String),
}

/// The parts of problem details (RFC 9457) that are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    pub title: String,
    pub status: u16,
    pub detail: String,
    pub problems: Option<Vec<Mistake>>,
    /// The configuration version now, after a mismatch.
    pub version: Option<u64>,
    /// The content of the answer unchanged, for `--json`.
    #[serde(skip)]
    pub raw: String,
}

/// One mistake of a configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mistake {
    file: Option<String>,
    line: Option<u64>,
    column: Option<u64>,
    key: Option<String>,
    what: String,
    found: Option<String>,
    allowed: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        if let Some(file) = &self.file {
            let _ = write!(line, "{file}:");
            for number in [self.line, self.column].into_iter().flatten() {
                let _ = write!(line, "{number}:");
            }
            line.push(' ');
        }
        if let Some(key) = self.key.as_deref().filter(|key| !key.is_empty()) {
            let _ = write!(line, "{key}: ");
        }
        line.push_str(&self.what);
        if let Some(found) = &self.found {
            let _ = write!(line, "; found {found}");
        }
        if let Some(allowed) = &self.allowed {
            let _ = write!(line, "; allowed: {allowed}");
        }
        out.write_str(&plain(&line))
    }
}

impl Failure {
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Usage(_) => CONFIG_REFUSED,
            Failure::Refused(problem) if problem.status == INVALID => CONFIG_REFUSED,
            Failure::Refused(_) | Failure::Other(_) => 1,
            Failure::Unreachable { .. } => UNREACHABLE,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(what) | Failure::Other(what) => out.write_str(&plain(what)),
            Failure::Refused(problem) => problem.fmt(out),
            Failure::Unreachable { place, cause } => {
                writeln!(out, "no limpet answers at {place}: {}", plain(cause))?;
                if let Some(looked) = place.looked() {
                    writeln!(out, "  {looked}")?;
                }
                out.write_str(TURN_ON)
            }
        }
    }
}

const TURN_ON: &str = "\
  The admin API is off until the configuration has an [admin] table with one of these, or both:
    socket = \"/run/limpet/admin.sock\"
    address = \"127.0.0.1:9901\"
  To look elsewhere: --admin URL|PATH, LIMPET_ADMIN, or --config FILE";

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", plain(&self.title), self.status)?;
        let mistakes = self.problems.as_deref().unwrap_or_default();
        let says_more = !self.detail.is_empty() && !self.detail.eq_ignore_ascii_case(&self.title);
        if says_more && mistakes.is_empty() {
            write!(out, "\n  {}", plain(&self.detail))?;
        }
        for mistake in mistakes {
            write!(out, "\n  {mistake}")?;
        }
        match self.status {
            UNAUTHORIZED => out.write_str(
                "\n  Give the token by LIMPET_TOKEN, or --config FILE where it stands; \
                 the Unix socket asks for none",
            ),
            PRECONDITION_FAILED => match self.version {
                Some(version) => {
                    write!(out, "\n  Look again, then repeat it with --if-version {version}")
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
