//! When requests are due: the arrivals of an open loop, which nothing that happens can hold up.
//!
//! Owns: the intended start of every request. Never: a look at responses; that would be the coordinated
//! omission that an open loop exists to avoid. Tested below with invented clocks.

use std::collections::VecDeque;

/// Arrivals at a fixed rate. Times are nanoseconds of the run.
#[derive(Debug)]
pub struct Schedule {
    /// Arrivals in a second, of this thread.
    rate: f64,
    /// When the first is due.
    first_ns: u64,
    /// Arrivals that have been taken.
    taken: u64,
    /// Arrivals that were due and found nobody free, oldest first.
    backlog: VecDeque<u64>,
}

impl Schedule {
    /// The arrivals of thread number `index` of `count`, which share `rate` evenly, each between two
    /// of the others.
    pub fn new(rate: f64, index: usize, count: usize) -> Schedule {
        let between_ns = 1e9 / rate;
        Schedule {
            rate: rate / count as f64,
            first_ns: (between_ns * index as f64) as u64,
            taken: 0,
            backlog: VecDeque::with_capacity(1024),
        }
    }

    /// When the next arrival is due.
    pub fn next_ns(&self) -> u64 {
        // From the count, not from the last one: rounding does not add up.
        self.first_ns + (self.taken as f64 * 1e9 / self.rate) as u64
    }

    /// Moves what has become due at `now_ns` behind what waits already.
    pub fn advance(&mut self, now_ns: u64) {
        loop {
            let next_ns = self.next_ns();
            if next_ns > now_ns {
                return;
            }
            self.taken += 1;
            self.backlog.push_back(next_ns);
        }
    }

    /// The intended start of the oldest arrival that waits.
    pub fn take(&mut self) -> Option<u64> {
        self.backlog.pop_front()
    }

    /// Puts an arrival back that could not be served after all; it stays the oldest.
    pub fn put_back(&mut self, intended_ns: u64) {
        self.backlog.push_front(intended_ns);
    }

    /// Arrivals that wait.
    pub fn waiting(&self) -> usize {
        self.backlog.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_the_rate_exactly_over_minutes() {
        let mut schedule = Schedule::new(30_000.0, 0, 1);
        let mut count = 0u64;
        for second in 1..=180u64 {
            schedule.advance(second * 1_000_000_000 - 1);
            while schedule.take().is_some() {
                count += 1;
            }
        }
        assert_eq!(count, 30_000 * 180);
    }

    #[test]
    fn what_finds_nobody_free_keeps_its_intended_start() {
        let mut schedule = Schedule::new(1000.0, 0, 1);
        schedule.advance(0);
        assert_eq!(schedule.take(), Some(0));
        assert_eq!(schedule.take(), None);
        // A stall of 5 ms: all five that fell into it are there, each at its own time.
        schedule.advance(5_000_000);
        assert_eq!(schedule.waiting(), 5);
        let first = schedule.take().unwrap();
        assert_eq!(first, 1_000_000);
        schedule.put_back(first);
        let all: Vec<u64> = std::iter::from_fn(|| schedule.take()).collect();
        assert_eq!(all, [1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000]);
        assert_eq!(schedule.next_ns(), 6_000_000);
    }

    #[test]
    fn threads_take_turns() {
        let mut all = Vec::new();
        for index in 0..4 {
            let mut schedule = Schedule::new(1000.0, index, 4);
            schedule.advance(7_999_999);
            all.extend(std::iter::from_fn(|| schedule.take()));
        }
        all.sort_unstable();
        assert_eq!(all, (0..8).map(|ms| ms * 1_000_000).collect::<Vec<u64>>());
    }
}
