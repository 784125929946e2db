//! What one shard owns: everything a request needs that is not its connection's.
//!
//! Lives on one thread and is shared there by `Rc`. Other threads see only what is behind an `Arc`:
//! the published snapshot, the targets' atomics, the counters, the flags of a stop.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

use super::admission::Admission;
use super::alarms::Alarms;
use super::clock::{Clock, Millis};
use super::random::Random;
use crate::exchange::target_side::TargetConnection;
use crate::snapshot::{Published, Snapshot};
use crate::target::pool::Pool;
use crate::telemetry::access_log::ShardLog;
use crate::telemetry::counters::{Counter, ShardCounters};
use crate::telemetry::record::Record;
use crate::telemetry::series::Places;

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

    /// The grace period is over: what is left is cut off.
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

/// One published snapshot as a shard holds it: counted without atomics.
pub type View = Rc<Arc<Snapshot>>;

pub struct Shard {
    pub index: usize,
    pub clock: Clock,
    pub alarms: Rc<Alarms>,
    pub random: Random,
    pub admission: Arc<Admission>,
    pub stop: Arc<Stop>,
    /// Woken when a connection of this shard ends, for accept loops that wait for room.
    pub room: Notify,
    /// Connections of this shard that have not ended.
    pub connections: Cell<usize>,
    pub pool: RefCell<Pool<TargetConnection>>,
    pub log: RefCell<ShardLog>,
    pub counters: Arc<ShardCounters>,
    published: RefCell<arc_swap::Cache<Arc<Published>, Arc<Snapshot>>>,
    view: RefCell<View>,
    /// When a warning was last given that may be given once a second.
    pub complained_ms: Cell<Millis>,
}

/// What a shard is made of that other threads know as well.
pub struct Shared {
    pub published: Arc<Published>,
    pub admission: Arc<Admission>,
    pub stop: Arc<Stop>,
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
            clock: Clock::start(),
            alarms: Rc::new(Alarms::default()),
            random: Random::seeded(),
            admission: Arc::clone(&shared.admission),
            stop: Arc::clone(&shared.stop),
            room: Notify::new(),
            connections: Cell::new(0),
            pool: RefCell::new(Pool::new()),
            log: RefCell::new(log),
            counters,
            published: RefCell::new(published),
            view: RefCell::new(view),
            complained_ms: Cell::new(0),
        })
    }

    /// The snapshot published last: one atomic load, and a new `Rc` only when it has changed.
    #[inline]
    pub fn view(&self) -> View {
        let mut published = self.published.borrow_mut();
        let latest = published.load();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(latest, &view) {
            *view = Rc::new(Arc::clone(latest));
        }
        Rc::clone(&view)
    }

    /// Counts a finished exchange and hands its record to the log.
    pub fn record(&self, record: &Record<'_>, places: &Places<'_>) {
        self.counters.request(record);
        places.count(self.index, record);
        if !self.log.borrow_mut().record(record) {
            self.counters.add(Counter::LogLinesDropped, 1);
        }
    }
}
