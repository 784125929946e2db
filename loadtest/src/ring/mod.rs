//! A driver on io_uring for what is all sockets: completions go to one handler, nothing is polled.
//!
//! Owns: the ring, the memory the kernel reads and writes, and the one place with `unsafe`. Never: a
//! runtime, a thread, a policy. Tested by `tests.rs` over loopback sockets.
//!
//! ```text
//!   Ring::wait ── submits what was asked for, waits, then for each completion:
//!       handler(&mut Queue, token, Event) ── asks for more through the Queue
//! ```
//!
//! Receives are multishot with buffers that the kernel picks; the bytes are lent to the handler for the
//! length of its call and the buffer goes back by itself, unless they are forwarded. Sends of one socket
//! go out in order, and partial ones are continued. A ring belongs to the thread that made it.

#![allow(
    unsafe_code,
    reason = "what the kernel reads and writes on its own cannot be shown to the compiler; here only"
)]

mod buffers;
mod queue;
mod sends;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue};

pub use buffers::BufferSpec;
pub use queue::{Queue, Socket};
pub use sends::Outgoing;

use buffers::Buffers;
use queue::{Operation, Receiving};
use sends::{Sends, Source};

/// Completions that fit, for each submission that fits.
const COMPLETIONS_PER_ENTRY: u32 = 8;

/// How often a ring that goes looks for sends to end, and how long each time.
const DRAIN_ROUNDS: usize = 20;
const DRAIN_WAIT: Duration = Duration::from_millis(50);

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no io_uring of the kind needed, or does not allow it.
    #[error(
        "the kernel refuses io_uring with a single issuer and deferred task-running ({0}); it needs \
         Linux 6.1 or newer, 0 in /proc/sys/kernel/io_uring_disabled, and no seccomp filter against it"
    )]
    Refused(#[source] io::Error),
    /// The ring is there, but its receive buffers are not.
    #[error("the kernel refuses a ring of receive buffers ({0}); it needs Linux 6.1 or newer")]
    Buffers(#[source] io::Error),
}

/// Bytes that have arrived, lent for the length of a handler's call.
#[derive(Debug)]
pub struct Received<'a> {
    /// Never empty.
    pub bytes: &'a [u8],
    slot: u16,
}

/// What has happened to a socket.
#[derive(Debug)]
pub enum Event<'a> {
    /// A listener has a new connection.
    Accepted(OwnedFd),
    /// A listener could not accept (too many descriptors, say) and does not go on by itself.
    AcceptFailed(io::Error),
    /// A connection is there.
    Connected,
    /// Bytes have arrived.
    Received(Received<'a>),
    /// The other side sends nothing more.
    Ended,
    /// All bytes of one send are with the kernel; an owned buffer comes back empty.
    Sent(Option<Vec<u8>>),
    /// Connecting, receiving or sending has failed; the socket is good for closing only. An owned
    /// buffer comes back empty.
    Failed(io::Error, Option<Vec<u8>>),
}

/// An io_uring with its receive buffers. See the module's head.
pub struct Ring {
    // Dropped first: the kernel may use the buffers until the ring is closed.
    queue: Queue,
    buffers: Buffers,
    completions: Vec<cqueue::Entry>,
}

