//! Wishes for room, made for connections without a place and sockets without a descriptor.
//!
//! A wish is granted once, by the first shard that can; the oldest wish comes first. It stays until its maker drops it.
//! No request looks at wishes. Tested beside it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A granted wish is open again after this time: the connection that was to be closed had a request after all.
const RENEWAL: Duration = Duration::from_millis(100);

/// What is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Place,
    Descriptor,
}

/// The wishes of all shards.
#[derive(Debug, Default)]
pub struct Wishes {
    places: Queue,
    descriptors: Queue,
    /// Calls the shards that are not looking already.
    pub call: Notify,
}

/// Wishes of one kind, the oldest first. Its lock is taken by ticks, and by tasks that find no room.
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
    /// A shard is looking for something to close.
    Taken,
    /// When something was made to close for it.
    Granted(Instant),
}

/// One wish; withdrawn when dropped.
pub struct Wish<'w> {
    queue: &'w Queue,
    id: u64,
}

impl Wanted {
    const ALL: [Wanted; 2] = [Wanted::Place, Wanted::Descriptor];
}

impl Wishes {
    /// Makes a wish.
    pub fn make(&self, wanted: Wanted) -> Wish<'_> {
        self.of(wanted).make()
    }

    /// Has `close` close something for each open wish, until it finds nothing.
    pub fn grant(&self, close: impl Fn(Wanted) -> bool) {
        for wanted in Wanted::ALL {
            self.of(wanted).grant(|| close(wanted));
        }
    }

    /// Reopens wishes that were granted in vain.
    pub fn renew(&self, now: Instant) {
        Wanted::ALL.iter().for_each(|wanted| self.of(*wanted).renew(now));
    }

    /// Whether there are no wishes.
    pub fn are_none(&self) -> bool {
        Wanted::ALL.iter().all(|wanted| self.of(*wanted).is_empty())
    }

    /// Whether a wish waits for a shard that can grant it.
    pub fn has_open(&self) -> bool {
        Wanted::ALL.iter().any(|wanted| self.of(*wanted).has_open())
    }

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
            // A wish that was dropped meanwhile is not found; the freed room serves another.
            if let Some(entry) = self.entries().waiting.iter_mut().find(|entry| entry.id == id) {
                entry.state = state;
            }
            if !is_closed {
                return;
            }
        }
    }

    fn has_open(&self) -> bool {
        self.entries().waiting.iter().any(|entry| entry.state == State::Open)
    }

    /// Takes the oldest open wish, to grant it.
    fn take(&self) -> Option<u64> {
        let mut entries = self.entries();
        let entry = entries.waiting.iter_mut().find(|entry| entry.state == State::Open)?;
        entry.state = State::Taken;
        Some(entry.id)
    }

    /// Reopens wishes that were granted in vain.
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
    /// Whether something was made to close for this wish.
    pub fn is_granted(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use crate::shard::wishes::*;

    #[test]
    fn a_wish_is_granted_once_the_oldest_first() {
        let queue = Queue::default();
        let (first, second) = (queue.make(), queue.make());
        let mut left = 1;
        queue.grant(|| std::mem::replace(&mut left, 0) > 0);
        assert!(first.is_granted() && !second.is_granted());
        // Dropping a granted wish withdraws no other.
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
