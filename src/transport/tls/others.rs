//! Whether a shard serves others beside those who shake hands.
//!
//! A signature that takes long holds everybody up, but where nobody is held up it is cheapest on the shard. Told by
//! counts that are there anyway: of the requests of the last tenth of a second, are there more than the first ones of
//! connections whose handshake has succeeded meanwhile? Tested beside it.

use std::cell::Cell;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_millis(100);
/// Requests of a window that say nothing: connections and their first requests do not always fall into the same one.
const CHANCE: u64 = 4;

/// Counts of a shard since it began.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    requests: u64,
    /// Handshakes that have succeeded.
    handshakes: u64,
}

#[derive(Default)]
pub struct Others {
    /// When the window began, and the counts by then.
    began: Cell<Option<(Instant, Counts)>>,
    handshakes: Cell<u64>,
    are_there: Cell<bool>,
}

impl Others {
    /// A handshake has succeeded.
    pub fn except_one(&self) {
        self.handshakes.set(self.handshakes.get().wrapping_add(1));
    }

    /// Whether others were served in the last window; `requests` are all that the shard has served.
    pub fn are_served(&self, requests: u64) -> bool {
        let (now, counts) =
            (Instant::now(), Counts { requests, handshakes: self.handshakes.get() });
        match self.began.get() {
            None => self.began.set(Some((now, counts))),
            Some((began, before)) if now.duration_since(began) >= WINDOW => {
                let requests = counts.requests.saturating_sub(before.requests);
                let first_ones = counts.handshakes.wrapping_sub(before.handshakes);
                let by_chance = CHANCE.saturating_add(first_ones / 4);
                self.are_there.set(requests > first_ones.saturating_add(by_chance));
                self.began.set(Some((now, counts)));
            }
            Some(_) => {}
        }
        self.are_there.get()
    }
}

#[cfg(test)]
mod tests {
    use crate::transport::tls::others::*;

    /// Lets the window be over.
    fn passes(others: &Others) {
        let (began, counts) = others.began.get().unwrap();
        others.began.set(Some((began.checked_sub(WINDOW).unwrap(), counts)));
    }

    #[test]
    fn who_asks_more_than_once_is_another() {
        let others = Others::default();
        assert!(!others.are_served(1_000), "nothing is known yet");
        // (requests, handshakes that succeed) in a window, and what comes of it.
        for (requests, handshakes, expected) in [
            (0, 0, false),
            (4, 0, false),
            (5, 0, true),
            (80, 80, false),
            (104, 80, false),
            (105, 80, true),
            (60, 80, false),
            (200, 10, true),
            (0, 50, false),
        ] {
            let before = others.began.get().unwrap().1.requests;
            for _ in 0..handshakes {
                others.except_one();
            }
            let was = others.are_there.get();
            assert_eq!(others.are_served(before + requests), was, "the window is not over");
            passes(&others);
            assert_eq!(others.are_served(before + requests), expected, "{requests} {handshakes}");
        }
    }
}
