//! Whether a change that waits for its confirmation must be rolled back: its time is over, or it does harm.
//!
//! Harm is a jump in the share of gateway errors (502, 503 and 504, limpet's own or a target's, but no rule's answer)
//! over the time before the change. Pure: time and counts are arguments. Tested below.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back counts are remembered, for the share before a change.
const BEFORE: Duration = Duration::from_secs(30);

/// The time that is judged after a change; a longer one would let earlier good times hide a bad one.
const WINDOW: Duration = Duration::from_secs(5);

/// Most counts that are remembered, however often they come.
const SAMPLES_MAX: usize = 256;

/// Fewer errors than this are no jump.
const ERRORS_MIN: u64 = 5;

/// A share up to this, in percent, is no jump.
const PERCENT_MIN: u64 = 2;

/// A share that is this many times the share before is a jump.
const TIMES_MIN: u64 = 3;

/// Requests and gateway errors since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorCounts {
    pub requests: u64,
    pub gateway_errors: u64,
}

impl ErrorCounts {
    fn since(self, earlier: ErrorCounts) -> ErrorCounts {
        ErrorCounts {
            requests: self.requests.saturating_sub(earlier.requests),
            gateway_errors: self.gateway_errors.saturating_sub(earlier.gateway_errors),
        }
    }
}

/// The recent counts.
#[derive(Debug, Default)]
pub struct Recent {
    samples: VecDeque<(Instant, ErrorCounts)>,
}

impl Recent {
    pub fn push(&mut self, now: Instant, counts: ErrorCounts) {
        let too_old = |at: &(Instant, ErrorCounts)| now.saturating_duration_since(at.0) > BEFORE;
        while self.samples.len() >= SAMPLES_MAX || self.samples.front().is_some_and(too_old) {
            self.samples.pop_front();
        }
        self.samples.push_back((now, counts));
    }

    /// The counts from the oldest sample until `until`.
    fn before(&self, until: ErrorCounts) -> ErrorCounts {
        self.samples.front().map_or(ErrorCounts::default(), |(_, first)| until.since(*first))
    }

    /// The counts at `at` or, if there are none, the next ones.
    fn at(&self, at: Instant) -> Option<ErrorCounts> {
        self.samples.iter().find(|(time, _)| *time >= at).map(|(_, counts)| *counts)
    }
}

/// The verdict on a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Wait,
    /// It was not confirmed in time.
    Expired,
    /// Gateway errors since the change, and the requests among which they are.
    Jumped(ErrorCounts),
}

/// A change on trial.
#[derive(Debug)]
pub struct Trial {
    begun: Instant,
    deadline: Instant,
    at_begin: ErrorCounts,
    before: ErrorCounts,
    recent: Recent,
}

impl Trial {
    /// `recent` are the counts before the change, `counts` those at it.
    pub fn new(now: Instant, time: Duration, recent: &Recent, counts: ErrorCounts) -> Trial {
        Trial {
            begun: now,
            // A time beyond the range of the clock never comes.
            deadline: now.checked_add(time).unwrap_or_else(|| now + BEFORE * 1000),
            at_begin: counts,
            before: recent.before(counts),
            recent: Recent::default(),
        }
    }

    pub fn remaining(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }

    pub fn judge(&mut self, now: Instant, counts: ErrorCounts) -> Verdict {
        let from = now.checked_sub(WINDOW).filter(|from| *from > self.begun);
        let earlier = from.and_then(|from| self.recent.at(from)).unwrap_or(self.at_begin);
        self.recent.push(now, counts);
        let after = counts.since(earlier);
        if has_jumped(self.before, after) {
            Verdict::Jumped(after)
        } else if now >= self.deadline {
            Verdict::Expired
        } else {
            Verdict::Wait
        }
    }
}

/// Whether the share of errors is so much larger than before that the change must be the reason.
pub fn has_jumped(before: ErrorCounts, after: ErrorCounts) -> bool {
    // Errors of 100 requests, times the requests of the other side: shares without a division.
    let scale = |errors: u64, by: u64| u128::from(errors) * u128::from(by);
    after.gateway_errors >= ERRORS_MIN
        && scale(after.gateway_errors, 100) > scale(after.requests, PERCENT_MIN)
        && (before.requests == 0
            || scale(after.gateway_errors, before.requests)
                > u128::from(TIMES_MIN) * scale(before.gateway_errors, after.requests))
}

#[cfg(test)]
mod tests {
    use crate::control::confirm::*;

    fn counts(requests: u64, gateway_errors: u64) -> ErrorCounts {
        ErrorCounts { requests, gateway_errors }
    }

    #[test]
    fn a_jump_is_many_errors_a_large_share_and_much_more_than_before() {
        for (before, after, jumped) in [
            (counts(1000, 0), counts(100, 0), false),
            (counts(1000, 0), counts(100, 4), false),
            (counts(1000, 0), counts(100, 5), true),
            (counts(1000, 0), counts(1000, 20), false),
            (counts(1000, 0), counts(1000, 21), true),
            (counts(1000, 100), counts(100, 30), false),
            (counts(1000, 100), counts(100, 31), true),
            (counts(0, 0), counts(10, 10), true),
            (counts(10, 10), counts(10, 10), false),
            (counts(u64::MAX, 1), counts(u64::MAX, u64::MAX), true),
        ] {
            assert_eq!(has_jumped(before, after), jumped, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_trial_ends_at_its_deadline_and_not_before() {
        let start = Instant::now();
        let mut trial =
            Trial::new(start, Duration::from_secs(60), &Recent::default(), counts(10, 0));
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(trial.judge(at(59_999), counts(500, 0)), Verdict::Wait);
        assert_eq!(trial.remaining(at(59_000)), Duration::from_secs(1));
        assert_eq!(trial.judge(at(60_000), counts(500, 0)), Verdict::Expired);
    }

    #[test]
    fn errors_late_in_a_trial_are_not_hidden_by_its_good_beginning() {
        let start = Instant::now();
        let mut recent = Recent::default();
        recent.push(start, counts(0, 0));
        let begin = start + Duration::from_secs(10);
        let mut trial = Trial::new(begin, Duration::from_secs(60), &recent, counts(10_000, 0));
        for second in 1..=30_u64 {
            let verdict =
                trial.judge(begin + Duration::from_secs(second), counts(10_000 + second * 1000, 0));
            assert_eq!(verdict, Verdict::Wait);
        }
        let verdict = trial.judge(begin + Duration::from_secs(31), counts(41_000, 200));
        assert_eq!(verdict, Verdict::Jumped(counts(5000, 200)));
    }

    #[test]
    fn errors_of_before_the_change_are_not_its_fault() {
        let start = Instant::now();
        let mut recent = Recent::default();
        recent.push(start, counts(0, 0));
        let begin = start + Duration::from_secs(10);
        let mut trial = Trial::new(begin, Duration::from_secs(60), &recent, counts(1000, 500));
        let later = begin + Duration::from_secs(1);
        assert_eq!(trial.judge(later, counts(1100, 560)), Verdict::Wait);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let start = Instant::now();
        let mut recent = Recent::default();
        for number in 0..10_000_u32 {
            recent.push(start + Duration::from_millis(1) * number, counts(1, 0));
        }
        assert!(recent.samples.len() <= SAMPLES_MAX);
        recent.push(start + Duration::from_secs(100), counts(1, 0));
        assert_eq!(recent.samples.len(), 1);
    }
}
