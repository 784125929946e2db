//! Whether a request that failed may be tried again, and where.
//!
//! [`decide`] is pure; a [`RetryPermit`] is a permission within the budget of the group. Nothing here sends or waits.
//! Tested as a table.

use std::sync::Arc;

use super::state::GroupState;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection was made; the target has seen nothing of the request.
    ConnectFailed,
    /// The target closed before any byte of a response: a kept connection that had gone stale, or a target that died
    /// while it held the request. RFC 9110 §9.2.2 allows idempotent ones to be repeated.
    ClosedBeforeByte,
    /// The target says that it has not looked at the request: a stream that it refuses, or one behind the last that its
    /// GOAWAY names (RFC 9113 §8.7). Whatever the method, it may be sent again.
    Unprocessed,
    /// A call of gRPC was answered by a status after which the group tries it again, whatever the method.
    Refused,
    /// Anything else; the target may have acted on the request.
    Other,
}

/// The facts about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    pub failure: Failure,
    /// Whether the connection had been kept from an earlier request.
    pub was_reused: bool,
    /// Whether the method is idempotent (RFC 9110 §9.2.2).
    pub is_idempotent: bool,
    /// Whether limpet still has every byte of the content.
    pub is_replayable: bool,
    /// Whether stickiness led to this target (`StickyOutcome::bound`).
    pub is_bound: bool,
    /// Whether [`Decision::SameTarget`] was taken before for this target.
    pub was_tried_again: bool,
    /// Whether there is time left to connect to this target.
    pub has_connect_time: bool,
    /// Retries of this request on other targets.
    pub retries: u32,
    pub retries_max: u32,
}

/// Where the next attempt goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// On a new connection to the same target; not counted among the retries.
    SameTarget,
    /// To another target, never to the same one.
    OtherTarget,
    /// To another target, or on a new connection to the same one if there is no other.
    OtherTargetElseSame,
    GiveUp,
}

/// Decides; `budget` is asked only if the answer depends on it, and at most once. It returns whether a request may
/// (still) be retried: a request that holds a [`RetryPermit`] needs no other.
///
/// The budget limits retries of requests that a target may have seen. A failed connect has cost the target nothing, and
/// its retries are bounded enough by the number of other targets and the count of retries.
///
/// A bound request tries its own target once more before it fails over, however the first attempt failed: the close of
/// a kept connection says nothing about the target.
pub fn decide(attempt: &Attempt, budget: impl FnOnce() -> bool) -> Decision {
    if attempt.retries_max == 0 {
        return Decision::GiveUp;
    }
    let (other, needs_budget) = match attempt.failure {
        Failure::ConnectFailed => (Decision::OtherTarget, false),
        Failure::ClosedBeforeByte if attempt.is_idempotent && attempt.is_replayable => {
            // A target that ends a new connection without an answer would most likely do so again.
            let other = match attempt.was_reused {
                true => Decision::OtherTargetElseSame,
                false => Decision::OtherTarget,
            };
            (other, true)
        }
        // Once at the same target, on whichever connection, and then elsewhere, as if it had cost the target something.
        Failure::Unprocessed if attempt.is_replayable && !attempt.was_tried_again => {
            return Decision::SameTarget;
        }
        Failure::Unprocessed if attempt.is_replayable => (Decision::OtherTarget, true),
        Failure::Refused if attempt.is_replayable => {
            // Once more at the same target, where there is no other.
            let other = match attempt.was_tried_again {
                true => Decision::OtherTarget,
                false => Decision::OtherTargetElseSame,
            };
            (other, true)
        }
        Failure::ClosedBeforeByte | Failure::Unprocessed | Failure::Refused | Failure::Other => {
            return Decision::GiveUp;
        }
    };
    let is_same = attempt.is_bound && !attempt.was_tried_again && attempt.has_connect_time;
    if !is_same && attempt.retries >= attempt.retries_max {
        return Decision::GiveUp;
    }
    if needs_budget && !budget() {
        return Decision::GiveUp;
    }
    if is_same { Decision::SameTarget } else { other }
}

/// The permission to retry one request; held until the retry's response begins or it has failed.
#[derive(Debug)]
#[must_use = "a retry runs as long as its permit is held"]
pub struct RetryPermit {
    group: Arc<GroupState>,
}

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.group.retry_budget().finish();
    }
}

impl GroupState {
    /// Whether one retry would be permitted now, which others may use up before it begins.
    pub fn would_permit_retry(&self, now_s: u64, percent: u32, minimum: u32) -> bool {
        self.retry_budget().would_start(now_s, percent, minimum)
    }

    /// Permits one retry within the budget (see `GroupOptions`).
    pub fn start_retry(
        self: &Arc<Self>,
        now_s: u64,
        percent: u32,
        minimum: u32,
    ) -> Option<RetryPermit> {
        self.retry_budget()
            .try_start(now_s, percent, minimum)
            .then(|| RetryPermit { group: Arc::clone(self) })
    }
}

