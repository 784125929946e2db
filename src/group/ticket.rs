//! The ticket of a request that waits in line for a place on a target.
//!
//! Joins the line of `queue` with the places of `state`. Tested beside it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::queue::Waiter;
use super::state::TargetState;

/// A place in line; resolves once a place on the target has been handed over. The holder then owns it and must
/// [`TargetState::release`] it. Dropped before, the ticket leaves the line, and a place that was granted at the same
/// moment is released.
#[derive(Debug)]
#[must_use = "a dropped ticket leaves the line"]
pub struct Ticket {
    target: Arc<TargetState>,
    waiter: Arc<Waiter>,
}

impl TargetState {
    /// Waits in line for a place; `None` when `capacity` requests wait already. The ticket resolves when a
    /// place has been handed over, which then counts as acquired; dropping the ticket leaves the line.
    pub fn join(self: &Arc<Self>, limit: u32, capacity: u32) -> Option<Ticket> {
        let waiter = self.waiting.enter(limit, capacity)?;
        let ticket = Ticket { target: Arc::clone(self), waiter };
        // A place may have become free between the caller's failed acquire and the entry into the line.
        self.serve_waiters(limit);
        Some(ticket)
    }
}

impl Future for Ticket {
    type Output = ();

    /// After `Ready` the ticket is spent: polled again it stays `Ready`, dropped it releases nothing.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.waiter.poll(context)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.target.waiting.leave(&self.waiter) && self.waiter.is_granted() {
            self.target.release();
        }
    }
}

#[cfg(test)]
#[path = "ticket_tests.rs"]
mod tests;
