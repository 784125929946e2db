//! How many handshakes a shard has under way, and which of them makes room for another one.
//!
//! A handshake costs memory while it lasts, and a hostile client makes it last. At the limit the one whose peer has been
//! silent longest is closed, if that is long enough to tell it from a client that is only far away; else the newcomer
//! waits, in the order of arrival, without a buffer. One that waits for limpet itself is never closed. Where clients come
//! back by the thousand they are slow together, but in their order and to the end: a silence counts for less while
//! nobody has answered who was waited for later, and most handshakes succeed. Tested beside it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::helper::Helper;
use super::line::{Line, TooLong, in_line};
use super::others::Others;
use super::turns::{Computes, Turn, Turns};
use crate::uring::{Shutdown, Socket, pause};

/// A peer that has been silent for less is not closed for a newcomer.
const SILENT: Duration = Duration::from_secs(1);
/// The same, where nobody has answered since who was waited for later, and most handshakes succeed.
const SILENT_BEFORE_ALL: Duration = Duration::from_secs(5);
/// How many handshakes it takes to change what is thought of most.
const OUTCOMES: i32 = 64;
/// How often a newcomer looks whether a peer has become that silent.
const LOOK: Duration = Duration::from_millis(50);

/// The handshakes of one shard.
#[derive(Default)]
pub struct Places {
    /// Under way, the oldest first.
    taken: RefCell<VecDeque<Taken>>,
    next_number: Cell<u64>,
    newcomers: Line,
    /// The newcomer who is next.
    next: RefCell<Option<Waker>>,
    /// Of those that have succeeded, since when the one was waited for that was waited for last.
    answered_since: Cell<Option<Instant>>,
    /// How handshakes have ended lately: each that succeeded counts one up, each other one down, within ±[`OUTCOMES`].
    outcomes: Cell<i32>,
    /// When another one may begin, where their rate is limited.
    free_from: Cell<Option<Instant>>,
    turns: Turns,
    helper: Helper,
    others: Others,
}

struct Taken {
    number: u64,
    socket: Socket,
    /// Since when the peer is waited for; `None` while it waits for a turn.
    silent_since: Option<Instant>,
    is_closed: bool,
}

/// The limits of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Handshakes under way on the shard.
    pub count: usize,
    /// Handshakes that begin on the shard in a second; 0 = no limit.
    pub per_second: u32,
}

/// The place of a handshake, until it is dropped.
pub struct Place<'p> {
    places: &'p Places,
    number: u64,
    has_succeeded: Cell<bool>,
    in_line_since: Cell<Option<Instant>>,
    in_line_before: Cell<Duration>,
}

