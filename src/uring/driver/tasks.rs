//! The tasks of one shard, and how they are woken.
//!
//! A waker is one number: thread, slot, and the slot's generation. It holds no reference, so cloning and dropping one
//! costs nothing; a number that outlives its task wakes nothing. A wake from another thread goes through `remote`.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use super::name::{MAIN, Name};
use super::remote;
use crate::table::Table;

/// A task's future, boxed when it was spawned.
type Future_ = Pin<Box<dyn Future<Output = ()>>>;

/// The queue keeps room for this many tasks that are ready at a time.
const READY_KEPT: usize = 1024;

/// A waker of the task of this name.
pub(super) fn waker(name: Name) -> Waker {
    // SAFETY: the table's functions take the pointer for a number and never follow it.
    unsafe { Waker::from_raw(raw(name.as_pointer())) }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(raw, wake, wake, |_| {});

fn raw(name: *const ()) -> RawWaker {
    RawWaker::new(name, &TABLE)
}

fn wake(name: *const ()) {
    let name = Name::of_pointer(name);
    if TASKS.with(|tasks| tasks.thread.get()) == name.thread() {
        TASKS.with(|tasks| tasks.wake(name));
    } else {
        remote::wake(name);
    }
}

thread_local! {
    pub(super) static TASKS: Tasks = const { Tasks::new() };
}

pub(super) struct Tasks {
    /// Number of this thread's run; 0 = none.
    thread: Cell<u16>,
    slots: RefCell<Table<Slot>>,
    /// Incremented with every task, so that the next task in a slot has another name.
    generation: Cell<u16>,
    ready: RefCell<VecDeque<u32>>,
    main_is_ready: Cell<bool>,
}

struct Slot {
    /// `None` while it is polled.
    future: Option<Future_>,
    generation: u16,
    is_queued: bool,
}

/// Drops a task and catches a panic of its drop.
fn drop_alone(future: Future_) {
    let _: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(move || drop(future)));
}

impl Tasks {
    const fn new() -> Tasks {
        Tasks {
            thread: Cell::new(0),
            slots: RefCell::new(Table::new()),
            generation: Cell::new(0),
            ready: RefCell::new(VecDeque::new()),
            main_is_ready: Cell::new(false),
        }
    }

    /// Starts a run with this number; the main future is ready.
    pub(super) fn begin(&self, thread: u16) {
        self.thread.set(thread);
        self.main_is_ready.set(true);
    }

    /// The main future's name.
    pub(super) fn main(&self) -> Name {
        Name::new(self.thread.get(), 0, MAIN)
    }

    /// Whether the main future was woken since this was asked last.
    pub(super) fn take_main(&self) -> bool {
        self.main_is_ready.replace(false)
    }

    /// No task is ready.
    pub(super) fn is_idle(&self) -> bool {
        !self.main_is_ready.get() && self.ready.borrow().is_empty()
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let future: Future_ = Box::pin(task);
        let generation = self.generation.get().wrapping_add(1);
        self.generation.set(generation);
        let slot = Slot { future: Some(future), generation, is_queued: true };
        let slot = self.slots.borrow_mut().insert(slot);
        self.ready.borrow_mut().push_back(slot as u32);
    }

    /// Queues the task of this name, unless it is queued or has ended.
    #[inline]
    pub(super) fn wake(&self, name: Name) {
        if name.slot() == MAIN {
            self.main_is_ready.set(true);
            return;
        }
        let mut slots = self.slots.borrow_mut();
        if let Some(slot) = slots.get_mut(name.slot() as usize)
            && slot.generation == name.generation()
            && !slot.is_queued
        {
            slot.is_queued = true;
            self.ready.borrow_mut().push_back(name.slot());
        }
    }

    /// Polls each task that is ready now, once; those they wake have their turn the next time.
    pub(super) fn poll_ready(&self) {
        let count = self.ready.borrow().len();
        for _ in 0..count {
            let Some(slot) = self.ready.borrow_mut().pop_front() else { return };
            self.poll(slot);
        }
    }

    fn poll(&self, slot: u32) {
        let taken = self.slots.borrow_mut().get_mut(slot as usize).map(|place| {
            place.is_queued = false;
            (place.future.take(), place.generation)
        });
        let Some((Some(mut future), generation)) = taken else { return };
        let waker = waker(Name::new(self.thread.get(), generation, slot));
        let polled = catch_unwind(AssertUnwindSafe(|| {
            future.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        if let Ok(Poll::Pending) = polled {
            if let Some(place) = self.slots.borrow_mut().get_mut(slot as usize) {
                place.future = Some(future);
            }
            return;
        }
        // A panic ends only its own task; everything the task held is dropped with it.
        drop_alone(future);
        self.slots.borrow_mut().remove(slot as usize);
    }

    /// Gives back memory that a peak has left behind.
    pub(super) fn trim(&self) {
        self.slots.borrow_mut().trim();
        let mut ready = self.ready.borrow_mut();
        if ready.len() < ready.capacity() / 4 {
            let half = ready.capacity() / 2;
            ready.shrink_to(half.max(READY_KEPT));
        }
    }

    /// Tasks for which there is memory.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.slots.borrow().capacity()
    }

    /// Drops every task.
    pub(super) fn end(&self) {
        let slots = self.slots.take();
        self.ready.take();
        // Every task is dropped, even if one panics: the kernel uses the data that tasks hold until the run has ended.
        slots.into_values().filter_map(|slot| slot.future).for_each(drop_alone);
        // Dropping may have woken and spawned tasks, which will never be polled.
        drop(self.slots.take());
        self.ready.take();
        self.main_is_ready.set(false);
        self.thread.set(0);
    }
}
