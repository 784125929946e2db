//! How a socket uses its flow: begins it, asks for what it has brought, stops it.

use std::mem;
use std::num::NonZeroU32;
use std::task::{Context, Poll};

use io_uring::types::CancelBuilder;
use io_uring::{cqueue, opcode, squeue};

use super::flow::{Arrival, FLOW, Flow, give_back, set_waker, take};
use super::{DRIVER, Driver, NOBODY};
use crate::uring::operation::Completion;

/// The name of a flow; its socket keeps it.
#[derive(Clone, Copy)]
pub(crate) struct FlowKey(NonZeroU32);

/// Begins a flow; `None` when the ring does not take it.
pub(crate) fn begin(entry: squeue::Entry) -> Option<FlowKey> {
    DRIVER.with(|driver| {
        let place = driver.flows.table.borrow_mut().insert(Flow::Waiting(None));
        let key = u32::try_from(place + 1).ok().and_then(NonZeroU32::new);
        let begun = key.filter(|_| driver.push(&entry.user_data(FLOW | place as u64)).is_ok());
        match begun {
            Some(_) => driver.in_flight.set(driver.in_flight.get() + 1),
            None => drop(driver.flows.table.borrow_mut().remove(place)),
        }
        begun.map(FlowKey)
    })
}

/// Whether what has ended a flow is an error, and has ended the connection too: not that the flow was stopped, or found
/// no buffer.
pub(crate) fn is_of_the_connection(end: i32) -> bool {
    end < 0 && ![-libc::ECANCELED, -libc::ENOBUFS].contains(&end)
}

impl FlowKey {
    fn place(self) -> usize {
        self.0.get() as usize - 1
    }

    /// The next arrival; an error is the result that ended the flow, which is then gone.
    #[inline]
    pub(crate) fn poll_next(self, cx: &Context<'_>) -> Poll<Result<Arrival, i32>> {
        DRIVER.with(|driver| {
            let mut flows = driver.flows.table.borrow_mut();
            let Some(flow) = flows.get_mut(self.place()) else {
                return Poll::Ready(Err(-libc::ECANCELED));
            };
            let ending = match flow {
                Flow::Arrived(done) => {
                    let done = *done;
                    *flow = Flow::Waiting(None);
                    return Poll::Ready(Ok(Arrival::InSlot(done)));
                }
                Flow::Waiting(waker) => {
                    set_waker(waker, cx);
                    return Poll::Pending;
                }
                Flow::Ending(ending) => ending,
            };
            if let Some(arrival) = ending.arrivals.pop_front() {
                driver.flows.note_left(&arrival);
                return Poll::Ready(Ok(arrival));
            }
            let Some(end) = ending.end else {
                set_waker(&mut ending.waker, cx);
                return Poll::Pending;
            };
            let gone = flows.remove(self.place());
            drop(flows);
            driver.flows.forget(gone);
            Poll::Ready(Err(end))
        })
    }

    /// Puts the unused rest of an arrival back in front, for a flow that was stopped.
    pub(crate) fn put_back(self, rest: Vec<u8>) {
        DRIVER.with(|driver| {
            if let Some(flow) = driver.flows.table.borrow_mut().get_mut(self.place()) {
                driver.flows.put_back(flow, rest);
            }
        });
    }

    /// Whether something has arrived, or it has ended.
    pub(crate) fn has_arrived(self) -> bool {
        DRIVER.with(|driver| match driver.flows.table.borrow_mut().get_mut(self.place()) {
            Some(Flow::Arrived(_)) => true,
            Some(Flow::Ending(ending)) => !ending.arrivals.is_empty() || ending.end.is_some(),
            Some(Flow::Waiting(_)) | None => false,
        })
    }

    /// Whether an error has ended it that is the connection's own.
    pub(crate) fn has_failed(self) -> bool {
        DRIVER.with(|driver| match driver.flows.table.borrow_mut().get_mut(self.place()) {
            Some(Flow::Ending(ending)) => ending.end.is_some_and(is_of_the_connection),
            Some(Flow::Waiting(_) | Flow::Arrived(_)) | None => false,
        })
    }

    /// Stops the flow soon; arrivals until then can still be asked for.
    pub(crate) fn stop(self) {
        DRIVER.with(|driver| driver.stop_flow(self.place()));
    }

    /// The socket is no longer used: closes it once the kernel has let go of it.
    pub(crate) fn leave(self, socket: socket2::Socket) {
        // A thread that ends may have no driver any more: its ring has already let go of everything.
        let _ = DRIVER.try_with(move |driver| driver.leave_flow(self.place(), socket));
    }
}

impl Driver {
    fn stop_flow(&self, place: usize) {
        if let Some(flow) = self.flows.table.borrow_mut().get_mut(place) {
            let is_over = self.flows.end_with(flow, |ending| {
                mem::replace(&mut ending.is_stopped, true) || ending.end.is_some()
            });
            if is_over {
                return;
            }
        }
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::user_data(FLOW | place as u64));
        // A ring that takes nothing any more ends its run, and with it every flow.
        let _ = self.push(&cancel.build().user_data(NOBODY));
    }

    fn leave_flow(&self, place: usize, socket: socket2::Socket) {
        let mut flows = self.flows.table.borrow_mut();
        let Some(flow) = flows.get_mut(place) else { return };
        let is_over = self.flows.end_with(flow, |ending| {
            for arrival in ending.arrivals.drain(..) {
                self.flows.note_left(&arrival);
                give_back(match arrival {
                    Arrival::InSlot(done) => take(done),
                    Arrival::Taken(buffer) => Some(buffer),
                });
            }
            ending.orphan = Some(socket);
            ending.end.is_some()
        });
        let gone = if is_over { flows.remove(place) } else { None };
        drop(flows);
        if is_over {
            self.flows.forget(gone);
        } else {
            self.stop_flow(place);
        }
    }

    /// Handles one completion of a flow.
    pub(super) fn flow_on(&self, place: usize, done: Completion) {
        let is_last = !cqueue::more(done.flags);
        if is_last {
            self.in_flight.set(self.in_flight.get() - 1);
        }
        let mut flows = self.flows.table.borrow_mut();
        let waker = match flows.get_mut(place) {
            Some(Flow::Waiting(waker)) if !is_last && done.result > 0 => {
                let waker = waker.take();
                flows.get_mut(place).into_iter().for_each(|flow| *flow = Flow::Arrived(done));
                drop(flows);
                waker
            }
            Some(flow) => {
                let (waker, is_orphan) = self.flows.end_with(flow, |ending| {
                    self.flows.note(ending, done, is_last);
                    (ending.waker.take(), ending.orphan.is_some())
                });
                let gone = if is_last && is_orphan { flows.remove(place) } else { None };
                drop(flows);
                self.flows.forget(gone);
                if !is_last {
                    self.stop_flow(place);
                }
                waker
            }
            None => return give_back(take(done)),
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
