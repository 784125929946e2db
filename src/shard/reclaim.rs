//! Making room: when the process is full or short of descriptors, what has been idle longest is closed.
//!
//! ```text
//!   no place, no descriptor ─▶ a wish ─▶ this shard closes its connection that is idle longest
//!                                │ it has none: the other shards are called, and look at every tick
//!                                └ nobody has one: the wish stays until somebody has
//! ```
//! A wish is granted once, by whichever shard can. Requests in flight and tunnels are never closed, nor is a
//! client that has connected within the last second. Descriptors come from the pool first: nobody waits for
//! its connections. Tested beside it and by the black-box suite.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::TICK;
use super::admission::Place;
use super::local::Shard;
use crate::telemetry::counters::Counter;
use crate::time::alarms::Waiting;
use crate::time::clock::Millis;
use crate::upstream::Room;
use crate::uring;

/// Idle connections that one search remembers.
const REMEMBERED: usize = 256;
/// A search goes through all connections: one follows another so much later at least.
const SEARCH_GAP: Duration = Duration::from_millis(25);
/// After so long a wish is open again: the connection that was closed for it had a request after all.
const RENEWAL: Duration = Duration::from_millis(100);
/// Until a connection that was closed has given its descriptor back.
const SOON: Duration = Duration::from_millis(2);

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Place,
    Descriptor,
}

/// The wishes of all shards.
#[derive(Debug, Default)]
pub struct Wishes {
    places: Queue,
    descriptors: Queue,
    /// Calls the other shards.
    call: Notify,
}

/// Wishes of one kind, the oldest first. Its lock is taken by ticks, and by who finds no room.
#[derive(Debug, Default)]
struct Queue(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    made: u64,
    waiting: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// A shard looks for something to close.
    Taken,
    /// Something was made to close then.
    Granted(Instant),
}

/// One wish; withdrawn when dropped.
struct Wish<'w> {
    queue: &'w Queue,
    id: u64,
}

impl Wishes {
    fn of(&self, wanted: Wanted) -> &Queue {
        match wanted {
            Wanted::Place => &self.places,
            Wanted::Descriptor => &self.descriptors,
        }
    }
}

impl Queue {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self) -> Wish<'_> {
        let mut entries = self.entries();
        let id = entries.made;
        entries.made += 1;
        entries.waiting.push_back(Entry { id, state: State::Open });
        Wish { queue: self, id }
    }

    fn is_empty(&self) -> bool {
        self.entries().waiting.is_empty()
    }

    /// Has `close` close something for each open wish, until it finds nothing.
    fn grant(&self, mut close: impl FnMut() -> bool) {
        while let Some(id) = self.take() {
            let is_closed = close();
            let state = if is_closed { State::Granted(Instant::now()) } else { State::Open };
            // Whoever no longer wants it is gone; what was closed is somebody else's gain.
            if let Some(entry) = self.entries().waiting.iter_mut().find(|entry| entry.id == id) {
                entry.state = state;
            }
            if !is_closed {
                return;
            }
        }
    }

    /// Takes the oldest open wish over, to grant it.
    fn take(&self) -> Option<u64> {
        let mut entries = self.entries();
        let entry = entries.waiting.iter_mut().find(|entry| entry.state == State::Open)?;
        entry.state = State::Taken;
        Some(entry.id)
    }

    /// Opens wishes again that were granted in vain.
    fn renew(&self, now: Instant) {
        for entry in &mut self.entries().waiting {
            if let State::Granted(at) = entry.state
                && now.saturating_duration_since(at) >= RENEWAL
            {
                entry.state = State::Open;
            }
        }
    }
}

impl Wish<'_> {
    fn is_granted(&self) -> bool {
        let entries = self.queue.entries();
        let entry = entries.waiting.iter().find(|entry| entry.id == self.id);
        entry.is_some_and(|entry| matches!(entry.state, State::Granted(_)))
    }
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        self.queue.entries().waiting.retain(|entry| entry.id != self.id);
    }
}

/// The connections of a shard that had been idle longest when it last searched; the longest is the last.
#[derive(Debug, Default)]
pub struct Idlest {
    found: Vec<Waiting>,
    next_search_ms: Millis,
}

/// Whether the process, or the system, is out of descriptors.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

impl Room for Shard {
    fn is_shortage(&self, error: &io::Error) -> bool {
        is_shortage(error)
    }

    fn descriptor(&self) -> Pin<Box<dyn Future<Output = bool> + '_>> {
        // Boxed, because it is rare.
        Box::pin(Shard::descriptor(self))
    }
}

