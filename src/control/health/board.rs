//! The reports on each target's health: reasons, the last check, ejection and slow start.
//!
//! Written by the supervisor alone, read by the admin API, the console and the metrics; no decision depends on it.
//! Tested below and with the supervisor.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// The last check of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastCheck {
    pub unix_ms: u64,
    pub passed: bool,
    /// The status of the response, if one came.
    pub status: Option<u16>,
    /// Why it failed, in words.
    pub error: Option<String>,
    pub latency_us: u64,
}

/// The report on one target's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthNote {
    /// The reason for its health: "3 checks failed: connection refused", "ejected for 30s: 5 gateway errors in a row".
    pub reason: String,
    /// Since when it has this health.
    pub since_unix_ms: u64,
    pub last_check: Option<LastCheck>,
    pub ejected_until_unix_ms: Option<u64>,
    /// The part of its weight that counts now, in percent; below 100 during a slow start.
    pub share_percent: u8,
    pub slow_start_until_unix_ms: Option<u64>,
    /// Totals since the target was first seen.
    pub ejections: u64,
    pub checks_passed: u64,
    pub checks_failed: u64,
}

impl HealthNote {
    /// Milliseconds until its slow start ends.
    pub fn slow_start_remaining_ms(&self, now_unix_ms: u64) -> Option<u64> {
        self.slow_start_until_unix_ms.map(|until| until.saturating_sub(now_unix_ms))
    }
}

/// The notes of all targets, by the slot of their state.
#[derive(Debug, Default)]
pub struct HealthBoard {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<u32, Entry, ahash::RandomState>,
    /// Ejected targets that the operator has enabled.
    enabled: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub group: std::sync::Arc<str>,
    pub target: std::sync::Arc<str>,
    /// The reason given by checks or the operator; an ejection hides it.
    pub reason: String,
    pub since_unix_ms: u64,
    pub last_check: Option<LastCheck>,
    pub ejected: Option<Ejected>,
    pub share_percent: u8,
    pub slow_start_until_unix_ms: Option<u64>,
    pub ejections: u64,
    pub checks_passed: u64,
    pub checks_failed: u64,
}

#[derive(Debug)]
pub(super) struct Ejected {
    pub reason: String,
    pub since_unix_ms: u64,
    pub until_unix_ms: u64,
}

impl HealthBoard {
    /// The report on the target whose state has this slot.
    pub fn note(&self, slot: u32) -> Option<HealthNote> {
        self.lock().entries.get(&slot).map(|entry| {
            let (reason, since_unix_ms) = match &entry.ejected {
                Some(ejected) => (ejected.reason.clone(), ejected.since_unix_ms),
                None => (entry.reason.clone(), entry.since_unix_ms),
            };
            HealthNote {
                reason,
                since_unix_ms,
                last_check: entry.last_check.clone(),
                ejected_until_unix_ms: entry.ejected.as_ref().map(|ejected| ejected.until_unix_ms),
                share_percent: entry.share_percent,
                slow_start_until_unix_ms: entry.slow_start_until_unix_ms,
                ejections: entry.ejections,
                checks_passed: entry.checks_passed,
                checks_failed: entry.checks_failed,
            }
        })
    }

    /// Ends the ejection of a target, within a tenth of a second. Returns whether it was ejected.
    pub fn enable(&self, group: &str, target: &str) -> bool {
        let mut inner = self.lock();
        let found = inner.entries.iter().find(|(_, entry)| {
            entry.ejected.is_some() && &*entry.group == group && &*entry.target == target
        });
        let Some(slot) = found.map(|(slot, _)| *slot) else { return false };
        inner.enabled.push(slot);
        true
    }

    pub(super) fn take_enabled(&self) -> Vec<u32> {
        std::mem::take(&mut self.lock().enabled)
    }

    pub(super) fn insert(&self, slot: u32, entry: Entry) {
        self.lock().entries.insert(slot, entry);
    }

    pub(super) fn remove(&self, slot: u32) {
        self.lock().entries.remove(&slot);
    }

    pub(super) fn update(&self, slot: u32, update: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.lock().entries.get_mut(&slot) {
            update(entry);
        }
    }

    /// After a panic the notes are at worst out of date, so a poisoned lock can be used.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(super) fn new(
        group: std::sync::Arc<str>,
        target: std::sync::Arc<str>,
        reason: String,
        now_unix_ms: u64,
    ) -> Entry {
        Entry {
            group,
            target,
            reason,
            since_unix_ms: now_unix_ms,
            last_check: None,
            ejected: None,
            share_percent: 100,
            slow_start_until_unix_ms: None,
            ejections: 0,
            checks_passed: 0,
            checks_failed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::control::health::board::*;

    #[test]
    fn an_ejection_hides_what_checks_say_until_it_ends() {
        let board = HealthBoard::default();
        assert_eq!(board.note(3), None);
        board.insert(3, Entry::new("app".into(), "b".into(), "2 checks passed".into(), 10));
        assert!(!board.enable("app", "b"), "it is not ejected");
        board.update(3, |entry| {
            let reason = "ejected".into();
            entry.ejected = Some(Ejected { reason, since_unix_ms: 20, until_unix_ms: 50 });
        });
        let note = board.note(3).unwrap();
        assert_eq!((&*note.reason, note.since_unix_ms), ("ejected", 20));
        assert_eq!(note.ejected_until_unix_ms, Some(50));
        assert!(!board.enable("other", "b"));
        assert!(board.enable("app", "b"));
        assert_eq!(board.take_enabled(), [3]);
        assert!(board.take_enabled().is_empty());
        board.update(3, |entry| entry.ejected = None);
        assert_eq!(board.note(3).unwrap().reason, "2 checks passed");
        board.remove(3);
        assert_eq!(board.note(3), None);
    }

    #[test]
    fn what_remains_of_a_slow_start_is_never_negative() {
        let board = HealthBoard::default();
        board.insert(1, Entry::new("app".into(), "a".into(), String::new(), 0));
        assert_eq!(board.note(1).unwrap().slow_start_remaining_ms(5), None);
        board.update(1, |entry| entry.slow_start_until_unix_ms = Some(100));
        let note = board.note(1).unwrap();
        assert_eq!(note.slow_start_remaining_ms(40), Some(60));
        assert_eq!(note.slow_start_remaining_ms(400), Some(0));
    }
}
