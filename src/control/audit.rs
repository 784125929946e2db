//! The audit log: who changed what, with the values before and after, and which changes were refused.
//!
//! One JSON object a line, in a file of its own or, without one, as an event of limpet's own log with the target
//! "audit". Never shows a secret, never stops a change: a line that cannot be written is reported in limpet's own log.
//! Tested below.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::change::{Edit, Keep};

/// Permission bits of a new file.
const MODE: u32 = 0o640;

/// A file that lines are appended to.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    file: File,
}

/// One change, or a refused one.
#[derive(Debug, Clone, Serialize)]
pub struct Entry<'e> {
    pub actor: &'e str,
    /// As in `HistoryEntry::what`; "log_level", "drain" and "enable" for changes outside the configuration; "request"
    /// for one that was refused because of its author.
    pub what: &'static str,
    pub keep: Option<Keep>,
    /// The requested edit, if it was a single one.
    pub edit: Option<&'e Edit>,
    pub change: Option<u64>,
    pub version: u64,
    /// The changes with their values before and after, one sentence each.
    pub summary: &'e [String],
    /// "accepted" or "refused".
    pub outcome: &'static str,
    /// Why it was refused, or why it happened by itself.
    pub why: Option<&'e str>,
}

#[derive(Serialize)]
struct Line<'e> {
    time: String,
    #[serde(flatten)]
    entry: &'e Entry<'e>,
}

impl AuditLog {
    /// Opens a file to append to; a new one is readable by its owner and group.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> io::Result<AuditLog> {
        let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
        Ok(AuditLog { path: path.to_owned(), file })
    }

    /// Opens the same path again, after the file was moved away.
    ///
    /// # Errors
    /// The file cannot be opened; the old one stays in use.
    pub fn reopen(&mut self) -> io::Result<()> {
        *self = AuditLog::open(&self.path)?;
        Ok(())
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        // One write, so that lines of several processes do not mix.
        self.file.write_all(format!("{line}\n").as_bytes())
    }
}

/// Notes one entry.
pub fn note(log: Option<&mut AuditLog>, entry: &Entry<'_>) {
    let line = Line { time: jiff::Timestamp::now().to_string(), entry };
    let Ok(line) = serde_json::to_string(&line) else { return };
    match log {
        None => tracing::info!(target: "audit", "{line}"),
        Some(log) => {
            if let Err(error) = log.append(&line) {
                let path = log.path.display();
                tracing::error!(target: "audit", "{path} cannot be written: {error}; {line}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use crate::control::audit::*;

    #[test]
    fn every_entry_is_a_line_of_json_and_the_file_is_appended_to() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.log");
        let summary = ["target b of app: weight 1 → 5".to_owned()];
        let edit = Edit::FlushStickiness { group: "app".to_owned() };
        let mut entry = Entry {
            actor: "console 127.0.0.1",
            what: "edit",
            keep: Some(Keep::File),
            edit: Some(&edit),
            change: Some(4),
            version: 7,
            summary: &summary,
            outcome: "accepted",
            why: None,
        };
        note(Some(&mut AuditLog::open(&path).unwrap()), &entry);
        (entry.outcome, entry.why) = ("refused", Some("two\nlines"));
        let mut log = AuditLog::open(&path).unwrap();
        note(Some(&mut log), &entry);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["keep"], "file");
        assert_eq!(lines[0]["summary"][0], "target b of app: weight 1 → 5");
        assert_eq!(lines[0]["edit"]["edit"], "flush_stickiness");
        assert_eq!(lines[1]["why"], "two\nlines");
        assert!(lines[1]["time"].as_str().unwrap().ends_with('Z'));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        // The umask of the process may remove more.
        assert_eq!(mode & !MODE, 0);
        std::fs::rename(&path, home.path().join("old.log")).unwrap();
        log.reopen().unwrap();
        note(Some(&mut log), &entry);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    }
}
