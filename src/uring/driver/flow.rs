//! A receive that goes on: submitted once, it completes with each arrival until something ends it.
//!
//! ```text
//!   Waiting ⇄ Arrived ──▶ Ending: the stream's end, an error, no buffer, stopped, more than was asked for
//! ```
//! Arrivals wait in order until they are asked for. A second arrival that was not asked for stops the receive, so that
//! a peer that goes on sending meets its window, as with receives that are asked for one by one. Until that stop takes
//! effect the kernel takes a few dozen buffers (before Linux 6.9 all that are lent to it). Up to `TAKEN_MAX` buffers of
//! a shard's flows leave their slots; the others keep theirs, so that the ring of buffers runs dry before memory does:
//! a receive that finds no buffer brings its own. Tested through the sockets (`uring/tests/flows.rs`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;
use std::task::{Context, Waker};

use io_uring::cqueue;

use crate::table::Table;
use crate::uring::operation::Completion;
use crate::uring::{buffers, provided};

/// Set in the user data of every flow; the rest is its place in the table.
pub(super) const FLOW: u64 = 1 << 62;

/// How many boxes for flows that end are kept, and the arrivals that each has room for: ending a flow allocates
/// nothing.
const ENDINGS_KEPT: usize = 16;
const ARRIVALS_KEPT: usize = 4;

/// Most buffers of all flows of a shard that wait outside of their slots: 2 MiB.
const TAKEN_MAX: usize = 512;

/// One arrival.
pub(crate) enum Arrival {
    /// In the slot that the completion names.
    InSlot(Completion),
    Taken(Vec<u8>),
}

/// The state of a flow. Every kept connection has one, so the rare state is boxed.
pub(super) enum Flow {
    Waiting(Option<Waker>),
    Arrived(Completion),
    Ending(Box<Ending>),
}

#[derive(Default)]
pub(super) struct Ending {
    pub(super) waker: Option<Waker>,
    pub(super) arrivals: VecDeque<Arrival>,
    /// It has been told to end.
    pub(super) is_stopped: bool,
    /// The result that ended it, as the system call would return it: 0 is the end of the stream.
    pub(super) end: Option<i32>,
    /// Its user is gone; the socket is closed when the kernel has let go of it.
    pub(super) orphan: Option<socket2::Socket>,
}

/// The flows of a shard.
pub(super) struct Flows {
    pub(super) table: RefCell<Table<Flow>>,
    /// Empty boxes for flows that end.
    #[expect(clippy::vec_box, reason = "a box goes into its flow and back as it is")]
    endings: RefCell<Vec<Box<Ending>>>,
    /// How many buffers of the flows wait outside of their slots.
    taken: Cell<usize>,
}

/// Takes the buffer that the kernel has used out of its slot, whether the receive succeeded or not.
pub(super) fn take(done: Completion) -> Option<Vec<u8>> {
    let slot = cqueue::buffer_select(done.flags)?;
    provided::take(slot, usize::try_from(done.result).unwrap_or(0))
}

pub(super) fn give_back(buffer: Option<Vec<u8>>) {
    buffer.into_iter().for_each(buffers::give_back);
}

/// Sets `waker` to that of the task that polls.
pub(super) fn set_waker(waker: &mut Option<Waker>, cx: &Context<'_>) {
    if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
}

impl Flows {
    pub(super) const fn new() -> Flows {
        Flows {
            table: RefCell::new(Table::new()),
            endings: RefCell::new(Vec::new()),
            taken: Cell::new(0),
        }
    }

    /// For the beginning of a run.
    pub(super) fn begin(&self) {
        let ending = || {
            let arrivals = VecDeque::with_capacity(ARRIVALS_KEPT);
            Box::new(Ending { arrivals, ..Ending::default() })
        };
        self.endings.borrow_mut().resize_with(ENDINGS_KEPT, ending);
    }

    /// For the end of a run in which the kernel still holds some operations.
    pub(super) fn lose(&self) {
        for flow in self.table.borrow_mut().values_mut() {
            self.end_with(flow, |ending| *ending.end.get_or_insert(-libc::ECANCELED));
        }
    }

    /// Makes a flow one that ends, and applies `work` to its ending.
    pub(super) fn end_with<R>(&self, flow: &mut Flow, work: impl FnOnce(&mut Ending) -> R) -> R {
        let fresh = || self.endings.borrow_mut().pop().unwrap_or_default();
        let mut ending = match mem::replace(flow, Flow::Waiting(None)) {
            Flow::Ending(ending) => ending,
            Flow::Waiting(waker) => {
                let mut ending = fresh();
                ending.waker = waker;
                ending
            }
            Flow::Arrived(done) => {
                let mut ending = fresh();
                ending.arrivals.push_back(Arrival::InSlot(done));
                ending
            }
        };
        let output = work(&mut ending);
        *flow = Flow::Ending(ending);
        output
    }

    /// Frees the rest of a flow, and closes its socket.
    pub(super) fn forget(&self, gone: Option<Flow>) {
        let Some(Flow::Ending(mut ending)) = gone else { return };
        let mut arrivals = mem::take(&mut ending.arrivals);
        arrivals.clear();
        arrivals.shrink_to(ARRIVALS_KEPT);
        *ending = Ending { arrivals, ..Ending::default() };
        let mut endings = self.endings.borrow_mut();
        if endings.len() < ENDINGS_KEPT {
            endings.push(ending);
        }
    }

    /// Puts the unused rest of an arrival back in front.
    pub(super) fn put_back(&self, flow: &mut Flow, rest: Vec<u8>) {
        self.taken.set(self.taken.get() + 1);
        self.end_with(flow, |ending| ending.arrivals.push_front(Arrival::Taken(rest)));
    }

    /// Notes that an arrival has been handed to the flow's user.
    pub(super) fn note_left(&self, arrival: &Arrival) {
        if matches!(arrival, Arrival::Taken(_)) {
            self.taken.set(self.taken.get().saturating_sub(1));
        }
    }

    /// Keeps a completion that a flow still receives while it ends.
    pub(super) fn note(&self, ending: &mut Ending, done: Completion, is_last: bool) {
        if is_last {
            // The last completion may bring bytes as well; the receive that follows then finds the reason itself.
            ending.end = Some(if done.result > 0 { -libc::ECANCELED } else { done.result });
        }
        if done.result <= 0 || ending.orphan.is_some() {
            return give_back(take(done));
        }
        let is_first = ending.arrivals.is_empty();
        let taken = if is_first || self.taken.get() >= TAKEN_MAX { None } else { take(done) };
        ending.arrivals.push_back(match taken {
            Some(bytes) => {
                self.taken.set(self.taken.get() + 1);
                Arrival::Taken(bytes)
            }
            None => Arrival::InSlot(done),
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::uring::driver::flow::*;

    #[test]
    fn a_flow_that_waits_is_no_larger_than_an_operation() {
        assert!(size_of::<Flow>() <= size_of::<crate::uring::driver::State>());
    }
}
