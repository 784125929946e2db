//! What changed and how it is taken back; bounded, the oldest goes first.
//!
//! Whole texts are kept for the latest change only, so that the history stays small. Pure; tested with `runtime`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::change::{ChangeError, Edit, HistoryEntry, Keep};
use super::state::State;

/// Changes that are kept.
const ENTRIES_MAX: usize = 200;

/// How a change is taken back.
#[derive(Debug, Clone)]
pub enum Undo {
    Edit {
        inverse: Edit,
        keep: Keep,
        /// The base's text before; only while nothing else has changed the base.
        exact: Option<Arc<str>>,
    },
    /// The state before; only while nothing else has changed. `write`: into the file as well.
    Restore { state: Box<State>, write: bool },
}

#[derive(Debug)]
struct Record {
    entry: HistoryEntry,
    /// Or why it is not taken back.
    undo: Result<Undo, &'static str>,
}

#[derive(Debug, Default)]
pub struct History {
    records: VecDeque<Record>,
    last: u64,
}

impl History {
    /// The number of the latest change.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Notes a change of the configuration, whose number is one above [`History::last`].
    pub fn push(&mut self, entry: HistoryEntry, undo: Result<Undo, &'static str>) {
        for record in &mut self.records {
            match &mut record.undo {
                Ok(Undo::Restore { .. }) => {
                    record.undo = Err("something else has changed since, so nothing leads back");
                }
                // An edit of the overlay leaves the base as it is.
                Ok(Undo::Edit { exact, .. }) if entry.keep != Some(Keep::Overlay) => {
                    *exact = None;
                }
                Ok(Undo::Edit { .. }) | Err(_) => {}
            }
        }
        self.note(entry, undo);
    }

    /// Notes what changed nothing that runs.
    pub fn note(&mut self, entry: HistoryEntry, undo: Result<Undo, &'static str>) {
        self.last = self.last.max(entry.change);
        if self.records.len() == ENTRIES_MAX {
            self.records.pop_front();
        }
        self.records.push_back(Record { entry, undo });
    }

    /// How `change` is taken back.
    ///
    /// # Errors
    /// It is unknown, or cannot be taken back (any more).
    pub fn undo_of(&self, change: u64) -> Result<Undo, ChangeError> {
        let record = self.records.iter().find(|record| record.entry.change == change);
        let record = record.ok_or(ChangeError::NoSuchChange(change))?;
        record.undo.clone().map_err(|why| ChangeError::Irrevocable { change, why })
    }

    /// `change` has been taken back.
    pub fn close(&mut self, change: u64) {
        for record in self.records.iter_mut().filter(|record| record.entry.change == change) {
            record.undo = Err("it has been taken back already");
        }
    }

    /// Newest last.
    pub fn entries(&self) -> Vec<HistoryEntry> {
        let entry = |record: &Record| HistoryEntry {
            can_undo: record.undo.is_ok(),
            ..record.entry.clone()
        };
        self.records.iter().map(entry).collect()
    }
}
