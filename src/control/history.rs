//! The changes, and how each is undone; bounded, the oldest goes first.
//!
//! Whole texts are kept for the latest change only, so that the history stays small. Pure; tested with `runtime`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::change::{ChangeError, Edit, HistoryEntry, Keep};
use super::state::State;

/// Most changes that are kept.
const ENTRIES_MAX: usize = 200;

/// How a change is undone.
#[derive(Debug, Clone)]
pub enum Undo {
    Edit {
        inverse: Edit,
        keep: Keep,
        /// The base's text before; only until another change of the base.
        exact: Option<Arc<str>>,
    },
    /// The state before; only until another change of the base. `write`: into the file as well.
    Restore { state: Box<State>, write: bool },
}

#[derive(Debug)]
struct Record {
    entry: HistoryEntry,
    /// How to undo it, or why that is not possible.
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
                // An edit of the overlay leaves the base unchanged.
                Ok(Undo::Edit { exact, .. }) if entry.keep != Some(Keep::Overlay) => {
                    *exact = None;
                }
                Ok(Undo::Edit { .. }) | Err(_) => {}
            }
        }
        self.note(entry, undo);
    }

    /// Notes an entry that changed nothing that runs.
    pub fn note(&mut self, entry: HistoryEntry, undo: Result<Undo, &'static str>) {
        self.last = self.last.max(entry.change);
        if self.records.len() == ENTRIES_MAX {
            self.records.pop_front();
        }
        self.records.push_back(Record { entry, undo });
    }

    /// How to undo `change`.
    ///
    /// # Errors
    /// It is unknown, or cannot be undone (any more).
    pub fn undo_of(&self, change: u64) -> Result<Undo, ChangeError> {
        let record = self.records.iter().find(|record| record.entry.change == change);
        let record = record.ok_or(ChangeError::NoSuchChange(change))?;
        record.undo.clone().map_err(|why| ChangeError::Irrevocable { change, why })
    }

    /// Notes that `change` has been undone.
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
