//! A line: who asked first is served first. Tested with [`super::turns`] and [`super::places`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::uring::pause;

/// The longest wait in a line; a shard that serves nobody for so long is overloaded.
const IN_LINE: Duration = Duration::from_secs(30);

/// A line of waiting tasks.
#[derive(Default)]
pub struct Line {
    waiting: RefCell<VecDeque<Waiting>>,
    next_number: Cell<u64>,
}

struct Waiting {
    number: u64,
    waker: Option<Waker>,
}

/// A place in the line, until it is dropped.
pub struct Ticket<'l> {
    line: &'l Line,
    number: u64,
}

/// The longest wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl Line {
    pub fn join(&self) -> Ticket<'_> {
        let number = self.next_number.get();
        self.next_number.set(number.wrapping_add(1));
        self.waiting.borrow_mut().push_back(Waiting { number, waker: None });
        Ticket { line: self, number }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    fn poll_first(&self, number: u64, cx: &Context<'_>) -> Poll<()> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.front().is_some_and(|first| first.number == number) {
            return Poll::Ready(());
        }
        // Numbers ascend, so that a place is found without a walk along the line.
        let at = waiting.binary_search_by_key(&number, |one| one.number);
        if let Some(one) = at.ok().and_then(|at| waiting.get_mut(at))
            && !one.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            one.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Ticket<'_> {
    /// Waits until everybody in front has left.
    pub async fn first(&self) {
        poll_fn(|cx| self.line.poll_first(self.number, cx)).await;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut waiting = self.line.waiting.borrow_mut();
        let Ok(at) = waiting.binary_search_by_key(&self.number, |one| one.number) else { return };
        waiting.remove(at);
        if waiting.is_empty() {
            // Gives back what a peak has left behind.
            waiting.shrink_to(0);
        }
        if at == 0
            && let Some(waker) = waiting.front_mut().and_then(|first| first.waker.take())
        {
            drop(waiting);
            waker.wake();
        }
    }
}

/// Drives `work`, which waits in a line, for no longer than anybody may.
pub async fn in_line<T>(work: impl Future<Output = T>) -> Result<T, TooLong> {
    let mut work = pin!(work);
    let mut limit = pin!(None);
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        // No timer is made for what need not wait.
        if limit.is_none() {
            limit.set(Some(pause(IN_LINE)));
        }
        match limit.as_mut().as_pin_mut() {
            Some(limit) => limit.poll(cx).map(|()| Err(TooLong)),
            None => Poll::Pending,
        }
    })
    .await
}
