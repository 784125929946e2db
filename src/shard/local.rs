//! The state that one shard owns.
//!
//! Lives on one thread and is shared there by `Rc`. Other threads see only the parts behind an `Arc`: the counters, the
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

/// How often deadlines are checked.
pub const TICK: Duration = Duration::from_millis(50);

pub struct Shard {
    pub index: usize,
    pub time: Time,
    pub counters: Arc<ShardCounters>,
    pub admission: Arc<Admission>,
    /// Connections of this shard that have not ended.
    pub connections: Cell<usize>,
    /// Notified when one of the shard's own tasks wishes for room.
    pub(super) wished: Notify,
    /// The idle connections to close when there is no room for new ones.
    pub(super) idlest: RefCell<Idlest>,
    /// A descriptor with this number or a higher one says that hardly any are left.
    pub(super) scarce_from: RawFd,
    warnings: Seldom,
}

/// The parts of a shard that other threads share.
pub struct Shared {
    pub admission: Arc<Admission>,
    pub stop: Arc<Stop>,
}

/// The kernel gives the lowest free descriptor: one among the last 16, or the last 32nd, means that hardly any lower
/// one is free.
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
