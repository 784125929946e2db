//! `drain`, with its countdown.
//!
//! Polls the target, and prints a line when something other than the clock has changed; on a terminal it updates one
//! line in place. Tested by `tests/ctl`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::answers::{Drain, Target};
use super::arguments::DrainOptions;
use super::client::Ask;
use super::failure::Failure;
use super::session::{Session, body, print};
use super::targets::{countdown, path_of};
use super::words::plain;

/// Time between two looks at a drain.
const EVERY: Duration = Duration::from_millis(500);
const NOT_FOUND: u16 = 404;

pub(super) fn drain(session: &Session, options: &DrainOptions) -> Result<ExitCode, Failure> {
    let path = path_of(&options.target);
    let (until, sessions_at_most) = match (options.until_idle, options.until_sessions) {
        (true, _) => ("idle", 0),
        (false, Some(sessions)) => ("sessions", sessions),
        (false, None) => ("delay", 0),
    };
    let keep = options.kept.keep();
    let ask = Ask::post(
        format!("{path}/drain"),
        body(
            keep,
            json!({
                "until": until,
                "sessions_at_most": sessions_at_most,
                "deadline": options.deadline,
            }),
        ),
    );
    let done = session.keep(ask, &options.kept)?;
    if options.wait { wait(session, options, &path) } else { Ok(done) }
}

/// The state of the target at one look.
#[derive(Debug, PartialEq)]
enum Seen<'a> {
    /// The countdown has not begun yet.
    Begins,
    Drains(&'a Drain),
    /// The drain has ended, with the reason if it is known.
    Finished(&'a str),
    /// The target was put back into service.
    Ended,
}

fn seen(target: &Target) -> Seen<'_> {
    match &target.drain {
        Some(drain) if !drain.finished => Seen::Drains(drain),
        Some(drain) => Seen::Finished(&drain.reason),
        None if target.health == "unused" => Seen::Finished(""),
        None if target.health == "draining" || target.configured_state == "draining" => {
            Seen::Begins
        }
        None => Seen::Ended,
    }
}

fn wait(session: &Session, options: &DrainOptions, path: &str) -> Result<ExitCode, Failure> {
    let id = &options.target.target;
    let is_live = !session.json && io::stdout().is_terminal();
    let mut last = String::new();
    loop {
        let answer = match session.client.send(Ask::get(path)) {
            Ok(answer) => answer,
            Err(Failure::Refused(problem)) if problem.status == NOT_FOUND => {
                finish(session, is_live, &format!("{id}: drained and removed"));
                return Ok(ExitCode::SUCCESS);
            }
            Err(failure) => return Err(failure),
        };
        let target: Target = answer.read()?;
        match seen(&target) {
            Seen::Drains(drain) => {
                // A line that is updated in place must fit the terminal's width.
                let text = if is_live { countdown(drain) } else { told(drain) };
                let line = plain(&format!("{id} {text}"));
                // A change of the clock alone is printed only on the line that is updated in place.
                let news = if is_live { line.clone() } else { without_clock(drain) };
                if news != last {
                    let printed = match (session.json, is_live) {
                        (true, _) => print(&format!("{}\n", answer.text.trim_end())),
                        (false, true) => print(&format!("\r\x1b[K{line}")),
                        (false, false) => print(&format!("{line}\n")),
                    };
                    if !printed {
                        return Ok(ExitCode::SUCCESS);
                    }
                    last = news;
                }
            }
            Seen::Begins => {}
            Seen::Finished(why) => {
                if session.json {
                    session.print_answer(&answer, "");
                }
                let colon = if why.is_empty() { "" } else { ": " };
                finish(session, is_live, &format!("{id}: drained{colon}{why}"));
                return Ok(ExitCode::SUCCESS);
            }
            Seen::Ended => {
                if is_live {
                    print("\n");
                }
                return Err(Failure::Other(format!(
                    "{id} no longer drains: it was put back into service"
                )));
            }
        }
        session.client.pause(EVERY);
    }
}

fn finish(session: &Session, is_live: bool, line: &str) {
    let start = if is_live { "\r\x1b[K" } else { "" };
    if !session.json {
        print(&format!("{start}{}\n", plain(line)));
    }
}

/// The countdown, and what the drain waits for.
fn told(drain: &Drain) -> String {
    match drain.reason.as_str() {
        "" => countdown(drain),
        reason => format!("{}; {reason}", countdown(drain)),
    }
}

fn without_clock(drain: &Drain) -> String {
    let Drain { in_flight, tunnels, sessions, finished, ref reason, remaining_s: _ } = *drain;
    format!("{in_flight:?} {tunnels:?} {sessions:?} {finished} {reason}")
}

#[cfg(test)]
mod tests {
    use crate::cli::ctl::drain::*;

    #[test]
    fn a_drain_ends_when_it_has_finished_or_when_somebody_ends_it() {
        let target = |value| serde_json::from_value::<Target>(value).unwrap();
        let drains = target(json!({"drain": {"in_flight": 1}, "configured_state": "draining"}));
        assert!(matches!(seen(&drains), Seen::Drains(_)));
        for (value, why) in [
            (json!({"drain": {"finished": true, "reason": "it is unhealthy"}}), "it is unhealthy"),
            (json!({"drain": null, "health": "unused", "configured_state": "draining"}), ""),
        ] {
            assert_eq!(seen(&target(value)), Seen::Finished(why));
        }
        let begins = target(json!({"drain": null, "health": "draining"}));
        assert_eq!(seen(&begins), Seen::Begins);
        let back = target(json!({"health": "healthy", "configured_state": "in_service"}));
        assert_eq!(seen(&back), Seen::Ended);
    }
}
