//! A driver of limpet's own: one ring, its operations, and the tasks that await them.
//!
//! ```text
//!   poll ready tasks ─▶ enter the kernel once: submit, run its deferred work, wait if no task is ready
//!          ▲                                                     │
//!          └────────────── completions wake their tasks ◀────────┘
//! ```
//!
//! What it has over a general runtime: one system call a turn, the kernel's work for this ring done in
//! that call and nowhere else (deferred task-running), wakers without reference counts, and no second
//! event queue. A timer is an operation too.
//!
//! An operation's data stays where it is while the kernel uses it: in the future that awaits it, or, when that is
//! dropped first, in the table of operations until the completion has come. A run ends by cancelling the operations in
//! flight and awaiting them. Data of an operation that cannot be awaited is never freed.

pub(super) mod flow;
pub(super) mod flowing;
mod name;
mod remote;
mod tasks;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use self::flow::{FLOW, Flows};
use self::remote::Remote;
use self::tasks::TASKS;
use super::operation::{Completion, Operation};
use super::place::Place;
use super::provided;
use crate::table::Table;
use arrayvec::ArrayVec;
use io_uring::types::{CancelBuilder, Fd, Timespec};
use io_uring::{IoUring, opcode, squeue};

/// User data of a cancellation itself, whose completion no operation waits for.
const NOBODY: u64 = u64::MAX;
/// The read of the eventfd by which other threads wake.
const REMOTE: u64 = u64::MAX - 1;
/// How many ended timers are kept for the next ones.
const TIMES_KEPT: usize = 16;
/// `IORING_ENTER_GETEVENTS`: the kernel's deferred work is done in the call, wait or not.
const GETEVENTS: u32 = 1;
/// Completions taken from the ring at a time.
const REAPED: usize = 32;
/// How long the end of a run waits for the operations that it has cancelled.
const CANCEL: Duration = Duration::from_secs(5);

thread_local! {
    static DRIVER: Driver = const {
        Driver {
            ring: RefCell::new(None),
            operations: RefCell::new(Table::new()),
            flows: Flows::new(),
            in_flight: Cell::new(0),
            remote: RefCell::new(None),
            times: RefCell::new(Vec::new()),
            is_soon: Cell::new(false),
        }
    };
}

struct Driver {
    ring: RefCell<Option<IoUring>>,
    operations: RefCell<Table<State>>,
    /// Receives that go on.
    flows: Flows,
    /// Operations whose completion has not come.
    in_flight: Cell<usize>,
    remote: RefCell<Option<Arc<Remote>>>,
    /// Timers that have ended, kept for the next ones.
    times: RefCell<Vec<Timer>>,
    /// Something was pushed that completes while it is submitted, so that a wait would return at once.
    is_soon: Cell<bool>,
}

/// An operation's state; its place in the table is its user data.
enum State {
    Waiting(Option<Waker>),
    Done(Completion),
    /// Its future was dropped: the data is kept until the kernel has done with it.
    Abandoned(Box<dyn Abandoned>),
    /// The run ended before the operation's completion came: its data is never freed.
    Lost,
}

trait Abandoned {
    fn end(self: Box<Self>, done: Completion);
}

impl<D: Operation> Abandoned for D {
    fn end(self: Box<Self>, done: Completion) {
        drop(self.complete(done));
    }
}

/// The set-up that is used, and probed for: Linux 6.1.
pub(super) fn ring_builder(entries: u32) -> io_uring::Builder {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(entries.saturating_mul(4));
    builder
}

/// Runs `main` on this thread until it ends.
///
/// # Errors
/// When the kernel refuses the ring, or entering it fails for good.
pub(super) fn run<F: Future>(entries: u32, main: F) -> io::Result<F::Output> {
    let ring = {
        let _one_at_a_time = provided::one_at_a_time();
        ring_builder(entries).build(entries)?
    };
    let remote = Remote::register()?;
    provided::register_with(ring.as_raw_fd());
    DRIVER.with(|driver| driver.ring.replace(Some(ring)));
    TASKS.with(|tasks| tasks.begin(remote.thread));
    DRIVER.with(|driver| driver.remote.replace(Some(remote)));
    DRIVER.with(|driver| driver.flows.begin());
    let _end = End;
    DRIVER.with(|driver| driver.block_on(main))
}

pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    TASKS.with(|tasks| tasks.spawn(task));
}

/// Gives back memory that a peak of tasks and operations has left behind.
pub(super) fn trim() {
    TASKS.with(tasks::Tasks::trim);
    DRIVER.with(|driver| {
        driver.operations.borrow_mut().trim();
        driver.flows.table.borrow_mut().trim();
    });
}

/// Tasks, operations and flows for which there is memory.
#[cfg(test)]
pub(super) fn capacity() -> usize {
    let of_driver = |driver: &Driver| {
        driver.operations.borrow().capacity() + driver.flows.table.borrow().capacity()
    };
    TASKS.with(tasks::Tasks::capacity) + DRIVER.with(of_driver)
}

