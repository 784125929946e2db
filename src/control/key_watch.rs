//! Tells the operator when many sessions of a group were sealed under a key that this node does not have: users then
//! lose their targets at every request that meets another node than the one before.
//!
//! Reads the counts of verdicts now and then. Never touches a connection. The decision is pure, with the clock an
//! argument. Tested beside it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::events::{EventKind, Events};
use crate::snapshot::Snapshot;
use crate::telemetry::reason::Reason;

/// Verdicts are compared with those of at most so long ago, and of at least half as long.
const WINDOW: Duration = Duration::from_secs(60);
/// Fewer than these are somebody's old cookies.
const UNKNOWN_MIN: u64 = 20;
/// The share of all verdicts that is still no trouble, in percent.
const SHARE_PERCENT: u64 = 1;
/// A group is not warned of more often.
const WARNED_EVERY: Duration = Duration::from_secs(60 * 60);

/// Numbers of verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Verdicts {
    all: u64,
    of_unknown_key: u64,
}

/// The verdicts of a group since its start, as they were at some time.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Duration,
    verdicts: Verdicts,
}

#[derive(Debug)]
struct Note {
    older: Mark,
    newer: Mark,
    warned_at: Option<Duration>,
}

impl Note {
    fn new(mark: Mark) -> Note {
        Note { older: mark, newer: mark, warned_at: None }
    }

    /// Takes the counts as they are now; the verdicts of the last minute where a warning is due.
    fn take(&mut self, now: Mark) -> Option<Verdicts> {
        let age = |mark: Mark| now.at.saturating_sub(mark.at);
        if age(self.newer) >= WINDOW / 2 {
            self.older = self.newer;
            self.newer = now;
        }
        // Nobody has looked for a while, or the group counts anew.
        if age(self.older) > WINDOW || now.verdicts.all < self.older.verdicts.all {
            (self.older, self.newer) = (now, now);
        }
        let before = self.older.verdicts;
        let all = now.verdicts.all.saturating_sub(before.all);
        let of_unknown_key = now.verdicts.of_unknown_key.saturating_sub(before.of_unknown_key);
        let is_frequent = of_unknown_key >= UNKNOWN_MIN
            && of_unknown_key.saturating_mul(100) > all.saturating_mul(SHARE_PERCENT);
        if !is_frequent || self.warned_at.is_some_and(|at| now.at.saturating_sub(at) < WARNED_EVERY)
        {
            return None;
        }
        self.warned_at = Some(now.at);
        Some(Verdicts { all, of_unknown_key })
    }
}

/// What is remembered of each group.
#[derive(Debug, Default)]
pub struct KeyWatch {
    notes: HashMap<Arc<str>, Note, ahash::RandomState>,
}

impl KeyWatch {
    /// Logs what is new at `now`, the time since any moment before, and puts it among the events.
    pub fn look(&mut self, snapshot: &Snapshot, now: Duration, events: &Events) {
        if self.notes.len() > snapshot.groups.len() {
            let names: HashSet<&str, ahash::RandomState> =
                snapshot.groups.iter().map(|group| &*group.name).collect();
            self.notes.retain(|name, _| names.contains(&**name));
        }
        for group in &snapshot.groups {
            let sums = group.state.series.sums(|block| &block.sticky);
            let of_unknown_key = sums.get(Reason::UnknownKey as usize).copied().unwrap_or_default();
            let mark =
                Mark { at: now, verdicts: Verdicts { all: sums.iter().sum(), of_unknown_key } };
            let note = self.notes.entry(Arc::clone(&group.name)).or_insert_with(|| Note::new(mark));
            let Some(frequent) = note.take(mark) else { continue };
            let in_field =
                group.stickiness.as_ref().is_some_and(|sticky| sticky.session_field().is_some());
            let text = warning(frequent, if in_field { "session ids" } else { "cookies" });
            events.push(EventKind::Warning, Some(&group.name), None, text);
        }
    }
}

/// What is so, why, and what to do.
fn warning(Verdicts { all, of_unknown_key }: Verdicts, what: &str) -> String {
    format!(
        "{of_unknown_key} of {all} requests within a minute brought {what} sealed under a key that this node does not \
         have, and were balanced anew: another node seals with that key, or it left this node's ring too early; \
         compare [stickiness_keys] of all nodes: each needs the keys of every other"
    )
}

