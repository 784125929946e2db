//! When a certificate is ordered: pure, without clock and network.
//!
//! ```text
//!   none ──▶ now            obtained ──▶ two thirds of its time, ± jitter, or earlier where the authority asks (RFC 9773)
//!              │                              │
//!              └── failed ──▶ after 5, 10, 20 … minutes, a day at most, and never before the authority's Retry-After
//! ```
//! The last good certificate stays until another one is there. Times are seconds since 1970. Tested beside it.

use serde::{Deserialize, Serialize};

/// The first wait after a failure. Authorities count failed proofs of a name by the hour: four come in the first.
const WAIT_FIRST_S: i64 = 5 * 60;
const WAIT_MAX_S: i64 = 24 * 3600;
/// The longest Retry-After that is believed.
const RETRY_AFTER_MAX_S: i64 = 7 * 24 * 3600;
/// Part of a certificate's time by which nodes and certificates are spread around two thirds of it, each way.
const SPREAD: f64 = 1.0 / 40.0;
/// How often the authority is asked for its window (RFC 9773 §4.3.2), at least and at most.
const WINDOW_EVERY_MIN_S: i64 = 60;
const WINDOW_EVERY_MAX_S: i64 = 24 * 3600;
/// The wait after the authority has not answered (RFC 9773 §4.3.3).
const WINDOW_AGAIN_S: i64 = 6 * 3600;

/// When a certificate begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    pub not_before: i64,
    pub not_after: i64,
}

/// The time in which the authority wants a certificate renewed (RFC 9773 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub start: i64,
    pub end: i64,
}

/// What was said of the window of one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The certificate, by RFC 9773 §4.1.
    pub certificate: String,
    /// `None` = the authority has none.
    pub window: Option<Window>,
    pub ask_again: i64,
}

/// What is remembered of the orders of one certificate, also across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Failed orders since the last good one.
    pub failures: u32,
    /// When the last one failed.
    pub failed_at: i64,
    /// The authority's Retry-After, as a time.
    pub retry_at: i64,
    /// What went wrong.
    pub fault: Option<String>,
    pub renewal: Option<Renewal>,
}

impl Attempts {
    /// Notes a failed order; `retry_after` in seconds.
    pub fn fail(&mut self, now: i64, fault: String, retry_after: Option<i64>) {
        self.failures = self.failures.saturating_add(1);
        self.failed_at = now;
        let wait = retry_after.unwrap_or(0).clamp(0, RETRY_AFTER_MAX_S);
        self.retry_at = now.saturating_add(wait);
        self.fault = Some(fault);
    }

    /// The time before which no order is placed; `chance` from 0 to 1 spreads those that fail together.
    fn not_before(&self, lifetime: Option<Lifetime>, chance: f64) -> i64 {
        let Some(doublings) = self.failures.checked_sub(1) else { return i64::MIN };
        // What ends soon is tried for more often: 24 times in its life at least.
        let shorter = lifetime.map_or(WAIT_MAX_S, |lifetime| lifetime.seconds() / 24);
        let longest = shorter.clamp(WAIT_FIRST_S, WAIT_MAX_S);
        let wait = WAIT_FIRST_S.saturating_mul(1 << doublings.min(16)).min(longest);
        let wait = wait.saturating_add(part(wait, chance * 0.25));
        self.failed_at.saturating_add(wait).max(self.retry_at)
    }
}

impl Lifetime {
    fn seconds(self) -> i64 {
        self.not_after.saturating_sub(self.not_before).max(0)
    }

    /// When it is to be renewed; `chance` from 0 to 1.
    fn renewal(self, window: Option<Window>, chance: f64) -> i64 {
        let share = 2.0 / 3.0 + SPREAD * (2.0 * chance - 1.0);
        let own = self.not_before.saturating_add(part(self.seconds(), share));
        match window {
            // RFC 9773 §4.2: a moment in the window, each as likely as the other.
            Some(Window { start, end }) => {
                let width = end.saturating_sub(start).max(0);
                own.min(start.saturating_add(part(width, chance)))
            }
            None => own,
        }
    }
}

/// When the certificate is ordered: `lifetime` is that of the one in use, `None` without a usable one; `chance` from 0
/// to 1 is the node's own and stays the same for a certificate.
pub fn order_at(lifetime: Option<Lifetime>, attempts: &Attempts, chance: f64) -> i64 {
    let chance = chance.clamp(0.0, 1.0);
    let window = attempts.renewal.as_ref().and_then(|renewal| renewal.window);
    let due = lifetime.map_or(i64::MIN, |lifetime| lifetime.renewal(window, chance));
    due.max(attempts.not_before(lifetime, chance))
}

/// What is remembered after the authority was asked for the window of `certificate`, with the Retry-After of its answer
/// in seconds; `None` where it gave none.
pub fn renewal(
    certificate: String,
    answer: Option<(Window, i64)>,
    before: Option<&Renewal>,
    now: i64,
) -> Renewal {
    match answer {
        Some((window, again)) => {
            let again = again.clamp(WINDOW_EVERY_MIN_S, WINDOW_EVERY_MAX_S);
            // RFC 9773 §4.2: a window that ends before it begins is none.
            let window = Some(window).filter(|window| window.end > window.start);
            Renewal { certificate, window, ask_again: now.saturating_add(again) }
        }
        // An authority that does not answer has not changed its mind.
        None => {
            let window = before.filter(|before| before.certificate == certificate);
            let window = window.and_then(|before| before.window);
            Renewal { certificate, window, ask_again: now.saturating_add(WINDOW_AGAIN_S) }
        }
    }
}

