//! Operations on tokio-uring, through its one-shot path.
//!
//! An operation that is dropped in flight keeps its data all the same: a task awaits it, or, where no task can run any
//! more, the data is put aside until the ring is closed. tokio-uring alone would not do: when a ring is closed it frees
//! the data of dropped operations *before* it cancels them. Where it cannot await the cancelled operations it panics,
//! and the data put aside is never freed.
//!
//! tokio-uring does not show its ring's descriptor, which the registration of buffers needs; it is found as the one
//! io_uring descriptor that appeared in /proc/self/fd while the runtime was made. Without /proc, receives bring their
//! own buffer.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use io_uring::{cqueue, opcode, squeue};
use tokio_uring::{InFlightOneshot, OneshotOutputTransform, UnsubmittedOneshot};

use super::operation::{Completion, Operation};
use super::{engine, provided};

thread_local! {
    /// Operations that were in flight when the runtime of this thread ended.
    static ABANDONED: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
    /// The ring of this thread has failed, so that its operations cannot be cancelled either.
    static IS_BROKEN: Cell<bool> = const { Cell::new(false) };
}

/// Single issuer and cooperative task running were measured to be the right set-up; deferred task
/// running is never reaped by this runtime.
pub(super) fn ring_builder(entries: u32) -> io_uring::Builder {
    let mut builder = io_uring::IoUring::builder();
    builder.setup_single_issuer().setup_coop_taskrun().setup_cqsize(entries.saturating_mul(4));
    builder
}

/// Runs `main` on tokio-uring until it ends.
pub(super) fn run<F: Future>(entries: u32, main: F) -> io::Result<F::Output> {
    let mut builder = tokio_uring::builder();
    builder.entries(entries).uring_builder(&ring_builder(entries));
    let runtime = create_with_buffers(|| tokio_uring::Runtime::new(&builder))?;
    let run = Run(Some(runtime));
    Ok(run.0.as_ref().ok_or(io::ErrorKind::NotConnected)?.block_on(main))
}

/// Makes a runtime through `create` and registers this thread's buffers with its ring.
fn create_with_buffers<T>(create: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _one_at_a_time = provided::one_at_a_time();
    let before = ring_descriptors();
    let runtime = create()?;
    let after = ring_descriptors();
    let mut new = after.difference(&before);
    if let (Some(&descriptor), None) = (new.next(), new.next()) {
        provided::register_with(descriptor);
    }
    Ok(runtime)
}

/// Descriptors of this process that are io_uring instances.
pub(super) fn ring_descriptors() -> BTreeSet<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return BTreeSet::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            std::fs::read_link(entry.path())
                .is_ok_and(|link| link.as_os_str() == "anon_inode:[io_uring]")
        })
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Ends a run when it is dropped, by a panic too.
struct Run(Option<tokio_uring::Runtime>);

impl Drop for Run {
    fn drop(&mut self) {
        // The runtime cancels and awaits the operations in flight; only then may their memory be freed.
        let closed = {
            let _one_at_a_time = provided::one_at_a_time();
            let runtime = self.0.take();
            if IS_BROKEN.take() {
                // Dropping the runtime would panic while it panics, which aborts the process.
                let _kept = ManuallyDrop::new(runtime);
                Err(Box::new("the ring is broken") as Box<dyn Any + Send>)
            } else {
                catch_unwind(AssertUnwindSafe(move || drop(runtime)))
            }
        };
        let abandoned = ABANDONED.take();
        if closed.is_ok() {
            drop(abandoned);
            provided::release();
        } else {
            tracing::error!(
                lost = abandoned.len(),
                "operations of a shard could not be cancelled; their memory is kept"
            );
            let _kept = ManuallyDrop::new(abandoned);
            provided::leak();
        }
    }
}

pub(super) fn submit<D: Operation>(data: D, entry: squeue::Entry) -> InFlight<D> {
    InFlight(Some(UnsubmittedOneshot::new(data, Done(PhantomData), entry).submit()))
}

/// Hands a completion to the operation's data.
pub(super) struct Done<D>(PhantomData<fn(D)>);

impl<D: Operation> OneshotOutputTransform for Done<D> {
    type Output = D::Output;
    type StoredData = D;
    fn transform_oneshot_output(self, data: D, done: cqueue::Entry) -> D::Output {
        data.complete(Completion { result: done.result(), flags: done.flags() })
    }
}

/// An operation from its submission to its completion.
pub(super) struct InFlight<D: Operation>(Option<InFlightOneshot<D, Done<D>>>);

impl<D: Operation> Future for InFlight<D> {
    type Output = D::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<D::Output> {
        let Some(op) = &mut self.0 else { return Poll::Pending };
        let output = std::task::ready!(Pin::new(op).poll(cx));
        self.0 = None;
        Poll::Ready(output)
    }
}

impl<D: Operation> Drop for InFlight<D> {
    fn drop(&mut self) {
        let Some(mut op) = self.0.take() else { return };
        // The output of a completed operation is dropped: an accepted socket is closed, a slot refilled.
        if Pin::new(&mut op).poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        if engine::is_ending() {
            ABANDONED.with_borrow_mut(|abandoned| abandoned.push(Box::new(op)));
        } else {
            let op = InFlight(Some(op));
            drop(tokio::task::spawn_local(async move { drop(op.await) }));
        }
    }
}

/// From one question to the next, in calls of [`Pulse::beat`].
const EVERY: u32 = 20;
/// Most turns of the shard, each of which asks the kernel, before an answer counts as lost.
const LATE: u32 = 40;

/// Whether the ring still does its work: it is given an operation now and then that always succeeds.
#[derive(Default)]
pub(super) struct Pulse {
    beats: u32,
    asked: Option<InFlight<Nop>>,
}

/// An operation that does nothing.
struct Nop;

impl Operation for Nop {
    type Output = i32;
    fn complete(self, done: Completion) -> i32 {
        done.result
    }
}

impl Pulse {
    /// To be called at each of the shard's ticks.
    ///
    /// # Errors
    /// The ring can no longer be used.
    pub(super) fn beat(&mut self) -> io::Result<()> {
        self.beats += 1;
        self.ask().inspect_err(|_| IS_BROKEN.set(true))
    }

    /// A nop that fails, or does not come back, is the ring's end.
    fn ask(&mut self) -> io::Result<()> {
        let Some(asked) = &mut self.asked else {
            if self.beats >= EVERY {
                self.beats = 0;
                self.asked = Some(submit(Nop, opcode::Nop::new().build()));
            }
            return Ok(());
        };
        match Pin::new(asked).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => {
                self.asked = None;
                if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
            }
            Poll::Pending if self.beats >= LATE => {
                Err(io::Error::other("its ring does nothing any more"))
            }
            Poll::Pending => Ok(()),
        }
    }
}
