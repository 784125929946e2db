//! The time of one shard: read from the kernel once where it is needed, and coarse everywhere else.

use std::cell::{Cell, Ref, RefCell};
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrayvec::ArrayString;
use nix::time::{ClockId, clock_gettime};

/// Milliseconds since the shard started, the unit of deadlines.
pub type Millis = u64;

/// A deadline that never comes.
pub const NEVER: Millis = Millis::MAX;

/// Coarse time, renewed by the ticker and by every precise reading.
#[derive(Debug)]
pub struct Clock {
    /// The monotonic clock's reading when the shard started.
    start_us: u64,
    last_us: Cell<u64>,
    /// `last_us` in milliseconds.
    last_ms: Cell<Millis>,
    /// Wall-clock time at the shard's start, as of the last tick: follows adjustments of the clock.
    unix_start_us: Cell<u64>,
    /// The Unix second that `date` shows.
    date_s: Cell<u64>,
    /// An IMF-fixdate (RFC 9110 §5.6.7), renewed when the second changes.
    date: RefCell<ArrayString<32>>,
}

/// The kernel's monotonic clock. Read directly, because `Instant` would double the cost with checked sums and fields
/// that are not needed.
#[inline]
pub fn monotonic_us() -> Option<u64> {
    #[cfg(test)]
    if let Some(now_us) = crate::uring::simulated::now_us() {
        return Some(now_us);
    }
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?;
    Some(now.tv_sec() as u64 * 1_000_000 + now.tv_nsec() as u64 / 1000)
}

fn since_epoch() -> Duration {
    #[cfg(test)]
    if let Some(now_us) = crate::uring::simulated::now_us() {
        return Duration::from_secs(1_800_000_000) + Duration::from_micros(now_us);
    }
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Clock {
    pub fn start() -> Clock {
        let clock = Clock {
            start_us: monotonic_us().unwrap_or(0),
            last_us: Cell::new(0),
            last_ms: Cell::new(0),
            unix_start_us: Cell::new(0),
            date_s: Cell::new(0),
            date: RefCell::default(),
        };
        clock.tick();
        clock
    }

    /// Reads the monotonic clock, in microseconds since the shard started.
    #[inline]
    pub fn read_us(&self) -> u64 {
        // A clock that cannot be read, which has never been seen, stands still.
        let Some(now_us) = monotonic_us() else { return self.last_us.get() };
        let now_us = now_us.saturating_sub(self.start_us);
        self.last_us.set(now_us);
        self.last_ms.set(now_us / 1000);
        now_us
    }

    /// Makes this the last reading.
    #[cfg(test)]
    pub(super) fn stand_at(&self, now_ms: Millis) {
        self.last_us.set(now_ms * 1000);
        self.last_ms.set(now_ms);
    }

    /// The last reading, in milliseconds since the shard started; at most a tick old.
    #[inline]
    pub fn now_ms(&self) -> Millis {
        self.last_ms.get()
    }

    /// The last reading itself, for events of the same turn.
    #[inline]
    pub fn last_us(&self) -> u64 {
        self.last_us.get()
    }

    /// `after` from now, in the coarse clock's terms.
    #[inline]
    pub fn deadline(&self, after: Duration) -> Millis {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(NEVER);
        self.now_ms().saturating_add(after_ms)
    }

    /// Seconds since the Unix epoch, at most a tick old. Cookies use it.
    #[inline]
    pub fn unix_s(&self) -> u64 {
        self.unix_ms_at(self.last_us.get()) / 1000
    }

    /// The wall-clock time of a monotonic reading, in milliseconds since the Unix epoch.
    #[inline]
    pub fn unix_ms_at(&self, at_us: u64) -> u64 {
        self.unix_start_us.get().saturating_add(at_us) / 1000
    }

    /// The time as the Date field tells it, at most a tick late.
    pub fn date(&self) -> Ref<'_, str> {
        Ref::map(self.date.borrow(), |date| date.as_str())
    }

    /// Renews the coarse clock and follows the wall clock.
    pub fn tick(&self) {
        let now_us = self.read_us();
        let unix = since_epoch();
        let unix_us = u64::try_from(unix.as_micros()).unwrap_or(u64::MAX);
        self.unix_start_us.set(unix_us.saturating_sub(now_us));
        if self.date_s.replace(unix.as_secs()) != unix.as_secs() {
            let mut date = self.date.borrow_mut();
            date.clear();
            // 29 bytes always fit.
            let _ = write!(date, "{}", httpdate::HttpDate::from(UNIX_EPOCH + unix));
        }
    }
}
