//! Whether an engine still does what it is asked to.
//!
//! limpet's own driver hears of a ring that fails from the call that enters it. Of the other two nobody does: tokio-uring
//! drops what its submission says, and is therefore asked for something now and then that always succeeds; an epoll
//! instance that takes no more sockets fails each of them alone, and the first one tells. Tested by the black-box suite.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use io_uring::opcode;

use super::engine::{self, Engine};
use super::ring::{self, Completion, Operation};
use super::tokio_ring;

/// From one question to the next, in calls of [`Pulse::beat`].
const EVERY: u32 = 20;
/// An answer that has not come after so many turns of the shard, each of which asks the kernel, does not come.
const LATE: u32 = 40;

thread_local! {
    /// Why a socket could not be added to the epoll instance of this thread.
    static REFUSAL: Cell<Option<i32>> = const { Cell::new(None) };
}

/// One engine's, as its shard feels it.
#[derive(Default)]
pub struct Pulse {
    beats: u32,
    asked: Option<ring::InFlight<Nop>>,
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
    /// The engine is of no use any more.
    pub fn beat(&mut self) -> io::Result<()> {
        self.beats += 1;
        match engine::current() {
            Engine::IoUring => Ok(()),
            #[cfg(test)]
            Engine::Simulated => Ok(()),
            Engine::TokioUring => self.ask_ring().inspect_err(|_| tokio_ring::set_broken()),
            Engine::Epoll => look_at_refusals(),
        }
    }

    /// A nop that fails, or does not come back, is the ring's end.
    fn ask_ring(&mut self) -> io::Result<()> {
        let Some(asked) = &mut self.asked else {
            if self.beats >= EVERY {
                self.beats = 0;
                self.asked = Some(ring::submit(Nop, opcode::Nop::new().build()));
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

/// A socket could not be added to the epoll instance of this thread.
pub(super) fn note_refusal(error: &io::Error) {
    if !is_shortage(error) {
        REFUSAL.set(error.raw_os_error());
    }
}

/// Says so when a socket was refused.
fn look_at_refusals() -> io::Result<()> {
    match REFUSAL.take() {
        Some(code) => {
            let error = io::Error::from_raw_os_error(code);
            Err(io::Error::new(error.kind(), format!("its epoll takes no sockets: {error}")))
        }
        None => Ok(()),
    }
}

/// What passes when others let go of memory, or of their places among the user's watches.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOSPC))
}
