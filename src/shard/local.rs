//! What one shard owns.
//!
//! Lives on one thread and is shared there by `Rc`. Other threads see only what is behind an `Arc`: the counters, the
//! places of the process, the flags of a stop.

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::admission::Admission;
use super::idlest::Idlest;
use crate::telemetry::counters::ShardCounters;
use crate::time::Time;
use crate::time::seldom::Seldom;
use crate::time::stop::Stop;
use crate::uring;

/// How often deadlines are looked at.
pub const TICK: Duration = Duration::from_millis(50);

pub struct Shard {
    pub index: usize,
    pub time: Time,
    pub counters: Arc<ShardCounters>,
    pub admission: Arc<Admission>,
    /// Connections of this shard that have not ended.
    pub connections: Cell<usize>,
    /// Told when one of its own tasks has made a wish for room.
    pub(super) wished: Notify,
    /// For when there is no room for new connections.
    pub(super) idlest: RefCell<Idlest>,
    /// From this descriptor on hardly any are left.
    pub(super) scarce_from: RawFd,
    warnings: Seldom,
}

/// What a shard is made of that other threads know as well.
pub struct Shared {
    pub admission: Arc<Admission>,
    pub stop: Arc<Stop>,
}

/// The kernel gives the lowest descriptor that is free: one of the last 16, or of the last 32nd, says that
/// hardly any other is.
fn scarce_from(limit: u64) -> RawFd {
    RawFd::try_from(limit.saturating_sub((limit / 32).max(16))).unwrap_or(RawFd::MAX)
}

impl Shard {
    pub fn new(index: usize, shared: &Shared, counters: Arc<ShardCounters>) -> Rc<Shard> {
        Rc::new(Shard {
            index,
            time: Time::start(Arc::clone(&shared.stop)),
            counters,
            admission: Arc::clone(&shared.admission),
            connections: Cell::new(0),
            wished: Notify::new(),
            idlest: RefCell::default(),
            scarce_from: scarce_from(uring::raise_descriptor_limit()),
            warnings: Seldom::default(),
        })
    }

    /// `true` once a second at most, for warnings that would flood the log.
    pub fn may_complain(&self) -> bool {
        self.warnings.may(self.time.clock.now_ms())
    }
}

#[cfg(test)]
mod tests {
    use crate::shard::local::*;

    #[test]
    fn the_last_descriptors_are_scarce() {
        for (limit, scarce) in [(64, 48), (256, 240), (1024, 992), (1_048_576, 1_015_808)] {
            assert_eq!(scarce_from(limit), scarce, "of {limit}");
        }
        assert_eq!(scarce_from(8), 0);
        assert_eq!(scarce_from(u64::MAX), RawFd::MAX, "no limit");
    }
}
