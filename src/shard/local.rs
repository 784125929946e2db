//! What one shard owns: everything a request needs that is not its connection's.
//!
//! Lives on one thread and is shared there by `Rc`. Other threads see only what is behind an `Arc`:
//! the published snapshot, the targets' atomics, the counters, the flags of a stop.

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::admission::Admission;
use super::reclaim::Idlest;
use crate::exchange::local::Local;
use crate::snapshot::{Published, Snapshot, View};
use crate::telemetry::access_log::ShardLog;
use crate::telemetry::counters::ShardCounters;
use crate::time::clock::Millis;
use crate::time::stop::Stop;
use crate::upstream::h1::Lease;
use crate::upstream::pool::Pool;
use crate::uring;

/// How much longer than its clients may sleep a listener is remembered that was taken away.
const RETIRED_MARGIN: Duration = Duration::from_secs(10);

pub struct Shard {
    pub index: usize,
    pub local: Local,
    pub admission: Arc<Admission>,
    /// Connections of this shard that have not ended.
    pub connections: Cell<usize>,
    pub pool: RefCell<Pool<Lease>>,
    /// For when there is no room for new connections.
    pub(super) idlest: RefCell<Idlest>,
    /// From this descriptor on hardly any are left.
    pub(super) scarce_from: RawFd,
    latest: RefCell<Latest>,
    /// Listeners that a reload took away, for connections that came in by them.
    retired: RefCell<Vec<Retired>>,
    /// When a warning was last given that may be given once a second.
    pub complained_ms: Cell<Millis>,
}

/// The snapshot published last, as the shard has seen it.
struct Latest {
    published: arc_swap::Cache<Arc<Published>, Arc<Snapshot>>,
    view: View,
}

/// A listener that is no longer in the configuration, as it was last.
struct Retired {
    name: Arc<str>,
    view: View,
    /// Nobody sleeps on a connection of it any more.
    until_ms: Millis,
}

/// What a shard is made of that other threads know as well.
pub struct Shared {
    pub published: Arc<Published>,
    pub admission: Arc<Admission>,
    pub stop: Arc<Stop>,
}

/// The kernel gives the lowest descriptor that is free: one of the last 16, or of the last 32nd, says that
/// hardly any other is.
fn scarce_from(limit: u64) -> RawFd {
    RawFd::try_from(limit.saturating_sub((limit / 32).max(16))).unwrap_or(RawFd::MAX)
}

impl Shard {
    pub fn new(
        index: usize,
        shared: &Shared,
        log: ShardLog,
        counters: Arc<ShardCounters>,
    ) -> Rc<Shard> {
        let mut published = arc_swap::Cache::new(Arc::clone(&shared.published));
        let view = Rc::new(Arc::clone(published.load()));
        Rc::new(Shard {
            index,
            local: Local::new(index, Arc::clone(&shared.stop), log, counters),
            admission: Arc::clone(&shared.admission),
            connections: Cell::new(0),
            pool: RefCell::new(Pool::new()),
            idlest: RefCell::default(),
            scarce_from: scarce_from(uring::raise_descriptor_limit()),
            latest: RefCell::new(Latest { published, view }),
            retired: RefCell::new(Vec::new()),
            complained_ms: Cell::new(0),
        })
    }

    /// The snapshot published last: one atomic load, and a new `Rc` only when it has changed.
    #[inline]
    pub fn view(&self) -> View {
        let Latest { published, view } = &mut *self.latest.borrow_mut();
        let latest = published.load();
        if !Arc::ptr_eq(latest, view) {
            self.turn_to(view, latest);
        }
        Rc::clone(view)
    }

    /// Takes up a new snapshot, and keeps the one before for the connections of listeners that went with it.
    #[cold]
    fn turn_to(&self, view: &mut View, latest: &Arc<Snapshot>) {
        let before = std::mem::replace(view, Rc::new(Arc::clone(latest)));
        let mut retired = self.retired.borrow_mut();
        retired.retain(|one| latest.listener(&one.name).is_none());
        for listener in &before.listeners {
            if latest.listener(&listener.name).is_some() {
                continue;
            }
            let timeouts = &listener.timeouts;
            let asleep = timeouts.keep_alive.max(timeouts.head).saturating_add(RETIRED_MARGIN);
            retired.push(Retired {
                name: Arc::clone(&listener.name),
                view: Rc::clone(&before),
                until_ms: self.local.clock.deadline(asleep),
            });
        }
    }

    /// The last snapshot that had this listener, if it is gone since.
    pub fn last_view_of(&self, listener: &str) -> Option<View> {
        let retired = self.retired.borrow();
        retired.iter().find(|one| *one.name == *listener).map(|one| Rc::clone(&one.view))
    }

    /// Whether this listener has been taken out of the configuration.
    #[inline]
    pub fn is_retired(&self, listener: &str) -> bool {
        let retired = self.retired.borrow();
        !retired.is_empty() && retired.iter().any(|one| *one.name == *listener)
    }

    /// Lets go of snapshots that no connection needs any more.
    pub fn forget_retired(&self) {
        let now_ms = self.local.clock.now_ms();
        self.retired.borrow_mut().retain(|one| now_ms < one.until_ms);
    }
}
