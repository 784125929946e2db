//! Whose turn it is to compute among the handshakes of one shard.
//!
//! A signature takes longer than a hundred small requests. Handshakes therefore compute one after the other, in the
//! order in which they asked, at most one in a turn of the shard's loop; and while the shard has other work, no longer
//! in all than that work takes. A shard without other work gives them all of its time. Those that compute elsewhere
//! keep the order, and need not wait for other work. Tested beside it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::line::{Line, Ticket, TooLong, in_line};
use crate::uring::yield_now;

/// A turn of the loop that took less than this had no other work.
const IDLE_TURN: Duration = Duration::from_micros(20);

/// Where the one whose turn it is computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computes {
    /// On the shard, whose other work waits meanwhile.
    Here,
    /// On the helper's thread.
    Elsewhere,
}

/// The turns of one shard.
#[derive(Default)]
pub struct Turns {
    line: Line,
    /// When the last one ended, and how long it took.
    last: Cell<Option<(Instant, Duration)>>,
}

/// The right to compute, until it is dropped.
pub struct Turn<'t> {
    turns: &'t Turns,
    /// `None` where it computes elsewhere, which costs the shard nothing.
    began: Option<Instant>,
    _ticket: Ticket<'t>,
}

impl Turns {
    /// Waits for a turn.
    ///
    /// # Errors
    /// When none came within the longest wait.
    pub async fn turn(&self, computes: Computes) -> Result<Turn<'_>, TooLong> {
        let is_here = computes == Computes::Here;
        let ticket = self.line.join();
        in_line(async {
            ticket.first().await;
            if is_here {
                self.rest().await;
            }
        })
        .await?;
        Ok(Turn { turns: self, began: is_here.then(Instant::now), _ticket: ticket })
    }

    /// Waits until the shard's other work has had its share of time.
    async fn rest(&self) {
        let mut before = Instant::now();
        loop {
            yield_now().await;
            let Some((ended, cost)) = self.last.get() else { return };
            let now = Instant::now();
            if now.duration_since(before) < IDLE_TURN || now.duration_since(ended) >= cost {
                return;
            }
            before = now;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(began) = self.began else { return };
        let now = Instant::now();
        self.turns.last.set(Some((now, now.duration_since(began))));
    }
}

#[cfg(test)]
#[path = "tests/turns.rs"]
mod tests;