/// When the authority is to be asked for the window of `certificate`.
pub fn ask_at(attempts: &Attempts, certificate: &str) -> i64 {
    let known = attempts.renewal.as_ref().filter(|renewal| renewal.certificate == certificate);
    known.map_or(i64::MIN, |known| known.ask_again)
}

/// A share of some seconds.
fn part(seconds: i64, share: f64) -> i64 {
    // Both fit: spans of time are far below 2^53 seconds.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "as above")]
    let part = (seconds as f64 * share) as i64;
    part
}

#[cfg(test)]
mod tests {
    use crate::control::acme::schedule::*;

    const DAY_S: i64 = 86_400;
    const NOW: i64 = 1_800_000_000;
    const QUARTER: Lifetime = Lifetime { not_before: NOW, not_after: NOW + 90 * DAY_S };

    fn failed(times: u32, retry_after: Option<i64>) -> Attempts {
        let mut attempts = Attempts::default();
        for _ in 0..times {
            attempts.fail(NOW, "no".into(), retry_after);
        }
        attempts
    }

    fn with_window(start: i64, end: i64) -> Attempts {
        let renewal = renewal("c".into(), Some((Window { start, end }, 3600)), None, NOW);
        Attempts { renewal: Some(renewal), ..Attempts::default() }
    }

    #[test]
    fn what_was_never_obtained_is_ordered_at_once() {
        assert!(order_at(None, &Attempts::default(), 0.7) <= NOW);
    }

    #[test]
    fn two_thirds_are_met_on_average_and_nodes_are_spread_around_them() {
        let at = |chance| order_at(Some(QUARTER), &Attempts::default(), chance) - NOW;
        assert!((at(0.5) - 60 * DAY_S).abs() <= 1);
        assert!((at(0.0) - (60 * DAY_S - 90 * DAY_S / 40)).abs() <= 1);
        assert!((at(1.0) - (60 * DAY_S + 90 * DAY_S / 40)).abs() <= 1);
    }

    #[test]
    fn the_window_of_the_authority_brings_a_renewal_forward_and_never_puts_it_off() {
        let early = with_window(NOW + DAY_S, NOW + 3 * DAY_S);
        assert_eq!(order_at(Some(QUARTER), &early, 0.5), NOW + 2 * DAY_S);
        let past = with_window(NOW - 3 * DAY_S, NOW - DAY_S);
        assert!(order_at(Some(QUARTER), &past, 1.0) <= NOW, "revoked ones are renewed at once");
        let late = with_window(NOW + 80 * DAY_S, NOW + 89 * DAY_S);
        let without = order_at(Some(QUARTER), &Attempts::default(), 0.5);
        assert_eq!(order_at(Some(QUARTER), &late, 0.5), without);
        let reversed = with_window(NOW + 3 * DAY_S, NOW + DAY_S);
        assert_eq!(order_at(Some(QUARTER), &reversed, 0.5), without);
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_day() {
        let wait = |times| order_at(None, &failed(times, None), 0.0) - NOW;
        let waits: Vec<i64> = (1..=4).map(wait).collect();
        assert_eq!(waits, [300, 600, 1200, 2400]);
        assert_eq!(wait(40), DAY_S);
        let endless = Attempts { failures: u32::MAX, ..failed(1, None) };
        assert_eq!(order_at(None, &endless, 0.0) - NOW, DAY_S);
        assert_eq!(order_at(None, &failed(1, None), 1.0) - NOW, 375);
    }

    #[test]
    fn a_short_life_is_tried_for_more_often_but_never_without_a_pause() {
        let six_days = Lifetime { not_before: NOW - 5 * DAY_S, not_after: NOW + DAY_S };
        assert_eq!(order_at(Some(six_days), &failed(40, None), 0.0) - NOW, 6 * 3600);
        let minutes = Lifetime { not_before: NOW - 60, not_after: NOW };
        assert_eq!(order_at(Some(minutes), &failed(40, None), 0.0) - NOW, 300);
    }

    #[test]
    fn no_order_comes_before_the_authoritys_retry_after_which_has_a_limit() {
        assert_eq!(order_at(None, &failed(1, Some(7200)), 0.0) - NOW, 7200);
        assert_eq!(order_at(None, &failed(1, Some(i64::MAX)), 0.0) - NOW, 7 * DAY_S);
        assert_eq!(order_at(None, &failed(1, Some(-5)), 0.0) - NOW, 300);
    }

    #[test]
    fn a_good_certificate_is_renewed_after_a_failure_no_earlier_than_it_would_be() {
        let lifetime = Some(QUARTER);
        let without = order_at(lifetime, &Attempts::default(), 0.5);
        assert_eq!(order_at(lifetime, &failed(1, None), 0.5), without);
    }

    #[test]
    fn the_window_is_asked_for_as_often_as_the_authority_says_within_bounds() {
        let attempts = with_window(NOW, NOW + DAY_S);
        assert_eq!(ask_at(&attempts, "c"), NOW + 3600);
        assert!(ask_at(&attempts, "another") <= NOW);
        let window = Window { start: NOW, end: NOW + 1 };
        let again = |seconds| renewal("c".into(), Some((window, seconds)), None, NOW).ask_again;
        assert_eq!((again(0), again(i64::MAX)), (NOW + 60, NOW + DAY_S));
    }

    #[test]
    fn an_authority_that_does_not_answer_has_not_changed_its_window() {
        let before = with_window(NOW, NOW + DAY_S).renewal;
        let kept = renewal("c".into(), None, before.as_ref(), NOW);
        assert_eq!(kept.window, Some(Window { start: NOW, end: NOW + DAY_S }));
        assert_eq!(kept.ask_again, NOW + 6 * 3600);
        assert_eq!(renewal("d".into(), None, before.as_ref(), NOW).window, None);
    }
}
