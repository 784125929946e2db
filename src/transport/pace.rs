//! How fast content moves between limpet and a client, so that a client that is too slow can be ended.

use std::time::Duration;

/// Bytes that have moved, and the time in which limpet waited for the client: only the client's own slowness counts.
#[derive(Debug, Default)]
pub struct Pace {
    waited_ms: u64,
    bytes: u64,
}

impl Pace {
    pub fn note(&mut self, waited_ms: u64, bytes: usize) {
        self.waited_ms += waited_ms;
        self.bytes += bytes as u64;
    }

    /// Whether less has moved than `minimum_rate` (bytes per second). Judged once a window of the idle limit, so that a
    /// pause inside one is forgiven.
    pub fn is_below(&mut self, minimum_rate: u64, window: Duration) -> bool {
        if minimum_rate == 0 || !self.is_due(window) {
            return false;
        }
        let is_below = self.bytes.saturating_mul(1000) / self.waited_ms < minimum_rate;
        *self = Pace::default();
        is_below
    }

    /// Whether the waits have added up to a whole window.
    fn is_due(&self, window: Duration) -> bool {
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        self.waited_ms >= window_ms.max(1)
    }
}

/// The pace at which a client takes a response. Bytes that only the system has taken are no progress: the system takes
/// them in lumps of a third of a send buffer, for which a slow client needs minutes.
#[derive(Debug, Default)]
pub struct Drain {
    /// Bytes per second; 0 = no pace is too slow.
    minimum_rate: u64,
    window: Duration,
    pace: Pace,
    /// Bytes that the system held for the client when the window began.
    queued: u64,
}

impl Drain {
    pub fn new(minimum_rate: u64, window: Duration) -> Drain {
        Drain { minimum_rate, window, ..Drain::default() }
    }

    pub fn note(&mut self, waited_ms: u64, bytes: usize) {
        self.pace.note(waited_ms, bytes);
    }

    /// As [`Pace::is_below`]. `queued` asks the system what it holds, once a window.
    pub fn is_below(&mut self, queued: impl FnOnce() -> Option<u32>) -> bool {
        if self.minimum_rate == 0 || !self.pace.is_due(self.window) {
            return false;
        }
        let queued = queued().map_or(0, u64::from);
        let given = self.pace.bytes.saturating_add(self.queued);
        self.pace.bytes = given.saturating_sub(queued);
        self.queued = queued;
        self.pace.is_below(self.minimum_rate, self.window)
    }
}

#[cfg(test)]
mod tests {
    use crate::transport::pace::*;

    const WINDOW: Duration = Duration::from_secs(30);

    #[test]
    fn a_slow_client_is_noticed_only_after_a_whole_window_of_waiting() {
        let mut pace = Pace { waited_ms: 29_000, bytes: 10 };
        assert!(!pace.is_below(500, WINDOW));
        pace.waited_ms = 30_000;
        assert!(pace.is_below(500, WINDOW));
    }

    #[test]
    fn a_client_at_the_minimum_rate_is_put_up_with() {
        let mut pace = Pace { waited_ms: 30_000, bytes: 15_000 };
        assert!(!pace.is_below(500, WINDOW));
    }

    #[test]
    fn a_minimum_rate_of_zero_is_off() {
        let mut pace = Pace { waited_ms: 90_000, bytes: 1 };
        assert!(!pace.is_below(0, WINDOW));
        assert!(!Drain { pace, ..Drain::default() }.is_below(|| panic!("nobody is asked")));
    }

    #[test]
    fn what_only_the_system_has_taken_is_not_the_clients_progress() {
        let mut drain = Drain::new(500, WINDOW);
        drain.note(30_000, 1_000_000);
        assert!(!drain.is_below(|| Some(985_000)), "15 000 bytes in 30 seconds");
        drain.note(30_000, 1_000_000);
        assert!(drain.is_below(|| Some(1_971_000)), "14 000 bytes");
    }

    #[test]
    fn a_send_buffer_that_drains_is_progress_though_nothing_more_goes_into_it() {
        let mut drain = Drain::new(500, WINDOW);
        drain.note(30_000, 1_000_000);
        assert!(!drain.is_below(|| Some(900_000)));
        drain.note(30_000, 0);
        assert!(!drain.is_below(|| Some(880_000)));
        drain.note(30_000, 0);
        assert!(drain.is_below(|| Some(870_000)));
    }
}
