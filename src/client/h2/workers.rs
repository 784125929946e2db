//! The tasks that serve streams: one serves a stream at a time, and waits for another when it is done.
//!
//! What a stream needs (its task, its plan and draft, the texts of its record) so stays allocated between streams. The
//! idle ones belong to the thread, which is the shard's. Tested beside the connection's task.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::shared::Shared;
use super::stream::{self, Kept, Request};
use crate::exchange::entry::Entry;
use crate::exchange::plan::Outgoing;
use crate::time::alarms::Alarm;
use crate::transport::spawn;

/// Most idle ones of a shard; each has a few KiB.
const IDLE_MAX: usize = 1024;
/// How long one is kept that is not needed.
const IDLE_MS: u64 = 1_000;

thread_local! {
    /// The one that has been idle for longest first.
    static IDLE: RefCell<Vec<Rc<Worker>>> = const { RefCell::new(Vec::new()) };
}

/// One task, as whoever has work for it sees it.
#[derive(Default)]
struct Worker {
    job: Cell<Option<Job>>,
    waker: RefCell<Option<Waker>>,
}

/// A stream that is to be served.
struct Job {
    shared: Rc<Shared>,
    request: Request,
}

/// Has a stream served, in this turn or the next.
pub fn serve(shared: Rc<Shared>, request: Request) {
    let job = Job { shared, request };
    match IDLE.with_borrow_mut(Vec::pop) {
        None => spawn(work(job)),
        Some(worker) => {
            worker.job.set(Some(job));
            if let Some(waker) = &*worker.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }
}

/// How many of this thread are idle.
#[cfg(test)]
pub fn idle_count() -> usize {
    IDLE.with_borrow(Vec::len)
}

/// A worker's place among the idle ones, which it loses with its task.
struct Place(Rc<Worker>);

impl Place {
    /// Waits among the idle ones; `false` when there are enough.
    fn take(&self) -> bool {
        IDLE.with_borrow_mut(|idle| {
            let has_room = idle.len() < IDLE_MAX;
            if has_room {
                idle.push(Rc::clone(&self.0));
            }
            has_room
        })
    }

    /// The next stream; `None` when the worker has not been needed for long.
    fn poll_job(&self, alarm: &Alarm, cx: &mut Context<'_>) -> Poll<Option<Job>> {
        if let Some(job) = self.0.job.take() {
            return Poll::Ready(Some(job));
        }
        if alarm.poll_fired(cx) {
            return Poll::Ready(None);
        }
        let mut waker = self.0.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // At the thread's end the idle ones may have gone first.
        let _ = IDLE.try_with(|idle| idle.borrow_mut().retain(|one| !Rc::ptr_eq(one, &self.0)));
    }
}

/// Serves one stream after the other.
async fn work(mut job: Job) {
    let place = Place(Rc::default());
    let clock = Rc::clone(&job.shared.owner.clients.local.clock);
    let alarm = job.shared.owner.clients.local.alarms.alarm();
    let mut kept = Kept { alarm, out: Outgoing::default(), entry: Entry::default() };
    loop {
        let Job { shared, request } = job;
        stream::serve(&shared, request, &mut kept).await;
        // Its connection is not held up by an idle worker.
        drop(shared);
        if !place.take() {
            return;
        }
        kept.alarm.set(clock.now_ms() + IDLE_MS);
        match poll_fn(|cx| place.poll_job(&kept.alarm, cx)).await {
            Some(next) => job = next,
            None => return,
        }
    }
}
