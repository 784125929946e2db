//! The changes that an operator can make at run time, their authors, and their results.
//!
//! Only types: [`super::runtime::Control`] carries changes out. Every edit uses the file's own vocabulary, so that it
//! can be written back, shown and undone. Tested with `runtime`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::compile::CompileError;
use super::config::Problems;

/// One change of the configuration.
///
/// `set` maps keys of the file, dotted below the table they belong to (`stickiness.duration`, `slow_start`), to their
/// new values; `null` removes the key, which restores its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    SetGroup {
        group: String,
        set: Map<String, Value>,
    },
    /// Makes every cookie of the group that was sealed until now invalid.
    FlushStickiness {
        group: String,
    },
    SetTarget {
        group: String,
        target: String,
        set: Map<String, Value>,
    },
    /// `settings` as in a `[[target_group.target]]` table.
    AddTarget {
        group: String,
        settings: Map<String, Value>,
    },
    /// The target drains first, as its group's deregistration delay says.
    RemoveTarget {
        group: String,
        target: String,
    },
}

/// Where a change is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// On top of the file, visible as such, until limpet ends.
    #[default]
    Overlay,
    /// In the file, whose comments and order stay.
    File,
}

/// The author of a change, and its condition.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// For the audit log: "console 127.0.0.1", "ctl root (uid 0)", "signal SIGHUP", "file".
    pub actor: &'a str,
    /// The configuration version that the author saw; when another one runs, the change is refused.
    pub if_version: Option<u64>,
}

/// A change that is in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Applied {
    /// Its number in the history, for [`super::runtime::Control::undo`]. Unchanged if there was no difference.
    pub change: u64,
    /// The configuration version from now on.
    pub version: u64,
    /// The changes in words, one sentence each; the last one counts those that were left out.
    pub summary: Vec<String>,
    /// Changes that need a restart, and other hints.
    pub notes: Vec<String>,
}

/// Why a change was refused. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no target group {group:?}; {}", among(allowed))]
    NoGroup { group: String, allowed: String },
    #[error("target group {group:?} has no target {target:?}; {}", among(allowed))]
    NoTarget { group: String, target: String, allowed: String },
    #[error(
        "the configuration has changed meanwhile: it is at version {current}, the change was made for {expected}"
    )]
    Conflict { current: u64, expected: u64 },
    #[error("a change waits to be confirmed or rolled back; that comes first")]
    Pending,
    #[error("no change waits to be confirmed")]
    NothingPending,
    #[error("there is no change {0} to undo")]
    NoSuchChange(u64),
    #[error("change {change} cannot be undone: {why}")]
    Irrevocable { change: u64, why: &'static str },
    #[error("{0}")]
    Invalid(#[from] Problems),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error("there is no file: the configuration was not read from one")]
    NoFile,
    #[error("the file cannot be {doing}: {source}")]
    File { doing: &'static str, source: std::io::Error },
    #[error("the file on disk is not what was loaded; reload it, or keep the change as an overlay")]
    FileChanged,
    /// Listeners that could not be opened, and the like.
    #[error("{0}")]
    Refused(String),
}

/// The names to choose from.
fn among(names: &str) -> String {
    if names.is_empty() { "there is none at all".to_owned() } else { format!("allowed: {names}") }
}

/// A configuration that will be rolled back unless it is confirmed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pending {
    pub change: u64,
    pub summary: Vec<String>,
    pub actor: String,
    /// The time until the rollback.
    #[serde(serialize_with = "as_seconds")]
    pub remaining: Duration,
}

/// One line of the history, newest last; bounded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryEntry {
    pub change: u64,
    pub version: u64,
    pub unix_ms: u64,
    pub actor: String,
    /// "start", "edit", "reload", "apply", "confirm", "rollback", "undo", "write", "discard".
    pub what: &'static str,
    pub keep: Option<Keep>,
    pub summary: Vec<String>,
    pub can_undo: bool,
}

/// One difference between two configurations, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// "listener", "rule", "group", "target", "stickiness", "process", …; "lost" for an edit on top of the file that is
    /// dropped.
    pub kind: &'static str,
    /// One sentence: "2 targets removed from app, about 410 live sessions bound to them".
    pub text: String,
    /// Whether it needs a restart to take effect.
    pub needs_restart: bool,
}

/// The differences, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences {
    pub said: Vec<Difference>,
    /// How many more there are.
    pub more: usize,
}

impl Differences {
    pub fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// A list whose last entry counts the differences that are not in it.
    pub fn listed(self) -> Vec<Difference> {
        let mut listed = self.said;
        if self.more > 0 {
            listed.push(Difference {
                kind: "more",
                text: and_more(self.more),
                needs_restart: false,
            });
        }
        listed
    }
}

/// A change in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    pub sentences: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

impl Summary {
    /// A list whose last entry counts the sentences that are not in it.
    pub fn listed(&self) -> Vec<String> {
        let more = (self.more > 0).then(|| and_more(self.more));
        self.sentences.iter().cloned().chain(more).collect()
    }

    /// The first `count` sentences in one line, and the number of the others.
    pub fn line(&self, count: usize) -> String {
        let shown: Vec<&str> = self.sentences.iter().take(count).map(String::as_str).collect();
        let more = self.sentences.len().saturating_sub(shown.len()).saturating_add(self.more);
        match more {
            0 => shown.join("; "),
            more => format!("{} {}", shown.join("; "), and_more(more)),
        }
    }
}

impl From<Differences> for Summary {
    fn from(differences: Differences) -> Summary {
        let sentences = differences.said.into_iter().map(|one| one.text).collect();
        Summary { sentences, more: differences.more }
    }
}

fn and_more(count: usize) -> String {
    format!("and {count} more")
}

fn as_seconds<S: serde::Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(duration.as_secs_f64())
}
