//! What changed and how it is taken back; bounded, the oldest goes first.
//!
//! Whole texts are kept for the latest change only, so that the history stays small. Pure; tested with `runtime`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::change::{Edit, HistoryEntry, Keep};
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
    undo: Option<Undo>,
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
    pub fn push(&mut self, entry: HistoryEntry, undo: Option<Undo>) {
        for record in &mut self.records {
            match &mut record.undo {
                Some(Undo::Restore { .. }) => record.undo = None,
                // An edit of the overlay leaves the base as it is.
                Some(Undo::Edit { exact, .. }) if entry.keep != Some(Keep::Overlay) => {
                    *exact = None;
                }
                Some(Undo::Edit { .. }) | None => {}
            }
        }
        self.note(entry, undo);
    }

    /// Notes what changed nothing that runs.
    pub fn note(&mut self, entry: HistoryEntry, undo: Option<Undo>) {
        self.last = self.last.max(entry.change);
        if self.records.len() == ENTRIES_MAX {
            self.records.pop_front();
        }
        self.records.push_back(Record { entry, undo });
    }

    /// How `change` is taken back, if it still can be.
    pub fn undo_of(&self, change: u64) -> Option<Undo> {
        let record = self.records.iter().find(|record| record.entry.change == change)?;
        record.undo.clone()
    }

    /// `change` has been taken back.
    pub fn close(&mut self, change: u64) {
        for record in self.records.iter_mut().filter(|record| record.entry.change == change) {
            record.undo = None;
        }
    }

    /// Newest last.
    pub fn entries(&self) -> Vec<HistoryEntry> {
        let entry = |record: &Record| HistoryEntry {
            can_undo: record.undo.is_some(),
            ..record.entry.clone()
        };
        self.records.iter().map(entry).collect()
    }
}
