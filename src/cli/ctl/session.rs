//! The common parts of all commands: the connection to the server, and the output.
//!
//! Tested by `tests/ctl`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::answers::Applied;
use super::arguments::{Change, Kept};
use super::client::{Answer, Ask, Client};
use super::failure::Failure;
use super::table::Style;
use super::words::plain;
use crate::control::change::Keep;

/// All characters but the unreserved ones (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The connection and the output of one command.
#[derive(Debug)]
pub(super) struct Session {
    pub client: Client,
    pub json: bool,
    pub style: Style,
}

impl Session {
    /// Sends a request, and shows the answer: unchanged, or in `words`.
    pub(super) fn show<T: DeserializeOwned>(
        &self,
        ask: Ask,
        words: impl FnOnce(&T) -> String,
    ) -> Result<ExitCode, Failure> {
        self.show_and_exit(ask, |answer| (words(answer), ExitCode::SUCCESS))
    }

    /// Like [`Self::show`], with the exit code from the answer.
    pub(super) fn show_and_exit<T: DeserializeOwned>(
        &self,
        ask: Ask,
        words: impl FnOnce(&T) -> (String, ExitCode),
    ) -> Result<ExitCode, Failure> {
        let answer = self.client.send(ask)?;
        let (text, code) = words(&answer.read()?);
        self.print_answer(&answer, &text);
        Ok(code)
    }

    /// Prints the answer unchanged, or its words.
    pub(super) fn print_answer(&self, answer: &Answer, words: &str) {
        if self.json {
            print(&format!("{}\n", answer.text.trim_end_matches('\n')));
        } else {
            print(words);
        }
    }

    /// Carries out a change that has no choice of where it is kept.
    pub(super) fn change(&self, ask: Ask) -> Result<ExitCode, Failure> {
        self.show(ask, |applied: &Applied| said(applied, None))
    }

    /// Carries out a change that is an overlay or goes to the file, whatever the version.
    pub(super) fn keep(&self, ask: Ask, kept: &Kept) -> Result<ExitCode, Failure> {
        self.show(ask, |applied: &Applied| said(applied, Some(kept.keep())))
    }

    /// Carries out a change of the configuration that is an overlay or goes to the file.
    pub(super) fn edit(&self, ask: Ask, change: &Change) -> Result<ExitCode, Failure> {
        self.keep(ask.if_version(change.condition.if_version), &change.kept)
    }
}

/// The server's own words for a change that changes nothing.
const NOTHING: &str = "nothing differs";

/// The words about a change that is in force.
pub(super) fn said(applied: &Applied, keep: Option<Keep>) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(&plain(text));
        out.push('\n');
    };
    let is_changed = !applied.summary.is_empty();
    if !is_changed {
        line(NOTHING);
    }
    for summary in &applied.summary {
        line(summary);
    }
    for note in applied.notes.iter().filter(|note| *note != NOTHING) {
        line(&format!("note: {note}"));
    }
    if !is_changed {
        line(&format!("configuration version {}, as before", applied.version));
        return out;
    }
    let kept = match keep {
        None => "",
        Some(Keep::Overlay) => "; kept until limpet ends, --write keeps it in the file",
        Some(Keep::File) => "; kept in the file",
    };
    line(&format!("change {}, configuration version {}{kept}", applied.change, applied.version));
    out
}

/// Prints; `false` when the reader is gone.
pub(super) fn print(text: &str) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// The path of a group, and of a resource below it.
pub(super) fn group_path(group: &str, below: &[&str]) -> String {
    let mut path = "/v1/groups".to_owned();
    for segment in std::iter::once(&group).chain(below) {
        path.push('/');
        path.extend(utf8_percent_encode(segment, SEGMENT));
    }
    path
}

/// `{"keep": …}` with further keys.
pub(super) fn body(keep: Keep, more: Value) -> Value {
    let mut map = match more {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    map.insert("keep".to_owned(), json!(keep));
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use crate::cli::ctl::session::*;

    #[test]
    fn names_are_one_segment_of_the_path_whatever_they_hold() {
        assert_eq!(group_path("app", &[]), "/v1/groups/app");
        assert_eq!(
            group_path("a/b", &["targets", "127.0.0.1:80?x#é"]),
            "/v1/groups/a%2Fb/targets/127.0.0.1%3A80%3Fx%23%C3%A9"
        );
    }
}