impl Places {
    /// Waits for a place for the handshake on `socket`. May be dropped at any time.
    ///
    /// # Errors
    /// When there was none within the longest wait.
    pub async fn place(&self, socket: &Socket, limits: Limits) -> Result<Place<'_>, TooLong> {
        let ticket = self.newcomers.join();
        in_line(async {
            ticket.first().await;
            loop {
                if let Some(place) = self.enter(socket, limits) {
                    return place;
                }
                self.freed().await;
            }
        })
        .await
    }

    fn enter(&self, socket: &Socket, limits: Limits) -> Option<Place<'_>> {
        let mut taken = self.taken.borrow_mut();
        let now = Instant::now();
        if self.free_from.get().is_some_and(|free_from| now < free_from) {
            return None;
        }
        if taken.len() >= limits.count.max(1) {
            self.close_the_most_silent(&mut taken, now);
            return None;
        }
        let interval = Duration::from_secs(1).checked_div(limits.per_second);
        self.free_from.set(interval.map(|interval| now + interval));
        let number = self.next_number.get();
        self.next_number.set(number.wrapping_add(1));
        let (socket, silent_since) = (socket.clone(), Some(now));
        taken.push_back(Taken { number, socket, silent_since, is_closed: false });
        Some(Place {
            places: self,
            number,
            has_succeeded: Cell::new(false),
            in_line_since: Cell::new(None),
            in_line_before: Cell::new(Duration::ZERO),
        })
    }

    /// Waits until a place is free, or it is time to look again.
    async fn freed(&self) {
        let wait = match self.free_from.get() {
            Some(free_from) => free_from.saturating_duration_since(Instant::now()).min(LOOK),
            None => LOOK,
        };
        let mut wait = pin!(pause(wait.max(Duration::from_micros(100))));
        let mut has_waited = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut has_waited, true) && self.next.borrow().is_none() {
                return Poll::Ready(());
            }
            *self.next.borrow_mut() = Some(cx.waker().clone());
            wait.as_mut().poll(cx)
        })
        .await;
    }

    /// Whether the shard serves others beside those who shake hands; `requests` are all that it has served.
    pub fn serves_others(&self, requests: u64) -> bool {
        self.others.are_served(requests)
    }

    /// Handshakes under way.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.taken.borrow().len()
    }

    fn close_the_most_silent(&self, taken: &mut VecDeque<Taken>, now: Instant) {
        let silent = taken.iter_mut().filter(|one| !one.is_closed);
        let silent = silent.filter_map(|one| one.silent_since.map(|since| (since, one)));
        let Some((since, one)) = silent.min_by_key(|(since, _)| *since) else { return };
        let was_overtaken = self.answered_since.get().is_some_and(|answered| since < answered);
        let is_in_order = !was_overtaken && self.outcomes.get() >= 0;
        let silence = if is_in_order { SILENT_BEFORE_ALL } else { SILENT };
        if now.duration_since(since) >= silence {
            one.is_closed = true;
            one.socket.shutdown(Shutdown::Both);
        }
    }

    fn note(&self, number: u64, silent_since: Option<Instant>) {
        let mut taken = self.taken.borrow_mut();
        let at = taken.binary_search_by_key(&number, |one| one.number);
        if let Some(one) = at.ok().and_then(|at| taken.get_mut(at)) {
            one.silent_since = silent_since;
        }
    }
}

impl Place<'_> {
    /// Waits for the handshake's turn to compute.
    ///
    /// # Errors
    /// When none came within the longest wait.
    pub async fn turn(&self, computes: Computes) -> Result<Turn<'_>, TooLong> {
        self.in_line_since.set(Some(Instant::now()));
        self.places.note(self.number, None);
        let turn = self.places.turns.turn(computes).await;
        self.places.note(self.number, Some(Instant::now()));
        self.in_line_before.set(self.time_in_line());
        self.in_line_since.set(None);
        turn
    }

    /// The thread beside the shard.
    pub fn helper(&self) -> &Helper {
        &self.places.helper
    }

    /// The time that it has waited for its turns.
    pub fn time_in_line(&self) -> Duration {
        let now = self.in_line_since.get().map_or(Duration::ZERO, |since| since.elapsed());
        self.in_line_before.get().saturating_add(now)
    }

    /// Notes that the peer has sent the last of its handshake.
    pub fn succeed(&self) {
        self.has_succeeded.set(true);
        self.places.others.except_one();
        let taken = self.places.taken.borrow();
        let at = taken.binary_search_by_key(&self.number, |one| one.number);
        let since = at.ok().and_then(|at| taken.get(at)).and_then(|one| one.silent_since);
        self.places.answered_since.set(self.places.answered_since.get().max(since));
    }

    /// Whether it was closed for a newcomer.
    pub fn is_closed(&self) -> bool {
        let taken = self.places.taken.borrow();
        let at = taken.binary_search_by_key(&self.number, |one| one.number);
        at.ok().and_then(|at| taken.get(at)).is_some_and(|one| one.is_closed)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let outcome = if self.has_succeeded.get() { 1 } else { -1 };
        let outcomes = (self.places.outcomes.get() + outcome).clamp(-OUTCOMES, OUTCOMES);
        self.places.outcomes.set(outcomes);
        let mut taken = self.places.taken.borrow_mut();
        if let Ok(at) = taken.binary_search_by_key(&self.number, |one| one.number) {
            taken.remove(at);
        }
        if taken.is_empty() {
            // Gives back what a peak has left behind.
            taken.shrink_to(0);
        }
        drop(taken);
        if let Some(next) = self.places.next.take() {
            next.wake();
        }
    }
}

#[cfg(test)]
#[path = "tests/places.rs"]
mod tests;
