//! The number of sessions at a target, as first visits under `new_sessions = "least_sessions"` see it.
//!
//! The control plane publishes the number of live sessions four times a second. A shard that places a new session adds
//! it at once, so that two shards do not fill the same gap. A session counts as live only when its cookie comes back;
//! until then its id is among the awaited ones. The published number has both, each session once. Other settings leave
//! all of this untouched. Tested below, and with `room`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::stickiness::sketch::{Life, SessionSketch};

/// A session that does not come back within this time belongs to a client that keeps no cookies, and counts no more.
/// With a longer time such clients would fill a new target; with a shorter one users who read for a while would not
/// count.
const AWAITED: Life = Life { tag: 0, duration_s: 30 };

/// Sessions of one target, as first visits see them.
#[derive(Debug, Default)]
pub struct Newcomers {
    /// As last published, and those placed since.
    load: AtomicU64,
    /// Placed, and not come back yet; made with the first.
    awaited: OnceLock<Box<SessionSketch>>,
}

impl Newcomers {
    /// About how many sessions live at the target or were placed there lately.
    pub fn load(&self) -> u64 {
        self.load.load(Ordering::Relaxed)
    }

    /// A session begins here. Allocates once in the target's life.
    pub fn place(&self, session: u128, now_s: u64) {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.awaited.get_or_init(Box::default).note(session, AWAITED, now_s);
    }

    /// A session that was placed here is served elsewhere instead. Says whether any has ever been placed.
    pub fn take_back(&self, session: u128) -> bool {
        let Some(awaited) = self.awaited.get() else { return false };
        awaited.forget(session, AWAITED.tag);
        let one_less = |load: u64| Some(load.saturating_sub(1));
        let _ = self.load.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        true
    }

    /// A session is awaited no more: it has come back, or has gone elsewhere.
    pub fn forget(&self, session: u128) {
        if let Some(awaited) = self.awaited.get() {
            awaited.forget(session, AWAITED.tag);
        }
    }

    /// Takes a new count of the sessions that live here, from `live`; those who are awaited come to it. What is placed
    /// while it is counted stays.
    pub fn publish(&self, known: Option<&SessionSketch>, now_s: u64, live: impl FnOnce() -> u64) {
        let before = self.load();
        let awaited = self.awaited.get().map_or(0, |awaited| match known {
            Some(known) => awaited.estimate_besides(known, now_s, &[AWAITED]),
            None => awaited.estimate(now_s, &[AWAITED]),
        });
        let now = live().saturating_add(awaited);
        let exchange = |load: u64| Some(now.saturating_add(load.saturating_sub(before)));
        let _ = self.load.fetch_update(Ordering::Relaxed, Ordering::Relaxed, exchange);
    }
}

#[cfg(test)]
mod tests {
    use crate::group::newcomers::*;
    use crate::group::rendezvous::mix;

    const NOW_S: u64 = 1_700_000_000;
    const DAY: Life = Life { tag: 7, duration_s: 86_400 };

    fn session(number: u64) -> u128 {
        u128::from(mix(number)) << 64 | u128::from(mix(number + 1_000_000))
    }

    /// What a target's state does with a cookie that comes back.
    fn come_back(newcomers: &Newcomers, known: &SessionSketch, number: u64) {
        if known.note(session(number), DAY, NOW_S) {
            newcomers.forget(session(number));
        }
    }

    fn publish(newcomers: &Newcomers, known: &SessionSketch, now_s: u64) -> u64 {
        newcomers.publish(Some(known), now_s, || known.estimate(now_s, &[DAY]));
        newcomers.load()
    }

    #[test]
    fn a_session_counts_once_before_and_after_its_cookie_comes_back() {
        let (newcomers, known) = (Newcomers::default(), SessionSketch::default());
        (0..1_000).for_each(|number| newcomers.place(session(number), NOW_S));
        assert_eq!(newcomers.load(), 1_000);
        assert_eq!(publish(&newcomers, &known, NOW_S), 1_000);
        for number in 0..1_000 {
            come_back(&newcomers, &known, number);
            if number % 100 == 0 {
                assert_eq!(publish(&newcomers, &known, NOW_S + 1), 1_000, "{number}");
            }
        }
        assert_eq!(publish(&newcomers, &known, NOW_S + 1), 1_000);
        assert_eq!(publish(&newcomers, &known, NOW_S + 3_600), 1_000);
    }

    #[test]
    fn who_does_not_come_back_counts_for_half_a_minute() {
        let (newcomers, known) = (Newcomers::default(), SessionSketch::default());
        (0..300).for_each(|number| newcomers.place(session(number), NOW_S));
        (0..100).for_each(|number| come_back(&newcomers, &known, number));
        assert_eq!(publish(&newcomers, &known, NOW_S + 30), 300);
        assert_eq!(publish(&newcomers, &known, NOW_S + 31), 100);
    }

    #[test]
    fn sessions_that_the_sample_leaves_out_count_once_too() {
        let (newcomers, known) = (Newcomers::default(), SessionSketch::default());
        let about = |load: u64| (36_000..44_000).contains(&load);
        for number in 0..40_000 {
            newcomers.place(session(number), NOW_S);
        }
        assert!(about(publish(&newcomers, &known, NOW_S)));
        for number in 0..40_000 {
            come_back(&newcomers, &known, number);
            if number % 8_000 == 0 {
                let load = publish(&newcomers, &known, NOW_S + 1);
                assert!(about(load), "{load} with {number} come back");
            }
        }
        assert!(about(publish(&newcomers, &known, NOW_S + 1)));
        assert!(about(publish(&newcomers, &known, NOW_S + 40)));
    }

    #[test]
    fn what_is_placed_while_it_is_counted_is_not_lost() {
        let newcomers = Newcomers::default();
        newcomers.place(session(1), NOW_S);
        newcomers.publish(None, NOW_S, || {
            newcomers.place(session(2), NOW_S);
            0
        });
        assert_eq!(newcomers.load(), 2);
        newcomers.publish(None, NOW_S, || 0);
        assert_eq!(newcomers.load(), 2);
    }

    #[test]
    fn what_is_served_elsewhere_is_taken_back() {
        let newcomers = Newcomers::default();
        assert!(!newcomers.take_back(session(1)), "nobody was ever placed");
        newcomers.place(session(1), NOW_S);
        newcomers.place(session(2), NOW_S);
        assert!(newcomers.take_back(session(1)));
        assert_eq!(newcomers.load(), 1);
        newcomers.publish(None, NOW_S, || 0);
        assert_eq!(newcomers.load(), 1);
    }
}
