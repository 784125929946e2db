//! How far the stop of the process has come.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// How long a stop waits for the first request of a connection that has just been accepted.
pub const LAST_REQUEST: Duration = Duration::from_secs(1);

/// How far a stop has come; shared by all shards.
#[derive(Debug, Default)]
pub struct Stop {
    stage: AtomicU8,
}

impl Stop {
    /// No new connections; requests in flight are finished.
    pub fn begin(&self) {
        self.stage.fetch_max(1, Ordering::Release);
    }

    /// The grace period is over: requests still in flight are cut off.
    pub fn now(&self) {
        self.stage.fetch_max(2, Ordering::Release);
    }

    pub fn has_begun(&self) -> bool {
        self.stage.load(Ordering::Acquire) >= 1
    }

    pub fn is_now(&self) -> bool {
        self.stage.load(Ordering::Acquire) >= 2
    }
}