impl Ring {
    /// Makes a ring for this thread, with room for `entries` submissions between two waits (more are
    /// handed over early).
    ///
    /// # Errors
    /// When the kernel refuses the ring or its buffers.
    pub fn new(entries: u32, spec: BufferSpec) -> Result<Ring, Error> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(entries.saturating_mul(COMPLETIONS_PER_ENTRY))
            .build(entries)
            .map_err(Error::Refused)?;
        let buffers = Buffers::register(&uring, spec).map_err(Error::Buffers)?;
        Ok(Ring { queue: Queue::new(uring), buffers, completions: Vec::new() })
    }

    /// What can be asked of the ring from outside a handler.
    pub fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// Submits what was asked for and waits until something has happened, at most until `deadline`;
    /// then hands every completion to `handle`. Returns how many there were: 0 after the deadline or
    /// a signal.
    ///
    /// # Errors
    /// When the kernel does not take submissions any more; the ring is of no use then.
    pub fn wait(
        &mut self,
        deadline: Option<Instant>,
        mut handle: impl FnMut(&mut Queue, u64, Event<'_>),
    ) -> io::Result<usize> {
        self.feed_starved();
        self.enter(deadline)?;
        let mut completions = std::mem::take(&mut self.completions);
        completions.extend(self.queue.uring.completion());
        for completion in &completions {
            self.complete(completion, &mut handle);
        }
        let count = completions.len();
        completions.clear();
        self.completions = completions;
        self.publish_released();
        self.queue.failure.take().map_or(Ok(count), Err)
    }

    fn enter(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let submitter = self.queue.uring.submitter();
        let entered = match deadline {
            None => submitter.submit_and_wait(1),
            Some(deadline) => {
                let wait = deadline.saturating_duration_since(Instant::now());
                let timespec = Timespec::from(wait);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timespec))
            }
        };
        match entered.map_err(|error| (error.raw_os_error(), error)) {
            // EBUSY: completions wait to be taken, which comes next.
            Ok(_) | Err((Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN), _)) => {
                Ok(())
            }
            Err((_, error)) => Err(error),
        }
    }

    /// Receives again for sockets that found no free buffer, as far as there are some now.
    fn feed_starved(&mut self) {
        let count = self.queue.starved.len().min(usize::from(self.buffers.available()));
        for _ in 0..count {
            let Some((socket, receiving)) = self.queue.starved.pop() else { return };
            self.queue.receive_as(socket, receiving);
        }
    }

    fn publish_released(&mut self) {
        while let Some(slot) = self.queue.released.pop() {
            self.buffers.publish(slot);
        }
    }

    fn complete(
        &mut self,
        completion: &cqueue::Entry,
        handle: &mut impl FnMut(&mut Queue, u64, Event<'_>),
    ) {
        let (result, flags) = (completion.result(), completion.flags());
        match Operation::unpack(completion.user_data()) {
            Operation::Receive(socket) => self.received(socket, result, flags, handle),
            Operation::Send(index) => self.sent(index, result, handle),
            Operation::Connect(socket) => {
                let Some(state) = self.queue.current(socket) else { return };
                state.connecting = false;
                let token = state.token;
                let event = match result {
                    0.. => Event::Connected,
                    _ => Event::Failed(error(result), None),
                };
                handle(&mut self.queue, token, event);
            }
            Operation::Accept(listener) => {
                let token = self.queue.listener_token(listener);
                if result < 0 {
                    return handle(&mut self.queue, token, Event::AcceptFailed(error(result)));
                }
                // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
                let accepted = unsafe { OwnedFd::from_raw_fd(result) };
                handle(&mut self.queue, token, Event::Accepted(accepted));
                if !cqueue::more(flags) {
                    self.queue.accept_again(listener);
                }
            }
            Operation::Ignored => {}
        }
    }

    fn received(
        &mut self,
        socket: Socket,
        result: i32,
        flags: u32,
        handle: &mut impl FnMut(&mut Queue, u64, Event<'_>),
    ) {
        let slot = cqueue::buffer_select(flags);
        if let Some(slot) = slot {
            self.buffers.take(slot);
        }
        let more = cqueue::more(flags);
        let Some(state) = self.queue.current(socket) else {
            // The socket was closed meanwhile; nobody waits for these bytes.
            return slot.into_iter().for_each(|slot| self.buffers.publish(slot));
        };
        let (token, receiving) = (state.token, state.receiving);
        if !more {
            state.receiving = Receiving::Not;
        }
        match (result, slot) {
            (1.., Some(slot)) => {
                let bytes = self.buffers.bytes(slot, result as usize);
                handle(&mut self.queue, token, Event::Received(Received { bytes, slot }));
                if self.queue.forwarded.take().is_none() {
                    self.buffers.publish(slot);
                }
                if !more && receiving == Receiving::Always {
                    self.queue.receive(socket);
                }
            }
            (_, slot) => {
                slot.into_iter().for_each(|slot| self.buffers.publish(slot));
                match -result {
                    libc::ENOBUFS | libc::ECANCELED if receiving == Receiving::Stopping => {}
                    libc::ENOBUFS => self.queue.starved.push((socket, receiving)),
                    // It was stopped, and asked for again before it had.
                    libc::ECANCELED => self.queue.receive_as(socket, receiving),
                    0 => handle(&mut self.queue, token, Event::Ended),
                    _ => handle(&mut self.queue, token, Event::Failed(error(result), None)),
                }
            }
        }
    }

    fn sent(
        &mut self,
        index: u32,
        result: i32,
        handle: &mut impl FnMut(&mut Queue, u64, Event<'_>),
    ) {
        let send = self.queue.sends.get_mut(index);
        let socket = send.socket;
        send.sent += result.max(0) as usize;
        let is_partial = result > 0 && send.sent < send.source.len();
        let token = self.queue.current(socket).map(|state| state.token);
        if is_partial && token.is_some() {
            return self.queue.submit_send(index);
        }
        let source = self.queue.finish_send(index);
        let buffer = match source {
            Source::Outgoing(Outgoing::Owned(mut buffer) | Outgoing::Pair(mut buffer, ..)) => {
                buffer.clear();
                Some(buffer)
            }
            Source::Received(slot, ..) => {
                self.buffers.publish(slot);
                None
            }
            Source::Outgoing(Outgoing::Shared(..)) | Source::Free => None,
        };
        let Some(token) = token else { return };
        let event = match result {
            0.. => Event::Sent(buffer),
            _ => Event::Failed(error(result), buffer),
        };
        handle(&mut self.queue, token, event);
    }
}

impl Drop for Ring {
    /// Ends what is in flight, so that the kernel reads no bytes that are about to be freed.
    fn drop(&mut self) {
        let wait = Timespec::from(DRAIN_WAIT);
        let submitter = self.queue.uring.submitter();
        // Sockets that were closed since the last wait.
        let _ = submitter.submit();
        // ENOENT says that nothing was in flight; for anything else the rounds below look.
        let _ = submitter.register_sync_cancel(Some(wait), CancelBuilder::any());
        for _ in 0..DRAIN_ROUNDS {
            if self.queue.sends.in_flight == 0 {
                return;
            }
            let _ = self.wait(Some(Instant::now() + DRAIN_WAIT), |_, _, _| {});
        }
        // The kernel has not given these bytes back: they stay where they are for good.
        Box::leak(Box::new(std::mem::replace(&mut self.queue.sends, Sends::new())));
    }
}

fn error(result: i32) -> io::Error {
    io::Error::from_raw_os_error(-result)
}
