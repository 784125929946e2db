//! The line of requests that wait for a place on a target at its connection limit: bounded, lock-free, across shards.
//!
//! Owns the line and the hand-over between the request that releases a place and the one that waits for it; the
//! target's state counts the places, and each waiting request holds a ticket. It never sleeps and knows no deadline:
//! the caller drops the ticket when its own runs out.
//!
//! ```text
//! waiter:  Waiting ──grant──▶ Granted ──poll──▶ Taken
//!             └──drop──▶ Abandoned        └──drop──▶ the place is released again
//! ```
//!
//! No waiter is forgotten: a joiner pushes itself and then tries to take a place; a releaser gives the place back and
//! then looks into the line. All four steps are sequentially consistent, so when a joiner and a releaser cross, at
//! least one sees the other's first step. Tested with `ticket`, by every order of the steps of one joiner, one releaser
//! and one drop, and with threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use crossbeam_queue::SegQueue;

const WAITING: u8 = 0;
const GRANTED: u8 = 1;
const ABANDONED: u8 = 2;
const TAKEN: u8 = 3;

/// Abandoned entries that a line may hold beyond its capacity before a joiner clears them out.
const ABANDONED_MAX: usize = 16;

/// One request in line.
#[derive(Debug)]
pub(super) struct Waiter {
    state: AtomicU8,
    waker: AtomicWaker,
}

impl Waiter {
    fn settle(&self, to: u8) -> bool {
        self.state.compare_exchange(WAITING, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Takes a granted place and returns `Ready`; until one is granted, registers `context` to be woken. Stays `Ready`
    /// afterwards.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.take() {
            return Poll::Ready(());
        }
        self.waker.register(context.waker());
        // Granted between the check and the registration, whose wake was therefore missed.
        if self.take() || self.state.load(Ordering::SeqCst) == TAKEN {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn take(&self) -> bool {
        self.state.compare_exchange(GRANTED, TAKEN, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Whether a place was granted and not taken yet.
    pub(super) fn is_granted(&self) -> bool {
        self.state.load(Ordering::SeqCst) == GRANTED
    }
}

/// The line of one target. Empty, it owns no memory beyond itself.
#[derive(Debug)]
pub struct WaitQueue {
    line: SegQueue<Arc<Waiter>>,
    /// Waiters that are neither granted nor gone; never more than the capacity.
    count: AtomicU32,
    /// The connection limit under which the last waiter joined, for releasers, which do not know it.
    limit: AtomicU32,
}

impl WaitQueue {
    pub(super) fn new() -> WaitQueue {
        WaitQueue { line: SegQueue::new(), count: AtomicU32::new(0), limit: AtomicU32::new(0) }
    }

    /// How many requests wait now.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed) as usize
    }

    /// Whether there is nothing to grant; entries of waiters that have left may still make it `false`.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.load(Ordering::SeqCst)
    }

    /// Enters the line, unless `capacity` requests wait already.
    pub(super) fn enter(&self, limit: u32, capacity: u32) -> Option<Arc<Waiter>> {
        self.count
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
                (now < capacity).then(|| now + 1)
            })
            .ok()?;
        self.limit.store(limit, Ordering::SeqCst);
        if self.line.len() > (capacity as usize).saturating_mul(2).saturating_add(ABANDONED_MAX) {
            self.clear_abandoned();
        }
        let waiter = Arc::new(Waiter { state: AtomicU8::new(WAITING), waker: AtomicWaker::new() });
        self.line.push(Arc::clone(&waiter));
        Some(waiter)
    }

    /// Hands an acquired place to the first entry that still waits; `false` when there is none.
    pub(super) fn grant_first(&self) -> bool {
        while let Some(waiter) = self.line.pop() {
            if waiter.settle(GRANTED) {
                self.count.fetch_sub(1, Ordering::SeqCst);
                waiter.waker.wake();
                return true;
            }
        }
        false
    }

    /// Goes through the line once and drops the entries of waiters that have left. The order of the others stays. A
    /// releaser may find the line empty meanwhile; the caller makes up for it by looking for free places after
    /// entering.
    fn clear_abandoned(&self) {
        for _ in 0..self.line.len() {
            let Some(waiter) = self.line.pop() else { return };
            if waiter.state.load(Ordering::SeqCst) == WAITING {
                self.line.push(waiter);
            }
        }
    }

    /// Leaves the line; `false` for a waiter that is no longer in it.
    pub(super) fn leave(&self, waiter: &Waiter) -> bool {
        let left = waiter.settle(ABANDONED);
        if left {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use crate::group::queue::*;
    use crate::group::state::TargetState;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::Waker;

    #[test]
    fn those_who_left_do_not_fill_the_line() {
        let state = TargetState::detached(0);
        assert!(state.try_acquire(1));
        let mut keeper = state.join(1, 2).expect("room");
        for _ in 0..1_000 {
            drop(state.join(1, 2).expect("those who left make room"));
        }
        assert!(state.waiting.line.len() <= 2 * 2 + ABANDONED_MAX + 1);
        assert_eq!(state.waiting.len(), 1);
        state.release();
        let context = &mut Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut keeper).poll(context).is_ready(), "clearing the line forgets nobody");
        state.release();
    }
}
