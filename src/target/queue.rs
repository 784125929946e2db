//! Waiting for a place on a target that is at its connection limit: bounded, lock-free, across shards.
//!
//! Owns the line and the hand-over between the one who releases a place and the one who waits for it; the
//! count of places belongs to [`TargetState`]. It never sleeps and knows no deadline: the caller drops the
//! [`Ticket`] when its own runs out.
//!
//! ```text
//! waiter:  Waiting ──grant──▶ Granted ──poll──▶ Taken
//!             └──drop──▶ Abandoned        └──drop──▶ the place is released again
//! ```
//!
//! Why nobody is forgotten: a joiner pushes itself and then tries to take a place; a releaser gives the
//! place back and then looks into the line. All four steps are sequentially consistent, so of two that
//! cross, at least one sees the other's first step. Tested by every order of the steps of one joiner, one
//! releaser and one drop, and with threads.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use crossbeam_queue::SegQueue;

use super::state::TargetState;

const WAITING: u8 = 0;
const GRANTED: u8 = 1;
const ABANDONED: u8 = 2;
const TAKEN: u8 = 3;

/// Abandoned entries a line may hold beyond its capacity before a newcomer clears them out.
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
}

/// The line of one target. Empty, it owns no memory beyond itself.
#[derive(Debug)]
pub struct WaitQueue {
    line: SegQueue<Arc<Waiter>>,
    /// Those in line who are neither granted nor gone; never more than the capacity.
    count: AtomicU32,
    /// The connection limit under which the last one joined, for releasers, who know none.
    limit: AtomicU32,
}

impl WaitQueue {
    pub(super) fn new() -> WaitQueue {
        WaitQueue { line: SegQueue::new(), count: AtomicU32::new(0), limit: AtomicU32::new(0) }
    }

    /// Requests that wait now.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed) as usize
    }

    /// Whether there is nothing to grant; entries of those who left may still make it `false`.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.load(Ordering::SeqCst)
    }

    /// Enters the line, or not when `capacity` wait already.
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

    /// Hands an acquired place to the first who still waits; `false` when there is none.
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

    /// Turns the line once, dropping those who left. The order of the others stays; whoever finds the line
    /// empty meanwhile is covered by the caller, who looks for free places after entering.
    fn clear_abandoned(&self) {
        for _ in 0..self.line.len() {
            let Some(waiter) = self.line.pop() else { return };
            if waiter.state.load(Ordering::SeqCst) == WAITING {
                self.line.push(waiter);
            }
        }
    }

    fn leave(&self, waiter: &Waiter) -> bool {
        let left = waiter.settle(ABANDONED);
        if left {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        left
    }
}

/// A place in line; resolves once a place on the target has been handed over and is owned by the holder,
/// who must then [`TargetState::release`] it. Dropped before, it leaves the line, and a place that was
/// granted at the same moment is released.
#[derive(Debug)]
#[must_use = "a dropped ticket leaves the line"]
pub struct Ticket {
    target: Arc<TargetState>,
    waiter: Arc<Waiter>,
}

impl Ticket {
    pub(super) fn new(target: Arc<TargetState>, waiter: Arc<Waiter>) -> Ticket {
        Ticket { target, waiter }
    }

    /// The target waited for.
    pub fn target(&self) -> &Arc<TargetState> {
        &self.target
    }

    fn take(&self) -> bool {
        self.waiter
            .state
            .compare_exchange(GRANTED, TAKEN, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

impl Future for Ticket {
    type Output = ();

    /// After `Ready` the ticket is spent: polled again it stays `Ready`, dropped it releases nothing.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.take() {
            return Poll::Ready(());
        }
        self.waiter.waker.register(context.waker());
        // Granted between the look and the registration: nobody else would wake us.
        if self.take() || self.waiter.state.load(Ordering::SeqCst) == TAKEN {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.target.waiting.leave(&self.waiter) {
            return;
        }
        if self.waiter.state.load(Ordering::SeqCst) == GRANTED {
            self.target.release();
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