#[cfg(test)]
mod tests {
    use crate::control::config;
    use crate::control::key_watch::*;
    use crate::control::runtime::Control;
    use crate::stickiness::keyring::KeyRing;

    /// A group whose counts grow.
    struct Simulated {
        now: Mark,
        note: Note,
    }

    impl Simulated {
        fn new() -> Simulated {
            // The process has counted before anybody looked.
            let verdicts = Verdicts { all: 1_000, of_unknown_key: 500 };
            let now = Mark { at: Duration::from_secs(7), verdicts };
            Simulated { now, note: Note::new(now) }
        }

        /// Every second so many verdicts; the seconds at which a warning was due.
        fn run(&mut self, seconds: u64, (all, of_unknown_key): (u64, u64)) -> Vec<u64> {
            let mut due = Vec::new();
            for second in 1..=seconds {
                self.now.at += Duration::from_secs(1);
                self.now.verdicts.all += all;
                self.now.verdicts.of_unknown_key += of_unknown_key;
                due.extend(self.note.take(self.now).map(|_| second));
            }
            due
        }
    }

    #[test]
    fn many_seals_of_unknown_keys_are_told_at_once_and_again_an_hour_later() {
        assert_eq!(Simulated::new().run(10_000, (50, 5)), [4, 3_604, 7_204]);
    }

    #[test]
    fn few_seals_of_unknown_keys_are_no_news() {
        // 19 in any minute.
        let mut few = Simulated::new();
        for _ in 0..10 {
            assert_eq!(few.run(1, (19, 19)), [0; 0]);
            assert_eq!(few.run(60, (10, 0)), [0; 0]);
        }
        // One in a hundred, however many they are; a little more is too much.
        assert_eq!(Simulated::new().run(1_000, (10_000, 100)), [0; 0]);
        assert_eq!(Simulated::new().run(1_000, (10_000, 101)), [1]);
    }

    #[test]
    fn a_burst_between_two_windows_is_told() {
        for before in 0..120 {
            let mut burst = Simulated::new();
            assert_eq!(burst.run(before, (10, 0)), [0; 0]);
            assert_eq!(burst.run(20, (10, 1)), [20], "after {before} seconds");
        }
    }

    #[test]
    fn what_was_counted_while_nobody_looked_or_before_a_group_counts_anew_is_not_compared() {
        let mut slept = Simulated::new();
        slept.now.at += Duration::from_secs(600);
        slept.now.verdicts = Verdicts { all: 2_000, of_unknown_key: 1_500 };
        assert_eq!(slept.note.take(slept.now), None);
        let mut anew = Simulated::new();
        anew.now.verdicts = Verdicts { all: 30, of_unknown_key: 30 };
        assert_eq!(anew.run(1, (0, 0)), [0; 0]);
        assert_eq!(anew.run(2, (10, 10)), [2]);
    }

    #[test]
    fn the_group_whose_users_are_lost_is_named_once() {
        let text = r#"
            listener = [{ name = "w", address = "127.0.0.1:0", forward = "app" }]
            target_group = [
                { name = "other" },
                { name = "app", stickiness = { enabled = true, type = "app_header", app_header = "S" } },
            ]
        "#;
        let parsed = config::parse_complete(text.to_owned(), "x").unwrap();
        let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).unwrap());
        let control = Control::new(parsed, None, ring).unwrap();
        let snapshot = control.snapshot();
        let (mut keys, events) = (KeyWatch::default(), Events::default());
        keys.look(&snapshot, Duration::ZERO, &events);
        let block = snapshot.groups[1].state.series.of(0).unwrap();
        block.sticky[Reason::UnknownKey as usize].add(UNKNOWN_MIN);
        for second in 1..100 {
            keys.look(&snapshot, Duration::from_secs(second), &events);
        }
        let told = events.after(0, 9);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].group.as_deref(), told[0].kind), (Some("app"), EventKind::Warning));
        assert!(told[0].text.starts_with("20 of 20 requests within a minute brought session ids"));
    }

    #[test]
    fn the_warning_says_how_many_and_what_to_compare() {
        let said = warning(Verdicts { all: 340, of_unknown_key: 25 }, "session ids");
        assert!(
            said.starts_with("25 of 340 requests within a minute brought session ids"),
            "{said}"
        );
        assert!(said.contains("compare [stickiness_keys] of all nodes"), "{said}");
    }
}
