//! The time of one shard: read from the kernel once where it is needed, and coarse everywhere else.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the shard started. Deadlines are told in these.
pub type Millis = u64;

/// A deadline that never comes.
pub const NEVER: Millis = Millis::MAX;

/// Coarse time, renewed by the ticker and by every precise reading.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    coarse_ms: Cell<Millis>,
    unix_s: Cell<u64>,
}

impl Clock {
    pub fn start() -> Clock {
        let clock = Clock { start: Instant::now(), coarse_ms: Cell::new(0), unix_s: Cell::new(0) };
        clock.tick();
        clock
    }

    /// Reads the monotonic clock, in microseconds since the shard started.
    #[inline]
    pub fn read_us(&self) -> u64 {
        let elapsed = self.start.elapsed();
        let now_us = elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros());
        self.coarse_ms.set(now_us / 1000);
        now_us
    }

    /// The last reading, in milliseconds since the shard started; at most a tick old.
    #[inline]
    pub fn now_ms(&self) -> Millis {
        self.coarse_ms.get()
    }

    /// `after` from now, in the coarse clock's terms.
    #[inline]
    pub fn deadline(&self, after: Duration) -> Millis {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(NEVER);
        self.now_ms().saturating_add(after_ms)
    }

    /// Seconds since the Unix epoch, at most a tick old. Cookies and the log's dates use it.
    #[inline]
    pub fn unix_s(&self) -> u64 {
        self.unix_s.get()
    }

    /// The wall-clock time in microseconds since the Unix epoch, read from the kernel.
    pub fn unix_us(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_secs() * 1_000_000 + u64::from(now.subsec_micros())
    }

    /// Renews both coarse clocks.
    pub fn tick(&self) {
        self.read_us();
        self.unix_s.set(self.unix_us() / 1_000_000);
    }
}
