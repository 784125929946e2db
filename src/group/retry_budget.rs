//! Which share of a group's load may be retries: its recent requests and retries, counted in atomics.
//!
//! The coarse time is an argument. Tested beside it, and with `retry`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// Seconds that count as recent.
const WINDOW_S: usize = 10;

/// Requests per second of the window; each cell is its second (upper half) and its count (lower half).
#[derive(Debug, Default)]
struct Window([AtomicU64; WINDOW_S]);

impl Window {
    fn count(&self, now_s: u64) {
        let Some(cell) = self.0.get((now_s % WINDOW_S as u64) as usize) else { return };
        let second = now_s << 32;
        let mut before = cell.load(Ordering::Relaxed);
        while before & !u64::from(u32::MAX) != second {
            match cell.compare_exchange_weak(
                before,
                second | 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => before = other,
            }
        }
        cell.fetch_add(1, Ordering::Relaxed);
    }

    fn recent(&self, now_s: u64) -> u64 {
        let of = |cell: &AtomicU64| {
            let bits = cell.load(Ordering::Relaxed);
            let age_s = (now_s as u32).wrapping_sub((bits >> 32) as u32);
            if age_s < WINDOW_S as u32 { bits & u64::from(u32::MAX) } else { 0 }
        };
        self.0.iter().map(of).sum()
    }
}

/// Limits the retries of a group that its targets may see twice to a share of its recent requests, so that retries
/// cannot become the load that keeps a group down; a few at a time are always allowed.
#[derive(Debug, Default)]
pub struct RetryBudget {
    requests: Window,
    retries: CachePadded<Retries>,
}

#[derive(Debug, Default)]
struct Retries {
    recent: Window,
    running: AtomicU32,
}

impl RetryBudget {
    pub(super) fn count_request(&self, now_s: u64) {
        self.requests.count(now_s);
    }

    /// Whether one retry would be permitted now.
    pub(super) fn would_start(&self, now_s: u64, percent: u32, minimum: u32) -> bool {
        let running = self.retries.running.load(Ordering::Relaxed);
        running < minimum || self.has_share(now_s, percent)
    }

    fn has_share(&self, now_s: u64, percent: u32) -> bool {
        let retries = self.retries.recent.recent(now_s).saturating_add(1);
        let requests = self.requests.recent(now_s);
        retries.saturating_mul(100) <= requests.saturating_mul(u64::from(percent))
    }

    /// Permits one retry: always while fewer than `minimum` run, else while the retries of the last seconds stay within
    /// `percent` of the requests.
    pub(super) fn try_start(&self, now_s: u64, percent: u32, minimum: u32) -> bool {
        let running = self.retries.running.fetch_add(1, Ordering::Relaxed);
        let allowed = running < minimum || self.has_share(now_s, percent);
        if allowed {
            self.retries.recent.count(now_s);
        } else {
            self.retries.running.fetch_sub(1, Ordering::Relaxed);
        }
        allowed
    }

    pub(super) fn finish(&self) {
        self.retries.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use crate::group::retry_budget::*;

    #[test]
    fn the_window_forgets_second_by_second() {
        let window = Window::default();
        for now_s in 0..25 {
            window.count(now_s);
            window.count(now_s);
        }
        assert_eq!(window.recent(24), 20);
        assert_eq!(window.recent(30), 8);
        assert_eq!(window.recent(34), 0);
    }
}