#[cfg(test)]
mod tests {
    use crate::group::retry::*;

    const FAILED: Attempt = Attempt {
        failure: Failure::ConnectFailed,
        was_reused: false,
        is_idempotent: false,
        is_replayable: false,
        is_bound: false,
        was_tried_again: false,
        has_connect_time: true,
        retries: 0,
        retries_max: 1,
    };
    const CLOSED: Attempt = Attempt {
        failure: Failure::ClosedBeforeByte,
        was_reused: true,
        is_idempotent: true,
        is_replayable: true,
        ..FAILED
    };

    const UNPROCESSED: Attempt =
        Attempt { failure: Failure::Unprocessed, is_idempotent: false, ..CLOSED };
    const REFUSED: Attempt = Attempt { failure: Failure::Refused, ..UNPROCESSED };

    #[test]
    fn every_failure_has_its_decision() {
        use Decision::*;
        let cases = [
            ("a failed connect, any method", FAILED, OtherTarget),
            ("retries are used up", Attempt { retries: 1, ..FAILED }, GiveUp),
            ("two are allowed", Attempt { retries: 1, retries_max: 2, ..FAILED }, OtherTarget),
            ("retries are off", Attempt { retries_max: 0, is_bound: true, ..FAILED }, GiveUp),
            ("anything else", Attempt { failure: Failure::Other, ..CLOSED }, GiveUp),
            ("closed before a byte", CLOSED, OtherTargetElseSame),
            ("a new connection closed", Attempt { was_reused: false, ..CLOSED }, OtherTarget),
            ("not looked at", UNPROCESSED, SameTarget),
            ("twice", Attempt { was_tried_again: true, ..UNPROCESSED }, OtherTarget),
            ("its content is gone", Attempt { is_replayable: false, ..UNPROCESSED }, GiveUp),
            ("answered by a status that is retried", REFUSED, OtherTargetElseSame),
            ("again, there", Attempt { was_tried_again: true, ..REFUSED }, OtherTarget),
            ("so often", Attempt { retries: 1, ..REFUSED }, GiveUp),
            ("its content has gone on", Attempt { is_replayable: false, ..REFUSED }, GiveUp),
            ("bound, answered so", Attempt { is_bound: true, ..REFUSED }, SameTarget),
            ("the method is not idempotent", Attempt { is_idempotent: false, ..CLOSED }, GiveUp),
            ("the content has gone", Attempt { is_replayable: false, ..CLOSED }, GiveUp),
            ("bound and refused", Attempt { is_bound: true, ..FAILED }, SameTarget),
            ("bound, closed before a byte", Attempt { is_bound: true, ..CLOSED }, SameTarget),
            (
                "bound and refused again fails over",
                Attempt { is_bound: true, was_tried_again: true, ..FAILED },
                OtherTarget,
            ),
            (
                "bound without time to connect fails over",
                Attempt { is_bound: true, has_connect_time: false, ..FAILED },
                OtherTarget,
            ),
            (
                "failed over once already",
                Attempt { is_bound: true, was_tried_again: true, retries: 1, ..FAILED },
                GiveUp,
            ),
        ];
        for (name, attempt, wanted) in cases {
            assert_eq!(decide(&attempt, || true), wanted, "{name}");
            let without = match attempt.failure {
                Failure::ConnectFailed => wanted,
                Failure::Unprocessed if wanted == SameTarget => wanted,
                Failure::Unprocessed
                | Failure::Refused
                | Failure::ClosedBeforeByte
                | Failure::Other => GiveUp,
            };
            assert_eq!(decide(&attempt, || false), without, "{name}, without budget");
        }
    }

    #[test]
    fn a_few_retries_at_a_time_are_always_allowed() {
        let group = GroupState::new();
        let held: Vec<_> = (0..3).filter_map(|_| group.start_retry(100, 20, 3)).collect();
        assert_eq!(held.len(), 3);
        assert!(!group.would_permit_retry(100, 20, 3));
        assert!(group.start_retry(100, 20, 3).is_none());
        drop(held);
        assert!(group.would_permit_retry(100, 20, 3));
        assert!(group.start_retry(100, 20, 3).is_some());
    }

    #[test]
    fn beyond_them_retries_are_a_share_of_recent_requests() {
        let group = GroupState::new();
        for n in 0..100 {
            group.retry_budget().count_request(100 + n / 50);
        }
        let held: Vec<_> = (0..50).filter_map(|_| group.start_retry(101, 20, 0)).collect();
        assert_eq!(held.len(), 20);
        assert!(group.start_retry(109, 20, 0).is_none(), "all still count");
        assert!(group.start_retry(111, 20, 0).is_none(), "no request is recent any more");
        drop(held);
    }
}