/// Hands an operation to the kernel, at the latest when this thread has nothing else to do.
pub(super) fn submit<D: Operation>(data: D, entry: squeue::Entry) -> InFlight<D> {
    DRIVER.with(|driver| {
        let key = driver.operations.borrow_mut().insert(State::Waiting(None));
        match driver.push(&entry.user_data(key as u64)) {
            Ok(()) => driver.in_flight.set(driver.in_flight.get() + 1),
            Err(error) => {
                let result = -error.raw_os_error().unwrap_or(libc::ENXIO);
                if let Some(state) = driver.operations.borrow_mut().get_mut(key) {
                    *state = State::Done(Completion { result, flags: 0 });
                }
            }
        }
        InFlight { key, data: Some(data) }
    })
}

/// The operation submitted next mostly completes while it is submitted, as a send does.
pub(super) fn completes_soon() {
    DRIVER.with(|driver| driver.is_soon.set(true));
}

/// An operation from its submission to its completion.
pub(super) struct InFlight<D: Operation> {
    key: usize,
    /// `None` once it has completed.
    data: Option<D>,
}

impl<D: Operation> Future for InFlight<D> {
    type Output = D::Output;
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<D::Output> {
        let Some(done) = DRIVER.with(|driver| driver.take_done(self.key, cx)) else {
            return Poll::Pending;
        };
        match self.data.take() {
            Some(data) => Poll::Ready(data.complete(done)),
            None => Poll::Pending,
        }
    }
}

impl<D: Operation> Drop for InFlight<D> {
    fn drop(&mut self) {
        // A thread that ends may have no driver any more: then the data is never freed.
        let Some(data) = self.data.take().map(ManuallyDrop::new) else { return };
        let _ = DRIVER.try_with(move |driver| {
            let noop = Context::from_waker(Waker::noop());
            let data = ManuallyDrop::into_inner(data);
            match driver.take_done(self.key, &noop) {
                // The output of a completed operation is dropped: an accepted socket is closed, a slot refilled.
                Some(done) => drop(data.complete(done)),
                None => driver.abandon(self.key, data),
            }
        });
    }
}