impl Shard {
    /// Waits for a place, which is to be had when an idle connection has closed for it.
    pub async fn place(&self) -> Option<Place> {
        let mut place = pin!(self.admission.place());
        // It stands in the queue before anything closes: what is given back is then its own.
        let at_once = poll_fn(|cx| Poll::Ready(place.as_mut().poll(cx))).await;
        if let Poll::Ready(place) = at_once {
            return place;
        }
        if self.may_complain() {
            tracing::warn!(
                connections = self.admission.open(),
                "the process is full: idle connections close for new ones, and new ones wait; raise process.connections"
            );
        }
        let _wish = self.wish_for(Wanted::Place);
        place.await
    }

    /// Has something idle give its descriptor back, and waits for that; `false` when nothing did within a tick.
    pub async fn descriptor(&self) -> bool {
        let wish = self.wish_for(Wanted::Descriptor);
        let mut pause = SOON;
        while pause < TICK {
            uring::pause(pause).await;
            if wish.is_granted() {
                return true;
            }
            pause *= 2;
        }
        false
    }

    /// Grants a wish with what is idle here, or calls the other shards.
    fn wish_for(&self, wanted: Wanted) -> Wish<'_> {
        let wishes = &self.admission.wishes;
        let wish = wishes.of(wanted).make();
        self.grant_wishes();
        if !wish.is_granted() {
            wishes.call.notify_waiters();
        }
        wish
    }

    /// Closes something idle of this shard's while a few descriptors are left, for connections to targets, checks
    /// and files.
    pub fn spare_descriptor(&self) {
        self.close_idle(Wanted::Descriptor);
    }

    fn grant_wishes(&self) {
        for wanted in [Wanted::Place, Wanted::Descriptor] {
            self.admission.wishes.of(wanted).grant(|| self.close_idle(wanted));
        }
    }

    /// Grants the wishes of other shards when they call.
    pub async fn hear_wishes(&self) {
        loop {
            self.admission.wishes.call.notified().await;
            self.grant_wishes();
        }
    }

    /// What has become idle since a wish was made is looked for at every tick.
    pub fn look_after_wishes(&self) {
        let Wishes { places, descriptors, .. } = &self.admission.wishes;
        if places.is_empty() && descriptors.is_empty() {
            // What was found is worth its memory only while there is a shortage.
            self.idlest.borrow_mut().found = Vec::new();
            return;
        }
        let now = Instant::now();
        places.renew(now);
        descriptors.renew(now);
        self.grant_wishes();
    }

    fn close_idle(&self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::Place => self.close_idle_client(),
            Wanted::Descriptor => {
                let is_closed = self.close_idle_target() || self.close_idle_client();
                if is_closed && self.may_complain() {
                    tracing::warn!(
                        "descriptors are short: what is idle closes for new connections; raise RLIMIT_NOFILE or lower process.connections"
                    );
                }
                is_closed
            }
        }
    }

    fn close_idle_target(&self) -> bool {
        let Some(connection) = self.pool.borrow_mut().take_first_to_expire() else { return false };
        self.local.counters.add(Counter::TargetConnectionsClosed, 1);
        connection.close();
        true
    }

    fn close_idle_client(&self) -> bool {
        let mut idlest = self.idlest.borrow_mut();
        loop {
            while let Some(waiting) = idlest.found.pop() {
                if self.local.alarms.evict(&waiting) {
                    self.local.counters.add(Counter::ConnectionsReclaimed, 1);
                    return true;
                }
            }
            if self.local.clock.now_ms() < idlest.next_search_ms {
                return false;
            }
            idlest.next_search_ms = self.local.clock.deadline(SEARCH_GAP);
            idlest.found = self.local.alarms.longest_waiting(REMEMBERED);
            if idlest.found.is_empty() {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::shard::reclaim::*;

    #[test]
    fn a_wish_is_granted_once_the_oldest_first() {
        let queue = Queue::default();
        let (first, second) = (queue.make(), queue.make());
        let mut left = 1;
        queue.grant(|| std::mem::replace(&mut left, 0) > 0);
        assert!(first.is_granted() && !second.is_granted());
        // Whose wish was granted takes no other's with it.
        drop(first);
        queue.grant(|| true);
        assert!(second.is_granted());
        queue.grant(|| panic!("granted twice"));
        drop(second);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_wish_that_nobody_has_any_more_is_not_granted() {
        let queue = Queue::default();
        let given_up = queue.make();
        let mut given_up = Some(given_up);
        queue.grant(|| {
            given_up = None;
            false
        });
        queue.grant(|| panic!("nobody wants it"));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_wish_that_was_granted_in_vain_is_open_again() {
        let queue = Queue::default();
        let wish = queue.make();
        queue.grant(|| true);
        queue.renew(Instant::now());
        assert!(wish.is_granted());
        queue.renew(Instant::now() + RENEWAL);
        assert!(!wish.is_granted());
        queue.grant(|| true);
        assert!(wish.is_granted());
    }
}
