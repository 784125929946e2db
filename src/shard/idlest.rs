//! Which of a shard's connections have been idle longest: found by a search through all of them, and remembered until
//! the next search.
//!
//! Tested beside it.

use std::time::Duration;

use crate::time::Time;
use crate::time::alarms::Waiting;
use crate::time::clock::Millis;

/// Idle connections that one search remembers.
const REMEMBERED: usize = 256;
/// The shortest time between two searches, because each goes through all connections.
const SEARCH_GAP: Duration = Duration::from_millis(25);

/// The connections of a shard that had been idle longest when it last searched; the longest is the last.
#[derive(Debug, Default)]
pub struct Idlest {
    found: Vec<Waiting>,
    next_search_ms: Millis,
}

impl Idlest {
    /// Ends the connection that has been idle longest; `false` when none is idle, or the last search has none left.
    pub fn evict(&mut self, time: &Time) -> bool {
        loop {
            while let Some(waiting) = self.found.pop() {
                if time.alarms.evict(&waiting) {
                    return true;
                }
            }
            if time.clock.now_ms() < self.next_search_ms {
                return false;
            }
            self.next_search_ms = time.clock.deadline(SEARCH_GAP);
            self.found = time.alarms.longest_waiting(REMEMBERED);
            if self.found.is_empty() {
                return false;
            }
        }
    }

    /// Frees the memory of a search, which is needed only during a shortage.
    pub fn forget(&mut self) {
        self.found = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use crate::shard::idlest::*;
    use crate::time::alarms::{Alarm, Waits};
    use crate::time::clock::NEVER;
    use std::sync::Arc;

    /// Alarms of connections that fell silent in this order, a second apart, and now is a second later.
    fn silent(time: &Time, count: u64) -> Vec<Alarm> {
        let silence = |second: u64| {
            let alarm = time.alarms.alarm();
            time.alarms.scan(second * 1000);
            alarm.set_waiting(NEVER, Waits::Idle);
            alarm
        };
        let alarms = (1..=count).map(silence).collect();
        time.alarms.scan((count + 1) * 1000);
        alarms
    }

    fn evicted(alarms: &[Alarm]) -> Vec<usize> {
        (0..alarms.len()).filter(|at| alarms[*at].is_evicted()).collect()
    }

    #[test]
    fn the_connection_that_is_idle_longest_ends_first() {
        let time = Time::start(Arc::default());
        let alarms = silent(&time, 3);
        let mut idlest = Idlest::default();
        assert!(idlest.evict(&time));
        assert_eq!(evicted(&alarms), [0]);
        assert!(idlest.evict(&time));
        assert_eq!(evicted(&alarms), [0, 1]);
    }

    #[test]
    fn what_has_become_busy_since_the_search_is_passed_over() {
        let time = Time::start(Arc::default());
        let alarms = silent(&time, 3);
        let mut idlest = Idlest::default();
        assert!(idlest.evict(&time));
        alarms[1].set(NEVER);
        assert!(idlest.evict(&time));
        assert_eq!(evicted(&alarms), [0, 2]);
        // All idle connections are gone, and no new search follows at once.
        assert!(!idlest.evict(&time));
    }

    #[test]
    fn what_is_busy_does_not_end() {
        let time = Time::start(Arc::default());
        let alarm = time.alarms.alarm();
        alarm.set(NEVER);
        assert!(!Idlest::default().evict(&time));
        assert!(!alarm.is_evicted());
    }
}