impl Driver {
    fn block_on<F: Future>(&self, main: F) -> io::Result<F::Output> {
        let mut main = pin!(main);
        let waker = tasks::waker(TASKS.with(tasks::Tasks::main));
        self.listen()?;
        loop {
            if TASKS.with(tasks::Tasks::take_main)
                && let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Ok(output);
            }
            TASKS.with(tasks::Tasks::poll_ready);
            let is_soon = self.is_soon.replace(false);
            self.enter(!is_soon && TASKS.with(tasks::Tasks::is_idle)).map_err(|error| {
                io::Error::new(error.kind(), format!("its ring cannot be entered: {error}"))
            })?;
            self.reap()?;
        }
    }

    fn push(&self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            {
                let mut ring = self.ring.borrow_mut();
                let ring = ring.as_mut().ok_or(io::ErrorKind::NotConnected)?;
                // SAFETY: what the entry points to belongs to the operation's data, which is kept, at
                // its place, until the completion has come.
                if unsafe { ring.submission().push(entry) }.is_ok() {
                    return Ok(());
                }
            }
            self.enter(false)?;
            self.reap()?;
        }
    }

    /// One system call: submits what was pushed, does the kernel's work, and waits for a completion
    /// when `wait`.
    fn enter(&self, wait: bool) -> io::Result<()> {
        let mut ring = self.ring.borrow_mut();
        let Some(ring) = ring.as_mut() else { return Ok(()) };
        let count = ring.submission().len() as u32;
        let submitter = ring.submitter();
        // SAFETY: no argument is passed; the entries were pushed by `push`.
        let entered =
            unsafe { submitter.enter::<libc::sigset_t>(count, u32::from(wait), GETEVENTS, None) };
        match entered {
            Ok(_) => Ok(()),
            // A signal, or completions that have to be taken before more is submitted.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ETIME)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes every completion that is there; an error when other threads cannot wake this one any more.
    fn reap(&self) -> io::Result<()> {
        let mut heard = Ok(());
        let mut taken = ArrayVec::<_, REAPED>::new();
        loop {
            if let Some(ring) = self.ring.borrow_mut().as_mut() {
                taken.extend(ring.completion().take(REAPED));
            }
            if taken.is_empty() {
                return heard;
            }
            for entry in taken.drain(..) {
                let done = Completion { result: entry.result(), flags: entry.flags() };
                match entry.user_data() {
                    NOBODY => {}
                    REMOTE => heard = heard.and(self.hear(done.result)),
                    key if key & FLOW != 0 => self.flow_on((key & !FLOW) as usize, done),
                    key => self.complete(key as usize, done),
                }
            }
        }
    }

    fn complete(&self, key: usize, done: Completion) {
        self.in_flight.set(self.in_flight.get() - 1);
        let mut operations = self.operations.borrow_mut();
        let Some(state) = operations.get_mut(key) else { return };
        match mem::replace(state, State::Done(done)) {
            State::Waiting(Some(waker)) => {
                drop(operations);
                waker.wake();
            }
            State::Waiting(None) | State::Done(_) | State::Lost => {}
            State::Abandoned(data) => {
                operations.remove(key);
                drop(operations);
                data.end(done);
            }
        }
    }

    /// Keeps the data of an operation whose future is gone until its completion has come.
    fn abandon<D: Operation>(&self, key: usize, data: D) {
        let mut operations = self.operations.borrow_mut();
        let before = match operations.get_mut(key) {
            Some(state @ State::Waiting(_)) => {
                mem::replace(state, State::Abandoned(Box::new(data)))
            }
            // Its completion will never be taken, so the data is never freed.
            _ => {
                let _kept = ManuallyDrop::new(data);
                return;
            }
        };
        drop(operations);
        drop(before);
    }

    /// Cancels the operations in flight, awaits them, and closes the ring.
    fn end(&self) {
        if let Some(remote) = self.remote.take() {
            remote.forget();
        }
        let deadline = Instant::now() + CANCEL;
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
        while self.in_flight.get() > 0 && Instant::now() < deadline {
            let cancel = cancel.clone().user_data(NOBODY);
            let entered = self.push(&cancel).and_then(|()| self.enter(true));
            if entered.and_then(|()| self.reap()).is_err() {
                break;
            }
        }
        let lost = self.in_flight.replace(0);
        if lost > 0 {
            self.lose();
        }
        {
            let _one_at_a_time = provided::one_at_a_time();
            self.ring.replace(None);
        }
        if lost == 0 {
            provided::release();
        } else {
            tracing::error!(
                lost,
                "operations of a shard could not be cancelled; their memory is kept"
            );
            provided::leak();
        }
    }

    /// Gives up the operations in flight: their completions will never be taken, and the kernel may still write to
    /// their data, which is therefore never freed. Their places in the table stay taken as well, so that no other
    /// operation gets their names.
    fn lose(&self) {
        for state in self.operations.borrow_mut().values_mut() {
            if !matches!(state, State::Done(_)) {
                let _kept = ManuallyDrop::new(mem::replace(state, State::Lost));
            }
        }
        self.flows.lose();
    }

    /// Asks to be told when another thread wakes one of our tasks.
    fn listen(&self) -> io::Result<()> {
        let remote = self.remote.borrow();
        let Some(remote) = &*remote else { return Ok(()) };
        let entry = opcode::PollAdd::new(Fd(remote.descriptor()), libc::POLLIN as u32).build();
        self.push(&entry.user_data(REMOTE))
    }

    /// Another thread has woken one of our tasks, or waking has failed: `result` is an error, or there is nothing to
    /// read because the eventfd is gone. A failure ends the run, since asking again would fail at once, for ever.
    fn hear(&self, result: i32) -> io::Result<()> {
        let names = match &*self.remote.borrow() {
            Some(_) if result < 0 => Err(io::Error::from_raw_os_error(-result)),
            Some(remote) => remote.take(),
            None => return Ok(()),
        };
        let woken = names.map(|names| {
            TASKS.with(|tasks| names.into_iter().for_each(|name| tasks.wake(name)));
        });
        woken.and_then(|()| self.listen()).map_err(|error| {
            io::Error::new(error.kind(), format!("other threads cannot wake it any more: {error}"))
        })
    }

    #[inline]
    fn take_done(&self, key: usize, cx: &Context<'_>) -> Option<Completion> {
        let mut operations = self.operations.borrow_mut();
        match operations.get_mut(key)? {
            State::Done(done) => {
                let done = *done;
                operations.remove(key);
                Some(done)
            }
            State::Waiting(Some(waker)) if waker.will_wake(cx.waker()) => None,
            State::Waiting(waker) => {
                *waker = Some(cx.waker().clone());
                None
            }
            State::Abandoned(_) | State::Lost => None,
        }
    }
}

/// Ends a run when it is dropped, by a panic too.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        TASKS.with(tasks::Tasks::end);
        DRIVER.with(Driver::end);
    }
}

/// A timer's time, where the kernel reads it.
struct Timer(Place<Timespec>);

impl Operation for Timer {
    type Output = ();
    fn complete(self, _: Completion) {
        DRIVER.with(|driver| {
            let mut times = driver.times.borrow_mut();
            if times.len() < TIMES_KEPT {
                times.push(self);
            }
        });
    }
}

/// Waits until `at`.
pub(super) async fn sleep(at: Instant) {
    loop {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let time = Timespec::from(left);
        let timer = match DRIVER.with(|driver| driver.times.borrow_mut().pop()) {
            Some(mut timer) => {
                timer.0.set(time);
                timer
            }
            None => Timer(Place::new(time)),
        };
        let entry = opcode::Timeout::new(timer.0.get()).build();
        submit(timer, entry).await;
    }
}

/// Lets every other ready task run first.
pub(super) async fn yield_now() {
    let mut has_yielded = false;
    std::future::poll_fn(|cx| {
        if mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
