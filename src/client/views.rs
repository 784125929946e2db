//! The published snapshot as one shard's connections see it, and the earlier snapshots that they still need.
//!
//! A request uses the snapshot published last. A connection whose listener a reload took away is served by the last
//! snapshot that had it, for as long as a client may sleep on such a connection. Must never hold a snapshot that no
//! connection needs: the control plane waits for its release to free it. Tested beside it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::snapshot::{Published, Snapshot, View};
use crate::time::clock::{Clock, Millis};

/// How much longer a listener that was taken away is remembered than its clients may sleep.
const RETIRED_MARGIN: Duration = Duration::from_secs(10);

pub struct Views {
    latest: RefCell<Latest>,
    /// How many snapshots this shard has turned to.
    turns: Cell<u32>,
    /// Listeners that a reload took away, for connections that they have accepted.
    retired: RefCell<Vec<Retired>>,
}

/// The snapshot published last, as the shard has seen it.
struct Latest {
    published: arc_swap::Cache<Arc<Published>, Arc<Snapshot>>,
    view: View,
}

/// A listener that is no longer in the configuration, in its last form.
struct Retired {
    name: Arc<str>,
    view: View,
    /// When no client can be asleep on a connection of it any more.
    until_ms: Millis,
}

impl Views {
    pub fn new(published: Arc<Published>) -> Views {
        let mut published = arc_swap::Cache::new(published);
        let view = Rc::new(Arc::clone(published.load()));
        let latest = RefCell::new(Latest { published, view });
        Views { latest, turns: Cell::default(), retired: RefCell::default() }
    }

    /// The snapshot published last: one atomic load, and a new `Rc` only when it has changed.
    #[inline]
    pub fn latest(&self, clock: &Clock) -> View {
        let Latest { published, view } = &mut *self.latest.borrow_mut();
        let latest = published.load();
        if !Arc::ptr_eq(latest, view) {
            self.turn_to(view, latest, clock);
        }
        Rc::clone(view)
    }

    /// Turns to a new snapshot, and keeps the one before for connections of listeners that it no longer has.
    #[cold]
    fn turn_to(&self, view: &mut View, latest: &Arc<Snapshot>, clock: &Clock) {
        let before = std::mem::replace(view, Rc::new(Arc::clone(latest)));
        self.turns.set(self.turns.get().wrapping_add(1));
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
                until_ms: clock.deadline(asleep),
            });
        }
    }

    /// Another number whenever the shard has turned to another snapshot.
    #[inline]
    pub fn turns(&self) -> u32 {
        self.turns.get()
    }

    /// The last snapshot that had this listener, if it is gone since.
    pub fn last_of(&self, listener: &str) -> Option<View> {
        let retired = self.retired.borrow();
        retired.iter().find(|one| *one.name == *listener).map(|one| Rc::clone(&one.view))
    }

    /// Whether this listener has been taken out of the configuration.
    #[inline]
    pub fn is_retired(&self, listener: &str) -> bool {
        let retired = self.retired.borrow();
        !retired.is_empty() && retired.iter().any(|one| *one.name == *listener)
    }

    /// Drops snapshots that no connection needs any more, also when no request comes.
    pub fn tick(&self, clock: &Clock) {
        drop(self.latest(clock));
        self.forget(clock.now_ms());
    }

    fn forget(&self, now_ms: Millis) {
        self.retired.borrow_mut().retain(|one| now_ms < one.until_ms);
    }
}

#[cfg(test)]
#[path = "views_tests.rs"]
mod tests;
